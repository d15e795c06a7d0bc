//! The placement rules of `docs/spec.md`, written a second time and as plainly as possible.
//!
//! This file exists to disagree. It was written from the specification alone, without sight of the code under test,
//! and avoids every technique that code may use: no packed keys, no interned names, no bitmasks, no incremental state,
//! wide integers everywhere, keys compared part by part. It is slow on purpose; where it looks clumsy, it follows the
//! wording of a rule.
//!
//! Inputs are rows that are valid on their own (UNIT-9 is tested elsewhere). Wire values are converted here as well
//! (UNIT-1, UNIT-2, UNIT-4, UNIT-6, the clamping of UNIT-9, POOL-2, POOL-3, JOB-1, JOB-2, JOB-4), so a disagreement in
//! a conversion shows too. There is no KV estimate: an absent `est_kv_bytes` is 0.

use std::collections::{BTreeMap, BTreeSet};

use super::xxh64::xxh64;

const SEMANTICS_VERSION: u64 = 1;
/// The largest time in microseconds (UNIT-1).
const TIME_MAX: u128 = (1 << 46) - 1;
/// The largest time per token in 1/1024 µs (UNIT-2).
const Q10_MAX: u128 = (1 << 32) - 1;
/// The largest number of tokens (UNIT-3).
const TOKENS_MAX: u128 = (1 << 24) - 1;
/// The most models that a pool holds resident (UNIT-7).
const RESIDENT_MAX: usize = 64;

// ---------------------------------------------------------------------------------------------------------------------
// Wire values
// ---------------------------------------------------------------------------------------------------------------------

/// One device of a pool, as on the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefDevice {
    pub(crate) vram_total_bytes: u64,
    pub(crate) vram_free_bytes: u64,
    pub(crate) compute_capability: Option<String>,
}

/// One pool row (section 2), as on the wire; `None` is an absent field.
#[derive(Clone, Debug)]
pub(crate) struct RefPool {
    pub(crate) id: String,
    pub(crate) engine: String,
    pub(crate) slots_total: u64,
    pub(crate) slots_free: u64,
    pub(crate) vram_total_bytes: u64,
    pub(crate) vram_free_bytes: u64,
    pub(crate) replica_id: String,
    pub(crate) engine_version: Option<String>,
    pub(crate) sampler_profile_version: Option<String>,
    pub(crate) compute_capability: Option<String>,
    pub(crate) perf_tokens_per_s: Option<f64>,
    pub(crate) first_token_ms: Option<f64>,
    pub(crate) prefill_tokens_per_s: Option<f64>,
    pub(crate) admission_latency_ms: Option<f64>,
    pub(crate) model_load_ms: Option<f64>,
    pub(crate) age_ms: Option<f64>,
    pub(crate) queue_depth: u64,
    /// `supports.quantizations`
    pub(crate) quantizations: Vec<String>,
    /// `supports.extensions`
    pub(crate) extensions: Vec<String>,
    /// `supports.model_digests`
    pub(crate) model_digests: Vec<String>,
    /// `supports.models`
    pub(crate) models: Option<Vec<String>>,
    /// `supports.ctx_max`
    pub(crate) ctx_max: Option<u64>,
    /// `supports.min_compute_cap`
    pub(crate) min_compute_cap: Option<String>,
    /// `resident_models`
    pub(crate) resident: Option<Vec<String>>,
    /// Empty: not published.
    pub(crate) devices: Vec<RefDevice>,
    pub(crate) device_mask: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    /// `warm_sessions`: session id and cached tokens.
    pub(crate) warm: Vec<(String, u64)>,
    pub(crate) ready: bool,
    pub(crate) draining: bool,
}

impl RefPool {
    /// A pool with the required fields only: one free slot, no VRAM.
    pub(crate) fn minimal(id: &str, engine: &str) -> Self {
        Self {
            id: id.to_owned(),
            engine: engine.to_owned(),
            slots_total: 1,
            slots_free: 1,
            vram_total_bytes: 0,
            vram_free_bytes: 0,
            replica_id: String::new(),
            engine_version: None,
            sampler_profile_version: None,
            compute_capability: None,
            perf_tokens_per_s: None,
            first_token_ms: None,
            prefill_tokens_per_s: None,
            admission_latency_ms: None,
            model_load_ms: None,
            age_ms: None,
            queue_depth: 0,
            quantizations: Vec::new(),
            extensions: Vec::new(),
            model_digests: Vec::new(),
            models: None,
            ctx_max: None,
            min_compute_cap: None,
            resident: None,
            devices: Vec::new(),
            device_mask: None,
            labels: Vec::new(),
            warm: Vec::new(),
            ready: true,
            draining: false,
        }
    }
}

/// `priority` of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefPriority {
    Interactive,
    Batch,
}

/// `kv_hint` of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefKvHint {
    Reuse,
    Cold,
}

/// `placement.mode` of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefMode {
    Auto,
    Pin,
    Prefer,
}

/// One job row (section 3), as on the wire; `None` is an absent field.
#[derive(Clone, Debug)]
pub(crate) struct RefJob {
    pub(crate) id: String,
    pub(crate) engine: String,
    pub(crate) model_id: String,
    pub(crate) priority: Option<RefPriority>,
    pub(crate) prompt_tokens: u64,
    pub(crate) expected_tokens: Option<u64>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) required_ctx: Option<u64>,
    pub(crate) est_kv_bytes: Option<u64>,
    pub(crate) session_id: Option<String>,
    pub(crate) kv_hint: Option<RefKvHint>,
    pub(crate) deadline_ms: Option<f64>,
    /// `requirements.min_vram_bytes`
    pub(crate) min_vram_bytes: u64,
    /// `requirements.quantization`
    pub(crate) quantization: Option<String>,
    /// `requirements.min_compute_cap`
    pub(crate) min_compute_cap: Option<String>,
    /// `requirements.device_mask`
    pub(crate) device_mask: Option<String>,
    /// `requirements.required_extensions`
    pub(crate) required_extensions: Vec<String>,
    /// `requirements.split.degree`
    pub(crate) split_degree: Option<u64>,
    /// `determinism.seed`
    pub(crate) seed: Option<i64>,
    /// `determinism.sampler_profile_version`
    pub(crate) sampler_profile_version: Option<String>,
    /// `determinism.engine_version`
    pub(crate) engine_version: Option<String>,
    /// `determinism.model_digest`
    pub(crate) model_digest: Option<String>,
    /// `placement.mode`
    pub(crate) mode: Option<RefMode>,
    /// `placement.pin_pool_id`
    pub(crate) pin_pool_id: Option<String>,
    /// `placement.prefer_pools`
    pub(crate) prefer_pools: Vec<String>,
    /// `placement.avoid_pools`
    pub(crate) avoid_pools: Vec<String>,
    /// `placement.require_device_mask`
    pub(crate) require_device_mask: Option<String>,
    /// `placement.allow_fallback`
    pub(crate) allow_fallback: bool,
    /// `placement.require_labels`
    pub(crate) require_labels: Vec<(String, String)>,
    /// `budget.tokens`
    pub(crate) budget_tokens: Option<u64>,
    /// `budget.time_ms`
    pub(crate) budget_time_ms: Option<f64>,
    /// `budget.cost_micros`
    pub(crate) budget_cost_micros: Option<u64>,
}

