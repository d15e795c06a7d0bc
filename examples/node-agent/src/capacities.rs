//! How much the agent has room for: what docs/firmware.md says how to choose.

use orchestrator_core::scheduler::{Scheduler, SchedulerBuffers};
use orchestrator_core::{PoolRegistry, SmallFleet};

/// Bytes of an id and its length: those of the wire are a letter and up to five digits.
pub const ID_BYTES: usize = crate::names::ID_BYTES_MAX + 1;
/// Bytes of a request that waits: two for its length, and 36 of the longest one.
pub const JOB_BYTES: usize = 38;
/// Pools are engines with one model on one device each: they publish no lists, and the device's memory as their own.
const LISTS: usize = 0;
/// The engine and the model.
const NAMES: usize = 2;
/// Pools are alike but for what changes with each snapshot.
const CLASSES: usize = 1;
/// Bytes of a name.
const NAME_BYTES: usize = 4;

/// Pools, jobs that wait, leases and sessions.
#[cfg(not(small))]
mod sizes {
    pub const POOLS: usize = 64;
    pub const QUEUED: usize = 128;
    pub const LEASES: usize = 128;
    pub const SESSIONS: usize = 64;
    /// What a run of the script comes to.
    pub const RUN_DIGEST: u64 = 0x7990_9e83_5d6d_21c5;
}

/// For a small microcontroller.
#[cfg(small)]
mod sizes {
    pub const POOLS: usize = 8;
    pub const QUEUED: usize = 16;
    pub const LEASES: usize = 16;
    pub const SESSIONS: usize = 8;
    /// What a run of the script comes to.
    pub const RUN_DIGEST: u64 = 0x6cf5_70c4_c50c_a50e;
}

pub use sizes::*;

/// The pools: none has replicas.
pub type Fleet = SmallFleet<POOLS, LISTS, NAMES, LISTS, { crate::names::ID_BYTES_MAX }, NAME_BYTES, CLASSES, LISTS, 0>;
/// What a job takes from a pool.
pub type Lease = <Fleet as PoolRegistry>::Lease;
/// All else that the scheduler keeps.
pub type Buffers = SchedulerBuffers<Lease, POOLS, QUEUED, JOB_BYTES, LEASES, SESSIONS, ID_BYTES>;
/// The scheduler: its tables stay where they are.
pub type NodeScheduler<'a> = Scheduler<'a, &'a mut Fleet>;
