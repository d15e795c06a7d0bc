//! Section 3: jobs, and the limits of section 1 field by field.

use orchestrator_core::commit::committed_tokens;
use orchestrator_core::rows::{JobFlags, JobRow};
use orchestrator_core::{
    Attention, JobSpec, KvHint, KvLayout, ModelDims, PlacementMode, Policy, PolicySpec, PoolSnapshot, Priority,
    Problem, Rejection, ValidJob,
};

use crate::{
    BAD_FLOATS, BYTES, TIME_MAX, TOKENS, assigned, decide, exact, failure, fleet, job, leak, pool, refused, winner,
};

type Job = JobSpec<'static>;
type IntField = (&'static str, i64, fn(&mut Job, i64), Option<fn(&ValidJob<'_>) -> u64>);

fn with<V>(set: fn(&mut Job, V), value: V) -> Job {
    let mut changed = job();
    set(&mut changed, value);
    changed
}

fn facts(job: &Job) -> Result<JobRow, orchestrator_core::FieldError> {
    job.validate(&Policy::default(), None).map(|valid| *valid.facts())
}

fn error(job: &Job) -> Result<(), orchestrator_core::FieldError> {
    facts(job).map(|_| ())
}

/// UNIT-3, UNIT-9: every integer of a job, at its limits and outside.
#[test]
fn integers() {
    let table: [IntField; 8] = [
        ("prompt_tokens", TOKENS, |job, value| job.prompt_tokens = value, Some(|job| job.facts().prompt_tokens.into())),
        (
            "expected_tokens",
            TOKENS,
            |job, value| job.expected_tokens = Some(value),
            Some(|job| job.facts().output_tokens.into()),
        ),
        ("max_tokens", TOKENS, |job, value| job.max_tokens = Some(value), Some(|job| job.facts().output_tokens.into())),
        (
            "required_ctx",
            TOKENS,
            |job, value| job.required_ctx = Some(value),
            Some(|job| job.facts().context_tokens.into()),
        ),
        ("est_kv_bytes", BYTES, |job, value| job.est_kv_bytes = Some(value), Some(|job| job.facts().est_kv_bytes)),
        (
            "requirements.min_vram_bytes",
            BYTES,
            |job, value| job.requirements.min_vram_bytes = value,
            Some(|job| job.facts().min_vram_bytes),
        ),
        ("budget.tokens", BYTES, |job, value| job.budget.tokens = Some(value), None),
        ("budget.cost_micros", BYTES, |job, value| job.budget.cost_micros = Some(value), None),
    ];
    let policy = Policy::default();
    for (field, max, set, get) in table {
        for value in [0, 1, max] {
            let changed = with(set, value);
            let valid = changed.validate(&policy, None).unwrap();
            assert!(get.is_none_or(|get| get(&valid) == value as u64), "{field} {value}");
        }
        for value in [max + 1, i64::MAX] {
            let too_large = Problem::TooLarge { max: max as u64 };
            assert_eq!(error(&with(set, value)), refused(field, too_large), "{field} {value}");
        }
        for value in [-1, i64::MIN] {
            assert_eq!(error(&with(set, value)), refused(field, Problem::Negative), "{field} {value}");
        }
    }
    // The seed is any integer of 64 bits.
    for seed in [i64::MIN, -1, 0, i64::MAX] {
        assert_eq!(error(&with(|job, seed| job.determinism.seed = Some(seed), seed)), Ok(()));
    }
}

/// UNIT-7: a split has 1 to 16 parts.
#[test]
fn split_degrees() {
    let set: fn(&mut Job, i64) = |job, degree| job.requirements.split_degree = Some(degree);
    for degree in 1..=16 {
        assert_eq!(facts(&with(set, degree)).map(|row| i64::from(row.split_degree)), Ok(degree));
    }
    assert_eq!(facts(&job()).map(|row| row.split_degree), Ok(0));
    for degree in [i64::MIN, -1, 0, 17, 272, i64::MAX] {
        assert_eq!(error(&with(set, degree)).unwrap_err().field, "requirements.split.degree", "{degree}");
    }
}

