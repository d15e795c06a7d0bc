//! STATE-1, STATE-2: after an import everything goes on as if nothing had happened.

use orchestrator_core::scheduler::{
    ClassWeights, Discipline, FullPolicy, Imported, Scheduler, SchedulerPolicy, SchedulerPolicySpec, WaitLimit,
};

use crate::world::{Fleet, Life, Op, Room, SIZES, Told, apply, exported, free_now, live};

/// Limits so short that everything ends by itself now and then. Pools are not asked for their state: the order in which
/// several are asked depends on the order in which they came.
fn spec() -> SchedulerPolicySpec {
    SchedulerPolicySpec {
        queue_ttl_ms: 3_000.0,
        start_timeout_ms: 1_500.0,
        wall_limit_ms: 4_000.0,
        idle_limit_ms: 2_000.0,
        session_ttl_ms: 1_000.0,
        refresh_after_ms: 1e9,
        ..SchedulerPolicySpec::default()
    }
}

pub(crate) fn policies() -> [SchedulerPolicy; 5] {
    let weights = Some(ClassWeights { interactive: 3, batch: 2 });
    let fair = SchedulerPolicySpec {
        discipline: Discipline::FairTenants,
        tenant_quantum_tokens: 90,
        overtakes_max: 3,
        ..spec()
    };
    [
        SchedulerPolicySpec { refresh_after_ms: 1e9, ..SchedulerPolicySpec::default() },
        SchedulerPolicySpec { class_weights: weights, full: FullPolicy::DropLru, scan_limit: 2, ..spec() },
        SchedulerPolicySpec { discipline: Discipline::EarliestDeadline, class_weights: weights, ..spec() },
        fair.clone(),
        SchedulerPolicySpec {
            class_weights: weights,
            promote_after_ms: Some(800.0),
            queue_total: WaitLimit { jobs: 8, ..WaitLimit::NONE },
            ..fair
        },
    ]
    .map(|spec| spec.validate().unwrap())
}

/// Puts the pools of one scheduler into another, with the numbers that they have now; in another order.
fn hand_over(
    before: &Scheduler<'_, Fleet>,
    after: &mut Scheduler<'_, Fleet>,
    observed_us: [Option<u64>; 3],
    case: &Case,
) {
    let mut told = Told::new(0);
    for pool in (0..3).rev().filter(|&pool| case.lost != Some(pool)) {
        if let (Some(free), Some(observed_us)) = (free_now(before, pool), observed_us[pool]) {
            let snapshot = Op::Snapshot { pool, free, age_us: before.now_us() - observed_us };
            let _ = apply(after, before.now_us() + case.shift_us, &snapshot, &mut told);
        }
    }
}

/// One restart.
#[derive(Debug, Clone, Copy)]
struct Case {
    seed: u64,
    rules: SchedulerPolicy,
    /// Those of the scheduler that goes on.
    other_rules: SchedulerPolicy,
    /// How much later its clock is.
    shift_us: u64,
    /// A pool that is not there any more.
    lost: Option<usize>,
}

/// How much there was to hand over, and to do afterwards.
#[derive(Debug, Default)]
struct Witness {
    waiting_jobs: u32,
    leases: u32,
    lost_leases: u32,
    sessions: u32,
    items: usize,
}

