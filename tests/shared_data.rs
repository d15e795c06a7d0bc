//! The command on recorded data that is not part of this repository: 1,213 nodes of a real cluster, 15,461 requests of
//! two real services, the dimensions of 80 models. And predicted times beside 1,200 measured ones.
//!
//! The folder is named by `ORCHESTRATOR_DATA`; without it these tests fail. `Cargo.toml` therefore keeps this target out
//! of a plain `cargo test`, and `.ci/run` runs it by name:
//!
//! ```text
//! ORCHESTRATOR_DATA=../shared/data cargo test --test shared_data -- --nocapture
//! ```

mod closed_loop;
mod vllm_replays;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use orchestrator_host::daemon::Sizes;
use orchestrator_host::input::{Policies, read_model_dims_file};
use serde_json::{Value, json};
use tempfile::TempDir;

const REQUESTS: usize = 15_461;
const MOONCAKE_REQUESTS: usize = 5_719;
const MODELS: usize = 80;

fn data(path: &str) -> PathBuf {
    let folder = std::env::var_os("ORCHESTRATOR_DATA").unwrap_or_else(|| {
        panic!("ORCHESTRATOR_DATA is not set: name the folder with the recorded data, such as ../shared/data")
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(path);
    assert!(path.exists(), "{} is not there; is ORCHESTRATOR_DATA the folder with the recorded data?", path.display());
    path
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a run printed.
struct Ran {
    lines: Vec<Value>,
    out: String,
    err: String,
}

impl Ran {
    fn said(&self, name: &str) -> &str {
        let line = self.err.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no `{name}` in\n{}", self.err)).trim()
    }

    fn count(&self, key: &str, value: &Value) -> usize {
        self.lines.iter().filter(|line| line[key] == *value).count()
    }
}

/// A folder with an imported fleet and imported jobs.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
        let output = command.args(args).current_dir(self.folder.path()).output().expect("the command runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}\n{err}");
        assert!(!err.contains("panicked"), "{err}");
        output
    }

    /// Imports jobs of traces; returns what the importer said.
    fn import_jobs(&self, traces: &[&str], to: &str) -> String {
        let traces: Vec<_> = traces.iter().map(|trace| data(trace)).collect();
        let deployment = repository("examples/deployment-openb.toml");
        let mut args = vec!["import", "jobs", "--deployment", deployment.to_str().unwrap(), "-o", to];
        args.extend(traces.iter().flat_map(|trace| ["--trace", trace.to_str().unwrap()]));
        String::from_utf8(self.run(&args).stderr).unwrap()
    }

    fn import_fleet(&self) -> String {
        let files = ["fleet/fleet-openb-2023.csv", "specs/gpu_specs.csv", "perf/perf_profiles.csv"].map(data);
        let [nodes, specs, profiles] = files.each_ref().map(|path| path.to_str().unwrap());
        let deployment = repository("examples/deployment-openb.toml");
        let deployment = deployment.to_str().unwrap();
        let tables = ["--nodes", nodes, "--specs", specs, "--profiles", profiles, "--deployment", deployment];
        let output = self.run(&[&["import", "fleet"], &tables[..], &["-o", "fleet.json"]].concat());
        String::from_utf8(output.stderr).unwrap()
    }

    /// The recorded cluster and both services of Azure.
    fn openb_and_azure() -> Self {
        let world = Self::new();
        println!("{}", world.import_fleet());
        let traces = ["azure2023_conv_first30min.csv", "azure2023_code_first30min.csv"];
        println!("{}", world.import_jobs(&traces, "jobs.jsonl"));
        world
    }

    fn place(&self, fleet: &str, more: &[&str]) -> Ran {
        let output = self.run(&[&["place", "--fleet", fleet, "--jobs", "jobs.jsonl"], more].concat());
        let out = String::from_utf8(output.stdout).unwrap();
        let lines = out.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let err = String::from_utf8(output.stderr).unwrap();
        println!("{more:?}\n{err}");
        Ran { lines, out, err }
    }

    fn json(&self, name: &str) -> Value {
        let text = fs::read_to_string(self.path(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// Reason, stage and code where there is no capacity; counts that add up to the pools everywhere.
fn check_lines(ran: &Ran, ids: &[String], pools: u64) {
    assert_eq!(ran.lines.len(), REQUESTS);
    for (line, id) in ran.lines.iter().zip(ids) {
        assert_eq!(line["job_id"], **id);
        let counts = &line["counts"];
        let rejected = counts["rejected"].as_array().expect("counts");
        let infeasible: u64 = rejected.iter().map(|one| one["pools"].as_u64().unwrap()).sum();
        assert_eq!(counts["feasible"].as_u64().unwrap() + infeasible, pools, "{line}");
        match line["outcome"].as_str() {
            Some("assigned") => assert!(line["pool_id"].is_string(), "{line}"),
            Some("no_capacity") => {
                assert!((1..=7).contains(&line["stage"].as_u64().unwrap()), "{line}");
                assert!(line["reason"].is_string() && line["detail"].is_string() && line["code"].is_string(), "{line}");
                assert_eq!(counts["feasible"], 0, "{line}");
                assert!(line["nearest_miss"].is_object(), "{line}");
            }
            other => panic!("{other:?}: {line}"),
        }
    }
}

fn job_ids(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.path("jobs.jsonl")).unwrap();
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    text.lines().map(id).collect()
}

/// Lines by outcome and reason, for people.
fn print_outcomes(name: &str, ran: &Ran) {
    let mut outcomes = BTreeMap::<String, usize>::new();
    for line in &ran.lines {
        let what = format!("{} {}", line["outcome"], line["detail"]);
        *outcomes.entry(what).or_default() += 1;
    }
    println!("{name}: {outcomes:?}");
}

#[test]
fn a_real_cluster_takes_two_real_services() {
    let world = World::openb_and_azure();
    let fleet = world.json("fleet.json");
    let pools = fleet["pools"].as_array().unwrap();
    let slots: u64 = pools.iter().map(|pool| pool["slots_free"].as_u64().unwrap()).sum();
    println!("{} pools, {slots} free slots", pools.len());
    let ids = job_ids(&world);
    assert_eq!(ids.len(), REQUESTS);

    let sequential = world.place("fleet.json", &["--explain"]);
    let independent = world.place("fleet.json", &["--explain", "--mode", "independent"]);
    for (name, ran) in [("sequential", &sequential), ("independent", &independent)] {
        check_lines(ran, &ids, pools.len() as u64);
        print_outcomes(name, ran);
    }

    // What some pool's facts allow: it is assigned, or waiting can help.
    let allowed = independent.count("outcome", &json!("assigned")) + independent.count("retryable", &json!(true));
    let assigned = sequential.count("outcome", &json!("assigned"));
    println!("assigned {assigned} of {allowed} allowed of {REQUESTS} requests");
    assert!(allowed as u64 <= slots, "slots would not last");
    assert!(assigned * 100 >= allowed * 95, "{assigned} of {allowed}");
    // While slots last: no pool took more than it has.
    let mut taken = BTreeMap::<(&str, &str), u64>::new();
    for line in sequential.lines.iter().filter(|line| line["outcome"] == "assigned") {
        let name = (line["pool_id"].as_str().unwrap(), line["replica_id"].as_str().unwrap());
        *taken.entry(name).or_default() += 1;
    }
    for pool in pools {
        let name = (pool["id"].as_str().unwrap(), pool["replica_id"].as_str().unwrap_or_default());
        let jobs = taken.remove(&name).unwrap_or_default();
        assert!(jobs <= pool["slots_free"].as_u64().unwrap(), "{name:?} took {jobs}");
    }
    assert!(taken.is_empty(), "unknown pools: {taken:?}");
}

// DET-1.
#[test]
fn equal_runs_and_shuffled_pools_give_the_same_bytes() {
    let world = World::openb_and_azure();
    let mut fleet = world.json("fleet.json");
    let pools = fleet["pools"].as_array_mut().unwrap();
    // A fixed order that has nothing to do with the file's.
    let mut state = 1_u64;
    for end in (1..pools.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        pools.swap(end, usize::try_from((state >> 33) % (end as u64 + 1)).unwrap());
    }
    fs::write(world.path("shuffled.json"), fleet.to_string()).unwrap();
    assert_ne!(world.json("shuffled.json")["pools"], world.json("fleet.json")["pools"]);
    for mode in ["sequential", "independent"] {
        let first = world.place("fleet.json", &["--mode", mode]);
        for other in ["fleet.json", "shuffled.json"] {
            let again = world.place(other, &["--mode", mode]);
            assert!(again.out == first.out, "{mode} {other}: the bytes differ");
            for name in ["decision digest:", "snapshot hash:", "policy hash:"] {
                assert_eq!(again.said(name), first.said(name));
            }
        }
    }
}

#[test]
fn a_trace_of_another_kind_is_imported_whole() {
    let world = World::new();
    let said = world.import_jobs(&["mooncake_conversation_first30min.jsonl"], "jobs.jsonl");
    println!("{said}");
    assert!(said.contains(&format!("wrote {MOONCAKE_REQUESTS} jobs")), "{said}");
    assert_eq!(job_ids(&world).len(), MOONCAKE_REQUESTS);
    world.import_fleet();
    let ran = world.place("fleet.json", &[]);
    assert_eq!(ran.lines.len(), MOONCAKE_REQUESTS);
    print_outcomes("mooncake", &ran);
}

// KV-1: the estimate is the one that the table's own column states.
#[test]
fn every_model_of_the_table_is_known() {
    let path = data("models/model_dims.csv");
    let table = read_model_dims_file(&path).unwrap();
    assert_eq!((table.models.len(), table.refused), (MODELS, Vec::new()));

    let world = World::new();
    let text = fs::read_to_string(&path).unwrap();
    let header: Vec<_> = text.lines().next().unwrap().split(',').collect();
    let place = |name| header.iter().position(|column| *column == name).unwrap();
    let (model, bytes) = (place("model_id"), place("kv_bytes_per_token_fp16"));
    for row in text.lines().skip(1) {
        // The columns up to this one are never quoted.
        let cells: Vec<_> = row.split(',').collect();
        let args = ["kv", "--context", "1", "--models", path.to_str().unwrap(), "--model", cells[model]];
        let answer: Value = serde_json::from_slice(&world.run(&args).stdout).unwrap();
        assert_eq!(answer["bytes_per_token"].to_string(), cells[bytes], "{row}");
    }
    println!("{} models, each with the table's own KV bytes per token", table.models.len());
}

// JOB-3: a pool one byte too small for the estimate does not take the job; without the table it does.
#[test]
fn estimates_of_the_table_are_used_for_jobs() {
    let world = World::new();
    let dims = data("models/model_dims.csv");
    let dims = dims.to_str().unwrap();
    let model = "codellama/CodeLlama-13b-Instruct-hf";
    let per_token: u64 = 2 * 40 * 128 * 2 * 40;
    let job = json!({"id": "j", "engine": "vllm", "model_id": model, "prompt_tokens": 1000, "expected_tokens": 24});
    fs::write(world.path("jobs.jsonl"), job.to_string()).unwrap();
    for (vram, with_table) in [(1024 * per_token, "assigned"), (1024 * per_token - 1, "no_capacity")] {
        let pool = json!({
            "id": "p", "engine": "vllm", "slots_total": 1, "slots_free": 1,
            "vram_total_bytes": vram, "vram_free_bytes": vram,
        });
        fs::write(world.path("fleet.json"), json!({"version": 1, "pools": [pool]}).to_string()).unwrap();
        assert_eq!(world.place("fleet.json", &["--models", dims]).lines[0]["outcome"], with_table);
        assert_eq!(world.place("fleet.json", &[]).lines[0]["outcome"], "assigned");
    }
}

// RECORD-2, EVENT-1: half an hour of a real service on a real cluster, with engines that report.
#[test]
fn half_an_hour_of_a_service_is_scheduled_and_replayed() {
    let world = World::new();
    world.import_fleet();
    let (trace, deployment) = (data("azure2023_conv_first30min.csv"), repository("examples/deployment-openb.toml"));
    let [trace, deployment] = [&trace, &deployment].map(|path| path.to_str().unwrap());
    let args = ["import", "events", "--trace", trace, "--deployment", deployment, "-o", "submits.jsonl"];
    world.run(&args);
    let submits = fs::read_to_string(world.path("submits.jsonl")).unwrap();
    let played = closed_loop::play(&world.json("fleet.json"), &Policies::default(), Sizes::default(), &submits);
    println!("{}", played.tally);
    fs::write(world.path("events.jsonl"), &played.events).unwrap();

    let mut digests = Vec::new();
    for recording in ["one.rec", "two.rec"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
        command.args(["run", "--clock", "events", "--record", recording]).current_dir(world.folder.path());
        let events = fs::File::open(world.path("events.jsonl")).unwrap();
        let output = command.stdin(events).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        println!("{err}");
        assert_eq!(output.status.code(), Some(0), "{err}");
        digests.push(err.lines().find_map(|line| line.strip_prefix("run digest: ")).unwrap().to_owned());
    }
    assert_eq!(digests, vec![format!("{:016x}", played.digest); 2]);
    let bytes = ["one.rec", "two.rec"].map(|name| fs::read(world.path(name)).unwrap());
    assert!(bytes[0] == bytes[1], "the recordings differ");
    let replay = String::from_utf8(world.run(&["replay", "one.rec"]).stdout).unwrap();
    println!("{} bytes recorded\n{replay}", bytes[0].len());
    assert!(replay.contains("equal: every outcome is the recorded one"), "{replay}");
    assert!(replay.contains(&digests[0]), "{replay}");
    // Every job that was submitted ended.
    assert!(played.tally.ended("job_finished") * 100 >= submits.lines().count() as u64 * 95, "{}", played.tally);
}
