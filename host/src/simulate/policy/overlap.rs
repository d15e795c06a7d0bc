//! Which prompts a router sent where: its guess at what a pool's cache holds, as routers without events of the cache make
//! it.
//!
//! A guess does not know what a pool gave up since; what was sent long ago counts as much as what was sent just now.

use hashbrown::{HashMap, HashSet};

use crate::simulate::request::Trace;

#[derive(Debug, Default)]
pub(super) struct Overlap {
    /// Tokens of a session that were sent to a pool.
    sessions: HashMap<(u32, u32), u32>,
    /// Blocks that were sent to a pool.
    blocks: HashSet<(u32, u32)>,
}

impl Overlap {
    /// Tokens of the request's prompt that were sent to the pool before.
    pub(super) fn tokens(&self, trace: &Trace, pool: u32, request: u32) -> u32 {
        let asked = &trace.requests[request as usize];
        let blocks = &trace.blocks[asked.prefix_blocks.start as usize..asked.prefix_blocks.end as usize];
        let held = if blocks.is_empty() {
            asked.session.and_then(|session| self.sessions.get(&(pool, session))).copied().unwrap_or(0)
        } else {
            let held = blocks.iter().take_while(|&&block| self.blocks.contains(&(pool, block))).count();
            u32::try_from(held).unwrap_or(u32::MAX).saturating_mul(trace.block_tokens)
        };
        held.min(asked.prompt_tokens)
    }

    /// Notes a request that was sent.
    pub(super) fn sent(&mut self, trace: &Trace, pool: u32, request: u32) {
        let asked = &trace.requests[request as usize];
        let blocks = &trace.blocks[asked.prefix_blocks.start as usize..asked.prefix_blocks.end as usize];
        if blocks.is_empty() {
            if let Some(session) = asked.session {
                self.sessions.insert((pool, session), asked.prompt_tokens);
            }
        } else {
            self.blocks.extend(blocks.iter().map(|&block| (pool, block)));
        }
    }

    /// A pool is gone, and its cache.
    pub(super) fn forget(&mut self, pool: u32) {
        self.sessions.retain(|&(own, _), _| own != pool);
        self.blocks.retain(|&(own, _)| own != pool);
    }
}
