//! Why a job would go where it goes: a question, which changes nothing.

use core::ffi::c_char;

use orchestrator_core::{Decided, Explanation, JobSpec, NearestMiss, Rejection, Standing};

use crate::buffer::{TextBuffer, write_text};
use crate::codes::{Fault, oc_code};
use crate::engine::{Body, oc_engine, with_body};
use crate::inputs::number;
use crate::job::oc_job;
use crate::names::{OC_KEY_NONE, OC_UNIT_NONE, oc_key_part, oc_unit, of_key_part, of_unit};
use crate::text::oc_text;
use crate::versioned::{Out, Versioned};

/// How many rules a pool can fail: FEAS-1 to FEAS-23 of `docs/spec.md`.
pub const OC_REJECTIONS: usize = 23;

const _: () = assert!(OC_REJECTIONS == Rejection::COUNT);

/// Flag of `oc_standing`: there is such a pool.
pub const OC_STANDING_IS_THERE: u32 = 1;
/// Flag of `oc_standing`: `predicted_end_us` is set.
pub const OC_STANDING_HAS_PREDICTED_END: u32 = 2;
/// Flag of `oc_standing`: the model is loaded.
pub const OC_STANDING_RESIDENT: u32 = 4;

/// A pool that could take the job. Part of another structure: it never grows.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_standing {
    /// `OC_STANDING_…`.
    pub flags: u32,
    /// Tokens of the prompt that need no prefill.
    pub cached_tokens: u32,
    /// Its id.
    pub pool_id: oc_text,
    /// Which of its replicas.
    pub replica_id: oc_text,
    /// Predicted start, in µs from now.
    pub predicted_start_us: u64,
    /// With `OC_STANDING_HAS_PREDICTED_END`: in µs from now.
    pub predicted_end_us: u64,
    /// Leases that run there.
    pub active_leases: u32,
    /// Free slots.
    pub slots_free: u32,
    /// VRAM that would be left, in bytes.
    pub residual_vram_bytes: u64,
}

/// Flag of `oc_explanation`: `margin` is set.
pub const OC_EXPLANATION_HAS_MARGIN: u32 = 1;
/// Flag of `oc_explanation`: there are pools that cannot take the job, and `nearest_…` is set.
pub const OC_EXPLANATION_HAS_NEAREST_MISS: u32 = 2;

/// Why a job would go where it goes, or nowhere. Its texts are valid until the next call on the handle.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_explanation {
    /// `sizeof(oc_explanation)`, set by the caller.
    pub struct_bytes: u32,
    /// `OC_EXPLANATION_…`.
    pub flags: u32,
    /// Pools that could take the job.
    pub feasible: u32,
    /// What decides between the best and the second best.
    pub decided_by: oc_key_part,
    /// With `OC_EXPLANATION_HAS_MARGIN`: the better pool's value minus the other's, in the part's unit.
    pub margin: i64,
    /// The best pool.
    pub winner: oc_standing,
    /// The second best.
    pub runner_up: oc_standing,
    /// With `OC_EXPLANATION_HAS_NEAREST_MISS`: the rule that the closest others fail, 0 to 22.
    pub nearest_rejection: u32,
    /// How many they are.
    pub nearest_pools: u32,
    /// Their least shortfall; 0 where the rule has no measure.
    pub nearest_shortfall: u64,
    /// Its unit.
    pub nearest_unit: oc_unit,
    /// Pools by the first rule that they fail, FEAS-1 first.
    pub rejections: [u32; OC_REJECTIONS],
}

// SAFETY: integers and structures of integers and texts, the size first.
unsafe impl Versioned for oc_explanation {}

impl oc_standing {
    const NONE: Self = Self {
        flags: 0,
        cached_tokens: 0,
        pool_id: oc_text::ABSENT,
        replica_id: oc_text::ABSENT,
        predicted_start_us: 0,
        predicted_end_us: 0,
        active_leases: 0,
        slots_free: 0,
        residual_vram_bytes: 0,
    };

    fn of(body: &Body, standing: Option<&Standing>) -> Self {
        let Some(standing) = standing else { return Self::NONE };
        let (id, replica_id) = pool_of(body, standing);
        let has = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        Self {
            flags: OC_STANDING_IS_THERE
                | has(standing.end_us.is_some(), OC_STANDING_HAS_PREDICTED_END)
                | has(standing.resident, OC_STANDING_RESIDENT),
            cached_tokens: standing.cached_tokens,
            pool_id: oc_text::given(id),
            replica_id: oc_text::given(replica_id),
            predicted_start_us: standing.start_us,
            predicted_end_us: standing.end_us.unwrap_or(0),
            active_leases: standing.parts.active_leases.into(),
            slots_free: standing.parts.slots_free.into(),
            residual_vram_bytes: standing.parts.residual_vram_bytes,
        }
    }
}

