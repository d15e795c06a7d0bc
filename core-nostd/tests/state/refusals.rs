//! STATE-3: all of it or nothing; bytes that are no state, or none for this scheduler, are told apart.

use orchestrator_core::codec::Writer;
use orchestrator_core::scheduler::{
    Answer, Discipline, ExportError, Imported, Input, Scheduler, SchedulerPolicy, StateError, StateTable,
};
use orchestrator_core::{JobSpec, SEMANTICS_VERSION};
use xxhash_rust::xxh64::xxh64;

use crate::restart::policies;
use crate::world::{Fleet, Life, Op, Room, SIZES, Sizes, Told, apply, exported, live, tell};

/// A state with something in every table, and when it was written.
fn full_state(rules: SchedulerPolicy) -> (Vec<u8>, u64) {
    for seed in 0..1_000 {
        let mut room = Room::new(SIZES);
        let mut scheduler = room.scheduler(rules);
        let mut life = Life::new(seed);
        live(&mut scheduler, &mut life, 80);
        let state = exported(&scheduler);
        let imported = imported_into(SIZES, rules, &state, life.now_us).unwrap();
        let is_fair = rules.queue.discipline == Discipline::FairTenants;
        let fits_one_tenant = imported_into(Sizes { tenants: 1, ..SIZES }, rules, &state, life.now_us).is_ok();
        if is_fair == fits_one_tenant {
            continue;
        }
        if imported.waiting_jobs > 4 && imported.lost_leases > 2 && imported.sessions > 3 {
            return (state, life.now_us);
        }
    }
    panic!("no world was busy enough");
}

fn imported_into(sizes: Sizes, rules: SchedulerPolicy, state: &[u8], now_us: u64) -> Result<Imported, StateError> {
    let mut room = Room::new(sizes);
    room.scheduler(rules).import_state(state, now_us, &mut (), |_| ())
}

fn import(scheduler: &mut Scheduler<'_, Fleet>, state: &[u8], now_us: u64) -> Result<(), StateError> {
    let mut told = Told::new(0);
    let mut actions = 0;
    let imported = scheduler.import_state(state, now_us, &mut told, |_| actions += 1);
    if imported.is_err() {
        assert_eq!((told.items.len(), actions), (0, 0), "an import that fails says nothing");
    }
    imported.map(|_| ())
}

/// Puts the right checksum behind a state that was changed.
fn resealed(mut state: Vec<u8>) -> Vec<u8> {
    let end = state.len() - 8;
    let checksum = xxh64(&state[..end], 0).to_le_bytes();
    state[end..].copy_from_slice(&checksum);
    state
}

/// STATE-3: truncated at any byte, or with any byte changed, it is refused, and the whole one is still taken in.
#[test]
fn damage_is_refused_wherever_it_is() {
    let rules = policies()[4];
    let (state, now_us) = full_state(rules);
    let mut room = Room::new(SIZES);
    let mut scheduler = room.scheduler(rules);
    let untouched = exported(&scheduler);
    for length in 0..state.len() {
        let refused = import(&mut scheduler, &state[..length], now_us);
        let expected = if length < 8 { StateError::NotAState } else { StateError::Checksum };
        assert_eq!(refused, Err(expected), "{length} bytes");
    }
    for at in 0..state.len() {
        for change in [1, 0x80, 0xff] {
            let mut damaged = state.clone();
            damaged[at] ^= change;
            let refused = import(&mut scheduler, &damaged, now_us).unwrap_err();
            let is_expected = match at {
                0..8 => refused == StateError::NotAState,
                8..12 => matches!(refused, StateError::OtherFormat { .. }),
                12..16 => matches!(refused, StateError::OtherSemantics { .. }),
                _ => refused == StateError::Checksum,
            };
            assert!(is_expected, "byte {at}: {refused}");
        }
    }
    assert_eq!(import(&mut scheduler, &[&state[..], &[0]].concat(), now_us), Err(StateError::Checksum));
    assert_eq!(exported(&scheduler), untouched);
    assert_eq!(import(&mut scheduler, &state, now_us), Ok(()));
}

