//! Leases: which job holds room on which pool, until exactly one end gives it back.
//!
//! ```text
//!               (1) reserve        (2) started        (3) first_token
//!   waiting ──────────────▶ Reserved ────────▶ Running ────────▶ Streaming
//!      commit takes room       │                  │                  │
//!                              │   (2), (3): also by a later report that implies them
//!                              ▼                  ▼                  ▼
//!                          ─────── (4) to (8) end, once: gone ───────────
//!                                  give_back_to: release, if counted
//! ```
//! 1. [`PoolRegistry::commit`](crate::PoolRegistry::commit), then [`Leases::reserve`]; LEASE-1.
//! 2. [`Leases::started`].
//! 3. [`Leases::first_token`]; [`Leases::progress`] keeps the state, or starts a reserved job; LEASE-7.
//! 4. Finished: [`Leases::end`], from every state; then [`Leased::give_back_to`].
//! 5. Failed: the same.
//! 6. Canceled: the same; LEASE-6.
//! 7. Expired: [`Leases::next_expired`] names the lease, then the same; LEASE-5.
//! 8. Pool lost: [`Leases::first_of_pool`] names the lease, then the same; LEASE-4.
//!
//! Beside the life of a lease its room may be counted or not: a snapshot replaces the pool's numbers, and
//! [`credit_after_snapshot`] takes again what it had not seen (LEASE-3).
//!
//! ```
//! use orchestrator_core::scheduler::{LeaseState, LeaseStorage, Leases, NewLease, PoolLeases, Reported};
//! use orchestrator_core::storage::IdSlot;
//! use orchestrator_core::{JobSpec, Policy, PoolRegistry, PoolSnapshot, SmallFleet};
//!
//! let mut fleet: SmallFleet<2, 4, 16> = SmallFleet::new();
//! let pool = PoolRegistry::upsert(&mut fleet, &PoolSnapshot::new("a", "vllm", 8, 8, 80 << 30, 80 << 30)).unwrap();
//! let (mut slots, mut buckets, mut ids) = ([const { IdSlot::EMPTY }; 4], [0; 4], [0; 4 * 65]);
//! let mut pools = [PoolLeases::EMPTY; 2];
//! let storage = LeaseStorage { slots: &mut slots, buckets: &mut buckets, ids: &mut ids, pools: &mut pools };
//! let mut leases = Leases::new(storage);
//!
//! let job = JobSpec::new("j", "vllm", "m").validate(&Policy::default(), None).unwrap();
//! let held = PoolRegistry::commit(&mut fleet, &job, 0).unwrap();
//! let new = NewLease {
//!     pool,
//!     held,
//!     admitted_at_us: 0,
//!     predicted_end_us: None,
//!     pool_wait_us: 0,
//!     prefill_us: 0,
//!     prompt_tokens: 10,
//!     job: (),
//! };
//! let ticket = leases.reserve("j", new, 5).unwrap();
//! assert_eq!(leases.first_token(ticket, 9), Reported::Taken { starts: true });
//! assert_eq!(leases.started(ticket, 9), Reported::Repeated);
//! assert_eq!(leases.get(ticket).map(|lease| lease.state()), Some(LeaseState::Streaming));
//!
//! let ended = leases.end(ticket).unwrap();
//! assert_eq!(ended.usage(19, 7).decode_us, 10);
//! ended.give_back_to(&mut fleet);
//! assert!(leases.end(ticket).is_none());
//! assert_eq!(fleet.table().rows[0].slots_free, 8);
//! ```
//!
//! Invariants: a job has at most one lease, and a lease one pool (LEASE-2); a lease stands in the list of its pool and of
//! its state, and once started in that of last reports; times in the lists never fall, so the watchdog looks at three
//! heads and at nothing else.

mod credit;
mod lease;
mod links;
mod restore;
mod watchdog;

pub use credit::credit_after_snapshot;
pub use lease::{LeaseState, Leased, NewLease};
pub use links::PoolLeases;
pub(super) use restore::WatchOrder;

use self::links::{InPool, StateLists};
use crate::error::Problem;
use crate::fleet::PoolHandle;
use crate::storage::list::{NONE, next};
use crate::storage::{IdSlot, IdTable, InsertError, ROWS_MAX, Ticket};
use crate::values::index::index;
use crate::values::kept::heard;

/// What leases are kept in.
#[derive(Debug)]
pub struct LeaseStorage<'a, L, P> {
    /// One for each lease.
    pub slots: &'a mut [IdSlot<Leased<L, P>>],
    /// Hash buckets, about as many.
    pub buckets: &'a mut [u32],
    /// Ids of their jobs: an equal stretch of up to 65 bytes for each, one of them for its length.
    pub ids: &'a mut [u8],
    /// One for each pool that fits the fleet: its [`capacity`](crate::PoolRegistry::capacity).
    pub pools: &'a mut [PoolLeases],
}

