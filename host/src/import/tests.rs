//! Importers on small files made here, and on the files of `examples/`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use serde_json::Value;
use tempfile::TempDir;

use super::*;

const NODES: &str = "node_id,gpu,gpu_count,vram_bytes_per_gpu,compute_capability\n";
const SPECS: &str = "gpu,vram_bytes,compute_capability\nT4,16000,7.5\nG2,20000,\n";
const PROFILES: &str = "gpu,gpu_count,model,quant,engine,perf_tokens_per_s,first_token_ms\n\
    T4,1,tiny,fp16,vLLM,12.5,80\nT4,2,tiny,fp16,vLLM,20,\n";
const DEPLOYMENT: &str = "version = 1\n\
    [gpu.T4]\nengine = \"vllm\"\nmodel = \"org/tiny\"\nslots_per_pool = 4\n\
    profile = { gpu = \"T4\", gpu_count = 1, model = \"org/tiny\", quant = \"fp16\", engine = \"vLLM\" }\n\
    [model_alias]\n\"org/tiny\" = \"tiny\"\n";
const JOBS: &str = "version = 1\n[jobs]\nengine = \"vllm\"\nmodel = \"org/tiny\"\n";

/// A folder of input files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder for the test's files"))
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("the test's file can be written");
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).expect("the file is there")
    }

    /// Everything in the folder.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("the folder is there");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The folder's own name.
    fn folder(&self) -> String {
        self.0.path().file_name().expect("it has one").to_string_lossy().into_owned()
    }

    fn fleet(&self, nodes: &str, deployment: &str) -> FleetSources {
        FleetSources {
            nodes: self.write("nodes.csv", format!("{NODES}{nodes}")),
            specs: Some(self.write("specs.csv", SPECS)),
            profiles: Some(self.write("profiles.csv", PROFILES)),
            deployment: self.write("deployment.toml", deployment),
        }
    }

    fn jobs(&self, traces: &[PathBuf], deployment: &str) -> JobSources {
        let deployment = Some(self.write("deployment.toml", deployment));
        JobSources { traces: traces.to_vec(), deployment }
    }
}

fn fleet(sources: &FleetSources) -> (Vec<Value>, FleetCounts, Refusals) {
    let mut out = Vec::new();
    let summary = import_fleet(sources, &mut out).expect("the import goes to its end");
    let Imported::Fleet(counts) = summary.imported else { panic!("a fleet gives a fleet's summary") };
    let mut fleet: Value = serde_json::from_slice(&out).expect("the output is JSON");
    assert_eq!(fleet["version"], 1);
    let Value::Array(pools) = fleet["pools"].take() else { panic!("a fleet has pools") };
    (pools, counts, summary.refused)
}

fn fleet_error(sources: &FleetSources) -> String {
    import_fleet(sources, &mut Vec::new()).expect_err("the import is refused").to_string()
}

fn jobs(sources: &JobSources) -> (Vec<Value>, Refusals) {
    let mut out = Vec::new();
    let summary = import_jobs(sources, &mut out).expect("the import goes to its end");
    let text = String::from_utf8(out).expect("the output is UTF-8");
    let jobs = text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    (jobs, summary.refused)
}

fn jobs_error(sources: &JobSources) -> String {
    import_jobs(sources, &mut Vec::new()).expect_err("the import is refused").to_string()
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["id"].as_str()).collect()
}

#[test]
fn a_node_gives_one_pool_per_gpu_with_measured_speed() {
    let files = Files::new();
    let (pools, counts, refused) = fleet(&files.fleet("a,T4,2,,\nb,T4,1,15000,7.0\n", DEPLOYMENT));
    assert_eq!(ids(&pools), ["a/0", "a/1", "b/0"]);
    assert_eq!(pools[1]["vram_total_bytes"], 16000);
    assert_eq!(pools[1]["compute_capability"], "7.5");
    assert_eq!(pools[1]["perf_tokens_per_s"], 12.5);
    assert_eq!(pools[1]["device_mask"], "1");
    assert_eq!((&pools[2]["vram_total_bytes"], &pools[2]["compute_capability"]), (&15000.into(), &"7.0".into()));
    assert_eq!((counts.nodes, counts.pools, refused.total), (2, 3, 0));
    assert_eq!(counts.profiles.values().sum::<u64>(), 3);
}

#[test]
fn unknown_stays_unknown_and_is_counted() {
    let files = Files::new();
    let deployment = "version = 1\n[gpu.G2]\nengine = \"e\"\nmodel = \"m\"\nslots_per_pool = 1\n";
    let (pools, counts, _) = fleet(&files.fleet("g,G2,1,,\n", deployment));
    for field in ["perf_tokens_per_s", "first_token_ms", "compute_capability", "resident_models", "devices", "age_ms"] {
        assert!(pools[0].get(field).is_none(), "{field} is made up: {}", pools[0]);
    }
    assert_eq!(counts.unknown, Unknowns { rate: 1, first_token: 1, capability: 1 });
}

#[test]
fn a_profile_with_one_speed_gives_one_field() {
    let files = Files::new();
    let deployment = DEPLOYMENT.replace("gpu_count = 1", "gpu_count = 2");
    let (pools, counts, _) = fleet(&files.fleet("a,T4,1,,\n", &deployment));
    assert_eq!(pools[0]["perf_tokens_per_s"], 20.0);
    assert!(pools[0].get("first_token_ms").is_none());
    assert_eq!((counts.unknown.first_token, counts.foreign_profiles), (1, 1));
}

#[test]
fn several_gpus_are_published_as_devices_whose_free_vram_adds_up() {
    let files = Files::new();
    let deployment =
        DEPLOYMENT.replace("slots_per_pool = 4", "slots_per_pool = 4\ngpus_per_pool = 3\nweights_bytes = 7");
    let (pools, counts, _) = fleet(&files.fleet("a,T4,8,,\n", &deployment));
    assert_eq!(ids(&pools), ["a/0", "a/1"]);
    assert_eq!(pools[1]["device_mask"], "3,4,5");
    assert_eq!((&pools[1]["vram_total_bytes"], &pools[1]["vram_free_bytes"]), (&48000.into(), &47993.into()));
    let free: Vec<_> = (0..3).map(|device| pools[1]["devices"][device]["vram_free_bytes"].as_u64()).collect();
    assert_eq!(free, [Some(15998), Some(15998), Some(15997)]);
    assert_eq!(counts.spare_gpus, 2);
}

