//! Why no pool can take a job, without a look at every pool: counts per class of pools.
//!
//! A fleet that is full gives the same answer to job after job. The rules that need no hint and no device depend on a
//! pool's class and on whether the pool is closed: stale, not ready, draining or without a slot. So per class it is enough
//! to know how many pools are closed for which reason and how many are open; if the job has no place, all open ones lack
//! VRAM.
//!
//! ```
//! use orchestrator_core::{JobSpec, Policy, PoolSnapshot, Rejection};
//! use orchestrator_host::batch::Headlines;
//! use orchestrator_host::fleet::FleetBuilder;
//!
//! let mut builder = FleetBuilder::default();
//! builder.add(1, &PoolSnapshot::new("full", "vllm", 8, 0, 1 << 36, 1 << 36).validate().unwrap()).unwrap();
//! let (fleet, policy) = (builder.finish().fleet, Policy::default());
//! let job = JobSpec::new("job", "vllm", "some/model").validate(&policy, None).unwrap().resolve(&fleet);
//! let mut headlines = Headlines::default();
//! assert_eq!(headlines.of(&fleet.table(), &job.query(None), &policy), Some(Some(Rejection::Slots)));
//! ```
//!
//! Invariants: the counts are those of the table as of the last call, whatever changed between through
//! [`Headlines::pool_changed`]; they depend on the job by its backlog only, and another one has them counted anew.

use orchestrator_core::rows::{JobFlags, JobQuery, JobRow, PoolRow, PoolTable};
use orchestrator_core::rule::feasibility::{class_rejection, closed_rejection};
use orchestrator_core::{Policy, Rejection};

/// Pools of one class, by what they are to any job: the place of [`state`].
type Counts = [u32; STATES];

const STATES: usize = 5;

/// What each place of [`Counts`] says of a pool that does not take the job: an open one lacks VRAM.
const REASONS: [Rejection; STATES] =
    [Rejection::Stale, Rejection::NotReady, Rejection::Draining, Rejection::Slots, Rejection::Vram];

/// The headlines of one table of pools under one policy. NOCAP-1.
#[derive(Debug, Clone, Default)]
pub struct Headlines {
    /// The job whose backlog the counts are for; `None` until the first job asks.
    counted_for: Option<JobRow>,
    /// By class.
    counts: Vec<Counts>,
    /// By rank.
    states: Vec<u8>,
}

impl Headlines {
    /// The headline of a job that no pool can take: `Some(None)` where there are no pools, `None` where the counts cannot
    /// tell, which is so for hints that exclude pools and for splits. O(classes), and O(pools) for another backlog.
    pub fn of(&mut self, table: &PoolTable<'_>, job: &JobQuery<'_>, policy: &Policy) -> Option<Option<Rejection>> {
        if excludes_by_pool(job) {
            return None;
        }
        if self.counted_for.is_none_or(|other| other.pool_backlog != job.row.pool_backlog) {
            self.count(table, job.row, policy);
        }
        let classes =
            table.classes.iter().zip(&self.counts).filter(|(_, counts)| counts.iter().any(|&pools| pools > 0));
        let headlines = classes
            .filter_map(|(class, counts)| class_rejection(table, class, job.row).or_else(|| headline_of(counts)));
        Some(headlines.reduce(Rejection::headline))
    }

    /// The row of the pool at `rank` changed, its class did not. O(1).
    pub fn pool_changed(&mut self, table: &PoolTable<'_>, rank: u32, policy: &Policy) {
        let Some(job) = self.counted_for else { return };
        let rank = rank as usize;
        if let Some((row, known)) = table.rows.get(rank).zip(self.states.get_mut(rank))
            && let Some(counts) = self.counts.get_mut(row.class as usize)
        {
            counts[usize::from(*known)] -= 1;
            *known = state(row, &job, policy);
            counts[usize::from(*known)] += 1;
        }
    }

    /// Anything may have changed.
    pub fn snapshot_changed(&mut self) {
        self.counted_for = None;
    }

    fn count(&mut self, table: &PoolTable<'_>, job: &JobRow, policy: &Policy) {
        self.counted_for = Some(*job);
        self.counts.clear();
        self.counts.resize(table.classes.len(), [0; STATES]);
        self.states.clear();
        for row in table.rows {
            let state = state(row, job, policy);
            self.states.push(state);
            // A table whose rows name no class of it is nobody's fleet.
            if let Some(counts) = self.counts.get_mut(row.class as usize) {
                counts[usize::from(state)] += 1;
            }
        }
    }
}

/// Whether what the job asks sets pools of one class apart, but for their VRAM. FEAS-1 to FEAS-5, FEAS-18.
fn excludes_by_pool(job: &JobQuery<'_>) -> bool {
    let (row, hints) = (job.row, &job.hints);
    let flags = [JobFlags::PIN, JobFlags::NO_FALLBACK, JobFlags::FOREIGN_LABEL];
    flags.into_iter().any(|flag| row.flags.has(flag))
        || !hints.avoid.is_empty()
        || !hints.labels.is_empty()
        || !row.require_device_mask.is_empty()
        || row.split_degree > 0
}

/// What a pool is to any job, as the place of its reason.
fn state(row: &PoolRow, job: &JobRow, policy: &Policy) -> u8 {
    match closed_rejection(row, job, policy) {
        Some(Rejection::Stale) => 0,
        Some(Rejection::NotReady) => 1,
        Some(Rejection::Draining) => 2,
        // The only other reason of a closed pool.
        Some(_) => 3,
        None => 4,
    }
}

/// The best headline of a class that the job could use.
fn headline_of(counts: &Counts) -> Option<Rejection> {
    let given = REASONS.iter().zip(counts).filter(|&(_, &pools)| pools > 0);
    given.map(|(&reason, _)| reason).reduce(Rejection::headline)
}
