//! `place` on the example fleet: one line per job, the keys of its outcome and nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

use super::support::{Desk, Ran, keys, lines_of, repository, repository_text, run_in};

const JOBS: usize = 1000;
const POOLS: u64 = 41;
const COMMON: [&str; 4] = ["job_id", "outcome", "policy_hash", "snapshot_hash"];
const ASSIGNED: [&str; 8] = [
    "pool_id",
    "replica_id",
    "devices",
    "predicted_start_us",
    "predicted_end_us",
    "predicted_end_ms",
    "warm",
    "fallback",
];
const NO_CAPACITY: [&str; 5] = ["stage", "reason", "detail", "retryable", "code"];
const REFUSED: [&str; 3] = ["line", "field", "why"];
const EXPLAINED: [&str; 6] = ["decided_by", "margin", "margin_unit", "runner_up", "counts", "nearest_miss"];

fn place(jobs: &str, more: &[&str]) -> Ran {
    let mut args = vec!["place", "--fleet", "examples/fleet.json", "--jobs", jobs];
    args.extend(more);
    run_in(&repository(""), args)
}

fn ids(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["job_id"].as_str().unwrap()).collect()
}

/// Checks that a line has exactly the keys of its outcome.
fn check_keys(line: &Value, has_deadline: bool, more: &[&str]) {
    let outcome = match line["outcome"].as_str().unwrap() {
        "assigned" => &ASSIGNED[..],
        "no_capacity" => &NO_CAPACITY[..],
        "refused" => &REFUSED[..],
        other => panic!("{other}"),
    };
    let more = if line["outcome"] == "refused" { &[] } else { more };
    let on_time = has_deadline && line["outcome"] == "assigned";
    let mut expected = [&COMMON[..], outcome, more].concat();
    expected.extend(on_time.then_some("on_time"));
    expected.sort_unstable();
    assert_eq!(keys(line), expected, "{line}");
}

/// Rounded up to whole milliseconds. UNIT-1.
fn check_end(line: &Value) {
    let us = line["predicted_end_us"].as_u64();
    assert_eq!(line["predicted_end_ms"].as_u64(), us.map(|us| us.div_ceil(1000)), "{line}");
    assert!(us.is_none_or(|us| us >= line["predicted_start_us"].as_u64().unwrap()), "{line}");
}

#[test]
fn a_thousand_jobs_give_a_thousand_lines_in_order() {
    let ran = place("examples/jobs.jsonl", &[]).expect(0);
    let lines = ran.lines();
    assert_eq!(lines.len(), JOBS);
    let text = repository_text("examples/jobs.jsonl");
    let jobs: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wanted: Vec<_> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(ids(&lines), wanted);
    for line in &lines {
        check_keys(line, false, &[]);
        if line["outcome"] == "assigned" {
            check_end(line);
        }
        assert_eq!(line["policy_hash"].as_str(), Some(ran.said("policy hash:")));
        assert_eq!(line["snapshot_hash"].as_str(), Some(ran.said("snapshot hash:")));
    }
    // As examples/README.md says.
    let assigned = lines.iter().filter(|line| line["outcome"] == "assigned").count();
    assert_eq!(assigned, 722);
    assert!(lines[assigned..].iter().all(|line| line["detail"] == "slots"));
    assert_eq!(ran.said("decision digest:").len(), 16);
    ran.says("fleet: 41 pools, 0 rows refused; mode sequential")
        .says("jobs: 1000 = 722 assigned + 278 no capacity + 0 refused")
        .says("no capacity: 278 slots/slots (stage 7)")
        .says(" per second");
}

