//! The oracle: the core's own function, job by job and pool by pool.

use orchestrator_core::rows::JobQuery;
use orchestrator_core::{Shortlist, shortlist};

use super::backend::{Backend, BackendError, BackendName, World};

/// The core's [`shortlist`] for every job. Keeps nothing between calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scalar;

impl Backend for Scalar {
    fn name(&self) -> BackendName {
        BackendName::Scalar
    }

    fn description(&self) -> String {
        "the core's own decision, one thread".to_owned()
    }

    fn snapshot_changed(&mut self) {}

    fn pool_changed(&mut self, _rank: u32) {}

    fn shortlists(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        world.check(jobs, lists, self.name())?;
        for (job, list) in jobs.iter().zip(lists) {
            *list = shortlist(&world.input(*job, self.name())?, list.depth());
        }
        Ok(())
    }
}
