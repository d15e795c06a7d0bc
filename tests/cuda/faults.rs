//! Whatever the driver or the device does, decisions stay right, the reason is said, and nothing is left behind.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use orchestrator_kernels::launch::{Ends, MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS, REPORT};

use crate::run::{BY_DEVICE, BY_ORACLE, Ran, Run};
use crate::stub;

const JOBS: &str = "examples/mixed-jobs.jsonl";
const DIGEST: &str = "decision digest: efd25c8dcb5c6187";

/// A device that cannot be opened: `backends` says why, `place` refuses to go on without the backend that was asked for.
fn assert_unavailable(fault: &str, reason: &str) {
    let listed = Run::of(&["backends"]).fault(fault).ran().expect(0);
    let line = listed.out.lines().find(|line| line.starts_with("cuda")).expect("a line for every backend");
    assert!(line.contains("not available") && line.contains(reason), "{line}");
    Run::place("cuda", JOBS, "sequential").fault(fault).ran().expect(2).says("--backend: cuda: ").says(reason);
    // What is not asked for is not missed.
    Run::place("auto", JOBS, "sequential").fault(fault).ran().expect(0).says(DIGEST).says("backend simd");
}

#[test]
fn without_a_device() {
    assert_unavailable("no_device", "no device: CUDA_ERROR_NO_DEVICE");
}

#[test]
fn a_driver_that_does_not_fit() {
    assert_unavailable("driver_mismatch", "the driver does not fit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH");
}

#[test]
fn a_driver_that_is_older_than_the_image() {
    assert_unavailable(
        "driver_version:9020",
        "the driver is too old: it is of CUDA 9.2, the kernels need 10.0 or newer",
    );
    Run::of(&["backends"]).fault("driver_version:10000").ran().expect(0).never_says("too old");
}

#[test]
fn a_driver_that_refuses_the_image() {
    assert_unavailable("bad_ptx", "the driver refuses the kernel image (built in): CUDA_ERROR_INVALID_PTX");
}

#[test]
fn an_image_without_a_kernel() {
    assert_unavailable("missing_function:merge_parts", "the kernel image (built in) has no kernel `merge_parts`");
}

#[test]
fn no_memory_to_begin_with() {
    assert_unavailable("out_of_memory_at:1", "out of memory making room for the contract: CUDA_ERROR_OUT_OF_MEMORY");
    assert_unavailable("out_of_memory_at:2", "out of memory making room for the pools: CUDA_ERROR_OUT_OF_MEMORY");
}

#[test]
fn a_device_that_answers_the_self_test_wrongly() {
    assert_unavailable("wrong_result_at:1", "is of another contract: it has [magic 0x6f726368, ");
    assert_unavailable("wrong_result_at:2", "self-test failed: ");
    assert_unavailable("launch_failure_at:2", "self-test failed: cuda: launch failed ");
    assert_unavailable("device_lost_at:2", "self-test failed: cuda: device lost ");
}

#[test]
fn no_driver_at_all() {
    // A machine with a driver of its own finds that one.
    if Path::new("/proc/driver/nvidia").exists() {
        return;
    }
    let nothing = tempfile::tempdir().expect("a folder can be made");
    let run = Run::place("cuda", JOBS, "sequential").library_path(nothing.path());
    run.ran().expect(2).says("--backend: cuda: no driver: libcuda cannot be opened");
}

#[test]
fn a_library_that_is_no_driver() {
    let wrong = tempfile::tempdir().expect("a folder can be made");
    let library = wrong.path().join("libcuda.so");
    // Any library that is surely there.
    let found = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6"];
    let Some(other) = found.iter().find(|path| Path::new(path).exists()) else { return };
    std::fs::copy(other, library).expect("a copy can be made");
    let run = Run::place("cuda", JOBS, "sequential").library_path(wrong.path());
    run.ran().expect(2).says("the driver is too old or broken: it has no function cuInit");
}

/// What is trusted was tried: the self-test takes every kernel.
#[test]
fn the_self_test_launches_every_kernel() {
    let ran = Run::of(&["backends"]).ran().expect(0);
    for ends in Ends::ALL {
        assert!(ran.number(&format!("launches_of_{}", ends.scan_jobs())) > 0);
        assert!(ran.number(&format!("launches_of_{}", ends.scan_pools())) > 0);
    }
    for kernel in [REPORT, MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS] {
        assert!(ran.number(&format!("launches_of_{kernel}")) > 0, "{kernel}");
    }
}

/// How often a count of the driver stands when a device has been opened and tested.
fn count_at_open(name: &str) -> u64 {
    Run::of(&["backends"]).ran().expect(0).number(name)
}

/// A fault in the middle of a run: the batch is decided again, and all that follow, by the core. The exit code tells a
/// device that answers wrongly from one that does not answer.
fn assert_falls_back(fault: &str, reason: &str, code: i32) {
    let scalar = Run::place("scalar", JOBS, "sequential").ran().expect(0);
    let run = Run::place("cuda", JOBS, "sequential").arg("--cross-check=full").fault(fault);
    let ran = run.ran().expect(code).says(reason).says(BY_ORACLE).says(DIGEST);
    assert_eq!(ran.out, scalar.out, "{fault}");
    // The device was given back as a whole, not merely forgotten.
    assert_eq!(ran.number("contexts"), 0, "{fault}");
}

