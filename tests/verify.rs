//! `orchestrator_host::verify`: it finds what is wrong with a backend, and makes the case small.
//!
//! Each planted backend is the core's own function with one mistake that vector code makes easily.

use std::collections::HashSet;
use std::process::Command;
use std::time::Instant;

use orchestrator_core::rows::{JobQuery, PoolRow, PoolTable};
use orchestrator_core::rule::key::Key;
use orchestrator_core::{PlacementInput, Policy, Shortlist, keys_of};
use orchestrator_host::batch::{Backend, BackendError, BackendName, BackendOptions, World};
use orchestrator_host::fleet::FleetBuilder;
use orchestrator_host::verify::{Found, Plan, available_backends, read_case, run, write_case};

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The sixth of eight lanes is lost.
    LosesALane,
    /// Of equal keys the later pool is first.
    LaterRankFirst,
    /// VRAM equal to the need is too little.
    VramOffByOne,
    /// A pool in the last partial block of 64 is not counted.
    Miscounts,
    /// A changed pool keeps its old row.
    ForgetsChanges,
    /// It stops answering at the first session.
    Fails,
}

#[derive(Debug)]
struct Faulty {
    fault: Fault,
    rows: Option<Vec<PoolRow>>,
}

impl Faulty {
    fn keys(&self, table: PoolTable<'_>, job: JobQuery<'_>, world: &World<'_>) -> Vec<Key> {
        let input = PlacementInput::new(table, job, world.policy).expect("a world");
        keys_of(&input, 0..u32::try_from(table.rows.len()).unwrap()).collect()
    }

    fn list(&self, world: &World<'_>, job: JobQuery<'_>, depth: u8) -> Shortlist {
        let rows = self.rows.as_deref().filter(|_| self.fault == Fault::ForgetsChanges);
        let table = PoolTable { rows: rows.unwrap_or(world.table.rows), ..world.table };
        let mut keys = self.keys(table, job, world);
        let mut list = Shortlist::new(depth);
        match self.fault {
            Fault::LosesALane => keys.retain(|key| key.rank() % 8 != 5),
            Fault::VramOffByOne => {
                let less = |row: &PoolRow| PoolRow { vram_free_bytes: row.vram_free_bytes.saturating_sub(1), ..*row };
                let fewer: Vec<_> = table.rows.iter().map(less).collect();
                let fits = self.keys(PoolTable { rows: &fewer, ..table }, job, world);
                let fits: HashSet<_> = fits.iter().map(Key::rank).collect();
                keys.retain(|key| fits.contains(&key.rank()));
            }
            Fault::Miscounts if !keys.len().is_multiple_of(64) && keys.len() > 64 => list.count(u32::MAX),
            _ => {}
        }
        if self.fault == Fault::LaterRankFirst {
            keys.sort_by_key(|key| (key.words(), u32::MAX - key.rank()));
            keys.truncate(depth.into());
        }
        let count = if self.fault == Fault::LaterRankFirst { self.keys(table, job, world).len() } else { keys.len() };
        list.count(u32::try_from(count).unwrap());
        keys.into_iter().for_each(|key| list.offer(key));
        list
    }
}

impl Backend for Faulty {
    fn name(&self) -> BackendName {
        BackendName::Simd
    }

    fn description(&self) -> String {
        format!("{:?}", self.fault)
    }

    fn snapshot_changed(&mut self) {
        self.rows = None;
    }

    fn pool_changed(&mut self, _rank: u32) {}

    fn shortlists(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        if self.fault == Fault::Fails && jobs.iter().any(|job| job.session.is_some()) {
            return Err(BackendError::Failed { backend: self.name(), why: "planted".to_owned() });
        }
        self.rows.get_or_insert_with(|| world.table.rows.to_vec());
        for (job, list) in jobs.iter().zip(lists) {
            *list = self.list(world, *job, list.depth());
        }
        Ok(())
    }
}

fn backends_with(fault: Fault) -> Vec<Box<dyn Backend>> {
    let mut backends = available_backends(&BackendOptions::default()).expect("threads for a test");
    backends.push(Box::new(Faulty { fault, rows: None }));
    backends
}

/// The fault is found, is the planted backend's, and shows again in the case's files, which are small.
fn assert_caught(fault: Fault, pools_max: usize) {
    let mut backends = backends_with(fault);
    let report = run(&mut backends, Plan::default().cases(), |_| ()).expect("worlds");
    let Found { case, difference, world } = report.found.unwrap_or_else(|| panic!("{fault:?} was not found"));
    println!("{fault:?}: world {world}, {} pools, {} jobs: {difference}", case.pools.len(), case.jobs.len());
    assert_eq!(difference.backend_index, backends.len() - 1);
    assert!(case.pools.len() <= pools_max && case.jobs.len() <= 2, "{fault:?}: {case:?}");

    let folder = tempfile::tempdir().expect("a folder");
    write_case(&case, folder.path()).expect("files");
    let file = |name| folder.path().join(name);
    let read = read_case(&file("fleet.json"), &file("jobs.jsonl"), Some(&file("policy.toml"))).expect("the same files");
    assert_eq!((&read.pools, &read.jobs), (&case.pools, &case.jobs));
    let again = run(&mut backends, [read], |_| ()).expect("a world").found.expect("the files show it too");
    assert_eq!(again.difference, difference);
}

#[test]
fn a_lost_lane_is_found() {
    assert_caught(Fault::LosesALane, 6);
}

#[test]
fn a_tie_broken_by_the_later_rank_is_found() {
    assert_caught(Fault::LaterRankFirst, 2);
}

