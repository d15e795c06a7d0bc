//! The fleet, whose sizes are chosen when the library is built, and the tables: all cut out of the caller's memory.
//!
//! The only file that names the core's tables. The sizes of the fleet are environment variables of the build:
//! `ORCHESTRATOR_C_POOLS`, `ORCHESTRATOR_C_LIST_ENTRIES`, `ORCHESTRATOR_C_NAMES`.
//!
//! Invariant: the plan that says how many bytes are needed is the one that the tables are cut out by.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::slice;

use orchestrator_core::limits::{DEVICES_MAX, ID_BYTES_MAX, NAME_BYTES_MAX};
use orchestrator_core::scheduler::{
    LeaseStorage, Leased, PoolLeases, PoolRecord, Price, Prices, QueueStorage, RunningJob, SchedulerStorage, Session,
    SessionStorage, TenantSlot, WaitingJob, WaitingSlot,
};
use orchestrator_core::storage::IdSlot;
use orchestrator_core::{HeldRoom, SmallFleet};

use crate::engine::OC_MEMORY_ALIGN;
use crate::prices::PriceList;

/// Pools of a fleet.
pub(crate) const POOLS: usize = from_environment(option_env!("ORCHESTRATOR_C_POOLS"), 16, 65_536);
/// Entries of each list of a pool.
pub(crate) const LIST_ENTRIES: usize = from_environment(option_env!("ORCHESTRATOR_C_LIST_ENTRIES"), 16, 256);
/// Names in all: engines, models, labels, sessions, …
pub(crate) const NAMES: usize = from_environment(option_env!("ORCHESTRATOR_C_NAMES"), 256, 65_536);

/// A length and an id, for those of jobs, tenants and sessions.
const ID_BYTES: usize = ID_BYTES_MAX + 1;

/// A length and a name, for the model of every lease: the run digest covers it.
const MODEL_NAME_BYTES: usize = NAME_BYTES_MAX + 1;

/// Devices of a pool: as many shares has every lease.
const DEVICES: usize = if LIST_ENTRIES < DEVICES_MAX { LIST_ENTRIES } else { DEVICES_MAX };

pub(crate) type Fleet = SmallFleet<POOLS, LIST_ENTRIES, NAMES, DEVICES>;

/// `oc_init` makes the fleet on the stack before it has its place: a larger one would end the process.
const _: () = assert!(size_of::<Fleet>() <= 1 << 20, "the fleet is larger than a stack allows: 1 MiB");

/// A number of 1 to `max`, or the default where the variable is not set; anything else stops the build.
const fn from_environment(text: Option<&str>, default: usize, max: usize) -> usize {
    let Some(text) = text else { return default };
    let mut rest = text.as_bytes();
    let mut value: usize = 0;
    assert!(!rest.is_empty(), "a size of the fleet is empty");
    while let Some((digit, others)) = rest.split_first() {
        assert!(digit.is_ascii_digit(), "a size of the fleet is no number");
        value = value.saturating_mul(10).saturating_add((*digit).saturating_sub(b'0') as usize);
        rest = others;
    }
    assert!(value >= 1 && value <= max, "a size of the fleet is outside its range");
    value
}

/// How many entries each table has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) waiting_jobs: usize,
    pub(crate) job_bytes: usize,
    pub(crate) running_jobs: usize,
    pub(crate) sessions: usize,
    pub(crate) tenants: usize,
    pub(crate) prices: usize,
}

/// Where a table lies in the memory.
struct Table<T> {
    offset: usize,
    count: usize,
    of: PhantomData<T>,
}

impl<T> Table<T> {
    /// The place behind everything that `layout` has so far.
    fn behind(layout: &mut Layout, count: usize) -> Option<Self> {
        const { assert!(align_of::<T>() <= OC_MEMORY_ALIGN, "the memory of an engine is not aligned for a table") };
        let (whole, offset) = layout.extend(Layout::array::<T>(count).ok()?).ok()?;
        *layout = whole;
        Some(Self { offset, count, of: PhantomData })
    }

    /// Fills the place with unused entries.
    ///
    /// # Safety
    /// `memory` has the layout of the plan that this is a part of: it is aligned for it, and as many bytes are writable and
    /// nobody else's for as long as `'a`. Of each plan a table is cut out once.
    unsafe fn cut_out<'a>(self, memory: *mut u8, empty: impl Fn() -> T) -> &'a mut [T] {
        // SAFETY: the caller's promise is the same.
        unsafe { self.cut_out_with(memory, core::iter::repeat_with(empty)) }
    }

