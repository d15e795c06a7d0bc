//! What is remembered of pools: REFRESH-1, REFRESH-2, and ages that decide as if every row were aged.

use orchestrator_core::PoolHandle;
use orchestrator_core::scheduler::{PoolRecord, PoolRecords, RefreshDue, RefreshRules};
use proptest::prelude::*;

const RULES: RefreshRules = RefreshRules { after_us: 100, base_us: 10, cap_us: 35 };

fn pool(slot: u32) -> PoolHandle {
    PoolHandle { slot, generation: 1 }
}

fn due(slot: u32, attempt: u32, not_before_us: u64) -> Option<RefreshDue> {
    Some(RefreshDue { pool: pool(slot), attempt, not_before_us })
}

/// REFRESH-1: attempts at `after`, then `base`, 2 `base`, … and `cap` later, until a snapshot ends the series.
#[test]
fn a_series_of_attempts() {
    let mut storage = [PoolRecord::EMPTY; 2];
    let mut records = PoolRecords::new(&mut storage);
    assert_eq!(records.next_refresh(u64::MAX, &RULES), None);
    records.snapshot_taken(pool(1), 1_000);
    // 1,100; + 10; + 20; + min(40, 35); + 35; + 35
    for (attempt, at_us) in (1..).zip([1_100, 1_110, 1_130, 1_165, 1_200, 1_235]) {
        assert_eq!(records.next_refresh(at_us - 1, &RULES), None);
        assert_eq!(records.next_refresh_us(&RULES), Some(at_us));
        assert_eq!(records.next_refresh(at_us, &RULES), due(1, attempt, at_us));
        assert_eq!(records.next_refresh(at_us, &RULES), None);
    }
    records.snapshot_taken(pool(1), 1_240);
    assert_eq!(records.next_refresh(1_339, &RULES), None);
    assert_eq!(records.next_refresh(1_340, &RULES), due(1, 1, 1_340));
    // Asked late, the next attempt counts from then.
    assert_eq!(records.next_refresh(2_000, &RULES), due(1, 2, 1_350));
    assert_eq!(records.next_refresh(2_019, &RULES), None);
    assert_eq!(records.next_refresh(2_020, &RULES), due(1, 3, 2_020));
    // A pool that is gone is not asked.
    records.removed(pool(1));
    assert_eq!(records.next_refresh(u64::MAX, &RULES), None);
    assert_eq!(records.observed_at_us(pool(1)), None);
}

/// REFRESH-1: attempts without end, and rules at their limits.
#[test]
fn endless_attempts() {
    let mut storage = [PoolRecord::EMPTY; 1];
    let mut records = PoolRecords::new(&mut storage);
    records.snapshot_taken(pool(0), 0);
    let rules = RefreshRules { after_us: 0, base_us: 1, cap_us: 1 << 39 };
    let mut now_us = 0;
    for attempt in 1..=200u32 {
        assert_eq!(records.next_refresh(now_us, &rules), due(0, attempt, now_us));
        now_us += 1u64 << (attempt - 1).min(39);
    }
    assert_eq!(records.next_refresh(u64::MAX, &rules), due(0, 201, now_us));
}

/// REFRESH-1: another `after` holds from the next question on, also for pools that were not due.
#[test]
fn other_rules() {
    let mut storage = [PoolRecord::EMPTY; 2];
    let mut records = PoolRecords::new(&mut storage);
    records.snapshot_taken(pool(0), 1_000);
    assert_eq!(records.next_refresh(1_050, &RULES), None);
    let sooner = RefreshRules { after_us: 50, ..RULES };
    assert_eq!(records.next_refresh_us(&sooner), Some(0));
    assert_eq!(records.next_refresh(1_050, &sooner), due(0, 1, 1_050));
}

