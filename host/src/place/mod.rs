//! Many jobs, one after the other: look up, decide, explain if asked, commit if sequential.
//!
//! A [`Placer`] owns the fleet and the session table of one run. It keeps nothing per job, so a stream of a million
//! independent jobs needs no memory for a million jobs.
//!
//! Invariants: [`Mode::Independent`] changes nothing between jobs (MODE-2); [`Mode::Sequential`] equals deciding and
//! committing one by one (MODE-1). An explanation is made before the commit, of the state that was decided on.
//!
//! ```
//! use orchestrator_core::{JobSpec, PlacementDecision, Policy, PoolSnapshot};
//! use orchestrator_host::fleet::FleetBuilder;
//! use orchestrator_host::place::{Mode, Placer, Wanted};
//!
//! let mut builder = FleetBuilder::default();
//! builder.add(1, &PoolSnapshot::new("only", "vllm", 1, 1, 1 << 36, 1 << 36).validate().unwrap()).unwrap();
//! let mut placer = Placer::new(builder.finish().fleet, Policy::default(), Mode::Sequential);
//! let job = JobSpec::new("job", "vllm", "some/model");
//! assert!(placer.place(&job, None, Wanted::default()).unwrap().decision.assignment().is_some());
//! // The only slot is taken now.
//! let second = placer.place(&job, None, Wanted::default()).unwrap().decision;
//! assert!(matches!(second, PlacementDecision::NoCapacity { .. }));
//! ```

mod batch;
mod digest;
mod summary;

pub use batch::BatchPlacer;
pub use digest::DecisionDigest;
pub use summary::Summary;

use orchestrator_core::commit::committed_tokens;
use orchestrator_core::rows::{JobQuery, JobRow};
use orchestrator_core::{
    Assignment, Directory, Explanation, FieldError, JobSpec, KvLayout, ModelDims, PlacementDecision, PlacementInput,
    Policy, PoolVerdict, ResolvedJob, Standing, Unfit, ValidJob, decide, explain, inspect, rank_best,
};

use crate::fleet::{Fleet, Sessions};

/// Whether a placement changes what the next job sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Each placement is committed before the next decision. MODE-1.
    #[default]
    Sequential,
    /// Every job sees the same snapshot. MODE-2.
    Independent,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 2] = [Self::Sequential, Self::Independent];

    /// The mode's name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Independent => "independent",
        }
    }
}

/// What a caller wants to know besides the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Why it is what it is.
    pub explanation: bool,
    /// How many of the best pools, the winner first.
    pub best: usize,
}

/// A decision and what was wanted besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The decision.
    pub decision: PlacementDecision,
    /// Why, if wanted.
    pub explanation: Option<Explanation>,
    /// The best pools, as many as wanted and feasible.
    pub best: Vec<Assignment>,
}

/// What every pool is to one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// The decision.
    pub decision: PlacementDecision,
    /// Why.
    pub explanation: Explanation,
    /// Every pool in rank order: what its key is made of, or why it cannot take the job.
    pub pools: Vec<Result<Standing, Unfit>>,
}

/// The state of one run: a fleet, a policy and, in sequential mode, what was committed so far.
#[derive(Debug, Clone)]
pub struct Placer {
    fleet: Fleet,
    policy: Policy,
    mode: Mode,
    sessions: Sessions,
}

impl Placer {
    /// A run over `fleet` as it is now.
    #[must_use]
    pub fn new(mut fleet: Fleet, policy: Policy, mode: Mode) -> Self {
        fleet.prepare_for(&policy);
        let capacity = match mode {
            Mode::Sequential => policy.session_capacity() as usize,
            Mode::Independent => 0,
        };
        Self { fleet, policy, mode, sessions: Sessions::with_capacity(capacity) }
    }

