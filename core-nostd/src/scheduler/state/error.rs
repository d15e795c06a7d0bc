//! Why a state was not written or not taken in.

use core::fmt;

use super::STATE_FORMAT;
use crate::SEMANTICS_VERSION;
use crate::codec::{DecodeError, OutOfRoom};

/// A state that was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ExportError {
    /// The sink has no room.
    OutOfRoom,
    /// Actions of the last input were not asked for yet: they would be lost.
    ActionsPending,
}

impl From<OutOfRoom> for ExportError {
    fn from(OutOfRoom: OutOfRoom) -> Self {
        Self::OutOfRoom
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRoom => "no room for the state",
            Self::ActionsPending => "actions of the last input are pending",
        })
    }
}

impl core::error::Error for ExportError {}

/// A table that a state needs more room in than there is. STATE-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StateTable {
    /// Jobs that wait.
    WaitingJobs,
    /// Bytes of one waiting job.
    JobBytes,
    /// Tenants with a turn of their own.
    Tenants,
    /// Leases.
    Leases,
    /// Sessions.
    Sessions,
    /// Bytes of an id: of a job, a session or a tenant.
    IdBytes,
}

impl StateTable {
    /// The table's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WaitingJobs => "waiting jobs",
            Self::JobBytes => "bytes of a waiting job",
            Self::Tenants => "tenants",
            Self::Leases => "leases",
            Self::Sessions => "sessions",
            Self::IdBytes => "bytes of an id",
        }
    }
}

/// A state that was not taken in: nothing changed. STATE-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StateError {
    /// The bytes are something else.
    NotAState,
    /// A state in another form.
    OtherFormat {
        /// Its version.
        found: u32,
    },
    /// A state made under other rules.
    OtherSemantics {
        /// Their version.
        found: u32,
    },
    /// It is cut off or damaged.
    Checksum,
    /// Its checksum stands, but it holds something that no state holds.
    Payload(DecodeError),
    /// Its checksum stands, but its parts contradict each other.
    Contradiction {
        /// What is wrong.
        what: &'static str,
    },
    /// It does not fit.
    NoRoom {
        /// Where.
        table: StateTable,
        /// How much it needs.
        needed: usize,
        /// How much there is.
        room: usize,
    },
    /// The scheduler has jobs, leases, sessions or pending actions of its own.
    NotFresh,
    /// `now` is before the time of an earlier input. EVENT-3.
    TimeWentBack {
        /// The time of the last input.
        last_us: u64,
    },
    /// `now` is above what small tables keep. EVENT-3, UNIT-12.
    TimeTooLate {
        /// The last time that they keep.
        max_us: u64,
    },
    /// Times of the state would lie before time 0.
    TooEarly {
        /// The first `now` at which it can be taken in.
        at_least_us: u64,
    },
}

impl From<DecodeError> for StateError {
    fn from(error: DecodeError) -> Self {
        Self::Payload(error)
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotAState => f.write_str("not the state of a scheduler"),
            Self::OtherFormat { found } => {
                write!(f, "a state of format {found}; this program reads format {STATE_FORMAT}")
            }
            Self::OtherSemantics { found } => {
                write!(f, "a state of semantics version {found}; this program has version {SEMANTICS_VERSION}")
            }
            Self::Checksum => f.write_str("the state is cut off or damaged: its checksum is another"),
            Self::Payload(error) => write!(f, "the state cannot be read: {error}"),
            Self::Contradiction { what } => write!(f, "the state contradicts itself: {what}"),
            Self::NoRoom { table, needed, room } => {
                write!(f, "no room for the state: it needs {needed} {}, there is room for {room}", table.name())
            }
            Self::NotFresh => f.write_str("the scheduler has work of its own already"),
            Self::TimeWentBack { last_us } => write!(f, "the time is before that of the last input, {last_us} µs"),
            Self::TimeTooLate { max_us } => write!(f, "small tables keep no time above {max_us} µs"),
            Self::TooEarly { at_least_us } => {
                write!(f, "the state reaches back further than the clock: take it in at {at_least_us} µs or later")
            }
        }
    }
}

impl core::error::Error for StateError {}
