//! What all baselines share: which pools can take a request at all, what was sent where, and the books about it.
//!
//! Invariant: what a pool is thought to have is its last report and what was sent since that report was true.

use orchestrator_core::Rejection;

use super::overlap::Overlap;
use super::{Order, Policy, Report, Told, World};
use crate::random::Random;
use crate::simulate::fleet::SimPool;

/// What a router thinks of a pool.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    /// Whether it said anything yet, and is there.
    pub(super) known: bool,
    pub(super) draining: bool,
    /// Slots in all, and free ones by the last report.
    pub(super) slots: u32,
    pub(super) kv_tokens: u64,
    pub(super) kv_free_tokens: u64,
    /// Requests that wait there by the last report.
    pub(super) reported_waiting: u32,
    pub(super) reported_running: u32,
    /// Requests sent there that have not ended, and of those the ones without a first token.
    pub(super) in_flight: u32,
    /// Prompt tokens sent there and not prefilled yet.
    pub(super) prefill_tokens: u64,
    /// Tokens, prompt and predicted output, of all that is in flight.
    pub(super) tokens: u64,
    /// Sent since the last report was true.
    pub(super) sent_since: u32,
}

impl Load {
    /// Requests that are there, by the report and by what was sent since.
    pub(super) fn requests(&self) -> u32 {
        (self.reported_waiting + self.reported_running + self.sent_since).max(self.in_flight)
    }
}

/// What a rule may look at when it chooses.
pub(super) struct View<'v, 'w> {
    pub(super) world: &'v World<'w>,
    pub(super) request: u32,
    pub(super) loads: &'v [Load],
    pub(super) overlap: &'v Overlap,
    /// Pools that can take the request, by rank; at least one.
    pub(super) candidates: &'v [u32],
    /// Room for the candidates among which luck decides.
    ties: &'v mut Vec<u32>,
    pub(super) random: &'v mut Random,
}

impl View<'_, '_> {
    pub(super) fn load(&self, pool: u32) -> &Load {
        &self.loads[pool as usize]
    }

    /// Tokens of the request's prompt that were sent to the pool before.
    pub(super) fn overlap_tokens(&self, pool: u32) -> u32 {
        self.overlap.tokens(pool)
    }

    pub(super) fn prompt_tokens(&self) -> u32 {
        self.world.trace.requests[self.request as usize].prompt_tokens
    }

    /// The candidate of least cost; one of several by luck, as the peers do.
    pub(super) fn least(&mut self, mut cost: impl FnMut(&Self, u32) -> f64) -> u32 {
        let mut least = f64::INFINITY;
        self.ties.clear();
        for &pool in self.candidates {
            let cost = cost(self, pool);
            if cost < least {
                least = cost;
                self.ties.clear();
            }
            if cost <= least {
                self.ties.push(pool);
            }
        }
        *self.random.pick(if self.ties.is_empty() { self.candidates } else { self.ties })
    }
}

/// A rule that chooses.
pub(super) trait Rule {
    /// Whether it asks for [`View::overlap_tokens`].
    const KNOWS_PREFIXES: bool = false;

    fn choose(&mut self, view: &mut View<'_, '_>) -> u32;
}

/// A rule with its books.
#[derive(Debug)]
pub(super) struct Baseline<'w, R> {
    world: World<'w>,
    rule: R,
    /// Slots that each pool says it has; none where it is not ready, or has no KV cache.
    slots: Vec<u32>,
    /// And the longest context that it takes.
    context_tokens_max: Vec<u64>,
    loads: Vec<Load>,
    overlap: Overlap,
    /// Pools that serve each model.
    eligible: Vec<Vec<u32>>,
    /// Those of them that are there and take work, as long as none of `loads` says otherwise.
    candidates: Vec<Candidates>,
    are_candidates_old: bool,
    /// Those that take a request whose context is too long for others.
    fitting: Vec<u32>,
    ties: Vec<u32>,
    /// What was sent and has not ended, by request.
    sent: Vec<Option<Sent>>,
    /// The same requests with their times, by pool, in the order in which they were sent.
    there: Vec<Vec<(u64, u32)>>,
    random: Random,
    decisions: u64,
}

