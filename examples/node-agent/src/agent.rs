//! The main program: takes messages, drives the scheduler, sends orders.

use heapless::spsc::{Consumer, Producer};
use orchestrator_core::scheduler::{
    Action, Answer, CancelCause, Input, Observer, OutcomeLog, SchedulerPolicy, SchedulerStorage,
};
use orchestrator_core::{JobSpec, Policy, PoolSnapshot, Priority};

use crate::capacities::{Fleet, Lease, NodeScheduler};
use crate::log;
use crate::message::{Message, Order, What};
use crate::names::Name;

const ENGINE: &str = "vllm";
const MODEL: &str = "m";
const SLOTS: i64 = 2;
const GIB: i64 = 1 << 30;

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Messages that were taken.
    pub messages: u32,
    /// Jobs that were accepted.
    pub accepted: u32,
    /// Jobs that were sent to an engine.
    pub dispatched: u32,
    /// Jobs that ended after they were accepted.
    pub ended: u32,
    /// Jobs that wait or run.
    pub left: u32,
    /// Orders for which there was no room: their jobs end by the watchdog.
    pub lost_orders: u32,
    /// The digest of all answers, events and actions.
    pub digest: u64,
}

impl Summary {
    /// Whether every accepted job ended once, or is still there. EVENT-1.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.accepted == self.ended + self.left
    }
}

/// Counts the ends of jobs.
#[derive(Default)]
struct Ends(u32);

impl Observer for Ends {
    fn observe(&mut self, _: u64, event: &orchestrator_core::scheduler::Event<'_>) {
        use orchestrator_core::scheduler::Event::JobRefused;
        #[cfg(feature = "plant_panic")]
        assert!(self.0 < u32::MAX, "planted");
        // A refused job was never accepted.
        let ends = event.terminal_job().is_some() && !matches!(event, JobRefused { .. });
        self.0 += u32::from(ends);
    }
}

/// The agent, over tables that are its owner's.
pub struct Agent<'a> {
    scheduler: NodeScheduler<'a>,
    ingress: Consumer<'a, Message>,
    egress: Producer<'a, Order>,
    log: OutcomeLog<'static>,
    ends: Ends,
    messages: u32,
    accepted: u32,
    dispatched: u32,
    lost_orders: u32,
}

impl<'a> Agent<'a> {
    /// An agent without pools.
    pub fn new(
        fleet: &'a mut Fleet,
        storage: SchedulerStorage<'a, Lease>,
        ingress: Consumer<'a, Message>,
        egress: Producer<'a, Order>,
    ) -> Self {
        let (placement, rules) = policies();
        Self {
            scheduler: NodeScheduler::new(fleet, storage, placement, rules),
            ingress,
            egress,
            log: OutcomeLog::new(&mut []),
            ends: Ends(0),
            messages: 0,
            accepted: 0,
            dispatched: 0,
            lost_orders: 0,
        }
    }

    /// Takes one message, if the interrupt left any; says whether it did.
    pub fn poll_one(&mut self) -> bool {
        let Some(message) = self.ingress.dequeue() else { return false };
        self.messages += 1;
        self.hear(&message);
        self.act(message.at_us);
        true
    }

    /// When something happens without a message: a timer should fire no later, in µs.
    #[must_use]
    pub fn wakeup_us(&self) -> Option<u64> {
        self.scheduler.next_wakeup_us()
    }

    /// What came of it so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            messages: self.messages,
            accepted: self.accepted,
            dispatched: self.dispatched,
            ended: self.ends.0,
            left: self.scheduler.waiting_jobs() + self.scheduler.leased_jobs(),
            lost_orders: self.lost_orders,
            digest: self.log.digest(),
        }
    }

    /// Hears what a message says.
    #[inline(never)] // A request's fields are not on the stack while what came of it is done.
    fn hear(&mut self, message: &Message) {
        let now_us = message.at_us;
        match message.what {
            What::Pool { number, slots_free, speed } => {
                let id = Name::new(b'p', number.into());
                self.tell(&Input::Snapshot(&pool(id.as_str(), slots_free, speed)), now_us);
            }
            What::Request { job, session, prompt_tokens, batch } => {
                let (id, session) = (Name::new(b'j', job), session.map(|number| Name::new(b's', number.into())));
                let spec = JobSpec {
                    priority: if batch { Priority::Batch } else { Priority::Interactive },
                    prompt_tokens: prompt_tokens.into(),
                    max_tokens: Some(64),
                    session_id: session.as_ref().map(Name::as_str),
                    ..JobSpec::new(id.as_str(), ENGINE, MODEL)
                };
                self.tell(&Input::Submit(&spec), now_us);
            }
            What::Started(job) => self.tell(&Input::Started { job_id: Name::new(b'j', job).as_str() }, now_us),
            What::FirstToken(job) => self.tell(&Input::FirstToken { job_id: Name::new(b'j', job).as_str() }, now_us),
            What::Finished(job) => {
                self.tell(&Input::Finished { job_id: Name::new(b'j', job).as_str(), tokens_out: 64 }, now_us);
            }
            What::Canceled(job) => {
                let cause = CancelCause::Disconnect;
                self.tell(&Input::Cancel { job_id: Name::new(b'j', job).as_str(), cause }, now_us);
            }
            What::Tick => self.tell(&Input::Tick, now_us),
        }
    }

    fn tell(&mut self, input: &Input<'_>, now_us: u64) {
        let mut observer = (&mut self.log, &mut self.ends);
        let answer = self.scheduler.handle(input, now_us, &mut observer);
        observer.0.answer(&answer);
        log::answer(now_us, input, &answer);
        self.accepted += u32::from(matches!(answer, Answer::Accepted(_)));
    }

    /// Sends the orders that the last message calls for.
    #[inline(never)] // As above.
    fn act(&mut self, now_us: u64) {
        let mut observer = (&mut self.log, &mut self.ends);
        loop {
            let next = self.scheduler.next_action(&mut observer);
            // By reference: an action is large, and moved it would stand on the stack twice.
            let Some(action) = &next else { break };
            observer.0.action(action);
            log::action(now_us, action);
            let order = match action {
                Action::Dispatch { job_id, pool_id, .. } => {
                    self.dispatched += 1;
                    Order::Run { job: Name::number(job_id), pool: Name::number(pool_id) as u8 }
                }
                Action::Abort { job_id, .. } => Order::Stop(Name::number(job_id)),
                _ => continue,
            };
            self.lost_orders += u32::from(self.egress.enqueue(order).is_err());
        }
    }
}

fn pool(id: &str, slots_free: u8, speed: u8) -> PoolSnapshot<'_> {
    PoolSnapshot {
        perf_tokens_per_s: Some([40.0, 50.0, 50.0, 62.5].get(usize::from(speed)).copied().unwrap_or(50.0)),
        first_token_ms: Some(40.0),
        ..PoolSnapshot::new(id, ENGINE, SLOTS, slots_free.into(), 80 * GIB, 60 * GIB)
    }
}

/// Limits small enough that a run of seconds meets them. Integers as the scheduler has them: firmware has no policy file, and
/// need not bring the check of one.
fn policies() -> (Policy, SchedulerPolicy) {
    let placement = Policy::default().with_stale_after_us(20_000_000).unwrap_or_default();
    let mut rules = SchedulerPolicy::default();
    rules.queue.ttl_us = 2_000_000;
    rules.watchdog.start_timeout_us = 400_000;
    rules.watchdog.idle_limit_us = 1_000_000;
    rules.session_ttl_us = 3_000_000;
    rules.refresh.after_us = 5_000_000;
    (placement, rules)
}
