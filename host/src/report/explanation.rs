//! Why a decision is what it is, as fields of its line. EXPL-1 to EXPL-3.

use orchestrator_core::{Explanation, NearestMiss, Rejection, Standing};
use serde::Serialize;

use crate::fleet::Fleet;

/// The fields that `--explain` adds to a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplanationFields<'a> {
    decided_by: Option<&'static str>,
    margin: Option<i64>,
    margin_unit: Option<&'static str>,
    runner_up: Option<RunnerUp<'a>>,
    counts: PoolCounts,
    nearest_miss: Option<NearestMissFields>,
}

/// The second best pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct RunnerUp<'a> {
    pool_id: &'a str,
    replica_id: &'a str,
    predicted_end_us: Option<u64>,
}

/// Pools by what they were to the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolCounts {
    /// All pools.
    pub candidates: u32,
    /// Those that could take it.
    pub feasible: u32,
    /// The others, by the first rule they fail, in order of the rules.
    pub rejected: Vec<RejectedCount>,
}

/// Pools that fail one rule first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedCount {
    /// The rule's stage.
    pub stage: u8,
    /// Its group.
    pub reason: &'static str,
    /// The rule.
    pub detail: &'static str,
    /// How many.
    pub pools: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NearestMissFields {
    stage: u8,
    reason: &'static str,
    detail: &'static str,
    pools: u32,
    short_by: Option<u64>,
    unit: Option<&'static str>,
}

impl<'a> ExplanationFields<'a> {
    pub(crate) fn new(explanation: &Explanation, fleet: &'a Fleet) -> Self {
        let decided = explanation.decided;
        let runner_up = |standing: Standing| {
            let pool = fleet.name(standing.parts.rank);
            RunnerUp {
                pool_id: pool.map_or("", |pool| &pool.id),
                replica_id: pool.map_or("", |pool| &pool.replica_id),
                predicted_end_us: standing.end_us,
            }
        };
        Self {
            decided_by: decided.map(|decided| decided.by.name()),
            margin: decided.and_then(|decided| decided.margin),
            margin_unit: decided.map(|decided| decided.by.unit()).filter(|unit| !unit.is_empty()),
            runner_up: explanation.runner_up.map(runner_up),
            counts: PoolCounts::new(explanation),
            nearest_miss: explanation.nearest_miss.map(|miss| NearestMissFields::new(&miss)),
        }
    }
}

impl PoolCounts {
    pub(crate) fn new(explanation: &Explanation) -> Self {
        let rejected: Vec<_> = Rejection::ALL
            .into_iter()
            .map(|rejection| RejectedCount {
                stage: rejection.stage(),
                reason: rejection.reason().name(),
                detail: rejection.detail(),
                pools: explanation.counts.of(rejection),
            })
            .filter(|count| count.pools > 0)
            .collect();
        let infeasible: u32 = rejected.iter().map(|count| count.pools).sum();
        Self { candidates: explanation.feasible + infeasible, feasible: explanation.feasible, rejected }
    }
}

impl NearestMissFields {
    fn new(miss: &NearestMiss) -> Self {
        Self {
            stage: miss.rejection.stage(),
            reason: miss.rejection.reason().name(),
            detail: miss.rejection.detail(),
            pools: miss.pools,
            short_by: miss.shortfall.map(|shortfall| shortfall.amount),
            unit: miss.shortfall.map(|shortfall| shortfall.unit.name()),
        }
    }
}