/// Pools that can take requests for a model.
#[derive(Debug)]
struct Candidates {
    pools: Vec<u32>,
    /// The longest context that all of them take.
    context_tokens_max: u64,
}

impl Candidates {
    /// Those of them that take a context of this length, by the limits of all pools; `fitting` is room for them.
    fn taking<'c>(&'c self, context_tokens: u64, limits: &[u64], fitting: &'c mut Vec<u32>) -> &'c [u32] {
        if context_tokens <= self.context_tokens_max {
            return &self.pools;
        }
        fitting.clear();
        fitting.extend(self.pools.iter().copied().filter(|&pool| context_tokens <= limits[pool as usize]));
        fitting
    }
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    pool: u32,
    prefill_tokens: u32,
    tokens: u64,
}

impl<'w, R> Baseline<'w, R> {
    /// A baseline that knows nothing yet.
    pub(super) fn new(world: World<'w>, seed: u64, rule: R) -> Self {
        let pools = &world.fleet.pools;
        let models = world.trace.models.iter().zip(world.engines);
        let serving = |(model, engine): (&String, &String)| {
            (0u32..).zip(pools).filter(|(_, pool)| pool.serves(engine, model)).map(|(rank, _)| rank).collect()
        };
        Self {
            world,
            rule,
            slots: pools.iter().map(published_slots).collect(),
            context_tokens_max: pools.iter().map(SimPool::context_tokens_max).collect(),
            loads: vec![Load::default(); pools.len()],
            overlap: Overlap::new(pools.len(), world.trace.block_tokens),
            eligible: models.map(serving).collect(),
            candidates: Vec::new(),
            are_candidates_old: true,
            fitting: Vec::new(),
            ties: Vec::new(),
            sent: vec![None; world.trace.requests.len()],
            there: vec![Vec::new(); pools.len()],
            random: Random::of(seed, 0),
            decisions: 0,
        }
    }

    fn report(&mut self, pool: u32, report: &Report) {
        let slots = self.slots[pool as usize];
        let there = &self.there[pool as usize];
        let sent_since = there.len() - there.partition_point(|&(at_us, _)| at_us < report.observed_us);
        let load = &mut self.loads[pool as usize];
        self.are_candidates_old |= !load.known || load.draining != report.draining;
        load.known = true;
        load.draining = report.draining;
        load.slots = slots;
        load.kv_tokens = load.kv_tokens.max(report.kv_free_tokens);
        load.kv_free_tokens = report.kv_free_tokens;
        load.reported_waiting = report.waiting;
        load.reported_running = slots.saturating_sub(report.slots_free);
        load.sent_since = u32::try_from(sent_since).unwrap_or(u32::MAX);
    }

    fn prefilled(&mut self, request: u32) {
        if let Some(sent) = &mut self.sent[request as usize] {
            let load = &mut self.loads[sent.pool as usize];
            load.prefill_tokens -= u64::from(std::mem::take(&mut sent.prefill_tokens));
        }
    }

    fn ended(&mut self, request: u32) {
        self.prefilled(request);
        if let Some(sent) = self.sent[request as usize].take() {
            let there = &mut self.there[sent.pool as usize];
            if let Some(place) = there.iter().position(|&(_, own)| own == request) {
                there.remove(place);
            }
            let load = &mut self.loads[sent.pool as usize];
            load.in_flight -= 1;
            load.tokens -= sent.tokens;
        }
    }

    fn gone(&mut self, pool: u32) {
        for (_, request) in std::mem::take(&mut self.there[pool as usize]) {
            self.ended(request);
        }
        self.loads[pool as usize] = Load::default();
        self.are_candidates_old = true;
        self.overlap.forget(pool);
    }
}

