//! Jobs that wait, behind each other and past each other, until they leave.

use orchestrator_core::scheduler::Input::{Cancel, Finished, SetPolicies, Snapshot, Submit, Tick};
use orchestrator_core::scheduler::{
    CancelCause, Discipline, FullPolicy, Scheduler, SchedulerBuffers, SchedulerPolicy, SchedulerPolicySpec, WaitLimit,
};
use orchestrator_core::{DeterminismSpec, JobSpec, PlacementHints, Policy, PoolSnapshot};

use crate::table::{Fleet, Rules, batch, chat, check, full, pool, step};

fn with(scheduler: SchedulerPolicySpec) -> Rules {
    Rules { scheduler, ..Rules::default() }
}

/// A job that only the pool of this id may take.
fn pinned<'a>(id: &'a str, pool_id: &'a str) -> JobSpec<'a> {
    let placement = PlacementHints { pin_pool_id: Some(pool_id), ..PlacementHints::AUTOMATIC };
    JobSpec { placement, ..batch(id) }
}

/// A job that waits for VRAM: the pools of these tables have 60 GiB free, of 80.
fn huge(id: &str) -> JobSpec<'_> {
    JobSpec { est_kv_bytes: Some(70 << 30), ..batch(id) }
}

/// QUEUE-12, EVENT-1: what waited for the time limit leaves, oldest first, and its caller is told.
#[test]
fn jobs_that_waited_too_long_time_out() {
    let rules = with(SchedulerPolicySpec { queue_ttl_ms: 100.0, ..SchedulerPolicySpec::default() });
    check(
        &rules,
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (0, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (50, Submit(&chat("b")), "accepted 0/0; fits not b; enqueued b; interactive 1"),
            (99, Tick, "done"),
            (100, Tick, "done; timed out a after 100000; batch 0; DROP a QUEUE_TIMEOUT 1000ms"),
            (150, Tick, "done; timed out b after 100000; interactive 0; DROP b QUEUE_TIMEOUT 1000ms"),
            (151, Tick, "done"),
        ],
    );
}

/// LEASE-6: a waiting job is canceled once.
#[test]
fn a_waiting_job_is_canceled_once() {
    let cancel = |job_id| Cancel { job_id, cause: CancelCause::Disconnect };
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (1, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (2, cancel("a"), "done; canceled a on queue disconnect; batch 0"),
            (3, cancel("a"), "unknown_job"),
            (4, cancel("nobody"), "unknown_job"),
        ],
    );
}

