//! What the device finds is what the core finds. DET-1.

use crate::run::{BY_DEVICE, BY_ORACLE, Ran, Run};

const MODES: [&str; 2] = ["sequential", "independent"];

/// Places a file in both modes; the sequential digest is the one of every backend and machine.
fn assert_same_bytes(jobs: &str, digest: &str) {
    for mode in MODES {
        let scalar = Run::place("scalar", jobs, mode).ran().expect(0);
        let cuda = Run::place("cuda", jobs, mode).arg("--cross-check=full").ran().expect(0);
        let cuda = cuda.says(BY_DEVICE).never_says("divergence").never_says("failure");
        assert_eq!(cuda.out, scalar.out, "{jobs} {mode}");
        assert!(cuda.number("launches") > 0 && cuda.number("contexts") == 0, "{:?}", cuda.driver);
        if mode == "sequential" {
            cuda.says(&format!("decision digest: {digest}"));
        }
    }
}

#[test]
fn a_trace_of_equal_jobs_has_its_digest() {
    assert_same_bytes("examples/jobs.jsonl", "407294eac1cdc950");
}

#[test]
fn jobs_with_hints_splits_and_sessions_have_their_digest() {
    assert_same_bytes("examples/mixed-jobs.jsonl", "efd25c8dcb5c6187");
}

/// Views that lie on the device are lost when room for more is made, and the classes of earlier batches come again.
#[test]
fn more_classes_than_in_the_batch_before() {
    let read = |path: &str| std::fs::read_to_string(path).expect("a file of the repository");
    let (trace, mixed) = (read("examples/jobs.jsonl"), read("examples/mixed-jobs.jsonl"));
    let lines: Vec<_> = trace.lines().take(15).chain(mixed.lines()).chain(trace.lines().skip(15).take(9)).collect();
    let place = |backend: &str| {
        let args = ["place", "--fleet", "examples/fleet.json", "--backend", backend, "--cross-check", "full", "--jobs"];
        let run = Run::of(&args);
        let jobs = run.file("jobs.jsonl", &lines.join("\n"));
        run.arg(jobs).ran().expect(0).says(&format!("backend {backend}: ")).never_says(BY_ORACLE).out
    };
    assert_eq!(place("cuda"), place("scalar"));
}

/// Views of classes that a batch does without stay on the device: later they are brought up to date, not made anew.
#[test]
fn views_stay_between_batches_of_other_classes() {
    let classes = 40;
    let job = |number: usize| {
        // Weights make a class.
        let requirements = serde_json::json!({ "min_vram_bytes": 1 + number % classes });
        let id = format!("job-{number}");
        serde_json::json!({ "id": id, "engine": "vllm", "model_id": "some/model", "requirements": requirements })
    };
    let pool = |number: usize| {
        serde_json::json!({
            "id": format!("pool-{number}"), "engine": "vllm", "slots_total": 999, "slots_free": 999,
            "vram_total_bytes": 1u64 << 36, "vram_free_bytes": 1u64 << 36,
        })
    };
    // Enough pools that a batch's commits change few of them.
    let fleet = serde_json::json!({ "version": 1, "pools": (0..200).map(pool).collect::<Vec<_>>() });
    let lines: Vec<_> = (0..4 * classes).map(|number| job(number).to_string()).collect();
    let run = Run::of(&["place", "--backend", "cuda"]);
    let (fleet, jobs) = (run.file("fleet.json", &fleet.to_string()), run.file("jobs.jsonl", &lines.join("\n")));
    let ran = run.arg("--fleet").arg(fleet).arg("--jobs").arg(jobs).ran().expect(0).says(BY_DEVICE);
    let at_open = Run::of(&["backends"]).ran().expect(0).number("launches_of_patch_views");
    // Every class comes four times, and is new the first time.
    let refreshed = ran.number("launches_of_patch_views") - at_open;
    assert!(refreshed >= 2 * classes as u64, "{refreshed} views were brought up to date");
}

/// Every backend answers the same in adversarial worlds: fresh, after commits and releases, under another policy.
fn assert_verified(args: &[&str], memory: Option<u64>) {
    let run = Run::of(&[&["verify", "--backends", "scalar,simd,cuda"], args].concat()).case_out();
    let ran = if let Some(bytes) = memory { run.memory(bytes) } else { run }.ran().expect(0);
    let digests: Vec<_> = ran.out.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    assert_eq!(digests.iter().filter(|(backend, _)| backend.starts_with("cuda")).count(), 2, "{}", ran.out);
    assert!(digests.windows(2).all(|pair| pair[0].1 == pair[1].1), "{}", ran.out);
}

#[test]
fn worlds_of_one_block_agree() {
    assert_verified(&["--pools", "65", "--jobs", "3", "--cases", "6", "--seed", "7"], None);
}

#[test]
fn worlds_of_several_parts_agree() {
    assert_verified(&["--pools", "257", "--jobs", "3", "--cases", "2", "--seed", "3"], None);
}

/// With room for a few views, classes take turns; with room for few finds, parts are fewer. Two devices share it.
#[test]
fn a_short_memory_changes_nothing() {
    assert_verified(&["--pools", "1025", "--jobs", "8", "--cases", "1", "--seed", "11"], Some(800_000));
}

/// The first of the worlds whose digest is committed (`tests/verify.rs`): all 512 take the interpreter too long for every
/// run, and `tests/gpu/evidence.sh` asks a GPU for them.
#[test]
fn the_first_golden_worlds_agree() {
    assert_verified(&["--cases", "5"], None);
}

/// Every device answers its share, on threads of their own, and all of them are given back.
#[test]
fn several_devices_share_a_batch() {
    let run =
        || Run::of(&["verify", "--backends", "scalar,cuda", "--pools", "33", "--jobs", "5", "--cases", "1"]).case_out();
    let (one, three) = (run().ran().expect(0), run().devices(3).ran().expect(0));
    let digest_of = |ran: &Ran, name: &str| {
        let line = ran.out.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no {name}: {}", ran.out)).rsplit(' ').next().map(str::to_owned)
    };
    assert_eq!(digest_of(&three, "cuda (3 at once: stub"), digest_of(&three, "scalar"));
    assert_eq!(digest_of(&one, "scalar"), digest_of(&three, "scalar"));
    assert!(three.number("launches_of_report") == 4 && one.number("launches_of_report") == 2);
}

#[test]
fn bench_measures_the_device_too() {
    let args = ["bench", "--sizes", "65x10", "--at-least-ms", "1", "--format", "json", "--threads", "1"];
    let ran = Run::of(&args).ran().expect(0);
    let figures: serde_json::Value = serde_json::from_str(&ran.out).expect("one object");
    let backends = figures["backends"].as_array().expect("a list");
    let cuda = backends.last().expect("several");
    assert!(cuda["backend"].as_str().is_some_and(|name| name.starts_with("cuda (stub")), "{cuda}");
    assert_eq!(cuda["digest"], backends[0]["digest"]);
    let figure = |name: &str| cuda["transfers"][name].as_f64().unwrap_or_default();
    for name in ["upload_us", "upload_bytes", "download_us", "download_bytes", "first_call_us", "call_us", "kernel_us"]
    {
        assert!(figure(name) > 0.0, "{name}: {cuda}");
    }
    // Each part of the call once, and nothing twice.
    let parts = figure("kernel_us") + figure("host_us") + figure("upload_us") + figure("download_us");
    assert!((parts - figure("call_us")).abs() < 1.0, "{cuda}");
    assert!(ran.number("timings") > 0, "the device's clock was asked");
}
