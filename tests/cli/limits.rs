//! Every field of pools and jobs at its limit and one above it, and numbers that are none. UNIT-1 to UNIT-9 at the wire.

use serde_json::{Value, json};

use super::support::{Desk, fleet_of, job, lines_of, pool, with};

/// A field's path, a JSON text that it takes, and one that is refused.
type Limit = (&'static str, String, String);

fn limit(path: &'static str, most: impl ToString, above: impl ToString) -> Limit {
    (path, most.to_string(), above.to_string())
}

fn text(bytes: usize) -> Value {
    "x".repeat(bytes).into()
}

/// A text field that takes up to `most` bytes.
fn texts(path: &'static str, most: usize) -> [Limit; 2] {
    // Bytes count, not characters.
    let wide = Value::from("é".repeat(most / 2) + "x");
    [limit(path, text(most), text(most + 1)), limit(path, text(1), wide)]
}

fn list_of_names(path: &'static str, most: usize) -> [Limit; 2] {
    let one = |bytes| json!(["ok", text(bytes)]);
    [limit(path, one(most), one(most + 1)), limit(path, "[]", "[\"\"]")]
}

/// Entries that differ.
fn names(count: usize) -> Value {
    (0..count).map(|number| format!("n{number}")).collect()
}

fn labels(count: usize) -> Value {
    let entries = (0..count).map(|number| (format!("k{number}"), Value::from("v")));
    Value::Object(entries.collect())
}

fn devices(count: usize, total: u64) -> Value {
    (0..count).map(|_| json!({"vram_total_bytes": total, "vram_free_bytes": total})).collect()
}

fn sessions(count: usize) -> Value {
    (0..count).map(|number| json!({"session_id": format!("s{number}"), "cached_tokens": 1})).collect()
}

const BYTES_MAX: u64 = (1 << 48) - 1;
const TOKENS_MAX: u64 = (1 << 24) - 1;
/// UNIT-1: the last microsecond below 2^46, and the first that is not.
const TIME: (&str, &str) = ("70368744177.663", "70368744177.664");
/// UNIT-2: 2^32 - 1 thousandths, and one more.
const RATE: (&str, &str) = ("4294967.295", "4294967.296");

fn pool_limits() -> Vec<Limit> {
    let mut limits = vec![
        limit("compute_capability", "\"255.255\"", "\"255.256\""),
        limit("compute_capability", "\"9\"", "\"256\""),
        limit("compute_capability", "\"8.9\"", "\"8.9a\""),
        limit("slots_total", 32767, 32768),
        limit("slots_free", 32767, 32768),
        limit("vram_total_bytes", BYTES_MAX, BYTES_MAX + 1),
        limit("vram_free_bytes", BYTES_MAX, BYTES_MAX + 1),
        limit("perf_tokens_per_s", RATE.0, RATE.1),
        limit("prefill_tokens_per_s", RATE.0, RATE.1),
        limit("queue_depth", u32::MAX, 1_u64 << 32),
        limit("supports.ctx_max", TOKENS_MAX, TOKENS_MAX + 1),
        limit("supports.min_compute_cap", "\"255.0\"", "\"256.0\""),
        limit("resident_models", names(64), names(65)),
        limit("devices", devices(16, 1 << 30), devices(17, 1 << 30)),
        // POOL-2: the sum has the limit too.
        limit("devices", devices(2, (1 << 47) - 1), devices(2, 1 << 47)),
        limit("device_mask", "\"0,63\"", "\"0,64\""),
        limit("device_mask", "\"GPU1, gpu0\"", "\"0,0\""),
        limit("device_mask", "\" 1 , 2 \"", "\"1,,2\""),
        limit("device_mask", "null", "\"\""),
        limit("labels", labels(16), labels(17)),
        limit("labels", json!({text(128).as_str().unwrap(): "v"}), json!({text(129).as_str().unwrap(): "v"})),
        limit("labels", json!({"k": text(128)}), json!({"k": text(129)})),
        limit("labels", "{}", json!({"k": ""})),
        limit("warm_sessions", sessions(256), sessions(257)),
        limit("warm_sessions", sessions(2), json!([sessions(1)[0], sessions(1)[0]])),
        limit("ready", "false", "0"),
        limit("draining", "true", "\"true\""),
    ];
    for time in ["first_token_ms", "admission_latency_ms", "model_load_ms", "age_ms"] {
        limits.push(limit(time, TIME.0, TIME.1));
        limits.push(limit(time, "-0.0", "-0.001"));
    }
    limits.extend(texts("id", 64).into_iter().chain(texts("replica_id", 64)));
    limits.extend([limit("id", "\"é\"", "\"\""), limit("replica_id", "\"\"", "5")]);
    for name in ["engine", "engine_version", "sampler_profile_version"] {
        limits.extend(texts(name, 128));
        limits.push(limit(name, "\"v\"", "\"\""));
    }
    for list in ["quantizations", "extensions", "models", "model_digests"] {
        let path: &'static str = match list {
            "quantizations" => "supports.quantizations",
            "extensions" => "supports.extensions",
            "models" => "supports.models",
            _ => "supports.model_digests",
        };
        limits.extend(list_of_names(path, 128));
    }
    limits.extend(list_of_names("resident_models", 128));
    limits
}

