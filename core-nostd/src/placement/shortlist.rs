//! The few best pools of one job and how many can take it: what every backend finds, so that backends can be compared.
//!
//! A backend never returns what each pool is to each job. Two keys tell the winner and by how much it won; a few more
//! tell who wins after some pools have changed.
//!
//! ```
//! use orchestrator_core::Shortlist;
//! use orchestrator_core::rule::key::Key;
//!
//! let mut list = Shortlist::new(2);
//! for (first_word, rank) in [(7, 0), (5, 1), (6, 2)] {
//!     list.count(1);
//!     list.offer(Key::from_words([first_word, 0, 0], rank));
//! }
//! assert_eq!(list.keys().iter().map(Key::rank).collect::<Vec<_>>(), [1, 2]);
//! assert_eq!(list.feasible(), 3);
//! ```
//!
//! Invariants: keys ascend, and no two are of one rank; there are at most `depth` of them, and fewer only where fewer
//! pools are feasible. Offering is associative and commutative, so pools may be visited in any order and in parts.

use heapless::Vec;

use super::decide::PlacementInput;
use crate::rule::key::Key;
use crate::values::list::insert_at;

/// The best keys of a job, ascending, and the number of feasible pools.
#[derive(Debug, PartialEq, Eq)]
pub struct Shortlist {
    keys: Vec<Key, { Shortlist::DEPTH_MAX }, u8>,
    depth: u8,
    feasible: u32,
}

impl Shortlist {
    /// A list holds at most this many keys.
    pub const DEPTH_MAX: usize = 16;

    /// An empty list for the `depth` best pools: at least 1, at most [`Shortlist::DEPTH_MAX`].
    #[must_use]
    pub const fn new(depth: u8) -> Self {
        let depth = match depth {
            0 => 1,
            1..16 => depth,
            _ => 16,
        };
        Self { keys: Vec::new(), depth, feasible: 0 }
    }

    /// Makes it an empty list for the `depth` best pools, as [`Shortlist::new`] does.
    pub fn restart(&mut self, depth: u8) {
        self.keys.clear();
        (self.depth, self.feasible) = (Self::new(depth).depth, 0);
    }

    /// How many keys it holds at most.
    #[must_use]
    pub const fn depth(&self) -> u8 {
        self.depth
    }

    /// The best keys, ascending.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The best key.
    #[must_use]
    pub fn best(&self) -> Option<&Key> {
        self.keys.first()
    }

    /// How many pools are feasible.
    #[must_use]
    pub const fn feasible(&self) -> u32 {
        self.feasible
    }

    /// The key that a further one must beat, once the list is full.
    #[inline]
    #[must_use]
    pub fn bar(&self) -> Option<&Key> {
        if self.keys.len() == usize::from(self.depth) { self.keys.last() } else { None }
    }

    /// Counts feasible pools, whose keys may be offered or not.
    #[inline]
    pub const fn count(&mut self, feasible: u32) {
        self.feasible = self.feasible.saturating_add(feasible);
    }

    /// Takes a key that is among the best. Of two keys of one rank the smaller stays.
    pub fn offer(&mut self, key: Key) {
        if self.bar().is_some_and(|bar| *bar <= key) {
            return;
        }
        match self.keys.iter().position(|own| own.rank() == key.rank()) {
            Some(place) if self.keys.get(place).is_some_and(|own| *own <= key) => return,
            Some(place) => {
                self.keys.remove(place);
            }
            None if self.keys.len() == usize::from(self.depth) => {
                self.keys.pop();
            }
            None => {}
        }
        let place = self.keys.partition_point(|own| *own < key);
        // There is room: a full list gave up a key.
        let _ = insert_at(&mut self.keys, place, key);
    }

    /// Takes what another part of the pools offers: no pool may be in both parts.
    pub fn merge(&mut self, other: &Self) {
        self.count(other.feasible);
        for key in &other.keys {
            self.offer(*key);
        }
    }
}

impl Clone for Shortlist {
    fn clone(&self) -> Self {
        Self { keys: self.keys.clone(), ..*self }
    }

    /// Copies the keys that there are, not the room for all.
    fn clone_from(&mut self, source: &Self) {
        self.restart(source.depth);
        self.feasible = source.feasible;
        // As much room as the source has.
        let _ = self.keys.extend_from_slice(&source.keys);
    }
}

/// The `depth` best pools of a job and the number of feasible ones, pool by pool: the oracle of all backends. O(pools).
#[must_use]
pub fn shortlist(input: &PlacementInput<'_>, depth: u8) -> Shortlist {
    let scorer = input.scorer();
    let mut list = Shortlist::new(depth);
    for key in input.pools().pools().filter_map(|pool| scorer.key(&pool).ok()) {
        list.count(1);
        list.offer(key);
    }
    list
}
