//! What an engine keeps of prompts: blocks by their content, or a session's tokens where a trace does not know blocks.
//!
//! Invariants: what is kept is never more than the KV cache has free; what was not used for longest goes first; the order
//! of a hash map reaches no answer.

use std::ops::Range;

use hashbrown::HashMap;
use std::collections::BTreeMap;

use super::Work;

/// What of a request's prompt may be in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Nothing.
    None,
    /// What its session left: the prompt goes on where the last turn ended.
    Session(u32),
    /// Blocks, as a range of the trace's.
    Blocks {
        /// The first one.
        start: u32,
        /// Behind the last one.
        end: u32,
    },
}

impl From<Range<u32>> for Prefix {
    fn from(blocks: Range<u32>) -> Self {
        Self::Blocks { start: blocks.start, end: blocks.end }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Entry {
    Session(u32),
    Block(u32),
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    tokens: u32,
    used: u64,
}

#[derive(Debug)]
pub(super) struct PrefixCache {
    block_tokens: u32,
    entries: HashMap<Entry, Kept>,
    /// Entries by their last use.
    by_use: BTreeMap<u64, Entry>,
    uses: u64,
    tokens: u64,
}

impl PrefixCache {
    pub(super) fn new(block_tokens: u32) -> Self {
        Self { block_tokens, entries: HashMap::new(), by_use: BTreeMap::new(), uses: 0, tokens: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.by_use.clear();
        self.tokens = 0;
    }

    /// Tokens of the prompt's beginning that are here; at least one token is left to prefill.
    pub(super) fn lookup(&self, blocks: &[u32], work: &Work) -> u32 {
        let held = match work.prefix {
            Prefix::None => 0,
            Prefix::Session(session) => self.entries.get(&Entry::Session(session)).map_or(0, |kept| kept.tokens),
            Prefix::Blocks { .. } => {
                let own = blocks_of(blocks, work.prefix);
                let held = own.iter().take_while(|&&block| self.entries.contains_key(&Entry::Block(block))).count();
                u32::try_from(held).unwrap_or(u32::MAX).saturating_mul(self.block_tokens)
            }
        };
        held.min(work.prompt_tokens.saturating_sub(1))
    }

    /// The same, and counts it as used.
    pub(super) fn use_prefix(&mut self, blocks: &[u32], work: &Work) -> u32 {
        let cached_tokens = self.lookup(blocks, work);
        if cached_tokens > 0 {
            match work.prefix {
                Prefix::None => {}
                Prefix::Session(session) => self.touch(Entry::Session(session)),
                Prefix::Blocks { .. } => {
                    let held = cached_tokens.div_ceil(self.block_tokens.max(1)) as usize;
                    for &block in blocks_of(blocks, work.prefix).iter().take(held) {
                        self.touch(Entry::Block(block));
                    }
                }
            }
        }
        cached_tokens
    }

    /// Keeps what a request leaves, in `free_tokens` in all.
    pub(super) fn keep(&mut self, blocks: &[u32], work: &Work, free_tokens: u64) {
        match work.prefix {
            Prefix::None => {}
            Prefix::Session(session) => {
                let tokens = u32::try_from(work.kv_tokens()).unwrap_or(u32::MAX);
                self.insert(Entry::Session(session), tokens);
            }
            // The last ones first, so that the beginning of a prompt outlives its end.
            Prefix::Blocks { .. } => {
                for &block in blocks_of(blocks, work.prefix).iter().rev() {
                    self.insert(Entry::Block(block), self.block_tokens);
                }
            }
        }
        self.shrink(free_tokens);
    }

    /// Gives up what there is no room for.
    pub(super) fn shrink(&mut self, free_tokens: u64) {
        while self.tokens > free_tokens {
            let Some((_, entry)) = self.by_use.pop_first() else { return };
            self.tokens -= self.entries.remove(&entry).map_or(0, |kept| u64::from(kept.tokens));
        }
    }

    fn insert(&mut self, entry: Entry, tokens: u32) {
        self.uses += 1;
        let former = self.entries.insert(entry, Kept { tokens, used: self.uses });
        if let Some(former) = former {
            self.by_use.remove(&former.used);
            self.tokens -= u64::from(former.tokens);
        }
        self.by_use.insert(self.uses, entry);
        self.tokens += u64::from(tokens);
    }

    fn touch(&mut self, entry: Entry) {
        self.uses += 1;
        if let Some(kept) = self.entries.get_mut(&entry) {
            self.by_use.remove(&kept.used);
            kept.used = self.uses;
            self.by_use.insert(self.uses, entry);
        }
    }
}

fn blocks_of(blocks: &[u32], prefix: Prefix) -> &[u32] {
    match prefix {
        Prefix::Blocks { start, end } => blocks.get(start as usize..end as usize).unwrap_or_default(),
        Prefix::None | Prefix::Session(_) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(prompt_tokens: u32, prefix: Prefix) -> Work {
        Work { request: 0, prompt_tokens, output_tokens: 10, prefix }
    }

    #[test]
    fn a_session_goes_on_where_it_was() {
        let mut cache = PrefixCache::new(16);
        let (first, second) = (work(100, Prefix::Session(3)), work(150, Prefix::Session(3)));
        assert_eq!(cache.use_prefix(&[], &first), 0);
        cache.keep(&[], &first, 1000);
        assert_eq!(cache.use_prefix(&[], &second), 110);
        assert_eq!(cache.lookup(&[], &work(150, Prefix::Session(4))), 0);
        // A prompt that is known whole: its last token is prefilled.
        assert_eq!(cache.lookup(&[], &work(50, Prefix::Session(3))), 49);
        cache.keep(&[], &first, 109);
        assert_eq!(cache.lookup(&[], &second), 0, "no room for 110 tokens");
    }

    #[test]
    fn blocks_count_from_the_beginning_without_a_gap() {
        let blocks = [1, 2, 3, 1, 9, 3, 1, 2, 4];
        let mut cache = PrefixCache::new(10);
        cache.keep(&blocks, &work(30, (0..3).into()), 1000);
        assert_eq!(cache.lookup(&blocks, &work(30, (3..6).into())), 10);
        assert_eq!(cache.lookup(&blocks, &work(30, (6..9).into())), 20);
        assert_eq!(cache.lookup(&blocks, &work(30, (0..3).into())), 29);
        // The end of the prompt goes first, and what was used again stays.
        cache.shrink(20);
        assert_eq!(cache.lookup(&blocks, &work(30, (0..3).into())), 20);
        assert_eq!(cache.use_prefix(&blocks, &work(30, (3..6).into())), 10);
        cache.shrink(10);
        assert_eq!(cache.lookup(&blocks, &work(30, (0..3).into())), 10);
    }
}
