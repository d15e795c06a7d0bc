//! The three numbers that a pool publishes, by medians.
//!
//! Medians, because a few requests that came in a burst or were put aside for others are many times as slow as the rest,
//! and a least square would be theirs alone.

use super::Observed;
use crate::simulate::results::Distribution;

/// What a pool publishes of its speed, as rows have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedRates {
    /// Time to the first token of an empty prompt.
    pub first_token_us: u64,
    /// Prefill time of a token, in 1/1024 µs.
    pub prefill_q10: u64,
    /// Decode time of a token, in 1/1024 µs.
    pub decode_q10: u64,
}

/// The rates that explain what was seen once a request had started; `None` where nothing was seen.
///
/// The first token's time is a line over the prompt's tokens: its slope is the median of the slopes between any two
/// requests, its base the median of what is left (Theil and Sen). The time of a token is the median of the requests'.
#[must_use]
pub fn published_rates(observed: &[Observed]) -> Option<PublishedRates> {
    let to_first_us = |one: &Observed| i128::from(one.times.prefill_us());
    let prompt = |one: &Observed| i128::from(one.asked.prompt_tokens);
    let mut slopes = Vec::new();
    for (place, one) in observed.iter().enumerate() {
        for other in &observed[..place] {
            let rise_q10 = (to_first_us(one) - to_first_us(other)) << 10;
            slopes.extend(rise_q10.checked_div(prompt(one) - prompt(other)));
        }
    }
    // Prompts of one length say nothing of the slope; and no prompt is faster for being longer.
    let prefill_q10 = median(slopes).unwrap_or(0).max(0);
    let bases = observed.iter().map(|one| to_first_us(one) - ((prompt(one) * prefill_q10) >> 10));
    let decode_q10 = observed.iter().filter_map(|one| {
        let decode_us = one.times.ended_us.saturating_sub(one.times.first_token_us);
        (i128::from(decode_us) << 10).checked_div(i128::from(one.asked.output_tokens))
    });
    Some(PublishedRates {
        first_token_us: unsigned(median(bases)?),
        prefill_q10: unsigned(prefill_q10),
        decode_q10: unsigned(median(decode_q10)?),
    })
}

fn unsigned(value: i128) -> u64 {
    u64::try_from(value.max(0)).unwrap_or(u64::MAX)
}

/// The lower one of the two in the middle.
pub(super) fn median<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> Option<T> {
    Distribution::from_iter(values).permille(500)
}
