//! Pools by handle, and leases that are taken again: what a scheduler needs of a fleet.

use std::collections::HashMap;

use orchestrator_core::rows::PoolRow;
use orchestrator_core::{HeldRoom, JobSpec, Policy, PolicySpec, PoolFacts, PoolHandle, PoolRegistry, PoolSnapshot};
use proptest::prelude::*;

use crate::{Fleet, device, exact, fleet, job, leak, pool};

fn needing(kv: i64, weights: i64) -> JobSpec<'static> {
    let mut job = job();
    (job.est_kv_bytes, job.requirements.min_vram_bytes) = (Some(kv), weights);
    job
}

/// The pool "a" alone, committed to at rank 0.
fn commit_in(owner: &mut Fleet, job: &JobSpec<'_>, policy: &PolicySpec) -> HeldRoom<16> {
    let valid = job.validate(&policy.validate().unwrap(), None).unwrap();
    PoolRegistry::commit(owner, &valid, 0).unwrap()
}

fn handle(owner: &Fleet, id: &str) -> PoolHandle {
    PoolRegistry::find(owner, id, "").unwrap()
}

/// Slots free, jobs waiting, free VRAM, free VRAM of the devices of the pool at rank 0.
fn state(owner: &Fleet) -> (u16, u16, u64, Vec<u64>) {
    let table = owner.table();
    let devices = table.lists[0].devices.of(table.devices);
    let free = devices.iter().map(|device| device.vram_free_bytes).collect();
    (table.rows[0].slots_free, table.rows[0].waiting, table.rows[0].vram_free_bytes, free)
}

/// LEASE-3, COMMIT-6: what was taken is taken again from numbers that had not seen it, and comes back as if it had been
/// taken but once.
#[test]
fn retaken_exactly() {
    let whole = pool("a");
    let mut filled = pool("a");
    filled.devices = leak([device(500, 300), device(500, 400)]);
    let mut split = filled;
    split.resident_models = Some(&[]);
    let mut on_two = needing(101, 200);
    on_two.requirements.split_degree = Some(2);
    // pool, job, state after the commit, state after the release
    let table = [
        (whole, needing(300, 0), (3, 0, 700, vec![]), (4, 0, 1000, vec![])),
        // All 400 of the second device, 50 of the first.
        (filled, needing(450, 0), (3, 0, 250, vec![250, 0]), (4, 0, 700, vec![300, 400])),
        // ceil(301 / 2) = 151 each, of which ceil(101 / 2) = 51 KV come back.
        (split, on_two, (3, 0, 398, vec![149, 249]), (4, 0, 500, vec![200, 300])),
        (whole, needing(0, 0), (3, 0, 1000, vec![]), (4, 0, 1000, vec![])),
        (filled, needing(0, 0), (3, 0, 700, vec![300, 400]), (4, 0, 700, vec![300, 400])),
    ];
    for (published, asking, taken, given_back) in table {
        let mut owner = fleet(&[published]);
        let held = commit_in(&mut owner, &asking, &exact());
        assert_eq!(state(&owner), taken);
        // Nothing of the commit is left in the pool; then the lease alone takes the same.
        owner.upsert(&published).unwrap();
        let own = handle(&owner, "a");
        assert!(owner.retake(own, &held));
        assert_eq!(state(&owner), taken);
        assert!(PoolRegistry::release(&mut owner, own, held));
        assert_eq!(state(&owner), given_back);
    }
}

