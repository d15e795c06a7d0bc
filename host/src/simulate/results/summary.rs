//! One run in numbers.

use std::collections::BTreeMap;

use super::fairness::fairness_permille;
use super::{Distribution, Slo, permille};
use crate::simulate::fleet::SimFleet;
use crate::simulate::request::{End, Outcome, Request, Run, Trace};

/// One run in numbers. Times are in µs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// How much later than predicted it got a slot, of those that got one and had a prediction; negative: earlier.
    pub start_error_us: Distribution<i64>,
    /// How much later than predicted it ended, of those that finished and had a prediction; negative: earlier.
    pub end_error_us: Distribution<i64>,
    /// Requests that kept the promise, in 1/1000 of all.
    pub goodput_permille: u64,
    /// Requests that finished within their deadline, in 1/1000 of those that have one; none where no request has.
    pub on_time_permille: Option<u64>,
    /// Jain's index over the shares of promises kept to each session, in 1/1000; over priorities where there are no
    /// sessions. None of fewer than two, and where no promise was kept.
    pub fairness_permille: Option<u64>,
    /// Tokens of prompts that a cache held, in 1/1000 of the tokens of all prompts that were started.
    pub cached_permille: u64,
    /// Slots in use over the run, of all slots, in 1/1000.
    pub busy_permille: u64,
    /// The same per class of pools, in the order of [`SimFleet::class_names`].
    pub busy_permille_by_class: Vec<u64>,
    /// From the first arrival to the last end of a request that got a slot.
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
        let (span_us, slots) = (span_us(outcomes), fleet.slots_by_class());
        let finished = || outcomes.iter().filter(|outcome| outcome.end == End::Finished);
        let with_asked = || outcomes.iter().zip(&trace.requests);
        let keeps = |outcome, asked: &Request| slo.holds(outcome, asked.output_tokens, asked.deadline_us);
        let kept = with_asked().filter(|(outcome, asked)| keeps(outcome, asked)).count();
        let since_arrival = |at_us: Option<u64>, outcome: &Outcome| at_us.map(|at_us| at_us - outcome.arrived_us);
        let start_error = |one: &Outcome| Some(later_us(one.started_us?, one.predicted_start_us?));
        let end_error = |one: &Outcome| Some(later_us(one.ended_us, one.predicted_end_us?));
        Self {
            policy: run.policy.clone(),
            load_permille: run.load_permille,
            requests: outcomes.len() as u64,
            finished: finished().count() as u64,
            unfinished: unfinished(outcomes),
            first_token_us: outcomes.iter().filter_map(|one| since_arrival(one.first_token_us, one)).collect(),
            end_to_end_us: finished().map(|one| one.ended_us - one.arrived_us).collect(),
            queue_us: outcomes.iter().filter_map(|one| since_arrival(one.dispatched_us, one)).collect(),
            start_error_us: outcomes.iter().filter_map(start_error).collect(),
            end_error_us: finished().filter_map(end_error).collect(),
            goodput_permille: permille(kept as u64, outcomes.len() as u64),
            on_time_permille: on_time_permille(outcomes, trace),
            fairness_permille: fairness_permille(with_asked().map(|(outcome, asked)| (asked, keeps(outcome, asked)))),
            cached_permille: cached_permille(outcomes, trace),
            busy_permille: busy_permille(run.busy_slot_us_by_class.iter().sum(), slots.iter().sum(), span_us),
            busy_permille_by_class: busy_permille_by_class(run, &slots, span_us),
            span_us,
            decisions: run.decisions,
            digest: run.digest,
        }
    }
}

/// How much later it was than predicted.
fn later_us(true_us: u64, predicted_us: u64) -> i64 {
    let later_us = i128::from(true_us) - i128::from(predicted_us);
    i64::try_from(later_us).unwrap_or(if later_us > 0 { i64::MAX } else { i64::MIN })
}

