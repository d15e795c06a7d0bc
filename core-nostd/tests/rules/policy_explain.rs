//! Section 8: policy and explanation; section 9: KV estimation; section 10: the hashes that the core computes.

use orchestrator_core::hash::ContentHasher;
use orchestrator_core::rows::{PoolTable, TableError};
use orchestrator_core::{
    Attention, JobSpec, KvFormat, KvLayout, ModelDims, NearestMiss, Order, PlacementInput, Policy, PolicySpec,
    PoolSnapshot, PoolVerdict, Problem, Rejection, Shortfall, SlidingWindow, Unfit, Unit, Weights, WeightsSpec,
    bytes_per_token, est_kv_bytes, explain_pool, inspect,
};

use crate::{BAD_FLOATS, BYTES, Fleet, TIME_MAX, TOKENS, device, exact, fleet, job, leak, pool, refused};

fn with(set: impl FnOnce(&mut PolicySpec)) -> Result<Policy, orchestrator_core::FieldError> {
    let mut spec = PolicySpec::default();
    set(&mut spec);
    spec.validate()
}

/// POLICY-1: the defaults.
#[test]
fn defaults() {
    let policy = PolicySpec::default().validate().unwrap();
    assert_eq!(policy, Policy::default());
    assert_eq!((policy.order(), policy.order().name()), (Order::PredictedEnd, "predicted-end"));
    assert_eq!(Order::VramFirst.name(), "vram-first");
    assert_eq!(policy.quantum_shift(), 10);
    assert!(policy.performance_aware());
    assert_eq!(policy.spread_seed(), None);
    assert_eq!(policy.default_output_tokens(), 256);
    assert_eq!((policy.default_decode_q10(), policy.default_first_token_us()), (None, None));
    assert_eq!(policy.stale_after_us(), 30_000_000);
    assert_eq!(policy.session_capacity(), 65_536);
    let one = Weights { admission: 256, model_load: 256, first_token: 256, prefill: 256, decode: 256 };
    assert_eq!(*policy.weights(), one);
}

