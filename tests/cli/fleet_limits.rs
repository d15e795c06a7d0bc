//! Limits of the fleet as a whole, and rows that refuse each other. UNIT-8, POOL-1.

use serde_json::{Value, json};

use super::support::{Desk, Ran, fleet_of, job, lines_of, pool, with};

fn names(count: usize) -> String {
    let names: Value = (0..count).map(|number| format!("n{number}")).collect();
    names.to_string()
}

/// A fleet with so many names of one kind in the list at `path`.
fn with_names(path: &str, count: usize) -> String {
    fleet_of([pool("ok").to_string(), with(&pool("names"), path, &names(count))])
}

fn too_many(ran: Ran, max: usize, what: &str) {
    let ran = ran.expect(2).says("fleet.json: ").says(&format!("more than {max} {what}"));
    assert_eq!(ran.out, "");
}

// UNIT-8: exactly at the limit is fine, one more is an error for the whole fleet.
#[test]
fn names_of_the_whole_fleet_are_limited() {
    let desk = Desk::new();
    let jobs = lines_of([job("j")]);
    for (path, max, what) in [
        ("supports.quantizations", 64, "quantizations"),
        ("supports.extensions", 64, "extensions"),
        ("supports.models", 4096, "models"),
    ] {
        desk.place(with_names(path, max), &jobs, &[]).expect(0).says("fleet: 2 pools, 0 rows refused");
        too_many(desk.place(with_names(path, max + 1), &jobs, &[]), max, what);
    }
    let engines = |count: usize| {
        let rows = (0..count).map(|n| with(&pool(&format!("p{n}")), "engine", &format!("\"E{n}\"")));
        fleet_of(rows)
    };
    desk.place(engines(256), &jobs, &[]).expect(0).says("fleet: 256 pools");
    too_many(desk.place(engines(257), &jobs, &[]), 256, "engines");
}

// Served and resident models count together, a name once, engines and quantisations without regard to case.
#[test]
fn names_count_once() {
    let desk = Desk::new();
    let jobs = lines_of([job("j")]);
    let rows = |resident: &str| {
        let served = with(&pool("served"), "supports.models", &names(4096));
        fleet_of([served, with(&pool("resident"), "resident_models", resident)])
    };
    desk.place(rows("[\"n0\",\"n4095\"]"), &jobs, &[]).expect(0);
    too_many(desk.place(rows("[\"n4096\"]"), &jobs, &[]), 4096, "models");
    let cases = json!(["q", "Q", "q"]).to_string();
    let row = |id| with(&pool(id), "supports.quantizations", &cases);
    let mut upper: Vec<String> = (0..63).map(|n| format!("N{n}")).collect();
    upper.extend((0..63).map(|n| format!("n{n}")));
    let many = with(&pool("many"), "supports.quantizations", &json!(upper).to_string());
    desk.place(fleet_of([row("a"), many]), &jobs, &[]).expect(0);
}

#[test]
fn rows_that_are_refused_on_their_own_do_not_count() {
    let desk = Desk::new();
    let full = with(&pool("full"), "supports.quantizations", &names(64));
    let bad = r#"{"id":"bad","engine":"vllm","slots_total":-1,"slots_free":0,"vram_total_bytes":1,"vram_free_bytes":1,"supports":{"quantizations":["another"]}}"#;
    let ran = desk.place(fleet_of([full.as_str(), bad]), lines_of([job("j")]), &[]).expect(1);
    assert_eq!(ran.only_line()["pool_id"], "full");
}

#[test]
fn names_that_only_a_job_knows_are_no_error() {
    let desk = Desk::new();
    let row = with(&pool("full"), "supports.quantizations", &names(64));
    let mut row: Value = serde_json::from_str(&row).unwrap();
    row["supports"]["extensions"] = serde_json::from_str(&names(64)).unwrap();
    row["supports"]["models"] = serde_json::from_str(&names(4096)).unwrap();
    let jobs = [
        with(&job("q"), "requirements.quantization", "\"other\""),
        with(&job("x"), "requirements.required_extensions", "[\"other\"]"),
        with(&job("e"), "engine", "\"other\""),
        job("m").to_string(),
    ];
    let mut served: Vec<Value> = jobs.iter().map(|job| serde_json::from_str(job).unwrap()).collect();
    served[..3].iter_mut().for_each(|job| job["model_id"] = "n7".into());
    let ran = desk.place(fleet_of([row]), lines_of(served), &[]).expect(0);
    let details: Vec<Value> = ran.lines().iter().map(|line| line["detail"].clone()).collect();
    assert_eq!(details, ["quantization", "extension", "engine_name", "model_not_served"]);
}

// POOL-1: all rows of an identity are refused, whatever else is wrong with them.
#[test]
fn rows_with_the_same_identity_are_all_refused() {
    let desk = Desk::new();
    let other_replica = with(&pool("twice"), "replica_id", "\"r\"");
    let bad = with(&pool("twice"), "slots_total", "-1");
    let worse = with(&pool("twice"), "slots_total", "NaN");
    let explicit = with(&pool("twice"), "replica_id", "\"\"");
    let escaped = with(&pool("x"), "id", "\"tw\\u0069ce\"");
    for second in [pool("twice").to_string(), bad, worse, explicit, escaped] {
        for flip in [false, true] {
            let mut pair = vec![pool("twice").to_string(), second.clone()];
            if flip {
                pair.reverse();
            }
            pair.push(other_replica.clone());
            let ran = desk.place(fleet_of(&pair), lines_of([job("j")]), &[]).expect(1);
            let ran = ran.says("fleet: 1 pools, 2 rows refused").says("refused: id: another row is `twice`");
            assert_eq!(ran.only_line()["replica_id"], "r", "{second}");
        }
    }
    let three = desk.place(fleet_of([pool("a"), pool("a"), pool("b"), pool("a")]), lines_of([job("j")]), &[]);
    assert_eq!(three.expect(1).says("3 rows refused").only_line()["pool_id"], "b");
}

// NOCAP-1, NOCAP-2, NOCAP-4.
#[test]
fn an_empty_fleet_has_no_pools() {
    let desk = Desk::new();
    let pinned = with(&job("pinned"), "placement.pin_pool_id", "\"a\"");
    let jobs = lines_of([job("j").to_string(), pinned]);
    for fleet in ["{\"version\":1,\"pools\":[]}", "{\"pools\": [ ] }\n", " {\"pools\":[],\"version\":1.0}"] {
        let ran = desk.place(fleet, &jobs, &["--explain"]).expect(0).says("2 no_pools (stage 0)");
        let lines = ran.lines();
        for line in &lines {
            assert_eq!(line["outcome"], "no_capacity");
            assert_eq!((&line["reason"], &line["detail"]), (&"no_pools".into(), &"no_pools".into()));
            assert_eq!((&line["stage"], &line["retryable"]), (&0.into(), &true.into()));
            assert_eq!(line["counts"], json!({"candidates": 0, "feasible": 0, "rejected": []}));
        }
        assert_eq!((&lines[0]["code"], &lines[1]["code"]), (&"POOL_UNAVAILABLE".into(), &"INVALID_PARAMS".into()));
    }
}
