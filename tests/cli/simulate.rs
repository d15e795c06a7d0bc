//! `simulate`: runs that repeat, schedules of faults, recordings that replay, and input that makes no sense.

use super::support::{Desk, Ran, fleet_of, job, pool, repository, with};

const JOBS: &str = "examples/jobs.jsonl";

/// Runs the command over the examples.
fn simulate(desk: &Desk, more: &[&str]) -> Ran {
    let (fleet, trace) = (repository("examples/fleet.json"), repository(JOBS));
    let mut args = vec!["simulate".into(), "--fleet".into(), fleet, "--trace".into(), trace];
    args.extend(more.iter().map(Into::into));
    desk.run(args)
}

/// The cells of each run's line in the first table.
fn runs(ran: &Ran) -> Vec<Vec<String>> {
    let lines = ran.out.lines().skip(1).take_while(|line| !line.is_empty());
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn policies_beside_each_other_and_the_same_twice() {
    let desk = Desk::new();
    let more = ["--compare", "ours,random,dynamo", "--load", "1,50", "--seed", "3"];
    let first = simulate(&desk, &more).expect(0);
    let lines = runs(&first);
    let named: Vec<_> = lines.iter().map(|cells| (cells[0].as_str(), cells[1].as_str())).collect();
    let at = |load| ["ours", "random", "dynamo"].map(|policy| (load, policy));
    assert_eq!(named, [at("100.0"), at("5000.0")].concat());
    assert!(lines.iter().all(|cells| cells[2].ends_with("/1000")), "{}", first.out);
    assert_eq!(simulate(&desk, &more).expect(0).out, first.out);
    let other = simulate(&desk, &["--compare", "ours,random,dynamo", "--load", "1,50", "--seed", "4"]).expect(0);
    assert_ne!(other.out, first.out);
}

#[test]
fn predictions_come_from_a_table() {
    let desk = Desk::new();
    let rows: String = (0..200).map(|tokens| format!("{tokens},{}\n", tokens / 50)).collect();
    desk.write("classes.csv", format!("actual_output_tokens,predicted_class\n{rows}"));
    desk.write("requests.csv", "arrival_ms,input_tokens,output_tokens\n0,100,150\n10,100,150\n20,100,150\n");
    let fleet = repository("examples/fleet.json");
    let ask = ["simulate", "--trace", "requests.csv", "--engine", "vllm", "--model", "meta-llama/Meta-Llama-3.1-70B"];
    let run = |more: &[&str]| {
        let mut args: Vec<std::ffi::OsString> = ask.iter().map(Into::into).collect();
        args.extend(["--fleet".into(), fleet.clone().into(), "--compare".into(), "ours".into()]);
        args.extend(more.iter().map(Into::into));
        desk.run(args)
    };
    // Without predictions 256 tokens are, and ends come earlier than that; class 3 means 175 of 150 to 199.
    let plain = run(&[]).expect(0);
    let predicted = run(&["--predictions", "classes.csv"]).expect(0);
    assert_ne!(plain.out, predicted.out);
    run(&["--predictions", "requests.csv"]).expect(2).says("actual_output_tokens");
}

#[test]
fn a_report_with_every_run_and_the_same_twice() {
    let desk = Desk::new();
    let more = ["--compare", "ours,dynamo", "--load", "1,20", "--report"];
    let [first, second] = ["first.html", "second.html"].map(|name| {
        let ran = simulate(&desk, &[&more[..], &[name]].concat()).expect(0).says("decisions, ");
        (ran.out, desk.read(name))
    });
    assert_eq!(first, second);
    let (out, page) = first;
    for cells in out.lines().skip(1).take_while(|line| !line.is_empty()) {
        let digest = cells.split_whitespace().last().expect("a digest");
        assert!(page.contains(&format!("<td>{digest}</td>")), "{digest}");
    }
    assert!(page.contains("--compare ours,dynamo --load 1,20 --seed 1 --slo ttft_ms=2000,tpot_ms=100</code>"));
    for text in ["ours", "dynamo", "1\u{d7}", "20\u{d7}"] {
        assert!(page.contains(&format!("\n{text}\n</text>")), "{text} labels no line");
    }
    // What the wall clock says is for standard error only.
    assert!(!out.contains("a second") && !page.contains("a second"));
    let seeded = [&more[..], &["third.html", "--seed", "2"]].concat();
    simulate(&desk, &seeded).expect(0);
    assert_ne!(desk.read("third.html"), page);
}

#[test]
fn no_output_takes_the_place_of_an_input() {
    let desk = Desk::new();
    let (fleet, trace) = ("fleet.json", "trace.csv");
    desk.write(fleet, fleet_of([pool("a")]));
    desk.write(trace, "arrival_ms,input_tokens,output_tokens\n0,10,10\n");
    desk.write("policy.toml", "");
    let run = |more: &[&str]| {
        let asked = ["simulate", "--fleet", fleet, "--trace", trace, "--engine", "vllm", "--model", "m"];
        let options = ["--compare", "ours", "--policy", "policy.toml"];
        desk.run([&asked[..], &options, more].concat())
    };
    let before = [fleet, trace, "policy.toml"].map(|name| desk.read(name));
    for input in [fleet, trace, "policy.toml"] {
        for option in ["--report", "--record"] {
            run(&[option, input]).expect(2).says(&format!("{input}: is an input"));
        }
    }
    assert_eq!([fleet, trace, "policy.toml"].map(|name| desk.read(name)), before);
    run(&["--report", "same", "--record", "same"]).expect(2).says("--report: same: is where --record writes");
    run(&["--report", "no/where.html"]).expect(2).says("no/where.html: cannot be written");
    run(&["--report", "report.html", "--record", "run.rec"]).expect(0);
    assert!(desk.read("report.html").ends_with("</html>\n"));
}

#[test]
fn what_is_recorded_replays() {
    let desk = Desk::new();
    let faults = "{\"at_ms\": 200000, \"pool\": \"h100-c\", \"fault\": \"vanish\"}\n\n\
                  {\"at_ms\": 260000, \"pool\": \"h100-c\", \"fault\": \"return\"}\n";
    desk.write("faults.jsonl", faults);
    let more = ["--compare", "ours", "--load", "20", "--faults", "faults.jsonl", "--record", "run.rec"];
    simulate(&desk, &more).expect(0);
    let replayed = desk.run(["replay", "run.rec"]).expect(0);
    assert!(replayed.out.contains("equal: every outcome is the recorded one"), "{}", replayed.out);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let desk = Desk::new();
    desk.write("faults.jsonl", "{\"at_ms\": 1, \"pool\": \"nobody\", \"fault\": \"vanish\"}\n");
    desk.write("bad.jsonl", "{\"at_ms\": 1, \"pool\": \"h100-c\", \"fault\": \"burn\"}\n");
    desk.write("empty.json", "{\"version\": 1, \"pools\": []}");
    for (more, said) in [
        (&["--faults", "faults.jsonl"][..], "line 1: pool: no pool of the fleet is `nobody`"),
        (&["--faults", "bad.jsonl"], "bad.jsonl: line 1: fault: malformed: expected vanish, return, drain"),
        (&["--faults", "absent.jsonl"], "absent.jsonl"),
        (&["--compare", "ours,best"], "best"),
        (&["--compare", "ours,random,ours"], "--compare: `ours` stands more than once"),
        (&["--load", "0"], "a load is a factor"),
        (&["--load", "-1"], "a load is a factor"),
        (&["--load", "1,2,1.0"], "--load: `1` stands more than once"),
        (&["--seed", "-1"], "invalid value '-1' for '--seed"),
        (&["--report-delay-ms", "-1"], "invalid value '-1' for '--report-delay-ms"),
        (&["--report-every-ms", "-1"], "invalid value '-1' for '--report-every-ms"),
        (&["--slo", "ttft_ms=soon"], "ttft_ms=soon"),
        (&["--slo", "ttft_ms=1,ttft_ms=2"], "`ttft_ms=2` stands behind another ttft_ms"),
        (&["--record", "no/where.rec", "--compare", "ours"], "--record: no/where.rec"),
        (&["--record", "run.rec", "--compare", "random"], "--record: one run of `ours` is recorded"),
        (&["--record", "run.rec", "--load", "1,2"], "--record: one run of `ours` is recorded"),
    ] {
        simulate(&desk, more).expect(2).says(said);
    }
    let trace = repository(JOBS);
    let of = |fleet: &str| desk.run(["simulate", "--fleet", fleet, "--trace", trace.to_str().unwrap()]);
    of("empty.json").expect(2).says("the fleet has no pools");
    of("absent.json").expect(2).says("absent.json");
    desk.write("twice.json", fleet_of([pool("a"), pool("b"), pool("a")]));
    of("twice.json").expect(2).says("twice.json: line 4: id: another row is `a` with replica ``");
}

/// The lines of a schedule of which each has one thing that is wrong with it.
#[test]
fn faults_have_limits() {
    let desk = Desk::new();
    let pool = "\"pool\": \"h100-c\"";
    for (fault, said) in [
        (
            format!("{{\"at_ms\": 1, {pool}, \"fault\": \"slow\", \"permille\": 0}}"),
            "permille: malformed: expected 1 or more; 1000 is as before",
        ),
        (
            format!("{{\"at_ms\": 1, {pool}, \"fault\": \"slow\", \"permille\": {}}}", u64::MAX),
            "permille: above its limit: at most 1000000",
        ),
        (format!("{{\"at_ms\": 1, {pool}, \"fault\": \"slow\"}}"), "permille: required, but absent"),
        (
            format!("{{\"at_ms\": 1, {pool}, \"fault\": \"delay\", \"delay_ms\": {}}}", u64::MAX),
            "delay_ms: above its limit: at most 86400000",
        ),
        (format!("{{\"at_ms\": 1, {pool}, \"fault\": \"delay\", \"delay_ms\": -1}}"), "delay_ms: must not be negative"),
        (format!("{{\"at_ms\": {}, {pool}, \"fault\": \"vanish\"}}", u64::MAX), "at_ms: above its limit: at most "),
        (
            "{\"at_ms\": 1, \"pool\": \"h100-C\", \"fault\": \"vanish\"}".to_owned(),
            "pool: no pool of the fleet is `h100-C`",
        ),
        ("{\"at_ms\": 1".to_owned(), "row: not JSON"),
    ] {
        desk.write("faults.jsonl", format!("\n{fault}\n"));
        simulate(&desk, &["--faults", "faults.jsonl"]).expect(2).says(&format!("faults.jsonl: line 2: {said}"));
    }
    desk.write("faults.jsonl", format!("{{\"at_ms\": 1, {pool}, \"fault\": \"vanish\", \"why\": 1}}\n"));
    simulate(&desk, &["--faults", "faults.jsonl"]).expect(0).says("warning: 1 fault: unknown field `why`");
}

/// A trace with times over a fleet of one pool each.
fn over(desk: &Desk, pools: &[&str], trace: &str, more: &[&str]) -> Ran {
    desk.write("fleet.json", fleet_of(pools));
    desk.write("trace.csv", format!("arrival_ms,input_tokens,output_tokens\n{trace}"));
    let asked = ["simulate", "--fleet", "fleet.json", "--trace", "trace.csv", "--engine", "vllm", "--model", "m"];
    desk.run([&asked[..], more].concat())
}

#[test]
fn every_policy_sees_how_long_a_context_a_pool_takes() {
    let desk = Desk::new();
    let short = with(&pool("short"), "supports", "{\"ctx_max\": 1000}");
    let long = with(&pool("long"), "supports", "{\"ctx_max\": 3000}");
    // With 256 tokens of answer: one for any pool, two for the longer one, one for none.
    let trace = "0,100,10\n10,1900,10\n20,2000,10\n30,2800,10\n";
    let all = "ours,least-loaded,round-robin,random,power-of-two,dynamo,smg,llm-d";
    let ran = over(&desk, &[&short, &long], trace, &["--compare", all]).expect(0);
    let lines = runs(&ran);
    assert_eq!(lines.len(), 8);
    for cells in lines {
        assert_eq!(cells[2], "3/4", "{}", cells[1]);
        assert!(ran.err.contains(&format!("{} at 1: 1 context", cells[1])), "{}", ran.err);
    }
}

#[test]
fn reports_are_as_often_and_as_late_as_asked() {
    let desk = Desk::new();
    let of = |more: &[&str]| simulate(&desk, &[&["--compare", "least-loaded", "--load", "50"][..], more].concat());
    let otherwise = of(&[]).expect(0).out;
    assert_eq!(of(&["--report-every-ms", "1000", "--report-delay-ms", "50"]).expect(0).out, otherwise);
    for (option, other, wrong) in [("--report-every-ms", "9000", "0"), ("--report-delay-ms", "9000", "86400001")] {
        let ran = of(&[option, other, "--report", "report.html"]).expect(0);
        assert_ne!(ran.out, otherwise, "{option}");
        assert!(desk.read("report.html").contains(&format!(" {option} {other}</code>")), "{option}");
        of(&[option, wrong]).expect(2).says(option);
    }
}

#[test]
fn models_are_loaded_where_they_are_not_resident() {
    let desk = Desk::new();
    let of = |resident: &str| {
        let own = with(&pool("a"), "resident_models", resident).replacen('{', "{\"model_load_ms\":30000,", 1);
        over(&desk, &[&own], "0,10,2\n100000,10,2\n", &["--compare", "ours,random"]).expect(0)
    };
    let (cold, warm) = (of("[]"), of("[\"m\"]"));
    for (cold, warm) in runs(&cold).iter().zip(runs(&warm)) {
        // The first token of the first waits for the model, the second's does not; the middle one of two is the lower.
        let p99 = |cells: &[String]| cells[7].parse::<u64>().expect("a time in ms");
        let load_ms = p99(cold) - p99(&warm);
        // Off by up to a fifth, as all times of engines are.
        assert!((24_000..=36_000).contains(&load_ms), "{cold:?} {warm:?}");
        assert_eq!(cold[6], warm[6], "{cold:?} {warm:?}");
    }
}

#[test]
fn what_cannot_be_served_is_said() {
    let desk = Desk::new();
    let own = pool("a").to_string();
    let served = with(&pool("b"), "supports", "{\"models\": [\"m\"]}");
    let other = with(&pool("c"), "supports", "{\"models\": [\"n\"]}");
    let slotless = with(&pool("d"), "slots_total", "0").replace("\"slots_free\":8", "\"slots_free\":0");
    let line = "0,10,10\n";
    over(&desk, &[&own], "", &[]).expect(2).says("the traces have no requests");
    over(&desk, &[&own], "0,-1,10\nx,10,10\n", &[])
        .expect(2)
        .says("refused 2 rows")
        .says("trace.csv:2: `input_tokens`")
        .says("trace.csv:3: `arrival_ms`");
    over(&desk, &[&own], "0,10,10\nx,10,10\n", &[]).expect(1).says("trace.csv:3: `arrival_ms`");
    over(&desk, &[&other], line, &[]).expect(2).says("no pool of the fleet serves model `m` on engine `vllm`");
    over(&desk, &[&slotless], line, &[]).expect(0).says("warning: no pool of the fleet has a slot");
    desk.write("job.jsonl", with(&job("j"), "model_id", "\"n\""));
    over(&desk, &[&served], line, &["--trace", "job.jsonl"])
        .expect(0)
        .says("warning: no pool of the fleet serves model `n` on engine `vllm`; requests for it: 1");
    let nameless = ["simulate", "--fleet", "fleet.json", "--trace", "trace.csv"];
    desk.run(nameless).expect(2).says("--engine");
}

#[test]
fn a_report_is_replaced_when_there_is_a_new_one() {
    let desk = Desk::new();
    let own = pool("a").to_string();
    desk.write("report.html", "the last one");
    // Writable, but the run cannot begin.
    over(&desk, &[&own], "", &["--report", "report.html"]).expect(2);
    assert_eq!(desk.read("report.html"), "the last one");
    over(&desk, &[&own], "", &["--report", "new.html"]).expect(2);
    assert!(!desk.path("new.html").exists());
    over(&desk, &[&own], "0,10,10\n", &["--report", "report.html"]).expect(0);
    assert!(desk.read("report.html").starts_with("<!"));
    #[cfg(target_os = "linux")]
    for option in ["--report", "--record"] {
        let more = ["--compare", "ours", option, "/dev/full"];
        over(&desk, &[&own], "0,10,10\n", &more).expect(2).says(&format!("{option}: /dev/full: "));
    }
}

#[cfg(unix)]
#[test]
fn a_report_goes_into_a_pipe() {
    let desk = Desk::new();
    let path = desk.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo can be run");
    assert!(made.success());
    let reader = std::thread::spawn(move || std::fs::read_to_string(path).expect("a pipe can be read"));
    over(&desk, &[&pool("a").to_string()], "0,10,10\n", &["--report", "pipe"]).expect(0);
    assert!(reader.join().expect("a reader").ends_with("</html>\n"));
    // A folder is known to be none before the runs.
    let folder = desk.path("folder");
    std::fs::create_dir(folder).expect("a folder can be made");
    let ran = over(&desk, &[&pool("a").to_string()], "0,10,10\n", &["--report", "folder"]).expect(2);
    ran.says("--report: folder: cannot be written").does_not_say("decisions");
}

/// A slot that is taken at every moment at which a sample is taken, or at none, is still taken for 2 % of the time.
#[test]
fn slots_in_use_are_those_of_all_moments() {
    let desk = Desk::new();
    let own = with(&pool("a"), "slots_total", "1").replace("\"slots_free\":8", "\"slots_free\":1");
    for offset_ms in [0, 777] {
        let row = |request| format!("{},10,2\n", offset_ms + 10_000 * request);
        let trace: String = (0..300).map(row).collect();
        let ran = over(&desk, &[&own], &trace, &["--compare", "least-loaded"]).expect(0);
        let cells = runs(&ran).remove(0);
        let (p50, busy): (f64, f64) = (cells[8].parse().expect("ms"), cells[cells.len() - 2].parse().expect("%"));
        // Nobody waits: the time to the end is the time in the slot.
        assert!((busy - p50 / 100.0).abs() < 0.1, "{cells:?}");
    }
}

#[test]
fn a_long_time_is_announced() {
    let desk = Desk::new();
    let own = pool("a").to_string();
    // A quarter of a year.
    let ran = over(&desk, &[&own], "0,10,10\n7776000000,10,10\n", &["--load", "1000", "--compare", "random"]).expect(0);
    ran.does_not_say("reports of pools");
    let more = ["--load", "9", "--compare", "random"];
    let ran = over(
        &desk,
        &[&own, &pool("b").to_string(), &pool("c").to_string()],
        "20000000000,10,10\n31104000000,10,10\n",
        &more,
    );
    // Times are counted from 0, whatever the first one is.
    ran.expect(0).says("requests arrive from day 25 to day 40 at load 9: 10,368,000 reports of pools");
}

/// Two are given up at once: when the first one is gone the second one ends by itself, before it is given up.
#[test]
fn what_has_ended_is_not_given_up() {
    let desk = Desk::new();
    let own = serde_json::json!({
        "id": "p0", "engine": "vllm", "slots_total": 8, "slots_free": 8, "vram_total_bytes": 80_u64 << 30,
        "vram_free_bytes": 60_u64 << 30, "perf_tokens_per_s": 20, "first_token_ms": 0, "prefill_tokens_per_s": 100,
        "supports": {"models": ["m"], "ctx_max": 32768}
    });
    desk.write("fleet.json", fleet_of([own]));
    let submit = |id: &str, prompt: u32, output: u32| {
        let mut own = job(id);
        own["model_id"] = "m".into();
        own["prompt_tokens"] = prompt.into();
        own["expected_tokens"] = output.into();
        format!("{}\n", serde_json::json!({"event": "submit", "at_ms": 0, "job": own}))
    };
    desk.write("trace.jsonl", submit("j0", 30_000, 5) + &submit("j1", 0, 1));
    let asked = ["simulate", "--fleet", "fleet.json", "--trace", "trace.jsonl", "--compare", "dynamo,ours"];
    let ran = desk.run(asked).expect(0);
    let finished: Vec<_> = runs(&ran).iter().map(|cells| cells[2].clone()).collect();
    assert_eq!(finished, ["2/2", "1/2"], "{}", ran.err);
}

/// A model's KV cache is of no use to another model, nor to a job that wants none.
#[test]
fn a_session_is_cached_by_model() {
    let desk = Desk::new();
    desk.write("fleet.json", fleet_of([with(&pool("a"), "supports", "{\"models\": [\"m\", \"n\"]}")]));
    let hits = |models: [&str; 2], hint: &str| {
        let line = |turn: usize| {
            let own = serde_json::json!({
                "id": format!("j{turn}"), "engine": "vllm", "model_id": models[turn], "prompt_tokens": 1000 + turn,
                "expected_tokens": 1, "session_id": "s", "kv_hint": hint
            });
            format!("{}\n", serde_json::json!({"event": "submit", "at_ms": turn * 60_000, "job": own}))
        };
        desk.write("trace.jsonl", [0, 1].map(line).concat());
        let asked = ["simulate", "--fleet", "fleet.json", "--trace", "trace.jsonl", "--compare", "ours,llm-d"];
        let found: Vec<_> =
            runs(&desk.run(asked).expect(0)).into_iter().map(|mut cells| cells.remove(cells.len() - 3)).collect();
        assert_eq!(found[0], found[1]);
        found[0].clone()
    };
    // 1000 tokens of the second prompt, of 2001 in both.
    assert_eq!(hits(["m", "m"], "reuse"), "49.9");
    assert_eq!(hits(["m", "n"], "reuse"), "0.0");
    assert_eq!(hits(["m", "m"], "cold"), "0.0");
}

/// Until when requests wait in vain says nothing of how busy slots were: the same work is the same share.
#[test]
fn slots_in_use_are_those_of_the_time_of_work() {
    let desk = Desk::new();
    desk.write("faults.jsonl", "{\"at_ms\": 9000, \"pool\": \"a\", \"fault\": \"vanish\"}\n");
    let trace: String = (0..100).map(|request| format!("{},10,2\n", request * 100)).collect();
    let more = ["--compare", "ours,least-loaded", "--faults", "faults.jsonl"];
    let ran = over(&desk, &[&pool("a").to_string()], &trace, &more).expect(0);
    let cells = runs(&ran);
    let busy = |cells: &Vec<String>| cells[cells.len() - 2].clone();
    assert_eq!((&cells[0][2], busy(&cells[0])), (&cells[1][2], busy(&cells[1])), "{}", ran.out);
}

/// No policy sends to a pool that is not ready, has no slots or no KV cache, as long as another has them all.
#[test]
fn pools_that_cannot_serve_are_left_alone() {
    let desk = Desk::new();
    let unready = with(&pool("b"), "ready", "false");
    let slotless = with(&pool("c"), "slots_total", "0").replace("\"slots_free\":8", "\"slots_free\":0");
    let no_cache = with(&pool("d"), "vram_free_bytes", "0");
    let trace: String = (0..50).map(|request| format!("{},10,2\n", request * 100)).collect();
    let all = "ours,least-loaded,round-robin,random,power-of-two,dynamo,smg,llm-d";
    let ran =
        over(&desk, &[&pool("a").to_string(), &unready, &slotless, &no_cache], &trace, &["--compare", all]).expect(0);
    for cells in runs(&ran) {
        assert_eq!(cells[2], "50/50", "{}", ran.out);
    }
    let ran = over(&desk, &[&unready], &trace, &["--compare", "least-loaded"]).expect(0).says("50 no_pool_is_there");
    assert_eq!(runs(&ran)[0][2], "0/50");
}

/// Whoever sends a request to a pool whose KV cache is too small for it would be served for nothing.
#[test]
fn no_policy_sends_what_a_cache_cannot_hold() {
    let desk = Desk::new();
    // 4,096 tokens of 128 KiB, with 256 tokens of answer: one prompt fits, one goes to the larger pool, one to none.
    let of = |id: &str, bytes: u64| with(&pool(id), "vram_free_bytes", &bytes.to_string());
    let (small, large) = (of("small", 4096 << 17), of("large", 8192 << 17));
    let trace = "0,3840,10\n60000,3841,10\n120000,7937,10\n";
    let all = "ours,least-loaded,round-robin,random,power-of-two,dynamo,smg,llm-d";
    let ran = over(&desk, &[&small, &large], trace, &["--compare", all]).expect(0);
    assert!(runs(&ran).iter().all(|cells| cells[2] == "2/3"), "{}", ran.out);
    let ran = over(&desk, &[&small], trace, &["--compare", all]).expect(0);
    assert!(runs(&ran).iter().all(|cells| cells[2] == "1/3"), "{}", ran.out);
}

/// JOB-1: an answer that may not be longer is not taken for longer, so that it fits.
#[test]
fn max_tokens_are_known_beforehand() {
    let desk = Desk::new();
    desk.write("fleet.json", fleet_of([with(&pool("a"), "supports", "{\"ctx_max\": 1024}")]));
    let mut own = job("j");
    own["prompt_tokens"] = 900.into();
    for (most, finished) in [(124, "1/1"), (125, "0/1")] {
        own["max_tokens"] = most.into();
        desk.write("trace.jsonl", format!("{own}\n"));
        let asked = ["simulate", "--fleet", "fleet.json", "--trace", "trace.jsonl", "--compare", "ours,dynamo"];
        let ran = desk.run(asked).expect(0);
        assert!(runs(&ran).iter().all(|cells| cells[2] == finished), "{}", ran.out);
    }
}

/// A schedule that never ends its first line is none.
#[cfg(unix)]
#[test]
fn an_endless_schedule_is_refused() {
    let desk = Desk::new();
    let ran = over(&desk, &[&pool("a").to_string()], "0,10,10\n", &["--faults", "/dev/zero"]).expect(2);
    ran.says("/dev/zero: the first line is too long");
}

/// What was long in the making is shown also where its report cannot be written.
#[cfg(target_os = "linux")]
#[test]
fn a_report_that_fails_costs_no_table() {
    let desk = Desk::new();
    let ran = over(&desk, &[&pool("a").to_string()], "0,10,10\n", &["--report", "/dev/full"]).expect(2);
    assert_eq!(runs(&ran).len(), 3);
    ran.says("--report: /dev/full: cannot be written");
}
