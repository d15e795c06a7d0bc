//! Small files of every kind, and what must come of them.

use std::fs;
use std::path::PathBuf;

use orchestrator_core::Priority;
use tempfile::TempDir;

use super::*;
use crate::import::{JobsSection, TraceSection};
use crate::simulate::request::{Arrival, Request};

fn ask() -> TraceAsk {
    let otherwise = EngineModel { engine: Some("vllm".to_owned()), model: Some("m".to_owned()) };
    TraceAsk { otherwise, ..TraceAsk::default() }
}

/// Files of these names and contents, in a folder that lives as long as the first value.
fn files(contents: &[(&str, &str)]) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let paths = contents.iter().map(|(name, content)| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    });
    let paths = paths.collect();
    (folder, paths)
}

fn load(contents: &[(&str, &str)], ask: &TraceAsk) -> LoadedTrace {
    let (_folder, paths) = files(contents);
    read(&paths, ask).unwrap()
}

fn fails(contents: &[(&str, &str)], ask: &TraceAsk) -> String {
    let (_folder, paths) = files(contents);
    read(&paths, ask).unwrap_err().to_string()
}

fn at(request: &Request) -> u64 {
    match request.arrival {
        Arrival::At { at_us } => at_us,
        Arrival::After { .. } => panic!("{request:?} has a predecessor"),
    }
}

fn reasons(loaded: &LoadedTrace) -> Vec<(u64, &str)> {
    assert_eq!(loaded.refused.total, loaded.refused.first.len() as u64);
    loaded.refused.first.iter().map(|row| (row.line, &*row.column)).collect()
}

const AZURE: &str = "arrival_ms,input_tokens,output_tokens\n5,100,10\n2,200,20\nx,1,1\n9,300,30\n";

#[test]
fn azure_rows_by_arrival_and_bad_ones_refused() {
    let loaded = load(&[("a.csv", AZURE)], &ask());
    let seen: Vec<_> =
        loaded.trace.requests.iter().map(|one| (at(one), one.prompt_tokens, one.output_tokens)).collect();
    assert_eq!(seen, [(2000, 200, 20), (5000, 100, 10), (9000, 300, 30)]);
    assert_eq!(reasons(&loaded), [(4, "arrival_ms")]);
    assert_eq!((loaded.trace.models, loaded.engines), (vec!["m".to_owned()], vec!["vllm".to_owned()]));
    assert_eq!((loaded.files[0].kind, loaded.files[0].requests, loaded.files[0].left_out), (Kind::Azure, 3, 0));
    assert!(loaded.trace.requests.iter().all(|one| one.session.is_none() && one.prefix_blocks.is_empty()));
}

#[test]
fn only_the_wanted_time_is_taken_and_starts_at_0() {
    let loaded = load(&[("a.csv", AZURE)], &TraceAsk { within_us: 5000..9000, ..ask() });
    assert_eq!(loaded.trace.requests.iter().map(at).collect::<Vec<_>>(), [0]);
    assert_eq!(loaded.files[0].left_out, 2);
}

#[test]
fn what_a_file_does_not_say_is_declared_or_an_error() {
    let own = |stem: &str, model: &str| TraceSection {
        stem: stem.to_owned(),
        engine: None,
        model: Some(model.to_owned()),
        priority: Some(crate::import::Priority::Interactive),
        quantization: None,
        min_vram_bytes: None,
    };
    let engine = Some("declared".to_owned());
    let jobs = JobsSection { engine, trace: vec![own("b", "other")], ..JobsSection::default() };
    let contents = [("a.csv", AZURE), ("b.csv", AZURE)];
    let loaded = load(&contents, &TraceAsk { jobs: jobs.clone(), ..ask() });
    assert_eq!(loaded.trace.models, ["m", "other"]);
    assert_eq!(loaded.engines, ["declared", "declared"]);
    let first = &loaded.trace.requests[..2];
    // At one time the file named first comes first.
    assert_eq!(first.iter().map(|one| (at(one), one.model)).collect::<Vec<_>>(), [(2000, 0), (2000, 1)]);
    assert_eq!(first.iter().map(|one| one.priority).collect::<Vec<_>>(), [Priority::Batch, Priority::Interactive]);

    let nothing = TraceAsk { otherwise: EngineModel::default(), ..ask() };
    let error = fails(&[("a.csv", AZURE)], &nothing);
    assert!(error.contains("no `engine`") && error.contains("a.csv"), "{error}");
    let error = fails(&[("a.csv", AZURE)], &TraceAsk { jobs, ..nothing });
    assert!(error.contains("no `model`"), "{error}");
}

