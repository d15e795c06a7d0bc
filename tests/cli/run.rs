//! `run`: a scheduler as a process, on both clocks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use orchestrator_host::daemon::Sizes;
use orchestrator_host::input::Policies;
use serde_json::{Value, json};

use super::closed_loop::play;
use super::metrics_lint::{contract, lint};
use super::support::{BINARY, Desk, Ran, fleet_of, job, lines_of, pool, repository_text, run_in};

const EVENTS: [&str; 3] = ["run", "--clock", "events"];

pub(crate) fn event(kind: &str, at_ms: impl Into<Value>, key: &str, value: impl Into<Value>) -> Value {
    json!({ "event": kind, "at_ms": at_ms.into(), key: value.into() })
}

fn submit(at_ms: u64, id: &str) -> Value {
    event("submit", at_ms, "job", job(id))
}

fn snapshot(at_ms: u64, id: &str) -> Value {
    event("snapshot", at_ms, "pool", pool(id))
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["answer"].as_str().or(line["action"].as_str()).unwrap()).collect()
}

/// A command that runs, with its lines as they come.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Running {
    fn start(desk: &Desk, args: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(args).current_dir(desk.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).env_remove("RUST_LOG").spawn().unwrap();
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { stdin: child.stdin.take(), child, out, err }
    }

    fn tell(&mut self, event: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{event}").unwrap();
    }

    /// The next line of standard output.
    fn next(&self) -> Value {
        let line = self.out.recv_timeout(Duration::from_secs(60)).expect("a line in time");
        serde_json::from_str(&line).unwrap()
    }

    /// What is left of its output, once it has ended.
    fn finish(mut self) -> Ran {
        drop(self.stdin.take());
        let status = self.child.wait().unwrap();
        let rest = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect::<String>().into_bytes();
        let (stdout, stderr) = (rest(&self.out), rest(&self.err));
        Ran::of(&std::process::Output { status, stdout, stderr })
    }
}

fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}

// WIRE-4, WIRE-5, RECORD-2: the example says what a driver is told; its recording is replayed.
#[test]
fn the_example_events_run() {
    let desk = Desk::new();
    let events = repository_text("examples/events.jsonl");
    let args = [&EVENTS[..], &["--record", "run.rec"]].concat();
    let ran = desk.feed(&args, &events).expect(0).says("jobs: 6 = ").says("left: 0 jobs wait, 1 run");
    let lines = ran.lines();
    assert_eq!(lines.iter().filter(|line| line["answer"].is_string()).count(), events.lines().count());
    let dispatched: Vec<_> = lines.iter().filter(|line| line["action"] == "dispatch").collect();
    let to =
        |line: &&Value| (line["job_id"].as_str().unwrap().to_owned(), line["pool_id"].as_str().unwrap().to_owned());
    // LEASE-8: while the prompt of `chat-1` is prefilled on `gpu-a`, the next job goes to the slower pool.
    let expected = [("chat-1", "gpu-a"), ("chat-2", "gpu-b"), ("batch-1", "gpu-a"), ("chat-3", "gpu-b")];
    assert!(dispatched.iter().map(to).eq(expected.map(|(job, pool)| (job.to_owned(), pool.to_owned()))));
    // Without a recording it is the same, also into a file.
    let plain = desk.feed(&[&EVENTS[..], &["-o", "out.jsonl"]].concat(), &events).expect(0);
    assert_eq!((plain.out.as_str(), desk.read("out.jsonl")), ("", ran.out.clone()));
    assert_eq!(plain.said("run digest:"), ran.said("run digest:"));
    let replay = desk.run(["replay", "run.rec"]).expect(0);
    assert!(replay.out.contains(&format!("run digest: {}", ran.said("run digest:"))), "{}", replay.out);
    assert!(replay.out.ends_with("equal: every outcome is the recorded one\n"), "{}", replay.out);
}