/// Fields inside lists: the list's path, the field's name in messages, and the list around a value.
const IN_LISTS: [(&str, &str, &str); 5] = [
    ("devices", "devices.vram_total_bytes", r#"[{"vram_total_bytes":@,"vram_free_bytes":1}]"#),
    ("devices", "devices.vram_free_bytes", r#"[{"vram_total_bytes":8,"vram_free_bytes":@}]"#),
    ("devices", "devices.compute_capability", r#"[{"vram_total_bytes":8,"vram_free_bytes":8,"compute_capability":@}]"#),
    ("warm_sessions", "warm_sessions.session_id", r#"[{"session_id":@,"cached_tokens":1}]"#),
    ("warm_sessions", "warm_sessions.cached_tokens", r#"[{"session_id":"s","cached_tokens":@}]"#),
];

fn in_list(field: &str, value: &str) -> String {
    let (path, _, list) = IN_LISTS.iter().find(|(_, name, _)| *name == field).unwrap();
    with(&pool("tested"), path, &list.replace('@', value))
}

/// Rows of pools at the limit and above it, with the field that the refusal names.
fn pool_rows() -> Vec<(&'static str, String, String)> {
    let row =
        |(path, most, above): Limit| (path, with(&pool("tested"), path, &most), with(&pool("tested"), path, &above));
    let mut rows: Vec<_> = pool_limits().into_iter().map(row).collect();
    for (field, most, above) in [
        limit("devices.vram_total_bytes", BYTES_MAX, BYTES_MAX + 1),
        limit("devices.vram_free_bytes", BYTES_MAX, BYTES_MAX + 1),
        limit("devices.compute_capability", "\"255.255\"", "\"255.256\""),
        limit("warm_sessions.session_id", text(64), text(65)),
        limit("warm_sessions.session_id", text(1), text(0)),
        limit("warm_sessions.cached_tokens", TOKENS_MAX, TOKENS_MAX + 1),
    ] {
        rows.push((field, in_list(field, &most), in_list(field, &above)));
    }
    rows
}

#[test]
fn pools_at_every_limit_are_taken_and_above_it_refused() {
    let desk = Desk::new();
    for (field, most, above) in pool_rows() {
        let taken = desk.place(fleet_of([pool("ok").to_string(), most]), lines_of([job("j")]), &[]);
        taken.expect(0).says("fleet: 2 pools, 0 rows refused");
        let refused = desk.place(fleet_of([pool("ok").to_string(), above]), lines_of([job("j")]), &[]);
        let refused = refused.expect(1).says("fleet: 1 pools, 1 rows refused");
        assert_eq!(refused.only_line()["pool_id"], "ok");
        refused.says(&format!("fleet.json:3: refused: {field}: "));
    }
}

fn job_limits() -> Vec<Limit> {
    let mut limits = vec![
        limit("priority", "\"interactive\"", "\"Interactive\""),
        limit("kv_hint", "\"cold\"", "\"warm\""),
        limit("est_kv_bytes", BYTES_MAX, BYTES_MAX + 1),
        limit("requirements.min_vram_bytes", BYTES_MAX, BYTES_MAX + 1),
        limit("requirements.min_compute_cap", "\"255.255\"", "\"255.256\""),
        limit("requirements.device_mask", "\"63\"", "\"64\""),
        limit("requirements.split.degree", 16, 17),
        limit("requirements.split.degree", 1, 0),
        limit("requirements.required_extensions", names(300), "[\"\"]"),
        limit("determinism.seed", i64::MAX, 1_u64 << 63),
        limit("determinism.seed", i64::MIN, i128::from(i64::MIN) - 1),
        limit("placement.prefer_pools", names(64), names(65)),
        limit("placement.avoid_pools", names(64), names(65)),
        limit("placement.require_labels", labels(64), labels(65)),
        limit("placement.require_labels", json!({"k": text(128)}), json!({"k": text(129)})),
        limit("placement.require_device_mask", "\"0,63\"", "\"0,64\""),
        limit("placement.mode", "\"auto\"", "\"pin\""),
        limit("placement.mode", "null", "\"prefer\""),
        limit("placement.mode", "\"auto\"", "\"automatic\""),
        limit("placement.allow_fallback", "false", "0"),
        limit("budget.tokens", BYTES_MAX, BYTES_MAX + 1),
        limit("budget.cost_micros", BYTES_MAX, BYTES_MAX + 1),
        limit("budget.time_ms", TIME.0, TIME.1),
        limit("deadline_ms", TIME.0, TIME.1),
    ];
    for tokens in ["prompt_tokens", "expected_tokens", "max_tokens", "required_ctx"] {
        limits.push(limit(tokens, TOKENS_MAX, TOKENS_MAX + 1));
    }
    for id in ["id", "session_id", "placement.pin_pool_id"] {
        limits.extend(texts(id, 64));
        limits.push(limit(id, "\"é\"", "\"\""));
    }
    for list in ["placement.prefer_pools", "placement.avoid_pools"] {
        limits.extend(list_of_names(list, 64));
    }
    for name in [
        "engine",
        "model_id",
        "requirements.quantization",
        "determinism.sampler_profile_version",
        "determinism.engine_version",
        "determinism.model_digest",
    ] {
        limits.extend(texts(name, 128));
    }
    limits.extend(list_of_names("requirements.required_extensions", 128));
    limits
}

#[test]
fn jobs_at_every_limit_are_taken_and_above_it_refused() {
    let desk = Desk::new();
    let limits = job_limits();
    let rows = |value: fn(&Limit) -> &str| lines_of(limits.iter().map(|limit| with(&job("j"), limit.0, value(limit))));
    let taken = desk.place(fleet_of([pool("ok")]), rows(|limit| &limit.1), &[]).expect(0);
    assert!(taken.lines().iter().all(|line| line["outcome"] != "refused"));
    let refused = desk.place(fleet_of([pool("ok")]), rows(|limit| &limit.2), &[]).expect(1);
    for ((number, line), limit) in (1..).zip(refused.lines()).zip(&limits) {
        assert_eq!(line["outcome"], "refused", "{limit:?}");
        assert_eq!((&line["field"], &line["line"]), (&limit.0.into(), &number.into()), "{line}");
        assert!(line["why"].as_str().is_some_and(|why| !why.is_empty()));
    }
}

/// Texts that are no number that any field takes.
const NEVER: [&str; 12] = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "-1",
    "1000000000000000000000000000000",
    "\"8\"",
    "true",
    "08",
    "[8]",
    "{}",
];

const POOL_INTEGERS: [&str; 6] =
    ["slots_total", "slots_free", "vram_total_bytes", "vram_free_bytes", "queue_depth", "supports.ctx_max"];
const POOL_FLOATS: [&str; 6] =
    ["perf_tokens_per_s", "prefill_tokens_per_s", "first_token_ms", "admission_latency_ms", "model_load_ms", "age_ms"];

// UNIT-9: the row is refused and the field named, whatever stands where a number is due.
#[test]
fn numbers_of_pools_that_are_none() {
    let desk = Desk::new();
    let integers_in_lists = ["devices.vram_total_bytes", "devices.vram_free_bytes", "warm_sessions.cached_tokens"];
    for field in POOL_INTEGERS.iter().chain(&POOL_FLOATS).chain(&integers_in_lists) {
        let fraction = (!POOL_FLOATS.contains(field)).then_some("8.5");
        let bad = NEVER.into_iter().chain(fraction).map(|value| {
            if integers_in_lists.contains(field) { in_list(field, value) } else { with(&pool("tested"), field, value) }
        });
        // Distinct ids, so that no row is refused as a duplicate.
        let rows: Vec<_> = (0..).zip(bad).map(|(n, row)| row.replace("\"tested\"", &format!("\"t{n}\""))).collect();
        let ran = desk.place(fleet_of(&rows), lines_of([job("j")]), &[]).expect(1);
        for (line, row) in (2..).zip(&rows) {
            let refusal = format!("fleet.json:{line}: refused: {field}: ");
            assert!(ran.err.contains(&refusal), "{row}\n{}", ran.err);
        }
        assert_eq!(ran.only_line()["reason"], "no_pools");
    }
}

#[test]
fn numbers_of_pools_in_other_spellings() {
    let desk = Desk::new();
    for field in POOL_INTEGERS.iter().chain(&POOL_FLOATS) {
        let hash = |value: &str| {
            let ran = desk.place(fleet_of([with(&pool("tested"), field, value)]), "", &[]);
            ran.expect(0).said("snapshot hash:").to_owned()
        };
        for spelling in ["8.0", "80e-1", "0.8E+1", "8.000"] {
            assert_eq!(hash(spelling), hash("8"), "{field}");
        }
        if POOL_FLOATS.contains(field) {
            assert_ne!(hash("8.5"), hash("8"), "{field}");
            // UNIT-10: null is absent, and absent is unknown or 0.
            hash("null");
        }
    }
    for field in ["slots_total", "slots_free", "vram_total_bytes", "vram_free_bytes", "id", "engine"] {
        let ran = desk.place(fleet_of([with(&pool("tested"), field, "null")]), "", &[]).expect(1);
        ran.says(&format!("refused: {field}: required, but absent"));
    }
}

const JOB_INTEGERS: [&str; 9] = [
    "prompt_tokens",
    "expected_tokens",
    "max_tokens",
    "required_ctx",
    "est_kv_bytes",
    "requirements.min_vram_bytes",
    "requirements.split.degree",
    "budget.tokens",
    "budget.cost_micros",
];
const JOB_FLOATS: [&str; 2] = ["deadline_ms", "budget.time_ms"];

#[test]
fn numbers_of_jobs_that_are_none() {
    let desk = Desk::new();
    let mut cases = Vec::new();
    for field in JOB_INTEGERS.iter().chain(&JOB_FLOATS).chain(&["determinism.seed"]) {
        // A seed may be negative.
        let never = NEVER.into_iter().filter(|value| *field != "determinism.seed" || *value != "-1");
        let fraction = (!JOB_FLOATS.contains(field)).then_some("8.5");
        cases.extend(never.chain(fraction).map(|value| (*field, with(&job("j"), field, value))));
    }
    let ran = desk.place(fleet_of([pool("ok")]), lines_of(cases.iter().map(|case| &case.1)), &[]).expect(1);
    for (line, (field, row)) in ran.lines().iter().zip(&cases) {
        assert_eq!(line["outcome"], "refused", "{row}");
        assert_eq!(line["field"], *field, "{row}\n{line}");
        assert_eq!(line["job_id"], "j", "{row}");
    }
}

#[test]
fn numbers_of_jobs_in_other_spellings() {
    let desk = Desk::new();
    let fields = JOB_INTEGERS.iter().chain(&JOB_FLOATS).chain(&["determinism.seed"]);
    let row = |value: &'static str| lines_of(fields.clone().map(move |field| with(&job("j"), field, value)));
    let plain = desk.place(fleet_of([pool("ok")]), row("8"), &[]).expect(0);
    for spelling in ["8.0", "80e-1", "0.8e1"] {
        let other = desk.place(fleet_of([pool("ok")]), row(spelling), &[]).expect(0);
        assert_eq!(other.out, plain.out);
    }
    let absent = desk.place(fleet_of([pool("ok")]), row("null"), &["--mode", "independent"]).expect(0);
    assert!(absent.lines().iter().all(|line| line["outcome"] == "assigned"));
    for field in ["id", "engine", "model_id"] {
        let ran = desk.place(fleet_of([pool("ok")]), with(&job("j"), field, "null"), &[]).expect(1);
        assert_eq!(ran.only_line()["field"], field);
    }
}