#[test]
fn memory_runs_out() {
    let first = count_at_open("allocations") + 1;
    let last = Run::place("cuda", JOBS, "sequential").ran().expect(0).number("allocations");
    assert!(first <= last);
    for at in first..=last {
        let reason = "backend: failure: cuda: out of memory making room for ";
        assert_falls_back(&format!("out_of_memory_at:{at}"), reason, 0);
    }
}

#[test]
fn a_launch_fails() {
    let first = count_at_open("launches") + 1;
    for at in [first, first + 2] {
        assert_falls_back(&format!("launch_failure_at:{at}"), "backend: failure: cuda: launch failed ", 0);
    }
}

#[test]
fn the_device_is_lost() {
    let first = count_at_open("launches") + 1;
    for at in [first, first + 3] {
        assert_falls_back(&format!("device_lost_at:{at}"), "backend: failure: cuda: device lost launching ", 0);
    }
}

/// CUDA_ERROR_CONTAINED, which drivers of CUDA 12.0 did not have: a status that nobody knew is an error like others.
#[test]
fn a_newer_status_than_old_drivers_have() {
    let first = count_at_open("launches") + 1;
    assert_falls_back(&format!("status_at:{first}:226"), "backend: failure: cuda: device lost ", 0);
}

/// Codes that no driver has yet, at the ends of tables that a program may have of them. A newer driver may have some.
const UNKNOWN_STATUSES: [u32; 5] = [228, 1000, 65_536, 1 << 31, u32::MAX];

#[test]
fn a_status_that_no_driver_has_yet() {
    let first = count_at_open("launches") + 1;
    for code in UNKNOWN_STATUSES {
        let reason = format!("backend: failure: cuda: failed copying from the device: unknown status {code}");
        assert_falls_back(&format!("status_at:{first}:{code}"), &reason, 0);
    }
}

#[test]
fn a_status_that_no_driver_has_yet_from_the_start() {
    for code in UNKNOWN_STATUSES {
        assert_unavailable(
            &format!("init_status:{code}"),
            &format!("failed opening the device: unknown status {code}"),
        );
        let reason = format!("failed copying from the device: unknown status {code}");
        assert_unavailable(&format!("status_at:1:{code}"), &reason);
    }
}

/// One fault of many, so that whoever gives things back meets a driver that works: nothing is freed while it is in use.
#[test]
fn an_event_cannot_be_recorded() {
    for at in 1..=3 {
        assert_unavailable(&format!("event_failure_at:{at}"), "CUDA_ERROR_UNKNOWN");
    }
}

/// As drivers before CUDA 11.2: memory is given and taken at once.
#[test]
fn a_driver_without_memory_pools() {
    let ran = Run::place("cuda", JOBS, "sequential").arg("--cross-check=full").fault("no_memory_pools").ran();
    ran.expect(0).says(BY_DEVICE).says(DIGEST);
}

#[test]
fn a_wrong_result_is_caught() {
    let first = count_at_open("downloads") + 1;
    assert_falls_back(
        &format!("wrong_result_at:{first}"),
        "backend: divergence: cuda: job 0 of the batches: got ranks ",
        1,
    );
}

/// `verify` over a device whose first answer is wrong, with nobody who reads its digests.
fn verify_a_wrong_device(folder: &Path, case_out: &Path) -> (Option<i32>, String) {
    let file = |name: &str, content: String| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("a file can be written");
        path
    };
    // Every pool can take the job: no answer is empty.
    let (fleet, job) = (file("fleet.json", fleet(20)), file("job.jsonl", jobs(1)));
    // Two devices are opened: one as it cuts by itself, one in the smallest pieces.
    let first = 2 * count_at_open("downloads") + 1;
    let mut child = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
        .args(["verify", "--backends", "cuda"])
        .args([Path::new("--fleet"), &fleet, Path::new("--jobs"), &job, Path::new("--case-out"), case_out])
        .env("LD_LIBRARY_PATH", stub::folder())
        .env("ORCHESTRATOR_STUB_FAULT", format!("wrong_result_at:{first}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be run");
    drop(child.stdout.take());
    let ran = child.wait_with_output().expect("it ends");
    (ran.status.code(), String::from_utf8(ran.stderr).expect("text"))
}

/// What was found is said and written, and the exit code tells it, whatever becomes of the digests.
#[test]
fn verify_finds_a_wrong_device_also_when_nobody_reads_its_output() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (code, said) = verify_a_wrong_device(folder.path(), &folder.path().join("case"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("DIFFERENT in world 0: cuda (stub"), "{said}");
    assert!(folder.path().join("case/fleet.json").is_file(), "{said}");
}

