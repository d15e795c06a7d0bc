//! What programs and people see: versions, help, colours, pipes.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{BINARY, Desk, Ran, fleet_of, job, keys, lines_of, pool, repository};

const SUBCOMMANDS: [&[&str]; 15] = [
    &[],
    &["place"],
    &["explain"],
    &["run"],
    &["replay"],
    &["kv"],
    &["backends"],
    &["simulate"],
    &["bench"],
    &["verify"],
    &["capabilities"],
    &["import"],
    &["import", "fleet"],
    &["import", "jobs"],
    &["import", "events"],
];

fn command() -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(repository(""));
    command
}

#[test]
fn capabilities_are_one_json_document() {
    let ran = Desk::new().run(["capabilities"]).expect(0);
    assert_eq!(ran.err, "");
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document["versions"]["semantics"], 1);
    assert_eq!(document["versions"]["schema"], 1);
    assert_eq!(document["versions"]["crate"], env!("CARGO_PKG_VERSION"));
    let limits = &document["limits"];
    assert!(limits.as_object().unwrap().values().all(|limit| limit.as_u64().is_some()));
    for (name, limit) in [
        ("time_us_max", (1_u64 << 46) - 1),
        ("bytes_max", (1 << 48) - 1),
        ("tokens_max", (1 << 24) - 1),
        ("slots_max", (1 << 15) - 1),
        ("id_bytes_max", 64),
        ("name_bytes_max", 128),
        ("device_id_max", 63),
        ("devices_per_pool_max", 16),
        ("split_degree_max", 16),
        ("warm_sessions_per_pool_max", 256),
        ("labels_per_pool_max", 16),
        ("resident_models_per_pool_max", 64),
        ("hints_per_job_max", 64),
        ("quantizations_per_fleet_max", 64),
        ("extensions_per_fleet_max", 64),
        ("engines_per_fleet_max", 256),
        ("models_per_fleet_max", 4096),
        ("session_capacity_max", 1 << 24),
    ] {
        assert_eq!(limits[name], limit, "{name}");
    }
    let reasons = document["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 23);
    for reason in reasons {
        assert_eq!(keys(reason), ["detail", "reason", "retryable", "stage"]);
        let stage = reason["stage"].as_u64().unwrap();
        // NOCAP-2.
        assert_eq!(reason["retryable"], (5..=7).contains(&stage), "{reason}");
    }
    assert_eq!(document["modes"], serde_json::json!(["sequential", "independent"]));
}

#[test]
fn versions_name_the_semantics() {
    for option in ["-V", "--version"] {
        let ran = Desk::new().run([option]).expect(0);
        assert!(ran.out.starts_with(concat!("orchestrator ", env!("CARGO_PKG_VERSION"))), "{}", ran.out);
        assert!(ran.out.contains("semantics 1"), "{}", ran.out);
    }
}

#[test]
fn help_fits_a_screen_and_has_an_example() {
    for subcommand in SUBCOMMANDS {
        let output = command().args(subcommand).arg("--help").env("COLUMNS", "100").output().unwrap();
        let help = Ran::of(&output).expect(0);
        assert_eq!(help.err, "");
        assert!(help.out.lines().count() <= 50, "{subcommand:?}: {} lines", help.out.lines().count());
        let longest = help.out.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{subcommand:?}: {longest:?} columns");
        assert!(help.out.contains("Example"), "{subcommand:?}:\n{}", help.out);
        assert!(help.out.contains("Usage: orchestrator"), "{subcommand:?}");
    }
}

#[test]
fn nothing_is_coloured_off_a_terminal() {
    let files = ["--fleet", "examples/fleet.json"];
    let mixed = "examples/mixed-jobs.jsonl";
    let runs: [Vec<&str>; 8] = [
        [&["place"], &files[..], &["--jobs", mixed, "--explain"]].concat(),
        [&["place"], &files[..], &["--jobs", mixed, "--format", "table"]].concat(),
        [&["explain"], &files[..], &["--job", mixed]].concat(),
        vec!["place", "--fleet", "no"],
        vec!["kv", "--context", "x"],
        vec!["--help"],
        vec!["import", "fleet", "--help"],
        vec!["no-such-command"],
    ];
    for args in runs {
        let output = command().args(&args).output().unwrap();
        let escapes = |bytes: &[u8]| bytes.contains(&0x1b);
        assert!(!escapes(&output.stdout) && !escapes(&output.stderr), "{args:?}");
        assert!(!output.stderr.contains(&b'\r'), "{args:?}");
    }
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    let jobs = ["--fleet", "examples/fleet.json", "--jobs", "examples/jobs.jsonl"];
    let mut child = command().arg("place").args(jobs).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // As `head -1` does: reads a part and closes.
    let mut head = [0; 100];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut head).unwrap();
    drop(child.stdout.take());
    Ran::of(&child.wait_with_output().unwrap()).expect(0).does_not_say("ipe");
}

