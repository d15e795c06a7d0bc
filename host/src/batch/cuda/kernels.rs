//! The kernels of an image, and how they are launched.
//!
//! The unsafe part of this backend: a launch hands addresses and lengths to code that the compiler does not see. The
//! contract says that a kernel reads and writes nothing outside the lengths that it is given; the lengths given here are
//! checked against the memory behind the addresses.

use std::sync::Arc;

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaFunction, CudaModule, CudaStream, DriverError, LaunchConfig, PushKernelArg};
use orchestrator_kernels::Contract;
use orchestrator_kernels::launch::{Ends, JOBS_PER_BLOCK, MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS, REPORT, THREADS};
use orchestrator_kernels::records::{
    Found, JobLanes, PoolChange, PoolCold, PoolHot, Segment, ViewChange, ViewCold, ViewHot,
};

use super::buffer::DeviceVec;
use super::fault::{Doing, Fault, text_of};
use super::image::Image;
use crate::batch::unavailable::Unavailable;

/// The kernels by what they do; those that scan by the place of their arithmetic in [`Ends::ALL`].
#[derive(Debug)]
pub(super) struct Kernels {
    report: CudaFunction,
    scan_jobs: [CudaFunction; 4],
    scan_pools: [CudaFunction; 4],
    merge_parts: CudaFunction,
    patch_pools: CudaFunction,
    patch_views: CudaFunction,
}

/// Which pools against which jobs.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) pool_hot: &'a DeviceVec<PoolHot>,
    pub(super) pool_cold: &'a DeviceVec<PoolCold>,
    pub(super) pools: u32,
    pub(super) view_hot: &'a DeviceVec<ViewHot>,
    pub(super) view_cold: &'a DeviceVec<ViewCold>,
    pub(super) views: u32,
    pub(super) stride: u32,
    pub(super) jobs: &'a DeviceVec<JobLanes>,
    pub(super) jobs_len: u32,
    pub(super) segments: &'a DeviceVec<Segment>,
    pub(super) segments_len: u32,
    pub(super) parts: u32,
    pub(super) pools_per_part: u32,
    pub(super) quantum_shift: u32,
    pub(super) spreads: bool,
    /// What each part found for each job.
    pub(super) found: &'a DeviceVec<Found>,
}

/// Which of the two kinds of kernels scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tiled {
    /// Groups of jobs of one view over all pools.
    Jobs,
    /// Every job over its segments.
    Pools,
}

