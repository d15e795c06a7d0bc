//! What becomes of a newcomer: taken at once, made to wait, refused, or at another's expense.

use orchestrator_core::scheduler::Input::{Cancel, Finished, RemovePool, SetPolicies, Snapshot, Submit, Tick};
use orchestrator_core::scheduler::{CancelCause, FullPolicy, SchedulerPolicySpec, WaitLimit};
use orchestrator_core::{Budget, JobSpec, PlacementHints, PolicySpec};

use crate::table::{Rules, batch, chat, check, check_sized, full, pool};

fn limited(jobs: u32, full: FullPolicy) -> Rules {
    let queue_total = WaitLimit { jobs, ..WaitLimit::NONE };
    Rules { scheduler: SchedulerPolicySpec { queue_total, full, ..SchedulerPolicySpec::default() }, ..Rules::default() }
}

/// LEASE-1, EVENT-1: a job for which a pool is free is dispatched at once; the next one waits until it ends.
#[test]
fn a_job_is_dispatched_at_once_or_when_another_ends() {
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (
                10,
                Submit(&batch("a")),
                "accepted 0/0; enqueued a; batch 1; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
            (20, Submit(&chat("b")), "accepted 0/0; fits not b; enqueued b; interactive 1"),
            (30, Submit(&batch("c")), "accepted 1/0; fits not c; enqueued c; batch 1"),
            (
                40,
                Finished { job_id: "a", tokens_out: 12 },
                "done; finished a 100+12 in 0; fits b; dispatched b to p; interactive 0; DISPATCH b p",
            ),
        ],
    );
}

/// ADMIT-4, ADMIT-5, QUEUE-4, QUEUE-6: `reject` says its label and when to come back.
#[test]
fn a_full_queue_rejects() {
    check(
        &limited(1, FullPolicy::Reject),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (10, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (20, Submit(&chat("b")), "refused ADMISSION_REJECT reject 1000ms; fits not b; refused b ADMISSION_REJECT"),
            (30, Cancel { job_id: "b", cause: CancelCause::Admin }, "unknown_job"),
        ],
    );
}

/// QUEUE-4, QUEUE-5, ADMIT-5: under `drop-lru` the oldest batch job leaves, and its caller is told.
#[test]
fn a_full_queue_drops_the_oldest() {
    let code = "QUEUE_FULL_DROP_LRU drop-lru 1000ms";
    check(
        &limited(2, FullPolicy::DropLru),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (10, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (20, Submit(&batch("b")), "accepted 1/1; fits not b; enqueued b; batch 2"),
            (
                30,
                Submit(&chat("c")),
                &format!(
                    "accepted 0/0; fits not c; evicted a after 20000; batch 1; enqueued c; interactive 1; DROP a {code}"
                ),
            ),
            (
                40,
                Submit(&batch("d")),
                &format!(
                    "accepted 1/0; fits not d; evicted b after 20000; batch 1; enqueued d; batch 1; DROP b {code}"
                ),
            ),
            (
                50,
                Submit(&chat("e")),
                &format!(
                    "accepted 1/1; fits not e; evicted d after 10000; batch 0; enqueued e; interactive 2; DROP d {code}"
                ),
            ),
            // Only interactive jobs wait: a batch newcomer finds no victim.
            (60, Submit(&batch("f")), &format!("refused {code}; fits not f; refused f QUEUE_FULL_DROP_LRU")),
        ],
    );
}

/// QUEUE-4: `shed-low-priority` refuses batch jobs above its share, interactive ones above the limit.
#[test]
fn a_filling_queue_sheds_batch_jobs() {
    let no = "ADMISSION_REJECT shed-low-priority 1000ms";
    check(
        &limited(4, FullPolicy::ShedLowPriority),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (1, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (2, Submit(&batch("b")), "accepted 1/1; fits not b; enqueued b; batch 2"),
            (3, Submit(&batch("c")), "accepted 2/2; fits not c; enqueued c; batch 3"),
            (4, Submit(&batch("d")), &format!("refused {no}; fits not d; refused d ADMISSION_REJECT")),
            (5, Submit(&chat("e")), "accepted 0/0; fits not e; enqueued e; interactive 1"),
            (6, Submit(&chat("f")), &format!("refused {no}; fits not f; refused f ADMISSION_REJECT")),
        ],
    );
}

