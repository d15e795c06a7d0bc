//! All backends on the same worlds: whatever one of them finds differently is reported as the smallest case that shows it.
//!
//! A fast backend is worth having only if nobody can tell it from the slow one. Tests beside a backend look where its
//! author looked; these worlds are made of what the rules can meet, and of where lanes, blocks and tiles end.
//!
//! ```text
//! Plan ─ seed ─▶ Case ─ build ─▶ Setup ─ rounds of commits ─▶ every backend against the core ─▶ Report
//!                 ▲                                                   │ a difference
//!                 └──────────── smaller cases ◀─ shrink ◀─────────────┘──▶ case files
//! ```
//!
//! ```
//! use orchestrator_host::batch::{Backend, Scalar};
//! use orchestrator_host::verify::{Plan, run};
//!
//! let plan = Plan { cases: 3, ..Plan::default() };
//! let mut backends: [Box<dyn Backend>; 1] = [Box::new(Scalar)];
//! let report = run(&mut backends, plan.cases(), |_| ()).unwrap();
//! assert!(report.found.is_none());
//! assert_eq!(report.worlds, 3);
//! ```
//!
//! Invariants: a plan's cases depend on its numbers alone; a case written to files and read back is the same case.

mod case;
mod case_files;
mod compare;
mod shrink;
mod worlds;

pub use case::{Case, VerifyError};
pub use case_files::{CASE_FILES, CaseFileError, read_case, write_case};
pub use compare::{Deviation, Difference, OtherList};
pub use worlds::Plan;

use crate::batch::{Backend, BackendName, BackendOptions, Level, Scalar, Simd, Unavailable};
#[cfg(feature = "cuda")]
use crate::batch::{Cuda, Tiling, open_devices};
use compare::{BackendDigest, Run};

/// Threads of the backend with several: more than many machines have cores, so that parts end in any order.
const THREADS: usize = 3;

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Worlds that were compared.
    pub worlds: u64,
    /// Pools times jobs, each counted once per state of the pools that it was compared in.
    pub pairs: u64,
    /// Every backend, what it runs on, and one digest over all its answers.
    pub digests: Vec<(String, u64)>,
    /// The first difference; the run ended there.
    pub found: Option<Found>,
}

/// A difference, and the smallest case found that shows it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which world of the run, from 0.
    pub world: u64,
    /// The difference that the smallest case shows.
    pub difference: Difference,
    /// The smallest case.
    pub case: Case,
}

/// A backend in all the ways in which this machine runs it: every set of vector instructions on one thread, and the widest
/// on more, which share however small a world is; a device as it cuts jobs and pools by itself, and in the smallest pieces.
///
/// # Errors
/// Why it is not available.
pub fn backends_of(name: BackendName, options: &BackendOptions) -> Result<Vec<Box<dyn Backend>>, Unavailable> {
    match name {
        BackendName::Scalar => Ok(vec![Box::new(Scalar)]),
        BackendName::Simd => {
            let mut backends: Vec<Box<dyn Backend>> = Vec::new();
            for level in Level::available() {
                backends.push(Box::new(Simd::with_level(level, 1)?));
            }
            backends.push(Box::new(Simd::new(THREADS)?.sharing_everything()));
            Ok(backends)
        }
        BackendName::Cuda => devices(options),
    }
}

/// All devices as they cut by themselves, in shares of single jobs, and the first one in the smallest pieces.
#[cfg(feature = "cuda")]
fn devices(options: &BackendOptions) -> Result<Vec<Box<dyn Backend>>, Unavailable> {
    let smallest = Tiling { group_jobs_min: 1, part_pools_min: 1 };
    let in_pieces = Cuda::open(options.kernel_image.as_deref())?.with_tiling(smallest);
    Ok(vec![open_devices(options, 1)?, Box::new(in_pieces)])
}

#[cfg(not(feature = "cuda"))]
const fn devices(_: &BackendOptions) -> Result<Vec<Box<dyn Backend>>, Unavailable> {
    Err(Unavailable::NotBuilt { backend: BackendName::Cuda })
}

/// All backends of this machine, a device only where there is one.
///
/// # Errors
/// When threads cannot be started.
pub fn available_backends(options: &BackendOptions) -> Result<Vec<Box<dyn Backend>>, Unavailable> {
    let mut backends = backends_of(BackendName::Scalar, options)?;
    backends.extend(backends_of(BackendName::Simd, options)?);
    backends.extend(backends_of(BackendName::Cuda, options).unwrap_or_default());
    Ok(backends)
}

/// Compares the answers of `backends` on every case with the core's, until one differs. `on_world` sees the report grow.
///
/// # Errors
/// A case that makes no world.
pub fn run(
    backends: &mut [Box<dyn Backend>],
    cases: impl IntoIterator<Item = Case>,
    mut on_world: impl FnMut(&Report),
) -> Result<Report, VerifyError> {
    let mut digests: Vec<_> = backends.iter().map(|backend| BackendDigest::of(&**backend)).collect();
    let mut report = Report::default();
    for case in cases {
        let mut run = Run::new(case.build()?, backends, &mut digests);
        let compared = run.compare();
        report.pairs += run.pairs();
        if let Err(difference) = compared {
            let (case, difference) = shrink::shrink(case, *difference, backends);
            report.found = Some(Found { world: report.worlds, difference, case });
        }
        report.worlds += 1;
        on_world(&report);
        if report.found.is_some() {
            break;
        }
    }
    report.digests = digests.into_iter().map(BackendDigest::finish).collect();
    Ok(report)
}