// RECORD-2, EVENT-1, LEASE-1: a real trace with engines that report; every job ends, and each run is the same.
#[test]
fn a_trace_with_reports_runs_and_is_replayed() {
    let desk = Desk::new();
    let import = ["import", "events", "--trace", "azure2023_conv_1000.csv", "--deployment", "deployment.toml"];
    let submits = run_in(&super::support::repository("examples"), import).expect(0).out;
    let fleet: Value = serde_json::from_str(&repository_text("examples/fleet.json")).unwrap();
    let played = play(&fleet, &Policies::default(), Sizes::default(), &submits);
    assert_eq!(played.tally.ended("job_finished"), 1000, "{}", played.tally);
    assert!(played.tally.answers("done") > 3000, "{}", played.tally);

    let args = [&EVENTS[..], &["--record", "run.rec"]].concat();
    let ran = desk.feed(&args, &played.events).expect(0).says("jobs: 1000 = 1000 finished + 0 that wait or run");
    assert_eq!(ran.said("run digest:"), format!("{:016x}", played.digest));
    let again = desk.feed(&EVENTS, &played.events).expect(0);
    assert!(again.out == ran.out, "the output differs");
    assert_eq!(again.said("run digest:"), ran.said("run digest:"));
    let replay = desk.run(["replay", "run.rec"]).expect(0);
    assert!(replay.out.contains("equal: every outcome"), "{}", replay.out);
}

// METRIC-1, METRIC-2: what a scraper gets of a running scheduler.
#[test]
fn metrics_are_served_while_it_runs() {
    let desk = Desk::new();
    let args = [&EVENTS[..], &["--metrics-addr", "127.0.0.1:0", "--log", "json", "--log-level", "info"]].concat();
    let mut running = Running::start(&desk, &args);
    let said = running.err.recv_timeout(Duration::from_secs(60)).unwrap();
    let address = said.strip_prefix("metrics: http://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap();
    for event in [snapshot(0, "a"), submit(1, "j")] {
        running.tell(&event);
    }
    assert_eq!(names(&[running.next(), running.next(), running.next()]), ["done", "accepted", "dispatch"]);
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let (_, text) = page.split_once("\r\n\r\n").unwrap();
    let mut problems = lint(text, &contract());
    // Not every kind of event has happened.
    problems.retain(|problem| !problem.ends_with("no event feeds it"));
    assert_eq!(problems, Vec::<String>::new());
    // The placement is asked for at admission, and again when the job is dispatched.
    for (start, count) in [("tasks_enqueued_total{", " 1"), ("placement_decisions_total{", " 1")] {
        assert!(text.lines().any(|line| line.starts_with(start) && line.ends_with(count)), "{start}{count}:\n{text}");
    }
    // LOG-1: log lines are on standard error, beside what the command says.
    running.finish().expect(0).says("\"event\":\"job_dispatched\"").says("run digest: ");
}

/// Runs jobs with log lines to this standard error; the exit code and what is on standard output.
fn logged(stderr: impl Into<Stdio>, events: &str) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(EVENTS).args(["--log", "json", "--log-level", "info"]).env_remove("RUST_LOG");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
    let (mut stdin, out, events) =
        (child.stdin.take().unwrap(), lines(child.stdout.take().unwrap()), events.to_owned());
    let feeder = thread::spawn(move || stdin.write_all(events.as_bytes()));
    let ended = (0..600).any(|_| {
        thread::sleep(Duration::from_millis(50));
        child.try_wait().unwrap().is_some()
    });
    if !ended {
        child.kill().unwrap();
    }
    let _ = feeder.join().unwrap();
    assert!(ended, "it waits for standard error");
    (child.wait().unwrap().code(), out.iter().map(|line| line + "\n").collect())
}

// LOG-1: log lines that nobody reads neither fail nor stop a run.
#[test]
fn log_lines_that_nobody_reads_stop_nobody() {
    let desk = Desk::new();
    let submits = (0..3000).map(|at_ms| submit(at_ms, &format!("j{at_ms}")).to_string());
    let events = lines_of(submits.chain(["no event".to_owned()]));
    let plain = desk.feed(&EVENTS, &events).expect(1);
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    assert!(logged(write, &events) == (Some(1), plain.out.clone()), "closed");
    let (mut read, write) = std::io::pipe().unwrap();
    assert!(logged(write, &events) == (Some(1), plain.out), "not read");
    // The child was the last that could write.
    let mut log = String::new();
    read.read_to_string(&mut log).unwrap();
    assert!(log.starts_with("{\"timestamp\":"), "{log}");
}

