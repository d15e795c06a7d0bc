//! How often a job is decided: once where it goes at once, and again only where something changed since.
//!
//! That what was decided ahead still holds is asserted by the core itself, in every test that runs it.

use std::cell::Cell;

use orchestrator_core::commit::{CommitError, Taken};
use orchestrator_core::rows::{PoolRow, SessionEntry};
use orchestrator_core::scheduler::Input::{FirstToken, Snapshot, Submit};
use orchestrator_core::scheduler::{
    CancelCause, FullPolicy, Input, Scheduler, SchedulerBuffers, SchedulerPolicySpec, WaitLimit,
};
use orchestrator_core::{
    Explanation, FleetError, JobSpec, PlacementDecision, Policy, PoolFacts, PoolHandle, PoolRegistry, PoolSnapshot,
    ValidJob,
};

use crate::table::{Fleet, action_text, batch, pool};

/// A pool that others are slower than.
fn fast(id: &str, slots: i64) -> PoolSnapshot<'_> {
    PoolSnapshot { perf_tokens_per_s: Some(200.0), first_token_ms: Some(10.0), ..pool(id, slots) }
}

fn slow(id: &str, slots: i64) -> PoolSnapshot<'_> {
    PoolSnapshot { perf_tokens_per_s: Some(20.0), first_token_ms: Some(10.0), ..pool(id, slots) }
}

/// A job that waits for VRAM: the pools of these tables have 60 GiB free, of 80.
fn huge(id: &str) -> JobSpec<'_> {
    JobSpec { est_kv_bytes: Some(70 << 30), ..batch(id) }
}

/// An input at a time in ms, how many decisions it takes, and what is to be done.
type Row<'a> = (u64, Input<'a>, u32, &'a str);

