//! What is reported of leased jobs, and every end of a lease.

use orchestrator_core::scheduler::Input::{
    Cancel, Drain, Failed, Finished, FirstToken, Progress, RemovePool, Snapshot, Started, Submit, Tick,
};
use orchestrator_core::scheduler::{CancelCause, FailureCause, SchedulerPolicySpec};
use orchestrator_core::{JobSpec, PolicySpec, PoolSnapshot};

use crate::table::{Row, Rules, batch, check, full, pool};

const A: &str = "accepted 0/0; enqueued a; batch 1; fits a; dispatched a to p; batch 0; DISPATCH a p";
const B: &str = "accepted 0/0; enqueued b; batch 1; fits b; dispatched b to p; batch 0; DISPATCH b p";

/// Runs after `a` was dispatched at 1 ms to the pool `p` with 2 slots.
fn after_a(rules: &Rules, rows: &[Row<'_>]) {
    let (p, a) = (pool("p", 2), batch("a"));
    let before = [(0, Snapshot(&p), "done; pool p credited 0"), (1, Submit(&a), A)];
    check(rules, &[&before, rows].concat());
}

/// LEASE-1, BUDGET-2: the whole way, with its times and tokens.
#[test]
fn a_job_runs_from_start_to_end() {
    let job_id = "a";
    after_a(
        &Rules::default(),
        &[
            (2, Started { job_id }, "done; started a"),
            (5, FirstToken { job_id }, "done; first token a"),
            (6, Progress { job_id, tokens_out: 3 }, "done"),
            (9, Finished { job_id, tokens_out: 7 }, "done; finished a 100+7 in 7000"),
            (10, Finished { job_id, tokens_out: 7 }, "unknown_job"),
        ],
    );
}

/// LEASE-7: late, repeated and reordered reports are answered and change nothing.
#[test]
fn reports_in_any_order() {
    let job_id = "a";
    after_a(
        &Rules::default(),
        &[
            (2, FirstToken { job_id }, "done; started a; first token a"),
            (3, Started { job_id }, "repeated"),
            (4, FirstToken { job_id }, "repeated"),
            (5, Progress { job_id, tokens_out: 5 }, "done"),
            (6, Progress { job_id, tokens_out: 4 }, "repeated"),
            (7, Progress { job_id, tokens_out: 5 }, "done"),
            // The end reports fewer tokens than were seen before.
            (8, Finished { job_id, tokens_out: 2 }, "done; finished a 100+5 in 6000"),
            (9, Started { job_id }, "unknown_job"),
            (9, FirstToken { job_id }, "unknown_job"),
            (9, Progress { job_id, tokens_out: 9 }, "unknown_job"),
            (9, Failed { job_id, cause: FailureCause::Engine, tokens_out: 9 }, "unknown_job"),
        ],
    );
}

/// LEASE-1, LEASE-7: an end is believed from every state; progress alone starts a job.
#[test]
fn ends_without_a_start_and_starts_without_a_word() {
    after_a(
        &Rules::default(),
        &[
            (2, Finished { job_id: "a", tokens_out: 7 }, "done; finished a 100+7 in 0"),
            (3, Submit(&batch("b")), B),
            (4, Progress { job_id: "b", tokens_out: 0 }, "done; started b"),
            (
                5,
                Failed { job_id: "b", cause: FailureCause::WorkerReset, tokens_out: 0 },
                "done; failed b worker_reset 100+0",
            ),
        ],
    );
}

/// LEASE-6, CANCEL-21: whoever comes first ends the job, the other one is told that there is none.
#[test]
fn a_leased_job_is_canceled_once() {
    let cancel = |job_id| Cancel { job_id, cause: CancelCause::ClientRequest };
    after_a(
        &Rules::default(),
        &[
            (2, cancel("a"), "done; canceled a on p client_request; ABORT a p canceled client_request"),
            (3, Started { job_id: "a" }, "unknown_job"),
            (3, cancel("a"), "unknown_job"),
            (3, Finished { job_id: "a", tokens_out: 1 }, "unknown_job"),
            (4, Submit(&batch("b")), B),
            (5, FirstToken { job_id: "b" }, "done; started b; first token b"),
            (6, cancel("b"), "done; canceled b on p client_request; ABORT b p canceled client_request"),
            (7, Submit(&batch("a")), A),
            (8, Finished { job_id: "a", tokens_out: 1 }, "done; finished a 100+1 in 0"),
            (9, cancel("a"), "unknown_job"),
        ],
    );
}

/// LEASE-5: each limit of the watchdog; a report only starts the idle time anew.
#[test]
fn the_watchdog_ends_what_is_silent_or_too_long() {
    let scheduler = SchedulerPolicySpec {
        start_timeout_ms: 10.0,
        idle_limit_ms: 20.0,
        wall_limit_ms: 30.0,
        ..SchedulerPolicySpec::default()
    };
    let rules = Rules { scheduler, ..Rules::default() };
    let expired = |cause: &str| format!("done; expired a on p {cause}; ABORT a p expired {cause}");
    let started = (5, Started { job_id: "a" }, "done; started a");
    after_a(&rules, &[(10, Tick, "done"), (11, Tick, &expired("not_started"))]);
    after_a(&rules, &[started, (24, Tick, "done"), (25, Tick, &expired("idle_limit"))]);
    let alive = (20, Progress { job_id: "a", tokens_out: 1 }, "done");
    after_a(&rules, &[started, alive, (34, Tick, "done"), (35, Tick, &expired("wall_limit"))]);
    // A report that is late is no sign of life; one in time wins over the watchdog of the same moment.
    after_a(
        &rules,
        &[
            (5, Progress { job_id: "a", tokens_out: 2 }, "done; started a"),
            (24, Progress { job_id: "a", tokens_out: 1 }, "repeated"),
            (25, Finished { job_id: "a", tokens_out: 3 }, "done; finished a 100+3 in 20000"),
        ],
    );
}

/// LEASE-5, WAIT-2: a job that was sent to wait in its pool has its start timeout from the predicted start on; one that
/// took a slot later expires before it.
#[test]
fn the_start_timeout_counts_from_the_predicted_start() {
    let placement = PolicySpec {
        pool_backlog: 1,
        default_tokens_per_s: Some(10.0),
        default_first_token_ms: Some(100.0),
        ..PolicySpec::default()
    };
    let scheduler = SchedulerPolicySpec { start_timeout_ms: 10.0, ..SchedulerPolicySpec::default() };
    let (q, d) = (pool("q", 1), batch("d"));
    let dispatched =
        |id: &str, pool: &str| format!("fits {id}; dispatched {id} to {pool}; batch 0; DISPATCH {id} {pool}");
    let accepted = |id: &str, pool: &str| format!("accepted 0/0; enqueued {id}; batch 1; {}", dispatched(id, pool));
    check(
        &Rules { placement, scheduler },
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (1, Submit(&batch("a")), &accepted("a", "p")),
            (2, Started { job_id: "a" }, "done; started a"),
            // It starts when `a` ends: in 1,100 ms.
            (2, Submit(&batch("b")), &accepted("b", "p")),
            (5, Snapshot(&q), "done; pool q credited 0"),
            (5, Submit(&d), &accepted("d", "q")),
            (14, Tick, "done"),
            (15, Tick, "done; expired d on q not_started; ABORT d q expired not_started"),
            (1111, Tick, "done"),
            (1112, Tick, "done; expired b on p not_started; ABORT b p expired not_started"),
        ],
    );
}

