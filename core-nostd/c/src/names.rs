//! Numbers in place of enumerations, so that a number that is none is refused and not undefined.
//!
//! Invariant: a number, once published, keeps its meaning.

use orchestrator_core::scheduler::{
    AbortCause, CancelCause, Discipline, ExpiryCause, FailureCause, FullPolicy, RefusalCode,
};
use orchestrator_core::{KeyPart, KvHint, Order, PlacementMode, Priority, Problem, Unit};

use crate::codes::{Fault, OC_BAD_VALUE};

/// What the library has no number for yet.
pub const OC_UNNAMED: u32 = 0xFFFF_FFFF;

/// A job's class of service.
pub type oc_priority = u32;
/// Nobody is waiting.
pub const OC_PRIORITY_BATCH: oc_priority = 0;
/// A person is waiting.
pub const OC_PRIORITY_INTERACTIVE: oc_priority = 1;

/// Whether a session's warm KV cache may be used.
pub type oc_kv_hint = u32;
/// Prefer pools that hold it.
pub const OC_KV_REUSE: oc_kv_hint = 0;
/// Treat every pool as cold.
pub const OC_KV_COLD: oc_kv_hint = 1;

/// How the placement hints of a job are meant.
pub type oc_placement_mode = u32;
/// As the hints that are given imply.
pub const OC_PLACEMENT_IMPLIED: oc_placement_mode = 0;
/// No pool is special.
pub const OC_PLACEMENT_AUTO: oc_placement_mode = 1;
/// Only the pinned pool.
pub const OC_PLACEMENT_PIN: oc_placement_mode = 2;
/// The preferred pools first.
pub const OC_PLACEMENT_PREFER: oc_placement_mode = 3;

/// Which order ranks the pools that can take a job.
pub type oc_order = u32;
/// Earliest predicted end first.
pub const OC_ORDER_PREDICTED_END: oc_order = 0;
/// Most free VRAM first.
pub const OC_ORDER_VRAM_FIRST: oc_order = 1;

/// What happens when the queue is full.
pub type oc_full_policy = u32;
/// The newcomer is refused.
pub const OC_FULL_REJECT: oc_full_policy = 0;
/// The job that has waited longest may lose its place to it.
pub const OC_FULL_DROP_LRU: oc_full_policy = 1;
/// Batch jobs are refused before it is full.
pub const OC_FULL_SHED_LOW_PRIORITY: oc_full_policy = 2;

/// In which order a class is served.
pub type oc_discipline = u32;
/// First in, first out.
pub const OC_DISCIPLINE_FIFO: oc_discipline = 0;
/// Earliest deadline first.
pub const OC_DISCIPLINE_EARLIEST_DEADLINE: oc_discipline = 1;
/// Tenants in turn.
pub const OC_DISCIPLINE_FAIR_TENANTS: oc_discipline = 2;

/// How a job failed.
pub type oc_failure_cause = u32;
/// The engine refused it or broke off.
pub const OC_FAILURE_ENGINE: oc_failure_cause = 0;
/// The engine restarted.
pub const OC_FAILURE_WORKER_RESET: oc_failure_cause = 1;
/// The engine gave up on time.
pub const OC_FAILURE_DECODE_TIMEOUT: oc_failure_cause = 2;

/// Who canceled a job.
pub type oc_cancel_cause = u32;
/// The client asked for it.
pub const OC_CANCEL_CLIENT_REQUEST: oc_cancel_cause = 0;
/// The client went away.
pub const OC_CANCEL_DISCONNECT: oc_cancel_cause = 1;
/// A time limit of the caller's.
pub const OC_CANCEL_TIMEOUT: oc_cancel_cause = 2;
/// An operator.
pub const OC_CANCEL_ADMIN: oc_cancel_cause = 3;

/// What is to be done.
pub type oc_action_kind = u32;
/// Nothing.
pub const OC_ACTION_NONE: oc_action_kind = 0;
/// Send a job to its pool.
pub const OC_ACTION_DISPATCH: oc_action_kind = 1;
/// Stop a job on its pool, and send nothing of it any more.
pub const OC_ACTION_ABORT: oc_action_kind = 2;
/// Tell the client of a waiting job that it lost its place.
pub const OC_ACTION_DROP: oc_action_kind = 3;
/// Ask a pool for its state.
pub const OC_ACTION_REFRESH_SNAPSHOT: oc_action_kind = 4;

