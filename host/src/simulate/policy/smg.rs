//! The expected wait of SMG's `least_load` (crate `smg` 1.13.0): the tokens that a pool has to do, by its rate, and a
//! penalty that grows without limit as its KV cache fills.

use super::baseline::{Rule, View};

/// Tokens of a request of which nothing is known.
const REQUEST_TOKENS: f64 = 1024.0;
/// Tokens a second of a pool of which nothing is known.
const TOKENS_PER_S: f64 = 2000.0;
/// The weight of the KV cache, in seconds.
const KV_WEIGHT_S: f64 = 0.15;
/// No cache counts as fuller.
const KV_USAGE_MAX: f64 = 0.999;

#[derive(Debug)]
pub(super) struct ExpectedWait;

impl Rule for ExpectedWait {
    fn choose(&mut self, view: &mut View<'_, '_>) -> u32 {
        view.least(|view, pool| {
            let load = view.load(pool);
            // What the report says and what was sent since; in-flight tokens are a floor.
            let reported = f64::from(load.requests()) * REQUEST_TOKENS;
            let tokens = reported.max(load.tokens as f64);
            let kv_tokens = load.kv_tokens.max(1) as f64;
            let usage = (1.0 - load.kv_free_tokens as f64 / kv_tokens).clamp(0.0, KV_USAGE_MAX);
            tokens / TOKENS_PER_S + KV_WEIGHT_S * usage / (1.0 - usage)
        })
    }
}