impl RefJob {
    /// A job with the required fields only.
    pub(crate) fn minimal(id: &str, engine: &str, model_id: &str) -> Self {
        Self {
            id: id.to_owned(),
            engine: engine.to_owned(),
            model_id: model_id.to_owned(),
            priority: None,
            prompt_tokens: 0,
            expected_tokens: None,
            max_tokens: None,
            required_ctx: None,
            est_kv_bytes: None,
            session_id: None,
            kv_hint: None,
            deadline_ms: None,
            min_vram_bytes: 0,
            quantization: None,
            min_compute_cap: None,
            device_mask: None,
            required_extensions: Vec::new(),
            split_degree: None,
            seed: None,
            sampler_profile_version: None,
            engine_version: None,
            model_digest: None,
            mode: None,
            pin_pool_id: None,
            prefer_pools: Vec::new(),
            avoid_pools: Vec::new(),
            require_device_mask: None,
            allow_fallback: true,
            require_labels: Vec::new(),
            budget_tokens: None,
            budget_time_ms: None,
            budget_cost_micros: None,
        }
    }
}

/// `order` of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefOrder {
    PredictedEnd,
    VramFirst,
}

/// `weights` of a policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefWeights {
    pub(crate) admission: f64,
    pub(crate) model_load: f64,
    pub(crate) first_token: f64,
    pub(crate) prefill: f64,
    pub(crate) decode: f64,
}

impl Default for RefWeights {
    fn default() -> Self {
        Self { admission: 1.0, model_load: 1.0, first_token: 1.0, prefill: 1.0, decode: 1.0 }
    }
}

/// The knobs of POLICY-1, as on the wire.
#[derive(Clone, Debug)]
pub(crate) struct RefPolicy {
    pub(crate) order: RefOrder,
    pub(crate) quantum_shift: u32,
    pub(crate) performance_aware: bool,
    pub(crate) spread_seed: Option<u64>,
    pub(crate) default_output_tokens: u64,
    pub(crate) default_tokens_per_s: Option<f64>,
    pub(crate) default_first_token_ms: Option<f64>,
    pub(crate) stale_after_ms: f64,
    pub(crate) session_capacity: u64,
    pub(crate) pool_backlog: u64,
    pub(crate) weights: RefWeights,
}

impl Default for RefPolicy {
    fn default() -> Self {
        Self {
            order: RefOrder::PredictedEnd,
            quantum_shift: 10,
            performance_aware: true,
            spread_seed: None,
            default_output_tokens: 256,
            default_tokens_per_s: None,
            default_first_token_ms: None,
            stale_after_ms: 30_000.0,
            session_capacity: 65_536,
            pool_backlog: 0,
            weights: RefWeights::default(),
        }
    }
}

/// What the rules say about one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefOutcome {
    Assigned {
        pool_id: String,
        replica_id: String,
        /// Device ids of a split, ascending; empty without one (DEV-2).
        devices: Vec<u8>,
        start_us: u64,
        /// `None`: unknown.
        end_us: Option<u64>,
        warm: bool,
        fallback: bool,
        decided_by: &'static str,
        /// `None` without a runner-up, or where the deciding ends are not both known (EXPL-2).
        margin: Option<i128>,
        runner_up: Option<(String, String)>,
        feasible: usize,
    },
    NoCapacity {
        stage: u8,
        reason: &'static str,
        detail: &'static str,
        retryable: bool,
        code: &'static str,
    },
}

// ---------------------------------------------------------------------------------------------------------------------
// Conversions (sections 1 to 3)
// ---------------------------------------------------------------------------------------------------------------------

/// UNIT-1.
fn micros(ms: f64) -> u128 {
    (ms * 1000.0 + 0.5).floor() as u128
}

/// POLICY-1: a weight in steps of 1/256.
fn weight_256(weight: f64) -> u128 {
    (weight * 256.0 + 0.5).floor() as u128
}

/// A rate as it is stored: the published number, and the time per token where it is known (UNIT-2).
#[derive(Clone, Copy)]
struct Rate {
    milli_tps: u128,
    q10: Option<u128>,
}

/// UNIT-2.
fn rate(tokens_per_s: Option<f64>) -> Rate {
    let unknown = Rate { milli_tps: 0, q10: None };
    let milli_tps = tokens_per_s.map_or(0, |tps| (tps * 1000.0 + 0.5).floor() as u128);
    if milli_tps == 0 {
        return unknown;
    }
    let q10 = (1_024_000_000_000 + milli_tps / 2) / milli_tps;
    if q10 > Q10_MAX { unknown } else { Rate { milli_tps, q10: Some(q10) } }
}

/// UNIT-4.
fn capability(text: &str) -> u64 {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let part = |digits: &str| digits.parse::<u64>().expect("a valid capability");
    part(major) * 256 + part(minor)
}

/// UNIT-6.
fn mask(text: &str) -> BTreeSet<u8> {
    let id = |element: &str| {
        let element = element.trim_matches(' ').to_ascii_lowercase();
        element.strip_prefix("gpu").unwrap_or(&element).parse::<u8>().expect("a valid device id")
    };
    text.split(',').map(id).collect()
}

struct Device {
    id: u8,
    total: u128,
    free: u128,
    capability: Option<u64>,
}

/// A pool as used: converted, clamped, and changed by commits.
struct Pool<'a> {
    wire: &'a RefPool,
    slots_total: u128,
    slots_free: u128,
    /// WAIT-1.
    waiting: u128,
    /// The free VRAM of a pool without devices.
    own_free: u128,
    devices: Vec<Device>,
    mask: Option<BTreeSet<u8>>,
    capability: Option<u64>,
    min_capability: Option<u64>,
    decode: Rate,
    prefill: Rate,
    first_token: Option<u128>,
    admission: u128,
    model_load: u128,
    age: u128,
    resident: Option<BTreeSet<&'a str>>,
}

impl<'a> Pool<'a> {
    fn from_wire(wire: &'a RefPool) -> Self {
        let count = u8::try_from(wire.devices.len()).expect("at most 16 devices");
        let mut mask = wire.device_mask.as_deref().map(mask);
        if mask.is_none() && count > 0 {
            mask = Some((0..count).collect());
        }
        let ids = mask.iter().flatten();
        let devices = wire.devices.iter().zip(ids).map(|(device, id)| Device {
            id: *id,
            total: device.vram_total_bytes.into(),
            free: device.vram_free_bytes.min(device.vram_total_bytes).into(),
            capability: device.compute_capability.as_deref().map(capability),
        });
        Self {
            slots_total: wire.slots_total.into(),
            slots_free: wire.slots_free.min(wire.slots_total).into(),
            waiting: wire.queue_depth.min(65_535).into(),
            own_free: wire.vram_free_bytes.min(wire.vram_total_bytes).into(),
            devices: devices.collect(),
            capability: wire.compute_capability.as_deref().map(capability),
            min_capability: wire.min_compute_cap.as_deref().map(capability),
            decode: rate(wire.perf_tokens_per_s),
            prefill: rate(wire.prefill_tokens_per_s),
            first_token: wire.first_token_ms.map(micros),
            admission: wire.admission_latency_ms.map_or(0, micros),
            model_load: wire.model_load_ms.map_or(0, micros),
            age: wire.age_ms.map_or(0, micros),
            resident: wire.resident.as_ref().map(|models| models.iter().map(String::as_str).collect()),
            mask,
            wire,
        }
    }

