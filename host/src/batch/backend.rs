//! What every backend is: a way to find, for many jobs, the best pools of one snapshot.

use std::fmt;

use orchestrator_core::rows::{JobQuery, PoolTable};
use orchestrator_core::{PlacementInput, Policy, Shortlist};

/// What the jobs of a batch are decided on: all of them see the same.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// The pools.
    pub table: PoolTable<'a>,
    /// The policy that the pools were prepared for.
    pub policy: &'a Policy,
}

impl<'a> World<'a> {
    /// That every job has a list to be answered in, and that the table is one for this policy.
    pub(super) fn check(
        &self,
        jobs: &[JobQuery<'_>],
        lists: &[Shortlist],
        backend: BackendName,
    ) -> Result<(), BackendError> {
        if jobs.len() != lists.len() {
            let why = format!("{} lists for {} jobs: each job needs one", lists.len(), jobs.len());
            return Err(BackendError::Failed { backend, why });
        }
        self.table.check(self.policy).map_err(|error| BackendError::Failed { backend, why: error.to_string() })
    }

    /// One job of a batch, for the core.
    pub(super) fn input(&self, job: JobQuery<'a>, backend: BackendName) -> Result<PlacementInput<'a>, BackendError> {
        PlacementInput::new(self.table, job, self.policy)
            .map_err(|error| BackendError::Failed { backend, why: error.to_string() })
    }
}

/// Which backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendName {
    /// The core's own decision, pool by pool.
    Scalar,
    /// Vector units and threads.
    Simd,
    /// A CUDA device.
    Cuda,
}

impl BackendName {
    /// All backends, also those that this build is without.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Simd, Self::Cuda];

    /// Its name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Simd => "simd",
            Self::Cuda => "cuda",
        }
    }

    /// Whether this build has it; whether the machine does is for [`open`](super::open) to say.
    #[must_use]
    pub const fn is_built(self) -> bool {
        match self {
            Self::Scalar | Self::Simd => true,
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A backend that did not answer: its caller falls back to another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// It ran and did not finish.
    #[error("{backend}: {why}")]
    Failed {
        /// Which backend.
        backend: BackendName,
        /// What went wrong.
        why: String,
    },
    /// Its device failed: nothing of it is kept, and it is not asked again.
    #[error("{backend}: {fault} {doing}: {status}")]
    Device {
        /// Which backend.
        backend: BackendName,
        /// In which way.
        fault: DeviceFault,
        /// At what.
        doing: &'static str,
        /// What the driver says.
        status: String,
    },
}

/// How a device fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceFault {
    /// Not even the smallest tables fit.
    OutOfMemory,
    /// A kernel did not end well.
    LaunchFailed,
    /// The device or its context is gone.
    DeviceLost,
    /// It answered what no kernel can have found.
    ImpossibleAnswer,
    /// The driver refused a call otherwise.
    Refused,
}

impl DeviceFault {
    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutOfMemory => "out of memory",
            Self::LaunchFailed => "launch failed",
            Self::DeviceLost => "device lost",
            Self::ImpossibleAnswer => "impossible answer",
            Self::Refused => "failed",
        }
    }
}

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Finds the best pools of many jobs. All backends find the same: DET-1.
///
/// A backend may keep what it derives from a world between calls: it is told what changed since.
pub trait Backend: fmt::Debug + Send {
    /// Which one it is.
    fn name(&self) -> BackendName;

    /// What it runs on, for people: vector units, threads, device.
    fn description(&self) -> String;

    /// Its name and what it runs on.
    fn title(&self) -> String {
        format!("{} ({})", self.name(), self.description())
    }

    /// Anything may have changed since the last call: pools, classes, policy.
    fn snapshot_changed(&mut self);

    /// The rows and lists of the pool at `rank` changed, its class did not: a commit or a release.
    fn pool_changed(&mut self, rank: u32);

    /// Its last answer was wrong. Gives up the part that gave it; whether the rest goes on.
    fn give_up_part(&mut self, _why: &str) -> bool {
        false
    }

    /// Finds every job's best pools. `lists` has a list per job, whose depth stands and whose content is replaced.
    ///
    /// # Errors
    /// When it cannot answer, or there are not as many lists as jobs; the lists then hold nothing of use.
    fn shortlists(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError>;
}
