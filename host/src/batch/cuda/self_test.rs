//! A small world that a device decides before it is trusted with another: full of ties, under policies that take every
//! kernel, compared with the core.
//!
//! It is no proof of the kernels, which tests and `orchestrator verify` are for; it finds a device, a driver or an image
//! that does not do here what it did there.

use orchestrator_core::{
    JobSpec, Order, PlacementHints, PlacementMode, Policy, PolicySpec, PoolSnapshot, ResolvedJob, Shortlist,
};

use super::Cuda;
use super::round::Tiling;
use crate::batch::backend::{Backend, World};
use crate::batch::scalar::Scalar;
use crate::batch::unavailable::Unavailable;
use crate::fleet::{Fleet, FleetBuilder};

/// More than a warp, and no multiple of one.
const POOLS: u32 = 45;

/// Runs the test; afterwards the backend has seen no snapshot.
pub(super) fn run(cuda: &mut Cuda) -> Result<(), Unavailable> {
    let tiling = cuda.tiling;
    for (policy, rate) in policies() {
        // Once with every list pool by pool, once with every list that can be in groups.
        for group_jobs_min in [usize::MAX, 1] {
            cuda.tiling = Tiling { group_jobs_min, part_pools_min: 16 };
            check(cuda, &policy, rate)?;
        }
    }
    cuda.tiling = tiling;
    cuda.snapshot_changed();
    Ok(())
}

/// A policy per kind of kernel, and the rate of decoding that leads to it.
fn policies() -> [(Policy, f64); 4] {
    let of = |spec: PolicySpec| spec.validate().expect("all knobs are inside their ranges");
    [
        (of(PolicySpec { spread_seed: Some(1), ..PolicySpec::default() }), 50.0),
        (of(PolicySpec::default()), 1e-3),
        (of(PolicySpec { pool_backlog: 4, ..PolicySpec::default() }), 50.0),
        (of(PolicySpec { order: Order::VramFirst, ..PolicySpec::default() }), 50.0),
    ]
}

fn check(cuda: &mut Cuda, policy: &Policy, rate: f64) -> Result<(), Unavailable> {
    let mut fleet = fleet(rate);
    fleet.prepare_for(policy);
    let jobs: Vec<_> = (0..4).map(|number| job(number, &fleet, policy)).collect();
    let queries: Vec<_> = jobs.iter().map(|job| job.query(None)).collect();
    let world = World { table: fleet.table(), policy };
    let mut found = [2, 2, 5, 2].map(Shortlist::new);
    let mut expected = found.clone();
    cuda.snapshot_changed();
    let failed = |why: String| Unavailable::SelfTestFailed { why };
    cuda.shortlists(&world, &queries, &mut found).map_err(|error| failed(error.to_string()))?;
    Scalar.shortlists(&world, &queries, &mut expected).map_err(|error| failed(error.to_string()))?;
    match found.iter().zip(&expected).position(|(found, expected)| found != expected) {
        None => Ok(()),
        Some(job) => {
            let (found, expected) = (&found[job], &expected[job]);
            Err(failed(format!("job {job} of order {}: found {found:?}, expected {expected:?}", policy.order().name())))
        }
    }
}

/// Pools in runs of equal ones.
fn fleet(rate: f64) -> Fleet {
    let mut builder = FleetBuilder::default();
    for number in 0..POOLS {
        let id = format!("pool-{number:02}");
        let free = [8, 8, 0][number as usize % 3];
        let mut pool = PoolSnapshot::new(&id, "vllm", 8, free, 1 << 36, (1 << 36) - i64::from(number / 9 % 2));
        pool.perf_tokens_per_s = Some(rate * f64::from(1 + number / 20));
        pool.first_token_ms = Some(20.0);
        let pool = pool.validate().expect("all fields are inside their ranges");
        builder.add((number + 1).into(), &pool).expect("a small fleet");
    }
    builder.finish().fleet
}

fn job(number: usize, fleet: &Fleet, policy: &Policy) -> ResolvedJob {
    let pools = ["pool-07", "pool-30"];
    let id = format!("job-{number}");
    let mut job = JobSpec::new(&id, "vllm", "some/model");
    job.prompt_tokens = 100;
    job.expected_tokens = Some(if number == 3 { 1 << 23 } else { 200 });
    job.est_kv_bytes = Some(1 << 30);
    if number == 1 {
        job.placement =
            PlacementHints { mode: Some(PlacementMode::Prefer), prefer_pools: &pools, ..PlacementHints::default() };
    }
    job.validate(policy, None).expect("all fields are inside their ranges").resolve(fleet)
}