/// A lease that was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotReserved<L, P> {
    /// Why.
    pub why: ReserveError,
    /// What was to be leased: its room is still taken, and is the caller's to give back.
    pub lease: NewLease<L, P>,
}

/// Why a lease was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReserveError {
    /// The job's id is no id, has a lease already, or every place for a lease is taken.
    Insert(InsertError),
    /// There is no storage for the leases of this pool.
    NoSuchPool,
}

/// What became of a report. LEASE-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Reported {
    /// It took effect.
    Taken {
        /// Whether the job starts with it.
        starts: bool,
    },
    /// This was reported before, or something that comes after it; nothing changed.
    Repeated,
    /// The lease is gone.
    NoLease,
}

/// All leases: `L` is what a registry's commit returned, `P` what else the scheduler keeps of a job.
#[derive(Debug)]
pub struct Leases<'a, L, P> {
    table: IdTable<'a, Leased<L, P>>,
    pools: &'a mut [PoolLeases],
    states: StateLists,
    /// The latest time given: the lists rely on it not to fall.
    latest_us: u64,
}

impl<'a, L, P> Leases<'a, L, P> {
    /// No leases, over this storage; whatever it held is dropped. O(storage).
    #[must_use]
    pub fn new(storage: LeaseStorage<'a, L, P>) -> Self {
        Self::with_hash_seed(storage, 0)
    }

    /// The same, with hash buckets that depend on a seed which strangers who choose job ids cannot know.
    #[must_use]
    pub fn with_hash_seed(storage: LeaseStorage<'a, L, P>, hash_seed: u64) -> Self {
        let LeaseStorage { slots, buckets, ids, pools } = storage;
        let (pools, _) = pools.split_at_mut(pools.len().min(index(ROWS_MAX)));
        pools.fill(PoolLeases::EMPTY);
        let table = IdTable::with_hash_seed(slots, buckets, ids, hash_seed);
        Self { table, pools, states: StateLists::EMPTY, latest_us: 0 }
    }

