//! What a host uploads and what kernels answer: plain records, whose bytes are the same on both sides.
//!
//! A pool is split by how often a kernel looks: *hot* facts are read for every pair in two wide loads, *cold* ones only
//! where two pools are equal in the first word (or jobs wait in pools). What a class of jobs sees of the pools is a *view*;
//! views lie one behind the other, `stride` records each, in both view tables.
//!
//! Invariant: no record has a byte of padding, so a device never reads a byte that nobody wrote.

use bytemuck::{Pod, Zeroable};
use orchestrator_core::rule::key::Key;
use orchestrator_core::rule::lane::{ClassLane, PoolLane, low_bits};

/// What every pair reads of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct PoolHot {
    /// As [`PoolLane::decode_q10`].
    pub decode_q10: u32,
    /// As [`PoolLane::prefill_q10`].
    pub prefill_q10: u32,
    /// As [`PoolLane::milli_tps`]; of use on ties.
    pub milli_tps: u32,
    /// The cold bit and the running leases of the first word.
    pub low_bits: u16,
    /// As [`PoolLane::slots_free`]; of use on ties.
    pub slots_free: u16,
}

/// What ties and waits read of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct PoolCold {
    /// As [`PoolLane::first_token_us`].
    pub first_token_us: u64,
    /// The hash that a policy with spread mixes with the job's.
    pub spread_hash: u64,
    /// As [`PoolLane::waves`].
    pub waves: u32,
    /// Always 0.
    pub reserved: u32,
}

/// What every pair reads of a pool as a class of jobs sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct ViewHot {
    /// As [`ClassLane::base`].
    pub base: u64,
    /// As [`ClassLane::room_bytes`].
    pub room_bytes: u64,
}

/// What ties and waits read of a pool as a class of jobs sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct ViewCold {
    /// As [`ClassLane::spare_bytes`].
    pub spare_bytes: u64,
    /// As [`ClassLane::start_us`].
    pub start_us: u64,
}

/// One job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct JobLanes {
    /// KV bytes; a job of `u64::MAX` fits nowhere and fills up a block.
    pub kv_bytes: u64,
    /// The hash that a policy with spread mixes with the pool's.
    pub spread_hash: u64,
    /// Only keys that are not below this one count: how a list is continued. Zero words and rank 0 leave out none. Read
    /// by the pool-tiled kernels only.
    pub from: Key,
    /// Prompt tokens: below 2^24.
    pub prompt_tokens: u32,
    /// Output tokens: below 2^24.
    pub output_tokens: u32,
    /// The view of the job's class.
    pub view: u32,
    /// The first of the job's segments. Read by the pool-tiled kernels only.
    pub segment: u32,
    /// How many segments the job has; they ascend and do not overlap.
    pub segments: u32,
    /// Always 0.
    pub reserved: [u32; 3],
}

/// Ranks from `start` to before `end`, all preferred or all not. KEY-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Segment {
    /// The first rank.
    pub start: u32,
    /// The rank behind the last.
    pub end: u32,
    /// 1 where the job prefers these pools, else 0.
    pub preferred: u32,
}

/// What was found for a job: its two best keys and the number of feasible pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Found {
    /// The best keys, ascending: the first `keys_len` stand, the others are zero.
    pub keys: [Key; 2],
    /// How many keys stand.
    pub keys_len: u32,
    /// How many pools can take the job, whether or not their keys count.
    pub feasible: u32,
}

/// A pool that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct PoolChange {
    /// What it is now.
    pub hot: PoolHot,
    /// What it is now.
    pub cold: PoolCold,
    /// Its rank.
    pub index: u64,
}

/// A pool that changed, as a class of jobs sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct ViewChange {
    /// What it is now.
    pub hot: ViewHot,
    /// What it is now.
    pub cold: ViewCold,
    /// Its place in the tables of all views: `view * stride + rank`.
    pub index: u64,
    /// Always 0.
    pub reserved: u64,
}

impl PoolHot {
    /// The part of a pool that every pair reads.
    #[must_use]
    pub const fn of(lane: &PoolLane) -> Self {
        Self {
            decode_q10: lane.decode_q10,
            prefill_q10: lane.prefill_q10,
            milli_tps: lane.milli_tps,
            low_bits: low_bits(lane.active_leases),
            slots_free: lane.slots_free,
        }
    }
}

impl PoolCold {
    /// The other part; the hash is 0 under a policy that does not spread.
    #[must_use]
    pub const fn of(lane: &PoolLane, spread_hash: u64) -> Self {
        Self { first_token_us: lane.first_token_us, spread_hash, waves: lane.waves, reserved: 0 }
    }
}

impl ViewHot {
    /// The part of a class's view that every pair reads.
    #[must_use]
    pub const fn of(lane: &ClassLane) -> Self {
        Self { base: lane.base, room_bytes: lane.room_bytes }
    }
}

impl ViewCold {
    /// The other part.
    #[must_use]
    pub const fn of(lane: &ClassLane) -> Self {
        Self { spare_bytes: lane.spare_bytes, start_us: lane.start_us }
    }
}

impl Found {
    /// Nothing.
    pub const NONE: Self =
        Self { keys: [Key::from_words([0; 3], 0), Key::from_words([0; 3], 0)], keys_len: 0, feasible: 0 };
}
