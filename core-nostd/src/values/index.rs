//! The one place where integers change width between counts, ranks and indices.
//!
//! Rows hold 32-bit positions so that hosts and devices of any pointer width share them; slices are indexed with
//! `usize`. Invariant: positions come from slices of at most [`POOLS_MAX`](crate::limits::POOLS_MAX) entries or from
//! arenas checked when they were built, so neither direction loses a bit.

/// A 32-bit position as a slice index. On a 16-bit target a position that does not fit finds nothing.
#[inline]
pub(crate) const fn index(position: u32) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "usize has at least 32 bits on every supported target")]
    {
        position as usize
    }
}

/// A slice length or index as a 32-bit position; saturates, which no table of at most 2^30 entries reaches.
#[inline]
pub(crate) const fn position(index: usize) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "the branch bounds the value")]
    if index > u32::MAX as usize { u32::MAX } else { index as u32 }
}
