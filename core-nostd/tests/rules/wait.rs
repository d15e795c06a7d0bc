//! Section 5: pools without free slots that may queue.

use orchestrator_core::commit::CommitError;
use orchestrator_core::rule::score::{ScoreTerms, waves};
use orchestrator_core::{JobSpec, PolicySpec, PoolSnapshot, Rejection};

use crate::{assigned, decide_in, exact, fleet, job, pool, winner};

/// Two slots, none free, `waiting` jobs before the next; 1 ms to the first token, 20 ms per token.
fn busy(id: &'static str, waiting: i64) -> PoolSnapshot<'static> {
    let mut busy = pool(id);
    (busy.slots_total, busy.slots_free, busy.queue_depth) = (2, 0, waiting);
    (busy.first_token_ms, busy.perf_tokens_per_s) = (Some(1.0), Some(50.0));
    busy
}

/// 100 tokens: 2,001 ms of service in `busy`.
fn asking() -> JobSpec<'static> {
    let mut asking = job();
    asking.expected_tokens = Some(100);
    asking
}

fn backlog(pool_backlog: i64) -> PolicySpec {
    PolicySpec { pool_backlog, ..exact() }
}

fn rejection(pool: PoolSnapshot<'_>, policy: &PolicySpec) -> Option<Rejection> {
    let decision = decide_in(&fleet(&[pool]), &asking(), &policy.validate().unwrap(), None);
    match decision {
        orchestrator_core::PlacementDecision::Assigned(_) => None,
        orchestrator_core::PlacementDecision::NoCapacity { headline, .. } => headline,
    }
}

/// WAIT-1, FEAS-22: room in the backlog, slots at all, and a known end.
#[test]
fn who_may_wait() {
    assert_eq!(rejection(busy("a", 0), &backlog(0)), Some(Rejection::Slots));
    assert_eq!(rejection(busy("a", 0), &backlog(1)), None);
    assert_eq!(rejection(busy("a", 1), &backlog(1)), Some(Rejection::Slots));
    assert_eq!(rejection(busy("a", 65_534), &backlog(65_535)), None);
    assert_eq!(rejection(busy("a", 4_294_967_295), &backlog(65_535)), Some(Rejection::Slots));
    let change = |change: fn(&mut PoolSnapshot<'_>)| {
        let mut changed = busy("a", 0);
        change(&mut changed);
        changed
    };
    assert_eq!(rejection(change(|pool| pool.slots_total = 0), &backlog(1)), Some(Rejection::Slots));
    let unknown: [fn(&mut PoolSnapshot<'_>); 2] =
        [|pool| pool.first_token_ms = None, |pool| pool.perf_tokens_per_s = None];
    for unknown in unknown {
        assert_eq!(rejection(change(unknown), &backlog(1)), Some(Rejection::Slots));
        let defaults = PolicySpec { default_tokens_per_s: Some(1.0), default_first_token_ms: Some(1.0), ..backlog(1) };
        assert_eq!(rejection(change(unknown), &defaults), None);
    }
    let unaware = PolicySpec { performance_aware: false, ..backlog(1) };
    assert_eq!(rejection(busy("a", 0), &unaware), Some(Rejection::Slots));
    // FEAS-23: VRAM must be free now.
    assert_eq!(rejection(change(|pool| pool.vram_free_bytes = 0), &backlog(1)), None);
    let mut needing = asking();
    needing.est_kv_bytes = Some(1001);
    let policy = backlog(1).validate().unwrap();
    assert!(decide_in(&fleet(&[busy("a", 0)]), &needing, &policy, None).assignment().is_none());
}

/// WAIT-2: whole waves of the job's own service time, before the start and so before the end.
#[test]
fn waits_are_waves_of_service() {
    for (waiting, slots, expected) in
        [(0, 1, 1), (1, 1, 2), (0, 2, 1), (1, 2, 1), (2, 2, 2), (65_535, 1, 65_536), (3, 0, 0)]
    {
        assert_eq!(waves(waiting, slots), expected, "{waiting} waiting, {slots} slots");
    }
    for (waiting, waves) in [(0, 1), (1, 1), (2, 2), (5, 3)] {
        let given = assigned(&[busy("a", waiting)], &asking(), &backlog(100), None);
        assert_eq!((given.start_us, given.end_us), (waves * 2_001_000, Some((waves + 1) * 2_001_000)));
    }
    // A free slot: no wait, whatever the pool says of its queue.
    let mut free = busy("a", 50);
    free.slots_free = 1;
    let given = assigned(&[free], &asking(), &backlog(100), None);
    assert_eq!((given.start_us, given.end_us), (0, Some(2_001_000)));
}

/// WAIT-2: bounded by the largest time.
#[test]
fn long_waits_saturate() {
    let limit = (1u64 << 46) - 1;
    let terms = |first_token_us, waves| ScoreTerms {
        admission_latency_us: 7,
        load_us: 0,
        first_token_us: Some(first_token_us),
        prefill_q10: 0,
        decode_q10: Some(1),
        waves,
    };
    assert_eq!(terms(limit / 65_536, 65_536).start_us(0, 0), (limit / 65_536) * 65_536 + 7);
    assert_eq!(terms(limit, 65_536).start_us(0, 0), limit);
    assert_eq!(terms(limit, 65_536).end_us(0, 0), limit);
    assert_eq!(ScoreTerms { decode_q10: None, ..terms(5, 3) }.start_us(0, 0), 7);
}

/// WAIT-2: a free slot beats a queue, and a short queue of a fast pool a slow slot. Weights weigh the wait.
#[test]
fn the_end_decides_between_waiting_and_a_slower_slot() {
    let mut slow = pool("slow");
    (slow.first_token_ms, slow.perf_tokens_per_s) = (Some(1.0), Some(10.0));
    assert_eq!(winner(&[busy("fast", 0), slow], &asking(), &backlog(9)), "fast");
    assert_eq!(winner(&[busy("fast", 20), slow], &asking(), &backlog(99)), "slow");
    assert_eq!(winner(&[busy("fast", 0), slow], &asking(), &backlog(0)), "slow");
    let weightless = PolicySpec {
        weights: orchestrator_core::WeightsSpec { decode: 0.0, first_token: 0.0, ..Default::default() },
        ..backlog(99)
    };
    assert_eq!(winner(&[busy("b", 20), busy("a", 50)], &asking(), &weightless), "a");
}

/// WAIT-3, COMMIT-1, COMMIT-6: commits queue up to the backlog; a release lets one of them have the slot.
#[test]
fn commits_and_releases_of_a_full_pool() {
    let policy = backlog(2).validate().unwrap();
    let asked = asking();
    let valid = asked.validate(&policy, None).unwrap();
    let mut one = busy("a", 0);
    one.slots_free = 1;
    let mut owner = fleet(&[one]);
    let state = |owner: &crate::Fleet| (owner.table().rows[0].slots_free, owner.table().rows[0].waiting);
    let first = owner.commit(&valid, 0).unwrap();
    assert_eq!((first.waits, state(&owner)), (false, (0, 0)));
    let second = owner.commit(&valid, 0).unwrap();
    assert_eq!((second.waits, state(&owner)), (true, (0, 1)));
    let third = owner.commit(&valid, 0).unwrap();
    assert_eq!(state(&owner), (0, 2));
    assert_eq!(owner.commit(&valid, 0), Err(CommitError::NoSlot));
    assert!(owner.release(first));
    assert_eq!(state(&owner), (0, 1));
    assert!(owner.release(third));
    assert_eq!(state(&owner), (0, 0));
    assert!(owner.release(second));
    assert_eq!(state(&owner), (1, 0));
}
