//! The engine under test, fed with the reference's inputs and answering in the reference's terms.

use orchestrator_core::{
    Assignment, Budget, Decided, DeterminismSpec, DeviceSnapshot, Explanation, JobSpec, KvHint, ModelRequirements,
    Order, PlacementDecision, PlacementHints, PlacementMode, Policy, PolicySpec, PoolSnapshot, PoolSupports, Priority,
    Reason, Rejection, WarmSession, WeightsSpec,
};
use orchestrator_host::fleet::{Fleet, FleetBuilder};
use orchestrator_host::place::{Mode, Placed, Placer, Wanted};

use crate::reference::{RefJob, RefKvHint, RefMode, RefOrder, RefOutcome, RefPolicy, RefPool, RefPriority, RefWeights};

pub(crate) struct Engine {
    placer: Placer,
}

impl Engine {
    pub(crate) fn new(fleet: Fleet, policy: &RefPolicy, sequential: bool) -> Self {
        let mode = if sequential { Mode::Sequential } else { Mode::Independent };
        Self { placer: Placer::new(fleet, self::policy(policy), mode) }
    }

    pub(crate) fn place_all(&mut self, jobs: &[RefJob]) -> Vec<RefOutcome> {
        jobs.iter().map(|job| self.place(job)).collect()
    }

    pub(crate) fn snapshot_hash(&self) -> u64 {
        self.placer.fleet().content_hash()
    }

    pub(crate) fn policy_hash(&self) -> u64 {
        self.placer.policy().content_hash()
    }

    fn place(&mut self, job: &RefJob) -> RefOutcome {
        let wanted = Wanted { explanation: true, best: 2 };
        let placed = with_job(job, |spec| self.placer.place(spec, None, wanted)).expect("a valid job");
        outcome(self.placer.fleet(), &placed)
    }
}

fn outcome(fleet: &Fleet, placed: &Placed) -> RefOutcome {
    let explanation = placed.explanation.as_ref().expect("wanted");
    assert_eq!(placed.best.len(), explanation.feasible.min(2) as usize, "the k best are all there are, up to k");
    match &placed.decision {
        PlacementDecision::Assigned(assignment) => {
            assert_eq!(placed.best.first(), Some(assignment), "the best of the k best is the winner");
            assigned(fleet, assignment, explanation)
        }
        PlacementDecision::NoCapacity { reason, headline, code } => RefOutcome::NoCapacity {
            stage: reason.stage(),
            reason: reason.name(),
            detail: headline.map_or(Reason::NoPools.name(), Rejection::detail),
            retryable: reason.is_retryable(),
            code: code.name(),
        },
    }
}

fn assigned(fleet: &Fleet, assignment: &Assignment, explanation: &Explanation) -> RefOutcome {
    let name = |rank: u32| {
        let pool = fleet.name(rank).expect("a rank of this fleet");
        (pool.id.to_string(), pool.replica_id.to_string())
    };
    let Decided { by, margin } = explanation.decided.expect("there is a winner");
    let (pool_id, replica_id) = name(assignment.rank);
    RefOutcome::Assigned {
        pool_id,
        replica_id,
        devices: assignment.devices.iter().collect(),
        start_us: assignment.start_us,
        end_us: assignment.end_us,
        warm: assignment.warm,
        fallback: assignment.fallback,
        decided_by: by.name(),
        margin: margin.map(i128::from),
        runner_up: explanation.runner_up.map(|standing| name(standing.parts.rank)),
        feasible: explanation.feasible as usize,
    }
}

