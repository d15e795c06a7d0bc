//! Many jobs at once equal the same jobs one by one: both modes, any cut into chunks, any fault of a backend.
//!
//! The worlds are those of `tests/differential`, put together: more pools than a list holds, more jobs than a chunk, and
//! few slots, so that pools fill up. `ORCHESTRATOR_RANDOM_WORLDS` asks for more of them.

// What only `tests/differential` asks of its modules.
#[allow(dead_code)]
#[path = "differential/engine.rs"]
mod engine;
#[allow(dead_code)]
#[path = "differential/reference.rs"]
mod reference;
#[allow(dead_code)]
#[path = "differential/strategies.rs"]
mod strategies;
#[allow(dead_code)]
#[path = "differential/worlds.rs"]
mod worlds;
#[path = "differential/xxh64.rs"]
mod xxh64;

use orchestrator_core::rows::JobQuery;
use orchestrator_core::{PlacementDecision, PlacementInput, Policy, Shortlist, decide};
use orchestrator_host::batch::{
    Backend, BackendError, BackendName, CrossCheck, Guarded, Headlines, Incident, Scalar, World as Snapshot,
};
use orchestrator_host::fleet::Fleet;
use orchestrator_host::place::{BatchPlacer, Mode, Placed, Placer, Wanted};

use crate::reference::RefJob;

/// Random worlds of an ordinary run.
const WORLDS: u64 = 400;

fn worlds() -> u64 {
    std::env::var("ORCHESTRATOR_RANDOM_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(WORLDS)
}

/// A fleet, jobs and a policy out of several worlds: some dozens of each.
struct Large {
    fleet: Fleet,
    jobs: Vec<RefJob>,
    policy: Policy,
}

/// Pools of `fleets` worlds and jobs of `streams` worlds.
fn large(seed: u64, fleets: u64, streams: u64) -> Large {
    let parts = |count: u64| (0..count).map(move |part| (part, strategies::random_world(seed * 1_000 + part)));
    let mut pools = Vec::new();
    for (part, world) in parts(fleets) {
        pools.extend(world.pools.into_iter().map(|mut pool| {
            pool.replica_id = format!("{part}{}", pool.replica_id);
            pool
        }));
    }
    let jobs = parts(streams).flat_map(|(_, world)| world.jobs).collect();
    let policy = engine::policy(&strategies::random_world(seed * 1_000).policy);
    Large { fleet: engine::fleet(&pools), jobs, policy }
}

fn one_by_one(world: &Large, mode: Mode, wanted: Wanted) -> (Vec<Placed>, Fleet) {
    let mut placer = Placer::new(world.fleet.clone(), world.policy.clone(), mode);
    let place = |job| engine::with_job(job, |spec| placer.place(spec, None, wanted)).expect("a valid job");
    let placed = world.jobs.iter().map(place).collect();
    (placed, placer.fleet().clone())
}

/// In chunks of these lengths, over and over.
fn in_chunks(world: &Large, placer: &mut BatchPlacer, lengths: &[usize], wanted: Wanted) -> Vec<Placed> {
    let (mut all, mut placed, mut jobs) = (Vec::new(), Vec::new(), world.jobs.iter().peekable());
    for &length in lengths.iter().cycle() {
        for job in jobs.by_ref().take(length) {
            engine::with_job(job, |spec| placer.add(spec, None)).expect("a valid job");
        }
        placer.place(wanted, &mut placed);
        assert_eq!(placer.waiting(), 0);
        all.append(&mut placed);
        if jobs.peek().is_none() {
            break;
        }
    }
    all
}

fn placer(world: &Large, mode: Mode, backend: Guarded) -> BatchPlacer {
    BatchPlacer::new(world.fleet.clone(), world.policy.clone(), mode, backend)
}

fn scalar() -> Guarded {
    Guarded::new(Box::new(Scalar), CrossCheck::Off)
}

#[track_caller]
fn assert_equal(seed: u64, got: &[Placed], expected: &[Placed]) {
    assert_eq!(got.len(), expected.len(), "seed {seed}");
    for (job, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got, expected, "seed {seed}, job {job}");
    }
}

fn assert_modes_agree(seed: u64, world: &Large, wanted: Wanted) {
    for mode in Mode::ALL {
        let (expected, fleet) = one_by_one(world, mode, wanted);
        for lengths in [&[usize::MAX][..], &[1], &[15], &[16, 1, 7]] {
            let mut placer = placer(world, mode, scalar());
            assert_equal(seed, &in_chunks(world, &mut placer, lengths, wanted), &expected);
            assert_eq!(placer.fleet().table().rows, fleet.table().rows, "seed {seed}");
            assert_eq!(placer.fleet().table().residents.len(), fleet.table().residents.len(), "seed {seed}");
        }
    }
}

// MODE-1, MODE-2
#[test]
fn chunks_equal_one_by_one() {
    for seed in 0..worlds() {
        assert_modes_agree(seed, &large(seed, 5, 12), Wanted::default());
    }
}

// MODE-1: few pools fill up, and most lists are shorter than 16.
#[test]
fn small_fleets_fill_up() {
    for seed in 0..worlds() {
        assert_modes_agree(seed, &large(seed, 1, 12), Wanted::default());
    }
}