/// LEASE-3: without room for all of it nothing is taken, whatever is short.
#[test]
fn retaken_whole_or_not() {
    type Change = fn(&mut PoolSnapshot<'static>);
    let mut published = pool("a");
    published.devices = leak([device(500, 300), device(500, 400)]);
    let fits: Change = |pool| pool.devices = leak([device(500, 50), device(500, 400)]);
    let changes: [(Change, bool); 6] = [
        (fits, true),
        (|pool| pool.slots_free = 0, false),
        // Enough in all, but not where it was taken.
        (|pool| pool.devices = leak([device(500, 49), device(500, 500)]), false),
        (|pool| pool.devices = leak([device(500, 500), device(500, 399)]), false),
        // The device is gone.
        (|pool| pool.devices = leak([device(1000, 1000)]), false),
        // The pool does not say any more which devices it has: 450 of its whole.
        (|pool| pool.devices = &[], true),
    ];
    for (case, (change, has_room)) in changes.into_iter().enumerate() {
        let mut owner = fleet(&[published]);
        let held = commit_in(&mut owner, &needing(450, 0), &exact());
        let mut changed = published;
        change(&mut changed);
        owner.upsert(&changed).unwrap();
        let (before, own) = (state(&owner), handle(&owner, "a"));
        assert_eq!(owner.retake(own, &held), has_room, "{case}");
        if has_room {
            assert_eq!((state(&owner).0, state(&owner).2), (before.0 - 1, before.2 - 450), "{case}");
        } else {
            assert_eq!(state(&owner), before, "{case}");
        }
    }
    let mut small = pool("a");
    for (free, has_room) in [(300, true), (299, false)] {
        let mut owner = fleet(&[small]);
        let held = commit_in(&mut owner, &needing(300, 0), &exact());
        small.vram_free_bytes = free;
        owner.upsert(&small).unwrap();
        let own = handle(&owner, "a");
        assert_eq!(owner.retake(own, &held), has_room);
        small.vram_free_bytes = 1000;
    }
}

/// LEASE-3, COMMIT-6: a pool that publishes devices from now on, or none any more, keeps the sum of its devices.
#[test]
fn devices_come_and_go() {
    let whole = pool("a");
    let mut filled = pool("a");
    filled.devices = leak([device(500, 300), device(500, 400)]);

    // From the pool as a whole; then it publishes devices, of which none gave it.
    let mut owner = fleet(&[whole]);
    let held = commit_in(&mut owner, &needing(100, 0), &exact());
    owner.upsert(&filled).unwrap();
    let own = handle(&owner, "a");
    assert!(!owner.retake(own, &held));
    assert_eq!(state(&owner), (4, 0, 700, vec![300, 400]));
    assert!(PoolRegistry::release(&mut owner, own, held));
    assert_eq!(state(&owner), (4, 0, 700, vec![300, 400]), "the slot only, up to the total");

    // From devices; then it publishes none: the bytes are the pool's.
    let mut owner = fleet(&[filled]);
    let held = commit_in(&mut owner, &needing(450, 0), &exact());
    let mut seen = whole;
    (seen.slots_free, seen.vram_free_bytes) = (3, 500);
    owner.upsert(&seen).unwrap();
    let own = handle(&owner, "a");
    assert!(PoolRegistry::release(&mut owner, own, held));
    assert_eq!(state(&owner), (4, 0, 950, vec![]));
}

/// LEASE-3, WAIT-3: a lease that waited for a slot waits again, or takes a slot that is free now; one that had a slot
/// does not queue.
#[test]
fn retaken_in_the_backlog() {
    let patient = PolicySpec { pool_backlog: 2, ..exact() };
    let mut published = pool("a");
    (published.slots_total, published.slots_free) = (1, 1);
    (published.first_token_ms, published.perf_tokens_per_s) = (Some(1.0), Some(50.0));
    let mut owner = fleet(&[published]);
    let served = commit_in(&mut owner, &needing(10, 0), &patient);
    let waiting = commit_in(&mut owner, &needing(20, 0), &patient);
    assert_eq!(state(&owner), (0, 1, 970, vec![]));
    owner.upsert(&published).unwrap();
    let own = handle(&owner, "a");
    assert!(owner.retake(own, &served) && owner.retake(own, &waiting));
    assert_eq!(state(&owner), (0, 1, 970, vec![]));
    owner.upsert(&published).unwrap();
    assert!(owner.retake(own, &waiting));
    assert_eq!(state(&owner), (0, 0, 980, vec![]));
    assert!(!owner.retake(own, &served));
    assert_eq!(state(&owner), (0, 0, 980, vec![]));
}

/// LEASE-2: a lease is taken again from its own pool only, and not from one that has its pool's place or name now.
#[test]
fn retaken_from_its_pool_only() {
    let mut owner = fleet(&[pool("a"), pool("b")]);
    let held = commit_in(&mut owner, &needing(300, 0), &exact());
    let first = handle(&owner, "a");
    let before = owner.table().rows.to_vec();
    assert!(PoolRegistry::remove(&mut owner, first));
    assert!(!owner.retake(first, &held));
    PoolRegistry::upsert(&mut owner, &pool("a")).unwrap();
    assert_eq!(handle(&owner, "a").slot, first.slot);
    assert!(!owner.retake(first, &held));
    // Whose class it shares may have changed.
    let own = owner.table().rows[1];
    assert_eq!(own, PoolRow { class: own.class, ..before[1] });
    assert_eq!(owner.table().rows[0].slots_free, 4);
    assert!(!PoolRegistry::release(&mut owner, first, held));
}

/// A fleet without places knows no pool by any handle.
#[test]
fn no_places() {
    let mut none: orchestrator_core::SmallFleet<0, 0, 0> = orchestrator_core::SmallFleet::new();
    let any = PoolHandle { slot: 0, generation: 0 };
    assert_eq!((PoolRegistry::capacity(&none), PoolRegistry::len(&none)), (0, 0));
    assert!(PoolRegistry::is_empty(&none));
    assert!(PoolRegistry::upsert(&mut none, &pool("a")).is_err());
    assert_eq!((none.at_rank(0), PoolRegistry::rank_of(&none, any), none.row(any)), (None, None, None));
    assert_eq!((none.facts(any), PoolRegistry::find(&none, "a", "")), (None, None));
    assert!(!PoolRegistry::remove(&mut none, any) && !PoolRegistry::set_draining(&mut none, any, true));
}

type Places = orchestrator_core::SmallFleet<3, 2, 16>;

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Debug, Clone)]
enum Change {
    Upsert { id: usize, slots: u8 },
    Remove(usize),
    RemoveDead(u8),
    Drain { id: usize, draining: bool },
    Age { id: usize, age_us: u32 },
    Commit(usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        3 => (0..5usize, any::<u8>()).prop_map(|(id, slots)| Change::Upsert { id, slots }),
        2 => (0..5usize).prop_map(Change::Remove),
        1 => any::<u8>().prop_map(Change::RemoveDead),
        1 => (0..5usize, any::<bool>()).prop_map(|(id, draining)| Change::Drain { id, draining }),
        1 => (0..5usize, any::<u32>()).prop_map(|(id, age_us)| Change::Age { id, age_us }),
        2 => (0..5usize).prop_map(Change::Commit),
    ];
    proptest::collection::vec(change, 0..80)
}