/// UNIT-1: every time of a job.
#[test]
fn times() {
    let table: [(&'static str, fn(&mut Job, f64)); 2] = [
        ("deadline_ms", |job, value| job.deadline_ms = Some(value)),
        ("budget.time_ms", |job, value| job.budget.time_ms = Some(value)),
    ];
    for (field, set) in table {
        for ms in [-0.0, 0.0, 1.5, 70_368_744_177.663] {
            assert_eq!(error(&with(set, ms)), Ok(()), "{field} {ms}");
        }
        for ms in [70_368_744_177.664, f64::MAX] {
            let too_large = Problem::TooLargeScaled { max: TIME_MAX, per: 1000 };
            assert_eq!(error(&with(set, ms)), refused(field, too_large), "{field} {ms}");
        }
        for (ms, problem) in BAD_FLOATS {
            assert_eq!(error(&with(set, ms)), refused(field, problem), "{field} {ms}");
        }
    }
    assert_eq!(facts(&job()).map(|row| row.deadline_us), Ok(JobRow::NO_DEADLINE));
    let deadline = facts(&with(|job, ms| job.deadline_ms = Some(ms), 0.0015));
    assert_eq!(deadline.map(|row| row.deadline_us), Ok(2));
}

/// UNIT-5: ids of 64 bytes, names of 128.
#[test]
fn texts() {
    let ids: [(&'static str, fn(&mut Job, &'static str)); 5] = [
        ("id", |job, text| job.id = text),
        ("session_id", |job, text| job.session_id = Some(text)),
        ("placement.pin_pool_id", |job, text| job.placement.pin_pool_id = Some(text)),
        ("placement.prefer_pools", |job, text| job.placement.prefer_pools = leak(["a", text])),
        ("placement.avoid_pools", |job, text| job.placement.avoid_pools = leak([text])),
    ];
    let names: [(&'static str, fn(&mut Job, &'static str)); 9] = [
        ("engine", |job, text| job.engine = text),
        ("model_id", |job, text| job.model_id = text),
        ("requirements.quantization", |job, text| job.requirements.quantization = Some(text)),
        ("requirements.required_extensions", |job, text| job.requirements.required_extensions = leak([text])),
        ("determinism.sampler_profile_version", |job, text| job.determinism.sampler_profile_version = Some(text)),
        ("determinism.engine_version", |job, text| job.determinism.engine_version = Some(text)),
        ("determinism.model_digest", |job, text| job.determinism.model_digest = Some(text)),
        ("placement.require_labels", |job, text| job.placement.require_labels = leak([(text, "v")])),
        ("placement.require_labels", |job, text| job.placement.require_labels = leak([("k", text)])),
    ];
    let ids = ids.map(|(field, set)| (field, set, 64));
    let names = names.map(|(field, set)| (field, set, 128));
    for (field, set, max_bytes) in ids.into_iter().chain(names) {
        let of_bytes = |bytes: usize| -> &'static str { "x".repeat(bytes).leak() };
        assert_eq!(error(&with(set, of_bytes(1))), Ok(()), "{field}");
        assert_eq!(error(&with(set, of_bytes(max_bytes))), Ok(()), "{field}");
        assert_eq!(error(&with(set, of_bytes(max_bytes + 1))), refused(field, Problem::TooLong { max_bytes }));
        assert_eq!(error(&with(set, "")), refused(field, Problem::Empty));
    }
}

/// UNIT-4, UNIT-6: a malformed text refuses the job and names its field.
#[test]
fn malformed_texts() {
    let table: [(&'static str, fn(&mut Job, &'static str)); 3] = [
        ("requirements.min_compute_cap", |job, text| job.requirements.min_compute_cap = Some(text)),
        ("requirements.device_mask", |job, text| job.requirements.device_mask = Some(text)),
        ("placement.require_device_mask", |job, text| job.placement.require_device_mask = Some(text)),
    ];
    for (field, set) in table {
        assert_eq!(error(&with(set, "1")), Ok(()), "{field}");
        for text in ["", "x", "-1", "256"] {
            let refusal = error(&with(set, text)).unwrap_err();
            assert_eq!(refusal.field, field, "{text:?}");
            assert!(matches!(refusal.problem, Problem::Malformed { .. }), "{text:?}");
        }
    }
}