/// Why a job is stopped on its pool: an `oc_cancel_cause`, or one of these.
pub type oc_abort_cause = u32;
/// It was not started in time.
pub const OC_ABORT_NOT_STARTED: oc_abort_cause = 16;
/// It ran too long.
pub const OC_ABORT_WALL_LIMIT: oc_abort_cause = 17;
/// It said nothing for too long.
pub const OC_ABORT_IDLE_LIMIT: oc_abort_cause = 18;
/// Its pool was removed.
pub const OC_ABORT_POOL_LOST: oc_abort_cause = 19;

/// Why a job was refused or lost its place: the code that answers its client.
pub type oc_refusal_code = u32;
/// It was not refused.
pub const OC_REFUSAL_NONE: oc_refusal_code = 0;
/// No room: ADMISSION_REJECT, 429.
pub const OC_REFUSAL_ADMISSION_REJECT: oc_refusal_code = 1;
/// No room, or evicted by a newcomer: QUEUE_FULL_DROP_LRU, 429.
pub const OC_REFUSAL_QUEUE_FULL_DROP_LRU: oc_refusal_code = 2;
/// The request itself is at fault: INVALID_PARAMS, 400.
pub const OC_REFUSAL_INVALID_PARAMS: oc_refusal_code = 3;
/// The deadline cannot be met: DEADLINE_UNMET, 400.
pub const OC_REFUSAL_DEADLINE_UNMET: oc_refusal_code = 4;
/// No pool is ready: POOL_UNREADY, 503.
pub const OC_REFUSAL_POOL_UNREADY: oc_refusal_code = 5;
/// No pool can serve this: POOL_UNAVAILABLE, 503.
pub const OC_REFUSAL_POOL_UNAVAILABLE: oc_refusal_code = 6;
/// Every pool is full: REPLICA_EXHAUSTED, 503.
pub const OC_REFUSAL_REPLICA_EXHAUSTED: oc_refusal_code = 7;
/// It waited too long: QUEUE_TIMEOUT, 503.
pub const OC_REFUSAL_QUEUE_TIMEOUT: oc_refusal_code = 8;

/// A part of the key by which one pool beats another.
pub type oc_key_part = u32;
/// There is no winner.
pub const OC_KEY_NONE: oc_key_part = 0;
/// There was no other pool.
pub const OC_KEY_ONLY_CANDIDATE: oc_key_part = 1;
/// It is a preferred pool.
pub const OC_KEY_PREFERRED: oc_key_part = 2;
/// Predicted end, in µs.
pub const OC_KEY_PREDICTED_END: oc_key_part = 3;
/// It holds the session's KV cache.
pub const OC_KEY_WARM: oc_key_part = 4;
/// Leases that run.
pub const OC_KEY_ACTIVE_LEASES: oc_key_part = 5;
/// Free slots.
pub const OC_KEY_SLOTS_FREE: oc_key_part = 6;
/// VRAM that is left, in bytes.
pub const OC_KEY_RESIDUAL_VRAM: oc_key_part = 7;
/// Decode rate, in tokens per 1000 s.
pub const OC_KEY_TOKENS_PER_S: oc_key_part = 8;
/// The spread of equal pools.
pub const OC_KEY_SPREAD: oc_key_part = 9;
/// The pools' ids.
pub const OC_KEY_POOL_ID: oc_key_part = 10;
/// Free VRAM, in bytes.
pub const OC_KEY_VRAM_FREE: oc_key_part = 11;

/// What a shortfall is measured in.
pub type oc_unit = u32;
/// It has no measure.
pub const OC_UNIT_NONE: oc_unit = 0;
/// Bytes of VRAM.
pub const OC_UNIT_BYTES: oc_unit = 1;
/// Tokens of context.
pub const OC_UNIT_TOKENS: oc_unit = 2;
/// Devices of a split.
pub const OC_UNIT_DEVICES: oc_unit = 3;
/// Slots.
pub const OC_UNIT_SLOTS: oc_unit = 4;
/// Microseconds of age.
pub const OC_UNIT_MICROS: oc_unit = 5;

