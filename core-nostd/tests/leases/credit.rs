//! Snapshots and leases: LEASE-3, LEASE-4.

use orchestrator_core::scheduler::{Leases, NewLease, credit_after_snapshot};
use orchestrator_core::storage::Ticket;
use orchestrator_core::{HeldRoom, JobSpec, Policy, PoolHandle, PoolRegistry, SmallFleet};

use crate::{Room, snapshot};

type Fleet = SmallFleet<2, 4, 16>;
type Own<'a> = Leases<'a, HeldRoom<4>, ()>;

/// The pool "a", without leases.
fn empty_fleet() -> (Fleet, PoolHandle) {
    let mut fleet = Fleet::new();
    let pool = PoolRegistry::upsert(&mut fleet, &snapshot("a", 4, 1000, 0)).unwrap();
    (fleet, pool)
}

/// A lease of 100 bytes.
fn reserve(fleet: &mut Fleet, leases: &mut Own<'_>, id: &str, now_us: u64) -> Ticket {
    reserve_bytes(fleet, leases, id, now_us, 100)
}

fn reserve_bytes(fleet: &mut Fleet, leases: &mut Own<'_>, id: &str, now_us: u64, bytes: i64) -> Ticket {
    let mut job = JobSpec::new("j", "vllm", "m");
    job.est_kv_bytes = Some(bytes);
    let held = PoolRegistry::commit(fleet, &job.validate(&Policy::default(), None).unwrap(), 0).unwrap();
    let pool = fleet.at_rank(0).unwrap();
    let lease = NewLease {
        pool,
        held,
        admitted_at_us: 0,
        predicted_end_us: None,
        pool_wait_us: 0,
        prefill_us: 0,
        prompt_tokens: 0,
        job: (),
    };
    leases.reserve(id, lease, now_us).unwrap()
}

fn free(fleet: &Fleet, pool: PoolHandle) -> (u16, u64) {
    let row = fleet.row(pool).unwrap();
    (row.slots_free, row.vram_free_bytes)
}

/// LEASE-3: leases reserved at the time of observation or later are taken again, earlier ones are in the numbers.
#[test]
fn what_a_snapshot_had_not_seen() {
    // observed at, what the engine says then, leases taken again
    for (observed_us, slots, bytes, expected) in
        [(5, 4, 1000, 3), (10, 4, 1000, 3), (11, 3, 900, 2), (20, 3, 900, 2), (21, 2, 800, 1), (31, 1, 700, 0)]
    {
        let (mut fleet, pool) = empty_fleet();
        let mut room = Room::new(4, 2);
        let mut leases = room.leases();
        let tickets = [10, 20, 30].map(|now_us| reserve(&mut fleet, &mut leases, &format!("j{now_us}"), now_us));
        assert_eq!(free(&fleet, pool), (1, 700));
        PoolRegistry::upsert(&mut fleet, &snapshot("a", slots, bytes, 0)).unwrap();
        assert_eq!(credit_after_snapshot(&mut fleet, &mut leases, pool, observed_us), expected, "{observed_us}");
        assert_eq!(free(&fleet, pool), (1, 700), "{observed_us}");
        for (left, ticket) in (1..).zip(tickets) {
            let ended = leases.end(ticket).unwrap();
            assert!(ended.is_counted());
            ended.give_back_to(&mut fleet);
            assert_eq!(free(&fleet, pool), (1 + left, 700 + 100 * u64::from(left)));
        }
    }
}

/// LEASE-3: a lease without room in the new numbers stays, and gives back nothing; the next snapshot that knows it
/// counts it again. The earliest reservation is served first.
#[test]
fn no_room_in_the_new_numbers() {
    let (mut fleet, pool) = empty_fleet();
    let mut room = Room::new(4, 2);
    let mut leases = room.leases();
    let first = reserve(&mut fleet, &mut leases, "first", 10);
    let second = reserve(&mut fleet, &mut leases, "second", 10);
    let third = reserve(&mut fleet, &mut leases, "third", 12);
    let counted =
        |leases: &Own<'_>| [first, second, third].map(|ticket| leases.get(ticket).map(|lease| lease.is_counted()));
    // Somebody else has three slots.
    PoolRegistry::upsert(&mut fleet, &snapshot("a", 1, 1000, 0)).unwrap();
    assert_eq!(credit_after_snapshot(&mut fleet, &mut leases, pool, 10), 1);
    assert_eq!((free(&fleet, pool), counted(&leases)), ((0, 900), [Some(true), Some(false), Some(false)]));
    leases.end(second).unwrap().give_back_to(&mut fleet);
    assert_eq!(free(&fleet, pool), (0, 900));
    // The engine knows the first and the third by now.
    PoolRegistry::upsert(&mut fleet, &snapshot("a", 2, 800, 0)).unwrap();
    assert_eq!(credit_after_snapshot(&mut fleet, &mut leases, pool, 13), 0);
    assert_eq!(counted(&leases), [Some(true), None, Some(true)]);
    leases.end(third).unwrap().give_back_to(&mut fleet);
    assert_eq!(free(&fleet, pool), (3, 900));
}

