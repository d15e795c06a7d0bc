//! What a caller is to do.

use orchestrator_core::scheduler::{Action, DispatchFacts};

use crate::codes::{Fault, OC_NOTHING, oc_code};
use crate::engine::{oc_engine, with_body};
use crate::inputs::oc_refusal;
use crate::names::{
    OC_ACTION_ABORT, OC_ACTION_DISPATCH, OC_ACTION_DROP, OC_ACTION_NONE, OC_ACTION_REFRESH_SNAPSHOT, OC_UNNAMED,
    oc_abort_cause, oc_action_kind, of_abort,
};
use crate::text::oc_text;
use crate::versioned::{Out, Versioned};

/// Flag of `oc_action`: `predicted_end_us` is set.
pub const OC_ACTION_HAS_PREDICTED_END: u32 = 1;
/// Flag of `oc_action`: `seed` is set.
pub const OC_ACTION_HAS_SEED: u32 = 2;
/// Flag of `oc_action`: `on_time_permille` is set.
pub const OC_ACTION_HAS_ON_TIME: u32 = 4;
/// Flag of `oc_action`: none of the preferred pools took the job.
pub const OC_ACTION_FALLBACK: u32 = 8;
/// Flag of `oc_action`: the session's KV cache is in the pool.
pub const OC_ACTION_KV_WARM: u32 = 16;

/// One thing to do. Its texts are valid until the next call on the handle.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_action {
    /// `sizeof(oc_action)`, set by the caller.
    pub struct_bytes: u32,
    /// What to do.
    pub kind: oc_action_kind,
    /// `OC_ACTION_…`.
    pub flags: u32,
    /// Of an abort: why.
    pub cause: oc_abort_cause,
    /// Of a refresh: which attempt, from 1.
    pub attempt: u32,
    /// With `OC_ACTION_HAS_ON_TIME`: the chance of meeting the deadline, in 1/1000.
    pub on_time_permille: u32,
    /// The job; absent for a refresh.
    pub job_id: oc_text,
    /// The pool; absent for a drop, empty for an abort whose pool is gone.
    pub pool_id: oc_text,
    /// Which of its replicas.
    pub replica_id: oc_text,
    /// Of a dispatch: since the admission, in µs.
    pub waited_us: u64,
    /// Of a dispatch: predicted start, in µs from now.
    pub predicted_start_us: u64,
    /// With `OC_ACTION_HAS_PREDICTED_END`: predicted end, in µs from now.
    pub predicted_end_us: u64,
    /// Of a dispatch: the devices of a split, one bit each; 0 without a split.
    pub devices: u64,
    /// With `OC_ACTION_HAS_SEED`: the sampling seed to hand on.
    pub seed: i64,
    /// Of a refresh: not before this time, in µs on the caller's clock.
    pub not_before_us: u64,
    /// Of a drop: why.
    pub refusal: oc_refusal,
}

// SAFETY: integers and structures of integers and texts, the size first.
unsafe impl Versioned for oc_action {}

impl oc_action {
    const NONE: Self = Self {
        struct_bytes: 0,
        kind: OC_ACTION_NONE,
        flags: 0,
        cause: 0,
        attempt: 0,
        on_time_permille: 0,
        job_id: oc_text::ABSENT,
        pool_id: oc_text::ABSENT,
        replica_id: oc_text::ABSENT,
        waited_us: 0,
        predicted_start_us: 0,
        predicted_end_us: 0,
        devices: 0,
        seed: 0,
        not_before_us: 0,
        refusal: oc_refusal::NONE,
    };

    /// Its texts are borrowed from the action.
    pub(crate) fn of(action: &Action) -> Self {
        match action {
            Action::Dispatch { job_id, pool_id, replica_id, dispatch } => Self {
                job_id: oc_text::given(job_id),
                pool_id: oc_text::given(pool_id),
                replica_id: oc_text::given(replica_id),
                ..Self::of_dispatch(dispatch)
            },
            Action::Abort { job_id, pool_id, replica_id, cause } => Self {
                kind: OC_ACTION_ABORT,
                cause: of_abort(*cause),
                job_id: oc_text::given(job_id),
                pool_id: oc_text::given(pool_id),
                replica_id: oc_text::given(replica_id),
                ..Self::NONE
            },
            Action::Drop { job_id, refusal } => Self {
                kind: OC_ACTION_DROP,
                job_id: oc_text::given(job_id),
                refusal: oc_refusal::of(refusal),
                ..Self::NONE
            },
            Action::RefreshSnapshot { pool_id, replica_id, attempt, not_before_us } => Self {
                kind: OC_ACTION_REFRESH_SNAPSHOT,
                attempt: *attempt,
                pool_id: oc_text::given(pool_id),
                replica_id: oc_text::given(replica_id),
                not_before_us: *not_before_us,
                ..Self::NONE
            },
            _ => Self { kind: OC_UNNAMED, ..Self::NONE },
        }
    }

