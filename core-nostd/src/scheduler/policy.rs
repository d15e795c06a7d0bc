//! How jobs wait, run and end: the knobs, checked once.
//!
//! [`SchedulerPolicySpec`] is what a file or a caller says, in wire units; [`SchedulerPolicy`] is what the state machines
//! read. How pools are chosen is [`Policy`](crate::Policy)'s concern.
//!
//! ```
//! use orchestrator_core::scheduler::{FullPolicy, SchedulerPolicySpec};
//!
//! let policy = SchedulerPolicySpec { full: FullPolicy::DropLru, ..SchedulerPolicySpec::default() }.validate().unwrap();
//! assert_eq!(policy.queue.ttl_us, 300_000_000);
//!
//! let error = SchedulerPolicySpec { scan_limit: 0, ..SchedulerPolicySpec::default() }.validate().unwrap_err();
//! assert_eq!(error.field, "queue.scan_limit");
//! ```

use crate::error::{FieldError, Problem};
use crate::input::Priority;
use crate::limits::{BYTES_MAX, CONTEXT_MAX, RETRY_MAX_MS, SCAN_LIMIT_MAX, TOKENS_MAX};
use crate::values::edge::micros_from_millis;
use crate::values::hash::ContentHasher;

/// What happens to a newcomer for which the queue has no room. QUEUE-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FullPolicy {
    /// It is refused.
    #[default]
    Reject,
    /// It takes the place of the oldest batch job.
    DropLru,
    /// It is refused, and batch jobs already before the queue is full.
    ShedLowPriority,
}

impl FullPolicy {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::Reject, Self::DropLru, Self::ShedLowPriority];

    /// The policy's label in metrics, answers and files. QUEUE-6.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::DropLru => "drop-lru",
            Self::ShedLowPriority => "shed-low-priority",
        }
    }
}

/// How jobs of one class are served. QUEUE-7, QUEUE-9, QUEUE-10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Discipline {
    /// First in, first out.
    #[default]
    Fifo,
    /// Earliest deadline first.
    EarliestDeadline,
    /// Tenants in turn, by tokens.
    FairTenants,
}

impl Discipline {
    /// All disciplines.
    pub const ALL: [Self; 3] = [Self::Fifo, Self::EarliestDeadline, Self::FairTenants];

    /// The discipline's name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::EarliestDeadline => "earliest-deadline",
            Self::FairTenants => "fair-tenants",
        }
    }
}

/// Jobs and tokens that may wait. QUEUE-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WaitLimit {
    /// Jobs.
    pub jobs: u32,
    /// Their tokens.
    pub tokens: u64,
}

impl WaitLimit {
    /// As many as the storage holds.
    pub const NONE: Self = Self { jobs: u32::MAX, tokens: BYTES_MAX };
}

/// How often each class is served when both wait. QUEUE-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClassWeights {
    /// Services of interactive jobs in a round: at least 1.
    pub interactive: u16,
    /// Services of batch jobs in a round: at least 1.
    pub batch: u16,
}

impl Default for ClassWeights {
    /// 8 to 1. ORCH-3075.
    fn default() -> Self {
        Self { interactive: 8, batch: 1 }
    }
}

