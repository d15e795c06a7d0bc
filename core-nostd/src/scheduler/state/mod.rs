//! The state as bytes: an agent that restarts goes on where it was.
//!
//! ```text
//!   Scheduler ── export_state ──▶ Sink ─ ─ ─ ─ bytes ─ ─ ─ ─▶ import_state ──▶ a new Scheduler, with snapshots of its pools
//!                                 (checksum at the end)            │
//!                                                                  └─▶ events and actions: pools that are gone, …
//! ```
//!
//! What is taken along: waiting jobs in their order, leases, sessions with their budgets, what was measured. What is not:
//! pools, because their engines know better; policies and prices, because they are configuration. Bytes:
//! `docs/state.md`. Rules: STATE-1 to STATE-6.
//!
//! ```
//! use orchestrator_core::codec::Writer;
//! use orchestrator_core::scheduler::{Answer, Input, Scheduler, SchedulerBuffers, SchedulerPolicy};
//! use orchestrator_core::{JobSpec, Policy, PoolSnapshot, SmallFleet};
//!
//! let pool = PoolSnapshot::new("gpu-0", "vllm", 1, 1, 80 << 30, 60 << 30);
//! let mut buffers: SchedulerBuffers<_, 2, 4, 256, 4, 2> = SchedulerBuffers::new();
//! let fleet: SmallFleet<2, 4, 16> = SmallFleet::new();
//! let mut before = Scheduler::new(fleet, buffers.storage(), Policy::default(), SchedulerPolicy::default());
//! before.drive(&Input::Snapshot(&pool), 0, &mut (), |_| ());
//! for id in ["runs", "waits"] {
//!     before.drive(&Input::Submit(&JobSpec::new(id, "vllm", "some/model")), 10, &mut (), |_| ());
//! }
//! let mut bytes = [0; 1024];
//! let mut sink = Writer::new(&mut bytes);
//! before.export_state(&mut sink).expect("small enough");
//!
//! // The agent restarts. The pool says what it has free now.
//! let busy = PoolSnapshot { slots_free: 0, ..pool };
//! let mut buffers: SchedulerBuffers<_, 2, 4, 256, 4, 2> = SchedulerBuffers::new();
//! let fleet: SmallFleet<2, 4, 16> = SmallFleet::new();
//! let mut after = Scheduler::new(fleet, buffers.storage(), Policy::default(), SchedulerPolicy::default());
//! after.drive(&Input::Snapshot(&busy), 5_000, &mut (), |_| ());
//! let imported = after.import_state(sink.written(), 5_000, &mut (), |_| ())?;
//! assert_eq!((imported.waiting_jobs, imported.leases), (1, 1));
//!
//! let mut dispatched = 0;
//! let finished = Input::Finished { job_id: "runs", tokens_out: 7 };
//! assert_eq!(after.drive(&finished, 6_000, &mut (), |_| dispatched += 1), Answer::Done);
//! assert_eq!(dispatched, 1); // "waits" has its turn
//! # Ok::<(), orchestrator_core::scheduler::StateError>(())
//! ```
//!
//! Invariants: an import takes all or nothing; what was imported has exactly one end, as if nothing had happened.

mod error;
mod export;
mod import;
mod records;
mod times;

pub use error::{ExportError, StateError, StateTable};
pub(super) use records::{AccountRecord, OrderRecord, PlaceRecord};

/// The first bytes of every state.
pub const STATE_MAGIC: [u8; 8] = *b"orch-sta";

/// The version of the form of states, `docs/state.md`.
pub const STATE_FORMAT: u32 = 3;

/// What an import took in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Imported {
    /// Jobs that wait.
    pub waiting_jobs: u32,
    /// Jobs that run on pools that are there.
    pub leases: u32,
    /// Jobs whose pools are not there: they ended. STATE-4.
    pub lost_leases: u32,
    /// Sessions.
    pub sessions: u32,
    /// Whether the state was made under the placement policy in force.
    pub same_placement_policy: bool,
    /// Whether it was made under the scheduler policy in force. STATE-5.
    pub same_scheduler_policy: bool,
}