impl Kernels {
    /// Finds all kernels in an image.
    pub(super) fn find(module: &Arc<CudaModule>, image: &Image) -> Result<Self, Unavailable> {
        let find = |name: &str| {
            module.load_function(name).map_err(|DriverError(status)| match status {
                CUresult::CUDA_ERROR_NOT_FOUND => {
                    Unavailable::KernelMissing { image: image.origin.clone(), kernel: name.to_owned() }
                }
                _ => Unavailable::DeviceFailed { doing: "finding the kernels", status: text_of(status) },
            })
        };
        let [plain, saturating, waiting, fixed] = Ends::ALL;
        let each = |name: fn(Ends) -> &'static str| {
            Ok::<_, Unavailable>([
                find(name(plain))?,
                find(name(saturating))?,
                find(name(waiting))?,
                find(name(fixed))?,
            ])
        };
        Ok(Self {
            report: find(REPORT)?,
            scan_jobs: each(Ends::scan_jobs)?,
            scan_pools: each(Ends::scan_pools)?,
            merge_parts: find(MERGE_PARTS)?,
            patch_pools: find(PATCH_POOLS)?,
            patch_views: find(PATCH_VIEWS)?,
        })
    }

    /// Has the image write its contract.
    pub(super) fn report(&self, stream: &CudaStream, contract: &DeviceVec<Contract>) -> Result<(), Fault> {
        assert!(contract.capacity() >= 1);
        let mut launch = stream.launch_builder(&self.report);
        launch.arg(contract.memory());
        // SAFETY: the argument is that of `report`, and there is room for the one record that it writes.
        unsafe { launch.launch(blocks(1)) }.doing("launching report")?;
        Ok(())
    }

    /// Scans pools for jobs.
    pub(super) fn scan(&self, stream: &CudaStream, tiled: Tiled, ends: Ends, scan: &Scan<'_>) -> Result<(), Fault> {
        scan.check(tiled);
        let (kernels, groups) = match tiled {
            Tiled::Jobs => (&self.scan_jobs, scan.jobs_len / JOBS_PER_BLOCK),
            Tiled::Pools => (&self.scan_pools, scan.jobs_len),
        };
        let spreads = u32::from(scan.spreads);
        let mut launch = stream.launch_builder(&kernels[place_of(ends)]);
        launch.arg(scan.pool_hot.memory()).arg(scan.pool_cold.memory()).arg(&scan.pools);
        launch.arg(scan.view_hot.memory()).arg(scan.view_cold.memory()).arg(&scan.views).arg(&scan.stride);
        launch.arg(scan.jobs.memory()).arg(&scan.jobs_len);
        launch.arg(scan.segments.memory()).arg(&scan.segments_len);
        launch.arg(&scan.parts).arg(&scan.pools_per_part).arg(&scan.quantum_shift).arg(&spreads);
        launch.arg(scan.found.memory());
        // SAFETY: the arguments are the scan arguments in their order, and `Scan::check` has compared every length with
        // the room behind its address; what is written lies in `found`, which nothing else uses on this stream now.
        unsafe { launch.launch(blocks(groups * scan.parts)) }.doing("launching a scan")?;
        Ok(())
    }

    /// Joins what the parts found for each job.
    pub(super) fn merge_parts(
        &self,
        stream: &CudaStream,
        parts_found: &DeviceVec<Found>,
        (jobs, parts): (u32, u32),
        found: &DeviceVec<Found>,
    ) -> Result<(), Fault> {
        assert!(parts_found.capacity() >= jobs as usize * parts as usize && found.capacity() >= jobs as usize);
        let mut launch = stream.launch_builder(&self.merge_parts);
        launch.arg(parts_found.memory()).arg(&jobs).arg(&parts).arg(found.memory());
        // SAFETY: the arguments are those of `merge_parts`, and the lengths were checked above.
        unsafe { launch.launch(a_thread_each(jobs)) }.doing("launching merge_parts")?;
        Ok(())
    }

    /// Brings pools up to date.
    pub(super) fn patch_pools(
        &self,
        stream: &CudaStream,
        (changes, changes_len): (&DeviceVec<PoolChange>, u32),
        (hot, cold, pools): (&DeviceVec<PoolHot>, &DeviceVec<PoolCold>, u32),
    ) -> Result<(), Fault> {
        let records = pools as usize;
        assert!(changes.capacity() >= changes_len as usize && hot.capacity() >= records && cold.capacity() >= records);
        let mut launch = stream.launch_builder(&self.patch_pools);
        launch.arg(changes.memory()).arg(&changes_len).arg(hot.memory()).arg(cold.memory()).arg(&pools);
        // SAFETY: the arguments are those of `patch_pools`, and the lengths were checked above.
        unsafe { launch.launch(a_thread_each(changes_len)) }.doing("launching patch_pools")?;
        Ok(())
    }

    /// Brings views up to date.
    pub(super) fn patch_views(
        &self,
        stream: &CudaStream,
        (changes, changes_len): (&DeviceVec<ViewChange>, u32),
        (hot, cold): (&DeviceVec<ViewHot>, &DeviceVec<ViewCold>),
    ) -> Result<(), Fault> {
        assert!(changes.capacity() >= changes_len as usize);
        let records = hot.capacity().min(cold.capacity()) as u64;
        let mut launch = stream.launch_builder(&self.patch_views);
        launch.arg(changes.memory()).arg(&changes_len).arg(hot.memory()).arg(cold.memory()).arg(&records);
        // SAFETY: the arguments are those of `patch_views`, and the lengths were checked above.
        unsafe { launch.launch(a_thread_each(changes_len)) }.doing("launching patch_views")?;
        Ok(())
    }
}

impl Scan<'_> {
    /// That there is room for every length: a mistake in it would be a mistake of this module's callers.
    fn check(&self, tiled: Tiled) {
        let (pools, jobs) = (self.pools as usize, self.jobs_len as usize);
        assert!(self.pool_hot.capacity() >= pools && self.pool_cold.capacity() >= pools && self.stride >= self.pools);
        let view_records = self.views as usize * self.stride as usize;
        assert!(self.view_hot.capacity() >= view_records && self.view_cold.capacity() >= view_records);
        assert!(self.jobs.capacity() >= jobs && self.segments.capacity() >= self.segments_len as usize);
        assert!(self.found.capacity() >= jobs * self.parts as usize);
        assert!(tiled == Tiled::Pools || self.jobs_len.is_multiple_of(JOBS_PER_BLOCK));
    }
}

const fn place_of(ends: Ends) -> usize {
    match ends {
        Ends::Plain => 0,
        Ends::Saturating => 1,
        Ends::Waiting => 2,
        Ends::Static => 3,
    }
}

const fn a_thread_each(records: u32) -> LaunchConfig {
    blocks(records.div_ceil(THREADS))
}

const fn blocks(blocks: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 }
}