pub(crate) fn fleet(pools: &[RefPool]) -> Fleet {
    let mut builder = FleetBuilder::default();
    for (line, pool) in (1..).zip(pools) {
        with_pool(pool, |snapshot| builder.add(line, &snapshot.validate().expect("a valid pool"))).expect("few names");
    }
    let built = builder.finish();
    assert!(built.duplicates.is_empty(), "worlds have distinct pools");
    built.fleet
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("worlds stay inside the limits")
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

fn pairs(list: &[(String, String)]) -> Vec<(&str, &str)> {
    list.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn with_pool<R>(pool: &RefPool, visit: impl FnOnce(&PoolSnapshot<'_>) -> R) -> R {
    let devices: Vec<_> = pool
        .devices
        .iter()
        .map(|device| DeviceSnapshot {
            vram_total_bytes: signed(device.vram_total_bytes),
            vram_free_bytes: signed(device.vram_free_bytes),
            compute_capability: device.compute_capability.as_deref(),
        })
        .collect();
    let warm: Vec<_> = pool
        .warm
        .iter()
        .map(|(session_id, tokens)| WarmSession { session_id, cached_tokens: signed(*tokens) })
        .collect();
    let (models, resident) = (pool.models.as_deref().map(texts), pool.resident.as_deref().map(texts));
    let (quantizations, extensions) = (texts(&pool.quantizations), texts(&pool.extensions));
    let (digests, labels) = (texts(&pool.model_digests), pairs(&pool.labels));
    visit(&PoolSnapshot {
        id: &pool.id,
        replica_id: &pool.replica_id,
        engine: &pool.engine,
        engine_version: pool.engine_version.as_deref(),
        sampler_profile_version: pool.sampler_profile_version.as_deref(),
        slots_total: signed(pool.slots_total),
        slots_free: signed(pool.slots_free),
        vram_total_bytes: signed(pool.vram_total_bytes),
        vram_free_bytes: signed(pool.vram_free_bytes),
        compute_capability: pool.compute_capability.as_deref(),
        perf_tokens_per_s: pool.perf_tokens_per_s,
        first_token_ms: pool.first_token_ms,
        prefill_tokens_per_s: pool.prefill_tokens_per_s,
        admission_latency_ms: pool.admission_latency_ms.unwrap_or(0.0),
        model_load_ms: pool.model_load_ms.unwrap_or(0.0),
        age_ms: pool.age_ms.unwrap_or(0.0),
        queue_depth: signed(pool.queue_depth),
        supports: PoolSupports {
            quantizations: &quantizations,
            extensions: &extensions,
            models: models.as_deref(),
            model_digests: &digests,
            ctx_max: pool.ctx_max.map(signed),
            min_compute_cap: pool.min_compute_cap.as_deref(),
        },
        resident_models: resident.as_deref(),
        devices: &devices,
        device_mask: pool.device_mask.as_deref(),
        labels: &labels,
        warm_sessions: &warm,
        ready: pool.ready,
        draining: pool.draining,
    })
}

pub(crate) fn with_job<R>(job: &RefJob, visit: impl FnOnce(&JobSpec<'_>) -> R) -> R {
    let (prefer, avoid) = (texts(&job.prefer_pools), texts(&job.avoid_pools));
    let (extensions, labels) = (texts(&job.required_extensions), pairs(&job.require_labels));
    visit(&JobSpec {
        id: &job.id,
        engine: &job.engine,
        model_id: &job.model_id,
        priority: match job.priority {
            Some(RefPriority::Interactive) => Priority::Interactive,
            Some(RefPriority::Batch) | None => Priority::Batch,
        },
        prompt_tokens: signed(job.prompt_tokens),
        expected_tokens: job.expected_tokens.map(signed),
        max_tokens: job.max_tokens.map(signed),
        required_ctx: job.required_ctx.map(signed),
        est_kv_bytes: job.est_kv_bytes.map(signed),
        session_id: job.session_id.as_deref(),
        tenant_id: None,
        kv_hint: match job.kv_hint {
            Some(RefKvHint::Cold) => KvHint::Cold,
            Some(RefKvHint::Reuse) | None => KvHint::Reuse,
        },
        deadline_ms: job.deadline_ms,
        requirements: ModelRequirements {
            min_vram_bytes: signed(job.min_vram_bytes),
            quantization: job.quantization.as_deref(),
            min_compute_cap: job.min_compute_cap.as_deref(),
            device_mask: job.device_mask.as_deref(),
            required_extensions: &extensions,
            split_degree: job.split_degree.map(signed),
        },
        determinism: DeterminismSpec {
            seed: job.seed,
            sampler_profile_version: job.sampler_profile_version.as_deref(),
            engine_version: job.engine_version.as_deref(),
            model_digest: job.model_digest.as_deref(),
        },
        placement: PlacementHints {
            mode: job.mode.map(|mode| match mode {
                RefMode::Auto => PlacementMode::Auto,
                RefMode::Pin => PlacementMode::Pin,
                RefMode::Prefer => PlacementMode::Prefer,
            }),
            pin_pool_id: job.pin_pool_id.as_deref(),
            prefer_pools: &prefer,
            avoid_pools: &avoid,
            require_device_mask: job.require_device_mask.as_deref(),
            allow_fallback: job.allow_fallback,
            require_labels: &labels,
        },
        budget: Budget {
            tokens: job.budget_tokens.map(signed),
            time_ms: job.budget_time_ms,
            cost_micros: job.budget_cost_micros.map(signed),
        },
    })
}

pub(crate) fn policy(policy: &RefPolicy) -> Policy {
    let RefWeights { admission, model_load, first_token, prefill, decode } = policy.weights;
    PolicySpec {
        order: match policy.order {
            RefOrder::PredictedEnd => Order::PredictedEnd,
            RefOrder::VramFirst => Order::VramFirst,
        },
        quantum_shift: policy.quantum_shift.into(),
        performance_aware: policy.performance_aware,
        spread_seed: policy.spread_seed,
        default_output_tokens: signed(policy.default_output_tokens),
        default_tokens_per_s: policy.default_tokens_per_s,
        default_first_token_ms: policy.default_first_token_ms,
        stale_after_ms: policy.stale_after_ms,
        session_capacity: signed(policy.session_capacity),
        pool_backlog: signed(policy.pool_backlog),
        weights: WeightsSpec { admission, model_load, first_token, prefill, decode },
    }
    .validate()
    .expect("a valid policy")
}
