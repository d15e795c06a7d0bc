//! One table or sequence per rule.

use std::format;

use super::*;
use crate::scheduler::policy::{ClassWeights, Discipline, FullPolicy, WaitLimit};

const INTERACTIVE: Priority = Priority::Interactive;
const BATCH: Priority = Priority::Batch;

/// QUEUE-1: a ticket of a job that left finds nothing, however often its slot was used since.
#[test]
fn tickets_of_gone_jobs_find_nothing() {
    let mut room = Room::new(1, 0);
    let mut queue = room.queue(rules(|_| {}));
    let mut gone = Vec::new();
    for round in 0..5 {
        let ticket = enqueue(&mut queue, &batch(&format!("job-{round}")));
        assert!(gone.iter().all(|&gone| queue.get(gone).is_none() && queue.id(gone).is_none()));
        assert_eq!(queue.cancel(ticket).map(|departed| departed.id.to_string()), Some(format!("job-{round}")));
        assert_eq!(queue.cancel(ticket), None);
        gone.push(ticket);
    }
    // A full queue takes jobs again once jobs were served: upstream's never did.
    assert_eq!(queue.len(), 0);
}

/// QUEUE-2: an id that waits already is refused, also where room would have to be made for it.
#[test]
fn an_id_waits_once() {
    let mut room = Room::new(2, 0);
    let mut queue = room.queue(rules(|rules| rules.full = FullPolicy::DropLru));
    let first = enqueue(&mut queue, &batch("a"));
    let again = queue.enqueue(&interactive("a"), 1, 0);
    assert_eq!(again, Err(EnqueueError::Duplicate(first)));
    enqueue(&mut queue, &batch("b"));
    assert_eq!(
        queue.enqueue(&interactive("b"), 1, 0).map(|_| ()),
        Err(EnqueueError::Duplicate(queue.find("b").unwrap()))
    );
    assert_eq!(ids(&queue, BATCH), ["a", "b"]);
    let long = "x".repeat(65);
    for id in ["", &long] {
        assert_eq!(queue.enqueue(&batch(id), 1, 0), Err(EnqueueError::BadId));
    }
    let stranger = Arrival { tenant: &long, ..batch("c") };
    assert_eq!(queue.enqueue(&stranger, 1, 0), Err(EnqueueError::BadTenant));
    assert_eq!(ids(&queue, BATCH), ["a", "b"]);
}

/// QUEUE-3: each limit alone, at its last job and beyond; 0 always refuses.
#[test]
fn limits() {
    let jobs = |jobs| WaitLimit { jobs, ..WaitLimit::NONE };
    let tokens = |tokens| WaitLimit { tokens, ..WaitLimit::NONE };
    // (rules, jobs of 10 tokens that fit: interactive alone, batch alone)
    let table: [(QueueRules, usize, usize); 11] = [
        (rules(|_| {}), 6, 6),
        (rules(|rules| rules.total = jobs(2)), 2, 2),
        (rules(|rules| rules.total = tokens(29)), 2, 2),
        (rules(|rules| rules.total = tokens(30)), 3, 3),
        (rules(|rules| rules.interactive = jobs(1)), 1, 6),
        (rules(|rules| rules.batch = jobs(1)), 6, 1),
        (rules(|rules| rules.interactive = tokens(20)), 2, 6),
        (rules(|rules| rules.batch = tokens(20)), 6, 2),
        (rules(|rules| rules.total = jobs(0)), 0, 0),
        (rules(|rules| rules.batch = jobs(0)), 6, 0),
        (rules(|rules| rules.interactive = tokens(0)), 0, 6),
    ];
    for (rules, interactive_fit, batch_fit) in table {
        for (class, fit) in [(INTERACTIVE, interactive_fit), (BATCH, batch_fit)] {
            let mut room = Room::new(6, 0);
            let mut queue = room.queue(rules);
            for round in 0..8 {
                let result = queue.enqueue(&job(&format!("job-{round}"), class), 0, 0);
                let expected = if round < fit { Ok(()) } else { Err(EnqueueError::Full { policy_label: "reject" }) };
                assert_eq!(result.map(|_| ()), expected, "{class:?} {round} {rules:?}");
            }
        }
    }
    // Not even a job without tokens.
    let mut room = Room::new(6, 0);
    let mut queue = room.queue(rules(|rules| rules.total = tokens(0)));
    assert!(queue.enqueue(&Arrival { tokens: 0, ..batch("a") }, 0, 0).is_err());
}

