//! One pool against one job in a handful of operations on integers that stand in columns: what a vector unit or a GPU
//! does for many pools at once.
//!
//! [`ClassLane`] and [`PoolLane`] hold what does not depend on a job's tokens and KV bytes; the functions here add those.
//! Each has a proof of its range, so that a backend picks the cheapest that is exact for its batch. The words lack the
//! bit of KEY-1, which a backend knows by the range of ranks that it visits: so every word is below
//! [`FIRST_WORD_LIMIT`], and feasibility need not be told from a word.
//!
//! ```
//! use orchestrator_core::rule::lane::{end_us, first_word, low_bits};
//!
//! // 20 ms to the first token and 100 tokens at 20 ms each, cold, 3 leases.
//! let end = end_us(20_000, 20_000 * 1024, 0, 100, 0);
//! assert_eq!(end, 2_020_000);
//! assert_eq!(first_word(end, 0, low_bits(3)), 2_020_000 << 16 | 1 << 15 | 3);
//! ```

use crate::limits::{BYTES_MAX, SLOTS_MAX, TIME_MAX_US};

/// First words without the bit of KEY-1 are below this.
pub const FIRST_WORD_LIMIT: u64 = 1 << 63;

/// What a pool is to any job of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClassLane {
    /// Under order `predicted-end` the end without tokens and without a wait, in µs: at most 2^46 - 1, or 2^46 where the
    /// end is not known. Under order `vram-first` the first word itself.
    pub base: u64,
    /// Admission and load in µs: below 2^47.
    pub start_us: u64,
    /// A job whose KV bytes are below this fits; 0 where none does.
    pub room_bytes: u64,
    /// Free VRAM beyond the weights that have to be loaded, plus 1; of use where the job fits.
    pub spare_bytes: u64,
}

impl ClassLane {
    /// A pool that takes no job of the class.
    pub const CLOSED: Self = Self { base: 0, start_us: 0, room_bytes: 0, spare_bytes: 0 };
}

/// What a pool is to any job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PoolLane {
    /// First-token time in µs, weighted; [`END_UNKNOWN_US`](crate::limits::END_UNKNOWN_US) where the end is not known.
    pub first_token_us: u64,
    /// Decode time per token in 1/1024 µs, weighted; 0 where the end is not known.
    pub decode_q10: u32,
    /// Prefill time per token in 1/1024 µs, weighted; 0 where the end is not known.
    pub prefill_q10: u32,
    /// Published rate. KEY-7.
    pub milli_tps: u32,
    /// Service times to wait for a slot; 0 where one is free. WAIT-2.
    pub waves: u32,
    /// Leases that run. KEY-4.
    pub active_leases: u16,
    /// Slots that are free. KEY-5.
    pub slots_free: u16,
}

/// Decode and prefill of a job's tokens in µs: below 2^47. SCORE-2.
#[inline(always)] // Once per pair of every batch.
#[must_use]
pub const fn tokens_us(decode_q10: u32, prefill_q10: u32, output_tokens: u32, prompt_tokens: u32) -> u64 {
    // Two products of 32 by 24 bits stay below 2^57 (`limits`).
    let decode = (decode_q10 as u64).wrapping_mul(output_tokens as u64);
    let prefill = (prefill_q10 as u64).wrapping_mul(prompt_tokens as u64);
    decode.wrapping_add(prefill) >> 10
}

/// The end where no end of the batch reaches the limit of times. SCORE-2.
#[inline(always)] // As above.
#[must_use]
pub const fn end_us(base: u64, decode_q10: u32, prefill_q10: u32, output_tokens: u32, prompt_tokens: u32) -> u64 {
    base.wrapping_add(tokens_us(decode_q10, prefill_q10, output_tokens, prompt_tokens))
}

/// The end where it may reach the limit of times; an unknown one, with rates of 0, stays where it is. SCORE-2.
#[inline(always)] // As above.
#[must_use]
pub fn saturated_end_us(base: u64, tokens_us: u64) -> u64 {
    base.wrapping_add(tokens_us).min(base.max(TIME_MAX_US))
}

/// The end behind `waves` service times: 0 of them where the end is not known. SCORE-1, WAIT-2.
#[inline(always)] // As above.
#[must_use]
pub fn waiting_end_us(base: u64, start_us: u64, first_token_us: u64, waves: u32, tokens_us: u64) -> u64 {
    // Below 2^48; at most 2^16 times 2^46; below 2^48; below 2^49.
    let service_us = first_token_us.wrapping_add(tokens_us);
    let wait_us = u64::from(waves).wrapping_mul(service_us.min(TIME_MAX_US)).min(TIME_MAX_US);
    let end_us = start_us.wrapping_add(wait_us).min(TIME_MAX_US).wrapping_add(service_us);
    end_us.min(base.max(TIME_MAX_US)).max(base)
}

/// The parts of the first word that no job changes: cold, and the running leases. KEY-3, KEY-4.
#[inline(always)] // As above.
#[must_use]
pub const fn low_bits(active_leases: u16) -> u16 {
    let active_leases = if active_leases > SLOTS_MAX { SLOTS_MAX } else { active_leases };
    1 << 15 | active_leases
}

/// The first word without the bit of KEY-1, under order `predicted-end`. KEY-2 to KEY-4.
#[inline(always)] // As above.
#[must_use]
pub const fn first_word(end_us: u64, quantum_shift: u32, low_bits: u16) -> u64 {
    (end_us.wrapping_shr(quantum_shift) << 16) | low_bits as u64
}

/// The second word of a pool that the job fits. KEY-5, KEY-6.
#[inline(always)] // As above.
#[must_use]
pub const fn second_word(slots_free: u16, spare_bytes: u64, kv_bytes: u64) -> u64 {
    let residual_bytes = spare_bytes.wrapping_sub(1).wrapping_sub(kv_bytes);
    ((SLOTS_MAX.wrapping_sub(slots_free) as u64) << 48) | BYTES_MAX.wrapping_sub(residual_bytes)
}

/// The third word. KEY-7, KEY-8.
#[inline(always)] // As above.
#[must_use]
pub const fn third_word(milli_tps: u32, spread: u32) -> u64 {
    ((u32::MAX.wrapping_sub(milli_tps) as u64) << 32) | spread as u64
}