/// LEASE-4, EVENT-1: a pool that is removed takes its leases with it, each is said, then the pool.
#[test]
fn a_removed_pool_ends_its_leases() {
    after_a(
        &Rules::default(),
        &[
            (2, Submit(&batch("b")), B),
            (3, Submit(&batch("c")), "accepted 0/0; fits not c; enqueued c; batch 1"),
            (
                4,
                RemovePool { id: "p", replica_id: "" },
                "done; expired a on p pool_lost; ABORT a p expired pool_lost; expired b on p pool_lost; \
                 ABORT b p expired pool_lost; removed p",
            ),
            (5, RemovePool { id: "p", replica_id: "" }, "unknown_pool"),
            (6, Finished { job_id: "a", tokens_out: 1 }, "unknown_job"),
            // The pool that comes back is another one: nothing is owed to it.
            (7, Snapshot(&pool("p", 1)), "done; pool p credited 0; fits c; dispatched c to p; batch 0; DISPATCH c p"),
        ],
    );
}

/// LEASE-4, FEAS-21: a draining pool keeps its streams and takes no new ones, until it takes work again.
#[test]
fn a_draining_pool_finishes_what_it_has() {
    let drain = |draining| Drain { id: "p", replica_id: "", draining };
    after_a(
        &Rules::default(),
        &[
            (2, Started { job_id: "a" }, "done; started a"),
            (3, drain(true), "done; draining p true"),
            (4, Submit(&batch("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (5, FirstToken { job_id: "a" }, "done; first token a"),
            (6, Finished { job_id: "a", tokens_out: 2 }, "done; finished a 100+2 in 4000"),
            (7, drain(false), "done; draining p false; fits b; dispatched b to p; batch 0; DISPATCH b p"),
            (8, Drain { id: "q", replica_id: "", draining: true }, "unknown_pool"),
        ],
    );
}

/// REFRESH-3: no snapshot takes a drain on request back; a pool that is removed and comes back is another one.
#[test]
fn a_drain_on_request_holds_over_snapshots() {
    let drain = |draining| Drain { id: "p", replica_id: "", draining };
    let dispatched = "fits b; dispatched b to p; batch 0; DISPATCH b p";
    after_a(
        &Rules::default(),
        &[
            (2, drain(true), "done; draining p true"),
            (3, Snapshot(&PoolSnapshot { slots_free: 1, ..pool("p", 2) }), "done; pool p credited 0"),
            (4, Submit(&batch("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (5, Snapshot(&PoolSnapshot { slots_free: 1, ..pool("p", 2) }), "done; pool p credited 0"),
            (
                6,
                RemovePool { id: "p", replica_id: "" },
                "done; expired a on p pool_lost; ABORT a p expired pool_lost; removed p",
            ),
            (7, Snapshot(&pool("p", 2)), &format!("done; pool p credited 0; {dispatched}")),
        ],
    );
}

/// LEASE-2, LEASE-3: a snapshot that had not seen a dispatch does not make its slot free again; one that had does not
/// take it twice.
#[test]
fn own_dispatches_are_credited() {
    let aged = |slots_free, age_ms| PoolSnapshot { slots_free, age_ms, ..pool("p", 2) };
    after_a(
        &Rules::default(),
        &[
            // Observed at 0.5 ms: `a` is not in it.
            (2, Snapshot(&aged(2, 1.5)), "done; pool p credited 1"),
            (3, Submit(&batch("b")), B),
            (4, Submit(&batch("c")), "accepted 0/0; fits not c; enqueued c; batch 1"),
            // Observed at 2 ms: `a` is in it, `b` is not.
            (5, Snapshot(&aged(1, 3.0)), "done; pool p credited 1"),
            // Observed at 6 ms: both are in it.
            (6, Snapshot(&aged(0, 0.0)), "done; pool p credited 0"),
            (
                7,
                Finished { job_id: "b", tokens_out: 0 },
                "done; finished b 0+0 in 0; fits c; dispatched c to p; batch 0; DISPATCH c p",
            ),
        ],
    );
}

/// LEASE-3: a lease for which the new numbers have no room stays, and gives nothing back.
#[test]
fn a_lease_without_room_gives_nothing_back() {
    after_a(
        &Rules::default(),
        &[
            (2, Snapshot(&PoolSnapshot { age_ms: 2.0, ..full("p", 2) }), "done; pool p credited 0"),
            (3, Submit(&batch("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (4, Finished { job_id: "a", tokens_out: 0 }, "done; finished a 0+0 in 0"),
        ],
    );
}

/// COMMIT-6, LEASE-1: what a lease took is given back: the next job of the same size fits again.
#[test]
fn vram_is_given_back() {
    let large = |id| JobSpec { est_kv_bytes: Some(40 << 30), ..batch(id) };
    let p = pool("p", 2);
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&p), "done; pool p credited 0"),
            (1, Submit(&large("a")), A),
            (2, Submit(&large("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (
                3,
                Cancel { job_id: "a", cause: CancelCause::Timeout },
                "done; canceled a on p timeout; ABORT a p canceled timeout; fits b; dispatched b to p; batch 0; \
                 DISPATCH b p",
            ),
        ],
    );
}
