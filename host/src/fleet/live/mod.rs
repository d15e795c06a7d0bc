//! A fleet that lives: pools come, change, age and go while a scheduler runs.
//!
//! Pools are kept sorted, so a rank is an index and the core decides over the same rows as everywhere. A pool that comes
//! or goes moves the rows behind it; a snapshot of a known pool touches nothing but the pool's own row, class and lists,
//! and where these keep their shape it allocates nothing. Names have numbers in order of arrival; those that no pool
//! uses any more are forgotten when there are many, or when their numbers are needed.
//!
//! Invariants: rows, lists, names and slots of pools have the same order and length; every class number in a row is that
//! of a class that counts the pool; no forgotten name has its number in a row; at most as many names of a kind are listed
//! by pools as rows can tell apart (UNIT-8).

mod classes;
mod lists;
mod name_limits;
mod slots;

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use orchestrator_core::commit::{self, CommitError, Lease, Taken};
use orchestrator_core::limits::{POOLS_MAX, TIME_MAX_US};
use orchestrator_core::rows::{NameId, PoolFlags, PoolRow, PoolTable, PoolTableMut, RankRange, SessionEntry};
use orchestrator_core::rule::feasibility::any_takes_jobs;
use orchestrator_core::{
    Assignment, Directory, Explanation, FieldError, FleetError, NameKind, PlacementDecision, PlacementInput, Policy,
    PoolFacts, PoolHandle, PoolRegistry, PoolSnapshot, Problem, ValidJob, ValidPool, decide, explain, rank_best,
};

use super::arena::position;
use super::names::{NamesInUse, Vocabulary};
use super::staged::StagedLists;
use super::{PoolName, ranks_of, spread_hashes};
use classes::{Classes, Content};
use lists::ListTable;
use name_limits::LimitedNames;
use slots::Slots;

/// Names beyond twice those in use, and one per pool, that are kept before any is forgotten.
const IDLE_NAMES: usize = 1024;

/// A fleet of any size whose pools come, change and go.
///
/// ```
/// use orchestrator_core::{JobSpec, PlacementDecision, Policy, PoolRegistry, PoolSnapshot};
/// use orchestrator_host::fleet::LiveFleet;
///
/// let mut fleet = LiveFleet::with_capacity(64);
/// let b = fleet.upsert(&PoolSnapshot::new("b", "vllm", 8, 8, 80 << 30, 80 << 30)).unwrap();
/// assert_eq!(fleet.rank_of(b), Some(0));
/// let a = fleet.upsert(&PoolSnapshot::new("a", "vllm", 8, 1, 80 << 30, 80 << 30)).unwrap();
/// assert_eq!((fleet.rank_of(a), fleet.rank_of(b)), (Some(0), Some(1))); // b is the same pool, at another rank
///
/// let policy = Policy::default();
/// let job = JobSpec::new("job-1", "vllm", "some/model").validate(&policy, None).unwrap();
/// let PlacementDecision::Assigned(assignment) = fleet.decide(&job, &policy, None) else { panic!("pools are free") };
/// assert_eq!(fleet.at_rank(assignment.rank), Some(b));
/// let lease = fleet.commit(&job, assignment.rank).unwrap();
/// assert!(fleet.remove(a)); // the lease still finds its pool
/// assert!(fleet.release(b, lease));
/// ```
#[derive(Debug, Clone)]
pub struct LiveFleet {
    capacity: u32,
    /// Sorted; rows, lists, slots and hashes have the same order.
    pools: Vec<PoolName>,
    rows: Vec<PoolRow>,
    lists: ListTable,
    slots: Slots,
    spread: Option<Spread>,
    /// Slots by the names of their pools.
    by_name: HashTable<u32>,
    hasher: RandomState,
    classes: Classes,
    vocabulary: Vocabulary,
    /// How many names there are when those that no pool uses are looked for.
    names_due: usize,
    /// The lists of the snapshot at hand.
    staged: StagedLists,
}

/// What a policy with a spread seed needs of every pool. KEY-8.
#[derive(Debug, Clone)]
struct Spread {
    seed: u64,
    hashes: Vec<u64>,
}

impl LiveFleet {
    /// A fleet without pools, for at most `capacity` of them, and for at most 2^30 (UNIT-11). Memory is taken when pools
    /// come.
    #[must_use]
    pub fn with_capacity(capacity: u32) -> Self {
        Self {
            capacity: capacity.min(position(POOLS_MAX)),
            pools: Vec::new(),
            rows: Vec::new(),
            lists: ListTable::default(),
            slots: Slots::default(),
            spread: None,
            by_name: HashTable::new(),
            hasher: RandomState::new(),
            classes: Classes::default(),
            vocabulary: Vocabulary::default(),
            names_due: IDLE_NAMES,
            staged: StagedLists::default(),
        }
    }