/// The knobs of a scheduler in wire units. Every field has the default of `docs/spec.md` section 13 to 18.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SchedulerPolicySpec {
    /// Jobs and tokens that may wait in all.
    pub queue_total: WaitLimit,
    /// Interactive ones.
    pub queue_interactive: WaitLimit,
    /// Batch ones.
    pub queue_batch: WaitLimit,
    /// What happens to a newcomer without room.
    pub full: FullPolicy,
    /// Whether a batch newcomer may evict an interactive job. QUEUE-5.
    pub strict_upstream: bool,
    /// Share of the job limits above which `shed-low-priority` refuses batch jobs, in percent: 0 to 100.
    pub shed_above_percent: i64,
    /// How jobs of one class are served.
    pub discipline: Discipline,
    /// Turns of the classes; absent is strict priority.
    pub class_weights: Option<ClassWeights>,
    /// Tokens that a tenant gains per turn: 1 to 2^24 - 1.
    pub tenant_quantum_tokens: i64,
    /// Jobs that waited this long go first, in ms; absent is off.
    pub promote_after_ms: Option<f64>,
    /// The longest wait in ms; 0 is none.
    pub queue_ttl_ms: f64,
    /// Jobs that one pass may pass over: 1 to 65,535.
    pub scan_limit: i64,
    /// How often a job may be overtaken: 1 to 2^32 - 1.
    pub overtakes_max: i64,
    /// The most prompt and output tokens of one job.
    pub max_job_tokens: i64,
    /// The longest context of one job.
    pub max_context_tokens: i64,
    /// The shortest wait that a refused caller is told, in ms.
    pub retry_floor_ms: i64,
    /// The longest, in ms.
    pub retry_cap_ms: i64,
    /// From dispatch to start, in ms; 0 is no limit.
    pub start_timeout_ms: f64,
    /// From start to end, in ms; 0 is no limit.
    pub wall_limit_ms: f64,
    /// Between two reports, in ms; 0 is no limit.
    pub idle_limit_ms: f64,
    /// How much worse a time before the first token is than one after it: 1 to 255; 0 is as 1, and pending prefills count
    /// for nothing. LEASE-8.
    pub prefill_weight: i64,
    /// How long an unused session is kept, in ms; 0 is for ever.
    pub session_ttl_ms: f64,
    /// The age at which a snapshot is asked for, in ms.
    pub refresh_after_ms: f64,
    /// Between the first and the second attempt, in ms.
    pub refresh_base_ms: f64,
    /// The longest time between two attempts, in ms.
    pub refresh_cap_ms: f64,
}

impl Default for SchedulerPolicySpec {
    fn default() -> Self {
        Self {
            queue_total: WaitLimit::NONE,
            queue_interactive: WaitLimit::NONE,
            queue_batch: WaitLimit::NONE,
            full: FullPolicy::Reject,
            strict_upstream: false,
            shed_above_percent: 75,
            discipline: Discipline::Fifo,
            class_weights: None,
            tenant_quantum_tokens: 4_096,
            promote_after_ms: None,
            queue_ttl_ms: 300_000.0,
            scan_limit: 256,
            overtakes_max: 1_024,
            max_job_tokens: i64::from(CONTEXT_MAX),
            max_context_tokens: i64::from(CONTEXT_MAX),
            retry_floor_ms: 1_000,
            retry_cap_ms: 60_000,
            start_timeout_ms: 60_000.0,
            wall_limit_ms: 1_800_000.0,
            idle_limit_ms: 60_000.0,
            prefill_weight: 32,
            session_ttl_ms: 600_000.0,
            refresh_after_ms: 15_000.0,
            refresh_base_ms: 1_000.0,
            refresh_cap_ms: 60_000.0,
        }
    }
}

/// How jobs wait. QUEUE-3 to QUEUE-13.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct QueueRules {
    /// Limits in all.
    pub total: WaitLimit,
    /// Limits of interactive jobs.
    pub interactive: WaitLimit,
    /// Limits of batch jobs.
    pub batch: WaitLimit,
    /// What happens to a newcomer without room.
    pub full: FullPolicy,
    /// Whether a batch newcomer may evict an interactive job.
    pub strict_upstream: bool,
    /// 0 to 100.
    pub shed_above_percent: u8,
    /// How jobs of one class are served.
    pub discipline: Discipline,
    /// Turns of the classes; `None` is strict priority.
    pub class_weights: Option<ClassWeights>,
    /// Tokens that a tenant gains per turn; at least 1.
    pub tenant_quantum_tokens: u32,
    /// Jobs that waited this long go first.
    pub promote_after_us: Option<u64>,
    /// The longest wait; 0 is none.
    pub ttl_us: u64,
    /// Jobs that one pass may pass over; at least 1.
    pub scan_limit: u32,
    /// How often a job may be overtaken; at least 1.
    pub overtakes_max: u32,
}