fn pool_of<'b>(body: &'b Body, standing: &Standing) -> (&'b str, &'b str) {
    body.scheduler.fleet().pool_id(standing.parts.rank).unwrap_or_default()
}

impl oc_explanation {
    fn of(body: &Body, explanation: &Explanation) -> Self {
        let decided = explanation.decided;
        let margin = decided.and_then(|decided| decided.margin);
        let miss = explanation.nearest_miss;
        let shortfall = miss.and_then(|miss| miss.shortfall);
        let has = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        Self {
            struct_bytes: 0,
            flags: has(margin.is_some(), OC_EXPLANATION_HAS_MARGIN)
                | has(miss.is_some(), OC_EXPLANATION_HAS_NEAREST_MISS),
            feasible: explanation.feasible,
            decided_by: decided.map_or(OC_KEY_NONE, |decided| of_key_part(decided.by)),
            margin: margin.unwrap_or(0),
            winner: oc_standing::of(body, explanation.winner.as_ref()),
            runner_up: oc_standing::of(body, explanation.runner_up.as_ref()),
            nearest_rejection: miss.map_or(0, |miss| number(miss.rejection)),
            nearest_pools: miss.map_or(0, |miss| miss.pools),
            nearest_shortfall: shortfall.map_or(0, |shortfall| shortfall.amount),
            nearest_unit: shortfall.map_or(OC_UNIT_NONE, |shortfall| of_unit(shortfall.unit)),
            rejections: Rejection::ALL.map(|rejection| explanation.counts.of(rejection)),
        }
    }
}

fn explained(body: &Body, job: &JobSpec<'_>) -> Result<Explanation, Fault> {
    let policy = body.scheduler.deciding_policy();
    let valid = job.validate(&policy, None)?;
    Ok(body.scheduler.fleet().explain(&valid, &policy, None))
}

/// Says why a job would go where it goes if it came now and nothing waited. Nothing changes. What pools publish of warm
/// sessions counts, what the scheduler itself remembers of the job's session does not.
///
/// `OC_BAD_VALUE` where the job breaks a rule.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_explain(
    engine: *mut oc_engine,
    job: *const oc_job,
    explanation: *mut oc_explanation,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let out = Out::new(explanation)?;
            let explanation = oc_job::with(job, |job| explained(body, job)).flatten()?;
            out.put(&oc_explanation::of(body, &explanation));
            Ok(())
        })
    }
}

/// The same in words, one fact a line: a text with a null byte behind it. `needed` receives its bytes without the null
/// byte; where the buffer has no room for all of them it gets as much as fits, and the answer is `OC_BUFFER_TOO_SMALL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_explain_text(
    engine: *mut oc_engine,
    job: *const oc_job,
    buffer: *mut c_char,
    buffer_bytes: usize,
    needed: *mut usize,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let explanation = oc_job::with(job, |job| explained(body, job)).flatten()?;
            write_text(buffer, buffer_bytes, needed, |text| say(text, body, &explanation))
        })
    }
}

fn say(text: &mut TextBuffer, body: &Body, explanation: &Explanation) {
    let pools = [("winner: ", &explanation.winner), ("runner-up: ", &explanation.runner_up)];
    for (title, standing) in pools {
        if let Some(standing) = standing {
            say_pool(text.text(title), body, standing);
        }
    }
    if let Some(decided) = &explanation.decided {
        say_decided(text, decided);
    }
    text.text("feasible: ").number(explanation.feasible.into()).text("\n");
    if let Some(miss) = &explanation.nearest_miss {
        say_miss(text, miss);
    }
    for rejection in Rejection::ALL {
        let count = explanation.counts.of(rejection);
        if count > 0 {
            text.text("not: ").text(rejection.detail()).text(" on ").number(count.into()).text("\n");
        }
    }
}

fn say_pool(text: &mut TextBuffer, body: &Body, standing: &Standing) {
    let (id, replica_id) = pool_of(body, standing);
    text.text(id);
    if !replica_id.is_empty() {
        text.text("/").text(replica_id);
    }
    if let Some(end_us) = standing.end_us {
        text.text(", end ").number(end_us).text(" us");
    }
    text.text("\n");
}

fn say_decided(text: &mut TextBuffer, decided: &Decided) {
    text.text("decided by: ").text(decided.by.name());
    if let Some(margin) = decided.margin.filter(|_| !decided.by.unit().is_empty()) {
        text.text(if margin < 0 { ", by -" } else { ", by " }).number(margin.unsigned_abs());
        text.text(" ").text(decided.by.unit());
    }
    text.text("\n");
}

fn say_miss(text: &mut TextBuffer, miss: &NearestMiss) {
    text.text("nearest miss: ").text(miss.rejection.detail()).text(" on ").number(miss.pools.into());
    if let Some(shortfall) = miss.shortfall {
        text.text(", short by ").number(shortfall.amount).text(" ").text(shortfall.unit.name());
    }
    text.text("\n");
}
