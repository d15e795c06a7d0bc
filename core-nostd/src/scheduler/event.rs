//! What changed: every change of a scheduler is one typed event, and every submitted job ends in exactly one of those
//! that [end](Event::terminal_job) it.
//!
//! Events borrow from the scheduler and the input; an observer that keeps something copies it. Rules: EVENT-1, EVENT-2.

use super::input::{CancelCause, FailureCause};
use crate::error::FieldError;
use crate::fleet::PoolFacts;
use crate::input::Priority;
use crate::placement::Assignment;
use crate::rule::rejection::Rejection;

/// A job, as metrics and logs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JobFacts<'a> {
    /// The job's id.
    pub id: &'a str,
    /// The session it continues.
    pub session_id: Option<&'a str>,
    /// The engine it asks for.
    pub engine: &'a str,
    /// The model it asks for.
    pub model_id: &'a str,
    /// Its class.
    pub priority: Priority,
    /// Tokens of its prompt.
    pub prompt_tokens: u32,
    /// Tokens it will probably produce. JOB-1.
    pub output_tokens: u32,
}

/// Why a job was refused before it waited, or lost its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Refusal {
    /// The code that answers the caller.
    pub code: RefusalCode,
    /// What was wrong with the job, where it was the job's fault.
    pub field: Option<FieldError>,
    /// The full policy that refused or evicted it, as the metrics contract spells it. QUEUE-6.
    pub policy_label: Option<&'static str>,
    /// The rule that the furthest pool failed, where no pool can take it. NOCAP-1.
    pub rejection: Option<Rejection>,
    /// When to try again, in ms; absent where trying again cannot help. ADMIT-4.
    pub retry_after_ms: Option<u64>,
}

/// Codes of the wire contract that a refusal can have. ADMIT-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RefusalCode {
    /// No room: 429.
    AdmissionReject,
    /// No room, under `drop-lru`, or evicted by a newcomer: 429.
    QueueFullDropLru,
    /// The request itself is at fault: 400.
    InvalidParams,
    /// The deadline cannot be met: 400.
    DeadlineUnmet,
    /// No pool is ready: 503.
    PoolUnready,
    /// No pool can serve this: 503.
    PoolUnavailable,
    /// Every pool is full: 503.
    ReplicaExhausted,
    /// It waited too long: 503.
    QueueTimeout,
}

impl RefusalCode {
    /// All codes.
    pub const ALL: [Self; 8] = [
        Self::AdmissionReject,
        Self::QueueFullDropLru,
        Self::InvalidParams,
        Self::DeadlineUnmet,
        Self::PoolUnready,
        Self::PoolUnavailable,
        Self::ReplicaExhausted,
        Self::QueueTimeout,
    ];

    /// The code as the wire contract spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdmissionReject => "ADMISSION_REJECT",
            Self::QueueFullDropLru => "QUEUE_FULL_DROP_LRU",
            Self::InvalidParams => "INVALID_PARAMS",
            Self::DeadlineUnmet => "DEADLINE_UNMET",
            Self::PoolUnready => "POOL_UNREADY",
            Self::PoolUnavailable => "POOL_UNAVAILABLE",
            Self::ReplicaExhausted => "REPLICA_EXHAUSTED",
            Self::QueueTimeout => "QUEUE_TIMEOUT",
        }
    }
}

/// How a lease ended that did not finish, fail or get canceled. LEASE-4, LEASE-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ExpiryCause {
    /// Reserved, and not started in time.
    NotStarted,
    /// Ran too long.
    WallLimit,
    /// Said nothing for too long.
    IdleLimit,
    /// Its pool was removed.
    PoolLost,
}

impl ExpiryCause {
    /// All causes.
    pub const ALL: [Self; 4] = [Self::NotStarted, Self::WallLimit, Self::IdleLimit, Self::PoolLost];

    /// The cause's name on the wire and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::WallLimit => "wall_limit",
            Self::IdleLimit => "idle_limit",
            Self::PoolLost => "pool_lost",
        }
    }
}

