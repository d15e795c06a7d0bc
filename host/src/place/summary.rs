//! What became of all jobs: counts by outcome and reason.

use std::fmt;

use orchestrator_core::{PlacementDecision, Reason, Rejection};

/// Jobs by outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    assigned: u64,
    warm: u64,
    fallback: u64,
    without_end: u64,
    late: u64,
    no_pools: u64,
    rejected: [u64; Rejection::COUNT],
    refused: u64,
}

impl Summary {
    /// Counts a decision.
    pub fn add_decision(&mut self, decision: &PlacementDecision) {
        match decision {
            PlacementDecision::Assigned(assignment) => {
                self.assigned += 1;
                self.warm += u64::from(assignment.warm);
                self.fallback += u64::from(assignment.fallback);
                self.without_end += u64::from(assignment.end_us.is_none());
                self.late += u64::from(assignment.on_time == Some(false));
            }
            PlacementDecision::NoCapacity { headline: Some(rejection), .. } => {
                self.rejected[*rejection as usize] += 1;
            }
            PlacementDecision::NoCapacity { headline: None, .. } => self.no_pools += 1,
        }
    }

    /// Counts a refused line.
    pub const fn add_refusal(&mut self) {
        self.refused += 1;
    }

    /// Jobs that were decided: assigned or without capacity.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.assigned + self.no_capacity()
    }

    /// Jobs that a pool took.
    #[must_use]
    pub const fn assigned(&self) -> u64 {
        self.assigned
    }

    /// Lines that were refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn no_capacity(&self) -> u64 {
        self.no_pools + self.rejected.iter().sum::<u64>()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { assigned, warm, fallback, without_end, late, no_pools, rejected, refused } = self;
        let all = self.decided() + refused;
        write!(f, "jobs: {all} = {assigned} assigned + {} no capacity + {refused} refused", self.no_capacity())?;
        write!(
            f,
            "\nassigned: {warm} warm, {fallback} by fallback, {late} late, {without_end} without a predicted end"
        )?;
        if *no_pools > 0 {
            write!(f, "\nno capacity: {no_pools} {} (stage 0)", Reason::NoPools)?;
        }
        for (rejection, &jobs) in Rejection::ALL.iter().zip(rejected).filter(|&(_, &jobs)| jobs > 0) {
            let (reason, stage) = (rejection.reason(), rejection.stage());
            write!(f, "\nno capacity: {jobs} {reason}/{rejection} (stage {stage})")?;
        }
        Ok(())
    }
}
