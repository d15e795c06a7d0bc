//! How a call went, as one number.
//!
//! Two kinds: codes of misuse, after which nothing has changed, and answers of the scheduler, which are part of its
//! ordinary work. [`Fault`] carries a code through this crate, with the value that caused it.

use core::ffi::c_char;

use orchestrator_core::scheduler::Answer;
use orchestrator_core::{FieldError, FleetError, Problem};

/// How a call went: one of `OC_OK`, `OC_NOTHING`, …
pub type oc_code = i32;

/// It took effect.
pub const OC_OK: oc_code = 0;
/// There is nothing (more) of what was asked for: no action, no timer.
pub const OC_NOTHING: oc_code = 1;

/// Misuse: a pointer is null that must not be.
pub const OC_NULL_POINTER: oc_code = 10;
/// Misuse: a pointer does not have the alignment of its type, or the memory not that of `oc_memory_align`.
pub const OC_MISALIGNED: oc_code = 11;
/// Misuse: the memory is smaller than `oc_memory_bytes` says.
pub const OC_TOO_LITTLE_MEMORY: oc_code = 12;
/// Misuse: the handle was never initialised, or its memory was moved or overwritten.
pub const OC_NOT_INITIALISED: oc_code = 13;
/// Misuse: another call on this handle has not returned yet.
pub const OC_BUSY: oc_code = 14;
/// Misuse: `struct_bytes` is the size of no version of the structure, or a part is used that this library does not know.
pub const OC_STRUCT_SIZE: oc_code = 15;
/// Misuse: a text is not UTF-8.
pub const OC_NOT_UTF8: oc_code = 16;
/// Misuse: a value outside its range; `oc_last_problem` names it and its limit.
pub const OC_BAD_VALUE: oc_code = 17;
/// The buffer is too small; the number of bytes that it needs was written.
pub const OC_BUFFER_TOO_SMALL: oc_code = 18;

/// Answer: the job ends here; `oc_answer` says why.
pub const OC_REFUSED: oc_code = 30;
/// Answer: a job with this id waits or runs already; the newcomer was not taken in.
pub const OC_DUPLICATE_JOB: oc_code = 31;
/// Answer: no job with this id waits or runs: it never did, or it ended.
pub const OC_UNKNOWN_JOB: oc_code = 32;
/// Answer: this was reported before, or something that comes after it.
pub const OC_REPEATED: oc_code = 33;
/// Answer: the job still waits: nothing can be reported of it.
pub const OC_NOT_DISPATCHED: oc_code = 34;
/// Answer: no pool has these ids.
pub const OC_UNKNOWN_POOL: oc_code = 35;
/// Answer: no session has this id.
pub const OC_UNKNOWN_SESSION: oc_code = 36;
/// Answer: the pool's state is newer than this snapshot.
pub const OC_LATE: oc_code = 37;
/// Answer: the snapshot breaks a rule or does not fit; `oc_last_problem` says which. The pool is as before.
pub const OC_BAD_SNAPSHOT: oc_code = 38;
/// Answer: actions of the last input were not asked for yet; nothing changed.
pub const OC_ACTIONS_PENDING: oc_code = 39;
/// Answer: the time is before that of an earlier input; nothing changed.
pub const OC_TIME_WENT_BACK: oc_code = 40;
/// The state was not taken in; `oc_last_problem` says why. Nothing changed.
pub const OC_BAD_STATE: oc_code = 41;
/// An answer that this version of the interface has no number for.
pub const OC_OTHER: oc_code = 99;

/// What a code means, in English: a text that ends with a null byte and lives for ever, for any number.
#[unsafe(no_mangle)]
pub extern "C" fn oc_code_text(code: oc_code) -> *const c_char {
    let text = match code {
        OC_OK => c"ok",
        OC_NOTHING => c"nothing more",
        OC_NULL_POINTER => c"a pointer is null",
        OC_MISALIGNED => c"a pointer is not aligned",
        OC_TOO_LITTLE_MEMORY => c"too little memory",
        OC_NOT_INITIALISED => c"the handle is not initialised",
        OC_BUSY => c"another call on this handle has not returned",
        OC_STRUCT_SIZE => c"struct_bytes is no size of this structure",
        OC_NOT_UTF8 => c"a text is not UTF-8",
        OC_BAD_VALUE => c"a value is outside its range",
        OC_BUFFER_TOO_SMALL => c"the buffer is too small",
        OC_REFUSED => c"the job is refused",
        OC_DUPLICATE_JOB => c"a job with this id waits or runs",
        OC_UNKNOWN_JOB => c"no job with this id waits or runs",
        OC_REPEATED => c"this was reported before",
        OC_NOT_DISPATCHED => c"the job still waits",
        OC_UNKNOWN_POOL => c"no pool has these ids",
        OC_UNKNOWN_SESSION => c"no session has this id",
        OC_LATE => c"the pool's state is newer than this snapshot",
        OC_BAD_SNAPSHOT => c"the snapshot breaks a rule or does not fit",
        OC_ACTIONS_PENDING => c"actions of the last input are pending",
        OC_TIME_WENT_BACK => c"the time is before that of an earlier input",
        OC_BAD_STATE => c"the state was not taken in",
        OC_OTHER => c"an answer without a number",
        _ => c"no such code",
    };
    text.as_ptr()
}

/// A code, and the value that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: oc_code,
    pub(crate) problem: Option<FieldError>,
}

impl Fault {
    /// No fault: what a call without one leaves behind.
    pub(crate) const NONE: Self = Self::of(OC_OK);

    pub(crate) const fn of(code: oc_code) -> Self {
        Self { code, problem: None }
    }

    pub(crate) const fn field(code: oc_code, field: &'static str, problem: Problem) -> Self {
        Self { code, problem: Some(FieldError::new(field, problem)) }
    }
}

impl From<FieldError> for Fault {
    fn from(problem: FieldError) -> Self {
        Self { code: OC_BAD_VALUE, problem: Some(problem) }
    }
}

/// An answer as a code, with the value that was refused.
impl From<&Answer> for Fault {
    fn from(answer: &Answer) -> Self {
        match *answer {
            Answer::Done | Answer::Accepted(_) => Self::NONE,
            Answer::Refused(refusal) => Self { code: OC_REFUSED, problem: refusal.field },
            Answer::DuplicateJob => Self::of(OC_DUPLICATE_JOB),
            Answer::UnknownJob => Self::of(OC_UNKNOWN_JOB),
            Answer::Repeated => Self::of(OC_REPEATED),
            Answer::NotDispatched => Self::of(OC_NOT_DISPATCHED),
            Answer::UnknownPool => Self::of(OC_UNKNOWN_POOL),
            Answer::UnknownSession => Self::of(OC_UNKNOWN_SESSION),
            Answer::Late => Self::of(OC_LATE),
            Answer::BadSnapshot(FleetError::Field(problem)) => Self { code: OC_BAD_SNAPSHOT, problem: Some(problem) },
            Answer::BadSnapshot(FleetError::Full { capacity }) => {
                Self::field(OC_BAD_SNAPSHOT, "id", Problem::StorageFull { capacity })
            }
            Answer::BadSnapshot(_) => Self::of(OC_BAD_SNAPSHOT),
            Answer::ActionsPending => Self::of(OC_ACTIONS_PENDING),
            Answer::TimeWentBack { .. } => Self::of(OC_TIME_WENT_BACK),
            _ => Self::of(OC_OTHER),
        }
    }
}