/// UNIT-7: at most 64 hints of a kind; a label key that stands twice refuses the job.
#[test]
fn lists() {
    let ids = |count: usize| leak((0..count).map(|i| &*format!("p{i}").leak()));
    let labels = |count: usize| leak((0..count).map(|i| (&*format!("k{i}").leak(), "v")));
    let mut full = job();
    full.placement.prefer_pools = ids(64);
    full.placement.avoid_pools = ids(64);
    full.placement.require_labels = labels(64);
    assert_eq!(error(&full), Ok(()));
    let too_many = Problem::TooMany { max: 64 };
    let mut changed = full;
    changed.placement.prefer_pools = ids(65);
    assert_eq!(error(&changed), refused("placement.prefer_pools", too_many));
    changed = full;
    changed.placement.avoid_pools = ids(65);
    assert_eq!(error(&changed), refused("placement.avoid_pools", too_many));
    changed = full;
    changed.placement.require_labels = labels(65);
    assert_eq!(error(&changed), refused("placement.require_labels", too_many));
    changed = full;
    changed.placement.require_labels = leak([("k", "v"), ("l", "v"), ("k", "w")]);
    assert_eq!(error(&changed), refused("placement.require_labels", Problem::Repeated));
}

/// JOB-1
#[test]
fn output_tokens() {
    let table = [
        (None, None, 77),
        (Some(5), None, 5),
        (None, Some(9), 9),
        (Some(5), Some(9), 5),
        (Some(9), Some(5), 5),
        (Some(0), Some(9), 0),
        (Some(9), Some(0), 0),
        (Some(0), None, 0),
    ];
    let policy = PolicySpec { default_output_tokens: 77, ..PolicySpec::default() };
    let policy = policy.validate().unwrap();
    for (expected, max, output) in table {
        let mut asking = job();
        (asking.expected_tokens, asking.max_tokens) = (expected, max);
        let valid = asking.validate(&policy, None).unwrap();
        assert_eq!(valid.facts().output_tokens, output, "{expected:?} {max:?}");
    }
}

/// JOB-2: given or derived, against a known and an unknown longest context.
#[test]
fn contexts() {
    // required_ctx, prompt, output, ctx_max, fits
    let table = [
        (Some(100), 0, 0, Some(100), true),
        (Some(101), 0, 0, Some(100), false),
        (Some(1), 0, 0, None, false),
        (Some(0), 0, 0, None, true),
        (Some(0), 60, 60, Some(100), true),
        (Some(100), 60, 60, Some(100), true),
        (None, 60, 40, Some(100), true),
        (None, 61, 40, Some(100), false),
        (None, 60, 41, Some(100), false),
        (None, 61, 40, None, true),
        (None, 0, 0, Some(0), true),
        (None, 0, 1, Some(0), false),
    ];
    for (required_ctx, prompt, output, ctx_max, fits) in table {
        let mut asking = job();
        asking.required_ctx = required_ctx;
        asking.prompt_tokens = prompt;
        asking.expected_tokens = Some(output);
        let mut served = pool("a");
        served.supports.ctx_max = ctx_max;
        let expected = (!fits).then_some(Rejection::Context);
        assert_eq!(failure(&[served], &asking), expected, "{required_ctx:?} {prompt} + {output} {ctx_max:?}");
    }
    // UNIT-3: a derived context may be the sum of two largest counts: 2 * (2^24 - 1).
    let mut longest = job();
    (longest.prompt_tokens, longest.max_tokens) = (TOKENS, Some(TOKENS));
    assert_eq!(facts(&longest).map(|row| row.context_tokens), Ok(33_554_430));
    assert_eq!(facts(&longest).map(|row| row.flags.has(JobFlags::CONTEXT_GIVEN)), Ok(false));
}

