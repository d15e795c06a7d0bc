//! Random sequences of everything that a queue can do, beside the model. QUEUE-1 to QUEUE-13, ADMIT-1, FORECAST-1.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::model::{Model, ModelJob, Verdict};
use super::*;
use crate::scheduler::policy::{ClassWeights, Discipline, FullPolicy, WaitLimit};

#[derive(Debug, Clone)]
enum Operation {
    Enqueue {
        name: u8,
        class: Priority,
        tokens: u32,
        deadline: Option<u64>,
        tenant: u8,
    },
    Cancel(u8),
    CancelStale(u8),
    Pop,
    Expire,
    /// What to do with each job that the pass comes to.
    Pass(Vec<Choice>),
    ServeAnywhere(u8),
    Position(u8),
    SetRules(QueueRules),
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Serve,
    PassOver,
    /// Passes it over, and serves one that was passed over before.
    ServeEarlier(u8),
    /// Changes the queue otherwise, which ends the pass.
    Cancel(u8),
}

fn class() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::Interactive), Just(Priority::Batch)]
}

fn limit() -> impl Strategy<Value = WaitLimit> {
    let jobs = prop_oneof![4 => Just(u32::MAX), 2 => 0u32..8];
    let tokens = prop_oneof![4 => Just(WaitLimit::NONE.tokens), 2 => 0u64..120];
    (jobs, tokens).prop_map(|(jobs, tokens)| WaitLimit { jobs, tokens })
}

