//! Which pools hold which session warm. SCORE-3.
//!
//! They are few for every session, so their keys are made by the core, one by one, after the scan.

use orchestrator_core::rows::{JobFlags, JobQuery, NameId, PoolFlags, PoolTable};
use orchestrator_core::{Shortlist, keys_of};

use super::backend::{BackendError, BackendName, World};

/// Sessions and the pools that published them, in order.
#[derive(Debug, Default)]
pub(super) struct WarmIndex {
    entries: Vec<(NameId, u32)>,
}

impl WarmIndex {
    /// Reads all pools. O(pools + warm sessions · log).
    pub(super) fn fill(&mut self, table: &PoolTable<'_>) {
        self.entries.clear();
        for ((rank, row), lists) in (0u32..).zip(table.rows).zip(table.lists) {
            if row.flags.has(PoolFlags::WARM_SESSIONS) {
                self.entries.extend(lists.warm.of(table.warm).iter().map(|warm| (warm.session, rank)));
            }
        }
        self.entries.sort_unstable();
    }

    /// Scores the pools that hold the job's session afresh and offers their keys to its list: a warm key is never above
    /// the cold one of its pool.
    pub(super) fn offer(
        &self,
        world: &World<'_>,
        job: &JobQuery<'_>,
        backend: BackendName,
        list: &mut Shortlist,
    ) -> Result<(), BackendError> {
        if Self::concerns(job) {
            let input = world.input(*job, backend)?;
            keys_of(&input, self.pools_of(job)).for_each(|key| list.offer(key));
        }
        Ok(())
    }

    /// Whether a pool can be warm for the job at all.
    fn concerns(job: &JobQuery<'_>) -> bool {
        !job.row.flags.has(JobFlags::COLD) && (job.session.is_some() || job.row.session != NameId::NONE)
    }

    /// The pools that may be warm for the job: those that published its session, and the one in its table entry.
    fn pools_of(&self, job: &JobQuery<'_>) -> impl Iterator<Item = u32> {
        let session = job.row.session;
        let start = self.entries.partition_point(|&(own, _)| own < session);
        let published = self.entries[start..].iter().take_while(move |&&(own, _)| own == session);
        published.map(|&(_, rank)| rank).chain(job.session.map(|entry| entry.pool))
    }
}
