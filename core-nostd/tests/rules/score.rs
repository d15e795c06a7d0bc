//! Section 5: when would a pool start the job, and when would it end?

use orchestrator_core::limits::END_UNKNOWN_US;
use orchestrator_core::rows::SessionEntry;
use orchestrator_core::rule::score::{ScoreTerms, uncached_tokens, weigh_rate, weigh_time};
use orchestrator_core::{JobSpec, KvHint, PolicySpec, PoolSnapshot, WeightsSpec};

use crate::{TIME_MAX, TOKENS, assigned, decide_in, exact, fleet, job, leak, pool, warm, winner};

/// A pool with a first-token time of 3 ms, 1,000 prefill and 100 decode tokens per second.
fn measured(id: &'static str) -> PoolSnapshot<'static> {
    let mut pool = pool(id);
    pool.first_token_ms = Some(3.0);
    pool.prefill_tokens_per_s = Some(1000.0);
    pool.perf_tokens_per_s = Some(100.0);
    pool
}

fn tokens(prompt: i64, output: i64) -> JobSpec<'static> {
    let mut job = job();
    (job.prompt_tokens, job.expected_tokens) = (prompt, Some(output));
    job
}

fn times(pool: PoolSnapshot<'static>, job: &JobSpec<'static>, policy: &PolicySpec) -> (u64, Option<u64>) {
    let given = assigned(&[pool], job, policy, None);
    (given.start_us, given.end_us)
}

/// SCORE-1: admission, and the load where the model is not resident.
#[test]
fn starts() {
    let longest = 70_368_744_177.663;
    // admission, load, resident_models, start
    let table: [(f64, f64, Option<&'static [&'static str]>, u64); 8] = [
        (1.0, 2.0, None, 1000),
        (1.0, 2.0, Some(&["m"]), 1000),
        (1.0, 2.0, Some(&["l"]), 3000),
        (1.0, 2.0, Some(&[]), 3000),
        (longest, 0.0, Some(&[]), TIME_MAX),
        (longest, 0.001, Some(&[]), TIME_MAX),
        (longest, longest, Some(&[]), TIME_MAX),
        (0.0, 0.0, None, 0),
    ];
    for (admission, load, resident, start) in table {
        let mut tried = pool("p");
        (tried.admission_latency_ms, tried.model_load_ms, tried.resident_models) = (admission, load, resident);
        // Known where the end is not.
        assert_eq!(times(tried, &job(), &exact()), (start, None), "{admission} {load} {resident:?}");
    }
}

/// SCORE-2: the sum of the terms.
#[test]
fn ends() {
    let mut tried = measured("p");
    (tried.admission_latency_ms, tried.model_load_ms) = (1.0, 2.0);
    tried.resident_models = Some(&[]);
    // Prefill: (1,024,000,000,000 + 500,000) / 1,000,000 = 1,024,000 per token; decode: 10,240,000 per token.
    // (100 * 1,024,000 + 10 * 10,240,000) >> 10 = 204,800,000 >> 10 = 200,000; and 1,000 + 2,000 + 3,000.
    assert_eq!(times(tried, &tokens(100, 10), &exact()), (3000, Some(206_000)));
    assert_eq!(times(tried, &tokens(0, 0), &exact()), (3000, Some(6000)));
    // An absent prefill rate counts as 0: 102,400,000 >> 10 = 100,000.
    tried.prefill_tokens_per_s = None;
    assert_eq!(times(tried, &tokens(100, 10), &exact()), (3000, Some(106_000)));
    tried.prefill_tokens_per_s = Some(0.1);
    assert_eq!(times(tried, &tokens(100, 10), &exact()), (3000, Some(106_000)));
    // 0 is a time like others.
    tried.first_token_ms = Some(0.0);
    assert_eq!(times(tried, &tokens(100, 10), &exact()), (3000, Some(103_000)));
}