fn queue_rules() -> impl Strategy<Value = QueueRules> {
    let limits = (limit(), limit(), limit());
    let full = (proptest::sample::select(&FullPolicy::ALL), any::<bool>(), 0u8..=100);
    let weights = proptest::option::of((1u16..5, 1u16..5));
    let order = (proptest::sample::select(&Discipline::ALL), weights, prop_oneof![1u32..4, 10u32..40]);
    let times = (proptest::option::of(0u64..60), prop_oneof![Just(0u64), 1u64..90]);
    (limits, full, order, times, 1u32..6, 1u32..4).prop_map(
        |(limits, full, order, times, scan_limit, overtakes_max)| QueueRules {
            total: limits.0,
            interactive: limits.1,
            batch: limits.2,
            full: full.0,
            strict_upstream: full.1,
            shed_above_percent: full.2,
            discipline: order.0,
            class_weights: order.1.map(|(interactive, batch)| ClassWeights { interactive, batch }),
            tenant_quantum_tokens: order.2,
            promote_after_us: times.0,
            ttl_us: times.1,
            scan_limit,
            overtakes_max,
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    let choice = prop_oneof![
        2 => Just(Choice::Serve),
        3 => Just(Choice::PassOver),
        1 => any::<u8>().prop_map(Choice::ServeEarlier),
        1 => any::<u8>().prop_map(Choice::Cancel),
    ];
    let deadline = proptest::option::of(0u64..50);
    prop_oneof![
        12 => (0u8..40, class(), 0u32..60, deadline, 0u8..6).prop_map(|(name, class, tokens, deadline, tenant)| {
            Operation::Enqueue { name, class, tokens, deadline, tenant }
        }),
        2 => (0u8..40).prop_map(Operation::Cancel),
        1 => any::<u8>().prop_map(Operation::CancelStale),
        3 => Just(Operation::Pop),
        1 => Just(Operation::Expire),
        3 => proptest::collection::vec(choice, 0..12).prop_map(Operation::Pass),
        1 => (0u8..40).prop_map(Operation::ServeAnywhere),
        2 => (0u8..40).prop_map(Operation::Position),
        1 => queue_rules().prop_map(Operation::SetRules),
        3 => (0u64..20).prop_map(Operation::Wait),
    ]
}

/// Both side by side.
struct Pair<'a> {
    queue: Queue<'a, u32>,
    model: Model,
    gone: Vec<Ticket>,
    now: u64,
    payloads: u32,
}

impl Pair<'_> {
    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Enqueue { name, class, tokens, deadline, tenant } => {
                self.enqueue(&format!("job-{name}"), class, tokens, deadline, tenant);
            }
            Operation::Cancel(name) => {
                let id = format!("job-{name}");
                let ticket = self.queue.find(&id);
                let departed = ticket.and_then(|ticket| self.queue.cancel(ticket));
                assert_same(departed, self.model.leave(&id, false));
                self.gone.extend(ticket);
            }
            Operation::CancelStale(pick) => {
                if let Some(&ticket) = self.gone.get(usize::from(pick) % self.gone.len().max(1)) {
                    assert_eq!(self.queue.cancel(ticket), None);
                    assert_eq!(self.queue.serve(ticket), None);
                    assert_eq!(self.queue.position(ticket, self.now), None);
                    assert_eq!(self.queue.facts(ticket), None);
                }
            }
            Operation::Pop => assert_same(self.queue.pop(self.now), self.model.pop(self.now)),
            Operation::Expire => self.expire(),
            Operation::Pass(choices) => self.pass(&choices),
            Operation::ServeAnywhere(name) => {
                let id = format!("job-{name}");
                let is_aged =
                    self.model.place(&id).is_some_and(|at| self.model.is_aged(&self.model.jobs[at], self.now));
                // A serve takes its time from the last call that had one.
                let time = self.queue.find(&id).and_then(|ticket| self.queue.position(ticket, self.now));
                assert_eq!(time.is_some(), self.model.place(&id).is_some());
                let departed = self.queue.find(&id).and_then(|ticket| self.queue.serve(ticket));
                assert_same(departed, self.model.leave(&id, !is_aged));
            }
            Operation::Position(name) => self.position(&format!("job-{name}")),
            Operation::SetRules(rules) => {
                self.queue.set_rules(rules);
                self.model.set_rules(rules);
            }
            Operation::Wait(time) => self.now += time,
        }
        self.check();
    }

    fn enqueue(&mut self, id: &str, class: Priority, tokens: u32, deadline: Option<u64>, tenant: u8) {
        let tenant = if tenant == 0 { String::new() } else { format!("tenant-{tenant}") };
        let deadline = deadline.map(|deadline| self.now + deadline);
        self.payloads += 1;
        let arrival = Arrival { id, class, tokens, deadline_at_us: deadline, tenant: &tenant };
        let retry = SchedulerPolicy::default().admission;
        let announced = self.queue.admission(class, tokens, None, &retry);
        let expected = self.model.verdict(class, tokens);
        assert_eq!(
            announced,
            match expected {
                Verdict::Accept => Admission::Accept,
                Verdict::Evict(class) => Admission::AcceptAfterEviction { class },
                Verdict::Refuse => Admission::Reject {
                    policy_label: self.queue.rules().full.label(),
                    retry_after_ms: retry.retry_floor_ms,
                },
            }
        );
        let result = self.queue.enqueue(&arrival, self.payloads, self.now);
        if let Some(place) = self.model.place(id) {
            let Err(EnqueueError::Duplicate(ticket)) = result else { panic!("{result:?}") };
            assert_eq!(self.queue.get(ticket), Some(&self.model.jobs[place].payload));
            return;
        }
        let mut job = Model::job(id, class, tokens, self.now, self.payloads);
        (job.deadline, job.tenant) = (deadline, tenant);
        match (result, self.model.enqueue(job)) {
            (Ok(enqueued), Ok(evicted)) => {
                assert!(!self.gone.contains(&enqueued.ticket));
                assert_eq!(self.queue.find(id), Some(enqueued.ticket));
                assert_same(enqueued.evicted, evicted);
            }
            (Err(EnqueueError::Full { policy_label }), Err(())) => {
                assert_eq!(policy_label, self.queue.rules().full.label());
            }
            (result, expected) => panic!("{result:?}, not {expected:?}"),
        }
    }

    fn expire(&mut self) {
        loop {
            let ttl = self.model.rules.ttl_us;
            let expected = self.model.oldest().filter(|job| ttl > 0 && job.arrived + ttl <= self.now);
            let expected = expected.map(|job| job.id.clone()).and_then(|id| self.model.leave(&id, false));
            let is_done = expected.is_none();
            assert_same(self.queue.expire(self.now), expected);
            if is_done {
                return;
            }
        }
    }

    /// QUEUE-13.
    fn pass(&mut self, choices: &[Choice]) {
        self.queue.begin_pass(self.now);
        let order = self.model.service_order(self.now);
        let (scan_limit, overtakes_max) = (self.model.rules.scan_limit, self.model.rules.overtakes_max);
        let mut passed: Vec<String> = Vec::new();
        for (place, &choice) in choices.iter().enumerate() {
            let is_used_up =
                |model: &Model, id: &String| model.jobs[model.place(id).unwrap()].overtaken >= overtakes_max;
            let stops = passed.len() >= scan_limit as usize || passed.iter().any(|id| is_used_up(&self.model, id));
            let expected = order.get(place).filter(|_| !stops).map(|job| job.id.clone());
            let ticket = self.queue.next_in_pass();
            assert_eq!(ticket.and_then(|ticket| self.queue.id(ticket)), expected.as_deref());
            let Some(id) = expected else {
                assert_eq!(self.queue.next_in_pass(), None);
                return;
            };
            passed.push(id.clone());
            match choice {
                Choice::PassOver => {}
                Choice::Serve => self.serve(&mut passed, &id),
                Choice::ServeEarlier(pick) => {
                    let earlier = passed[usize::from(pick) % passed.len()].clone();
                    self.serve(&mut passed, &earlier);
                }
                Choice::Cancel(pick) => {
                    let id = self.model.jobs[usize::from(pick) % self.model.jobs.len()].id.clone();
                    let ticket = self.queue.find(&id).unwrap();
                    assert_same(self.queue.cancel(ticket), self.model.leave(&id, false));
                    assert_eq!(self.queue.next_in_pass(), None);
                    return;
                }
            }
        }
    }

    fn serve(&mut self, passed: &mut Vec<String>, id: &str) {
        let place = passed.iter().position(|passed| passed == id).unwrap();
        passed.remove(place);
        for overtaken in &passed[..place] {
            let at = self.model.place(overtaken).unwrap();
            self.model.jobs[at].overtaken += 1;
        }
        let is_aged = self.model.is_aged(&self.model.jobs[self.model.place(id).unwrap()], self.now);
        let ticket = self.queue.find(id).unwrap();
        assert_same(self.queue.serve(ticket), self.model.leave(id, !is_aged));
        self.gone.push(ticket);
    }

    /// FORECAST-1.
    fn position(&mut self, id: &str) {
        let order = self.model.service_order(self.now);
        let position = self.queue.find(id).and_then(|ticket| self.queue.position(ticket, self.now));
        let count = |jobs: usize| u32::try_from(jobs).unwrap();
        let expected = order.iter().position(|job| job.id == id).map(|place| QueuePosition {
            total: count(place),
            in_class: count(order[..place].iter().filter(|job| job.class == order[place].class).count()),
        });
        assert_eq!(position, expected);
    }

    fn check(&self) {
        let (queue, model) = (&self.queue, &self.model);
        assert_eq!(queue.len() as usize, model.jobs.len());
        assert_eq!(queue.is_empty(), model.jobs.is_empty());
        for class in [Priority::Interactive, Priority::Batch] {
            let expected: Vec<&ModelJob> = model.jobs.iter().filter(|job| job.class == class).collect();
            assert_eq!(ids(queue, class), expected.iter().map(|job| job.id.to_string()).collect::<Vec<_>>());
            let state = queue.state().class(class);
            assert_eq!(state.jobs as usize, expected.len());
            assert_eq!(state.tokens, expected.iter().map(|job| u64::from(job.tokens)).sum::<u64>());
            assert_eq!(state.oldest_tokens, expected.first().map_or(0, |job| job.tokens));
        }
        for job in &model.jobs {
            let ticket = queue.find(&job.id).unwrap();
            assert_eq!(queue.id(ticket), Some(job.id.as_str()));
            assert_eq!(queue.get(ticket), Some(&job.payload));
            let &ModelJob { class, tokens, deadline, arrived, overtaken, .. } = job;
            let facts = WaitingFacts { class, tokens, arrived_us: arrived, deadline_at_us: deadline, overtaken };
            assert_eq!(queue.facts(ticket), Some(facts));
        }
        let ttl = model.rules.ttl_us;
        let expiry = model.oldest().filter(|_| ttl > 0).map(|job| job.arrived + ttl);
        assert_eq!(queue.next_expiry_us(), expiry);
    }
}

fn assert_same(departed: Option<Departed<u32>>, expected: Option<ModelJob>) {
    let departed =
        departed.map(|job| (job.id.to_string(), job.facts.class, job.facts.tokens, job.facts.arrived_us, job.payload));
    assert_eq!(departed, expected.map(|job| (job.id, job.class, job.tokens, job.arrived, job.payload)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn behaves_like_the_model(
        capacity in proptest::sample::select(&[0usize, 1, 2, 6, 50][..]),
        tenants in 0usize..6,
        first_rules in queue_rules(),
        operations in proptest::collection::vec(operation(), 0..120),
    ) {
        let mut room = Room::new(capacity, tenants);
        let queue = room.queue(first_rules);
        let model = Model::new(capacity, tenants, first_rules);
        let mut pair = Pair { queue, model, gone: Vec::new(), now: 0, payloads: 0 };
        for operation in operations {
            pair.apply(operation);
        }
        // What is left leaves in the order that was foretold.
        for job in pair.model.service_order(pair.now) {
            pair.position(&job.id);
        }
        while !pair.queue.is_empty() {
            pair.apply(Operation::Pop);
        }
        assert_eq!(pair.queue.pop(pair.now), None);
    }
}
