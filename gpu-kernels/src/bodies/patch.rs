//! Tables brought up to date: each change goes to its place.
//!
//! Of two changes of one place either may stay, in part: a host sends one.

use crate::block::{Block, Output, place};
use crate::records::{PoolChange, PoolCold, PoolHot, ViewChange, ViewCold, ViewHot};

/// The kernel `patch_pools`.
#[inline(always)] // Into its kernel.
pub fn patch_pools<B: Block>(
    block: &mut B,
    changes: &[PoolChange],
    hot: &mut (impl Output<PoolHot> + ?Sized),
    cold: &mut (impl Output<PoolCold> + ?Sized),
) {
    each_change(block, changes, |change| {
        hot.put(change.index, change.hot);
        cold.put(change.index, change.cold);
    });
}

/// The kernel `patch_views`.
#[inline(always)] // Into its kernel.
pub fn patch_views<B: Block>(
    block: &mut B,
    changes: &[ViewChange],
    hot: &mut (impl Output<ViewHot> + ?Sized),
    cold: &mut (impl Output<ViewCold> + ?Sized),
) {
    each_change(block, changes, |change| {
        hot.put(change.index, change.hot);
        cold.put(change.index, change.cold);
    });
}

#[inline(always)]
fn each_change<B: Block, T>(block: &mut B, changes: &[T], mut apply: impl FnMut(&T)) {
    let block_index = block.index();
    let mut threads = block.all(());
    block.each(&mut threads, |thread, ()| {
        let change = usize::try_from(place(block_index, thread)).ok().and_then(|index| changes.get(index));
        if let Some(change) = change {
            apply(change);
        }
    });
}
