//! Devices of one pool: which may carry a share of a split, and which are chosen.
//!
//! Rules: DEV-1, DEV-2. A pool has at most 16 devices, so everything here is a small loop over a fixed array.

use heapless::Vec;

use crate::limits::DEVICES_MAX;
use crate::rows::{ClassFlags, DeviceRow, JobFlags, JobRow, PoolClass};
use crate::values::device_mask::DeviceMask;
use crate::values::list::{collect_up_to, insert_at};

/// Positions of devices in their pool's list.
pub type DevicePositions = Vec<u8, DEVICES_MAX, u8>;

/// `ceil(bytes / degree)`; a degree of 0 counts as 1.
#[inline]
#[must_use]
pub fn share_bytes(bytes: u64, degree: u8) -> u64 {
    bytes.div_ceil(u64::from(degree).max(1))
}

/// The devices that may carry a share of the job's split, as bits of their positions. DEV-1.
#[must_use]
pub fn eligible(pool: &PoolClass, devices: &[DeviceRow], job: &JobRow) -> u16 {
    let share = share_bytes(job.whole_bytes(), job.split_degree);
    positions(pool, devices)
        .filter(|&(_, id, device)| {
            let allowed = job.device_mask.is_empty() || job.device_mask.contains(id);
            allowed && is_capable(pool, device, job) && share <= device.vram_total_bytes
        })
        .fold(0, |bits, (position, _, _)| bits | position_bit(position))
}

/// How many of the eligible devices have `share` bytes free.
#[must_use]
pub fn count_with_free(devices: &[DeviceRow], eligible: u16, share: u64) -> u32 {
    (0u8..)
        .zip(devices)
        .filter(|&(position, device)| eligible & position_bit(position) != 0 && share <= device.vram_free_bytes)
        .fold(0, |count: u32, _| count.saturating_add(1))
}

/// The `degree` eligible devices with most free VRAM, then lowest id. DEV-2.
#[must_use]
pub fn choose(devices: &[DeviceRow], eligible: u16, degree: u8) -> DevicePositions {
    let order = by_free_vram(devices);
    let able = order.iter().copied().filter(|&position| eligible & position_bit(position) != 0);
    collect_up_to(able.take(degree.into()))
}

/// All devices, most free VRAM first, then lowest id. COMMIT-3, DEV-2.
#[must_use]
pub fn by_free_vram(devices: &[DeviceRow]) -> DevicePositions {
    let mut order = DevicePositions::new();
    let free = |position: u8| devices.get(usize::from(position)).map_or(0, |device| device.vram_free_bytes);
    for (position, device) in (0u8..).zip(devices) {
        // Positions come in ascending order, so an equal device goes behind its equals.
        let place = order.iter().position(|&other| free(other) < device.vram_free_bytes).unwrap_or(order.len());
        // Full only beyond 16 devices, which validation refuses.
        let _ = insert_at(&mut order, place, position);
    }
    order
}

/// The ids of devices at `chosen` positions.
#[must_use]
pub fn ids_of(mask: DeviceMask, chosen: &[u8]) -> DeviceMask {
    let mut ids = DeviceMask::EMPTY;
    for id in chosen.iter().filter_map(|&position| mask.nth(position.into())) {
        ids.insert(id);
    }
    ids
}

/// Whether the device reaches the job's compute capability: its own, else the pool's. DEV-1.
fn is_capable(pool: &PoolClass, device: &DeviceRow, job: &JobRow) -> bool {
    if !job.flags.has(JobFlags::MIN_CAPABILITY) {
        return true;
    }
    let pools = pool.flags.has(ClassFlags::CAPABILITY_KNOWN).then_some(pool.capability);
    device.capability().or(pools).is_some_and(|capability| capability >= job.min_capability)
}

fn positions<'a>(pool: &PoolClass, devices: &'a [DeviceRow]) -> impl Iterator<Item = (u8, u8, &'a DeviceRow)> {
    // Validation gives a pool with devices a mask of as many ids: POOL-3.
    let ids = pool.device_mask;
    (0u8..).zip(devices).filter_map(move |(position, device)| Some((position, ids.nth(position.into())?, device)))
}

const fn position_bit(position: u8) -> u16 {
    match 1u16.checked_shl(position as u32) {
        Some(bit) => bit,
        None => 0,
    }
}
