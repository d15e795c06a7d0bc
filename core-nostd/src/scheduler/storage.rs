//! The memory of a scheduler: borrowed by it, brought by its owner, chosen once.
//!
//! [`SchedulerStorage`] is what a scheduler works in. Firmware makes it from [`SchedulerBuffers`], whose sizes are chosen
//! at compile time; a host from vectors. Every table says with a typed refusal that it is full; none grows.
//!
//! | table | when it is full |
//! |---|---|
//! | jobs that wait | the full policy of the queue decides: QUEUE-4 |
//! | bytes of a waiting job | a job that takes more is refused: ADMIT-5 |
//! | bytes of an id | a job with a longer id of its own, of its session or of its tenant is refused: ADMIT-5 |
//! | leases | jobs wait until one ends |
//! | sessions | the least recently used idle one goes; if all are in use, the job is refused |
//! | tenants | further ones share a place: QUEUE-10 |
//! | model names of leases | events of leased jobs name no model |

use super::leases::{LeaseStorage, Leased, PoolLeases};
use super::pools::PoolRecord;
use super::prices::Prices;
use super::queue::{QueueStorage, TenantSlot, WaitingSlot};
use super::sessions::{Session, SessionStorage};
use super::work::{RunningJob, WaitingJob};
use crate::limits::ID_BYTES_MAX;
use crate::storage::IdSlot;

/// Memory for everything that a scheduler keeps. `L` is what a commit to its fleet gives.
#[derive(Debug)]
pub struct SchedulerStorage<'a, L> {
    /// Jobs that wait.
    pub queue: QueueStorage<'a, WaitingJob>,
    /// Their wishes: an equal stretch for each. 150 to 200 bytes each hold most jobs.
    pub job_bytes: &'a mut [u8],
    /// Jobs that run.
    pub leases: LeaseStorage<'a, L, RunningJob>,
    /// Their models' names: an equal stretch of up to 129 bytes for each, or nothing.
    pub model_names: &'a mut [u8],
    /// One for each pool that fits the fleet.
    pub pools: &'a mut [PoolRecord],
    /// Sessions.
    pub sessions: SessionStorage<'a>,
    /// What tokens cost.
    pub prices: Prices<'a>,
    /// Where ids come from strangers: a number that they cannot know keeps them from filling one hash bucket. No answer
    /// depends on it.
    pub hash_seed: u64,
}

/// The memory of a scheduler with sizes chosen at compile time: `POOLS` pools, `QUEUED` jobs that wait, with `JOB_BYTES`
/// bytes each, `LEASES` jobs that run, `SESSIONS` sessions; ids with `ID_BYTES` bytes, of which one is for their length.
#[derive(Debug)]
pub struct SchedulerBuffers<
    L,
    const POOLS: usize,
    const QUEUED: usize,
    const JOB_BYTES: usize,
    const LEASES: usize,
    const SESSIONS: usize,
    const ID_BYTES: usize = { ID_BYTES_MAX + 1 },
> {
    waiting: [WaitingSlot<WaitingJob>; QUEUED],
    waiting_buckets: [u32; QUEUED],
    waiting_ids: [[u8; ID_BYTES]; QUEUED],
    job_tenants: [[u8; ID_BYTES]; QUEUED],
    job_bytes: [[u8; JOB_BYTES]; QUEUED],
    tenants: [TenantSlot; 1],
    tenant_buckets: [u32; 1],
    tenant_ids: [u8; ID_BYTES],
    leases: [IdSlot<Leased<L, RunningJob>>; LEASES],
    lease_buckets: [u32; LEASES],
    lease_ids: [[u8; ID_BYTES]; LEASES],
    pool_leases: [PoolLeases; POOLS],
    pools: [PoolRecord; POOLS],
    sessions: [IdSlot<Session>; SESSIONS],
    session_buckets: [u32; SESSIONS],
    session_ids: [[u8; ID_BYTES]; SESSIONS],
}

impl<
    L,
    const POOLS: usize,
    const QUEUED: usize,
    const JOB_BYTES: usize,
    const LEASES: usize,
    const SESSIONS: usize,
    const ID_BYTES: usize,
> Default for SchedulerBuffers<L, POOLS, QUEUED, JOB_BYTES, LEASES, SESSIONS, ID_BYTES>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<
    L,
    const POOLS: usize,
    const QUEUED: usize,
    const JOB_BYTES: usize,
    const LEASES: usize,
    const SESSIONS: usize,
    const ID_BYTES: usize,
> SchedulerBuffers<L, POOLS, QUEUED, JOB_BYTES, LEASES, SESSIONS, ID_BYTES>
{
    /// Unused memory: it can be a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            waiting: [const { IdSlot::EMPTY }; QUEUED],
            waiting_buckets: [0; QUEUED],
            waiting_ids: [[0; ID_BYTES]; QUEUED],
            job_tenants: [[0; ID_BYTES]; QUEUED],
            job_bytes: [[0; JOB_BYTES]; QUEUED],
            tenants: [const { IdSlot::EMPTY }; 1],
            tenant_buckets: [0; 1],
            tenant_ids: [0; ID_BYTES],
            leases: [const { IdSlot::EMPTY }; LEASES],
            lease_buckets: [0; LEASES],
            lease_ids: [[0; ID_BYTES]; LEASES],
            pool_leases: [PoolLeases::EMPTY; POOLS],
            pools: [PoolRecord::EMPTY; POOLS],
            sessions: [const { IdSlot::EMPTY }; SESSIONS],
            session_buckets: [0; SESSIONS],
            session_ids: [[0; ID_BYTES]; SESSIONS],
        }
    }

    /// The memory for one scheduler, without prices and without names of models; whatever an earlier one kept in it is
    /// dropped.
    pub fn storage(&mut self) -> SchedulerStorage<'_, L> {
        SchedulerStorage {
            queue: QueueStorage {
                jobs: &mut self.waiting,
                buckets: &mut self.waiting_buckets,
                ids: self.waiting_ids.as_flattened_mut(),
                job_tenants: self.job_tenants.as_flattened_mut(),
                tenants: &mut self.tenants,
                tenant_buckets: &mut self.tenant_buckets,
                tenant_ids: &mut self.tenant_ids,
            },
            job_bytes: self.job_bytes.as_flattened_mut(),
            leases: LeaseStorage {
                slots: &mut self.leases,
                buckets: &mut self.lease_buckets,
                ids: self.lease_ids.as_flattened_mut(),
                pools: &mut self.pool_leases,
            },
            model_names: &mut [],
            pools: &mut self.pools,
            sessions: SessionStorage {
                slots: &mut self.sessions,
                buckets: &mut self.session_buckets,
                ids: self.session_ids.as_flattened_mut(),
            },
            prices: Prices::default(),
            hash_seed: 0,
        }
    }
}
