//! Fleets of any size: the same rows that a node agent keeps in fixed storage, in vectors.
//!
//! A [`Fleet`] is read once and placed on; a [`LiveFleet`] is what a scheduler runs over, while pools come, change and go.
//!
//! A [`FleetBuilder`] takes validated pools in any order; [`FleetBuilder::finish`] sorts them by `(id, replica_id)`,
//! refuses those that claim one identity twice (POOL-1), numbers names in bytewise order and packs lists. Two fleets
//! built from the same rows in different orders are equal, byte for byte, and so is their [`Fleet::content_hash`].
//!
//! ```
//! use orchestrator_core::PoolSnapshot;
//! use orchestrator_host::fleet::FleetBuilder;
//!
//! let build = |ids: [&str; 2]| {
//!     let mut builder = FleetBuilder::default();
//!     for (line, id) in (1..).zip(ids) {
//!         builder.add(line, &PoolSnapshot::new(id, "vllm", 8, 8, 1 << 36, 1 << 36).validate().unwrap()).unwrap();
//!     }
//!     builder.finish().fleet
//! };
//! assert_eq!(build(["a", "b"]).content_hash(), build(["b", "a"]).content_hash());
//! ```

mod arena;
mod builder;
mod content;
mod live;
mod names;
mod sessions;
mod staged;

pub use builder::{Built, DuplicatePool, FleetBuilder};
pub use live::LiveFleet;
pub use names::FleetLimit;
pub use sessions::Sessions;

use arena::{Arena, position};
use names::Vocabulary;
use orchestrator_core::commit::{CommitError, Lease, commit, release};
use orchestrator_core::hash::spread_pool_hash;
use orchestrator_core::rows::{
    DeviceRow, JobRow, LabelRow, NameId, PoolClass, PoolLists, PoolRow, PoolTable, PoolTableMut, RankRange, WarmRow,
};
use orchestrator_core::{Directory, NameKind, Policy};

/// A pool's identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolName {
    /// The pool's id.
    pub id: Box<str>,
    /// Which of its replicas.
    pub replica_id: Box<str>,
}

impl PoolName {
    fn spread_hash(&self, seed: u64) -> u64 {
        spread_pool_hash(seed, &self.id, &self.replica_id)
    }
}

/// All pools, sorted: the index of a pool is its rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    pools: Vec<PoolName>,
    vocabulary: Vocabulary,
    rows: Vec<PoolRow>,
    classes: Vec<PoolClass>,
    lists: Vec<PoolLists>,
    arenas: Arenas,
    spread_hashes: Vec<u64>,
    content_hash: u64,
}

/// The lists of all pools, one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Arenas {
    models: Vec<NameId>,
    digests: Vec<NameId>,
    labels: Vec<LabelRow>,
    devices: Vec<DeviceRow>,
    residents: Arena<NameId>,
    warm: Vec<WarmRow>,
}

impl Fleet {
    /// The number of pools.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pools.len()
    }

    /// Whether there are no pools.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// The number of classes: sets of facts that rarely change, shared by pools that have the same.
    #[must_use]
    pub const fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// The identity of the pool at `rank`.
    #[must_use]
    pub fn name(&self, rank: u32) -> Option<&PoolName> {
        self.pools.get(usize::try_from(rank).ok()?)
    }

    /// The hash of the snapshot as it was read: commits do not change it. HASH-2.
    #[must_use]
    pub const fn content_hash(&self) -> u64 {
        self.content_hash
    }

    /// Works out what a policy with a spread seed needs of every pool. KEY-8. O(pools).
    pub fn prepare_for(&mut self, policy: &Policy) {
        let seed = policy.spread_seed();
        self.spread_hashes = seed.map_or_else(Vec::new, |seed| spread_hashes(&self.pools, seed));
    }

    /// The pools as a table for decisions under the policy last [prepared for](Self::prepare_for).
    #[must_use]
    pub fn table(&self) -> PoolTable<'_> {
        PoolTable {
            rows: &self.rows,
            classes: &self.classes,
            lists: &self.lists,
            models: &self.arenas.models,
            digests: &self.arenas.digests,
            labels: &self.arenas.labels,
            devices: &self.arenas.devices,
            residents: self.arenas.residents.entries(),
            warm: &self.arenas.warm,
            spread_hashes: &self.spread_hashes,
        }
    }

    /// Gives a model that only jobs know a number, so that a commit can make it resident.
    pub fn intern_model(&mut self, model_id: &str) -> NameId {
        self.vocabulary.intern_for_job(NameKind::Model, model_id)
    }

    /// Takes the pool's slot and VRAM for a job. COMMIT-1 to COMMIT-4.
    ///
    /// # Errors
    /// When the pool's state no longer allows it.
    pub fn commit(&mut self, job: &JobRow, rank: u32) -> Result<Lease, CommitError> {
        if let Some(lists) = self.lists.get_mut(rank as usize) {
            self.arenas.residents.make_room_for_resident(lists);
        }
        commit(&mut self.table_mut(), job, rank)
    }

    /// Gives back a lease's slot and KV bytes. COMMIT-6.
    pub fn release(&mut self, lease: &Lease) {
        release(&mut self.table_mut(), lease);
    }

    fn table_mut(&mut self) -> PoolTableMut<'_> {
        PoolTableMut {
            rows: &mut self.rows,
            classes: &self.classes,
            lists: &mut self.lists,
            devices: &mut self.arenas.devices,
            residents: self.arenas.residents.entries_mut(),
        }
    }
}

impl Directory for Fleet {
    fn find(&self, kind: NameKind, name: &str) -> Option<NameId> {
        self.vocabulary.find(kind, name)
    }

    fn ranks_of(&self, pool_id: &str) -> RankRange {
        ranks_of(&self.pools, pool_id)
    }
}

/// The ranks of all replicas of a pool id, among pools in order. O(log pools).
fn ranks_of(pools: &[PoolName], pool_id: &str) -> RankRange {
    let start = pools.partition_point(|pool| &*pool.id < pool_id);
    let end = pools.partition_point(|pool| &*pool.id <= pool_id);
    // A fleet has at most 2^30 pools.
    RankRange { start: position(start), end: position(end) }
}

/// What a policy with this spread seed needs of every pool. KEY-8.
fn spread_hashes(pools: &[PoolName], seed: u64) -> Vec<u64> {
    pools.iter().map(|pool| pool.spread_hash(seed)).collect()
}