#[test]
fn mixed_jobs_show_what_they_are_for() {
    let ran = place("examples/mixed-jobs.jsonl", &["--mode", "independent"]).expect(0);
    let lines = ran.lines();
    assert_eq!(lines.len(), 14);
    for line in &lines {
        check_keys(line, line["job_id"] == "08-deadline", &[]);
    }
    let of = |number: usize, key: &str| lines[number - 1][key].clone();
    assert_eq!(of(1, "pool_id"), "h200-a/0");
    assert_eq!((of(2, "pool_id"), of(2, "fallback")), ("h100-a/0".into(), false.into()));
    assert_eq!((of(3, "outcome"), of(3, "fallback")), ("assigned".into(), true.into()));
    assert!(of(4, "pool_id") != "h100-c" && of(4, "pool_id") != "h200-b/0");
    assert_eq!(of(5, "devices").as_array().map(Vec::len), Some(4));
    assert_eq!((of(6, "pool_id"), of(6, "warm")), ("h100-c".into(), true.into()));
    assert_eq!(of(7, "warm"), false);
    let in_time = of(8, "predicted_end_us").as_u64().map(|end| end <= 8_000_000);
    assert_eq!(of(8, "on_time").as_bool(), in_time);
    assert_eq!(of(9, "outcome"), "assigned");
    assert_eq!((of(10, "detail"), of(10, "code")), ("context".into(), "INVALID_PARAMS".into()));
    assert_eq!(of(11, "outcome"), "assigned");
    assert_eq!((of(12, "detail"), of(12, "retryable")), ("engine_name".into(), false.into()));
    assert_eq!((of(13, "detail"), of(13, "code")), ("draining".into(), "POOL_UNREADY".into()));
    assert_eq!(of(13, "retryable"), true);
    assert_eq!(of(14, "outcome"), "assigned");
}

// A line that is refused has its number, its field and the reason, and no one else's keys.
#[test]
fn refused_lines_stand_in_their_place() {
    let desk = Desk::new();
    let text = repository_text("examples/mixed-jobs.jsonl");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(3, "{\"id\":\"bad\",\"engine\":\"vllm\"}");
    let fleet = repository_text("examples/fleet.json");
    let ran = desk.place(fleet, lines_of(lines), &["--explain", "--k", "2"]).expect(1);
    let lines = ran.lines();
    check_keys(&lines[3], false, &[]);
    assert_eq!(lines[3]["job_id"], "bad");
    assert_eq!(lines[3]["line"], 4);
    assert_eq!(lines[3]["field"], "model_id");
    assert_eq!(lines[3]["why"], "required, but absent");
}

#[test]
fn a_table_has_a_heading_and_a_row_per_job() {
    let table = place("examples/jobs.jsonl", &["--format", "table"]).expect(0);
    let plain = place("examples/jobs.jsonl", &[]).expect(0);
    assert_eq!(table.out.lines().count(), JOBS + 1);
    assert!(table.out.starts_with("job "));
    for (row, line) in table.out.lines().skip(1).zip(plain.lines()) {
        assert!(row.starts_with(line["job_id"].as_str().unwrap()), "{row}");
        let last = line["pool_id"].as_str().unwrap_or("slots");
        assert!(row.contains(last), "{row}");
    }
    assert_eq!(table.said("decision digest:"), plain.said("decision digest:"));
}

#[test]
fn an_output_file_takes_what_standard_output_would() {
    let desk = Desk::new();
    let fleet = repository("examples/fleet.json");
    let jobs = repository("examples/jobs.jsonl");
    let base = ["place".as_ref(), "--fleet".as_ref(), fleet.as_os_str(), "--jobs".as_ref(), jobs.as_os_str()];
    let plain = desk.run(base).expect(0);
    let filed = desk.run(base.into_iter().chain(["-o".as_ref(), "out.jsonl".as_ref()])).expect(0);
    assert_eq!(filed.out, "");
    assert_eq!(desk.read("out.jsonl"), plain.out);
    assert_eq!(filed.said("decision digest:"), plain.said("decision digest:"));
    let nowhere = desk.run(base.into_iter().chain(["-o".as_ref(), "no/such/folder".as_ref()]));
    nowhere.expect(2).says("no/such/folder");
}