/// QUEUE-3, QUEUE-4: a queue without storage refuses under every policy: nothing is evicted, nothing gets in.
#[test]
fn no_storage_no_room() {
    for full in FullPolicy::ALL {
        for (slots, buckets) in [(0, 4), (4, 0)] {
            let (mut jobs, mut heads) = (vec![WaitingSlot::EMPTY; slots], vec![0; buckets]);
            let mut ids = vec![0; slots * ID_STRIDE];
            let storage = QueueStorage {
                jobs: &mut jobs,
                buckets: &mut heads,
                ids: &mut ids,
                job_tenants: &mut [],
                tenants: &mut [],
                tenant_buckets: &mut [],
                tenant_ids: &mut [],
            };
            let mut queue: Queue<'_, u32> = Queue::new(storage, rules(|rules| rules.full = full));
            let full = EnqueueError::Full { policy_label: full.label() };
            assert_eq!(queue.enqueue(&interactive("a"), 0, 0), Err(full));
            assert_eq!((queue.len(), queue.capacity()), (0, 0));
        }
    }
}

/// QUEUE-6.
#[test]
fn labels() {
    assert_eq!(FullPolicy::ALL.map(FullPolicy::label), ["reject", "drop-lru", "shed-low-priority"]);
}

/// Enqueues the named jobs (`i…` is interactive, the rest batch) of 10 tokens, then the newcomer.
fn victim(rules: QueueRules, waiting: &[&str], newcomer: &Arrival<'_>) -> Result<Option<String>, &'static str> {
    let mut room = Room::new(4, 0);
    // Limits hold for the newcomer only.
    let mut queue = room.queue(super::rules(|_| {}));
    for id in waiting {
        enqueue(&mut queue, &job(id, if id.starts_with('i') { INTERACTIVE } else { BATCH }));
    }
    queue.set_rules(rules);
    let retry = SchedulerPolicy::default().admission;
    let announced = queue.admission(newcomer.class, newcomer.tokens, None, &retry);
    match queue.enqueue(newcomer, 0, 0) {
        Ok(Enqueued { evicted, .. }) => {
            let class = evicted.as_ref().map(|departed| departed.facts.class);
            let accept = class.map_or(Admission::Accept, |class| Admission::AcceptAfterEviction { class });
            assert_eq!(announced, accept);
            assert!(queue.find(newcomer.id).is_some());
            Ok(evicted.map(|departed| departed.id.to_string()))
        }
        Err(EnqueueError::Full { policy_label }) => {
            assert_eq!(announced, Admission::Reject { policy_label, retry_after_ms: 1_000 });
            assert_eq!(queue.len() as usize, waiting.len());
            Err(policy_label)
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// QUEUE-4, QUEUE-5, ADMIT-1: who leaves for whom.
#[test]
fn victims() {
    let drop = |change: fn(&mut QueueRules)| {
        rules(|rules| {
            rules.full = FullPolicy::DropLru;
            change(rules);
        })
    };
    let strict = |rules: &mut QueueRules| rules.strict_upstream = true;
    let evicted = |id: &str| Ok(Some(id.to_string()));
    let refused = Err("drop-lru");
    let (plain, strict) = (drop(|_| {}), drop(strict));
    let (chat, report) = (interactive("new"), batch("new"));
    let large = |arrival: Arrival<'static>, tokens| Arrival { tokens, ..arrival };

    assert_eq!(victim(plain, &["b1", "b2"], &chat), Ok(None));
    // The oldest batch job first, whoever comes.
    assert_eq!(victim(plain, &["i1", "b1", "b2", "i2"], &chat), evicted("b1"));
    assert_eq!(victim(plain, &["i1", "b1", "b2", "i2"], &report), evicted("b1"));
    // Without one, only an interactive newcomer has a victim (upstream let batch evict interactive).
    assert_eq!(victim(plain, &["i1", "i2", "i3", "i4"], &chat), evicted("i1"));
    assert_eq!(victim(plain, &["i1", "i2", "i3", "i4"], &report), refused);
    assert_eq!(victim(strict, &["i1", "i2", "i3", "i4"], &report), evicted("i1"));
    assert_eq!(victim(strict, &["i1", "b1", "i3", "i4"], &report), evicted("b1"));
    // A full class is relieved by its own oldest, and only by it.
    let two_chats = drop(|rules| rules.interactive.jobs = 2);
    assert_eq!(victim(two_chats, &["b1", "i1", "i2"], &chat), evicted("i1"));
    assert_eq!(victim(two_chats, &["b1", "i1", "i2", "b2"], &chat), evicted("i1"));
    let two_reports = drop(|rules| rules.batch.jobs = 2);
    assert_eq!(victim(two_reports, &["b1", "b2", "i1"], &report), evicted("b1"));
    let none = drop(|rules| (rules.strict_upstream, rules.batch.jobs) = (true, 0));
    assert_eq!(victim(none, &["i1", "i2", "i3", "i4"], &report), refused);
    // One victim or none: a newcomer that needs two places is refused, and nobody is evicted for nothing.
    let forty = drop(|rules| rules.total.tokens = 40);
    assert_eq!(victim(forty, &["b1", "i1", "i2", "i3"], &large(chat, 10)), evicted("b1"));
    assert_eq!(victim(forty, &["b1", "i1", "i2", "i3"], &large(chat, 11)), refused);
    assert_eq!(victim(forty, &["b1", "b2", "b3"], &large(report, 20)), evicted("b1"));
    assert_eq!(victim(forty, &["b1", "b2", "b3"], &large(report, 21)), refused);
    let zero = drop(|rules| rules.total.jobs = 0);
    assert_eq!(victim(zero, &["b1", "i1"], &chat), refused);
}

/// QUEUE-4: `reject` and `shed-low-priority` evict nobody; the latter keeps room for interactive jobs.
#[test]
fn refusals() {
    let four = ["b1", "i1", "b2", "i2"];
    assert_eq!(victim(rules(|_| {}), &four, &interactive("new")), Err("reject"));
    let shed = |percent| rules(|rules| (rules.full, rules.shed_above_percent) = (FullPolicy::ShedLowPriority, percent));
    let refused = || Err("shed-low-priority");
    // (percent, batch jobs and interactive jobs that four places take)
    for (percent, batch_fit) in [(0, 0), (24, 0), (25, 1), (74, 2), (75, 3), (99, 3), (100, 4)] {
        for waiting in 0..=4usize {
            let expected = if waiting < batch_fit { Ok(None) } else { refused() };
            assert_eq!(victim(shed(percent), &four[..waiting], &batch("new")), expected, "{percent} {waiting}");
            let expected = if waiting < 4 { Ok(None) } else { refused() };
            assert_eq!(victim(shed(percent), &four[..waiting], &interactive("new")), expected);
        }
    }
    // The share is of the smaller of limit and storage.
    let two = rules(|rules| (rules.full, rules.total.jobs) = (FullPolicy::ShedLowPriority, 2));
    assert_eq!(victim(two, &["b1"], &batch("new")), refused());
    assert_eq!(victim(two, &["b1"], &interactive("new")), Ok(None));
}

/// QUEUE-7.
#[test]
fn interactive_first_then_first_come() {
    let mut room = Room::new(8, 0);
    let mut queue = room.queue(rules(|_| {}));
    for id in ["b1", "i1", "b2", "i2", "i3"] {
        enqueue(&mut queue, &job(id, if id.starts_with('i') { INTERACTIVE } else { BATCH }));
    }
    assert_eq!((ids(&queue, INTERACTIVE).len(), ids(&queue, BATCH)), (3, vec!["b1".to_string(), "b2".to_string()]));
    let middle = queue.find("i2").unwrap();
    assert!(queue.cancel(middle).is_some());
    assert_eq!(drain(&mut queue, 0), ["i1", "i3", "b1", "b2"]);
}

/// QUEUE-8: exact over rounds, also over the edges; a class without jobs passes its turn on, and loses it.
#[test]
fn weights_are_exact_over_rounds() {
    for (interactive_weight, batch_weight) in [(8, 1), (3, 2), (1, 1), (1, 5)] {
        let weights = ClassWeights { interactive: interactive_weight, batch: batch_weight };
        let mut room = Room::new(300, 0);
        let mut queue = room.queue(rules(|rules| rules.class_weights = Some(weights)));
        for round in 0..150 {
            enqueue(&mut queue, &interactive(&format!("i{round}")));
            enqueue(&mut queue, &batch(&format!("b{round}")));
        }
        for _ in 0..10 {
            let served: Vec<_> =
                (0..interactive_weight + batch_weight).map(|_| queue.pop(0).unwrap().facts.class).collect();
            let (first, second) = served.split_at(interactive_weight.into());
            assert!(first.iter().all(|&class| class == INTERACTIVE), "{served:?}");
            assert!(second.iter().all(|&class| class == BATCH), "{served:?}");
        }
    }
    let mut room = Room::new(8, 0);
    let mut queue = room.queue(rules(|rules| rules.class_weights = Some(ClassWeights { interactive: 2, batch: 2 })));
    for id in ["b1", "b2", "b3"] {
        enqueue(&mut queue, &batch(id));
    }
    assert_eq!(queue.pop(0).unwrap().id, "b1"); // interactive had nothing to serve
    enqueue(&mut queue, &interactive("i1"));
    assert_eq!(queue.pop(0).unwrap().id, "b2"); // batch has one service left
    assert_eq!(drain(&mut queue, 0), ["i1", "b3"]);
}

/// QUEUE-9: absolute deadlines; without one last; equals by arrival.
#[test]
fn earliest_deadline_first() {
    let mut room = Room::new(8, 0);
    let mut queue = room.queue(rules(|rules| rules.discipline = Discipline::EarliestDeadline));
    let jobs = [("none-1", None), ("late", Some(900)), ("soon-1", Some(100)), ("none-2", None), ("soon-2", Some(100))];
    for (id, deadline_at_us) in jobs {
        enqueue(&mut queue, &Arrival { deadline_at_us, ..batch(id) });
    }
    enqueue(&mut queue, &Arrival { deadline_at_us: Some(5_000), ..interactive("chat") });
    assert_eq!(ids(&queue, BATCH), ["none-1", "late", "soon-1", "none-2", "soon-2"]);
    assert_eq!(drain(&mut queue, 0), ["chat", "soon-1", "soon-2", "late", "none-1", "none-2"]);
}

/// The textbook: a ring of tenants, each with jobs (tokens) that all wait from the start.
fn textbook(tenants: &[Vec<u32>], quantum: u32) -> Vec<(usize, usize)> {
    let mut next = vec![0; tenants.len()];
    let mut deficits = vec![0; tenants.len()];
    let mut served = Vec::new();
    while served.len() < tenants.iter().map(Vec::len).sum() {
        for (tenant, jobs) in tenants.iter().enumerate() {
            if next[tenant] == jobs.len() {
                continue;
            }
            deficits[tenant] += quantum;
            while next[tenant] < jobs.len() && jobs[next[tenant]] <= deficits[tenant] {
                deficits[tenant] -= jobs[next[tenant]];
                served.push((tenant, next[tenant]));
                next[tenant] += 1;
            }
        }
    }
    served
}

proptest::proptest! {
    /// QUEUE-10: what waits is served as the textbook's ring serves it.
    #[test]
    fn fair_tenants_are_the_textbooks(
        tenants in proptest::collection::vec(proptest::collection::vec(1u32..50, 1..12), 1..6),
        quantum in 1u32..60,
    ) {
        let mut room = Room::new(80, 6);
        let mut queue = room.queue(rules(|rules| {
            rules.discipline = Discipline::FairTenants;
            rules.tenant_quantum_tokens = quantum;
        }));
        for (tenant, jobs) in tenants.iter().enumerate() {
            for (place, &tokens) in jobs.iter().enumerate() {
                let (id, tenant) = (format!("{tenant}/{place}"), format!("tenant-{tenant}"));
                enqueue(&mut queue, &Arrival { tokens, tenant: &tenant, ..batch(&id) });
            }
        }
        let expected: Vec<_> =
            textbook(&tenants, quantum).into_iter().map(|(tenant, place)| format!("{tenant}/{place}")).collect();
        proptest::prop_assert_eq!(drain(&mut queue, 0), expected);
    }

    /// QUEUE-10: two tenants that always have jobs never differ by more than a quantum and two of the largest jobs,
    /// whatever others do, however the jobs leave.
    #[test]
    fn unfairness_is_bounded(
        sizes in proptest::collection::vec((1u32..80, 1u32..20, 0u32..4), 300),
        quantum in 1u32..100,
    ) {
        let mut room = Room::new(64, 6);
        let mut queue = room.queue(rules(|rules| {
            rules.discipline = Discipline::FairTenants;
            rules.tenant_quantum_tokens = quantum;
        }));
        let (mut served, mut names) = ([0i64; 2], 0);
        for &(large, small, other) in &sizes {
            for (tenant, tokens) in [("large", large), ("small", small)] {
                // Never fewer than six of each: they never run empty.
                while queue.ids(BATCH).filter(|id| id.starts_with(tenant)).count() < 6 {
                    names += 1;
                    let id = format!("{tenant}-{names}");
                    let payload = u32::from(tenant == "large");
                    assert!(queue.enqueue(&Arrival { tokens, tenant, ..batch(&id) }, payload, 0).is_ok());
                }
            }
            // One that comes and goes gains nothing by it.
            let trickle = format!("trickle-{other}");
            let _ = queue.enqueue(&Arrival { tokens: small, tenant: &trickle, ..batch(&trickle) }, 2, 0);
            for _ in 0..2 {
                let departed = queue.pop(0).unwrap();
                if let Some(sum) = served.get_mut(departed.payload as usize) {
                    *sum += i64::from(departed.facts.tokens);
                }
            }
            proptest::prop_assert!((served[0] - served[1]).abs() <= i64::from(quantum) + 2 * 80, "{:?}", served);
        }
    }
}

/// QUEUE-10: a tenant that comes and goes has one turn per round like any other.
#[test]
fn a_tenant_gains_nothing_by_coming_back() {
    let mut room = Room::new(16, 4);
    let mut queue = room.queue(rules(|rules| {
        (rules.discipline, rules.tenant_quantum_tokens) = (Discipline::FairTenants, 10);
    }));
    for (tenant, place) in [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)] {
        enqueue(&mut queue, &Arrival { tenant, ..batch(&format!("{tenant}{place}")) });
    }
    let mut order = Vec::new();
    for round in 0..9 {
        let _ = queue.enqueue(&Arrival { tenant: "c", ..batch("c") }, 0, 0);
        order.push(queue.pop(0).unwrap().id.to_string());
        assert!(round > 5 || queue.find("c").is_some() || order.last().is_some_and(|id| id == "c"));
    }
    assert_eq!(order, ["a0", "b0", "c", "a1", "b1", "c", "a2", "b2", "c"]);
}

/// QUEUE-10: a tenant without jobs loses its deficit; jobs without a tenant, and tenants without room, share a place.
#[test]
fn deficits_and_the_shared_place() {
    let fair = rules(|rules| (rules.discipline, rules.tenant_quantum_tokens) = (Discipline::FairTenants, 30));
    let mut room = Room::new(16, 2);
    let mut queue = room.queue(fair);
    let arrive = |queue: &mut Queue<'_, u32>, id: &str, tenant: &str, tokens| {
        enqueue(queue, &Arrival { tokens, tenant, ..batch(id) });
    };
    arrive(&mut queue, "a1", "a", 20); // leaves a deficit of 10, and then no job
    assert_eq!(queue.pop(0).unwrap().id, "a1");
    arrive(&mut queue, "b1", "b", 10);
    arrive(&mut queue, "a2", "a", 10);
    assert_eq!(drain(&mut queue, 0), ["b1", "a2"]);

    // Two tenants fit; c and d share with nobody's jobs: one turn for all three.
    for round in 0..2 {
        for tenant in ["a", "b", "c", "d", ""] {
            arrive(&mut queue, &format!("{tenant}-{round}"), tenant, 30);
        }
    }
    assert_eq!(drain(&mut queue, 0), ["a-0", "b-0", "c-0", "a-1", "b-1", "d-0", "-0", "c-1", "d-1", "-1"]);
}

/// QUEUE-10: a quantum far smaller than the jobs costs no time.
#[test]
fn a_tiny_quantum_is_no_loop() {
    let mut room = Room::new(4, 2);
    let mut queue = room.queue(rules(|rules| {
        (rules.discipline, rules.tenant_quantum_tokens) = (Discipline::FairTenants, 1);
    }));
    for (id, tenant, tokens) in [("huge", "a", u32::MAX), ("large", "b", u32::MAX - 1), ("next", "b", 1)] {
        enqueue(&mut queue, &Arrival { tokens, tenant, ..batch(id) });
    }
    assert_eq!(drain(&mut queue, 0), ["large", "huge", "next"]);
}

/// QUEUE-11: whoever waited long enough goes first, the oldest first; exactly from that time on.
#[test]
fn aged_jobs_go_first() {
    for discipline in Discipline::ALL {
        let mut room = Room::new(8, 4);
        let mut queue = room.queue(rules(|rules| {
            rules.discipline = discipline;
            rules.promote_after_us = Some(100);
        }));
        let arrive = |queue: &mut Queue<'_, u32>, arrival: Arrival<'_>, now_us| {
            queue.enqueue(&arrival, 0, now_us).unwrap().ticket
        };
        arrive(&mut queue, Arrival { tenant: "a", ..batch("b-at-0") }, 0);
        arrive(&mut queue, Arrival { tenant: "b", ..interactive("i-at-10") }, 10);
        arrive(&mut queue, Arrival { tenant: "a", deadline_at_us: Some(30), ..batch("b-at-20") }, 20);
        let chat = arrive(&mut queue, Arrival { tenant: "b", deadline_at_us: Some(30), ..interactive("i-at-30") }, 30);
        assert_eq!(
            queue.position(chat, 100).map(|position| (position.total, position.in_class)),
            match discipline {
                Discipline::EarliestDeadline => Some((1, 0)),
                _ => Some((2, 1)),
            }
        );
        assert_eq!(queue.pop(100).unwrap().id, "b-at-0");
        let next = queue.pop(109).unwrap().id;
        assert_eq!(next == "i-at-30", discipline == Discipline::EarliestDeadline, "{discipline:?}");
        assert_eq!(queue.len(), 2);
        assert_eq!(
            drain(&mut queue, 1_000).last().map(String::as_str),
            match discipline {
                Discipline::EarliestDeadline => Some("b-at-20"),
                _ => Some("i-at-30"),
            }
        );
    }
}

/// QUEUE-11: under a flood of interactive jobs no batch job waits longer than the time and what was aged before it.
#[test]
fn with_aging_nothing_starves() {
    for discipline in Discipline::ALL {
        let mut room = Room::new(64, 4);
        let mut queue = room.queue(rules(|rules| {
            (rules.discipline, rules.promote_after_us) = (discipline, Some(500));
        }));
        let mut longest_us = 0;
        // Two jobs every 20 µs, one service every 20 µs for the first half, then two.
        for round in 0..400u64 {
            let now_us = round * 20;
            let id = format!("i{round}");
            let chat = Arrival { deadline_at_us: Some(now_us), tenant: "a", ..interactive(&id) };
            let _ = queue.enqueue(&chat, 0, now_us);
            if round % 8 == 0 {
                let _ = queue.enqueue(&Arrival { tenant: "b", ..batch(&format!("b{round}")) }, 0, now_us);
            }
            let departed = queue.pop(now_us).unwrap();
            if departed.facts.class == BATCH {
                longest_us = longest_us.max(now_us - departed.facts.arrived_us);
            }
        }
        let oldest_us = queue.next_expiry_us().unwrap() - queue.rules().ttl_us;
        let bound_us = 500 + 64 * 20;
        assert!(
            (500..=bound_us).contains(&longest_us) && 400 * 20 - oldest_us <= bound_us,
            "{discipline:?} {longest_us}"
        );
    }
}

/// QUEUE-12: exactly from the limit on, oldest first, one per call, whatever the discipline; 0 is no limit.
#[test]
fn jobs_expire() {
    let mut room = Room::new(8, 2);
    let mut queue = room.queue(rules(|rules| {
        (rules.ttl_us, rules.discipline) = (100, Discipline::EarliestDeadline);
    }));
    assert_eq!((queue.next_expiry_us(), queue.expire(1)), (None, None));
    for (id, now_us) in [("b1", 10), ("i1", 10), ("b2", 30)] {
        let class = if id.starts_with('i') { INTERACTIVE } else { BATCH };
        let _ = queue.enqueue(&Arrival { deadline_at_us: Some(1_000 - now_us), ..job(id, class) }, 7, now_us).unwrap();
    }
    assert_eq!((queue.next_expiry_us(), queue.expire(109)), (Some(110), None));
    let expired = queue.expire(110).unwrap();
    assert_eq!((expired.id.as_str(), expired.facts.arrived_us, expired.payload), ("b1", 10, 7));
    assert_eq!(queue.expire(110).unwrap().id, "i1");
    assert_eq!((queue.expire(129), queue.next_expiry_us()), (None, Some(130)));
    queue.set_rules(rules(|rules| rules.ttl_us = 0));
    assert_eq!((queue.next_expiry_us(), queue.expire(u64::MAX)), (None, None));
}

/// QUEUE-13: what is passed over keeps its place and is overtaken; the pass stops at the scan limit, and at a job that
/// may not be overtaken.
#[test]
fn passes() {
    let mut room = Room::new(16, 0);
    let mut queue = room.queue(rules(|rules| (rules.scan_limit, rules.overtakes_max) = (3, 2)));
    for id in ["a", "b", "c", "d", "e", "f", "g"] {
        enqueue(&mut queue, &batch(id));
    }
    let next = |queue: &mut Queue<'_, u32>| queue.next_in_pass().and_then(|at| queue.id(at).map(ToString::to_string));
    let serve = |queue: &mut Queue<'_, u32>, id: &str| {
        let ticket = queue.find(id).unwrap();
        queue.serve(ticket).unwrap().id.to_string()
    };
    let overtaken = |queue: &Queue<'_, u32>, id: &str| queue.facts(queue.find(id).unwrap()).unwrap().overtaken;
    assert_eq!(next(&mut queue), None); // no pass has begun
    queue.begin_pass(0);
    for expected in ["a", "b", "c"] {
        assert_eq!(next(&mut queue).as_deref(), Some(expected));
    }
    assert_eq!(next(&mut queue), None); // three were passed over
    assert_eq!(overtaken(&queue, "a"), 0); // and nobody was served

    queue.begin_pass(0);
    next(&mut queue);
    next(&mut queue);
    assert_eq!(serve(&mut queue, "b"), "b");
    assert_eq!((overtaken(&queue, "a"), overtaken(&queue, "c")), (1, 0));
    assert_eq!(next(&mut queue).as_deref(), Some("c"));
    assert_eq!(next(&mut queue).as_deref(), Some("d"));
    assert_eq!(serve(&mut queue, "d"), "d");
    assert_eq!((overtaken(&queue, "a"), overtaken(&queue, "c")), (2, 1));
    assert_eq!(next(&mut queue), None); // `a` may not be overtaken again

    queue.begin_pass(0);
    assert_eq!(next(&mut queue).as_deref(), Some("a"));
    assert_eq!(next(&mut queue), None);
    assert_eq!(serve(&mut queue, "a"), "a"); // once it is served, the pass goes on
    assert_eq!(next(&mut queue).as_deref(), Some("c"));
    // Any other change ends it.
    enqueue(&mut queue, &batch("h"));
    assert_eq!(next(&mut queue), None);
    assert_eq!(drain(&mut queue, 0), ["c", "e", "f", "g", "h"]);
}

/// QUEUE-13: a job that does not contend is overtaken by nobody, and stops no pass; one that was not asked for does not
/// count, up to 64 for each that may be asked.
#[test]
fn passed_over_for_other_reasons() {
    let mut room = Room::new(80, 0);
    let mut queue = room.queue(rules(|rules| (rules.scan_limit, rules.overtakes_max) = (1, 1)));
    for place in 0..70 {
        enqueue(&mut queue, &batch(&format!("j{place}")));
    }
    let overtaken = |queue: &Queue<'_, u32>, ticket| queue.facts(ticket).map(|facts| facts.overtaken);
    let walk = |queue: &mut Queue<'_, u32>, why: PassedOver| {
        queue.begin_pass(0);
        core::iter::from_fn(|| {
            let ticket = queue.next_in_pass()?;
            queue.passed_over(ticket, why);
            Some(ticket)
        })
        .count()
    };
    assert_eq!(walk(&mut queue, PassedOver::Contending), 1);
    assert_eq!(walk(&mut queue, PassedOver::Waiting), 1);
    assert_eq!(walk(&mut queue, PassedOver::Known), 64);
    let first = queue.find("j0").unwrap();
    assert!(!queue.contends(first));
    queue.begin_pass(0);
    assert_eq!(queue.next_in_pass(), Some(first));
    queue.passed_over(first, PassedOver::Known);
    let second = queue.next_in_pass().unwrap();
    assert!(queue.serve(second).is_some());
    assert_eq!(overtaken(&queue, first), Some(0));
}

