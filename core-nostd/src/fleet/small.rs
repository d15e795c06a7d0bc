//! The owner of a small fleet's rows, lists and names.

use core::fmt;

use heapless::{String, Vec};

use super::names::NameTable;
use super::registry::{PoolFacts, PoolHandle, PoolRegistry};
use crate::commit::{CommitError, HeldRoom, Lease, Taken, commit, give_back, release, take_again};
use crate::directory::{Directory, NameKind, ResolvedJob};
use crate::error::{FieldError, Problem};
use crate::input::{PoolSnapshot, ValidJob, ValidPool};
use crate::limits::{DEVICES_MAX, ID_BYTES_MAX, NAME_BYTES_MAX, RESIDENT_MODELS_MAX, TIME_MAX_US};
use crate::placement::{Assignment, Explanation, PlacementDecision, PlacementInput, decide, explain, rank_best};
use crate::policy::Policy;
use crate::rows::{
    DeviceRow, LabelRow, NameId, PoolClass, PoolFlags, PoolLists, PoolRow, PoolTable, PoolTableMut, RankRange,
    SessionEntry, Span, WarmRow,
};
use crate::rule::feasibility::any_takes_jobs;
use crate::storage::{ROWS_MAX, SlotNumber};
use crate::values::hash::spread_pool_hash;
use crate::values::index::{index, position};
use crate::values::list::{insert_at, insert_sorted, remove_at};

/// A pool that was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FleetError {
    /// A field of the snapshot breaks a rule, or does not fit this fleet's storage.
    Field(FieldError),
    /// Every place for a pool is taken.
    Full {
        /// The number of places.
        capacity: usize,
    },
}

impl From<FieldError> for FleetError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(error) => error.fmt(f),
            Self::Full { capacity } => write!(f, "the fleet is full: at most {capacity} pools"),
        }
    }
}

impl core::error::Error for FleetError {}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PoolName<const ID_BYTES: usize, const REPLICA_BYTES: usize> {
    id: String<ID_BYTES, u8>,
    replica_id: String<REPLICA_BYTES, u8>,
}

/// At most `POOLS` pools with at most `LISTS` entries in each of their lists, and `NAMES` names in all; `DEVICES` is the
/// limit for devices, where it is another than that of other lists: each is also room for a share in every lease. Ids of
/// pools have at most `ID_BYTES`, those of replicas at most `REPLICA_BYTES`, names at most `NAME_BYTES`. Pools that are alike in what rarely changes (engine,
/// models, VRAM, …) share a class, of which there are at most `CLASSES`. `LISTED` is as many as `POOLS`, or 0 where `LISTS` and
/// `DEVICES` are: then nothing is kept of where lists lie. What does not fit is refused with its field.
///
/// ```
/// use orchestrator_core::{PoolSnapshot, SmallFleet};
///
/// let mut fleet: SmallFleet<2, 4, 16> = SmallFleet::new();
/// fleet.upsert(&PoolSnapshot::new("b", "vllm", 8, 8, 80 << 30, 80 << 30)).unwrap();
/// fleet.upsert(&PoolSnapshot::new("a", "vllm", 8, 8, 80 << 30, 80 << 30)).unwrap();
/// assert_eq!(fleet.pool_id(0), Some(("a", ""))); // sorted by id
/// assert!(fleet.set_draining("b", "", true));
/// assert!(fleet.remove("a", ""));
/// assert_eq!(fleet.len(), 1);
/// ```
#[derive(Debug, Clone)]
pub struct SmallFleet<
    const POOLS: usize,
    const LISTS: usize,
    const NAMES: usize,
    const DEVICES: usize = LISTS,
    const ID_BYTES: usize = ID_BYTES_MAX,
    const NAME_BYTES: usize = NAME_BYTES_MAX,
    const CLASSES: usize = POOLS,
    const LISTED: usize = POOLS,
    const REPLICA_BYTES: usize = ID_BYTES,
