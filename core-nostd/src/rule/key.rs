//! Which of two pools is better: a total order over fixed-size integer keys. The smaller key wins.
//!
//! Rules: KEY-1 to KEY-12. Because no two pools share a rank, no two keys of one job are equal: there are no ties to
//! break by chance, and the minimum is the same for any order of visits.
//!
//! ```text
//! order predicted-end                          order vram-first
//! word 0: preferred 1 | end 47 | cold 1 | active 15    preferred 1 | vram free 48 | active 15
//! word 1: 0 | slots free 15 | residual VRAM 48         0
//! word 2: milli-tokens/s 32 | spread 32                0
//! rank 32
//! ```
//! Parts of which more is better are stored as their distance from the limit.

use bytemuck::{Pod, Zeroable};

use crate::limits::{BYTES_MAX, SLOTS_MAX};

/// What a pool brings to the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KeyParts {
    /// Whether the job prefers the pool (always false without preferences). KEY-1.
    pub preferred: bool,
    /// Weighted predicted end in µs, or `END_UNKNOWN_US`. KEY-2.
    pub weighted_end_us: u64,
    /// Whether the pool holds the session's KV cache. KEY-3.
    pub warm: bool,
    /// Leases that run. KEY-4.
    pub active_leases: u16,
    /// Slots that are free. KEY-5.
    pub slots_free: u16,
    /// Free VRAM in bytes. KEY-10.
    pub vram_free_bytes: u64,
    /// Free VRAM beyond the job's need, in bytes. KEY-6.
    pub residual_vram_bytes: u64,
    /// Published decode rate in milli-tokens per second; 0 is unknown. KEY-7.
    pub milli_tps: u32,
    /// The spread value; 0 when the policy does not spread. KEY-8.
    pub spread: u32,
    /// Place in the order of ids. KEY-9.
    pub rank: u32,
}

/// A pool's place in the order of preference for one job: smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct Key {
    words: [u64; 3],
    rank: u32,
    reserved: u32,
}

impl Key {
    /// The key of order `predicted-end`. KEY-1 to KEY-9.
    #[inline(always)] // Once per candidate of every scan.
    #[must_use]
    pub fn by_predicted_end(parts: &KeyParts, quantum_shift: u8) -> Self {
        let bucket = parts.weighted_end_us.checked_shr(u32::from(quantum_shift)).unwrap_or(0);
        let word0 = (u64::from(!parts.preferred) << 63)
            | (bucket << 16)
            | (u64::from(!parts.warm) << 15)
            | u64::from(parts.active_leases.min(SLOTS_MAX));
        let slots = u64::from(SLOTS_MAX.saturating_sub(parts.slots_free));
        let word1 = (slots << 48) | BYTES_MAX.saturating_sub(parts.residual_vram_bytes);
        let rate = u32::MAX.saturating_sub(parts.milli_tps);
        let word2 = (u64::from(rate) << 32) | u64::from(parts.spread);
        Self { words: [word0, word1, word2], rank: parts.rank, reserved: 0 }
    }

    /// The key of order `vram-first`. KEY-10.
    #[inline]
    #[must_use]
    pub fn by_free_vram(parts: &KeyParts) -> Self {
        let vram = BYTES_MAX.saturating_sub(parts.vram_free_bytes);
        let word0 = (u64::from(!parts.preferred) << 63) | (vram << 15) | u64::from(parts.active_leases.min(SLOTS_MAX));
        Self { words: [word0, 0, 0], rank: parts.rank, reserved: 0 }
    }

    /// The key of a pool whose words a backend has made (`rule::lane`).
    #[inline]
    #[must_use]
    pub const fn from_words(words: [u64; 3], rank: u32) -> Self {
        Self { words, rank, reserved: 0 }
    }

    /// The most significant word.
    #[inline]
    pub(crate) const fn first_word(&self) -> u64 {
        let [word0, ..] = self.words;
        word0
    }

    /// Whether the pool is preferred. KEY-1.
    pub(crate) const fn is_preferred(&self) -> bool {
        self.first_word() >> 63 == 0
    }

    /// In order `predicted-end`, the least end of the bucket after the key's own. KEY-2.
    pub(crate) fn next_bucket_us(&self, quantum_shift: u8) -> u64 {
        let bucket = (self.first_word() & (u64::MAX >> 1)) >> 16;
        // At most 2^47 buckets of 1 µs, or fewer and wider ones.
        bucket.saturating_add(1).checked_shl(u32::from(quantum_shift)).unwrap_or(u64::MAX)
    }

    /// The rank of the pool that the key belongs to.
    #[inline]
    #[must_use]
    pub const fn rank(&self) -> u32 {
        self.rank
    }

    /// The words in order of significance.
    #[must_use]
    pub const fn words(&self) -> [u64; 3] {
        self.words
    }
}