/// STATE-3: also a state that somebody made up, with a checksum that stands, is taken in whole or not at all, and what is
/// taken in goes on and ends.
#[test]
fn a_forged_state_does_no_harm() {
    let rules = policies()[4];
    let (state, now_us) = full_state(rules);
    let (mut taken, mut refused) = (0, 0);
    for at in 16..state.len() - 8 {
        for change in [1, 0x7f, 0x80] {
            let mut forged = state.clone();
            forged[at] ^= change;
            let forged = resealed(forged);
            let mut room = Room::new(SIZES);
            let mut scheduler = room.scheduler(rules);
            let mut life = Life::new(at as u64);
            // Leases bind to two of the pools.
            for pool in 0..2 {
                let snapshot = Op::Snapshot { pool, free: life.free(pool), age_us: 0 };
                let _ = apply(&mut scheduler, 5, &snapshot, &mut Told::new(0));
            }
            let untouched = exported(&scheduler);
            match import(&mut scheduler, &forged, now_us) {
                Err(_) => {
                    refused += 1;
                    assert_eq!(exported(&scheduler), untouched);
                    assert_eq!(import(&mut scheduler, &state, now_us), Ok(()));
                }
                Ok(()) => taken += 1,
            }
            life.now_us = now_us;
            for _ in 0..4 {
                let op = life.next();
                let _ = apply(&mut scheduler, life.now_us, &op, &mut Told::new(0));
            }
            let _ = apply(&mut scheduler, life.now_us + 600_000_000, &Op::Tick, &mut Told::new(0));
        }
    }
    assert!(taken > 500 && refused > 500, "{taken} taken, {refused} refused");
}

/// STATE-3: cut short or with bytes behind the end, under a checksum that stands.
#[test]
fn a_forged_end_is_refused() {
    let rules = policies()[0];
    let (state, now_us) = full_state(rules);
    let end = state.len() - 8;
    for length in 16..end {
        let forged = resealed([&state[..length], &[0; 8]].concat());
        assert!(imported_into(SIZES, rules, &forged, now_us).is_err(), "{length}");
    }
    let forged = resealed([&state[..end], &[0; 9]].concat());
    assert!(matches!(imported_into(SIZES, rules, &forged, now_us), Err(StateError::Payload(_))));
}

/// STATE-3: a table that is smaller by one than what is in it refuses, with its name, before anything changes.
#[test]
fn what_does_not_fit_is_refused() {
    // A queue, tenants and sessions that are full.
    let rules = policies()[3];
    let (state, now_us) = full_state(rules);
    let imported = imported_into(SIZES, rules, &state, now_us).unwrap();
    let jobs = imported.waiting_jobs as usize;
    let (leases, sessions) = (imported.lost_leases as usize, imported.sessions as usize);
    let exact = Sizes { jobs, leases, sessions, ..SIZES };
    assert!(imported_into(exact, rules, &state, now_us).is_ok());
    let refused = |sizes: Sizes| {
        let mut room = Room::new(sizes);
        let mut scheduler = room.scheduler(rules);
        let untouched = exported(&scheduler);
        let refused = import(&mut scheduler, &state, now_us).unwrap_err();
        assert_eq!(exported(&scheduler), untouched);
        refused
    };
    let no_room = |table, needed| StateError::NoRoom { table, needed, room: needed - 1 };
    assert_eq!(refused(Sizes { jobs: jobs - 1, ..exact }), no_room(StateTable::WaitingJobs, jobs));
    assert_eq!(refused(Sizes { leases: leases - 1, ..exact }), no_room(StateTable::Leases, leases));
    assert_eq!(refused(Sizes { sessions: sessions - 1, ..exact }), no_room(StateTable::Sessions, sessions));
    assert_eq!(refused(Sizes { tenants: 1, ..exact }), no_room(StateTable::Tenants, 2));
    let StateError::NoRoom { table: StateTable::JobBytes, needed, room: 8 } = refused(Sizes { job_bytes: 10, ..exact })
    else {
        panic!("a job has more than 8 bytes")
    };
    assert!(imported_into(Sizes { job_bytes: needed + 2, ..exact }, rules, &state, now_us).is_ok());
    assert_eq!(refused(Sizes { job_bytes: needed + 1, ..exact }), no_room(StateTable::JobBytes, needed));
    let short_ids = refused(Sizes { id_bytes: 2, ..exact });
    assert!(matches!(short_ids, StateError::NoRoom { table: StateTable::IdBytes, room: 1, .. }), "{short_ids}");
    // Under a discipline without tenants none are needed.
    assert!(imported_into(Sizes { tenants: 0, ..exact }, policies()[0], &state, now_us).is_ok());
}

