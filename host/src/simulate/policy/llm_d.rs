//! The weighted scorers of the llm-d router (Gateway API Inference Extension): queue, KV cache and prefix, each from 0 to
//! 1, with the weights 2, 2 and 3 of its published default profile; the greatest sum, any of several.

use super::baseline::{Rule, View};

const QUEUE_WEIGHT: f64 = 2.0;
const KV_WEIGHT: f64 = 2.0;
const PREFIX_WEIGHT: f64 = 3.0;

#[derive(Debug)]
pub(super) struct WeightedScorers;

impl Rule for WeightedScorers {
    const KNOWS_PREFIXES: bool = true;

    fn choose(&mut self, view: &mut View<'_, '_>) -> u32 {
        let queues = view.candidates.iter().map(|&pool| queue(view, pool));
        let (least, most) =
            queues.fold((f64::INFINITY, 0.0f64), |(least, most), queue| (least.min(queue), most.max(queue)));
        view.least(|view, pool| {
            let queue = if most > least { (most - queue(view, pool)) / (most - least) } else { 1.0 };
            let load = view.load(pool);
            let kv_free = load.kv_free_tokens as f64 / load.kv_tokens.max(1) as f64;
            let prefix = f64::from(view.overlap_tokens(pool)) / f64::from(view.prompt_tokens().max(1));
            -(QUEUE_WEIGHT * queue + KV_WEIGHT * kv_free.min(1.0) + PREFIX_WEIGHT * prefix.min(1.0))
        })
    }
}

/// Requests that wait there: by the report, and what was sent since above the slots that it had free.
fn queue(view: &View<'_, '_>, pool: u32) -> f64 {
    let load = view.load(pool);
    let free = load.slots.saturating_sub(load.reported_running);
    f64::from(load.reported_waiting + load.sent_since.saturating_sub(free))
}