fn on_time_permille(outcomes: &[Outcome], trace: &Trace) -> Option<u64> {
    let mut with_deadline = 0;
    let mut on_time = 0;
    for (outcome, asked) in outcomes.iter().zip(&trace.requests) {
        if let Some(deadline_us) = asked.deadline_us {
            with_deadline += 1;
            let is_within = outcome.ended_us - outcome.arrived_us <= deadline_us;
            on_time += u64::from(outcome.end == End::Finished && is_within);
        }
    }
    (with_deadline > 0).then(|| permille(on_time, with_deadline))
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

/// The share of so many slots that was taken over a span, in 1/1000.
fn busy_permille(busy_slot_us: u128, slots: u64, span_us: u64) -> u64 {
    let whole = u128::from(slots) * u128::from(span_us);
    u64::try_from((busy_slot_us * 1000).checked_div(whole).unwrap_or(0)).unwrap_or(u64::MAX)
}

fn busy_permille_by_class(run: &Run, slots: &[u64], span_us: u64) -> Vec<u64> {
    let classes = run.busy_slot_us_by_class.iter().zip(slots);
    classes.map(|(&busy_slot_us, &slots)| busy_permille(busy_slot_us, slots, span_us)).collect()
}

fn span_us(outcomes: &[Outcome]) -> u64 {
    let first = outcomes.iter().map(|outcome| outcome.arrived_us).min();
    // A request that waited in vain, and until when, says nothing of slots.
    let last = outcomes.iter().filter(|outcome| outcome.started_us.is_some()).map(|outcome| outcome.ended_us).max();
    first.zip(last).map_or(0, |(first, last)| last.saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Warnings;
    use crate::simulate::fleet::{EngineModel, FleetRows};

    fn outcome(arrived_us: u64, first_token_us: Option<u64>, ended_us: u64, end: End) -> Outcome {
        Outcome {
            arrived_us,
            end,
            pool: Some(0),
            dispatched_us: first_token_us.map(|_| arrived_us + 5),
            started_us: first_token_us.map(|_| arrived_us + 7),
            first_token_us,
            ended_us,
            predicted_start_us: Some(110),
            predicted_end_us: Some(1000),
            cached_tokens: 30,
        }
    }

    #[test]
    fn by_hand() {
        let rows = FleetRows::plain(&[("a", "vllm", 1), ("b", "vllm", 3)]);
        let fleet = SimFleet::new(&rows, EngineModel::default(), 1, &mut Warnings::default()).unwrap();
        let mut requests = vec![Request { prompt_tokens: 100, output_tokens: 11, ..Request::plain() }; 4];
        // Just in time, a moment late, lost in time; the fourth has none.
        for (request, deadline_us) in requests.iter_mut().zip([1100, 800, 1000]) {
            request.deadline_us = Some(deadline_us);
        }
        for (request, session) in requests.iter_mut().zip([1, 2, 2]) {
            request.session = Some(session);
        }
        let trace = Trace { models: vec!["m".to_owned()], requests, blocks: vec![], block_tokens: 1 };
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
            samples: vec![],
            busy_slot_us_by_class: vec![1100, 1100],
            decisions: 4,
            digest: 7,
        };
        let summary = Summary::of(&run, &trace, &fleet, &Slo { ttft_us: 300, tpot_us: 100 });
        assert_eq!((summary.requests, summary.finished, summary.goodput_permille), (4, 2, 250));
        assert_eq!(summary.unfinished, [("POOL_UNREADY", 1), ("pool_lost", 1)].into());
        assert_eq!(summary.first_token_us.values(), [10, 100, 301]);
        assert_eq!(summary.end_to_end_us.values(), [801, 1100]);
        assert_eq!(summary.queue_us.values(), [5, 5, 5]);
        assert_eq!(summary.start_error_us.values(), [-3, -3, 47]);
        assert_eq!(summary.end_error_us.values(), [-99, 200]);
        assert_eq!((summary.on_time_permille, summary.fairness_permille), (Some(333), Some(500)));
        assert_eq!(summary.busy_permille_by_class, [1000, 333]);
        // 90 of 300 tokens; 4 of 8 slots; from 100 to 1200.
        assert_eq!((summary.cached_permille, summary.busy_permille, summary.span_us), (300, 500, 1100));
    }
}