    /// The number of leases.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.table.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The number of leases that fit.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.table.capacity()
    }

    /// Whether a job's id is as short as there is room for.
    pub(super) fn check_id(&self, job_id: &str) -> Result<(), Problem> {
        self.table.check_fits(job_id)
    }

    /// Whether every place for a lease is taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.table.is_full()
    }

    /// The lease of a job. O(1) expected.
    #[must_use]
    pub fn find(&self, job_id: &str) -> Option<Ticket> {
        self.table.find(job_id)
    }

    /// A lease, if it is still there. O(1).
    #[must_use]
    pub fn get(&self, ticket: Ticket) -> Option<&Leased<L, P>> {
        self.table.get(ticket)
    }

    /// The id of a lease's job. O(1).
    #[must_use]
    pub fn id(&self, ticket: Ticket) -> Option<&str> {
        self.table.id(ticket)
    }

    /// All leases in the order of their slots. O(capacity).
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.table.tickets()
    }

    /// A pool's leases in the order of their reservation. O(leases of the pool).
    pub fn of_pool(&self, pool: PoolHandle) -> impl Iterator<Item = Ticket> {
        let mut slot = self.head_of(pool);
        let listed = core::iter::from_fn(move || {
            let ticket = self.table.at(slot)?;
            slot = next::<_, InPool>(&self.table, slot);
            Some(ticket)
        });
        // A pool that had the slot before may have leases that nobody ended yet.
        listed.filter(move |&ticket| self.get(ticket).is_some_and(|lease| lease.pool() == pool))
    }

    /// A pool's first lease in the order of their reservation: a caller that ends each and asks again gets all. LEASE-4.
    /// O(1), or O(leases that an earlier pool of the slot left behind).
    #[must_use]
    pub fn first_of_pool(&self, pool: PoolHandle) -> Option<Ticket> {
        self.of_pool(pool).next()
    }

    /// Makes a lease. LEASE-1. O(1) expected, and O(leases that wait in their pools and are to start later). LEASE-5.
    ///
    /// Here and below `now_us` is in µs and never goes back; an earlier time than before counts as that one, and one
    /// above [`NOW_MAX_US`](crate::limits::NOW_MAX_US) as that. UNIT-12.
    ///
    /// # Errors
    /// Nothing changes, and what was to be leased comes back: its room is the caller's to give back.
    pub fn reserve(&mut self, job_id: &str, lease: NewLease<L, P>, now_us: u64) -> Result<Ticket, NotReserved<L, P>> {
        let pool = lease.pool;
        if index(pool.slot) >= self.pools.len() {
            return Err(NotReserved { why: ReserveError::NoSuchPool, lease });
        }
        let leased = Leased::new(lease, self.advance(now_us));
        let ticket = self
            .table
            .insert_or_return(job_id, leased)
            .map_err(|(error, leased)| NotReserved { why: ReserveError::Insert(error), lease: leased.into_new() })?;
        self.join_pool(ticket);
        self.states.reserve(&mut self.table, ticket);
        Ok(ticket)
    }

    /// The engine took the job. O(1).
    pub fn started(&mut self, ticket: Ticket, now_us: u64) -> Reported {
        match self.get(ticket) {
            None => Reported::NoLease,
            Some(lease) if lease.started_at_us().is_some() => Reported::Repeated,
            Some(_) => self.report(ticket, now_us, |_, _| ()),
        }
    }

    /// The job produced its first token; so it started. LEASE-7. O(1).
    pub fn first_token(&mut self, ticket: Ticket, now_us: u64) -> Reported {
        match self.get(ticket) {
            None => Reported::NoLease,
            Some(lease) if lease.first_token_at_us().is_some() => Reported::Repeated,
            Some(_) => {
                self.prefilled(ticket);
                self.report(ticket, now_us, Leased::produce_first_token)
            }
        }
    }

    /// The job goes on, with `tokens_out` tokens so far; so it started. A report of fewer tokens than before is late and
    /// no sign of life. LEASE-7. O(1).
    pub fn progress(&mut self, ticket: Ticket, now_us: u64, tokens_out: u32) -> Reported {
        match self.get(ticket) {
            None => Reported::NoLease,
            Some(lease) if tokens_out < lease.tokens_out() => Reported::Repeated,
            Some(_) => {
                if tokens_out > 0 {
                    self.prefilled(ticket);
                }
                self.report(ticket, now_us, |lease, _| lease.produce(tokens_out))
            }
        }
    }

    /// Takes a lease out, whatever its state: once, because its ticket finds nothing any more. LEASE-1. O(1) expected.
    ///
    /// What it holds is still taken: see [`Leased::give_back_to`].
    #[must_use = "what the lease holds is still taken"]
    pub fn end(&mut self, ticket: Ticket) -> Option<Leased<L, P>> {
        self.prefilled(ticket);
        let lease = self.table.get(ticket)?;
        let (pool, has_started) = (lease.pool(), lease.started_at_us().is_some());
        if let Some(own) = self.pools.get_mut(index(pool.slot)) {
            own.unlink(&mut self.table, ticket.slot());
        }
        self.states.end(&mut self.table, ticket, has_started);
        self.table.remove(ticket)
    }

    /// How long the prefills of a pool's leases take that are pending, in µs. LEASE-8. O(1).
    #[must_use]
    pub fn pending_prefill_us(&self, pool: PoolHandle) -> u64 {
        self.pools.get(index(pool.slot)).map_or(0, PoolLeases::pending_prefill_us)
    }

    /// Puts a lease last in its pool's list.
    fn join_pool(&mut self, ticket: Ticket) {
        let Some(lease) = self.table.get(ticket) else { return };
        let (pool, prefill_us) = (lease.pool(), lease.pending_prefill_us());
        if let Some(own) = self.pools.get_mut(index(pool.slot)) {
            own.push_back(&mut self.table, ticket.slot());
            // At most 2^30 leases of less than 2^46 µs would reach 2^76: it saturates, and so does what is taken off it.
            own.set_pending_prefill(own.pending_prefill_us().saturating_add(prefill_us));
        }
    }

    /// A lease's prefill is done, or never will be. LEASE-8.
    fn prefilled(&mut self, ticket: Ticket) {
        let Some(lease) = self.table.get_mut(ticket) else { return };
        let (pool, prefill_us) = (lease.pool(), lease.take_prefill());
        if let Some(own) = self.pools.get_mut(index(pool.slot)) {
            own.set_pending_prefill(own.pending_prefill_us().saturating_sub(prefill_us));
        }
    }

    /// Notes a sign of life; the first one is the start.
    fn report(&mut self, ticket: Ticket, now_us: u64, note: impl FnOnce(&mut Leased<L, P>, u64)) -> Reported {
        let now_us = self.advance(now_us);
        let Some(lease) = self.table.get_mut(ticket) else { return Reported::NoLease };
        let starts = lease.started_at_us().is_none();
        lease.start(now_us);
        lease.hear(now_us);
        note(lease, now_us);
        if starts {
            self.states.start(&mut self.table, ticket);
        } else {
            self.states.report(&mut self.table, ticket);
        }
        Reported::Taken { starts }
    }

    fn advance(&mut self, now_us: u64) -> u64 {
        self.latest_us = self.latest_us.max(heard(now_us));
        self.latest_us
    }

    /// The slot of the first lease in the list that a pool's slot has.
    fn head_of(&self, pool: PoolHandle) -> u32 {
        self.pools.get(index(pool.slot)).map_or(NONE, PoolLeases::first)
    }
}