/// SCORE-2: one shift for both products, down; and never above 2^46 - 1.
#[test]
fn rounding_and_saturation_of_ends() {
    let terms = |prefill_q10, decode_q10| ScoreTerms {
        admission_latency_us: 0,
        load_us: 0,
        first_token_us: Some(7),
        prefill_q10,
        decode_q10: Some(decode_q10),
        waves: 0,
    };
    assert_eq!(terms(512, 511).end_us(1, 1), 7);
    assert_eq!(terms(512, 512).end_us(1, 1), 8);
    assert_eq!(terms(0, 1).end_us(0, 1023), 7);
    assert_eq!(terms(0, 1).end_us(0, 1024), 8);
    // 2 * (2^32 - 1) * (2^24 - 1) >> 10 = (2^57 - 2^33 - 2^25 + 2) >> 10 is above 2^46.
    assert_eq!(terms(u32::MAX, u32::MAX).end_us(TOKENS as u32, TOKENS as u32), TIME_MAX);
    let long = |first_token_us| ScoreTerms {
        admission_latency_us: TIME_MAX - 10,
        first_token_us: Some(first_token_us),
        ..terms(0, 1024)
    };
    assert_eq!(long(9).end_us(0, 0), TIME_MAX - 1);
    assert_eq!(long(9).end_us(0, 1), TIME_MAX);
    assert_eq!(long(9).end_us(0, 2), TIME_MAX);
    assert_eq!(long(TIME_MAX).end_us(0, 0), TIME_MAX);
    let unknown = ScoreTerms { decode_q10: None, ..terms(0, 1) };
    assert_eq!(unknown.end_us(0, 0), END_UNKNOWN_US);
    let unknown = ScoreTerms { first_token_us: None, ..terms(0, 1) };
    assert_eq!(unknown.end_us(0, 0), END_UNKNOWN_US);
    assert_eq!(END_UNKNOWN_US, 70_368_744_177_664);
}

/// SCORE-3: where the cached tokens come from.
#[test]
fn cached_tokens() {
    let published = |sessions: &'static [orchestrator_core::WarmSession<'static>]| {
        let mut tried = measured("p");
        tried.warm_sessions = sessions;
        tried
    };
    let forty = published(leak([warm("r", 9), warm("s", 40), warm("t", 90)]));
    let none = published(&[]);
    let zero = published(leak([warm("s", 0)]));
    let here = |cached_tokens| Some(SessionEntry { pool: 0, cached_tokens });
    let elsewhere = Some(SessionEntry { pool: 1, cached_tokens: 70 });
    let (reuse, cold) = (KvHint::Reuse, KvHint::Cold);
    let (with, without) = (Some("s"), None);
    // pool, session, hint, entry, cached tokens
    let table = [
        (forty, with, reuse, None, 40),
        (forty, without, reuse, None, 0),
        (forty, with, cold, None, 0),
        (forty, with, reuse, here(70), 70),
        (forty, with, reuse, here(10), 10),
        (forty, with, reuse, here(0), 0),
        (forty, with, reuse, elsewhere, 40),
        (forty, with, cold, here(70), 0),
        (none, with, reuse, None, 0),
        (none, with, reuse, here(70), 70),
        (none, with, reuse, elsewhere, 0),
        (none, with, cold, here(70), 0),
        (zero, with, reuse, None, 0),
        // More than the prompt: nothing is left to prefill.
        (none, with, reuse, here(100), 100),
        (none, with, reuse, here(101), 101),
        (none, with, reuse, here(16_777_215), 16_777_215),
    ];
    for (place, (tried, session, hint, entry, cached)) in table.into_iter().enumerate() {
        let mut asking = tokens(100, 10);
        (asking.session_id, asking.kv_hint) = (session, hint);
        let given = assigned(&[tried], &asking, &exact(), entry);
        // 3,000 + 10 * 10,000, and 1,000 per token that is not cached.
        let prefill = 1000 * 100u64.saturating_sub(cached);
        assert_eq!(given.end_us, Some(103_000 + prefill), "row {place}");
        assert_eq!(given.warm, cached > 0, "row {place}");
        let policy = exact().validate().unwrap();
        let valid = asking.validate(&policy, None).unwrap();
        let explained = fleet(&[tried]).explain(&valid, &policy, entry).winner.unwrap();
        assert_eq!(u64::from(explained.cached_tokens), cached, "row {place}");
    }
    assert_eq!([uncached_tokens(5, 3), uncached_tokens(3, 5), uncached_tokens(3, 3)], [2, 0, 0]);
}

