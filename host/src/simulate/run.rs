//! One run: a policy over a fleet, with all requests of a trace, from the first arrival to the last end.
//!
//! ```text
//! trace ─▶ arrivals ─▶ policy ─orders▶ engines ─▶ starts, first tokens, ends ─▶ policy, outcomes, successors' arrivals
//!                        ▲                │
//!                        └─ reports, late ┘
//! ```
//!
//! Invariants: every request has exactly one end ([`Contradiction`] names a policy that breaks this); the same world,
//! policy and options give the same run, bit for bit; no clock is read.

use std::collections::VecDeque;

use orchestrator_core::hash::ContentHasher;

use super::engine::{Engine, Happened, Work};
use super::events::{Due, Events};
use super::faults::{Fault, ScheduledFault};
use super::policy::{Order, Policy, Report, Told, World};
use super::prefix_cache::Prefix;
use super::request::{Arrival, End, Outcome, Request, Run, Sample};

/// With nothing but reports for so long, and nothing else to come, what is left never ends.
const STUCK_AFTER_US: u64 = 3_600_000_000;

/// An engine says so often that its requests go on, as a stream of tokens does.
const PROGRESS_EVERY_US: u64 = 20_000_000;

/// Of more samples than this every other one is dropped, and the next ones are as far apart.
const SAMPLES_MAX: usize = 1 << 13;

/// Whoever waits for a run hears of it so often: some times a second.
const PROGRESS_EVERY_EVENTS: u64 = 1 << 16;

/// How a run is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// Thousandths of the trace's own rate of arrivals: 1 or more.
    pub load_permille: u32,
    /// Time between two reports of a pool: 1 or more.
    pub report_every_us: u64,
    /// Time that a report is under way.
    pub report_delay_us: u64,
    /// Time between two samples: 1 or more; more in a run of more than 8,192 samples.
    pub sample_every_us: u64,
    /// What goes wrong, by time.
    pub faults: Vec<ScheduledFault>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            load_permille: 1000,
            report_every_us: 1_000_000,
            report_delay_us: 50_000,
            sample_every_us: 10_000_000,
            faults: Vec::new(),
        }
    }
}

/// A policy that said what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("request {request}: {what}")]
pub struct Contradiction {
    /// Which request.
    pub request: u32,
    /// What was said of it.
    pub what: &'static str,
}

