//! Which beginnings of prompts a cache holds: blocks by their content, or a session's tokens where a trace knows no blocks.
//! Engines keep them so, and routers guess by the same rule what a pool keeps.
//!
//! A prompt of a coding session has thousands of blocks, nearly all of them those of the turn before, so blocks are not
//! kept one by one. A use of a prompt takes its blocks over from the uses before it. What is left of an earlier use is one
//! **stretch** of its prompt: without the beginning that later uses share, and without the end that was given up.
//!
//! ```text
//! first use    ■■■■■■■■■        stretch of the first     ····■■■■■
//! second use   ■■■■□□□□    ──▶  stretch of the second    ■■■■□□□□
//! ```
//!
//! Invariants:
//! - What is kept fits into the room that it is given. What was not used for longest goes first, and of one use the end of
//!   the prompt, so that a block is never kept without those before it.
//! - A block is in one stretch, and a stretch is found by its first block. This needs equal blocks to stand behind equal
//!   beginnings; a trace where they do not gets other hits, and nothing worse.
//! - The order of a hash map reaches no answer.

use std::ops::Range;

use hashbrown::HashMap;

use super::request::Request;

/// What of a request's prompt may be in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Nothing.
    None,
    /// What its session left of this model: the prompt goes on where the last turn ended.
    Session(SessionOfModel),
    /// Blocks, as a range of the trace's.
    Blocks {
        /// The first one.
        start: u32,
        /// Behind the last one.
        end: u32,
    },
}

/// A session's turns under one model: another model's KV cache is of no use to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionOfModel {
    /// The session.
    pub session: u32,
    /// The model.
    pub model: u32,
}

impl From<Range<u32>> for Prefix {
    fn from(blocks: Range<u32>) -> Self {
        Self::Blocks { start: blocks.start, end: blocks.end }
    }
}

impl Prefix {
    /// What a trace knows of a request's prompt: its blocks, else its session; nothing of one that wants no cache.
    #[must_use]
    pub fn of(asked: &Request) -> Self {
        match asked.session {
            _ if asked.is_cold => Self::None,
            _ if !asked.prefix_blocks.is_empty() => asked.prefix_blocks.clone().into(),
            Some(session) => Self::Session(SessionOfModel { session, model: asked.model }),
            None => Self::None,
        }
    }

    /// What a cache finds the prompt by; none of a prompt that no cache knows.
    pub(super) fn root(self, blocks: &[u32]) -> Option<Root> {
        match self {
            Self::None => None,
            Self::Session(session) => Some(Root::Session(session)),
            Self::Blocks { .. } => self.blocks(blocks).first().copied().map(Root::Block),
        }
    }

    fn blocks(self, blocks: &[u32]) -> &[u32] {
        match self {
            Self::Blocks { start, end } => blocks.get(start as usize..end as usize).unwrap_or_default(),
            Self::None | Self::Session(_) => &[],
        }
    }
}

/// What a stretch is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Root {
    Session(SessionOfModel),
    /// The first block.
    Block(u32),
}

/// No stretch.
const NONE: usize = usize::MAX;

/// What is left of one use.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    root: Root,
    prefix: Prefix,
    tokens: u64,
    older: usize,
    newer: usize,
}

/// What a cache holds.
#[derive(Debug)]
pub(super) struct PrefixCache {
    block_tokens: u32,
    stretches: Vec<Stretch>,
    /// Places in `stretches` that nothing is in.
    vacant: Vec<usize>,
    by_root: HashMap<Root, usize>,
    oldest: usize,
    newest: usize,
    tokens: u64,
}

impl PrefixCache {
    pub(super) fn new(block_tokens: u32) -> Self {
        Self {
            block_tokens: block_tokens.max(1),
            stretches: Vec::new(),
            vacant: Vec::new(),
            by_root: HashMap::new(),
            oldest: NONE,
            newest: NONE,
            tokens: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.block_tokens);
    }

