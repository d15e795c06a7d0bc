//! The kernels of an image, and how they are launched.
//!
//! The unsafe part of this backend: a launch hands addresses and lengths to code that the compiler does not see. The
//! contract says that a kernel reads and writes nothing outside the lengths that it is given; the lengths given here are
//! checked against the memory behind the addresses.

use std::ffi::CString;
use std::sync::Arc;

use cudarc::driver::sys::CUresult;
use orchestrator_kernels::Contract;
use orchestrator_kernels::launch::{Ends, JOBS_PER_BLOCK, MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS, REPORT, THREADS};
use orchestrator_kernels::records::{
    Found, JobLanes, PoolChange, PoolCold, PoolHot, Segment, ViewChange, ViewCold, ViewHot,
};

use super::buffer::DeviceVec;
use super::driver::{Arguments, Function, Module, Status, Stream};
use super::fault::{Doing, Fault};
use super::image::Image;
use crate::batch::unavailable::Unavailable;

/// The kernels by what they do; those that scan by the place of their arithmetic in [`Ends::ALL`].
#[derive(Debug)]
pub(super) struct Kernels {
    report: Function,
    scan_jobs: [Function; 4],
    scan_pools: [Function; 4],
    merge_parts: Function,
    patch_pools: Function,
    patch_views: Function,
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
    pub(super) fn find(module: &Arc<Module>, image: &Image) -> Result<Self, Unavailable> {
        let find = |name: &str| find(module, image, name);
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
    pub(super) fn report(&self, stream: &Stream, contract: &DeviceVec<Contract>) -> Result<(), Fault> {
        let doing = "launching report";
        has_room(contract.capacity() >= 1, doing)?;
        let arguments = Arguments::default().with(contract.address());
        // SAFETY: the argument is that of `report`, and there is room for the one record that it writes.
        unsafe { stream.launch(&self.report, (1, THREADS), arguments) }.doing(doing)
    }

    /// Scans pools for jobs.
    pub(super) fn scan(&self, stream: &Stream, tiled: Tiled, ends: Ends, scan: &Scan<'_>) -> Result<(), Fault> {
        let doing = "launching a scan";
        has_room(scan.has_room(tiled), doing)?;
        let (kernels, groups) = match tiled {
            Tiled::Jobs => (&self.scan_jobs, scan.jobs_len / JOBS_PER_BLOCK),
            Tiled::Pools => (&self.scan_pools, scan.jobs_len),
        };
        let blocks = groups.checked_mul(scan.parts).ok_or_else(|| Fault::outside(doing))?;
        let spreads = u32::from(scan.spreads);
        let arguments = Arguments::default()
            .with(scan.pool_hot.address())
            .with(scan.pool_cold.address())
            .with(&scan.pools)
            .with(scan.view_hot.address())
            .with(scan.view_cold.address())
            .with(&scan.views)
            .with(&scan.stride)
            .with(scan.jobs.address())
            .with(&scan.jobs_len)
            .with(scan.segments.address())
            .with(&scan.segments_len)
            .with(&scan.parts)
            .with(&scan.pools_per_part)
            .with(&scan.quantum_shift)
            .with(&spreads)
            .with(scan.found.address());
        // SAFETY: the arguments are the scan arguments in their order, and `Scan::has_room` has compared every length with
        // the room behind its address; what is written lies in `found`, which nothing else uses on this stream now.
        unsafe { stream.launch(&kernels[place_of(ends)], (blocks, THREADS), arguments) }.doing(doing)
    }

    /// Joins what the parts found for each job.
    pub(super) fn merge_parts(
        &self,
        stream: &Stream,
        parts_found: &DeviceVec<Found>,
        (jobs, parts): (u32, u32),
        found: &DeviceVec<Found>,
    ) -> Result<(), Fault> {
        let (doing, jobs_len) = ("launching merge_parts", jobs as usize);
        has_room(parts_found.has_room_for(jobs_len, parts as usize) && found.capacity() >= jobs_len, doing)?;
        let arguments = Arguments::default().with(parts_found.address()).with(&jobs).with(&parts).with(found.address());
        // SAFETY: the arguments are those of `merge_parts`, and the lengths were checked above.
        unsafe { stream.launch(&self.merge_parts, a_thread_each(jobs), arguments) }.doing(doing)
    }

    /// Brings pools up to date.
    pub(super) fn patch_pools(
        &self,
        stream: &Stream,
        (changes, changes_len): (&DeviceVec<PoolChange>, u32),
        (hot, cold, pools): (&DeviceVec<PoolHot>, &DeviceVec<PoolCold>, u32),
    ) -> Result<(), Fault> {
        let (doing, records) = ("launching patch_pools", pools as usize);
        let room =
            changes.capacity() >= changes_len as usize && hot.capacity() >= records && cold.capacity() >= records;
        has_room(room, doing)?;
        let arguments = Arguments::default()
            .with(changes.address())
            .with(&changes_len)
            .with(hot.address())
            .with(cold.address())
            .with(&pools);
        // SAFETY: the arguments are those of `patch_pools`, and the lengths were checked above.
        unsafe { stream.launch(&self.patch_pools, a_thread_each(changes_len), arguments) }.doing(doing)
    }

    /// Brings views up to date.
    pub(super) fn patch_views(
        &self,
        stream: &Stream,
        (changes, changes_len): (&DeviceVec<ViewChange>, u32),
        (hot, cold): (&DeviceVec<ViewHot>, &DeviceVec<ViewCold>),
    ) -> Result<(), Fault> {
        let doing = "launching patch_views";
        has_room(changes.capacity() >= changes_len as usize, doing)?;
        let records = hot.capacity().min(cold.capacity()) as u64;
        let arguments = Arguments::default()
            .with(changes.address())
            .with(&changes_len)
            .with(hot.address())
            .with(cold.address())
            .with(&records);
        // SAFETY: the arguments are those of `patch_views`, and the lengths were checked above.
        unsafe { stream.launch(&self.patch_views, a_thread_each(changes_len), arguments) }.doing(doing)
    }
}

impl Scan<'_> {
    /// Whether there is room for every length.
    fn has_room(&self, tiled: Tiled) -> bool {
        let (pools, jobs, parts) = (self.pools as usize, self.jobs_len as usize, self.parts as usize);
        let (views, stride) = (self.views as usize, self.stride as usize);
        self.pool_hot.capacity() >= pools
            && self.pool_cold.capacity() >= pools
            && stride >= pools
            && self.view_hot.has_room_for(views, stride)
            && self.view_cold.has_room_for(views, stride)
            && self.jobs.capacity() >= jobs
            && self.segments.capacity() >= self.segments_len as usize
            && self.found.has_room_for(jobs, parts)
            && (tiled == Tiled::Pools || self.jobs_len.is_multiple_of(JOBS_PER_BLOCK))
    }
}

/// A length without room would be a mistake of this module's callers: it must not reach the device.
fn has_room(room: bool, doing: &'static str) -> Result<(), Fault> {
    if room { Ok(()) } else { Err(Fault::outside(doing)) }
}

fn find(module: &Arc<Module>, image: &Image, name: &str) -> Result<Function, Unavailable> {
    let doing = "finding the kernels";
    // A name of this program's: it holds no NUL.
    let text = CString::new(name).map_err(|_| Fault::outside(doing))?;
    module.function(&text).map_err(|status| {
        if status == Status::of(CUresult::CUDA_ERROR_NOT_FOUND) {
            Unavailable::KernelMissing { image: image.origin.clone(), kernel: name.to_owned() }
        } else {
            Unavailable::DeviceFailed { doing, status: status.to_string() }
        }
    })
}

const fn place_of(ends: Ends) -> usize {
    match ends {
        Ends::Plain => 0,
        Ends::Saturating => 1,
        Ends::Waiting => 2,
        Ends::Static => 3,
    }
}

/// Blocks and threads of a launch with a thread for each record.
const fn a_thread_each(records: u32) -> (u32, u32) {
    (records.div_ceil(THREADS), THREADS)
}