> {
    names: NameTable<NAMES, NAME_BYTES>,
    /// Sorted; rows and lists have the same order.
    pools: Vec<PoolName<ID_BYTES, REPLICA_BYTES>, POOLS>,
    rows: Vec<PoolRow, POOLS>,
    lists: Vec<PoolLists, LISTED>,
    /// Every pool has a slot: a stride of the arenas. In the same order as the rows.
    slots: Vec<SlotNumber, POOLS>,
    /// The rows of pools whose classes are equal name one, so that a decision asks a class once for all of its pools. One
    /// that no row names is free.
    classes: [PoolClass; CLASSES],
    /// Where the pool of each slot stands; of a slot without a pool, where its last one stood.
    places: [SlotNumber; POOLS],
    /// How many pools had each slot before: leases of an earlier one are void.
    generations: [u32; POOLS],
    models: [[NameId; LISTS]; CLASSES],
    digests: [[NameId; LISTS]; CLASSES],
    labels: [[LabelRow; LISTS]; POOLS],
    devices: [[DeviceRow; DEVICES]; POOLS],
    residents: [[NameId; LISTS]; POOLS],
    warm: [[WarmRow; LISTS]; POOLS],
}

/// A lease on a pool of a [`SmallFleet`]: it finds its pool again when other pools came or went in between.
///
/// It cannot be copied, and [`SmallFleet::release`] takes it: what was taken once is given back once.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a lease that is dropped keeps its slot and VRAM taken"]
pub struct HeldLease<const SHARES: usize = DEVICES_MAX> {
    lease: Lease<SHARES>,
    pool: PoolHandle,
}

impl<const SHARES: usize> core::ops::Deref for HeldLease<SHARES> {
    type Target = Lease<SHARES>;

    /// What was taken. Its rank is that of the time of the commit.
    fn deref(&self) -> &Lease<SHARES> {
        &self.lease
    }
}

/// A pool's row and lists before they are put in place.
struct Staged<const LISTS: usize> {
    row: PoolRow,
    class: PoolClass,
    models: Vec<NameId, LISTS>,
    digests: Vec<NameId, LISTS>,
    labels: Vec<LabelRow, LISTS>,
    residents: Vec<NameId, LISTS>,
    warm: Vec<WarmRow, LISTS>,
}

impl<
    const POOLS: usize,
    const LISTS: usize,
    const NAMES: usize,
    const DEVICES: usize,
    const ID_BYTES: usize,
    const NAME_BYTES: usize,
    const CLASSES: usize,
    const LISTED: usize,
    const REPLICA_BYTES: usize,
> Default for SmallFleet<POOLS, LISTS, NAMES, DEVICES, ID_BYTES, NAME_BYTES, CLASSES, LISTED, REPLICA_BYTES>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<
    const POOLS: usize,
    const LISTS: usize,
    const NAMES: usize,
    const DEVICES: usize,
    const ID_BYTES: usize,
    const NAME_BYTES: usize,
    const CLASSES: usize,
    const LISTED: usize,
    const REPLICA_BYTES: usize,
