//! Classes by content: pools with the same facts share one number, so that a decision asks for them once.
//!
//! A class lives while a pool has it; then its number, and the room of its lists, go to the next. Numbers stay below the
//! most classes there ever were at a time.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use orchestrator_core::NameKind;
use orchestrator_core::rows::{NameId, PoolClass, Span};

use crate::fleet::arena::{Arena, position};
use crate::fleet::names::NamesInUse;

/// What a class is: facts, whose lists have no place yet, and lists.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Content<'a> {
    pub(super) facts: &'a PoolClass,
    pub(super) models: &'a [NameId],
    pub(super) digests: &'a [NameId],
}

/// What is known of a class beside its row.
#[derive(Debug, Clone, Copy, Default)]
struct Keeping {
    /// Pools that have the class; 0 where the number is free.
    pools: u32,
    hash: u64,
    models_capacity: u32,
    digests_capacity: u32,
}

/// All classes of a fleet.
#[derive(Debug, Clone, Default)]
pub(super) struct Classes {
    rows: Vec<PoolClass>,
    keeping: Vec<Keeping>,
    free: Vec<u32>,
    by_content: HashTable<u32>,
    hasher: RandomState,
    models: Arena<NameId>,
    digests: Arena<NameId>,
}

impl Classes {
    /// The classes by number. A free number's row stays as it was: no pool has it.
    pub(super) fn rows(&self) -> &[PoolClass] {
        &self.rows
    }

    pub(super) fn models(&self) -> &[NameId] {
        self.models.entries()
    }

    pub(super) fn digests(&self) -> &[NameId] {
        self.digests.entries()
    }

    /// Whether lists of these lengths can be written.
    pub(super) fn can_take(&self, models: usize, digests: usize) -> bool {
        self.models.can_take(models) && self.digests.can_take(digests)
    }

    /// The number of the class that one more pool has now.
    pub(super) fn acquire(&mut self, content: Content<'_>) -> u32 {
        let hash = self.hasher.hash_one(content);
        if let Some(&number) = self.by_content.find(hash, |&number| self.is(number, content)) {
            self.keeping[number as usize].pools += 1;
            return number;
        }
        let number = self.open_number(content.facts);
        let (row, keeping) = (&mut self.rows[number as usize], &mut self.keeping[number as usize]);
        *row = PoolClass { models: row.models, digests: row.digests, ..*content.facts };
        self.models.write(&mut row.models, &mut keeping.models_capacity, content.models);
        self.digests.write(&mut row.digests, &mut keeping.digests_capacity, content.digests);
        (keeping.pools, keeping.hash) = (1, hash);
        let keeping = &self.keeping;
        self.by_content.insert_unique(hash, number, |&number| keeping[number as usize].hash);
        number
    }

    /// The number of the class of a pool that had the class `held` before.
    pub(super) fn exchange(&mut self, held: u32, content: Content<'_>) -> u32 {
        if self.is(held, content) {
            return held;
        }
        self.release(held);
        self.acquire(content)
    }

    /// One pool less has the class.
    pub(super) fn release(&mut self, number: u32) {
        let keeping = &mut self.keeping[number as usize];
        keeping.pools -= 1;
        if keeping.pools > 0 {
            return;
        }
        if let Ok(entry) = self.by_content.find_entry(keeping.hash, |&other| other == number) {
            entry.remove();
        }
        self.free.push(number);
        self.models.abandon(keeping.models_capacity);
        self.digests.abandon(keeping.digests_capacity);
    }

    /// Marks the names of all classes, but of the one that only a pool with the class `except` has.
    pub(super) fn mark_names(&self, except: Option<u32>, names: &mut NamesInUse) {
        for ((number, class), keeping) in (0u32..).zip(&self.rows).zip(&self.keeping) {
            if keeping.pools > u32::from(except == Some(number)) {
                names.mark(NameKind::Engine, class.engine);
                names.mark(NameKind::Text, class.engine_version);
                names.mark(NameKind::Text, class.sampler_profile);
                names.mark_bits(NameKind::Quantization, class.quantizations);
                names.mark_bits(NameKind::Extension, class.extensions);
                class.models.of(self.models()).iter().for_each(|&model| names.mark(NameKind::Model, model));
                class.digests.of(self.digests()).iter().for_each(|&digest| names.mark(NameKind::Text, digest));
            }
        }
    }

    /// Gives up the memory of lists that no class has any more, where it is much.
    pub(super) fn squeeze(&mut self) {
        let Self { rows, keeping, models, digests, .. } = self;
        let used = |keeping: &Keeping| keeping.pools > 0;
        if models.is_wasteful() {
            keeping.iter_mut().filter(|keeping| !used(keeping)).for_each(|keeping| keeping.models_capacity = 0);
            let rooms = rows.iter_mut().zip(&*keeping).filter(|(_, keeping)| used(keeping));
            models.squeeze(rooms.map(|(row, keeping)| (&mut row.models, keeping.models_capacity)));
        }
        if digests.is_wasteful() {
            keeping.iter_mut().filter(|keeping| !used(keeping)).for_each(|keeping| keeping.digests_capacity = 0);
            let rooms = rows.iter_mut().zip(&*keeping).filter(|(_, keeping)| used(keeping));
            digests.squeeze(rooms.map(|(row, keeping)| (&mut row.digests, keeping.digests_capacity)));
        }
    }

    /// A number without a class, with the room that its lists had.
    fn open_number(&mut self, facts: &PoolClass) -> u32 {
        if let Some(number) = self.free.pop() {
            let keeping = &self.keeping[number as usize];
            self.models.reclaim(keeping.models_capacity);
            self.digests.reclaim(keeping.digests_capacity);
            return number;
        }
        self.rows.push(*facts);
        self.keeping.push(Keeping::default());
        position(self.rows.len() - 1)
    }

    fn is(&self, number: u32, content: Content<'_>) -> bool {
        let class = self.rows[number as usize];
        PoolClass { models: Span::EMPTY, digests: Span::EMPTY, ..class } == *content.facts
            && class.models.of(self.models()) == content.models
            && class.digests.of(self.digests()) == content.digests
    }
}

#[cfg(test)]
impl Classes {
    /// How much memory the lists hold, in entries.
    pub(super) fn list_capacity(&self) -> usize {
        self.models.capacity() + self.digests.capacity()
    }
}