    /// The identity of the pool at `rank`.
    #[must_use]
    pub fn name(&self, rank: u32) -> Option<&PoolName> {
        self.pools.get(rank as usize)
    }

    /// Fills `best` with the best pools, best first, and returns how many there are. O(pools * k).
    pub fn rank_best(
        &self,
        job: &ValidJob<'_>,
        policy: &Policy,
        session: Option<SessionEntry>,
        best: &mut [Option<Assignment>],
    ) -> usize {
        self.with_input(job, policy, session, |input| rank_best(input, best))
    }

    fn with_input<R>(
        &self,
        job: &ValidJob<'_>,
        policy: &Policy,
        session: Option<SessionEntry>,
        answer: impl FnOnce(&PlacementInput<'_>) -> R,
    ) -> R {
        let resolved = job.resolve(self);
        let other_hashes;
        let spread_hashes = match (policy.spread_seed(), &self.spread) {
            (None, _) => &[][..],
            (Some(seed), Some(spread)) if spread.seed == seed => &spread.hashes,
            (Some(seed), _) => {
                other_hashes = spread_hashes(&self.pools, seed);
                &other_hashes
            }
        };
        let table = PoolTable { spread_hashes, ..self.table() };
        let input = PlacementInput::new(table, resolved.query(session), policy)
            .expect("there is one row of lists and one hash per pool, and a place for at most 2^30 of them");
        answer(&input)
    }

    fn table(&self) -> PoolTable<'_> {
        PoolTable {
            rows: &self.rows,
            classes: self.classes.rows(),
            lists: &self.lists.rows,
            models: self.classes.models(),
            digests: self.classes.digests(),
            labels: self.lists.labels.entries(),
            devices: self.lists.devices.entries(),
            residents: self.lists.residents.entries(),
            warm: self.lists.warm.entries(),
            spread_hashes: &[],
        }
    }

    fn table_mut(&mut self) -> PoolTableMut<'_> {
        PoolTableMut {
            rows: &mut self.rows,
            classes: self.classes.rows(),
            lists: &mut self.lists.rows,
            devices: self.lists.devices.entries_mut(),
            residents: self.lists.residents.entries_mut(),
        }
    }

    fn slot_of(&self, id: &str, replica_id: &str) -> Option<u32> {
        let is_it = |name: &PoolName| *name.id == *id && *name.replica_id == *replica_id;
        let hash = self.hasher.hash_one((id, replica_id));
        self.by_name.find(hash, |&slot| is_it(&self.pools[self.slots.rank_of_slot(slot)])).copied()
    }

    fn row_mut(&mut self, pool: PoolHandle) -> Option<&mut PoolRow> {
        let rank = self.slots.rank_of(pool)?;
        self.rows.get_mut(rank)
    }
}

/// What an update does, step by step.
impl LiveFleet {
    /// Whether the lists of a snapshot can be written, as they came: positions have 32 bits.
    fn check_lists(&self, pool: &ValidPool<'_>) -> Result<(), FieldError> {
        let (snapshot, lists) = (pool.snapshot(), &self.lists);
        let (models, digests) = (snapshot.supports.models.unwrap_or_default(), snapshot.supports.model_digests);
        let fits = self.classes.can_take(models.len(), digests.len())
            && lists.labels.can_take(snapshot.labels.len())
            && lists.devices.can_take(snapshot.devices.len())
            && lists.residents.can_take(snapshot.resident_models.unwrap_or_default().len())
            && lists.warm.can_take(snapshot.warm_sessions.len());
        let full = Problem::StorageFull { capacity: u32::MAX as usize };
        if fits { Ok(()) } else { Err(FieldError::new("row", full)) }
    }

    /// Makes sure that there are numbers for the names of a snapshot, where its pool had the rank `known` before. Names
    /// that only the former snapshot has may be forgotten: the new one must be written in its place.
    fn make_names_fit(&mut self, pool: &ValidPool<'_>, known: Option<usize>) -> Result<(), FieldError> {
        let names = LimitedNames::of(pool.snapshot());
        if !names.fit(&self.vocabulary) {
            let in_use = self.names_in_use(known);
            names.check_beside(&self.vocabulary, &in_use)?;
            self.vocabulary.retain(&in_use);
        }
        Ok(())
    }

