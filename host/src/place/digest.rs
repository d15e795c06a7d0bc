//! One number for all decisions of a run: equal on every machine and for every order of pools. HASH-4.

use orchestrator_core::hash::ContentHasher;
use orchestrator_core::limits::END_UNKNOWN_US;
use orchestrator_core::{PlacementDecision, Reason, Rejection};

use crate::fleet::Fleet;

/// Collects decisions in input order.
#[derive(Debug, Clone)]
pub struct DecisionDigest {
    hasher: ContentHasher,
}

impl Default for DecisionDigest {
    fn default() -> Self {
        Self { hasher: ContentHasher::new("decisions") }
    }
}

impl DecisionDigest {
    /// Adds the decision on a job.
    pub fn add_decision(&mut self, job_id: &str, decision: &PlacementDecision, fleet: &Fleet) {
        match decision {
            PlacementDecision::Assigned(assignment) => {
                self.begin(0, Some(job_id));
                let pool = fleet.name(assignment.rank);
                self.hasher.text(pool.map_or("", |pool| &pool.id));
                self.hasher.text(pool.map_or("", |pool| &pool.replica_id));
                self.hasher.int(assignment.devices.bits());
                self.hasher.int(assignment.start_us);
                self.hasher.int(assignment.end_us.unwrap_or(END_UNKNOWN_US));
                self.hasher.byte(assignment.warm.into());
                self.hasher.byte(assignment.fallback.into());
            }
            PlacementDecision::NoCapacity { reason, headline, code } => {
                self.begin(1, Some(job_id));
                self.hasher.int(reason.stage().into());
                self.hasher.text(headline.map_or(Reason::NoPools.name(), Rejection::detail));
                self.hasher.byte(reason.is_retryable().into());
                self.hasher.text(code.name());
            }
        }
    }

    /// Adds a refused line.
    pub fn add_refusal(&mut self, job_id: Option<&str>, field: &str) {
        self.begin(2, job_id);
        self.hasher.text(field);
    }

    /// The digest of what was added so far.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.hasher.finish()
    }

    fn begin(&mut self, outcome: u8, job_id: Option<&str>) {
        self.hasher.byte(outcome);
        self.hasher.optional_text(job_id);
    }
}
