//! What a host and a kernel image must agree on, bit for bit.
//!
//! The kernel `report` writes the contract that an image was built for; a host compares it with its own and refuses an
//! image that differs.

use core::mem::size_of;

use bytemuck::{Pod, Zeroable};
use orchestrator_core::SEMANTICS_VERSION;

use crate::launch::{JOBS_PER_THREAD, THREADS};
use crate::records::{Found, JobLanes, PoolChange, PoolCold, PoolHot, Segment, ViewChange, ViewCold, ViewHot};

/// The rules and the layout that kernels were built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Contract {
    /// [`Contract::MAGIC`].
    pub magic: u32,
    /// The version of the kernels' names, arguments and meanings.
    pub contract_version: u32,
    /// The version of the rules.
    pub semantics_version: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Jobs that a thread of the job-tiled kernels keeps.
    pub jobs_per_thread: u32,
    /// Bytes of the records, in the order of the module.
    pub record_bytes: [u32; 9],
}

impl Contract {
    /// The first word of every contract.
    pub const MAGIC: u32 = 0x6f72_6368;

    /// The contract of this build.
    pub const CURRENT: Self = Self {
        magic: Self::MAGIC,
        contract_version: 1,
        semantics_version: SEMANTICS_VERSION,
        threads: THREADS,
        jobs_per_thread: JOBS_PER_THREAD,
        record_bytes: [
            bytes_of::<PoolHot>(),
            bytes_of::<PoolCold>(),
            bytes_of::<ViewHot>(),
            bytes_of::<ViewCold>(),
            bytes_of::<JobLanes>(),
            bytes_of::<Segment>(),
            bytes_of::<Found>(),
            bytes_of::<PoolChange>(),
            bytes_of::<ViewChange>(),
        ],
    };
}

/// Records have some dozens of bytes.
#[allow(clippy::cast_possible_truncation, reason = "see above")]
const fn bytes_of<T>() -> u32 {
    size_of::<T>() as u32
}
