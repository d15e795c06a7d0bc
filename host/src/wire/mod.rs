//! What a running scheduler says to the outside: answers and actions as JSON Lines, refusals as HTTP, frames for streams.
//!
//! ```text
//! Answer ──▶ AnswerLine   {"answer":"accepted","event":"submit","job_id":"j1","queue_position":3, …}
//! Action ──▶ ActionLine   {"action":"dispatch","job_id":"j1","pool_id":"h100-a", …}
//! Refusal ─▶ HttpRefusal  429, Retry-After: 2, X-Backoff-Ms: 1500, {"code":"ADMISSION_REJECT", …}
//! MetricsFrame            event: metrics, data: {"queue_depth":3, …}
//! ```
//!
//! What comes in is read by [`crate::input::read_event_line`]. Fields: `docs/spec.md` sections 21 and 22.
//!
//! Invariants: a line is one JSON object without line breaks; times are milliseconds, rounded up, from now unless they
//! are `at_ms` and its like, which are exact and on the clock of the events.

mod action;
mod answer;
mod frame;
mod refusal;

pub use action::ActionLine;
pub use answer::{AnswerLine, RefusedLine};
pub use frame::{BudgetsLeft, MetricsFrame};
pub use refusal::{HttpRefusal, RefusalBody, RefusalFields};

/// A point in time as `at_ms`: read back by UNIT-1 it is the same one.
#[expect(clippy::cast_precision_loss, reason = "times are below 2^46 (UNIT-1)")]
fn at_ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// A share in 1/1000 as a probability. FORECAST-4.
fn probability(permille: u16) -> f64 {
    f64::from(permille) / 1000.0
}

#[cfg(test)]
mod tests {
    use orchestrator_core::limits::TIME_LIMIT_US;
    use orchestrator_core::units::micros_from_millis;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // WIRE-4: a time that was written is read back exactly.
        #[test]
        fn times_survive(us in 0..TIME_LIMIT_US) {
            let text = serde_json::to_string(&at_ms(us)).unwrap();
            prop_assert_eq!(micros_from_millis(text.parse().unwrap()), Ok(us));
        }
    }
}
