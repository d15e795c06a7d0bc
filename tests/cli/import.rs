//! `import`: the committed examples byte for byte, and errors that exit with 2.

use super::support::{Desk, Ran, repository, repository_text, run_in};

const FLEET: [&str; 10] = [
    "import",
    "fleet",
    "--nodes",
    "nodes.csv",
    "--specs",
    "specs.csv",
    "--profiles",
    "profiles.csv",
    "--deployment",
    "deployment.toml",
];
const JOBS: [&str; 6] = ["import", "jobs", "--trace", "azure2023_conv_1000.csv", "--deployment", "deployment.toml"];

fn import<'a>(args: impl IntoIterator<Item = &'a str>) -> Ran {
    run_in(&repository("examples"), args)
}

#[test]
fn the_examples_are_what_the_importer_makes() {
    let desk = Desk::new();
    let (fleet, sources) = (desk.path("fleet.json"), desk.path("sources.csv"));
    let files = ["-o", fleet.to_str().unwrap(), "--provenance", sources.to_str().unwrap()];
    let filed = import(FLEET.into_iter().chain(files)).expect(0).says("wrote 41 pools of 20 nodes");
    assert_eq!(filed.out, "");
    assert!(desk.read("fleet.json") == repository_text("examples/fleet.json"));
    assert!(desk.read("sources.csv") == repository_text("examples/fleet.sources.csv"));
    assert!(import(FLEET).expect(0).out == repository_text("examples/fleet.json"));

    let jobs = desk.path("jobs.jsonl");
    let filed = import(JOBS.into_iter().chain(["-o", jobs.to_str().unwrap()])).expect(0).says("wrote 1000 jobs");
    filed.says("  [jobs] engine = \"vllm\"\n  [jobs] model = ");
    assert!(desk.read("jobs.jsonl") == repository_text("examples/jobs.jsonl"));
    assert!(import(JOBS).expect(0).out == repository_text("examples/jobs.jsonl"));
}

// The example's events are its jobs, each with the time of its row.
#[test]
fn events_are_the_example_jobs() {
    let args = JOBS.map(|arg| if arg == "jobs" { "events" } else { arg });
    let ran = import(args).expect(0).says("wrote 1000 events");
    let jobs = repository_text("examples/jobs.jsonl");
    let trace = repository_text("examples/azure2023_conv_1000.csv");
    let times = trace.lines().skip(1).map(|row| row.split(',').next().unwrap());
    let expected: Vec<_> = jobs
        .lines()
        .zip(times)
        .map(|(job, at_ms)| format!("{{\"event\":\"submit\",\"at_ms\":{at_ms},\"job\":{job}}}"))
        .collect();
    assert!(ran.out.lines().eq(expected));
    import(["import", "events"]).expect(2).says("--trace");
}

/// The arguments with one of them replaced.
fn instead<const N: usize>(args: [&'static str; N], old: &str, new: &'static str) -> [&'static str; N] {
    args.map(|arg| if arg == old { new } else { arg })
}

#[test]
fn files_that_cannot_be_used_exit_with_2() {
    for file in ["nodes.csv", "specs.csv", "profiles.csv", "deployment.toml"] {
        for other in ["missing", ".", "mixed-jobs.jsonl"] {
            let ran = import(instead(FLEET, file, other)).expect(2);
            assert_eq!(ran.out, "", "{file} {other}");
        }
    }
    for file in ["azure2023_conv_1000.csv", "deployment.toml"] {
        for other in ["missing", ".", "nodes.csv"] {
            let ran = import(instead(JOBS, file, other)).expect(2);
            assert_eq!(ran.out, "", "{file} {other}");
        }
    }
    import(["import"]).expect(2);
    import(["import", "fleet"]).expect(2).says("--nodes");
    import(["import", "jobs"]).expect(2).says("--trace");
    import(["import", "jobs", "--trace", "azure2023_conv_1000.csv"]).expect(2).says("engine");
}

#[test]
fn an_import_that_fails_leaves_the_output_as_it_was() {
    let desk = Desk::new();
    desk.write("fleet.json", "as it was");
    desk.write("deployment.toml", "version = 1\n");
    let nodes = repository("examples/nodes.csv");
    let args =
        ["import", "fleet", "--nodes", nodes.to_str().unwrap(), "--deployment", "missing.toml", "-o", "fleet.json"];
    desk.run(args).expect(2).says("missing.toml");
    assert_eq!(desk.read("fleet.json"), "as it was");
}

#[test]
fn a_bad_row_of_a_trace_is_refused_alone() {
    let desk = Desk::new();
    let trace = "arrival_ms,input_tokens,output_tokens\n0,10,5\n1,-3,5\n2,many,5\n3,12,6\n";
    desk.write("trace.csv", trace);
    desk.write("deployment.toml", "version = 1\n[jobs]\nengine = \"vllm\"\nmodel = \"m\"\n");
    let ran = desk.run(["import", "jobs", "--trace", "trace.csv", "--deployment", "deployment.toml"]).expect(1);
    let ids: Vec<_> = ran.lines().iter().map(|line| line["expected_tokens"].clone()).collect();
    assert_eq!(ids, [5, 6]);
    ran.says("trace.csv:3: ").says("trace.csv:4: ").says("refused 2 rows");
}