// An explanation is of the state that was decided on.
#[test]
fn explanations_and_the_best_pools_too() {
    for seed in 0..worlds() / 4 {
        assert_modes_agree(seed, &large(seed, 3, 6), Wanted { explanation: true, best: 3 });
    }
}

/// Counts what it is asked for.
#[derive(Debug, Default)]
struct Counting(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Backend for Counting {
    fn name(&self) -> BackendName {
        BackendName::Simd
    }

    fn description(&self) -> String {
        "counts".to_owned()
    }

    fn snapshot_changed(&mut self) {}

    fn pool_changed(&mut self, _rank: u32) {}

    fn shortlists(
        &mut self,
        world: &Snapshot<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        self.0.fetch_add(jobs.len(), std::sync::atomic::Ordering::Relaxed);
        Scalar.shortlists(world, jobs, lists)
    }
}

// MODE-2: jobs that ask the same are decided once, jobs that differ in anything are not.
#[test]
fn equal_jobs_are_decided_once() {
    let mut world = large(1, 5, 12);
    world.policy = Policy::default();
    let distinct = world.jobs.len();
    world.jobs = world.jobs.iter().cycle().take(distinct * 4).cloned().collect();
    let counting = Counting::default();
    let count = counting.0.clone();
    let backend = Guarded::new(Box::new(counting), CrossCheck::Off);
    let mut placer = placer(&world, Mode::Independent, backend);
    let got = in_chunks(&world, &mut placer, &[usize::MAX], Wanted::default());
    assert_equal(1, &got, &one_by_one(&world, Mode::Independent, Wanted::default()).0);
    let asked = count.load(std::sync::atomic::Ordering::Relaxed);
    assert!((distinct / 4..=distinct).contains(&asked), "{asked} of {distinct}");
}

/// The oracle until its `at`th job; from there on it has a fault.
#[derive(Debug)]
struct Faulty {
    at: u64,
    fails: bool,
    jobs: u64,
}

impl Backend for Faulty {
    fn name(&self) -> BackendName {
        BackendName::Simd
    }

    fn description(&self) -> String {
        "faulty".to_owned()
    }

    fn snapshot_changed(&mut self) {}

    fn pool_changed(&mut self, _rank: u32) {}

    fn shortlists(
        &mut self,
        world: &Snapshot<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        Scalar.shortlists(world, jobs, lists)?;
        for list in lists.iter_mut() {
            if self.jobs >= self.at {
                if self.fails {
                    return Err(BackendError::Failed { backend: self.name(), why: "planted".to_owned() });
                }
                // The winner is lost.
                let mut wrong = Shortlist::new(list.depth());
                wrong.count(list.feasible());
                list.keys().iter().skip(1).for_each(|key| wrong.offer(*key));
                *list = wrong;
            }
            self.jobs += 1;
        }
        Ok(())
    }
}

// DET-1: what a backend gets wrong reaches no decision.
#[test]
fn faults_reach_no_decision() {
    let mut found = 0;
    for seed in 0..worlds() / 4 {
        let world = large(seed, 5, 12);
        for mode in Mode::ALL {
            let (expected, _) = one_by_one(&world, mode, Wanted::default());
            for (fails, check) in [(false, CrossCheck::Full), (true, CrossCheck::Off)] {
                let faulty = Faulty { at: seed % 20, fails, jobs: 0 };
                let mut placer = placer(&world, mode, Guarded::new(Box::new(faulty), check));
                let got = in_chunks(&world, &mut placer, &[33], Wanted::default());
                assert_equal(seed, &got, &expected);
                let incident = placer.backend_mut().take_incident();
                assert_eq!(incident.is_some(), placer.backend().is_quarantined());
                assert_eq!(placer.backend_mut().take_incident(), None, "said once");
                found += u64::from(matches!(incident, Some(Incident::Diverged(_))));
            }
        }
    }
    assert!(found > worlds() / 8, "{found}");
}

// NOCAP-1: the headline from counts is that of the scan, after any commits.
#[test]
fn headlines_equal_those_of_the_scan() {
    let mut told = 0;
    for seed in 0..worlds() {
        let world = large(seed, 1 + seed % 5, 12);
        let mut fleet = world.fleet.clone();
        fleet.prepare_for(&world.policy);
        let mut headlines = Headlines::default();
        for job in &world.jobs {
            let resolved =
                engine::with_job(job, |spec| spec.validate(&world.policy, None).expect("a valid job").resolve(&fleet));
            let query = resolved.query(None);
            let table = fleet.table();
            match decide(&PlacementInput::new(table, query, &world.policy).expect("prepared")) {
                PlacementDecision::Assigned(assignment) => {
                    let mut row = *resolved.row();
                    row.model = fleet.intern_model(&job.model_id);
                    fleet.commit(&row, assignment.rank).expect("just decided");
                    headlines.pool_changed(&fleet.table(), assignment.rank, &world.policy);
                }
                PlacementDecision::NoCapacity { headline, .. } => {
                    let from_counts = headlines.of(&table, &query, &world.policy);
                    assert!(from_counts.is_none_or(|counted| counted == headline), "{from_counts:?} {headline:?}");
                    told += u64::from(from_counts.is_some());
                }
            }
        }
    }
    assert!(told > worlds(), "{told}");
}
