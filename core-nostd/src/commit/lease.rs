//! Taking and giving back a pool's slot and VRAM.

use core::fmt;

use heapless::Vec;

use super::share::DeviceShare;
use crate::limits::{DEVICES_MAX, RESIDENT_MODELS_MAX, TOKENS_MAX};
use crate::rows::{DeviceRow, JobRow, NameId, PoolClass, PoolFlags, PoolLists, PoolRow, PoolTableMut, Span};
use crate::rule::devices::{DevicePositions, by_free_vram, choose, eligible, share_bytes};
use crate::values::index::index;
use crate::values::list::last_to_front;

/// What a commit took from a pool: the means to give it back. It holds the shares of at most `SHARES` devices: as many as
/// the pools of its fleet have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Lease<const SHARES: usize = DEVICES_MAX> {
    /// KV bytes taken from the pool in all.
    pub kv_bytes: u64,
    /// Weight bytes taken from the pool in all.
    pub weight_bytes: u64,
    /// The pool's rank.
    pub rank: u32,
    /// What each device gave; empty for a pool without devices.
    pub devices: Vec<DeviceShare, SHARES, u8>,
    /// Whether it took no slot and waits in the pool for one. WAIT-3.
    pub waits: bool,
    /// Whether the model is resident now. False only where 64 others are, or the owner's storage is full. COMMIT-4.
    pub resident: bool,
}

/// The same for any number of devices, without the rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Taken<'a> {
    /// KV bytes taken from the pool in all.
    pub kv_bytes: u64,
    /// Weight bytes taken from the pool in all.
    pub weight_bytes: u64,
    /// What each device gave; empty for a pool without devices.
    pub devices: &'a [DeviceShare],
    /// Whether it took no slot and waits in the pool for one. WAIT-3.
    pub waits: bool,
    /// Whether the model is resident now. COMMIT-4.
    pub resident: bool,
}

impl<const SHARES: usize> Lease<SHARES> {
    /// What was taken.
    #[must_use]
    pub fn taken(&self) -> Taken<'_> {
        let Self { kv_bytes, weight_bytes, rank: _, ref devices, waits, resident } = *self;
        Taken { kv_bytes, weight_bytes, devices, waits, resident }
    }

    /// The lease on the pool at `rank` that took this; none where it holds shares of more devices than `SHARES`.
    #[must_use]
    pub fn of(taken: Taken<'_>, rank: u32) -> Option<Self> {
        let Taken { kv_bytes, weight_bytes, devices, waits, resident } = taken;
        let devices = Vec::from_slice(devices).ok()?;
        Some(Self { kv_bytes, weight_bytes, rank, devices, waits, resident })
    }
}

impl Taken<'_> {
    const fn taken_bytes(&self) -> u64 {
        self.kv_bytes.saturating_add(self.weight_bytes)
    }
}

/// A commit that the pool's state does not allow: the decision was made on an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CommitError {
    /// No pool has this rank.
    NoSuchPool,
    /// The pool has no free slot, and as many jobs wait there as may.
    NoSlot,
    /// The pool, or its devices, have too little free VRAM.
    NoVram,
    /// The job would take from more devices than the lease holds shares of.
    TooManyDevices,
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchPool => "no pool has this rank: decide again",
            Self::NoSlot => "the pool has no free slot any more: decide again",
            Self::NoVram => "the pool has too little free VRAM by now: decide again",
            Self::TooManyDevices => "a lease of this fleet cannot hold shares of so many devices",
        })
    }
}

impl core::error::Error for CommitError {}

/// Takes a slot and the job's VRAM from the pool at `rank`, and makes its model resident. COMMIT-1 to COMMIT-4.
///
/// In a pool without free slots the job waits for one, where its policy allows that. WAIT-3.
/// Changes nothing on an error. O(devices + resident models).
///
/// # Errors
/// When the pool's state no longer allows it.
pub fn commit<const SHARES: usize>(
    table: &mut PoolTableMut<'_>,
    job: &JobRow,
    rank: u32,
) -> Result<Lease<SHARES>, CommitError> {
    let Some(row) = table.rows.get_mut(index(rank)) else { return Err(CommitError::NoSuchPool) };
    let mut unlisted = PoolLists::default();
    let lists = table.lists.get_mut(index(rank)).unwrap_or(&mut unlisted);
    let waits = row.slots_free == 0;
    if waits && row.waiting >= job.pool_backlog {
        return Err(CommitError::NoSlot);
    }
    let published = row.flags.has(PoolFlags::RESIDENCY_PUBLISHED);
    let resident = !published || lists.has_resident(table.residents, job.model);
    let devices = lists.devices.of_mut(table.devices);
    let class = table.classes.get(index(row.class)).unwrap_or(&PoolClass::UNNAMED);
    let mut lease = take_vram((row, class), devices, job, rank, resident)?;
    lease.waits = waits;
    take_slot(row, waits);
    lease.resident = resident || add_resident(lists, table.residents, job.model);
    Ok(lease)
}