/// POLICY-1, UNIT-9: integers at their limits and outside.
#[test]
fn integers() {
    type Knob = (&'static str, i64, fn(&mut PolicySpec, i64), fn(&Policy) -> i64);
    let table: [Knob; 4] = [
        ("pool_backlog", 65_535, |spec, value| spec.pool_backlog = value, |policy| policy.pool_backlog().into()),
        ("quantum_shift", 46, |spec, value| spec.quantum_shift = value, |policy| policy.quantum_shift().into()),
        (
            "default_output_tokens",
            TOKENS,
            |spec, value| spec.default_output_tokens = value,
            |policy| policy.default_output_tokens().into(),
        ),
        (
            "session_capacity",
            16_777_216,
            |spec, value| spec.session_capacity = value,
            |policy| policy.session_capacity().into(),
        ),
    ];
    for (field, max, set, get) in table {
        for value in [0, 1, max] {
            assert_eq!(with(|spec| set(spec, value)).map(|policy| get(&policy)), Ok(value), "{field}");
        }
        for value in [max + 1, i64::MAX, 1 << 32] {
            let too_large = Problem::TooLarge { max: max as u64 };
            assert_eq!(with(|spec| set(spec, value)), refused(field, too_large));
        }
        for value in [-1, i64::MIN] {
            assert_eq!(with(|spec| set(spec, value)), refused(field, Problem::Negative));
        }
    }
}

/// POLICY-1, UNIT-1, UNIT-2: times, the rate, and weights of `floor(w * 256 + 0.5)` up to 4,096.
#[test]
fn floats() {
    type Knob = (&'static str, fn(&mut PolicySpec, f64), fn(&Policy) -> u64);
    let times: [Knob; 2] = [
        ("stale_after_ms", |spec, value| spec.stale_after_ms = value, Policy::stale_after_us),
        (
            "default_first_token_ms",
            |spec, value| spec.default_first_token_ms = Some(value),
            |policy| policy.default_first_token_us().unwrap(),
        ),
    ];
    let rates: [Knob; 1] = [(
        "default_tokens_per_s",
        |spec, value| spec.default_tokens_per_s = Some(value),
        |policy| policy.default_decode_q10().map_or(0, u64::from),
    )];
    let weights: [Knob; 5] = [
        ("weights.admission", |spec, value| spec.weights.admission = value, |policy| policy.weights().admission.into()),
        (
            "weights.model_load",
            |spec, value| spec.weights.model_load = value,
            |policy| policy.weights().model_load.into(),
        ),
        (
            "weights.first_token",
            |spec, value| spec.weights.first_token = value,
            |policy| policy.weights().first_token.into(),
        ),
        ("weights.prefill", |spec, value| spec.weights.prefill = value, |policy| policy.weights().prefill.into()),
        ("weights.decode", |spec, value| spec.weights.decode = value, |policy| policy.weights().decode.into()),
    ];
    let good_times = [(-0.0, 0), (0.0015, 2), (70_368_744_177.663, TIME_MAX)];
    let good_rates = [(0.0, 0), (0.238, 0), (50.0, 20_480_000), (4_294_967.295, 238)];
    // 1/512 is 0.5 of a step and goes up, 0.0019 is 0.486 and does not; 16 + 0.0019 is 4,096.486.
    let good_weights = [(0.0, 0), (-0.0, 0), (0.0019, 0), (1.0 / 512.0, 1), (1.0, 256), (16.0, 4096), (16.0019, 4096)];
    let check = |knobs: &[Knob], good: &[(f64, u64)], above: f64, max: u64, per: u16| {
        for &(field, set, get) in knobs {
            for &(value, expected) in good {
                assert_eq!(with(|spec| set(spec, value)).map(|policy| get(&policy)), Ok(expected), "{field} {value}");
            }
            for value in [above, f64::MAX] {
                assert_eq!(with(|spec| set(spec, value)), refused(field, Problem::TooLargeScaled { max, per }));
            }
            for (value, problem) in BAD_FLOATS {
                assert_eq!(with(|spec| set(spec, value)), refused(field, problem), "{value}");
            }
        }
    };
    check(&times, &good_times, 70_368_744_177.664, TIME_MAX, 1000);
    check(&rates, &good_rates, 4_294_967.296, 4_294_967_295, 1000);
    check(&weights, &good_weights, 16.0 + 1.0 / 512.0, 4096, 256);
}

/// HASH-3: constants of Python's `xxhash` over the published encoding; every knob enters.
#[test]
fn policy_hashes() {
    assert_eq!(Policy::default().content_hash(), 0x5917_6821_42a4_0d13);
    let other = PolicySpec {
        order: Order::VramFirst,
        quantum_shift: 0,
        performance_aware: false,
        spread_seed: Some(5),
        default_output_tokens: 1,
        default_tokens_per_s: Some(50.0),
        default_first_token_ms: Some(12.5),
        stale_after_ms: 0.001,
        session_capacity: 0,
        pool_backlog: 0,
        weights: WeightsSpec { admission: 0.0, model_load: 0.5, first_token: 1.0, prefill: 2.0, decode: 16.0 },
    };
    assert_eq!(other.validate().unwrap().content_hash(), 0xc74f_7c9a_53c3_07f6);
    let changes: [fn(&mut PolicySpec); 15] = [
        |spec| spec.pool_backlog = 1,
        |spec| spec.order = Order::VramFirst,
        |spec| spec.quantum_shift = 11,
        |spec| spec.performance_aware = false,
        |spec| spec.spread_seed = Some(0),
        |spec| spec.default_output_tokens = 257,
        |spec| spec.default_tokens_per_s = Some(1.0),
        |spec| spec.default_first_token_ms = Some(0.0),
        |spec| spec.stale_after_ms = 30_000.001,
        |spec| spec.session_capacity = 65_537,
        |spec| spec.weights.admission = 2.0,
        |spec| spec.weights.model_load = 2.0,
        |spec| spec.weights.first_token = 2.0,
        |spec| spec.weights.prefill = 2.0,
        |spec| spec.weights.decode = 2.0,
    ];
    let mut hashes = vec![Policy::default().content_hash()];
    hashes.extend(changes.map(|change| with(change).unwrap().content_hash()));
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 16);
}

/// HASH-1: the encoding, against a constant of Python's `xxhash`.
#[test]
fn encoding() {
    // text "t", int 1 | int 258 | byte 7 | text "Ab" | text "ab" | 0 | 1, int 9 | 0 | 1, text "z"
    let mut hasher = ContentHasher::new("t");
    hasher.int(258);
    hasher.byte(7);
    hasher.text("Ab");
    hasher.text_lowercase("AB");
    hasher.optional_int(None);
    hasher.optional_int(Some(9));
    hasher.optional_text(None);
    hasher.optional_text(Some("z"));
    assert_eq!(hasher.finish(), 0xa671_2933_9e43_c8aa);
}

/// EXPL-1: counts per rule, the two best, the k best; and nothing changes by asking.
#[test]
fn explanations() {
    let slow = |id, ms| {
        let mut pool = pool(id);
        (pool.first_token_ms, pool.perf_tokens_per_s) = (Some(ms), Some(1.0));
        pool
    };
    let mut full = pool("d");
    full.slots_free = 0;
    let mut other = pool("e");
    other.engine = "trt";
    let mut another = pool("f");
    another.engine = "trt";
    let owner = fleet(&[slow("a", 3.0), slow("b", 1.0), slow("c", 2.0), full, other, another]);
    let policy = exact().validate().unwrap();
    let job = job();
    let valid = job.validate(&policy, None).unwrap();
    let before = owner.decide(&valid, &policy);
    let explained = owner.explain(&valid, &policy, None);
    assert_eq!(explained.feasible, 3);
    for rejection in Rejection::ALL {
        let expected = match rejection {
            Rejection::EngineName => 2,
            Rejection::Slots => 1,
            _ => 0,
        };
        assert_eq!(explained.counts.of(rejection), expected, "{rejection}");
    }
    let winner = explained.winner.unwrap();
    assert_eq!((winner.parts.rank, winner.start_us, winner.end_us), (1, 0, Some(1000)));
    assert_eq!(winner.terms.first_token_us, Some(1000));
    assert!(winner.resident);
    assert_eq!(explained.runner_up.unwrap().parts.rank, 2);
    // The headline of the three that cannot: slots, by 1.
    let miss = NearestMiss {
        rejection: Rejection::Slots,
        pools: 1,
        shortfall: Some(Shortfall { amount: 1, unit: Unit::Slots }),
    };
    assert_eq!(explained.nearest_miss, Some(miss));
    for (places, ranks) in [(0, &[][..]), (1, &[1]), (2, &[1, 2]), (3, &[1, 2, 0]), (5, &[1, 2, 0])] {
        let mut best = vec![None; places];
        assert_eq!(owner.rank_best(&valid, &policy, &mut best), ranks.len());
        let found: Vec<u32> = best.iter().flatten().map(|assignment| assignment.rank).collect();
        assert_eq!(found, ranks);
    }
    assert_eq!(owner.decide(&valid, &policy), before);
    let alone = fleet(&[pool("a")]);
    let explained = alone.explain(&valid, &policy, None);
    assert_eq!((explained.nearest_miss, explained.runner_up), (None, None));
    let nobody = Fleet::new().explain(&valid, &policy, None);
    assert_eq!((nobody.winner, nobody.decided, nobody.nearest_miss, nobody.feasible), (None, None, None, 0));
}

/// EXPL-2: margins of ends are of weighted ends before bucketing, and null where one is unknown.
#[test]
fn margins_of_ends() {
    let with = |id, ms: Option<f64>| {
        let mut pool = pool(id);
        (pool.first_token_ms, pool.perf_tokens_per_s) = (ms, Some(1.0));
        pool
    };
    let decided = |pools: &[PoolSnapshot<'static>], policy: &PolicySpec| {
        let policy = policy.validate().unwrap();
        let job = job();
        let valid = job.validate(&policy, None).unwrap();
        let decided = fleet(pools).explain(&valid, &policy, None).decided.unwrap();
        (decided.by.name(), decided.margin, decided.by.unit())
    };
    let bucketed = PolicySpec { quantum_shift: 10, ..exact() };
    // 1,500 µs and 3,500 µs.
    let pools = [with("a", Some(1.5)), with("b", Some(3.5))];
    assert_eq!(decided(&pools, &bucketed), ("predicted_end", Some(-2000), "us"));
    let mut weighted = bucketed;
    weighted.weights.first_token = 2.0;
    assert_eq!(decided(&pools, &weighted), ("predicted_end", Some(-4000), "us"));
    assert_eq!(decided(&[with("a", Some(1.5)), with("b", None)], &weighted), ("predicted_end", None, "us"));
    // In one bucket, or both unknown, the end does not decide.
    assert_eq!(decided(&[with("a", Some(0.0)), with("b", Some(0.5))], &weighted), ("pool_id", Some(-1), "ranks"));
    assert_eq!(decided(&[with("a", None), with("b", None)], &weighted), ("pool_id", Some(-1), "ranks"));
    assert_eq!(decided(&[with("a", None)], &weighted), ("only_candidate", None, ""));
}

fn input_of<'a>(
    owner: &'a Fleet,
    resolved: &'a orchestrator_core::ResolvedJob,
    policy: &'a Policy,
) -> PlacementInput<'a> {
    PlacementInput::new(owner.table(), resolved.query(None), policy).unwrap()
}

