//! Counters in fixed memory: what an agent without a metrics library tells about its scheduler.
//!
//! They count what METRIC-4 says, by class instead of by pool, in less than a kilobyte and without an allocator.
//!
//! ```
//! use orchestrator_core::Priority;
//! use orchestrator_core::scheduler::{Counters, Event, JobFacts, Observer, WaitForecast};
//!
//! let mut counters = Counters::new();
//! let job = JobFacts { id: "job-1", priority: Priority::Interactive, ..JobFacts::default() };
//! counters.observe(0, &Event::JobEnqueued { job, forecast: WaitForecast::default() });
//! assert_eq!(counters.class(Priority::Interactive).enqueued, 1);
//! assert_eq!(counters.class(Priority::Batch).enqueued, 0);
//! ```
//!
//! Invariants: counts depend on the events only and stop at their largest value; a histogram's buckets hold the
//! observations of that bucket alone, and are added up once, on output.

use super::event::{Event, ExpiryCause, JobFacts, Refusal, RefusalCode, UsageFacts};
use super::input::{CancelCause, FailureCause};
use super::observer::Observer;
use super::policy::FullPolicy;
use crate::input::Priority;

/// Upper bounds of `latency_first_token_ms`. METRIC-1.
pub const FIRST_TOKEN_BOUNDS_MS: [u64; 11] = [50, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000];

/// Upper bounds of `latency_decode_ms`. METRIC-1.
pub const DECODE_BOUNDS_MS: [u64; 10] = [250, 500, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12_000];

/// Times by their size: one bucket for each upper bound, and one for all above the last.
///
/// ```
/// use orchestrator_core::scheduler::Histogram;
///
/// let mut histogram = Histogram::new(&[10, 20]);
/// for us in [10_000, 10_001, 99_000] {
///     histogram.observe_us(us);
/// }
/// let lines: Vec<_> = histogram.cumulative().collect();
/// assert_eq!(lines, [(Some(10), 1), (Some(20), 2), (None, 3)]);
/// assert_eq!((histogram.count(), histogram.sum_us()), (3, 119_001));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Histogram<const BUCKETS: usize> {
    bounds_ms: &'static [u64; BUCKETS],
    /// Each time counts in one bucket only.
    buckets: [u64; BUCKETS],
    above: u64,
    sum_us: u64,
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    /// A histogram of no times; `bounds_ms` ascend, and a time belongs to the first bound that is not below it.
    #[must_use]
    pub const fn new(bounds_ms: &'static [u64; BUCKETS]) -> Self {
        Self { bounds_ms, buckets: [0; BUCKETS], above: 0, sum_us: 0 }
    }

    /// Counts a time in µs.
    pub fn observe_us(&mut self, us: u64) {
        let bounds = self.bounds_ms.iter();
        let bucket = bounds.zip(&mut self.buckets).find(|(bound, _)| us <= bound.saturating_mul(1000));
        bump(bucket.map_or(&mut self.above, |(_, bucket)| bucket));
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// The number of times.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(self.above, |sum, bucket| sum.saturating_add(*bucket))
    }

    /// Their sum in µs.
    #[must_use]
    pub const fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// For each upper bound in ms the number of times up to it; last, without a bound, the number of all.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds_ms.iter().copied().map(Some).chain([None]);
        let counts = self.buckets.iter().chain([&self.above]).scan(0u64, |sum, bucket| {
            *sum = sum.saturating_add(*bucket);
            Some(*sum)
        });
        bounds.zip(counts)
    }
}

/// What is counted of one class. Arrays are in the order of their type's `ALL`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ClassCounters {
    /// Jobs that were accepted.
    pub enqueued: u64,
    /// Jobs that their engine took.
    pub started: u64,
    /// Jobs that ended well.
    pub finished: u64,
    /// Jobs that ended badly, by cause.
    pub failed: [u64; FailureCause::ALL.len()],
    /// Jobs that were canceled, by cause.
    pub canceled: [u64; CancelCause::ALL.len()],
    /// Jobs whose lease ended by itself, by cause: with `canceled`, the contract's `tasks_canceled_total`.
    pub expired: [u64; ExpiryCause::ALL.len()],
    /// Jobs that were refused, evicted or timed out, by code.
    pub rejected: [u64; RefusalCode::ALL.len()],
    /// Jobs that wait now.
    pub queue_jobs: u32,
    /// Their tokens.
    pub queue_tokens: u64,
    /// Tokens of the prompts of jobs that ended on a pool.
    pub tokens_in: u64,
    /// Tokens that jobs produced that ended on a pool.
    pub tokens_out: u64,
    /// From admission to the first token.
    pub first_token: Histogram<{ FIRST_TOKEN_BOUNDS_MS.len() }>,
    /// From the first token to a good end.
    pub decode: Histogram<{ DECODE_BOUNDS_MS.len() }>,
}

