//! One number for all outcomes of a run: equal for each run of the same inputs, and for its replay.

use orchestrator_core::hash::ContentHasher;
use orchestrator_core::scheduler::OutcomeLog;

/// Collects outcomes in the order of inputs. XXH64 over each outcome's number of items and its own XXH64: an outcome's
/// hash covers all its bytes, also those that a recording had no room for.
#[derive(Debug, Clone)]
pub struct RunDigest {
    hasher: ContentHasher,
}

impl Default for RunDigest {
    fn default() -> Self {
        Self { hasher: ContentHasher::new("outcomes") }
    }
}

impl RunDigest {
    /// Adds the outcome of the next input.
    pub fn add(&mut self, outcome: &OutcomeLog<'_>) {
        self.hasher.int(outcome.items().into());
        self.hasher.int(outcome.digest());
    }

    /// The digest of what was added so far.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.hasher.finish()
    }
}
