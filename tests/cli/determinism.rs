//! Equal inputs, equal bytes: whatever the order of pools, and whatever stands on other lines. DET-1.

use serde_json::Value;

use super::support::{Desk, Random, fleet_of, job, lines_of, pool, repository_text, with};

fn pools() -> Vec<Value> {
    let fleet: Value = serde_json::from_str(&repository_text("examples/fleet.json")).unwrap();
    fleet["pools"].as_array().unwrap().clone()
}

#[test]
fn runs_and_orders_of_pools_give_the_same_bytes() {
    let desk = Desk::new();
    let jobs = repository_text("examples/jobs.jsonl");
    let options = ["--explain", "--k", "3"];
    let first = desk.place(repository_text("examples/fleet.json"), &jobs, &options).expect(0);
    let again = desk.place(repository_text("examples/fleet.json"), &jobs, &options).expect(0);
    assert!(first.out == again.out);
    let mut orders: Vec<Vec<Value>> = (1..=5)
        .map(|seed| {
            let mut order = pools();
            Random(seed).shuffle(&mut order);
            order
        })
        .collect();
    orders.push(pools().into_iter().rev().collect());
    for order in orders {
        assert_ne!(order, pools());
        let ran = desk.place(fleet_of(&order), &jobs, &options).expect(0);
        for name in ["decision digest:", "snapshot hash:", "policy hash:"] {
            assert_eq!(ran.said(name), first.said(name));
        }
        assert!(ran.out == first.out, "the bytes differ");
    }
}

#[test]
fn equal_pools_are_told_apart_by_id_whatever_their_order() {
    let desk = Desk::new();
    let names = ["b", "a", "c", "B", "a0", "é"];
    let jobs = lines_of((0..20).map(|number| job(&number.to_string())));
    let ordered = desk.place(fleet_of(names.map(pool)), &jobs, &[]).expect(0);
    assert_eq!(ordered.lines()[0]["pool_id"], "B");
    let mut shuffled = names;
    for seed in 0..6 {
        Random(seed).shuffle(&mut shuffled);
        let ran = desk.place(fleet_of(shuffled.map(pool)), &jobs, &[]).expect(0);
        assert_eq!(ran.out, ordered.out);
    }
}

#[test]
fn a_changed_fact_changes_the_snapshot_hash() {
    let desk = Desk::new();
    let hash = |row: String| desk.place(fleet_of([row]), "", &[]).expect(0).said("snapshot hash:").to_owned();
    let plain = hash(pool("a").to_string());
    assert_ne!(hash(with(&pool("a"), "slots_free", "7")), plain);
    assert_ne!(hash(with(&pool("a"), "labels", "{\"a\":\"b\"}")), plain);
    assert_ne!(hash(with(&pool("a"), "queue_depth", "5")), plain);
    // HASH-2: as used.
    assert_eq!(hash(with(&pool("a"), "slots_free", "9")), plain);
    assert_eq!(hash(with(&pool("a"), "slots_free", "8.0")), plain);
    assert_eq!(hash(with(&pool("a"), "queue_depth", "0")), plain);
    assert_eq!(hash(with(&pool("a"), "note", "5")), plain);
}

// MODE-1, MODE-2: before the first commit there is no difference.
#[test]
fn the_first_job_is_decided_alike_in_both_modes() {
    let desk = Desk::new();
    let fleet = repository_text("examples/fleet.json");
    for jobs in ["examples/jobs.jsonl", "examples/mixed-jobs.jsonl"] {
        let jobs = repository_text(jobs);
        let sequential = desk.place(&fleet, &jobs, &["--mode", "sequential"]).expect(0);
        let independent = desk.place(&fleet, &jobs, &["--mode", "independent"]).expect(0);
        assert_eq!(sequential.out.lines().next(), independent.out.lines().next());
    }
    let twice = lines_of([job("x"), job("x")]);
    let ran = desk.place(fleet_of([pool("a")]), twice, &["--mode", "independent"]).expect(0);
    assert_eq!(ran.lines()[0], ran.lines()[1]);
}

// UNIT-10: a bad row never affects another.
#[test]
fn a_bad_line_changes_no_other_line() {
    let desk = Desk::new();
    let fleet = repository_text("examples/fleet.json");
    let jobs = repository_text("examples/jobs.jsonl");
    let good = desk.place(&fleet, &jobs, &[]).expect(0);
    for (bad, id, field) in [
        ("not a job", Value::Null, "row"),
        (
            "{\"id\":\"bad\",\"engine\":\"vllm\",\"model_id\":\"m\",\"prompt_tokens\":NaN}",
            "bad".into(),
            "prompt_tokens",
        ),
        ("{\"id\":\"bad\",\"engine\":\"vllm\",\"model_id\":\"m\",\"deadline_ms\":-1}", "bad".into(), "deadline_ms"),
    ] {
        let mut lines: Vec<&str> = jobs.lines().collect();
        lines.insert(500, bad);
        let ran = desk.place(&fleet, lines_of(lines), &[]).expect(1);
        let mut lines: Vec<&str> = ran.out.lines().collect();
        let refused: Value = serde_json::from_str(lines.remove(500)).unwrap();
        assert_eq!(refused["outcome"], "refused");
        assert_eq!((&refused["job_id"], &refused["line"]), (&id, &501.into()));
        assert_eq!(refused["field"], field, "{refused}");
        assert!(lines.iter().copied().eq(good.out.lines()));
        assert_ne!(ran.said("decision digest:"), good.said("decision digest:"));
        ran.says("722 assigned + 278 no capacity + 1 refused");
    }
}