/// QUEUE-8, QUEUE-13: a pass goes through the classes in turns, so that jobs of one that no pool can take do not hide
/// those of the other.
#[test]
fn a_pass_takes_turns() {
    let mut room = Room::new(16, 0);
    let weights = ClassWeights { interactive: 2, batch: 1 };
    let mut queue = room.queue(rules(|rules| rules.class_weights = Some(weights)));
    for id in ["i1", "i2", "i3", "b1", "b2"] {
        enqueue(&mut queue, &job(id, if id.starts_with('i') { INTERACTIVE } else { BATCH }));
    }
    queue.begin_pass(0);
    let walked: Vec<_> = core::iter::from_fn(|| queue.next_in_pass()).collect();
    let walked: Vec<_> = walked.into_iter().map(|ticket| queue.id(ticket).unwrap().to_string()).collect();
    assert_eq!(walked, ["i1", "i2", "b1", "i3", "b2"]);
    let report = queue.find("b1").unwrap();
    queue.serve(report).unwrap();
    // Batch had its turn: two interactive jobs are next, from the start of their turn.
    assert_eq!(drain(&mut queue, 0), ["i1", "i2", "b2", "i3"]);
}

/// QUEUE-1: a time before that of an earlier call counts as the latter's.
#[test]
fn time_does_not_go_back() {
    let mut room = Room::new(1, 0);
    let mut queue = room.queue(rules(|_| {}));
    let _ = queue.enqueue(&batch("a"), 0, 40).unwrap();
    assert_eq!(queue.pop(0).unwrap().facts.arrived_us, 40);
    let late = queue.enqueue(&batch("b"), 0, 5).unwrap().ticket;
    assert_eq!(queue.facts(late).unwrap().arrived_us, 40);
}

