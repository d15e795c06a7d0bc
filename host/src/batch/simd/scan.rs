//! The loops: every pool of a range against one job, a block at a time, without branches on what pools are.
//!
//! A block's least first word and its count of feasible pools is all that is made of most blocks. Only where that word
//! is not above the bar of the job's list are all words compared, and keys made of the few that are below the bar. So that
//! a bar is low from the beginning, the best pools of a similar job are offered first (`offer_ranks`): a pool that is
//! offered again changes nothing.
//!
//! Invariant: a word is below [`FIRST_WORD_LIMIT`] until the bit of KEY-1 joins it.

use std::ops::Range;

use orchestrator_core::Shortlist;
use orchestrator_core::hash::spread_value;
use orchestrator_core::rule::key::Key;
use orchestrator_core::rule::lane::{
    FIRST_WORD_LIMIT, first_word, saturated_end_us, second_word, third_word, tokens_us, waiting_end_us,
};

use crate::batch::words::{NO_WORD, is_below, lesser, word_if};

/// Pools that are looked at again together.
const BLOCK: usize = 64;

/// The kinds of `Ends`, as parameters of the loops.
pub(super) mod ends {
    pub(in crate::batch::simd) const PLAIN: u8 = 0;
    pub(in crate::batch::simd) const SATURATING: u8 = 1;
    pub(in crate::batch::simd) const WAITING: u8 = 2;
    pub(in crate::batch::simd) const STATIC: u8 = 3;
}

/// The columns of all pools as a class of jobs sees them, of equal length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pools<'a> {
    pub(super) base: &'a [u64],
    pub(super) room_bytes: &'a [u64],
    pub(super) spare_bytes: &'a [u64],
    pub(super) start_us: &'a [u64],
    pub(super) first_token_us: &'a [u64],
    pub(super) decode_q10: &'a [u32],
    pub(super) prefill_q10: &'a [u32],
    pub(super) waves: &'a [u32],
    pub(super) milli_tps: &'a [u32],
    pub(super) low_bits: &'a [u16],
    pub(super) slots_free: &'a [u16],
    /// Empty under a policy that does not spread.
    pub(super) spread_hashes: &'a [u64],
}

/// What of a job the loops read.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobLane {
    pub(super) kv_bytes: u64,
    pub(super) spread_hash: u64,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) quantum_shift: u32,
}

/// A block of pools: slices of one length, so that no loop checks a bound.
struct Block<'a> {
    first_rank: usize,
    pools: Pools<'a>,
}

/// Adds the pools of `range` to the list of a job that prefers all or none of them.
#[inline(always)] // Compiled once for every level of instructions.
pub(super) fn scan<const ENDS: u8>(
    pools: &Pools<'_>,
    range: Range<usize>,
    preferred: bool,
    job: &JobLane,
    list: &mut Shortlist,
) {
    let key_1 = key_1(preferred);
    let mut at = range.start;
    while range.end - at >= BLOCK {
        Block::at(pools, at, BLOCK).add_to::<ENDS>(key_1, job, list);
        at += BLOCK;
    }
    if at < range.end {
        Block::at(pools, at, range.end - at).add_to::<ENDS>(key_1, job, list);
    }
}

/// Offers those of `ranks` that are in `range` and that the job fits, and counts none of them.
#[inline(always)] // As above.
pub(super) fn offer_ranks<const ENDS: u8>(
    pools: &Pools<'_>,
    range: Range<usize>,
    ranks: impl Iterator<Item = usize>,
    preferred: bool,
    job: &JobLane,
    list: &mut Shortlist,
) {
    for rank in ranks.filter(|rank| range.contains(rank)) {
        let pool = Block::at(pools, rank, 1);
        if pool.fits(0, job) {
            list.offer(pool.key::<ENDS>(0, key_1(preferred), job));
        }
    }
}

const fn key_1(preferred: bool) -> u64 {
    if preferred { 0 } else { FIRST_WORD_LIMIT }
}

impl<'a> Block<'a> {
    #[inline(always)] // As above.
    fn at(pools: &Pools<'a>, at: usize, len: usize) -> Self {
        let end = at + len;
        let pools = Pools {
            base: &pools.base[at..end],
            room_bytes: &pools.room_bytes[at..end],
            spare_bytes: &pools.spare_bytes[at..end],
            start_us: &pools.start_us[at..end],
            first_token_us: &pools.first_token_us[at..end],
            decode_q10: &pools.decode_q10[at..end],
            prefill_q10: &pools.prefill_q10[at..end],
            waves: &pools.waves[at..end],
            milli_tps: &pools.milli_tps[at..end],
            low_bits: &pools.low_bits[at..end],
            slots_free: &pools.slots_free[at..end],
            spread_hashes: pools.spread_hashes.get(at..end).unwrap_or_default(),
        };
        Self { first_rank: at, pools }
    }