/// What is wrong with a value.
pub type oc_problem_kind = u32;
/// Nothing.
pub const OC_PROBLEM_NONE: oc_problem_kind = 0;
/// It is required, but absent.
pub const OC_PROBLEM_MISSING: oc_problem_kind = 1;
/// It is negative.
pub const OC_PROBLEM_NEGATIVE: oc_problem_kind = 2;
/// It is NaN or infinite.
pub const OC_PROBLEM_NOT_FINITE: oc_problem_kind = 3;
/// It is above its limit.
pub const OC_PROBLEM_TOO_LARGE: oc_problem_kind = 4;
/// It is empty.
pub const OC_PROBLEM_EMPTY: oc_problem_kind = 5;
/// It has more bytes than its limit.
pub const OC_PROBLEM_TOO_LONG: oc_problem_kind = 6;
/// It has more entries than its limit.
pub const OC_PROBLEM_TOO_MANY: oc_problem_kind = 7;
/// An entry stands in it twice.
pub const OC_PROBLEM_REPEATED: oc_problem_kind = 8;
/// It does not have the form that it must have.
pub const OC_PROBLEM_MALFORMED: oc_problem_kind = 9;
/// It contradicts another value.
pub const OC_PROBLEM_CONTRADICTION: oc_problem_kind = 10;
/// It needs more than what is left of a budget.
pub const OC_PROBLEM_OVER_BUDGET: oc_problem_kind = 11;
/// The room for it, which was chosen at build or at `oc_init`, is used up.
pub const OC_PROBLEM_STORAGE_FULL: oc_problem_kind = 12;

/// A number that stands for nothing.
const fn unknown(field: &'static str) -> Fault {
    Fault::field(OC_BAD_VALUE, field, Problem::Malformed { expected: "a number that the header names" })
}

pub(crate) const fn priority(number: oc_priority) -> Result<Priority, Fault> {
    Ok(match number {
        OC_PRIORITY_BATCH => Priority::Batch,
        OC_PRIORITY_INTERACTIVE => Priority::Interactive,
        _ => return Err(unknown("priority")),
    })
}

pub(crate) const fn kv_hint(number: oc_kv_hint) -> Result<KvHint, Fault> {
    Ok(match number {
        OC_KV_REUSE => KvHint::Reuse,
        OC_KV_COLD => KvHint::Cold,
        _ => return Err(unknown("kv_hint")),
    })
}

pub(crate) const fn placement_mode(number: oc_placement_mode) -> Result<Option<PlacementMode>, Fault> {
    Ok(Some(match number {
        OC_PLACEMENT_IMPLIED => return Ok(None),
        OC_PLACEMENT_AUTO => PlacementMode::Auto,
        OC_PLACEMENT_PIN => PlacementMode::Pin,
        OC_PLACEMENT_PREFER => PlacementMode::Prefer,
        _ => return Err(unknown("placement.mode")),
    }))
}

pub(crate) const fn order(number: oc_order) -> Result<Order, Fault> {
    Ok(match number {
        OC_ORDER_PREDICTED_END => Order::PredictedEnd,
        OC_ORDER_VRAM_FIRST => Order::VramFirst,
        _ => return Err(unknown("order")),
    })
}

pub(crate) const fn full_policy(number: oc_full_policy) -> Result<FullPolicy, Fault> {
    Ok(match number {
        OC_FULL_REJECT => FullPolicy::Reject,
        OC_FULL_DROP_LRU => FullPolicy::DropLru,
        OC_FULL_SHED_LOW_PRIORITY => FullPolicy::ShedLowPriority,
        _ => return Err(unknown("queue.policy")),
    })
}

pub(crate) const fn discipline(number: oc_discipline) -> Result<Discipline, Fault> {
    Ok(match number {
        OC_DISCIPLINE_FIFO => Discipline::Fifo,
        OC_DISCIPLINE_EARLIEST_DEADLINE => Discipline::EarliestDeadline,
        OC_DISCIPLINE_FAIR_TENANTS => Discipline::FairTenants,
        _ => return Err(unknown("queue.discipline")),
    })
}

pub(crate) const fn failure_cause(number: oc_failure_cause) -> Result<FailureCause, Fault> {
    Ok(match number {
        OC_FAILURE_ENGINE => FailureCause::Engine,
        OC_FAILURE_WORKER_RESET => FailureCause::WorkerReset,
        OC_FAILURE_DECODE_TIMEOUT => FailureCause::DecodeTimeout,
        _ => return Err(unknown("cause")),
    })
}