#[test]
fn unknown_and_empty_files() {
    let error = fails(&[("a.csv", "a,b\n1,2\n")], &ask());
    assert!(error.contains("no trace of a known kind (it starts with `a,b`)"), "{error}");
    let error = fails(&[("a.jsonl", "{\"x\":1}\n")], &ask());
    assert!(error.contains("no trace of a known kind"), "{error}");
    assert!(fails(&[("a.csv", "")], &ask()).contains("is empty"));
    assert_eq!(load(&[("a.csv", "arrival_ms,input_tokens,output_tokens\n")], &ask()).trace.requests, []);
}

const MOONCAKE: &str = r#"{"timestamp":1,"input_length":1100,"output_length":5,"hash_ids":[70,7,9]}
{"timestamp":2,"input_length":1000,"output_length":6,"hash_ids":[70,8]}
{"timestamp":3,"input_length":10,"output_length":6,"hash_ids":[1,2]}
{"timestamp":4,"input_length":10}
"#;

#[test]
fn mooncake_blocks_are_equal_where_their_ids_are() {
    let loaded = load(&[("m.jsonl", MOONCAKE)], &ask());
    let trace = &loaded.trace;
    assert_eq!((trace.block_tokens, trace.requests.len()), (512, 2));
    assert_eq!(blocks(trace, 0), [0, 1, 2]);
    assert_eq!(blocks(trace, 1), [0, 3]);
    assert_eq!(reasons(&loaded), [(3, "hash_ids"), (4, "")]);
}

fn blocks(trace: &Trace, request: usize) -> Vec<u32> {
    let range = trace.requests[request].prefix_blocks.clone();
    trace.blocks[range.start as usize..range.end as usize].to_vec()
}

const SESSIONS: &str = "\
session_id,seq,kind,t_ms,model,input_tokens,output_tokens,blocks64,prefix_blocks_prev,prefix_blocks_any,api_time_ms,ttft_ms,think_time_ms
s1,0,main,0,opus,128,5,2,0,0,1000,,0
s1,1,sub:a,4000,haiku,64,5,1,0,0,500,,0
s1,2,sub:a,5000,haiku,130,5,3,1,1,500,,400
s1,3,main,9000,opus,260,5,4,0,2,,,7900
s1,4,main,12000,opus,200,5,3,2,2,100,,
s2,0,main,3,opus,64,1,1,0,0,1,,0
";

#[test]
fn sessions_are_closed_loops_with_growing_prompts() {
    let ask = TraceAsk { spread_us: 1_000_000, ..ask() };
    let loaded = load(&[("s.csv", SESSIONS)], &ask);
    let trace = &loaded.trace;
    assert_eq!(trace.block_tokens, 64);
    assert_eq!(trace.models, ["opus", "haiku"]);
    let session = |wanted| {
        let mine = trace.requests.iter().enumerate().filter(move |(_, one)| one.session == Some(wanted));
        mine.map(|(place, _)| place).collect::<Vec<_>>()
    };
    let (one, two) = (session(0), session(1));
    assert_eq!((one.len(), two.len()), (5, 1));
    assert!(at(&trace.requests[one[0]]) < 1_000_000 && at(&trace.requests[two[0]]) < 1_000_000);
    let after: Vec<_> = one[1..].iter().map(|&place| trace.requests[place].arrival).collect();
    let of = |place: usize, think_us| Arrival::After { request: u32::try_from(one[place]).unwrap(), think_us };
    // The sub-agent starts 3 s after the main request's logged end; then thinking as logged; the main agent goes on from
    // its own last request; without a logged time the time between the logged ends and starts counts.
    assert_eq!(after, [of(0, 3_000_000), of(1, 400_000), of(0, 7_900_000), of(3, 3_000_000)]);

    let [first, sub, sub_more, main, shorter] = [0, 1, 2, 3, 4].map(|place| blocks(trace, one[place]));
    assert_eq!((first.len(), sub.len(), sub_more.len(), main.len(), shorter.len()), (2, 1, 3, 4, 3));
    assert_eq!(sub_more[..1], sub[..]);
    assert_eq!(main[..2], first[..]);
    assert_eq!(shorter[..2], main[..2]);
    assert!(!main.contains(&shorter[2]) && !first.contains(&sub[0]));
    let other = blocks(trace, two[0]);
    assert!(one.iter().all(|&place| !blocks(trace, place).contains(&other[0])));
}

