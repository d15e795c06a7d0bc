//! What a decision says: the pool, or why there is none. Expected refusals are values, not errors.

use core::fmt;

use crate::rows::{JobFlags, JobQuery};
use crate::rule::rejection::{Reason, Rejection};
use crate::values::device_mask::DeviceMask;

/// Where a job goes, or why nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PlacementDecision {
    /// A pool takes it.
    Assigned(Assignment),
    /// No pool can take it now.
    NoCapacity {
        /// The most useful reason. NOCAP-1.
        reason: Reason,
        /// The rule behind it; `None` when there are no pools.
        headline: Option<Rejection>,
        /// The code that answers the caller. NOCAP-3, NOCAP-4.
        code: WireCode,
    },
}

/// The pool that takes a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Assignment {
    /// The pool's rank.
    pub rank: u32,
    /// The devices of a split; empty without one. DEV-2.
    pub devices: DeviceMask,
    /// Predicted start in µs from now.
    pub start_us: u64,
    /// Predicted end in µs from now, without weights; `None` is unknown.
    pub end_us: Option<u64>,
    /// Whether the pool holds the session's KV cache. SCORE-3.
    pub warm: bool,
    /// Whether none of the preferred pools took it. KEY-11.
    pub fallback: bool,
    /// Whether the predicted end meets the deadline; `None` without a deadline or a prediction.
    pub on_time: Option<bool>,
}

/// Error codes of the wire contract that a placement can answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WireCode {
    /// The request itself rules every pool out.
    InvalidParams,
    /// No pool can serve this.
    PoolUnavailable,
    /// The pools that could are stale, not ready or draining.
    PoolUnready,
    /// The pools that could are full.
    ReplicaExhausted,
}

impl WireCode {
    /// The code as the wire contract spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidParams => "INVALID_PARAMS",
            Self::PoolUnavailable => "POOL_UNAVAILABLE",
            Self::PoolUnready => "POOL_UNREADY",
            Self::ReplicaExhausted => "REPLICA_EXHAUSTED",
        }
    }

    /// The code of a decision without a pool. NOCAP-3, NOCAP-4.
    pub(crate) const fn of(headline: Option<Rejection>, job: &JobQuery<'_>) -> Self {
        let pinned = job.row.flags.has(JobFlags::PIN);
        if pinned && job.hints.pin.is_empty() {
            return Self::InvalidParams;
        }
        let Some(rejection) = headline else {
            return Self::PoolUnavailable;
        };
        if pinned && rejection.stage() >= 5 {
            return Self::PoolUnready;
        }
        match rejection.reason() {
            Reason::Excluded => Self::InvalidParams,
            Reason::Model if matches!(rejection, Rejection::Context) => Self::InvalidParams,
            Reason::NoPools | Reason::Engine | Reason::Model | Reason::DeviceMask | Reason::Vram => {
                Self::PoolUnavailable
            }
            Reason::Stale | Reason::NotReady | Reason::Draining => Self::PoolUnready,
            Reason::Slots => Self::ReplicaExhausted,
        }
    }
}

impl fmt::Display for WireCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PlacementDecision {
    /// The decision when no pool is feasible.
    pub(crate) fn no_capacity(headline: Option<Rejection>, job: &JobQuery<'_>) -> Self {
        Self::NoCapacity {
            reason: headline.map_or(Reason::NoPools, Rejection::reason),
            headline,
            code: WireCode::of(headline, job),
        }
    }

    /// The assignment, if there is one.
    #[must_use]
    pub const fn assignment(&self) -> Option<&Assignment> {
        match self {
            Self::Assigned(assignment) => Some(assignment),
            Self::NoCapacity { .. } => None,
        }
    }
}
