//! Fleets, policies and jobs from few values: ties and near misses are common, and every rule refuses something.
//!
//! Menus are short on purpose. A pool and a job differ in what decides only now and then, so that most decisions come
//! down to late tie-breakers, and jobs without a pool are refused by different rules.

use orchestrator_core::scheduler::{ClassWeights, Discipline, FullPolicy, SchedulerPolicySpec, WaitLimit};
use orchestrator_core::{
    Budget, DeterminismSpec, DeviceSnapshot, JobSpec, KvHint, ModelRequirements, Order, PlacementHints, PlacementMode,
    PolicySpec, PoolSnapshot, PoolSupports, Priority, WarmSession, WeightsSpec,
};

use crate::random::Random;

const GIB: i64 = 1 << 30;

pub(crate) const POOL_IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
pub(crate) const SESSIONS: [&str; 10] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"];
const MODELS: [&str; 3] = ["m0", "m1", "m2"];
const LABELS: [&[(&str, &str)]; 4] = [&[], &[("zone", "x")], &[("zone", "y")], &[("gpu", "big"), ("zone", "x")]];
const MODEL_LISTS: [Option<&[&str]>; 4] = [None, Some(&["m0", "m1"]), Some(&["m2"]), Some(&[])];
const RESIDENTS: [Option<&[&str]>; 4] = [None, Some(&["m0"]), Some(&["m1", "m2"]), Some(&[])];
const WARM: [&[WarmSession<'_>]; 3] = [
    &[],
    &[WarmSession { session_id: "s0", cached_tokens: 512 }],
    &[WarmSession { session_id: "s1", cached_tokens: 4_096 }, WarmSession { session_id: "s2", cached_tokens: 16 }],
];
const NO_DEVICES: [DeviceSnapshot<'_>; 0] = [];
const EVEN: [DeviceSnapshot<'_>; 2] = [device(40, 30, None); 2];
const UNEVEN: [DeviceSnapshot<'_>; 2] = [device(40, 12, Some("8.0")), device(40, 31, None)];

const fn device(total: i64, free: i64, compute_capability: Option<&str>) -> DeviceSnapshot<'_> {
    DeviceSnapshot { vram_total_bytes: total * GIB, vram_free_bytes: free * GIB, compute_capability }
}

/// How pools are chosen.
pub(crate) fn placement_policy(random: &mut Random) -> PolicySpec {
    PolicySpec {
        order: random.rarely(3, [Order::VramFirst], Order::PredictedEnd),
        quantum_shift: random.pick([0, 10, 20, 46]),
        performance_aware: !random.one_in(6),
        spread_seed: random.pick([None, Some(7), Some(u64::MAX)]),
        default_output_tokens: random.pick([0, 64, 256]),
        default_tokens_per_s: random.pick([None, Some(25.0)]),
        default_first_token_ms: random.pick([None, Some(80.0)]),
        pool_backlog: random.pick([0, 0, 1, 2]),
        weights: WeightsSpec {
            prefill: random.pick([1.0, 1.0, 0.5, 16.0]),
            decode: random.pick([1.0, 1.0, 0.25]),
            ..WeightsSpec::default()
        },
        ..PolicySpec::default()
    }
}

/// The pool at a place among those that there are.
pub(crate) fn pool(random: &mut Random, id: &'static str, replica_id: &'static str) -> PoolSnapshot<'static> {
    let devices = random.pick([&NO_DEVICES[..], &NO_DEVICES, &EVEN, &UNEVEN]);
    let slots_total = random.pick([1, 2, 8]);
    PoolSnapshot {
        replica_id,
        engine_version: random.pick([None, Some("0.9.1"), Some("0.9.2")]),
        sampler_profile_version: random.pick([None, Some("p1")]),
        compute_capability: random.pick([None, Some("8.9"), Some("9.0"), Some("10.0")]),
        perf_tokens_per_s: random.pick([None, Some(50.0), Some(50.0), Some(62.5)]),
        first_token_ms: random.pick([None, Some(40.0), Some(40.0), Some(45.5)]),
        prefill_tokens_per_s: random.pick([None, Some(8_000.0)]),
        admission_latency_ms: random.pick([0.0, 0.0, 2.5]),
        model_load_ms: random.pick([0.0, 9_000.0]),
        age_ms: random.rarely(6, [29_999.0, 30_001.0, 60_000.0], 100.0),
        queue_depth: random.pick([0, 0, 1, 2]),
        supports: supports(random),
        resident_models: random.pick(RESIDENTS),
        devices,
        device_mask: if devices.is_empty() { random.pick([None, Some("0")]) } else { Some("0,1") },
        labels: random.pick(LABELS),
        warm_sessions: random.pick(WARM),
        ready: !random.one_in(8),
        draining: random.one_in(8),
        ..PoolSnapshot::new(
            id,
            random.rarely(6, ["tgi", "VLLM"], "vllm"),
            slots_total,
            random.pick([0, 1, slots_total]),
            80 * GIB,
            random.pick([8, 40, 60, 60]) * GIB,
        )
    }
}

fn supports(random: &mut Random) -> PoolSupports<'static> {
    PoolSupports {
        quantizations: random.pick([&["fp16"][..], &["fp16", "fp8"]]),
        extensions: random.pick([&[][..], &["lora"]]),
        models: random.rarely(4, MODEL_LISTS, None),
        model_digests: random.pick([&[][..], &["d0"]]),
        ctx_max: random.pick([None, Some(8_192), Some(32_768), Some(32_768)]),
        min_compute_cap: random.rarely(8, [Some("9.0")], None),
    }
}

/// A job that asks for anything.
pub(crate) fn job<'a>(random: &mut Random, id: &'a str) -> JobSpec<'a> {
    JobSpec {
        priority: random.pick([Priority::Interactive, Priority::Batch]),
        prompt_tokens: random.pick([0, 100, 700, 9_000]),
        expected_tokens: random.pick([None, None, Some(40)]),
        max_tokens: random.pick([None, Some(64), Some(400)]),
        required_ctx: random.rarely(6, [Some(8_192), Some(200_000)], None),
        est_kv_bytes: random.pick([None, Some(GIB), Some(20 * GIB)]),
        session_id: random.pick([None, Some("s0"), Some("s1"), Some("s2"), Some("s3")]),
        kv_hint: random.rarely(4, [KvHint::Cold], KvHint::Reuse),
        deadline_ms: random.pick([None, None, Some(500.0), Some(9_000.0)]),
        requirements: requirements(random),
        determinism: determinism(random),
        placement: hints(random),
        ..JobSpec::new(id, random.rarely(12, ["tgi", "sglang"], "vllm"), random.pick(MODELS))
    }
}

