//! Section 6: which of two feasible pools is better.

use orchestrator_core::hash::{spread_job_hash, spread_pool_hash, spread_value};
use orchestrator_core::limits::END_UNKNOWN_US;
use orchestrator_core::rule::key::{Key, KeyParts};
use orchestrator_core::{JobSpec, Order, PolicySpec, PoolSnapshot};

use crate::{assigned, exact, fleet, job, leak, pool, warm, winner};

/// The parts of the key that two pools can differ in, in their order; the rank is the last.
const PARTS: [&str; 7] =
    ["preferred", "predicted_end", "warm", "active_leases", "slots_free", "residual_vram", "tokens_per_s"];

/// A pool whose parts are all average, but for those that `better` and `worse` name.
fn standing(id: &'static str, is_better: impl Fn(usize) -> Option<bool>) -> PoolSnapshot<'static> {
    let pick = |part: usize, good: i64, average: i64, bad: i64| match is_better(part) {
        Some(true) => good,
        None => average,
        Some(false) => bad,
    };
    let mut pool = pool(id);
    pool.first_token_ms = Some(pick(1, 1, 5, 10) as f64);
    pool.warm_sessions = leak([warm("s", pick(2, 1, 0, 0))]);
    pool.slots_free = pick(4, 9, 7, 5);
    // Active leases: total - free.
    pool.slots_total = pool.slots_free + pick(3, 0, 2, 3);
    pool.vram_free_bytes = pick(5, 900, 700, 500);
    pool.perf_tokens_per_s = Some(pick(6, 2000, 1500, 1000) as f64);
    pool
}

fn asking(prefers: &'static [&'static str]) -> JobSpec<'static> {
    let mut job = job();
    job.session_id = Some("s");
    // No output tokens: the decode rate is a tie-breaker only.
    job.expected_tokens = Some(0);
    job.est_kv_bytes = Some(100);
    job.placement.prefer_pools = prefers;
    job
}

/// KEY-1, KEY-2, KEY-3, KEY-4, KEY-5, KEY-6, KEY-7, KEY-9: each part decides over all parts behind it, and by how much.
#[test]
fn each_part_beats_those_behind_it() {
    let margins: [i64; 7] = [
        1, // 1 ms - 10 ms
        -9000, 1,   // 0 - 3
        -3,  // 9 - 5
        4,   // (900 - 100) - (500 - 100)
        400, // 2,000,000 - 1,000,000 thousandths
        1_000_000,
    ];
    for (part, margin) in margins.into_iter().enumerate() {
        // "b" is better in this part, "a" in all parts behind it, its id among them.
        let better = |good: bool| {
            move |other: usize| match other.cmp(&part) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal => Some(good),
                std::cmp::Ordering::Greater => Some(!good),
            }
        };
        let pools = [standing("a", better(false)), standing("b", better(true))];
        let prefers: &[&str] = if part == 0 { &["b"] } else { &[] };
        let job = asking(prefers);
        assert_eq!(winner(&pools, &job, &exact()), "b", "{}", PARTS[part]);
        let policy = exact().validate().unwrap();
        let explained = fleet(&pools).explain(&job.validate(&policy, None).unwrap(), &policy, None);
        let decided = explained.decided.unwrap();
        assert_eq!((decided.by.name(), decided.margin), (PARTS[part], Some(margin)));
    }
    // All equal: the lower rank, 0 - 1.
    let pools = [standing("b", |_| None), standing("a", |_| None)];
    assert_eq!(winner(&pools, &asking(&[]), &exact()), "a");
    let policy = exact().validate().unwrap();
    let explained = fleet(&pools).explain(&asking(&[]).validate(&policy, None).unwrap(), &policy, None);
    let decided = explained.decided.unwrap();
    assert_eq!((decided.by.name(), decided.margin), ("pool_id", Some(-1)));
}

/// KEY-1: without preferences no pool is preferred.
#[test]
fn preferences() {
    let pools = [pool("a"), pool("b"), pool("c")];
    for (prefers, expected) in
        [(&["c"][..], "c"), (&["c", "b"], "b"), (&["b", "c", "b"], "b"), (&["none"], "a"), (&[], "a")]
    {
        assert_eq!(winner(&pools, &asking(prefers), &exact()), expected, "{prefers:?}");
    }
}