    /// Tokens of the prompt's beginning that are here. O(stretches of the prompt), and a look at each block that is here
    /// under another place of the trace.
    pub(super) fn held_tokens(&self, blocks: &[u32], prefix: Prefix) -> u32 {
        let held = match prefix {
            Prefix::None => return 0,
            Prefix::Session(session) => self.find(Root::Session(session)).map_or(0, |stretch| stretch.tokens),
            Prefix::Blocks { .. } => self.held_blocks(blocks, prefix) * u64::from(self.block_tokens),
        };
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// Counts the first tokens of the prompt, which are here, as used.
    pub(super) fn touch(&mut self, blocks: &[u32], prefix: Prefix, held_tokens: u32) {
        match prefix {
            Prefix::None => {}
            Prefix::Session(_) if held_tokens == 0 => {}
            Prefix::Session(session) => {
                if let Some(tokens) = self.find(Root::Session(session)).map(|stretch| stretch.tokens) {
                    self.keep_session(session, tokens);
                }
            }
            Prefix::Blocks { start, end } => {
                let held = held_tokens.div_ceil(self.block_tokens);
                self.keep_blocks(blocks, (start..end.min(start.saturating_add(held))).into());
            }
        }
    }

    /// Keeps a prompt, of which a session leaves so many tokens, with all else in `room_tokens`.
    pub(super) fn keep(&mut self, blocks: &[u32], prefix: Prefix, session_tokens: u64, room_tokens: u64) {
        match prefix {
            Prefix::None => {}
            Prefix::Session(session) => self.keep_session(session, session_tokens),
            Prefix::Blocks { .. } => self.keep_blocks(blocks, prefix),
        }
        self.shrink(room_tokens);
    }

    /// Gives up what there is no room for.
    pub(super) fn shrink(&mut self, room_tokens: u64) {
        while self.tokens > room_tokens {
            let Some(stretch) = self.stretches.get_mut(self.oldest) else { return };
            let block_tokens = u64::from(self.block_tokens);
            let given_up = (self.tokens - room_tokens).div_ceil(block_tokens);
            match &mut stretch.prefix {
                Prefix::Blocks { end, .. } if given_up * block_tokens < stretch.tokens => {
                    // Fewer than the stretch has.
                    *end -= u32::try_from(given_up).unwrap_or_default();
                    stretch.tokens -= given_up * block_tokens;
                    self.tokens -= given_up * block_tokens;
                }
                _ => self.remove(self.oldest),
            }
        }
    }

    fn find(&self, root: Root) -> Option<&Stretch> {
        self.by_root.get(&root).and_then(|&place| self.stretches.get(place))
    }

    fn held_blocks(&self, blocks: &[u32], prefix: Prefix) -> u64 {
        let mut rest = prefix;
        let mut held = 0;
        while let Some(stretch) = rest.root(blocks).and_then(|root| self.find(root)) {
            let shared = shared_blocks(blocks, rest, stretch.prefix);
            held += u64::from(shared);
            rest = without_first(rest, shared);
        }
        held
    }

    fn keep_session(&mut self, session: SessionOfModel, tokens: u64) {
        let root = Root::Session(session);
        if let Some(&place) = self.by_root.get(&root) {
            self.remove(place);
        }
        self.add(root, Prefix::Session(session), tokens);
    }

    fn keep_blocks(&mut self, blocks: &[u32], prefix: Prefix) {
        let Some(root) = prefix.root(blocks) else { return };
        let mut rest = prefix;
        while let Some(&place) = rest.root(blocks).and_then(|root| self.by_root.get(&root)) {
            let own = self.stretches[place];
            let shared = shared_blocks(blocks, rest, own.prefix);
            rest = without_first(rest, shared);
            self.shorten(blocks, place, shared);
        }
        self.add(root, prefix, prefix.blocks(blocks).len() as u64 * u64::from(self.block_tokens));
    }

    /// A later use takes over a stretch's first blocks.
    fn shorten(&mut self, blocks: &[u32], place: usize, first: u32) {
        let own = &mut self.stretches[place];
        let prefix = without_first(own.prefix, first);
        let Some(root) = prefix.root(blocks) else { return self.remove(place) };
        let tokens = u64::from(first) * u64::from(self.block_tokens);
        let former = std::mem::replace(&mut own.root, root);
        own.prefix = prefix;
        own.tokens -= tokens;
        self.tokens -= tokens;
        self.by_root.remove(&former);
        self.by_root.insert(root, place);
    }

    /// Adds a stretch as the newest.
    fn add(&mut self, root: Root, prefix: Prefix, tokens: u64) {
        let stretch = Stretch { root, prefix, tokens, older: self.newest, newer: NONE };
        let place = self.vacant.pop().unwrap_or(self.stretches.len());
        match self.stretches.get_mut(place) {
            Some(vacant) => *vacant = stretch,
            None => self.stretches.push(stretch),
        }
        match self.stretches.get_mut(self.newest) {
            Some(older) => older.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
        self.tokens += tokens;
        self.by_root.insert(root, place);
    }

    fn remove(&mut self, place: usize) {
        let Stretch { root, tokens, older, newer, .. } = self.stretches[place];
        match self.stretches.get_mut(older) {
            Some(stretch) => stretch.newer = newer,
            None => self.oldest = newer,
        }
        match self.stretches.get_mut(newer) {
            Some(stretch) => stretch.older = older,
            None => self.newest = older,
        }
        self.tokens -= tokens;
        // Another stretch has this root only where equal blocks stand behind unequal beginnings.
        if self.by_root.get(&root) == Some(&place) {
            self.by_root.remove(&root);
        }
        self.vacant.push(place);
    }
}

/// How many blocks two prompts have in common from their beginnings on. Those of one place in the trace are not compared.
fn shared_blocks(blocks: &[u32], one: Prefix, other: Prefix) -> u32 {
    let (Prefix::Blocks { start, end }, Prefix::Blocks { start: other_start, end: other_end }) = (one, other) else {
        return 0;
    };
    if start == other_start {
        return end.min(other_end) - start;
    }
    let pairs = one.blocks(blocks).iter().zip(other.blocks(blocks));
    // No longer than a range of 32-bit numbers.
    u32::try_from(pairs.take_while(|(one, other)| one == other).count()).unwrap_or(u32::MAX)
}

fn without_first(prefix: Prefix, first: u32) -> Prefix {
    match prefix {
        Prefix::Blocks { start, end } => Prefix::Blocks { start: end.min(start.saturating_add(first)), end },
        Prefix::None | Prefix::Session(_) => Prefix::None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: u32 = 10;

    #[test]
    fn a_session_goes_on_where_it_was() {
        let mut cache = PrefixCache::new(BLOCK);
        let [third, fourth] = [3, 4].map(|session| Prefix::Session(SessionOfModel { session, model: 0 }));
        cache.keep(&[], third, 110, 1000);
        assert_eq!((cache.held_tokens(&[], third), cache.held_tokens(&[], fourth)), (110, 0));
        // The next turn leaves more, and stands alone for both.
        cache.keep(&[], third, 250, 259);
        cache.keep(&[], fourth, 9, 259);
        cache.touch(&[], third, 250);
        assert_eq!((cache.held_tokens(&[], third), cache.held_tokens(&[], fourth)), (250, 9));
        cache.shrink(258);
        assert_eq!((cache.held_tokens(&[], third), cache.held_tokens(&[], fourth)), (250, 0));
        cache.shrink(249);
        assert_eq!(cache.held_tokens(&[], third), 0, "half a session is none");
    }

    /// A session's cache is of one model; who wants none finds none.
    #[test]
    fn another_model_and_a_cold_request_find_nothing() {
        let asked = |model, is_cold| Request { session: Some(3), model, is_cold, ..Request::plain() };
        let mut cache = PrefixCache::new(BLOCK);
        cache.keep(&[], Prefix::of(&asked(1, false)), 110, 1000);
        let held = |model, is_cold| cache.held_tokens(&[], Prefix::of(&asked(model, is_cold)));
        assert_eq!((held(1, false), held(2, false), held(1, true)), (110, 0, 0));
        let with_blocks = Request { prefix_blocks: 0..1, is_cold: true, ..Request::plain() };
        assert_eq!(Prefix::of(&with_blocks), Prefix::None);
    }

    #[test]
    fn blocks_count_from_the_beginning_without_a_gap() {
        let blocks = [1, 2, 3, 1, 9, 8, 1, 2, 4];
        let [first, second, third] = [0..3, 3..6, 6..9].map(Prefix::from);
        let mut cache = PrefixCache::new(BLOCK);
        cache.keep(&blocks, first, 0, 1000);
        let held = |cache: &PrefixCache| [first, second, third].map(|prefix| cache.held_tokens(&blocks, prefix));
        assert_eq!(held(&cache), [30, 10, 20]);
        // What is used stays, and of each use the end goes first.
        cache.keep(&blocks, third, 0, 1000);
        cache.touch(&blocks, second, 10);
        assert_eq!(held(&cache), [30, 10, 30]);
        cache.shrink(31);
        assert_eq!(held(&cache), [20, 10, 30]);
        cache.shrink(20);
        assert_eq!(held(&cache), [20, 10, 20]);
        cache.clear();
        assert_eq!(held(&cache), [0, 0, 0]);
    }

    /// The same, block by block: what was used last stands last.
    #[derive(Default)]
    struct ByBlock(Vec<(Root, u32)>);

    impl ByBlock {
        fn held_tokens(&self, own: &[Root]) -> u32 {
            let kept = |root: &Root| self.0.iter().find(|(kept, _)| kept == root);
            own.iter().map_while(kept).map(|(_, tokens)| tokens).sum()
        }

        fn keep(&mut self, own: &[Root], tokens: u32, room_tokens: u32) {
            self.0.retain(|(kept, _)| !own.contains(kept));
            self.0.extend(own.iter().rev().map(|&root| (root, tokens)));
            while self.0.iter().map(|(_, tokens)| tokens).sum::<u32>() > room_tokens {
                self.0.remove(0);
            }
        }
    }

    /// Prompts as paths in a tree: a block is its parent and one of two children, so equal ones stand behind equal ones.
    fn prompt(turns: &[bool]) -> impl Iterator<Item = u32> {
        turns.iter().scan(1, |block, &turn| {
            *block = 2 * *block + u32::from(turn);
            Some(*block)
        })
    }

    proptest! {
        #[test]
        fn like_a_cache_of_single_blocks(
            uses in prop::collection::vec(
                (prop::collection::vec(any::<bool>(), 0..12), 0_u32..3, any::<bool>(), 0_u32..400), 1..60),
        ) {
            let (mut cache, mut by_block) = (PrefixCache::new(BLOCK), ByBlock::default());
            let mut blocks = Vec::new();
            for (turns, session, touches, room) in uses {
                let start = blocks.len() as u32;
                blocks.extend(prompt(&turns));
                let (prefix, own): (_, Vec<Root>) = if turns.is_empty() {
                    let session = SessionOfModel { session, model: 0 };
                    (Prefix::Session(session), vec![Root::Session(session)])
                } else {
                    ((start..blocks.len() as u32).into(), prompt(&turns).map(Root::Block).collect())
                };
                let tokens = if turns.is_empty() { 1 + room } else { BLOCK };
                let held = cache.held_tokens(&blocks, prefix);
                prop_assert_eq!(held, by_block.held_tokens(&own));
                if touches {
                    let kept = if turns.is_empty() { usize::from(held > 0) } else { (held / BLOCK) as usize };
                    cache.touch(&blocks, prefix, held);
                    let tokens = if turns.is_empty() { held } else { BLOCK };
                    by_block.keep(&own[..kept], tokens, u32::MAX);
                } else {
                    cache.keep(&blocks, prefix, tokens.into(), room.into());
                    by_block.keep(&own, tokens, room);
                }
                prop_assert_eq!(cache.tokens, by_block.0.iter().map(|(_, tokens)| u64::from(*tokens)).sum::<u64>());
                prop_assert_eq!(cache.stretches.len() - cache.vacant.len(), cache.by_root.len());
            }
        }

        /// Equal blocks behind unequal beginnings: no answer is right, but nothing grows or breaks.
        #[test]
        fn blocks_without_order_do_no_harm(
            uses in prop::collection::vec((prop::collection::vec(0_u32..6, 1..8), any::<bool>(), 0_u32..200), 1..60),
        ) {
            let mut cache = PrefixCache::new(BLOCK);
            let mut blocks = Vec::new();
            for (own, touches, room) in uses {
                let start = blocks.len() as u32;
                blocks.extend(own);
                let prefix = Prefix::from(start..blocks.len() as u32);
                let held = cache.held_tokens(&blocks, prefix);
                prop_assert!(held <= (blocks.len() as u32 - start) * BLOCK);
                if touches {
                    cache.touch(&blocks, prefix, held);
                } else {
                    cache.keep(&blocks, prefix, 0, room.into());
                    prop_assert!(cache.tokens <= room.into());
                }
            }
            cache.shrink(0);
            prop_assert_eq!((cache.tokens, cache.by_root.len(), cache.oldest, cache.newest), (0, 0, NONE, NONE));
        }
    }
}