fn requirements(random: &mut Random) -> ModelRequirements<'static> {
    let split_degree = random.rarely(5, [Some(1), Some(2), Some(3)], None);
    ModelRequirements {
        min_vram_bytes: random.pick([0, 14, 14, 50, 90]) * GIB,
        quantization: random.rarely(4, [Some("fp8"), Some("FP16"), Some("int4")], None),
        min_compute_cap: random.rarely(6, [Some("8.9"), Some("9.0"), Some("12.0")], None),
        device_mask: random.rarely(8, [Some("0"), Some("0,1")], None),
        required_extensions: random.rarely(8, [&["lora"][..], &["tools"]], &[]),
        split_degree,
    }
}

fn determinism(random: &mut Random) -> DeterminismSpec<'static> {
    if !random.one_in(6) {
        return DeterminismSpec::default();
    }
    DeterminismSpec {
        seed: random.pick([None, Some(-1)]),
        sampler_profile_version: random.pick([None, Some("p1"), Some("p2")]),
        engine_version: random.pick([None, Some("0.9.1")]),
        model_digest: random.pick([None, Some("d0"), Some("d1")]),
    }
}

/// Also some that contradict themselves: such jobs are refused.
fn hints(random: &mut Random) -> PlacementHints<'static> {
    let automatic = PlacementHints::AUTOMATIC;
    match random.below(12) {
        0 => PlacementHints { pin_pool_id: random.pick([Some("a"), Some("c"), Some("nowhere")]), ..automatic },
        1 | 2 => PlacementHints {
            prefer_pools: random.pick([&["b", "a"][..], &["f"], &["nowhere"]]),
            allow_fallback: !random.one_in(3),
            ..automatic
        },
        3 => PlacementHints { avoid_pools: random.pick([&["a"][..], &["a", "b", "c", "d", "e", "f"]]), ..automatic },
        4 => PlacementHints { require_labels: random.pick([LABELS[1], LABELS[3], &[("zone", "z")]]), ..automatic },
        5 => PlacementHints { require_device_mask: random.pick([Some("0"), Some("0,1")]), ..automatic },
        6 => PlacementHints {
            mode: random.rarely(3, [Some(PlacementMode::Pin)], Some(PlacementMode::Auto)),
            ..automatic
        },
        _ => automatic,
    }
}

