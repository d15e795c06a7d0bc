//! One engine as the world has it: continuous batching, as fast as its load lets it be.
//!
//! ```text
//! enqueue ─▶ waiting ──slot and KV cache free──▶ prefilling, one after the other ─▶ decoding, all at once ─▶ finished
//! ```
//!
//! - A request needs a slot and the KV cache of all its tokens, and has both until its end.
//! - **Prefill** is one request's at a time: a first-token time, and a time for each token of the prompt that no cache holds.
//! - **Decode** gives every request that decodes a token a step. A step takes longer the more of them there are, and longer
//!   again beside a prefill. Steps are counted, not times: a request ends when the count is what it was at its first token
//!   and its output tokens more, so that a change of speed changes no request's state.
//! - A request for a **model** that is not loaded has it loaded first, before its prefill and in its place; what decodes goes on.
//! - The **cache** keeps what requests leave, as long as there is room.
//!
//! Invariant: nothing happens between two events; whoever drives it calls [`Engine::advance`] at every
//! [`Engine::next_event_us`] and before each other change.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use super::prefix_cache::{Prefix, PrefixCache};
use super::residents::Residents;
use crate::input::SLOW_PERMILLE_MAX;

/// Steps are counted in so many parts.
const STEP_PARTS_LOG2: u32 = 10;

/// What an engine can do. Its scheduler sees none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSpec {
    /// Requests that run at a time.
    pub slots: u32,
    /// Tokens that the KV cache holds.
    pub kv_tokens: u64,
    /// Time of the prefill of no token at all.
    pub first_token_us: u64,
    /// Time of each token of prefill, in 1/1024 µs.
    pub prefill_q10: u64,
    /// Time of a step with one request alone, in 1/1024 µs.
    pub step_q10: u64,
    /// By how much a step is longer when all slots decode, in 1/1000.
    pub contention_permille: u64,
    /// How fast steps are beside a prefill, in 1/1000: 1 to 1000.
    pub beside_prefill_permille: u64,
    /// Time until a model that is not loaded is; prefills wait for it.
    pub model_load_us: u64,
}

/// A request, as an engine gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Its index.
    pub request: u32,
    /// The model that it asks for, by its number in the trace.
    pub model: u32,
    /// Tokens of its prompt.
    pub prompt_tokens: u32,
    /// Tokens that it will produce.
    pub output_tokens: u32,
    /// What of its prompt a cache may hold.
    pub prefix: Prefix,
}

impl Work {
    const fn kv_tokens(&self) -> u64 {
        self.prompt_tokens as u64 + self.output_tokens as u64
    }
}

/// What an engine did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// A request has a slot.
    Started {
        /// Which.
        request: u32,
        /// Tokens of its prompt that a cache held.
        cached_tokens: u32,
    },
    /// Its first token came.
    FirstToken {
        /// Which.
        request: u32,
    },
    /// All its tokens came.
    Finished {
        /// Which.
        request: u32,
    },
}

/// An engine at work.
#[derive(Debug)]
pub struct Engine {
    spec: EngineSpec,
    now_us: u64,
    /// Parts of steps done so far.
    steps: u64,
    waiting: VecDeque<Work>,
    /// Admitted, not prefilled; the first one is at it until `prefilled_us`.
    prefilling: VecDeque<Admitted>,
    prefilled_us: u64,
    /// The one that ends first on top.
    decoding: BinaryHeap<Reverse<Decoding>>,
    kv_used: u64,
    /// Slots times the time that each was taken.
    busy_slot_us: u128,
    cache: PrefixCache,
    residents: Residents,
    /// How much longer everything takes, in 1/1000.
    slowness_permille: u64,
}

/// A request that decodes, by the count of steps at which it ends.
#[derive(Debug, Clone, Copy)]
struct Decoding {
    end_steps: u64,
    work: Work,
}

impl Decoding {
    const fn order(&self) -> (u64, u32) {
        (self.end_steps, self.work.request)
    }
}

