//! A pool as a pair reads it, in the order of need: every pair, ties of the first word, waits.

use bytemuck::{Pod, Zeroable};

use super::bound::{Arithmetic, line};
use crate::tables::View;

/// What every pair reads: two chunks.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Hot {
    /// What the bound starts from. See [`line`].
    pub(crate) base: u64,
    pub(crate) room_bytes: u64,
    pub(crate) decode_q10: u32,
    pub(crate) prefill_q10: u32,
    pub(crate) milli_tps: u32,
    pub(crate) low_bits: u16,
    pub(crate) slots_free: u16,
}

/// What ties of the first word read beyond that: a chunk.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Ties {
    pub(crate) spare_bytes: u64,
    pub(crate) spread_hash: u64,
}

/// What the end reads where jobs wait in pools.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waits {
    pub(crate) base_us: u64,
    pub(crate) start_us: u64,
    pub(crate) first_token_us: u64,
    pub(crate) waves: u32,
    pub(crate) decode_q10: u32,
    pub(crate) prefill_q10: u32,
}

impl View<'_> {
    /// A pool that takes no job where there is none.
    #[inline(always)] // Once per pair of every batch.
    pub(crate) fn hot<E: Arithmetic>(&self, rank: u32) -> Hot {
        let (Some(pool), Some(view)) = (self.pool_hot(rank), self.view_hot(rank)) else { return Hot::zeroed() };
        let (base, decode_q10, prefill_q10) = line::<E>(pool, view, || self.waits(rank));
        Hot {
            base,
            room_bytes: view.room_bytes,
            decode_q10,
            prefill_q10,
            milli_tps: pool.milli_tps,
            low_bits: pool.low_bits,
            slots_free: pool.slots_free,
        }
    }

    #[inline(always)] // As above.
    pub(crate) fn ties(&self, rank: u32) -> Ties {
        let (Some(pool), Some(view)) = (self.pool_cold(rank), self.view_cold(rank)) else { return Ties::zeroed() };
        Ties { spare_bytes: view.spare_bytes, spread_hash: pool.spread_hash }
    }

    #[inline(always)] // As above.
    pub(crate) fn waits(&self, rank: u32) -> Waits {
        let (Some(pool), Some(cold)) = (self.pool_hot(rank), self.pool_cold(rank)) else { return Waits::default() };
        let (Some(view), Some(view_cold)) = (self.view_hot(rank), self.view_cold(rank)) else {
            return Waits::default();
        };
        Waits {
            base_us: view.base,
            start_us: view_cold.start_us,
            first_token_us: cold.first_token_us,
            waves: cold.waves,
            decode_q10: pool.decode_q10,
            prefill_q10: pool.prefill_q10,
        }
    }
}
