//! What a caller says of a job. Fields and limits: `docs/spec.md` section 3.

use heapless::Vec;
use orchestrator_core::limits::{EXTENSIONS_MAX, HINTS_MAX};
use orchestrator_core::{Budget, DeterminismSpec, JobSpec, ModelRequirements, PlacementHints};

use crate::codes::Fault;
use crate::names::{
    OC_KV_REUSE, OC_PLACEMENT_IMPLIED, OC_PRIORITY_BATCH, flags, kv_hint, oc_kv_hint, oc_placement_mode, oc_priority,
    placement_mode, priority,
};
use crate::text::{oc_labels, oc_text, oc_texts};
use crate::versioned::{Versioned, read};

/// Flag of `oc_job`: `expected_tokens` is known.
pub const OC_JOB_HAS_EXPECTED_TOKENS: u32 = 1;
/// Flag of `oc_job`: `max_tokens` is known.
pub const OC_JOB_HAS_MAX_TOKENS: u32 = 2;
/// Flag of `oc_job`: `required_ctx` is given; without it the context is prompt plus output tokens.
pub const OC_JOB_HAS_REQUIRED_CTX: u32 = 4;
/// Flag of `oc_job`: `est_kv_bytes` is given; without it, 0.
pub const OC_JOB_HAS_EST_KV_BYTES: u32 = 8;
/// Flag of `oc_job`: `deadline_ms` is given.
pub const OC_JOB_HAS_DEADLINE: u32 = 16;
/// Flag of `oc_job`: it is split over `split_degree` devices.
pub const OC_JOB_HAS_SPLIT: u32 = 32;
/// Flag of `oc_job`: `seed` is given.
pub const OC_JOB_HAS_SEED: u32 = 64;
/// Flag of `oc_job`: only preferred pools may serve.
pub const OC_JOB_NO_FALLBACK: u32 = 128;
/// Flag of `oc_job`: `budget_tokens` is given.
pub const OC_JOB_HAS_BUDGET_TOKENS: u32 = 256;
/// Flag of `oc_job`: `budget_time_ms` is given.
pub const OC_JOB_HAS_BUDGET_TIME: u32 = 512;
/// Flag of `oc_job`: `budget_cost_micros` is given.
pub const OC_JOB_HAS_BUDGET_COST: u32 = 1024;

/// All flags: their bits are consecutive.
const KNOWN_FLAGS: u32 = 2 * OC_JOB_HAS_BUDGET_COST - 1;

/// A request. A structure of zeros with `struct_bytes`, `id`, `engine` and `model_id` is a job with all defaults.
/// Tokens are below 2^24, bytes below 2^48. Lists have at most 64 entries.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_job {
    /// `sizeof(oc_job)`.
    pub struct_bytes: u32,
    /// `OC_JOB_…`.
    pub flags: u32,
    /// Its class of service.
    pub priority: oc_priority,
    /// Whether the session's warm KV cache may be used.
    pub kv_hint: oc_kv_hint,
    /// How the placement hints are meant.
    pub placement_mode: oc_placement_mode,
    /// With `OC_JOB_HAS_SPLIT`: 1 to 16.
    pub split_degree: u32,
    /// The job's id: 1 to 64 bytes. Required.
    pub id: oc_text,
    /// The engine it needs. Required.
    pub engine: oc_text,
    /// The model it needs. Required.
    pub model_id: oc_text,
    /// The session it continues: 1 to 64 bytes, or absent.
    pub session_id: oc_text,
    /// On whose behalf: 1 to 64 bytes, or absent.
    pub tenant_id: oc_text,
    /// Tokens of the prompt.
    pub prompt_tokens: i64,
    /// With `OC_JOB_HAS_EXPECTED_TOKENS`: tokens it will probably produce.
    pub expected_tokens: i64,
    /// With `OC_JOB_HAS_MAX_TOKENS`: tokens it may produce.
    pub max_tokens: i64,
    /// With `OC_JOB_HAS_REQUIRED_CTX`: context it needs, in tokens.
    pub required_ctx: i64,
    /// With `OC_JOB_HAS_EST_KV_BYTES`: KV cache it needs, in bytes.
    pub est_kv_bytes: i64,
    /// With `OC_JOB_HAS_DEADLINE`: milliseconds from now.
    pub deadline_ms: f64,
    /// VRAM for weights and workspace, in bytes.
    pub min_vram_bytes: i64,
    /// Quantisation it needs, or absent, as the following two.
    pub quantization: oc_text,
    /// The least compute capability, such as `8.0`.
    pub min_compute_cap: oc_text,
    /// Device ids it may use, such as `0,1`.
    pub device_mask: oc_text,
    /// Extensions that it needs, all of them.
    pub required_extensions: oc_texts,
    /// With `OC_JOB_HAS_SEED`: the sampling seed, handed on with the dispatch.
    pub seed: i64,
    /// The sampler profile it needs exactly, or absent, as the following two.
    pub sampler_profile_version: oc_text,
    /// The engine's version.
    pub engine_version: oc_text,
    /// The model's digest.
    pub model_digest: oc_text,
    /// The only pool to use, or absent.
    pub pin_pool_id: oc_text,
    /// Pools to use first.
    pub prefer_pools: oc_texts,
    /// Pools never to use.
    pub avoid_pools: oc_texts,
    /// The pool's device ids are exactly these, or absent.
    pub require_device_mask: oc_text,
    /// Labels that the pool has.
    pub require_labels: oc_labels,
    /// With `OC_JOB_HAS_BUDGET_TOKENS`: below 2^48.
    pub budget_tokens: i64,
    /// With `OC_JOB_HAS_BUDGET_TIME`: milliseconds.
    pub budget_time_ms: f64,
    /// With `OC_JOB_HAS_BUDGET_COST`: millionths of the currency, below 2^48.
    pub budget_cost_micros: i64,
}