#[test]
fn all_gpus_of_a_node_make_one_pool_with_its_id() {
    let files = Files::new();
    let deployment = DEPLOYMENT.replace("slots_per_pool = 4", "slots_per_pool = 4\ngpus_per_pool = \"all\"");
    let (pools, _, refused) = fleet(&files.fleet("a,T4,1,,\nb,T4,16,,\nc,T4,17,,\n", &deployment));
    assert_eq!(ids(&pools), ["a", "b"]);
    assert_eq!(pools[0]["devices"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        refused.first[0].to_string().rsplit(": ").next(),
        Some("`gpu_count` is 17; a pool has at most 16 devices")
    );
}

#[test]
fn a_nodes_own_section_wins_over_its_gpu_type() {
    let files = Files::new();
    let own = "[node.b]\nengine = \"other\"\nmodels = [\"x\", \"y\"]\nslots_per_pool = 9\n[node.z]\nengine = \"e\"\n\
        model = \"m\"\nslots_per_pool = 1\n";
    let (pools, counts, _) = fleet(&files.fleet("a,T4,1,,\nb,T4,1,,\n", &format!("{DEPLOYMENT}{own}")));
    assert_eq!((&pools[0]["engine"], &pools[1]["engine"]), (&"vllm".into(), &"other".into()));
    assert_eq!(pools[1]["supports"]["models"], serde_json::json!(["x", "y"]));
    assert_eq!(counts.unused_sections, ["node.\"z\""]);
}

#[test]
fn residency_is_published_as_declared_and_weights_take_vram() {
    let files = Files::new();
    let free = |resident: &str| {
        let keys = format!("slots_per_pool = 4\nweights_bytes = 6000\n{resident}");
        let (pools, ..) = fleet(&files.fleet("a,T4,1,,\n", &DEPLOYMENT.replace("slots_per_pool = 4", &keys)));
        (pools[0]["vram_free_bytes"].as_u64(), pools[0].get("resident_models").cloned())
    };
    assert_eq!(free(""), (Some(10_000), None));
    assert_eq!(free("resident = true"), (Some(10_000), Some(serde_json::json!(["org/tiny"]))));
    assert_eq!(free("resident = false"), (Some(16_000), Some(serde_json::json!([]))));
}

#[test]
fn an_override_sets_the_state_of_its_pool_only() {
    let files = Files::new();
    let state = "[[override]]\npool = \"a/1\"\nslots_free = 1\nage_ms = 40000\ndraining = true\nlabels = { k = \"v\" }\n\
        warm_sessions = [{ session_id = \"s\", cached_tokens = 5 }]\n";
    let (pools, ..) = fleet(&files.fleet("a,T4,2,,\n", &format!("{DEPLOYMENT}{state}")));
    assert!(pools[0].get("draining").is_none());
    assert_eq!((&pools[1]["slots_free"], &pools[1]["draining"]), (&1.into(), &true.into()));
    assert_eq!(pools[1]["warm_sessions"][0]["cached_tokens"], 5);
    let unknown_pool = fleet_error(&files.fleet("a,T4,1,,\n", &format!("{DEPLOYMENT}{state}")));
    assert!(unknown_pool.contains("`override.pool` is `a/1`, and no such pool was made"), "{unknown_pool}");
    let too_many = state.replace("slots_free = 1", "slots_free = 5");
    let error = fleet_error(&files.fleet("a,T4,2,,\n", &format!("{DEPLOYMENT}{too_many}")));
    assert!(error.contains("makes 5 slots; this pool has at most 4"), "{error}");
}

#[test]
fn nodes_that_nobody_wants_are_skipped_with_the_reason() {
    let files = Files::new();
    let (pools, counts, refused) = fleet(&files.fleet("a,,8,,\nb,T4,0,,\nc,A10,1,,\nd,A10,2,,\n", DEPLOYMENT));
    assert!(pools.is_empty());
    let a10 = SkipReason::NoSection { gpu: "A10".to_owned() };
    assert_eq!(counts.skipped[&a10], 2);
    assert_eq!((counts.skipped[&SkipReason::GpuNotDisclosed], counts.skipped[&SkipReason::NoGpu]), (1, 1));
    assert_eq!(refused.total, 0);
}

#[test]
fn bad_rows_are_refused_with_line_and_column_and_the_others_go_on() {
    let files = Files::new();
    let mut sources = files.fleet("", DEPLOYMENT);
    let mut text =
        format!("{NODES}a,T4,two,,\nb,T4\nc,T4,1,,7.x\nd,T4,1,,\nd,T4,1,,\n,T4,1,,\nf,T4,-1,,\n").into_bytes();
    text.extend(b"\xff,T4,1,,\n");
    text.extend(format!("{},T4,1,,\n", "n".repeat(64)).bytes());
    sources.nodes = files.write("nodes.csv", text);
    let (pools, _, refused) = fleet(&sources);
    assert_eq!(ids(&pools), ["d/0"]);
    let found: Vec<_> = refused.first.iter().map(|row| (row.line, row.column.as_str())).collect();
    let expected = [
        (2, "gpu_count"),
        (3, ""),
        (4, "compute_capability"),
        (6, "node_id"),
        (7, "node_id"),
        (8, "gpu_count"),
        (9, "node_id"),
        (10, "node_id"),
    ];
    assert_eq!(found, expected);
    assert!(refused.first[0].to_string().ends_with("nodes.csv:2: `gpu_count` is `two`, no whole number"));
}

#[test]
fn weights_that_do_not_fit_and_unknown_vram_refuse_the_node() {
    let files = Files::new();
    let heavy = DEPLOYMENT.replace("slots_per_pool = 4", "slots_per_pool = 4\nweights_bytes = 16001");
    assert_eq!(fleet(&files.fleet("a,T4,1,,\n", &heavy)).2.first[0].column, "vram_bytes_per_gpu");
    let mut sources = files.fleet("a,T4,1,,\n", DEPLOYMENT);
    sources.specs = None;
    assert!(fleet(&sources).2.first[0].why.contains("is blank"));
}

#[test]
fn a_repeated_or_damaged_row_of_specs_and_profiles_is_refused() {
    let files = Files::new();
    let mut sources = files.fleet("a,T4,1,,\n", DEPLOYMENT);
    sources.specs = Some(files.write("specs.csv", format!("{SPECS}T4,1,1.0\nX,many,\n")));
    sources.profiles =
        Some(files.write("profiles.csv", format!("{PROFILES}T4,1,tiny,fp16,vLLM,99,1\nT4,1,x,,e,NaN,\n")));
    let (pools, _, refused) = fleet(&sources);
    assert_eq!((&pools[0]["vram_total_bytes"], &pools[0]["perf_tokens_per_s"]), (&16000.into(), &12.5.into()));
    let found: Vec<_> = refused.first.iter().map(|row| (row.line, row.column.as_str())).collect();
    assert_eq!(found, [(4, "gpu"), (5, "vram_bytes"), (4, "model"), (5, "perf_tokens_per_s")]);
}

#[test]
fn files_that_are_no_tables_are_typed_errors() {
    let files = Files::new();
    let mut sources = files.fleet("", DEPLOYMENT);
    sources.nodes = files.write("empty.csv", "");
    assert!(matches!(import_fleet(&sources, &mut Vec::new()), Err(ImportError::Empty { .. })));
    sources.nodes = files.0.path().to_owned();
    assert!(matches!(import_fleet(&sources, &mut Vec::new()), Err(ImportError::NotAFile { .. })));
    sources.nodes = files.0.path().join("nowhere.csv");
    assert!(matches!(import_fleet(&sources, &mut Vec::new()), Err(ImportError::Open { .. })));
    sources.nodes = files.write("short.csv", "node_id,gpu\na,T4\n");
    let error = fleet_error(&sources);
    let missing = "no column gpu_count, vram_bytes_per_gpu, compute_capability; found: node_id, gpu.";
    assert!(error.contains(missing), "{error}");
}

#[test]
fn a_byte_order_mark_and_any_order_of_columns_are_accepted() {
    let files = Files::new();
    let mut sources = files.fleet("", DEPLOYMENT);
    let text = "\u{feff}gpu_count,node_id,extra,compute_capability,vram_bytes_per_gpu,gpu\r\n1,a,?,,,T4\r\n";
    sources.nodes = files.write("nodes.csv", text);
    assert_eq!(ids(&fleet(&sources).0), ["a/0"]);
}

#[test]
fn mistakes_in_a_deployment_name_their_key() {
    let files = Files::new();
    let serving = "engine = \"e\"\nmodel = \"m\"\nslots_per_pool = 1\n";
    let cases = [
        ("version = 2\n".to_owned(), "`version` is 2"),
        ("".to_owned(), "missing field `version`"),
        ("version = 1\nversion = 1\n".to_owned(), "duplicate key"),
        (format!("version = 1\n[gpu.T4]\n{serving}[gpu.T4]\n{serving}"), "duplicate key"),
        (format!("version = 1\n[gpu.T4]\n{serving}slot = 1\n"), "unknown field `slot`"),
        (format!("version = 1\n[gpu.T4]\n{serving}perf_tokens_per_s = 9.0\n"), "unknown field `perf_tokens_per_s`"),
        (format!("version = 1\n[gpu.T4]\n{serving}gpus_per_pool = \"some\"\n"), "from 1 to 16, or \"all\""),
        (format!("version = 1\n[gpu.T4]\n{serving}gpus_per_pool = 0\n"), "from 1 to 16, or \"all\""),
        (format!("version = 1\n[gpu.T4]\n{serving}models = [\"n\"]\n"), "`gpu.\"T4\".model` stands beside"),
        ("version = 1\n[gpu.T4]\nengine = \"e\"\nslots_per_pool = 1\n".to_owned(), "`gpu.\"T4\".model` is missing"),
        (
            format!("version = 1\n[gpu.T4]\n{serving}")
                .replace("= 1\n[", "= 1\n\n[")
                .replace("pool = 1", "pool = 32768"),
            "`gpu.\"T4\".slots_per_pool` is 32768; write at most 32767",
        ),
        (format!("version = 1\n[gpu.T4]\n{serving}model_load_ms = -1.0\n"), "`gpu.\"T4\".model_load_ms` is -1"),
        (format!("version = 1\n[gpu.T4]\n{serving}min_compute_cap = \"8,6\"\n"), "no compute capability"),
        (format!("version = 1\n[gpu.T4]\n{serving}labels = {{ a = \"\" }}\n"), "`gpu.\"T4\".labels.\"a\"` has 0 bytes"),
        (
            "version = 1\n[[override]]\npool = \"a\"\n[[override]]\npool = \"a\"\n".to_owned(),
            "`override[1].pool` is `a`, which an earlier entry has",
        ),
        (
            "version = 1\n[jobs]\n[[jobs.trace]]\nstem = \"a\"\n[[jobs.trace]]\nstem = \"a\"\n".to_owned(),
            "`jobs.trace[1].stem` is `a`, which an earlier entry has",
        ),
    ];
    for (deployment, expected) in cases {
        let error = fleet_error(&files.fleet("", &deployment));
        assert!(error.contains(expected) && error.contains("deployment.toml"), "{deployment}\n{error}");
    }
}

#[test]
fn a_profile_that_does_not_exist_is_an_error_that_names_what_does() {
    let files = Files::new();
    let error = fleet_error(&files.fleet("", &DEPLOYMENT.replace("fp16", "fp8")));
    assert!(error.contains("names the row `T4,1,tiny,fp8,vLLM`"), "{error}");
    assert!(error.contains("`T4,1,tiny,fp16,vLLM`, `T4,2,tiny,fp16,vLLM`"), "{error}");
    let mut sources = files.fleet("", DEPLOYMENT);
    sources.profiles = None;
    assert!(fleet_error(&sources).contains("pass --profiles FILE"));
}

#[test]
fn the_deployment_is_echoed_and_reads_back_the_same() {
    let files = Files::new();
    let sources = files.fleet("", DEPLOYMENT);
    let mut out = Vec::new();
    import_fleet(&sources, &mut out).expect("an empty fleet is a fleet");
    let fleet: Value = serde_json::from_slice(&out).expect("the output is JSON");
    let echoed: Deployment = serde_json::from_value(fleet["deployment"].clone()).expect("the echo is a deployment");
    assert_eq!(echoed, Deployment::load(&sources.deployment).expect("the file is sound"));
}

#[test]
fn azure_rows_become_jobs_with_padded_ids() {
    let files = Files::new();
    let mut text = String::from("arrival_ms,input_tokens,output_tokens\n");
    (0..12).for_each(|row| text.push_str(&format!("{},{},7\n", row * 10, row + 1)));
    let (jobs, refused) = jobs(&files.jobs(&[files.write("conv.csv", text)], JOBS));
    assert_eq!((jobs.len(), refused.total), (12, 0));
    let first = r#"{"id":"conv-01","engine":"vllm","model_id":"org/tiny","prompt_tokens":1,"expected_tokens":7}"#;
    assert_eq!(jobs[0], serde_json::from_str::<Value>(first).expect("JSON"));
    assert_eq!(jobs[11]["id"], "conv-12");
}

fn events(sources: &JobSources) -> (Vec<Value>, ImportSummary) {
    let mut out = Vec::new();
    let summary = import_events(sources, &mut out).expect("the import goes to its end");
    let text = String::from_utf8(out).expect("the output is UTF-8");
    (text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect(), summary)
}

// WIRE-1: an event is its job and the time of its request, and nothing else.
#[test]
fn events_are_the_jobs_with_their_times() {
    let files = Files::new();
    let azure = files.write("a.csv", "arrival_ms,input_tokens,output_tokens\n5,1,1\n5,2,1\n0,3,1\n");
    let mooncake = files.write(
        "m.jsonl",
        "{\"timestamp\":5,\"input_length\":4,\"output_length\":1}\n{\"timestamp\":1,\"input_length\":5,\"output_length\":1}\n",
    );
    let sources = files.jobs(&[azure, mooncake], JOBS);
    let (lines, summary) = events(&sources);
    let (jobs, _) = jobs(&sources);
    let expected: Vec<_> = [0, 1, 5, 5, 5]
        .into_iter()
        .zip(jobs)
        .map(|(at_ms, job)| serde_json::json!({ "event": "submit", "at_ms": at_ms, "job": job }))
        .collect();
    assert_eq!(lines, expected);
    assert!(summary.to_string().starts_with("wrote 3 events of "), "{summary}");
    assert!(!summary.has_refusals());
}

// UNIT-1: a time that an event cannot have refuses its row; a job has no time.
#[test]
fn events_have_times_within_the_limit() {
    let files = Files::new();
    let azure = files.write("a.csv", "arrival_ms,input_tokens,output_tokens\n70368744177,1,1\n70368744178,2,1\n");
    let mooncake = files.write(
        "m.jsonl",
        "{\"timestamp\":70368744177,\"input_length\":1,\"output_length\":1}\n\
         {\"timestamp\":70368744178,\"input_length\":2,\"output_length\":1}\n",
    );
    let sources = files.jobs(&[azure, mooncake], JOBS);
    let (lines, summary) = events(&sources);
    assert_eq!(lines.len(), 2);
    let found: Vec<_> = summary.refused.first.iter().map(|row| (row.line, row.column.as_str())).collect();
    assert_eq!(found, [(3, "arrival_ms"), (2, "timestamp")]);
    assert_eq!(jobs(&sources).0.len(), 4);
    // Every event that was written can be read.
    let mut warnings = crate::input::Warnings::default();
    for line in lines {
        let text = line.to_string();
        let mut reader = crate::input::LineReader::new(text.as_bytes());
        let line = reader.next_line().expect("a text can be read").expect("a line");
        let at_us = crate::input::read_event_line(&line, &mut warnings, |at_us, _| at_us);
        assert_eq!(at_us, Ok(Some(70_368_744_177_000)));
    }
    assert!(warnings.is_empty());
}

#[test]
fn traces_are_merged_by_arrival_then_file_then_row() {
    let files = Files::new();
    let azure = files.write("a.csv", "arrival_ms,input_tokens,output_tokens\n5,1,1\n5,2,1\n0,3,1\n");
    let line = |at: u64| format!("{{\"timestamp\":{at},\"input_length\":9,\"output_length\":1,\"hash_ids\":[0]}}\n");
    let mooncake = files.write("m.jsonl", format!("{}\n{}{}", line(5), line(4), line(6)));
    let (merged, _) = jobs(&files.jobs(&[azure.clone(), mooncake.clone()], JOBS));
    assert_eq!(ids(&merged), ["a-3", "m-2", "a-1", "a-2", "m-1", "m-3"]);
    let (swapped, _) = jobs(&files.jobs(&[mooncake, azure], JOBS));
    assert_eq!(ids(&swapped), ["a-3", "m-2", "m-1", "a-1", "a-2", "m-3"]);
}

#[test]
fn a_trace_can_have_values_of_its_own() {
    let files = Files::new();
    let deployment = format!(
        "{JOBS}priority = \"batch\"\nquantization = \"fp8\"\nmin_vram_bytes = 10\n\
         [[jobs.trace]]\nstem = \"b\"\nmodel = \"org/code\"\npriority = \"interactive\"\nmin_vram_bytes = 20\n"
    );
    let text = "arrival_ms,input_tokens,output_tokens\n0,1,1\n";
    let sources = files.jobs(&[files.write("a.csv", text), files.write("b.csv", text)], &deployment);
    let (jobs, _) = jobs(&sources);
    assert_eq!((&jobs[0]["model_id"], &jobs[0]["priority"]), (&"org/tiny".into(), &"batch".into()));
    assert_eq!((&jobs[1]["model_id"], &jobs[1]["priority"]), (&"org/code".into(), &"interactive".into()));
    assert_eq!(jobs[1]["requirements"], serde_json::json!({"min_vram_bytes": 20, "quantization": "fp8"}));
}

#[test]
fn the_summary_of_jobs_echoes_what_applied_of_the_deployment() {
    let files = Files::new();
    let deployment = format!(
        "{JOBS}quantization = \"fp8\"\nmin_vram_bytes = 10\n[[jobs.trace]]\nstem = \"b\"\nmodel = \"a \\\"b\\\"\"\n\
         priority = \"interactive\"\nmin_vram_bytes = 20\n[[jobs.trace]]\nstem = \"c\"\nengine = \"other\"\n"
    );
    let text = "arrival_ms,input_tokens,output_tokens\n0,1,1\n";
    let sources = files.jobs(&[files.write("a.csv", text), files.write("b.csv", text)], &deployment);
    let summary = import_jobs(&sources, &mut Vec::new()).expect("the import goes to its end").to_string();
    let lines: Vec<_> = summary.lines().filter(|line| line.starts_with(' ')).collect();
    let expected = [
        "  [jobs] engine = \"vllm\"",
        "  [jobs] model = \"org/tiny\"",
        "  [jobs] quantization = \"fp8\"",
        "  [jobs] min_vram_bytes = 10",
        "  [jobs] engine = \"vllm\"",
        "  [[jobs.trace]] model = \"a \\\"b\\\"\"",
        "  [[jobs.trace]] priority = \"interactive\"",
        "  [jobs] quantization = \"fp8\"",
        "  [[jobs.trace]] min_vram_bytes = 20",
    ];
    assert_eq!(lines, expected, "{summary}");
}

#[test]
fn what_a_trace_does_not_say_must_be_declared() {
    let files = Files::new();
    let trace = files.write("a.csv", "arrival_ms,input_tokens,output_tokens\n0,1,1\n");
    let error = jobs_error(&files.jobs(std::slice::from_ref(&trace), "version = 1\n[jobs]\nengine = \"e\"\n"));
    assert!(error.contains("add `model = \"…\"` to the section [jobs] of"), "{error}");
    let error = jobs_error(&JobSources { traces: vec![trace], deployment: None });
    assert!(error.contains("pass --deployment FILE with a section [jobs] that has `engine"), "{error}");
}

#[test]
fn bad_requests_are_refused_and_change_no_other_id() {
    let files = Files::new();
    let azure = files
        .write("a.csv", b"arrival_ms,input_tokens,output_tokens\n0,1,1\n1,x,1\n2,1\n3,16777216,1\n4,\xff,1\n5,1,1\n");
    let mooncake = files.write(
        "m.jsonl",
        b"\xff\n{broken\n{\"timestamp\":6,\"input_length\":1,\"output_length\":1}\n\
          {\"timestamp\":7,\"input_length\":1.5,\"output_length\":1}\n{\"timestamp\":8,\"input_length\":1}\n",
    );
    let (read, refused) = jobs(&files.jobs(&[azure], JOBS));
    assert_eq!(ids(&read), ["a-1", "a-6"]);
    let found: Vec<_> = refused.first.iter().map(|row| (row.line, row.column.as_str())).collect();
    assert_eq!(found, [(3, "input_tokens"), (4, ""), (5, "input_tokens"), (6, "input_tokens")]);
    // A first line that is not even text decides nothing about the file.
    let error = jobs_error(&files.jobs(std::slice::from_ref(&mooncake), JOBS));
    assert!(error.contains("is no trace of a known kind"), "{error}");
    let text = fs::read(&mooncake).expect("the file was just written");
    let (read, refused) = jobs(&files.jobs(&[files.write("n.jsonl", &text[2..])], JOBS));
    assert_eq!(ids(&read), ["n-2"]);
    assert_eq!(refused.first.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 3, 4]);
    assert!(refused.first[2].why.contains("missing field `output_length`"), "{}", refused.first[2]);
}

