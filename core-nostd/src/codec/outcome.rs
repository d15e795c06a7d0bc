//! What the scheduler said and did, as bytes: written for every input, read only to show where a replay differs.

use super::reader::{Decode, DecodeError, DecodeProblem, Reader};
use super::writer::{Encode, OutOfRoom, Sink};
use crate::error::{FieldError, Problem};
use crate::fleet::{FleetError, PoolFacts};
use crate::placement::Assignment;
use crate::rule::rejection::Rejection;
use crate::scheduler::{
    AbortCause, Action, Answer, DecisionFacts, DispatchFacts, Event, ExpiryCause, JobFacts, Refusal, RefusalCode,
    SessionEnd, UsageFacts, WaitForecast,
};
use crate::values::device_mask::DeviceMask;

/// The first byte of an item that is an answer.
pub(crate) const ANSWER_ITEM: u8 = 0;
/// The first byte of an item that is an event.
pub(crate) const EVENT_ITEM: u8 = 1;
/// The first byte of an item that is an action.
pub(crate) const ACTION_ITEM: u8 = 2;

/// One part of the outcome of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(clippy::large_enum_variant, reason = "one at a time is shown to a person")]
pub enum OutcomeItem<'a> {
    /// What the driver was told.
    Answer(Answer),
    /// What changed.
    Event(Event<'a>),
    /// What the driver is to do.
    Action(Action),
}

/// Reads an item that is all of `bytes`, to show it.
///
/// Some texts, such as the field of a refusal, are part of the program that wrote them; `intern` makes such a text out
/// of one that was read (a host may leak it).
///
/// # Errors
/// The bytes are no item.
pub fn decode_item(bytes: &[u8], intern: fn(&str) -> &'static str) -> Result<OutcomeItem<'_>, DecodeError> {
    let mut reader = Reader::interning(bytes, intern);
    let item = match reader.take::<u8>()? {
        ANSWER_ITEM => OutcomeItem::Answer(reader.take()?),
        EVENT_ITEM => OutcomeItem::Event(reader.take()?),
        ACTION_ITEM => OutcomeItem::Action(reader.take()?),
        _ => return reader.fail(DecodeProblem::UnknownTag),
    };
    reader.finish().map(|()| item)
}

coded_enum!(Answer {
    0 => Done,
    1 => Accepted(forecast),
    2 => Refused(refusal),
    3 => DuplicateJob,
    4 => UnknownJob,
    5 => Repeated,
    6 => NotDispatched,
    7 => UnknownPool,
    8 => UnknownSession,
    9 => Late,
    10 => BadSnapshot(error),
    11 => TimeWentBack { last_us },
    12 => ActionsPending,
    13 => TimeTooLate { max_us },
});

coded_enum!(Event<'a> {
    0 => PoolUpdated { pool, credited, vram_used_bytes },
    1 => PoolRemoved { pool },
    2 => PoolDraining { pool, draining },
    3 => RefreshRequested { pool, attempt },
    4 => JobRefused { job, refusal },
    5 => JobEnqueued { job, forecast },
    6 => JobEvicted { job, refusal, waited_us },
    7 => JobTimedOut { job, refusal, waited_us },
    8 => PlacementDecided { job, decision },
    9 => JobDispatched { job, pool, dispatch },
    10 => JobStarted { job, pool },
    11 => JobFirstToken { job, pool, since_admission_us },
    12 => JobFinished { job, pool, usage },
    13 => JobFailed { job, pool, cause, usage },
    14 => JobCanceled { job, pool, cause, usage },
    15 => JobExpired { job, pool, cause, usage },
    16 => SessionEnded { session_id, cause },
    17 => QueueDepth { priority, engine, jobs, tokens },
    18 => PoliciesChanged { placement_hash, scheduler_hash },
});

coded_enum!(Action {
    0 => Dispatch { job_id, pool_id, replica_id, dispatch },
    1 => Abort { job_id, pool_id, replica_id, cause },
    2 => Drop { job_id, refusal },
    3 => RefreshSnapshot { pool_id, replica_id, attempt, not_before_us },
});

coded_enum!(AbortCause { 0 => Canceled(cause), 1 => Expired(cause) });
coded_enum!(ExpiryCause { 0 => NotStarted, 1 => WallLimit, 2 => IdleLimit, 3 => PoolLost });
coded_enum!(SessionEnd { 0 => Requested, 1 => Expired, 2 => Evicted });
coded_enum!(FleetError { 0 => Field(error), 1 => Full { capacity } });
coded_enum!(RefusalCode {
    0 => AdmissionReject,
    1 => QueueFullDropLru,
    2 => InvalidParams,
    3 => DeadlineUnmet,
    4 => PoolUnready,
    5 => PoolUnavailable,
    6 => ReplicaExhausted,
    7 => QueueTimeout,
});