impl QueueRules {
    /// The limits of a class.
    #[must_use]
    pub const fn class(&self, class: Priority) -> WaitLimit {
        match class {
            Priority::Interactive => self.interactive,
            Priority::Batch => self.batch,
        }
    }
}

/// What is asked before a job may wait, and what a refused caller is told. ADMIT-2, ADMIT-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AdmissionRules {
    /// The most prompt and output tokens of one job.
    pub max_job_tokens: u32,
    /// The longest context of one job.
    pub max_context_tokens: u32,
    /// The shortest wait told.
    pub retry_floor_ms: u64,
    /// The longest; not below the floor.
    pub retry_cap_ms: u64,
}

/// When a lease ends by itself; 0 is no limit. LEASE-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WatchdogRules {
    /// From dispatch to start.
    pub start_timeout_us: u64,
    /// From start to end.
    pub wall_limit_us: u64,
    /// Between two reports.
    pub idle_limit_us: u64,
}

/// When a pool is asked for its state. REFRESH-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RefreshRules {
    /// The age at which a snapshot is asked for.
    pub after_us: u64,
    /// Between the first and the second attempt; at least 1.
    pub base_us: u64,
    /// The longest time between two attempts; not below the base.
    pub cap_us: u64,
}

/// The knobs of a scheduler, inside every limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct SchedulerPolicy {
    /// How jobs wait.
    pub queue: QueueRules,
    /// What is asked before they do.
    pub admission: AdmissionRules,
    /// When leases end by themselves.
    pub watchdog: WatchdogRules,
    /// How much worse a time before the first token is than one after it; 0 is as 1, and pending prefills count for
    /// nothing. LEASE-8.
    pub prefill_weight: u8,
    /// How long an unused session is kept; 0 is for ever. SESSION-1.
    pub session_ttl_us: u64,
    /// When pools are asked for their state.
    pub refresh: RefreshRules,
}

impl Default for SchedulerPolicy {
    /// The defaults of [`SchedulerPolicySpec`].
    fn default() -> Self {
        Self {
            queue: QueueRules {
                total: WaitLimit::NONE,
                interactive: WaitLimit::NONE,
                batch: WaitLimit::NONE,
                full: FullPolicy::Reject,
                strict_upstream: false,
                shed_above_percent: 75,
                discipline: Discipline::Fifo,
                class_weights: None,
                tenant_quantum_tokens: 4_096,
                promote_after_us: None,
                ttl_us: 300_000_000,
                scan_limit: 256,
                overtakes_max: 1_024,
            },
            admission: AdmissionRules {
                max_job_tokens: CONTEXT_MAX,
                max_context_tokens: CONTEXT_MAX,
                retry_floor_ms: 1_000,
                retry_cap_ms: 60_000,
            },
            watchdog: WatchdogRules {
                start_timeout_us: 60_000_000,
                wall_limit_us: 1_800_000_000,
                idle_limit_us: 60_000_000,
            },
            prefill_weight: 32,
            session_ttl_us: 600_000_000,
            refresh: RefreshRules { after_us: 15_000_000, base_us: 1_000_000, cap_us: 60_000_000 },
        }
    }
}

impl SchedulerPolicySpec {
    /// Checks every knob.
    ///
    /// # Errors
    /// The first knob outside its range, by its path in a policy file.
    pub fn validate(&self) -> Result<SchedulerPolicy, FieldError> {
        Ok(SchedulerPolicy {
            queue: self.queue_rules()?,
            admission: self.admission_rules()?,
            watchdog: WatchdogRules {
                start_timeout_us: time("lease.start_timeout_ms", self.start_timeout_ms)?,
                wall_limit_us: time("lease.wall_limit_ms", self.wall_limit_ms)?,
                idle_limit_us: time("lease.idle_limit_ms", self.idle_limit_ms)?,
            },
            prefill_weight: narrow("lease.prefill_weight", self.prefill_weight, 0, u8::MAX)?,
            session_ttl_us: time("session.ttl_ms", self.session_ttl_ms)?,
            refresh: self.refresh_rules()?,
        })
    }

