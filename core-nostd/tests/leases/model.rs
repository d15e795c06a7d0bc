//! The naive model: a list of all leases there ever were, from which every number is counted anew.

use orchestrator_core::scheduler::{ExpiryCause, Reported, WatchdogRules};

/// How much there is of each: slots, and bytes of each device, or of the pool as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) slots: i64,
    pub(crate) bytes: Vec<i64>,
}

#[derive(Debug, Clone)]
pub(crate) struct ModelLease {
    pub(crate) id: String,
    /// Which pool, of all that there ever were.
    pub(crate) pool: usize,
    pub(crate) bytes: Vec<i64>,
    pub(crate) waits: bool,
    pub(crate) pool_wait_us: u64,
    pub(crate) prefill_us: u64,
    pub(crate) counted: bool,
    pub(crate) reserved_us: u64,
    pub(crate) started: Option<(u64, u64)>,
    pub(crate) has_token: bool,
    pub(crate) report: (u64, u64),
    pub(crate) tokens: u32,
    pub(crate) ended_us: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct ModelPool {
    pub(crate) id: usize,
    pub(crate) total: Size,
    pub(crate) observed_us: u64,
    pub(crate) is_there: bool,
    /// Leases that ended after the observation, as the snapshot still has them.
    ghosts: Vec<usize>,
}

/// Everything that ever was.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) leases: Vec<ModelLease>,
    pub(crate) pools: Vec<ModelPool>,
    /// Counts reports, so that equal times have an order.
    reports: u64,
}

impl Model {
    pub(crate) fn pool_named(&self, id: usize) -> Option<usize> {
        self.pools.iter().position(|pool| pool.is_there && pool.id == id)
    }

    pub(crate) fn lease_named(&self, id: &str) -> Option<usize> {
        self.leases.iter().position(|lease| lease.ended_us.is_none() && lease.id == id)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &ModelLease> {
        self.leases.iter().filter(|lease| lease.ended_us.is_none())
    }

    /// LEASE-8: a live lease has no token yet, as far as anybody said.
    pub(crate) fn pending_prefill_us(&self, pool: usize) -> u64 {
        let is_pending = |lease: &&ModelLease| lease.pool == pool && !lease.has_token && lease.tokens == 0;
        self.live().filter(is_pending).map(|lease| lease.prefill_us).sum()
    }

    /// The total less what leases hold and, until the next snapshot, what ended ones held. Slots below 0 wait.
    pub(crate) fn free(&self, pool: usize) -> Size {
        let holds = |&(at, lease): &(usize, &ModelLease)| {
            lease.pool == pool && ((lease.ended_us.is_none() && lease.counted) || self.pools[pool].ghosts.contains(&at))
        };
        self.less(pool, self.leases.iter().enumerate().filter(holds).map(|(_, lease)| lease))
    }

    /// What the engine of a pool says at a time: the total less what it knows of then.
    pub(crate) fn observed(&self, pool: usize, at_us: u64) -> Size {
        self.less(pool, self.leases.iter().filter(|lease| lease.pool == pool && knows(lease, at_us)))
    }

    fn less<'m>(&self, pool: usize, leases: impl Iterator<Item = &'m ModelLease>) -> Size {
        leases.fold(self.pools[pool].total.clone(), |mut free, lease| {
            free.slots -= 1;
            free.bytes.iter_mut().zip(&lease.bytes).for_each(|(free, taken)| *free -= taken);
            free
        })
    }

    pub(crate) fn add_pool(&mut self, id: usize, total: Size) -> usize {
        self.pools.push(ModelPool { id, total, observed_us: 0, is_there: true, ghosts: Vec::new() });
        self.pools.len() - 1
    }

    /// LEASE-3, as the rule says it; returns how many are taken again.
    pub(crate) fn snapshot(&mut self, pool: usize, observed_us: u64) -> u32 {
        let ended_since =
            |lease: &ModelLease| lease.pool == pool && knows(lease, observed_us) && lease.ended_us.is_some();
        self.pools[pool].ghosts = (0..self.leases.len()).filter(|&at| ended_since(&self.leases[at])).collect();
        self.pools[pool].observed_us = observed_us;
        let own: Vec<usize> = (0..self.leases.len())
            .filter(|&at| self.leases[at].pool == pool && self.leases[at].ended_us.is_none())
            .collect();
        for &at in &own {
            self.leases[at].counted = self.leases[at].reserved_us < observed_us;
        }
        let mut retaken = 0;
        for at in own {
            let (free, lease) = (self.free(pool), &self.leases[at]);
            let fits =
                (free.slots > 0 || lease.waits) && free.bytes.iter().zip(&lease.bytes).all(|(free, need)| free >= need);
            if !lease.counted && fits {
                self.leases[at].counted = true;
                retaken += 1;
            }
        }
        retaken
    }

    pub(crate) fn reserve(&mut self, id: &str, pool: usize, bytes: Vec<i64>, wait_us: Option<u64>, now_us: u64) {
        self.leases.push(ModelLease {
            id: id.to_owned(),
            pool,
            bytes,
            waits: wait_us.is_some(),
            pool_wait_us: wait_us.unwrap_or(0),
            prefill_us: 0,
            counted: true,
            reserved_us: now_us,
            started: None,
            has_token: false,
            report: (now_us, 0),
            tokens: 0,
            ended_us: None,
        });
    }

    /// A sign of life.
    pub(crate) fn report(&mut self, lease: usize, now_us: u64) -> Reported {
        self.reports += 1;
        let starts = self.leases[lease].started.is_none();
        if starts {
            self.leases[lease].started = Some((now_us, self.reports));
        }
        self.leases[lease].report = (now_us, self.reports);
        Reported::Taken { starts }
    }

    /// Which lease expires first, when and how. LEASE-5.
    pub(crate) fn first_expiry(&self, rules: &WatchdogRules) -> Option<(u64, ExpiryCause, &str)> {
        let mut all = Vec::new();
        for (at, lease) in self.leases.iter().enumerate().filter(|(_, lease)| lease.ended_us.is_none()) {
            let mut limit = |cause, limit_us: u64, (since_us, order): (u64, u64)| {
                if limit_us > 0 {
                    all.push((since_us + limit_us, cause, order, lease.id.as_str()));
                }
            };
            match lease.started {
                None => limit(0, rules.start_timeout_us, (lease.reserved_us + lease.pool_wait_us, at as u64)),
                Some(started) => {
                    limit(1, rules.wall_limit_us, started);
                    limit(2, rules.idle_limit_us, lease.report);
                }
            }
        }
        let (at_us, cause, _, id) = all.into_iter().min()?;
        let causes = [ExpiryCause::NotStarted, ExpiryCause::WallLimit, ExpiryCause::IdleLimit];
        Some((at_us, causes[cause], id))
    }
}

/// Whether an engine has a lease at a time.
fn knows(lease: &ModelLease, at_us: u64) -> bool {
    lease.reserved_us < at_us && lease.ended_us.is_none_or(|ended_us| ended_us > at_us)
}
