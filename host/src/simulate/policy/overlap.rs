//! Which prompts a router sent where: its guess at what each pool's cache holds, as routers without events of the cache
//! make it.
//!
//! A pool's memory is as large as its KV cache, by what the pool reports, and forgets what was not sent for longest. So
//! does the llm-d router's approximate prefix index: an LRU of block hashes for each server, its capacity from the server's
//! own number of KV blocks (`autoTune`; 31,250 blocks of 16 where it is not known). Dynamo's router has the same as its
//! approximate index with the policy `lru`. Kinder than the originals: no limit on how much of a prompt is looked up
//! (llm-d: 256 blocks by default), and no time limit (Dynamo's policy `ttl`: 120 s), under which thinking users would
//! find nothing.
//!
//! Invariants: no memory is larger than its pool's cache; who holds the root of a prompt is looked up once for all pools,
//! so a decision costs no more for pools that hold nothing of it.

use hashbrown::HashMap;

use crate::simulate::prefix_cache::{Prefix, PrefixCache, Root};
use crate::simulate::request::Trace;

#[derive(Debug)]
pub(super) struct Overlap {
    memories: Vec<PrefixCache>,
    /// Pools that were sent a prompt with this root. One that forgot it since leaves the list when it is looked at.
    holders: HashMap<Root, Vec<u32>>,
    /// Tokens of the request that is looked at, per pool.
    tokens: Vec<u32>,
    /// The pools that have any, and those that it was sent to.
    holding: Vec<u32>,
}

impl Overlap {
    pub(super) fn new(pools: usize, block_tokens: u32) -> Self {
        Self {
            memories: std::iter::repeat_with(|| PrefixCache::new(block_tokens)).take(pools).collect(),
            holders: HashMap::new(),
            tokens: vec![0; pools],
            holding: Vec::new(),
        }
    }

    /// Looks at a request: from now on [`Overlap::tokens`] answers for it.
    pub(super) fn look_at(&mut self, trace: &Trace, request: u32) {
        for pool in self.holding.drain(..) {
            self.tokens[pool as usize] = 0;
        }
        let asked = &trace.requests[request as usize];
        let prefix = Prefix::of(asked);
        let Some(holders) = prefix.root(&trace.blocks).and_then(|root| self.holders.get_mut(&root)) else { return };
        holders.retain(|&pool| {
            let held = self.memories[pool as usize].held_tokens(&trace.blocks, prefix);
            self.tokens[pool as usize] = held.min(asked.prompt_tokens);
            held > 0
        });
        self.holding.extend_from_slice(holders);
    }

    /// Tokens of the prompt that is looked at, which were sent to the pool before.
    pub(super) fn tokens(&self, pool: u32) -> u32 {
        self.tokens[pool as usize]
    }

    /// Notes that the request that is looked at was sent to a pool with a KV cache of so many tokens.
    pub(super) fn sent(&mut self, trace: &Trace, request: u32, pool: u32, kv_tokens: u64) {
        let asked = &trace.requests[request as usize];
        let prefix = Prefix::of(asked);
        let Some(root) = prefix.root(&trace.blocks) else { return };
        self.memories[pool as usize].keep(&trace.blocks, prefix, asked.prompt_tokens.into(), kv_tokens);
        if !self.holding.contains(&pool) {
            self.holders.entry(root).or_default().push(pool);
            self.holding.push(pool);
        }
    }

    /// A pool is gone, and its cache.
    pub(super) fn forget(&mut self, pool: u32) {
        self.memories[pool as usize].clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::request::Request;

    /// Sessions by number, each with prompts of so many tokens.
    fn trace(prompts: &[(u32, u32)]) -> Trace {
        let asked = |&(session, prompt_tokens): &(u32, u32)| Request {
            session: Some(session),
            prompt_tokens,
            ..Request::plain()
        };
        Trace { requests: prompts.iter().map(asked).collect(), ..Trace::default() }
    }

    fn send(overlap: &mut Overlap, trace: &Trace, request: u32, pool: u32) -> [u32; 2] {
        overlap.look_at(trace, request);
        let tokens = [0, 1].map(|pool| overlap.tokens(pool));
        overlap.sent(trace, request, pool, 100);
        tokens
    }

    #[test]
    fn what_was_sent_last_is_remembered() {
        let trace = trace(&[(7, 60), (7, 50), (8, 45), (7, 90), (9, 101), (8, 45)]);
        let mut overlap = Overlap::new(2, 0);
        let seen = [(0, 0), (1, 1), (2, 0)].map(|(request, pool)| send(&mut overlap, &trace, request, pool));
        // The second prompt is shorter than what is known of its session.
        assert_eq!(seen, [[0, 0], [50, 0], [0, 0]]);
        // The first pool has room for 100 tokens: session 8's took the place of session 7's 60.
        assert_eq!(send(&mut overlap, &trace, 3, 1), [0, 50]);
        assert_eq!(send(&mut overlap, &trace, 3, 1), [0, 90]);
        // What is larger than the cache leaves nothing of it behind.
        assert_eq!(send(&mut overlap, &trace, 4, 0), [0, 0]);
        assert_eq!(send(&mut overlap, &trace, 4, 0), [0, 0]);
        assert_eq!(send(&mut overlap, &trace, 5, 0), [0, 0]);
        assert_eq!(send(&mut overlap, &trace, 5, 0), [45, 0]);
        overlap.forget(1);
        assert_eq!(send(&mut overlap, &trace, 3, 0), [0, 0]);
        assert!(overlap.holders.values().all(|pools| pools.len() <= 2));
    }
}