    /// The names of all pools, but of those that only the pool at `except` has.
    fn names_in_use(&self, except: Option<usize>) -> NamesInUse {
        let mut in_use = self.vocabulary.none_in_use();
        self.classes.mark_names(except.map(|rank| self.rows[rank].class), &mut in_use);
        self.lists.mark_names(except, &mut in_use);
        in_use
    }

    /// Forgets names that no pool uses, once there may be more of them than of others: O(1) per new name in the mean.
    fn forget_idle_names(&mut self) {
        if self.vocabulary.len() >= self.names_due {
            let in_use = self.names_in_use(None);
            self.vocabulary.retain(&in_use);
            self.names_due = self.vocabulary.len() * 2 + self.pools.len() + IDLE_NAMES;
        }
    }

    /// Makes a place for a new pool, and says at which rank. O(pools behind it).
    fn open_place(&mut self, id: &str, replica_id: &str) -> usize {
        let name = PoolName { id: id.into(), replica_id: replica_id.into() };
        let rank = self.pools.partition_point(|other| *other < name);
        if let Some(spread) = &mut self.spread {
            spread.hashes.insert(rank, name.spread_hash(spread.seed));
        }
        self.pools.insert(rank, name);
        self.lists.insert(rank);
        let slot = self.slots.insert(rank).slot;
        let Self { by_name, hasher, pools, slots, .. } = self;
        let hash_of = |name: &PoolName| hasher.hash_one((&*name.id, &*name.replica_id));
        by_name.insert_unique(hash_of(&pools[rank]), slot, |&slot| hash_of(&pools[slots.rank_of_slot(slot)]));
        rank
    }

    /// Removes the pool at `rank`, which is there. O(pools behind it).
    fn close_place(&mut self, rank: usize, slot: u32) {
        let name = self.pools.remove(rank);
        let hash = self.hasher.hash_one((&*name.id, &*name.replica_id));
        if let Ok(entry) = self.by_name.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        self.classes.release(self.rows.remove(rank).class);
        self.lists.remove(rank);
        self.slots.remove(rank);
        if let Some(spread) = &mut self.spread {
            spread.hashes.remove(rank);
        }
        self.squeeze();
    }

    /// Gives up the memory of lists that are gone, where it is much: O(1) per entry in the mean.
    fn squeeze(&mut self) {
        self.lists.squeeze();
        self.classes.squeeze();
    }

    /// Gives the job's model a number, and room in the pool's list, so that it can become resident. COMMIT-4.
    fn make_room_for_model(&mut self, rank: usize, model_id: &str) {
        let published = self.rows.get(rank).is_some_and(|row| row.flags.has(PoolFlags::RESIDENCY_PUBLISHED));
        if !published {
            return;
        }
        self.forget_idle_names();
        let model = self.vocabulary.intern_for_job(NameKind::Model, model_id);
        if !self.lists.has_resident(rank, model) {
            self.lists.make_room_for_resident(rank);
            self.lists.squeeze();
        }
    }
}

/// Look-ups by handle and by name are O(1).
impl PoolRegistry for LiveFleet {
    type Lease = Lease;

    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn len(&self) -> u32 {
        position(self.pools.len())
    }

    /// For a known pool O(its lists), without allocation where classes and lists keep their shape and names are known.
    fn upsert(&mut self, snapshot: &PoolSnapshot<'_>) -> Result<PoolHandle, FleetError> {
        let valid = snapshot.validate()?;
        let known = self.slot_of(snapshot.id, snapshot.replica_id).map(|slot| self.slots.rank_of_slot(slot));
        if known.is_none() && self.len() >= self.capacity {
            return Err(FleetError::Full { capacity: self.capacity as usize });
        }
        self.check_lists(&valid)?;
        self.forget_idle_names();
        self.make_names_fit(&valid, known)?;
        // From here on nothing is refused.
        let facts = self.staged.read(&valid, &mut self.vocabulary).expect("there are numbers for all names");
        self.staged.sort();
        let content = Content { facts: &facts, models: &self.staged.models, digests: &self.staged.digests };
        let rank = match known {
            Some(rank) => {
                let class = self.classes.exchange(self.rows[rank].class, content);
                self.rows[rank] = PoolRow { class, ..*valid.row() };
                rank
            }
            None => {
                let class = self.classes.acquire(content);
                let rank = self.open_place(snapshot.id, snapshot.replica_id);
                self.rows.insert(rank, PoolRow { class, ..*valid.row() });
                rank
            }
        };
        self.lists.write(rank, &self.staged);
        self.squeeze();
        Ok(self.slots.at_rank(rank).expect("the pool is there"))
    }

