//! What every pool is to any job, on the device: uploaded once, then change by change.

use orchestrator_core::pool_lane;
use orchestrator_kernels::records::{PoolChange, PoolCold, PoolHot};

use super::buffer::DeviceVec;
use super::device::Device;
use super::fault::Fault;
use super::staging::Staging;
use crate::batch::backend::World;
use crate::batch::changes::Changes;
use crate::batch::ends::RatesMax;

/// With changes to more than one pool in so many it is cheaper to upload all.
const CHANGED_SHARE: usize = 4;

/// The pool tables.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pub(super) hot: DeviceVec<PoolHot>,
    pub(super) cold: DeviceVec<PoolCold>,
    changes: DeviceVec<PoolChange>,
    /// Pools in the tables.
    len: u32,
    pub(super) rates_max: RatesMax,
    changed: Changes,
}

impl Pools {
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// Whether the tables can be those of so many pools.
    pub(super) fn has_room_for(&self, len: usize) -> bool {
        self.hot.capacity().min(self.cold.capacity()) >= len
    }

    /// Notes that a pool changed.
    pub(super) fn mark(&mut self, rank: u32) {
        self.changed.mark(rank);
    }

    /// Uploads all pools. O(pools).
    pub(super) fn fill(&mut self, device: &Device, staging: &mut Staging, world: &World<'_>) -> Result<(), Fault> {
        self.changed.clear();
        self.rates_max = RatesMax::default();
        let len = world.table.len();
        let (hot, cold): (Vec<_>, Vec<_>) = (0..len).filter_map(|rank| self.records(world, rank)).unzip();
        let doing = "making room for the pools";
        self.hot.reserve(device, len, doing)?;
        self.cold.reserve(device, len, doing)?;
        self.hot.upload(device, staging, 0, &hot)?;
        self.cold.upload(device, staging, 0, &cold)?;
        // A fleet has at most 2^30 pools.
        self.len = u32::try_from(len).unwrap_or(u32::MAX);
        Ok(())
    }

    /// Brings the pools up to date that were noted.
    pub(super) fn refresh(&mut self, device: &Device, staging: &mut Staging, world: &World<'_>) -> Result<(), Fault> {
        if self.changed.tidied().len() > world.table.len() / CHANGED_SHARE {
            return self.fill(device, staging, world);
        }
        let mut changed = std::mem::take(&mut self.changed);
        let changes: Vec<_> = changed.tidied().iter().filter_map(|&rank| self.change(world, rank)).collect();
        changed.clear();
        self.changed = changed;
        // At most as many as pools.
        let Ok(count @ 1..) = u32::try_from(changes.len()) else { return Ok(()) };
        self.changes.reserve(device, changes.len().next_power_of_two(), "making room for changes of pools")?;
        self.changes.upload(device, staging, 0, &changes)?;
        let tables = (&self.hot, &self.cold, self.len);
        device.kernels.patch_pools(&device.stream, (&self.changes, count), tables)
    }

    fn change(&mut self, world: &World<'_>, rank: u32) -> Option<PoolChange> {
        let (hot, cold) = self.records(world, rank as usize)?;
        Some(PoolChange { hot, cold, index: rank.into() })
    }

    fn records(&mut self, world: &World<'_>, rank: usize) -> Option<(PoolHot, PoolCold)> {
        let lane = pool_lane(world.table.rows.get(rank)?, world.policy);
        self.rates_max.add(&lane);
        let spread_hash = world.table.spread_hashes.get(rank).copied().unwrap_or(0);
        Some((PoolHot::of(&lane), PoolCold::of(&lane, spread_hash)))
    }
}
