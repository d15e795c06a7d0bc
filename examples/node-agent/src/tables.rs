//! The tables of the agent: each a static of its own, so that a map of the program says what each costs.

use orchestrator_core::scheduler::{
    LeaseStorage, Leased, PoolLeases, PoolRecord, Prices, QueueStorage, RunningJob, SchedulerStorage, Session,
    SessionStorage, WaitingJob, WaitingSlot,
};
use orchestrator_core::storage::IdSlot;

use crate::board::Place;
use crate::capacities::{Fleet, ID_BYTES, JOB_BYTES, LEASES, Lease, POOLS, QUEUED, SESSIONS};

static FLEET: Place<Fleet> = Place::new();
static WAITING: Place<WaitingSlot<WaitingJob>, QUEUED> = Place::new();
// As many buckets as rows: two are in a word.
static WAITING_BUCKETS: Place<u32, { QUEUED / 2 }> = Place::new();
static WAITING_IDS: Place<[u8; ID_BYTES], QUEUED> = Place::new();
static WAITING_BYTES: Place<[u8; JOB_BYTES], QUEUED> = Place::new();
static LEASED: Place<IdSlot<Leased<Lease, RunningJob>>, LEASES> = Place::new();
static LEASE_BUCKETS: Place<u32, { LEASES / 2 }> = Place::new();
static LEASE_IDS: Place<[u8; ID_BYTES], LEASES> = Place::new();
static POOL_LEASES: Place<PoolLeases, POOLS> = Place::new();
static POOL_RECORDS: Place<PoolRecord, POOLS> = Place::new();
static SESSION_SLOTS: Place<IdSlot<Session>, SESSIONS> = Place::new();
static SESSION_BUCKETS: Place<u32, { SESSIONS / 2 }> = Place::new();
static SESSION_IDS: Place<[u8; ID_BYTES], SESSIONS> = Place::new();

/// All tables, empty.
///
/// # Safety
/// At most once.
#[must_use]
#[inline(never)] // A new fleet passes over the stack: not inside the frame of a function that never returns.
pub unsafe fn take() -> (&'static mut Fleet, SchedulerStorage<'static, Lease>) {
    // SAFETY: the caller's promise is that of each.
    unsafe {
        let [fleet] = FLEET.fill(Fleet::new);
        let storage = SchedulerStorage {
            queue: QueueStorage {
                jobs: WAITING.fill(|| IdSlot::EMPTY),
                buckets: WAITING_BUCKETS.fill(|| 0),
                ids: WAITING_IDS.fill(|| [0; ID_BYTES]).as_flattened_mut(),
                // Tenants are not told apart.
                job_tenants: &mut [],
                tenants: &mut [],
                tenant_buckets: &mut [],
                tenant_ids: &mut [],
            },
            job_bytes: WAITING_BYTES.fill(|| [0; JOB_BYTES]).as_flattened_mut(),
            leases: LeaseStorage {
                slots: LEASED.fill(|| IdSlot::EMPTY),
                buckets: LEASE_BUCKETS.fill(|| 0),
                ids: LEASE_IDS.fill(|| [0; ID_BYTES]).as_flattened_mut(),
                pools: POOL_LEASES.fill(|| PoolLeases::EMPTY),
            },
            model_names: &mut [],
            pools: POOL_RECORDS.fill(|| PoolRecord::EMPTY),
            sessions: SessionStorage {
                slots: SESSION_SLOTS.fill(|| IdSlot::EMPTY),
                buckets: SESSION_BUCKETS.fill(|| 0),
                ids: SESSION_IDS.fill(|| [0; ID_BYTES]).as_flattened_mut(),
            },
            prices: Prices::default(),
            hash_seed: 0,
        };
        (fleet, storage)
    }
}