/// REFRESH-2: only what was observed before the snapshot held is late.
#[test]
fn late_snapshots() {
    let mut storage = [PoolRecord::EMPTY; 1];
    let mut records = PoolRecords::new(&mut storage);
    assert!(!records.is_late(pool(0), 0));
    records.snapshot_taken(pool(0), 500);
    for (observed_us, is_late) in [(0, true), (499, true), (500, false), (501, false)] {
        assert_eq!(records.is_late(pool(0), observed_us), is_late);
    }
    // Another pool in the slot has a history of its own.
    let successor = PoolHandle { slot: 0, generation: 2 };
    assert!(!records.is_late(successor, 0));
    records.snapshot_taken(successor, 100);
    assert_eq!((records.observed_at_us(pool(0)), records.age_us(successor, 150)), (None, Some(50)));
    assert_eq!(records.age_us(successor, 99), Some(0));
    // The end of the first does not touch it.
    records.removed(pool(0));
    assert_eq!(records.observed_at_us(successor), Some(100));
    // Without storage nothing is remembered.
    records.snapshot_taken(pool(1), 500);
    assert!(!records.is_late(pool(1), 0));
    let mut nothing = [];
    let mut records = PoolRecords::new(&mut nothing);
    records.snapshot_taken(pool(0), 500);
    assert_eq!((records.next_refresh(u64::MAX, &RULES), records.next_stale(u64::MAX, 0)), (None, None));
}

/// FEAS-19: a row is named once it is above the limit, not at it, once; and again under another limit.
#[test]
fn rows_that_become_stale() {
    let mut storage = [PoolRecord::EMPTY; 2];
    let mut records = PoolRecords::new(&mut storage);
    records.snapshot_taken(pool(0), 1_000);
    assert_eq!(records.next_stale(1_030, 30), None);
    assert_eq!(records.next_stale(1_031, 30), Some((pool(0), 31)));
    assert_eq!(records.next_stale(2_000, 30), None);
    // A higher limit: not above it yet, then above it.
    assert_eq!(records.next_stale(2_000, 1_500), None);
    assert_eq!(records.next_stale(2_501, 1_500), Some((pool(0), 1_501)));
    // A lower one.
    records.snapshot_taken(pool(1), 2_501);
    assert_eq!(records.next_stale(2_511, 9), Some((pool(0), 1_511)));
    assert_eq!(records.next_stale(2_511, 9), Some((pool(1), 10)));
    assert_eq!(records.next_stale(2_511, 9), None);
    // A snapshot that is stale on arrival.
    records.snapshot_taken(pool(0), 2_501);
    assert_eq!(records.next_stale(2_511, 9), Some((pool(0), 10)));
}

#[derive(Debug, Clone)]
enum Step {
    Snapshot {
        slot: u32,
        age_us: u64,
    },
    Remove(u32),
    /// Asks so many times, or until there is none.
    Refresh(usize),
    Stale(usize),
    Rules {
        after_us: u64,
        stale_after_us: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        3 => (0..5u32, 0..60u64).prop_map(|(slot, age_us)| Step::Snapshot { slot, age_us }),
        1 => (0..5u32).prop_map(Step::Remove),
        3 => (1..6usize).prop_map(Step::Refresh),
        3 => (1..6usize).prop_map(Step::Stale),
        1 => (0..50u64, 0..50u64).prop_map(|(after_us, stale_after_us)| Step::Rules { after_us, stale_after_us }),
    ];
    proptest::collection::vec((0..25u64, step), 0..100)
}

