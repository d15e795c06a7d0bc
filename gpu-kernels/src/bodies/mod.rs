//! The bodies of the kernels: safe code over any [`Block`](crate::block::Block).
//!
//! Every word of a key comes from `orchestrator_core::rule::lane`. What is of this crate alone is only which pairs are
//! looked at closely ([`bound`]) and which two keys a thread keeps ([`leaders`]).

pub(crate) mod bound;
mod join;
mod leaders;
mod pair;
mod patch;
mod pool;
mod report;
mod scan_jobs;
mod scan_pools;

pub use bound::{Arithmetic, Plain, Saturating, Static, Waiting};
pub use join::merge_parts;
pub use patch::{patch_pools, patch_views};
pub use report::report;
pub use scan_jobs::{LINE_CHUNKS, scan_jobs};
pub use scan_pools::{LEADERS_CHUNKS, scan_pools};
