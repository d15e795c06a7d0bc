//! A scheduler's memory in vectors, with sizes chosen at run time. The only place that makes it.

use std::hash::{BuildHasher, RandomState};

use orchestrator_core::limits::{ID_BYTES_MAX, NAME_BYTES_MAX};
use orchestrator_core::scheduler::{
    Capacities, LeaseStorage, Leased, PoolLeases, PoolRecord, Price, Prices, QueueStorage, RunningJob,
    SchedulerStorage, Session, SessionStorage, TenantSlot, WaitingJob, WaitingSlot,
};
use orchestrator_core::storage::IdSlot;

use crate::input;

/// No table has more entries.
const ENTRIES_MAX: u32 = 1 << 22;
/// The length of a waiting job has 16 bits, and 2 bytes of its own.
const JOB_BYTES_MAX: u32 = (1 << 16) + 1;
/// An id and its length.
const ID_BYTES: usize = ID_BYTES_MAX + 1;
/// All waiting jobs together have at most this many bytes.
const ALL_JOB_BYTES_MAX: u64 = 1 << 32;
/// A length and a name, for the model of every lease.
const MODEL_NAME_BYTES_MAX: u32 = NAME_BYTES_MAX as u32 + 1;

/// How much a scheduler holds: numbers of entries, and bytes of a waiting job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Jobs that wait.
    pub waiting: u32,
    /// Bytes of a waiting job.
    pub job_bytes: u32,
    /// Jobs that run.
    pub running: u32,
    /// Bytes of the name of a running job's model, and one more.
    pub model_name_bytes: u32,
    /// Sessions.
    pub sessions: u32,
    /// Pools.
    pub pools: u32,
    /// Tenants with a turn of their own. QUEUE-10.
    pub tenants: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            waiting: 4096,
            job_bytes: 1024,
            running: 16_384,
            model_name_bytes: MODEL_NAME_BYTES_MAX,
            sessions: 65_536,
            pools: 16_384,
            tenants: 1024,
        }
    }
}

/// Sizes that no storage has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A table is too large.
    #[error("{what}: {size} is above the limit of {max}")]
    TooLarge {
        /// Which size.
        what: &'static str,
        /// What it is.
        size: u64,
        /// What it can be.
        max: u64,
    },
    /// A price has a name that is none, or two prices are for the same names.
    #[error("prices: {0}")]
    Prices(#[from] orchestrator_core::FieldError),
}

impl Sizes {
    fn check(&self) -> Result<(), StorageError> {
        let Self { waiting, job_bytes, running, model_name_bytes, sessions, pools, tenants } = *self;
        let all_job_bytes = u64::from(waiting) * u64::from(job_bytes);
        let limits = [
            ("waiting jobs", waiting.into(), ENTRIES_MAX.into()),
            ("bytes of a waiting job", job_bytes.into(), JOB_BYTES_MAX.into()),
            ("bytes of all waiting jobs", all_job_bytes, ALL_JOB_BYTES_MAX),
            ("running jobs", running.into(), ENTRIES_MAX.into()),
            ("bytes of a model's name", model_name_bytes.into(), MODEL_NAME_BYTES_MAX.into()),
            ("sessions", sessions.into(), ENTRIES_MAX.into()),
            ("pools", pools.into(), ENTRIES_MAX.into()),
            ("tenants", tenants.into(), ENTRIES_MAX.into()),
        ];
        let too_large = limits.into_iter().find(|&(_, size, max)| size > max);
        too_large.map_or(Ok(()), |(what, size, max)| Err(StorageError::TooLarge { what, size, max }))
    }
}

impl From<Sizes> for Capacities {
    fn from(sizes: Sizes) -> Self {
        let Sizes { waiting, job_bytes, running, model_name_bytes, sessions, pools, tenants } = sizes;
        Self { pools, waiting_jobs: waiting, job_bytes, leases: running, model_name_bytes, sessions, tenants }
    }
}

impl From<Capacities> for Sizes {
    fn from(capacities: Capacities) -> Self {
        let Capacities { pools, waiting_jobs, job_bytes, leases, model_name_bytes, sessions, tenants } = capacities;
        Self { waiting: waiting_jobs, job_bytes, running: leases, model_name_bytes, sessions, pools, tenants }
    }
}