impl ClassCounters {
    const NONE: Self = Self {
        enqueued: 0,
        started: 0,
        finished: 0,
        failed: [0; FailureCause::ALL.len()],
        canceled: [0; CancelCause::ALL.len()],
        expired: [0; ExpiryCause::ALL.len()],
        rejected: [0; RefusalCode::ALL.len()],
        queue_jobs: 0,
        queue_tokens: 0,
        tokens_in: 0,
        tokens_out: 0,
        first_token: Histogram::new(&FIRST_TOKEN_BOUNDS_MS),
        decode: Histogram::new(&DECODE_BOUNDS_MS),
    };

    fn spend(&mut self, usage: UsageFacts) {
        self.tokens_in = self.tokens_in.saturating_add(usage.tokens_in.into());
        self.tokens_out = self.tokens_out.saturating_add(usage.tokens_out.into());
    }

    fn finish(&mut self, usage: UsageFacts) {
        bump(&mut self.finished);
        self.spend(usage);
        // Without a reported first token there was no stream to measure.
        if usage.decode_us > 0 {
            self.decode.observe_us(usage.decode_us);
        }
    }
}

/// Counts the events of a scheduler. METRIC-4.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    interactive: ClassCounters,
    batch: ClassCounters,
    backpressure: [u64; FullPolicy::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        let backpressure = [0; FullPolicy::ALL.len()];
        Self { interactive: ClassCounters::NONE, batch: ClassCounters::NONE, backpressure }
    }

    /// What was counted of a class.
    #[must_use]
    pub const fn class(&self, class: Priority) -> &ClassCounters {
        match class {
            Priority::Interactive => &self.interactive,
            Priority::Batch => &self.batch,
        }
    }

    /// Refusals and evictions by each full policy, with its label. QUEUE-6.
    pub fn backpressure(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FullPolicy::ALL.iter().zip(&self.backpressure).map(|(policy, count)| (policy.label(), *count))
    }

    const fn class_mut(&mut self, class: Priority) -> &mut ClassCounters {
        match class {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        }
    }

    fn reject(&mut self, job: JobFacts<'_>, refusal: &Refusal) {
        bump_at(&mut self.class_mut(job.priority).rejected, &RefusalCode::ALL, refusal.code);
    }

    fn push_back(&mut self, refusal: &Refusal) {
        let labels = FullPolicy::ALL.map(|policy| Some(policy.label()));
        bump_at(&mut self.backpressure, &labels, refusal.policy_label);
    }
}

/// EVENT-2
impl Observer for Counters {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        match *event {
            Event::JobRefused { job, ref refusal } | Event::JobEvicted { job, ref refusal, .. } => {
                self.reject(job, refusal);
                self.push_back(refusal);
            }
            Event::JobTimedOut { job, ref refusal, .. } => self.reject(job, refusal),
            Event::JobEnqueued { job, .. } => bump(&mut self.class_mut(job.priority).enqueued),
            Event::JobStarted { job, .. } => bump(&mut self.class_mut(job.priority).started),
            Event::JobFirstToken { job, since_admission_us, .. } => {
                self.class_mut(job.priority).first_token.observe_us(since_admission_us);
            }
            Event::JobFinished { job, usage, .. } => self.class_mut(job.priority).finish(usage),
            Event::JobFailed { job, cause, usage, .. } => {
                let class = self.class_mut(job.priority);
                bump_at(&mut class.failed, &FailureCause::ALL, cause);
                class.spend(usage);
            }
            Event::JobCanceled { job, pool, cause, usage } => {
                let class = self.class_mut(job.priority);
                bump_at(&mut class.canceled, &CancelCause::ALL, cause);
                if pool.is_some() {
                    class.spend(usage);
                }
            }
            Event::JobExpired { job, cause, usage, .. } => {
                let class = self.class_mut(job.priority);
                bump_at(&mut class.expired, &ExpiryCause::ALL, cause);
                class.spend(usage);
            }
            Event::QueueDepth { priority, jobs, tokens, .. } => {
                let class = self.class_mut(priority);
                (class.queue_jobs, class.queue_tokens) = (jobs, tokens);
            }
            Event::PoolUpdated { .. }
            | Event::PoolRemoved { .. }
            | Event::PoolDraining { .. }
            | Event::RefreshRequested { .. }
            | Event::PlacementDecided { .. }
            | Event::JobDispatched { .. }
            | Event::SessionEnded { .. }
            | Event::PoliciesChanged { .. } => {}
        }
    }
}

fn bump(count: &mut u64) {
    *count = count.saturating_add(1);
}

/// Counts one of `all`.
fn bump_at<T: PartialEq, const N: usize>(counts: &mut [u64; N], all: &[T; N], one: T) {
    counts.iter_mut().zip(all).filter(|(_, each)| **each == one).for_each(|(count, _)| bump(count));
}