/// What is known of a pool that is there.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    handle: PoolHandle,
    slots: u64,
    free: u64,
    draining: bool,
    age_us: u64,
}

proptest! {
    /// LEASE-2: a handle names one pool from its beginning to its end, whatever comes and goes beside it; then it names
    /// none, ever.
    #[test]
    fn handles_live_as_long_as_their_pool(changes in changes()) {
        let mut owner = Places::new();
        let mut model: HashMap<&str, Known> = HashMap::new();
        let mut dead: Vec<PoolHandle> = Vec::new();
        let mut leases: Vec<(PoolHandle, HeldRoom<2>)> = Vec::new();
        let valid = job().validate(&Policy::default(), None).unwrap();
        for change in changes {
            match change {
                Change::Upsert { id, slots } => {
                    let id = IDS[id];
                    let mut snapshot = pool(id);
                    (snapshot.slots_total, snapshot.slots_free) = (i64::from(slots), i64::from(slots));
                    snapshot.engine_version = Some(id);
                    let added = PoolRegistry::upsert(&mut owner, &snapshot);
                    if !model.contains_key(id) && model.len() == 3 {
                        prop_assert!(added.is_err());
                        continue;
                    }
                    let handle = added.unwrap();
                    prop_assert!(!dead.contains(&handle) && handle.slot < 3);
                    let slots = u64::from(slots);
                    let known = Known { handle, slots, free: slots, draining: false, age_us: 0 };
                    if let Some(before) = model.insert(id, known) {
                        prop_assert_eq!(before.handle, handle);
                    }
                }
                Change::Remove(id) => {
                    let known = model.remove(IDS[id]);
                    prop_assert_eq!(PoolRegistry::find(&owner, IDS[id], ""), known.as_ref().map(|known| known.handle));
                    if let Some(known) = known {
                        prop_assert!(PoolRegistry::remove(&mut owner, known.handle));
                        dead.push(known.handle);
                    }
                }
                Change::RemoveDead(pick) => {
                    if let Some(&handle) = dead.get(usize::from(pick) % dead.len().max(1)) {
                        prop_assert!(!PoolRegistry::remove(&mut owner, handle));
                        prop_assert!(!PoolRegistry::set_draining(&mut owner, handle, true));
                        owner.set_age(handle, 77);
                    }
                }
                Change::Drain { id, draining } => {
                    if let Some(known) = model.get_mut(IDS[id]) {
                        prop_assert!(PoolRegistry::set_draining(&mut owner, known.handle, draining));
                        known.draining = draining;
                    }
                }
                Change::Age { id, age_us } => {
                    if let Some(known) = model.get_mut(IDS[id]) {
                        owner.set_age(known.handle, age_us.into());
                        known.age_us = age_us.into();
                    }
                }
                Change::Commit(id) => {
                    let Some(known) = model.get_mut(IDS[id]).filter(|known| known.free > 0) else { continue };
                    let rank = PoolRegistry::rank_of(&owner, known.handle).unwrap();
                    leases.push((known.handle, PoolRegistry::commit(&mut owner, &valid, rank).unwrap()));
                    known.free -= 1;
                }
            }
            check_places(&owner, &model, &dead)?;
        }
        // Each lease finds its own pool, or none.
        for (handle, held) in leases {
            let known = model.values_mut().find(|known| known.handle == handle);
            prop_assert_eq!(PoolRegistry::release(&mut owner, handle, held), known.is_some());
            if let Some(known) = known {
                known.free = (known.free + 1).min(known.slots);
            }
            check_places(&owner, &model, &dead)?;
        }
    }
}

