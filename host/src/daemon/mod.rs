//! A scheduler as a process runs it: storage at run-time sizes, watchers, a recording, and its replay.
//!
//! ```text
//!            ┌─────────────────────── Driver ────────────────────────┐
//!  Input ──▶ │ FlightRecorder ─▶ Scheduler<LiveFleet> ─▶ Answer, … ──┼──▶ what is to be said
//!  time ───▶ │ (RecordingFile)       │  over HostStorage   Actions   │
//!            │                       └▶ Tally, RunDigest, observers  │
//!            └───────────────────────────────────────────────────────┘
//!  recording ─▶ Replay ─▶ a new Driver over an ExplainingFleet ─▶ equal, or the first difference
//! ```
//!
//! ```
//! use orchestrator_core::scheduler::{Action, Answer, Input};
//! use orchestrator_core::{JobSpec, PoolSnapshot};
//! use orchestrator_host::daemon::{Driver, HostStorage, Said, Sizes};
//! use orchestrator_host::fleet::LiveFleet;
//! use orchestrator_host::input::Policies;
//!
//! let (sizes, policies) = (Sizes::default(), Policies::default());
//! let mut storage = HostStorage::new(&sizes, &policies.prices)?;
//! let fleet = LiveFleet::with_capacity(sizes.pools);
//! let mut driver = Driver::new(fleet, storage.storage(), &policies, None, ());
//!
//! let pool = PoolSnapshot::new("gpu-0", "vllm", 1, 1, 80 << 30, 60 << 30);
//! driver.drive(&Input::Snapshot(&pool), 0, &mut |_| ());
//! let (job, mut dispatched) = (JobSpec::new("job-1", "vllm", "some/model"), false);
//! let answer = driver.drive(&Input::Submit(&job), 10, &mut |said| {
//!     dispatched |= matches!(said, Said::Action { action: Action::Dispatch { .. }, .. });
//! });
//! assert!(matches!(answer, Answer::Accepted(_)) && dispatched);
//! # Ok::<(), orchestrator_host::daemon::StorageError>(())
//! ```
//!
//! Invariants: the same inputs at the same times give the same outcomes, digest and recording, whoever watches; timers
//! fire at their own time, before a later input ([`Driver::tick_until`]); nothing here reads a clock.

mod digest;
mod driver;
mod explaining;
mod recording_file;
mod replay;
mod setup;
mod storage;
mod tally;

pub use digest::RunDigest;
pub use driver::{Driver, OUTCOME_BYTES, Said, next_timer_us};
pub use explaining::{ExplainedDecision, ExplainingFleet};
pub use recording_file::RecordingFile;
pub use replay::{Difference, REPLAY_STORAGE_BYTES_MAX, Replay, ReplayEnd, ReplayError, Replayed};
pub use storage::{HostStorage, Sizes, StorageError};
pub use tally::Tally;