/// STATE-2: times that the clock has not reached cannot be; the error says when they can.
#[test]
fn a_clock_that_is_too_early_is_told_when() {
    let rules = policies()[0];
    let (state, now_us) = full_state(rules);
    let Err(StateError::TooEarly { at_least_us }) = imported_into(SIZES, rules, &state, 0) else {
        panic!("jobs are older than that")
    };
    assert!(at_least_us > 0 && at_least_us <= now_us);
    let too_early = Err(StateError::TooEarly { at_least_us });
    assert_eq!(imported_into(SIZES, rules, &state, at_least_us - 1), too_early);
    assert!(imported_into(SIZES, rules, &state, at_least_us).is_ok());
}

/// STATE-3, EVENT-3: only a scheduler without work of its own takes a state in; actions are not lost on the way out.
#[test]
fn only_a_fresh_scheduler_takes_a_state_in() {
    let rules = policies()[0];
    let (state, now_us) = full_state(rules);
    let mut told = Told::new(0);
    let mut room = Room::new(SIZES);
    let mut scheduler = room.scheduler(rules);
    let _ = apply(&mut scheduler, now_us + 1, &Op::Tick, &mut told);
    assert_eq!(import(&mut scheduler, &state, now_us), Err(StateError::TimeWentBack { last_us: now_us + 1 }));
    let job = JobSpec::new("own", "vllm", "m");
    assert!(matches!(tell(&mut scheduler, now_us + 2, &Input::Submit(&job), &mut told), Answer::Accepted(_)));
    assert_eq!(import(&mut scheduler, &state, now_us + 2), Err(StateError::NotFresh));
    let answer = scheduler.handle(&Input::Tick, now_us + 3, &mut told);
    assert_eq!(answer, Answer::Done);
    assert_eq!(scheduler.export_state(&mut Writer::new(&mut [0; 1024])), Err(ExportError::ActionsPending));
    while scheduler.next_action(&mut told).is_some() {}
    let bytes = exported(&scheduler).len();
    let mut sink = vec![0; bytes];
    assert_eq!(scheduler.export_state(&mut Writer::new(&mut sink[1..])), Err(ExportError::OutOfRoom));
    assert_eq!(scheduler.export_state(&mut Writer::new(&mut sink)), Ok(()));
}

/// STATE-3: a state of other rules is an error of its own.
#[test]
fn other_versions_are_told_apart() {
    let (state, now_us) = full_state(policies()[0]);
    let with = |at: usize, bytes: [u8; 4]| {
        let mut other = state.clone();
        other[at..at + 4].copy_from_slice(&bytes);
        imported_into(SIZES, policies()[0], &resealed(other), now_us).unwrap_err()
    };
    let next = SEMANTICS_VERSION + 1;
    assert_eq!(with(12, next.to_le_bytes()), StateError::OtherSemantics { found: next });
    assert_eq!(with(8, 7u32.to_le_bytes()), StateError::OtherFormat { found: 7 });
    assert_eq!(with(0, *b"what"), StateError::NotAState);
}
