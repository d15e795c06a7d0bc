//! All backends on one world, against the core: fresh, after commits and releases, and under another policy.
//!
//! A backend keeps what it derives from a world, so a wrong answer may need a change before it: rounds commit jobs, give
//! leases back, and tell each backend which pools changed, nothing else.
//!
//! Invariant: what is committed is what the core decides, so every backend sees the same states.

use std::fmt;

use orchestrator_core::commit::{Lease, committed_tokens};
use orchestrator_core::hash::ContentHasher;
use orchestrator_core::rows::JobQuery;
use orchestrator_core::{Order, PlacementInput, Policy, PolicySpec, Shortlist, shortlist};

use super::case::{LookedUp, Setup};
use crate::batch::{Backend, BackendError, World};

/// Rounds with changed pools, after the one with fresh pools.
const CHANGED_ROUNDS: u32 = 3;
/// Jobs that a round commits at most.
const COMMITS: usize = 8;
const DEPTHS: [u8; 3] = [1, 2, Shortlist::DEPTH_MAX as u8];

/// A backend that found something else than the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which backend, and what it runs on.
    pub backend: String,
    /// Its place among the backends of the run.
    pub backend_index: usize,
    /// In which state of the pools: 0 is fresh, the last one is under another policy.
    pub round: u32,
    /// In what way.
    pub what: Deviation,
}

/// In what way a backend differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deviation {
    /// It did not answer.
    Failed(BackendError),
    /// Its list is another one.
    Found(Box<OtherList>),
}

/// A list that should be another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherList {
    /// Which of the jobs, from 0.
    pub job: usize,
    /// What the core found.
    pub expected: Shortlist,
    /// What the backend found.
    pub found: Shortlist,
}

impl Difference {
    /// Whether the device failed: it is not asked again, and so differs in every case from then on.
    pub(crate) const fn is_of_failed_device(&self) -> bool {
        matches!(self.what, Deviation::Failed(BackendError::Device { .. }))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, round, what, .. } = self;
        let state = match round {
            0 => "on fresh pools",
            1..=CHANGED_ROUNDS => "after commits and releases",
            _ => "under another policy",
        };
        match what {
            Deviation::Failed(error) => write!(f, "{backend}, {state}: {error}"),
            Deviation::Found(other) => {
                let OtherList { job, expected, found } = &**other;
                let depth = expected.depth();
                writeln!(f, "{backend}, {state} (round {round}): job {job}, the best {depth}")?;
                writeln!(f, "  expected {}", Listed(expected))?;
                write!(f, "  found    {}", Listed(found))
            }
        }
    }
}

struct Listed<'l>(&'l Shortlist);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} feasible", self.0.feasible())?;
        self.0.keys().iter().try_for_each(|key| write!(f, ", rank {} {:x?}", key.rank(), key.words()))
    }
}

/// All answers of one backend as a number.
#[derive(Debug)]
pub(super) struct BackendDigest {
    backend: String,
    hasher: ContentHasher,
}

impl BackendDigest {
    pub(super) fn of(backend: &dyn Backend) -> Self {
        Self { backend: backend.title(), hasher: ContentHasher::new("shortlists") }
    }

    pub(super) fn finish(self) -> (String, u64) {
        (self.backend, self.hasher.finish())
    }

    fn add(&mut self, list: &Shortlist) {
        self.hasher.byte(list.depth());
        self.hasher.int(list.feasible().into());
        self.hasher.int(list.keys().len() as u64);
        for key in list.keys() {
            key.words().into_iter().for_each(|word| self.hasher.int(word));
            self.hasher.int(key.rank().into());
        }
    }
}

/// One world on its way through its rounds.
pub(super) struct Run<'r> {
    setup: Setup,
    backends: &'r mut [Box<dyn Backend>],
    digests: &'r mut [BackendDigest],
    leases: Vec<Lease>,
    next_job: usize,
    pairs: u64,
}

impl<'r> Run<'r> {
    pub(super) fn new(setup: Setup, backends: &'r mut [Box<dyn Backend>], digests: &'r mut [BackendDigest]) -> Self {
        Self { setup, backends, digests, leases: Vec::new(), next_job: 0, pairs: 0 }
    }

    /// Pools times jobs that were compared, once per round.
    pub(super) const fn pairs(&self) -> u64 {
        self.pairs
    }

    /// Runs all rounds, until a backend differs.
    pub(super) fn compare(&mut self) -> Result<(), Box<Difference>> {
        self.tell(|backend| backend.snapshot_changed());
        self.round(0)?;
        for round in 1..=CHANGED_ROUNDS {
            self.release_some();
            self.commit_some();
            self.round(round)?;
        }
        self.setup.policy = other_policy(&self.setup.policy);
        self.setup.fleet.prepare_for(&self.setup.policy);
        self.tell(|backend| backend.snapshot_changed());
        self.round(CHANGED_ROUNDS + 1)
    }

    fn tell(&mut self, what: impl Fn(&mut dyn Backend)) {
        self.backends.iter_mut().for_each(|backend| what(backend.as_mut()));
    }

