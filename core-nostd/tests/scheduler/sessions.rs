//! Sessions and their budgets: what the second turn finds of the first.

use orchestrator_core::scheduler::Input::{
    Cancel, EndSession, Finished, FirstToken, RemovePool, Snapshot, Submit, Tick,
};
use orchestrator_core::scheduler::{CancelCause, SchedulerPolicySpec};
use orchestrator_core::{Budget, JobSpec, KvHint, PoolSnapshot};

use crate::table::{Rules, batch, check, full, pool};

fn turn<'a>(id: &'a str, session_id: &'a str) -> JobSpec<'a> {
    JobSpec { session_id: Some(session_id), ..batch(id) }
}

fn at_once(id: &str, pool: &str) -> String {
    let bare = pool.split(' ').next().unwrap();
    format!("accepted 0/0; enqueued {id}; batch 1; fits {id}; dispatched {id} to {pool}; batch 0; DISPATCH {id} {bare}")
}

/// SESSION-2, SESSION-3, SCORE-3: the second turn is warm where the first one ran; a cold job is not; on another pool
/// nothing is warm and nothing migrates; a pool that comes back is cold.
#[test]
fn the_second_turn_is_warm() {
    let (slow, fast) = (
        PoolSnapshot { perf_tokens_per_s: Some(50.0), first_token_ms: Some(1.0), ..pool("slow", 2) },
        PoolSnapshot { perf_tokens_per_s: Some(60.0), first_token_ms: Some(1.0), ..pool("fast", 1) },
    );
    let slow = PoolSnapshot { prefill_tokens_per_s: Some(100.0), ..slow };
    let fast = PoolSnapshot { prefill_tokens_per_s: Some(100.0), ..fast };
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&slow), "done; pool slow credited 0"),
            (1, Submit(&turn("a", "s")), &at_once("a", "slow")),
            (2, FirstToken { job_id: "a" }, "done; started a; first token a"),
            (3, Finished { job_id: "a", tokens_out: 10 }, "done; finished a 100+10 in 1000"),
            (4, Snapshot(&fast), "done; pool fast credited 0"),
            (5, Submit(&turn("b", "s")), &at_once("b", "slow warm")),
            (6, Submit(&JobSpec { kv_hint: KvHint::Cold, ..turn("c", "s") }), &at_once("c", "fast")),
            (7, Submit(&turn("d", "other")), &at_once("d", "slow")),
            // Failover: the session's pool goes, the next turn starts cold elsewhere.
            (
                8,
                RemovePool { id: "slow", replica_id: "" },
                "done; expired b on slow pool_lost; ABORT b slow expired pool_lost; expired d on slow pool_lost; \
                 ABORT d slow expired pool_lost; removed slow",
            ),
            (9, Finished { job_id: "c", tokens_out: 0 }, "done; finished c 0+0 in 0"),
            (10, Snapshot(&slow), "done; pool slow credited 0"),
            (11, Submit(&JobSpec { prompt_tokens: 5, ..turn("e", "s") }), &at_once("e", "fast warm")),
        ],
    );
}

/// SESSION-2: a job that never produced a token leaves no cache.
#[test]
fn a_job_without_a_token_leaves_no_cache() {
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&pool("p", 2)), "done; pool p credited 0"),
            (1, Submit(&turn("a", "s")), &at_once("a", "p")),
            (
                2,
                Cancel { job_id: "a", cause: CancelCause::Admin },
                "done; canceled a on p admin; ABORT a p canceled admin",
            ),
            (3, Submit(&turn("b", "s")), &at_once("b", "p")),
        ],
    );
}

/// SESSION-1: a session ends on request, and what runs goes on; after its time; as the least recently used one.
#[test]
fn sessions_end_in_three_ways() {
    let rules = Rules {
        scheduler: SchedulerPolicySpec { session_ttl_ms: 100.0, ..SchedulerPolicySpec::default() },
        ..Rules::default()
    };
    let end = |session_id| EndSession { session_id };
    check(
        &rules,
        &[
            (0, Snapshot(&pool("p", 4)), "done; pool p credited 0"),
            (1, end("s"), "unknown_session"),
            (2, Submit(&turn("a", "s")), &at_once("a", "p")),
            (3, FirstToken { job_id: "a" }, "done; started a; first token a"),
            (4, end("s"), "done; session s requested"),
            (5, Finished { job_id: "a", tokens_out: 1 }, "done; finished a 100+1 in 2000"),
            (6, Submit(&turn("b", "s")), &at_once("b", "p")),
            (7, Finished { job_id: "b", tokens_out: 1 }, "done; finished b 100+1 in 0"),
            (106, Tick, "done"),
            (107, Tick, "done; session s expired"),
            (108, Submit(&turn("c", "t")), &at_once("c", "p")),
            (109, Finished { job_id: "c", tokens_out: 1 }, "done; finished c 100+1 in 0"),
            (110, Submit(&turn("d", "u")), &at_once("d", "p")),
            (
                111,
                Submit(&turn("e", "v")),
                "accepted 0/0; session t evicted; enqueued e; batch 1; fits e; dispatched e to p; batch 0; \
                 DISPATCH e p",
            ),
            // Both places are in use: ADMIT-5.
            (112, Submit(&turn("f", "w")), "refused ADMISSION_REJECT session_id 1000ms; refused f ADMISSION_REJECT"),
        ],
    );
}

