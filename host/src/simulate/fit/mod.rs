//! What a pool is worth, from requests that were seen on it: what it should publish, and which engine it is.
//!
//! ```text
//! first requests ──▶ published_rates ──▶ rates ──▶ the scheduler's own formula (SCORE-2)
//!                                          │ where the search begins
//! first requests, all arrivals ──▶ fit_engine ──▶ EngineSpec ──▶ replay ──▶ times of all requests
//! ```
//!
//! Two answers, because there are two readers. A pool publishes three numbers, and the scheduler adds them up as if the
//! request were alone. An engine's speed depends on what else it does; its model is found by replaying the arrivals.
//!
//! Invariants: integers all the way; the same observations give the same answer, bit for bit; what is least is a sum of
//! errors or a median, never of squares, so that a few requests that took absurdly long do not decide.

mod engine;
mod published;
mod replay;
#[cfg(test)]
mod tests;

pub use engine::fit_engine;
pub use published::{PublishedRates, published_rates};
pub use replay::{Times, replay};

/// A request, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// When it arrived.
    pub arrived_us: u64,
    /// Tokens of its prompt.
    pub prompt_tokens: u32,
    /// Tokens that it produced, or will.
    pub output_tokens: u32,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// What was asked.
    pub asked: Asked,
    /// What came of it.
    pub times: Times,
}