fn check(scheduling: SchedulerPolicySpec, rows: &[Row<'_>]) {
    let mut buffers: SchedulerBuffers<_, 4, 4, 256, 4, 2> = SchedulerBuffers::new();
    let rules = scheduling.validate().expect("a valid policy");
    let fleet = Counted { fleet: Fleet::new(), decisions: Cell::new(0) };
    let mut scheduler = Scheduler::new(fleet, buffers.storage(), Policy::default(), rules);
    for (number, (at_ms, input, decisions, expected)) in (1..).zip(rows) {
        let mut actions = Vec::new();
        let _ = scheduler.drive(input, at_ms * 1000, &mut (), |action| actions.push(action_text(&action)));
        let found = (scheduler.fleet().decisions.take(), actions.join("; "));
        assert_eq!(found, (*decisions, (*expected).to_owned()), "row {number} at {at_ms} ms: {input:?}");
    }
}

/// ADMIT-2, METRIC-4: what its admission decided is what the pass does; a job that waits is decided when it comes and when it
/// goes.
#[test]
fn a_job_that_goes_at_once_is_decided_once() {
    check(
        SchedulerPolicySpec::default(),
        &[
            (0, Snapshot(&pool("p", 2)), 0, ""),
            (1, Submit(&batch("a")), 1, "DISPATCH a p"),
            (2, Submit(&JobSpec { session_id: Some("s"), ..batch("b") }), 1, "DISPATCH b p"),
            (3, Submit(&batch("c")), 1, ""),
            (4, Input::Finished { job_id: "a", tokens_out: 1 }, 1, "DISPATCH c p"),
        ],
    );
}

/// QUEUE-14: so is one that goes past a full queue.
#[test]
fn a_newcomer_past_a_full_queue_is_decided_once() {
    let queue_total = WaitLimit { jobs: 1, ..WaitLimit::NONE };
    check(
        SchedulerPolicySpec { queue_total, ..SchedulerPolicySpec::default() },
        &[
            (0, Snapshot(&pool("p", 4)), 0, ""),
            (1, Submit(&huge("a")), 1, ""),
            (2, Submit(&batch("b")), 1, "DISPATCH b p"),
        ],
    );
}

/// QUEUE-13: a commit before it in the pass took the slot that would have been its own.
#[test]
fn a_commit_in_between_makes_it_decided_anew() {
    let queue_total = WaitLimit { jobs: 2, ..WaitLimit::NONE };
    let full = FullPolicy::DropLru;
    check(
        SchedulerPolicySpec { queue_total, overtakes_max: 1, full, ..SchedulerPolicySpec::default() },
        &[
            (0, Snapshot(&fast("p", 2)), 0, ""),
            (0, Snapshot(&slow("q", 1)), 0, ""),
            (1, Submit(&huge("a")), 1, ""),
            (2, Submit(&batch("b")), 1, "DISPATCH b p"),
            // Nobody may overtake the first any more.
            (3, Submit(&batch("c")), 1, ""),
            (4, Submit(&batch("d")), 3, "DROP a QUEUE_FULL_DROP_LRU drop-lru 1000ms; DISPATCH c p; DISPATCH d q"),
        ],
    );
}

/// LEASE-5: a better pool is free before the pass.
#[test]
fn the_end_of_a_lease_in_between_makes_it_decided_anew() {
    let scheduling = SchedulerPolicySpec { wall_limit_ms: 100.0, ..SchedulerPolicySpec::default() };
    check(
        scheduling,
        &[
            (0, Snapshot(&fast("p", 1)), 0, ""),
            (0, Snapshot(&slow("q", 1)), 0, ""),
            (0, Submit(&batch("a")), 1, "DISPATCH a p"),
            (0, FirstToken { job_id: "a" }, 0, ""),
            (100, Submit(&batch("b")), 2, "ABORT a p expired wall_limit; DISPATCH b p"),
        ],
    );
}

/// REFRESH-3: what comes before the pass comes to it may close its pool.
#[test]
fn another_input_in_between_makes_it_decided_anew() {
    check(
        SchedulerPolicySpec { overtakes_max: 1, ..SchedulerPolicySpec::default() },
        &[
            (0, Snapshot(&fast("p", 2)), 0, ""),
            (0, Snapshot(&slow("q", 1)), 0, ""),
            (1, Submit(&huge("a")), 1, ""),
            (2, Submit(&batch("b")), 1, "DISPATCH b p"),
            // Nobody may overtake the first any more.
            (3, Submit(&batch("c")), 1, ""),
            (4, Input::Drain { id: "p", replica_id: "", draining: true }, 0, ""),
            (5, Input::Cancel { job_id: "a", cause: CancelCause::Admin }, 1, "DISPATCH c q"),
        ],
    );
}

/// A fleet that counts.
struct Counted {
    fleet: Fleet,
    decisions: Cell<u32>,
}

impl PoolRegistry for Counted {
    type Lease = <Fleet as PoolRegistry>::Lease;

    fn decide(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> PlacementDecision {
        self.decisions.set(self.decisions.get() + 1);
        PoolRegistry::decide(&self.fleet, job, policy, session)
    }

    fn explain(&self, job: &ValidJob<'_>, policy: &Policy, session: Option<SessionEntry>) -> Explanation {
        PoolRegistry::explain(&self.fleet, job, policy, session)
    }

    fn capacity(&self) -> u32 {
        PoolRegistry::capacity(&self.fleet)
    }

    fn len(&self) -> u32 {
        PoolRegistry::len(&self.fleet)
    }

    fn upsert(&mut self, snapshot: &PoolSnapshot<'_>) -> Result<PoolHandle, FleetError> {
        PoolRegistry::upsert(&mut self.fleet, snapshot)
    }

    fn remove(&mut self, pool: PoolHandle) -> bool {
        PoolRegistry::remove(&mut self.fleet, pool)
    }

    fn find(&self, id: &str, replica_id: &str) -> Option<PoolHandle> {
        PoolRegistry::find(&self.fleet, id, replica_id)
    }

    fn at_rank(&self, rank: u32) -> Option<PoolHandle> {
        PoolRegistry::at_rank(&self.fleet, rank)
    }

    fn rank_of(&self, pool: PoolHandle) -> Option<u32> {
        PoolRegistry::rank_of(&self.fleet, pool)
    }

    fn facts(&self, pool: PoolHandle) -> Option<PoolFacts<'_>> {
        PoolRegistry::facts(&self.fleet, pool)
    }

    fn row(&self, pool: PoolHandle) -> Option<&PoolRow> {
        PoolRegistry::row(&self.fleet, pool)
    }

    fn vram_used_bytes(&self, pool: PoolHandle) -> Option<u64> {
        PoolRegistry::vram_used_bytes(&self.fleet, pool)
    }

    fn set_draining(&mut self, pool: PoolHandle, draining: bool) -> bool {
        PoolRegistry::set_draining(&mut self.fleet, pool, draining)
    }

    fn set_age(&mut self, pool: PoolHandle, age_us: u64) {
        PoolRegistry::set_age(&mut self.fleet, pool, age_us);
    }

    fn set_admission_latency(&mut self, pool: PoolHandle, admission_latency_us: u64) {
        PoolRegistry::set_admission_latency(&mut self.fleet, pool, admission_latency_us);
    }

    fn takes_jobs(&self, policy: &Policy) -> bool {
        PoolRegistry::takes_jobs(&self.fleet, policy)
    }

    fn commit(&mut self, job: &ValidJob<'_>, rank: u32) -> Result<Self::Lease, CommitError> {
        PoolRegistry::commit(&mut self.fleet, job, rank)
    }

    fn retake(&mut self, pool: PoolHandle, lease: &Self::Lease) -> bool {
        PoolRegistry::retake(&mut self.fleet, pool, lease)
    }

    fn export_lease<'l>(&self, lease: &'l Self::Lease) -> Taken<'l> {
        PoolRegistry::export_lease(&self.fleet, lease)
    }

    fn import_lease(&self, pool: PoolHandle, taken: Taken<'_>) -> Option<Self::Lease> {
        PoolRegistry::import_lease(&self.fleet, pool, taken)
    }

    fn release(&mut self, pool: PoolHandle, lease: Self::Lease) -> bool {
        PoolRegistry::release(&mut self.fleet, pool, lease)
    }
}