impl<R: Rule> Baseline<'_, R> {
    fn arrived(&mut self, now_us: u64, request: u32) -> Order {
        self.decisions += 1;
        if std::mem::take(&mut self.are_candidates_old) {
            self.find_candidates();
        }
        let model = self.world.trace.requests[request as usize].model as usize;
        let context_tokens = self.world.predicted_context_tokens(request);
        let Self { world, rule, loads, overlap, candidates, context_tokens_max, fitting, ties, random, .. } = self;
        let candidates = candidates[model].taking(context_tokens, context_tokens_max, fitting);
        if candidates.is_empty() {
            return Order::Refuse { request, reason: self.why_none(model, context_tokens) };
        }
        if R::KNOWS_PREFIXES {
            overlap.look_at(world.trace, request);
        }
        let pool = rule.choose(&mut View { world, request, loads, overlap, candidates, ties, random });
        self.send(now_us, request, pool);
        Order::Send { request, pool, predicted_start_us: None, predicted_end_us: None }
    }

    fn find_candidates(&mut self) {
        let takes_work = |pool: &u32| {
            let load = &self.loads[*pool as usize];
            load.known && !load.draining && self.slots[*pool as usize] > 0
        };
        let candidates = |pools: &Vec<u32>| {
            let pools: Vec<u32> = pools.iter().copied().filter(takes_work).collect();
            let limits = pools.iter().map(|&pool| self.context_tokens_max[pool as usize]);
            Candidates { context_tokens_max: limits.min().unwrap_or(u64::MAX), pools }
        };
        self.candidates = self.eligible.iter().map(candidates).collect();
    }

    /// Why no pool can take a request, in this engine's words where it has some.
    fn why_none(&self, model: usize, context_tokens: u64) -> &'static str {
        let eligible = &self.eligible[model];
        if eligible.is_empty() {
            Rejection::ModelNotServed.detail()
        } else if eligible.iter().all(|&pool| self.context_tokens_max[pool as usize] < context_tokens) {
            Rejection::Context.detail()
        } else {
            "no_pool_is_there"
        }
    }

    fn send(&mut self, now_us: u64, request: u32, pool: u32) {
        let prompt_tokens = self.world.trace.requests[request as usize].prompt_tokens;
        let prefill_tokens = prompt_tokens.saturating_sub(self.overlap.tokens(pool));
        let tokens = self.world.predicted_context_tokens(request);
        let load = &mut self.loads[pool as usize];
        load.in_flight += 1;
        load.sent_since += 1;
        load.prefill_tokens += u64::from(prefill_tokens);
        load.tokens += tokens;
        if R::KNOWS_PREFIXES {
            self.overlap.sent(self.world.trace, request, pool, load.kv_tokens);
        }
        self.there[pool as usize].push((now_us, request));
        self.sent[request as usize] = Some(Sent { pool, prefill_tokens, tokens });
    }
}

/// Slots that it has for requests.
fn published_slots(pool: &SimPool<'_>) -> u32 {
    pool.with_snapshot(|published| {
        let takes_work = published.ready && pool.spec.kv_tokens > 0;
        u32::try_from(published.slots_total).ok().filter(|_| takes_work).unwrap_or(0)
    })
}

impl<R: Rule> Policy for Baseline<'_, R> {
    fn tell(&mut self, now_us: u64, told: Told, orders: &mut Vec<Order>) {
        match told {
            Told::Report { pool, report } => self.report(pool, &report),
            Told::Gone { pool } => self.gone(pool),
            Told::Arrived { request } => {
                let order = self.arrived(now_us, request);
                orders.push(order);
            }
            Told::FirstToken { request } => self.prefilled(request),
            Told::Finished { request, .. } => self.ended(request),
            Told::Started { .. } | Told::Progress { .. } | Told::Tick => {}
        }
    }

    fn next_wakeup_us(&self) -> Option<u64> {
        None
    }

    fn decisions(&self) -> u64 {
        self.decisions
    }
}