#[test]
fn files_that_are_no_traces_are_typed_errors() {
    let files = Files::new();
    let of = |path: PathBuf| import_jobs(&files.jobs(&[path], JOBS), &mut Vec::new()).expect_err("no trace");
    assert!(matches!(of(files.write("e.csv", "")), ImportError::Empty { .. }));
    assert!(matches!(of(files.write("b.csv", "\n \n")), ImportError::Empty { .. }));
    assert!(matches!(of(files.write("t.csv", "time,tokens\n1,2\n")), ImportError::UnknownTrace { .. }));
    assert!(matches!(of(files.write("p.jsonl", "{\"prompt\":\"x\"}\n")), ImportError::UnknownTrace { .. }));
    assert!(matches!(of(files.write("bin.csv", b"\x00\xfe\xff\n")), ImportError::UnknownTrace { .. }));
    assert!(matches!(of(files.write("m.csv", "arrival_ms,input_tokens\n1,2\n")), ImportError::MissingColumns { .. }));
    assert!(matches!(of(files.0.path().to_owned()), ImportError::NotAFile { .. }));
}

/// Of two columns of one name nobody knows which is meant; columns without a name are nobody's.
#[test]
fn a_column_that_stands_twice_is_an_error() {
    let files = Files::new();
    let twice = files.write("t.csv", "arrival_ms,input_tokens,output_tokens, input_tokens\n1,2,3,4\n");
    let error = jobs_error(&files.jobs(&[twice], JOBS));
    assert!(error.ends_with("t.csv:1: the column `input_tokens` stands twice; this line names the columns"), "{error}");
    let (read, _) =
        jobs(&files.jobs(&[files.write("n.csv", "arrival_ms,input_tokens,output_tokens,,\n1,2,3,,\n")], JOBS));
    assert_eq!(ids(&read), ["n-1"]);
}