// SAFETY: integers, floats, pointers and structures of them, the size first.
unsafe impl Versioned for oc_job {}

impl oc_job {
    const ABSENT: Self = Self {
        struct_bytes: 0,
        flags: 0,
        priority: OC_PRIORITY_BATCH,
        kv_hint: OC_KV_REUSE,
        placement_mode: OC_PLACEMENT_IMPLIED,
        split_degree: 0,
        id: oc_text::ABSENT,
        engine: oc_text::ABSENT,
        model_id: oc_text::ABSENT,
        session_id: oc_text::ABSENT,
        tenant_id: oc_text::ABSENT,
        prompt_tokens: 0,
        expected_tokens: 0,
        max_tokens: 0,
        required_ctx: 0,
        est_kv_bytes: 0,
        deadline_ms: 0.0,
        min_vram_bytes: 0,
        quantization: oc_text::ABSENT,
        min_compute_cap: oc_text::ABSENT,
        device_mask: oc_text::ABSENT,
        required_extensions: oc_texts::NONE,
        seed: 0,
        sampler_profile_version: oc_text::ABSENT,
        engine_version: oc_text::ABSENT,
        model_digest: oc_text::ABSENT,
        pin_pool_id: oc_text::ABSENT,
        prefer_pools: oc_texts::NONE,
        avoid_pools: oc_texts::NONE,
        require_device_mask: oc_text::ABSENT,
        require_labels: oc_labels::NONE,
        budget_tokens: 0,
        budget_time_ms: 0.0,
        budget_cost_micros: 0,
    };

