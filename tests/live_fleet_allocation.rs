//! The steady state of a scheduler allocates nothing: snapshots of known pools, decisions, commits, releases.

use orchestrator_core::{DeviceSnapshot, JobSpec, Policy, PolicySpec, PoolRegistry, PoolSnapshot, WarmSession};
use orchestrator_host::fleet::LiveFleet;

#[allow(dead_code, reason = "counts of all threads are asked of other tests")]
#[path = "support/counting_allocator.rs"]
mod counting_allocator;

const POOLS: usize = 64;
const MODELS: [&str; 4] = ["m", "n", "o", "p"];

/// Round after round the same shapes: other numbers, the same sessions and models in another order, a class or another.
fn update(fleet: &mut LiveFleet, ids: &[String], sessions: &[String], round: usize) {
    let pool = round % POOLS;
    let turn = (round / POOLS) % 4;
    let device = |free| DeviceSnapshot { vram_total_bytes: 40 << 30, vram_free_bytes: free, compute_capability: None };
    let devices = [device(39 << 30), device((30 + turn as i64) << 30)];
    let mut warm = [WarmSession { session_id: "", cached_tokens: 0 }; 16];
    for (place, entry) in warm.iter_mut().enumerate() {
        *entry = WarmSession { session_id: &sessions[(pool + place * 5 + turn) % 256], cached_tokens: place as i64 };
    }
    let resident = [MODELS[turn], MODELS[(turn + 1) % 4]];
    let mut snapshot = PoolSnapshot::new(&ids[pool], "vLLM", 8, 8 - (turn as i64), 0, 0);
    snapshot.supports.quantizations = &["FP8", "q4_k_m"];
    snapshot.supports.extensions = &["tools"];
    snapshot.supports.model_digests = &["d1", "d2"];
    // Its class is that of others in one turn and its own in another.
    snapshot.supports.ctx_max = Some(if turn == 3 { 8192 + pool as i64 } else { 8192 });
    snapshot.resident_models = Some(&resident);
    snapshot.devices = &devices;
    snapshot.labels = &[("zone", "eu"), ("tier", "gold")];
    snapshot.warm_sessions = &warm;
    (snapshot.perf_tokens_per_s, snapshot.first_token_ms) = (Some(40.0 + turn as f64), Some(20.0));
    fleet.upsert(&snapshot).expect("a valid pool");
}

/// Decides, commits and releases; says whether a pool was free.
fn place(fleet: &mut LiveFleet, policy: &Policy, round: usize) -> bool {
    // Now and then a model that only jobs know.
    let model = if round.is_multiple_of(7) { "only-jobs" } else { MODELS[round % 4] };
    let mut spec = JobSpec::new("job", "VLLM", model);
    spec.est_kv_bytes = Some(1 << 20);
    spec.requirements.quantization = Some("fp8");
    spec.session_id = Some("session-7");
    let job = spec.validate(policy, None).expect("a valid job");
    let decision = fleet.decide(&job, policy, None);
    let Some(assignment) = decision.assignment() else { return false };
    let pool = fleet.at_rank(assignment.rank).expect("an assignment is to a pool");
    let lease = fleet.commit(&job, assignment.rank).expect("a decision can be committed");
    if fleet.retake(pool, &lease) {
        fleet.release(pool, lease.clone());
    }
    fleet.release(pool, lease)
}

#[test]
fn the_steady_state_allocates_nothing() {
    let ids: Vec<String> = (0..POOLS).map(|pool| format!("pool-{pool:02}")).collect();
    let sessions: Vec<String> = (0..256).map(|session| format!("session-{session}")).collect();
    let policy = PolicySpec { spread_seed: Some(7), ..PolicySpec::default() }.validate().expect("a valid policy");
    let mut fleet = LiveFleet::with_capacity(POOLS as u32);
    fleet.prepare_for(&policy);
    let allocations = counting_allocator::of_thread;

    for round in 0..8 * POOLS {
        update(&mut fleet, &ids, &sessions, round);
        place(&mut fleet, &policy, round);
    }
    let warm = allocations();
    assert!(warm > 0, "the counter counts");

    let mut placed = 0;
    for round in 0..10_000 {
        update(&mut fleet, &ids, &sessions, round);
        placed += u32::from(place(&mut fleet, &policy, round));
    }
    assert_eq!(allocations() - warm, 0);
    assert_eq!((placed, fleet.len()), (10_000, 64));
}
