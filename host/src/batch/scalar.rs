//! The oracle: the core's own function, job by job and pool by pool.

use orchestrator_core::rows::JobQuery;
use orchestrator_core::{PlacementInput, Shortlist, shortlist};

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
        for (job, list) in jobs.iter().zip(lists) {
            let input = PlacementInput::new(world.table, *job, world.policy)
                .map_err(|error| BackendError::Failed { backend: self.name(), why: error.to_string() })?;
            *list = shortlist(&input, list.depth());
        }
        Ok(())
    }
}