/// Gives back the lease's slot and KV bytes. Weights, residency and warmth stay. COMMIT-6.
///
/// Never lifts a pool above its totals, also when called twice. What came from a device that the pool no longer has goes
/// to none; what came from the pool as a whole goes to no device. O(devices).
pub fn release<const SHARES: usize>(table: &mut PoolTableMut<'_>, lease: &Lease<SHARES>) {
    give_back(table, &lease.taken(), lease.rank);
}

pub(crate) fn give_back(table: &mut PoolTableMut<'_>, lease: &Taken<'_>, rank: u32) {
    let Some(row) = table.rows.get_mut(index(rank)) else { return };
    give_slot_back(row);
    let devices = devices_of(table.lists, rank).of_mut(table.devices);
    if devices.is_empty() {
        let total = table.classes.get(index(row.class)).map_or(0, |class| class.vram_total_bytes);
        row.vram_free_bytes = row.vram_free_bytes.saturating_add(lease.kv_bytes).min(total);
        return;
    }
    for share in lease.devices {
        if let Some(device) = devices.get_mut(usize::from(share.position)) {
            let given_back = device.vram_free_bytes.saturating_add(share.kv_bytes());
            device.vram_free_bytes = given_back.min(device.vram_total_bytes);
        }
    }
    row.vram_free_bytes = sum_free(devices);
}

/// Takes a lease's slot and VRAM again from the pool at `rank`, whose numbers a snapshot replaced that had not seen the
/// lease; says whether there was room. LEASE-3.
///
/// Takes exactly what the lease took, from the same devices, or changes nothing: then the lease has nothing to give
/// back. Which models are resident is what the snapshot says. O(devices).
pub fn retake<const SHARES: usize>(table: &mut PoolTableMut<'_>, lease: &Lease<SHARES>, rank: u32) -> bool {
    take_again(table, &lease.taken(), rank)
}

pub(crate) fn take_again(table: &mut PoolTableMut<'_>, lease: &Taken<'_>, rank: u32) -> bool {
    let Some(row) = table.rows.get_mut(index(rank)) else { return false };
    let waits = row.slots_free == 0;
    let devices = devices_of(table.lists, rank).of_mut(table.devices);
    if (waits && !lease.waits) || !has_room(row, devices, lease) {
        return false;
    }
    take_slot(row, waits);
    if devices.is_empty() {
        row.vram_free_bytes = row.vram_free_bytes.saturating_sub(lease.taken_bytes());
        return true;
    }
    for share in lease.devices {
        if let Some(device) = devices.get_mut(usize::from(share.position)) {
            device.vram_free_bytes = device.vram_free_bytes.saturating_sub(share.taken_bytes());
        }
    }
    row.vram_free_bytes = sum_free(devices);
    true
}

fn devices_of(lists: &[PoolLists], rank: u32) -> Span {
    lists.get(index(rank)).map_or(Span::EMPTY, |lists| lists.devices)
}

/// Whether a pool has free what a lease took: on the devices that gave it, where the pool has devices.
fn has_room(row: &PoolRow, devices: &[DeviceRow], lease: &Taken<'_>) -> bool {
    if devices.is_empty() {
        return row.vram_free_bytes >= lease.taken_bytes();
    }
    let on_device = |share: &DeviceShare| {
        devices.get(usize::from(share.position)).is_some_and(|device| device.vram_free_bytes >= share.taken_bytes())
    };
    // Bytes that were taken from the pool as a whole, before it published devices, cannot be taken from one of them.
    let has_shares = !lease.devices.is_empty() || lease.taken_bytes() == 0;
    has_shares && lease.devices.iter().all(on_device)
}

/// What the session table records for a committed job: `min(2^24 - 1, prompt + output)`. COMMIT-5.
#[must_use]
pub fn committed_tokens(job: &JobRow) -> u32 {
    job.prompt_tokens.saturating_add(job.output_tokens).min(TOKENS_MAX)
}

/// COMMIT-1, WAIT-3.
const fn take_slot(row: &mut PoolRow, waits: bool) {
    if waits {
        row.waiting = row.waiting.saturating_add(1);
    } else {
        row.slots_free = row.slots_free.saturating_sub(1);
    }
}

/// COMMIT-6: the slot passes to a job that waits in the pool, if one does.
fn give_slot_back(row: &mut PoolRow) {
    match row.waiting.checked_sub(1) {
        Some(waiting) => row.waiting = waiting,
        None => row.slots_free = row.slots_free.saturating_add(1).min(row.slots_total),
    }
}

