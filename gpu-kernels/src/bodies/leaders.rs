//! The two least keys of a job that were seen, and what a further key must be below.

use orchestrator_core::rule::key::Key;
use orchestrator_core::rule::lane::FIRST_WORD_LIMIT;

use super::bound::{Arithmetic, limit};
use crate::records::Found;

/// No pool's: a rank is below `u32::MAX`.
pub(crate) const ABSENT: Key = Key::from_words([u64::MAX; 3], u32::MAX);

/// The two least keys, ascending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaders {
    first: Key,
    second: Key,
}

impl Leaders {
    pub(crate) const NONE: Self = Self { first: ABSENT, second: ABSENT };

    /// Two keys, ascending.
    #[inline(always)] // At each new leader.
    pub(crate) const fn of(first: Key, second: Key) -> Self {
        Self { first, second }
    }

    /// The first word that a further key must not exceed.
    #[inline(always)] // Once per close look.
    pub(crate) const fn bar_word(&self) -> u64 {
        let [word, ..] = self.second.words();
        word
    }

    /// Takes the key if it is one of the two least; whether it is.
    #[inline(always)] // As above.
    pub(crate) fn offer(&mut self, key: Key) -> bool {
        if !is_below(&key, &self.second) {
            return false;
        }
        if is_below(&key, &self.first) {
            *self = Self { first: key, second: self.first };
        } else {
            self.second = key;
        }
        true
    }

    /// The two keys, absent ones above all others.
    pub(crate) const fn keys(&self) -> [Key; 2] {
        [self.first, self.second]
    }

    /// What a bound must be below, where keys have the bit `key_1` of KEY-1.
    #[inline(always)] // At each new leader.
    pub(crate) fn limit<E: Arithmetic>(&self, key_1: u64, quantum_shift: u32) -> u64 {
        let word = self.bar_word();
        if self.second.rank() == ABSENT.rank() || word & FIRST_WORD_LIMIT > key_1 {
            u64::MAX
        } else if word & FIRST_WORD_LIMIT < key_1 {
            0
        } else {
            limit::<E>(word & !FIRST_WORD_LIMIT, quantum_shift)
        }
    }

    /// The answer for a job that `feasible` pools can take.
    pub(crate) fn found(&self, feasible: u32) -> Found {
        let none = Found { feasible, ..Found::NONE };
        if self.first.rank() == ABSENT.rank() {
            none
        } else if self.second.rank() == ABSENT.rank() {
            Found { keys: [self.first, Key::from_words([0; 3], 0)], keys_len: 1, ..none }
        } else {
            Found { keys: [self.first, self.second], keys_len: 2, ..none }
        }
    }
}

/// Whether one key is below another. Without branches: `Ord` of arrays is a loop.
#[inline(always)] // Once per close look.
pub(crate) fn is_below(one: &Key, other: &Key) -> bool {
    let ([a0, a1, a2], [b0, b1, b2]) = (one.words(), other.words());
    let by_rank = one.rank() < other.rank();
    let by_third = (a2 < b2) | ((a2 == b2) & by_rank);
    let by_second = (a1 < b1) | ((a1 == b1) & by_third);
    (a0 < b0) | ((a0 == b0) & by_second)
}
