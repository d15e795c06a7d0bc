//! The engine against a naive reference that was written from `docs/spec.md` alone.
//!
//! [`reference`] compares key parts one by one and recomputes everything; the engine packs, interns and scans. Both
//! get the same worlds: exhaustive small ones ([`worlds`]) and random ones rich in ties ([`strategies`]). Every field
//! of every outcome must agree, and so must the hashes.

mod engine;
mod reference;
mod strategies;
mod worlds;
mod xxh64;

use proptest::prelude::*;

use crate::engine::Engine;
use crate::worlds::World;

/// Random worlds of an ordinary run; `ORCHESTRATOR_RANDOM_WORLDS` asks for more.
const RANDOM_WORLDS: u64 = 5_000;

fn assert_agreement(world: &World) {
    for sequential in [true, false] {
        let expected = reference::place(&world.pools, &world.jobs, &world.policy, sequential);
        let actual = Engine::new(world, sequential).place_all(&world.jobs);
        assert_eq!(actual, expected, "{} sequential={sequential}\n{world:#?}", world.label);
    }
}

fn assert_hashes_agree(world: &World) {
    let engine = Engine::new(world, false);
    assert_eq!(engine.snapshot_hash(), reference::snapshot_hash(&world.pools), "HASH-1, HASH-2: {}", world.label);
    assert_eq!(engine.policy_hash(), reference::policy_hash(&world.policy), "HASH-3: {}", world.label);
}

/// A count that shows in every run: the test harness keeps what `println!` says of a test that passes.
fn say(line: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "differential: {line}").expect("standard error is open");
}

fn compare_all_small_worlds(default_set: usize) {
    let mut visited = 0u64;
    worlds::for_each_world(default_set, &mut |world| {
        visited += 1;
        assert_agreement(world);
    });
    let count = worlds::count(default_set);
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