#[test]
fn names_that_make_equal_or_overlong_ids_are_refused() {
    let files = Files::new();
    let text = "arrival_ms,input_tokens,output_tokens\n0,1,1\n";
    fs::create_dir(files.0.path().join("sub")).expect("a folder for the test's files");
    let twins = [files.write("a.csv", text), files.write("sub/a.csv", text)];
    assert!(jobs_error(&files.jobs(&twins, JOBS)).contains("is also that of"));
    let long = files.write(&format!("{}.csv", "n".repeat(63)), text);
    assert!(jobs_error(&files.jobs(&[long], JOBS)).contains("longer than 64 bytes"));
}

#[test]
fn the_summary_says_what_was_refused_and_how_much_more() {
    let files = Files::new();
    let rows: String = (0..25).map(|row| format!("n{row},T4,x,,\n")).collect();
    let summary = import_fleet(&files.fleet(&rows, DEPLOYMENT), &mut Vec::new()).expect("rows do not stop it");
    assert!(summary.has_refusals());
    let text = summary.to_string();
    assert!(text.starts_with("wrote 0 pools of 0 nodes\n") && text.contains("refused 25 rows\n"), "{text}");
    assert!(text.ends_with("  5 more\n"), "{text}");
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    import: ImportArgs,
}

fn run(arguments: &[&str]) -> (Result<ImportSummary, ImportError>, Vec<u8>) {
    let command = Command::parse_from(std::iter::once(&"import").chain(arguments));
    let mut stdout = Vec::new();
    (command.import.run(&mut stdout), stdout)
}