    fn queue_rules(&self) -> Result<QueueRules, FieldError> {
        let promote = self.promote_after_ms.map(|ms| time("queue.promote_after_ms", ms)).transpose()?;
        Ok(QueueRules {
            total: limit("queue.max_tokens", self.queue_total)?,
            interactive: limit("queue.interactive.max_tokens", self.queue_interactive)?,
            batch: limit("queue.batch.max_tokens", self.queue_batch)?,
            full: self.full,
            strict_upstream: self.strict_upstream,
            shed_above_percent: narrow("queue.shed_above_percent", self.shed_above_percent, 0, 100u8)?,
            discipline: self.discipline,
            class_weights: self.class_weights.map(weights).transpose()?,
            tenant_quantum_tokens: narrow("queue.tenant_quantum_tokens", self.tenant_quantum_tokens, 1, TOKENS_MAX)?,
            promote_after_us: promote,
            ttl_us: time("queue.ttl_ms", self.queue_ttl_ms)?,
            scan_limit: narrow("queue.scan_limit", self.scan_limit, 1, SCAN_LIMIT_MAX)?,
            overtakes_max: narrow("queue.overtakes_max", self.overtakes_max, 1, u32::MAX)?,
        })
    }

    fn admission_rules(&self) -> Result<AdmissionRules, FieldError> {
        let rules = AdmissionRules {
            max_job_tokens: narrow("admission.max_job_tokens", self.max_job_tokens, 0, CONTEXT_MAX)?,
            max_context_tokens: narrow("admission.max_context_tokens", self.max_context_tokens, 0, CONTEXT_MAX)?,
            retry_floor_ms: narrow("admission.retry_floor_ms", self.retry_floor_ms, 0, RETRY_MAX_MS)?,
            retry_cap_ms: narrow("admission.retry_cap_ms", self.retry_cap_ms, 0, RETRY_MAX_MS)?,
        };
        ordered("admission.retry_cap_ms", rules.retry_floor_ms, rules.retry_cap_ms).map(|()| rules)
    }

    fn refresh_rules(&self) -> Result<RefreshRules, FieldError> {
        let rules = RefreshRules {
            after_us: time("refresh.after_ms", self.refresh_after_ms)?,
            base_us: time("refresh.base_ms", self.refresh_base_ms)?.max(1),
            cap_us: time("refresh.cap_ms", self.refresh_cap_ms)?.max(1),
        };
        ordered("refresh.cap_ms", rules.base_us, rules.cap_us).map(|()| rules)
    }
}

fn time(field: &'static str, ms: f64) -> Result<u64, FieldError> {
    micros_from_millis(ms).map_err(|problem| FieldError::new(field, problem))
}

/// An integer between `min` and `max`, as the type that holds it.
fn narrow<T: Copy + Into<u64> + TryFrom<u64>>(
    field: &'static str,
    value: i64,
    min: u64,
    max: T,
) -> Result<T, FieldError> {
    let unsigned = u64::try_from(value).map_err(|_| FieldError::new(field, Problem::Negative))?;
    if unsigned < min {
        return Err(FieldError::new(field, Problem::Malformed { expected: "at least 1" }));
    }
    let too_large = FieldError::new(field, Problem::TooLarge { max: max.into() });
    if unsigned > max.into() { Err(too_large) } else { T::try_from(unsigned).map_err(|_| too_large) }
}

fn limit(field: &'static str, limit: WaitLimit) -> Result<WaitLimit, FieldError> {
    if limit.tokens > BYTES_MAX { Err(FieldError::new(field, Problem::TooLarge { max: BYTES_MAX })) } else { Ok(limit) }
}

