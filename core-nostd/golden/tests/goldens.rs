//! The committed digests, and that the worlds behind them are as rich as they claim.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::collections::BTreeSet;

use orchestrator_core::commit::CommitError;
use orchestrator_core::scheduler::{Event, Observer};
use orchestrator_core::{HeldLease, Order, PlacementDecision, PlacementInput, decide};
use orchestrator_golden::{
    PLACEMENT_DIGEST, SCHEDULER_DIGEST, ScriptBuffers, ScriptFleet, Step, Visitor, placement_digest, run,
    scheduler_digest, visit,
};

#[test]
fn placements_have_the_committed_digest() {
    assert_eq!(format!("{:016x}", placement_digest()), format!("{PLACEMENT_DIGEST:016x}"));
}

#[test]
fn the_script_has_the_committed_digest() {
    assert_eq!(format!("{:016x}", scheduler_digest()), format!("{SCHEDULER_DIGEST:016x}"));
}

/// What the worlds contain.
#[derive(Default)]
struct Census {
    headlines: BTreeSet<&'static str>,
    features: BTreeSet<&'static str>,
    decisions: usize,
}

impl Census {
    fn note(&mut self, holds: bool, feature: &'static str) {
        if holds {
            self.features.insert(feature);
        }
    }
}

impl Visitor for Census {
    fn pool(&mut self, taken: bool) {
        self.note(!taken, "pool refused");
    }

    fn refused(&mut self, _: &'static str) {
        self.note(true, "job refused");
    }

    fn decided(&mut self, step: &Step<'_>) {
        self.decisions += 1;
        // What a backend is given makes the same decision.
        let input = PlacementInput::new(step.pools, step.job, step.policy).expect("parts of one fleet");
        assert_eq!(decide(&input), step.decision);

        self.note(step.policy.order() == Order::VramFirst, "vram first");
        self.note(step.policy.spread_seed().is_some() && step.pools.len() > 1, "spread");
        self.note(step.job.session.is_some(), "session entry");
        match step.decision {
            PlacementDecision::NoCapacity { headline, .. } => {
                self.headlines.insert(headline.map_or("no pools", |headline| headline.detail()));
            }
            PlacementDecision::Assigned(assignment) => {
                self.note(!assignment.devices.is_empty(), "split");
                self.note(assignment.warm, "warm");
                self.note(assignment.fallback, "fallback");
                self.note(assignment.end_us.is_none(), "unknown end");
                self.note(assignment.on_time == Some(false), "late");
            }
        }
    }

    fn committed(&mut self, result: Result<&HeldLease<2>, CommitError>) {
        self.note(result.expect("what was just decided has room").waits, "waits in its pool");
    }

    fn released(&mut self, found: bool) {
        self.note(!found, "lease of a lost pool");
    }
}

#[test]
fn the_worlds_are_rich() {
    let mut census = Census::default();
    visit(&mut census);
    assert!(census.decisions > 1_000);
    // Every rule refuses a job, and there is a fleet without pools: FEAS-1 to FEAS-23, NOCAP-1.
    assert_eq!(census.headlines.len(), 24, "{:?}", census.headlines);
    assert_eq!(census.features.len(), 12, "{:?}", census.features);
}

/// Every kind of event, by name.
#[derive(Default)]
struct Kinds(BTreeSet<&'static str>);

impl Observer for Kinds {
    fn observe(&mut self, _: u64, event: &Event<'_>) {
        self.0.insert(event.name());
    }
}

#[test]
fn the_script_is_rich() {
    let (mut kinds, mut buffers) = (Kinds::default(), ScriptBuffers::new());
    let digest = run(ScriptFleet::new(), buffers.storage(), &mut kinds);
    assert_eq!(digest, scheduler_digest(), "who watches changes nothing");
    assert_eq!(kinds.0.len(), 19, "{:?}", kinds.0);
}
