//! Pools in any order in, a sorted fleet out.

use std::collections::HashMap;
use std::hash::Hash;

use orchestrator_core::rows::{DeviceRow, LabelRow, NameId, PoolClass, PoolLists, PoolRow, Span, WarmRow};
use orchestrator_core::{NameKind, ValidPool};

use super::names::{FleetLimit, Renumbering, Vocabulary};
use super::{Arenas, Fleet, PoolName, content};

/// Collects pools. See the [module](super).
#[derive(Debug, Default)]
pub struct FleetBuilder {
    vocabulary: Vocabulary,
    staged: Vec<StagedPool>,
    /// How many rows claim each identity. POOL-1.
    claims: HashMap<PoolName, u32>,
}

/// A fleet, and the rows that were left out of it.
#[derive(Debug)]
pub struct Built {
    /// The fleet.
    pub fleet: Fleet,
    /// Rows whose identity another row claims too, in order of their lines.
    pub duplicates: Vec<DuplicatePool>,
}

/// A row that was refused because another row claims the same identity. POOL-1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicatePool {
    /// The line that was given with the row.
    pub line: u64,
    /// The identity.
    pub name: PoolName,
}

#[derive(Debug)]
struct StagedPool {
    line: u64,
    name: PoolName,
    row: PoolRow,
    class: PoolClass,
    models: Vec<NameId>,
    digests: Vec<NameId>,
    labels: Vec<LabelRow>,
    devices: Vec<DeviceRow>,
    residents: Vec<NameId>,
    warm: Vec<WarmRow>,
}

impl FleetBuilder {
    /// Adds a pool that stands on `line`.
    ///
    /// # Errors
    /// The fleet has too many names of a kind: it cannot be used at all.
    pub fn add(&mut self, line: u64, pool: &ValidPool<'_>) -> Result<(), FleetLimit> {
        let snapshot = pool.snapshot();
        let supports = &snapshot.supports;
        let mut class = *pool.class();
        class.engine = self.vocabulary.intern(NameKind::Engine, snapshot.engine)?;
        class.engine_version = self.optional_text(snapshot.engine_version)?;
        class.sampler_profile = self.optional_text(snapshot.sampler_profile_version)?;
        class.quantizations = self.bits(NameKind::Quantization, supports.quantizations)?;
        class.extensions = self.bits(NameKind::Extension, supports.extensions)?;
        let staged = StagedPool {
            line,
            name: self.claim(snapshot.id, snapshot.replica_id),
            row: *pool.row(),
            class,
            models: self.list(NameKind::Model, supports.models.unwrap_or_default())?,
            digests: self.list(NameKind::Text, supports.model_digests)?,
            labels: self.labels(snapshot.labels)?,
            devices: pool.devices().to_vec(),
            residents: self.list(NameKind::Model, snapshot.resident_models.unwrap_or_default())?,
            warm: self.warm(pool)?,
        };
        self.staged.push(staged);
        Ok(())
    }

    /// Notes that a row claims an identity: of a refused row this is all that counts. POOL-1.
    pub fn claim(&mut self, id: &str, replica_id: &str) -> PoolName {
        let name = PoolName { id: id.into(), replica_id: replica_id.into() };
        *self.claims.entry(name.clone()).or_default() += 1;
        name
    }

    /// Sorts the pools, leaves out those with an identity claimed twice, and packs their lists. O(n log n).
    #[must_use]
    pub fn finish(self) -> Built {
        let Self { mut vocabulary, staged, claims } = self;
        let (mut pools, doubled): (Vec<_>, Vec<_>) =
            staged.into_iter().partition(|pool| claims.get(&pool.name).is_none_or(|&claims| claims < 2));
        pools.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        let renumbering = vocabulary.sort();

        let mut packer = Packer::default();
        let mut fleet = Fleet {
            pools: Vec::with_capacity(pools.len()),
            vocabulary,
            rows: Vec::with_capacity(pools.len()),
            classes: Vec::new(),
            lists: Vec::with_capacity(pools.len()),
            arenas: Arenas::default(),
            spread_hashes: Vec::new(),
            content_hash: 0,
        };
        for mut pool in pools {
            pool.renumber(&renumbering);
            pool.row.class = packer.class(&pool);
            fleet.lists.push(packer.lists(&pool));
            fleet.rows.push(pool.row);
            fleet.pools.push(pool.name);
        }
        (fleet.arenas, fleet.classes) = (packer.arenas, packer.classes);
        fleet.content_hash = content::hash(&fleet);
        let duplicate = |pool: StagedPool| DuplicatePool { line: pool.line, name: pool.name };
        Built { fleet, duplicates: doubled.into_iter().map(duplicate).collect() }
    }

    fn optional_text(&mut self, name: Option<&str>) -> Result<NameId, FleetLimit> {
        name.map_or(Ok(NameId::NONE), |name| self.vocabulary.intern(NameKind::Text, name))
    }

