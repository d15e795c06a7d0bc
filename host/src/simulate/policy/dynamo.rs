//! The cost of NVIDIA Dynamo's KV router (`dynamo-kv-router` 1.6.1, `DefaultWorkerScorer::worker_logit`, with its default
//! weights): blocks that are still to prefill there, those of the request that it does not hold, and blocks that decode.

use super::baseline::{Rule, View};

/// Its default block.
const BLOCK_TOKENS: f64 = 16.0;

#[derive(Debug)]
pub(super) struct DynamoCost;

impl Rule for DynamoCost {
    const KNOWS_PREFIXES: bool = true;

    fn choose(&mut self, view: &mut View<'_, '_>) -> u32 {
        view.least(|view, pool| {
            let load = view.load(pool);
            let uncached = view.prompt_tokens().saturating_sub(view.overlap_tokens(pool));
            let prefill_blocks = (load.prefill_tokens as f64 + f64::from(uncached)) / BLOCK_TOKENS;
            let decode_blocks = load.tokens as f64 / BLOCK_TOKENS;
            prefill_blocks + decode_blocks
        })
    }
}