/// The memory of one scheduler over a fleet whose commits are `L`.
#[derive(Debug)]
pub struct HostStorage<L> {
    waiting: Vec<WaitingSlot<WaitingJob>>,
    waiting_buckets: Vec<u32>,
    waiting_ids: Vec<u8>,
    job_tenants: Vec<u8>,
    job_bytes: Vec<u8>,
    tenants: Vec<TenantSlot>,
    tenant_buckets: Vec<u32>,
    tenant_ids: Vec<u8>,
    leases: Vec<IdSlot<Leased<L, RunningJob>>>,
    lease_buckets: Vec<u32>,
    lease_ids: Vec<u8>,
    pool_leases: Vec<PoolLeases>,
    model_names: Vec<u8>,
    pools: Vec<PoolRecord>,
    sessions: Vec<IdSlot<Session>>,
    session_buckets: Vec<u32>,
    session_ids: Vec<u8>,
    prices: Vec<Price>,
    hash_seed: u64,
}

impl<L> HostStorage<L> {
    /// Memory of these sizes. O(sizes).
    ///
    /// # Errors
    /// A size above its limit, or prices that are none.
    pub fn new(sizes: &Sizes, prices: &[input::Price]) -> Result<Self, StorageError> {
        sizes.check()?;
        let [waiting, job_bytes, running, sessions, pools, tenants] =
            [sizes.waiting, sizes.job_bytes, sizes.running, sizes.sessions, sizes.pools, sizes.tenants]
                .map(|size| size as usize);
        Ok(Self {
            waiting: unused(waiting, || WaitingSlot::EMPTY),
            waiting_buckets: vec![0; waiting],
            waiting_ids: vec![0; waiting * ID_BYTES],
            job_tenants: vec![0; waiting * ID_BYTES],
            job_bytes: vec![0; waiting * job_bytes],
            tenants: unused(tenants, || TenantSlot::EMPTY),
            tenant_buckets: vec![0; tenants],
            tenant_ids: vec![0; tenants * ID_BYTES],
            leases: unused(running, || IdSlot::EMPTY),
            lease_buckets: vec![0; running],
            lease_ids: vec![0; running * ID_BYTES],
            pool_leases: unused(pools, || PoolLeases::EMPTY),
            model_names: vec![0; running * sizes.model_name_bytes as usize],
            pools: unused(pools, || PoolRecord::EMPTY),
            sessions: unused(sessions, || IdSlot::EMPTY),
            session_buckets: vec![0; sessions],
            session_ids: vec![0; sessions * ID_BYTES],
            prices: table_of(prices)?,
            hash_seed: 0,
        })
    }

    /// The bytes that [`new`](Self::new) takes for these sizes, but for prices.
    pub(super) fn bytes_of(sizes: &Sizes) -> u64 {
        let Sizes { waiting, job_bytes, running, model_name_bytes, sessions, pools, tenants } = *sizes;
        const BUCKET: usize = size_of::<u32>();
        let each = [
            (waiting, size_of::<WaitingSlot<WaitingJob>>() + BUCKET + 2 * ID_BYTES, job_bytes),
            (running, size_of::<IdSlot<Leased<L, RunningJob>>>() + BUCKET + ID_BYTES, model_name_bytes),
            (sessions, size_of::<IdSlot<Session>>() + BUCKET + ID_BYTES, 0),
            (pools, size_of::<PoolLeases>() + size_of::<PoolRecord>(), 0),
            (tenants, size_of::<TenantSlot>() + BUCKET + ID_BYTES, 0),
        ];
        let bytes = each.map(|(count, own, text)| u64::from(count).saturating_mul(own as u64 + u64::from(text)));
        bytes.into_iter().fold(0, u64::saturating_add)
    }

    /// Hashes ids in a way that nobody outside knows, so that nobody can fill one bucket. No answer depends on it.
    #[must_use]
    pub fn with_random_hashes(mut self) -> Self {
        self.hash_seed = RandomState::new().hash_one(0);
        self
    }

    /// The memory for one scheduler; whatever an earlier one kept in it is dropped.
    pub fn storage(&mut self) -> SchedulerStorage<'_, L> {
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
            prices: Prices::new(&self.prices).expect("they were checked when they came"),
            hash_seed: self.hash_seed,
        }
    }
}

fn unused<T>(count: usize, empty: impl FnMut() -> T) -> Vec<T> {
    std::iter::repeat_with(empty).take(count).collect()
}