/// A device that fails is not asked again, so that no smaller case tells anything: the whole one is named and written.
#[test]
fn verify_names_the_case_on_which_the_device_failed() {
    // Two devices are opened.
    let first = 2 * count_at_open("launches") + 1;
    let args = ["verify", "--backends", "cuda", "--pools", "65", "--jobs", "3", "--cases", "2", "--seed", "7"];
    let folder = tempfile::tempdir().expect("a folder can be made");
    let run = Run::of(&args).fault(format!("device_lost_at:{first}")).arg("--case-out").arg(folder.path());
    let ran =
        run.ran().expect(1).says("DIFFERENT in world 0: cuda (stub").says(": cuda: device lost launching a scan: ");
    ran.says("case on which the device failed: 65 pools, 3 jobs").says("run it again: ");
    let fleet = std::fs::read_to_string(folder.path().join("fleet.json")).expect("the case is written");
    let fleet: serde_json::Value = serde_json::from_str(&fleet).expect("an object");
    assert_eq!(fleet["pools"].as_array().map(Vec::len), Some(65));
}

/// A case that cannot be written is a difference all the same.
#[test]
fn verify_finds_a_wrong_device_also_when_the_case_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").expect("a file can be written");
    let (code, said) = verify_a_wrong_device(folder.path(), &file);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("DIFFERENT in world 0") && said.contains("the case is not written: "), "{said}");
}

/// Too little memory from the start for one view of the fleet.
#[test]
fn a_fleet_that_does_not_fit() {
    let run = Run::of(&["place", "--backend", "cuda", "--fleet"]);
    let fleet = run.file("fleet.json", &fleet(30_000));
    let run = run.memory(1 << 20).arg(fleet).arg("--jobs").arg(JOBS);
    run.ran().expect(0).says("backend: failure: cuda: out of memory making room for the pools: ").says(BY_ORACLE);
}

/// With room for half of the groups, each half goes in twice as many parts, for which there is less room still: whatever
/// is launched then, there was room for it. The launch fails, because the interpreter would take hours for it.
#[test]
fn room_for_fewer_jobs_than_wanted() {
    let first = count_at_open("launches") + 1;
    for memory in [1_600_000, 1_900_000, 2_200_000] {
        let run = Run::of(&["place", "--backend", "cuda", "--mode", "independent", "--fleet"]).memory(memory);
        let fleet = run.file("fleet.json", &fleet(8_192));
        let jobs = run.file("jobs.jsonl", &jobs(4_096));
        let run = run.arg(fleet).arg("--jobs").arg(jobs).fault(format!("launch_failure_at:{first}"));
        run.ran().expect(0).says("backend: failure: cuda: launch failed ").says(BY_ORACLE);
    }
}

/// A batch that is large enough for a device, without asking for one.
fn place_large_batch(fault: &str, code: i32) -> Ran {
    let run = Run::of(&["place", "--mode", "independent", "--cross-check", "full", "--fleet"]).fault(fault);
    let fleet = run.file("fleet.json", &fleet(4_096));
    // The device scans for those that may go somewhere: one, for which the interpreter has time.
    let nowhere = jobs(4_095)
        .replace("\"prompt_tokens\"", "\"placement\":{\"mode\":\"pin\",\"pin_pool_id\":\"nowhere\"},\"prompt_tokens\"");
    let jobs = run.file("jobs.jsonl", &(nowhere + &jobs(1).replace("job-1", "job-4096")));
    run.arg(fleet).arg("--jobs").arg(jobs).ran().expect(code).says("backend simd: ").never_says(BY_ORACLE)
}

/// The processor decides what a device does not, and the summary says why.
#[test]
fn auto_goes_on_without_a_device() {
    let none = place_large_batch("no_device", 0).says("; cuda: no device: CUDA_ERROR_NO_DEVICE");
    let first = count_at_open("launches") + 1;
    let lost = place_large_batch(&format!("device_lost_at:{first}"), 0);
    assert_eq!(none.out, lost.says("; cuda: device lost launching a scan: ").out);
}

/// Only the device is distrusted.
#[test]
fn auto_goes_on_without_a_device_that_answers_wrongly() {
    let first = count_at_open("downloads") + 1;
    let wrong = place_large_batch(&format!("wrong_result_at:{first}"), 1);
    let wrong = wrong.says("backend: divergence: cuda: job ").says("; the simd backend decides from here on");
    assert_eq!(wrong.out, place_large_batch("no_device", 0).out);
}

fn fleet(pools: usize) -> String {
    let pool = |number: usize| {
        serde_json::json!({
            "id": format!("pool-{number:06}"), "engine": "vllm", "slots_total": 8,
            // The best is of rank 2, and a bit from it is no other of the best.
            "slots_free": if number == 2 { 8 } else { 7 },
            "vram_total_bytes": 1u64 << 36, "vram_free_bytes": 1u64 << 36,
        })
    };
    serde_json::json!({ "version": 1, "pools": (0..pools).map(pool).collect::<Vec<_>>() }).to_string()
}

/// No two alike: equal ones would be decided once.
fn jobs(count: usize) -> String {
    let mut lines = String::new();
    for number in 1..=count {
        let job = serde_json::json!({
            "id": format!("job-{number}"), "engine": "vllm", "model_id": "some/model", "prompt_tokens": number,
        });
        writeln!(lines, "{job}").expect("a text grows");
    }
    lines
}
