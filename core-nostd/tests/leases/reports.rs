//! The life of one lease: LEASE-1, LEASE-5, LEASE-7.

use orchestrator_core::PoolHandle;
use orchestrator_core::scheduler::{
    ExpiryCause, LeaseState, Leases, NotReserved, Reported, ReserveError, UsageFacts, WatchdogRules,
};
use orchestrator_core::storage::{InsertError, Ticket};

use crate::{POOL, Room, lease_on};

type Own<'a> = Leases<'a, &'static str, u32>;

const LATE: Reported = Reported::Repeated;

fn took(starts: bool) -> Reported {
    Reported::Taken { starts }
}

fn state(leases: &Own<'_>, ticket: Ticket) -> LeaseState {
    leases.get(ticket).unwrap().state()
}

/// LEASE-1: full, doubled and impossible leases are not made, and what was to be leased comes back.
#[test]
fn refused_reservations() {
    for capacity in [0, 1, 2] {
        let mut room = Room::new(capacity, 1);
        let mut leases = room.leases();
        assert_eq!((leases.capacity() as usize, leases.is_full()), (capacity, capacity == 0));
        let refuse = |leases: &mut Own<'_>, id: &str, pool, why| {
            let before = leases.len();
            assert_eq!(leases.reserve(id, lease_on(pool), 5), Err(NotReserved { why, lease: lease_on(pool) }));
            assert_eq!(leases.len(), before);
        };
        for place in 0..capacity {
            let ticket = leases.reserve(&format!("j{place}"), lease_on(POOL), 5).unwrap();
            let duplicate = ReserveError::Insert(InsertError::Duplicate(ticket));
            refuse(&mut leases, &format!("j{place}"), POOL, duplicate);
            assert_eq!(leases.find(&format!("j{place}")), Some(ticket));
            assert_eq!(leases.id(ticket), Some(&*format!("j{place}")));
        }
        assert!(leases.is_full());
        refuse(&mut leases, "other", POOL, ReserveError::Insert(InsertError::Full));
        refuse(&mut leases, "", POOL, ReserveError::Insert(InsertError::BadId));
        let outside = PoolHandle { slot: 1, generation: 0 };
        refuse(&mut leases, "other", outside, ReserveError::NoSuchPool);
        assert_eq!(leases.of_pool(POOL).count(), capacity);
        assert_eq!(leases.of_pool(outside).count(), 0);
    }
}