#[test]
fn help_fits_one_screen() {
    Command::command().debug_assert();
    for name in ["fleet", "jobs"] {
        let mut command = Command::command();
        let help = command.find_subcommand_mut(name).expect("the subcommand").render_help().to_string();
        assert!(help.lines().count() <= 24, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        assert!(help.contains("Example:"));
    }
}

#[test]
fn an_output_file_is_whole_or_untouched() {
    let files = Files::new();
    let trace = files.write("a.csv", "arrival_ms,input_tokens,output_tokens\n0,1,1\n");
    let (good, bad) = (files.write("good.toml", JOBS), files.write("bad.toml", "version = 1\n"));
    let out = files.write("out.jsonl", "before");
    let import = |deployment: &Path| {
        let paths = [&trace, deployment, &out].map(|path| path.to_str().expect("a UTF-8 path").to_owned());
        run(&["jobs", "--trace", &paths[0], "--deployment", &paths[1], "-o", &paths[2]])
    };
    assert!(import(&bad).0.is_err());
    assert_eq!(fs::read_to_string(&out).expect("it is there"), "before");
    let (summary, stdout) = import(&good);
    assert!(summary.is_ok_and(|summary| !summary.has_refusals()) && stdout.is_empty());
    assert!(fs::read_to_string(&out).expect("it is there").starts_with("{\"id\":\"a-1\""));
    assert_eq!(files.names(), ["a.csv", "bad.toml", "good.toml", "out.jsonl"]);
}

/// Runs an import whose arguments that start with `@` are files of the folder.
fn run_on(files: &Files, arguments: &[&str]) -> Result<ImportSummary, ImportError> {
    let path = |name: &str| files.0.path().join(name).to_str().expect("a UTF-8 path").to_owned();
    let full: Vec<String> = arguments.iter().map(|arg| arg.strip_prefix('@').map_or((*arg).into(), path)).collect();
    run(&full.iter().map(String::as_str).collect::<Vec<_>>()).0
}

const FLEET: [&str; 10] = [
    "fleet",
    "--nodes",
    "@nodes.csv",
    "--specs",
    "@specs.csv",
    "--profiles",
    "@profiles.csv",
    "--deployment",
    "@deployment.toml",
    "-o",
];

#[test]
fn no_output_replaces_an_input() {
    let files = Files::new();
    files.fleet("a,T4,1,,\n", &format!("{DEPLOYMENT}[jobs]\nengine = \"e\"\nmodel = \"m\"\n"));
    files.write("trace.csv", "arrival_ms,input_tokens,output_tokens\n0,1,1\n");
    let inputs = ["nodes.csv", "specs.csv", "profiles.csv", "deployment.toml", "trace.csv"];
    let before = inputs.map(|name| files.read(name));
    for name in inputs {
        fs::hard_link(files.0.path().join(name), files.0.path().join(format!("hard-{name}"))).expect("a hard link");
        for output in [format!("@{name}"), format!("@hard-{name}"), format!("@../{}/{name}", files.folder())] {
            let jobs = ["jobs", "--trace", "@trace.csv", "--deployment", "@deployment.toml", "-o", &output];
            let fleet = [&FLEET[..], &[&output]].concat();
            let sources = [&FLEET[..9], &["--provenance", &output]].concat();
            let runs: &[&[&str]] = match name {
                "trace.csv" => &[&jobs],
                "deployment.toml" => &[&jobs, &fleet, &sources],
                _ => &[&fleet, &sources],
            };
            for arguments in runs {
                let error = run_on(&files, arguments).expect_err("the output is an input").to_string();
                assert!(error.ends_with(": is an input; name another file for the output"), "{error}");
            }
        }
    }
    assert_eq!(inputs.map(|name| files.read(name)), before);
}

#[test]
fn the_two_outputs_are_two_files() {
    let files = Files::new();
    files.fleet("a,T4,1,,\n", DEPLOYMENT);
    let other_way = format!("@../{}/out", files.folder());
    // First no file has the name, then one has it.
    for _ in 0..2 {
        for provenance in ["@out", &other_way] {
            let error = run_on(&files, &[&FLEET[..], &["@out", "--provenance", provenance]].concat());
            assert!(matches!(error, Err(ImportError::OutputTwice { .. })), "{error:?}");
        }
        files.write("out", "before");
    }
    assert_eq!(files.read("out"), "before");
    run_on(&files, &[&FLEET[..], &["@out", "--provenance", "@sources"]].concat()).expect("two files");
    assert!(files.read("out").starts_with("{\"version\"") && files.read("sources").starts_with("pool,field"));
}

#[cfg(unix)]
#[test]
fn the_temporary_file_is_never_one_that_is_there_already() {
    use std::os::unix::fs::symlink;

    let files = Files::new();
    files.fleet("a,T4,1,,\n", DEPLOYMENT);
    files.write("victim", "before");
    let link = |name: &str| symlink(files.0.path().join("victim"), files.0.path().join(name)).expect("a link");
    link("out.partial");
    for number in 0..3 {
        link(&format!(".orchestrator-{}-{number}.partial", std::process::id()));
    }
    let names = files.names();
    run_on(&files, &[&FLEET[..], &["@out"]].concat()).expect("the import goes to its end");
    let mut expected = [&names[..], &["out".to_owned()]].concat();
    expected.sort();
    assert_eq!((files.names(), files.read("victim").as_str()), (expected, "before"));
}

#[cfg(unix)]
#[test]
fn a_link_is_written_through_and_keeps_its_target_private() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let files = Files::new();
    files.fleet("a,T4,1,,\n", DEPLOYMENT);
    fs::create_dir(files.0.path().join("sub")).expect("a folder");
    let target = files.write("sub/target", "before");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).expect("the owner may");
    for (link, to) in [("link", "second"), ("second", "sub/target"), ("nowhere", "sub/new")] {
        symlink(to, files.0.path().join(link)).expect("a link");
    }
    for (link, target) in [("link", "sub/target"), ("nowhere", "sub/new")] {
        run_on(&files, &[&FLEET[..], &[&format!("@{link}")]].concat()).expect("the import goes to its end");
        assert!(files.read(target).starts_with("{\"version\""), "{link}");
        assert!(files.0.path().join(link).is_symlink(), "{link}");
    }
    assert_eq!(fs::metadata(&target).expect("it is there").permissions().mode() & 0o777, 0o600);
    symlink("round", files.0.path().join("round")).expect("a link");
    let error = run_on(&files, &[&FLEET[..], &["@round"]].concat());
    assert!(matches!(error, Err(ImportError::WriteFile { .. })), "{error:?}");
    symlink("nodes.csv", files.0.path().join("input")).expect("a link");
    let error = run_on(&files, &[&FLEET[..], &["@input"]].concat());
    assert!(matches!(error, Err(ImportError::OutputIsInput { .. })), "{error:?}");
}