    /// The fleet with what was committed so far.
    #[must_use]
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Whether placements are committed.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Places one job; in sequential mode its placement is committed. O(pools).
    ///
    /// # Errors
    /// A field of the job that breaks a rule: the job is refused and changes nothing.
    pub fn place(
        &mut self,
        job: &JobSpec<'_>,
        dims: Option<(&ModelDims, KvLayout)>,
        wanted: Wanted,
    ) -> Result<Placed, FieldError> {
        let valid = job.validate(&self.policy, dims)?;
        let resolved = valid.resolve(&self.fleet);
        let placed = self.decide(&valid, &resolved, wanted);
        if let (Mode::Sequential, PlacementDecision::Assigned(assignment)) = (self.mode, &placed.decision) {
            self.commit(&valid, *resolved.row(), assignment.rank);
        }
        Ok(placed)
    }

    /// Looks at every pool for one job, and commits nothing. O(pools).
    ///
    /// # Errors
    /// A field of the job that breaks a rule.
    pub fn examine(&self, job: &JobSpec<'_>, dims: Option<(&ModelDims, KvLayout)>) -> Result<Examination, FieldError> {
        let valid = job.validate(&self.policy, dims)?;
        let resolved = valid.resolve(&self.fleet);
        Ok(self.with_input(&valid, &resolved, |input| Examination {
            decision: decide(input),
            explanation: explain(input),
            pools: (0..).map_while(|rank| inspect(input, rank)).collect(),
        }))
    }

    /// What the replicas of a pool lack to win the job, by rank; empty when no pool has this id. O(pools).
    ///
    /// # Errors
    /// A field of the job that breaks a rule.
    pub fn verdicts(
        &self,
        job: &JobSpec<'_>,
        dims: Option<(&ModelDims, KvLayout)>,
        pool_id: &str,
    ) -> Result<Vec<(u32, PoolVerdict)>, FieldError> {
        let valid = job.validate(&self.policy, dims)?;
        let resolved = valid.resolve(&self.fleet);
        let ranks = self.fleet.ranks_of(pool_id);
        Ok(self.with_input(&valid, &resolved, |input| {
            let winner = explain(input).winner;
            let beside = |inspected| PoolVerdict::beside(winner.as_ref(), inspected, &self.policy);
            let verdict = |rank| Some((rank, beside(inspect(input, rank)?)));
            (ranks.start..ranks.end).filter_map(verdict).collect()
        }))
    }

    fn decide(&self, valid: &ValidJob<'_>, resolved: &ResolvedJob, wanted: Wanted) -> Placed {
        self.with_input(valid, resolved, |input| answer(input, decide(input), wanted))
    }

    fn with_input<R>(
        &self,
        valid: &ValidJob<'_>,
        resolved: &ResolvedJob,
        answer: impl FnOnce(&PlacementInput<'_>) -> R,
    ) -> R {
        let session = valid.spec().session_id.and_then(|id| self.sessions.get(id));
        answer(&self.input(resolved.query(session)))
    }

    fn input<'a>(&'a self, query: JobQuery<'a>) -> PlacementInput<'a> {
        PlacementInput::new(self.fleet.table(), query, &self.policy)
            .expect("the fleet was prepared for this policy when the run began")
    }

    fn commit(&mut self, valid: &ValidJob<'_>, mut job: JobRow, rank: u32) {
        // A model that no pool named needs a number before it can become resident.
        job.model = self.fleet.intern_model(valid.spec().model_id);
        self.commit_row(&job, valid.spec().session_id, rank);
    }

    /// Commits a job whose model has a number.
    fn commit_row(&mut self, job: &JobRow, session_id: Option<&str>, rank: u32) {
        self.fleet.commit(job, rank).expect("nothing came between the decision and its commit");
        if let Some(session_id) = session_id {
            self.sessions.record(session_id, rank, committed_tokens(job));
        }
    }
}

/// A decision with what is wanted besides.
fn answer(input: &PlacementInput<'_>, decision: PlacementDecision, wanted: Wanted) -> Placed {
    let mut best = vec![None; wanted.best];
    rank_best(input, &mut best);
    Placed {
        decision,
        explanation: wanted.explanation.then(|| explain(input)),
        best: best.into_iter().flatten().collect(),
    }
}
