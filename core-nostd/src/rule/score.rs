//! When would this pool start the job, and when would it end?
//!
//! Rules: SCORE-1 to SCORE-5, WAIT-2. Times are µs below 2^46, an unknown end is [`END_UNKNOWN_US`]. The proof that nothing
//! here overflows stands in [`crate::limits`]; operations below saturate only where a rule says `min`.

use crate::limits::{END_UNKNOWN_US, TIME_MAX_US};
use crate::policy::{Policy, Weights};
use crate::rows::PoolRow;

/// The summands of a predicted end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ScoreTerms {
    /// Admission latency in µs.
    pub admission_latency_us: u64,
    /// Time to load the model in µs; 0 when it is resident.
    pub load_us: u64,
    /// Time to first token in µs, if known.
    pub first_token_us: Option<u64>,
    /// Prefill time per token in 1/1024 µs; 0 when prefill is inside the first-token time.
    pub prefill_q10: u32,
    /// Decode time per token in 1/1024 µs, if known.
    pub decode_q10: Option<u32>,
    /// Service times that pass before a slot is free; 0 where one is. At most 2^16. WAIT-2.
    pub waves: u32,
}

impl ScoreTerms {
    /// What a pool's row says, with the policy's defaults for what it leaves open, without weights. SCORE-1, SCORE-4,
    /// WAIT-2.
    #[inline(always)] // Once per feasible pool of every scan.
    #[must_use]
    pub fn of(row: &PoolRow, policy: &Policy, resident: bool) -> Self {
        let known_first_token = row.first_token_us != PoolRow::FIRST_TOKEN_UNKNOWN;
        let first_token_us = if known_first_token { Some(row.first_token_us) } else { policy.default_first_token_us() };
        let decode_q10 = if row.decode_q10 == 0 { policy.default_decode_q10() } else { Some(row.decode_q10) };
        let aware = policy.performance_aware();
        Self {
            admission_latency_us: row.admission_latency_us,
            load_us: if resident { 0 } else { row.model_load_us },
            first_token_us: first_token_us.filter(|_| aware),
            prefill_q10: row.prefill_q10,
            decode_q10: decode_q10.filter(|_| aware),
            waves: if row.slots_free == 0 { waves(row.waiting, row.slots_total) } else { 0 },
        }
    }

    /// The predicted start in µs, known even where the end is not. SCORE-1.
    #[inline(always)] // As above.
    #[must_use]
    pub fn start_us(&self, uncached_prompt_tokens: u32, output_tokens: u32) -> u64 {
        let wait_us = if self.waves == 0 {
            0
        } else {
            self.service_us(uncached_prompt_tokens, output_tokens)
                .map_or(0, |service_us| wait_us(self.waves, service_us))
        };
        // All are below 2^46.
        self.admission_latency_us.wrapping_add(self.load_us).wrapping_add(wait_us).min(TIME_MAX_US)
    }

    /// From the start to the end in µs, not saturated: below 2^48. SCORE-2.
    #[inline(always)] // As above.
    fn service_us(&self, uncached_prompt_tokens: u32, output_tokens: u32) -> Option<u64> {
        let (first_token_us, decode_q10) = (self.first_token_us?, self.decode_q10?);
        // Wrapping, because nothing wraps: 32 by 24 bits twice stay below 2^57, the sum of times below 2^49 (`limits`).
        let prefill = u64::from(self.prefill_q10).wrapping_mul(u64::from(uncached_prompt_tokens));
        let decode = u64::from(decode_q10).wrapping_mul(u64::from(output_tokens));
        Some(first_token_us.wrapping_add(prefill.wrapping_add(decode) >> 10))
    }

    /// The predicted end in µs, or [`END_UNKNOWN_US`]. SCORE-2.
    #[inline(always)] // As above.
    #[must_use]
    pub fn end_us(&self, uncached_prompt_tokens: u32, output_tokens: u32) -> u64 {
        let Some(service_us) = self.service_us(uncached_prompt_tokens, output_tokens) else {
            return END_UNKNOWN_US;
        };
        self.start_us(uncached_prompt_tokens, output_tokens).wrapping_add(service_us).min(TIME_MAX_US)
    }

    /// The terms under policy weights. SCORE-5.
    #[inline]
    #[must_use]
    pub fn weighted(&self, weights: &Weights) -> Self {
        Self {
            admission_latency_us: weigh_time(self.admission_latency_us, weights.admission),
            load_us: weigh_time(self.load_us, weights.model_load),
            first_token_us: self.first_token_us.map(|us| weigh_time(us, weights.first_token)),
            prefill_q10: weigh_rate(self.prefill_q10, weights.prefill),
            decode_q10: self.decode_q10.map(|q10| weigh_rate(q10, weights.decode)),
            waves: self.waves,
        }
    }
}

/// Service times that pass before a pool without free slots has one for a further job: a full pool's slots are taken to
/// come free together, once per service time. 0 without slots. WAIT-2.
#[inline]
#[must_use]
pub fn waves(waiting: u16, slots_total: u16) -> u32 {
    waiting.checked_div(slots_total).map_or(0, |full| u32::from(full).saturating_add(1))
}

/// `min(2^46 - 1, waves * min(2^46 - 1, service))`. WAIT-2.
#[inline]
#[must_use]
fn wait_us(waves: u32, service_us: u64) -> u64 {
    // At most 2^16 waves of less than 2^46 µs (`limits`).
    u64::from(waves).saturating_mul(service_us.min(TIME_MAX_US)).min(TIME_MAX_US)
}

/// `min(2^46 - 1, round(time * weight / 256))`. SCORE-5.
#[inline]
#[must_use]
pub fn weigh_time(time_us: u64, weight_256: u16) -> u64 {
    weigh(time_us, weight_256).min(TIME_MAX_US)
}

/// `min(2^32 - 1, round(rate * weight / 256))`. SCORE-5.
#[inline]
#[must_use]
pub fn weigh_rate(q10: u32, weight_256: u16) -> u32 {
    u32::try_from(weigh(u64::from(q10), weight_256)).unwrap_or(u32::MAX)
}

const fn weigh(value: u64, weight_256: u16) -> u64 {
    #[allow(clippy::cast_lossless, reason = "`From` is not const")]
    let weight = weight_256 as u64;
    value.saturating_mul(weight).saturating_add(128) >> 8
}

/// Prompt tokens that need a prefill. SCORE-2.
#[inline]
#[must_use]
pub const fn uncached_tokens(prompt_tokens: u32, cached_tokens: u32) -> u32 {
    prompt_tokens.saturating_sub(cached_tokens)
}
