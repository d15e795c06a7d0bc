//! A naive account of a scheduler: where each job is, and what each pool has left, from events alone.
//!
//! It panics when an event says what cannot be, and compares its numbers with the scheduler's after each input.

use std::collections::BTreeMap;

use orchestrator_core::scheduler::{
    Action, Answer, Discipline, Event, ExpiryCause, FullPolicy, JobFacts, Observer, Scheduler, SchedulerPolicy,
};
use orchestrator_core::{Policy, PoolRegistry, Priority};

use crate::table::Fleet;

/// What decides whether a pool can take a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) pin: Option<&'static str>,
    pub(crate) version: Option<&'static str>,
    pub(crate) kv_bytes: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) class: Priority,
    pub(crate) needs: Needs,
    pub(crate) arrival: u64,
    pub(crate) arrived_us: u64,
    pub(crate) lease: Option<Lease>,
}

#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) pool: &'static str,
    pub(crate) order: u64,
    pub(crate) reserved_us: u64,
    pub(crate) started_us: Option<u64>,
    pub(crate) has_token: bool,
    pub(crate) last_report_us: u64,
    pub(crate) tokens_out: u32,
    waits: bool,
    counted: bool,
}

/// What a pool said last, and what was taken from it since.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) ready: bool,
    pub(crate) draining: bool,
    /// Whether somebody asked for it. REFRESH-3.
    pub(crate) is_drained: bool,
    pub(crate) version: Option<&'static str>,
    pub(crate) slots_total: u64,
    pub(crate) slots_free: u64,
    pub(crate) waiting: u64,
    pub(crate) vram_total: u64,
    pub(crate) vram_free: u64,
    pub(crate) observed_us: u64,
    /// Whether its numbers are true, so that they are those of the leases.
    pub(crate) is_exact: bool,
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) now_us: u64,
    pub(crate) jobs: BTreeMap<String, Job>,
    pub(crate) pools: BTreeMap<&'static str, Pool>,
    pub(crate) placement: Policy,
    pub(crate) rules: SchedulerPolicy,
    /// The job of the input, until it is in or refused.
    pub(crate) submitting: Option<(String, Job)>,
    /// The pool of the input.
    pub(crate) arriving: Option<(&'static str, Pool)>,
    pub(crate) removing: Option<&'static str>,
    /// Whether the input itself is being taken: a dispatch now is one past a full queue.
    pub(crate) in_handle: bool,
    pub(crate) submitted: u64,
    pub(crate) ended: u64,
    /// How often each kind of event was seen.
    pub(crate) tally: BTreeMap<&'static str, u64>,
    order: u64,
    /// What events of the input call for: kind and job.
    due: Vec<(&'static str, String)>,
    done: Vec<(&'static str, String)>,
}

impl Account {
    pub(crate) fn new(placement: Policy, rules: SchedulerPolicy, now_us: u64) -> Self {
        Self {
            now_us,
            jobs: BTreeMap::new(),
            pools: BTreeMap::new(),
            placement,
            rules,
            submitting: None,
            arriving: None,
            removing: None,
            in_handle: false,
            submitted: 0,
            ended: 0,
            tally: BTreeMap::new(),
            order: 0,
            due: Vec::new(),
            done: Vec::new(),
        }
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&String, &Job)> {
        self.jobs.iter().filter(|(_, job)| job.lease.is_none())
    }

    pub(crate) fn leases_of(&self, pool: &str) -> impl Iterator<Item = (&Job, &Lease)> {
        let leased = self.jobs.values().filter_map(|job| Some((job, job.lease.as_ref()?)));
        leased.filter(move |(_, lease)| lease.pool == pool)
    }

    pub(crate) fn act(&mut self, action: &Action) {
        match action {
            Action::Dispatch { job_id, .. } => self.done.push(("dispatch", job_id.to_string())),
            Action::Abort { job_id, .. } => self.done.push(("abort", job_id.to_string())),
            Action::Drop { job_id, .. } => self.done.push(("drop", job_id.to_string())),
            _ => {}
        }
    }

    /// The input is done with: the numbers are the scheduler's, and nothing that could be done is left.
    pub(crate) fn settle(&mut self, answer: &Answer, scheduler: &Scheduler<'_, Fleet>, storage: (usize, usize)) {
        let (due, done) = (std::mem::take(&mut self.due), std::mem::take(&mut self.done));
        assert_eq!(due, done, "events and actions");
        if let Some((id, _)) = self.submitting.take() {
            assert_eq!(*answer, Answer::DuplicateJob, "the job {id} is neither in nor refused");
        }
        if self.arriving.take().is_some() {
            assert!(matches!(answer, Answer::Late | Answer::BadSnapshot(_)));
        }
        assert!(self.removing.take().is_none_or(|pool| !self.pools.contains_key(pool)));
        let waiting = self.waiting().count();
        let leased = self.jobs.len() - waiting;
        assert_eq!((scheduler.waiting_jobs() as usize, scheduler.leased_jobs() as usize), (waiting, leased));
        assert!(waiting <= storage.0 && leased <= storage.1);
        assert_eq!(self.submitted, self.ended + self.jobs.len() as u64);
        assert!(scheduler.next_wakeup_us().is_none_or(|at_us| at_us > self.now_us), "something is overdue");
        self.check_pools(scheduler.fleet());
        self.check_nothing_is_left(leased < storage.1);
    }

    fn check_pools(&self, fleet: &Fleet) {
        assert_eq!(fleet.len(), self.pools.len());
        for (id, pool) in &self.pools {
            let handle = PoolRegistry::find(fleet, id, "").expect("the pool is there");
            let row = fleet.row(handle).expect("a row");
            assert_eq!(
                (u64::from(row.slots_free), u64::from(row.waiting), row.vram_free_bytes),
                (pool.slots_free, pool.waiting, pool.vram_free),
                "slots, jobs that wait and VRAM of {id}"
            );
            if pool.is_exact {
                let leases = self.leases_of(id).count() as u64;
                assert_eq!(pool.slots_free + leases, pool.slots_total + pool.waiting, "leases of {id}");
            }
        }
    }

    /// QUEUE-13: where passes are not bounded, no job waits for a pool that could take it.
    fn check_nothing_is_left(&self, has_room: bool) {
        let is_bounded = self.rules.queue.scan_limit < 1000 || self.rules.queue.overtakes_max < 1_000_000;
        if is_bounded || !has_room {
            return;
        }
        for (job_id, job) in self.waiting() {
            for id in self.pools.keys() {
                assert!(!self.can_take(id, &job.needs), "{job_id} waits although {id} can take it");
            }
        }
    }

    fn can_take(&self, id: &str, needs: &Needs) -> bool {
        let pool = &self.pools[id];
        pool.ready
            && !pool.draining
            && self.now_us - pool.observed_us <= self.placement.stale_after_us()
            && needs.pin.is_none_or(|pin| pin == id)
            && (needs.version.is_none() || needs.version == pool.version)
            && (pool.slots_free > 0 || (pool.slots_total > 0 && pool.waiting < self.placement.pool_backlog().into()))
            && pool.vram_free >= needs.kv_bytes
    }

    fn pool_id(&self, id: &str) -> &'static str {
        self.pools.get_key_value(id).expect("a pool that is there").0
    }

    fn enter(&mut self, facts: &JobFacts<'_>) {
        let (id, job) = self.submitting.take().expect("a job that asked");
        assert_eq!(id, facts.id);
        assert!(self.jobs.insert(id, job).is_none());
        self.submitted += 1;
    }

    fn dispatch(&mut self, id: &str, pool: &str) {
        let pool = self.pool_id(pool);
        let job = &self.jobs[id];
        assert!(job.lease.is_none(), "{id} is dispatched twice");
        assert!(self.can_take(pool, &job.needs), "{id} is dispatched to {pool}: {:?}", self.pools[pool]);
        self.check_order(id);
        let kv_bytes = job.needs.kv_bytes;
        let of_pool = self.pools.get_mut(pool).expect("asked above");
        let waits = of_pool.slots_free == 0;
        if waits {
            of_pool.waiting += 1;
        } else {
            of_pool.slots_free -= 1;
        }
        of_pool.vram_free -= kv_bytes;
        self.order += 1;
        let lease = Lease {
            pool,
            order: self.order,
            reserved_us: self.now_us,
            started_us: None,
            has_token: false,
            last_report_us: self.now_us,
            tokens_out: 0,
            waits,
            counted: true,
        };
        self.jobs.get_mut(id).expect("asked above").lease = Some(lease);
        self.due.push(("dispatch", id.to_owned()));
    }

    /// QUEUE-7: of jobs that need the same, the first in service order goes first, unless it needed no place at all.
    fn check_order(&self, id: &str) {
        let rules = &self.rules.queue;
        if self.in_handle || rules.discipline != Discipline::Fifo || rules.promote_after_us.is_some() {
            return;
        }
        let job = &self.jobs[id];
        for (other_id, other) in self.waiting().filter(|(other_id, other)| *other_id != id && other.needs == job.needs)
        {
            let is_before = if other.class == job.class {
                other.arrival < job.arrival
            } else {
                other.class == Priority::Interactive && rules.class_weights.is_none()
            };
            assert!(!is_before, "{id} is served before {other_id}");
        }
    }

    /// A job ends, whether it waits or runs.
    fn end(&mut self, id: &str) -> Job {
        let job = self.jobs.remove(id).expect("a job ends once");
        self.ended += 1;
        let Some(lease) = &job.lease else { return job };
        let pool = self.pools.get_mut(lease.pool).expect("a pool stays until its leases have ended");
        if lease.counted {
            if pool.waiting > 0 {
                pool.waiting -= 1;
            } else {
                pool.slots_free = (pool.slots_free + 1).min(pool.slots_total);
            }
            pool.vram_free = (pool.vram_free + job.needs.kv_bytes).min(pool.vram_total);
        }
        job
    }

    fn end_waiting(&mut self, id: &str) -> Job {
        let job = self.end(id);
        assert!(job.lease.is_none(), "{id} has a lease");
        job
    }

    fn end_leased(&mut self, id: &str, pool: &str) -> Lease {
        let lease = self.end(id).lease.expect("a lease");
        assert_eq!(lease.pool, pool, "LEASE-2");
        lease
    }

    /// LEASE-5, LEASE-4: a lease that ended by itself had a reason.
    fn check_expiry(&self, lease: &Lease, cause: ExpiryCause) {
        let limits = &self.rules.watchdog;
        let is_over = |since_us: u64, limit_us: u64| limit_us > 0 && self.now_us - since_us >= limit_us;
        let is_right = match cause {
            ExpiryCause::NotStarted => {
                lease.started_us.is_none() && is_over(lease.reserved_us, limits.start_timeout_us)
            }
            ExpiryCause::WallLimit => lease.started_us.is_some_and(|since_us| is_over(since_us, limits.wall_limit_us)),
            ExpiryCause::IdleLimit => lease.started_us.is_some() && is_over(lease.last_report_us, limits.idle_limit_us),
            ExpiryCause::PoolLost => self.removing == Some(lease.pool),
            other => panic!("{other:?}"),
        };
        assert!(is_right, "{cause:?}: {lease:?}");
    }

    /// LEASE-3: what a snapshot had not seen is taken from its numbers again.
    fn renew(&mut self, id: &str, credited: u32) {
        let (arriving, mut pool) = self.arriving.take().expect("a snapshot");
        assert_eq!(arriving, id);
        pool.is_drained = self.pools.get(id).is_some_and(|former| former.is_drained);
        pool.draining |= pool.is_drained;
        let mut leased: Vec<&mut Job> = self.jobs.values_mut().filter(|job| job.lease.is_some()).collect();
        leased.sort_by_key(|job| job.lease.as_ref().map(|lease| lease.order));
        let mut retaken = 0;
        for job in leased {
            let Some(lease) = job.lease.as_mut().filter(|lease| lease.pool == arriving) else { continue };
            lease.counted = true;
            if lease.reserved_us < pool.observed_us {
                continue;
            }
            let is_busy = pool.slots_free == 0;
            if (is_busy && !lease.waits) || pool.vram_free < job.needs.kv_bytes {
                lease.counted = false;
                pool.is_exact = false;
                continue;
            }
            if is_busy {
                pool.waiting += 1;
            } else {
                pool.slots_free -= 1;
            }
            pool.vram_free -= job.needs.kv_bytes;
            retaken += 1;
        }
        assert_eq!(credited, retaken);
        self.pools.insert(arriving, pool);
    }
}

impl Observer for Account {
    fn observe(&mut self, now_us: u64, event: &Event<'_>) {
        assert_eq!(now_us, self.now_us);
        *self.tally.entry(event.name()).or_default() += 1;
        match *event {
            Event::JobRefused { job, .. } => {
                self.enter(&job);
                self.end_waiting(job.id);
            }
            Event::JobEnqueued { job, .. } => self.enter(&job),
            Event::JobEvicted { job, waited_us, .. } => {
                assert_eq!(self.rules.queue.full, FullPolicy::DropLru);
                let left = self.end_waiting(job.id);
                assert_eq!(waited_us, self.now_us - left.arrived_us);
                self.due.push(("drop", job.id.to_owned()));
            }
            Event::JobTimedOut { job, waited_us, .. } => {
                let left = self.end_waiting(job.id);
                assert_eq!(waited_us, self.now_us - left.arrived_us);
                assert!(self.rules.queue.ttl_us > 0 && waited_us >= self.rules.queue.ttl_us);
                self.due.push(("drop", job.id.to_owned()));
            }
            Event::JobDispatched { job, pool, dispatch } => {
                assert!(!dispatch.kv_migrated);
                self.dispatch(job.id, pool.id);
            }
            Event::JobFinished { job, pool, .. } | Event::JobFailed { job, pool, .. } => {
                self.end_leased(job.id, pool.id);
            }
            Event::JobCanceled { job, pool: None, .. } => {
                self.end_waiting(job.id);
            }
            Event::JobCanceled { job, pool: Some(pool), .. } => {
                self.end_leased(job.id, pool.id);
                self.due.push(("abort", job.id.to_owned()));
            }
            Event::JobExpired { job, pool, cause, .. } => {
                let lease = self.end_leased(job.id, pool.id);
                self.check_expiry(&lease, cause);
                self.due.push(("abort", job.id.to_owned()));
            }
            Event::PoolUpdated { pool, credited, .. } => self.renew(pool.id, credited),
            Event::PoolDraining { pool, draining } => {
                let id = self.pool_id(pool.id);
                let pool = self.pools.get_mut(id).expect("asked above");
                (pool.draining, pool.is_drained) = (draining, draining);
            }
            Event::PoolRemoved { pool } => {
                assert_eq!(self.leases_of(pool.id).count(), 0, "LEASE-4");
                let id = self.pool_id(pool.id);
                self.pools.remove(id);
            }
            _ => {}
        }
    }
}