/// LEASE-3: a lease that ended after the observation keeps its room until the next snapshot: the safe side.
#[test]
fn ended_after_the_observation() {
    let (mut fleet, pool) = empty_fleet();
    let mut room = Room::new(4, 2);
    let mut leases = room.leases();
    let ticket = reserve(&mut fleet, &mut leases, "j", 10);
    leases.end(ticket).unwrap().give_back_to(&mut fleet);
    PoolRegistry::upsert(&mut fleet, &snapshot("a", 3, 900, 0)).unwrap();
    assert_eq!(credit_after_snapshot(&mut fleet, &mut leases, pool, 15), 0);
    assert_eq!(free(&fleet, pool), (3, 900));
}

/// LEASE-3: beside a lease without room in the new numbers another job may be given that room: more is promised than there
/// is. When the engine says so nothing is free, and no end makes more free than there is.
#[test]
fn room_promised_twice() {
    let (mut fleet, pool) = empty_fleet();
    let mut room = Room::new(16, 2);
    let mut leases = room.leases();
    let first = reserve_bytes(&mut fleet, &mut leases, "first", 10, 700);
    // As the engine was before it gave back what it has no more: no room for the first.
    PoolRegistry::upsert(&mut fleet, &snapshot("a", 3, 500, 0)).unwrap();
    assert_eq!(credit_after_snapshot(&mut fleet, &mut leases, pool, 9), 0);
    let second = reserve_bytes(&mut fleet, &mut leases, "second", 11, 500);
    assert_eq!(free(&fleet, pool), (2, 0));
    // By now the engine has both, and not a byte left for anybody.
    PoolRegistry::upsert(&mut fleet, &snapshot("a", 2, 0, 0)).unwrap();
    assert_eq!(credit_after_snapshot(&mut fleet, &mut leases, pool, 12), 0);
    for (ticket, expected) in [(first, (3, 700)), (second, (4, 1000))] {
        leases.end(ticket).unwrap().give_back_to(&mut fleet);
        assert_eq!(free(&fleet, pool), expected);
    }
}

/// LEASE-4: a draining or stale pool keeps its leases; one that is removed has them listed for their end, and they give
/// nothing to a pool that takes its place.
#[test]
fn pools_that_drain_age_and_go() {
    let (mut fleet, pool) = empty_fleet();
    let mut room = Room::new(4, 2);
    let mut leases = room.leases();
    let tickets = ["x", "y"].map(|id| reserve(&mut fleet, &mut leases, id, 10));
    assert!(PoolRegistry::set_draining(&mut fleet, pool, true));
    fleet.set_age(pool, 1 << 40);
    assert_eq!(leases.of_pool(pool).collect::<Vec<_>>(), tickets);
    assert_eq!(free(&fleet, pool), (2, 800));
    assert!(PoolRegistry::remove(&mut fleet, pool));
    // Another pool takes the slot before the leases were ended: they are not its own.
    let other = PoolRegistry::upsert(&mut fleet, &snapshot("b", 1, 500, 0)).unwrap();
    assert_eq!(other.slot, pool.slot);
    let own = reserve(&mut fleet, &mut leases, "z", 11);
    assert_eq!(leases.of_pool(other).collect::<Vec<_>>(), [own]);
    PoolRegistry::upsert(&mut fleet, &snapshot("b", 1, 500, 0)).unwrap();
    assert_eq!(credit_after_snapshot(&mut fleet, &mut leases, other, 0), 1);
    assert_eq!(leases.of_pool(pool).collect::<Vec<_>>(), tickets);
    assert!(tickets.iter().all(|&ticket| leases.get(ticket).unwrap().is_counted()));
    while let Some(ticket) = leases.first_of_pool(pool) {
        leases.end(ticket).unwrap().give_back_to(&mut fleet);
    }
    assert_eq!((free(&fleet, other), leases.len()), ((0, 400), 1));
}