/// LEASE-7: every report in every state, and what it does.
#[test]
fn reports_in_every_state() {
    type Report = fn(&mut Own<'_>, Ticket) -> Reported;
    let started: Report = |leases, ticket| leases.started(ticket, 20);
    let first_token: Report = |leases, ticket| leases.first_token(ticket, 20);
    let progress: Report = |leases, ticket| leases.progress(ticket, 20, 5);
    use LeaseState::{Reserved, Running, Streaming};
    let table = [
        (Reserved, started, took(true), Running),
        (Reserved, first_token, took(true), Streaming),
        (Reserved, progress, took(true), Running),
        (Running, started, LATE, Running),
        (Running, first_token, took(false), Streaming),
        (Running, progress, took(false), Running),
        (Streaming, started, LATE, Streaming),
        (Streaming, first_token, LATE, Streaming),
        (Streaming, progress, took(false), Streaming),
    ];
    for (case, (from, report, expected, to)) in table.into_iter().enumerate() {
        let mut room = Room::new(1, 1);
        let mut leases = room.leases();
        let ticket = leases.reserve("j", lease_on(POOL), 5).unwrap();
        if from >= Running {
            assert_eq!(leases.started(ticket, 10), took(true));
        }
        if from >= Streaming {
            assert_eq!(leases.first_token(ticket, 15), took(false));
        }
        let (held, last) = (state(&leases, ticket), leases.get(ticket).unwrap().last_report_us());
        assert_eq!(held, from);
        assert_eq!(report(&mut leases, ticket), expected, "{case}");
        assert_eq!(state(&leases, ticket), to, "{case}");
        // A report that changes nothing is no sign of life either.
        let heard = if expected == LATE { last } else { 20 };
        assert_eq!(leases.get(ticket).unwrap().last_report_us(), heard, "{case}");
        // LEASE-1: it ends from every state, once.
        let ended = leases.end(ticket).unwrap();
        assert_eq!((ended.held, ended.job, ended.is_counted(), ended.pool()), ("held", 42, true, POOL));
        assert!(leases.end(ticket).is_none());
        // LEASE-7: reports of a lease that is gone.
        assert_eq!(report(&mut leases, ticket), Reported::NoLease);
        assert_eq!((leases.len(), leases.find("j"), leases.of_pool(POOL).count()), (0, None, 0));
        // And another job in its slot is not meant.
        let other = leases.reserve("k", lease_on(POOL), 25).unwrap();
        assert_eq!((other.slot(), report(&mut leases, ticket)), (ticket.slot(), Reported::NoLease));
        assert_eq!(state(&leases, other), Reserved);
    }
}

/// LEASE-7: a report of fewer tokens is late; one of as many is a sign of life.
#[test]
fn progress_does_not_go_back() {
    let mut room = Room::new(1, 1);
    let mut leases = room.leases();
    let ticket = leases.reserve("j", lease_on(POOL), 5).unwrap();
    for (now_us, tokens, expected, heard_us) in
        [(6, 0, took(true), 6), (7, 3, took(false), 7), (8, 2, LATE, 7), (9, 3, took(false), 9)]
    {
        assert_eq!(leases.progress(ticket, now_us, tokens), expected);
        assert_eq!(leases.get(ticket).unwrap().last_report_us(), heard_us);
    }
    assert_eq!(leases.get(ticket).unwrap().tokens_out(), 3);
}

/// BUDGET-2: a job that never started used nothing; one that produced tokens had started.
#[test]
fn usage() {
    type Reports = fn(&mut Own<'_>, Ticket);
    let unstarted: Reports = |_, _| ();
    let running: Reports = |leases, ticket| assert_eq!(leases.started(ticket, 10), took(true));
    let streaming: Reports = |leases, ticket| {
        assert_eq!(leases.started(ticket, 10), took(true));
        assert_eq!(leases.first_token(ticket, 14), took(false));
        assert_eq!(leases.progress(ticket, 18, 6), took(false));
    };
    let facts = |tokens_in, tokens_out, run_us, decode_us| UsageFacts { tokens_in, tokens_out, run_us, decode_us };
    // reports, tokens of the end
    let table = [
        (unstarted, 0, facts(0, 0, 0, 0)),
        (unstarted, 4, facts(10, 4, 0, 0)),
        (running, 0, facts(10, 0, 20, 0)),
        (running, 4, facts(10, 4, 20, 0)),
        (streaming, 0, facts(10, 6, 20, 16)),
        (streaming, 9, facts(10, 9, 20, 16)),
    ];
    for (reports, tokens_out, expected) in table {
        let mut room = Room::new(1, 1);
        let mut leases = room.leases();
        let ticket = leases.reserve("j", lease_on(POOL), 5).unwrap();
        reports(&mut leases, ticket);
        assert_eq!(leases.get(ticket).unwrap().usage(30, tokens_out), expected);
    }
}

const RULES: WatchdogRules = WatchdogRules { start_timeout_us: 10, wall_limit_us: 100, idle_limit_us: 20 };
const UNLIMITED: WatchdogRules = WatchdogRules { start_timeout_us: 0, wall_limit_us: 0, idle_limit_us: 0 };

/// LEASE-5: each limit at its last microsecond and the next; 0 is no limit.
#[test]
fn limits() {
    type Reports = fn(&mut Own<'_>, Ticket);
    let reserved: Reports = |_, _| ();
    let running: Reports = |leases, ticket| assert_eq!(leases.started(ticket, 9), took(true));
    let streaming: Reports = |leases, ticket| {
        assert_eq!(leases.first_token(ticket, 9), took(true));
        for now_us in [20, 40, 60, 80, 100] {
            assert_eq!(leases.progress(ticket, now_us, 1), took(false));
        }
        assert_eq!(leases.progress(ticket, 105, 0), LATE);
        assert_eq!(leases.started(ticket, 105), LATE);
    };
    let table = [
        (reserved, RULES, Some((15, ExpiryCause::NotStarted))),
        (reserved, WatchdogRules { start_timeout_us: 0, ..RULES }, None),
        (running, RULES, Some((29, ExpiryCause::IdleLimit))),
        (running, WatchdogRules { idle_limit_us: 0, ..RULES }, Some((109, ExpiryCause::WallLimit))),
        (running, WatchdogRules { wall_limit_us: 0, ..RULES }, Some((29, ExpiryCause::IdleLimit))),
        (running, WatchdogRules { wall_limit_us: 20, ..RULES }, Some((29, ExpiryCause::WallLimit))),
        (running, UNLIMITED, None),
        (streaming, RULES, Some((109, ExpiryCause::WallLimit))),
        (streaming, WatchdogRules { wall_limit_us: 0, ..RULES }, Some((120, ExpiryCause::IdleLimit))),
        // A time that does not come.
        (reserved, WatchdogRules { start_timeout_us: u64::MAX, ..RULES }, None),
    ];
    for (case, (reports, rules, expected)) in table.into_iter().enumerate() {
        let mut room = Room::new(1, 1);
        let mut leases = room.leases();
        let ticket = leases.reserve("j", lease_on(POOL), 5).unwrap();
        reports(&mut leases, ticket);
        assert_eq!(leases.next_expiry_us(&rules), expected.map(|(at_us, _)| at_us), "{case}");
        match expected {
            None => assert_eq!(leases.next_expired(u64::MAX, &rules), None, "{case}"),
            Some((at_us, cause)) => {
                assert_eq!(leases.next_expired(at_us - 1, &rules), None, "{case}");
                assert_eq!(leases.next_expired(at_us, &rules), Some((ticket, cause)), "{case}");
            }
        }
        let _ = leases.end(ticket);
        assert_eq!((leases.next_expired(u64::MAX, &rules), leases.next_expiry_us(&rules)), (None, None));
    }
}

/// LEASE-5: a time that went back does not mix up the order.
#[test]
fn earlier_times_count_as_the_latest() {
    let mut room = Room::new(3, 1);
    let mut leases = room.leases();
    let first = leases.reserve("a", lease_on(POOL), 50).unwrap();
    let second = leases.reserve("b", lease_on(POOL), 10).unwrap();
    assert_eq!(leases.get(second).unwrap().reserved_at_us(), 50);
    assert_eq!(leases.next_expired(60, &RULES), Some((first, ExpiryCause::NotStarted)));
    assert_eq!(leases.next_expired(59, &RULES), None);
}