fn take_vram<const SHARES: usize>(
    (row, class): (&mut PoolRow, &PoolClass),
    devices: &mut [DeviceRow],
    job: &JobRow,
    rank: u32,
    resident: bool,
) -> Result<Lease<SHARES>, CommitError> {
    let need = job.need_bytes(resident);
    if need > row.vram_free_bytes {
        return Err(CommitError::NoVram);
    }
    let kv_bytes = job.est_kv_bytes;
    let mut lease = Lease {
        kv_bytes,
        weight_bytes: need.saturating_sub(kv_bytes),
        rank,
        devices: Vec::new(),
        waits: false,
        resident,
    };
    if devices.is_empty() {
        row.vram_free_bytes = row.vram_free_bytes.saturating_sub(need);
        return Ok(lease);
    }
    lease.devices = if job.split_degree == 0 {
        fill_devices(devices, need, kv_bytes)?
    } else {
        let able = eligible(class, devices, job);
        split_devices(devices, &choose(devices, able, job.split_degree), need, job)?
    };
    for share in &lease.devices {
        if let Some(device) = devices.get_mut(usize::from(share.position)) {
            device.vram_free_bytes = device.vram_free_bytes.saturating_sub(share.taken_bytes());
        }
    }
    row.vram_free_bytes = sum_free(devices);
    // A split rounds every share up, so the devices may give more than was needed.
    lease.kv_bytes = lease.devices.iter().fold(0, |sum, share| sum.saturating_add(share.kv_bytes()));
    lease.weight_bytes = lease.devices.iter().fold(0, |sum, share| sum.saturating_add(share.weight_bytes()));
    Ok(lease)
}

/// An equal, rounded-up share from each chosen device. COMMIT-2.
fn split_devices<const SHARES: usize>(
    devices: &[DeviceRow],
    chosen: &DevicePositions,
    need: u64,
    job: &JobRow,
) -> Result<Vec<DeviceShare, SHARES, u8>, CommitError> {
    let share = share_bytes(need, job.split_degree);
    let kv_bytes = share_bytes(job.est_kv_bytes, job.split_degree);
    let has_share =
        |position: &u8| devices.get(usize::from(*position)).is_some_and(|device| device.vram_free_bytes >= share);
    if chosen.len() < usize::from(job.split_degree) || !chosen.iter().all(has_share) {
        return Err(CommitError::NoVram);
    }
    let weight_bytes = share.saturating_sub(kv_bytes);
    let mut shares = Vec::new();
    for &position in chosen.iter() {
        add_share(&mut shares, position, kv_bytes, weight_bytes)?;
    }
    Ok(shares)
}

/// From the devices with most free VRAM, each as far as it goes, KV first. COMMIT-3.
fn fill_devices<const SHARES: usize>(
    devices: &[DeviceRow],
    need: u64,
    kv_bytes: u64,
) -> Result<Vec<DeviceShare, SHARES, u8>, CommitError> {
    let mut kv_left = kv_bytes;
    let mut weights_left = need.saturating_sub(kv_bytes);
    let mut shares = Vec::new();
    for &position in by_free_vram(devices).iter() {
        let free = devices.get(usize::from(position)).map_or(0, |device| device.vram_free_bytes);
        let kv_bytes = kv_left.min(free);
        let weight_bytes = weights_left.min(free.saturating_sub(kv_bytes));
        kv_left = kv_left.saturating_sub(kv_bytes);
        weights_left = weights_left.saturating_sub(weight_bytes);
        if kv_bytes > 0 || weight_bytes > 0 {
            add_share(&mut shares, position, kv_bytes, weight_bytes)?;
        }
    }
    Ok(shares)
}

fn add_share<const SHARES: usize>(
    shares: &mut Vec<DeviceShare, SHARES, u8>,
    position: u8,
    kv_bytes: u64,
    weight_bytes: u64,
) -> Result<(), CommitError> {
    // No device has more free than a share can say.
    let share = DeviceShare::new(position, kv_bytes, weight_bytes).ok_or(CommitError::NoVram)?;
    shares.push(share).map_err(|_| CommitError::TooManyDevices)
}

fn sum_free(devices: &[DeviceRow]) -> u64 {
    // At most 16 terms below 2^48.
    devices.iter().fold(0, |sum, device| sum.saturating_add(device.vram_free_bytes))
}

/// Inserts the model in order; says whether there was room. COMMIT-4.
fn add_resident(lists: &mut PoolLists, residents: &mut [NameId], model: NameId) -> bool {
    let len = index(lists.residents.len);
    let has_room = lists.residents.len < lists.residents_capacity && len < RESIDENT_MODELS_MAX;
    // A model without a number of its own cannot be told from another such model.
    if !has_room || model.0 >= NameId::LIMIT {
        return false;
    }
    let place = lists.residents.of(residents).partition_point(|&other| other < model);
    let mut grown = lists.residents;
    grown.len = grown.len.saturating_add(1);
    let list = grown.of_mut(residents);
    let Some(end) = list.last_mut() else { return false };
    *end = model;
    last_to_front(list.get_mut(place..).unwrap_or_default());
    lists.residents = grown;
    true
}