/// EXPL-1: what one pool lacks.
#[test]
fn one_pool() {
    let with = |id, ms| {
        let mut pool = pool(id);
        (pool.first_token_ms, pool.perf_tokens_per_s) = (Some(ms), Some(1.0));
        pool
    };
    let mut full = pool("c");
    full.slots_free = 0;
    let owner = fleet(&[with("a", 3.0), with("b", 1.0), full, with("d", 2.0)]);
    let policy = exact().validate().unwrap();
    let job = job();
    let resolved = job.validate(&policy, None).unwrap().resolve(&owner);
    let input = input_of(&owner, &resolved, &policy);
    let loses = |rank| match explain_pool(&input, rank) {
        Some(PoolVerdict::Feasible { standing, loses_by }) => {
            assert_eq!(standing.parts.rank, rank);
            loses_by.map(|decided| (decided.by.name(), decided.margin))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(loses(1), None);
    // The winner's value minus this one's: 1,000 - 3,000, 1,000 - 2,000.
    assert_eq!(loses(0), Some(("predicted_end", Some(-2000))));
    assert_eq!(loses(3), Some(("predicted_end", Some(-1000))));
    let unfit = Unfit { rejection: Rejection::Slots, shortfall: Some(Shortfall { amount: 1, unit: Unit::Slots }) };
    let expected = PoolVerdict::Infeasible(unfit);
    assert_eq!(explain_pool(&input, 2), Some(expected));
    assert_eq!(inspect(&input, 2), Some(Err(unfit)));
    let ranks =
        (0..5).filter(|&rank| matches!(inspect(&input, rank), Some(Ok(standing)) if standing.parts.rank == rank));
    assert_eq!(ranks.collect::<Vec<u32>>(), [0, 1, 3]);
    assert_eq!(inspect(&input, 4), None);
    assert_eq!(explain_pool(&input, 4), None);
    assert_eq!(explain_pool(&input, u32::MAX), None);
}

/// EXPL-3: how many fail the headline rule, and the smallest shortfall where the rule has a measure.
#[test]
fn nearest_misses() {
    type Change = fn(&mut [PoolSnapshot<'static>; 2], &mut JobSpec<'static>);
    let table: [(Rejection, u32, Option<(u64, &str)>, Change); 12] = [
        (Rejection::EngineName, 2, None, |_, job| job.engine = "trt"),
        // 150 against 100 and 120.
        (Rejection::Context, 2, Some((30, "tokens")), |pools, job| {
            (pools[0].supports.ctx_max, pools[1].supports.ctx_max) = (Some(100), Some(120));
            job.required_ctx = Some(150);
        }),
        (Rejection::Context, 2, Some((50, "tokens")), |pools, job| {
            pools[0].supports.ctx_max = Some(100);
            job.required_ctx = Some(150);
        }),
        (Rejection::Context, 2, None, |_, job| job.required_ctx = Some(150)),
        // 1,100 + 300 against 1,000 and 1,100.
        (Rejection::VramTotal, 2, Some((300, "bytes")), |pools, job| {
            pools[1].vram_total_bytes = 1100;
            (job.est_kv_bytes, job.requirements.min_vram_bytes) = (Some(300), 1100);
        }),
        // Degree 4: 1 and 3 devices.
        (Rejection::SplitDegree, 2, Some((1, "devices")), |pools, job| {
            pools[0].devices = leak([device(10, 10)]);
            pools[1].devices = leak([device(10, 10), device(10, 10), device(10, 10)]);
            job.requirements.split_degree = Some(4);
        }),
        (Rejection::Stale, 2, Some((500, "us")), |pools, _| {
            (pools[0].age_ms, pools[1].age_ms) = (30_001.0, 30_000.5);
        }),
        (Rejection::Draining, 2, None, |pools, _| (pools[0].draining, pools[1].draining) = (true, true)),
        (Rejection::Slots, 2, Some((1, "slots")), |pools, _| (pools[0].slots_free, pools[1].slots_free) = (0, 0)),
        // 500 against 400 and 450.
        (Rejection::Vram, 2, Some((50, "bytes")), |pools, job| {
            (pools[0].vram_free_bytes, pools[1].vram_free_bytes) = (400, 450);
            job.est_kv_bytes = Some(500);
        }),
        // Shares of 250 on two devices: the second best have 100 and 200, the sums are enough.
        (Rejection::Vram, 2, Some((50, "bytes")), |pools, job| {
            pools[0].devices = leak([device(500, 500), device(500, 100)]);
            pools[1].devices = leak([device(500, 200), device(500, 500)]);
            (job.est_kv_bytes, job.requirements.split_degree) = (Some(500), Some(2));
        }),
        // Slots before VRAM within the stage, and one pool only.
        (Rejection::Slots, 1, Some((1, "slots")), |pools, job| {
            (pools[0].vram_free_bytes, pools[1].slots_free) = (400, 0);
            job.est_kv_bytes = Some(500);
        }),
    ];
    let policy = exact().validate().unwrap();
    for (place, (rejection, count, shortfall, change)) in table.into_iter().enumerate() {
        let mut pools = [pool("a"), pool("b")];
        let mut asking = job();
        change(&mut pools, &mut asking);
        let valid = asking.validate(&policy, None).unwrap();
        let miss = fleet(&pools).explain(&valid, &policy, None).nearest_miss.unwrap();
        assert_eq!((miss.rejection, miss.pools), (rejection, count), "row {place}");
        let found = miss.shortfall.map(|shortfall| (shortfall.amount, shortfall.unit.name()));
        assert_eq!(found, shortfall, "row {place}");
    }
}

/// A table takes spread hashes under a policy that spreads, and only then: KEY-8.
#[test]
fn tables_belong_to_policies() {
    let owner = fleet(&[pool("a"), pool("b")]);
    let spreads = with(|spec| spec.spread_seed = Some(1)).unwrap();
    let vram_first = with(|spec| (spec.spread_seed, spec.order) = (Some(1), Order::VramFirst)).unwrap();
    let plain = Policy::default();
    let table = owner.table();
    let hashes = [1, 2];
    let hashed = PoolTable { spread_hashes: &hashes, ..table };
    assert_eq!([table.check(&plain), table.check(&vram_first)], [Ok(()), Ok(())]);
    assert_eq!(table.check(&spreads), Err(TableError::SpreadHashes));
    assert_eq!(hashed.check(&plain), Err(TableError::SpreadHashes));
    assert_eq!(hashed.check(&spreads), Ok(()));
    let torn = PoolTable { lists: &table.lists[..1], ..table };
    assert_eq!(torn.check(&plain), Err(TableError::Lists));
    let unlisted = PoolTable { lists: &[], ..table };
    assert_eq!(unlisted.check(&plain), Ok(()));
}

/// KV-1: bytes per token and layer in every storage format.
#[test]
fn bytes_per_token_and_layer() {
    let heads = |kv_heads, head_dim| ModelDims::new(1, Attention::Heads { kv_heads, head_dim }, None).unwrap();
    let latent =
        |kv_lora_rank, rope_dim| ModelDims::new(1, Attention::Latent { kv_lora_rank, rope_dim }, None).unwrap();
    // 2 * 2 * 32 = 128 elements, 2 * 1 * 3 = 6 elements, 512 + 64 = 576 elements
    let table = [
        ("f32", 512, 24, 2304),
        ("f16", 256, 12, 1152),
        ("bf16", 256, 12, 1152),
        ("fp8", 128, 6, 576),
        ("int8", 128, 6, 576),
        // 128 * 34 / 32; 6 * 34 / 32 = 6.375; 576 * 34 / 32
        ("q8_0", 136, 7, 612),
        // 24: 96; 4.5; 432
        ("q5_1", 96, 5, 432),
        // 22: 88; 4.125; 396
        ("q5_0", 88, 5, 396),
        // 20: 80; 3.75; 360
        ("q4_1", 80, 4, 360),
        // 18: 72; 3.375; 324
        ("q4_0", 72, 4, 324),
    ];
    assert_eq!(KvFormat::ALL.len(), table.len());
    for (name, grouped, odd, compressed) in table {
        let layout = KvLayout { format: KvFormat::parse(name).unwrap(), block_tokens: 1 };
        assert_eq!(bytes_per_token(&heads(2, 32), layout), grouped, "{name}");
        assert_eq!(bytes_per_token(&heads(1, 3), layout), odd, "{name}");
        assert_eq!(bytes_per_token(&latent(512, 64), layout), compressed, "{name}");
    }
}

/// KV-2: windows and whole blocks, summed over layers.
#[test]
fn tokens_held_by_layers() {
    let attention = Attention::Heads { kv_heads: 1, head_dim: 1 };
    let f16 = |block_tokens| KvLayout { format: KvFormat::F16, block_tokens };
    let windowed = |layers, window_tokens| {
        let sliding = (layers > 0).then_some(SlidingWindow { layers, window_tokens });
        ModelDims::new(6, attention, sliding).unwrap()
    };
    // 4 bytes per token and layer, 6 layers. windowed layers, window, block, context, layer-tokens
    let table = [
        (0, 1, 1, 100, 600),
        // 2 * 100 + 4 * 30
        (4, 30, 1, 100, 320),
        (4, 30, 1, 30, 180),
        (4, 30, 1, 29, 174),
        (6, 30, 1, 100, 180),
        // Whole blocks of 16: 112; 2 * 112 + 4 * 32
        (0, 1, 16, 100, 672),
        (4, 30, 16, 100, 352),
        (4, 32, 16, 96, 320),
        (0, 1, 16, 0, 0),
        (0, 1, 0, 100, 600),
    ];
    for (layers, window, block, context, layer_tokens) in table {
        let bytes = est_kv_bytes(&windowed(layers, window), f16(block), context);
        assert_eq!(bytes, Ok(4 * layer_tokens), "{layers} of {window}, blocks of {block}, {context}");
    }
    // JOB-3: 2^48 bytes are too many. 2^14 layers * 2^11 elements * 2 bytes = 2^26 per token, times 2^22.
    let large = ModelDims::new(1 << 14, Attention::Heads { kv_heads: 1 << 4, head_dim: 1 << 6 }, None).unwrap();
    assert_eq!(est_kv_bytes(&large, f16(1), (1 << 22) - 1), Ok((1 << 48) - (1 << 26)));
    assert_eq!(est_kv_bytes(&large, f16(1), 1 << 22), Err(Problem::TooLarge { max: BYTES as u64 }));
}
