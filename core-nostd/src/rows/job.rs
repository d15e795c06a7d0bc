//! The row of one job, and the lists of pools that it names.

use bytemuck::{Pod, Zeroable};

use super::{LabelRow, NameId, RankRange};
use crate::input::PlacementMode;
use crate::values::capability::ComputeCapability;
use crate::values::device_mask::DeviceMask;
use crate::values::flag_set::flag_set;

/// What a job asks for, as numbers. 112 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct JobRow {
    /// KV cache in bytes.
    pub est_kv_bytes: u64,
    /// Weights and workspace in bytes.
    pub min_vram_bytes: u64,
    /// Device ids it may use; empty is any.
    pub device_mask: DeviceMask,
    /// Device ids that the pool must have, exactly; empty is any.
    pub require_device_mask: DeviceMask,
    /// Quantisation asked for, as the pool's bit; 0 is none.
    pub quantization: u64,
    /// Extensions asked for, as the pool's bits.
    pub extensions: u64,
    /// Deadline in µs from now, or [`JobRow::NO_DEADLINE`].
    pub deadline_us: u64,
    /// Its share of the spread key; 0 when the policy does not spread. KEY-8.
    pub spread_hash: u64,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Output tokens. JOB-1.
    pub output_tokens: u32,
    /// Context in tokens, given or derived. JOB-2.
    pub context_tokens: u32,
    /// Engine.
    pub engine: NameId,
    /// Engine version asked for.
    pub engine_version: NameId,
    /// Sampler profile asked for.
    pub sampler_profile: NameId,
    /// Model.
    pub model: NameId,
    /// Model digest asked for.
    pub digest: NameId,
    /// The session, as the warm lists of the pools name it.
    pub session: NameId,
    /// Least compute capability, if the flag says that it is asked for.
    pub min_capability: ComputeCapability,
    /// Yes-or-no facts.
    pub flags: JobFlags,
    /// Jobs that may wait in a pool without free slots, by the job's policy. WAIT-1.
    pub pool_backlog: u16,
    /// Devices to split over; 0 is no split.
    pub split_degree: u8,
    /// Keeps the row free of implicit padding.
    pub reserved: [u8; 5],
}

impl JobRow {
    /// No deadline.
    pub const NO_DEADLINE: u64 = u64::MAX;

    /// A row without facts and names, to build others from.
    pub const UNNAMED: Self = Self {
        est_kv_bytes: 0,
        min_vram_bytes: 0,
        device_mask: DeviceMask::EMPTY,
        require_device_mask: DeviceMask::EMPTY,
        quantization: 0,
        extensions: 0,
        deadline_us: Self::NO_DEADLINE,
        spread_hash: 0,
        prompt_tokens: 0,
        output_tokens: 0,
        context_tokens: 0,
        engine: NameId::NONE,
        engine_version: NameId::NONE,
        sampler_profile: NameId::NONE,
        model: NameId::NONE,
        digest: NameId::NONE,
        session: NameId::NONE,
        min_capability: ComputeCapability::from_value(0),
        flags: JobFlags::EMPTY,
        pool_backlog: 0,
        split_degree: 0,
        reserved: [0; 5],
    };

    /// Bytes needed where the model is already resident or not. NEED-1.
    #[inline]
    #[must_use]
    pub const fn need_bytes(&self, resident: bool) -> u64 {
        // Both are below 2^48.
        if resident { self.est_kv_bytes } else { self.est_kv_bytes.saturating_add(self.min_vram_bytes) }
    }

    /// Bytes needed in all: weights and KV. FEAS-14, DEV-1.
    #[inline]
    #[must_use]
    pub const fn whole_bytes(&self) -> u64 {
        self.need_bytes(false)
    }
}

flag_set! {
    /// Yes-or-no facts of a job, a bit each.
    pub JobFlags {
        /// The context was given, not derived. JOB-2.
        CONTEXT_GIVEN = 0,
        /// A least compute capability is asked for.
        MIN_CAPABILITY = 1,
        /// Warm caches are not to be used.
        COLD = 2,
        /// A quantisation is asked for that no pool of the fleet has.
        FOREIGN_QUANTIZATION = 3,
        /// An extension is asked for that no pool of the fleet has.
        FOREIGN_EXTENSION = 4,
        /// A label is asked for that no pool of the fleet has.
        FOREIGN_LABEL = 5,
        /// Only the pinned pool will do.
        PIN = 6,
        /// Preferred pools come first.
        PREFER = 7,
        /// Only preferred pools will do.
        NO_FALLBACK = 8,
    }
}

impl JobFlags {
    /// Sets the flags of a placement mode.
    pub(crate) fn set_mode(&mut self, mode: PlacementMode, allow_fallback: bool) {
        self.set(Self::PIN, mode == PlacementMode::Pin);
        self.set(Self::PREFER, mode == PlacementMode::Prefer);
        self.set(Self::NO_FALLBACK, mode == PlacementMode::Prefer && !allow_fallback);
    }
}

/// The pools and labels that a job names, looked up in one fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Hints<'a> {
    /// The pinned pool's replicas; empty when no pool has that id.
    pub pin: RankRange,
    /// Replicas of the preferred pools, in ascending order.
    pub prefer: &'a [RankRange],
    /// Replicas of the avoided pools, in ascending order.
    pub avoid: &'a [RankRange],
    /// Labels that the pool must have, in ascending order.
    pub labels: &'a [LabelRow],
}

/// What the session table says about a job's session. SCORE-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SessionEntry {
    /// Rank of the pool that the session was last placed on.
    pub pool: u32,
    /// Tokens that this pool holds warm.
    pub cached_tokens: u32,
}

/// A job, looked up in one fleet: everything that a decision reads about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JobQuery<'a> {
    /// The numbers.
    pub row: &'a JobRow,
    /// The pools and labels it names.
    pub hints: Hints<'a>,
    /// Where its session was last placed; `None` when the table has no entry or there is no session.
    pub session: Option<SessionEntry>,
}