    fn round(&mut self, round: u32) -> Result<(), Box<Difference>> {
        let looked_up = self.setup.look_up();
        let queries: Vec<_> = looked_up.iter().map(LookedUp::query).collect();
        let world = World { table: self.setup.fleet.table(), policy: &self.setup.policy };
        let expected: Vec<_> = queries.iter().map(|job| oracle(&world, *job, Shortlist::DEPTH_MAX as u8)).collect();
        self.pairs += self.setup.fleet.len() as u64 * queries.len() as u64;
        let each = self.backends.iter_mut().zip(self.digests.iter_mut()).enumerate();
        for (backend_index, (backend, digest)) in each {
            let mut asked = Asked { backend: backend.as_mut(), backend_index, digest, round };
            for call in 0..DEPTHS.len() {
                asked.compare(&world, &queries, &expected, call)?;
            }
        }
        Ok(())
    }

    /// Commits the next few jobs where the core places them.
    fn commit_some(&mut self) {
        let looked_up = self.setup.look_up();
        let count = looked_up.len().min(COMMITS);
        for _ in 0..count {
            self.commit(&looked_up[self.next_job % looked_up.len()]);
            self.next_job += 1;
        }
    }

    fn commit(&mut self, looked_up: &LookedUp) {
        let Setup { fleet, policy, sessions, .. } = &mut self.setup;
        let world = World { table: fleet.table(), policy };
        let Some(rank) = oracle(&world, looked_up.query(), 1).best().map(orchestrator_core::rule::key::Key::rank)
        else {
            return;
        };
        let mut row = *looked_up.job.row();
        // A model that no pool named needs a number before it can become resident.
        row.model = fleet.intern_model(&looked_up.model_id);
        let Ok(lease) = fleet.commit(&row, rank) else { return };
        if let Some(id) = &looked_up.session_id {
            sessions.record(id, rank, committed_tokens(&row));
        }
        self.leases.push(lease);
        self.tell(|backend| backend.pool_changed(rank));
    }

    /// Gives every second lease back.
    fn release_some(&mut self) {
        let (kept, released): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leases).into_iter().enumerate().partition(|(place, _)| place % 2 == 0);
        self.leases = kept.into_iter().map(|(_, lease)| lease).collect();
        for (_, lease) in released {
            let rank = lease.rank;
            self.setup.fleet.release(&lease);
            self.tell(|backend| backend.pool_changed(rank));
        }
    }
}

impl LookedUp {
    fn query(&self) -> JobQuery<'_> {
        self.job.query(self.session)
    }
}

/// One backend in one round.
struct Asked<'a> {
    backend: &'a mut dyn Backend,
    backend_index: usize,
    digest: &'a mut BackendDigest,
    round: u32,
}

impl Asked<'_> {
    fn compare(
        &mut self,
        world: &World<'_>,
        queries: &[JobQuery<'_>],
        expected: &[Shortlist],
        call: usize,
    ) -> Result<(), Box<Difference>> {
        let depth_of =
            |job: usize| DEPTHS[if self.round.is_multiple_of(2) { call } else { (call + job) % DEPTHS.len() }];
        let mut lists: Vec<_> = (0..queries.len()).map(|job| Shortlist::new(depth_of(job))).collect();
        let answered = self.backend.shortlists(world, queries, &mut lists);
        answered.map_err(|error| self.difference(Deviation::Failed(error)))?;
        lists.iter().for_each(|list| self.digest.add(list));
        for (job, (found, expected)) in lists.into_iter().zip(expected).enumerate() {
            let expected = first_of(expected, depth_of(job));
            if found != expected {
                return Err(self.difference(Deviation::Found(Box::new(OtherList { job, expected, found }))));
            }
        }
        Ok(())
    }

    fn difference(&self, what: Deviation) -> Box<Difference> {
        let (backend, backend_index, round) = (self.backend.title(), self.backend_index, self.round);
        Box::new(Difference { backend, backend_index, round, what })
    }
}

fn oracle(world: &World<'_>, job: JobQuery<'_>, depth: u8) -> Shortlist {
    let input = PlacementInput::new(world.table, job, world.policy).expect("the fleet was prepared for this policy");
    shortlist(&input, depth)
}

/// The list of a smaller depth: a prefix of the same keys.
fn first_of(list: &Shortlist, depth: u8) -> Shortlist {
    let mut first = Shortlist::new(depth);
    first.count(list.feasible());
    list.keys().iter().for_each(|key| first.offer(*key));
    first
}

/// A policy under which most keys are others.
fn other_policy(policy: &Policy) -> Policy {
    let order = if policy.order() == Order::VramFirst { Order::PredictedEnd } else { Order::VramFirst };
    let spread_seed = if policy.spread_seed().is_some() { None } else { Some(7) };
    let spec = PolicySpec { order, spread_seed, quantum_shift: 0, ..PolicySpec::default() };
    spec.validate().expect("all knobs are inside their ranges")
}
