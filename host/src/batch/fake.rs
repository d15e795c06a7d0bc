//! A backend for tests, that answers as it is told.

use std::fmt;

use orchestrator_core::Shortlist;
use orchestrator_core::rows::JobQuery;

use super::backend::{Backend, BackendError, BackendName, World};

type Answer = dyn FnMut(&World<'_>, &[JobQuery<'_>], &mut [Shortlist]) -> Result<(), BackendError> + Send;

/// A backend of this name; what it captures goes back when it is dropped.
pub(super) struct Fake {
    name: BackendName,
    answer: Box<Answer>,
}

impl Fake {
    pub(super) fn boxed(
        name: BackendName,
        answer: impl FnMut(&World<'_>, &[JobQuery<'_>], &mut [Shortlist]) -> Result<(), BackendError> + Send + 'static,
    ) -> Box<dyn Backend> {
        Box::new(Self { name, answer: Box::new(answer) })
    }
}

/// A failure on purpose.
pub(super) fn planted(backend: BackendName) -> BackendError {
    BackendError::Failed { backend, why: "planted".to_owned() }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Backend for Fake {
    fn name(&self) -> BackendName {
        self.name
    }

    fn description(&self) -> String {
        "a fake".to_owned()
    }

    fn snapshot_changed(&mut self) {}

    fn pool_changed(&mut self, _rank: u32) {}

    fn shortlists(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        (self.answer)(world, jobs, lists)
    }
}
