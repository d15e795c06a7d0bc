//! Section 2: pools, and the limits of section 1 field by field.

use orchestrator_core::rows::{ClassFlags, PoolClass, PoolFlags, PoolRow};
use orchestrator_core::{DeviceMask, PoolSnapshot, Problem, Rejection, ValidPool};

use crate::{BAD_FLOATS, BYTES, TIME_MAX, TOKENS, assigned, device, exact, failure, job, leak, pool, refused, warm};

type Pool = PoolSnapshot<'static>;
type IntField = (&'static str, i64, fn(&mut Pool, i64), fn(&ValidPool<'_>) -> u64);
type FloatField = (&'static str, fn(&mut Pool, f64), fn(&ValidPool<'_>) -> u64);

fn with<V>(set: fn(&mut Pool, V), value: V) -> Pool {
    let mut changed = pool("a");
    set(&mut changed, value);
    changed
}

fn error(pool: &Pool) -> Result<(), orchestrator_core::FieldError> {
    pool.validate().map(|_| ())
}

/// UNIT-3, UNIT-9: every integer of a pool, at its limits and outside.
#[test]
fn integers() {
    let table: [IntField; 9] = [
        ("slots_total", 32_767, |pool, value| pool.slots_total = value, |pool| pool.row().slots_total.into()),
        (
            "slots_free",
            32_767,
            |pool, value| (pool.slots_total, pool.slots_free) = (32_767, value),
            |pool| pool.row().slots_free.into(),
        ),
        ("vram_total_bytes", BYTES, |pool, value| pool.vram_total_bytes = value, |pool| pool.class().vram_total_bytes),
        (
            "vram_free_bytes",
            BYTES,
            |pool, value| (pool.vram_total_bytes, pool.vram_free_bytes) = (BYTES, value),
            |pool| pool.row().vram_free_bytes,
        ),
        (
            "queue_depth",
            4_294_967_295,
            |pool, value| pool.queue_depth = value,
            |pool| pool.snapshot().queue_depth as u64,
        ),
        (
            "supports.ctx_max",
            TOKENS,
            |pool, value| pool.supports.ctx_max = Some(value),
            |pool| pool.class().ctx_max.into(),
        ),
        (
            "devices.vram_total_bytes",
            BYTES,
            |pool, value| pool.devices = leak([device(value, 0)]),
            |pool| pool.class().vram_total_bytes,
        ),
        (
            "devices.vram_free_bytes",
            BYTES,
            |pool, value| pool.devices = leak([device(BYTES, value)]),
            |pool| pool.row().vram_free_bytes,
        ),
        (
            "warm_sessions.cached_tokens",
            TOKENS,
            |pool, value| pool.warm_sessions = leak([warm("s", value)]),
            |pool| pool.warm_sessions().next().unwrap().1.into(),
        ),
    ];
    for (field, max, set, get) in table {
        for value in [0, 1, max] {
            let valid = with(set, value);
            assert_eq!(valid.validate().map(|pool| get(&pool)), Ok(value as u64), "{field} {value}");
        }
        for value in [max + 1, i64::MAX] {
            let too_large = Problem::TooLarge { max: max as u64 };
            assert_eq!(error(&with(set, value)), refused(field, too_large), "{field} {value}");
        }
        for value in [-1, i64::MIN] {
            assert_eq!(error(&with(set, value)), refused(field, Problem::Negative), "{field} {value}");
        }
    }
}

