//! Small worlds that a device decides before it is trusted with others: full of ties, in the ways that take every kernel,
//! compared with the core.
//!
//! It is no proof of the kernels, which tests and `orchestrator verify` are for; it finds a device, a driver or an image
//! that does not do here what it did there.

use orchestrator_core::{
    JobSpec, Order, PlacementHints, PlacementMode, Policy, PolicySpec, PoolSnapshot, ResolvedJob, Shortlist,
};

use super::Cuda;
use super::round::Tiling;
use crate::batch::backend::{Backend, BackendError, DeviceFault, World};
use crate::batch::scalar::Scalar;
use crate::batch::unavailable::Unavailable;
use crate::fleet::{Fleet, FleetBuilder};

/// Pools where lists are made pool by pool: two parts, the second with less than a warp.
const POOLS: u32 = 260;
/// Pools where lists are made in groups of jobs.
const GROUP_POOLS: u32 = 45;

/// Runs the test; afterwards the backend has seen no snapshot.
pub(super) fn run(cuda: &mut Cuda) -> Result<(), Unavailable> {
    let tiling = cuda.tiling;
    for (policy, speed) in policies() {
        // Once with every list pool by pool, once with every list that can be in groups.
        for (group_jobs_min, pools) in [(usize::MAX, POOLS), (1, GROUP_POOLS)] {
            cuda.tiling = Tiling { group_jobs_min, part_pools_min: 16 };
            check_changing(cuda, &policy, fleet(pools, speed))?;
        }
    }
    cuda.tiling = tiling;
    cuda.snapshot_changed();
    Ok(())
}

/// How fast the pools are.
#[derive(Debug, Clone, Copy)]
struct Speed {
    tokens_per_s: f64,
    first_token_ms: f64,
}

const FAST: Speed = Speed { tokens_per_s: 50.0, first_token_ms: 20.0 };
/// A job of 2^24 tokens ends later than any time that there is.
const SLOW: Speed = Speed { tokens_per_s: 0.25, first_token_ms: 5e9 };

/// A policy per kind of kernel, and the speed that leads to it.
fn policies() -> [(Policy, Speed); 4] {
    let of = |spec: PolicySpec| spec.validate().expect("all knobs are inside their ranges");
    [
        (of(PolicySpec { spread_seed: Some(1), ..PolicySpec::default() }), FAST),
        (of(PolicySpec::default()), SLOW),
        (of(PolicySpec { pool_backlog: 4, ..PolicySpec::default() }), FAST),
        (of(PolicySpec { order: Order::VramFirst, ..PolicySpec::default() }), FAST),
    ]
}

/// On fresh pools, and after some of them have changed.
fn check_changing(cuda: &mut Cuda, policy: &Policy, mut fleet: Fleet) -> Result<(), Unavailable> {
    fleet.prepare_for(policy);
    let jobs: Vec<_> = (0..4).map(|number| job(number, &fleet, policy)).collect();
    cuda.snapshot_changed();
    check(cuda, policy, &fleet, &jobs)?;
    for rank in [0, 31, 40] {
        if fleet.commit(jobs[0].row(), rank).is_ok() {
            cuda.pool_changed(rank);
        }
    }
    check(cuda, policy, &fleet, &jobs)
}

fn check(cuda: &mut Cuda, policy: &Policy, fleet: &Fleet, jobs: &[ResolvedJob]) -> Result<(), Unavailable> {
    let queries: Vec<_> = jobs.iter().map(|job| job.query(None)).collect();
    let world = World { table: fleet.table(), policy };
    let mut found = [2, 2, 5, 2].map(Shortlist::new);
    let mut expected = found.clone();
    cuda.shortlists(&world, &queries, &mut found).map_err(unanswered)?;
    Scalar.shortlists(&world, &queries, &mut expected).map_err(unanswered)?;
    match found.iter().zip(&expected).position(|(found, expected)| found != expected) {
        None => Ok(()),
        Some(job) => {
            let (found, expected) = (&found[job], &expected[job]);
            let order = policy.order().name();
            Err(Unavailable::SelfTestFailed {
                why: format!("job {job} of order {order}: found {found:?}, expected {expected:?}"),
            })
        }
    }
}

fn unanswered(error: BackendError) -> Unavailable {
    match error {
        BackendError::Device { fault: DeviceFault::OutOfMemory, doing, status, .. } => {
            Unavailable::OutOfMemory { doing, status }
        }
        error => Unavailable::SelfTestFailed { why: error.to_string() },
    }
}

/// Pools in runs of equal ones.
fn fleet(pools: u32, speed: Speed) -> Fleet {
    let mut builder = FleetBuilder::default();
    for number in 0..pools {
        let id = format!("pool-{number:03}");
        let free = [8, 8, 0][number as usize % 3];
        let mut pool = PoolSnapshot::new(&id, "vllm", 8, free, 1 << 36, (1 << 36) - i64::from(number / 9 % 2));
        pool.perf_tokens_per_s = Some(speed.tokens_per_s * f64::from(1 + number / 20));
        pool.first_token_ms = Some(speed.first_token_ms);
        let pool = pool.validate().expect("all fields are inside their ranges");
        builder.add((number + 1).into(), &pool).expect("a small fleet");
    }
    builder.finish().fleet
}

fn job(number: usize, fleet: &Fleet, policy: &Policy) -> ResolvedJob {
    let pools = ["pool-007", "pool-030"];
    let id = format!("job-{number}");
    let mut job = JobSpec::new(&id, "vllm", "some/model");
    job.prompt_tokens = 100;
    job.expected_tokens = Some(if number == 3 { (1 << 24) - 1 } else { 200 });
    job.est_kv_bytes = Some(1 << 30);
    if number == 1 {
        job.placement =
            PlacementHints { mode: Some(PlacementMode::Prefer), prefer_pools: &pools, ..PlacementHints::default() };
    }
    job.validate(policy, None).expect("all fields are inside their ranges").resolve(fleet)
}