/// SCORE-4: unknown facts, the policy's defaults, and performance-aware scoring.
#[test]
fn unknown_facts() {
    // first_token, rate, default_first_token, default rate, aware, end of 10 output tokens
    let table = [
        (Some(3.0), Some(100.0), None, None, true, Some(103_000)),
        (None, Some(100.0), None, None, true, None),
        (Some(3.0), None, None, None, true, None),
        (None, Some(100.0), Some(5.0), None, true, Some(105_000)),
        (Some(3.0), None, None, Some(50.0), true, Some(203_000)),
        (None, None, Some(5.0), Some(50.0), true, Some(205_000)),
        (None, None, Some(5.0), None, true, None),
        (None, None, None, Some(50.0), true, None),
        // What is known counts before a default.
        (Some(3.0), Some(100.0), Some(5.0), Some(50.0), true, Some(103_000)),
        (None, Some(100.0), Some(0.0), None, true, Some(100_000)),
        // Rates of 0, and too slow to express, are unknown.
        (Some(3.0), Some(0.0), None, Some(50.0), true, Some(203_000)),
        (Some(3.0), Some(0.238), None, Some(50.0), true, Some(203_000)),
        (Some(3.0), Some(0.238), None, None, true, None),
        (Some(3.0), None, None, Some(0.0), true, None),
        (Some(3.0), Some(100.0), None, None, false, None),
        (None, None, Some(5.0), Some(50.0), false, None),
    ];
    for (place, (first_token, rate, default_first, default_rate, aware, end)) in table.into_iter().enumerate() {
        let mut tried = pool("p");
        (tried.first_token_ms, tried.perf_tokens_per_s) = (first_token, rate);
        tried.admission_latency_ms = 0.0;
        let policy = PolicySpec {
            default_first_token_ms: default_first,
            default_tokens_per_s: default_rate,
            performance_aware: aware,
            ..exact()
        };
        assert_eq!(times(tried, &tokens(0, 10), &policy), (0, end), "row {place}");
    }
}

/// SCORE-5: halves go up, and limits hold.
#[test]
fn weighing() {
    let times = [
        (0, 4096, 0),
        (5, 256, 5),
        (5, 0, 0),
        // (127 + 128) >> 8, (128 + 128) >> 8
        (1, 127, 0),
        (1, 128, 1),
        // 3 * 128 = 384 is 1.5, 3 * 127 = 381 is 1.49
        (3, 128, 2),
        (3, 127, 1),
        (1000, 4096, 16_000),
        (TIME_MAX, 256, TIME_MAX),
        (TIME_MAX, 257, TIME_MAX),
        (TIME_MAX, 4096, TIME_MAX),
        // 2^42 * 16 = 2^46
        (1 << 42, 4096, TIME_MAX),
        // (2^42 - 1) * 16 = 2^46 - 16
        ((1 << 42) - 1, 4096, 70_368_744_177_648),
        // (2^46 - 1) / 256 = 2^38 - 1/256, rounded
        (TIME_MAX, 1, 1 << 38),
    ];
    for (time, weight, weighed) in times {
        assert_eq!(weigh_time(time, weight), weighed, "{time} * {weight}/256");
    }
    let rates = [
        (0, 4096, 0),
        (5, 256, 5),
        (5, 0, 0),
        (1, 127, 0),
        (1, 128, 1),
        (u32::MAX, 256, u32::MAX),
        (u32::MAX, 257, u32::MAX),
        (u32::MAX, 4096, u32::MAX),
        (1 << 28, 4096, u32::MAX),
        // (2^28 - 1) * 16 = 2^32 - 16
        ((1 << 28) - 1, 4096, 4_294_967_280),
    ];
    for (rate, weight, weighed) in rates {
        assert_eq!(weigh_rate(rate, weight), weighed, "{rate} * {weight}/256");
    }
}