#[test]
fn standard_output_without_a_reader_is_no_failure() {
    let fleet = ["--fleet", "examples/fleet.json"];
    for args in [
        [&["place"], &fleet[..], &["--jobs", "examples/jobs.jsonl"]].concat(),
        [&["place"], &fleet[..], &["--jobs", "examples/mixed-jobs.jsonl", "--format", "table"]].concat(),
        [&["explain"], &fleet[..], &["--job", "examples/mixed-jobs.jsonl"]].concat(),
        vec!["kv", "--context", "1", "--layers", "1", "--kv-heads", "1", "--head-dim", "1"],
        vec!["capabilities"],
        vec![
            "import",
            "jobs",
            "--trace",
            "examples/azure2023_conv_1000.csv",
            "--deployment",
            "examples/deployment.toml",
        ],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command().args(&args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let ran = Ran::of(&output);
        assert_eq!(ran.code, 0, "{args:?}\n{}", ran.err);
    }
}

/// As in `orchestrator place … 2>&1 | head -1`: what is said to nobody is no failure either.
#[test]
fn standard_error_without_a_reader_is_no_failure() {
    let fleet = ["--fleet", "examples/fleet.json"];
    for (code, args) in [
        (0, [&["place"], &fleet[..], &["--jobs", "examples/jobs.jsonl"]].concat()),
        (2, vec!["place", "--fleet", "missing.json", "--jobs", "missing.jsonl"]),
        (
            0,
            vec![
                "import",
                "jobs",
                "--trace",
                "examples/azure2023_conv_1000.csv",
                "--deployment",
                "examples/deployment.toml",
            ],
        ),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command().args(&args).stdout(Stdio::null()).stderr(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    }
}

/// An id may hold any characters; a row is one line, and a terminal is not steered by it.
#[test]
fn control_characters_in_ids_are_shown_as_escapes() {
    let desk = Desk::new();
    let odd = "a\nb\u{1b}[31m";
    let fleet = fleet_of([pool(odd), pool("twice\u{1b}"), pool("twice\u{1b}")]);
    let ran = desk.place(fleet, lines_of([job(odd)]), &["--explain"]).expect(1);
    assert_eq!(ran.only_line()["pool_id"], odd);
    let table = desk.run(["place", "--fleet", "fleet.json", "--jobs", "jobs.jsonl", "--format", "table"]).expect(1);
    assert_eq!(table.out.lines().count(), 2);
    let explained = desk.run(["explain", "--fleet", "fleet.json", "--job", "jobs.jsonl"]).expect(1);
    for ran in [ran, table, explained] {
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{}{}", ran.out, ran.err);
    }
}

/// The jobs are read while the output is written: one file cannot be both.
#[test]
fn the_output_never_replaces_the_jobs() {
    let desk = Desk::new();
    desk.write("fleet.json", fleet_of([pool("a")]));
    desk.write("jobs.jsonl", lines_of([job("j")]));
    let place = |jobs, out| desk.run(["place", "--fleet", "fleet.json", "--jobs", jobs, "-o", out]);
    place("jobs.jsonl", "./jobs.jsonl").expect(2).says("jobs.jsonl");
    assert_eq!(desk.read("jobs.jsonl"), lines_of([job("j")]));
    // The fleet and a second name of the same file are inputs too.
    std::fs::hard_link(desk.path("jobs.jsonl"), desk.path("link.jsonl")).expect("a file system with links");
    for out in ["link.jsonl", "fleet.json"] {
        place("jobs.jsonl", out).expect(2).says("is an input");
    }
    assert_eq!(desk.read("jobs.jsonl"), lines_of([job("j")]));
    desk.write("out.jsonl", "as it was");
    place("missing.jsonl", "out.jsonl").expect(2);
    assert_eq!(desk.read("out.jsonl"), "as it was");
}
