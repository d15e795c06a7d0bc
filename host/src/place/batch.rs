//! Many jobs at once: what [`Placer`] decides one by one, from the lists of a [`Backend`](crate::batch::Backend).
//!
//! ```text
//! add … add ─▶ place ─┬ independent: distinct jobs ─▶ lists of 2 ─▶ conclude each
//!                     └ sequential: 15 jobs ─▶ lists of 16 ─▶ each at its turn: winner, commit, touched pools
//! ```
//! In sequential mode the lists show the pools as they were before the 15 jobs. At its turn a job's winner is the least of
//! what may have changed, scored anew, and the first of its list that has not changed. At most 15 pools are set aside: those
//! that the 14 jobs before it went to, and the one that its session is on. So a list of 16 cannot run out.
//!
//! ```
//! use orchestrator_core::{JobSpec, Policy, PoolSnapshot};
//! use orchestrator_host::batch::{CrossCheck, Guarded, Scalar};
//! use orchestrator_host::fleet::FleetBuilder;
//! use orchestrator_host::place::{BatchPlacer, Mode, Wanted};
//!
//! let mut builder = FleetBuilder::default();
//! builder.add(1, &PoolSnapshot::new("only", "vllm", 1, 1, 1 << 36, 1 << 36).validate().unwrap()).unwrap();
//! let backend = Guarded::new(Box::new(Scalar), CrossCheck::Off);
//! let mut placer = BatchPlacer::new(builder.finish().fleet, Policy::default(), Mode::Sequential, backend);
//! for id in ["first", "second"] {
//!     placer.add(&JobSpec::new(id, "vllm", "some/model"), None).unwrap();
//! }
//! let mut placed = Vec::new();
//! placer.place(Wanted::default(), &mut placed);
//! assert_eq!(placed.iter().map(|placed| placed.decision.assignment().is_some()).collect::<Vec<_>>(), [true, false]);
//! ```
//!
//! Invariants: decisions equal those of a [`Placer`] over the same jobs (MODE-1, MODE-2), however the jobs are cut into
//! chunks; once its buffers have grown, a chunk's decisions allocate nothing in sequential mode.

use std::array;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use hashbrown::HashTable;
use orchestrator_core::rows::{JobQuery, SessionEntry};
use orchestrator_core::{
    FieldError, JobSpec, KvLayout, ModelDims, PlacementDecision, PlacementInput, Policy, ResolvedJob, Shortlist,
    conclude, decide, keys_of,
};

use super::{Mode, Placed, Placer, Wanted, answer};
use crate::batch::{Backend, Guarded, Headlines, World};
use crate::fleet::Fleet;

/// Jobs that are decided on one state of the pools in sequential mode.
const TURNS: usize = Shortlist::DEPTH_MAX - 1;

/// Keys of a list in independent mode: the winner and the runner-up.
const INDEPENDENT_DEPTH: u8 = 2;

/// A job that waits for its chunk to be placed.
#[derive(Debug)]
struct Waiting {
    resolved: ResolvedJob,
    /// Where its session's id is in the chunk's.
    session: Option<Range<usize>>,
}

/// The run of a [`Placer`], in chunks.
#[derive(Debug)]
pub struct BatchPlacer {
    run: Placer,
    backend: Guarded,
    headlines: Headlines,
    jobs: Vec<Waiting>,
    session_ids: String,
    lists: Vec<Shortlist>,
    distinct: Distinct,
    /// Pools that jobs of these turns went to.
    touched: Vec<u32>,
}

impl BatchPlacer {
    /// A run over `fleet` as it is now, decided by `backend`.
    #[must_use]
    pub fn new(fleet: Fleet, policy: Policy, mode: Mode, mut backend: Guarded) -> Self {
        backend.snapshot_changed();
        Self {
            run: Placer::new(fleet, policy, mode),
            backend,
            headlines: Headlines::default(),
            jobs: Vec::new(),
            session_ids: String::new(),
            lists: Vec::new(),
            distinct: Distinct::default(),
            touched: Vec::with_capacity(TURNS),
        }
    }