impl PartialEq for Decoding {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Decoding {}

impl PartialOrd for Decoding {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decoding {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

#[derive(Debug, Clone, Copy)]
struct Admitted {
    work: Work,
    cached_tokens: u32,
}

impl Engine {
    /// An idle engine.
    #[must_use]
    pub fn new(spec: EngineSpec, block_tokens: u32, residents: Residents) -> Self {
        Self {
            spec,
            now_us: 0,
            steps: 0,
            waiting: VecDeque::new(),
            prefilling: VecDeque::new(),
            prefilled_us: 0,
            decoding: BinaryHeap::new(),
            kv_used: 0,
            busy_slot_us: 0,
            cache: PrefixCache::new(block_tokens),
            residents,
            slowness_permille: 1000,
        }
    }

    /// Requests that have a slot.
    #[must_use]
    pub fn running(&self) -> u32 {
        u32::try_from(self.prefilling.len() + self.decoding.len()).unwrap_or(u32::MAX)
    }

    /// Slots times the time that each was taken, in µs, until the last thing that happened.
    #[must_use]
    pub const fn busy_slot_us(&self) -> u128 {
        self.busy_slot_us
    }

    /// Requests that wait for a slot or for KV cache.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Tokens of KV cache that no running request has: cached ones count as free, for they give way.
    #[must_use]
    pub const fn kv_free_tokens(&self) -> u64 {
        self.spec.kv_tokens.saturating_sub(self.kv_used)
    }

    /// What it says of the models that it has loaded.
    #[must_use]
    pub fn resident_models(&self) -> Option<Vec<u32>> {
        self.residents.published()
    }

    /// Requests that decode, by number, with the tokens that each had at the last event.
    #[must_use]
    pub fn streams(&self) -> Vec<(u32, u32)> {
        let tokens_of = |&Reverse(Decoding { end_steps, work }): &Reverse<Decoding>| {
            let left = end_steps.saturating_sub(self.steps).div_ceil(1 << STEP_PARTS_LOG2);
            (work.request, work.output_tokens.saturating_sub(u32::try_from(left).unwrap_or(u32::MAX)))
        };
        let mut streams: Vec<_> = self.decoding.iter().map(tokens_of).collect();
        streams.sort_unstable();
        streams
    }

    /// What the cache holds of a request's prompt; at least one token is left to prefill.
    fn cached_tokens(&self, blocks: &[u32], work: &Work) -> u32 {
        self.cache.held_tokens(blocks, work.prefix).min(work.prompt_tokens.saturating_sub(1))
    }

    /// Everything takes so much longer from now on, in 1/1000: 1 to [`SLOW_PERMILLE_MAX`]; what is being prefilled ends as
    /// it would have.
    pub fn slow_down(&mut self, now_us: u64, permille: u64) {
        self.pass_time(now_us);
        self.slowness_permille = permille.clamp(1, SLOW_PERMILLE_MAX);
    }

    /// Takes a request; [`Engine::advance`] starts it.
    pub fn enqueue(&mut self, work: Work) {
        self.waiting.push_back(work);
    }

    /// Forgets a request, wherever it is; says whether it was here.
    pub fn abort(&mut self, now_us: u64, request: u32) -> bool {
        self.pass_time(now_us);
        if let Some(at) = self.waiting.iter().position(|work| work.request == request) {
            self.waiting.remove(at);
            return true;
        }
        if let Some(at) = self.prefilling.iter().position(|admitted| admitted.work.request == request) {
            let admitted = self.prefilling.remove(at);
            self.kv_used -= admitted.map_or(0, |admitted| admitted.work.kv_tokens());
            if at == 0 {
                self.begin_prefill();
            }
            return true;
        }
        let mut kv_tokens = None;
        self.decoding.retain(|Reverse(Decoding { work, .. })| {
            let is_other = work.request != request;
            if !is_other {
                kv_tokens = Some(work.kv_tokens());
            }
            is_other
        });
        self.kv_used -= kv_tokens.unwrap_or_default();
        kv_tokens.is_some()
    }

    /// Forgets everything: the requests that it had, in order of their numbers.
    pub fn fail(&mut self, now_us: u64) -> Vec<u32> {
        self.pass_time(now_us);
        let own = self.waiting.drain(..).map(|work| work.request);
        let mut lost: Vec<u32> = own.collect();
        lost.extend(self.prefilling.drain(..).map(|admitted| admitted.work.request));
        lost.extend(self.decoding.drain().map(|Reverse(decoding)| decoding.work.request));
        lost.sort_unstable();
        self.kv_used = 0;
        self.cache.clear();
        self.residents.restart();
        lost
    }