coded_enum!(Rejection {
    1 => NotPinned,
    2 => Avoided,
    3 => NotPreferred,
    4 => LabelMissing,
    5 => DeviceMaskMismatch,
    6 => EngineName,
    7 => EngineVersion,
    8 => SamplerProfile,
    9 => ModelNotServed,
    10 => ModelDigest,
    11 => Quantization,
    12 => Context,
    13 => Extension,
    14 => VramTotal,
    15 => MaskNotWithin,
    16 => Capability,
    17 => OwnMinCapability,
    18 => SplitDegree,
    19 => Stale,
    20 => NotReady,
    21 => Draining,
    22 => Slots,
    23 => Vram,
});

coded_struct!(JobFacts<'a> { id, session_id, engine, model_id, priority, prompt_tokens, output_tokens });
coded_struct!(PoolFacts<'a> { id, replica_id, engine, engine_version });
coded_struct!(WaitForecast { queue_position, class_position, predicted_start_us });
coded_struct!(DecisionFacts { assigned, pinned, fallback, candidates });
coded_struct!(DispatchFacts { assignment, waited_us, kv_warm, kv_migrated, seed, on_time_permille });
coded_struct!(UsageFacts { tokens_in, tokens_out, run_us, decode_us });
coded_struct!(Assignment { rank, devices, start_us, end_us, warm, fallback, on_time });

impl Encode for DeviceMask {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        self.bits().encode(sink)
    }
}

impl Decode<'_> for DeviceMask {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.take().map(Self::from_bits)
    }
}

impl Encode for Refusal {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self { code, field, policy_label, rejection, retry_after_ms } = self;
        (code, field, policy_label, rejection, retry_after_ms).encode(sink)
    }
}

impl Decode<'_> for Refusal {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            code: reader.take()?,
            field: reader.take()?,
            policy_label: if reader.take()? { Some(reader.take_static()?) } else { None },
            rejection: reader.take()?,
            retry_after_ms: reader.take()?,
        })
    }
}

impl Encode for FieldError {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        (self.field, self.problem).encode(sink)
    }
}

impl Decode<'_> for FieldError {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { field: reader.take_static()?, problem: reader.take()? })
    }
}

impl Encode for Problem {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        match self {
            Self::Missing => 0u8.encode(sink),
            Self::WrongType { expected } => (1u8, expected).encode(sink),
            Self::Negative => 2u8.encode(sink),
            Self::NotFinite => 3u8.encode(sink),
            Self::TooLarge { max } => (4u8, max).encode(sink),
            Self::TooLargeScaled { max, per } => (5u8, max, per).encode(sink),
            Self::Empty => 6u8.encode(sink),
            Self::TooLong { max_bytes } => (7u8, max_bytes).encode(sink),
            Self::TooMany { max } => (8u8, max).encode(sink),
            Self::Repeated => 9u8.encode(sink),
            Self::Malformed { expected } => (10u8, expected).encode(sink),
            Self::Contradiction { why } => (11u8, why).encode(sink),
            Self::OverBudget { left, per } => (12u8, left, per).encode(sink),
            Self::StorageFull { capacity } => (13u8, capacity).encode(sink),
        }
    }
}

impl Decode<'_> for Problem {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.take::<u8>()? {
            0 => Self::Missing,
            1 => Self::WrongType { expected: reader.take_static()? },
            2 => Self::Negative,
            3 => Self::NotFinite,
            4 => Self::TooLarge { max: reader.take()? },
            5 => Self::TooLargeScaled { max: reader.take()?, per: reader.take()? },
            6 => Self::Empty,
            7 => Self::TooLong { max_bytes: reader.take()? },
            8 => Self::TooMany { max: reader.take()? },
            9 => Self::Repeated,
            10 => Self::Malformed { expected: reader.take_static()? },
            11 => Self::Contradiction { why: reader.take_static()? },
            12 => Self::OverBudget { left: reader.take()?, per: reader.take()? },
            13 => Self::StorageFull { capacity: reader.take()? },
            _ => return reader.fail(DecodeProblem::UnknownTag),
        })
    }
}
