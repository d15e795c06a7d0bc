//! Batches that are warm allocate nothing per decision: one test alone in its process, which counts.
//!
//! `cargo test --test batch_allocation -- --nocapture` prints the counts.

use orchestrator_core::{JobSpec, PlacementHints, Policy, PoolSnapshot, PoolSupports, WarmSession};
use orchestrator_host::batch::{Backend, CrossCheck, Guarded, Scalar, Simd};
use orchestrator_host::fleet::{Fleet, FleetBuilder};
use orchestrator_host::place::{BatchPlacer, Mode, Placed, Wanted};

#[allow(dead_code, reason = "a thread of its own is asked of other tests")]
#[path = "support/counting_allocator.rs"]
mod counting_allocator;

/// More than a block of 64, so that lists cannot hold all of them.
const POOLS: usize = 500;
const JOBS: usize = 120;
const MODELS: [&str; 3] = ["llama-8b", "llama-70b", "qwen-72b"];
const SESSIONS: [&str; 8] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];
/// A backend remembers up to 2^14 changed pools before it starts anew.
const WARM_UP_CHUNKS: usize = 160;
const CHUNKS: usize = 100;
const GIB: i64 = 1 << 30;

/// Pools that stay free however many jobs come.
fn fleet() -> Fleet {
    let mut builder = FleetBuilder::default();
    for (line, number) in (1..).zip(0..POOLS) {
        let id = format!("pool-{number:04}");
        let mut pool = PoolSnapshot::new(&id, "vllm", 32_000, 32_000 - (number % 50) as i64, 80 * GIB, 60 * GIB);
        pool.perf_tokens_per_s = Some(40.0 + (number % 97) as f64);
        pool.first_token_ms = Some(20.0 + (number % 31) as f64);
        pool.supports = PoolSupports { models: Some(&MODELS[number % 3..]), ..PoolSupports::default() };
        let warm = [WarmSession { session_id: SESSIONS[number % SESSIONS.len()], cached_tokens: 900 }];
        pool.warm_sessions = &warm;
        builder.add(line, &pool.validate().expect("a pool within limits")).expect("few names");
    }
    builder.finish().fleet
}

/// Sessions, hints, a model that nobody serves, a context that is too long: what an ordinary chunk holds.
fn add_chunk(placer: &mut BatchPlacer) {
    for number in 0..JOBS {
        let model = if number % 40 == 7 { "served-nowhere" } else { MODELS[number % 3] };
        let mut job = JobSpec::new("job", "vllm", model);
        job.prompt_tokens = 100 + number as i64;
        job.expected_tokens = Some(50 + (number % 11) as i64);
        job.session_id = (number % 4 == 0).then(|| SESSIONS[number % SESSIONS.len()]);
        if number % 10 == 3 {
            job.placement = PlacementHints { avoid_pools: &["pool-0096", "pool-0193"], ..PlacementHints::default() };
        }
        placer.add(&job, None).expect("a job within limits");
    }
}

/// Allocations of the process in `CHUNKS` chunks after the first few.
fn allocations(mode: Mode, backend: impl Backend + 'static, cross_check: CrossCheck) -> u64 {
    let backend = Guarded::new(Box::new(backend), cross_check);
    let mut placer = BatchPlacer::new(fleet(), Policy::default(), mode, backend);
    let (mut placed, mut before, mut assigned) = (Vec::<Placed>::new(), 0, 0);
    for chunk in 0..WARM_UP_CHUNKS + CHUNKS {
        if chunk == WARM_UP_CHUNKS {
            before = counting_allocator::of_process();
        }
        add_chunk(&mut placer);
        placer.place(Wanted::default(), &mut placed);
        assigned += placed.iter().filter(|placed| placed.decision.assignment().is_some()).count();
    }
    let allocations = counting_allocator::of_process() - before;
    assert_eq!(assigned, (WARM_UP_CHUNKS + CHUNKS) * (JOBS - 3), "all but the jobs that nobody serves");
    println!("{mode:?}: {allocations} allocations for {} decisions", CHUNKS * JOBS);
    allocations
}

#[test]
fn decisions_allocate_nothing_once_buffers_have_grown() {
    let simd = |threads| Simd::new(threads).expect("threads for a test");
    assert_eq!(allocations(Mode::Sequential, Scalar, CrossCheck::Off), 0);
    assert_eq!(allocations(Mode::Sequential, simd(1), CrossCheck::Off), 0);
    assert_eq!(allocations(Mode::Sequential, simd(1), CrossCheck::Full), 0);
    // What borrows a chunk lives no longer than it.
    assert_eq!(allocations(Mode::Independent, simd(1), CrossCheck::Off), CHUNKS as u64);
    // Threads are woken through a queue that grows now and then.
    assert!(allocations(Mode::Independent, simd(2), CrossCheck::Off) <= 3 * CHUNKS as u64);
}
