//! STATE-2, STATE-4, STATE-6 one by one.

use orchestrator_core::scheduler::{
    AbortCause, Action, Answer, Counters, Event, ExpiryCause, Imported, Input, Observer, SchedulerPolicy,
    SchedulerPolicySpec,
};
use orchestrator_core::{Budget, JobSpec, Priority};

use crate::world::{Free, Op, Room, SIZES, Told, apply, exported, tell};

const IDLE: Free = Free { slots: 1, queued: 0, bytes: [500, 500] };
const MS: u64 = 1_000;

/// Keeps the events that end a job.
#[derive(Default)]
struct Ends(Vec<String>);

impl Observer for Ends {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        if let Some(job) = event.terminal_job() {
            let Event::JobExpired { pool, cause, usage, .. } = *event else { panic!("{event:?}") };
            let session = job.session_id.unwrap_or("none");
            self.0.push(format!(
                "{} of {session}, {} on {}/{}: {cause:?} {}",
                job.id, job.engine, pool.id, pool.replica_id, usage.tokens_in
            ));
        }
    }
}

fn rules() -> SchedulerPolicy {
    SchedulerPolicySpec {
        start_timeout_ms: 50.0,
        queue_ttl_ms: 80.0,
        session_ttl_ms: 30.0,
        ..SchedulerPolicySpec::default()
    }
    .validate()
    .unwrap()
}

/// A scheduler with job `runs` on a pool, which started if so wished, and job `waits`, and the state at 10 ms.
fn state(started: bool) -> Vec<u8> {
    let (mut room, mut told) = (Room::new(SIZES), Told::new(0));
    let mut scheduler = room.scheduler(rules());
    let free = Free { slots: 1, ..IDLE };
    let _ = apply(&mut scheduler, 0, &Op::Snapshot { pool: 2, free, age_us: 0 }, &mut told);
    let budget = Budget { tokens: Some(1_000), ..Budget::default() };
    for id in ["runs", "waits"] {
        let job = JobSpec {
            session_id: Some("chat"),
            prompt_tokens: 100,
            expected_tokens: Some(50),
            est_kv_bytes: Some(450),
            budget,
            ..JobSpec::new(id, "vllm", "m")
        };
        assert!(matches!(tell(&mut scheduler, 0, &Input::Submit(&job), &mut told), Answer::Accepted(_)));
    }
    if started {
        assert_eq!(tell(&mut scheduler, 5 * MS, &Input::Started { job_id: "runs" }, &mut told), Answer::Done);
    }
    let _ = tell(&mut scheduler, 10 * MS, &Input::Tick, &mut told);
    exported(&scheduler)
}

/// STATE-2: what is left of a time limit is left, whatever the clock says.
#[test]
fn remaining_times_stay() {
    let state = state(false);
    for now_us in [10 * MS, 11 * MS, 1_000_000 * MS] {
        let (mut room, mut told) = (Room::new(SIZES), Told::new(0));
        let mut scheduler = room.scheduler(rules());
        let full = Free { slots: 0, queued: 1, bytes: [100, 0] };
        let _ = apply(&mut scheduler, now_us, &Op::Snapshot { pool: 2, free: full, age_us: 0 }, &mut told);
        assert!(scheduler.import_state(&state, now_us, &mut told, |_| ()).is_ok());
        // 10 of 50 ms were over.
        assert_eq!(scheduler.next_wakeup_us(), Some(now_us + 40 * MS));
        assert_eq!(
            tell(&mut scheduler, now_us + 40 * MS - 1, &Input::Started { job_id: "runs" }, &mut told),
            Answer::Done
        );
        // 10 of 80 ms were over.
        assert_eq!(scheduler.next_wakeup_us(), Some(now_us + 70 * MS));
    }
}

/// STATE-4, EVENT-1: a lease whose pool is not there ends, once, with an abort; its session gets back what it held.
#[test]
fn a_lost_pool_ends_its_leases() {
    for (started, tokens_in) in [(false, 0), (true, 100)] {
        let state = state(started);
        let mut room = Room::new(SIZES);
        let mut scheduler = room.scheduler(rules());
        let (mut ends, mut actions) = (Ends::default(), Vec::new());
        let imported = scheduler.import_state(&state, 20 * MS, &mut ends, |action| actions.push(action)).unwrap();
        let Imported { waiting_jobs, leases, lost_leases, sessions, .. } = imported;
        assert_eq!((waiting_jobs, leases, lost_leases, sessions), (1, 0, 1, 1));
        assert_eq!(ends.0, [format!("runs of chat, vllm on c/: PoolLost {tokens_in}")]);
        let [Action::Abort { job_id, pool_id, cause, .. }] = &actions[..] else { panic!("{actions:?}") };
        let lost = AbortCause::Expired(ExpiryCause::PoolLost);
        assert_eq!((job_id.as_str(), pool_id.as_str(), *cause), ("runs", "c", lost));

        let mut told = Told::new(0);
        let cancel = |job_id| Input::Cancel { job_id, cause: Default::default() };
        assert_eq!(tell(&mut scheduler, 21 * MS, &cancel("runs"), &mut told), Answer::UnknownJob);
        assert_eq!(tell(&mut scheduler, 21 * MS, &cancel("waits"), &mut told), Answer::Done);
        // The session is idle now.
        let _ = tell(&mut scheduler, 51 * MS - 1, &Input::Tick, &mut told);
        let end = Input::EndSession { session_id: "chat" };
        assert_eq!(tell(&mut scheduler, 51 * MS, &end, &mut told), Answer::Done);
    }
}

/// STATE-1, REFRESH-3: a drain on request outlives the process, too.
#[test]
fn drains_go_on() {
    let (mut room, mut told) = (Room::new(SIZES), Told::new(0));
    let mut scheduler = room.scheduler(rules());
    let snapshot = Op::Snapshot { pool: 2, free: IDLE, age_us: 0 };
    let _ = apply(&mut scheduler, 0, &snapshot, &mut told);
    let _ = apply(&mut scheduler, 0, &Op::Drain(2, true), &mut told);
    let state = exported(&scheduler);

    let mut room = Room::new(SIZES);
    let mut scheduler = room.scheduler(rules());
    let _ = apply(&mut scheduler, 0, &snapshot, &mut told);
    assert!(scheduler.import_state(&state, 0, &mut told, |_| ()).is_ok());
    let mut dispatched = |now_us, input: &Input<'_>| {
        let mut count = 0;
        let _ = scheduler.drive(input, now_us, &mut (), |action| {
            count += u32::from(matches!(action, Action::Dispatch { .. }));
        });
        count
    };
    assert_eq!(dispatched(1, &Input::Submit(&JobSpec::new("j", "vllm", "m"))), 0);
    assert_eq!(dispatched(2, &Input::Drain { id: "c", replica_id: "", draining: false }), 1);
}

/// STATE-6: counters begin with what waits.
#[test]
fn depths_are_said() {
    let mut room = Room::new(SIZES);
    let mut scheduler = room.scheduler(rules());
    let mut counters = Counters::new();
    assert!(scheduler.import_state(&state(true), 20 * MS, &mut counters, |_| ()).is_ok());
    let class = counters.class(Priority::Batch);
    assert_eq!((class.queue_jobs, class.queue_tokens, class.enqueued), (1, 150, 0));
}
