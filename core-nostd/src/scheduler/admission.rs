//! May a job enter the queue, and at whose expense? Backpressure as a pure function.
//!
//! The queue asks the same function before it takes a job in, so the answer given ahead of time is the one that holds.
//!
//! ```
//! use orchestrator_core::scheduler::{ClassState, FullPolicy, SchedulerPolicy};
//! use orchestrator_core::{Admission, AdmissionCapacity, Priority, QueueState, admission_policy};
//!
//! let mut policy = SchedulerPolicy::default();
//! policy.queue.total.jobs = 1;
//! let batch = ClassState { jobs: 1, tokens: 300, oldest_tokens: 300 };
//! let state = QueueState { interactive: ClassState::default(), batch };
//! let admission = |policy: &SchedulerPolicy| {
//!     admission_policy(&state, &AdmissionCapacity {
//!         rules: &policy.queue,
//!         retry: &policy.admission,
//!         storage_jobs: 8,
//!         class: Priority::Interactive,
//!         tokens: 200,
//!         drain_interval_us: Some(2_500_000),
//!     })
//! };
//! assert_eq!(admission(&policy), Admission::Reject { policy_label: "reject", retry_after_ms: 2_500 });
//! policy.queue.full = FullPolicy::DropLru;
//! assert_eq!(admission(&policy), Admission::AcceptAfterEviction { class: Priority::Batch });
//! ```

use super::drain_rate::retry_after_ms;
use super::policy::{AdmissionRules, FullPolicy, QueueRules, WaitLimit};
use crate::input::Priority;

/// What waits of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClassState {
    /// Jobs.
    pub jobs: u32,
    /// Their tokens.
    pub tokens: u64,
    /// Tokens of the oldest of them; 0 without one.
    pub oldest_tokens: u32,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct QueueState {
    /// Interactive jobs.
    pub interactive: ClassState,
    /// Batch jobs.
    pub batch: ClassState,
}

impl QueueState {
    /// What waits of a class.
    #[must_use]
    pub const fn class(&self, class: Priority) -> ClassState {
        match class {
            Priority::Interactive => self.interactive,
            Priority::Batch => self.batch,
        }
    }

    /// All jobs.
    #[must_use]
    pub const fn jobs(&self) -> u32 {
        self.interactive.jobs.saturating_add(self.batch.jobs)
    }

    /// Their tokens.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.interactive.tokens.saturating_add(self.batch.tokens)
    }

    /// Waiting jobs of a class and of those above it.
    pub(super) const fn jobs_ahead(&self, class: Priority) -> u32 {
        match class {
            Priority::Interactive => self.interactive.jobs,
            Priority::Batch => self.jobs(),
        }
    }

    /// What would wait without the oldest job of a class.
    const fn without_oldest(mut self, class: Priority) -> Self {
        let state = match class {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        };
        state.jobs = state.jobs.saturating_sub(1);
        #[allow(clippy::cast_lossless, reason = "`From` is not const")]
        {
            state.tokens = state.tokens.saturating_sub(state.oldest_tokens as u64);
        }
        self
    }
}

/// What may wait, who asks, and what a refused caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AdmissionCapacity<'a> {
    /// Limits and the policy of a full queue.
    pub rules: &'a QueueRules,
    /// Between which times a refused caller may be told to come back.
    pub retry: &'a AdmissionRules,
    /// Jobs for which there is storage.
    pub storage_jobs: u32,
    /// The newcomer's class.
    pub class: Priority,
    /// Its prompt and output tokens.
    pub tokens: u32,
    /// The mean time between two services, in µs, where it was measured. ADMIT-3.
    pub drain_interval_us: Option<u64>,
}

/// Whether a job may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Admission {
    /// It may.
    Accept,
    /// It may, and the oldest job of a class leaves for it.
    AcceptAfterEviction {
        /// The victim's class.
        class: Priority,
    },
    /// It may not.
    Reject {
        /// The policy that refused it, as the metrics contract spells it. QUEUE-6.
        policy_label: &'static str,
        /// When to try again, in ms. ADMIT-4.
        retry_after_ms: u64,
    },
}

/// Whether a newcomer may enter the queue; changes nothing. O(1). ADMIT-1.
pub fn admission_policy(queue: &QueueState, capacity: &AdmissionCapacity<'_>) -> Admission {
    let AdmissionCapacity { rules, retry, storage_jobs, class, tokens, drain_interval_us } = *capacity;
    match room(queue, rules, storage_jobs, class, tokens) {
        Room::Free => Admission::Accept,
        Room::AfterEviction(class) => Admission::AcceptAfterEviction { class },
        Room::None => Admission::Reject {
            policy_label: rules.full.label(),
            retry_after_ms: retry_after_ms(drain_interval_us, queue.jobs_ahead(class), retry),
        },
    }
}

