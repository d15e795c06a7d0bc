//! Pools in any order in, a sorted fleet out.

use std::collections::HashMap;
use std::hash::Hash;

use orchestrator_core::ValidPool;
use orchestrator_core::rows::{LabelRow, NameId, PoolClass, PoolLists, PoolRow, Span};

use super::arena::position;
use super::names::{FleetLimit, Vocabulary};
use super::staged::{StagedLists, renumber_class};
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
    lists: StagedLists,
}

impl FleetBuilder {
    /// Adds a pool that stands on `line`.
    ///
    /// # Errors
    /// The fleet has too many names of a kind: it cannot be used at all.
    pub fn add(&mut self, line: u64, pool: &ValidPool<'_>) -> Result<(), FleetLimit> {
        let mut lists = StagedLists::default();
        let class = lists.read(pool, &mut self.vocabulary)?;
        let snapshot = pool.snapshot();
        let name = self.claim(snapshot.id, snapshot.replica_id);
        self.staged.push(StagedPool { line, name, row: *pool.row(), class, lists });
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
            renumber_class(&mut pool.class, &renumbering);
            pool.lists.renumber(&renumbering);
            pool.lists.sort();
            pool.row.class = packer.class(&pool);
            fleet.lists.push(packer.lists(&pool.lists));
            fleet.rows.push(pool.row);
            fleet.pools.push(pool.name);
        }
        (fleet.arenas, fleet.classes) = (packer.arenas, packer.classes);
        fleet.content_hash = content::hash(&fleet);
        let duplicate = |pool: StagedPool| DuplicatePool { line: pool.line, name: pool.name };
        Built { fleet, duplicates: doubled.into_iter().map(duplicate).collect() }
    }
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
            models: share(&mut self.models, &mut self.arenas.models, &pool.lists.models),
            digests: share(&mut self.digests, &mut self.arenas.digests, &pool.lists.digests),
            ..pool.class
        };
        *self.class_numbers.entry(class).or_insert_with(|| {
            self.classes.push(class);
            position(self.classes.len() - 1)
        })
    }

    fn lists(&mut self, staged: &StagedLists) -> PoolLists {
        let (mut residents, mut residents_capacity) = (Span::EMPTY, 0);
        self.arenas.residents.write(&mut residents, &mut residents_capacity, &staged.residents);
        PoolLists {
            labels: share(&mut self.labels, &mut self.arenas.labels, &staged.labels),
            devices: append(&mut self.arenas.devices, &staged.devices),
            residents,
            residents_capacity,
            reserved: 0,
            warm: append(&mut self.arenas.warm, &staged.warm),
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
