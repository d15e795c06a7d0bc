//! Backends and the cross-check: whatever decides, the bytes are the same.

use serde_json::Value;

use super::support::{Desk, fleet_of, job, lines_of, pool, repository, run_in, with};

const MODES: [&str; 2] = ["sequential", "independent"];

// DET-1
#[test]
fn options_change_no_byte() {
    for jobs in ["examples/jobs.jsonl", "examples/mixed-jobs.jsonl"] {
        for mode in MODES {
            let place = |more: &[&str]| {
                let files = ["place", "--fleet", "examples/fleet.json", "--jobs", jobs, "--mode", mode];
                run_in(&repository(""), [&files, more].concat()).expect(0)
            };
            let plain = place(&[]);
            for more in [
                &["--backend", "scalar"][..],
                &["--backend", "auto", "--threads", "1"],
                &["--cross-check", "full"],
                &["--cross-check", "sample:7", "--threads", "2"],
            ] {
                let other = place(more).does_not_say("divergence");
                // The scalar backend needs no check, and only a check is spoken of.
                let is_checked = more[0] == "--cross-check";
                assert_eq!(other.err.contains("lists compared with the scalar backend's, all equal"), is_checked);
                assert_eq!(other.out, plain.out, "{more:?}");
                assert_eq!(other.said("decision digest:"), plain.said("decision digest:"));
            }
        }
    }
}

#[test]
fn the_examples_keep_their_digests() {
    for (jobs, digest) in [("jobs", "407294eac1cdc950"), ("mixed-jobs", "efd25c8dcb5c6187")] {
        let jobs = format!("examples/{jobs}.jsonl");
        let ran = run_in(&repository(""), ["place", "--fleet", "examples/fleet.json", "--jobs", &jobs]).expect(0);
        assert_eq!(ran.said("decision digest:"), digest);
        assert!(ran.err.contains("; backend "), "{}", ran.err);
    }
}

// UNIT-10: refused lines keep their places, also at the seams of chunks (4096 lines).
#[test]
fn lines_stay_in_order_over_chunks() {
    let line = |number: usize| {
        let row = job(&format!("j{number}"));
        if number.is_multiple_of(1_000) { with(&row, "prompt_tokens", "-1") } else { row.to_string() }
    };
    let jobs = lines_of((0..9_000).map(line));
    for mode in MODES {
        let ran = Desk::new().place(fleet_of([pool("p")]), &jobs, &["--mode", mode]).expect(1);
        for (number, line) in ran.lines().iter().enumerate() {
            assert_eq!(line["job_id"], format!("j{number}"));
            assert_eq!(line["outcome"] == "refused", number % 1_000 == 0, "{line}");
        }
    }
}

#[test]
fn a_wrong_option_is_named() {
    let wrong = [("--cross-check", "sample(0)"), ("--backend", "abacus"), ("--threads", "0"), ("--threads", "1025")];
    for (option, value) in wrong {
        Desk::new().place(fleet_of([pool("p")]), "", &[option, value]).expect(2).says(option);
    }
}

// A backend that is not available says so, and is no surprise in `place`.
#[test]
fn backends_are_listed() {
    let desk = Desk::new();
    let listed: Value = serde_json::from_str(&desk.run(["backends", "--format", "json"]).expect(0).out).unwrap();
    let table = desk.run(["backends"]).expect(0).out;
    for backend in listed.as_array().unwrap() {
        let name = backend["backend"].as_str().unwrap();
        let available = backend["available"].as_bool().unwrap();
        let detail = backend[if available { "runs_on" } else { "why" }].as_str().unwrap();
        assert!(table.lines().any(|line| line.starts_with(name) && line.ends_with(detail)), "{table}");
        let ran = desk.place(fleet_of([pool("p")]), lines_of([job("j")]), &["--backend", name]);
        ran.expect(if available { 0 } else { 2 }).says(name);
    }
    assert_eq!(listed[0]["backend"], "scalar");
}

/// All backends of a size have one digest, and every figure is there.
#[test]
fn bench_measures_and_agrees() {
    let bench = |args: &[&str]| run_in(&repository(""), [&["bench"][..], args].concat());
    let ran = bench(&["--sizes", "65x40", "--at-least-ms", "1", "--format", "json", "--threads", "2"]).expect(0);
    let figures: Value = serde_json::from_str(&ran.out).expect("one object");
    let backends = figures["backends"].as_array().expect("a list");
    assert_eq!(backends.len(), 3);
    for backend in backends {
        assert_eq!(backend["digest"], backends[0]["digest"]);
        for figure in ["pairs_per_s", "jobs_per_s", "single_us", "share_of_bare_scan"] {
            assert!(backend[figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {backend}");
        }
    }
    for size in ["10", "0x5", "5x", "9999999x1"] {
        bench(&["--sizes", size]).expect(2);
    }
}
