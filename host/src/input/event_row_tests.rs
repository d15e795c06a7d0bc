//! Lines of events: what each becomes, and how each is refused.

use std::fmt::Write as _;

use orchestrator_core::Policy;
use orchestrator_core::scheduler::SchedulerPolicy;
use proptest::prelude::*;

use super::super::lines::{LineReader, MAX_LINE_BYTES};
use super::*;

/// Reads one line as line 1, and says what came of it, with warnings.
fn read(text: &str) -> (Result<(Option<u64>, String), RefusedEvent>, String) {
    let mut warnings = Warnings::default();
    let mut lines = LineReader::new(text.as_bytes());
    let line = lines.next_line().unwrap().expect("a line");
    let read = read_event_line(&line, &mut warnings, |at_us, input| (at_us, format!("{input:?}")));
    (read, warnings.to_string())
}

fn input(text: &str) -> (Option<u64>, String) {
    let (read, warnings) = read(text);
    assert_eq!(warnings, "", "{text}");
    read.unwrap_or_else(|refused| panic!("{text}: {refused}"))
}

fn refusal(text: &str) -> String {
    read(text).0.map(|read| format!("{read:?}")).unwrap_err().to_string()
}

// WIRE-1: every event, with its time and its defaults.
#[test]
fn every_event_is_an_input() {
    let table = [
        (
            r#"{"event":"remove_pool","at_ms":0,"pool_id":"a","replica_id":"r"}"#,
            0,
            Input::RemovePool { id: "a", replica_id: "r" },
        ),
        (r#"{"event":"remove_pool","at_ms":0.0004,"pool_id":"a"}"#, 0, Input::RemovePool { id: "a", replica_id: "" }),
        (
            r#"{"event":"drain","at_ms":1,"pool_id":"a"}"#,
            1_000,
            Input::Drain { id: "a", replica_id: "", draining: true },
        ),
        (
            r#"{"event":"drain","at_ms":1,"pool_id":"a","draining":false}"#,
            1_000,
            Input::Drain { id: "a", replica_id: "", draining: false },
        ),
        (r#"{"event":"started","at_ms":12.5,"job_id":"j\n"}"#, 12_500, Input::Started { job_id: "j\n" }),
        (r#"{"at_ms":12.5,"job_id":"j","event":"first_token"}"#, 12_500, Input::FirstToken { job_id: "j" }),
        (
            r#"{"event":"progress","at_ms":2,"job_id":"j","tokens_out":5.0}"#,
            2_000,
            Input::Progress { job_id: "j", tokens_out: 5 },
        ),
        (
            r#"{"event":"finished","at_ms":2,"job_id":"j","tokens_out":16777215}"#,
            2_000,
            Input::Finished { job_id: "j", tokens_out: 16_777_215 },
        ),
        (
            r#"{"event":"failed","at_ms":2,"job_id":"j"}"#,
            2_000,
            Input::Failed { job_id: "j", cause: FailureCause::Engine, tokens_out: 0 },
        ),
        (
            r#"{"event":"failed","at_ms":2,"job_id":"j","cause":"worker_reset","tokens_out":3}"#,
            2_000,
            Input::Failed { job_id: "j", cause: FailureCause::WorkerReset, tokens_out: 3 },
        ),
        (
            r#"{"event":"cancel","at_ms":2,"job_id":"j"}"#,
            2_000,
            Input::Cancel { job_id: "j", cause: CancelCause::ClientRequest },
        ),
        (
            r#"{"event":"cancel","at_ms":2,"job_id":"j","cause":"admin"}"#,
            2_000,
            Input::Cancel { job_id: "j", cause: CancelCause::Admin },
        ),
        (r#"{"event":"end_session","at_ms":2,"session_id":"s"}"#, 2_000, Input::EndSession { session_id: "s" }),
        (r#"{"event":"tick","at_ms":70368744177.663}"#, (1 << 46) - 1, Input::Tick),
    ];
    for (text, at_us, expected) in table {
        assert_eq!(input(text), (Some(at_us), format!("{expected:?}")), "{text}");
    }
    assert_eq!(input(r#"{"event":"tick"}"#), (None, "Tick".to_owned()));
    assert_eq!(input(r#"{"event":"tick","at_ms":null}"#), (None, "Tick".to_owned()));
}

// WIRE-1: jobs and pools are those of job and fleet files, warnings included.
#[test]
fn jobs_and_pools_are_read_as_in_their_files() {
    let job = r#"{"id":"j","engine":"vllm","model_id":"m","prompt_tokens":7,"placement":{"prefer_pools":["a"]}}"#;
    let (at_us, submit) = input(&format!(r#"{{"event":"submit","at_ms":3,"job":{job}}}"#));
    let expected = JobText::read(job, &mut Warnings::default()).unwrap();
    assert_eq!((at_us, submit), (Some(3_000), expected.with_spec(|spec| format!("{:?}", Input::Submit(spec)))));
    let pool = r#"{"id":"a","engine":"vllm","slots_total":2,"slots_free":1,"vram_total_bytes":80000000000,"vram_free_bytes":1}"#;
    let (_, snapshot) = input(&format!(r#"{{"event":"snapshot","pool":{pool}}}"#));
    let expected = PoolText::read(pool, &mut Warnings::default()).unwrap();
    assert_eq!(snapshot, expected.with_snapshot(|snapshot| format!("{:?}", Input::Snapshot(snapshot))));

    let odd = r#"{"event":"submit","note":1,"job":{"id":"j","engine":"e","model_id":"m","deadline_ms":0.5,"x":1}}"#;
    let (read_odd, warnings) = read(odd);
    assert!(read_odd.is_ok());
    let lines = [
        "1 job: unknown field `x`",
        "1 job: `deadline_ms` is below 1 ms; milliseconds are meant",
        "1 event: unknown field `note`",
    ];
    assert_eq!(warnings, lines.join("\n"));
    // A field of another event is as unknown as any.
    assert_eq!(read(r#"{"event":"tick","job_id":"j"}"#).1, "1 event: unknown field `job_id`");
}

// WIRE-2: a refused line names its line, its field and why.
#[test]
fn refusals_name_line_and_field() {
    let table = [
        ("[1]", "line 1: row: wrong type: expected an object"),
        (r#"{"at_ms":1}"#, "line 1: event: required, but absent"),
        (r#"{"event":"stop"}"#, "line 1: event: malformed: expected submit, snapshot, remove_pool, drain, started"),
        (r#"{"event":1}"#, "line 1: event: wrong type: expected a text"),
        (r#"{"event":"tick","event":"tick"}"#, "line 1: event: stands more than once"),
        (r#"{"event":"tick","at_ms":-1}"#, "line 1: at_ms: must not be negative"),
        (r#"{"event":"tick","at_ms":70368744177.664}"#, "line 1: at_ms: above its limit: at most 70368744177.663"),
        (r#"{"event":"tick","at_ms":"1"}"#, "line 1: at_ms: wrong type: expected a number"),
        (r#"{"event":"tick","at_ms":NaN}"#, "line 1: at_ms: not JSON: expected value"),
        (r#"{"event":"submit"}"#, "line 1: job: required, but absent"),
        (r#"{"event":"submit","job":7}"#, "line 1: job: wrong type: expected an object"),
        (r#"{"event":"submit","job":{"id":"j"}}"#, "line 1: job.engine: required, but absent"),
        (
            r#"{"event":"submit","job":{"id":"j","engine":"e","model_id":"m","budget":{"tokens":"1"}}}"#,
            "line 1: job.budget.tokens: wrong type",
        ),
        (
            r#"{"event":"submit","job":{"id":"j","prompt_tokens":08}}"#,
            "line 1: job.prompt_tokens: not JSON: invalid number",
        ),
        (r#"{"event":"submit","job":{"id":"j","id":"k"}}"#, "line 1: job.id: stands more than once"),
        (r#"{"event":"snapshot","pool":{"id":"a","engine":"e"}}"#, "line 1: pool.slots_total: required, but absent"),
        (r#"{"event":"remove_pool"}"#, "line 1: pool_id: required, but absent"),
        (r#"{"event":"drain","pool_id":"a","draining":"yes"}"#, "line 1: draining: wrong type: expected true or false"),
        (r#"{"event":"started"}"#, "line 1: job_id: required, but absent"),
        (r#"{"event":"progress","job_id":"j"}"#, "line 1: tokens_out: required, but absent"),
        (r#"{"event":"finished","job_id":"j","tokens_out":-1}"#, "line 1: tokens_out: must not be negative"),
        (
            r#"{"event":"finished","job_id":"j","tokens_out":16777216}"#,
            "line 1: tokens_out: above its limit: at most 16777215",
        ),
        (
            r#"{"event":"finished","job_id":"j","tokens_out":1e30}"#,
            "line 1: tokens_out: above its limit: at most 16777215",
        ),
        (
            r#"{"event":"failed","job_id":"j","cause":"x"}"#,
            "line 1: cause: malformed: expected engine, worker_reset or",
        ),
        (
            r#"{"event":"cancel","job_id":"j","cause":"x"}"#,
            "line 1: cause: malformed: expected client_request, disconnect",
        ),
        (r#"{"event":"end_session"}"#, "line 1: session_id: required, but absent"),
    ];
    for (text, message) in table {
        let refused = refusal(text);
        assert!(refused.starts_with(message), "{text}: {refused}");
        assert_eq!(read(text).1, "", "a refused line warns of nothing: {text}");
    }
}

// WIRE-2: what could be read of a refused line stays.
#[test]
fn refused_lines_keep_their_ids() {
    let kept = |text: &str| read(text).0.map(|_| ()).map_err(|refused| (refused.event, refused.job_id)).unwrap_err();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(kept(r#"{"event":"submit","job":{"id":"j"}}"#), (some("submit"), some("j")));
    assert_eq!(kept(r#"{"event":"submit","job":{"x":NaN,"id":"j"}}"#), (some("submit"), some("j")));
    assert_eq!(kept(r#"{"event":"finished","job_id":"j"}"#), (some("finished"), some("j")));
    assert_eq!(kept(r#"{"event":"stop","job_id":5}"#), (some("stop"), None));
    let mut warnings = Warnings::default();
    let mut lines = LineReader::new(&b"\n{\"event\":\"started\",\"job_id\":\"\xff\"}\n{\"event\":\"tick\"}"[..]);
    let line = lines.next_line().unwrap().unwrap();
    let refused = read_event_line(&line, &mut warnings, |_, _| ()).unwrap_err();
    assert_eq!((refused.line, refused.event.as_deref(), refused.job_id.as_deref()), (2, Some("started"), None));
    assert_eq!(refused.error.to_string(), "row: not UTF-8 text");
    let line = lines.next_line().unwrap().unwrap();
    assert!(read_event_line(&line, &mut warnings, |_, _| ()).is_ok());
    let long = format!("{{\"event\":\"started\",\"job_id\":\"j\",\"x\":\"{}\"}}", "x".repeat(MAX_LINE_BYTES));
    assert_eq!(refusal(&long), "line 1: row: longer than 1048576 bytes");
    assert_eq!(kept(&long), (some("started"), some("j")));
}

// WIRE-3: policies from a file or from the line.
#[test]
fn policies_come_from_a_file_or_from_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, "quantum_shift = 3\n[queue]\nmax_jobs = 5\n").unwrap();
    let line = |field: &str, value: &str| serde_json::json!({ "event": "set_policy", field: value }).to_string();
    let set = |text: &str| {
        let mut lines = LineReader::new(text.as_bytes());
        let line = lines.next_line().unwrap().unwrap();
        read_event_line(&line, &mut Warnings::default(), |_, input| match input {
            Input::SetPolicies { placement, scheduler } => (placement.clone(), *scheduler),
            other => panic!("{other:?}"),
        })
    };
    let (placement, scheduler) = set(&line("path", file.to_str().unwrap())).unwrap();
    assert_eq!((placement.quantum_shift(), scheduler.queue.total.jobs), (3, 5));
    let (placement, scheduler) = set(&line("toml", "[queue]\nmax_jobs = 6")).unwrap();
    assert_eq!((placement, scheduler.queue.total.jobs), (Policy::default(), 6));
    assert_eq!(set(&line("toml", "")), Ok((Policy::default(), SchedulerPolicy::default())));

    let table = [
        (line("toml", "queue.scan_limit = 0"), "toml: policy: `queue.scan_limit` cannot be 0; it takes"),
        (line("toml", "[[price]]\nmicros_per_1000_tokens = 1"), "toml: has [[price]]; prices cannot change while"),
        (line("path", "/nowhere/policy.toml"), "path: cannot read /nowhere/policy.toml: "),
        (line("policy", "x"), "path: required, but absent"),
        (r#"{"event":"set_policy","path":"p","toml":""}"#.to_owned(), "path: stands beside `toml`"),
    ];
    for (text, message) in table {
        let refused = set(&text).unwrap_err();
        assert!(refused.error.to_string().starts_with(message), "{text}: {refused}");
    }
}

// The example has every event, and nothing that anyone is warned of.
#[test]
fn the_example_can_be_read() {
    let mut lines = LineReader::new(&include_bytes!("../../../examples/events.jsonl")[..]);
    let mut warnings = Warnings::default();
    let (mut seen, mut last_us) = (Vec::new(), 0);
    while let Some(line) = lines.next_line().unwrap() {
        let event = EventText::read(&line, &mut warnings).unwrap_or_else(|refused| panic!("{refused}"));
        let at_us = event.at_us().expect("a time");
        assert!(at_us >= last_us, "line {}", line.number());
        last_us = at_us;
        let row = Object::row(line.text().unwrap());
        seen.extend(row.peek_text("event"));
    }
    assert_eq!(warnings.to_string(), "");
    for (name, _) in KINDS {
        assert!(seen.iter().any(|seen| seen == name), "{name}");
    }
}

proptest! {
    #[test]
    fn never_panics(text in any::<String>(), event in prop::sample::select(KINDS.map(|(name, _)| name).to_vec()), more in "[{}\\[\\]\",:a-z_0-9 .-]{0,60}") {
        let mut file = text.replace('\n', " ");
        write!(file, "\n{{\"event\":\"{event}\",{more}}}\n{{\"event\":\"{event}\",\"job_id\":{more}}}").unwrap();
        let mut lines = LineReader::new(file.as_bytes());
        while let Some(line) = lines.next_line().unwrap() {
            let read = read_event_line(&line, &mut Warnings::default(), |at_us, _| at_us);
            if let Err(refused) = read {
                prop_assert_eq!(refused.line, line.number());
                let start = format!("line {}: ", line.number());
                prop_assert!(refused.to_string().starts_with(&start));
            }
        }
    }
}