/// QUEUE-10, QUEUE-3: other rules while jobs wait throw nothing out.
#[test]
fn other_rules_throw_nothing_out() {
    let mut room = Room::new(8, 2);
    let mut queue = room.queue(rules(|_| {}));
    for (id, tenant) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")] {
        enqueue(&mut queue, &Arrival { tenant, ..batch(id) });
    }
    let small = WaitLimit { jobs: 1, tokens: 1 };
    queue.set_rules(rules(|rules| {
        (rules.total, rules.discipline, rules.tenant_quantum_tokens) = (small, Discipline::FairTenants, 10);
    }));
    assert_eq!(queue.len(), 4);
    assert!(queue.enqueue(&batch("new"), 0, 0).is_err());
    assert_eq!(drain(&mut queue, 0), ["a1", "b1", "a2", "a3"]);
}

/// QUEUE-14: a newcomer that needs no place goes past the first in service order as often as that may be overtaken, and
/// past an empty queue always.
#[test]
fn newcomers_go_past_the_first_so_often() {
    let mut room = Room::new(4, 0);
    let mut queue = room.queue(rules(|rules| rules.overtakes_max = 2));
    assert!((0..5).all(|_| queue.overtake_first(0)));
    let waiting = enqueue(&mut queue, &batch("b"));
    let first = enqueue(&mut queue, &interactive("a"));
    let overtaken = |queue: &Queue<'_, u32>, ticket| queue.facts(ticket).map(|facts| facts.overtaken);
    assert!(queue.overtake_first(0) && queue.overtake_first(0));
    assert!(!queue.overtake_first(0));
    assert_eq!((overtaken(&queue, first), overtaken(&queue, waiting)), (Some(2), Some(0)));
    // The next one in service order counts for itself.
    assert_eq!(queue.serve(first).map(|departed| departed.id.to_string()), Some("a".into()));
    assert!(queue.overtake_first(0));
    assert_eq!(overtaken(&queue, waiting), Some(1));
}
