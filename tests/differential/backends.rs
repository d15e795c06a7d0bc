//! Every backend against the oracle: the same worlds, small and exhaustive, and fleets of many random pools put together.

use orchestrator_core::rows::SessionEntry;
use orchestrator_core::{Policy, ResolvedJob, Shortlist};
use orchestrator_host::batch::{Backend, Level, Scalar, Simd, World as BatchWorld};
use orchestrator_host::fleet::Fleet;

use crate::engine;
use crate::reference::{RefJob, RefPool};
use crate::strategies::random_world;
use crate::worlds::{self, World};

/// The depths of the two modes, and a list of one.
const DEPTHS: [u8; 3] = [1, 2, 16];

/// Every backend of this machine but the oracle.
pub(crate) fn backends() -> Vec<Box<dyn Backend>> {
    let levels = Level::available();
    let one_thread = levels.iter().map(|&level| Simd::with_level(level, 1));
    let all = one_thread.chain([Simd::new(3)]);
    all.map(|simd| Box::new(simd.expect("threads for a test")) as Box<dyn Backend>).collect()
}

fn resolve(fleet: &Fleet, policy: &Policy, jobs: &[RefJob]) -> Vec<ResolvedJob> {
    let resolve = |job| engine::with_job(job, |spec| spec.validate(policy, None).expect("a valid job").resolve(fleet));
    jobs.iter().map(resolve).collect()
}

fn lists_of(backend: &mut dyn Backend, world: &BatchWorld<'_>, jobs: &[ResolvedJob], depth: u8) -> Vec<Shortlist> {
    // Every third job's session was placed before, on a pool that may have published it too.
    let entry = |number: usize| SessionEntry { pool: number as u32 % 7, cached_tokens: 10 * (number as u32 % 4) };
    let session = |number: usize| (number % 3 == 1).then(|| entry(number));
    let queries: Vec<_> = jobs.iter().enumerate().map(|(number, job)| job.query(session(number))).collect();
    let mut lists = vec![Shortlist::new(depth); jobs.len()];
    backend.shortlists(world, &queries, &mut lists).expect("a backend of this machine");
    lists
}

/// Pairs compared.
fn compare(backends: &mut [Box<dyn Backend>], fleet: &Fleet, policy: &Policy, jobs: &[RefJob], label: &str) -> u64 {
    let world = BatchWorld { table: fleet.table(), policy };
    let resolved = resolve(fleet, policy, jobs);
    for depth in DEPTHS {
        let expected = lists_of(&mut Scalar, &world, &resolved, depth);
        for backend in &mut *backends {
            let found = lists_of(&mut **backend, &world, &resolved, depth);
            for ((found, expected), job) in found.iter().zip(&expected).zip(jobs) {
                assert_eq!(found, expected, "{} at depth {depth}: {label}\n{job:#?}", backend.description());
            }
        }
    }
    (fleet.len() * jobs.len() * DEPTHS.len() * backends.len()) as u64
}

fn changed(backends: &mut [Box<dyn Backend>]) {
    backends.iter_mut().for_each(|backend| backend.snapshot_changed());
}

/// Of the small worlds, which are visited in the order of their fields, every so many-th: a prime, so that it meets all
/// values of all fields. `ORCHESTRATOR_EVERY_WORLD=1` asks for all of them.
const EVERY: u64 = 37;

#[test]
fn small_worlds() {
    let every = if std::env::var_os("ORCHESTRATOR_EVERY_WORLD").is_some_and(|value| value == "1") { 1 } else { EVERY };
    for default_set in 0..worlds::DEFAULT_SETS {
        let (mut backends, mut visited) = (backends(), 0u64);
        // Threads have nothing to share in a world of two pools.
        backends.pop();
        let mut fleet = engine::fleet(&[]);
        worlds::for_each_world(default_set, worlds::CAP, &mut |world: &World, pools_changed| {
            if pools_changed {
                fleet = engine::fleet(&world.pools);
            }
            visited += 1;
            if !visited.is_multiple_of(every) {
                return;
            }
            let policy = engine::policy(&world.policy);
            fleet.prepare_for(&policy);
            changed(&mut backends);
            compare(&mut backends, &fleet, &policy, &world.jobs, &world.label.to_string());
        });
        let compared = visited / every;
        crate::say(&format!("default set {default_set}: {compared} worlds through {} backends", backends.len()));
    }
}

/// The pools of many random worlds as one fleet: sizes at the edges of lanes, blocks and tiles, and between.
#[test]
fn large_random_fleets() {
    const SIZES: [usize; 22] =
        [0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 500, 1_000, 1_023, 1_024, 1_025, 1_500, 2_049];
    let (mut backends, mut pairs) = (backends(), 0);
    for (seed, size) in (0u64..).zip(SIZES.into_iter().cycle()).take(SIZES.len() * 6) {
        let mut random_worlds = (seed * 100_000..).map(random_world);
        let mut pools: Vec<RefPool> = Vec::new();
        while pools.len() < size {
            pools.extend(random_worlds.next().expect("there is no end of them").pools);
        }
        pools.truncate(size);
        for (number, pool) in pools.iter_mut().enumerate() {
            // Some ids stay alike: replicas of one pool are one hint.
            pool.id = format!("{}-{}", pool.id, number / 3);
            pool.replica_id = format!("{number}");
        }
        let ids: Vec<String> = pools.iter().map(|pool| pool.id.clone()).collect();
        let mut jobs: Vec<RefJob> = random_worlds.by_ref().take(12).flat_map(|world| world.jobs).collect();
        for (number, job) in jobs.iter_mut().enumerate() {
            let name = |salt: usize| {
                ids.get((number * 31 + salt * 17) % ids.len().max(1)).cloned().unwrap_or_else(|| "none".into())
            };
            for (salt, id) in job.prefer_pools.iter_mut().chain(&mut job.avoid_pools).enumerate() {
                *id = name(salt);
            }
            if let Some(id) = &mut job.pin_pool_id {
                *id = name(5);
            }
        }
        let policy = engine::policy(&random_worlds.next().expect("as above").policy);
        let mut fleet = engine::fleet(&pools);
        fleet.prepare_for(&policy);
        changed(&mut backends);
        pairs += compare(&mut backends, &fleet, &policy, &jobs, &format!("seed {seed}, {size} pools"));
        pairs += commit_and_compare(&mut backends, &mut fleet, &policy, &jobs, seed);
    }
    crate::say(&format!("{pairs} pairs of large fleets through {} backends", backends.len()));
}

/// A changed pool shows in every backend that is told of it.
fn commit_and_compare(
    backends: &mut [Box<dyn Backend>],
    fleet: &mut Fleet,
    policy: &Policy,
    jobs: &[RefJob],
    seed: u64,
) -> u64 {
    let mut pairs = 0;
    for round in 0..3 {
        let resolved = resolve(fleet, policy, jobs);
        let lists = lists_of(&mut Scalar, &BatchWorld { table: fleet.table(), policy }, &resolved, 1);
        for (job, list) in resolved.iter().zip(&lists).skip(round).step_by(3) {
            let Some(rank) = list.best().map(|key| key.rank()) else { continue };
            if fleet.commit(job.row(), rank).is_ok() {
                backends.iter_mut().for_each(|backend| backend.pool_changed(rank));
            }
        }
        pairs += compare(backends, fleet, policy, jobs, &format!("seed {seed}, commits {round}"));
    }
    pairs
}
