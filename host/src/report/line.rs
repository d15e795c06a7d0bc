//! One decision as one line of JSON.

use orchestrator_core::units::millis_ceil;
use orchestrator_core::{Assignment, DeviceMask, PlacementDecision, Reason, Rejection};
use serde::Serialize;

use super::explanation::ExplanationFields;
use crate::fleet::Fleet;
use crate::place::Placed;

/// A job's line in the output of `orchestrator place`: fields that do not apply to its outcome are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionLine<'a> {
    /// The job's id; null where a refused line's could not be read.
    pub job_id: Option<&'a str>,
    /// `assigned`, `no_capacity` or `refused`.
    pub outcome: &'static str,
    #[serde(flatten)]
    assigned: Option<AssignedFields<'a>>,
    #[serde(flatten)]
    no_capacity: Option<NoCapacityFields>,
    #[serde(flatten)]
    refused: Option<Refusal<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    k_best: Vec<AssignedFields<'a>>,
    #[serde(flatten)]
    explanation: Option<ExplanationFields<'a>>,
    policy_hash: &'a str,
    snapshot_hash: &'a str,
}

/// Where a job goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct AssignedFields<'a> {
    pool_id: &'a str,
    replica_id: &'a str,
    #[serde(serialize_with = "device_ids")]
    devices: DeviceMask,
    predicted_start_us: u64,
    predicted_end_us: Option<u64>,
    predicted_end_ms: Option<u64>,
    warm: bool,
    fallback: bool,
    /// With a deadline: whether the predicted end meets it; null when the end is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_time: Option<Option<bool>>,
}

/// Why a job goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct NoCapacityFields {
    stage: u8,
    reason: &'static str,
    detail: &'static str,
    retryable: bool,
    code: &'static str,
}

/// Why a line was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal<'a> {
    /// The line's number in its file, from 1.
    pub line: u64,
    /// The field's path.
    pub field: &'a str,
    /// What is wrong with it.
    pub why: &'a str,
}

/// What all lines of a run carry: the hashes of what they were decided with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashes<'a> {
    pub(crate) policy: &'a str,
    pub(crate) snapshot: &'a str,
}

impl<'a> DecisionLine<'a> {
    /// The line of a decision.
    pub(crate) fn decided(
        job_id: &'a str,
        has_deadline: bool,
        placed: &Placed,
        fleet: &'a Fleet,
        hashes: Hashes<'a>,
    ) -> Self {
        let fields = |assignment: &Assignment| AssignedFields::new(assignment, has_deadline, fleet);
        let (outcome, assigned, no_capacity) = match &placed.decision {
            PlacementDecision::Assigned(assignment) => ("assigned", Some(fields(assignment)), None),
            PlacementDecision::NoCapacity { reason, headline, code } => {
                let no_capacity = NoCapacityFields {
                    stage: reason.stage(),
                    reason: reason.name(),
                    detail: headline.map_or(Reason::NoPools.name(), Rejection::detail),
                    retryable: reason.is_retryable(),
                    code: code.name(),
                };
                ("no_capacity", None, Some(no_capacity))
            }
        };
        Self {
            job_id: Some(job_id),
            outcome,
            assigned,
            no_capacity,
            refused: None,
            k_best: placed.best.iter().map(fields).collect(),
            explanation: placed.explanation.as_ref().map(|explanation| ExplanationFields::new(explanation, fleet)),
            policy_hash: hashes.policy,
            snapshot_hash: hashes.snapshot,
        }
    }

    /// The line of a refused line.
    pub(crate) const fn refused(job_id: Option<&'a str>, refusal: Refusal<'a>, hashes: Hashes<'a>) -> Self {
        Self {
            job_id,
            outcome: "refused",
            assigned: None,
            no_capacity: None,
            refused: Some(refusal),
            k_best: Vec::new(),
            explanation: None,
            policy_hash: hashes.policy,
            snapshot_hash: hashes.snapshot,
        }
    }

    /// Where it went, or why not, in few words.
    pub(crate) fn words(&self) -> String {
        match (&self.assigned, &self.no_capacity, &self.refused) {
            (Some(assigned), _, _) if assigned.replica_id.is_empty() => assigned.pool_id.to_owned(),
            (Some(assigned), _, _) => format!("{} {}", assigned.pool_id, assigned.replica_id),
            (_, Some(no), _) if no.reason == no.detail => no.reason.to_owned(),
            (_, Some(no), _) => format!("{}: {}", no.reason, no.detail),
            (_, _, Some(refusal)) => format!("line {}: {}: {}", refusal.line, refusal.field, refusal.why),
            (None, None, None) => String::new(),
        }
    }

    /// Predicted end in milliseconds, and whether the pool is warm.
    pub(crate) fn prediction(&self) -> (Option<u64>, bool) {
        self.assigned.as_ref().map_or((None, false), |assigned| (assigned.predicted_end_ms, assigned.warm))
    }
}

impl<'a> AssignedFields<'a> {
    fn new(assignment: &Assignment, has_deadline: bool, fleet: &'a Fleet) -> Self {
        let pool = fleet.name(assignment.rank);
        Self {
            pool_id: pool.map_or("", |pool| &pool.id),
            replica_id: pool.map_or("", |pool| &pool.replica_id),
            devices: assignment.devices,
            predicted_start_us: assignment.start_us,
            predicted_end_us: assignment.end_us,
            predicted_end_ms: assignment.end_us.map(millis_ceil),
            warm: assignment.warm,
            fallback: assignment.fallback,
            on_time: has_deadline.then_some(assignment.on_time),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn device_ids<S: serde::Serializer>(devices: &DeviceMask, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(devices.iter())
}
