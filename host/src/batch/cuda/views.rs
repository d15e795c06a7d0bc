//! What every pool is to the jobs of a class, on the device: as many views as its memory takes, kept from call to call.
//!
//! Invariant: `base_max` of a view is not below any known end without tokens; a pool that lost a late one may leave it
//! above.

use orchestrator_core::limits::TIME_MAX_US;
use orchestrator_core::rule::lane::ClassLane;
use orchestrator_core::{ClassScorer, PlacementInput};
use orchestrator_kernels::records::{ViewChange, ViewCold, ViewHot};

use super::buffer::DeviceVec;
use super::device::Device;
use super::fault::Fault;
use super::staging::Staging;
use crate::batch::backend::DeviceFault;
use crate::batch::classes::Views;

/// Bytes of a view for each pool.
const BYTES_PER_POOL: usize = size_of::<ViewHot>() + size_of::<ViewCold>();

/// The view tables.
#[derive(Debug, Default)]
pub(super) struct ViewTables {
    pub(super) hot: DeviceVec<ViewHot>,
    pub(super) cold: DeviceVec<ViewCold>,
    changes: DeviceVec<ViewChange>,
    /// Records of a view.
    stride: usize,
    /// Views for which there is room.
    room: usize,
    /// There is memory for no more.
    is_full: bool,
    base_max: Vec<u64>,
    scratch: (Vec<ViewHot>, Vec<ViewCold>),
}

impl ViewTables {
    pub(super) const fn room(&self) -> usize {
        self.room
    }

    pub(super) fn base_max(&self, at: usize) -> u64 {
        self.base_max.get(at).copied().unwrap_or(TIME_MAX_US)
    }

    /// Whether `wanted` views of `stride` pools have room, or as many as there is memory for.
    pub(super) const fn is_enough(&self, stride: usize, wanted: usize) -> bool {
        self.stride == stride && (self.room >= wanted || self.is_full)
    }

    /// Gives all room back.
    pub(super) fn clear(&mut self) {
        self.hot.clear();
        self.cold.clear();
        (self.room, self.is_full) = (0, false);
    }

    /// Makes room for `wanted` views of `stride` pools, or for as many as there is memory for. Those that were there are
    /// lost.
    pub(super) fn reserve(&mut self, device: &Device, stride: usize, wanted: usize) -> Result<(), Fault> {
        self.clear();
        self.stride = stride;
        // What was given back is free once the device has come to it.
        device.finish("giving views back")?;
        // A quarter is left for jobs and for others.
        let fitting = device.free_bytes()? / 4 * 3 / (BYTES_PER_POOL * stride.max(1));
        self.room = wanted.next_power_of_two().min(fitting).max(1);
        while let Err(fault) = self.allocate(device) {
            if fault.kind != DeviceFault::OutOfMemory || self.room == 1 {
                return Err(fault);
            }
            self.room /= 2;
            // What fitted in part must not stand in the way of less.
            self.hot.clear();
            self.cold.clear();
            device.finish("giving views back")?;
        }
        self.is_full = self.room < wanted;
        self.base_max = vec![0; self.room];
        Ok(())
    }

    fn allocate(&mut self, device: &Device) -> Result<(), Fault> {
        let (records, doing) = (self.room * self.stride, "making room for views");
        self.hot.reserve(device, records, doing)?;
        self.cold.reserve(device, records, doing)
    }

    fn add(base_max: &mut u64, lane: &ClassLane) {
        if lane.base <= TIME_MAX_US {
            *base_max = (*base_max).max(lane.base);
        }
    }
}

/// The view tables with the way to them.
pub(super) struct Writer<'a> {
    pub(super) device: &'a Device,
    pub(super) staging: &'a mut Staging,
    pub(super) tables: &'a mut ViewTables,
}

impl Views for Writer<'_> {
    type Error = Fault;

    fn fill(&mut self, at: usize, input: &PlacementInput<'_>) -> Result<(), Fault> {
        let Self { device, staging, tables } = self;
        let (hot, cold) = &mut tables.scratch;
        hot.clear();
        cold.clear();
        let (class, mut base_max) = (ClassScorer::new(input), 0);
        // A fleet has at most 2^30 pools.
        for rank in (0u32..).take(tables.stride) {
            let lane = class.lane(rank);
            ViewTables::add(&mut base_max, &lane);
            hot.push(ViewHot::of(&lane));
            cold.push(ViewCold::of(&lane));
        }
        tables.base_max[at] = base_max;
        tables.hot.upload(device, staging, at * tables.stride, hot)?;
        tables.cold.upload(device, staging, at * tables.stride, cold)
    }

    fn refresh(&mut self, at: usize, input: &PlacementInput<'_>, ranks: &[u32]) -> Result<(), Fault> {
        let Self { device, staging, tables } = self;
        let mut ranks: Vec<_> = ranks.iter().copied().filter(|&rank| (rank as usize) < tables.stride).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let class = ClassScorer::new(input);
        let mut base_max = tables.base_max[at];
        let first = (at * tables.stride) as u64;
        let change = |&rank: &u32| {
            let lane = class.lane(rank);
            ViewTables::add(&mut base_max, &lane);
            let index = first + u64::from(rank);
            ViewChange { hot: ViewHot::of(&lane), cold: ViewCold::of(&lane), index, reserved: 0 }
        };
        let changes: Vec<_> = ranks.iter().map(change).collect();
        tables.base_max[at] = base_max;
        // At most as many as pools.
        let Ok(count @ 1..) = u32::try_from(changes.len()) else { return Ok(()) };
        tables.changes.reserve(device, changes.len().next_power_of_two(), "making room for changes of views")?;
        tables.changes.upload(device, staging, 0, &changes)?;
        device.kernels.patch_views(&device.stream, (&tables.changes, count), (&tables.hot, &tables.cold))
    }
}
