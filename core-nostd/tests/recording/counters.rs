//! Counters against a tally that is kept by name.

use std::collections::BTreeMap;

use orchestrator_core::Priority;
use orchestrator_core::scheduler::{
    CancelCause, Counters, DECODE_BOUNDS_MS, Event, ExpiryCause, FIRST_TOKEN_BOUNDS_MS, FailureCause, FullPolicy,
    Histogram, JobFacts, Observer, RefusalCode,
};
use proptest::prelude::*;

use super::strategies::event;

const CLASSES: [Priority; 2] = [Priority::Interactive, Priority::Batch];

/// What happened, line by line; a gauge is the last line of its name.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<String, u128>,
    first_token_us: BTreeMap<Priority, Vec<u64>>,
    decode_us: BTreeMap<Priority, Vec<u64>>,
}

impl Tally {
    fn add(&mut self, job: JobFacts<'_>, what: &str, by: u128) {
        *self.counts.entry(format!("{:?} {what}", job.priority)).or_default() += by;
    }

    fn count(&self, class: Priority, what: &str) -> u64 {
        let count = self.counts.get(&format!("{class:?} {what}")).copied().unwrap_or(0);
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    fn see(&mut self, event: &Event<'_>) {
        let usage = match event {
            Event::JobFinished { usage, .. } | Event::JobFailed { usage, .. } | Event::JobExpired { usage, .. } => {
                Some(*usage)
            }
            Event::JobCanceled { pool: Some(_), usage, .. } => Some(*usage),
            _ => None,
        };
        if let (Some(job), Some(usage)) = (event.terminal_job(), usage) {
            self.add(job, "in", usage.tokens_in.into());
            self.add(job, "out", usage.tokens_out.into());
        }
        match event {
            Event::JobRefused { job, refusal } | Event::JobEvicted { job, refusal, .. } => {
                self.add(*job, refusal.code.name(), 1);
                if let Some(label) = refusal.policy_label {
                    *self.counts.entry(label.to_owned()).or_default() += 1;
                }
            }
            Event::JobTimedOut { job, refusal, .. } => self.add(*job, refusal.code.name(), 1),
            Event::JobEnqueued { job, .. } => self.add(*job, "enqueued", 1),
            Event::JobStarted { job, .. } => self.add(*job, "started", 1),
            Event::JobFirstToken { job, since_admission_us, .. } => {
                self.first_token_us.entry(job.priority).or_default().push(*since_admission_us);
            }
            Event::JobFinished { job, usage, .. } => {
                self.add(*job, "finished", 1);
                if usage.decode_us != 0 {
                    self.decode_us.entry(job.priority).or_default().push(usage.decode_us);
                }
            }
            Event::JobFailed { job, cause, .. } => self.add(*job, &format!("failed {}", cause.name()), 1),
            Event::JobCanceled { job, cause, .. } => self.add(*job, &format!("canceled {}", cause.name()), 1),
            Event::JobExpired { job, cause, .. } => self.add(*job, &format!("expired {}", cause.name()), 1),
            Event::QueueDepth { priority, jobs, tokens, .. } => {
                self.counts.insert(format!("{priority:?} waiting"), (*jobs).into());
                self.counts.insert(format!("{priority:?} waiting tokens"), (*tokens).into());
            }
            _ => {}
        }
    }
}

/// Each bound with the number of times up to it, counted anew for each.
fn assert_histogram<const N: usize>(histogram: &Histogram<N>, bounds: &[u64], times: &[u64]) {
    let mut expected: Vec<_> = bounds
        .iter()
        .map(|bound| (Some(*bound), times.iter().filter(|us| u128::from(**us) <= u128::from(*bound) * 1000).count()))
        .collect();
    expected.push((None, times.len()));
    let shown: Vec<_> = histogram.cumulative().map(|(bound, count)| (bound, count as usize)).collect();
    assert_eq!(shown, expected);
    assert_eq!(histogram.count() as usize, times.len());
    let sum: u128 = times.iter().map(|us| u128::from(*us)).sum();
    assert_eq!(histogram.sum_us(), u64::try_from(sum).unwrap_or(u64::MAX));
}

proptest! {
    /// METRIC-4, EVENT-2: every count is that of the tally, for any events.
    #[test]
    fn counters_agree_with_a_tally(events in proptest::collection::vec(event(), 0..200)) {
        let (mut counters, mut tally) = (Counters::new(), Tally::default());
        for event in &events {
            counters.observe(1, event);
            tally.see(event);
        }
        for class in CLASSES {
            let counted = counters.class(class);
            prop_assert_eq!(counted.enqueued, tally.count(class, "enqueued"));
            prop_assert_eq!(counted.started, tally.count(class, "started"));
            prop_assert_eq!(counted.finished, tally.count(class, "finished"));
            prop_assert_eq!(counted.tokens_in, tally.count(class, "in"));
            prop_assert_eq!(counted.tokens_out, tally.count(class, "out"));
            prop_assert_eq!(u64::from(counted.queue_jobs), tally.count(class, "waiting"));
            prop_assert_eq!(counted.queue_tokens, tally.count(class, "waiting tokens"));
            for (cause, count) in FailureCause::ALL.iter().zip(counted.failed) {
                prop_assert_eq!(count, tally.count(class, &format!("failed {}", cause.name())));
            }
            for (cause, count) in CancelCause::ALL.iter().zip(counted.canceled) {
                prop_assert_eq!(count, tally.count(class, &format!("canceled {}", cause.name())));
            }
            for (cause, count) in ExpiryCause::ALL.iter().zip(counted.expired) {
                prop_assert_eq!(count, tally.count(class, &format!("expired {}", cause.name())));
            }
            for (code, count) in RefusalCode::ALL.iter().zip(counted.rejected) {
                prop_assert_eq!(count, tally.count(class, code.name()));
            }
            let times = tally.first_token_us.get(&class).map_or(&[][..], Vec::as_slice);
            assert_histogram(&counted.first_token, &FIRST_TOKEN_BOUNDS_MS, times);
            let times = tally.decode_us.get(&class).map_or(&[][..], Vec::as_slice);
            assert_histogram(&counted.decode, &DECODE_BOUNDS_MS, times);
        }
        let labels: Vec<_> = counters.backpressure().collect();
        let expected = FullPolicy::ALL.map(|policy| {
            (policy.label(), tally.counts.get(policy.label()).map_or(0, |count| *count as u64))
        });
        prop_assert_eq!(labels, expected.to_vec());
    }
}

/// METRIC-1: a bound belongs to its bucket; the next microsecond does not.
#[test]
fn bounds_are_inclusive() {
    let mut histogram = Histogram::new(&FIRST_TOKEN_BOUNDS_MS);
    for us in [0, 50_000, 50_001, 3_000_000, 3_000_001, u64::MAX] {
        histogram.observe_us(us);
    }
    let shown: Vec<_> = histogram.cumulative().map(|(_, count)| count).collect();
    assert_eq!(shown, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 6]);
    assert_eq!(histogram.sum_us(), u64::MAX); // it stops at its largest value
}

/// METRIC-4: as small as documented.
#[test]
fn counters_are_small() {
    assert!(size_of::<Counters>() <= 1024, "{}", size_of::<Counters>());
}
