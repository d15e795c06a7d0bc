//! The rules of `docs/spec.md`, one by one, as tables: every expectation is worked out by hand from the specification.
//!
//! A row or a doc comment names the rule that it proves. The arithmetic behind a number stands beside it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::cast_lossless,
    clippy::float_arithmetic,
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "a test may fail, and tables of rules are long"
)]

mod commit;
mod feasibility;
mod jobs;
mod key;
mod policy_explain;
mod pools;
mod registry;
mod score;
mod small_fleet;
mod units;
mod wait;

use orchestrator_core::rows::SessionEntry;
use orchestrator_core::{
    Assignment, DeviceSnapshot, FieldError, JobSpec, PlacementDecision, Policy, PolicySpec, PoolSnapshot, Problem,
    Rejection, SmallFleet, WarmSession,
};

/// 2^48 - 1.
pub(crate) const BYTES: i64 = 281_474_976_710_655;
/// 2^24 - 1.
pub(crate) const TOKENS: i64 = 16_777_215;
/// 2^46 - 1.
pub(crate) const TIME_MAX: u64 = 70_368_744_177_663;

pub(crate) type Fleet = SmallFleet<6, 16, 96>;

/// A slice that lives as long as the test run.
pub(crate) fn leak<T>(items: impl IntoIterator<Item = T>) -> &'static [T] {
    Box::leak(items.into_iter().collect::<Vec<T>>().into_boxed_slice())
}

/// A pool that takes every job of [`job`]: 4 slots, 1,000 bytes of VRAM, no rates.
pub(crate) fn pool(id: &'static str) -> PoolSnapshot<'static> {
    PoolSnapshot::new(id, "vllm", 4, 4, 1000, 1000)
}

/// A job that asks for nothing.
pub(crate) fn job() -> JobSpec<'static> {
    JobSpec::new("j1", "vllm", "m")
}

pub(crate) fn device(total: i64, free: i64) -> DeviceSnapshot<'static> {
    DeviceSnapshot { vram_total_bytes: total, vram_free_bytes: free, compute_capability: None }
}

pub(crate) fn warm(session_id: &'static str, cached_tokens: i64) -> WarmSession<'static> {
    WarmSession { session_id, cached_tokens }
}

/// The default policy with every predicted end exact to the microsecond, and no output tokens unless asked for.
pub(crate) fn exact() -> PolicySpec {
    PolicySpec { quantum_shift: 0, default_output_tokens: 0, ..PolicySpec::default() }
}

pub(crate) fn fleet(pools: &[PoolSnapshot<'_>]) -> Fleet {
    let mut fleet = Fleet::new();
    for pool in pools {
        fleet.upsert(pool).unwrap();
    }
    fleet
}

pub(crate) fn decide_in(
    fleet: &Fleet,
    job: &JobSpec<'_>,
    policy: &Policy,
    session: Option<SessionEntry>,
) -> PlacementDecision {
    fleet.decide_with(&job.validate(policy, None).unwrap(), policy, session)
}

pub(crate) fn decide(pools: &[PoolSnapshot<'_>], job: &JobSpec<'_>) -> PlacementDecision {
    decide_in(&fleet(pools), job, &Policy::default(), None)
}

/// Why no pool takes the job; `None` when one does.
pub(crate) fn failure(pools: &[PoolSnapshot<'_>], job: &JobSpec<'_>) -> Option<Rejection> {
    match decide(pools, job) {
        PlacementDecision::Assigned(_) => None,
        PlacementDecision::NoCapacity { headline, .. } => Some(headline.expect("there are pools")),
    }
}

pub(crate) fn assigned(
    pools: &[PoolSnapshot<'_>],
    job: &JobSpec<'_>,
    policy: &PolicySpec,
    session: Option<SessionEntry>,
) -> Assignment {
    let policy = policy.validate().unwrap();
    *decide_in(&fleet(pools), job, &policy, session).assignment().expect("a pool takes it")
}

/// The id of the pool that takes the job.
pub(crate) fn winner<'a>(pools: &[PoolSnapshot<'a>], job: &JobSpec<'_>, policy: &PolicySpec) -> &'a str {
    let rank = assigned(pools, job, policy, None).rank;
    let owner = fleet(pools);
    let (id, replica) = owner.pool_id(rank).unwrap();
    pools.iter().find(|pool| (pool.id, pool.replica_id) == (id, replica)).unwrap().id
}

/// A refusal of `field` because of `problem`.
pub(crate) fn refused<T>(field: &'static str, problem: Problem) -> Result<T, FieldError> {
    Err(FieldError::new(field, problem))
}

/// The bad values that every float field refuses, and why. UNIT-1, UNIT-2.
pub(crate) const BAD_FLOATS: [(f64, Problem); 6] = [
    (f64::NAN, Problem::NotFinite),
    (f64::INFINITY, Problem::NotFinite),
    (f64::NEG_INFINITY, Problem::NotFinite),
    (-1.0, Problem::Negative),
    (-f64::MIN_POSITIVE, Problem::Negative),
    (f64::MIN, Problem::Negative),
];