    /// When something happens next, if nothing comes.
    #[must_use]
    pub fn next_event_us(&self) -> Option<u64> {
        let prefilled_us = (!self.prefilling.is_empty()).then_some(self.prefilled_us);
        let decoded_us = self.decoding.peek().map(|Reverse(first)| {
            let left = u128::from(first.end_steps.saturating_sub(self.steps));
            let time_us = (left * u128::from(self.step_q10())).div_ceil(1 << (2 * STEP_PARTS_LOG2));
            self.now_us.saturating_add(u64::try_from(time_us).unwrap_or(u64::MAX))
        });
        prefilled_us.into_iter().chain(decoded_us).min()
    }

    /// Lets everything happen that is due; what it was goes to `happened`, in order. `blocks` are those of the trace.
    pub fn advance(&mut self, now_us: u64, blocks: &[u32], happened: &mut Vec<Happened>) {
        self.pass_time(now_us);
        self.end_prefill(blocks, happened);
        while let Some(&Reverse(first)) = self.decoding.peek().filter(|Reverse(first)| first.end_steps <= self.steps) {
            self.decoding.pop();
            self.finish(&first.work, blocks, happened);
        }
        self.admit(blocks, happened);
    }

    /// Counts the steps, and what slots were taken, until now.
    fn pass_time(&mut self, now_us: u64) {
        let passed_us = now_us.saturating_sub(self.now_us);
        self.busy_slot_us += u128::from(passed_us) * u128::from(self.running());
        if passed_us > 0 && !self.decoding.is_empty() {
            let steps = (u128::from(passed_us) << (2 * STEP_PARTS_LOG2)) / u128::from(self.step_q10());
            self.steps = self.steps.saturating_add(u64::try_from(steps).unwrap_or(u64::MAX));
        }
        self.now_us = self.now_us.max(now_us);
        if self.decoding.is_empty() {
            self.steps = 0;
        }
    }

    /// The time of a step now, in 1/1024 µs.
    fn step_q10(&self) -> u64 {
        let EngineSpec { slots, step_q10, contention_permille, beside_prefill_permille, .. } = self.spec;
        let (decoding, slots) = (self.decoding.len() as u64, u64::from(slots.max(1)));
        let crowded = step_q10 + step_q10 * contention_permille * decoding / (1000 * slots);
        let slowed = crowded * self.slowness_permille / 1000;
        let share = if self.prefilling.is_empty() { 1000 } else { beside_prefill_permille.clamp(1, 1000) };
        (slowed * 1000 / share).max(1)
    }

    fn end_prefill(&mut self, blocks: &[u32], happened: &mut Vec<Happened>) {
        while !self.prefilling.is_empty() && self.prefilled_us <= self.now_us {
            let Some(Admitted { work, .. }) = self.prefilling.pop_front() else { return };
            self.residents.used(work.model);
            happened.push(Happened::FirstToken { request: work.request });
            if work.output_tokens <= 1 {
                self.finish(&work, blocks, happened);
            } else {
                let steps = u64::from(work.output_tokens - 1) << STEP_PARTS_LOG2;
                self.decoding.push(Reverse(Decoding { end_steps: self.steps + steps, work }));
            }
            self.begin_prefill();
        }
    }

    fn finish(&mut self, work: &Work, blocks: &[u32], happened: &mut Vec<Happened>) {
        self.kv_used -= work.kv_tokens();
        self.cache.keep(blocks, work.prefix, work.kv_tokens(), self.kv_free_tokens());
        happened.push(Happened::Finished { request: work.request });
    }

    fn admit(&mut self, blocks: &[u32], happened: &mut Vec<Happened>) {
        while let Some(work) = self.waiting.front().copied() {
            let fits = self.running() < self.spec.slots && work.kv_tokens() <= self.kv_free_tokens();
            // A request that is too large for an empty engine is cut short by real ones; here it runs alone.
            let runs_alone = self.running() == 0 && self.spec.slots > 0;
            if !fits && !runs_alone {
                return;
            }
            self.waiting.pop_front();
            let cached_tokens = self.cached_tokens(blocks, &work);
            self.cache.touch(blocks, work.prefix, cached_tokens);
            self.kv_used += work.kv_tokens();
            self.cache.shrink(self.kv_free_tokens());
            happened.push(Happened::Started { request: work.request, cached_tokens });
            self.prefilling.push_back(Admitted { work, cached_tokens });
            if self.prefilling.len() == 1 {
                self.begin_prefill();
                self.end_prefill(blocks, happened);
            }
        }
    }

