//! Fleets and jobs as the core takes them: what kernels find is the core's own shortlist.

use orchestrator_core::hash::spread_pool_hash;
use orchestrator_core::rows::PoolTable;
use orchestrator_core::{
    ClassScorer, JobSpec, Order, PlacementInput, Policy, PolicySpec, PoolSnapshot, ResolvedJob, Shortlist, SmallFleet,
    WeightsSpec, pool_lane, shortlist,
};
use orchestrator_kernels::launch::{Ends, JOBS_PER_BLOCK};
use orchestrator_kernels::records::{Found, Segment};

use crate::device::Device;
use crate::native::Native;
use crate::random::Random;
use crate::world::{FROM_ALL, Job, World};

const POOLS: usize = 48;
type Fleet = SmallFleet<POOLS, 4, 64>;

const GIB: i64 = 1 << 30;

fn pick<T: Copy>(random: &mut Random, values: &[T]) -> T {
    random.pick(values)
}

fn random_fleet(random: &mut Random) -> Fleet {
    let mut fleet = Fleet::new();
    for number in 0..random.below(POOLS as u64 + 1) {
        let id = format!("pool-{number:02}");
        let engine = pick(random, &["vllm", "vllm", "vllm", "llamacpp"]);
        let free = GIB * pick(random, &[0, 10, 40, 40, 79, 80]) + pick(random, &[0, 0, 1]);
        let mut pool = PoolSnapshot::new(&id, engine, 8, pick(random, &[0, 1, 4, 4, 8]), 80 * GIB, free);
        pool.perf_tokens_per_s = pick(random, &[None, Some(40.0), Some(40.0), Some(55.5), Some(0.001)]);
        pool.first_token_ms = pick(random, &[None, Some(120.0), Some(120.0), Some(120.5), Some(1e9)]);
        pool.prefill_tokens_per_s = pick(random, &[None, None, Some(3000.0)]);
        pool.admission_latency_ms = pick(random, &[0.0, 0.0, 3.0]);
        pool.model_load_ms = pick(random, &[0.0, 20_000.0, 6e10]);
        pool.queue_depth = pick(random, &[0, 0, 3, 40]);
        pool.resident_models = pick(random, &[None, Some(&["m"][..]), Some(&["n"][..])]);
        pool.draining = random.one_in(10);
        fleet.upsert(&pool).expect("the fleet has room");
    }
    fleet
}

fn random_job<'a>(random: &mut Random, id: &'a str) -> JobSpec<'a> {
    let mut job = JobSpec::new(id, "vllm", pick(random, &["m", "n", "o"]));
    job.prompt_tokens = pick(random, &[0, 100, 3000, (1 << 24) - 1]);
    job.expected_tokens = pick(random, &[None, Some(1), Some(700), Some((1 << 24) - 1)]);
    job.est_kv_bytes = pick(random, &[None, Some(GIB), Some(24 * GIB), Some(40 * GIB)]);
    job.requirements.min_vram_bytes = pick(random, &[0, 16 * GIB, 39 * GIB]);
    job
}

fn random_policy(random: &mut Random) -> Policy {
    let weights = WeightsSpec { decode: pick(random, &[1.0, 0.5, 16.0]), ..WeightsSpec::default() };
    let spec = PolicySpec {
        order: pick(random, &[Order::PredictedEnd, Order::PredictedEnd, Order::PredictedEnd, Order::VramFirst]),
        quantum_shift: pick(random, &[0, 10, 22]),
        spread_seed: pick(random, &[None, Some(7)]),
        pool_backlog: pick(random, &[0, 0, 2, 60]),
        weights,
        ..PolicySpec::default()
    };
    spec.validate().expect("a valid policy")
}

/// The world of some jobs, each with a view of its own.
fn world_of(table: &PoolTable<'_>, jobs: &[ResolvedJob], policy: &Policy) -> World {
    let pools = u32::try_from(table.len()).expect("few pools");
    let views = jobs.iter().map(|job| {
        let input = PlacementInput::new(*table, job.query(None), policy).expect("the table fits the policy");
        let class = ClassScorer::new(&input);
        (0..pools).map(|rank| class.lane(rank)).collect()
    });
    let segments = vec![Segment { start: 0, end: pools, preferred: 0 }];
    let jobs = (0..).zip(jobs).map(|(view, job)| Job {
        kv_bytes: job.row().est_kv_bytes,
        spread_hash: job.row().spread_hash,
        prompt_tokens: job.row().prompt_tokens,
        output_tokens: job.row().output_tokens,
        view,
        from: FROM_ALL,
        segments: segments.clone(),
    });
    World {
        gap: 3,
        ends: if policy.order() == Order::VramFirst { Ends::Static } else { Ends::Waiting },
        quantum_shift: policy.quantum_shift().into(),
        spreads: policy.spread_seed().is_some(),
        pools: table.rows.iter().map(|row| pool_lane(row, policy)).collect(),
        spread_hashes: (0..table.len()).map(|rank| table.spread_hashes.get(rank).copied().unwrap_or(0)).collect(),
        views: views.collect(),
        jobs: jobs.collect(),
    }
}

fn assert_is(found: &Found, list: &Shortlist, what: &str) {
    assert_eq!(&found.keys[..found.keys_len as usize], list.keys(), "{what}");
    assert_eq!(found.feasible, list.feasible(), "{what}");
}

/// A fleet where nobody waits is also scanned with the arithmetic that knows no waits.
pub(crate) fn check_fleet(device: &mut dyn Device, random: &mut Random) {
    let (fleet, policy) = (random_fleet(random), random_policy(random));
    let hashes: Vec<_> = match policy.spread_seed() {
        Some(seed) => (0..)
            .map_while(|rank| fleet.pool_id(rank))
            .map(|(id, replica)| spread_pool_hash(seed, id, replica))
            .collect(),
        None => Vec::new(),
    };
    let table = PoolTable { spread_hashes: &hashes, ..fleet.table() };
    let ids: Vec<_> = (0..6).map(|number| format!("job-{number}")).collect();
    let specs = ids.iter().map(|id| random_job(random, id));
    let jobs: Vec<_> = specs.map(|spec| spec.validate(&policy, None).expect("a valid job").resolve(&fleet)).collect();
    let mut world = world_of(&table, &jobs, &policy);

    let mut all_ends = vec![world.ends];
    if world.ends == Ends::Waiting && world.pools.iter().all(|pool| pool.waves == 0) {
        all_ends.push(Ends::Saturating);
    }
    for ends in all_ends {
        world.ends = ends;
        let by_pools = device.scan(ends.scan_pools(), 6, &world.tables(1));
        let (tables, places) = world.tables_by_view(1);
        let blocks = u32::try_from(tables.jobs.len()).expect("few jobs") / JOBS_PER_BLOCK;
        let by_jobs = device.scan(ends.scan_jobs(), blocks, &tables);
        for ((job, found), &place) in jobs.iter().zip(&by_pools).zip(&places) {
            let input = PlacementInput::new(table, job.query(None), &policy).expect("the table fits the policy");
            let list = shortlist(&input, 2);
            assert_is(found, &list, ends.scan_pools());
            assert_is(&by_jobs[place], &list, ends.scan_jobs());
        }
    }
}

#[test]
fn fleets_as_the_core_decides_them() {
    let (mut device, mut random) = (Native::new(1), Random::new(50));
    for _ in 0..400 {
        check_fleet(&mut device, &mut random);
    }
}