/// Prices in the order in which they are looked up. BUDGET-2.
fn table_of(prices: &[input::Price]) -> Result<Vec<Price>, StorageError> {
    let core = |price: &input::Price| {
        Price::new(price.engine.as_deref(), price.model.as_deref(), price.micros_per_1000_tokens)
    };
    let mut table = prices.iter().map(core).collect::<Result<Vec<_>, _>>()?;
    table.sort_unstable();
    Prices::new(&table)?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use orchestrator_core::commit::Lease;

    use super::*;

    fn price(engine: Option<&str>, model: Option<&str>, micros_per_1000_tokens: u32) -> input::Price {
        input::Price { engine: engine.map(str::to_owned), model: model.map(str::to_owned), micros_per_1000_tokens }
    }

    #[test]
    fn memory_has_the_sizes_that_were_asked_for() {
        let sizes =
            Sizes { waiting: 3, job_bytes: 100, running: 5, sessions: 7, pools: 2, tenants: 0, ..Sizes::default() };
        let mut storage: HostStorage<Lease> = HostStorage::new(&sizes, &[]).unwrap();
        let storage = storage.storage();
        assert_eq!((storage.queue.jobs.len(), storage.job_bytes.len(), storage.queue.tenants.len()), (3, 300, 0));
        assert_eq!((storage.leases.slots.len(), storage.sessions.slots.len()), (5, 7));
        assert_eq!((storage.leases.pools.len(), storage.pools.len()), (2, 2));
        assert_eq!(Sizes::from(Capacities::from(sizes)), sizes);
    }

    #[test]
    fn the_bytes_are_those_of_the_tables() {
        let sizes =
            Sizes { waiting: 3, job_bytes: 100, running: 5, sessions: 7, pools: 2, tenants: 4, ..Sizes::default() };
        let mut storage: HostStorage<Lease> = HostStorage::new(&sizes, &[]).unwrap();
        let SchedulerStorage { queue, job_bytes, leases, model_names, pools, sessions, .. } = storage.storage();
        let sums = [
            [size_of_val(queue.jobs), size_of_val(queue.buckets), size_of_val(queue.tenants)],
            [size_of_val(queue.tenant_buckets), size_of_val(job_bytes), size_of_val(leases.slots)],
            [size_of_val(leases.buckets), size_of_val(leases.pools), size_of_val(model_names)],
            [size_of_val(pools), size_of_val(sessions.slots), size_of_val(sessions.buckets)],
            [size_of_val(queue.ids), size_of_val(queue.job_tenants), size_of_val(queue.tenant_ids)],
            [size_of_val(leases.ids), size_of_val(sessions.ids), 0],
        ];
        let sum: usize = sums.iter().flatten().sum();
        assert_eq!(HostStorage::<Lease>::bytes_of(&sizes), sum as u64);
        let most = Sizes { waiting: u32::MAX, job_bytes: u32::MAX, running: u32::MAX, ..sizes };
        assert_eq!(HostStorage::<Lease>::bytes_of(&most), u64::MAX);
    }

    // A recording may come from anybody: its capacities take no more memory than a scheduler's may.
    #[test]
    fn sizes_have_limits() {
        let refused = |sizes| HostStorage::<Lease>::new(&sizes, &[]).unwrap_err().to_string();
        let sizes =
            Sizes { waiting: 0, job_bytes: 0, running: 0, model_name_bytes: 0, sessions: 0, pools: 0, tenants: 0 };
        assert!(HostStorage::<Lease>::new(&sizes, &[]).is_ok());
        for (sizes, what) in [
            (Sizes { waiting: u32::MAX, ..sizes }, "waiting jobs: 4294967295 is above the limit of 4194304"),
            (Sizes { job_bytes: 65_538, ..sizes }, "bytes of a waiting job: 65538 is above the limit of 65537"),
            (Sizes { waiting: 1 << 20, job_bytes: 8192, ..sizes }, "bytes of all waiting jobs: 8589934592"),
            (Sizes { running: u32::MAX, ..sizes }, "running jobs"),
            (Sizes { model_name_bytes: 130, ..sizes }, "bytes of a model's name: 130 is above the limit of 129"),
            (Sizes { sessions: u32::MAX, ..sizes }, "sessions"),
            (Sizes { pools: u32::MAX, ..sizes }, "pools"),
            (Sizes { tenants: u32::MAX, ..sizes }, "tenants"),
        ] {
            let said = refused(sizes);
            assert!(said.starts_with(what), "{said}");
        }
    }

    // BUDGET-2: in any order in the file, the most exact price is found.
    #[test]
    fn prices_are_sorted_and_checked() {
        let prices = [price(Some("vLLM"), Some("m"), 3), price(None, None, 1), price(Some("vllm"), None, 2)];
        let mut storage: HostStorage<Lease> = HostStorage::new(&Sizes::default(), &prices).unwrap();
        let prices = storage.storage().prices;
        let found = [("vllm", "m"), ("vllm", "x"), ("other", "m")].map(|(e, m)| prices.micros_per_1000_tokens(e, m));
        assert_eq!(found, [3, 2, 1]);
        for bad in [vec![price(Some(""), None, 1)], vec![price(Some("a"), None, 1), price(Some("A"), None, 2)]] {
            let refused = HostStorage::<Lease>::new(&Sizes::default(), &bad).unwrap_err();
            assert!(matches!(refused, StorageError::Prices(_)), "{refused}");
        }
    }
}