/// SCORE-5: each weight changes the key by its own term, and no report.
#[test]
fn weights() {
    type Term = (&'static str, fn(&mut PoolSnapshot<'static>), fn(&mut WeightsSpec, f64), (i64, i64));
    let table: [Term; 5] = [
        ("admission", |pool| pool.admission_latency_ms = 2.0, |weights, w| weights.admission = w, (0, 0)),
        ("model_load", |pool| pool.model_load_ms = 2.0, |weights, w| weights.model_load = w, (0, 0)),
        ("first_token", |pool| pool.first_token_ms = Some(2.0), |weights, w| weights.first_token = w, (0, 0)),
        // 1,024,000,000,000 / 500,000,000 = 2,048: 1,000 tokens take 2 ms.
        ("prefill", |pool| pool.prefill_tokens_per_s = Some(500_000.0), |weights, w| weights.prefill = w, (1000, 0)),
        ("decode", |pool| pool.perf_tokens_per_s = Some(500_000.0), |weights, w| weights.decode = w, (0, 1000)),
    ];
    for (name, slow, set, (prompt, output)) in table {
        let plain = |id| {
            let mut pool = pool(id);
            pool.first_token_ms = Some(0.0);
            // The fastest rate: 1,000 tokens take 238,000 >> 10 = 232 µs.
            pool.perf_tokens_per_s = Some(4_294_967.295);
            pool.resident_models = Some(&[]);
            pool
        };
        // "a" takes 2,000 µs of the term; "b" takes 1,000 µs of another (and up to 232 µs of decoding).
        let (mut a, mut b) = (plain("a"), plain("b"));
        slow(&mut a);
        if name == "admission" {
            b.first_token_ms = Some(1.0);
        } else {
            b.admission_latency_ms = 1.0;
        }
        let asking = tokens(prompt, output);
        let policy = |weight| {
            let mut spec = exact();
            set(&mut spec.weights, weight);
            spec
        };
        for (weight, expected) in [(1.0, "b"), (16.0, "b"), (0.25, "a"), (0.0, "a")] {
            assert_eq!(winner(&[a, b], &asking, &policy(weight)), expected, "{name} {weight}");
        }
        let mut alone = assigned(&[a], &asking, &policy(0.25), None);
        assert_eq!(alone, assigned(&[a], &asking, &policy(1.0), None), "{name}: no report is weighted");
        alone.end_us = None;
    }
}

/// SCORE-5: an unknown fact stays unknown under a weight of 0, and a policy default is weighted like a published one.
#[test]
fn weights_of_unknown_facts() {
    let mut policy = exact();
    policy.weights.decode = 0.0;
    policy.weights.first_token = 0.0;
    let mut known = measured("b");
    known.admission_latency_ms = 1000.0;
    // "a" would win by its id if its end were 0.
    assert_eq!(winner(&[pool("a"), known], &tokens(0, 10), &policy), "b");

    // Both wait 100 ms; "a" by the default first-token time, "b" by its admission. Halved, the default is less.
    let mut default = exact();
    default.default_first_token_ms = Some(100.0);
    let (mut by_default, mut by_admission) = (measured("z"), measured("b"));
    by_default.first_token_ms = None;
    by_admission.first_token_ms = Some(0.0);
    by_admission.admission_latency_ms = 99.0;
    assert_eq!(winner(&[by_default, by_admission], &tokens(0, 10), &default), "b");
    default.weights.first_token = 0.5;
    assert_eq!(winner(&[by_default, by_admission], &tokens(0, 10), &default), "z");
}

/// SCORE-5: the weighted end saturates with its weighted terms.
#[test]
fn weighted_sums() {
    let terms = ScoreTerms {
        admission_latency_us: 3,
        load_us: 5,
        first_token_us: Some(7),
        prefill_q10: 1025,
        decode_q10: Some(2049),
        waves: 0,
    };
    let policy = PolicySpec {
        weights: WeightsSpec { admission: 0.5, model_load: 2.0, first_token: 1.5, prefill: 0.5, decode: 16.0 },
        ..exact()
    };
    let policy = policy.validate().unwrap();
    let weighted = terms.weighted(policy.weights());
    // 1.5 is 2; 10; 10.5 is 11; 512.5 is 513; 32,784.
    assert_eq!((weighted.admission_latency_us, weighted.load_us), (2, 10));
    assert_eq!((weighted.first_token_us, weighted.prefill_q10, weighted.decode_q10), (Some(11), 513, Some(32_784)));
    // 2 + 10 + 11 + ((10 * 513 + 3 * 32,784) >> 10) = 23 + (103,482 >> 10) = 23 + 101
    assert_eq!(weighted.end_us(10, 3), 124);
    let owner = fleet(&[pool("p")]);
    assert!(decide_in(&owner, &job(), &policy, None).assignment().is_some());
}