    /// The fleet with what was committed so far.
    #[must_use]
    pub const fn fleet(&self) -> &Fleet {
        self.run.fleet()
    }

    /// Whether placements are committed.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.run.mode()
    }

    /// The backend.
    #[must_use]
    pub const fn backend(&self) -> &Guarded {
        &self.backend
    }

    /// The backend, to take what happened to it.
    pub const fn backend_mut(&mut self) -> &mut Guarded {
        &mut self.backend
    }

    /// How many jobs wait to be placed.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.jobs.len()
    }

    /// Adds a job to the chunk.
    ///
    /// # Errors
    /// A field of the job that breaks a rule: the job is refused and changes nothing.
    pub fn add(&mut self, job: &JobSpec<'_>, dims: Option<(&ModelDims, KvLayout)>) -> Result<(), FieldError> {
        let valid = job.validate(&self.run.policy, dims)?;
        if self.run.mode == Mode::Sequential {
            // A commit gives a model its number, and every row of the chunk that names the model needs the same one. That
            // it comes early changes nothing: a number is compared with those of lists, and none has it before a commit.
            self.run.fleet.intern_model(job.model_id);
        }
        let session = job.session_id.map(|id| {
            let start = self.session_ids.len();
            self.session_ids.push_str(id);
            start..self.session_ids.len()
        });
        self.jobs.push(Waiting { resolved: valid.resolve(&self.run.fleet), session });
        Ok(())
    }

    /// Places the jobs of the chunk in the order in which they were added; `placed` holds what became of them. The chunk
    /// is empty afterwards.
    pub fn place(&mut self, wanted: Wanted, placed: &mut Vec<Placed>) {
        placed.clear();
        match self.run.mode {
            Mode::Sequential => {
                for start in (0..self.jobs.len()).step_by(TURNS) {
                    self.place_turns(start..self.jobs.len().min(start + TURNS), wanted, placed);
                }
            }
            Mode::Independent => self.place_independent(wanted, placed),
        }
        self.jobs.clear();
        self.session_ids.clear();
    }

    /// Up to [`TURNS`] jobs, each committed before the next is decided.
    fn place_turns(&mut self, range: Range<usize>, wanted: Wanted, placed: &mut Vec<Placed>) {
        let Self { run, backend, lists, jobs, .. } = self;
        let jobs = &jobs[range.clone()];
        let Some(last) = jobs.last() else { return };
        // Without the session table: it changes from turn to turn, and each turn looks at its pool itself.
        let queries: [_; TURNS] = array::from_fn(|turn| jobs.get(turn).unwrap_or(last).resolved.query(None));
        let depth = u8::try_from(Shortlist::DEPTH_MAX).expect("a depth of 16");
        find(backend, run, &queries[..jobs.len()], depth, lists);
        self.touched.clear();
        for (turn, job) in range.enumerate() {
            placed.push(self.take_turn(turn, job, wanted));
        }
    }

    fn take_turn(&mut self, turn: usize, job: usize, wanted: Wanted) -> Placed {
        let Self { run, headlines, jobs, session_ids, lists, touched, .. } = self;
        let job = &jobs[job];
        let session_id = job.session.clone().map(|range| &session_ids[range]);
        let entry = session_id.and_then(|id| run.sessions.get(id));
        let input = run.input(job.resolved.query(entry));
        let winner = winner(&input, &lists[turn], touched, entry);
        let decision = decision(&input, winner, headlines, &job.resolved.query(entry), &run.policy);
        let placed = answer(&input, decision, wanted);
        if let PlacementDecision::Assigned(assignment) = &placed.decision {
            let (row, rank) = (*job.resolved.row(), assignment.rank);
            run.commit_row(&row, session_id, rank);
            headlines.pool_changed(&run.fleet.table(), rank, &run.policy);
            if !touched.contains(&rank) {
                touched.push(rank);
            }
            self.backend.pool_changed(rank);
        }
        placed
    }

    /// All jobs on the same state: equal ones are decided once. The session table is empty in this mode.
    fn place_independent(&mut self, wanted: Wanted, placed: &mut Vec<Placed>) {
        let Self { run, backend, headlines, jobs, lists, distinct, .. } = self;
        distinct.find(jobs);
        // One allocation for a chunk: what it borrows lives no longer.
        let queries: Vec<_> = distinct.firsts.iter().map(|&first| jobs[first].resolved.query(None)).collect();
        find(backend, run, &queries, INDEPENDENT_DEPTH, lists);
        let answers = &mut distinct.answers;
        answers.clear();
        answers.extend(queries.iter().zip(&*lists).map(|(query, list)| {
            let input = run.input(*query);
            let winner = list.best().map(|key| key.rank());
            answer(&input, decision(&input, winner, headlines, query, &run.policy), wanted)
        }));
        placed.extend(distinct.group_of.iter().map(|&group| answers[group].clone()));
    }
}