    fn remove(&mut self, pool: PoolHandle) -> bool {
        let rank = self.slots.rank_of(pool);
        rank.map(|rank| self.close_place(rank, pool.slot)).is_some()
    }

    fn find(&self, id: &str, replica_id: &str) -> Option<PoolHandle> {
        let slot = self.slot_of(id, replica_id)?;
        self.slots.at_rank(self.slots.rank_of_slot(slot))
    }

    fn at_rank(&self, rank: u32) -> Option<PoolHandle> {
        self.slots.at_rank(rank as usize)
    }

    fn rank_of(&self, pool: PoolHandle) -> Option<u32> {
        self.slots.rank_of(pool).map(position)
    }

    fn facts(&self, pool: PoolHandle) -> Option<PoolFacts<'_>> {
        let rank = self.slots.rank_of(pool)?;
        let (name, row) = (self.pools.get(rank)?, self.rows.get(rank)?);
        let class = self.classes.rows().get(row.class as usize)?;
        Some(PoolFacts {
            id: &name.id,
            replica_id: &name.replica_id,
            engine: self.vocabulary.name(NameKind::Engine, class.engine).unwrap_or_default(),
            engine_version: self.vocabulary.name(NameKind::Text, class.engine_version),
        })
    }

    fn row(&self, pool: PoolHandle) -> Option<&PoolRow> {
        self.rows.get(self.slots.rank_of(pool)?)
    }

    fn vram_used_bytes(&self, pool: PoolHandle) -> Option<u64> {
        let row = PoolRegistry::row(self, pool)?;
        let class = self.classes.rows().get(row.class as usize)?;
        Some(class.vram_total_bytes.saturating_sub(row.vram_free_bytes))
    }

    fn set_draining(&mut self, pool: PoolHandle, draining: bool) -> bool {
        self.row_mut(pool).map(|row| row.flags.set(PoolFlags::DRAINING, draining)).is_some()
    }

    fn set_age(&mut self, pool: PoolHandle, age_us: u64) {
        if let Some(row) = self.row_mut(pool) {
            row.age_us = age_us.min(TIME_MAX_US);
        }
    }

    fn set_admission_latency(&mut self, pool: PoolHandle, admission_latency_us: u64) {
        if let Some(row) = self.row_mut(pool) {
            row.admission_latency_us = admission_latency_us.min(TIME_MAX_US);
        }
    }

    /// Keeps what a policy with a spread seed needs of every pool, until prepared for another one. O(pools).
    ///
    /// Decisions under other seeds are right too, but work all of it out each time.
    fn prepare_for(&mut self, policy: &Policy) {
        if self.spread.as_ref().map(|spread| spread.seed) != policy.spread_seed() {
            let spread = |seed| Spread { seed, hashes: spread_hashes(&self.pools, seed) };
            self.spread = policy.spread_seed().map(spread);
        }
    }

    fn takes_jobs(&self, policy: &Policy) -> bool {
        any_takes_jobs(&self.rows, policy)
    }

    fn decide(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> PlacementDecision {
        self.with_input(job, policy, session, decide)
    }

    fn explain(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> Explanation {
        self.with_input(job, policy, session, explain)
    }

    /// A model that only the job knows gets a number now, so that it can become resident; that it has one counts for no
    /// limit (UNIT-8).
    fn commit(&mut self, job: &ValidJob<'_>, rank: u32) -> Result<Lease, CommitError> {
        self.make_room_for_model(rank as usize, job.spec().model_id);
        let row = job.resolve_row(self);
        commit::commit(&mut self.table_mut(), &row, rank)
    }

    fn retake(&mut self, pool: PoolHandle, lease: &Lease) -> bool {
        let rank = self.rank_of(pool);
        rank.is_some_and(|rank| commit::retake(&mut self.table_mut(), lease, rank))
    }

    fn export_lease<'l>(&self, lease: &'l Lease) -> Taken<'l> {
        lease.taken()
    }

    fn import_lease(&self, pool: PoolHandle, taken: Taken<'_>) -> Option<Lease> {
        Lease::of(taken, self.rank_of(pool)?)
    }

    fn release(&mut self, pool: PoolHandle, mut lease: Lease) -> bool {
        let Some(rank) = self.rank_of(pool) else { return false };
        lease.rank = rank;
        commit::release(&mut self.table_mut(), &lease);
        true
    }
}

impl Directory for LiveFleet {
    fn find(&self, kind: NameKind, name: &str) -> Option<NameId> {
        self.vocabulary.find(kind, name)
    }

    fn ranks_of(&self, pool_id: &str) -> RankRange {
        ranks_of(&self.pools, pool_id)
    }
}

#[cfg(test)]
mod tests;
