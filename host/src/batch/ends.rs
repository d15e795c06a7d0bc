//! Which arithmetic is exact for jobs of a batch: the cheapest that no end of theirs leaves.
//!
//! Invariant: every kind but [`Ends::Static`], which is of another order, is exact wherever an earlier one is.

use orchestrator_core::limits::TIME_MAX_US;
use orchestrator_core::rows::JobRow;
use orchestrator_core::rule::lane::{PoolLane, tokens_us};
use orchestrator_core::{Order, Policy};

/// A way to make the first word of a pair. `rule::lane` has the functions and their proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ends {
    /// No end reaches the limit of times.
    Plain,
    /// Ends may reach the limit of times.
    Saturating,
    /// Jobs may wait in a pool for a slot.
    Waiting,
    /// Order `vram-first`: no job changes the words.
    Static,
}

/// Rates that no pool exceeds; a pool that lost a high one may leave them above.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RatesMax {
    decode_q10: u32,
    prefill_q10: u32,
}

impl RatesMax {
    pub(super) fn add(&mut self, lane: &PoolLane) {
        self.decode_q10 = self.decode_q10.max(lane.decode_q10);
        self.prefill_q10 = self.prefill_q10.max(lane.prefill_q10);
    }
}

impl Ends {
    /// The cheapest that is exact for all of `rows`, jobs whose known ends without tokens are at most `base_max`.
    pub(super) fn of<'r>(
        policy: &Policy,
        rows: impl Iterator<Item = &'r JobRow> + Clone,
        rates: RatesMax,
        base_max: u64,
    ) -> Self {
        // One limit above all jobs.
        let output_max = rows.clone().map(|row| row.output_tokens).max().unwrap_or(0);
        let prompt_max = rows.clone().map(|row| row.prompt_tokens).max().unwrap_or(0);
        let tokens_max = tokens_us(rates.decode_q10, rates.prefill_q10, output_max, prompt_max);
        if policy.order() == Order::VramFirst {
            Self::Static
        } else if { rows }.any(|row| row.pool_backlog > 0) {
            Self::Waiting
        } else if base_max + tokens_max > TIME_MAX_US {
            Self::Saturating
        } else {
            Self::Plain
        }
    }
}