/// KEY-2: ends in one bucket of 2^shift µs are equal; unknown comes last under every shift.
#[test]
fn buckets() {
    let end = |id, us: Option<u64>| {
        let mut pool = pool(id);
        pool.perf_tokens_per_s = Some(1.0);
        pool.first_token_ms = us.map(|us| us as f64 / 1000.0);
        pool
    };
    // shift, end of "a", end of "b"; "b" wins only by its end
    let table = [
        // 1,023 µs apart, in one bucket and in two.
        (10, Some(1023), Some(0), "a"),
        (10, Some(1024), Some(1), "b"),
        (10, Some(2047), Some(1024), "a"),
        // 1,024 µs apart: never in one bucket.
        (10, Some(1024), Some(0), "b"),
        (10, Some(2047), Some(1023), "b"),
        // 1 µs apart.
        (10, Some(1024), Some(1023), "b"),
        (10, Some(1025), Some(1024), "a"),
        (0, Some(1025), Some(1024), "b"),
        (0, Some(1024), Some(1024), "a"),
        (1, Some(3), Some(2), "a"),
        (1, Some(4), Some(3), "b"),
        // With 2^46 µs all known ends are equal, and unknown is behind them.
        (46, Some(70_368_744_177_663), Some(0), "a"),
        (46, None, Some(70_368_744_177_663), "b"),
        (46, None, Some(0), "b"),
        (0, None, Some(70_368_744_177_663), "b"),
        (10, None, Some(70_368_744_177_663), "b"),
        (10, None, None, "a"),
    ];
    for (shift, a, b, expected) in table {
        let policy = PolicySpec { quantum_shift: shift, ..exact() };
        assert_eq!(winner(&[end("a", a), end("b", b)], &asking(&[]), &policy), expected, "{shift} {a:?} {b:?}");
    }
}

/// KEY-2: the default bucket is 2^10 µs.
#[test]
fn the_default_bucket() {
    let end = |id, ms| {
        let mut pool = pool(id);
        (pool.perf_tokens_per_s, pool.first_token_ms) = (Some(1.0), Some(ms));
        pool
    };
    for (a, b, expected) in [(1.023, 0.0, "a"), (1.024, 1.023, "b")] {
        assert_eq!(winner(&[end("a", a), end("b", b)], &asking(&[]), &PolicySpec::default()), expected);
    }
}

/// KEY-6: what is left after the need, which is less where the model is resident.
#[test]
fn residual_vram() {
    let with = |id, free, resident: &'static [&'static str]| {
        let mut pool = pool(id);
        (pool.vram_free_bytes, pool.resident_models) = (free, Some(resident));
        pool
    };
    let mut job = asking(&[]);
    job.requirements.min_vram_bytes = 300;
    // 900 - 100 - 300 = 500 against free - 100.
    for (free, expected) in [(601, "b"), (600, "a"), (599, "a")] {
        assert_eq!(winner(&[with("a", 900, &[]), with("b", free, &["m"])], &job, &exact()), expected, "{free}");
    }
}

/// KEY-7: a rate that is not published is 0, also where the policy has a default.
#[test]
fn published_rates() {
    let rate = |id, rate| {
        let mut pool = pool(id);
        pool.first_token_ms = Some(1.0);
        pool.perf_tokens_per_s = rate;
        pool
    };
    let policy = PolicySpec { default_tokens_per_s: Some(1000.0), ..exact() };
    assert_eq!(winner(&[rate("a", None), rate("b", Some(0.239))], &asking(&[]), &policy), "b");
    assert_eq!(winner(&[rate("a", None), rate("b", Some(0.238))], &asking(&[]), &policy), "a");
}