/// SESSION-1: a session whose time is over is over, also where no tick came in between: the job begins a new one.
#[test]
fn a_session_that_is_over_is_not_continued() {
    let rules = Rules {
        scheduler: SchedulerPolicySpec { session_ttl_ms: 100.0, ..SchedulerPolicySpec::default() },
        ..Rules::default()
    };
    check(
        &rules,
        &[
            (0, Snapshot(&pool("p", 4)), "done; pool p credited 0"),
            (2, Submit(&turn("a", "s")), &at_once("a", "p")),
            (3, Finished { job_id: "a", tokens_out: 1 }, "done; finished a 100+1 in 0"),
            (102, Submit(&turn("b", "s")), &at_once("b", "p warm")),
            (103, Finished { job_id: "b", tokens_out: 1 }, "done; finished b 100+1 in 0"),
            (
                203,
                Submit(&turn("c", "s")),
                "accepted 0/0; session s expired; enqueued c; batch 1; fits c; dispatched c to p; batch 0; \
                 DISPATCH c p",
            ),
        ],
    );
}

/// BUDGET-1 to BUDGET-4: what is reserved, spent and left of a session's tokens.
#[test]
fn a_session_spends_its_budget() {
    let of = |id, tokens| JobSpec { budget: Budget { tokens, ..Budget::default() }, ..turn(id, "s") };
    let refused = |id: &str| format!("refused INVALID_PARAMS budget.tokens; refused {id} INVALID_PARAMS");
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&pool("p", 4)), "done; pool p credited 0"),
            // BUDGET-1: 250 tokens from here on; 110 are reserved.
            (1, Submit(&of("a", Some(250))), &at_once("a", "p")),
            (2, Submit(&of("b", None)), &at_once("b", "p")),
            // BUDGET-3: 30 are left.
            (3, Submit(&of("c", None)), &refused("c")),
            // BUDGET-2: 105 were spent, 110 are reserved: 35 are left.
            (4, Finished { job_id: "a", tokens_out: 5 }, "done; finished a 100+5 in 0"),
            (5, Submit(&JobSpec { prompt_tokens: 26, ..of("d", None) }), &refused("d")),
            (6, Submit(&JobSpec { prompt_tokens: 25, ..of("e", None) }), &at_once("e", "p warm")),
            // A job that never started spends nothing.
            (
                7,
                Cancel { job_id: "e", cause: CancelCause::Admin },
                "done; canceled e on p admin; ABORT e p canceled admin",
            ),
            (8, Finished { job_id: "b", tokens_out: 45 }, "done; finished b 100+45 in 0"),
            // BUDGET-4: 250 are spent: nothing is left. A new limit counts what was spent.
            (9, Submit(&JobSpec { prompt_tokens: 0, expected_tokens: Some(1), ..of("f", None) }), &refused("f")),
            (10, Submit(&of("g", Some(359))), &refused("g")),
            (11, Submit(&of("h", Some(360))), &at_once("h", "p warm")),
        ],
    );
}

/// BUDGET-2: a job that waits holds its reservation, and gives it back when it leaves.
#[test]
fn a_waiting_job_holds_its_reservation() {
    let budget = Budget { tokens: Some(110), ..Budget::default() };
    let of = |id| JobSpec { budget, ..turn(id, "s") };
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (1, Submit(&of("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (2, Submit(&of("b")), "refused INVALID_PARAMS budget.tokens; fits not b; refused b INVALID_PARAMS"),
            (
                3,
                Cancel { job_id: "a", cause: CancelCause::Disconnect },
                "done; canceled a on queue disconnect; batch 0",
            ),
            (4, Submit(&of("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
        ],
    );
}
