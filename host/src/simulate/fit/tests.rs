//! What is known of a made-up engine is found again.

use super::*;
use crate::random::Random;
use crate::simulate::engine::EngineSpec;

const TRUTH: EngineSpec = EngineSpec {
    slots: 64,
    kv_tokens: 1_000_000,
    first_token_us: 20_000,
    prefill_q10: 30 << 10,
    step_q10: 12_000 << 10,
    contention_permille: 900,
    beside_prefill_permille: 400,
    model_load_us: 0,
};
const FITTED: usize = 100;

/// Requests at random times, with random lengths.
fn asked(count: usize, mean_us: u64) -> Vec<Asked> {
    let (mut random, mut arrived_us) = (Random::of(3, 0), 0);
    let mut one = || {
        arrived_us += random.below(2 * mean_us);
        let [prompt_tokens, output_tokens] =
            [(50, 2000), (100, 600)].map(|(least, more)| u32::try_from(least + random.below(more)).unwrap());
        Asked { arrived_us, prompt_tokens, output_tokens }
    };
    (0..count).map(|_| one()).collect()
}

fn times(spec: EngineSpec, asked: &[Asked]) -> Vec<Times> {
    replay(spec, asked, asked.len()).into_iter().map(Option::unwrap).collect()
}

fn observed(spec: EngineSpec, asked: &[Asked]) -> Vec<Observed> {
    let one = |(&asked, times): (&Asked, Times)| Observed { asked, times };
    asked.iter().zip(times(spec, asked)).map(one).collect()
}

fn assert_near(what: &str, found: u64, truth: u64, permille: u64) {
    assert!(found.abs_diff(truth) * 1000 <= truth * permille, "{what}: {found} instead of {truth}");
}

#[test]
fn requests_alone_publish_their_rates() {
    // So far apart that none meets another.
    let seen = observed(TRUTH, &asked(FITTED, 100_000_000));
    let rates = published_rates(&seen).unwrap();
    // Times are whole µs: over a thousand tokens of difference that is less than one of 1024 parts.
    assert_near("first token", rates.first_token_us, TRUTH.first_token_us, 1);
    assert_near("prefill", rates.prefill_q10, TRUTH.prefill_q10, 1);
    // One of 64 slots is taken, and the first of a request's tokens takes no step.
    let alone = TRUTH.step_q10 * (64_000 + TRUTH.contention_permille) / 64_000;
    assert_near("decode", rates.decode_q10, alone, 5);
    assert!(rates.decode_q10 < alone);
}

#[test]
fn published_rates_ignore_the_few_that_waited() {
    let calm = observed(TRUTH, &asked(FITTED, 100_000_000));
    let mut disturbed = calm.clone();
    for one in disturbed.iter_mut().step_by(10) {
        one.times.first_token_us += 3_600_000_000;
        one.times.ended_us += 36_000_000_000;
    }
    let [calm, disturbed] = [&calm, &disturbed].map(|seen| published_rates(seen).unwrap());
    assert_near("first token", disturbed.first_token_us, calm.first_token_us, 1);
    assert_near("prefill", disturbed.prefill_q10, calm.prefill_q10, 1);
    assert_near("decode", disturbed.decode_q10, calm.decode_q10, 1);
}

#[test]
fn rates_of_hardly_anything() {
    assert_eq!(published_rates(&[]), None);
    let one = Observed {
        asked: Asked { arrived_us: 0, prompt_tokens: 10, output_tokens: 100 },
        times: Times { started_us: 500, first_token_us: 1500, ended_us: 101_500 },
    };
    let rates = PublishedRates { first_token_us: 1000, prefill_q10: 0, decode_q10: 1000 << 10 };
    assert_eq!(published_rates(&[one, one]), Some(rates));
    // No output, no rate of it.
    let silent = Asked { output_tokens: 0, ..one.asked };
    assert_eq!(published_rates(&[Observed { asked: silent, ..one }]), None);
    // Times that run backwards, and a longer prompt that was faster.
    let backwards = Observed { times: Times { started_us: u64::MAX, first_token_us: 9, ended_us: 3 }, ..one };
    assert_eq!(published_rates(&[backwards]).unwrap().decode_q10, 0);
    let longer =
        Observed { asked: Asked { prompt_tokens: 20, ..one.asked }, times: Times { started_us: 1400, ..one.times } };
    assert_eq!(published_rates(&[one, longer]).unwrap().prefill_q10, 0);
}

#[test]
fn an_engine_under_load_is_found_again() {
    let asked = asked(3 * FITTED, 250_000);
    let truth = observed(TRUTH, &asked);
    let rates = published_rates(&truth[..FITTED]).unwrap();
    let found = fit_engine(&rates, TRUTH.slots, TRUTH.kv_tokens, &asked, &truth[..FITTED]);
    assert_near("step", found.step_q10, TRUTH.step_q10, 2);
    assert_near("contention", found.contention_permille, TRUTH.contention_permille, 10);
    assert_near("beside", found.beside_prefill_permille, TRUTH.beside_prefill_permille, 10);
    assert_near("prefill", found.prefill_q10, TRUTH.prefill_q10, 10);
    assert_near("first token", found.first_token_us, TRUTH.first_token_us, 10);
    assert_eq!((found.slots, found.kv_tokens), (TRUTH.slots, TRUTH.kv_tokens));
    let predicted = times(found, &asked);
    for (one, predicted) in truth.iter().zip(predicted) {
        let took_us = one.times.ended_us - one.asked.arrived_us;
        let error_us = predicted.ended_us.abs_diff(one.times.ended_us);
        assert!(error_us * 500 <= took_us, "{one:?} {predicted:?}");
    }
    assert_eq!(fit_engine(&rates, TRUTH.slots, TRUTH.kv_tokens, &asked, &truth[..FITTED]), found);
}

#[test]
fn a_short_kv_cache_is_noticed() {
    let short = EngineSpec { kv_tokens: 20_000, ..TRUTH };
    let asked = asked(3 * FITTED, 250_000);
    let truth = observed(short, &asked);
    let rates = published_rates(&truth[..FITTED]).unwrap();
    let found = fit_engine(&rates, short.slots, 2 * short.kv_tokens, &asked, &truth[..FITTED]);
    assert_near("KV cache", found.kv_tokens, short.kv_tokens, 5);
}

#[test]
fn an_engine_without_slots_serves_nobody() {
    let asked = asked(3, 1000);
    assert_eq!(replay(EngineSpec { slots: 0, ..TRUTH }, &asked, 2), [None, None]);
    assert_eq!(replay(TRUTH, &[], 2), []);
    let nobody = PublishedRates { first_token_us: u64::MAX, prefill_q10: u64::MAX, decode_q10: u64::MAX };
    let seen = [Observed { asked: asked[0], times: Times { started_us: 0, first_token_us: 1, ended_us: 2 } }];
    assert_eq!(fit_engine(&nobody, 0, u64::MAX, &asked, &seen).slots, 0);
}

/// Requests are numbered as they were given, whenever they arrive.
#[test]
fn a_replay_keeps_the_order_of_its_requests() {
    let early = Asked { arrived_us: 0, prompt_tokens: 100, output_tokens: 2 };
    let late = Asked { arrived_us: 10_000_000, ..early };
    let [one, other] = times(TRUTH, &[late, early])[..] else { panic!("two requests") };
    assert_eq!((one.first_token_us, other.first_token_us), (10_023_000, 23_000));
    assert_eq!(one.ended_us - late.arrived_us, other.ended_us);
}