    fn begin_prefill(&mut self) {
        if let Some(Admitted { work, cached_tokens }) = self.prefilling.front() {
            let tokens = u64::from(work.prompt_tokens.saturating_sub(*cached_tokens));
            let load_us = if self.residents.have(work.model) { 0 } else { self.spec.model_load_us };
            let time_us = load_us + self.spec.first_token_us + ((tokens * self.spec.prefill_q10) >> 10);
            self.prefilled_us = self.now_us.saturating_add(time_us * self.slowness_permille / 1000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: EngineSpec = EngineSpec {
        slots: 2,
        kv_tokens: 1000,
        first_token_us: 1000,
        prefill_q10: 10 << 10,
        step_q10: 100 << 10,
        contention_permille: 0,
        beside_prefill_permille: 1000,
        model_load_us: 0,
    };

    fn work(request: u32, prompt_tokens: u32, output_tokens: u32) -> Work {
        Work { request, model: 0, prompt_tokens, output_tokens, prefix: Prefix::None }
    }

    /// Everything that happens, with its time.
    fn run(engine: &mut Engine, blocks: &[u32]) -> Vec<(u64, Happened)> {
        let (mut all, mut happened) = (Vec::new(), Vec::new());
        engine.advance(engine.now_us, blocks, &mut happened);
        all.extend(happened.drain(..).map(|one| (engine.now_us, one)));
        while let Some(at_us) = engine.next_event_us() {
            engine.advance(at_us, blocks, &mut happened);
            all.extend(happened.drain(..).map(|one| (at_us, one)));
        }
        all
    }

    #[test]
    fn a_request_alone() {
        let mut engine = Engine::new(SPEC, 16, Residents::ALL);
        engine.enqueue(work(7, 50, 11));
        let expected = [
            (0, Happened::Started { request: 7, cached_tokens: 0 }),
            (1500, Happened::FirstToken { request: 7 }),
            (2500, Happened::Finished { request: 7 }),
        ];
        assert_eq!(run(&mut engine, &[]), expected);
        assert_eq!((engine.running(), engine.kv_free_tokens()), (0, 1000));
    }

    #[test]
    fn a_model_is_loaded_once_and_again_after_a_restart() {
        let spec = EngineSpec { model_load_us: 20_000, ..SPEC };
        let mut engine = Engine::new(spec, 16, Residents::starting_with(vec![0]));
        let of_model = |request, model| Work { model, ..work(request, 50, 1) };
        [of_model(0, 0), of_model(1, 1), of_model(2, 1), of_model(3, 0)]
            .into_iter()
            .for_each(|work| engine.enqueue(work));
        let ends = |all: &[(u64, Happened)]| -> Vec<_> {
            all.iter().filter(|(_, one)| matches!(one, Happened::Finished { .. })).map(|&(at_us, _)| at_us).collect()
        };
        // 1.5 ms each, and the one load.
        assert_eq!(ends(&run(&mut engine, &[])), [1500, 23_000, 24_500, 26_000]);
        assert_eq!(engine.resident_models(), Some(vec![1, 0]));
        // A load that is broken off has loaded nothing.
        engine.fail(30_000);
        engine.enqueue(of_model(4, 1));
        engine.advance(30_000, &[], &mut Vec::new());
        assert!(engine.abort(45_000, 4));
        assert_eq!(engine.resident_models(), Some(vec![0]));
        engine.enqueue(of_model(5, 1));
        assert_eq!(ends(&run(&mut engine, &[])), [66_500]);
    }

    #[test]
    fn streams_count_their_tokens() {
        let mut engine = Engine::new(SPEC, 16, Residents::ALL);
        engine.enqueue(work(7, 50, 11));
        let mut happened = Vec::new();
        for (now_us, expected) in [(0, vec![]), (1500, vec![(7, 1)]), (1950, vec![(7, 5)]), (2500, vec![])] {
            engine.advance(now_us, &[], &mut happened);
            assert_eq!(engine.streams(), expected, "{now_us}");
        }
    }

    #[test]
    fn prefills_one_after_the_other_and_a_third_waits_for_a_slot() {
        let mut engine = Engine::new(SPEC, 16, Residents::ALL);
        for request in 0..3 {
            engine.enqueue(work(request, 50, 11));
        }
        let all = run(&mut engine, &[]);
        let times: Vec<_> =
            all.iter().filter(|(_, one)| matches!(one, Happened::FirstToken { .. })).map(|one| one.0).collect();
        // The second is prefilled behind the first, the third starts when the first ends.
        assert_eq!(times, [1500, 3000, 4500]);
        assert_eq!(all.last(), Some(&(5500, Happened::Finished { request: 2 })));
    }

    #[test]
    fn a_full_cache_keeps_others_waiting() {
        let mut engine = Engine::new(EngineSpec { kv_tokens: 61, ..SPEC }, 16, Residents::ALL);
        engine.enqueue(work(0, 50, 11));
        engine.enqueue(work(1, 50, 11));
        let all = run(&mut engine, &[]);
        assert!(all.contains(&(2500, Happened::Started { request: 1, cached_tokens: 0 })), "{all:?}");
        // Too large for the engine: alone.
        engine.enqueue(work(2, 500, 11));
        assert_eq!(run(&mut engine, &[]).len(), 3);
    }

    #[test]
    fn a_crowd_and_a_prefill_slow_decoding() {
        let spec = EngineSpec {
            contention_permille: 1000,
            beside_prefill_permille: 500,
            first_token_us: 0,
            prefill_q10: 0,
            ..SPEC
        };
        let mut engine = Engine::new(spec, 16, Residents::ALL);
        engine.enqueue(work(0, 1, 11));
        engine.enqueue(work(1, 1, 11));
        // Two of two slots: a step takes twice as long.
        assert_eq!(run(&mut engine, &[]).last(), Some(&(2000, Happened::Finished { request: 1 })));
        let mut engine =
            Engine::new(EngineSpec { first_token_us: 1000, contention_permille: 0, ..spec }, 16, Residents::ALL);
        engine.enqueue(work(0, 1, 21));
        engine.enqueue(work(1, 1, 2));
        // From 1000 to 2000 the other's prefill: 5 steps; 15 more alone with it or without.
        let all = run(&mut engine, &[]);
        assert_eq!(all.last(), Some(&(3500, Happened::Finished { request: 0 })));
    }

    #[test]
    fn what_is_aborted_or_lost_leaves_no_trace() {
        for stage in [0, 600, 1700, 3500] {
            for request in 0..3 {
                let mut engine = Engine::new(SPEC, 16, Residents::ALL);
                for request in 0..3 {
                    engine.enqueue(work(request, 50, 51));
                }
                let mut happened = Vec::new();
                engine.advance(0, &[], &mut happened);
                while let Some(at_us) = engine.next_event_us().filter(|&at_us| at_us <= stage) {
                    engine.advance(at_us, &[], &mut happened);
                }
                assert!(engine.abort(stage, request));
                assert!(!engine.abort(stage, request));
                let all = run(&mut engine, &[]);
                let finished = all.iter().filter(|(_, one)| matches!(one, Happened::Finished { .. })).count();
                assert_eq!((finished, engine.running(), engine.kv_free_tokens()), (2, 0, 1000), "{stage} {request}");
            }
        }
        let mut engine = Engine::new(SPEC, 16, Residents::ALL);
        for request in [2, 0, 1] {
            engine.enqueue(work(request, 50, 51));
        }
        engine.advance(0, &[], &mut Vec::new());
        engine.advance(1500, &[], &mut Vec::new());
        assert_eq!(engine.fail(1600), [0, 1, 2]);
        assert_eq!((engine.running(), engine.waiting(), engine.next_event_us()), (0, 0, None));
    }

    #[test]
    fn a_slow_engine() {
        let mut engine = Engine::new(SPEC, 16, Residents::ALL);
        engine.enqueue(work(0, 50, 11));
        engine.advance(0, &[], &mut Vec::new());
        // Half of its decoding at twice the time.
        engine.advance(1500, &[], &mut Vec::new());
        engine.slow_down(2000, 2000);
        assert_eq!(engine.next_event_us(), Some(3000));
    }
}