/// A pool as the naive model knows it.
#[derive(Debug, Clone, Copy)]
struct Known {
    observed_us: u64,
    attempts: u32,
    retry_us: u64,
    named: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// REFRESH-1, REFRESH-2: sweeps that are cut off at any point miss nothing and name nothing twice.
    #[test]
    fn behaves_like_looking_at_all(capacity in 0usize..5, steps in steps()) {
        let mut storage = vec![PoolRecord::EMPTY; capacity];
        let mut records = PoolRecords::new(&mut storage);
        let mut model: Vec<Option<Known>> = vec![None; capacity];
        let (mut rules, mut stale_after_us) = (RULES, 30);
        let mut stale_seen_us = stale_after_us;
        let mut now_us = 100;
        for (wait_us, step) in steps {
            now_us += wait_us;
            match step {
                Step::Snapshot { slot, age_us } => {
                    let observed_us = now_us - age_us;
                    let known = model.get(slot as usize).copied().flatten();
                    let is_late = known.is_some_and(|known| observed_us < known.observed_us);
                    prop_assert_eq!(records.is_late(pool(slot), observed_us), is_late);
                    if !is_late {
                        records.snapshot_taken(pool(slot), observed_us);
                        if let Some(known) = model.get_mut(slot as usize) {
                            *known = Some(Known { observed_us, attempts: 0, retry_us: 0, named: false });
                        }
                    }
                }
                Step::Remove(slot) => {
                    records.removed(pool(slot));
                    if let Some(known) = model.get_mut(slot as usize) {
                        *known = None;
                    }
                }
                Step::Refresh(times) => {
                    let due_us = |known: &Known| match known.attempts {
                        0 => known.observed_us + rules.after_us,
                        _ => known.retry_us,
                    };
                    for _ in 0..times {
                        let first = model.iter().flatten().map(due_us).min();
                        let found = records.next_refresh(now_us, &rules);
                        prop_assert_eq!(found.is_some(), first.is_some_and(|at_us| at_us <= now_us));
                        let Some(found) = found else {
                            match (records.next_refresh_us(&rules), first) {
                                (Some(bound_us), Some(first_us)) => {
                                    prop_assert!(now_us < bound_us && bound_us <= first_us);
                                }
                                (_, first_us) => prop_assert_eq!(first_us, None),
                            }
                            break;
                        };
                        let known = model[found.pool.slot as usize].as_mut().unwrap();
                        prop_assert_eq!(due_us(known), found.not_before_us);
                        prop_assert!(found.not_before_us <= now_us);
                        known.attempts += 1;
                        prop_assert_eq!(found.attempt, known.attempts);
                        let pauses_us = [10, 20, 35];
                        known.retry_us = now_us + pauses_us[(known.attempts as usize - 1).min(2)];
                    }
                }
                Step::Stale(times) => {
                    if stale_seen_us != stale_after_us {
                        stale_seen_us = stale_after_us;
                        model.iter_mut().flatten().for_each(|known| known.named = false);
                    }
                    for _ in 0..times {
                        let is_due = |known: &Known| !known.named && now_us - known.observed_us > stale_after_us;
                        let found = records.next_stale(now_us, stale_after_us);
                        prop_assert_eq!(found.is_some(), model.iter().flatten().any(is_due));
                        let Some((found, age_us)) = found else { break };
                        let known = model[found.slot as usize].as_mut().unwrap();
                        prop_assert!(is_due(known));
                        prop_assert_eq!(now_us - known.observed_us, age_us);
                        known.named = true;
                    }
                }
                Step::Rules { after_us, stale_after_us: limit_us } => {
                    rules.after_us = after_us;
                    stale_after_us = limit_us;
                }
            }
            for (slot, known) in (0..).zip(&model) {
                prop_assert_eq!(records.observed_at_us(pool(slot)), known.map(|known| known.observed_us));
                prop_assert_eq!(records.age_us(pool(slot), now_us), known.map(|known| now_us - known.observed_us));
            }
        }
    }
}

/// REFRESH-1: there is no time after the last, so nothing is asked for then, again and again.
#[test]
fn at_the_end_of_time_nothing_is_asked_for() {
    let mut storage = [PoolRecord::EMPTY; 1];
    let mut records = PoolRecords::new(&mut storage);
    let pool = PoolHandle { slot: 0, generation: 1 };
    records.snapshot_taken(pool, 0);
    let rules = RefreshRules { after_us: 10, base_us: 5, cap_us: 5 };
    assert_eq!(records.next_refresh(u64::MAX, &rules).map(|due| due.attempt), Some(1));
    assert_eq!(records.next_refresh(u64::MAX, &rules), None);
}
