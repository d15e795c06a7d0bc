//! One number for all outcomes of a run: two runs of the same inputs have the same, in C as in Rust.
//!
//! It is the `run digest` of `orchestrator run`: XXH64 over each outcome's number of items and its own XXH64.

use orchestrator_core::hash::ContentHasher;
use orchestrator_core::scheduler::{Action, Answer, OutcomeLog};

/// Collects the outcomes of inputs, in their order.
pub(crate) struct RunDigest {
    outcome: OutcomeLog<'static>,
    /// Whether the last input has actions that were not asked for.
    is_open: bool,
    inputs: u64,
    hasher: ContentHasher,
}

impl RunDigest {
    pub(crate) fn new() -> Self {
        Self { outcome: OutcomeLog::new(&mut []), is_open: false, inputs: 0, hasher: ContentHasher::new("outcomes") }
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// The outcome of the next input begins.
    pub(crate) const fn begin(&mut self) -> &mut OutcomeLog<'static> {
        self.outcome.clear();
        self.is_open = true;
        &mut self.outcome
    }

    /// What watches events.
    pub(crate) const fn observer(&mut self) -> &mut OutcomeLog<'static> {
        &mut self.outcome
    }

    pub(crate) fn answer(&mut self, answer: &Answer) {
        self.outcome.answer(answer);
        if matches!(answer, Answer::TimeWentBack { .. } | Answer::TimeTooLate { .. }) {
            // It has no actions.
            self.end();
        }
    }

    pub(crate) fn action(&mut self, action: &Action) {
        self.outcome.action(action);
    }

    /// The outcome is complete.
    pub(crate) fn end(&mut self) {
        if self.is_open {
            self.is_open = false;
            self.inputs = self.inputs.saturating_add(1);
            self.hasher.int(self.outcome.items().into());
            self.hasher.int(self.outcome.digest());
        }
    }

    /// How many inputs are complete, and their digest.
    pub(crate) fn finish(&self) -> (u64, u64) {
        (self.inputs, self.hasher.finish())
    }
}
