//! The engine against a naive reference that was written from `docs/spec.md` alone.
//!
//! [`reference`] compares key parts one by one and recomputes everything; the engine packs, interns and scans. Both
//! get the same worlds: exhaustive small ones ([`worlds`]) and random ones rich in ties ([`strategies`]). Every field
//! of every outcome must agree, and so must the hashes.

mod backends;
mod engine;
mod reference;
mod strategies;
mod worlds;
mod xxh64;

use orchestrator_host::fleet::Fleet;
use proptest::prelude::*;

use crate::engine::Engine;
use crate::worlds::World;

/// Random worlds of an ordinary run; `ORCHESTRATOR_RANDOM_WORLDS` asks for more.
const RANDOM_WORLDS: u64 = 5_000;

/// Set to 1, enumerates every set of four fields in full instead of [`worlds::CAP`] worlds of each.
const ALL_WORLDS: &str = "ORCHESTRATOR_ALL_WORLDS";
/// Small worlds between two lines of progress, more than an ordinary run has.
const PROGRESS: u64 = 2_500_000;

fn assert_agreement(world: &World) {
    assert_agreement_on(&engine::fleet(&world.pools), world);
}

/// Of the engine over `fleet`, made from the world's pools, and the reference, which makes everything anew.
fn assert_agreement_on(fleet: &Fleet, world: &World) {
    for sequential in [true, false] {
        let expected = reference::place(&world.pools, &world.jobs, &world.policy, sequential);
        let actual = Engine::new(fleet.clone(), &world.policy, sequential).place_all(&world.jobs);
        assert_eq!(actual, expected, "{} sequential={sequential}\n{world:#?}", world.label);
    }
}

fn assert_hashes_agree(world: &World) {
    let engine = Engine::new(engine::fleet(&world.pools), &world.policy, false);
    assert_eq!(engine.snapshot_hash(), reference::snapshot_hash(&world.pools), "HASH-1, HASH-2: {}", world.label);
    assert_eq!(engine.policy_hash(), reference::policy_hash(&world.policy), "HASH-3: {}", world.label);
}

/// A count that shows in every run: the test harness keeps what `println!` says of a test that passes.
fn say(line: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "differential: {line}").expect("standard error is open");
}

fn compare_all_small_worlds(default_set: usize) {
    let cap = if std::env::var_os(ALL_WORLDS).is_some_and(|value| value == "1") { usize::MAX } else { worlds::CAP };
    let count = worlds::count(default_set, cap);
    let mut visited = 0u64;
    let mut fleet = engine::fleet(&[]);
    worlds::for_each_world(default_set, cap, &mut |world, pools_changed| {
        if pools_changed {
            fleet = engine::fleet(&world.pools);
        }
        assert_agreement_on(&fleet, world);
        visited += 1;
        if visited.is_multiple_of(PROGRESS) {
            say(&format!("default set {default_set}: {visited} of {} worlds so far", count.worlds));
        }
    });
    say(&format!(
        "default set {default_set}: {visited} worlds from {} subsets of four fields, {} of them exhaustive, \
         {} pairwise exhaustive",
        count.subsets, count.exhaustive, count.pairwise
    ));
    assert_eq!(visited, count.worlds as u64);
}

/// MODE-1, MODE-2, DET-1.
#[test]
fn exhaustive_small_worlds_with_the_first_defaults() {
    compare_all_small_worlds(0);
}

/// MODE-1, MODE-2, DET-1.
#[test]
fn exhaustive_small_worlds_with_the_second_defaults() {
    const { assert!(worlds::DEFAULT_SETS == 2, "every default set has a test of its own") };
    compare_all_small_worlds(1);
}

#[test]
fn random_worlds_rich_in_ties() {
    let wanted = std::env::var("ORCHESTRATOR_RANDOM_WORLDS").ok().and_then(|text| text.parse().ok());
    let worlds = wanted.unwrap_or(RANDOM_WORLDS);
    for seed in 0..worlds {
        let world = strategies::random_world(seed);
        assert_agreement(&world);
        assert_hashes_agree(&world);
    }
    say(&format!("{worlds} random worlds, both modes"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Shrinks, unlike the seeds above.
    #[test]
    fn drawn_worlds_rich_in_ties(world in strategies::world()) {
        assert_agreement(&world);
        assert_hashes_agree(&world);
    }

    /// Any fleet, any jobs, any policy: drawn apart.
    #[test]
    fn drawn_parts(pools in strategies::fleet(), jobs in strategies::jobs(), policy in strategies::policy()) {
        assert_agreement(&World { pools, jobs, policy, label: worlds::Label::Drawn });
    }
}