/// LEASE-7: nothing can be reported of a job that waits.
#[test]
fn reports_on_waiting_jobs_are_answered() {
    use orchestrator_core::scheduler::{FailureCause, Input};
    let job_id = "a";
    check(
        &Rules::default(),
        &[
            (0, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (1, Input::Started { job_id }, "not_dispatched"),
            (2, Input::FirstToken { job_id }, "not_dispatched"),
            (3, Input::Progress { job_id, tokens_out: 1 }, "not_dispatched"),
            (4, Finished { job_id, tokens_out: 1 }, "not_dispatched"),
            (5, Input::Failed { job_id, cause: FailureCause::Engine, tokens_out: 1 }, "not_dispatched"),
        ],
    );
}

/// QUEUE-7, QUEUE-13: interactive first; what no pool can take is passed over and keeps its place.
#[test]
fn a_pass_goes_past_what_no_pool_can_take() {
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (0, Snapshot(&full("q", 1)), "done; pool q credited 0"),
            (1, Submit(&pinned("a", "p")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (2, Submit(&pinned("b", "q")), "accepted 1/1; fits not b; enqueued b; batch 2"),
            (3, Submit(&chat("c")), "accepted 0/0; fits not c; enqueued c; interactive 1"),
            (
                4,
                Snapshot(&pool("q", 2)),
                "done; pool q credited 0; fits c; dispatched c to q; interactive 0; DISPATCH c q; fits not a; fits b; \
                 dispatched b to q; batch 1; DISPATCH b q",
            ),
        ],
    );
}

/// QUEUE-13: a job is overtaken at most `overtakes_max` times; when it leaves, those behind it are asked at once.
#[test]
fn a_job_that_may_not_be_overtaken_holds_the_others_until_it_leaves() {
    let rules = with(SchedulerPolicySpec { overtakes_max: 1, ..SchedulerPolicySpec::default() });
    check(
        &rules,
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (0, Snapshot(&pool("q", 4)), "done; pool q credited 0"),
            (1, Submit(&huge("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (
                2,
                Submit(&batch("b")),
                "accepted 1/1; enqueued b; batch 2; fits b; dispatched b to q; batch 1; DISPATCH b q",
            ),
            (3, Submit(&batch("c")), "accepted 1/1; enqueued c; batch 2"),
            (
                4,
                Cancel { job_id: "a", cause: CancelCause::Admin },
                "done; canceled a on queue admin; batch 1; fits c; dispatched c to q; batch 0; DISPATCH c q",
            ),
        ],
    );
}

/// QUEUE-12, QUEUE-13: the same when it waited too long.
#[test]
fn a_job_that_times_out_lets_those_behind_it_go() {
    let scheduler = SchedulerPolicySpec { scan_limit: 1, queue_ttl_ms: 10.0, ..SchedulerPolicySpec::default() };
    check(
        &with(scheduler),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (0, Snapshot(&pool("q", 4)), "done; pool q credited 0"),
            (1, Submit(&huge("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (2, Submit(&batch("b")), "accepted 1/1; enqueued b; batch 2"),
            (
                11,
                Tick,
                "done; timed out a after 10000; batch 1; DROP a QUEUE_TIMEOUT 1000ms; fits b; dispatched b to q; \
                 batch 0; DISPATCH b q",
            ),
        ],
    );
}

/// QUEUE-14: a full queue of other work does not keep a pool idle, until a job that waits for VRAM was overtaken
/// often enough.
#[test]
fn a_newcomer_goes_past_a_full_queue() {
    let queue_total = WaitLimit { jobs: 1, ..WaitLimit::NONE };
    let at_once = |id: &str| format!("fits {id}; enqueued {id}; dispatched {id} to q; DISPATCH {id} q");
    for full_policy in [FullPolicy::Reject, FullPolicy::ShedLowPriority] {
        let scheduler = SchedulerPolicySpec {
            queue_total,
            overtakes_max: 2,
            full: full_policy,
            shed_above_percent: 100,
            ..SchedulerPolicySpec::default()
        };
        let label = full_policy.label();
        check(
            &with(scheduler),
            &[
                (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
                (0, Snapshot(&pool("q", 4)), "done; pool q credited 0"),
                (1, Submit(&huge("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
                (2, Submit(&batch("b")), &format!("accepted 0/0; {}", at_once("b"))),
                (3, Submit(&chat("c")), &format!("accepted 0/0; {}", at_once("c"))),
                (
                    4,
                    Submit(&chat("d")),
                    &format!("refused ADMISSION_REJECT {label} 1000ms; refused d ADMISSION_REJECT"),
                ),
            ],
        );
    }
}

/// QUEUE-14, QUEUE-4: under `drop-lru` nobody is evicted for a newcomer that a pool takes at once; beyond the overtakes
/// of the one that waits for VRAM its place is taken as ever.
#[test]
fn a_newcomer_that_needs_no_room_evicts_nobody() {
    let queue_total = WaitLimit { jobs: 1, ..WaitLimit::NONE };
    let full_policy = FullPolicy::DropLru;
    let scheduler =
        SchedulerPolicySpec { queue_total, overtakes_max: 1, full: full_policy, ..SchedulerPolicySpec::default() };
    check(
        &with(scheduler),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (0, Snapshot(&pool("q", 4)), "done; pool q credited 0"),
            (1, Submit(&huge("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (2, Submit(&batch("b")), "accepted 0/0; fits b; enqueued b; dispatched b to q; DISPATCH b q"),
            (
                3,
                Submit(&batch("c")),
                "accepted 0/0; evicted a after 2000; batch 1; enqueued c; batch 1; \
                 DROP a QUEUE_FULL_DROP_LRU drop-lru 1000ms; fits c; dispatched c to q; batch 0; DISPATCH c q",
            ),
        ],
    );
}

/// QUEUE-14, BUDGET-3: a newcomer that its budget refuses overtook nobody.
#[test]
fn a_refused_newcomer_overtakes_nobody() {
    use orchestrator_core::Budget;
    let queue_total = WaitLimit { jobs: 1, ..WaitLimit::NONE };
    let scheduler = SchedulerPolicySpec { queue_total, overtakes_max: 1, ..SchedulerPolicySpec::default() };
    let budget = Budget { tokens: Some(0), ..Budget::default() };
    check(
        &with(scheduler),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (0, Snapshot(&pool("q", 4)), "done; pool q credited 0"),
            (1, Submit(&huge("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (
                2,
                Submit(&JobSpec { budget, ..batch("b") }),
                "refused INVALID_PARAMS budget.tokens; refused b INVALID_PARAMS",
            ),
            (3, Submit(&batch("c")), "accepted 0/0; fits c; enqueued c; dispatched c to q; DISPATCH c q"),
        ],
    );
}

/// ADMIT-4: a victim is told the time of those that wait of its class and above.
#[test]
fn an_interactive_job_that_leaves_is_told_of_its_own_class() {
    let scheduler = SchedulerPolicySpec { queue_ttl_ms: 5000.0, ..SchedulerPolicySpec::default() };
    check(
        &with(scheduler),
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (
                0,
                Submit(&batch("a")),
                "accepted 0/0; enqueued a; batch 1; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
            (0, Submit(&chat("b")), "accepted 0/0; fits not b; enqueued b; interactive 1"),
            (0, Submit(&chat("b2")), "accepted 1/1; fits not b2; enqueued b2; interactive 2"),
            (
                1,
                Finished { job_id: "a", tokens_out: 0 },
                "done; finished a 0+0 in 0; fits b; dispatched b to p; interactive 1; DISPATCH b p",
            ),
            (
                4001,
                Finished { job_id: "b", tokens_out: 0 },
                "done; finished b 0+0 in 0; fits b2; dispatched b2 to p; interactive 0; DISPATCH b2 p",
            ),
            (4001, Submit(&chat("c")), "accepted 0/0 start 8001000; fits not c; enqueued c; interactive 1"),
            (4001, Submit(&batch("d")), "accepted 1/0 start 12001000; fits not d; enqueued d; batch 1"),
            // Ahead of the next of its class: nobody for the interactive job, nobody for the batch job either.
            (
                9001,
                Tick,
                "done; timed out c after 5000000; interactive 0; DROP c QUEUE_TIMEOUT 4000ms; timed out d after 5000000; \
                 batch 0; DROP d QUEUE_TIMEOUT 4000ms",
            ),
        ],
    );
}

/// QUEUE-9, QUEUE-13: another discipline puts what waits in another order, and what waits is asked for again.
#[test]
fn another_policy_asks_for_waiting_jobs_again() {
    let placement = Policy::default();
    let by_deadline =
        SchedulerPolicySpec { discipline: Discipline::EarliestDeadline, ..SchedulerPolicySpec::default() };
    let by_deadline = by_deadline.validate().unwrap();
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (1, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (
                2,
                Submit(&JobSpec { deadline_ms: Some(9e6), ..batch("b") }),
                "accepted 1/1; fits not b; enqueued b; batch 2",
            ),
            (3, SetPolicies { placement: &placement, scheduler: &by_deadline }, "done; policies"),
            (4, Snapshot(&pool("p", 1)), "done; pool p credited 0; fits b; dispatched b to p; batch 1; DISPATCH b p"),
        ],
    );
}

/// JOB-6, ORCH-3045: the determinism tuple pins its candidates exactly, and the seed reaches the dispatch.
#[test]
fn what_a_reproducible_stream_needs_decides() {
    let old = PoolSnapshot { engine_version: Some("1"), sampler_profile_version: Some("s"), ..pool("old", 4) };
    let new = PoolSnapshot { engine_version: Some("2"), sampler_profile_version: Some("s"), ..pool("new", 4) };
    let unknown = pool("any", 4);
    let pinned = |id, version, seed| {
        let determinism = DeterminismSpec {
            seed: Some(seed),
            engine_version: Some(version),
            sampler_profile_version: Some("s"),
            model_digest: None,
        };
        JobSpec { determinism, ..batch(id) }
    };
    let at_once = |id: &str, pool: &str, seed: i64| {
        format!(
            "accepted 0/0; enqueued {id}; batch 1; fits {id}; dispatched {id} to {pool} seed {seed}; batch 0; \
             DISPATCH {id} {pool}"
        )
    };
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&old), "done; pool old credited 0"),
            (0, Snapshot(&new), "done; pool new credited 0"),
            (0, Snapshot(&unknown), "done; pool any credited 0"),
            (1, Submit(&pinned("a", "1", 7)), &at_once("a", "old", 7)),
            (2, Submit(&pinned("b", "2", -7)), &at_once("b", "new", -7)),
            (3, Submit(&pinned("c", "1", 0)), &at_once("c", "old", 0)),
            (
                4,
                Submit(&pinned("d", "3", 1)),
                "refused POOL_UNAVAILABLE EngineVersion; fits not d; refused d POOL_UNAVAILABLE",
            ),
            // A pool that is of another version by now takes none that needs the former one: mixed versions never share.
            (5, Snapshot(&PoolSnapshot { engine_version: Some("2"), ..old }), "done; pool old credited 0"),
            (
                6,
                Submit(&pinned("e", "1", 1)),
                "refused POOL_UNAVAILABLE EngineVersion; fits not e; refused e POOL_UNAVAILABLE",
            ),
        ],
    );
}

/// EVENT-3: time does not go back; actions that were not asked for hold the next input. Neither changes anything.
#[test]
fn inputs_out_of_turn_change_nothing() {
    let mut buffers: SchedulerBuffers<_, 4, 4, 256, 4, 2> = SchedulerBuffers::new();
    let mut scheduler = Scheduler::new(Fleet::new(), buffers.storage(), Policy::default(), SchedulerPolicy::default());
    let p = pool("p", 1);
    assert_eq!(step(&mut scheduler, 10, &Snapshot(&p)), "done; pool p credited 0");
    assert_eq!(step(&mut scheduler, 9, &Submit(&batch("a"))), "time_went_back 10");
    assert_eq!(scheduler.now_us(), 10);
    let _ = scheduler.handle(&Submit(&batch("b")), 11, &mut ());
    assert_eq!(step(&mut scheduler, 12, &Submit(&batch("c"))), "actions_pending");
    assert!(scheduler.next_action(&mut ()).is_some());
    assert_eq!(step(&mut scheduler, 12, &Tick), "actions_pending");
    assert!(scheduler.next_action(&mut ()).is_none());
    assert_eq!((step(&mut scheduler, 12, &Tick).as_str(), scheduler.now_us()), ("done", 12));
    assert_eq!(step(&mut scheduler, 13, &Finished { job_id: "c", tokens_out: 0 }), "unknown_job");
}

/// QUEUE-13: behind 2,000 jobs of a model whose pool is full, a job of another is served at once, again and again; it
/// overtakes nobody, and a pool that is free again takes the first of those that wait.
#[test]
fn jobs_of_an_idle_model_do_not_wait_behind_those_of_a_full_one() {
    const WAITING: usize = 2_000;
    let scheduling = SchedulerPolicySpec { overtakes_max: 1, ..SchedulerPolicySpec::default() }.validate().unwrap();
    let mut buffers = Box::new(SchedulerBuffers::<_, 4, 2_048, 128, 64, 2>::new());
    let mut scheduler = Scheduler::new(Fleet::new(), buffers.storage(), Policy::default(), scheduling);
    let [mut busy, mut free, mut idle] = [full("busy", 1), pool("busy", 1), pool("idle", 64)];
    let (m, other): (&[&str], &[&str]) = (&["m"], &["other"]);
    (busy.supports.models, free.supports.models, idle.supports.models) = (Some(m), Some(m), Some(other));
    step(&mut scheduler, 0, &Snapshot(&busy));
    step(&mut scheduler, 0, &Snapshot(&idle));
    for place in 0..WAITING {
        step(&mut scheduler, 0, &Submit(&batch(&format!("m{place}"))));
    }
    for round in 0..8 {
        let id = format!("other{round}");
        let found = step(&mut scheduler, 1 + round, &Submit(&JobSpec { model_id: "other", ..batch(&id) }));
        assert!(found.ends_with(&format!("DISPATCH {id} idle")), "{found}");
    }
    assert_eq!(scheduler.waiting_jobs() as usize, WAITING);
    let found = step(&mut scheduler, 20, &Snapshot(&free));
    // One question answers for all the others.
    assert!(found.ends_with("DISPATCH m0 busy; fits not m1"), "{found}");
}
