//! A fleet that explains its decisions when it is asked to: of a replay, those of one input.

use std::cell::RefCell;

use orchestrator_core::commit::{CommitError, Taken};
use orchestrator_core::rows::{PoolRow, SessionEntry};
use orchestrator_core::{
    Explanation, FleetError, PlacementDecision, Policy, PoolFacts, PoolHandle, PoolRegistry, PoolSnapshot, ValidJob,
};

use crate::report::{counts_sentence, full_pool_name, placement_sentences};

/// A decision as it was made, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedDecision {
    /// The job.
    pub job_id: String,
    /// Winner, runner-up, what decided, and pools by what they were to the job.
    pub sentences: String,
}

/// A fleet around another one; a decision is that of the other. EXPL-1.
#[derive(Debug)]
pub struct ExplainingFleet<F> {
    fleet: F,
    /// The decisions since explanations were asked for; none while they are not.
    explained: RefCell<Option<Vec<ExplainedDecision>>>,
}

impl<F: PoolRegistry> ExplainingFleet<F> {
    /// Explains nothing yet.
    #[must_use]
    pub const fn new(fleet: F) -> Self {
        Self { fleet, explained: RefCell::new(None) }
    }

    /// Explains the decisions from now on.
    pub fn begin(&self) {
        *self.explained.borrow_mut() = Some(Vec::new());
    }

    /// Explains no further ones; returns those that were made. Of a question asked again and answered as before, one.
    #[must_use]
    pub fn finish(&self) -> Vec<ExplainedDecision> {
        let mut explained = self.explained.take().unwrap_or_default();
        explained.dedup();
        explained
    }

    fn in_words(
        &self,
        job: &ValidJob<'_>,
        decision: &PlacementDecision,
        explanation: &Explanation,
    ) -> ExplainedDecision {
        let name = |rank| {
            let facts = self.fleet.at_rank(rank).and_then(|pool| self.fleet.facts(pool));
            facts.map_or_else(String::new, |facts| full_pool_name(facts.id, facts.replica_id))
        };
        let sentences = placement_sentences(decision, explanation, &name);
        let sentences = format!("{sentences}\n{}", counts_sentence(explanation));
        ExplainedDecision { job_id: job.spec().id.to_owned(), sentences }
    }
}

impl<F: PoolRegistry> PoolRegistry for ExplainingFleet<F> {
    type Lease = F::Lease;

    fn capacity(&self) -> u32 {
        self.fleet.capacity()
    }

    fn len(&self) -> u32 {
        self.fleet.len()
    }

    fn upsert(&mut self, snapshot: &PoolSnapshot<'_>) -> Result<PoolHandle, FleetError> {
        self.fleet.upsert(snapshot)
    }

    fn remove(&mut self, pool: PoolHandle) -> bool {
        self.fleet.remove(pool)
    }

    fn find(&self, id: &str, replica_id: &str) -> Option<PoolHandle> {
        self.fleet.find(id, replica_id)
    }

    fn at_rank(&self, rank: u32) -> Option<PoolHandle> {
        self.fleet.at_rank(rank)
    }

    fn rank_of(&self, pool: PoolHandle) -> Option<u32> {
        self.fleet.rank_of(pool)
    }

    fn facts(&self, pool: PoolHandle) -> Option<PoolFacts<'_>> {
        self.fleet.facts(pool)
    }

    fn row(&self, pool: PoolHandle) -> Option<&PoolRow> {
        self.fleet.row(pool)
    }

    fn vram_used_bytes(&self, pool: PoolHandle) -> Option<u64> {
        self.fleet.vram_used_bytes(pool)
    }

    fn set_draining(&mut self, pool: PoolHandle, draining: bool) -> bool {
        self.fleet.set_draining(pool, draining)
    }

    fn set_age(&mut self, pool: PoolHandle, age_us: u64) {
        self.fleet.set_age(pool, age_us);
    }

    fn set_admission_latency(&mut self, pool: PoolHandle, admission_latency_us: u64) {
        self.fleet.set_admission_latency(pool, admission_latency_us);
    }

    fn prepare_for(&mut self, policy: &Policy) {
        self.fleet.prepare_for(policy);
    }

    fn takes_jobs(&self, policy: &Policy) -> bool {
        self.fleet.takes_jobs(policy)
    }

    fn decide(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> PlacementDecision {
        let decision = self.fleet.decide(job, policy, session);
        if let Some(explained) = &mut *self.explained.borrow_mut() {
            explained.push(self.in_words(job, &decision, &self.fleet.explain(job, policy, session)));
        }
        decision
    }

    fn explain(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> Explanation {
        self.fleet.explain(job, policy, session)
    }

    fn commit(&mut self, job: &ValidJob<'_>, rank: u32) -> Result<F::Lease, CommitError> {
        self.fleet.commit(job, rank)
    }

    fn retake(&mut self, pool: PoolHandle, lease: &F::Lease) -> bool {
        self.fleet.retake(pool, lease)
    }

    fn export_lease<'l>(&self, lease: &'l F::Lease) -> Taken<'l> {
        self.fleet.export_lease(lease)
    }

    fn import_lease(&self, pool: PoolHandle, taken: Taken<'_>) -> Option<F::Lease> {
        self.fleet.import_lease(pool, taken)
    }

    fn release(&mut self, pool: PoolHandle, lease: F::Lease) -> bool {
        self.fleet.release(pool, lease)
    }
}
