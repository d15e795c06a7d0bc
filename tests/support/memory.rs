//! Memory for a scheduler of any size, from vectors.

use orchestrator_core::scheduler::{
    LeaseStorage, Leased, PoolLeases, PoolRecord, Prices, QueueStorage, RunningJob, SchedulerStorage, Session,
    SessionStorage, TenantSlot, WaitingJob, WaitingSlot,
};
use orchestrator_core::storage::IdSlot;

/// How much a scheduler has room for.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    pub(crate) pools: usize,
    pub(crate) waiting: usize,
    pub(crate) leases: usize,
    pub(crate) sessions: usize,
    pub(crate) tenants: usize,
}

const JOB_BYTES: usize = 256;
const MODEL_BYTES: usize = 64;
/// Bytes for the longest id and its length.
const ID_STRIDE: usize = 65;

/// All that a scheduler works in; `L` is what a commit to its fleet gives.
pub(crate) struct Memory<L> {
    waiting: Vec<WaitingSlot<WaitingJob>>,
    waiting_buckets: Vec<u32>,
    waiting_ids: Vec<u8>,
    job_tenants: Vec<u8>,
    tenants: Vec<TenantSlot>,
    tenant_buckets: Vec<u32>,
    tenant_ids: Vec<u8>,
    job_bytes: Vec<u8>,
    leases: Vec<IdSlot<Leased<L, RunningJob>>>,
    lease_buckets: Vec<u32>,
    lease_ids: Vec<u8>,
    pool_leases: Vec<PoolLeases>,
    model_names: Vec<u8>,
    pools: Vec<PoolRecord>,
    sessions: Vec<IdSlot<Session>>,
    session_buckets: Vec<u32>,
    session_ids: Vec<u8>,
}

fn slots<T>(count: usize) -> Vec<IdSlot<T>> {
    (0..count).map(|_| IdSlot::EMPTY).collect()
}

impl<L> Memory<L> {
    pub(crate) fn new(room: Room) -> Self {
        Self {
            waiting: slots(room.waiting),
            waiting_buckets: vec![0; room.waiting],
            waiting_ids: vec![0; room.waiting * ID_STRIDE],
            job_tenants: vec![0; room.waiting * ID_STRIDE],
            tenants: slots(room.tenants),
            tenant_buckets: vec![0; room.tenants],
            tenant_ids: vec![0; room.tenants * ID_STRIDE],
            job_bytes: vec![0; room.waiting * JOB_BYTES],
            leases: slots(room.leases),
            lease_buckets: vec![0; room.leases],
            lease_ids: vec![0; room.leases * ID_STRIDE],
            pool_leases: vec![PoolLeases::EMPTY; room.pools],
            model_names: vec![0; room.leases * MODEL_BYTES],
            pools: vec![PoolRecord::EMPTY; room.pools],
            sessions: slots(room.sessions),
            session_buckets: vec![0; room.sessions],
            session_ids: vec![0; room.sessions * ID_STRIDE],
        }
    }

    pub(crate) fn storage(&mut self) -> SchedulerStorage<'_, L> {
        SchedulerStorage {
            queue: QueueStorage {
                jobs: &mut self.waiting,
                buckets: &mut self.waiting_buckets,
                ids: &mut self.waiting_ids,
                job_tenants: &mut self.job_tenants,
                tenants: &mut self.tenants,
                tenant_buckets: &mut self.tenant_buckets,
                tenant_ids: &mut self.tenant_ids,
            },
            job_bytes: &mut self.job_bytes,
            leases: LeaseStorage {
                slots: &mut self.leases,
                buckets: &mut self.lease_buckets,
                ids: &mut self.lease_ids,
                pools: &mut self.pool_leases,
            },
            model_names: &mut self.model_names,
            pools: &mut self.pools,
            sessions: SessionStorage {
                slots: &mut self.sessions,
                buckets: &mut self.session_buckets,
                ids: &mut self.session_ids,
            },
            prices: Prices::default(),
            hash_seed: 0,
        }
    }
}
