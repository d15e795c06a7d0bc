//! Which value a call refused, why, and what its limit is.

use core::ffi::c_char;

use orchestrator_core::Problem;

use crate::codes::{Fault, oc_code};
use crate::engine::{oc_engine, with_kept};
use crate::names::{
    OC_PROBLEM_CONTRADICTION, OC_PROBLEM_EMPTY, OC_PROBLEM_MALFORMED, OC_PROBLEM_MISSING, OC_PROBLEM_NEGATIVE,
    OC_PROBLEM_NONE, OC_PROBLEM_NOT_FINITE, OC_PROBLEM_OVER_BUDGET, OC_PROBLEM_REPEATED, OC_PROBLEM_STORAGE_FULL,
    OC_PROBLEM_TOO_LARGE, OC_PROBLEM_TOO_LONG, OC_PROBLEM_TOO_MANY, OC_UNNAMED, oc_problem_kind,
};
use crate::text::oc_text;
use crate::versioned::{Out, Versioned};

/// What was wrong with the last call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_problem {
    /// `sizeof(oc_problem)`, set by the caller.
    pub struct_bytes: u32,
    /// What the call returned.
    pub code: oc_code,
    /// What is wrong with the value; `OC_PROBLEM_NONE` where no single value was at fault.
    pub kind: oc_problem_kind,
    /// How many units of `limit` make one unit of the field: 1000 for a limit in µs of a field in ms.
    pub limit_per_unit: u32,
    /// The most that is accepted, or is left; 0 where the kind has no limit.
    pub limit: u64,
    /// The field's path, as `docs/spec.md` names it, such as `supports.ctx_max`. Lives for ever.
    pub field: oc_text,
}

// SAFETY: integers and a text, the size first.
unsafe impl Versioned for oc_problem {}

impl oc_problem {
    pub(crate) fn of(fault: &Fault) -> Self {
        let none = (OC_PROBLEM_NONE, 0, 1);
        let (kind, limit, limit_per_unit) = fault.problem.map_or(none, |refused| kind_and_limit(refused.problem));
        Self {
            struct_bytes: 0,
            code: fault.code,
            kind,
            limit_per_unit,
            limit,
            field: fault.problem.map_or(oc_text::ABSENT, |refused| oc_text::given(refused.field)),
        }
    }
}

fn kind_and_limit(problem: Problem) -> (oc_problem_kind, u64, u32) {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    match problem {
        Problem::Missing => (OC_PROBLEM_MISSING, 0, 1),
        Problem::Negative => (OC_PROBLEM_NEGATIVE, 0, 1),
        Problem::NotFinite => (OC_PROBLEM_NOT_FINITE, 0, 1),
        Problem::TooLarge { max } => (OC_PROBLEM_TOO_LARGE, max, 1),
        Problem::TooLargeScaled { max, per } => (OC_PROBLEM_TOO_LARGE, max, per.into()),
        Problem::Empty => (OC_PROBLEM_EMPTY, 0, 1),
        Problem::TooLong { max_bytes } => (OC_PROBLEM_TOO_LONG, count(max_bytes), 1),
        Problem::TooMany { max } => (OC_PROBLEM_TOO_MANY, count(max), 1),
        Problem::Repeated => (OC_PROBLEM_REPEATED, 0, 1),
        Problem::Malformed { .. } | Problem::WrongType { .. } => (OC_PROBLEM_MALFORMED, 0, 1),
        Problem::Contradiction { .. } => (OC_PROBLEM_CONTRADICTION, 0, 1),
        Problem::OverBudget { left, per } => (OC_PROBLEM_OVER_BUDGET, left, per.into()),
        Problem::StorageFull { capacity } => (OC_PROBLEM_STORAGE_FULL, count(capacity), 1),
        _ => (OC_UNNAMED, 0, 1),
    }
}

/// What was wrong with the last call on this handle; this one does not count, and keeps it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_last_problem(engine: *const oc_engine, problem: *mut oc_problem) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_kept(engine, |body| {
            Out::new(problem)?.put(&oc_problem::of(&body.fault));
            Ok(())
        })
    }
}

/// What a kind of problem means, in English: a text that ends with a null byte and lives for ever, for any number.
#[unsafe(no_mangle)]
pub extern "C" fn oc_problem_kind_text(kind: oc_problem_kind) -> *const c_char {
    let text = match kind {
        OC_PROBLEM_NONE => c"nothing",
        OC_PROBLEM_MISSING => c"required, but absent",
        OC_PROBLEM_NEGATIVE => c"must not be negative",
        OC_PROBLEM_NOT_FINITE => c"must be a finite number",
        OC_PROBLEM_TOO_LARGE => c"above its limit",
        OC_PROBLEM_EMPTY => c"must not be empty",
        OC_PROBLEM_TOO_LONG => c"too long",
        OC_PROBLEM_TOO_MANY => c"too many entries",
        OC_PROBLEM_REPEATED => c"stands more than once",
        OC_PROBLEM_MALFORMED => c"malformed",
        OC_PROBLEM_CONTRADICTION => c"contradicts another value",
        OC_PROBLEM_OVER_BUDGET => c"needs more than what is left",
        OC_PROBLEM_STORAGE_FULL => c"no room",
        _ => c"no such kind",
    };
    text.as_ptr()
}
