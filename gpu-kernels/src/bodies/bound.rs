//! The first look at a pair: a lower bound of its end from two products, against a limit that a leader sets.
//!
//! Most pairs end here, so the bound is linear in a job's tokens and needs no shift: in 1/1024 µs the end is
//! `base_q10 + decode_q10 * output + prefill_q10 * prompt`, and ends of the leader's bucket begin below a multiple of
//! 1024. A pair whose bound reaches the limit has a first word above the leader's; all others are looked at closely, so
//! a bound decides nothing by itself.
//!
//! Invariant: for records within the limits, `bound` is not above 1024 times the end and its fraction, as far as `limit`
//! is below the limit of times; where it is not, nothing is left out.

use orchestrator_core::limits::{END_UNKNOWN_US, TIME_MAX_US};

use super::pool::{Hot, Waits};
use crate::block::Block;
use crate::launch::Ends;
use crate::records::{PoolHot, ViewHot};

/// An arithmetic for which kernels are built.
pub trait Arithmetic {
    /// Which one.
    const ENDS: Ends;
}

/// [`Ends::Plain`].
#[derive(Debug, Clone, Copy)]
pub enum Plain {}
/// [`Ends::Saturating`].
#[derive(Debug, Clone, Copy)]
pub enum Saturating {}
/// [`Ends::Waiting`].
#[derive(Debug, Clone, Copy)]
pub enum Waiting {}
/// [`Ends::Static`].
#[derive(Debug, Clone, Copy)]
pub enum Static {}

impl Arithmetic for Plain {
    const ENDS: Ends = Ends::Plain;
}
impl Arithmetic for Saturating {
    const ENDS: Ends = Ends::Saturating;
}
impl Arithmetic for Waiting {
    const ENDS: Ends = Ends::Waiting;
}
impl Arithmetic for Static {
    const ENDS: Ends = Ends::Static;
}

/// The tokens of a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    pub(crate) prompt: u32,
    pub(crate) output: u32,
}

/// What the bound of a pool starts from, and its rates.
pub(crate) fn line<E: Arithmetic>(pool: &PoolHot, view: &ViewHot, waits: impl FnOnce() -> Waits) -> (u64, u32, u32) {
    match E::ENDS {
        Ends::Plain | Ends::Saturating => (view.base << 10, pool.decode_q10, pool.prefill_q10),
        Ends::Waiting => waiting_line(pool, &waits()),
        Ends::Static => (view.base, 0, 0),
    }
}

/// With `w` waves the end is at least the least of the limit of times and `start + (w + 1) * (first token + tokens)`.
/// `tokens` lacks a fraction of at most 1023/1024, so `w` of them may be counted too much.
fn waiting_line(pool: &PoolHot, waits: &Waits) -> (u64, u32, u32) {
    let services = waits.waves.saturating_add(1);
    let service_us = waits.first_token_us.saturating_mul(services.into());
    let base_us = waits.start_us.saturating_add(service_us).min(END_UNKNOWN_US);
    let fractions = u64::from(waits.waves).saturating_mul(1023);
    let base_q10 = (base_us << 10).saturating_sub(fractions);
    // A rate that is held at its limit is a lower one.
    (base_q10, pool.decode_q10.saturating_mul(services), pool.prefill_q10.saturating_mul(services))
}

impl Hot {
    /// Not above the pair's end; under order `vram-first` its first word.
    #[inline(always)] // Once per pair of every batch.
    pub(crate) fn bound<E: Arithmetic, B: Block>(&self, tokens: Tokens) -> u64 {
        if matches!(E::ENDS, Ends::Static) {
            return self.base;
        }
        // A base of at most 2^56 and two products below 2^56.
        let with_decode = B::multiply_add(self.decode_q10, tokens.output, self.base);
        B::multiply_add(self.prefill_q10, tokens.prompt, with_decode)
    }
}

/// A pair whose bound is not below this is not better than a leader of first word `word`, without the bit of KEY-1.
#[inline(always)] // At each new leader.
pub(crate) fn limit<E: Arithmetic>(word: u64, quantum_shift: u32) -> u64 {
    if matches!(E::ENDS, Ends::Static) {
        return word.saturating_add(1);
    }
    let next_bucket = (word >> 16).wrapping_add(1);
    let shift = (quantum_shift % u64::BITS).saturating_add(10);
    if next_bucket.leading_zeros() <= shift {
        return u64::MAX;
    }
    let limit = next_bucket.wrapping_shl(shift);
    // Ends that saturate are below their bounds.
    if !matches!(E::ENDS, Ends::Plain) && limit > TIME_MAX_US << 10 { u64::MAX } else { limit }
}
