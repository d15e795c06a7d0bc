//! A fleet that stays where its owner put it: a scheduler may drive one through a reference.
//!
//! Firmware keeps its tables in statics. A fleet that is moved into a scheduler passes over the stack, and a fleet of 64
//! pools is larger than most stacks.

use super::{FleetError, PoolFacts, PoolHandle, PoolRegistry};
use crate::commit::{CommitError, Taken};
use crate::input::{PoolSnapshot, ValidJob};
use crate::placement::{Explanation, PlacementDecision};
use crate::policy::Policy;
use crate::rows::{PoolRow, SessionEntry};

impl<F: PoolRegistry + ?Sized> PoolRegistry for &mut F {
    type Lease = F::Lease;

    fn capacity(&self) -> u32 {
        (**self).capacity()
    }

    fn len(&self) -> u32 {
        (**self).len()
    }

    fn is_empty(&self) -> bool {
        (**self).is_empty()
    }

    fn upsert(&mut self, snapshot: &PoolSnapshot<'_>) -> Result<PoolHandle, FleetError> {
        (**self).upsert(snapshot)
    }

    fn remove(&mut self, pool: PoolHandle) -> bool {
        (**self).remove(pool)
    }

    fn find(&self, id: &str, replica_id: &str) -> Option<PoolHandle> {
        (**self).find(id, replica_id)
    }

    fn at_rank(&self, rank: u32) -> Option<PoolHandle> {
        (**self).at_rank(rank)
    }

    fn rank_of(&self, pool: PoolHandle) -> Option<u32> {
        (**self).rank_of(pool)
    }

    fn facts(&self, pool: PoolHandle) -> Option<PoolFacts<'_>> {
        (**self).facts(pool)
    }

    fn row(&self, pool: PoolHandle) -> Option<&PoolRow> {
        (**self).row(pool)
    }

    fn vram_used_bytes(&self, pool: PoolHandle) -> Option<u64> {
        (**self).vram_used_bytes(pool)
    }

    fn set_draining(&mut self, pool: PoolHandle, draining: bool) -> bool {
        (**self).set_draining(pool, draining)
    }

    fn set_age(&mut self, pool: PoolHandle, age_us: u64) {
        (**self).set_age(pool, age_us);
    }

    fn set_admission_latency(&mut self, pool: PoolHandle, admission_latency_us: u64) {
        (**self).set_admission_latency(pool, admission_latency_us);
    }

    fn prepare_for(&mut self, policy: &Policy) {
        (**self).prepare_for(policy);
    }

    fn takes_jobs(&self, policy: &Policy) -> bool {
        (**self).takes_jobs(policy)
    }

    fn decide(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> PlacementDecision {
        (**self).decide(job, policy, session)
    }

    fn explain(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> Explanation {
        (**self).explain(job, policy, session)
    }

    fn commit(&mut self, job: &ValidJob<'_>, rank: u32) -> Result<Self::Lease, CommitError> {
        (**self).commit(job, rank)
    }

    fn retake(&mut self, pool: PoolHandle, lease: &Self::Lease) -> bool {
        (**self).retake(pool, lease)
    }

    fn export_lease<'l>(&self, lease: &'l Self::Lease) -> Taken<'l> {
        (**self).export_lease(lease)
    }

    fn import_lease(&self, pool: PoolHandle, taken: Taken<'_>) -> Option<Self::Lease> {
        (**self).import_lease(pool, taken)
    }

    fn release(&mut self, pool: PoolHandle, lease: Self::Lease) -> bool {
        (**self).release(pool, lease)
    }
}