#[test]
fn the_best_pools_start_with_the_winner_and_differ() {
    let ran = place("examples/jobs.jsonl", &["--k", "3", "--explain"]).expect(0);
    for line in ran.lines() {
        if line["outcome"] != "assigned" {
            check_keys(&line, false, &EXPLAINED);
            continue;
        }
        check_keys(&line, false, &[&EXPLAINED[..], &["k_best"]].concat());
        let best = line["k_best"].as_array().unwrap();
        let feasible = line["counts"]["feasible"].as_u64().unwrap();
        assert_eq!(best.len() as u64, feasible.min(3), "{line}");
        assert!(ASSIGNED.iter().all(|key| best[0][key] == line[key]), "{line}");
        let name = |pool: &Value| (pool["pool_id"].to_string(), pool["replica_id"].to_string());
        let names: BTreeSet<_> = best.iter().map(name).collect();
        assert_eq!(names.len(), best.len(), "{line}");
        for pool in best {
            let mut expected = ASSIGNED.to_vec();
            expected.sort_unstable();
            assert_eq!(keys(pool), expected);
            check_end(pool);
        }
        if let Some(second) = best.get(1) {
            assert_eq!(line["runner_up"]["pool_id"], second["pool_id"], "{line}");
            assert_eq!(line["runner_up"]["replica_id"], second["replica_id"], "{line}");
        }
    }
}

// EXPL-1: the explanation adds keys and changes nothing; its counts add up to the pools. EXPL-2, EXPL-3.
#[test]
fn explanations_add_up() {
    for jobs in ["examples/jobs.jsonl", "examples/mixed-jobs.jsonl"] {
        let plain = place(jobs, &[]).expect(0);
        let explained = place(jobs, &["--explain"]).expect(0);
        assert_eq!(plain.said("decision digest:"), explained.said("decision digest:"));
        for (mut line, without) in explained.lines().into_iter().zip(plain.lines()) {
            check_keys(&line, line["job_id"] == "08-deadline", &EXPLAINED);
            check_counts(&line);
            check_nearest_miss(&line);
            let object = line.as_object_mut().unwrap();
            EXPLAINED.iter().for_each(|key| drop(object.remove(*key)));
            assert_eq!(line, without);
        }
    }
}

fn check_counts(line: &Value) {
    let counts = &line["counts"];
    assert_eq!(keys(counts), ["candidates", "feasible", "rejected"]);
    let rejected = counts["rejected"].as_array().unwrap();
    for one in rejected {
        assert_eq!(keys(one), ["detail", "pools", "reason", "stage"]);
    }
    let pools: u64 = rejected.iter().map(|one| one["pools"].as_u64().unwrap()).sum();
    let feasible = counts["feasible"].as_u64().unwrap();
    assert_eq!(feasible + pools, POOLS, "{line}");
    assert_eq!(counts["candidates"], POOLS);
    assert_eq!(line["outcome"] == "assigned", feasible > 0);
    match feasible {
        0 => assert!(line["decided_by"].is_null() && line["runner_up"].is_null(), "{line}"),
        1 => assert!(line["decided_by"] == "only_candidate" && line["runner_up"].is_null(), "{line}"),
        _ => assert!(line["decided_by"].is_string() && line["runner_up"].is_object(), "{line}"),
    }
}

fn check_nearest_miss(line: &Value) {
    let miss = &line["nearest_miss"];
    let rejected = line["counts"]["rejected"].as_array().unwrap();
    if miss.is_null() {
        assert!(rejected.is_empty(), "{line}");
        return;
    }
    assert_eq!(keys(miss), ["detail", "pools", "reason", "short_by", "stage", "unit"]);
    let furthest = rejected.iter().map(|one| one["stage"].as_u64().unwrap()).max();
    assert_eq!(miss["stage"].as_u64(), furthest, "{line}");
    let same = rejected.iter().find(|one| one["detail"] == miss["detail"]).unwrap();
    assert_eq!(same["pools"], miss["pools"], "{line}");
    if line["outcome"] == "no_capacity" {
        assert_eq!(line["detail"], miss["detail"], "{line}");
    }
}
