//! One run in numbers.

use std::collections::BTreeMap;

use super::{Distribution, Slo};
use crate::simulate::fleet::SimFleet;
use crate::simulate::request::{End, Outcome, Run, Trace};

/// One run in numbers. Times are in µs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The policy's name.
    pub policy: String,
    /// Thousandths of the trace's own rate of arrivals.
    pub load_permille: u32,
    /// Requests in all.
    pub requests: u64,
    /// Those whose tokens all came.
    pub finished: u64,
    /// The others, by what became of them.
    pub unfinished: BTreeMap<&'static str, u64>,
    /// From arrival to the first token, of those that got one.
    pub first_token_us: Distribution,
    /// From arrival to the end, of those that finished.
    pub end_to_end_us: Distribution,
    /// From arrival until it was sent to a pool, of those that were.
    pub queue_us: Distribution,
    /// How far a predicted end was from the true one, of those that finished and had one.
    pub end_error_us: Distribution,
    /// Requests that kept the promise, in 1/1000 of all.
    pub goodput_permille: u64,
    /// Tokens of prompts that a cache held, in 1/1000 of the tokens of all prompts that were started.
    pub cached_permille: u64,
    /// Slots in use over the run, of all slots, in 1/1000.
    pub busy_permille: u64,
    /// From the first arrival to the last end.
    pub span_us: u64,
    /// Decisions that the policy took.
    pub decisions: u64,
    /// Over all outcomes.
    pub digest: u64,
}

impl Summary {
    /// The numbers of one run. O(requests · log).
    #[must_use]
    pub fn of(run: &Run, trace: &Trace, fleet: &SimFleet<'_>, slo: &Slo) -> Self {
        let outcomes = &run.outcomes;
        let finished = || outcomes.iter().filter(|outcome| outcome.end == End::Finished);
        let kept = outcomes.iter().zip(&trace.requests);
        let kept = kept.filter(|(outcome, asked)| slo.holds(outcome, asked.output_tokens, asked.deadline_us)).count();
        let since_arrival = |at_us: Option<u64>, outcome: &Outcome| at_us.map(|at_us| at_us - outcome.arrived_us);
        let error = |outcome: &Outcome| outcome.predicted_end_us.map(|at_us| at_us.abs_diff(outcome.ended_us));
        Self {
            policy: run.policy.clone(),
            load_permille: run.load_permille,
            requests: outcomes.len() as u64,
            finished: finished().count() as u64,
            unfinished: unfinished(outcomes),
            first_token_us: outcomes.iter().filter_map(|one| since_arrival(one.first_token_us, one)).collect(),
            end_to_end_us: finished().map(|one| one.ended_us - one.arrived_us).collect(),
            queue_us: outcomes.iter().filter_map(|one| since_arrival(one.dispatched_us, one)).collect(),
            end_error_us: finished().filter_map(error).collect(),
            goodput_permille: permille(kept as u64, outcomes.len() as u64),
            cached_permille: cached_permille(outcomes, trace),
            busy_permille: busy_permille(run, fleet),
            span_us: span_us(outcomes),
            decisions: run.decisions,
            digest: run.digest,
        }
    }
}

/// 0 of nothing.
fn permille(part: u64, whole: u64) -> u64 {
    (part * 1000).checked_div(whole).unwrap_or(0)
}

fn unfinished(outcomes: &[Outcome]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        let why = match outcome.end {
            End::Finished => continue,
            End::Refused { reason } => reason,
            End::Dropped => "dropped",
            End::Expired { cause } => cause,
            End::Canceled => "canceled",
            End::Lost => "pool_lost",
        };
        *counts.entry(why).or_default() += 1;
    }
    counts
}

fn cached_permille(outcomes: &[Outcome], trace: &Trace) -> u64 {
    let started = outcomes.iter().zip(&trace.requests).filter(|(outcome, _)| outcome.first_token_us.is_some());
    let (cached, all) = started.fold((0, 0), |(cached, all), (outcome, asked)| {
        (cached + u64::from(outcome.cached_tokens), all + u64::from(asked.prompt_tokens))
    });
    permille(cached, all)
}