// RECORD-1: told to end, it writes what is due, closes the recording and exits with 0.
#[cfg(unix)]
#[test]
fn a_signal_ends_it_cleanly() {
    for (clock, signal) in [("events", "-TERM"), ("wall", "-TERM"), ("wall", "-INT")] {
        let desk = Desk::new();
        let mut running = Running::start(&desk, &["run", "--clock", clock, "--record", "run.rec", "--drain"]);
        running.tell(&snapshot(0, "a"));
        running.tell(&submit(1, "j"));
        assert_eq!(names(&[running.next(), running.next(), running.next()]), ["done", "accepted", "dispatch"]);
        let killed = Command::new("kill").args([signal, &running.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        // Standard input is open still.
        assert_eq!(running.child.wait().unwrap().code(), Some(0), "{clock} {signal}");
        running.finish().expect(0).says("left: 0 jobs wait, 1 run");
        desk.run(["replay", "run.rec"]).expect(0);
    }
}

// REFRESH-1: on the wall clock a timer fires without a further event.
#[test]
fn wall_clock_timers_fire_by_themselves() {
    let desk = Desk::new();
    desk.write("policy.toml", "[refresh]\nafter_ms = 20\nbase_ms = 10\n");
    let mut running = Running::start(&desk, &["run", "--policy", "policy.toml", "--record", "run.rec"]);
    running.tell(&json!({ "event": "snapshot", "pool": pool("a") }));
    let lines = [running.next(), running.next(), running.next()];
    assert_eq!(names(&lines), ["done", "refresh_snapshot", "refresh_snapshot"]);
    let at_ms = |line: &Value| line["at_ms"].as_f64().unwrap();
    assert!((at_ms(&lines[1]) - at_ms(&lines[0]) - 20.0).abs() < 0.001, "{lines:?}");
    running.finish().expect(0);
    desk.run(["replay", "run.rec"]).expect(0);
}

// QUEUE-12, LEASE-5: on the events' clock a timer fires at its own time, and at the end as far as is asked for.
#[test]
fn event_clock_timers_fire_at_their_time() {
    let desk = Desk::new();
    desk.write("policy.toml", "[queue]\nttl_ms = 100\n[lease]\nstart_timeout_ms = 250\n[refresh]\nafter_ms = 10_000\n");
    let mut full = pool("a");
    full["slots_total"] = 1.into();
    full["slots_free"] = 1.into();
    let events = lines_of([event("snapshot", 0, "pool", full), submit(1, "runs"), submit(2, "waits")]);
    let args = [&EVENTS[..], &["--policy", "policy.toml"]].concat();
    let ran = desk.feed(&args, &events).expect(0).says("left: 1 jobs wait, 1 run");
    assert_eq!(names(&ran.lines()), ["done", "accepted", "dispatch", "accepted"]);
    let drained = desk.feed(&[&args[..], &["--drain"]].concat(), &events).expect(0).says("left: 0 jobs wait, 0 run");
    let lines = drained.lines();
    assert_eq!(names(&lines[4..]), ["drop", "abort"]);
    assert_eq!((&lines[4]["at_ms"], &lines[5]["at_ms"]), (&json!(102.0), &json!(251.0)));
    // The same where a later event lets them fire.
    let later = desk.feed(&args, format!("{events}{}\n", json!({ "event": "tick", "at_ms": 400 }))).expect(0);
    assert_eq!(later.lines()[..6], lines[..]);
    // EVENT-3: a time that went back is answered; a line without a time happens at the last one.
    let back = lines_of([snapshot(5, "a"), submit(4, "j"), json!({ "event": "tick" })]);
    let ran = desk.feed(&EVENTS, back).expect(0);
    assert_eq!(names(&ran.lines()), ["done", "time_went_back", "done"]);
    assert_eq!(ran.lines()[2]["at_ms"], 5.0);
}

// WIRE-2: a line that cannot be read is named, and the rest goes on.
#[test]
fn bad_event_lines_are_named_and_the_rest_goes_on() {
    let desk = Desk::new();
    let most = format!("{{\"event\":\"tick\",\"x\":\"{}\"}}", "x".repeat((1 << 20) - 23));
    assert_eq!(most.len(), 1 << 20);
    let events = [
        snapshot(0, "a").to_string(),
        "not JSON".to_owned(),
        String::new(),
        json!({ "event": "submit", "job": { "id": "j", "engine": 7 } }).to_string(),
        most.clone(),
        most.replace("x\"}", "xx\"}"),
        submit(1, "good").to_string(),
        json!({ "event": "finished", "job_id": "good", "tokens_out": -1 }).to_string(),
    ];
    let ran = desk.feed(&EVENTS, lines_of(events)).expect(1);
    let lines = ran.lines();
    assert_eq!(
        names(&lines),
        ["done", "bad_event", "bad_event", "done", "bad_event", "accepted", "dispatch", "bad_event"]
    );
    let bad: Vec<_> = lines.iter().filter(|line| line["answer"] == "bad_event").collect();
    let places: Vec<_> =
        bad.iter().map(|line| (line["line"].as_u64().unwrap(), line["field"].as_str().unwrap())).collect();
    assert_eq!(places, [(2, "row"), (4, "job.engine"), (6, "row"), (8, "tokens_out")]);
    let ran = ran.says("<stdin>:2: refused: ").says("<stdin>:4: refused: job.engine").says("<stdin>:6: refused: row");
    ran.says("<stdin>:8: refused: tokens_out").says("warning: ");
}

// POOL-1: rows of the fleet are named as `place` names them; the others are there at time 0.
#[test]
fn rows_of_the_fleet_are_pools_at_time_0() {
    let desk = Desk::new();
    let rows = [pool("a"), pool("twice"), json!({ "id": "bad", "engine": 1 }), pool("twice"), pool("b")];
    desk.write("fleet.json", fleet_of(rows));
    let args = [&EVENTS[..], &["--fleet", "fleet.json"]].concat();
    let ran = desk.feed(&args, lines_of([submit(0, "j")])).expect(1);
    assert_eq!(names(&ran.lines()), ["accepted", "dispatch"]);
    let ran = ran.says("fleet: 2 pools at the end, 3 rows refused").says("fleet.json:3: refused: id: another row");
    ran.says("fleet.json:4: refused: engine").says("fleet.json:5: refused: id: another row");
    // A pool that has no place is a refused row too.
    desk.write("fleet.json", fleet_of([pool("a"), pool("b")]));
    let ran = desk.feed(&[&args[..], &["--max-pools", "1"]].concat(), "").expect(1);
    ran.says("fleet.json:3: refused: ").says("fleet: 1 pools at the end, 1 rows refused");
}

// BUDGET-2: prices of the policy file count, and are in the recording.
#[test]
fn prices_limit_budgets() {
    let desk = Desk::new();
    desk.write("policy.toml", "[[price]]\nmicros_per_1000_tokens = 1000\n");
    let mut costly = job("costly");
    costly["budget"] = json!({ "cost_micros": 29 });
    let events = lines_of([snapshot(0, "a"), event("submit", 1, "job", costly)]);
    let args = [&EVENTS[..], &["--policy", "policy.toml", "--record", "run.rec"]].concat();
    let ran = desk.feed(&args, &events).expect(0);
    assert_eq!(ran.lines()[1]["field"], "budget.cost_micros", "{}", ran.out);
    desk.run(["replay", "run.rec"]).expect(0);
    assert_eq!(names(&desk.feed(&EVENTS, &events).expect(0).lines()), ["done", "accepted", "dispatch"]);
}

#[test]
fn a_reader_that_goes_away_is_a_failure() {
    let desk = Desk::new();
    let mut running = Running::start(&desk, &[&EVENTS[..], &["--record", "run.rec"]].concat());
    running.tell(&snapshot(0, "a"));
    assert_eq!(running.next()["answer"], "done");
    // The thread that reads the lines goes with the next one, and the pipe with it.
    drop(std::mem::replace(&mut running.out, channel().1));
    let mut at_ms = 1;
    while running.child.try_wait().unwrap().is_none() {
        at_ms += 1;
        // Standard input closes when the command has ended.
        if writeln!(running.stdin.as_mut().unwrap(), "{}", submit(at_ms, &format!("j{at_ms}"))).is_err() {
            break;
        }
    }
    running.finish().expect(2).says("standard output: nobody reads the answers any more");
    desk.run(["replay", "run.rec"]).expect(0);
}

#[test]
fn what_cannot_be_used_exits_with_2() {
    let desk = Desk::new();
    desk.write("fleet.json", fleet_of([pool("a")]));
    desk.write("policy.toml", "[queue]\nmax_job = 3\n");
    for (args, said) in [
        (vec!["--fleet", "missing.json"], "missing.json"),
        (vec!["--policy", "policy.toml"], "max_job"),
        (vec!["--fleet", "fleet.json", "--record", "fleet.json"], "is an input"),
        (vec!["--fleet", "fleet.json", "-o", "./fleet.json"], "is an input"),
        (vec!["--record", "same", "-o", "same"], "cannot be one file"),
        (vec!["--record", "no/folder.rec"], "cannot be written"),
        (vec!["--metrics-addr", "0.0.0.0:0"], "--metrics-public"),
        (vec!["--max-running", "4294967295"], "running jobs: 4294967295 is above"),
        (vec!["--log", "json", "--log-level", "a=b=c"], "--log-level"),
        (vec!["--metrics-public"], "--metrics-addr"),
    ] {
        let ran = desk.feed(&[&["run"], &args[..]].concat(), "").expect(2).says(said);
        assert_eq!(ran.out, "", "{args:?}");
    }
    assert_eq!(desk.read("fleet.json"), fleet_of([pool("a")]));
}

/// A recording that fails stops nobody; the exit code says it.
#[cfg(target_os = "linux")]
#[test]
fn a_recording_that_cannot_be_written_is_said_at_the_end() {
    let desk = Desk::new();
    let ran = desk.feed(&[&EVENTS[..], &["--record", "/dev/full"]].concat(), lines_of([snapshot(0, "a")])).expect(2);
    assert_eq!(names(&ran.lines()), ["done"]);
    ran.says("run digest: ").says("/dev/full: the recording is not whole: ");
}

/// Answers that cannot be written: the file is named.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_named() {
    let desk = Desk::new();
    let args = [&EVENTS[..], &["-o", "/dev/full"]].concat();
    desk.feed(&args, lines_of([snapshot(0, "a")])).expect(2).says("/dev/full: cannot be written: ");
}

// RECORD-1: whoever reads an answer finds its input in the recording, also where the answers are too many to keep.
#[test]
fn the_recording_is_ahead_of_the_answers() {
    let desk = Desk::new();
    let mut running = Running::start(&desk, &[&EVENTS[..], &["--record", "run.rec"]].concat());
    let mut stdin = running.stdin.take().unwrap();
    let feeder = thread::spawn(move || {
        let ticks = (0..200_000).map(|at_ms| format!("{}\n", json!({ "event": "tick", "at_ms": at_ms })));
        let _ = ticks.map(String::into_bytes).try_for_each(|line| stdin.write_all(&line));
    });
    running.next();
    running.child.kill().unwrap();
    feeder.join().unwrap();
    let answers = running.out.iter().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count() as u64 + 1;
    running.child.wait().unwrap();
    let replayed = desk.run(["replay", "run.rec"]);
    let inputs: u64 = replayed.out.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(inputs >= answers, "{answers} answers, but {inputs} inputs: {}", replayed.err);
}

// RECORD-1: a start that fails leaves a recording as it was, and no run writes into another's.
#[test]
fn a_recording_is_never_lost_to_a_start_that_fails() {
    let desk = Desk::new();
    desk.write("keep.rec", "kept");
    for args in [
        &["--record", "keep.rec", "--fleet", "nofile.json"][..],
        &["--record", "keep.rec", "-o", "./keep.rec"],
        &["--record", "keep.rec", "-o", "no/folder"],
        &["--record", "keep.rec", "--metrics-addr", "0.0.0.0:0"],
    ] {
        desk.feed(&[&EVENTS[..], args].concat(), "").expect(2).says(":");
        assert_eq!(desk.read("keep.rec"), "kept", "{args:?}");
    }
    desk.feed(&[&EVENTS[..], &["--record", "new.rec", "-o", "./new.rec"]].concat(), "").expect(2).says("one file");
    let record = [&EVENTS[..], &["--record", "keep.rec"]].concat();
    let input = Command::new(BINARY)
        .args(&record)
        .current_dir(desk.path(""))
        .stdin(std::fs::File::open(desk.path("keep.rec")).unwrap())
        .output();
    Ran::of(&input.unwrap()).expect(2).says("keep.rec: is an input");
    assert_eq!(desk.read("keep.rec"), "kept");
    let mut running = Running::start(&desk, &record);
    running.tell(&snapshot(0, "a"));
    running.next();
    desk.feed(&record, "").expect(2).says("another run records to it");
    running.finish().expect(0);
    desk.run(["replay", "keep.rec"]).expect(0);
}

/// A long time without events is full of timers: a wish to end is heard in between.
#[cfg(unix)]
#[test]
fn timers_of_one_line_do_not_outlast_a_signal() {
    let desk = Desk::new();
    let mut running = Running::start(&desk, &["run", "--clock", "events", "-o", "out.jsonl"]);
    (0..100).for_each(|at_ms| running.tell(&snapshot(at_ms, &format!("p{at_ms}"))));
    running.tell(&json!({ "event": "tick", "at_ms": 86_400_000_u64 * 300 }));
    thread::sleep(Duration::from_millis(500));
    let kill = Command::new("kill").arg(running.child.id().to_string()).status().unwrap();
    assert!(kill.success());
    let ended = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(50));
        running.child.try_wait().unwrap().is_some()
    });
    if !ended {
        running.child.kill().unwrap();
    }
    assert!(ended, "it goes on");
    running.finish().expect(0);
}
