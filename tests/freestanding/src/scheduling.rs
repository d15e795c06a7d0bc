//! A whole scheduler over a small fleet: every input, every action, under any policy.

use orchestrator_core::scheduler::{
    Action, Answer, CancelCause, ClassWeights, Discipline, FailureCause, FullPolicy, Input, Scheduler,
    SchedulerBuffers, SchedulerPolicy, SchedulerPolicySpec, WaitLimit,
};
use orchestrator_core::{JobSpec, Policy, SmallFleet};

use crate::opaque::{flag, float, int, keep, maybe, some, text, word};
use crate::probes::{policy, with_job, with_pool};

type Fleet = SmallFleet<3, 4, 48>;

/// The disciplines, in the order in which they are in force.
const DISCIPLINES: [Discipline; 3] = [Discipline::Fifo, Discipline::EarliestDeadline, Discipline::FairTenants];

/// Under each discipline two jobs come, one of them twice, and go in every way; their pool comes, drains and goes.
pub fn scheduling() -> bool {
    let Some(placement) = policy() else { return false };
    let mut buffers: SchedulerBuffers<_, 3, 4, 512, 4, 2> = SchedulerBuffers::new();
    let Some(in_force) = rules(Discipline::Fifo) else { return false };
    let mut scheduler = Scheduler::new(Fleet::new(), buffers.storage(), placement.clone(), in_force);
    let mut dispatched = 0;
    for discipline in DISCIPLINES {
        let Some(in_force) = rules(discipline) else { return false };
        dispatched += round(&mut scheduler, &placement, &in_force).unwrap_or(0);
    }
    keep(&scheduler.next_wakeup_us());
    keep(&scheduler.now_us());
    keep(&scheduler.fleet().len());
    dispatched == 6
}

fn rules(discipline: Discipline) -> Option<SchedulerPolicy> {
    let limit = WaitLimit { jobs: word(4), tokens: int(1 << 40) as u64 };
    let spec = SchedulerPolicySpec {
        queue_total: limit,
        queue_interactive: limit,
        queue_batch: limit,
        full: if flag(true) { FullPolicy::DropLru } else { FullPolicy::ShedLowPriority },
        strict_upstream: flag(true),
        shed_above_percent: int(75),
        discipline,
        class_weights: maybe(ClassWeights { interactive: word(8) as u16, batch: word(1) as u16 }),
        tenant_quantum_tokens: int(4096),
        promote_after_ms: maybe(float(1000.0)),
        queue_ttl_ms: float(300_000.0),
        scan_limit: int(256),
        overtakes_max: int(1024),
        max_job_tokens: int(100_000),
        max_context_tokens: int(100_000),
        retry_floor_ms: int(1000),
        retry_cap_ms: int(60_000),
        start_timeout_ms: float(60_000.0),
        wall_limit_ms: float(60_000.0),
        idle_limit_ms: float(60_000.0),
        session_ttl_ms: float(600_000.0),
        refresh_after_ms: float(15_000.0),
        refresh_base_ms: float(1000.0),
        refresh_cap_ms: float(60_000.0),
        prefill_weight: int(32),
    };
    let rules = spec.validate().ok()?;
    keep(&rules.content_hash());
    Some(rules)
}

/// How many jobs were dispatched.
fn round(scheduler: &mut Scheduler<'_, Fleet>, placement: &Policy, rules: &SchedulerPolicy) -> Option<u32> {
    with_pool("b", |pool, _| {
        with_job(placement, 0, |valid| {
            let mut other_name = [0; 256];
            let other = JobSpec { id: text(&mut other_name, "job-2"), tenant_id: maybe("t"), ..*valid.spec() };
            let (job_id, session_id) = (valid.spec().id, valid.spec().session_id.unwrap_or_default());
            let (pool_id, tokens_out) = (pool.id, word(7));
            let inputs = [
                Input::SetPolicies { placement, scheduler: rules },
                Input::Snapshot(pool),
                Input::Submit(valid.spec()),
                Input::Submit(&other),
                Input::Submit(valid.spec()),
                Input::Started { job_id },
                Input::FirstToken { job_id },
                Input::Progress { job_id, tokens_out },
                Input::Finished { job_id, tokens_out },
                Input::Failed { job_id, cause: FailureCause::Engine, tokens_out },
                Input::Cancel { job_id: other.id, cause: CancelCause::Admin },
                Input::EndSession { session_id },
                Input::Drain { id: pool_id, replica_id: pool.replica_id, draining: flag(true) },
                Input::RemovePool { id: pool_id, replica_id: pool.replica_id },
                Input::Tick,
            ];
            let mut dispatched = 0u32;
            for input in some(&inputs) {
                let now_us = scheduler.now_us().wrapping_add(int(1000) as u64);
                let answer = scheduler.drive(input, now_us, &mut (), |action| {
                    dispatched += u32::from(matches!(action, Action::Dispatch { .. }));
                    keep(&action);
                });
                keep(&answer);
                if matches!(answer, Answer::ActionsPending | Answer::TimeWentBack { .. } | Answer::TimeTooLate { .. }) {
                    return None;
                }
            }
            Some(dispatched)
        })
    })??
    .into()
}