fn check_places(owner: &Places, model: &HashMap<&str, Known>, dead: &[PoolHandle]) -> Result<(), TestCaseError> {
    prop_assert_eq!(PoolRegistry::len(owner) as usize, model.len());
    let mut ids: Vec<&str> = model.keys().copied().collect();
    ids.sort_unstable();
    for (rank, id) in ids.into_iter().enumerate() {
        let known = &model[id];
        prop_assert_eq!(PoolRegistry::find(owner, id, ""), Some(known.handle));
        prop_assert_eq!(owner.at_rank(rank as u32), Some(known.handle));
        prop_assert_eq!(PoolRegistry::rank_of(owner, known.handle), Some(rank as u32));
        let facts = PoolFacts { id, replica_id: "", engine: "vllm", engine_version: Some(id) };
        prop_assert_eq!(owner.facts(known.handle), Some(facts));
        let row = owner.row(known.handle).unwrap();
        let draining = row.flags.has(orchestrator_core::rows::PoolFlags::DRAINING);
        let found = Known { free: row.slots_free.into(), draining, age_us: row.age_us, ..known.clone() };
        prop_assert_eq!(&found, known);
        prop_assert_eq!(u64::from(row.slots_total), known.slots);
    }
    prop_assert_eq!(owner.at_rank(model.len() as u32), None);
    for &handle in dead {
        prop_assert_eq!(PoolRegistry::rank_of(owner, handle), None);
        prop_assert_eq!((owner.facts(handle), owner.row(handle)), (None, None));
    }
    Ok(())
}