/// JOB-3: the KV need where it is not given.
#[test]
fn estimated_kv() {
    // 2 layers * 2 * 1 * 4 elements * 2 bytes = 32 bytes per token.
    let dims = ModelDims::new(2, Attention::Heads { kv_heads: 1, head_dim: 4 }, None).unwrap();
    let known = Some((&dims, KvLayout::default()));
    let policy = Policy::default();
    let mut asking = job();
    (asking.prompt_tokens, asking.max_tokens) = (10, Some(20));
    let kv = |job: &Job, dims| job.validate(&policy, dims).map(|valid| valid.facts().est_kv_bytes);
    // Derived: 30 tokens.
    assert_eq!(kv(&asking, known), Ok(960));
    assert_eq!(kv(&asking, None), Ok(0));
    asking.required_ctx = Some(100);
    assert_eq!(kv(&asking, known), Ok(3200));
    asking.est_kv_bytes = Some(5);
    assert_eq!(kv(&asking, known), Ok(5));
    asking.est_kv_bytes = Some(0);
    assert_eq!(kv(&asking, known), Ok(0));

    // 256 layers * 2 * 128 * 128 elements * 2 bytes = 2^24 bytes per token.
    let attention = Attention::Heads { kv_heads: 128, head_dim: 128 };
    let dims = ModelDims::new(256, attention, None).unwrap();
    let known = Some((&dims, KvLayout::default()));
    let mut longest = job();
    (longest.prompt_tokens, longest.max_tokens) = (TOKENS, Some(0));
    // (2^24 - 1) * 2^24 = 2^48 - 2^24
    assert_eq!(kv(&longest, known), Ok(281_474_959_933_440));
    // One token more is 2^48.
    longest.max_tokens = Some(1);
    assert_eq!(kv(&longest, known), refused("est_kv_bytes", Problem::TooLarge { max: BYTES as u64 }));
    longest.est_kv_bytes = Some(1);
    assert_eq!(kv(&longest, known), Ok(1));
}

/// JOB-4: all sixteen combinations of mode, pin and preferences.
#[test]
fn modes() {
    use PlacementMode::{Auto, Pin, Prefer};
    // mode, pin, prefer_pools, meant (None: refused)
    let table = [
        (None, false, false, Some(Auto)),
        (None, true, false, Some(Pin)),
        (None, false, true, Some(Prefer)),
        (None, true, true, None),
        (Some(Auto), false, false, Some(Auto)),
        (Some(Auto), true, false, None),
        (Some(Auto), false, true, None),
        (Some(Auto), true, true, None),
        (Some(Pin), false, false, None),
        (Some(Pin), true, false, Some(Pin)),
        (Some(Pin), false, true, None),
        (Some(Pin), true, true, None),
        (Some(Prefer), false, false, None),
        (Some(Prefer), true, false, None),
        (Some(Prefer), false, true, Some(Prefer)),
        (Some(Prefer), true, true, None),
    ];
    for (mode, pin, prefer, meant) in table {
        let mut asking = job();
        asking.placement.mode = mode;
        asking.placement.pin_pool_id = pin.then_some("a");
        asking.placement.prefer_pools = if prefer { &["a"] } else { &[] };
        // These go with every mode.
        asking.placement.avoid_pools = &["b"];
        asking.placement.require_labels = &[("k", "v")];
        asking.placement.require_device_mask = Some("0");
        let valid = asking.validate(&Policy::default(), None);
        let found = valid.as_ref().map(ValidJob::mode).map_err(|error| error.field);
        assert_eq!(found, meant.ok_or("placement.mode"), "{mode:?} pin={pin} prefer={prefer}");
    }
}

