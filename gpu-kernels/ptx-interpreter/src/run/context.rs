//! What the threads of a block have in common.

use super::statistics::Tally;
use crate::memory::global::Memory;
use crate::memory::region::Region;
use crate::memory::shared::Shared;
use crate::program::Program;

/// What a thread needs besides its own state.
pub(super) struct Context<'a> {
    pub(super) program: &'a Program,
    pub(super) memory: &'a mut Memory,
    pub(super) constants: &'a Region,
    /// Where the module's variables in global memory lie.
    pub(super) statics: u64,
    pub(super) tally: Tally,
    pub(super) shared: Shared,
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 3],
    pub(super) block_index: [u32; 3],
    pub(super) dynamic_shared_bytes: u32,
    /// Instructions that one thread may execute.
    pub(super) budget: u64,
}