/// A FIFO that a thread writes `content` to, once.
#[cfg(unix)]
fn fifo(files: &Files, name: &str, content: Vec<u8>) -> (PathBuf, std::thread::JoinHandle<std::io::Result<()>>) {
    let path = files.0.path().join(name);
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    let to = path.clone();
    (path, std::thread::spawn(move || fs::write(to, content)))
}

#[cfg(unix)]
#[test]
fn a_pipe_gives_the_same_as_a_file() {
    let files = Files::new();
    let rows = 20_000;
    let azure: String = (0..rows).map(|row| format!("{row},{row},7\n")).collect();
    let line = |at| format!("{{\"timestamp\":{at},\"input_length\":9,\"output_length\":1}}\n");
    let mooncake: String = std::iter::once("{damaged\n".to_owned()).chain((1..rows).map(line)).collect();
    let traces =
        [("a.csv", format!("arrival_ms,input_tokens,output_tokens\n{azure}")), ("m.jsonl", format!("\n{mooncake}"))];
    for (name, text) in traces {
        let (whole, refused) = jobs(&files.jobs(&[files.write(name, &text)], JOBS));
        assert_eq!(whole.len() as u64 + refused.total, rows);
        fs::remove_file(files.0.path().join(name)).expect("it was just written");
        let (path, writer) = fifo(&files, name, text.into_bytes());
        let (piped, again) = jobs(&files.jobs(&[path], JOBS));
        writer.join().expect("no panic").expect("all was read");
        assert!(piped == whole, "{name}: {} of {} jobs", piped.len(), whole.len());
        assert_eq!(again, refused);
    }
}