#[test]
fn a_byte_too_much_asked_is_found() {
    assert_caught(Fault::VramOffByOne, 1);
}

#[test]
fn a_wrong_count_is_found() {
    assert_caught(Fault::Miscounts, 65);
}

#[test]
fn a_forgotten_change_is_found() {
    assert_caught(Fault::ForgetsChanges, 1);
}

#[test]
fn a_backend_that_fails_is_found() {
    assert_caught(Fault::Fails, 1);
}

/// The wrapper itself is right: what is found above is the fault.
#[test]
fn a_backend_without_a_fault_passes_and_has_the_same_digest() {
    let mut backends = backends_with(Fault::None);
    let report = run(&mut backends, Plan { cases: 64, ..Plan::default() }.cases(), |_| ()).expect("worlds");
    assert!(report.found.is_none(), "{:?}", report.found);
    assert!(report.digests.windows(2).all(|pair| pair[0].1 == pair[1].1), "{:?}", report.digests);
}

/// What the worlds of the first seed give: on every machine, with every backend, until the rules change.
const GOLDEN_DIGEST: u64 = 0x3a79_f5c1_e5c1_66c2;

/// DET-1.
#[test]
fn golden_worlds_keep_their_digest() {
    let mut backends = available_backends(&BackendOptions::threads(1)).expect("threads for a test");
    let report = run(&mut backends, Plan::default().cases(), |_| ()).expect("worlds");
    assert!(report.found.is_none(), "{:?}", report.found);
    for (backend, digest) in report.digests {
        assert_eq!(digest, GOLDEN_DIGEST, "{backend}: {digest:016x}");
    }
}

/// DET-1: all backends of this build, on as many pairs as an ordinary run has time for.
#[test]
fn ten_million_pairs_agree() {
    let start = Instant::now();
    let mut backends = available_backends(&BackendOptions::default()).expect("threads for a test");
    let (mut worlds, mut pairs, mut seed) = (0, 0, 1_000);
    while pairs < 10_000_000 {
        let report = run(&mut backends, Plan { seed, ..Plan::default() }.cases(), |_| ()).expect("worlds");
        assert!(report.found.is_none(), "seed {seed}: {:?}", report.found);
        (worlds, pairs, seed) = (worlds + report.worlds, pairs + report.pairs, seed + 1);
    }
    say(&format!("{pairs} pairs in {worlds} worlds over {} backends, {:?}", backends.len(), start.elapsed()));
}

/// The command: the same seed gives the same line; what makes no sense is refused.
#[test]
fn the_command_repeats_itself_and_refuses_what_makes_no_sense() {
    let ran = |args: &[&str]| {
        let run = Command::new(env!("CARGO_BIN_EXE_orchestrator")).arg("verify").args(args).output().expect("it runs");
        (run.status.code(), String::from_utf8(run.stdout).expect("text"))
    };
    let small = ["--pools", "65", "--jobs", "4", "--cases", "12", "--seed", "7"];
    assert_eq!(ran(&small), ran(&small));
    let (code, digests) = ran(&small);
    assert_eq!((code, digests.starts_with("scalar ")), (Some(0), true), "{digests}");
    for args in [
        &["--pools", "3", "--jobs", "jobs.jsonl"][..],
        &["--fleet", "fleet.json", "--jobs", "3"],
        &["--fleet", "fleet.json"],
        &["--pools", "3", "--fleet", "fleet.json", "--jobs", "jobs.jsonl"],
        &["--backends", "abacus"],
        &["--pools", "0"],
        &["--pools", "18446744073709551615"],
        &["--jobs", "99999999"],
        &["--cases", "0"],
        &["--fleet", "examples/fleet.json", "--jobs", "examples/jobs.jsonl", "--seed", "2"],
        &["--fleet", "examples/fleet.json", "--jobs", "/dev/null"],
        &["--policy", "p.toml"],
    ] {
        assert_eq!(ran(args).0, Some(2), "{args:?}");
    }
}

/// Rows that take no part are named: what was compared is less than the files hold.
#[test]
fn the_command_names_jobs_that_take_no_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let jobs = folder.path().join("jobs.jsonl");
    let good = r#"{"id":"j","engine":"vllm","model_id":"m"}"#;
    std::fs::write(&jobs, format!("{good}\n{{\"id\":\"k\"}}\nno JSON\n")).expect("a file");
    let run = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
        .args(["verify", "--backends", "scalar", "--fleet", "examples/fleet.json", "--jobs"])
        .arg(&jobs)
        .output()
        .expect("it runs");
    let said = String::from_utf8(run.stderr).expect("text");
    assert_eq!(run.status.code(), Some(0), "{said}");
    for line in ["jobs.jsonl:2: refused: ", "jobs.jsonl:3: refused: "] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("jobs.jsonl:1: "), "{said}");
}

/// What cannot be answered is refused by every backend alike.
#[test]
fn lists_that_do_not_match_the_jobs_are_an_error() {
    let (fleet, policy) = (FleetBuilder::default().finish().fleet, Policy::default());
    let world = World { table: fleet.table(), policy: &policy };
    for mut backend in available_backends(&BackendOptions::default()).expect("threads for a test") {
        let refused = backend.shortlists(&world, &[], &mut [Shortlist::new(2)]).expect_err("a list too many");
        assert!(refused.to_string().contains("1 lists for 0 jobs"), "{refused}");
    }
}

/// A count that shows in every run: the test harness keeps what `println!` says of a test that passes.
fn say(line: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "verify: {line}").expect("standard error is open");
}
