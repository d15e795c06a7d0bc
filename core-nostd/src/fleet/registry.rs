//! What a scheduler needs of a fleet whose pools come, change and go while it runs.
//!
//! A rank is a pool's place among those that are there now, so it shifts when others come and go. Whoever remembers a
//! pool for longer, such as a lease or a session, keeps its [`PoolHandle`].
//!
//! Implementations: [`SmallFleet`](crate::SmallFleet) in fixed storage, `LiveFleet` of the host at any size. Both
//! answer with the core's own [`decide`](crate::decide) over their rows, so the answers are equal.

use super::FleetError;
use crate::commit::{CommitError, Taken};
use crate::input::{PoolSnapshot, ValidJob};
use crate::placement::{Explanation, PlacementDecision};
use crate::policy::Policy;
use crate::rows::{PoolRow, SessionEntry};

/// A pool for as long as it is there, whatever rank it has. A pool that comes back after it was removed is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PoolHandle {
    /// Its slot: below [`PoolRegistry::capacity`], and no other pool's at the same time.
    pub slot: u32,
    /// How many pools had the slot before it, modulo 2^32.
    pub generation: u32,
}

/// A pool's identity, and what metrics and logs name beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PoolFacts<'a> {
    /// The pool's id.
    pub id: &'a str,
    /// Which of its replicas.
    pub replica_id: &'a str,
    /// Its engine, as published first.
    pub engine: &'a str,
    /// The engine's version, if published.
    pub engine_version: Option<&'a str>,
}

/// A fleet that a scheduler drives.
pub trait PoolRegistry {
    /// What a commit took, with the means to give it back.
    type Lease;

    /// The number of pools that fit: handles have smaller slots.
    fn capacity(&self) -> u32;

    /// The number of pools: ranks are smaller.
    fn len(&self) -> u32;

    /// Whether there are no pools.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a snapshot in place of its pool's former one, or adds a pool.
    ///
    /// # Errors
    /// A field that breaks a rule or does not fit, or no place for another pool. The fleet is as before.
    fn upsert(&mut self, snapshot: &PoolSnapshot<'_>) -> Result<PoolHandle, FleetError>;

    /// Removes a pool; says whether it was there.
    fn remove(&mut self, pool: PoolHandle) -> bool;

    /// The pool with these ids.
    fn find(&self, id: &str, replica_id: &str) -> Option<PoolHandle>;

    /// The pool at a rank.
    fn at_rank(&self, rank: u32) -> Option<PoolHandle>;

    /// The rank of a pool, if it is still there.
    fn rank_of(&self, pool: PoolHandle) -> Option<u32>;

    /// Who a pool is, if it is still there.
    fn facts(&self, pool: PoolHandle) -> Option<PoolFacts<'_>>;

    /// What changes about a pool, if it is still there.
    fn row(&self, pool: PoolHandle) -> Option<&PoolRow>;

    /// Total less free VRAM of a pool, over all its devices, in bytes; if it is still there.
    fn vram_used_bytes(&self, pool: PoolHandle) -> Option<u64>;

    /// Marks a pool as draining or not; says whether it was there.
    fn set_draining(&mut self, pool: PoolHandle, draining: bool) -> bool;

    /// Sets the age of a pool's snapshot, in µs.
    fn set_age(&mut self, pool: PoolHandle, age_us: u64);

    /// Sets how long a job waits for a pool before its own prefill, in µs. LEASE-8.
    fn set_admission_latency(&mut self, pool: PoolHandle, admission_latency_us: u64);

    /// Works out what a policy asks of every pool, such as the hashes of its spread seed (KEY-8). Called before the first
    /// decision under it.
    fn prepare_for(&mut self, policy: &Policy) {
        let _ = policy;
    }

    /// Whether a pool takes jobs at all now: [`any_takes_jobs`](crate::rule::feasibility::any_takes_jobs). A pass over
    /// waiting jobs asks for none of them where it is false. QUEUE-13. O(pools).
    fn takes_jobs(&self, policy: &Policy) -> bool;

    /// Decides which pool takes the job; `session` is what the session table says of its session.
    fn decide(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> PlacementDecision;

    /// Explains the decision of [`PoolRegistry::decide`].
    fn explain(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> Explanation;

    /// Takes the pool's slot and VRAM for the job. COMMIT-1 to COMMIT-4.
    ///
    /// # Errors
    /// When the pool's state does not allow it; nothing changes.
    fn commit(&mut self, job: &ValidJob<'_>, rank: u32) -> Result<Self::Lease, CommitError>;

    /// Takes again from a pool what a lease on it took, because a snapshot that had not seen the lease replaced the
    /// pool's numbers; says whether there was room. LEASE-3.
    fn retake(&mut self, pool: PoolHandle, lease: &Self::Lease) -> bool;

    /// What a lease took, to be kept beyond this process. STATE-1.
    fn export_lease<'l>(&self, lease: &'l Self::Lease) -> Taken<'l>;

    /// The lease on a pool that took this before the pool's snapshot; none if the pool is gone, or no pool of this fleet has
    /// so many devices. The pool's numbers stay as they are. STATE-4.
    fn import_lease(&self, pool: PoolHandle, taken: Taken<'_>) -> Option<Self::Lease>;

    /// Gives back what a lease took; says whether its pool is still there. COMMIT-6.
    fn release(&mut self, pool: PoolHandle, lease: Self::Lease) -> bool;
}