    /// POOL-2.
    fn vram_total(&self) -> u128 {
        if self.devices.is_empty() {
            self.wire.vram_total_bytes.into()
        } else {
            self.devices.iter().map(|device| device.total).sum()
        }
    }

    /// POOL-2.
    fn vram_free(&self) -> u128 {
        if self.devices.is_empty() { self.own_free } else { self.devices.iter().map(|device| device.free).sum() }
    }

    /// NEED-1.
    fn is_resident(&self, model: &str) -> bool {
        self.resident.as_ref().is_none_or(|models| models.contains(model))
    }
}

/// A job as used.
struct Job<'a> {
    wire: &'a RefJob,
    mode: RefMode,
    prompt: u128,
    output: u128,
    kv: u128,
    weights: u128,
    split: Option<u128>,
    min_capability: Option<u64>,
    device_mask: Option<BTreeSet<u8>>,
    require_device_mask: Option<BTreeSet<u8>>,
}

impl<'a> Job<'a> {
    fn from_wire(wire: &'a RefJob, policy: &Policy<'_>) -> Self {
        Self {
            mode: mode(wire),
            prompt: wire.prompt_tokens.into(),
            output: output_tokens(wire, policy.wire).into(),
            kv: wire.est_kv_bytes.unwrap_or(0).into(),
            weights: wire.min_vram_bytes.into(),
            split: wire.split_degree.map(u128::from),
            min_capability: wire.min_compute_cap.as_deref().map(capability),
            device_mask: wire.device_mask.as_deref().map(mask),
            require_device_mask: wire.require_device_mask.as_deref().map(mask),
            wire,
        }
    }

    /// NEED-1.
    fn need(&self, pool: &Pool<'_>) -> u128 {
        if pool.is_resident(&self.wire.model_id) { self.kv } else { self.kv + self.weights }
    }

    fn prefers(&self, pool: &Pool<'_>) -> bool {
        self.wire.prefer_pools.contains(&pool.wire.id)
    }
}

/// JOB-1.
fn output_tokens(job: &RefJob, policy: &RefPolicy) -> u64 {
    match (job.expected_tokens, job.max_tokens) {
        (Some(expected), Some(max)) => expected.min(max),
        (Some(tokens), None) | (None, Some(tokens)) => tokens,
        (None, None) => policy.default_output_tokens,
    }
}

/// JOB-4.
fn mode(job: &RefJob) -> RefMode {
    match job.mode {
        Some(mode) => mode,
        None if job.pin_pool_id.is_some() => RefMode::Pin,
        None if !job.prefer_pools.is_empty() => RefMode::Prefer,
        None => RefMode::Auto,
    }
}

/// The weights of SCORE-5 in steps of 1/256.
#[derive(Clone, Copy)]
struct Weights {
    admission: u128,
    model_load: u128,
    first_token: u128,
    prefill: u128,
    decode: u128,
}

struct Policy<'a> {
    wire: &'a RefPolicy,
    stale_after: u128,
    default_decode: Rate,
    default_first_token: Option<u128>,
    weights: Weights,
}

