//! A fleet and jobs with everything that a rule looks at: six models on four kinds of GPU under two engines, residency,
//! warm sessions, load and prefill times; jobs of all lengths, some with sessions, some that prefer or avoid pools.

use orchestrator_core::{
    JobSpec, PlacementHints, PlacementMode, Policy, PoolSnapshot, PoolSupports, ResolvedJob, WarmSession,
};

use crate::fleet::{Fleet, FleetBuilder};
use crate::random::Random;

const MODELS: [&str; 6] = ["llama-8b", "llama-70b", "qwen-7b", "qwen-72b", "mixtral-8x7b", "gemma-27b"];
/// VRAM in GiB and decode rate in tokens per second.
const GPUS: [(i64, f64); 4] = [(24, 45.0), (48, 60.0), (80, 95.0), (141, 130.0)];
const SESSIONS: u64 = 5_000;
const GIB: i64 = 1 << 30;

/// So many pools.
#[must_use]
pub fn fleet(pools: usize) -> Fleet {
    let (mut builder, mut random) = (FleetBuilder::default(), Random::of(11, 0));
    for (line, number) in (1..).zip(0..pools) {
        add_pool(&mut builder, line, number, &mut random);
    }
    builder.finish().fleet
}

#[allow(clippy::cast_possible_wrap, clippy::cast_precision_loss, reason = "small numbers")]
fn add_pool(builder: &mut FleetBuilder, line: u64, number: usize, random: &mut Random) {
    let id = format!("pool-{number:07}");
    let (vram_gib, rate) = *random.pick(&GPUS);
    let slots = 1 << random.below(6);
    let engine = if random.one_in(4) { "tensorrt-llm" } else { "vllm" };
    let free = vram_gib * GIB / 8 * (1 + random.below(7) as i64);
    let mut pool = PoolSnapshot::new(&id, engine, slots, random.below(slots as u64 + 1) as i64, vram_gib * GIB, free);
    // Rates are measured, so hardly two are alike.
    pool.perf_tokens_per_s = Some(rate * (0.8 + random.below(4_000) as f64 / 10_000.0));
    pool.first_token_ms = Some(20.0 + random.below(80_000) as f64 / 1_000.0);
    pool.prefill_tokens_per_s = Some(rate * 100.0);
    pool.admission_latency_ms = random.below(5_000) as f64 / 1_000.0;
    pool.model_load_ms = 4_000.0 + random.below(20_000) as f64;
    let first = random.below(4) as usize;
    pool.supports =
        PoolSupports { models: Some(&MODELS[first..first + 3]), ctx_max: Some(131_072), ..PoolSupports::default() };
    let resident = [MODELS[first + random.below(3) as usize]];
    pool.resident_models = Some(&resident);
    let session_id = format!("session-{}", random.below(SESSIONS));
    let warm = [WarmSession { session_id: &session_id, cached_tokens: 500 }];
    if random.one_in(4) {
        pool.warm_sessions = &warm;
    }
    pool.ready = !random.one_in(50);
    pool.draining = random.one_in(50);
    builder.add(line, &pool.validate().expect("a pool within limits")).expect("few names");
}

/// So many jobs, no two alike.
#[must_use]
pub fn jobs(count: usize, fleet: &Fleet, policy: &Policy) -> Vec<ResolvedJob> {
    let mut random = Random::of(12, 0);
    (0..count).map(|number| job(number, fleet, policy, &mut random)).collect()
}

#[allow(clippy::cast_possible_wrap, reason = "small numbers")]
fn job(number: usize, fleet: &Fleet, policy: &Policy, random: &mut Random) -> ResolvedJob {
    let (id, session_id) = (format!("job-{number}"), format!("session-{}", random.below(SESSIONS)));
    let pool_ids: [String; 3] = std::array::from_fn(|_| format!("pool-{:07}", random.below(fleet.len() as u64)));
    let hints = pool_ids.each_ref().map(String::as_str);
    let model = *random.pick(&MODELS);
    let mut job = JobSpec::new(&id, if random.one_in(4) { "tensorrt-llm" } else { "vllm" }, model);
    job.prompt_tokens = 20 + random.below(8_000) as i64;
    job.expected_tokens = Some(10 + random.below(1_000) as i64);
    // The number makes every job's KV bytes its own.
    job.est_kv_bytes = Some((random.below(6_000) as i64) * (1 << 20) + number as i64);
    job.requirements.min_vram_bytes = if model.len() > 8 { 30 * GIB } else { 14 * GIB };
    job.session_id = random.one_in(3).then_some(&*session_id);
    job.placement = match random.below(20) {
        0 => PlacementHints { mode: Some(PlacementMode::Prefer), prefer_pools: &hints, ..PlacementHints::default() },
        1 => PlacementHints { avoid_pools: &hints, ..PlacementHints::default() },
        _ => PlacementHints::default(),
    };
    job.validate(policy, None).expect("a job within limits").resolve(fleet)
}
