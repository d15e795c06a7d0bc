//! The entries. Their names and arguments are those of `orchestrator_kernels::launch`.

use orchestrator_kernels::bodies::{self, Plain, Saturating, Static, Waiting};
use orchestrator_kernels::records::{
    Found, JobLanes, PoolChange, PoolCold, PoolHot, Segment, ViewChange, ViewCold, ViewHot,
};
use orchestrator_kernels::{Contract, Scan};

use crate::block::{DeviceBlock, SharedTile};
use crate::memory::{Records, table};

/// # Safety
/// `contract` takes one record.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn report(contract: *mut Contract) {
    // SAFETY: a launch's promises.
    let (mut block, mut contract) = unsafe { (DeviceBlock::new(), Records::new(contract, 1)) };
    bodies::report(&mut block, &mut contract);
}

/// A scan for one arithmetic.
macro_rules! scan {
    ($name:ident, $body:ident, $ends:ty) => {
        /// # Safety
        /// Each table has its length, and `found` one record for each job and part.
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(
            pool_hot: *const PoolHot,
            pool_cold: *const PoolCold,
            pools: u32,
            view_hot: *const ViewHot,
            view_cold: *const ViewCold,
            views: u32,
            stride: u32,
            jobs: *const JobLanes,
            jobs_len: u32,
            segments: *const Segment,
            segments_len: u32,
            parts: u32,
            pools_per_part: u32,
            quantum_shift: u32,
            spreads: u32,
            found: *mut Found,
        ) {
            let seen = views as usize * stride as usize;
            // SAFETY: a launch's promises.
            let scan = unsafe {
                Scan {
                    pool_hot: table(pool_hot, pools as usize),
                    pool_cold: table(pool_cold, pools as usize),
                    view_hot: table(view_hot, seen),
                    view_cold: table(view_cold, seen),
                    views,
                    stride,
                    jobs: table(jobs, jobs_len as usize),
                    segments: table(segments, segments_len as usize),
                    parts,
                    pools_per_part,
                    quantum_shift,
                    spreads: spreads != 0,
                }
            };
            // SAFETY: a launch's promises; once in the kernel.
            let (mut block, mut tile, mut found) = unsafe {
                let answers = jobs_len as u64 * parts as u64;
                (DeviceBlock::new(), SharedTile::new(), Records::new(found, answers))
            };
            bodies::$body::<$ends, _>(&mut block, &mut tile, &scan, &mut found);
        }
    };
}

scan!(scan_jobs_plain, scan_jobs, Plain);
scan!(scan_jobs_saturating, scan_jobs, Saturating);
scan!(scan_jobs_waiting, scan_jobs, Waiting);
scan!(scan_jobs_static, scan_jobs, Static);
scan!(scan_pools_plain, scan_pools, Plain);
scan!(scan_pools_saturating, scan_pools, Saturating);
scan!(scan_pools_waiting, scan_pools, Waiting);
scan!(scan_pools_static, scan_pools, Static);

/// # Safety
/// Each table has its length.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn merge_parts(parts_found: *const Found, jobs: u32, parts: u32, found: *mut Found) {
    // SAFETY: a launch's promises.
    let (mut block, parts_found, mut found) = unsafe {
        let parts_found = table(parts_found, jobs as usize * parts as usize);
        (DeviceBlock::new(), parts_found, Records::new(found, jobs.into()))
    };
    bodies::merge_parts(&mut block, parts_found, jobs, parts, &mut found);
}

/// # Safety
/// Each table has its length.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn patch_pools(
    changes: *const PoolChange,
    changes_len: u32,
    hot: *mut PoolHot,
    cold: *mut PoolCold,
    pools: u32,
) {
    // SAFETY: a launch's promises.
    let (mut block, changes, mut hot, mut cold) = unsafe {
        let changes = table(changes, changes_len as usize);
        (DeviceBlock::new(), changes, Records::new(hot, pools.into()), Records::new(cold, pools.into()))
    };
    bodies::patch_pools(&mut block, changes, &mut hot, &mut cold);
}

/// # Safety
/// Each table has its length.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn patch_views(
    changes: *const ViewChange,
    changes_len: u32,
    hot: *mut ViewHot,
    cold: *mut ViewCold,
    records: u64,
) {
    // SAFETY: a launch's promises.
    let (mut block, changes, mut hot, mut cold) = unsafe {
        let changes = table(changes, changes_len as usize);
        (DeviceBlock::new(), changes, Records::new(hot, records), Records::new(cold, records))
    };
    bodies::patch_views(&mut block, changes, &mut hot, &mut cold);
}