fn busy_permille(run: &Run, fleet: &SimFleet<'_>) -> u64 {
    let slots: u64 = fleet.pools.iter().map(|pool| u64::from(pool.spec.slots)).sum();
    let busy: u64 = run.samples.iter().map(|sample| u64::from(sample.running)).sum();
    permille(busy, slots * run.samples.len() as u64)
}

fn span_us(outcomes: &[Outcome]) -> u64 {
    let first = outcomes.iter().map(|outcome| outcome.arrived_us).min();
    let last = outcomes.iter().map(|outcome| outcome.ended_us).max();
    first.zip(last).map_or(0, |(first, last)| last - first)
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Priority;

    use super::*;
    use crate::input::Warnings;
    use crate::simulate::fleet::{EngineModel, FleetRows};
    use crate::simulate::request::{Arrival, Request, Sample};

    fn asked() -> Request {
        Request {
            arrival: Arrival::At { at_us: 0 },
            model: 0,
            session: None,
            priority: Priority::Batch,
            prompt_tokens: 100,
            output_tokens: 11,
            predicted_output_tokens: None,
            prefix_blocks: 0..0,
            deadline_us: None,
        }
    }

    fn outcome(arrived_us: u64, first_token_us: Option<u64>, ended_us: u64, end: End) -> Outcome {
        Outcome {
            arrived_us,
            end,
            pool: Some(0),
            dispatched_us: first_token_us.map(|_| arrived_us + 5),
            first_token_us,
            ended_us,
            predicted_start_us: None,
            predicted_end_us: Some(1000),
            cached_tokens: 30,
        }
    }

    #[test]
    fn by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.json");
        let pool =
            r#"{"id":"a","engine":"vllm","slots_total":4,"slots_free":4,"vram_total_bytes":9,"vram_free_bytes":9}"#;
        std::fs::write(&path, format!(r#"{{"version":1,"pools":[{pool}]}}"#)).unwrap();
        let rows = FleetRows::read(&path, &mut Warnings::default()).unwrap();
        let fleet = SimFleet::new(&rows, EngineModel::default(), 1, &mut Warnings::default()).unwrap();
        let trace = Trace { models: vec!["m".to_owned()], requests: vec![asked(); 4], blocks: vec![], block_tokens: 1 };
        let sample = |running| Sample { at_us: 0, waiting: 0, running, busy_slots_by_class: vec![running] };
        let run = Run {
            policy: "ours".to_owned(),
            load_permille: 1000,
            outcomes: vec![
                outcome(100, Some(200), 1200, End::Finished),
                // Its first token is too late.
                outcome(100, Some(401), 901, End::Finished),
                outcome(150, Some(160), 170, End::Lost),
                outcome(150, None, 150, End::Refused { reason: "POOL_UNREADY" }),
            ],
            samples: vec![sample(1), sample(3)],
            decisions: 4,
            digest: 7,
        };
        let summary = Summary::of(&run, &trace, &fleet, &Slo { ttft_us: 300, tpot_us: 100 });
        assert_eq!((summary.requests, summary.finished, summary.goodput_permille), (4, 2, 250));
        assert_eq!(summary.unfinished, [("POOL_UNREADY", 1), ("pool_lost", 1)].into());
        assert_eq!(summary.first_token_us.values(), [10, 100, 301]);
        assert_eq!(summary.end_to_end_us.values(), [801, 1100]);
        assert_eq!(summary.queue_us.values(), [5, 5, 5]);
        assert_eq!(summary.end_error_us.values(), [99, 200]);
        // 90 of 300 tokens; 4 of 8 slots; from 100 to 1200.
        assert_eq!((summary.cached_permille, summary.busy_permille, summary.span_us), (300, 500, 1100));
    }
}