/// KEY-8: hashes as the `xxhash` package of Python computes them, and its own SplitMix64 on top.
#[test]
fn spread() {
    // xxh64(b"a\0", 7), xxh64(b"b\0", 7), xxh64(b"a\0r1", 7); xxh64(b"j1", 7), xxh64(b"j2", 7)
    assert_eq!(spread_pool_hash(7, "a", ""), 0x45a0_e4aa_322a_0d1a);
    assert_eq!(spread_pool_hash(7, "b", ""), 0xe17c_8d7a_16ff_1f09);
    assert_eq!(spread_pool_hash(7, "a", "r1"), 0xe78d_2c81_efb4_ee50);
    assert_eq!(spread_pool_hash(u64::MAX, "b", ""), 0x6ae2_babe_3258_ae32);
    assert_eq!(spread_job_hash(7, "j1"), 0xb216_aee6_5d65_982f);
    assert_eq!(spread_job_hash(7, "j2"), 0x4852_d795_6f0e_3398);
    assert_eq!(spread_job_hash(0, "j1"), 0xbd69_c68c_ee32_edb3);

    // seed, job, values of the pools "a" and "b"
    let table = [
        (7, "j1", 2_384_599_504, 778_298_302, "b"),
        (7, "j2", 157_885_777, 2_935_302_090, "a"),
        (7, "j3", 2_769_605_128, 4_101_537_698, "a"),
        (42, "j1", 528_024_188, 157_328_838, "b"),
        (42, "j2", 2_538_641_845, 3_508_328_071, "a"),
        (0, "j2", 4_023_955_012, 1_381_488_096, "b"),
        (u64::MAX, "j3", 1_187_345_215, 2_866_391_876, "a"),
        (u64::MAX, "j1", 3_240_031_034, 2_457_436_836, "b"),
    ];
    for (seed, id, a, b, expected) in table {
        let value = |pool| spread_value(spread_pool_hash(seed, pool, ""), spread_job_hash(seed, id));
        assert_eq!((value("a"), value("b")), (a, b), "{seed} {id}");
        let mut job = asking(&[]);
        job.id = id;
        let mut policy = exact();
        assert_eq!(winner(&[pool("a"), pool("b")], &job, &policy), "a", "no seed, no spread");
        policy.spread_seed = Some(seed);
        assert_eq!(winner(&[pool("a"), pool("b")], &job, &policy), expected, "{seed} {id}");
        // It is behind every other part but the id.
        let (mut fast_a, mut fast_b) = (pool("a"), pool("b"));
        (fast_a.perf_tokens_per_s, fast_b.perf_tokens_per_s) = (Some(1.0), Some(1.001));
        assert_eq!(winner(&[fast_a, fast_b], &job, &policy), "b", "{seed} {id}");
        fast_a.perf_tokens_per_s = Some(1.002);
        assert_eq!(winner(&[fast_a, fast_b], &job, &policy), "a", "{seed} {id}");
        // The margin has no unit, and is the difference of the values.
        let valid_policy = policy.validate().unwrap();
        let explained =
            fleet(&[pool("a"), pool("b")]).explain(&job.validate(&valid_policy, None).unwrap(), &valid_policy, None);
        let decided = explained.decided.unwrap();
        let margin = -(i64::from(a) - i64::from(b)).abs();
        assert_eq!((decided.by.name(), decided.margin), ("spread", Some(margin)));
    }
}

/// KEY-9: bytewise order of id, then of replica id.
#[test]
fn ranks() {
    let replica = |id, replica_id| PoolSnapshot { replica_id, ..pool(id) };
    let ordered = [
        replica("B", ""),
        replica("a", ""),
        replica("a", "r1"),
        replica("a", "r10"),
        replica("a-b", ""),
        replica("é", ""),
    ];
    let owner = fleet(&[ordered[3], ordered[5], ordered[0], ordered[2], ordered[4], ordered[1]]);
    for (rank, pool) in ordered.iter().enumerate() {
        assert_eq!(owner.pool_id(rank as u32), Some((pool.id, pool.replica_id)), "{rank}");
        assert_eq!(owner.rank_of(pool.id, pool.replica_id), Some(rank as u32));
    }
    for last in 2..=ordered.len() {
        let pools: Vec<_> = ordered[last - 2..last].iter().rev().copied().collect();
        let given = assigned(&pools, &asking(&[]), &exact(), None);
        assert_eq!(given.rank, 0);
        assert_eq!(fleet(&pools).pool_id(0), Some((ordered[last - 2].id, ordered[last - 2].replica_id)));
    }
    assert_eq!(winner(&[pool("pool-2"), pool("pool-10")], &asking(&[]), &exact()), "pool-10");
}

