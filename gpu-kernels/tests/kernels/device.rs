//! Something that runs kernels: the bodies themselves, or the image.

use orchestrator_kernels::Contract;
use orchestrator_kernels::records::{Found, PoolChange, PoolCold, PoolHot, ViewChange, ViewCold, ViewHot};

use crate::world::Tables;

/// An answer that no kernel gives: what it did not write stands out.
pub(crate) const UNWRITTEN: Found = Found { keys_len: 77, feasible: 77, ..Found::NONE };

pub(crate) trait Device {
    /// Runs a scan of some blocks; `UNWRITTEN` where no block wrote.
    fn scan(&mut self, kernel: &str, blocks: u32, tables: &Tables) -> Vec<Found>;
    fn merge_parts(&mut self, parts_found: &[Found], jobs: u32, parts: u32) -> Vec<Found>;
    fn patch_pools(&mut self, changes: &[PoolChange], hot: &mut [PoolHot], cold: &mut [PoolCold]);
    fn patch_views(&mut self, changes: &[ViewChange], hot: &mut [ViewHot], cold: &mut [ViewCold]);
    fn report(&mut self) -> Contract;
}
