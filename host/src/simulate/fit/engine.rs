//! The engine that would have given the times that were seen: a search among [`EngineSpec`]s, each replayed.
//!
//! Why a search: a request's speed depends on how many others decode beside it, and that on all their speeds. A formula
//! over one request's numbers would have to be told the crowd that it met, which is what is to be predicted.
//!
//! What is least is the sum of absolute errors of first tokens and ends. Absolute and not squared, so that most requests
//! decide and not the few that were put aside for others. Times and not shares of them, because where nothing waits a
//! first token comes after one step more or less, by luck, and shares would make that luck weigh most.
//!
//! The search is differential evolution (Storn and Price): knobs make up for one another, a slower step for less
//! contention, and turning one at a time comes to rest far from the best place. Candidates that move by the differences
//! of others follow such valleys without being told of them.

use super::published::{PublishedRates, median};
use super::replay::replay;
use super::{Asked, Observed};
use crate::random::Random;
use crate::simulate::engine::EngineSpec;
use crate::simulate::fleet::EngineModel;

/// Six or seven for each number that is searched: with half as many the search ended beside the best place now and then.
const CANDIDATES: u64 = 40;
/// So many brought a made-up engine back to a thousandth.
const GENERATIONS_MAX: u32 = 200;
/// Any other does as well; one is written down so that every search is the same.
const SEED: u64 = 1;

/// The engine behind the first requests of `asked`, which are `observed` in the same order; the others are only known to
/// have come. It has `slots`, and about `kv_tokens`: a real engine gives a request room as it grows, the model all of it
/// at once, so what it has room for is searched as well. Where room was never short it stays as it was given.
#[must_use]
pub fn fit_engine(
    rates: &PublishedRates,
    slots: u32,
    kv_tokens: u64,
    asked: &[Asked],
    observed: &[Observed],
) -> EngineSpec {
    let mut search = Search { prefill_bound: PrefillBound::of(observed), asked, observed, random: Random::of(SEED, 0) };
    let guess = search.bounded(first_guess(rates, slots, kv_tokens));
    let mut candidates = search.candidates(guess);
    for _ in 0..GENERATIONS_MAX {
        search.evolve(&mut candidates);
        if candidates.iter().all(|one| one.error_us == candidates[0].error_us) {
            break;
        }
    }
    let best = candidates.into_iter().min_by_key(|one| one.error_us).map_or(guess, |one| one.spec);
    let roomy = EngineSpec { kv_tokens, ..best };
    if search.error_us(roomy) <= search.error_us(best) { roomy } else { best }
}

/// A number of an engine that is searched, and the largest that is tried.
#[derive(Clone, Copy)]
struct Knob {
    of: fn(&mut EngineSpec) -> &mut u64,
    max: u64,
}

/// The largest values keep products in the engine far below 64 bits.
const KNOBS: [Knob; 6] = [
    Knob { of: |spec| &mut spec.step_q10, max: 1 << 30 },
    Knob { of: |spec| &mut spec.contention_permille, max: 1 << 14 },
    Knob { of: |spec| &mut spec.beside_prefill_permille, max: 1000 },
    Knob { of: |spec| &mut spec.prefill_q10, max: 1 << 30 },
    Knob { of: |spec| &mut spec.first_token_us, max: 1 << 40 },
    Knob { of: |spec| &mut spec.kv_tokens, max: 1 << 40 },
];

/// The rates as they were published, of an engine that is as contended as any, with half of its slots taken.
fn first_guess(rates: &PublishedRates, slots: u32, kv_tokens: u64) -> EngineSpec {
    let EngineModel { contention_permille, beside_prefill_permille, .. } = EngineModel::default();
    EngineSpec {
        slots,
        kv_tokens,
        first_token_us: rates.first_token_us,
        prefill_q10: rates.prefill_q10,
        step_q10: rates.decode_q10.saturating_mul(2000) / (2000 + contention_permille),
        contention_permille,
        beside_prefill_permille,
        model_load_us: 0,
    }
}