    fn of_dispatch(dispatch: &DispatchFacts) -> Self {
        let assignment = &dispatch.assignment;
        let flags = [
            (assignment.end_us.is_some(), OC_ACTION_HAS_PREDICTED_END),
            (dispatch.seed.is_some(), OC_ACTION_HAS_SEED),
            (dispatch.on_time_permille.is_some(), OC_ACTION_HAS_ON_TIME),
            (assignment.fallback, OC_ACTION_FALLBACK),
            (dispatch.kv_warm, OC_ACTION_KV_WARM),
        ];
        Self {
            kind: OC_ACTION_DISPATCH,
            flags: flags.iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, flag)| flags | flag),
            on_time_permille: dispatch.on_time_permille.unwrap_or(0).into(),
            waited_us: dispatch.waited_us,
            predicted_start_us: assignment.start_us,
            predicted_end_us: assignment.end_us.unwrap_or(0),
            devices: assignment.devices.bits(),
            seed: dispatch.seed.unwrap_or(0),
            ..Self::NONE
        }
    }
}

/// The next thing to do of the last input: `OC_OK`, or `OC_NOTHING` when there is nothing more. Until then further inputs
/// are answered with `OC_ACTIONS_PENDING`, so that no action can be lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_next_action(engine: *mut oc_engine, action: *mut oc_action) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let out = Out::new(action)?;
            match body.next_action() {
                Some(action) => {
                    out.put(&oc_action::of(action));
                    Ok(())
                }
                None => {
                    out.put(&oc_action::NONE);
                    Err(Fault::of(OC_NOTHING))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use core::{slice, str};

    use orchestrator_core::scheduler::{AbortCause, ExpiryCause, Refusal, RefusalCode};
    use orchestrator_core::{Assignment, DeviceMask, Id, Rejection};

    use super::*;
    use crate::inputs::{OC_REFUSAL_HAS_REJECTION, OC_REFUSAL_HAS_RETRY_AFTER};
    use crate::names::{OC_ABORT_IDLE_LIMIT, OC_REFUSAL_QUEUE_TIMEOUT};

    fn id(text: &str) -> Id {
        Id::try_from(text).unwrap()
    }

    fn said<'a>(text: oc_text) -> &'a str {
        if text.data.is_null() {
            return "absent";
        }
        // SAFETY: given out by the library, of an action that lives.
        str::from_utf8(unsafe { slice::from_raw_parts(text.data.cast(), text.bytes) }).unwrap()
    }

    fn ids<'a>(action: &oc_action) -> [&'a str; 3] {
        [action.job_id, action.pool_id, action.replica_id].map(said)
    }

    #[test]
    fn dispatches() {
        let assignment = Assignment {
            rank: 0,
            devices: DeviceMask::from_bits(5),
            start_us: 6,
            end_us: Some(7),
            warm: false,
            fallback: true,
            on_time: None,
        };
        let (seed, on_time_permille) = (Some(-8), Some(9));
        let dispatch =
            DispatchFacts { assignment, waited_us: 10, kv_warm: true, kv_migrated: false, seed, on_time_permille };
        let whole = Action::Dispatch { job_id: id("j"), pool_id: id("p"), replica_id: id("r"), dispatch };
        let action = oc_action::of(&whole);
        assert_eq!((action.kind, action.flags, ids(&action)), (OC_ACTION_DISPATCH, 31, ["j", "p", "r"]));
        assert_eq!((action.devices, action.predicted_start_us, action.predicted_end_us), (5, 6, 7));
        assert_eq!((action.seed, action.on_time_permille, action.waited_us), (-8, 9, 10));

        let assignment = Assignment { end_us: None, fallback: false, ..assignment };
        let bare = DispatchFacts { assignment, kv_warm: false, seed: None, on_time_permille: None, ..dispatch };
        assert_eq!(oc_action::of_dispatch(&bare).flags, 0);
    }

    #[test]
    fn aborts_drops_and_refreshes() {
        let cause = AbortCause::Expired(ExpiryCause::IdleLimit);
        let abort = Action::Abort { job_id: id("j"), pool_id: id("p"), replica_id: id("r"), cause };
        let action = oc_action::of(&abort);
        assert_eq!((action.kind, action.cause, ids(&action)), (OC_ACTION_ABORT, OC_ABORT_IDLE_LIMIT, ["j", "p", "r"]));

        let refusal = Refusal {
            code: RefusalCode::QueueTimeout,
            field: None,
            policy_label: Some("reject"),
            rejection: Some(Rejection::Vram),
            retry_after_ms: Some(11),
        };
        let action = oc_action::of(&Action::Drop { job_id: id("j"), refusal });
        assert_eq!((action.kind, ids(&action)), (OC_ACTION_DROP, ["j", "absent", "absent"]));
        let refused = action.refusal;
        assert_eq!((refused.code, refused.retry_after_ms), (OC_REFUSAL_QUEUE_TIMEOUT, 11));
        assert_eq!(refused.flags, OC_REFUSAL_HAS_RETRY_AFTER | OC_REFUSAL_HAS_REJECTION);
        assert_eq!((refused.rejection, refused.stage), (22, 7));
        let texts = [refused.code_name, refused.rejection_name, refused.policy_label, refused.field];
        assert_eq!(texts.map(said), ["QUEUE_TIMEOUT", "vram", "reject", "absent"]);

        let refresh = Action::RefreshSnapshot { pool_id: id("p"), replica_id: id("r"), attempt: 12, not_before_us: 13 };
        let action = oc_action::of(&refresh);
        assert_eq!((action.kind, ids(&action)), (OC_ACTION_REFRESH_SNAPSHOT, ["absent", "p", "r"]));
        assert_eq!((action.attempt, action.not_before_us), (12, 13));
    }
}