    /// Fills the place with these entries, as far as they go.
    ///
    /// # Safety
    /// As [`Table::cut_out`].
    unsafe fn cut_out_with<'a>(self, memory: *mut u8, entries: impl Iterator<Item = T>) -> &'a mut [T] {
        // SAFETY: the offset is within the memory.
        let first = unsafe { memory.add(self.offset) }.cast::<MaybeUninit<T>>();
        // SAFETY: the layout of the plan has an aligned array of `count` entries here, which may be of any bytes; no other
        // table overlaps them, and the memory is nobody else's.
        let places = unsafe { slice::from_raw_parts_mut(first, self.count) };
        let mut filled: usize = 0;
        for (place, entry) in places.iter_mut().zip(entries) {
            place.write(entry);
            filled = filled.saturating_add(1);
        }
        // SAFETY: so many entries are there.
        unsafe { slice::from_raw_parts_mut(first.cast::<T>(), filled) }
    }

    /// Makes the only entry.
    ///
    /// # Safety
    /// As [`Table::cut_out`], of a table of one entry.
    #[inline(never)] // A large entry passes over the stack: not inside the frame of what goes on with it.
    unsafe fn cut_out_one<'a>(self, memory: *mut u8, make: impl FnOnce() -> T) -> &'a mut T {
        // SAFETY: the offset is within the memory, and the layout of the plan has an aligned entry here, which may be of any
        // bytes; no other table overlaps it, and the memory is nobody else's.
        let place: &'a mut MaybeUninit<T> = unsafe { &mut *memory.add(self.offset).cast() };
        place.write(make())
    }
}

/// Where everything lies: the head, which is the handle, then the tables.
pub(crate) struct Plan {
    layout: Layout,
    fleet: Table<Fleet>,
    waiting: Table<WaitingSlot<WaitingJob>>,
    waiting_buckets: Table<u32>,
    waiting_ids: Table<u8>,
    job_tenants: Table<u8>,
    job_bytes: Table<u8>,
    tenants: Table<TenantSlot>,
    tenant_buckets: Table<u32>,
    tenant_ids: Table<u8>,
    leases: Table<IdSlot<Leased<HeldRoom<DEVICES>, RunningJob>>>,
    lease_buckets: Table<u32>,
    lease_ids: Table<u8>,
    pool_leases: Table<PoolLeases>,
    model_names: Table<u8>,
    pools: Table<PoolRecord>,
    sessions: Table<IdSlot<Session>>,
    session_buckets: Table<u32>,
    session_ids: Table<u8>,
    prices: Table<Price>,
}

impl Plan {
    /// None where the sizes are more than memory can have.
    pub(crate) fn new(head: Layout, sizes: &Sizes) -> Option<Self> {
        let Sizes { waiting_jobs, job_bytes, running_jobs, sessions, tenants, prices } = *sizes;
        let mut layout = head;
        Some(Self {
            fleet: Table::behind(&mut layout, 1)?,
            waiting: Table::behind(&mut layout, waiting_jobs)?,
            waiting_buckets: Table::behind(&mut layout, waiting_jobs)?,
            waiting_ids: Table::behind(&mut layout, waiting_jobs.checked_mul(ID_BYTES)?)?,
            job_tenants: Table::behind(&mut layout, waiting_jobs.checked_mul(ID_BYTES)?)?,
            job_bytes: Table::behind(&mut layout, waiting_jobs.checked_mul(job_bytes)?)?,
            tenants: Table::behind(&mut layout, tenants)?,
            tenant_buckets: Table::behind(&mut layout, tenants)?,
            tenant_ids: Table::behind(&mut layout, tenants.checked_mul(ID_BYTES)?)?,
            leases: Table::behind(&mut layout, running_jobs)?,
            lease_buckets: Table::behind(&mut layout, running_jobs)?,
            lease_ids: Table::behind(&mut layout, running_jobs.checked_mul(ID_BYTES)?)?,
            pool_leases: Table::behind(&mut layout, POOLS)?,
            model_names: Table::behind(&mut layout, running_jobs.checked_mul(MODEL_NAME_BYTES)?)?,
            pools: Table::behind(&mut layout, POOLS)?,
            sessions: Table::behind(&mut layout, sessions)?,
            session_buckets: Table::behind(&mut layout, sessions)?,
            session_ids: Table::behind(&mut layout, sessions.checked_mul(ID_BYTES)?)?,
            prices: Table::behind(&mut layout, prices)?,
            // The last field that is evaluated: all tables are in it.
            layout: layout.pad_to_align(),
        })
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.layout.size()
    }