pub(crate) const fn cancel_cause(number: oc_cancel_cause) -> Result<CancelCause, Fault> {
    Ok(match number {
        OC_CANCEL_CLIENT_REQUEST => CancelCause::ClientRequest,
        OC_CANCEL_DISCONNECT => CancelCause::Disconnect,
        OC_CANCEL_TIMEOUT => CancelCause::Timeout,
        OC_CANCEL_ADMIN => CancelCause::Admin,
        _ => return Err(unknown("cause")),
    })
}

/// 0 or 1.
pub(crate) const fn flag(field: &'static str, number: u32) -> Result<bool, Fault> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::field(OC_BAD_VALUE, field, Problem::Malformed { expected: "0 or 1" })),
    }
}

/// Flags, if all of them are among those that are known.
pub(crate) const fn flags(given: u32, known: u32) -> Result<u32, Fault> {
    if given & !known == 0 { Ok(given) } else { Err(unknown("flags")) }
}

pub(crate) const fn of_abort(cause: AbortCause) -> oc_abort_cause {
    match cause {
        AbortCause::Canceled(CancelCause::ClientRequest) => OC_CANCEL_CLIENT_REQUEST,
        AbortCause::Canceled(CancelCause::Disconnect) => OC_CANCEL_DISCONNECT,
        AbortCause::Canceled(CancelCause::Timeout) => OC_CANCEL_TIMEOUT,
        AbortCause::Canceled(CancelCause::Admin) => OC_CANCEL_ADMIN,
        AbortCause::Expired(ExpiryCause::NotStarted) => OC_ABORT_NOT_STARTED,
        AbortCause::Expired(ExpiryCause::WallLimit) => OC_ABORT_WALL_LIMIT,
        AbortCause::Expired(ExpiryCause::IdleLimit) => OC_ABORT_IDLE_LIMIT,
        AbortCause::Expired(ExpiryCause::PoolLost) => OC_ABORT_POOL_LOST,
        AbortCause::Canceled(_) | AbortCause::Expired(_) => OC_UNNAMED,
    }
}

pub(crate) const fn of_refusal(code: RefusalCode) -> oc_refusal_code {
    match code {
        RefusalCode::AdmissionReject => OC_REFUSAL_ADMISSION_REJECT,
        RefusalCode::QueueFullDropLru => OC_REFUSAL_QUEUE_FULL_DROP_LRU,
        RefusalCode::InvalidParams => OC_REFUSAL_INVALID_PARAMS,
        RefusalCode::DeadlineUnmet => OC_REFUSAL_DEADLINE_UNMET,
        RefusalCode::PoolUnready => OC_REFUSAL_POOL_UNREADY,
        RefusalCode::PoolUnavailable => OC_REFUSAL_POOL_UNAVAILABLE,
        RefusalCode::ReplicaExhausted => OC_REFUSAL_REPLICA_EXHAUSTED,
        RefusalCode::QueueTimeout => OC_REFUSAL_QUEUE_TIMEOUT,
        _ => OC_UNNAMED,
    }
}

pub(crate) const fn of_key_part(part: KeyPart) -> oc_key_part {
    match part {
        KeyPart::OnlyCandidate => OC_KEY_ONLY_CANDIDATE,
        KeyPart::Preferred => OC_KEY_PREFERRED,
        KeyPart::PredictedEnd => OC_KEY_PREDICTED_END,
        KeyPart::Warm => OC_KEY_WARM,
        KeyPart::ActiveLeases => OC_KEY_ACTIVE_LEASES,
        KeyPart::SlotsFree => OC_KEY_SLOTS_FREE,
        KeyPart::ResidualVram => OC_KEY_RESIDUAL_VRAM,
        KeyPart::TokensPerS => OC_KEY_TOKENS_PER_S,
        KeyPart::Spread => OC_KEY_SPREAD,
        KeyPart::PoolId => OC_KEY_POOL_ID,
        KeyPart::VramFree => OC_KEY_VRAM_FREE,
        _ => OC_UNNAMED,
    }
}

pub(crate) const fn of_unit(unit: Unit) -> oc_unit {
    match unit {
        Unit::Bytes => OC_UNIT_BYTES,
        Unit::Tokens => OC_UNIT_TOKENS,
        Unit::Devices => OC_UNIT_DEVICES,
        Unit::Slots => OC_UNIT_SLOTS,
        Unit::Micros => OC_UNIT_MICROS,
        _ => OC_UNNAMED,
    }
}