#[cfg(unix)]
#[test]
fn tables_and_deployments_may_be_pipes_beside_an_output() {
    let files = Files::new();
    let mut sources = files.fleet("", DEPLOYMENT);
    files.write("out", "before");
    let (nodes, writer) = fifo(&files, "nodes", format!("{NODES}a,T4,1,,\n").into_bytes());
    sources.nodes = nodes;
    let (deployment, second) = fifo(&files, "deployment", DEPLOYMENT.into());
    sources.deployment = deployment;
    run_on(
        &files,
        &[
            "fleet",
            "--nodes",
            "@nodes",
            "--specs",
            "@specs.csv",
            "--profiles",
            "@profiles.csv",
            "--deployment",
            "@deployment",
            "-o",
            "@out",
        ],
    )
    .expect("pipes will do");
    for thread in [writer, second] {
        thread.join().expect("no panic").expect("all was read");
    }
    assert!(files.read("out").contains("\"id\":\"a/0\""));
}

#[cfg(unix)]
#[test]
fn files_without_an_end_are_refused_in_bounded_memory() {
    let files = Files::new();
    let zero = || PathBuf::from("/dev/zero");
    let sources = files.fleet("", DEPLOYMENT);
    let fleets = [
        FleetSources { nodes: zero(), ..sources.clone() },
        FleetSources { specs: Some(zero()), ..sources.clone() },
        FleetSources { profiles: Some(zero()), ..sources.clone() },
    ];
    for sources in fleets {
        let error = import_fleet(&sources, &mut Vec::new());
        assert!(matches!(error, Err(ImportError::FirstLineTooLong { .. })), "{error:?}");
    }
    let error = import_fleet(&FleetSources { deployment: zero(), ..sources }, &mut Vec::new());
    assert!(matches!(error, Err(ImportError::TooLong { .. })), "{error:?}");
    let error = import_jobs(&files.jobs(&[zero()], JOBS), &mut Vec::new());
    assert!(matches!(error, Err(ImportError::FirstLineTooLong { .. })), "{error:?}");
}

