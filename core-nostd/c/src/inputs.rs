//! What a caller tells the scheduler: each with a time, each answered.

use orchestrator_core::Rejection;
use orchestrator_core::scheduler::{Answer, Input, Refusal};

use crate::codes::{Fault, oc_code};
use crate::engine::{Body, oc_engine, with_body};
use crate::job::oc_job;
use crate::names::{
    OC_REFUSAL_NONE, cancel_cause, failure_cause, flag, oc_cancel_cause, oc_failure_cause, oc_refusal_code, of_refusal,
};
use crate::policy::{oc_placement_policy, oc_scheduler_policy, placement_policy, scheduler_policy};
use crate::pool::oc_pool;
use crate::text::oc_text;
use crate::versioned::{Out, Versioned};

/// Flag of `oc_refusal`: `retry_after_ms` is set; without it trying again cannot help.
pub const OC_REFUSAL_HAS_RETRY_AFTER: u32 = 1;
/// Flag of `oc_refusal`: `rejection` is set.
pub const OC_REFUSAL_HAS_REJECTION: u32 = 2;

/// Why a job was refused or lost its place. Its texts live for ever. Part of other structures: it never grows.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_refusal {
    /// The code that answers the client; `OC_REFUSAL_NONE` where nothing was refused.
    pub code: oc_refusal_code,
    /// `OC_REFUSAL_HAS_…`.
    pub flags: u32,
    /// With `OC_REFUSAL_HAS_RETRY_AFTER`: when to try again, in ms.
    pub retry_after_ms: u64,
    /// With `OC_REFUSAL_HAS_REJECTION`: the rule that the furthest pool failed, 0 to 22 for FEAS-1 to FEAS-23.
    pub rejection: u32,
    /// Its stage, 1 to 7; from 5 on waiting can help.
    pub stage: u32,
    /// The code as the wire contract spells it, such as `POOL_UNREADY`.
    pub code_name: oc_text,
    /// The rule's name, such as `vram`.
    pub rejection_name: oc_text,
    /// The full policy that refused or evicted it.
    pub policy_label: oc_text,
    /// The field that was refused, where the job was at fault; `oc_last_problem` says more.
    pub field: oc_text,
}

impl oc_refusal {
    pub(crate) const NONE: Self = Self {
        code: OC_REFUSAL_NONE,
        flags: 0,
        retry_after_ms: 0,
        rejection: 0,
        stage: 0,
        code_name: oc_text::ABSENT,
        rejection_name: oc_text::ABSENT,
        policy_label: oc_text::ABSENT,
        field: oc_text::ABSENT,
    };

    pub(crate) fn of(refusal: &Refusal) -> Self {
        let has = |is_there: bool, flag: u32| if is_there { flag } else { 0 };
        let rejection = refusal.rejection;
        Self {
            code: of_refusal(refusal.code),
            flags: has(refusal.retry_after_ms.is_some(), OC_REFUSAL_HAS_RETRY_AFTER)
                | has(rejection.is_some(), OC_REFUSAL_HAS_REJECTION),
            retry_after_ms: refusal.retry_after_ms.unwrap_or(0),
            rejection: rejection.map_or(0, number),
            stage: rejection.map_or(0, |rejection| rejection.stage().into()),
            code_name: oc_text::given(refusal.code.name()),
            rejection_name: rejection.map_or(oc_text::ABSENT, |rejection| oc_text::given(rejection.detail())),
            policy_label: refusal.policy_label.map_or(oc_text::ABSENT, oc_text::given),
            field: refusal.field.map_or(oc_text::ABSENT, |refused| oc_text::given(refused.field)),
        }
    }
}

/// The number of a rule: its place among FEAS-1 to FEAS-23, from 0.
pub(crate) const fn number(rejection: Rejection) -> u32 {
    rejection as u32
}

/// Flag of `oc_answer`: `predicted_start_us` is set.
pub const OC_ANSWER_HAS_PREDICTED_START: u32 = 1;

/// What became of a job that was submitted.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_answer {
    /// `sizeof(oc_answer)`, set by the caller.
    pub struct_bytes: u32,
    /// `OC_ANSWER_…`.
    pub flags: u32,
    /// With `OC_OK`: waiting jobs that are served before it.
    pub queue_position: u32,
    /// The same within its class.
    pub class_position: u32,
    /// With `OC_ANSWER_HAS_PREDICTED_START`: when it probably starts, in µs on the caller's clock.
    pub predicted_start_us: u64,
    /// With `OC_REFUSED`: why.
    pub refusal: oc_refusal,
}

// SAFETY: integers and structures of integers and texts, the size first.
unsafe impl Versioned for oc_answer {}

impl oc_answer {
    fn of(answer: &Answer) -> Self {
        let none = Self {
            struct_bytes: 0,
            flags: 0,
            queue_position: 0,
            class_position: 0,
            predicted_start_us: 0,
            refusal: oc_refusal::NONE,
        };
        match answer {
            Answer::Accepted(forecast) => Self {
                flags: if forecast.predicted_start_us.is_some() { OC_ANSWER_HAS_PREDICTED_START } else { 0 },
                queue_position: forecast.queue_position,
                class_position: forecast.class_position,
                predicted_start_us: forecast.predicted_start_us.unwrap_or(0),
                ..none
            },
            Answer::Refused(refusal) => Self { refusal: oc_refusal::of(refusal), ..none },
            _ => none,
        }
    }
}

/// Tells the scheduler something of which the answer is a code.
fn told(body: &mut Body, input: &Input<'_>, now_us: u64) -> Result<(), Fault> {
    done(&body.tell(input, now_us))
}