/// A pool that a scheduler's jobs find room in: without what rarely fits.
pub(crate) fn serving_pool(random: &mut Random, id: &'static str) -> PoolSnapshot<'static> {
    PoolSnapshot {
        engine_version: Some("0.9.1"),
        perf_tokens_per_s: random.pick([None, Some(50.0), Some(50.0), Some(62.5)]),
        first_token_ms: Some(40.0),
        age_ms: random.rarely(12, [31_000.0], 5.0),
        labels: random.pick([LABELS[0], LABELS[1]]),
        warm_sessions: random.pick(WARM),
        ready: !random.one_in(12),
        ..PoolSnapshot::new(id, "vllm", 2, random.pick([0, 1, 2, 2]), 80 * GIB, 60 * GIB)
    }
}

/// A job of a scheduler's script.
pub(crate) fn serving_job<'a>(random: &mut Random, id: &'a str) -> JobSpec<'a> {
    JobSpec {
        priority: random.pick([Priority::Interactive, Priority::Interactive, Priority::Batch]),
        prompt_tokens: random.pick([10, 100, 700]),
        max_tokens: random.pick([None, Some(64), Some(400)]),
        est_kv_bytes: Some(GIB),
        session_id: random.rarely(3, SESSIONS.map(Some), None),
        tenant_id: random.pick([None, Some("t0"), Some("t1")]),
        deadline_ms: random.pick([None, None, Some(200.0), Some(9_000.0), Some(90_000.0)]),
        determinism: DeterminismSpec { seed: random.pick([None, Some(42)]), ..DeterminismSpec::default() },
        placement: if random.one_in(6) { hints(random) } else { PlacementHints::AUTOMATIC },
        budget: Budget { tokens: random.pick([None, None, Some(2_000)]), ..Budget::default() },
        ..JobSpec::new(id, random.rarely(20, ["tgi"], "vllm"), random.pick(MODELS))
    }
}

/// How a scheduler's jobs wait, run and end: each discipline and each full policy in turn.
pub(crate) fn scheduler_policy(random: &mut Random, phase: u32) -> SchedulerPolicySpec {
    const DISCIPLINES: [Discipline; 3] = [Discipline::Fifo, Discipline::EarliestDeadline, Discipline::FairTenants];
    const FULL: [FullPolicy; 3] = [FullPolicy::Reject, FullPolicy::DropLru, FullPolicy::ShedLowPriority];
    let [discipline, ..] = rotated(DISCIPLINES, phase);
    let [full, ..] = rotated(FULL, phase / 3);
    SchedulerPolicySpec {
        discipline,
        full,
        queue_batch: if random.one_in(2) { WaitLimit::NONE } else { WaitLimit { jobs: 6, tokens: 3_000 } },
        strict_upstream: random.one_in(2),
        class_weights: random.pick([None, Some(ClassWeights { interactive: 3, batch: 1 })]),
        tenant_quantum_tokens: 512,
        promote_after_ms: random.pick([None, Some(4_000.0)]),
        queue_ttl_ms: 20_000.0,
        scan_limit: random.pick([2, 256]),
        overtakes_max: random.pick([2, 1_024]),
        start_timeout_ms: 8_000.0,
        wall_limit_ms: 60_000.0,
        idle_limit_ms: 15_000.0,
        session_ttl_ms: 40_000.0,
        refresh_after_ms: 6_000.0,
        ..SchedulerPolicySpec::default()
    }
}

fn rotated<T, const N: usize>(mut values: [T; N], places: u32) -> [T; N] {
    values.rotate_left(places as usize % N);
    values
}