/// Room for a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    AfterEviction(Priority),
    None,
}

/// QUEUE-4.
pub(super) fn room(queue: &QueueState, rules: &QueueRules, storage_jobs: u32, class: Priority, tokens: u32) -> Room {
    let limits = Limits::new(rules, storage_jobs, class);
    if limits.hold(queue, class, tokens) {
        return if is_shed(queue, rules, limits.total.jobs, class) { Room::None } else { Room::Free };
    }
    match rules.full {
        FullPolicy::Reject | FullPolicy::ShedLowPriority => Room::None,
        FullPolicy::DropLru => match victim(queue, rules, &limits, class, tokens) {
            Some(victim) if limits.hold(&queue.without_oldest(victim), class, tokens) => Room::AfterEviction(victim),
            _ => Room::None,
        },
    }
}

/// Whose oldest job may be evicted for a newcomer. QUEUE-5.
fn victim(queue: &QueueState, rules: &QueueRules, limits: &Limits, class: Priority, tokens: u32) -> Option<Priority> {
    let has_batch = queue.batch.jobs > 0;
    let victim = match class {
        // Where the class is full, only a job of the same class makes room.
        Priority::Interactive if has_batch && limits.hold_in_class(queue, class, tokens) => Priority::Batch,
        Priority::Interactive => Priority::Interactive,
        Priority::Batch if has_batch => Priority::Batch,
        Priority::Batch if rules.strict_upstream => Priority::Interactive,
        Priority::Batch => return None,
    };
    (queue.class(victim).jobs > 0).then_some(victim)
}

/// `shed-low-priority`: batch jobs are refused before the queue is full. QUEUE-4.
fn is_shed(queue: &QueueState, rules: &QueueRules, total_jobs: u32, class: Priority) -> bool {
    if rules.full != FullPolicy::ShedLowPriority || class != Priority::Batch {
        return false;
    }
    let share = u64::from(total_jobs).saturating_mul(rules.shed_above_percent.into()).div_euclid(100);
    u64::from(queue.jobs()).saturating_add(1) > share
}

/// The limits that a newcomer of one class has to keep. QUEUE-3.
struct Limits {
    total: WaitLimit,
    class: WaitLimit,
}

impl Limits {
    fn new(rules: &QueueRules, storage_jobs: u32, class: Priority) -> Self {
        let total = WaitLimit { jobs: rules.total.jobs.min(storage_jobs), tokens: rules.total.tokens };
        Self { total, class: rules.class(class) }
    }

    fn hold(&self, queue: &QueueState, class: Priority, tokens: u32) -> bool {
        holds(self.total, queue.jobs(), queue.tokens(), tokens) && self.hold_in_class(queue, class, tokens)
    }

    fn hold_in_class(&self, queue: &QueueState, class: Priority, tokens: u32) -> bool {
        let state = queue.class(class);
        holds(self.class, state.jobs, state.tokens, tokens)
    }
}

/// Whether a limit still holds with one more job. A limit of 0 holds nothing, not even a job of 0 tokens. QUEUE-3.
fn holds(limit: WaitLimit, jobs: u32, tokens: u64, more_tokens: u32) -> bool {
    jobs < limit.jobs && limit.tokens > 0 && tokens.saturating_add(more_tokens.into()) <= limit.tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::policy::SchedulerPolicy;

    /// ADMIT-1, ADMIT-4: a refused caller is told the time of what waits of its class and above, and itself.
    #[test]
    fn the_told_time_grows_with_the_queue() {
        let mut policy = SchedulerPolicy::default();
        policy.queue.total.jobs = 0;
        let told = |class, interactive, batch| {
            let class_state = |jobs| ClassState { jobs, tokens: 0, oldest_tokens: 0 };
            let state = QueueState { interactive: class_state(interactive), batch: class_state(batch) };
            let capacity = AdmissionCapacity {
                rules: &policy.queue,
                retry: &policy.admission,
                storage_jobs: 100,
                class,
                tokens: 1,
                drain_interval_us: Some(2_000_000),
            };
            match admission_policy(&state, &capacity) {
                Admission::Reject { policy_label: "reject", retry_after_ms } => retry_after_ms,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(told(Priority::Interactive, 0, 7), 2_000);
        assert_eq!(told(Priority::Interactive, 3, 7), 8_000);
        assert_eq!(told(Priority::Batch, 3, 7), 22_000);
        assert_eq!(told(Priority::Batch, u32::MAX, u32::MAX), 60_000);
    }
}
