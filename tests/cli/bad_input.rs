//! Files and rows that are wrong: said, counted, never fatal for their neighbours, never a panic.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::support::{Desk, fleet_of, job, lines_of, pool, with};

fn fleet() -> String {
    fleet_of([pool("ok")])
}

/// A fleet of `ok` and a row of any bytes.
fn fleet_with(row: &[u8]) -> Vec<u8> {
    let ok = pool("ok").to_string();
    [b"{\"version\":1,\"pools\":[\n", row, b",\n", ok.as_bytes(), b"\n]}"].concat()
}

/// Jobs `a` and `b` around a line of any bytes.
fn jobs_with(line: &[u8]) -> Vec<u8> {
    let (a, b) = (job("a").to_string(), job("b").to_string());
    [a.as_bytes(), b"\n", line, b"\n", b.as_bytes(), b"\n"].concat()
}

#[test]
fn a_fleet_cut_off_at_any_byte_is_an_error_with_a_message() {
    let desk = Desk::new();
    let row = with(&pool("a"), "supports", r#"{"models":["m","é\""],"ctx_max":4096}"#);
    let whole = format!("{{\"version\":1,\"note\":\"x\",\"pools\":[\n{row},\n{row}],\"sources\":[1]}}");
    let jobs = lines_of([job("j")]);
    for length in 0..whole.len() {
        let ran = desk.place(&whole.as_bytes()[..length], &jobs, &[]).expect(2).says("fleet.json: ");
        assert_eq!(ran.out, "", "{length}");
    }
    desk.place(&whole, &jobs, &[]).expect(1).says("another row is `a`");
}

#[test]
fn jobs_cut_off_at_any_byte_refuse_their_last_line() {
    let desk = Desk::new();
    let second = with(&job("é\"2"), "placement", r#"{"prefer_pools":["ok"],"require_labels":{"k":"v"}}"#);
    let whole = lines_of([job("1").to_string(), second]);
    for length in 0..=whole.len() {
        let ran = desk.place(fleet(), &whole.as_bytes()[..length], &[]);
        let complete = length == 0
            || matches!(whole.as_bytes()[length - 1], b'\n' | b'}') && {
                let last = String::from_utf8_lossy(&whole.as_bytes()[..length]).into_owned();
                last.lines().last().is_some_and(|line| serde_json::from_str::<Value>(line).is_ok())
            };
        assert_eq!(ran.code, i32::from(!complete), "{length}: {}", ran.out);
        let refused = ran.lines().iter().filter(|line| line["outcome"] == "refused").count();
        assert_eq!(refused, usize::from(!complete));
    }
}

#[test]
fn rows_that_are_no_text_or_no_object_are_refused_alone() {
    let desk = Desk::new();
    let invalid = [b"{\"id\":\"bad\",\"engine\":\"\xff\"", &b","[..], br#""slots_total":1}"#].concat();
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let deep_field = format!("{{\"id\":\"bad\",\"x\":{deep}}}");
    let deep_object = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    let rows: [&[u8]; 12] = [
        &invalid,
        deep.as_bytes(),
        deep_field.as_bytes(),
        deep_object.as_bytes(),
        b"5",
        b"null",
        b"\"text\"",
        b"[]",
        b"{}",
        b"{\"id\":\"bad\"}",
        br#"{"id":"bad","id":"bad","engine":"vllm"}"#,
        br#"{"id":"bad","engine":"\ud800"}"#,
    ];
    for row in rows {
        let shown = String::from_utf8_lossy(&row[..row.len().min(60)]).into_owned();
        let ran = desk.place(fleet_with(row), lines_of([job("j")]), &[]).expect(1);
        let ran = ran.says("fleet.json:2: refused: ").says("fleet: 1 pools, 1 rows refused");
        assert_eq!(ran.only_line()["pool_id"], "ok", "{shown}");

        let lines = desk.place(fleet(), jobs_with(row), &[]).expect(1).lines();
        let outcomes: Vec<_> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["assigned", "refused", "assigned"], "{shown}");
        assert_eq!(lines[1]["line"], 2);
    }
    // Behind a bracket that never closes no text is surely a row.
    let open = "[".repeat(100_000);
    desk.place(fleet_with(open.as_bytes()), "", &[]).expect(2);
    desk.place(open.as_bytes(), "", &[]).expect(2).says("not a fleet");
    let lines = desk.place(fleet(), jobs_with(open.as_bytes()), &[]).expect(1).lines();
    assert_eq!(lines[2]["outcome"], "assigned");
}

// UNIT-10: the fields of a refused row that could be read are named.
#[test]
fn a_key_that_stands_twice_is_named() {
    let desk = Desk::new();
    for (row, field) in [
        (r#"{"id":"x","engine":"vllm","model_id":"m","model_id":"m"}"#, "model_id"),
        (r#"{"id":"x","engine":"vllm","model_id":"m","note":1,"note":2}"#, "note"),
        (r#"{"id":"x","engine":"vllm","model_id":"m","budget":{"tokens":1,"tokens":2}}"#, "budget.tokens"),
        (r#"{"id":"x","engine":"vllm","model_id":"m","mo\u0064el_id":"n"}"#, "model_id"),
    ] {
        let line = desk.place(fleet(), row, &[]).expect(1).only_line();
        assert_eq!((&line["field"], &line["job_id"]), (&field.into(), &"x".into()));
        assert_eq!(line["why"], "stands more than once");
    }
    let row = with(&pool("x"), "labels", r#"{"k":"v","k":"v"}"#);
    desk.place(fleet_with(row.as_bytes()), "", &[]).expect(1).says("refused: labels.k: stands more than once");
    desk.place("{\"pools\":[],\"pools\":[]}", "", &[]).expect(2).says("`pools` stands more than once");
}

/// UNIT-11.
#[test]
fn rows_of_ten_megabytes_are_refused_and_the_others_go_on() {
    let desk = Desk::new();
    let long = format!("{{\"id\":\"long\",\"note\":\"{}\"}}", "x".repeat(10_000_000));
    let ran = desk.place(fleet_with(long.as_bytes()), lines_of([job("j")]), &[]).expect(1);
    assert_eq!(ran.says("refused: row: longer than 1048576 bytes").only_line()["pool_id"], "ok");
    let ran = desk.place(fleet(), jobs_with(long.as_bytes()), &[]).expect(1);
    let line = &ran.lines()[1];
    assert_eq!((&line["field"], &line["job_id"]), (&"row".into(), &"long".into()));
    assert!(ran.out.len() + ran.err.len() < 10_000);
    // Exactly a mebibyte is taken.
    let fill = |length: usize| with(&job("j"), "note", &format!("\"{}\"", "x".repeat(length)));
    let most = (1 << 20) - fill(0).len();
    desk.place(fleet(), fill(most), &[]).expect(0).says("1 job: unknown field `note`");
    desk.place(fleet(), fill(most + 1), &[]).expect(1);
}

/// Rows are read one by one: 300 MB of fleet and jobs pass through 100 MB of address space.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded() {
    use super::support::{BINARY, Ran};

    let desk = Desk::new();
    desk.write("fleet.json", fleet());
    let line = format!("{{\"id\":\"long\",\"note\":\"{}\"}}\n", "x".repeat(1_500_000));
    let script = "ulimit -v 100000; exec \"$0\" place --fleet fleet.json --jobs /dev/stdin";
    let mut command = assert_cmd::Command::new("sh");
    command.args(["-c", script, BINARY]).current_dir(desk.path("")).write_stdin(line.repeat(200));
    let ran = Ran::of(&command.output().unwrap()).expect(1);
    assert_eq!(ran.out.lines().count(), 200);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let desk = Desk::new();
    desk.write("fleet.json", fleet());
    desk.write("jobs.jsonl", lines_of([job("j")]));
    desk.write("fine.toml", "");
    desk.write("bad.toml", "order = \"fastest\"\n");
    desk.write("no.toml", "order = = 1");
    desk.write("binary.toml", b"\xff\xfe");
    desk.write("dims.csv", "model_id\nm\n");
    desk.write("empty.csv", "");
    fs::create_dir(desk.path("folder")).unwrap();
    let place = |fleet: &str, jobs: &str, more: &[&str]| {
        desk.run([&["place", "--fleet", fleet, "--jobs", jobs], more].concat())
    };
    place("fleet.json", "jobs.jsonl", &["--policy", "fine.toml"]).expect(0);
    for bad in ["missing.json", "folder", ""] {
        for ran in [
            place(bad, "jobs.jsonl", &[]),
            place("fleet.json", bad, &[]),
            place("fleet.json", "jobs.jsonl", &["--policy", bad]),
            place("fleet.json", "jobs.jsonl", &["--models", bad]),
            desk.run(["explain", "--fleet", bad, "--job", "jobs.jsonl"]),
            desk.run(["explain", "--fleet", "fleet.json", "--job", bad]),
        ] {
            assert_eq!(ran.expect(2).says(bad).out, "");
        }
    }
    for policy in ["bad.toml", "no.toml", "binary.toml"] {
        place("fleet.json", "jobs.jsonl", &["--policy", policy]).expect(2).says(policy);
    }
    place("fleet.json", "jobs.jsonl", &["--models", "dims.csv"]).expect(2).says("has no column `num_layers`");
    place("fleet.json", "jobs.jsonl", &["--models", "empty.csv"]).expect(2).says("is empty");
}

#[test]
fn arguments_that_are_wrong_exit_with_2() {
    let desk = Desk::new();
    desk.write("fleet.json", fleet());
    desk.write("jobs.jsonl", lines_of([job("j")]));
    let files = ["place", "--fleet", "fleet.json", "--jobs", "jobs.jsonl"];
    for more in [
        &["--mode", "parallel"][..],
        &["--format", "xml"],
        &["--k", "-1"],
        &["--k", "65536"],
        &["--k", "x"],
        &["--fast"],
        &["more"],
    ] {
        desk.run([&files, more].concat()).expect(2).says("try '--help'");
    }
    desk.run(["place"]).expect(2).says("--fleet");
    desk.run(["unplace"]).expect(2);
    desk.run(Vec::<&str>::new()).expect(2);
    // More best pools than there are pools are all of them.
    let ran = desk.run([&files[..], &["--k", "65535"]].concat()).expect(0);
    assert_eq!(ran.only_line()["k_best"].as_array().map(Vec::len), Some(1));
}

// POLICY-1: a value outside of its range, an unknown knob or another type is an error that names it.
#[test]
fn policies_out_of_range_are_errors() {
    let desk = Desk::new();
    let jobs = lines_of([job("j")]);
    for (line, name) in [
        ("quantum_shift = 47", "quantum_shift"),
        ("quantum_shift = -1", "quantum_shift"),
        ("session_capacity = 16_777_217", "session_capacity"),
        ("default_output_tokens = 16_777_216", "default_output_tokens"),
        ("default_tokens_per_s = 4294967.296", "default_tokens_per_s"),
        ("default_tokens_per_s = nan", "default_tokens_per_s"),
        ("default_first_token_ms = -1", "default_first_token_ms"),
        ("stale_after_ms = 70368744177.664", "stale_after_ms"),
        ("stale_after_ms = inf", "stale_after_ms"),
        ("spread_seed = -1", "spread_seed"),
        ("performance_aware = 1", "performance_aware"),
        ("order = \"fastest\"", "order"),
        ("version = 2", "version"),
        ("weights.decode = 16.01", "weights.decode"),
        ("weights.decode = -0.1", "weights.decode"),
        ("weights.speed = 1", "weights.speed"),
        ("weights = 1", "weights"),
        ("quantum = 1", "quantum"),
    ] {
        desk.write("policy.toml", line);
        let ran = desk.place(fleet(), &jobs, &["--policy", "policy.toml"]).expect(2);
        ran.says("policy.toml").says(&format!("`{name}`"));
    }
    let most = "quantum_shift = 46\nsession_capacity = 16_777_216\ndefault_output_tokens = 16_777_215\n\
                default_tokens_per_s = 4294967.295\nstale_after_ms = 70368744177.663\nspread_seed = \"0xffffffffffffffff\"\n\
                order = \"vram-first\"\nweights.decode = 16\nweights.prefill = 0\nversion = 1\n";
    desk.write("policy.toml", most);
    let ran = desk.place(fleet(), &jobs, &["--policy", "policy.toml"]).expect(0);
    assert_ne!(ran.said("policy hash:"), desk.place(fleet(), &jobs, &[]).said("policy hash:"));
    desk.write("policy.toml", "");
    let ran = desk.place(fleet(), &jobs, &["--policy", "policy.toml"]).expect(0);
    assert_eq!(ran.said("policy hash:"), desk.place(fleet(), &jobs, &[]).said("policy hash:"));
}

// JOB-3: the estimate of a good row counts, although another row is bad.
#[test]
fn a_bad_row_of_model_dimensions_is_refused_alone() {
    let desk = Desk::new();
    let table = "model_id,num_layers,num_kv_heads,head_dim,attention\n\
                 m,32,8,128,gqa\n\
                 bad,many,8,128,gqa\n\
                 odd,32,8,128,linear\n";
    desk.write("dims.csv", table);
    // 131,072 bytes a token: a context of 30 tokens needs 3,932,160.
    let row = |bytes: u64| with(&pool("small"), "vram_total_bytes", &bytes.to_string());
    let fits = desk.place(fleet_of([row(3_932_160)]), lines_of([job("j")]), &["--models", "dims.csv"]);
    let fits = fits.expect(1).says("dims.csv:3: refused: ").says("num_layers").says("dims.csv:4: refused: ");
    assert_eq!(fits.only_line()["outcome"], "assigned");
    let short = desk.place(fleet_of([row(3_932_159)]), lines_of([job("j")]), &["--models", "dims.csv"]);
    assert_eq!(short.expect(1).only_line()["detail"], "vram_total");
    let unknown = desk.place(fleet_of([row(3_932_159)]), lines_of([job("j")]), &[]);
    assert_eq!(unknown.expect(0).only_line()["outcome"], "assigned");
    // An estimate of 2^48 or more refuses the job.
    desk.write("dims.csv", "model_id,num_layers,num_kv_heads,head_dim,attention\nm,65535,65535,65535,mha\n");
    let ran = desk.place(fleet(), lines_of([job("j"), job("k")]), &["--models", "dims.csv"]);
    assert!(ran.expect(1).lines().iter().all(|line| line["field"] == "est_kv_bytes"));
}

#[test]
fn empty_files_and_foreign_files() {
    let desk = Desk::new();
    let jobs = lines_of([job("j")]);
    for (text, message) in [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("[]", "not a fleet"),
        ("null", "not a fleet"),
        ("{}", "has no `pools`"),
        ("{\"version\":1}", "has no `pools`"),
        ("{\"version\":2,\"pools\":[]}", "version 2 of the fleet format"),
        ("{\"pools\":[],\"version\":2}", "version 2 of the fleet format"),
        ("{\"version\":\"1\",\"pools\":[]}", "of the fleet format"),
        ("{\"version\":1.5,\"pools\":[]}", "version 1.5 of the fleet format"),
        ("{\"pools\":{}}", "`pools` must be a list"),
        ("{\"pools\":null}", "`pools` must be a list"),
        ("{\"pools\":[]} {}", "text after the end"),
        ("{\"pools\":[],}", "not JSON"),
        ("{\"pools\":[,]}", "not JSON"),
        ("{'pools':[]}", "not JSON"),
        ("\u{0}", "not a fleet"),
        ("id,engine\na,vllm\n", "not a fleet"),
    ] {
        let ran = desk.place(text, &jobs, &[]).expect(2).says(message);
        assert_eq!(ran.out, "", "{text}");
    }
    let row = pool("ok").to_string();
    desk.place(format!("{{\"pools\":[{row},]}}"), &jobs, &[]).expect(2).says("expected a row");
    for text in ["", "\n\n", " \r\n\t\n"] {
        let ran = desk.place(fleet(), text, &[]).expect(0).says("jobs: 0 = 0 assigned");
        assert_eq!(ran.out, "");
    }
}

#[test]
fn line_ends_marks_and_blanks_change_nothing() {
    let desk = Desk::new();
    let jobs = lines_of([job("a"), job("b")]);
    let plain = desk.place(fleet(), &jobs, &[]).expect(0);
    let windows = |text: &str| text.replace('\n', "\r\n");
    for (fleet, jobs) in [
        (windows(&fleet()), windows(&jobs)),
        (format!("\u{feff}{}", fleet()), format!("\u{feff}{jobs}")),
        (format!("\n \t{}\n\n", fleet()), jobs.replace('\n', "\n\n \n")),
        (fleet(), format!("\n{}", jobs.trim_end())),
        (
            fleet(),
            jobs.lines().fold(String::new(), |mut text, line| {
                let _ = writeln!(text, "\t{line}  ");
                text
            }),
        ),
    ] {
        let ran = desk.place(fleet, jobs, &[]).expect(0);
        assert_eq!(ran.out, plain.out);
        assert_eq!(ran.said("decision digest:"), plain.said("decision digest:"));
    }
}

// UNIT-10, POOL-4, POOL-2: accepted, counted, said once.
#[test]
fn odd_but_legal_rows_are_warned_about_with_counts() {
    let desk = Desk::new();
    let slipped = with(&pool("a"), "vram_total_bytes", "80");
    let unknown = with(&pool("b"), "gpu_name", "\"T4\"");
    let nested = with(&pool("c"), "supports.tools", "{\"deep\":[]}");
    let device = r#"[{"vram_total_bytes":8000000,"vram_free_bytes":8000000,"nvlink":true}]"#;
    let fleet =
        fleet_of([slipped, unknown.replace("\"b\"", "\"b2\""), unknown, nested, with(&pool("d"), "devices", device)]);
    let fleet = fleet.replace("\"version\":1,", "\"version\":1,\"note\":{\"x\":[1,\"]\"]},\"generated_by\":\"me\",");
    let jobs = lines_of([with(&job("j"), "user", "5"), with(&job("k"), "requirements.gpu", "5")]);
    let ran = desk.place(fleet, jobs, &[]).expect(0);
    for line in [
        "warning: fleet file: unknown field `note`",
        "warning: 1 pool: `vram_total_bytes` is below 1 MiB; bytes are meant",
        "warning: 2 pools: unknown field `gpu_name`",
        "warning: 1 pool: unknown field `supports.tools`",
        "warning: 1 pool: unknown field `devices.nvlink`",
        "warning: 1 pool: `vram_total_bytes` is not the sum over `devices`, which is used",
        "warning: 1 job: unknown field `user`",
        "warning: 1 job: unknown field `requirements.gpu`",
    ] {
        assert!(ran.err.lines().any(|said| said == line), "no `{line}` in\n{}", ran.err);
    }
    ran.does_not_say("generated_by").says("fleet: 5 pools, 0 rows refused");
}

#[test]
fn many_refused_rows_are_named_up_to_a_point_and_counted() {
    let desk = Desk::new();
    let rows = (0..1000).map(|number| with(&pool(&format!("p{number}")), "slots_free", "-1"));
    let ran = desk.place(fleet_of(rows), lines_of([job("j")]), &[]).expect(1);
    assert_eq!(ran.err.matches("refused: slots_free").count(), 20);
    ran.says("980 more rows refused").says("fleet: 0 pools, 1000 rows refused");
}