impl<'a> Policy<'a> {
    fn from_wire(wire: &'a RefPolicy) -> Self {
        Self {
            stale_after: micros(wire.stale_after_ms),
            default_decode: rate(wire.default_tokens_per_s),
            default_first_token: wire.default_first_token_ms.map(micros),
            weights: Weights {
                admission: weight_256(wire.weights.admission),
                model_load: weight_256(wire.weights.model_load),
                first_token: weight_256(wire.weights.first_token),
                prefill: weight_256(wire.weights.prefill),
                decode: weight_256(wire.weights.decode),
            },
            wire,
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Feasibility (section 4)
// ---------------------------------------------------------------------------------------------------------------------

/// One job looking at one pool.
struct Case<'c> {
    job: &'c Job<'c>,
    pool: &'c Pool<'c>,
    policy: &'c Policy<'c>,
}

/// One line of the table of section 4.
struct Rule {
    stage: u8,
    reason: &'static str,
    detail: &'static str,
    fails: fn(&Case<'_>) -> bool,
}

const fn rule(stage: u8, reason: &'static str, detail: &'static str, fails: fn(&Case<'_>) -> bool) -> Rule {
    Rule { stage, reason, detail, fails }
}

/// FEAS-1 to FEAS-23, in order.
const RULES: [Rule; 23] = [
    rule(1, "excluded", "not_pinned", |c| {
        c.job.mode == RefMode::Pin && c.job.wire.pin_pool_id.as_ref() != Some(&c.pool.wire.id)
    }),
    rule(1, "excluded", "avoided", |c| c.job.wire.avoid_pools.contains(&c.pool.wire.id)),
    rule(1, "excluded", "not_preferred", |c| {
        c.job.mode == RefMode::Prefer && !c.job.wire.allow_fallback && !c.job.prefers(c.pool)
    }),
    rule(1, "excluded", "label_missing", |c| {
        c.job.wire.require_labels.iter().any(|label| !c.pool.wire.labels.contains(label))
    }),
    rule(1, "excluded", "device_mask_mismatch", |c| {
        c.job.require_device_mask.is_some() && c.pool.mask != c.job.require_device_mask
    }),
    rule(2, "engine", "engine_name", |c| !c.pool.wire.engine.eq_ignore_ascii_case(&c.job.wire.engine)),
    rule(2, "engine", "engine_version", |c| {
        given_and_other(c.job.wire.engine_version.as_ref(), c.pool.wire.engine_version.as_ref())
    }),
    rule(2, "engine", "sampler_profile", |c| {
        given_and_other(c.job.wire.sampler_profile_version.as_ref(), c.pool.wire.sampler_profile_version.as_ref())
    }),
    rule(3, "model", "model_not_served", |c| {
        c.pool.wire.models.as_ref().is_some_and(|models| !models.contains(&c.job.wire.model_id))
    }),
    rule(3, "model", "model_digest", |c| {
        c.job.wire.model_digest.as_ref().is_some_and(|digest| !c.pool.wire.model_digests.contains(digest))
    }),
    rule(3, "model", "quantization", |c| {
        let offers = |wanted: &String| c.pool.wire.quantizations.iter().any(|own| own.eq_ignore_ascii_case(wanted));
        c.job.wire.quantization.as_ref().is_some_and(|wanted| !offers(wanted))
    }),
    rule(3, "model", "context", context_is_too_long),
    rule(3, "model", "extension", |c| {
        c.job.wire.required_extensions.iter().any(|name| !c.pool.wire.extensions.contains(name))
    }),
    rule(3, "model", "vram_total", |c| c.job.weights + c.job.kv > c.pool.vram_total()),
    rule(4, "device_mask", "mask_not_within", |c| {
        let within = |asked: &BTreeSet<u8>| c.pool.mask.as_ref().is_some_and(|own| own.is_subset(asked));
        c.job.split.is_none() && c.job.device_mask.as_ref().is_some_and(|asked| !within(asked))
    }),
    rule(4, "device_mask", "capability", |c| {
        c.job.split.is_none() && given_and_below(c.job.min_capability, c.pool.capability)
    }),
    rule(4, "device_mask", "own_min_capability", |c| given_and_below(c.pool.min_capability, c.pool.capability)),
    rule(4, "device_mask", "split_degree", |c| {
        c.job.split.is_some_and(|degree| (eligible_devices(c.job, c.pool).len() as u128) < degree)
    }),
    rule(5, "stale", "stale", |c| c.pool.age > c.policy.stale_after),
    rule(6, "not_ready", "not_ready", |c| !c.pool.wire.ready),
    rule(6, "draining", "draining", |c| c.pool.wire.draining),
    rule(7, "slots", "slots", |c| c.pool.slots_free == 0 && !may_wait(c)),
    rule(7, "vram", "vram", vram_is_short),
];

/// The first rule that fails.
fn rejection(case: &Case<'_>) -> Option<usize> {
    RULES.iter().position(|rule| (rule.fails)(case))
}

/// WAIT-1.
fn may_wait(case: &Case<'_>) -> bool {
    let Case { pool, policy, .. } = case;
    let service_is_known = pool.first_token.or(policy.default_first_token).is_some()
        && pool.decode.q10.or(policy.default_decode.q10).is_some();
    policy.wire.performance_aware
        && service_is_known
        && pool.slots_total > 0
        && pool.waiting < u128::from(policy.wire.pool_backlog)
}

/// A demand for one exact name: an unknown fact fails it.
fn given_and_other(asked: Option<&String>, own: Option<&String>) -> bool {
    asked.is_some() && asked != own
}

/// A demand for a capability: an unknown fact fails it.
fn given_and_below(asked: Option<u64>, own: Option<u64>) -> bool {
    asked.is_some_and(|asked| own.is_none_or(|own| own < asked))
}

/// FEAS-12 with JOB-2.
fn context_is_too_long(case: &Case<'_>) -> bool {
    let given = case.job.wire.required_ctx.map(u128::from);
    let asked = given.unwrap_or(case.job.prompt + case.job.output);
    match case.pool.wire.ctx_max {
        Some(ctx_max) => asked > ctx_max.into(),
        None => given.is_some_and(|tokens| tokens > 0),
    }
}

/// FEAS-23.
fn vram_is_short(case: &Case<'_>) -> bool {
    let need = case.job.need(case.pool);
    let devices_are_short = |degree: u128| {
        let share = need.div_ceil(degree);
        let roomy = eligible_devices(case.job, case.pool).iter().filter(|device| device.free >= share).count();
        (roomy as u128) < degree
    };
    need > case.pool.vram_free() || case.job.split.is_some_and(devices_are_short)
}

/// DEV-1; nothing is eligible without a split.
fn eligible_devices<'p>(job: &Job<'_>, pool: &'p Pool<'_>) -> Vec<&'p Device> {
    let Some(degree) = job.split else { return Vec::new() };
    let is_eligible = |device: &&Device| {
        let in_mask = job.device_mask.as_ref().is_none_or(|asked| asked.contains(&device.id));
        let capable = !given_and_below(job.min_capability, device.capability.or(pool.capability));
        in_mask && capable && (job.weights + job.kv).div_ceil(degree) <= device.total
    };
    pool.devices.iter().filter(is_eligible).collect()
}

/// DEV-2: ascending ids, none without a split.
fn chosen_devices(job: &Job<'_>, pool: &Pool<'_>) -> Vec<u8> {
    let Some(degree) = job.split else { return Vec::new() };
    let mut eligible = eligible_devices(job, pool);
    eligible.sort_by(|a, b| b.free.cmp(&a.free).then(a.id.cmp(&b.id)));
    let mut ids: Vec<u8> = eligible.iter().map(|device| device.id).collect();
    ids.truncate(usize::try_from(degree).expect("a degree of at most 16"));
    ids.sort_unstable();
    ids
}

/// NOCAP-1 to NOCAP-4. Only asked for when every pool has a rejection.
fn no_capacity(fleet: &[Pool<'_>], job: &Job<'_>, policy: &Policy<'_>) -> RefOutcome {
    let pin_is_unknown =
        job.mode == RefMode::Pin && !fleet.iter().any(|pool| Some(&pool.wire.id) == job.wire.pin_pool_id.as_ref());
    let rejections = fleet.iter().filter_map(|pool| rejection(&Case { job, pool, policy }));
    // Highest stage first, then the place in the table.
    // The furthest stage, its first reason, and of that reason the last rule.
    let usefulness = |index: &usize| {
        let first_of_reason = RULES.iter().position(|rule| rule.reason == RULES[*index].reason);
        (RULES[*index].stage, std::cmp::Reverse(first_of_reason), *index)
    };
    let headline = rejections.max_by_key(usefulness);
    let Some(index) = headline else {
        let code = if pin_is_unknown { "INVALID_PARAMS" } else { "POOL_UNAVAILABLE" };
        return RefOutcome::NoCapacity { stage: 0, reason: "no_pools", detail: "no_pools", retryable: true, code };
    };
    let Rule { stage, reason, detail, .. } = RULES[index];
    let code = if pin_is_unknown {
        "INVALID_PARAMS"
    } else if job.mode == RefMode::Pin && stage >= 5 {
        "POOL_UNREADY"
    } else {
        code(reason, detail)
    };
    RefOutcome::NoCapacity { stage, reason, detail, retryable: stage >= 5, code }
}

/// NOCAP-3.
fn code(reason: &str, detail: &str) -> &'static str {
    match (reason, detail) {
        ("excluded", _) | (_, "context") => "INVALID_PARAMS",
        ("engine" | "model" | "device_mask" | "vram", _) => "POOL_UNAVAILABLE",
        ("stale" | "not_ready" | "draining", _) => "POOL_UNREADY",
        ("slots", _) => "REPLICA_EXHAUSTED",
        _ => unreachable!("the table has no reason {reason}"),
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Score (section 5)
// ---------------------------------------------------------------------------------------------------------------------

/// The stored integers that make up a predicted end.
#[derive(Clone, Copy)]
struct Terms {
    admission: u128,
    load: u128,
    first_token: Option<u128>,
    prefill_q10: u128,
    decode_q10: Option<u128>,
    prefill_tokens: u128,
    output_tokens: u128,
    /// WAIT-2; 0 where a slot is free.
    waves: u128,
    /// False with performance-aware scoring off.
    predicts: bool,
}

/// SCORE-1 to SCORE-4.
fn terms(case: &Case<'_>, cached_tokens: u128) -> Terms {
    let Case { job, pool, policy } = case;
    Terms {
        admission: pool.admission,
        load: if pool.is_resident(&job.wire.model_id) { 0 } else { pool.model_load },
        first_token: pool.first_token.or(policy.default_first_token),
        prefill_q10: pool.prefill.q10.unwrap_or(0),
        decode_q10: pool.decode.q10.or(policy.default_decode.q10),
        prefill_tokens: job.prompt.saturating_sub(cached_tokens),
        output_tokens: job.output,
        waves: if pool.slots_free == 0 && pool.slots_total > 0 { pool.waiting / pool.slots_total + 1 } else { 0 },
        predicts: policy.wire.performance_aware,
    }
}

impl Terms {
    /// SCORE-1, WAIT-2.
    fn start(&self) -> u128 {
        let service = self.service().filter(|_| self.predicts).unwrap_or(0);
        let wait = TIME_MAX.min(self.waves * TIME_MAX.min(service));
        TIME_MAX.min(self.admission + self.load + wait)
    }

    /// From the start to the end; `None` is unknown.
    fn service(&self) -> Option<u128> {
        let (first_token, decode_q10) = (self.first_token?, self.decode_q10?);
        let tokens = self.prefill_q10 * self.prefill_tokens + decode_q10 * self.output_tokens;
        Some(first_token + (tokens >> 10))
    }

    /// SCORE-2; `None` is an unknown end.
    fn end(&self) -> Option<u128> {
        let end = self.start() + self.service()?;
        self.predicts.then_some(TIME_MAX.min(end))
    }

    /// SCORE-5.
    fn weighted(self, weights: Weights) -> Self {
        let time = |value: u128, weight: u128| TIME_MAX.min((value * weight + 128) >> 8);
        let q10 = |value: u128, weight: u128| Q10_MAX.min((value * weight + 128) >> 8);
        Self {
            admission: time(self.admission, weights.admission),
            load: time(self.load, weights.model_load),
            first_token: self.first_token.map(|value| time(value, weights.first_token)),
            prefill_q10: q10(self.prefill_q10, weights.prefill),
            decode_q10: self.decode_q10.map(|value| q10(value, weights.decode)),
            ..self
        }
    }
}

/// One entry of the session table (COMMIT-5).
struct SessionEntry<'a> {
    session: &'a str,
    rank: usize,
    tokens: u128,
}

/// SCORE-3. `sessions` is the session table, least recently committed first.
fn cached_tokens(sessions: &[SessionEntry<'_>], job: &Job<'_>, pool: &Pool<'_>, rank: usize) -> u128 {
    let Some(session) = &job.wire.session_id else { return 0 };
    if job.wire.kv_hint == Some(RefKvHint::Cold) {
        return 0;
    }
    if let Some(entry) = sessions.iter().find(|entry| entry.session == session && entry.rank == rank) {
        return entry.tokens;
    }
    let published = pool.wire.warm.iter().find(|(id, _)| id == session);
    published.map_or(0, |(_, tokens)| u128::from(*tokens))
}

// ---------------------------------------------------------------------------------------------------------------------
// Key (section 6)
// ---------------------------------------------------------------------------------------------------------------------

/// One part of a key.
struct Part {
    name: &'static str,
    /// Smaller is better.
    order: i128,
    /// The value that a margin is about; `None` where it is unknown (EXPL-2).
    value: Option<i128>,
}

fn signed(value: u128) -> i128 {
    i128::try_from(value).expect("every value of the specification is far below 2^127")
}

fn fewer(name: &'static str, value: u128) -> Part {
    Part { name, order: signed(value), value: Some(signed(value)) }
}

fn more(name: &'static str, value: u128) -> Part {
    Part { name, order: -signed(value), value: Some(signed(value)) }
}

/// A feasible pool with what a decision reports about it.
struct Candidate {
    rank: usize,
    key: Vec<Part>,
    start: u128,
    end: Option<u128>,
    warm: bool,
}

impl Candidate {
    fn orders(&self) -> Vec<i128> {
        self.key.iter().map(|part| part.order).collect()
    }
}

fn candidate(case: &Case<'_>, rank: usize, cached_tokens: u128) -> Candidate {
    let terms = terms(case, cached_tokens);
    let weighted_end = terms.weighted(case.policy.weights).end();
    let warm = cached_tokens > 0;
    let key = match case.policy.wire.order {
        RefOrder::PredictedEnd => predicted_end_key(case, rank, weighted_end, warm),
        RefOrder::VramFirst => vram_first_key(case, rank),
    };
    Candidate { rank, key, start: terms.start(), end: terms.end(), warm }
}

/// KEY-1 to KEY-9.
fn predicted_end_key(case: &Case<'_>, rank: usize, weighted_end: Option<u128>, warm: bool) -> Vec<Part> {
    let Case { job, pool, policy } = case;
    let mut key = vec![
        preferred_part(case),
        predicted_end_part(weighted_end, policy.wire.quantum_shift),
        more("warm", warm.into()),
        fewer("active_leases", pool.slots_total - pool.slots_free),
        more("slots_free", pool.slots_free),
        more("residual_vram", pool.vram_free() - job.need(pool)),
        more("tokens_per_s", pool.decode.milli_tps),
    ];
    if let Some(seed) = policy.wire.spread_seed {
        key.push(fewer("spread", spread(seed, pool.wire, job.wire).into()));
    }
    key.push(fewer("pool_id", rank as u128));
    key
}

/// KEY-10.
fn vram_first_key(case: &Case<'_>, rank: usize) -> Vec<Part> {
    let pool = case.pool;
    vec![
        preferred_part(case),
        more("vram_free", pool.vram_free()),
        fewer("active_leases", pool.slots_total - pool.slots_free),
        fewer("pool_id", rank as u128),
    ]
}

/// KEY-1: equal for all pools outside mode prefer with fallback.
fn preferred_part(case: &Case<'_>) -> Part {
    let applies = case.job.mode == RefMode::Prefer && case.job.wire.allow_fallback;
    more("preferred", (applies && case.job.prefers(case.pool)).into())
}

/// KEY-2.
fn predicted_end_part(weighted_end: Option<u128>, quantum_shift: u32) -> Part {
    Part {
        name: "predicted_end",
        order: weighted_end.map_or(i128::MAX, |end| signed(end >> quantum_shift)),
        value: weighted_end.map(signed),
    }
}

/// KEY-8.
fn spread(seed: u64, pool: &RefPool, job: &RefJob) -> u64 {
    let mut pool_text = pool.id.clone().into_bytes();
    pool_text.push(0);
    pool_text.extend_from_slice(pool.replica_id.as_bytes());
    mix(xxh64(&pool_text, seed) ^ xxh64(job.id.as_bytes(), seed)) >> 32
}

/// `SplitMix64`'s finaliser, as KEY-8 writes it.
fn mix(mut z: u64) -> u64 {
    z ^= z >> 30;
    z = z.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 27;
    z = z.wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The feasible pools, best first.
fn candidates(fleet: &[Pool<'_>], sessions: &[SessionEntry<'_>], job: &Job<'_>, policy: &Policy<'_>) -> Vec<Candidate> {
    let mut feasible = Vec::new();
    for (rank, pool) in fleet.iter().enumerate() {
        let case = Case { job, pool, policy };
        if rejection(&case).is_none() {
            feasible.push(candidate(&case, rank, cached_tokens(sessions, job, pool, rank)));
        }
    }
    feasible.sort_by_cached_key(Candidate::orders);
    feasible
}

/// EXPL-2: what decided between winner and runner-up, and by how much.
fn decided_by(winner: &Candidate, runner_up: Option<&Candidate>) -> (&'static str, Option<i128>) {
    let Some(runner_up) = runner_up else {
        return ("only_candidate", None);
    };
    let mut pairs = winner.key.iter().zip(&runner_up.key);
    let (own, other) = pairs.find(|(own, other)| own.order != other.order).expect("two pools differ in their rank");
    let margin = own.value.zip(other.value).map(|(own, other)| own - other);
    (own.name, margin)
}

fn narrow(value: u128) -> u64 {
    u64::try_from(value).expect("a time below 2^46")
}

fn assigned(fleet: &[Pool<'_>], job: &Job<'_>, feasible: &[Candidate]) -> RefOutcome {
    let winner = &feasible[0];
    let runner_up = feasible.get(1);
    let pool = &fleet[winner.rank];
    let (decided_by, margin) = decided_by(winner, runner_up);
    let name = |rank: usize| (fleet[rank].wire.id.clone(), fleet[rank].wire.replica_id.clone());
    RefOutcome::Assigned {
        pool_id: pool.wire.id.clone(),
        replica_id: pool.wire.replica_id.clone(),
        devices: chosen_devices(job, pool),
        start_us: narrow(winner.start),
        end_us: winner.end.map(narrow),
        warm: winner.warm,
        fallback: job.mode == RefMode::Prefer && !job.prefers(pool),
        decided_by,
        margin,
        runner_up: runner_up.map(|candidate| name(candidate.rank)),
        feasible: feasible.len(),
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Commit (section 7) and modes (section 8)
// ---------------------------------------------------------------------------------------------------------------------

/// COMMIT-1 to COMMIT-4.
fn commit_to_pool<'a>(pool: &mut Pool<'a>, job: &Job<'a>) {
    let need = job.need(pool);
    if pool.slots_free > 0 {
        pool.slots_free -= 1;
    } else {
        pool.waiting = 65_535.min(pool.waiting + 1);
    }
    if pool.devices.is_empty() {
        pool.own_free -= need;
    } else if let Some(degree) = job.split {
        let chosen = chosen_devices(job, pool);
        for device in pool.devices.iter_mut().filter(|device| chosen.contains(&device.id)) {
            device.free -= need.div_ceil(degree);
        }
    } else {
        take_from_roomiest(&mut pool.devices, need);
    }
    if let Some(models) = &mut pool.resident
        && models.len() < RESIDENT_MAX
    {
        models.insert(&job.wire.model_id);
    }
}

/// COMMIT-3. Which bytes are KV matters to a release only, and there is none here.
fn take_from_roomiest(devices: &mut [Device], need: u128) {
    let mut order: Vec<usize> = (0..devices.len()).collect();
    order.sort_by(|&a, &b| devices[b].free.cmp(&devices[a].free).then(devices[a].id.cmp(&devices[b].id)));
    let mut left = need;
    for index in order {
        let part = left.min(devices[index].free);
        devices[index].free -= part;
        left -= part;
    }
}

/// COMMIT-5. `sessions` stays ordered by commit, least recent first.
fn commit_session<'a>(sessions: &mut Vec<SessionEntry<'a>>, job: &Job<'a>, rank: usize, capacity: u64) {
    let Some(session) = job.wire.session_id.as_deref() else {
        return;
    };
    sessions.retain(|entry| entry.session != session);
    sessions.push(SessionEntry { session, rank, tokens: TOKENS_MAX.min(job.prompt + job.output) });
    if sessions.len() as u64 > capacity {
        sessions.remove(0);
    }
}

/// The pools in the order of KEY-9.
fn by_rank(pools: &[RefPool]) -> Vec<Pool<'_>> {
    let mut rows: Vec<&RefPool> = pools.iter().collect();
    rows.sort_by_key(|pool| (pool.id.as_bytes(), pool.replica_id.as_bytes()));
    rows.into_iter().map(Pool::from_wire).collect()
}

/// The outcome of every job, in order: each committed before the next (MODE-1) when `sequential`, else all against the
/// same snapshot (MODE-2).
pub(crate) fn place(pools: &[RefPool], jobs: &[RefJob], policy: &RefPolicy, sequential: bool) -> Vec<RefOutcome> {
    let policy = Policy::from_wire(policy);
    let mut fleet = by_rank(pools);
    let mut sessions = Vec::new();
    let mut outcomes = Vec::new();
    for job in jobs {
        let job = Job::from_wire(job, &policy);
        let feasible = candidates(&fleet, &sessions, &job, &policy);
        let Some(winner) = feasible.first() else {
            outcomes.push(no_capacity(&fleet, &job, &policy));
            continue;
        };
        outcomes.push(assigned(&fleet, &job, &feasible));
        if sequential {
            commit_to_pool(&mut fleet[winner.rank], &job);
            commit_session(&mut sessions, &job, winner.rank, policy.wire.session_capacity);
        }
    }
    outcomes
}

// ---------------------------------------------------------------------------------------------------------------------
// Hashes (section 10)
// ---------------------------------------------------------------------------------------------------------------------

/// The encoding of HASH-1.
#[derive(Default)]
struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    fn integer(&mut self, value: impl Into<u128>) {
        let value = u64::try_from(value.into()).expect("every stored integer is below 2^64");
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    fn flag(&mut self, value: bool) {
        self.bytes.push(value.into());
    }

    fn text(&mut self, text: &str) {
        self.integer(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn optional<T>(&mut self, value: Option<T>, mut encode: impl FnMut(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            encode(self, value);
        }
    }

    fn names<'t>(&mut self, names: impl IntoIterator<Item = &'t str>) {
        let set: BTreeSet<&str> = names.into_iter().collect();
        self.integer(set.len() as u64);
        for name in set {
            self.text(name);
        }
    }

    fn strings(&mut self, names: &[String]) {
        self.names(names.iter().map(String::as_str));
    }

    fn hash(&self) -> u64 {
        xxh64(&self.bytes, 0)
    }
}

/// HASH-2.
pub(crate) fn snapshot_hash(pools: &[RefPool]) -> u64 {
    let mut out = Encoder::default();
    out.text("snapshot");
    out.integer(SEMANTICS_VERSION);
    out.integer(pools.len() as u64);
    for pool in by_rank(pools) {
        encode_capacity_and_speed(&mut out, &pool);
        encode_support_and_state(&mut out, &pool);
    }
    out.hash()
}

/// The fields of section 2 from `id` to `age_ms`; HASH-2 puts `queue_depth` last.
fn encode_capacity_and_speed(out: &mut Encoder, pool: &Pool<'_>) {
    out.text(&pool.wire.id);
    out.text(&pool.wire.engine.to_ascii_lowercase());
    out.integer(pool.slots_total);
    out.integer(pool.slots_free);
    out.integer(pool.vram_total());
    out.integer(pool.vram_free());
    out.text(&pool.wire.replica_id);
    out.optional(pool.wire.engine_version.as_deref(), Encoder::text);
    out.optional(pool.wire.sampler_profile_version.as_deref(), Encoder::text);
    out.optional(pool.capability, Encoder::integer);
    // UNIT-2 gives an unknown rate a value, so a rate is never an optional value.
    out.integer(pool.decode.milli_tps);
    out.optional(pool.first_token, Encoder::integer);
    out.integer(pool.prefill.q10.unwrap_or(0));
    out.integer(pool.admission);
    out.integer(pool.model_load);
    out.integer(pool.age);
}

/// The fields of section 2 from `supports.quantizations` to `draining`.
fn encode_support_and_state(out: &mut Encoder, pool: &Pool<'_>) {
    let quantizations: Vec<String> = pool.wire.quantizations.iter().map(|name| name.to_ascii_lowercase()).collect();
    out.strings(&quantizations);
    out.strings(&pool.wire.extensions);
    out.strings(&pool.wire.model_digests);
    out.optional(pool.wire.models.as_deref(), Encoder::strings);
    out.optional(pool.wire.ctx_max, Encoder::integer);
    out.optional(pool.min_capability, Encoder::integer);
    out.optional(pool.resident.as_ref(), |out, models| out.names(models.iter().copied()));
    // POOL-2 makes an empty list and none the same, so the list is never an optional value. Its order carries meaning.
    out.integer(pool.devices.len() as u64);
    for device in &pool.devices {
        out.integer(device.total);
        out.integer(device.free);
        out.optional(device.capability, Encoder::integer);
    }
    let bits = |ids: &BTreeSet<u8>| ids.iter().map(|id| 1_u64 << id).sum::<u64>();
    out.optional(pool.mask.as_ref().map(bits), Encoder::integer);
    let labels: BTreeMap<&str, &str> = pool.wire.labels.iter().map(|(key, value)| (&**key, &**value)).collect();
    out.integer(labels.len() as u64);
    for (key, value) in labels {
        out.text(key);
        out.text(value);
    }
    let warm: BTreeMap<&str, u64> = pool.wire.warm.iter().map(|(session, tokens)| (&**session, *tokens)).collect();
    out.integer(warm.len() as u64);
    for (session, tokens) in warm {
        out.text(session);
        out.integer(tokens);
    }
    out.flag(pool.wire.ready);
    out.byte(u8::from(pool.wire.draining) + if pool.waiting > 0 { 2 } else { 0 });
    if pool.waiting > 0 {
        out.integer(pool.waiting);
    }
}

/// HASH-3.
pub(crate) fn policy_hash(policy: &RefPolicy) -> u64 {
    let used = Policy::from_wire(policy);
    let mut out = Encoder::default();
    out.text("policy");
    out.integer(SEMANTICS_VERSION);
    out.text(match policy.order {
        RefOrder::PredictedEnd => "predicted-end",
        RefOrder::VramFirst => "vram-first",
    });
    out.integer(policy.quantum_shift);
    out.flag(policy.performance_aware);
    out.optional(policy.spread_seed, Encoder::integer);
    out.integer(policy.default_output_tokens);
    out.integer(used.default_decode.milli_tps);
    out.optional(used.default_first_token, Encoder::integer);
    out.integer(used.stale_after);
    out.integer(policy.session_capacity);
    out.integer(used.weights.admission);
    out.integer(used.weights.model_load);
    out.integer(used.weights.first_token);
    out.integer(used.weights.prefill);
    out.integer(used.weights.decode);
    if policy.pool_backlog > 0 {
        out.integer(policy.pool_backlog);
    }
    out.hash()
}

/// Every expected number here was worked out by hand, with the working beside it.
#[cfg(test)]
mod tests {
    use super::*;

    fn pool(id: &str) -> RefPool {
        RefPool { slots_total: 9, slots_free: 9, ..RefPool::minimal(id, "e") }
    }

    /// A pool whose end for ten output tokens is `first_token_ms` and 100 ms: 100 tokens/s are 100,000 milli-tokens/s,
    /// q10 is (1,024,000,000,000 + 50,000) / 100,000 = 10,240,000, and ten of those are 102,400,000 >> 10 = 100,000 µs.
    fn timed(id: &str, first_token_ms: f64) -> RefPool {
        RefPool { perf_tokens_per_s: Some(100.0), first_token_ms: Some(first_token_ms), ..pool(id) }
    }

    fn job() -> RefJob {
        RefJob { expected_tokens: Some(10), ..RefJob::minimal("j", "e", "m") }
    }

    fn one(pools: &[RefPool], job: &RefJob, policy: &RefPolicy) -> RefOutcome {
        place(pools, std::slice::from_ref(job), policy, false).remove(0)
    }

    fn winner(outcome: &RefOutcome) -> (&str, &'static str, Option<i128>) {
        match outcome {
            RefOutcome::Assigned { pool_id, decided_by, margin, .. } => (pool_id, decided_by, *margin),
            RefOutcome::NoCapacity { detail, .. } => panic!("no capacity: {detail}"),
        }
    }

    fn headline(outcome: &RefOutcome) -> (u8, &'static str, bool, &'static str) {
        match outcome {
            RefOutcome::NoCapacity { stage, detail, retryable, code, .. } => (*stage, detail, *retryable, code),
            RefOutcome::Assigned { pool_id, .. } => panic!("assigned to {pool_id}"),
        }
    }

    #[test]
    fn unit_1_and_2_round_to_the_nearest() {
        assert_eq!(micros(0.000_5), 1);
        assert_eq!(micros(0.000_4), 0);
        assert_eq!(micros(-0.0), 0);
        // 1,024,000,000,000 / 239 = 4,284,518,828.4…, below 2^32 = 4,294,967,296; over 238 it is above.
        assert_eq!(rate(Some(0.239)).q10, Some(4_284_518_828));
        assert_eq!(rate(Some(0.238)).milli_tps, 0);
        assert_eq!(micros(70_368_744_177.663), TIME_MAX);
        assert_eq!(rate(Some(4_294_967.295)).milli_tps, (1 << 32) - 1);
    }

    #[test]
    fn unit_4_and_6_read_numbers_and_sets() {
        assert_eq!(capability("9"), 9 * 256);
        assert!(capability("10.0") > capability("9.255"));
        assert_eq!(mask("GPU1, gpu0"), mask("0,1"));
    }

    #[test]
    fn score_2_adds_the_terms_up() {
        let slow_start = RefPool { admission_latency_ms: Some(5.0), ..timed("a", 20.0) };
        let outcome = one(&[slow_start], &job(), &RefPolicy::default());
        let RefOutcome::Assigned { start_us, end_us, decided_by, .. } = outcome else { panic!("one free pool") };
        // 5,000 + 20,000 + 100,000
        assert_eq!((start_us, end_us, decided_by), (5_000, Some(125_000), "only_candidate"));
    }

    #[test]
    fn key_2_compares_buckets_and_reports_microseconds() {
        // 120,200 and 120,000 µs are both in bucket 117 (117 * 1,024 = 119,808), and differ without buckets.
        let leased = RefPool { slots_free: 8, ..timed("b", 20.0) };
        let pools = [timed("a", 20.2), leased];
        assert_eq!(winner(&one(&pools, &job(), &RefPolicy::default())), ("a", "active_leases", Some(-1)));
        let exact = RefPolicy { quantum_shift: 0, ..RefPolicy::default() };
        assert_eq!(winner(&one(&pools, &job(), &exact)), ("b", "predicted_end", Some(-200)));
    }

    #[test]
    fn key_2_puts_an_unknown_end_last_without_a_margin() {
        let coarse = RefPolicy { quantum_shift: 46, ..RefPolicy::default() };
        let outcome = one(&[pool("a"), timed("b", 9_999.0)], &job(), &coarse);
        assert_eq!(winner(&outcome), ("b", "predicted_end", None));
    }

    #[test]
    fn score_5_weighs_the_key_and_not_the_report() {
        let weights = RefWeights { decode: 0.5, ..RefWeights::default() };
        let policy = RefPolicy { weights, ..RefPolicy::default() };
        // Half of q10 10,240,000 makes 50,000 µs; the slow pool's 20,480,000 makes 100,000 µs.
        let slow = RefPool { perf_tokens_per_s: Some(50.0), ..timed("a", 0.0) };
        let outcome = one(&[slow, timed("b", 0.0)], &job(), &policy);
        assert_eq!(winner(&outcome), ("b", "predicted_end", Some(-50_000)));
        let RefOutcome::Assigned { end_us, .. } = outcome else { panic!("two free pools") };
        assert_eq!(end_us, Some(100_000));
    }

    #[test]
    fn key_10_looks_at_free_vram_only() {
        let roomy = RefPool { vram_total_bytes: 5, vram_free_bytes: 7, ..pool("b") };
        let policy = RefPolicy { order: RefOrder::VramFirst, ..RefPolicy::default() };
        // 7 of 5 bytes is clamped to 5.
        assert_eq!(winner(&one(&[timed("a", 1.0), roomy], &job(), &policy)), ("b", "vram_free", Some(5)));
    }

    #[test]
    fn key_11_reports_a_fallback() {
        let wish = RefJob { prefer_pools: vec!["b".to_owned()], ..job() };
        let full = RefPool { slots_free: 0, ..pool("b") };
        let outcome = one(&[pool("a"), full], &wish, &RefPolicy::default());
        assert!(matches!(outcome, RefOutcome::Assigned { fallback: true, .. }));
        let outcome = one(&[pool("a"), pool("b")], &wish, &RefPolicy::default());
        assert_eq!(winner(&outcome), ("b", "preferred", Some(1)));
    }

    #[test]
    fn nocap_1_takes_the_highest_stage_then_the_first_rule() {
        let policy = RefPolicy::default();
        let mut pools = vec![RefPool::minimal("a", "other"), pool("b"), pool("c")];
        pools[1].draining = true;
        pools[2].ready = false;
        assert_eq!(headline(&one(&pools, &job(), &policy)), (6, "not_ready", true, "POOL_UNREADY"));
        pools.push(RefPool { slots_free: 0, ..pool("d") });
        assert_eq!(headline(&one(&pools, &job(), &policy)), (7, "slots", true, "REPLICA_EXHAUSTED"));
    }

    #[test]
    fn nocap_4_knows_pins() {
        let policy = RefPolicy::default();
        let pinned = RefJob { pin_pool_id: Some("a".to_owned()), ..job() };
        assert_eq!(headline(&one(&[], &pinned, &policy)), (0, "no_pools", true, "INVALID_PARAMS"));
        assert_eq!(headline(&one(&[pool("b")], &pinned, &policy)), (1, "not_pinned", false, "INVALID_PARAMS"));
        let full = RefPool { slots_free: 0, ..pool("a") };
        assert_eq!(headline(&one(&[full], &pinned, &policy)), (7, "slots", true, "POOL_UNREADY"));
    }

    fn device(total: u64, free: u64) -> RefDevice {
        RefDevice { vram_total_bytes: total, vram_free_bytes: free, compute_capability: None }
    }

    #[test]
    fn commit_2_takes_equal_shares_from_the_roomiest_devices() {
        let devices = vec![device(100, 10), device(100, 30), device(100, 30)];
        let pool = RefPool { devices, device_mask: Some("5,3,9".to_owned()), ..pool("a") };
        let split = RefJob { split_degree: Some(2), est_kv_bytes: Some(41), ..job() };
        // The shares are ceil(41 / 2) = 21: device 3 has 10 bytes; afterwards 10 + 9 + 9 = 28 are left.
        let outcomes = place(&[pool], &[split.clone(), split], &RefPolicy::default(), true);
        let RefOutcome::Assigned { devices, .. } = &outcomes[0] else { panic!("70 bytes are free") };
        assert_eq!(devices, &[5, 9]);
        assert_eq!(headline(&outcomes[1]), (7, "vram", true, "POOL_UNAVAILABLE"));
    }

    #[test]
    fn commit_3_empties_the_roomiest_device_first() {
        let pool = RefPool { devices: vec![device(300, 300), device(300, 200)], ..pool("a") };
        let whole = RefJob { est_kv_bytes: Some(301), ..job() };
        let split = RefJob { est_kv_bytes: Some(199), split_degree: Some(1), ..job() };
        // 300 from device 0 and 1 from device 1, which leaves exactly the 199 of the second job.
        let outcomes = place(&[pool], &[whole, split.clone(), split], &RefPolicy::default(), true);
        let RefOutcome::Assigned { devices, .. } = &outcomes[1] else { panic!("199 bytes are free") };
        assert_eq!(devices, &[1]);
        assert_eq!(headline(&outcomes[2]), (7, "vram", true, "POOL_UNAVAILABLE"));
    }

    #[test]
    fn commit_4_loads_a_model_once() {
        let pool = RefPool {
            vram_total_bytes: 100,
            vram_free_bytes: 100,
            model_load_ms: Some(1.0),
            resident: Some(Vec::new()),
            ..pool("a")
        };
        let heavy = RefJob { min_vram_bytes: 80, est_kv_bytes: Some(10), ..job() };
        // 90 bytes with a load, then 10 without one; then nothing is left.
        let outcomes = place(&[pool], &[heavy.clone(), heavy.clone(), heavy], &RefPolicy::default(), true);
        assert!(matches!(outcomes[0], RefOutcome::Assigned { start_us: 1_000, .. }));
        assert!(matches!(outcomes[1], RefOutcome::Assigned { start_us: 0, .. }));
        assert_eq!(headline(&outcomes[2]).1, "vram");
    }

    #[test]
    fn commit_5_covers_and_uncovers_published_warmth() {
        let pool = RefPool { warm: vec![("s".to_owned(), 50)], ..pool("a") };
        let of = |session: &str| RefJob { session_id: Some(session.to_owned()), expected_tokens: Some(0), ..job() };
        let policy = RefPolicy { session_capacity: 1, ..RefPolicy::default() };
        // Published 50; then the table's 0; `t` is new and evicts `s`; the published 50 stands again.
        let outcomes = place(&[pool], &[of("s"), of("s"), of("t"), of("s")], &policy, true);
        let warm = |outcome: &RefOutcome| matches!(outcome, RefOutcome::Assigned { warm: true, .. });
        assert_eq!(outcomes.iter().map(warm).collect::<Vec<_>>(), [true, false, false, true]);
    }

    #[test]
    fn hash_1_ignores_order_and_spelling() {
        let masked = |engine: &str, mask: &str| RefPool {
            device_mask: Some(mask.to_owned()),
            quantizations: vec![engine.to_owned()],
            ..RefPool::minimal("a", engine)
        };
        let one = snapshot_hash(&[masked("vLLM", "0,1"), pool("b")]);
        let same = snapshot_hash(&[pool("b"), masked("VLLM", "GPU1, gpu0")]);
        assert_eq!(one, same);
        assert_ne!(one, snapshot_hash(&[pool("b"), masked("VLLM", "1")]));
        let policy = RefPolicy::default();
        assert_ne!(policy_hash(&policy), policy_hash(&RefPolicy { quantum_shift: 0, ..policy.clone() }));
    }
}
