//! Many jobs against many pools: backends that find every job's best pools, and the layers that make decisions of them.
//!
//! ```text
//! jobs ─ dedup ─▶ Backend::shortlists ─▶ cross-check ─▶ Shortlist per job ─▶ independent │ sequential ─▶ decisions
//!                   scalar │ simd │ cuda
//! ```
//! A [`Backend`] never returns what each pool is to each job: per job the best few keys and the number of feasible pools
//! ([`Shortlist`]). [`Scalar`] is the core's own function, and the oracle of all others. `docs/batch.md` has the whole
//! picture.
//!
//! [`Shortlist`]: orchestrator_core::Shortlist
//!
//! ```
//! use orchestrator_core::{JobSpec, Policy, PoolSnapshot, Shortlist};
//! use orchestrator_host::batch::{Backend, Scalar, World};
//! use orchestrator_host::fleet::FleetBuilder;
//!
//! let mut builder = FleetBuilder::default();
//! for (line, id) in (1..).zip(["a", "b", "c"]) {
//!     builder.add(line, &PoolSnapshot::new(id, "vllm", 8, 8, 1 << 36, 1 << 36).validate().unwrap()).unwrap();
//! }
//! let (fleet, policy) = (builder.finish().fleet, Policy::default());
//! let job = JobSpec::new("job", "vllm", "some/model").validate(&policy, None).unwrap().resolve(&fleet);
//!
//! let mut lists = [Shortlist::new(2)];
//! Scalar.shortlists(&World { table: fleet.table(), policy: &policy }, &[job.query(None)], &mut lists).unwrap();
//! assert_eq!(lists[0].feasible(), 3);
//! assert_eq!(lists[0].keys().iter().map(|key| key.rank()).collect::<Vec<_>>(), [0, 1]);
//! ```

mod auto;
mod backend;
mod changes;
mod choice;
mod classes;
mod cross_check;
#[cfg(feature = "cuda")]
mod cuda;
mod ends;
#[cfg(test)]
mod fake;
mod headline;
mod kinds;
mod scalar;
mod segments;
#[cfg(feature = "cuda")]
mod several;
mod simd;
mod sorted;
mod unavailable;
mod warm;
pub(crate) mod words;

pub use backend::{Backend, BackendError, BackendName, DeviceFault, World};
#[cfg(feature = "cuda")]
pub(crate) use choice::open_devices;
pub use choice::{BackendChoice, BackendOptions, check_kernel_image, open};
pub use cross_check::{CrossCheck, Divergence, Guarded, Incident, UnknownCrossCheck};
#[cfg(feature = "cuda")]
pub use cuda::{Cuda, Tiling, Times};
pub use headline::Headlines;
pub use scalar::Scalar;
pub use simd::{Level, Simd};
pub use unavailable::Unavailable;
