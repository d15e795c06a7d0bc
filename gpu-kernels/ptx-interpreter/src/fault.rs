//! What a launch can do wrong: which entry, which line of PTX, which thread, and what.

use std::fmt;

use thiserror::Error;

/// A launch that went wrong. Global memory keeps what was stored until then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("entry {entry}{at}: {kind}")]
pub struct Fault {
    /// The entry.
    pub entry: String,
    /// Where, unless the launch as a whole is refused.
    pub at: Place,
    /// What.
    pub kind: FaultKind,
}

/// Where a fault is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The line of the PTX text, counted from one.
    pub line: Option<u32>,
    /// The block in the grid.
    pub block: Option<[u32; 3]>,
    /// The thread in its block.
    pub thread: Option<[u32; 3]>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, ", PTX line {line}")?;
        }
        if let Some([x, y, z]) = self.block {
            write!(f, ", block ({x}, {y}, {z})")?;
        }
        if let Some([x, y, z]) = self.thread {
            write!(f, ", thread ({x}, {y}, {z})")?;
        }
        Ok(())
    }
}

/// A state space, as faults name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemorySpace {
    /// Global memory.
    Global,
    /// The shared memory of a block.
    Shared,
    /// The local memory of a thread.
    Local,
    /// Constant memory.
    Const,
    /// Parameters of entries and functions.
    Param,
}

impl fmt::Display for MemorySpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "global",
            Self::Shared => "shared",
            Self::Local => "local",
            Self::Const => "const",
            Self::Param => "param",
        })
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FaultKind {
    /// The module has no such entry.
    #[error("the module has no entry of this name")]
    UnknownEntry,
    /// A shape of grid or block that a device, or the entry, does not take.
    #[error("{what} of {asked} is over the limit of {limit}, or zero")]
    Geometry {
        /// Which size.
        what: &'static str,
        /// What the launch asks for.
        asked: u64,
        /// What there is at most; for `.reqntid`, exactly.
        limit: u64,
    },
    /// Parameters of another length than the entry's.
    #[error("{found} bytes of parameters, the entry takes {expected}")]
    Params {
        /// What the entry takes.
        expected: usize,
        /// What the launch gives.
        found: usize,
    },
    /// A register that nothing has set.
    #[error("register {0} is read and was never set")]
    UnsetRegister(String),
    /// A carry that no instruction has given.
    #[error("the carry is read and was never set")]
    UnsetCarry,
    /// Bytes that belong to no variable or allocation.
    #[error("{bytes} bytes of {space} memory at {address:#x} belong to nothing")]
    Stray {
        /// Where.
        space: MemorySpace,
        /// The address in that space.
        address: u64,
        /// How many bytes.
        bytes: usize,
    },
    /// An address that is no multiple of the access's size.
    #[error("{bytes} bytes of {space} memory at {address:#x} are not aligned")]
    Misaligned {
        /// Where.
        space: MemorySpace,
        /// The address in that space.
        address: u64,
        /// How many bytes.
        bytes: usize,
    },
    /// Bytes that nothing has written.
    #[error("{bytes} bytes of {space} memory at {address:#x} are read, not all were written")]
    Unwritten {
        /// Where.
        space: MemorySpace,
        /// The address in that space.
        address: u64,
        /// How many bytes.
        bytes: usize,
    },
    /// A store to memory that is only read.
    #[error("a store to {0} memory, which is only read")]
    ReadOnly(MemorySpace),
    /// A load through `.nc` of bytes that this launch has stored.
    #[error("{bytes} bytes of global memory at {address:#x} are read through .nc, and this launch has written them")]
    NonCoherent {
        /// The address.
        address: u64,
        /// How many bytes.
        bytes: usize,
    },
    /// Two threads use bytes of shared memory with no barrier in between, and at least one stores.
    #[error("{bytes} bytes of shared memory at {address:#x}: a race with thread {other} of the block")]
    Race {
        /// The address in shared memory.
        address: u64,
        /// How many bytes.
        bytes: usize,
        /// The other thread, counted through the block.
        other: u32,
    },
    /// A division by zero, whose result the ISA leaves open.
    #[error("a division by zero")]
    DivisionByZero,
    /// An index past the table of a `brx.idx`.
    #[error("the index {index} is past the {targets} targets")]
    BranchIndex {
        /// The index.
        index: u32,
        /// The length of the table.
        targets: usize,
    },
    /// A call through a pointer to no function, or to one with other parameters.
    #[error("a call of {0:#x}, where no function of these parameters is")]
    CallTarget(u64),
    /// Calls inside each other that no device has a stack for.
    #[error("{0} calls inside each other")]
    CallDepth(usize),
    /// `trap`: a check of the kernel itself failed.
    #[error("trap")]
    Trap,
    /// A thread that executed more instructions than the budget.
    #[error("more than {0} instructions in one thread: an endless loop?")]
    Budget(u64),
    /// Threads of a warp wait at different instructions of an aligned barrier.
    #[error("an aligned barrier, and thread {other} of the same warp waits at line {other_line}")]
    DivergentBarrier {
        /// Another thread, counted through the block.
        other: u32,
        /// Where that one waits.
        other_line: u32,
    },
    /// A barrier's number or thread count that makes no sense, or differs between its threads.
    #[error("barrier {id} with {count} threads")]
    BarrierCount {
        /// The barrier.
        id: u32,
        /// The thread count.
        count: u32,
    },
    /// Nobody can go on.
    #[error("{waiting} threads of the block wait and none can go on")]
    Deadlock {
        /// How many wait.
        waiting: usize,
    },
    /// An instruction of a warp whose member mask leaves its own lane out.
    #[error("lane {lane} is not in its own member mask {members:#010x}")]
    NotAMember {
        /// The lane.
        lane: u32,
        /// The mask.
        members: u32,
    },
    /// A shuffle from a lane that takes no part: outside of the mask, exited, or not in the block.
    #[error("lane {lane} reads lane {from}, which takes no part (member mask {members:#010x})")]
    ForeignLane {
        /// The reader.
        lane: u32,
        /// The lane read.
        from: u32,
        /// The mask.
        members: u32,
    },
}