/// QUEUE-3, QUEUE-14: without any room to wait a job is dispatched at once, or refused.
#[test]
fn a_queue_without_room_takes_what_a_pool_takes_at_once() {
    let rows = [
        (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
        (10, Submit(&batch("a")), "accepted 0/0; fits a; enqueued a; dispatched a to p; DISPATCH a p"),
        (20, Submit(&batch("b")), "refused ADMISSION_REJECT reject 1000ms; fits not b; refused b ADMISSION_REJECT"),
        (30, Finished { job_id: "a", tokens_out: 0 }, "done; finished a 0+0 in 0"),
    ];
    check(&limited(0, FullPolicy::Reject), &rows);
    check_sized::<0, 4, 2>(&Rules::default(), &rows);
}

/// ADMIT-5: without any room for leases every job waits.
#[test]
fn without_room_for_leases_jobs_wait() {
    check_sized::<2, 0, 2>(
        &Rules::default(),
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (1, Submit(&batch("a")), "accepted 0/0; enqueued a; batch 1"),
            (2, Submit(&batch("b")), "accepted 1/1; enqueued b; batch 2"),
            (3, Submit(&batch("c")), "refused ADMISSION_REJECT reject 1000ms; refused c ADMISSION_REJECT"),
        ],
    );
}

/// ADMIT-2, ADMIT-5: what is wrong with a job itself is said with its field, and waiting is not offered.
#[test]
fn guardrails_refuse_before_the_queue() {
    let scheduler =
        SchedulerPolicySpec { max_job_tokens: 1000, max_context_tokens: 2000, ..SchedulerPolicySpec::default() };
    let rules = Rules { scheduler, ..Rules::default() };
    let long = "x".repeat(128);
    check(
        &rules,
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (
                1,
                Submit(&JobSpec { prompt_tokens: 991, ..batch("a") }),
                "refused INVALID_PARAMS max_tokens; refused a INVALID_PARAMS",
            ),
            (
                2,
                Submit(&JobSpec { required_ctx: Some(2001), ..batch("b") }),
                "refused INVALID_PARAMS required_ctx; refused b INVALID_PARAMS",
            ),
            (
                3,
                Submit(&JobSpec { deadline_ms: Some(0.0), ..batch("c") }),
                "refused DEADLINE_UNMET deadline_ms; refused c DEADLINE_UNMET",
            ),
            (
                4,
                Submit(&JobSpec { model_id: &long, engine: &long, ..batch("d") }),
                "refused INVALID_PARAMS job; refused d INVALID_PARAMS",
            ),
            (
                5,
                Submit(&JobSpec { prompt_tokens: -1, ..batch("e") }),
                "refused INVALID_PARAMS prompt_tokens; refused e INVALID_PARAMS",
            ),
            (6, Submit(&batch("")), "refused INVALID_PARAMS id; refused  INVALID_PARAMS"),
            // At the limits it is a good job.
            (
                7,
                Submit(&JobSpec { prompt_tokens: 990, deadline_ms: Some(0.001), ..batch("f") }),
                "accepted 0/0; enqueued f; batch 1; fits f; dispatched f to p; batch 0; DISPATCH f p",
            ),
        ],
    );
}

