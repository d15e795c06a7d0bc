//! How far predicted times are from measured ones.

use std::iter::zip;

use orchestrator_host::simulate::fit::{Observed, Times};
use orchestrator_host::simulate::results::Distribution;

/// The head of the table that [`Errors::print`] prints lines of.
pub(super) const HEADER: &str = "\
| run | predicted by | of | median ms | p90 ms | p10 signed | p50 signed | p90 signed | median % |
|---|---|---|---|---|---|---|---|---|";

/// Predicted less measured, in µs, of first tokens and of ends, each beside how long the request had taken by then.
#[derive(Default)]
pub(super) struct Errors {
    pub(super) first_token: Vec<Error>,
    pub(super) end: Vec<Error>,
}

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Error {
    signed_us: i64,
    took_us: u64,
}

impl Errors {
    pub(super) fn of(measured: &[Observed], predicted: impl Iterator<Item = Times>) -> Self {
        let mut errors = Self::default();
        for (one, times) in zip(measured, predicted) {
            let error = |measured_us: u64, predicted_us: u64| Error {
                signed_us: predicted_us.cast_signed() - measured_us.cast_signed(),
                took_us: measured_us - one.asked.arrived_us,
            };
            errors.first_token.push(error(one.times.first_token_us, times.first_token_us));
            errors.end.push(error(one.times.ended_us, times.ended_us));
        }
        errors
    }

    pub(super) fn all<'e>(parts: impl Iterator<Item = &'e Self>) -> Self {
        parts.fold(Self::default(), |mut all, part| {
            all.first_token.extend(&part.first_token);
            all.end.extend(&part.end);
            all
        })
    }

    pub(super) fn print(&self, run: &str, by: &str) {
        for (of, errors) in [("first token", &self.first_token), ("end", &self.end)] {
            let [median, p90] = [500, 900].map(|rank| absolute_us(errors, rank) / 1000);
            let [p10, p50, above] = [100, 500, 900].map(|rank| signed_us(errors, rank) / 1000);
            let share = median_share_permille(errors);
            let (percent, tenth) = (share / 10, share % 10);
            println!("| {run} | {by} | {of} | {median} | {p90} | {p10:+} | {p50:+} | {above:+} | {percent}.{tenth} |");
        }
    }
}

/// The median without signs.
pub(super) fn median_us(errors: &[Error]) -> u64 {
    absolute_us(errors, 500)
}

/// The median of the errors as thousandths of what the request had taken.
pub(super) fn median_share_permille(errors: &[Error]) -> u64 {
    let shares = errors.iter().map(|error| error.signed_us.unsigned_abs() * 1000 / error.took_us.max(1));
    Distribution::from_iter(shares).permille(500).unwrap()
}

fn absolute_us(errors: &[Error], rank_permille: u32) -> u64 {
    let all: Distribution = errors.iter().map(|error| error.signed_us.unsigned_abs()).collect();
    all.permille(rank_permille).unwrap()
}

fn signed_us(errors: &[Error], rank_permille: u32) -> i64 {
    let all: Distribution<i64> = errors.iter().map(|error| error.signed_us).collect();
    all.permille(rank_permille).unwrap()
}
