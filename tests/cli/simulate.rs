//! `simulate`: runs that repeat, schedules of faults, recordings that replay, and input that makes no sense.

use super::support::{Desk, Ran, repository};

const JOBS: &str = "examples/jobs.jsonl";

/// Runs the command over the examples.
fn simulate(desk: &Desk, more: &[&str]) -> Ran {
    let (fleet, trace) = (repository("examples/fleet.json"), repository(JOBS));
    let mut args = vec!["simulate".into(), "--fleet".into(), fleet, "--trace".into(), trace];
    args.extend(more.iter().map(Into::into));
    desk.run(args)
}

/// The cells of each run's line.
fn runs(ran: &Ran) -> Vec<Vec<String>> {
    ran.out.lines().skip(1).map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
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
