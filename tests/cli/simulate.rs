//! `simulate`: runs that repeat, schedules of faults, recordings that replay, and input that makes no sense.

use super::support::{Desk, Ran, fleet_of, pool, repository};

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
        (&["--faults", "faults.jsonl"][..], "line 1: no pool is named \"nobody\""),
        (&["--faults", "bad.jsonl"], "line 1: unknown variant `burn`"),
        (&["--faults", "absent.jsonl"], "absent.jsonl"),
        (&["--compare", "ours,best"], "best"),
        (&["--load", "0"], "a load is a factor"),
        (&["--slo", "ttft_ms=soon"], "ttft_ms=soon"),
        (&["--record", "run.rec", "--compare", "random"], "--record: one run of `ours` is recorded"),
        (&["--record", "run.rec", "--load", "1,2"], "--record: one run of `ours` is recorded"),
    ] {
        simulate(&desk, more).expect(2).says(said);
    }
    let trace = repository(JOBS);
    let of = |fleet: &str| desk.run(["simulate", "--fleet", fleet, "--trace", trace.to_str().unwrap()]);
    of("empty.json").expect(2).says("the fleet has no pools");
    of("absent.json").expect(2).says("absent.json");
}