#[test]
fn blocks_of_two_sizes_are_split_to_the_common_one() {
    let loaded = load(&[("m.jsonl", MOONCAKE), ("s.csv", SESSIONS)], &ask());
    let trace = &loaded.trace;
    assert_eq!(trace.block_tokens, 64);
    let longest = trace.requests.iter().position(|one| one.prompt_tokens == 1100).unwrap();
    let other = trace.requests.iter().position(|one| one.prompt_tokens == 1000).unwrap();
    let (longest, other) = (blocks(trace, longest), blocks(trace, other));
    assert_eq!((longest.len(), other.len()), (24, 16));
    assert_eq!(longest[..8], other[..8]);
    assert!(longest[8..].iter().all(|block| !other.contains(block)));
    // Sessions have numbers of their own.
    let sessions = trace.requests.iter().filter(|one| one.session.is_some());
    for request in sessions {
        let range = request.prefix_blocks.clone();
        let own = &trace.blocks[range.start as usize..range.end as usize];
        assert!(own.iter().all(|block| !longest.contains(block) && !other.contains(block)));
    }
}

#[test]
fn predecessors_stand_before_their_successors_and_times_rise() {
    let contents = [("a.csv", AZURE), ("s.csv", SESSIONS), ("m.jsonl", MOONCAKE)];
    for seed in 0..20 {
        let trace = load(&contents, &TraceAsk { seed, spread_us: 20_000, ..ask() }).trace;
        let mut last = 0;
        for (place, request) in trace.requests.iter().enumerate() {
            match request.arrival {
                Arrival::At { at_us } => {
                    assert!(at_us >= last);
                    last = at_us;
                }
                Arrival::After { request: before, .. } => {
                    assert!((before as usize) < place);
                    assert_eq!(trace.requests[before as usize].session, request.session);
                }
            }
        }
    }
}

const REPLAYS: &str = "\
run,gpu,model,request_id,arrival_ms,input_tokens,output_tokens,queued_ms,scheduled_ms,first_token_ms,last_token_ms
r1,g,m1,b0,0,10,1,0,0,5,9
r1,g,m1,b1,7,20,2,7,7,9,12
r2,g,m2,b0,0,30,3,0,0,5,9
";

#[test]
fn replays_are_no_azure_trace() {
    let nothing = EngineModel { engine: Some("vllm".to_owned()), model: None };
    let loaded = load(&[("r.csv", REPLAYS)], &TraceAsk { otherwise: nothing, ..ask() });
    assert_eq!(loaded.files[0].kind, Kind::Replays);
    assert_eq!(loaded.trace.models, ["m1", "m2"]);
    let seen: Vec<_> = loaded.trace.requests.iter().map(|one| (at(one), one.model, one.prompt_tokens)).collect();
    assert_eq!(seen, [(0, 0, 10), (0, 1, 30), (7000, 0, 20)]);
}

const CLIENTS: &str = "\
client_id,window_start_s,rate_rps,cv,pattern,p1,p2
1,0,2.5,1,Gamma,1.0,1
1,600,1,1,Weibull,0.5,1
2,0,1,1,Gamma,1,1
3,0,1,1,Pareto,1,1
";
const LENGTHS: &str = "\
client_id,window_start_s,in_mean,in_p50,in_p90,in_p99,in_max,out_mean,out_p50,out_p90,out_p99,out_max
1,0,120,100,200,300,400,50,50,50,50,50
";

#[test]
fn clients_are_drawn_at_their_rate_and_lengths() {
    let loaded = load(&[("c.csv", CLIENTS), ("l.csv", LENGTHS)], &ask());
    assert_eq!(reasons(&loaded), [(5, "pattern"), (4, "client_id")]);
    let requests = &loaded.trace.requests;
    // 600 s at 2.5 and 600 s at 1 request per second.
    let early = requests.iter().filter(|one| at(one) < 600_000_000).count();
    assert_eq!((early, requests.len()), (1500, 2100));
    assert!(requests.iter().all(|one| one.output_tokens == 50 && (1..=400).contains(&one.prompt_tokens)));
    let at_most = |limit| requests.iter().filter(|one| one.prompt_tokens <= limit).count() * 1000 / requests.len();
    assert!((460..=540).contains(&at_most(100)), "{}", at_most(100));
    assert!((875..=925).contains(&at_most(200)), "{}", at_most(200));
    let mean = requests.iter().map(|one| u64::from(one.prompt_tokens)).sum::<u64>() / requests.len() as u64;
    assert!((115..=125).contains(&mean), "{mean}");

    // A window that is not wanted changes nothing in another.
    let later =
        load(&[("c.csv", CLIENTS), ("l.csv", LENGTHS)], &TraceAsk { within_us: 600_000_000..u64::MAX, ..ask() });
    let expected: Vec<_> = requests[early..].iter().map(|one| (at(one) - 600_000_000, one.prompt_tokens)).collect();
    assert_eq!(later.trace.requests.iter().map(|one| (at(one), one.prompt_tokens)).collect::<Vec<_>>(), expected);
}