    /// What a caller says, as the core takes it.
    ///
    /// # Safety
    /// `job` is as [`read`] wants it; every pointer in it is null or points to as many values as stand beside it; they stay
    /// as they are until this returns.
    pub(crate) unsafe fn with<R>(job: *const Self, use_it: impl FnOnce(&JobSpec<'_>) -> R) -> Result<R, Fault> {
        // SAFETY: the caller's promise.
        let job = unsafe { read(job, Self::ABSENT) }?;
        let flags = flags(job.flags, KNOWN_FLAGS)?;
        // SAFETY: the caller's promise.
        let lists = unsafe { job.lists() }?;
        // SAFETY: the caller's promise.
        let spec = unsafe { job.spec(flags, &lists) }?;
        Ok(use_it(&spec))
    }

    /// # Safety
    /// As [`oc_job::with`].
    unsafe fn lists<'a>(&self) -> Result<Lists<'a>, Fault> {
        // SAFETY: the caller's promise.
        unsafe {
            Ok(Lists {
                required_extensions: self.required_extensions.read("requirements.required_extensions")?,
                prefer_pools: self.prefer_pools.read("placement.prefer_pools")?,
                avoid_pools: self.avoid_pools.read("placement.avoid_pools")?,
                require_labels: self.require_labels.read("placement.require_labels")?,
            })
        }
    }

    /// # Safety
    /// As [`oc_job::with`].
    unsafe fn spec<'a>(&self, flags: u32, lists: &'a Lists<'a>) -> Result<JobSpec<'a>, Fault> {
        let has = |flag: u32| flags & flag != 0;
        // SAFETY: the caller's promise.
        unsafe {
            Ok(JobSpec {
                id: self.id.required("id")?,
                engine: self.engine.required("engine")?,
                model_id: self.model_id.required("model_id")?,
                priority: priority(self.priority)?,
                prompt_tokens: self.prompt_tokens,
                expected_tokens: has(OC_JOB_HAS_EXPECTED_TOKENS).then_some(self.expected_tokens),
                max_tokens: has(OC_JOB_HAS_MAX_TOKENS).then_some(self.max_tokens),
                required_ctx: has(OC_JOB_HAS_REQUIRED_CTX).then_some(self.required_ctx),
                est_kv_bytes: has(OC_JOB_HAS_EST_KV_BYTES).then_some(self.est_kv_bytes),
                session_id: self.session_id.read("session_id")?,
                tenant_id: self.tenant_id.read("tenant_id")?,
                kv_hint: kv_hint(self.kv_hint)?,
                deadline_ms: has(OC_JOB_HAS_DEADLINE).then_some(self.deadline_ms),
                requirements: ModelRequirements {
                    min_vram_bytes: self.min_vram_bytes,
                    quantization: self.quantization.read("requirements.quantization")?,
                    min_compute_cap: self.min_compute_cap.read("requirements.min_compute_cap")?,
                    device_mask: self.device_mask.read("requirements.device_mask")?,
                    required_extensions: &lists.required_extensions,
                    split_degree: has(OC_JOB_HAS_SPLIT).then_some(self.split_degree.into()),
                },
                determinism: DeterminismSpec {
                    seed: has(OC_JOB_HAS_SEED).then_some(self.seed),
                    sampler_profile_version: self
                        .sampler_profile_version
                        .read("determinism.sampler_profile_version")?,
                    engine_version: self.engine_version.read("determinism.engine_version")?,
                    model_digest: self.model_digest.read("determinism.model_digest")?,
                },
                placement: PlacementHints {
                    mode: placement_mode(self.placement_mode)?,
                    pin_pool_id: self.pin_pool_id.read("placement.pin_pool_id")?,
                    prefer_pools: &lists.prefer_pools,
                    avoid_pools: &lists.avoid_pools,
                    require_device_mask: self.require_device_mask.read("placement.require_device_mask")?,
                    allow_fallback: !has(OC_JOB_NO_FALLBACK),
                    require_labels: &lists.require_labels,
                },
                budget: Budget {
                    tokens: has(OC_JOB_HAS_BUDGET_TOKENS).then_some(self.budget_tokens),
                    time_ms: has(OC_JOB_HAS_BUDGET_TIME).then_some(self.budget_time_ms),
                    cost_micros: has(OC_JOB_HAS_BUDGET_COST).then_some(self.budget_cost_micros),
                },
            })
        }
    }
}

struct Lists<'a> {
    required_extensions: Vec<&'a str, EXTENSIONS_MAX>,
    prefer_pools: Vec<&'a str, HINTS_MAX>,
    avoid_pools: Vec<&'a str, HINTS_MAX>,
    require_labels: Vec<(&'a str, &'a str), HINTS_MAX>,
}

#[cfg(test)]
mod tests {
    use orchestrator_core::{KvHint, PlacementMode, Priority};

    use super::*;
    use crate::names::{OC_KV_COLD, OC_PLACEMENT_PREFER, OC_PRIORITY_INTERACTIVE};
    use crate::text::oc_label;

    /// Every field has a value of its own.
    fn whole(hints: &[[oc_text; 1]; 3], labels: &[oc_label; 1]) -> oc_job {
        let [extensions, prefer, avoid] = hints.each_ref().map(|list| oc_texts { items: list.as_ptr(), count: 1 });
        oc_job {
            struct_bytes: size_of::<oc_job>().try_into().unwrap(),
            flags: KNOWN_FLAGS,
            priority: OC_PRIORITY_INTERACTIVE,
            kv_hint: OC_KV_COLD,
            placement_mode: OC_PLACEMENT_PREFER,
            split_degree: 2,
            id: oc_text::given("id"),
            engine: oc_text::given("engine"),
            model_id: oc_text::given("model"),
            session_id: oc_text::given("session"),
            tenant_id: oc_text::given("tenant"),
            prompt_tokens: 1,
            expected_tokens: 2,
            max_tokens: 3,
            required_ctx: 4,
            est_kv_bytes: 5,
            deadline_ms: 6.0,
            min_vram_bytes: 7,
            quantization: oc_text::given("quantization"),
            min_compute_cap: oc_text::given("8.0"),
            device_mask: oc_text::given("0,1"),
            required_extensions: extensions,
            seed: -8,
            sampler_profile_version: oc_text::given("sampler"),
            engine_version: oc_text::given("version"),
            model_digest: oc_text::given("digest"),
            pin_pool_id: oc_text::given("pin"),
            prefer_pools: prefer,
            avoid_pools: avoid,
            require_device_mask: oc_text::given("2,3"),
            require_labels: oc_labels { items: labels.as_ptr(), count: 1 },
            budget_tokens: 9,
            budget_time_ms: 10.0,
            budget_cost_micros: 11,
        }
    }