struct Candidate {
    spec: EngineSpec,
    error_us: u128,
}

/// A request that shared the engine was not faster for it: alone, a prompt in the middle takes no longer than the time
/// in the middle. Else a prefill that is too slow could explain requests that waited for room.
struct PrefillBound {
    prompt_tokens: u64,
    time_us: u64,
}

impl PrefillBound {
    fn of(observed: &[Observed]) -> Self {
        let middle = |value: fn(&Observed) -> u64| median(observed.iter().map(value)).unwrap_or(0).clamp(1, 1 << 40);
        Self {
            prompt_tokens: middle(|one| one.asked.prompt_tokens.into()),
            time_us: middle(|one| one.times.prefill_us()),
        }
    }
}

struct Search<'s> {
    prefill_bound: PrefillBound,
    asked: &'s [Asked],
    observed: &'s [Observed],
    random: Random,
}

impl Search<'_> {
    fn bounded(&self, mut spec: EngineSpec) -> EngineSpec {
        for Knob { of, max } in KNOBS {
            let value = of(&mut spec);
            *value = (*value).clamp(1, max);
        }
        let PrefillBound { prompt_tokens, time_us } = self.prefill_bound;
        spec.prefill_q10 = spec.prefill_q10.min((time_us << 10) / prompt_tokens);
        spec.first_token_us = spec.first_token_us.min(time_us - ((spec.prefill_q10 * prompt_tokens) >> 10));
        spec
    }

    /// The guess, and others around it, every number up to 16 times larger or smaller.
    fn candidates(&mut self, guess: EngineSpec) -> Vec<Candidate> {
        let mut candidates = vec![Candidate { spec: guess, error_us: self.error_us(guess) }];
        for _ in 1..CANDIDATES {
            let mut spec = guess;
            for Knob { of, .. } in KNOBS {
                let value = of(&mut spec);
                let factor_1024 = (1024 + self.random.below(1024)) << self.random.below(4);
                *value = if self.random.one_in(2) { *value * factor_1024 / 1024 } else { *value * 1024 / factor_1024 };
            }
            let spec = self.bounded(spec);
            candidates.push(Candidate { spec, error_us: self.error_us(spec) });
        }
        candidates
    }

    /// Gives every candidate a rival, who takes its place if it is no worse.
    fn evolve(&mut self, candidates: &mut [Candidate]) {
        for place in 0..candidates.len() {
            let spec = self.rival(candidates, candidates[place].spec);
            let error_us = self.error_us(spec);
            if error_us <= candidates[place].error_us {
                candidates[place] = Candidate { spec, error_us };
            }
        }
    }

    /// A candidate moved by a share of what two others differ by, but for a knob now and then that stays as it was.
    fn rival(&mut self, candidates: &[Candidate], own: EngineSpec) -> EngineSpec {
        let [mut from, mut one, mut other] = [(); 3].map(|()| self.random.pick(candidates).spec);
        let share_1024 = 400 + self.random.below(600);
        let mut rival = own;
        for Knob { of, .. } in KNOBS {
            if self.random.one_in(8) {
                continue;
            }
            let difference = of(&mut one).cast_signed() - of(&mut other).cast_signed();
            let moved = of(&mut from).cast_signed() + difference * share_1024.cast_signed() / 1024;
            *of(&mut rival) = moved.max(0).cast_unsigned();
        }
        self.bounded(rival)
    }

    fn error_us(&self, spec: EngineSpec) -> u128 {
        let replayed = replay(spec, self.asked, self.observed.len());
        let errors = self.observed.iter().zip(replayed).map(|(Observed { times: seen, .. }, replayed)| {
            replayed.map_or(u64::MAX.into(), |replayed| {
                let first_token_us = replayed.first_token_us.abs_diff(seen.first_token_us);
                u128::from(first_token_us) + u128::from(replayed.ended_us.abs_diff(seen.ended_us))
            })
        });
        errors.sum()
    }
}
