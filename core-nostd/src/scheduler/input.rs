//! What a driver tells the scheduler: each with a time, each answered.

use super::policy::SchedulerPolicy;
use crate::input::{JobSpec, PoolSnapshot};
use crate::policy::Policy;

/// One thing that happened outside.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'a> {
    /// A pool's state, `age_ms` old when it arrived. REFRESH-2, LEASE-3.
    Snapshot(&'a PoolSnapshot<'a>),
    /// A pool is gone. LEASE-4.
    RemovePool {
        /// The pool's id.
        id: &'a str,
        /// Which of its replicas.
        replica_id: &'a str,
    },
    /// A pool takes no new work, or takes it again.
    Drain {
        /// The pool's id.
        id: &'a str,
        /// Which of its replicas.
        replica_id: &'a str,
        /// Whether it drains from now on.
        draining: bool,
    },
    /// A job asks for a place.
    Submit(&'a JobSpec<'a>),
    /// The engine took a dispatched job. LEASE-5.
    Started {
        /// The job's id.
        job_id: &'a str,
    },
    /// A job produced its first token.
    FirstToken {
        /// The job's id.
        job_id: &'a str,
    },
    /// A job goes on: the idle limit starts anew. LEASE-5.
    Progress {
        /// The job's id.
        job_id: &'a str,
        /// Tokens produced so far.
        tokens_out: u32,
    },
    /// A job ended well.
    Finished {
        /// The job's id.
        job_id: &'a str,
        /// Tokens produced in all.
        tokens_out: u32,
    },
    /// A job ended badly.
    Failed {
        /// The job's id.
        job_id: &'a str,
        /// How.
        cause: FailureCause,
        /// Tokens produced until then.
        tokens_out: u32,
    },
    /// Nobody wants a job any more. LEASE-6.
    Cancel {
        /// The job's id.
        job_id: &'a str,
        /// Who said so.
        cause: CancelCause,
    },
    /// A session is over.
    EndSession {
        /// The session's id.
        session_id: &'a str,
    },
    /// Other rules from now on. RECORD-3.
    SetPolicies {
        /// How pools are chosen.
        placement: &'a Policy,
        /// How jobs wait, run and end.
        scheduler: &'a SchedulerPolicy,
    },
    /// Nothing but time has passed.
    Tick,
}

/// How a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FailureCause {
    /// The engine refused it or broke off: INTERNAL.
    Engine,
    /// The engine restarted: WORKER_RESET.
    WorkerReset,
    /// The engine gave up on time: DECODE_TIMEOUT.
    DecodeTimeout,
}

impl FailureCause {
    /// All causes.
    pub const ALL: [Self; 3] = [Self::Engine, Self::WorkerReset, Self::DecodeTimeout];

    /// The cause's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::WorkerReset => "worker_reset",
            Self::DecodeTimeout => "decode_timeout",
        }
    }
}

/// Who canceled a job: the label `reason` of `tasks_canceled_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CancelCause {
    /// The client asked for it.
    #[default]
    ClientRequest,
    /// The client went away.
    Disconnect,
    /// A time limit of the caller's.
    Timeout,
    /// An operator.
    Admin,
}

impl CancelCause {
    /// All causes.
    pub const ALL: [Self; 4] = [Self::ClientRequest, Self::Disconnect, Self::Timeout, Self::Admin];

    /// The cause's name on the wire and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientRequest => "client_request",
            Self::Disconnect => "disconnect",
            Self::Timeout => "timeout",
            Self::Admin => "admin",
        }
    }
}