/// When a waiting job is served. FORECAST-1, FORECAST-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WaitForecast {
    /// Waiting jobs that are served before it.
    pub queue_position: u32,
    /// The same within its class.
    pub class_position: u32,
    /// When it probably starts, in µs; absent without a measured drain rate.
    pub predicted_start_us: Option<u64>,
}

/// What metrics count of a placement decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DecisionFacts {
    /// Whether a pool was found.
    pub assigned: bool,
    /// Whether the job pins a pool. JOB-4.
    pub pinned: bool,
    /// Whether none of the preferred pools took it.
    pub fallback: bool,
    /// Pools that were looked at.
    pub candidates: u32,
}

/// What a dispatch says of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DispatchFacts {
    /// The placement; its times are from now.
    pub assignment: Assignment,
    /// Since its admission, in µs.
    pub waited_us: u64,
    /// Whether the session's KV cache is there. SESSION-3.
    pub kv_warm: bool,
    /// Always false: caches do not move. ORCH-3023.
    pub kv_migrated: bool,
    /// The sampling seed to hand on. OC-CORE-1034.
    pub seed: Option<i64>,
    /// The chance of meeting the deadline, in 1/1000. FORECAST-4.
    pub on_time_permille: Option<u16>,
}

/// Times and tokens of a lease that ended. Times are in µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UsageFacts {
    /// Tokens of the prompt, once the job had started; else 0.
    pub tokens_in: u32,
    /// Tokens produced.
    pub tokens_out: u32,
    /// From its start to its end.
    pub run_us: u64,
    /// From its first token to its end; 0 without one.
    pub decode_us: u64,
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event<'a> {
    /// A snapshot stands.
    PoolUpdated {
        /// The pool.
        pool: PoolFacts<'a>,
        /// Leases that the snapshot had not seen and that were taken from it again. LEASE-3.
        credited: u32,
        /// Total less free VRAM over all its devices, as it stands now, in bytes.
        vram_used_bytes: u64,
    },
    /// A pool is gone.
    PoolRemoved {
        /// The pool.
        pool: PoolFacts<'a>,
    },
    /// A pool takes no new work, or takes it again.
    PoolDraining {
        /// The pool.
        pool: PoolFacts<'a>,
        /// Which of the two.
        draining: bool,
    },
    /// A pool's snapshot was asked for. REFRESH-1.
    RefreshRequested {
        /// The pool.
        pool: PoolFacts<'a>,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// A job was refused: it ends here.
    JobRefused {
        /// The job.
        job: JobFacts<'a>,
        /// Why.
        refusal: Refusal,
    },
    /// A job was accepted.
    JobEnqueued {
        /// The job.
        job: JobFacts<'a>,
        /// When it is served.
        forecast: WaitForecast,
    },
    /// A waiting job lost its place to another: it ends here. QUEUE-4.
    JobEvicted {
        /// The job.
        job: JobFacts<'a>,
        /// Why.
        refusal: Refusal,
        /// How long it waited, in µs.
        waited_us: u64,
    },
    /// A job waited too long: it ends here. QUEUE-12.
    JobTimedOut {
        /// The job.
        job: JobFacts<'a>,
        /// Why.
        refusal: Refusal,
        /// How long it waited, in µs.
        waited_us: u64,
    },
    /// A placement was decided: at admission where no pool can take the job, else when it is dispatched or passed over.
    PlacementDecided {
        /// The job.
        job: JobFacts<'a>,
        /// What was decided.
        decision: DecisionFacts,
    },
    /// A job has a lease.
    JobDispatched {
        /// The job.
        job: JobFacts<'a>,
        /// Its pool.
        pool: PoolFacts<'a>,
        /// What else is to say.
        dispatch: DispatchFacts,
    },
    /// Its engine took it.
    JobStarted {
        /// The job.
        job: JobFacts<'a>,
        /// Its pool.
        pool: PoolFacts<'a>,
    },
    /// It produced its first token.
    JobFirstToken {
        /// The job.
        job: JobFacts<'a>,
        /// Its pool.
        pool: PoolFacts<'a>,
        /// Since its admission, in µs.
        since_admission_us: u64,
    },
    /// It ended well.
    JobFinished {
        /// The job.
        job: JobFacts<'a>,
        /// Its pool.
        pool: PoolFacts<'a>,
        /// What it used.
        usage: UsageFacts,
    },
    /// It ended badly.
    JobFailed {
        /// The job.
        job: JobFacts<'a>,
        /// Its pool.
        pool: PoolFacts<'a>,
        /// How.
        cause: FailureCause,
        /// What it used.
        usage: UsageFacts,
    },
    /// Nobody wants it any more: it ends here.
    JobCanceled {
        /// The job.
        job: JobFacts<'a>,
        /// Its pool; none where it still waited.
        pool: Option<PoolFacts<'a>>,
        /// Who said so.
        cause: CancelCause,
        /// What it used.
        usage: UsageFacts,
    },
    /// Its lease ended by itself. LEASE-4, LEASE-5.
    JobExpired {
        /// The job.
        job: JobFacts<'a>,
        /// Its pool.
        pool: PoolFacts<'a>,
        /// How.
        cause: ExpiryCause,
        /// What it used.
        usage: UsageFacts,
    },
    /// A session is over. SESSION-1.
    SessionEnded {
        /// The session.
        session_id: &'a str,
        /// How.
        cause: SessionEnd,
    },
    /// How many jobs of a class wait, after a change of that number.
    QueueDepth {
        /// The class.
        priority: Priority,
        /// The engine of the job that came or left.
        engine: &'a str,
        /// Jobs of the class, of all engines.
        jobs: u32,
        /// Their tokens.
        tokens: u64,
    },
    /// Other policies are in force. RECORD-3.
    PoliciesChanged {
        /// The placement policy's hash. HASH-3.
        placement_hash: u64,
        /// The scheduler policy's hash.
        scheduler_hash: u64,
    },
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionEnd {
    /// On request.
    Requested,
    /// Not used for too long.
    Expired,
    /// The least recently used of a full table.
    Evicted,
}

impl SessionEnd {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
        }
    }
}