fn done(answer: &Answer) -> Result<(), Fault> {
    let fault = Fault::from(answer);
    if fault == Fault::NONE { Ok(()) } else { Err(fault) }
}

/// Tells what a pool's state is, `age_ms` old at `now_us`: the pool is new, or its state replaces the former one.
///
/// Answers: `OC_OK`, `OC_LATE`, `OC_BAD_SNAPSHOT`, `OC_ACTIONS_PENDING`, `OC_TIME_WENT_BACK`; the last two of all inputs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_upsert_pool(engine: *mut oc_engine, now_us: u64, pool: *const oc_pool) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| oc_pool::with(pool, |pool| told(body, &Input::Snapshot(pool), now_us)).flatten())
    }
}

/// Tells that a pool is gone: its jobs are aborted. Answers: `OC_OK`, `OC_UNKNOWN_POOL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_remove_pool(
    engine: *mut oc_engine,
    now_us: u64,
    pool_id: oc_text,
    replica_id: oc_text,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let (id, replica_id) = (pool_id.required("pool_id")?, replica_id.required("replica_id")?);
            told(body, &Input::RemovePool { id, replica_id }, now_us)
        })
    }
}

/// Tells that a pool takes no new work (`draining` is 1), or takes it again (0). Answers: `OC_OK`, `OC_UNKNOWN_POOL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_drain_pool(
    engine: *mut oc_engine,
    now_us: u64,
    pool_id: oc_text,
    replica_id: oc_text,
    draining: u32,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let (id, replica_id) = (pool_id.required("pool_id")?, replica_id.required("replica_id")?);
            let draining = flag("draining", draining)?;
            told(body, &Input::Drain { id, replica_id, draining }, now_us)
        })
    }
}

/// Asks for a place for a job. With `OC_OK` it waits, or one of the next actions dispatches it. `answer` may be null.
///
/// Answers: `OC_OK`, `OC_REFUSED`, `OC_DUPLICATE_JOB`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_submit(
    engine: *mut oc_engine,
    now_us: u64,
    job: *const oc_job,
    answer: *mut oc_answer,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let out = Out::optional(answer)?;
            let answer = oc_job::with(job, |job| body.tell(&Input::Submit(job), now_us))?;
            if let Some(out) = out {
                out.put(&oc_answer::of(&answer));
            }
            done(&answer)
        })
    }
}

/// Reports that the engine took a dispatched job. Answers, of all reports: `OC_OK`, `OC_UNKNOWN_JOB`, `OC_REPEATED`,
/// `OC_NOT_DISPATCHED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_started(engine: *mut oc_engine, now_us: u64, job_id: oc_text) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe { with_body(engine, |body| told(body, &Input::Started { job_id: job_id.required("job_id")? }, now_us)) }
}

/// Reports a job's first token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_first_token(engine: *mut oc_engine, now_us: u64, job_id: oc_text) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe { with_body(engine, |body| told(body, &Input::FirstToken { job_id: job_id.required("job_id")? }, now_us)) }
}

/// Reports that a job goes on, with the tokens that it has produced so far.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_progress(engine: *mut oc_engine, now_us: u64, job_id: oc_text, tokens_out: u32) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            told(body, &Input::Progress { job_id: job_id.required("job_id")?, tokens_out }, now_us)
        })
    }
}

/// Reports that a job ended well, with the tokens that it produced in all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_finished(engine: *mut oc_engine, now_us: u64, job_id: oc_text, tokens_out: u32) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            told(body, &Input::Finished { job_id: job_id.required("job_id")?, tokens_out }, now_us)
        })
    }
}

/// Reports that a job ended badly, with the tokens that it produced until then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_failed(
    engine: *mut oc_engine,
    now_us: u64,
    job_id: oc_text,
    cause: oc_failure_cause,
    tokens_out: u32,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let (job_id, cause) = (job_id.required("job_id")?, failure_cause(cause)?);
            told(body, &Input::Failed { job_id, cause, tokens_out }, now_us)
        })
    }
}

/// Tells that nobody wants a job any more. Answers: `OC_OK`, `OC_UNKNOWN_JOB`; the second of two is `OC_UNKNOWN_JOB`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_cancel(
    engine: *mut oc_engine,
    now_us: u64,
    job_id: oc_text,
    cause: oc_cancel_cause,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let (job_id, cause) = (job_id.required("job_id")?, cancel_cause(cause)?);
            told(body, &Input::Cancel { job_id, cause }, now_us)
        })
    }
}

/// Tells that a session is over. Answers: `OC_OK`, `OC_UNKNOWN_SESSION`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_end_session(engine: *mut oc_engine, now_us: u64, session_id: oc_text) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            told(body, &Input::EndSession { session_id: session_id.required("session_id")? }, now_us)
        })
    }
}

/// Puts other policies in force; a null pointer keeps the one that is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_set_policies(
    engine: *mut oc_engine,
    now_us: u64,
    placement: *const oc_placement_policy,
    scheduler: *const oc_scheduler_policy,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let (mut new_placement, mut new_scheduler) = {
                let (placement, scheduler) = body.scheduler.policies();
                (placement.clone(), *scheduler)
            };
            if !placement.is_null() {
                new_placement = placement_policy(placement)?;
            }
            if !scheduler.is_null() {
                new_scheduler = scheduler_policy(scheduler)?;
            }
            told(body, &Input::SetPolicies { placement: &new_placement, scheduler: &new_scheduler }, now_us)
        })
    }
}

/// Tells that time has passed. Call it no later than `oc_next_wakeup` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_tick(engine: *mut oc_engine, now_us: u64) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe { with_body(engine, |body| told(body, &Input::Tick, now_us)) }
}