/// KEY-10: preferred, free VRAM, active leases, rank; nothing else.
#[test]
fn vram_first() {
    let policy = PolicySpec { order: Order::VramFirst, spread_seed: Some(7), ..exact() };
    let explained = |pools: &[PoolSnapshot<'static>], job: &JobSpec<'static>| {
        let policy = policy.validate().unwrap();
        let explanation = fleet(pools).explain(&job.validate(&policy, None).unwrap(), &policy, None);
        let decided = explanation.decided.unwrap();
        (explanation.winner.unwrap().parts.rank, decided.by.name(), decided.margin)
    };
    let with = |id, free, leases: i64| {
        let mut pool = pool(id);
        (pool.slots_total, pool.slots_free, pool.vram_free_bytes) = (leases + 4, 4, free);
        pool
    };
    let plain = asking(&[]);
    assert_eq!(explained(&[with("a", 999, 0), with("b", 1000, 9)], &plain), (1, "vram_free", Some(1)));
    assert_eq!(explained(&[with("a", 1000, 2), with("b", 1000, 1)], &plain), (1, "active_leases", Some(-1)));
    assert_eq!(explained(&[with("a", 1000, 1), with("b", 1000, 1)], &plain), (0, "pool_id", Some(-1)));
    assert_eq!(explained(&[with("a", 1000, 0), with("b", 500, 9)], &asking(&["b"])), (1, "preferred", Some(1)));
    assert_eq!(explained(&[with("a", 1000, 0)], &plain), (0, "only_candidate", None));

    // Everything else is better on "b", and j1 spreads to "b": all the same "a".
    let mut a = with("a", 1000, 0);
    let mut b = with("b", 1000, 0);
    a.resident_models = Some(&[]);
    b.resident_models = Some(&["m"]);
    (b.first_token_ms, b.perf_tokens_per_s) = (Some(1.0), Some(1000.0));
    b.warm_sessions = leak([warm("s", 10)]);
    (b.slots_total, b.slots_free) = (100, 100);
    let mut job = asking(&[]);
    job.requirements.min_vram_bytes = 300;
    assert_eq!(explained(&[a, b], &job), (0, "pool_id", Some(-1)));
    // It is free VRAM, not what is left: 1,000 - 400 on "a", 999 - 100 on "b".
    b.vram_free_bytes = 999;
    assert_eq!(explained(&[a, b], &job), (0, "vram_free", Some(1)));
    // The end and warmth are reported all the same.
    let alone = assigned(&[b], &job, &policy, None);
    assert_eq!((alone.end_us, alone.warm), (Some(1000), true));
}

/// KEY-11
#[test]
fn fallbacks() {
    let mut full = pool("a");
    full.slots_free = 0;
    // pools, prefer_pools, fallback
    let table: [(&[PoolSnapshot<'static>], &'static [&'static str], bool); 5] = [
        (&[pool("a"), pool("b")], &[], false),
        (&[pool("a"), pool("b")], &["a"], false),
        (&[pool("a"), pool("b")], &["b"], false),
        (&[full, pool("b")], &["a"], true),
        (&[pool("a"), pool("b")], &["none"], true),
    ];
    for (pools, prefers, fallback) in table {
        assert_eq!(assigned(pools, &asking(prefers), &exact(), None).fallback, fallback, "{prefers:?}");
    }
    let mut pinned = asking(&[]);
    pinned.placement.pin_pool_id = Some("a");
    assert!(!assigned(&[pool("a")], &pinned, &exact(), None).fallback);
}

/// KEY-12: the words, bit by bit.
#[test]
fn words() {
    let parts = KeyParts {
        preferred: true,
        // 5 * 1,024 + 7
        weighted_end_us: 5127,
        warm: false,
        active_leases: 3,
        slots_free: 9,
        vram_free_bytes: 500,
        residual_vram_bytes: 400,
        milli_tps: 2_000_000,
        spread: 77,
        rank: 6,
    };
    let key = Key::by_predicted_end(&parts, 10);
    // 0 | 5 << 16 | 1 << 15 | 3 = 327,680 + 32,768 + 3
    assert_eq!(key.words()[0], 360_451);
    // (32,767 - 9) << 48 | (2^48 - 1 - 400)
    assert_eq!(key.words()[1], (32_758 << 48) + 281_474_976_710_255);
    // (2^32 - 1 - 2,000,000) << 32 | 77
    assert_eq!(key.words()[2], (4_292_967_295 << 32) + 77);
    assert_eq!(key.rank(), 6);

    let key = Key::by_free_vram(&parts);
    // 0 | (2^48 - 1 - 500) << 15 | 3
    assert_eq!(key.words(), [(281_474_976_710_155 << 15) + 3, 0, 0]);
    assert_eq!(key.rank(), 6);

    // The largest value of every part fills its bits and no other.
    let worst = KeyParts {
        preferred: false,
        weighted_end_us: END_UNKNOWN_US,
        warm: false,
        active_leases: 32_767,
        slots_free: 0,
        vram_free_bytes: 0,
        residual_vram_bytes: 0,
        milli_tps: 0,
        spread: u32::MAX,
        rank: u32::MAX,
    };
    // 2^63 + 2^46 * 2^16 + 2^15 + (2^15 - 1); 63 bits; 64 bits.
    assert_eq!(Key::by_predicted_end(&worst, 0).words(), [(1 << 63) + (1 << 62) + 65_535, u64::MAX >> 1, u64::MAX]);
    assert_eq!(Key::by_free_vram(&worst).words(), [u64::MAX, 0, 0]);
    let best = KeyParts {
        preferred: true,
        weighted_end_us: 0,
        warm: true,
        active_leases: 0,
        slots_free: 32_767,
        vram_free_bytes: 281_474_976_710_655,
        residual_vram_bytes: 281_474_976_710_655,
        milli_tps: u32::MAX,
        spread: 0,
        rank: 0,
    };
    assert_eq!(Key::by_predicted_end(&best, 0).words(), [0; 3]);
    assert_eq!(Key::by_free_vram(&best).words(), [0; 3]);
    assert!(Key::by_predicted_end(&best, 0) < Key::by_predicted_end(&worst, 0));
    // Equal words: the rank decides.
    assert!(Key::by_predicted_end(&best, 0) < Key::by_predicted_end(&KeyParts { rank: 1, ..best }, 0));
    assert_eq!(size_of::<Key>(), 32);
}