/// UNIT-1: every time of a pool.
#[test]
fn times() {
    let table: [FloatField; 4] = [
        ("first_token_ms", |pool, value| pool.first_token_ms = Some(value), |pool| pool.row().first_token_us),
        (
            "admission_latency_ms",
            |pool, value| pool.admission_latency_ms = value,
            |pool| pool.row().admission_latency_us,
        ),
        ("model_load_ms", |pool, value| pool.model_load_ms = value, |pool| pool.row().model_load_us),
        ("age_ms", |pool, value| pool.age_ms = value, |pool| pool.row().age_us),
    ];
    for (field, set, get) in table {
        for (ms, us) in [(-0.0, 0), (0.0, 0), (1.5, 1500), (70_368_744_177.663, TIME_MAX)] {
            let valid = with(set, ms);
            assert_eq!(valid.validate().map(|pool| get(&pool)), Ok(us), "{field} {ms}");
        }
        for ms in [70_368_744_177.664, f64::MAX] {
            let too_large = Problem::TooLargeScaled { max: TIME_MAX, per: 1000 };
            assert_eq!(error(&with(set, ms)), refused(field, too_large), "{field} {ms}");
        }
        for (ms, problem) in BAD_FLOATS {
            assert_eq!(error(&with(set, ms)), refused(field, problem), "{field} {ms}");
        }
    }
}

/// UNIT-2: every rate of a pool.
#[test]
fn rates() {
    let table: [FloatField; 2] = [
        ("perf_tokens_per_s", |pool, value| pool.perf_tokens_per_s = Some(value), |pool| pool.row().decode_q10.into()),
        (
            "prefill_tokens_per_s",
            |pool, value| pool.prefill_tokens_per_s = Some(value),
            |pool| pool.row().prefill_q10.into(),
        ),
    ];
    for (field, set, get) in table {
        // 238 / 1024 µs is the rounded time per token of the fastest rate: see the table of units.
        for (rate, q10) in [(-0.0, 0), (0.238, 0), (0.239, 4_284_518_828), (50.0, 20_480_000), (4_294_967.295, 238)] {
            let valid = with(set, rate);
            assert_eq!(valid.validate().map(|pool| get(&pool)), Ok(q10), "{field} {rate}");
        }
        for rate in [4_294_967.296, f64::MAX] {
            let too_large = Problem::TooLargeScaled { max: 4_294_967_295, per: 1000 };
            assert_eq!(error(&with(set, rate)), refused(field, too_large), "{field} {rate}");
        }
        for (rate, problem) in BAD_FLOATS {
            assert_eq!(error(&with(set, rate)), refused(field, problem), "{field} {rate}");
        }
    }
    let mut both = pool("a");
    both.perf_tokens_per_s = Some(50.0);
    assert_eq!(both.validate().unwrap().row().milli_tps, 50_000);
}

/// UNIT-5: ids of 64 bytes, names of 128, in bytes and not in characters.
#[test]
fn texts() {
    let ids: [(&'static str, fn(&mut Pool, &'static str)); 2] = [
        ("id", |pool, text| pool.id = text),
        ("warm_sessions.session_id", |pool, text| pool.warm_sessions = leak([warm(text, 1)])),
    ];
    let names: [(&'static str, fn(&mut Pool, &'static str)); 10] = [
        ("engine", |pool, text| pool.engine = text),
        ("engine_version", |pool, text| pool.engine_version = Some(text)),
        ("sampler_profile_version", |pool, text| pool.sampler_profile_version = Some(text)),
        ("supports.quantizations", |pool, text| pool.supports.quantizations = leak(["q", text])),
        ("supports.extensions", |pool, text| pool.supports.extensions = leak([text])),
        ("supports.models", |pool, text| pool.supports.models = Some(leak([text]))),
        ("supports.model_digests", |pool, text| pool.supports.model_digests = leak([text])),
        ("resident_models", |pool, text| pool.resident_models = Some(leak([text]))),
        ("labels", |pool, text| pool.labels = leak([(text, "v")])),
        ("labels", |pool, text| pool.labels = leak([("k", text)])),
    ];
    let ids = ids.map(|(field, set)| (field, set, 64));
    let names = names.map(|(field, set)| (field, set, 128));
    for (field, set, max_bytes) in ids.into_iter().chain(names) {
        let of_bytes = |bytes: usize| -> &'static str { "x".repeat(bytes).leak() };
        // Two bytes per character.
        let wide: &'static str = "é".repeat(max_bytes / 2 + 1).leak();
        assert_eq!(error(&with(set, of_bytes(1))), Ok(()), "{field}");
        assert_eq!(error(&with(set, of_bytes(max_bytes))), Ok(()), "{field}");
        let too_long = Problem::TooLong { max_bytes };
        assert_eq!(error(&with(set, of_bytes(max_bytes + 1))), refused(field, too_long));
        assert_eq!(error(&with(set, wide)), refused(field, too_long));
        assert_eq!(error(&with(set, "")), refused(field, Problem::Empty));
    }
    // A replica may be empty.
    let mut replica = pool("a");
    for (text, expected) in [
        ("", Ok(())),
        ("x".repeat(64).leak(), Ok(())),
        ("x".repeat(65).leak(), refused("replica_id", Problem::TooLong { max_bytes: 64 })),
    ] {
        replica.replica_id = text;
        assert_eq!(error(&replica), expected);
    }
}