fn weights(weights: ClassWeights) -> Result<ClassWeights, FieldError> {
    if weights.interactive == 0 || weights.batch == 0 {
        return Err(FieldError::new("queue.class_weights", Problem::Malformed { expected: "at least 1 each" }));
    }
    Ok(weights)
}

fn ordered(field: &'static str, floor: u64, cap: u64) -> Result<(), FieldError> {
    let why = "must not be below the shortest";
    if cap < floor { Err(FieldError::new(field, Problem::Contradiction { why })) } else { Ok(()) }
}

impl SchedulerPolicy {
    /// The policy's hash: equal knobs, equal hash, on every machine. RECORD-3.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        let Self { queue, admission, watchdog, prefill_weight, session_ttl_us, refresh } = self;
        let mut hasher = ContentHasher::new("scheduler-policy");
        for limit in [queue.total, queue.interactive, queue.batch] {
            hasher.int(limit.jobs.into());
            hasher.int(limit.tokens);
        }
        hasher.text(queue.full.label());
        hasher.byte(queue.strict_upstream.into());
        hasher.byte(queue.shed_above_percent);
        hasher.text(queue.discipline.name());
        hasher.optional_int(queue.class_weights.map(|weights| weights.interactive.into()));
        hasher.optional_int(queue.class_weights.map(|weights| weights.batch.into()));
        hasher.int(queue.tenant_quantum_tokens.into());
        hasher.optional_int(queue.promote_after_us);
        for value in [queue.ttl_us, queue.scan_limit.into(), queue.overtakes_max.into()] {
            hasher.int(value);
        }
        for value in [admission.max_job_tokens.into(), admission.max_context_tokens.into()] {
            hasher.int(value);
        }
        for value in [admission.retry_floor_ms, admission.retry_cap_ms] {
            hasher.int(value);
        }
        for value in [watchdog.start_timeout_us, watchdog.wall_limit_us, watchdog.idle_limit_us, *session_ttl_us] {
            hasher.int(value);
        }
        for value in [refresh.after_us, refresh.base_us, refresh.cap_us] {
            hasher.int(value);
        }
        hasher.byte(*prefill_weight);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RECORD-3: the defaults of both forms are the same policy.
    #[test]
    fn defaults_agree() {
        assert_eq!(SchedulerPolicySpec::default().validate(), Ok(SchedulerPolicy::default()));
    }

    #[test]
    fn knobs_outside_their_range_are_named() {
        let refused = |change: fn(&mut SchedulerPolicySpec)| {
            let mut spec = SchedulerPolicySpec::default();
            change(&mut spec);
            spec.validate().unwrap_err().field
        };
        assert_eq!(refused(|spec| spec.shed_above_percent = 101), "queue.shed_above_percent");
        assert_eq!(refused(|spec| spec.shed_above_percent = -1), "queue.shed_above_percent");
        assert_eq!(refused(|spec| spec.overtakes_max = 0), "queue.overtakes_max");
        assert_eq!(refused(|spec| spec.tenant_quantum_tokens = 1 << 24), "queue.tenant_quantum_tokens");
        assert_eq!(refused(|spec| spec.queue_total.tokens = 1 << 48), "queue.max_tokens");
        assert_eq!(
            refused(|spec| spec.class_weights = Some(ClassWeights { interactive: 1, batch: 0 })),
            "queue.class_weights"
        );
        assert_eq!(refused(|spec| spec.prefill_weight = 256), "lease.prefill_weight");
        assert_eq!(refused(|spec| spec.retry_cap_ms = 999), "admission.retry_cap_ms");
        assert_eq!(refused(|spec| spec.refresh_cap_ms = 999.0), "refresh.cap_ms");
        assert_eq!(refused(|spec| spec.wall_limit_ms = f64::NAN), "lease.wall_limit_ms");
    }
}