    fn spec<'a>() -> JobSpec<'a> {
        JobSpec {
            id: "id",
            engine: "engine",
            model_id: "model",
            priority: Priority::Interactive,
            prompt_tokens: 1,
            expected_tokens: Some(2),
            max_tokens: Some(3),
            required_ctx: Some(4),
            est_kv_bytes: Some(5),
            session_id: Some("session"),
            tenant_id: Some("tenant"),
            kv_hint: KvHint::Cold,
            deadline_ms: Some(6.0),
            requirements: ModelRequirements {
                min_vram_bytes: 7,
                quantization: Some("quantization"),
                min_compute_cap: Some("8.0"),
                device_mask: Some("0,1"),
                required_extensions: &["extension"],
                split_degree: Some(2),
            },
            determinism: DeterminismSpec {
                seed: Some(-8),
                sampler_profile_version: Some("sampler"),
                engine_version: Some("version"),
                model_digest: Some("digest"),
            },
            placement: PlacementHints {
                mode: Some(PlacementMode::Prefer),
                pin_pool_id: Some("pin"),
                prefer_pools: &["prefer"],
                avoid_pools: &["avoid"],
                require_device_mask: Some("2,3"),
                allow_fallback: false,
                require_labels: &[("key", "value")],
            },
            budget: Budget { tokens: Some(9), time_ms: Some(10.0), cost_micros: Some(11) },
        }
    }

    #[test]
    fn every_field_is_where_it_belongs() {
        let hints = ["extension", "prefer", "avoid"].map(|text| [oc_text::given(text)]);
        let labels = [oc_label { key: oc_text::given("key"), value: oc_text::given("value") }];
        let job = whole(&hints, &labels);
        // SAFETY: a whole job, and everything that it points to.
        assert_eq!(unsafe { oc_job::with(&raw const job, |job| *job == spec()) }, Ok(true));
    }

    #[test]
    fn what_no_flag_names_is_absent() {
        let hints = [[oc_text::ABSENT]; 3];
        let labels = [oc_label { key: oc_text::ABSENT, value: oc_text::ABSENT }];
        for flag in (0..11).map(|bit| 1 << bit) {
            let job = oc_job { flags: flag, ..whole(&hints, &labels) };
            let given = |job: &JobSpec<'_>| {
                [
                    (job.expected_tokens.is_some(), OC_JOB_HAS_EXPECTED_TOKENS),
                    (job.max_tokens.is_some(), OC_JOB_HAS_MAX_TOKENS),
                    (job.required_ctx.is_some(), OC_JOB_HAS_REQUIRED_CTX),
                    (job.est_kv_bytes.is_some(), OC_JOB_HAS_EST_KV_BYTES),
                    (job.deadline_ms.is_some(), OC_JOB_HAS_DEADLINE),
                    (job.requirements.split_degree.is_some(), OC_JOB_HAS_SPLIT),
                    (job.determinism.seed.is_some(), OC_JOB_HAS_SEED),
                    (!job.placement.allow_fallback, OC_JOB_NO_FALLBACK),
                    (job.budget.tokens.is_some(), OC_JOB_HAS_BUDGET_TOKENS),
                    (job.budget.time_ms.is_some(), OC_JOB_HAS_BUDGET_TIME),
                    (job.budget.cost_micros.is_some(), OC_JOB_HAS_BUDGET_COST),
                ]
            };
            // SAFETY: a whole job, and everything that it points to.
            let given = unsafe { oc_job::with(&raw const job, given) }.unwrap();
            assert!(given.iter().all(|&(is_given, its)| is_given == (its == flag)), "{flag}: {given:?}");
        }
    }
}