#[test]
fn a_deployment_has_at_most_a_mebibyte() {
    let files = Files::new();
    let fill = |more: usize| {
        let rest = usize::try_from(MAX_DEPLOYMENT_BYTES).expect("small") - DEPLOYMENT.len() - 1 + more;
        format!("{DEPLOYMENT}#{}", "é".repeat(rest / 2) + &"x".repeat(rest % 2))
    };
    fleet(&files.fleet("a,T4,1,,\n", &fill(0)));
    let error = fleet_error(&files.fleet("a,T4,1,,\n", &fill(1)));
    assert!(error.ends_with("longer than 1048576 bytes; is this a deployment file?"), "{error}");
}

#[test]
fn a_row_that_is_too_long_is_refused_alone() {
    let files = Files::new();
    let long = "x".repeat(crate::input::MAX_LINE_BYTES + 1);
    let (pools, _, refused) = fleet(&files.fleet(&format!("a,T4,1,,\n{long},T4,1,,\nb,T4,1,,\n"), DEPLOYMENT));
    assert_eq!(ids(&pools), ["a/0", "b/0"]);
    assert!(refused.first[0].to_string().ends_with("nodes.csv:3: the row is longer than 1048576 bytes"));
    let line = "{\"timestamp\":0,\"input_length\":9,\"output_length\":1}\n";
    let trace = files.write("m.jsonl", format!("{line}{{\"hash_ids\":\"{long}\"}}\n{line}"));
    let (read, refused) = jobs(&files.jobs(&[trace], JOBS));
    assert_eq!(ids(&read), ["m-1", "m-3"]);
    assert!(refused.first[0].to_string().ends_with("m.jsonl:2: the line is longer than 1048576 bytes"));
}

#[test]
fn a_stray_quote_takes_no_other_row_with_it() {
    let files = Files::new();
    let rows = "a,T4,1,,\n\"b,T4,1,,\nc,\"T4\",1,,\nd,T4,1,\"1\n2\",\ne,\"T\"4,1,,\nf,T4,1,,\rg,T4,1,,\nh,T4,1,,\n";
    let (pools, _, refused) = fleet(&files.fleet(rows, DEPLOYMENT));
    assert_eq!(ids(&pools), ["a/0", "c/0", "h/0"]);
    let found: Vec<_> = refused.first.iter().map(|row| (row.line, row.why.as_str())).collect();
    let open = "the row has a quoted cell that does not end on its line; a row cannot span lines";
    assert_eq!(&found[..2], [(3, open), (5, open)]);
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 5, 6, 7, 8]);
    let trace = "arrival_ms,input_tokens,output_tokens\n0,1,1\n1,\"2,1\n2,3,1\n";
    let (read, refused) = jobs(&files.jobs(&[files.write("a.csv", trace)], JOBS));
    assert_eq!((ids(&read), refused.total), (vec!["a-1", "a-3"], 1));
    let mut sources = files.fleet("", DEPLOYMENT);
    sources.nodes = files.write("nodes.csv", NODES.replacen("gpu,", "\"gpu,", 1));
    assert!(fleet_error(&sources).contains("nodes.csv:1: the row has a quoted cell that does not end"));
}

#[test]
fn quoted_cells_may_have_commas() {
    let files = Files::new();
    let mut sources = files.fleet("\"a,1\",\"T4\" ,1,,\n", DEPLOYMENT);
    sources.specs =
        Some(files.write("specs.csv", "gpu,\"vram_bytes\",compute_capability,n\nT4,\"16000\",,\"a, \"\"b\"\"\"\n"));
    let (pools, _, refused) = fleet(&sources);
    assert_eq!((ids(&pools), refused.total), (vec!["a,1/0"], 0));
}

#[test]
fn a_line_of_a_trace_is_an_object() {
    let files = Files::new();
    let line = "{\"timestamp\":0,\"input_length\":9,\"output_length\":1}\n";
    let trace = files.write("m.jsonl", format!("{line}[1,2,3]\n\u{feff}{line}"));
    let (read, refused) = jobs(&files.jobs(&[trace], JOBS));
    assert_eq!(ids(&read), ["m-1", "m-3"]);
    assert!(refused.first[0].to_string().ends_with("m.jsonl:2: the line is no JSON object"));
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn example_text(name: &str) -> String {
    fs::read_to_string(example(name)).expect("the example is there")
}

#[test]
fn the_example_fleet_is_what_the_importer_makes() {
    let sources = FleetSources {
        nodes: example("nodes.csv"),
        specs: Some(example("specs.csv")),
        profiles: Some(example("profiles.csv")),
        deployment: example("deployment.toml"),
    };
    let (mut made, mut provenance) = (Vec::new(), Vec::new());
    let summary = import_fleet_with_provenance(&sources, &mut made, &mut provenance).expect("the examples are sound");
    assert!(!summary.has_refusals(), "{summary}");
    assert!(String::from_utf8_lossy(&made) == example_text("fleet.json"), "make examples/fleet.json again");
    let provenance = String::from_utf8_lossy(&provenance);
    assert!(provenance == example_text("fleet.sources.csv"), "make examples/fleet.sources.csv again");
}

#[test]
fn the_example_jobs_are_what_the_importer_makes() {
    let sources =
        JobSources { traces: vec![example("azure2023_conv_1000.csv")], deployment: Some(example("deployment.toml")) };
    let mut made = Vec::new();
    let summary = import_jobs(&sources, &mut made).expect("the examples are sound");
    assert!(!summary.has_refusals(), "{summary}");
    assert!(String::from_utf8_lossy(&made) == example_text("jobs.jsonl"), "make examples/jobs.jsonl again");
}

#[test]
fn every_example_deployment_and_job_is_sound() {
    Deployment::load(&example("deployment-openb.toml")).expect("the deployment is sound");
    for line in example_text("mixed-jobs.jsonl").lines() {
        let job: Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(job["id"].is_string() && job["engine"].is_string() && job["model_id"].is_string(), "{line}");
    }
}
