//! First words in vectors: a handful of operations in the form that every vector unit has.
//!
//! Invariant: all words here are below 2^63.

use orchestrator_core::rule::lane::FIRST_WORD_LIMIT;

/// Of no pool: not below the first word of any that a job fits.
pub(crate) const NO_WORD: u64 = FIRST_WORD_LIMIT - 1;

/// Whether one word is below another, both below 2^63: most vector units compare signed words only.
#[inline(always)] // Once per pair of every batch.
#[allow(clippy::cast_possible_wrap, reason = "both are below 2^63")]
pub(crate) const fn is_below(one: u64, other: u64) -> bool {
    (one as i64) < (other as i64)
}

/// The least of two words below 2^63.
#[inline(always)] // As above.
pub(crate) const fn lesser(one: u64, other: u64) -> u64 {
    if is_below(other, one) { other } else { one }
}

/// The first word of a pool that the job fits, else [`NO_WORD`]: a mask and no choice, of which a compiler would make a
/// branch for every pool.
#[inline(always)] // As above.
pub(crate) const fn word_if(fits: bool, word: u64) -> u64 {
    word | ((fits as u64).wrapping_sub(1) & NO_WORD)
}