/// JOB-5: hints name all replicas of an id, and may name none.
#[test]
fn hints_name_ids() {
    let replica = |id, replica_id| PoolSnapshot { replica_id, ..pool(id) };
    let pools = [replica("a", "1"), replica("a", "2"), replica("b", "1"), replica("b", "2")];
    let owner = fleet(&pools);
    let name = |job: &Job| {
        let rank = decide(&pools, job).assignment().map(|assignment| assignment.rank);
        rank.and_then(|rank| owner.pool_id(rank).map(|(id, replica)| format!("{id}/{replica}")))
    };
    let mut asking = job();
    asking.placement.pin_pool_id = Some("b");
    assert_eq!(name(&asking).as_deref(), Some("b/1"));
    asking.placement.pin_pool_id = Some("none");
    assert_eq!(name(&asking), None);
    asking.placement.pin_pool_id = None;
    asking.placement.avoid_pools = &["a", "none"];
    assert_eq!(name(&asking).as_deref(), Some("b/1"));
    asking.placement.avoid_pools = &["b", "a"];
    assert_eq!(name(&asking), None);
    asking.placement.avoid_pools = &[];
    asking.placement.prefer_pools = &["none", "b"];
    assert_eq!(name(&asking).as_deref(), Some("b/1"));
    asking.placement.prefer_pools = &["none"];
    assert_eq!(name(&asking).as_deref(), Some("a/1"));

    // All replicas of "b" are full or not: each counts as preferred by itself.
    let mut pools = pools;
    pools[2].slots_free = 0;
    asking.placement.prefer_pools = &["b"];
    let rank = decide(&pools, &asking).assignment().map(|assignment| assignment.rank);
    assert_eq!(rank, Some(3));
    // An id is no prefix.
    let pools = [pool("ab"), pool("b")];
    asking.placement.prefer_pools = &["a"];
    assert_eq!(winner(&pools, &asking, &exact()), "ab");
    let given = assigned(&pools, &asking, &exact(), None);
    assert!(given.fallback);
}

/// JOB-6: what changes no decision.
#[test]
fn fields_that_change_nothing() {
    let mut fast = pool("b");
    (fast.perf_tokens_per_s, fast.first_token_ms) = (Some(50.0), Some(1.0));
    let mut slow = pool("a");
    (slow.perf_tokens_per_s, slow.first_token_ms) = (Some(40.0), Some(1.0));
    let plain = assigned(&[slow, fast], &job(), &PolicySpec::default(), None);
    let changes: [fn(&mut Job); 6] = [
        |job| job.priority = Priority::Interactive,
        |job| job.determinism.seed = Some(i64::MIN),
        |job| job.budget.tokens = Some(0),
        |job| job.budget.time_ms = Some(0.0),
        |job| job.budget.cost_micros = Some(0),
        |job| job.deadline_ms = Some(0.0),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut asking = job();
        change(&mut asking);
        let mut changed = assigned(&[slow, fast], &asking, &PolicySpec::default(), None);
        // The deadline is reported, and does not decide: 256 * 20 ms + 1 ms is late.
        let expected = asking.deadline_ms.map(|_| false);
        assert_eq!(changed.on_time, expected, "row {place}");
        changed.on_time = plain.on_time;
        assert_eq!(changed, plain, "row {place}");
    }
    (fast.queue_depth, slow.queue_depth) = (4_294_967_295, 0);
    assert_eq!(assigned(&[slow, fast], &job(), &PolicySpec::default(), None), plain);
    // At its deadline a job is on time, 1 µs later it is not: 1 ms + 256 * 20 ms = 5,121 ms.
    for (deadline_ms, on_time) in [(5_121.0, true), (5_120.999, false)] {
        let mut asking = job();
        asking.deadline_ms = Some(deadline_ms);
        let given = assigned(&[slow, fast], &asking, &PolicySpec::default(), None);
        assert_eq!((given.end_us, given.on_time), (Some(5_121_000), Some(on_time)));
    }
}

/// JOB-7: `est_kv_bytes` is the KV need, `min_vram_bytes` the weight need.
#[test]
fn needs() {
    let mut asking = job();
    asking.est_kv_bytes = Some(30);
    asking.requirements.min_vram_bytes = 500;
    asking.kv_hint = KvHint::Cold;
    let mut cold = pool("a");
    cold.resident_models = Some(&[]);
    let valid = asking.validate(&Policy::default(), None).unwrap();
    let lease = fleet(&[cold]).commit(&valid, 0).unwrap();
    assert_eq!((lease.kv_bytes, lease.weight_bytes), (30, 500));
    assert_eq!(valid.facts().need_bytes(true), 30);
    assert_eq!(valid.facts().need_bytes(false), 530);
    assert_eq!(valid.facts().whole_bytes(), 530);
    // 0 prompt tokens and 256 by default.
    assert_eq!(committed_tokens(valid.facts()), 256);
}