> SmallFleet<POOLS, LISTS, NAMES, DEVICES, ID_BYTES, NAME_BYTES, CLASSES, LISTED, REPLICA_BYTES>
{
    /// A fleet without pools.
    #[must_use]
    pub fn new() -> Self {
        const NO_LABEL: LabelRow = LabelRow { key: NameId::NONE, value: NameId::NONE };
        const NO_WARMTH: WarmRow = WarmRow { session: NameId::NONE, cached_tokens: 0 };
        const { assert!(LISTED == POOLS || (LISTED == 0 && LISTS == 0 && DEVICES == 0)) };
        Self {
            names: NameTable::new(),
            pools: Vec::new(),
            rows: Vec::new(),
            lists: Vec::new(),
            slots: Vec::new(),
            classes: [PoolClass::UNNAMED; CLASSES],
            places: [SlotNumber::ZERO; POOLS],
            generations: [0; POOLS],
            models: [[NameId::NONE; LISTS]; CLASSES],
            digests: [[NameId::NONE; LISTS]; CLASSES],
            labels: [[NO_LABEL; LISTS]; POOLS],
            devices: [[DeviceRow::new(0, 0, None); DEVICES]; POOLS],
            residents: [[NameId::NONE; LISTS]; POOLS],
            warm: [[NO_WARMTH; LISTS]; POOLS],
        }
    }

    /// The number of pools.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pools.len()
    }

    /// Whether there are no pools.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// The `(id, replica_id)` of the pool at `rank`. Ranks hold until a pool is added or removed.
    #[must_use]
    pub fn pool_id(&self, rank: u32) -> Option<(&str, &str)> {
        let name = self.pools.get(index(rank))?;
        Some((&name.id, &name.replica_id))
    }

    /// The rank of a pool.
    #[must_use]
    pub fn rank_of(&self, id: &str, replica_id: &str) -> Option<u32> {
        self.place_of(id, replica_id).ok().map(position)
    }

    /// Adds a pool, or replaces what is known of it. O(pools + names).
    ///
    /// Until it is done both states of a replaced pool are kept, so `NAMES` needs room for the names of one pool more
    /// than the fleet has; where there is none, [`remove`](Self::remove) the pool first.
    ///
    /// # Errors
    /// A field that breaks a rule or does not fit the storage, or no place for another pool. The fleet is as before.
    pub fn upsert(&mut self, snapshot: &PoolSnapshot<'_>) -> Result<(), FleetError> {
        let valid = snapshot.validate()?;
        let place = self.place_of(snapshot.id, snapshot.replica_id);
        if place.is_err() && self.pools.is_full() {
            return Err(FleetError::Full { capacity: POOLS });
        }
        if valid.devices().len() > DEVICES {
            return Err(storage_full("devices", DEVICES).into());
        }
        let staged = match self.stage(&valid) {
            Err(FieldError { problem: Problem::StorageFull { .. }, .. }) => {
                self.forget_unused_names();
                self.stage(&valid)?
            }
            staged => staged?,
        };
        let class = self.class_for(&staged, place.ok()).ok_or_else(|| storage_full("supports", CLASSES))?;
        let place = match place {
            Ok(place) => place,
            Err(place) => self.open_place(place, snapshot)?,
        };
        self.write(place, class, &staged, valid.devices());
        Ok(())
    }

    /// Removes a pool; says whether it was there. O(pools).
    pub fn remove(&mut self, id: &str, replica_id: &str) -> bool {
        self.place_of(id, replica_id).is_ok_and(|place| self.remove_place(place))
    }

    fn remove_place(&mut self, place: usize) -> bool {
        remove_at(&mut self.pools, place);
        remove_at(&mut self.lists, place);
        remove_at(&mut self.rows, place);
        let Some(slot) = remove_at(&mut self.slots, place).map(SlotNumber::get) else { return false };
        if let Some(generation) = self.generations.get_mut(index(slot)) {
            *generation = generation.wrapping_add(1);
        }
        self.note_places();
        true
    }

    /// Marks a pool as draining or not; says whether it was there. O(log pools).
    pub fn set_draining(&mut self, id: &str, replica_id: &str, draining: bool) -> bool {
        let place = self.place_of(id, replica_id);
        let row = place.ok().and_then(|place| self.rows.get_mut(place));
        row.map(|row| row.flags.set(PoolFlags::DRAINING, draining)).is_some()
    }

    /// Makes every snapshot older by `elapsed_us`. O(pools).
    pub fn age(&mut self, elapsed_us: u64) {
        for row in &mut self.rows {
            row.age_us = row.age_us.saturating_add(elapsed_us).min(TIME_MAX_US);
        }
    }

    /// The pools as a table for decisions under policies that do not spread.
    #[must_use]
    pub fn table(&self) -> PoolTable<'_> {
        PoolTable {
            rows: &self.rows,
            classes: &self.classes,
            lists: &self.lists,
            models: self.models.as_flattened(),
            digests: self.digests.as_flattened(),
            labels: self.labels.as_flattened(),
            devices: self.devices.as_flattened(),
            residents: self.residents.as_flattened(),
            warm: self.warm.as_flattened(),
            spread_hashes: &[],
        }
    }

    /// Decides which pool takes the job, without a session table. O(pools).
    #[must_use]
    pub fn decide(&self, job: &ValidJob<'_>, policy: &Policy) -> PlacementDecision {
        self.decide_with(job, policy, None)
    }

    /// Decides which pool takes the job; `session` is what the session table says of its session. O(pools).
    #[must_use]
    pub fn decide_with(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> PlacementDecision {
        self.with_input(job, policy, session, decide)
    }

    /// Fills `best` with the best pools, best first, and returns how many there are. O(pools * k).
    pub fn rank_best(&self, job: &ValidJob<'_>, policy: &Policy, best: &mut [Option<Assignment>]) -> usize {
        self.with_input(job, policy, None, |input| rank_best(input, best))
    }

    /// Explains the decision of [`SmallFleet::decide_with`]. O(pools).
    #[must_use]
    pub fn explain(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> Explanation {
        self.with_input(job, policy, session, explain)
    }

    /// Takes the pool's slot and VRAM for the job. O(devices + resident models).
    ///
    /// A model that was in no pool's lists gets a number now, so that it can become resident; when the name table is
    /// full of names in use it does not become resident.
    ///
    /// # Errors
    /// When the pool's state no longer allows it.
    pub fn commit(&mut self, job: &ValidJob<'_>, rank: u32) -> Result<HeldLease<DEVICES>, CommitError> {
        let lease = self.take(job, rank)?;
        let slot = self.slots.get(index(rank)).map_or(0, |slot| slot.get());
        Ok(HeldLease { lease, pool: self.handle_of(slot) })
    }

    fn take(&mut self, job: &ValidJob<'_>, rank: u32) -> Result<Lease<DEVICES>, CommitError> {
        self.names.begin();
        if self.names.intern(NameKind::Model, job.spec().model_id).is_err() {
            self.forget_unused_names();
            let _ = self.names.intern(NameKind::Model, job.spec().model_id);
        }
        let row = job.resolve_row(self);
        commit(&mut self.table_mut(), &row, rank)
    }

    /// Gives back a lease's slot and KV bytes; says whether its pool is still there. O(devices).
    pub fn release(&mut self, held: HeldLease<DEVICES>) -> bool {
        let HeldLease { mut lease, pool } = held;
        let Some(place) = self.place_of_handle(pool) else { return false };
        lease.rank = position(place);
        release(&mut self.table_mut(), &lease);
        true
    }

    fn generation_of(&self, slot: u32) -> u32 {
        self.generations.get(index(slot)).copied().unwrap_or(0)
    }

    fn table_mut(&mut self) -> PoolTableMut<'_> {
        PoolTableMut {
            rows: &mut self.rows,
            classes: &self.classes,
            lists: &mut self.lists,
            devices: self.devices.as_flattened_mut(),
            residents: self.residents.as_flattened_mut(),
        }
    }

    fn with_input<R>(
        &self,
        job: &ValidJob<'_>,
        policy: &Policy,
        session: Option<SessionEntry>,
        answer: impl FnOnce(&PlacementInput<'_>) -> R,
    ) -> R {
        // Filled where they stay: each copy of them would stand on the stack.
        let mut resolved: ResolvedJob<POOLS, LISTS> = ResolvedJob::new(*job.facts());
        job.resolve_into(self, &mut resolved);
        let mut hashes: Vec<u64, POOLS> = Vec::new();
        if let Some(seed) = policy.spread_seed() {
            for name in &self.pools {
                // There is room for one of each pool.
                let _ = hashes.push(spread_pool_hash(seed, &name.id, &name.replica_id));
            }
        }
        let table = PoolTable { spread_hashes: &hashes, ..self.table() };
        answer(&PlacementInput::assembled(table, resolved.query(session), policy))
    }

    fn place_of(&self, id: &str, replica_id: &str) -> Result<usize, usize> {
        self.pools.binary_search_by(|name| (name.id.as_str(), name.replica_id.as_str()).cmp(&(id, replica_id)))
    }

    /// Interns the pool's names and sorts its lists.
    fn stage(&mut self, valid: &ValidPool<'_>) -> Result<Staged<LISTS>, FieldError> {
        self.names.begin();
        let (snapshot, mut class) = (valid.snapshot(), *valid.class());
        class.engine = self.name("engine", NameKind::Engine, snapshot.engine)?;
        class.engine_version = self.optional_text("engine_version", snapshot.engine_version)?;
        class.sampler_profile = self.optional_text("sampler_profile_version", snapshot.sampler_profile_version)?;
        class.quantizations =
            self.bits("supports.quantizations", NameKind::Quantization, snapshot.supports.quantizations)?;
        class.extensions = self.bits("supports.extensions", NameKind::Extension, snapshot.supports.extensions)?;
        let models = snapshot.supports.models.unwrap_or_default();
        let residents = snapshot.resident_models.unwrap_or_default();
        Ok(Staged {
            row: *valid.row(),
            class,
            models: self.name_list("supports.models", NameKind::Model, models)?,
            digests: self.name_list("supports.model_digests", NameKind::Text, snapshot.supports.model_digests)?,
            labels: self.label_list(snapshot.labels)?,
            residents: self.name_list("resident_models", NameKind::Model, residents)?,
            warm: self.warm_list(valid)?,
        })
    }

    fn name(&mut self, field: &'static str, kind: NameKind, name: &str) -> Result<NameId, FieldError> {
        self.names.intern(kind, name).map_err(|problem| FieldError::new(field, problem))
    }

    fn optional_text(&mut self, field: &'static str, name: Option<&str>) -> Result<NameId, FieldError> {
        name.map_or(Ok(NameId::NONE), |name| self.name(field, NameKind::Text, name))
    }

    fn bits(&mut self, field: &'static str, kind: NameKind, names: &[&str]) -> Result<u64, FieldError> {
        names.iter().try_fold(0, |bits, name| {
            let number = self.name(field, kind, name)?.0;
            Ok(bits | 1u64.checked_shl(number).unwrap_or(0))
        })
    }

    fn name_list(
        &mut self,
        field: &'static str,
        kind: NameKind,
        names: &[&str],
    ) -> Result<Vec<NameId, LISTS>, FieldError> {
        let mut list = Vec::new();
        for name in names {
            let id = self.name(field, kind, name)?;
            insert_sorted(&mut list, id).map_err(|_| storage_full(field, LISTS))?;
        }
        Ok(list)
    }

    fn label_list(&mut self, labels: &[(&str, &str)]) -> Result<Vec<LabelRow, LISTS>, FieldError> {
        let mut list = Vec::new();
        for (key, value) in labels {
            let key = self.name("labels", NameKind::Text, key)?;
            let value = self.name("labels", NameKind::Text, value)?;
            insert_sorted(&mut list, LabelRow { key, value }).map_err(|_| storage_full("labels", LISTS))?;
        }
        Ok(list)
    }

    fn warm_list(&mut self, valid: &ValidPool<'_>) -> Result<Vec<WarmRow, LISTS>, FieldError> {
        let mut list = Vec::new();
        for (session_id, cached_tokens) in valid.warm_sessions() {
            let session = self.name("warm_sessions", NameKind::Session, session_id)?;
            let row = WarmRow { session, cached_tokens };
            insert_sorted(&mut list, row).map_err(|_| storage_full("warm_sessions", LISTS))?;
        }
        Ok(list)
    }

    /// Makes a place for a new pool, with a slot that no other pool has.
    fn open_place(&mut self, place: usize, snapshot: &PoolSnapshot<'_>) -> Result<usize, FleetError> {
        let full = FleetError::Full { capacity: POOLS };
        let id = stored_id("id", snapshot.id)?;
        let replica_id = stored_id("replica_id", snapshot.replica_id)?;
        let is_free = |slot: &SlotNumber| !self.slots.contains(slot);
        let slot = (0..PoolRegistry::capacity(self)).map(SlotNumber::from).find(is_free).ok_or(full)?;
        insert_at(&mut self.pools, place, PoolName { id, replica_id }).map_err(|_| full)?;
        insert_at(&mut self.rows, place, PoolRow::EMPTY).map_err(|_| full)?;
        insert_at(&mut self.slots, place, slot).map_err(|_| full)?;
        if LISTED > 0 {
            insert_at(&mut self.lists, place, PoolLists::default()).map_err(|_| full)?;
        }
        self.note_places();
        Ok(place)
    }

    /// After pools moved.
    fn note_places(&mut self) {
        for (place, slot) in self.slots.iter().enumerate() {
            if let Some(noted) = self.places.get_mut(index(slot.get())) {
                *noted = position(place).into();
            }
        }
    }

    /// Puts a staged pool into its place, its class and its stride.
    fn write(&mut self, place: usize, class: u32, staged: &Staged<LISTS>, devices: &[DeviceRow]) {
        let Some(slot) = self.slots.get(place).map(|slot| slot.get()) else { return };
        let stride = |of: u32, len: usize| Span { start: of.saturating_mul(position(LISTS)), len: position(len) };
        let span = |len: usize| stride(slot, len);
        let devices_start = slot.saturating_mul(position(DEVICES));
        let (models, digests) = (stride(class, staged.models.len()), stride(class, staged.digests.len()));
        let lists = PoolLists {
            labels: span(staged.labels.len()),
            devices: Span { start: devices_start, len: position(devices.len()) },
            residents: span(staged.residents.len()),
            residents_capacity: position(LISTS.min(RESIDENT_MODELS_MAX)),
            reserved: 0,
            warm: span(staged.warm.len()),
        };
        copy_into(models.of_mut(self.models.as_flattened_mut()), &staged.models);
        copy_into(digests.of_mut(self.digests.as_flattened_mut()), &staged.digests);
        copy_into(lists.labels.of_mut(self.labels.as_flattened_mut()), &staged.labels);
        copy_into(lists.devices.of_mut(self.devices.as_flattened_mut()), devices);
        copy_into(lists.residents.of_mut(self.residents.as_flattened_mut()), &staged.residents);
        copy_into(lists.warm.of_mut(self.warm.as_flattened_mut()), &staged.warm);
        if let Some(class) = self.classes.get_mut(index(class)) {
            *class = PoolClass { models, digests, ..staged.class };
        }
        if let Some(row) = self.rows.get_mut(place) {
            *row = PoolRow { class, ..staged.row };
        }
        if let Some(own) = self.lists.get_mut(place) {
            *own = lists;
        }
    }

    /// The class for a staged pool: one of its like, else its own where no other pool names that, else a free one. O(pools),
    /// and O(pools * classes) for one more.
    fn class_for(&self, staged: &Staged<LISTS>, place: Option<usize>) -> Option<u32> {
        let is_named = |class: u32, except: Option<usize>| {
            let mut rows = self.rows.iter().enumerate();
            rows.any(|(other, row)| row.class == class && Some(other) != except)
        };
        let alike = self.rows.iter().map(|row| row.class).find(|&class| self.has_class(class, staged));
        let own = || Some(self.rows.get(place?)?.class).filter(|&class| !is_named(class, place));
        alike.or_else(own).or_else(|| (0..position(CLASSES)).find(|&class| !is_named(class, None)))
    }

    fn has_class(&self, class: u32, staged: &Staged<LISTS>) -> bool {
        let Some(class) = self.classes.get(index(class)) else { return false };
        let Staged { class: own, models, digests, .. } = staged;
        PoolClass { models: own.models, digests: own.digests, ..*class } == *own
            && class.models.of(self.models.as_flattened()) == models.as_slice()
            && class.digests.of(self.digests.as_flattened()) == digests.as_slice()
    }

    fn forget_unused_names(&mut self) {
        let Self { names, rows, lists, classes, models, digests, labels, residents, warm, .. } = self;
        let (models, digests) = (models.as_flattened(), digests.as_flattened());
        let (labels, residents, warm) = (labels.as_flattened(), residents.as_flattened(), warm.as_flattened());
        let is_bit = |bits: u64, id: NameId| 1u64.checked_shl(id.0).is_some_and(|bit| bits & bit != 0);
        names.retain(|kind, id| {
            rows.iter().enumerate().any(|(place, row)| {
                let lists = lists.get(place).copied().unwrap_or_default();
                let class = classes.get(index(row.class)).unwrap_or(&PoolClass::UNNAMED);
                match kind {
                    NameKind::Engine => class.engine == id,
                    NameKind::Quantization => is_bit(class.quantizations, id),
                    NameKind::Extension => is_bit(class.extensions, id),
                    NameKind::Model => {
                        class.models.of(models).contains(&id) || lists.residents.of(residents).contains(&id)
                    }
                    NameKind::Session => lists.warm.of(warm).iter().any(|warm| warm.session == id),
                    NameKind::Text => {
                        class.engine_version == id
                            || class.sampler_profile == id
                            || class.digests.of(digests).contains(&id)
                            || lists.labels.of(labels).iter().any(|label| label.key == id || label.value == id)
                    }
                }
            })
        });
    }

    fn handle_of(&self, slot: u32) -> PoolHandle {
        PoolHandle { slot, generation: self.generation_of(slot) }
    }

    /// The place of a pool, if it is still there.
    fn place_of_handle(&self, pool: PoolHandle) -> Option<usize> {
        let place = index(self.places.get(index(pool.slot))?.get());
        let is_there = self.slots.get(place).is_some_and(|slot| slot.get() == pool.slot);
        (is_there && self.generation_of(pool.slot) == pool.generation).then_some(place)
    }

    fn row_mut(&mut self, pool: PoolHandle) -> Option<&mut PoolRow> {
        let place = self.place_of_handle(pool)?;
        self.rows.get_mut(place)
    }
}

/// Look-ups by handle are O(1).
impl<
    const POOLS: usize,
    const LISTS: usize,
    const NAMES: usize,
    const DEVICES: usize,
    const ID_BYTES: usize,
    const NAME_BYTES: usize,
    const CLASSES: usize,
    const LISTED: usize,
    const REPLICA_BYTES: usize,
> PoolRegistry for SmallFleet<POOLS, LISTS, NAMES, DEVICES, ID_BYTES, NAME_BYTES, CLASSES, LISTED, REPLICA_BYTES>
{
    type Lease = HeldRoom<DEVICES>;

    fn capacity(&self) -> u32 {
        position(POOLS).min(ROWS_MAX)
    }

    fn len(&self) -> u32 {
        position(self.rows.len())
    }

    fn upsert(&mut self, snapshot: &PoolSnapshot<'_>) -> Result<PoolHandle, FleetError> {
        Self::upsert(self, snapshot)?;
        let full = FleetError::Full { capacity: POOLS };
        PoolRegistry::find(self, snapshot.id, snapshot.replica_id).ok_or(full)
    }

    fn remove(&mut self, pool: PoolHandle) -> bool {
        let place = self.place_of_handle(pool);
        place.is_some_and(|place| self.remove_place(place))
    }

    fn find(&self, id: &str, replica_id: &str) -> Option<PoolHandle> {
        let place = self.place_of(id, replica_id).ok()?;
        self.slots.get(place).map(|slot| self.handle_of(slot.get()))
    }

    fn at_rank(&self, rank: u32) -> Option<PoolHandle> {
        self.slots.get(index(rank)).map(|slot| self.handle_of(slot.get()))
    }

    fn rank_of(&self, pool: PoolHandle) -> Option<u32> {
        self.place_of_handle(pool).map(position)
    }

    fn facts(&self, pool: PoolHandle) -> Option<PoolFacts<'_>> {
        let place = self.place_of_handle(pool)?;
        let (name, row) = (self.pools.get(place)?, self.rows.get(place)?);
        let class = self.classes.get(index(row.class))?;
        Some(PoolFacts {
            id: &name.id,
            replica_id: &name.replica_id,
            engine: self.names.name(NameKind::Engine, class.engine).unwrap_or_default(),
            engine_version: self.names.name(NameKind::Text, class.engine_version),
        })
    }

    fn row(&self, pool: PoolHandle) -> Option<&PoolRow> {
        self.rows.get(self.place_of_handle(pool)?)
    }

    fn vram_used_bytes(&self, pool: PoolHandle) -> Option<u64> {
        let row = PoolRegistry::row(self, pool)?;
        self.classes.get(index(row.class)).map(|class| class.vram_total_bytes.saturating_sub(row.vram_free_bytes))
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

    fn takes_jobs(&self, policy: &Policy) -> bool {
        any_takes_jobs(&self.rows, policy)
    }

    fn decide(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> PlacementDecision {
        self.decide_with(job, policy, session)
    }

    fn explain(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> Explanation {
        Self::explain(self, job, policy, session)
    }

    fn commit(&mut self, job: &ValidJob<'_>, rank: u32) -> Result<HeldRoom<DEVICES>, CommitError> {
        self.take(job, rank).map(HeldRoom::from)
    }

    fn retake(&mut self, pool: PoolHandle, held: &HeldRoom<DEVICES>) -> bool {
        let Some(place) = self.place_of_handle(pool) else { return false };
        take_again(&mut self.table_mut(), &held.taken(), position(place))
    }

    fn export_lease<'l>(&self, held: &'l HeldRoom<DEVICES>) -> Taken<'l> {
        held.taken()
    }

    fn import_lease(&self, pool: PoolHandle, taken: Taken<'_>) -> Option<HeldRoom<DEVICES>> {
        self.place_of_handle(pool)?;
        HeldRoom::of(&taken)
    }

    fn release(&mut self, pool: PoolHandle, held: HeldRoom<DEVICES>) -> bool {
        let Some(place) = self.place_of_handle(pool) else { return false };
        give_back(&mut self.table_mut(), &held.taken(), position(place));
        true
    }
}

impl<
    const POOLS: usize,
    const LISTS: usize,
    const NAMES: usize,
    const DEVICES: usize,
    const ID_BYTES: usize,
    const NAME_BYTES: usize,
    const CLASSES: usize,
    const LISTED: usize,
    const REPLICA_BYTES: usize,
> Directory for SmallFleet<POOLS, LISTS, NAMES, DEVICES, ID_BYTES, NAME_BYTES, CLASSES, LISTED, REPLICA_BYTES>
{
    fn find(&self, kind: NameKind, name: &str) -> Option<NameId> {
        self.names.find(kind, name)
    }

    fn ranks_of(&self, pool_id: &str) -> RankRange {
        let start = self.pools.partition_point(|name| name.id.as_str() < pool_id);
        let end = self.pools.partition_point(|name| name.id.as_str() <= pool_id);
        RankRange { start: position(start), end: position(end) }
    }
}

/// An id with storage of its own, where the owner has room for one so long.
fn stored_id<const ID_BYTES: usize>(field: &'static str, id: &str) -> Result<String<ID_BYTES, u8>, FieldError> {
    String::try_from(id).map_err(|_| FieldError::new(field, Problem::TooLong { max_bytes: ID_BYTES }))
}

fn storage_full(field: &'static str, capacity: usize) -> FieldError {
    FieldError::new(field, Problem::StorageFull { capacity })
}

fn copy_into<T: Copy>(target: &mut [T], source: &[T]) {
    for (to, from) in target.iter_mut().zip(source) {
        *to = *from;
    }
}