/// Runs `policy`; `progress` is told now and then how many requests have ended, and what time it is.
///
/// # Errors
/// The policy said what cannot be: a defect of the policy.
pub fn run(
    world: &World<'_>,
    name: &str,
    policy: &mut dyn Policy,
    options: &RunOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Run, Contradiction> {
    let mut simulation = Simulation::new(world, options);
    simulation.begin();
    let mut events = 0_u64;
    while simulation.open > 0 {
        let Some((now_us, due)) = simulation.events.pop() else { break };
        simulation.now_us = now_us;
        match due {
            Due::Event(event) => simulation.take(event)?,
            Due::Timer(pool) => {
                simulation.moved_us = now_us;
                simulation.advance(pool)?;
            }
        }
        simulation.tell_all(policy)?;
        events += 1;
        if events.is_multiple_of(PROGRESS_EVERY_EVENTS) {
            progress(world.trace.requests.len() as u64 - simulation.open, now_us);
        }
        if simulation.is_stuck() {
            break;
        }
    }
    Ok(simulation.finish(name, policy.decisions()))
}

#[derive(Debug)]
enum Event {
    Arrive(u32),
    /// A pool looks at itself.
    Observe(u32),
    Report {
        pool: u32,
        report: Report,
    },
    Sample,
    /// The policy wanted to be told of the time.
    Wake,
    Fault(usize),
}

/// What is known of a request so far.
#[derive(Debug, Clone, Default)]
struct Life {
    arrived_us: Option<u64>,
    pool: Option<u32>,
    dispatched_us: Option<u64>,
    started_us: Option<u64>,
    first_token_us: Option<u64>,
    predicted_start_us: Option<u64>,
    predicted_end_us: Option<u64>,
    cached_tokens: u32,
    end: Option<(u64, End)>,
}

/// An engine, and what its pool says of it.
#[derive(Debug)]
struct Pool {
    engine: Engine,
    is_there: bool,
    is_draining: bool,
    is_silent: bool,
    delay_us: u64,
}

struct Simulation<'s, 'w> {
    world: &'s World<'w>,
    options: &'s RunOptions,
    now_us: u64,
    /// When something other than a report happened last.
    moved_us: u64,
    /// Arrivals and faults that are known and still to come.
    coming: u64,
    /// The timer of a pool's number is that of its engine.
    events: Events<Event>,
    pools: Vec<Pool>,
    lives: Vec<Life>,
    /// Requests with those that come after each one ends, ascending.
    successors: Vec<(u32, u32)>,
    /// Requests without an end.
    open: u64,
    samples: Vec<Sample>,
    sample_every_us: u64,
    arrived_waiting: u32,
    wake_us: Option<u64>,
    /// What the policy is to be told.
    telling: VecDeque<Told>,
    orders: Vec<Order>,
    happened: Vec<Happened>,
}

impl<'s, 'w> Simulation<'s, 'w> {
    fn new(world: &'s World<'w>, options: &'s RunOptions) -> Self {
        let requests = &world.trace.requests;
        let pools = world.fleet.pools.iter().map(|pool| Pool {
            engine: Engine::new(pool.spec, world.trace.block_tokens, pool.residents(&world.trace.models)),
            is_there: true,
            is_draining: pool.with_snapshot(|published| published.draining),
            is_silent: false,
            delay_us: options.report_delay_us,
        });
        Self {
            world,
            options,
            now_us: 0,
            moved_us: 0,
            coming: 0,
            events: Events::with_timers(world.fleet.pools.len()),
            pools: pools.collect(),
            lives: vec![Life::default(); requests.len()],
            successors: successors(requests),
            open: requests.len() as u64,
            samples: Vec::new(),
            sample_every_us: options.sample_every_us.max(1),
            arrived_waiting: 0,
            wake_us: None,
            telling: VecDeque::new(),
            orders: Vec::new(),
            happened: Vec::new(),
        }
    }

    fn begin(&mut self) {
        let pools = u32::try_from(self.pools.len()).unwrap_or(u32::MAX);
        for pool in 0..pools {
            let report = self.observe(pool);
            self.events.push(0, Event::Report { pool, report });
            // Not all in the same moment.
            let first_us = self.options.report_every_us * (u64::from(pool) + 1) / u64::from(pools);
            self.events.push(first_us, Event::Observe(pool));
        }
        for (index, fault) in self.options.faults.iter().enumerate() {
            self.events.push(fault.at_us, Event::Fault(index));
            self.coming += 1;
        }
        let (world, load_permille) = (self.world, self.options.load_permille);
        let arrivals = (0u32..).zip(&world.trace.requests).filter_map(|(request, asked)| match asked.arrival {
            Arrival::At { at_us } => Some((at_load(at_us, load_permille), Event::Arrive(request))),
            Arrival::After { .. } => None,
        });
        self.coming += self.events.know(arrivals);
        self.events.push(0, Event::Sample);
    }

    fn take(&mut self, event: Event) -> Result<(), Contradiction> {
        match event {
            Event::Arrive(request) => {
                self.moved_us = self.now_us;
                self.coming -= 1;
                self.lives[request as usize].arrived_us = Some(self.now_us);
                self.arrived_waiting += 1;
                self.telling.push_back(Told::Arrived { request });
            }
            Event::Observe(pool) => {
                let own = &self.pools[pool as usize];
                if own.is_there && !own.is_silent {
                    let (at_us, report) = (self.now_us.saturating_add(own.delay_us), self.observe(pool));
                    self.events.push(at_us, Event::Report { pool, report });
                }
                let every_us = self.options.report_every_us.max(1);
                if self.now_us / PROGRESS_EVERY_US > self.now_us.saturating_sub(every_us) / PROGRESS_EVERY_US {
                    self.tell_progress(pool);
                }
                self.events.push(self.now_us + every_us, Event::Observe(pool));
            }
            Event::Report { pool, report } => {
                if self.pools[pool as usize].is_there {
                    self.telling.push_back(Told::Report { pool, report });
                }
            }
            Event::Sample => {
                self.sample();
                let next_us = self.now_us.saturating_add(self.sample_every_us);
                self.thin_samples();
                self.events.push(next_us, Event::Sample);
            }
            Event::Wake => {
                if self.wake_us == Some(self.now_us) {
                    self.wake_us = None;
                    self.telling.push_back(Told::Tick);
                }
            }
            Event::Fault(index) => {
                self.moved_us = self.now_us;
                self.coming -= 1;
                self.fail(index)?;
            }
        }
        Ok(())
    }

    /// Whether nothing will happen any more but reports and what the policy makes of them.
    fn is_stuck(&self) -> bool {
        self.coming == 0 && !self.events.has_timer() && self.now_us.saturating_sub(self.moved_us) > STUCK_AFTER_US
    }

    /// Tells the policy everything, and does what it orders, until there is nothing more to say.
    fn tell_all(&mut self, policy: &mut dyn Policy) -> Result<(), Contradiction> {
        while let Some(told) = self.telling.pop_front() {
            let mut orders = std::mem::take(&mut self.orders);
            policy.tell(self.now_us, told, &mut orders);
            for order in orders.drain(..) {
                self.obey(order)?;
            }
            self.orders = orders;
        }
        if let Some(at_us) = policy.next_wakeup_us().map(|at_us| at_us.max(self.now_us + 1))
            && self.wake_us.is_none_or(|own_us| at_us < own_us)
        {
            self.wake_us = Some(at_us);
            self.events.push(at_us, Event::Wake);
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) -> Result<(), Contradiction> {
        match order {
            Order::Send { request, pool, predicted_start_us, predicted_end_us } => {
                self.send(request, pool, predicted_start_us, predicted_end_us)
            }
            Order::Refuse { request, reason } => self.end(request, End::Refused { reason }),
            Order::Drop { request, expired: None } => self.end(request, End::Dropped),
            Order::Drop { request, expired: Some(cause) } => self.end(request, End::Expired { cause }),
            // It came to its end while the order was under way.
            Order::Abort { request, .. } if self.lives[request as usize].end.is_some() => Ok(()),
            Order::Abort { request, cause } => {
                let pool = self.lives[request as usize].pool;
                if let Some(pool) = pool.filter(|&pool| self.pools[pool as usize].engine.abort(self.now_us, request)) {
                    self.advance(pool)?;
                }
                self.end(request, End::Expired { cause })
            }
        }
    }

    fn send(
        &mut self,
        request: u32,
        pool: u32,
        predicted_start_us: Option<u64>,
        predicted_end_us: Option<u64>,
    ) -> Result<(), Contradiction> {
        let life = &mut self.lives[request as usize];
        if life.end.is_some() || life.dispatched_us.is_some() || life.arrived_us.is_none() {
            return Err(Contradiction { request, what: "was sent to a pool twice, after its end or before it came" });
        }
        life.pool = Some(pool);
        life.dispatched_us = Some(self.now_us);
        (life.predicted_start_us, life.predicted_end_us) = (predicted_start_us, predicted_end_us);
        if !self.pools[pool as usize].is_there {
            return self.end(request, End::Lost);
        }
        let work = self.work(request);
        self.pools[pool as usize].engine.enqueue(work);
        self.advance(pool)
    }

    fn work(&self, request: u32) -> Work {
        let asked = &self.world.trace.requests[request as usize];
        let (prompt_tokens, output_tokens) = (asked.prompt_tokens, asked.output_tokens);
        Work { request, model: asked.model, prompt_tokens, output_tokens, prefix: Prefix::of(asked) }
    }

    /// Lets an engine do what is due, and notes when it wants to go on.
    fn advance(&mut self, pool: u32) -> Result<(), Contradiction> {
        let mut happened = std::mem::take(&mut self.happened);
        let own = &mut self.pools[pool as usize];
        own.engine.advance(self.now_us, &self.world.trace.blocks, &mut happened);
        let next_us = own.engine.next_event_us().map(|at_us| at_us.max(self.now_us));
        self.events.set_timer(pool, next_us);
        for one in happened.drain(..) {
            self.note(one)?;
        }
        self.happened = happened;
        Ok(())
    }

    fn note(&mut self, happened: Happened) -> Result<(), Contradiction> {
        match happened {
            Happened::Started { request, cached_tokens } => {
                let life = &mut self.lives[request as usize];
                (life.started_us, life.cached_tokens) = (Some(self.now_us), cached_tokens);
                self.arrived_waiting -= 1;
                self.telling.push_back(Told::Started { request });
            }
            Happened::FirstToken { request } => {
                self.lives[request as usize].first_token_us = Some(self.now_us);
                self.telling.push_back(Told::FirstToken { request });
            }
            Happened::Finished { request } => {
                let tokens = self.world.trace.requests[request as usize].output_tokens;
                self.telling.push_back(Told::Finished { request, tokens });
                self.end(request, End::Finished)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, request: u32, end: End) -> Result<(), Contradiction> {
        let life = &mut self.lives[request as usize];
        if life.end.is_some() || life.arrived_us.is_none() {
            return Err(Contradiction { request, what: "ended twice, or before it came" });
        }
        life.end = Some((self.now_us, end));
        if life.started_us.is_none() {
            self.arrived_waiting -= 1;
        }
        self.moved_us = self.now_us;
        self.open -= 1;
        let first = self.successors.partition_point(|&(before, _)| before < request);
        for &(_, successor) in self.successors[first..].iter().take_while(|&&(before, _)| before == request) {
            let arrival = self.world.trace.requests[successor as usize].arrival;
            let think_us = if let Arrival::After { think_us, .. } = arrival { think_us } else { 0 };
            let arrives_us = self.now_us.saturating_add(at_load(think_us, self.options.load_permille));
            self.events.push(arrives_us, Event::Arrive(successor));
            self.coming += 1;
        }
        Ok(())
    }

    fn tell_progress(&mut self, pool: u32) {
        let streams = self.pools[pool as usize].engine.streams();
        self.telling.extend(streams.into_iter().map(|(request, tokens)| Told::Progress { request, tokens }));
    }

    fn observe(&self, pool: u32) -> Report {
        let own = &self.pools[pool as usize];
        let slots = self.world.fleet.pools[pool as usize].spec.slots;
        Report {
            observed_us: self.now_us,
            slots_free: slots.saturating_sub(own.engine.running()),
            waiting: own.engine.waiting(),
            kv_free_tokens: own.engine.kv_free_tokens(),
            draining: own.is_draining,
            resident_models: own.engine.resident_models(),
        }
    }

    fn sample(&mut self) {
        let mut busy = vec![0; self.world.fleet.class_names.len()];
        for (pool, own) in self.world.fleet.pools.iter().zip(&self.pools) {
            busy[pool.class as usize] += own.engine.running();
        }
        let running = busy.iter().sum();
        self.samples.push(Sample {
            at_us: self.now_us,
            waiting: self.arrived_waiting,
            running,
            busy_slots_by_class: busy,
        });
    }

    /// Keeps a long run's samples few: those at even places, so that all are at equal intervals still.
    fn thin_samples(&mut self) {
        if self.samples.len() >= SAMPLES_MAX {
            let mut place = 0_usize;
            self.samples.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.sample_every_us = self.sample_every_us.saturating_mul(2);
        }
    }

    fn fail(&mut self, index: usize) -> Result<(), Contradiction> {
        let ScheduledFault { pool, fault, .. } = self.options.faults[index];
        let own = &mut self.pools[pool as usize];
        match fault {
            Fault::Vanish => {
                let lost = own.engine.fail(self.now_us);
                own.is_there = false;
                for request in lost {
                    self.end(request, End::Lost)?;
                }
                self.telling.push_back(Told::Gone { pool });
            }
            Fault::Return => own.is_there = true,
            Fault::Drain => own.is_draining = true,
            Fault::Undrain => own.is_draining = false,
            Fault::Slow { permille } => {
                own.engine.slow_down(self.now_us, permille);
                return self.advance(pool);
            }
            Fault::Silence => own.is_silent = true,
            Fault::Speak => own.is_silent = false,
            Fault::Delay { delay_ms } => own.delay_us = delay_ms.saturating_mul(1000),
        }
        Ok(())
    }

    fn busy_slot_us_by_class(&self) -> Vec<u128> {
        let mut busy = vec![0; self.world.fleet.class_names.len()];
        for (pool, own) in self.world.fleet.pools.iter().zip(&self.pools) {
            busy[pool.class as usize] += own.engine.busy_slot_us();
        }
        busy
    }

    fn finish(self, name: &str, decisions: u64) -> Run {
        let now_us = self.now_us;
        let busy_slot_us_by_class = self.busy_slot_us_by_class();
        let outcomes: Vec<Outcome> = self.lives.into_iter().map(|life| life.outcome(now_us)).collect();
        Run {
            policy: name.to_owned(),
            load_permille: self.options.load_permille,
            digest: digest(&outcomes),
            outcomes,
            samples: self.samples,
            busy_slot_us_by_class,
            decisions,
        }
    }
}

/// A time of the trace at a load.
pub(crate) fn at_load(time_us: u64, load_permille: u32) -> u64 {
    let time_us = u128::from(time_us) * 1000 / u128::from(load_permille.max(1));
    u64::try_from(time_us).unwrap_or(u64::MAX)
}

/// Requests that come after others, behind those.
fn successors(requests: &[Request]) -> Vec<(u32, u32)> {
    let after = |(request, asked): (u32, &Request)| match asked.arrival {
        Arrival::At { .. } => None,
        Arrival::After { request: before, .. } => Some((before, request)),
    };
    let mut successors: Vec<_> = (0u32..).zip(requests).filter_map(after).collect();
    successors.sort_unstable();
    successors
}

impl Life {
    /// What never ended has no end of its own: it is said to have expired, when the run ended.
    fn outcome(self, now_us: u64) -> Outcome {
        let (ended_us, end) = self.end.unwrap_or((now_us, End::Expired { cause: "never_ended" }));
        Outcome {
            arrived_us: self.arrived_us.unwrap_or(ended_us),
            end,
            pool: self.pool,
            dispatched_us: self.dispatched_us,
            started_us: self.started_us,
            first_token_us: self.first_token_us,
            ended_us,
            predicted_start_us: self.predicted_start_us,
            predicted_end_us: self.predicted_end_us,
            cached_tokens: self.cached_tokens,
        }
    }
}

/// The digest of all outcomes, in order.
fn digest(outcomes: &[Outcome]) -> u64 {
    let mut hasher = ContentHasher::new("simulation");
    for outcome in outcomes {
        let kind = match outcome.end {
            End::Finished => 0,
            End::Refused { .. } => 1,
            End::Dropped => 2,
            End::Expired { .. } => 3,
            End::Canceled => 4,
            End::Lost => 5,
        };
        let times = [Some(outcome.arrived_us), outcome.dispatched_us, outcome.first_token_us, Some(outcome.ended_us)];
        hasher.int(kind);
        times.into_iter().for_each(|time| hasher.int(time.unwrap_or(u64::MAX)));
        hasher.int(outcome.pool.map_or(u64::MAX, u64::from));
    }
    hasher.finish()
}
