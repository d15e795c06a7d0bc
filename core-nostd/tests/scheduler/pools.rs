//! Snapshots that come late, grow old and are asked for.

use orchestrator_core::scheduler::Input::{Finished, RemovePool, SetPolicies, Snapshot, Submit, Tick};
use orchestrator_core::scheduler::{Scheduler, SchedulerBuffers, SchedulerPolicy, SchedulerPolicySpec};
use orchestrator_core::{Policy, PolicySpec, PoolSnapshot, SmallFleet};

use crate::table::{Rules, answer_text, batch, check, full, pool};

/// REFRESH-1, FEAS-19, LEASE-4: a pool is asked for its state with growing pauses; jobs wait for it while it is stale,
/// and leases stay.
#[test]
fn a_silent_pool_is_asked_for() {
    let rules = Rules {
        placement: PolicySpec { stale_after_ms: 200.0, ..PolicySpec::default() },
        scheduler: SchedulerPolicySpec {
            refresh_after_ms: 100.0,
            refresh_base_ms: 50.0,
            refresh_cap_ms: 150.0,
            ..SchedulerPolicySpec::default()
        },
    };
    check(
        &rules,
        &[
            (0, Snapshot(&pool("p", 2)), "done; pool p credited 0"),
            (99, Tick, "done"),
            (100, Tick, "done; refresh p 1; REFRESH p 1 100000"),
            (149, Tick, "done"),
            (150, Tick, "done; refresh p 2; REFRESH p 2 150000"),
            (
                200,
                Submit(&batch("a")),
                "accepted 0/0; enqueued a; batch 1; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
            (201, Submit(&batch("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (250, Tick, "done; refresh p 3; REFRESH p 3 250000"),
            (399, Tick, "done"),
            (400, Tick, "done; refresh p 4; REFRESH p 4 400000"),
            (410, Finished { job_id: "a", tokens_out: 0 }, "done; finished a 0+0 in 0"),
            (420, Snapshot(&pool("p", 2)), "done; pool p credited 0; fits b; dispatched b to p; batch 0; DISPATCH b p"),
            (519, Tick, "done"),
            (520, Tick, "done; refresh p 1; REFRESH p 1 520000"),
        ],
    );
}

/// REFRESH-2: what was observed before the state that is held is late, also where it breaks a rule; what breaks one is
/// named. Nothing changes.
#[test]
fn late_and_bad_snapshots_change_nothing() {
    let observed = |age_ms| PoolSnapshot { age_ms, ..pool("p", 1) };
    check(
        &Rules::default(),
        &[
            (1000, Snapshot(&PoolSnapshot { age_ms: 5.0, ..full("p", 1) }), "done; pool p credited 0"),
            (1001, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (1002, Snapshot(&observed(8.0)), "late"),
            (
                1003,
                Snapshot(&PoolSnapshot { slots_total: -1, ..observed(0.0) }),
                "bad_snapshot slots_total: must not be negative",
            ),
            (1004, Snapshot(&observed(-1.0)), "bad_snapshot age_ms: must not be negative"),
            (1005, Snapshot(&PoolSnapshot { slots_free: 0, ..observed(10.0) }), "done; pool p credited 0"),
            (
                1006,
                Snapshot(&observed(11.0)),
                "done; pool p credited 0; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
        ],
    );
}

/// REFRESH-2: a fleet that is full takes no further pool, until one goes.
#[test]
fn a_full_fleet_takes_no_further_pool() {
    let pools = ["a", "b", "c", "d", "e"].map(|id| pool(id, 1));
    let full = "bad_snapshot the fleet is full: at most 4 pools";
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&pools[0]), "done; pool a credited 0"),
            (0, Snapshot(&pools[1]), "done; pool b credited 0"),
            (0, Snapshot(&pools[2]), "done; pool c credited 0"),
            (0, Snapshot(&pools[3]), "done; pool d credited 0"),
            (0, Snapshot(&pools[4]), full),
            (1, RemovePool { id: "b", replica_id: "" }, "done; removed b"),
            (1, Snapshot(&pools[4]), "done; pool e credited 0"),
        ],
    );
}

/// FEAS-19, RECORD-3: another age limit holds at once, for what waits as for what comes.
#[test]
fn another_age_limit_holds_at_once() {
    let stale_after = |stale_after_ms| PolicySpec { stale_after_ms, ..PolicySpec::default() }.validate().unwrap();
    let (short, long) = (stale_after(50.0), stale_after(500.0));
    let scheduler = SchedulerPolicy::default();
    let rules = Rules { placement: PolicySpec { stale_after_ms: 50.0, ..PolicySpec::default() }, ..Rules::default() };
    check(
        &rules,
        &[
            (0, Snapshot(&pool("p", 1)), "done; pool p credited 0"),
            (100, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (
                101,
                SetPolicies { placement: &long, scheduler: &scheduler },
                "done; policies; fits a; dispatched a to p; batch 0; DISPATCH a p",
            ),
            (102, Submit(&batch("b")), "accepted 0/0; fits not b; enqueued b; batch 1"),
            (
                103,
                Finished { job_id: "a", tokens_out: 0 },
                "done; finished a 0+0 in 0; fits b; dispatched b to p; batch 0; DISPATCH b p",
            ),
            (104, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (110, Submit(&batch("c")), "accepted 0/0; fits not c; enqueued c; batch 1"),
            (120, Snapshot(&full("q", 1)), "done; pool q credited 0"),
        ],
    );
    check(
        &Rules::default(),
        &[
            (0, Snapshot(&full("p", 1)), "done; pool p credited 0"),
            (1, Submit(&batch("a")), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (2, Snapshot(&PoolSnapshot { ready: false, ..pool("p", 1) }), "done; pool p credited 0"),
            (3, Snapshot(&PoolSnapshot { draining: true, ..pool("p", 1) }), "done; pool p credited 0"),
            (4, RemovePool { id: "p", replica_id: "" }, "done; removed p"),
            (4, Snapshot(&full("q", 1)), "done; pool q credited 0"),
            (60, SetPolicies { placement: &short, scheduler: &scheduler }, "done; policies"),
        ],
    );
}

/// FEAS-19: a snapshot that is too old for the new limit takes nothing from the moment on at which the limit holds.
#[test]
fn a_shorter_age_limit_makes_a_pool_stale_at_once() {
    let short = PolicySpec { stale_after_ms: 50.0, ..PolicySpec::default() }.validate().unwrap();
    let scheduler = SchedulerPolicySpec { overtakes_max: 1, ..SchedulerPolicySpec::default() };
    let relaxed = SchedulerPolicy::default();
    // `a` may not be overtaken a second time, so that `c` waits for a pool that could take it: until the policy changes.
    let a = orchestrator_core::JobSpec { est_kv_bytes: Some(70 << 30), ..batch("a") };
    check(
        &Rules { scheduler, ..Rules::default() },
        &[
            (0, Snapshot(&pool("p", 2)), "done; pool p credited 0"),
            (0, Snapshot(&full("q", 1)), "done; pool q credited 0"),
            (1, Submit(&a), "accepted 0/0; fits not a; enqueued a; batch 1"),
            (
                2,
                Submit(&batch("b")),
                "accepted 1/1; enqueued b; batch 2; fits b; dispatched b to p; batch 1; DISPATCH b p",
            ),
            (3, Submit(&batch("c")), "accepted 1/1; enqueued c; batch 2"),
            (100, SetPolicies { placement: &short, scheduler: &relaxed }, "done; policies"),
        ],
    );
}

/// REFRESH-2: what the storage of the scheduler has no place for is refused like what the fleet has none for; a job can
/// never be placed where it could have no lease.
#[test]
fn storage_smaller_than_the_fleet_takes_fewer_pools() {
    let mut buffers: SchedulerBuffers<_, 1, 4, 256, 4, 1> = SchedulerBuffers::new();
    let mut fleet: SmallFleet<3, 4, 16> = SmallFleet::new();
    // What is in the fleet already leaves it, too.
    fleet.upsert(&pool("b", 1)).unwrap();
    fleet.upsert(&pool("a", 1)).unwrap();
    let (placement, rules) = (Policy::default(), SchedulerPolicy::default());
    let mut scheduler = Scheduler::new(fleet, buffers.storage(), placement, rules);
    let (first, second) = (pool("b", 1), pool("a", 1));
    let mut answer = |now_us, input| answer_text(&scheduler.drive(&input, now_us, &mut (), |_| ()));
    assert_eq!(answer(0, RemovePool { id: "a", replica_id: "" }), "unknown_pool");
    assert_eq!(answer(0, Snapshot(&first)), "done");
    assert_eq!(answer(1, Snapshot(&second)), "bad_snapshot the fleet is full: at most 1 pools");
    assert_eq!(answer(2, RemovePool { id: "a", replica_id: "" }), "unknown_pool");
    assert_eq!(answer(3, RemovePool { id: "b", replica_id: "" }), "done");
    assert_eq!(answer(4, Snapshot(&second)), "done");
}