impl<'a> Event<'a> {
    /// The job that this event ends, if it ends one. EVENT-1.
    #[must_use]
    pub const fn terminal_job(&self) -> Option<JobFacts<'a>> {
        match *self {
            Self::JobRefused { job, .. }
            | Self::JobEvicted { job, .. }
            | Self::JobTimedOut { job, .. }
            | Self::JobFinished { job, .. }
            | Self::JobFailed { job, .. }
            | Self::JobCanceled { job, .. }
            | Self::JobExpired { job, .. } => Some(job),
            _ => None,
        }
    }

    /// The event's name on the wire and in logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PoolUpdated { .. } => "pool_updated",
            Self::PoolRemoved { .. } => "pool_removed",
            Self::PoolDraining { .. } => "pool_draining",
            Self::RefreshRequested { .. } => "refresh_requested",
            Self::JobRefused { .. } => "job_refused",
            Self::JobEnqueued { .. } => "job_enqueued",
            Self::JobEvicted { .. } => "job_evicted",
            Self::JobTimedOut { .. } => "job_timed_out",
            Self::PlacementDecided { .. } => "placement_decided",
            Self::JobDispatched { .. } => "job_dispatched",
            Self::JobStarted { .. } => "job_started",
            Self::JobFirstToken { .. } => "job_first_token",
            Self::JobFinished { .. } => "job_finished",
            Self::JobFailed { .. } => "job_failed",
            Self::JobCanceled { .. } => "job_canceled",
            Self::JobExpired { .. } => "job_expired",
            Self::SessionEnded { .. } => "session_ended",
            Self::QueueDepth { .. } => "queue_depth",
            Self::PoliciesChanged { .. } => "policies_changed",
        }
    }
}