/// ADMIT-2, NOCAP-2, NOCAP-3: what no pool could ever take does not wait; what one could take later does.
#[test]
fn what_no_pool_can_ever_take_is_refused() {
    let pinned = PlacementHints { pin_pool_id: Some("q"), ..PlacementHints::AUTOMATIC };
    check(
        &Rules::default(),
        &[
            (0, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (1, Submit(&JobSpec { placement: pinned, ..batch("b") }), "accepted 1/1; fits not b; enqueued b; batch 2"),
            // Who waits already is not refused any more.
            (2, Snapshot(&pool("p", 1)), "done; pool p credited 0; fits a; dispatched a to p; batch 1; DISPATCH a p"),
            (
                3,
                Submit(&JobSpec { engine: "sglang", ..batch("c") }),
                "refused POOL_UNAVAILABLE EngineName; fits not c; refused c POOL_UNAVAILABLE",
            ),
            (
                4,
                Submit(&JobSpec { placement: pinned, ..batch("d") }),
                "refused INVALID_PARAMS NotPinned; fits not d; refused d INVALID_PARAMS",
            ),
            (
                5,
                RemovePool { id: "p", replica_id: "" },
                "done; expired a on p pool_lost; ABORT a p expired pool_lost; removed p",
            ),
        ],
    );
}

/// QUEUE-2, LEASE-6: an id that waits or runs is not taken in twice; when it ended it may come again.
#[test]
fn an_id_is_there_once() {
    let done = "done; finished a 0+0 in 0; fits b; dispatched b to p; batch 0; DISPATCH b p";
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (
                1,
                Submit(&batch("a")),
                "accepted 0/0; enqueued a; batch 1; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
            (2, Submit(&batch("a")), "duplicate_job"),
            (3, Submit(&batch("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (4, Submit(&chat("b")), "duplicate_job"),
            (5, Finished { job_id: "a", tokens_out: 0 }, done),
            (6, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
        ],
    );
}

/// BUDGET-1, BUDGET-3: without a session a budget limits the job alone; 0 is exhausted, absent is unlimited.
#[test]
fn a_budget_of_its_own_refuses_a_job() {
    let with = |id, budget| JobSpec { budget, ..batch(id) };
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (
                1,
                Submit(&with("a", Budget { tokens: Some(109), ..Budget::default() })),
                "refused INVALID_PARAMS budget.tokens; fits not a; refused a INVALID_PARAMS",
            ),
            (
                2,
                Submit(&with("b", Budget { time_ms: Some(0.0), ..Budget::default() })),
                "refused INVALID_PARAMS budget.time_ms; fits not b; refused b INVALID_PARAMS",
            ),
            (
                3,
                Submit(&with("c", Budget { tokens: Some(110), time_ms: Some(0.001), cost_micros: Some(0) })),
                "accepted 0/0; fits not c; enqueued c; batch 1",
            ),
        ],
    );
}

/// ADMIT-3, ADMIT-4, FORECAST-2: once services were measured, callers are told a time.
#[test]
fn the_drain_interval_tells_times() {
    check(
        &limited(2, FullPolicy::Reject),
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (
                0,
                Submit(&batch("a")),
                "accepted 0/0; enqueued a; batch 1; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
            (0, Submit(&batch("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (1, Submit(&batch("c")), "accepted 1/1; fits not c; enqueued c; batch 2"),
            // Nobody waited when `a` was served: no sample.
            (
                1000,
                Finished { job_id: "a", tokens_out: 1 },
                "done; finished a 100+1 in 0; fits b; dispatched b to p; batch 1; DISPATCH b p",
            ),
            (1000, Submit(&batch("d")), "accepted 1/1; fits not d; enqueued d; batch 2"),
            (
                1000,
                Submit(&batch("e")),
                "refused ADMISSION_REJECT reject 1000ms; fits not e; refused e ADMISSION_REJECT",
            ),
            // `c` waited from the service of `b` on.
            (
                3000,
                Finished { job_id: "b", tokens_out: 1 },
                "done; finished b 100+1 in 0; fits c; dispatched c to p; batch 1; DISPATCH c p",
            ),
            (3000, Submit(&batch("e")), "accepted 1/1 start 7000000; fits not e; enqueued e; batch 2"),
            (
                3000,
                Submit(&batch("f")),
                "refused ADMISSION_REJECT reject 6000ms; fits not f; refused f ADMISSION_REJECT",
            ),
            (
                3000,
                Submit(&chat("g")),
                "refused ADMISSION_REJECT reject 2000ms; fits not g; refused g ADMISSION_REJECT",
            ),
        ],
    );
}

/// ADMIT-3, ADMIT-4, FORECAST-2: jobs that found the queue empty and a pool free say nothing of how fast it drains, also
/// where they come at the same time.
#[test]
fn a_burst_into_an_idle_fleet_is_no_sample() {
    let at_once = |id: &str| {
        format!("accepted 0/0; enqueued {id}; batch 1; fits {id}; dispatched {id} to p; batch 0; DISPATCH {id} p")
    };
    check(
        &limited(2, FullPolicy::Reject),
        &[
            (0, Snapshot(&pool("p", 3)), "done; pool p credited 0"),
            (0, Submit(&batch("a")), &at_once("a")),
            (0, Submit(&batch("b")), &at_once("b")),
            (0, Submit(&batch("c")), &at_once("c")),
            (0, Submit(&batch("d")), "accepted 0/0; fits not d; enqueued d; batch 1"),
            (0, Submit(&batch("e")), "accepted 1/1; fits not e; enqueued e; batch 2"),
            (
                2000,
                Finished { job_id: "a", tokens_out: 1 },
                "done; finished a 100+1 in 0; fits d; dispatched d to p; batch 1; DISPATCH d p",
            ),
            (2000, Submit(&batch("f")), "accepted 1/1; fits not f; enqueued f; batch 2"),
            (
                2000,
                Submit(&batch("g")),
                "refused ADMISSION_REJECT reject 1000ms; fits not g; refused g ADMISSION_REJECT",
            ),
            // The first sample, and it stands as it is: 4 s.
            (
                6000,
                Finished { job_id: "b", tokens_out: 1 },
                "done; finished b 100+1 in 0; fits e; dispatched e to p; batch 1; DISPATCH e p",
            ),
            (6000, Submit(&batch("g")), "accepted 1/1 start 14000000; fits not g; enqueued g; batch 2"),
            (
                6000,
                Submit(&batch("h")),
                "refused ADMISSION_REJECT reject 12000ms; fits not h; refused h ADMISSION_REJECT",
            ),
        ],
    );
}

/// ADMIT-3: between two services a gap in which nobody waited makes no sample, however long the second job waited then.
#[test]
fn a_gap_without_waiting_jobs_is_no_sample() {
    check(
        &limited(2, FullPolicy::Reject),
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (
                0,
                Submit(&batch("a")),
                "accepted 0/0; enqueued a; batch 1; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
            (1, Submit(&batch("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (
                1000,
                Finished { job_id: "a", tokens_out: 1 },
                "done; finished a 100+1 in 0; fits b; dispatched b to p; batch 0; DISPATCH b p",
            ),
            (2000, Submit(&batch("c")), "accepted 0/0; fits not c; enqueued c; batch 1"),
            (
                5000,
                Finished { job_id: "b", tokens_out: 1 },
                "done; finished b 100+1 in 0; fits c; dispatched c to p; batch 0; DISPATCH c p",
            ),
            // Still no sample: the start stays unknown.
            (5000, Submit(&batch("d")), "accepted 0/0; fits not d; enqueued d; batch 1"),
        ],
    );
}

/// ADMIT-3: jobs that overtake a stuck one the moment they come say nothing of how long another waits.
#[test]
fn jobs_that_did_not_wait_are_no_samples() {
    let placement = PlacementHints { pin_pool_id: Some("q"), ..PlacementHints::AUTOMATIC };
    let stuck = JobSpec { placement, ..batch("s") };
    let at_once = |id: &str| {
        format!("accepted 1/1; enqueued {id}; batch 2; fits {id}; dispatched {id} to p; batch 1; DISPATCH {id} p")
    };
    check(
        &limited(3, FullPolicy::Reject),
        &[
            (0, Snapshot(&pool("p", 2)), "done; pool p credited 0"),
            (0, Snapshot(&full("q", 1)), "done; pool q credited 0"),
            (1, Submit(&stuck), "accepted 0/0; fits not s; enqueued s; batch 1"),
            (2, Submit(&batch("a")), &at_once("a")),
            (3, Submit(&batch("b")), &at_once("b")),
            (4, Submit(&batch("c")), "accepted 1/1; fits not c; enqueued c; batch 2"),
            (5, Submit(&batch("d")), "accepted 2/2; fits not d; enqueued d; batch 3"),
            (
                10,
                Finished { job_id: "a", tokens_out: 0 },
                "done; finished a 0+0 in 0; fits not s; fits c; dispatched c to p; batch 2; DISPATCH c p",
            ),
            (
                2010,
                Finished { job_id: "b", tokens_out: 0 },
                "done; finished b 0+0 in 0; fits not s; fits d; dispatched d to p; batch 1; DISPATCH d p",
            ),
            // The first sample: from `c` to `d`.
            (2010, Submit(&batch("e")), "accepted 1/1 start 6010000; fits not e; enqueued e; batch 2"),
        ],
    );
}

/// ADMIT-3: a job that takes the only place of another leaves no gap between the two.
#[test]
fn an_eviction_from_the_only_place_is_no_gap() {
    let one = SchedulerPolicySpec {
        queue_total: WaitLimit { jobs: 1, ..WaitLimit::NONE },
        full: FullPolicy::DropLru,
        ..SchedulerPolicySpec::default()
    };
    let (placement, one) = (PolicySpec::default().validate().unwrap(), one.validate().unwrap());
    check(
        &limited(2, FullPolicy::Reject),
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (
                0,
                Submit(&batch("a")),
                "accepted 0/0; enqueued a; batch 1; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
            (1, Submit(&batch("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (2, Submit(&batch("c")), "accepted 1/1; fits not c; enqueued c; batch 2"),
            (
                1000,
                Finished { job_id: "a", tokens_out: 0 },
                "done; finished a 0+0 in 0; fits b; dispatched b to p; batch 1; DISPATCH b p",
            ),
            (1500, SetPolicies { placement: &placement, scheduler: &one }, "done; policies"),
            (
                2000,
                Submit(&batch("d")),
                "accepted 0/0; fits not d; evicted c after 1998000; batch 1; enqueued d; batch 1; \
                 DROP c QUEUE_FULL_DROP_LRU drop-lru 1000ms",
            ),
            (
                3000,
                Finished { job_id: "b", tokens_out: 0 },
                "done; finished b 0+0 in 0; fits d; dispatched d to p; batch 0; DISPATCH d p",
            ),
            // 2 s from the service of `b` to that of `d`.
            (3000, Submit(&batch("e")), "accepted 0/0 start 5000000; fits not e; enqueued e; batch 1"),
        ],
    );
}

/// WAIT-1, WAIT-3: where the policy declares a backlog, a job may wait in a busy pool whose end is known.
#[test]
fn jobs_wait_in_a_pool_with_a_backlog() {
    let placement = PolicySpec {
        pool_backlog: 1,
        default_tokens_per_s: Some(10.0),
        default_first_token_ms: Some(100.0),
        ..PolicySpec::default()
    };
    check(
        &Rules { placement, ..Rules::default() },
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (
                1,
                Submit(&batch("a")),
                "accepted 0/0; enqueued a; batch 1; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
            (
                2,
                Submit(&batch("b")),
                "accepted 0/0; enqueued b; batch 1; fits b; dispatched b to p; batch 0; DISPATCH b p",
            ),
            (3, Submit(&batch("c")), "accepted 0/0; fits not c; enqueued c; batch 1"),
            (
                4,
                Finished { job_id: "a", tokens_out: 1 },
                "done; finished a 100+1 in 0; fits c; dispatched c to p; batch 0; DISPATCH c p",
            ),
            (5, Tick, "done"),
        ],
    );
}
