//! Runs a table of inputs and compares all that follows from each with what was written beside it.
//!
//! Everything is written in the order in which it happens, separated by `; `: the answer first, then events in lower
//! case and actions in capitals.

use orchestrator_core::scheduler::{
    AbortCause, Action, Answer, Event, Input, Observer, Refusal, Scheduler, SchedulerBuffers, SchedulerPolicySpec,
};
use orchestrator_core::{JobSpec, PolicySpec, PoolSnapshot, Priority, SmallFleet};

pub(crate) type Fleet = SmallFleet<4, 4, 32>;

/// An input at a time in ms, and what follows from it.
pub(crate) type Row<'a> = (u64, Input<'a>, &'a str);

/// The rules of a run; the defaults are those of the specification.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) placement: PolicySpec,
    pub(crate) scheduler: SchedulerPolicySpec,
}

/// Runs with room for 4 waiting jobs, 4 leases and 2 sessions.
pub(crate) fn check(rules: &Rules, rows: &[Row<'_>]) {
    check_sized::<4, 4, 2>(rules, rows);
}

pub(crate) fn check_sized<const QUEUED: usize, const LEASES: usize, const SESSIONS: usize>(
    rules: &Rules,
    rows: &[Row<'_>],
) {
    let mut buffers: SchedulerBuffers<_, 4, QUEUED, 256, LEASES, SESSIONS> = SchedulerBuffers::new();
    let placement = rules.placement.validate().expect("a valid policy");
    let scheduling = rules.scheduler.validate().expect("a valid policy");
    let mut scheduler = Scheduler::new(Fleet::new(), buffers.storage(), placement, scheduling);
    for (number, (at_ms, input, expected)) in (1..).zip(rows) {
        let found = step(&mut scheduler, at_ms * 1000, input);
        assert_eq!(found, *expected, "row {number} at {at_ms} ms: {input:?}");
    }
}

/// All that follows from one input.
pub(crate) fn step(scheduler: &mut Scheduler<'_, Fleet>, now_us: u64, input: &Input<'_>) -> String {
    let mut log = Log(Vec::new());
    let answer = scheduler.handle(input, now_us, &mut log);
    log.0.insert(0, answer_text(&answer));
    if !matches!(answer, Answer::ActionsPending) {
        while let Some(action) = scheduler.next_action(&mut log) {
            log.0.push(action_text(&action));
        }
    }
    log.0.join("; ")
}

#[derive(Default)]
pub(crate) struct Log(Vec<String>);

impl Observer for Log {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        self.0.push(event_text(event));
    }
}

pub(crate) fn answer_text(answer: &Answer) -> String {
    match answer {
        Answer::Accepted(forecast) => {
            let start = forecast.predicted_start_us.map_or(String::new(), |us| format!(" start {us}"));
            format!("accepted {}/{}{start}", forecast.queue_position, forecast.class_position)
        }
        Answer::Refused(refusal) => format!("refused {}", refusal_text(refusal)),
        Answer::TimeWentBack { last_us } => format!("time_went_back {last_us}"),
        Answer::BadSnapshot(error) => format!("bad_snapshot {error}"),
        other => other.name().to_owned(),
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    let mut text = refusal.code.name().to_owned();
    if let Some(field) = refusal.field {
        text += &format!(" {}", field.field);
    }
    if let Some(label) = refusal.policy_label {
        text += &format!(" {label}");
    }
    if let Some(rejection) = refusal.rejection {
        text += &format!(" {rejection:?}");
    }
    if let Some(ms) = refusal.retry_after_ms {
        text += &format!(" {ms}ms");
    }
    text
}

pub(crate) fn event_text(event: &Event<'_>) -> String {
    match event {
        Event::PoolUpdated { pool, credited, .. } => format!("pool {} credited {credited}", pool.id),
        Event::PoolRemoved { pool } => format!("removed {}", pool.id),
        Event::PoolDraining { pool, draining } => format!("draining {} {draining}", pool.id),
        Event::RefreshRequested { pool, attempt } => format!("refresh {} {attempt}", pool.id),
        Event::JobRefused { job, refusal } => format!("refused {} {}", job.id, refusal.code.name()),
        Event::JobEnqueued { job, .. } => format!("enqueued {}", job.id),
        Event::JobEvicted { job, waited_us, .. } => format!("evicted {} after {waited_us}", job.id),
        Event::JobTimedOut { job, waited_us, .. } => format!("timed out {} after {waited_us}", job.id),
        Event::PlacementDecided { job, decision } if decision.assigned => format!("fits {}", job.id),
        Event::PlacementDecided { job, .. } => format!("fits not {}", job.id),
        Event::JobDispatched { job, pool, dispatch } => {
            let warm = if dispatch.kv_warm { " warm" } else { "" };
            let migrated = if dispatch.kv_migrated { " migrated" } else { "" };
            let seed = dispatch.seed.map_or(String::new(), |seed| format!(" seed {seed}"));
            format!("dispatched {} to {}{warm}{migrated}{seed}", job.id, pool.id)
        }
        Event::JobStarted { job, .. } => format!("started {}", job.id),
        Event::JobFirstToken { job, .. } => format!("first token {}", job.id),
        Event::JobFinished { job, usage, .. } => {
            format!("finished {} {}+{} in {}", job.id, usage.tokens_in, usage.tokens_out, usage.run_us)
        }
        Event::JobFailed { job, cause, usage, .. } => {
            format!("failed {} {} {}+{}", job.id, cause.name(), usage.tokens_in, usage.tokens_out)
        }
        Event::JobCanceled { job, pool, cause, .. } => {
            let pool = pool.map_or("queue", |pool| pool.id);
            format!("canceled {} on {pool} {}", job.id, cause.name())
        }
        Event::JobExpired { job, pool, cause, .. } => format!("expired {} on {} {}", job.id, pool.id, cause.name()),
        Event::SessionEnded { session_id, cause } => format!("session {session_id} {}", cause.name()),
        Event::QueueDepth { priority, jobs, .. } => format!("{} {jobs}", class(*priority)),
        Event::PoliciesChanged { .. } => "policies".to_owned(),
        other => panic!("an event without a text: {other:?}"),
    }
}

fn class(priority: Priority) -> &'static str {
    match priority {
        Priority::Interactive => "interactive",
        Priority::Batch => "batch",
    }
}

pub(crate) fn action_text(action: &Action) -> String {
    match action {
        Action::Dispatch { job_id, pool_id, .. } => format!("DISPATCH {job_id} {pool_id}"),
        Action::Abort { job_id, pool_id, cause, .. } => {
            let kind = match cause {
                AbortCause::Canceled(_) => "canceled",
                AbortCause::Expired(_) => "expired",
            };
            format!("ABORT {job_id} {pool_id} {kind} {}", cause.name())
        }
        Action::Drop { job_id, refusal } => format!("DROP {job_id} {}", refusal_text(refusal)),
        Action::RefreshSnapshot { pool_id, attempt, not_before_us, .. } => {
            format!("REFRESH {pool_id} {attempt} {not_before_us}")
        }
        other => panic!("an action without a text: {other:?}"),
    }
}

/// A batch job: a prompt of 100 tokens, 10 to produce.
pub(crate) fn batch(id: &str) -> JobSpec<'_> {
    JobSpec { prompt_tokens: 100, expected_tokens: Some(10), ..JobSpec::new(id, "vllm", "m") }
}

/// An interactive one.
pub(crate) fn chat(id: &str) -> JobSpec<'_> {
    JobSpec { priority: Priority::Interactive, ..batch(id) }
}

/// A pool with so many slots, all free.
pub(crate) fn pool(id: &str, slots: i64) -> PoolSnapshot<'_> {
    PoolSnapshot::new(id, "vllm", slots, slots, 80 << 30, 60 << 30)
}

/// A pool whose slots are all taken by others.
pub(crate) fn full(id: &str, slots: i64) -> PoolSnapshot<'_> {
    PoolSnapshot { slots_free: 0, ..pool(id, slots) }
}
