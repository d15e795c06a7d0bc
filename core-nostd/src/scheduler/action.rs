//! What a driver is to do, and what it is told about its input.

use super::event::{DispatchFacts, ExpiryCause, Refusal, WaitForecast};
use super::input::CancelCause;
use crate::fleet::FleetError;
use crate::values::text::Id;

/// What became of an input. Nothing that a driver can say is fatal. LEASE-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum Answer {
    /// It took effect.
    Done,
    /// The job is in: it waits, or one of the next actions dispatches it.
    Accepted(WaitForecast),
    /// The job ends here.
    Refused(Refusal),
    /// A job with this id waits or runs already; the newcomer was not taken in.
    DuplicateJob,
    /// No job with this id waits or runs: it never did, or it ended.
    UnknownJob,
    /// This was reported before, or something that comes after it.
    Repeated,
    /// The job still waits: nothing can be reported of it.
    NotDispatched,
    /// No pool has these ids.
    UnknownPool,
    /// No session has this id.
    UnknownSession,
    /// The pool's state is newer than this snapshot. REFRESH-2.
    Late,
    /// The snapshot breaks a rule or does not fit; the pool is as before.
    BadSnapshot(FleetError),
    /// Actions of the last input were not asked for yet; nothing changed.
    ActionsPending,
    /// `now` is before the time of an earlier input; nothing changed. EVENT-3.
    TimeWentBack {
        /// The time of the last input.
        last_us: u64,
    },
    /// `now` is above what small tables keep; nothing changed. EVENT-3, UNIT-12.
    TimeTooLate {
        /// The last time that they keep.
        max_us: u64,
    },
}

impl Answer {
    /// The answer's name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Accepted(_) => "accepted",
            Self::Refused(_) => "refused",
            Self::DuplicateJob => "duplicate_job",
            Self::UnknownJob => "unknown_job",
            Self::Repeated => "repeated",
            Self::NotDispatched => "not_dispatched",
            Self::UnknownPool => "unknown_pool",
            Self::UnknownSession => "unknown_session",
            Self::Late => "late",
            Self::BadSnapshot(_) => "bad_snapshot",
            Self::ActionsPending => "actions_pending",
            Self::TimeWentBack { .. } => "time_went_back",
            Self::TimeTooLate { .. } => "time_too_late",
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Action {
    /// Send a job to its pool.
    Dispatch {
        /// The job's id.
        job_id: Id,
        /// The pool's id.
        pool_id: Id,
        /// Which of its replicas.
        replica_id: Id,
        /// What else is to say.
        dispatch: DispatchFacts,
    },
    /// Stop a job on its pool, and send nothing of it any more.
    Abort {
        /// The job's id.
        job_id: Id,
        /// The pool's id; empty where the pool is gone.
        pool_id: Id,
        /// Which of its replicas.
        replica_id: Id,
        /// Why.
        cause: AbortCause,
    },
    /// Tell the client of a waiting job that it lost its place.
    Drop {
        /// The job's id.
        job_id: Id,
        /// Why.
        refusal: Refusal,
    },
    /// Ask a pool for its state. REFRESH-1.
    RefreshSnapshot {
        /// The pool's id.
        pool_id: Id,
        /// Which of its replicas.
        replica_id: Id,
        /// Which attempt, from 1.
        attempt: u32,
        /// Not before this time, in µs.
        not_before_us: u64,
    },
}

impl Action {
    /// The action's name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dispatch { .. } => "dispatch",
            Self::Abort { .. } => "abort",
            Self::Drop { .. } => "drop",
            Self::RefreshSnapshot { .. } => "refresh_snapshot",
        }
    }
}

/// Why a job is stopped on its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AbortCause {
    /// It was canceled.
    Canceled(CancelCause),
    /// Its lease ended by itself.
    Expired(ExpiryCause),
}

impl AbortCause {
    /// The cause's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Canceled(cause) => cause.name(),
            Self::Expired(cause) => cause.name(),
        }
    }
}