    #[inline(always)] // As above.
    fn add_to<const ENDS: u8>(&self, key_1: u64, job: &JobLane, list: &mut Shortlist) {
        let (mut least, mut feasible) = (NO_WORD, 0u64);
        for lane in 0..self.pools.base.len() {
            let fits = self.fits(lane, job);
            least = lesser(least, word_if(fits, self.first_word::<ENDS>(lane, job)));
            feasible += u64::from(fits);
        }
        // At most 64.
        #[allow(clippy::cast_possible_truncation, reason = "see above")]
        list.count(feasible as u32);
        let bar = list.bar().map_or(u64::MAX, |bar| bar.words()[0]);
        if feasible > 0 && least | key_1 <= bar {
            self.offer_to::<ENDS>(key_1, job, list);
        }
    }

    /// Makes the keys of all pools that are below the bar.
    #[inline(always)] // As above.
    fn offer_to<const ENDS: u8>(&self, key_1: u64, job: &JobLane, list: &mut Shortlist) {
        let mut below = [false; BLOCK];
        let len = self.pools.base.len();
        let bar = list.bar().copied().unwrap_or(Key::from_words([u64::MAX; 3], u32::MAX));
        let [bar_0, bar_1, bar_2] = bar.words();
        for (lane, below) in below.iter_mut().enumerate().take(len) {
            let [word_0, word_1, word_2] = self.words::<ENDS>(lane, key_1, job);
            let ranks_lower = self.rank(lane) < bar.rank();
            // Without branches: most pools of a uniform fleet differ from the bar in nothing but their rank.
            let by_third = (word_2 < bar_2) | ((word_2 == bar_2) & ranks_lower);
            let by_second = (word_1 < bar_1) | ((word_1 == bar_1) & by_third);
            let by_first = (word_0 < bar_0) | ((word_0 == bar_0) & by_second);
            *below = by_first & self.fits(lane, job);
        }
        for lane in (0..len).filter(|&lane| below[lane]) {
            list.offer(self.key::<ENDS>(lane, key_1, job));
        }
    }

    #[inline(always)] // As above.
    fn key<const ENDS: u8>(&self, lane: usize, key_1: u64, job: &JobLane) -> Key {
        Key::from_words(self.words::<ENDS>(lane, key_1, job), self.rank(lane))
    }

    #[inline(always)] // As above.
    #[allow(clippy::cast_possible_truncation, reason = "a fleet has at most 2^30 pools")]
    fn rank(&self, lane: usize) -> u32 {
        (self.first_rank + lane) as u32
    }

    #[inline(always)] // As above.
    fn fits(&self, lane: usize, job: &JobLane) -> bool {
        is_below(job.kv_bytes, self.pools.room_bytes[lane])
    }

    #[inline(always)] // As above.
    fn first_word<const ENDS: u8>(&self, lane: usize, job: &JobLane) -> u64 {
        let pools = &self.pools;
        let base = pools.base[lane];
        if ENDS == ends::STATIC {
            return base;
        }
        let tokens = tokens_us(pools.decode_q10[lane], pools.prefill_q10[lane], job.output_tokens, job.prompt_tokens);
        let end_us = match ENDS {
            ends::PLAIN => base.wrapping_add(tokens),
            ends::SATURATING => saturated_end_us(base, tokens),
            _ => waiting_end_us(base, pools.start_us[lane], pools.first_token_us[lane], pools.waves[lane], tokens),
        };
        first_word(end_us, job.quantum_shift, pools.low_bits[lane])
    }

    #[inline(always)] // As above.
    fn words<const ENDS: u8>(&self, lane: usize, key_1: u64, job: &JobLane) -> [u64; 3] {
        let word_0 = self.first_word::<ENDS>(lane, job) | key_1;
        if ENDS == ends::STATIC {
            return [word_0, 0, 0];
        }
        let pools = &self.pools;
        let spread = pools.spread_hashes.get(lane).map_or(0, |&pool_hash| spread_value(pool_hash, job.spread_hash));
        let word_1 = second_word(pools.slots_free[lane], pools.spare_bytes[lane], job.kv_bytes);
        [word_0, word_1, third_word(pools.milli_tps[lane], spread)]
    }
}