    /// The fleet without pools, and all tables: unused, but for the prices.
    ///
    /// # Safety
    /// `memory` is aligned for the plan, and its bytes are writable and nobody else's for as long as `'a`, apart from those
    /// of the head.
    pub(crate) unsafe fn cut_out<'a>(
        self,
        memory: *mut u8,
        prices: &PriceList<'_>,
        hash_seed: u64,
    ) -> (&'a mut Fleet, SchedulerStorage<'a, HeldRoom<DEVICES>>) {
        // SAFETY: the caller's promise; each table is cut out once, because `self` is used up.
        unsafe {
            let fleet = self.fleet.cut_out_one(memory, Fleet::new);
            let prices = self.prices.cut_out_with(memory, prices.iter());
            let storage = SchedulerStorage {
                queue: QueueStorage {
                    jobs: self.waiting.cut_out(memory, || WaitingSlot::EMPTY),
                    buckets: self.waiting_buckets.cut_out(memory, || 0),
                    ids: self.waiting_ids.cut_out(memory, || 0),
                    job_tenants: self.job_tenants.cut_out(memory, || 0),
                    tenants: self.tenants.cut_out(memory, || TenantSlot::EMPTY),
                    tenant_buckets: self.tenant_buckets.cut_out(memory, || 0),
                    tenant_ids: self.tenant_ids.cut_out(memory, || 0),
                },
                job_bytes: self.job_bytes.cut_out(memory, || 0),
                leases: LeaseStorage {
                    slots: self.leases.cut_out(memory, || IdSlot::EMPTY),
                    buckets: self.lease_buckets.cut_out(memory, || 0),
                    ids: self.lease_ids.cut_out(memory, || 0),
                    pools: self.pool_leases.cut_out(memory, || PoolLeases::EMPTY),
                },
                model_names: self.model_names.cut_out(memory, || 0),
                pools: self.pools.cut_out(memory, || PoolRecord::EMPTY),
                sessions: SessionStorage {
                    slots: self.sessions.cut_out(memory, || IdSlot::EMPTY),
                    buckets: self.session_buckets.cut_out(memory, || 0),
                    ids: self.session_ids.cut_out(memory, || 0),
                },
                // In order, as the list was.
                prices: Prices::new(prices).unwrap_or_default(),
                hash_seed,
            };
            (fleet, storage)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn sizes_of_the_fleet_are_read_from_the_build() {
        assert_eq!(from_environment(None, 16, 64), 16);
        assert_eq!(from_environment(Some("64"), 16, 64), 64);
        for bad in ["", "0", "65", "x", "1x", "99999999999999999999999"] {
            assert!(std::panic::catch_unwind(|| from_environment(Some(bad), 16, 64)).is_err(), "{bad}");
        }
    }

    #[test]
    fn tables_are_aligned_and_apart() {
        let sizes = Sizes { waiting_jobs: 3, job_bytes: 101, running_jobs: 5, sessions: 7, tenants: 2, prices: 0 };
        let plan = Plan::new(Layout::new::<[u64; 3]>(), &sizes).unwrap();
        let mut memory: Vec<u64> = std::vec![0; plan.bytes() / 8 + 1];
        let end = memory.as_ptr().addr() + plan.bytes();
        // SAFETY: as large as the plan says, and of its alignment.
        let (fleet, storage) = unsafe { plan.cut_out(memory.as_mut_ptr().cast(), &PriceList::NONE, 0) };
        let range = |start: usize, bytes: usize| (start, start + bytes);
        let mut ranges = [
            range((&raw const *fleet).addr(), size_of::<Fleet>()),
            range(storage.queue.jobs.as_ptr().addr(), size_of_val(storage.queue.jobs)),
            range(storage.queue.buckets.as_ptr().addr(), size_of_val(storage.queue.buckets)),
            range(storage.job_bytes.as_ptr().addr(), 303),
            range(storage.queue.tenants.as_ptr().addr(), size_of_val(storage.queue.tenants)),
            range(storage.leases.slots.as_ptr().addr(), size_of_val(storage.leases.slots)),
            range(storage.leases.pools.as_ptr().addr(), size_of_val(storage.leases.pools)),
            range(storage.model_names.as_ptr().addr(), 5 * MODEL_NAME_BYTES),
            range(storage.pools.as_ptr().addr(), size_of_val(storage.pools)),
            range(storage.sessions.slots.as_ptr().addr(), size_of_val(storage.sessions.slots)),
            range(storage.sessions.buckets.as_ptr().addr(), size_of_val(storage.sessions.buckets)),
        ];
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ranges:?}");
        assert!(ranges[0].0 >= memory.as_ptr().addr() + 24 && ranges[10].1 <= end);
    }

    #[test]
    fn sizes_that_no_memory_has() {
        let sizes =
            Sizes { waiting_jobs: usize::MAX, job_bytes: 2, running_jobs: 1, sessions: 1, tenants: 1, prices: 0 };
        assert!(Plan::new(Layout::new::<u64>(), &sizes).is_none());
    }
}