/// Asks the backend for a list per job.
fn find(backend: &mut Guarded, run: &Placer, queries: &[JobQuery<'_>], depth: u8, lists: &mut Vec<Shortlist>) {
    if lists.len() < queries.len() {
        lists.resize(queries.len(), Shortlist::new(depth));
    }
    let world = World { table: run.fleet.table(), policy: &run.policy };
    backend
        .shortlists(&world, queries, &mut lists[..queries.len()])
        .expect("the oracle stands behind the backend, and the fleet was prepared for this policy");
}

/// The rank of the least key now. `list` is of the state before the pools in `touched` changed, and knows nothing of
/// `session`.
fn winner(input: &PlacementInput<'_>, list: &Shortlist, touched: &[u32], session: Option<SessionEntry>) -> Option<u32> {
    let warm = session.map(|entry| entry.pool).filter(|rank| !touched.contains(rank));
    let is_set_aside = |rank: u32| warm == Some(rank) || touched.contains(&rank);
    let fresh = keys_of(input, touched.iter().copied().chain(warm)).min();
    let listed = list.keys().iter().find(|key| !is_set_aside(key.rank())).copied();
    fresh.into_iter().chain(listed).min().map(|key| key.rank())
}

/// The decision for a known winner; without one the headline comes from the counts, where they can tell.
fn decision(
    input: &PlacementInput<'_>,
    winner: Option<u32>,
    headlines: &mut Headlines,
    query: &JobQuery<'_>,
    policy: &Policy,
) -> PlacementDecision {
    match winner {
        Some(rank) => conclude(input, Ok(rank)),
        None => match headlines.of(input.pools(), query, policy) {
            Some(headline) => conclude(input, Err(headline)),
            None => decide(input),
        },
    }
}

/// The distinct jobs of a chunk.
#[derive(Debug, Default)]
struct Distinct {
    /// Into `firsts`, by content.
    known: HashTable<usize>,
    hasher: RandomState,
    /// The first job of each group of equal ones.
    firsts: Vec<usize>,
    /// Every job's group.
    group_of: Vec<usize>,
    /// Every group's answer.
    answers: Vec<Placed>,
}

impl Distinct {
    fn find(&mut self, jobs: &[Waiting]) {
        let Self { known, hasher, firsts, group_of, .. } = self;
        known.clear();
        firsts.clear();
        group_of.clear();
        let hash = |job: usize| hash_of(hasher, &jobs[job].resolved.query(None));
        for (place, job) in jobs.iter().enumerate() {
            let query = job.resolved.query(None);
            let equals = |&group: &usize| jobs[firsts[group]].resolved.query(None) == query;
            let group = if let Some(&group) = known.find(hash(place), equals) {
                group
            } else {
                firsts.push(place);
                let group = firsts.len() - 1;
                known.insert_unique(hash(place), group, |&group| hash(firsts[group]));
                group
            };
            group_of.push(group);
        }
    }
}

/// Equal jobs have equal hashes; the hash reaches no answer.
fn hash_of(hasher: &RandomState, job: &JobQuery<'_>) -> u64 {
    hasher.hash_one((job.row, job.hints.labels))
}