/// Lives, exports, imports into another scheduler, and goes on with both.
fn restart(case: &Case, witness: &mut Witness) {
    let &Case { seed, rules, other_rules, shift_us, lost } = case;
    let (mut room, mut other_room) = (Room::new(SIZES), Room::new(SIZES));
    let (mut before, mut after) = (room.scheduler(rules), other_room.scheduler(other_rules));
    let mut life = Life::new(seed);
    let steps = life.chance.below(90);
    let observed_us = live(&mut before, &mut life, steps);
    let state = exported(&before);
    let now_us = life.now_us;
    hand_over(&before, &mut after, observed_us, case);

    // STATE-4: every waiting job is asked for again, once; so does a policy, also one that is the same, and so does the
    // end of a lease with its pool.
    let (mut told, mut other_told) = (Told::new(0), Told::new(shift_us));
    (told.is_import, other_told.is_import) = (true, true);
    let mut actions = Vec::new();
    let imported = after.import_state(&state, now_us + shift_us, &mut other_told, |action| actions.push(action));
    let imported = imported.unwrap();
    assert_eq!((imported.same_placement_policy, imported.same_scheduler_policy), (true, rules == other_rules));
    actions.iter().for_each(|action| other_told.action(action));
    if let Some(pool) = lost {
        let _ = apply(&mut before, now_us, &Op::Remove(pool), &mut told);
    }
    if imported.lost_leases == 0 {
        let _ = apply(&mut before, now_us, &Op::Policies(Box::new(other_rules)), &mut told);
    }
    if lost.is_none() {
        told.items.sort();
        other_told.items.sort();
        assert_eq!(told.items, other_told.items, "{case:?}");
    }
    // Remaining times are the same. When a pool is asked is told by a bound only, and far away here.
    let wakeup_us = |us: Option<u64>, shift_us| us.map(|us| us - shift_us).filter(|&us| us < 1_000_000_000);
    let (next_us, other_next_us) = (before.next_wakeup_us(), after.next_wakeup_us());
    assert_eq!(wakeup_us(next_us, 0), wakeup_us(other_next_us, shift_us), "{case:?}");

    (told, other_told) = (Told::new(0), Told::new(shift_us));
    for step in 0..90 {
        let op = life.next();
        let _ = apply(&mut before, life.now_us, &op, &mut told);
        let _ = apply(&mut after, life.now_us + shift_us, &op, &mut other_told);
        assert_eq!(told.items, other_told.items, "{case:?}, step {step}: {op:?}");
    }
    let Imported { waiting_jobs, leases, lost_leases, sessions, .. } = imported;
    witness.waiting_jobs += waiting_jobs;
    witness.leases += leases;
    witness.lost_leases += lost_leases;
    witness.sessions += sessions;
    witness.items += told.items.len();
}

fn restarts(rules: SchedulerPolicy) {
    let mut witness = Witness::default();
    for seed in 0..120 {
        for shift_us in [0, seed * 1_000_003] {
            restart(&Case { seed, rules, other_rules: rules, shift_us, lost: None }, &mut witness);
        }
    }
    let Witness { waiting_jobs, leases, sessions, items, .. } = witness;
    assert!(waiting_jobs > 200 && leases > 100 && sessions > 200 && items > 10_000, "{witness:?}");
}

/// STATE-1, STATE-2: first in, first out, with the limits of the defaults.
#[test]
fn the_default_policy_goes_on() {
    restarts(policies()[0]);
}

/// STATE-5: turns of the classes and overtaken jobs.
#[test]
fn turns_go_on() {
    restarts(policies()[1]);
}

/// STATE-5, QUEUE-9.
#[test]
fn deadlines_go_on() {
    restarts(policies()[2]);
}

/// STATE-5, QUEUE-10: also for tenants that share a turn.
#[test]
fn accounts_of_tenants_go_on() {
    restarts(policies()[3]);
}

/// STATE-5, QUEUE-11.
#[test]
fn tenants_with_turns_and_aging_go_on() {
    restarts(policies()[4]);
}

/// STATE-5: under other rules it goes on as if they had changed while jobs waited.
#[test]
fn other_rules_are_as_if_they_changed() {
    let mut witness = Witness::default();
    for rules in policies() {
        for other_rules in policies() {
            for seed in 1_000..1_020 {
                restart(&Case { seed, rules, other_rules, shift_us: 0, lost: None }, &mut witness);
            }
        }
    }
    assert!(witness.waiting_jobs > 1_000 && witness.leases > 500, "{witness:?}");
}

/// STATE-4: a pool that is not there is as one that was removed.
#[test]
fn a_pool_that_is_gone_was_removed() {
    let mut witness = Witness::default();
    for rules in [policies()[0], policies()[3]] {
        for seed in 2_000..2_100 {
            for lost in 0..3 {
                restart(&Case { seed, rules, other_rules: rules, shift_us: 7, lost: Some(lost) }, &mut witness);
            }
        }
    }
    assert!(witness.lost_leases > 100 && witness.leases > 500, "{witness:?}");
}
