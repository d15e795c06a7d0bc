//! `explain`: what every pool is to one job.

use serde_json::Value;

use super::support::{Desk, Ran, fleet_of, job, lines_of, pool, repository, run_in, with};

fn explain(more: &[&str]) -> Ran {
    let files = ["explain", "--fleet", "examples/fleet.json", "--job", "examples/mixed-jobs.jsonl"];
    run_in(&repository(""), [&files, more].concat())
}

fn winner(id: &str) -> Value {
    let args =
        ["place", "--fleet", "examples/fleet.json", "--jobs", "examples/mixed-jobs.jsonl", "--mode", "independent"];
    let lines = run_in(&repository(""), args).expect(0).lines();
    lines.into_iter().find(|line| line["job_id"] == id).unwrap()
}

#[test]
fn names_the_winner_and_lists_every_pool() {
    for id in ["01-pin", "02-prefer", "04-avoid", "05-split", "06-session", "11-labels"] {
        let ran = explain(&["--id", id]).expect(0);
        let pool = winner(id)["pool_id"].as_str().unwrap().to_owned();
        assert!(ran.out.starts_with(&format!("job: {id}\nwinner: {pool}\n")), "{}", ran.out);
        let rows: Vec<_> = ran.out.lines().filter(|line| line.starts_with("| ")).collect();
        // A heading and every pool.
        assert_eq!(rows.len(), 42, "{}", ran.out);
        let first: Vec<_> = rows[1].split('|').map(str::trim).collect();
        assert_eq!((first[1], first[2]), ("1", pool.as_str()));
    }
    let first = explain(&[]).expect(0);
    assert!(first.out.starts_with("job: 01-pin\n"));
}

#[test]
fn says_why_there_is_no_winner() {
    let ran = explain(&["--id", "12-unknown-engine"]).expect(0);
    assert!(ran.out.contains("no capacity: engine (engine_name), stage 2, POOL_UNAVAILABLE; waiting cannot help"));
    let ran = explain(&["--id", "13-draining"]).expect(0);
    assert!(ran.out.contains("draining") && ran.out.contains("waiting can help"), "{}", ran.out);
    let ran = explain(&["--id", "10-context-too-long"]).expect(0);
    assert!(ran.out.contains("nearest miss: context on") && ran.out.contains("2404 tokens short"), "{}", ran.out);
}

#[test]
fn says_what_a_loser_lacks() {
    let desk = Desk::new();
    let fleet = fleet_of([
        pool("winner").to_string(),
        with(&pool("slow"), "perf_tokens_per_s", "5"),
        with(&pool("full"), "slots_free", "0"),
        with(&pool("small"), "vram_total_bytes", "1073741824"),
        with(&pool("old"), "age_ms", "30001"),
        with(&pool("two"), "replica_id", "\"r1\""),
        with(&pool("two"), "replica_id", "\"r2\""),
    ]);
    desk.write("fleet.json", fleet);
    desk.write("jobs.jsonl", lines_of([with(&job("j"), "est_kv_bytes", "2147483648")]));
    let ask = |pool: &str| desk.run(["explain", "--fleet", "fleet.json", "--job", "jobs.jsonl", "--pool", pool]);
    // 20 tokens at 50 and at 5 tokens/s: 400 and 4,000 ms after 100 ms.
    let slow = ask("slow").expect(0);
    assert_eq!(slow.out, "slow: loses by predicted_end: the winner's weighted end is 3600.000 ms earlier\n");
    assert_eq!(ask("full").expect(0).out, "full: cannot take the job: stage 7 slots, 1 slot short\n");
    let small = "small: cannot take the job: stage 3 model: vram_total, 1073741824 bytes (1.00 GiB) short\n";
    assert_eq!(ask("small").expect(0).out, small);
    assert_eq!(ask("old").expect(0).out, "old: cannot take the job: stage 5 stale, 1.000 ms too old\n");
    let two = ask("two").expect(0);
    let lines: Vec<_> = two.out.lines().collect();
    assert_eq!(lines[0], "two r1: is the winner");
    assert_eq!(lines[1], "two r2: loses by pool_id: all else is equal, and the winner's id comes first");
    assert!(ask("winner").expect(0).out.starts_with("winner: loses by pool_id"));
    assert_eq!(ask("none").expect(2).says("no pool `none`").out, "");
}

#[test]
fn unknown_names_and_bad_jobs_are_errors() {
    let none = explain(&["--id", "no-such-job"]).expect(2).says("no job `no-such-job`");
    assert_eq!(none.out, "");
    explain(&["--pool", "no-such-pool"]).expect(2).says("no pool `no-such-pool`");
    let desk = Desk::new();
    desk.write("fleet.json", fleet_of([pool("a")]));
    let ask = |jobs: &str, more: &[&str]| {
        desk.write("jobs.jsonl", jobs);
        desk.run([&["explain", "--fleet", "fleet.json", "--job", "jobs.jsonl"], more].concat())
    };
    ask("", &[]).expect(2).says("no job");
    ask("not a job", &[]).expect(2).says("jobs.jsonl:1: row: not JSON");
    let bad = with(&job("bad"), "prompt_tokens", "-1");
    let jobs = lines_of([job("good").to_string(), bad]);
    ask(&jobs, &["--id", "bad"]).expect(2).says("jobs.jsonl:2: prompt_tokens: must not be negative");
    ask(&jobs, &["--id", "good"]).expect(0);
    desk.write("fleet.json", "{\"pools\":[]}");
    let ran = ask(&jobs, &["--id", "good"]).expect(0);
    assert!(ran.out.contains("no capacity: no_pools, stage 0, POOL_UNAVAILABLE; waiting can help"), "{}", ran.out);
}

#[test]
fn a_refused_pool_row_is_said_and_shows_in_the_exit_code() {
    let desk = Desk::new();
    desk.write("fleet.json", fleet_of([pool("a").to_string(), with(&pool("b"), "slots_free", "-1")]));
    desk.write("jobs.jsonl", lines_of([job("j")]));
    let ran = desk.run(["explain", "--fleet", "fleet.json", "--job", "jobs.jsonl"]).expect(1);
    assert!(ran.out.contains("winner: a\nrunner-up: none, it is the only feasible pool\n"), "{}", ran.out);
    ran.says("fleet.json:3: refused: slots_free: must not be negative (pool `");
}