#[test]
fn clients_and_lengths_belong_together() {
    assert!(fails(&[("c.csv", CLIENTS)], &ask()).contains("c.csv: the next trace must be"));
    assert!(fails(&[("c.csv", CLIENTS), ("a.csv", AZURE)], &ask()).contains("c.csv: the next trace must be"));
    assert!(fails(&[("l.csv", LENGTHS), ("c.csv", CLIENTS)], &ask()).contains("l.csv: is a table of lengths"));
}

const JOBS: &str = r#"{"id":"a","engine":"e1","model_id":"x","priority":"interactive","prompt_tokens":7,"expected_tokens":8,"session_id":"s","deadline_ms":1.5}
{"id":"b","engine":"e2","model_id":"x","prompt_tokens":9,"expected_tokens":3,"session_id":"s"}
{"id":"c","engine":"e2","model_id":"x","prompt_tokens":9}
{"id":"d","engine":"e2","model_id":"x","prompt_tokens":-1,"expected_tokens":3}
"#;
const EVENTS: &str = r#"{"event":"submit","at_ms":12.5,"job":{"id":"a","engine":"e1","model_id":"x","prompt_tokens":7,"expected_tokens":8}}
{"event":"tick","at_ms":13}
{"event":"submit","job":{"id":"b","engine":"e1","model_id":"y","prompt_tokens":7,"expected_tokens":8}}
"#;

#[test]
fn jobs_name_their_own_engine_and_model() {
    let jobs = JobsSection { model: Some("declared".to_owned()), ..JobsSection::default() };
    let loaded = load(&[("j.jsonl", JOBS)], &TraceAsk { jobs, ..ask() });
    assert_eq!(loaded.trace.models, ["x", "x"]);
    assert_eq!(loaded.engines, ["e1", "e2"]);
    assert_eq!(reasons(&loaded).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4]);
    let [first, second] = &loaded.trace.requests[..] else { panic!("{:?}", loaded.trace.requests) };
    assert_eq!((first.priority, first.deadline_us, first.session), (Priority::Interactive, Some(1500), Some(0)));
    assert_eq!((second.priority, second.deadline_us, second.session), (Priority::Batch, None, Some(0)));
    assert!(at(first) <= at(second) && at(second) < 1_800_000_000);
}

/// JOB-1; what has no model here is said, and unknown fields are.
#[test]
fn what_a_job_asks_for_counts_or_is_said_not_to() {
    let own = |more: &str| format!("{{\"id\":\"a\",\"engine\":\"e\",\"model_id\":\"x\",\"prompt_tokens\":7{more}}}\n");
    let lines = [
        own(",\"expected_tokens\":500,\"max_tokens\":5"),
        own(",\"expected_tokens\":5,\"max_tokens\":500,\"kv_hint\":\"cold\",\"session_id\":\"s\""),
        own(",\"expected_tokens\":5,\"placement\":{\"pin_pool_id\":\"p\"},\"est_kv_bytes\":9000"),
        own(",\"expected_tokens\":5,\"placement\":{\"avoid_pools\":[\"p\"]},\"colour\":1"),
    ];
    let loaded = load(&[("j.jsonl", &lines.concat())], &ask());
    let lengths: Vec<_> = loaded.trace.requests.iter().map(|asked| (asked.output_tokens, asked.is_cold)).collect();
    assert_eq!(lengths, [(5, false), (5, true), (5, false), (5, false)]);
    let limits: Vec<_> = loaded.trace.requests.iter().map(|asked| asked.output_tokens_max).collect();
    assert_eq!(limits, [Some(5), Some(500), None, None]);
    let said =
        "1 job: unknown field `colour`\n1 job: `est_kv_bytes` is not simulated\n2 jobs: `placement` is not simulated";
    assert_eq!(loaded.warnings.to_string(), said);
}

#[test]
fn events_have_their_times() {
    let loaded = load(&[("e.jsonl", EVENTS)], &TraceAsk { spread_us: 1, ..ask() });
    assert_eq!(loaded.trace.requests.iter().map(at).collect::<Vec<_>>(), [0, 12_500]);
    assert_eq!((loaded.files[0].requests, loaded.files[0].left_out), (2, 1));
    assert_eq!(loaded.trace.models, ["y", "x"].map(str::to_owned).into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn a_seed_gives_one_trace() {
    let contents = [("c.csv", CLIENTS), ("l.csv", LENGTHS), ("s.csv", SESSIONS), ("j.jsonl", JOBS)];
    let of = |seed| load(&contents, &TraceAsk { seed, ..ask() }).trace;
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
}