    fn bits(&mut self, kind: NameKind, names: &[&str]) -> Result<u64, FleetLimit> {
        names.iter().try_fold(0, |bits, name| Ok(bits | 1 << self.vocabulary.intern(kind, name)?.0))
    }

    fn list(&mut self, kind: NameKind, names: &[&str]) -> Result<Vec<NameId>, FleetLimit> {
        names.iter().map(|name| self.vocabulary.intern(kind, name)).collect()
    }

    fn labels(&mut self, labels: &[(&str, &str)]) -> Result<Vec<LabelRow>, FleetLimit> {
        let mut text = |name: &str| self.vocabulary.intern(NameKind::Text, name);
        labels.iter().map(|(key, value)| Ok(LabelRow { key: text(key)?, value: text(value)? })).collect()
    }

    fn warm(&mut self, pool: &ValidPool<'_>) -> Result<Vec<WarmRow>, FleetLimit> {
        let mut session = |id: &str| self.vocabulary.intern(NameKind::Session, id);
        pool.warm_sessions().map(|(id, cached_tokens)| Ok(WarmRow { session: session(id)?, cached_tokens })).collect()
    }
}

impl StagedPool {
    /// From numbers of arrival to numbers in bytewise order, lists in ascending order and without repeats.
    fn renumber(&mut self, new: &Renumbering) {
        let renumber = |numbers: &[NameId], old: NameId| numbers.get(old.0 as usize).copied().unwrap_or(old);
        self.class.engine = renumber(&new.engines, self.class.engine);
        self.class.engine_version = renumber(&new.texts, self.class.engine_version);
        self.class.sampler_profile = renumber(&new.texts, self.class.sampler_profile);
        self.class.quantizations = renumber_bits(&new.quantizations, self.class.quantizations);
        self.class.extensions = renumber_bits(&new.extensions, self.class.extensions);
        for list in [&mut self.models, &mut self.residents] {
            list.iter_mut().for_each(|model| *model = renumber(&new.models, *model));
            sort_and_dedup(list);
        }
        self.digests.iter_mut().for_each(|digest| *digest = renumber(&new.texts, *digest));
        sort_and_dedup(&mut self.digests);
        for label in &mut self.labels {
            label.key = renumber(&new.texts, label.key);
            label.value = renumber(&new.texts, label.value);
        }
        sort_and_dedup(&mut self.labels);
        self.warm.iter_mut().for_each(|warm| warm.session = renumber(&new.sessions, warm.session));
        sort_and_dedup(&mut self.warm);
    }
}

fn renumber_bits(new: &[NameId], bits: u64) -> u64 {
    let set = |old: usize| bits >> old & 1 == 1;
    new.iter().enumerate().filter(|&(old, _)| set(old)).fold(0, |bits, (_, number)| bits | 1 << number.0)
}

fn sort_and_dedup<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}

/// Packs lists into arenas and interns classes; equal ones share their place, so that a scan reads less.
#[derive(Default)]
struct Packer {
    arenas: Arenas,
    classes: Vec<PoolClass>,
    class_numbers: HashMap<PoolClass, u32>,
    models: HashMap<Vec<NameId>, Span>,
    digests: HashMap<Vec<NameId>, Span>,
    labels: HashMap<Vec<LabelRow>, Span>,
}

impl Packer {
    /// The number of the pool's class. Pools come in rank order, so numbers do not depend on the order of the file.
    fn class(&mut self, pool: &StagedPool) -> u32 {
        let class = PoolClass {
            models: share(&mut self.models, &mut self.arenas.models, &pool.models),
            digests: share(&mut self.digests, &mut self.arenas.digests, &pool.digests),
            ..pool.class
        };
        *self.class_numbers.entry(class).or_insert_with(|| {
            self.classes.push(class);
            position(self.classes.len() - 1)
        })
    }

    fn lists(&mut self, pool: &StagedPool) -> PoolLists {
        let residents = append(&mut self.arenas.residents, &pool.residents);
        PoolLists {
            labels: share(&mut self.labels, &mut self.arenas.labels, &pool.labels),
            devices: append(&mut self.arenas.devices, &pool.devices),
            residents,
            residents_capacity: residents.len,
            reserved: 0,
            warm: append(&mut self.arenas.warm, &pool.warm),
        }
    }
}

fn share<T: Copy + Eq + Hash>(known: &mut HashMap<Vec<T>, Span>, arena: &mut Vec<T>, list: &[T]) -> Span {
    if let Some(&span) = known.get(list) {
        return span;
    }
    let span = append(arena, list);
    known.insert(list.to_vec(), span);
    span
}

fn append<T: Copy>(arena: &mut Vec<T>, list: &[T]) -> Span {
    let span = Span { start: position(arena.len()), len: position(list.len()) };
    arena.extend_from_slice(list);
    span
}

/// An arena has fewer than 2^32 entries: 2^24 pools with 256 warm sessions each are the most that memory holds.
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
