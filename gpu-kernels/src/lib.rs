//! The contract between a host and the kernels: which rules, which layout.
//!
//! The kernels score pools against jobs with the rule functions of `orchestrator_core::rule` over the rows of
//! `orchestrator_core::rows`. An image of them is of use to a host only when both were built for the same rules and the
//! same layout; [`Contract`] says which. The kernels themselves are not part of this crate yet.
//!
//! ```
//! use orchestrator_kernels::Contract;
//!
//! let other = Contract { semantics_version: Contract::CURRENT.semantics_version + 1, ..Contract::CURRENT };
//! assert_ne!(other, Contract::CURRENT);
//! ```

#![no_std]
#![forbid(unsafe_code)]

use core::mem::size_of;

use orchestrator_core::SEMANTICS_VERSION;
use orchestrator_core::rows::{JobRow, PoolClass, PoolRow};
use orchestrator_core::rule::key::Key;

/// What a host and a kernel image must agree on, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contract {
    /// The version of the rules.
    pub semantics_version: u32,
    /// Bytes of a pool's row.
    pub pool_row_bytes: usize,
    /// Bytes of a class of pools.
    pub pool_class_bytes: usize,
    /// Bytes of a job's row.
    pub job_row_bytes: usize,
    /// Bytes of a key.
    pub key_bytes: usize,
}

impl Contract {
    /// The contract of this build.
    pub const CURRENT: Self = Self {
        semantics_version: SEMANTICS_VERSION,
        pool_row_bytes: size_of::<PoolRow>(),
        pool_class_bytes: size_of::<PoolClass>(),
        job_row_bytes: size_of::<JobRow>(),
        key_bytes: size_of::<Key>(),
    };
}