/// UNIT-4, UNIT-6: a malformed text refuses its row and names its field.
#[test]
fn malformed_texts() {
    let table: [(&'static str, fn(&mut Pool, &'static str)); 4] = [
        ("compute_capability", |pool, text| pool.compute_capability = Some(text)),
        ("supports.min_compute_cap", |pool, text| pool.supports.min_compute_cap = Some(text)),
        ("devices.compute_capability", |pool, text| {
            let mut own = device(1, 1);
            own.compute_capability = Some(text);
            pool.devices = leak([own]);
        }),
        ("device_mask", |pool, text| pool.device_mask = Some(text)),
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

/// UNIT-7: lists at their limits; a session or a label key that stands twice refuses the row.
#[test]
fn lists() {
    let sessions = |count: usize| {
        // In descending order, so that repeats are not neighbours.
        leak((0..count).rev().map(|i| warm(format!("s{i:03}").leak(), 1)))
    };
    let labels = |count: usize| leak((0..count).map(|i| (&*format!("k{i}").leak(), "v")));
    let mut full = pool("a");
    full.warm_sessions = sessions(256);
    full.labels = labels(16);
    full.devices = leak((0..16).map(|_| device(1, 1)));
    full.resident_models = Some(leak((0..64).map(|i| &*format!("m{i}").leak())));
    assert_eq!(error(&full), Ok(()));

    let table: [(&'static str, usize, fn(&mut Pool)); 4] = [
        ("warm_sessions", 256, |pool| {
            pool.warm_sessions = leak((0..257).map(|i| warm(format!("s{i}").leak(), 1)));
        }),
        ("labels", 16, |pool| pool.labels = leak((0..17).map(|i| (&*format!("k{i}").leak(), "v")))),
        ("devices", 16, |pool| pool.devices = leak((0..17).map(|_| device(1, 1)))),
        ("resident_models", 64, |pool| {
            pool.resident_models = Some(leak((0..65).map(|i| &*format!("m{i}").leak())));
        }),
    ];
    for (field, max, change) in table {
        let mut changed = full;
        change(&mut changed);
        assert_eq!(error(&changed), refused(field, Problem::TooMany { max }));
    }

    for repeated in [["s", "s", "t"], ["s", "t", "s"], ["t", "s", "s"], ["t", "s", "t"]] {
        let mut changed = pool("a");
        changed.warm_sessions = leak(repeated.map(|session| warm(session, 1)));
        assert_eq!(error(&changed), refused("warm_sessions", Problem::Repeated), "{repeated:?}");
    }
    let mut changed = pool("a");
    changed.labels = leak([("k", "v"), ("l", "v"), ("k", "w")]);
    assert_eq!(error(&changed), refused("labels", Problem::Repeated));
}

/// POOL-2: VRAM is the sum over the devices.
#[test]
fn vram_of_devices() {
    let mut published = pool("a");
    published.devices = leak([]);
    let valid = published.validate().unwrap();
    assert_eq!((valid.class().vram_total_bytes, valid.row().vram_free_bytes), (1000, 1000));
    assert!(valid.devices().is_empty());

    published.devices = leak([device(300, 100), device(500, 250)]);
    let valid = published.validate().unwrap();
    // 300 + 500 and 100 + 250, not the 1,000 that the pool published.
    assert_eq!((valid.class().vram_total_bytes, valid.row().vram_free_bytes), (800, 350));

    // 2^47 + (2^47 - 1) = 2^48 - 1; one more is 2^48.
    let half = 1 << 47;
    published.devices = leak([device(half, 0), device(half - 1, 0)]);
    assert_eq!(error(&published), Ok(()));
    published.devices = leak([device(half, 0), device(half, 0)]);
    assert_eq!(error(&published), refused("devices", Problem::TooLarge { max: BYTES as u64 }));
}

/// POOL-3: the i-th device has the i-th smallest id of the mask.
#[test]
fn ids_of_devices() {
    let mut two = pool("a");
    two.devices = leak([device(100, 50), device(200, 150)]);
    two.device_mask = Some("5,2");
    // Device 0 (50 free) has id 2, device 1 (150 free) has id 5.
    let mut split = job();
    split.requirements.split_degree = Some(1);
    split.requirements.min_vram_bytes = 0;
    split.est_kv_bytes = Some(100);
    split.requirements.device_mask = Some("2");
    assert_eq!(failure(&[two], &split), Some(Rejection::Vram));
    split.requirements.device_mask = Some("5");
    let devices = assigned(&[two], &split, &exact(), None).devices;
    assert_eq!(devices, DeviceMask::from_bits(1 << 5));

    for mask in ["0", "0,1,2"] {
        two.device_mask = Some(mask);
        assert_eq!(two.validate().unwrap_err().field, "device_mask", "{mask}");
    }
}

/// POOL-3: without a mask the ids are 0, 1, …, n-1, for every purpose.
#[test]
fn ids_of_devices_without_a_mask() {
    let mut two = pool("a");
    two.devices = leak([device(100, 50), device(200, 150)]);
    assert_eq!(two.validate().unwrap().class().device_mask, DeviceMask::from_bits(0b11));
    let mut asking = job();
    asking.requirements.device_mask = Some("0,1");
    asking.placement.require_device_mask = Some("1,0");
    assert_eq!(failure(&[two], &asking), None);
    asking.placement.require_device_mask = Some("0");
    assert_eq!(failure(&[two], &asking), Some(Rejection::DeviceMaskMismatch));
    asking.placement.require_device_mask = None;
    asking.requirements.device_mask = Some("1,2");
    assert_eq!(failure(&[two], &asking), Some(Rejection::MaskNotWithin));
    // Without devices there is no such mask.
    assert!(pool("a").validate().unwrap().class().device_mask.is_empty());
}

/// UNIT-9: what a pool does not say has the default of section 2.
#[test]
fn defaults() {
    let minimal = pool("a");
    let valid = minimal.validate().unwrap();
    let row = valid.row();
    assert_eq!(row.first_token_us, PoolRow::FIRST_TOKEN_UNKNOWN);
    assert_eq!((row.decode_q10, row.milli_tps, row.prefill_q10), (0, 0, 0));
    assert_eq!((row.admission_latency_us, row.model_load_us, row.age_us), (0, 0, 0));
    assert_eq!(valid.class().ctx_max, PoolClass::CTX_UNKNOWN);
    assert!(row.flags.has(PoolFlags::READY));
    for flag in [PoolFlags::DRAINING, PoolFlags::RESIDENCY_PUBLISHED, PoolFlags::WARM_SESSIONS] {
        assert!(!row.flags.has(flag));
    }
    for flag in [ClassFlags::CAPABILITY_KNOWN, ClassFlags::MIN_CAPABILITY, ClassFlags::MODELS_LISTED] {
        assert!(!valid.class().flags.has(flag));
    }
    assert!(valid.class().device_mask.is_empty() && valid.devices().is_empty());
}
