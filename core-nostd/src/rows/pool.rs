//! The rows of one pool: hot facts that every decision reads, its class, and spans of lists that some decisions read.

use bytemuck::{Pod, Zeroable};

use super::NameId;
use crate::values::capability::ComputeCapability;
use crate::values::device_mask::DeviceMask;
use crate::values::flag_set::flag_set;

/// The facts of one pool that change from snapshot to snapshot. 64 bytes: a cache line is all that a scan reads of most
/// pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct PoolRow {
    /// Free VRAM in bytes; with devices, the sum over them.
    pub vram_free_bytes: u64,
    /// Time to first token in µs, or [`PoolRow::FIRST_TOKEN_UNKNOWN`].
    pub first_token_us: u64,
    /// Admission latency in µs.
    pub admission_latency_us: u64,
    /// Time to load a model in µs.
    pub model_load_us: u64,
    /// Age of the snapshot in µs.
    pub age_us: u64,
    /// Decode time per token in 1/1024 µs; 0 is unknown.
    pub decode_q10: u32,
    /// Decode rate in milli-tokens per second; 0 is unknown. The tie-breaker of KEY-7.
    pub milli_tps: u32,
    /// Prefill time per token in 1/1024 µs; 0 is absent.
    pub prefill_q10: u32,
    /// Index of the pool's class in its table.
    pub class: u32,
    /// Slots.
    pub slots_total: u16,
    /// Free slots.
    pub slots_free: u16,
    /// What is known and published of what changes.
    pub flags: PoolFlags,
    /// Jobs that wait in the pool for a slot; saturates. WAIT-1.
    pub waiting: u16,
}

impl PoolRow {
    /// A first-token time that is not known.
    pub const FIRST_TOKEN_UNKNOWN: u64 = crate::limits::END_UNKNOWN_US;

    /// A row without facts, to build others from.
    pub(crate) const EMPTY: Self = Self {
        vram_free_bytes: 0,
        first_token_us: Self::FIRST_TOKEN_UNKNOWN,
        admission_latency_us: 0,
        model_load_us: 0,
        age_us: 0,
        decode_q10: 0,
        milli_tps: 0,
        prefill_q10: 0,
        class: 0,
        slots_total: 0,
        slots_free: 0,
        flags: PoolFlags::EMPTY,
        waiting: 0,
    };
}

/// The facts that rarely change, shared by all pools that have the same: what stages 2 to 4 read. 72 bytes.
///
/// Pools with the same class number have the same class; the reverse need not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct PoolClass {
    /// VRAM in bytes.
    pub vram_total_bytes: u64,
    /// Quantisations supported, a bit each.
    pub quantizations: u64,
    /// Extensions supported, a bit each.
    pub extensions: u64,
    /// Device ids; empty is unknown.
    pub device_mask: DeviceMask,
    /// Models served, if the class lists them.
    pub models: Span,
    /// Model digests.
    pub digests: Span,
    /// Longest context in tokens, or [`PoolClass::CTX_UNKNOWN`].
    pub ctx_max: u32,
    /// Engine.
    pub engine: NameId,
    /// Engine version.
    pub engine_version: NameId,
    /// Sampler profile.
    pub sampler_profile: NameId,
    /// Compute capability, if the flag says that it is known.
    pub capability: ComputeCapability,
    /// What the adapter's build needs, if the flag says that it says so.
    pub min_capability: ComputeCapability,
    /// What is known and published of what rarely changes.
    pub flags: ClassFlags,
    /// Keeps the row free of implicit padding.
    pub reserved: u16,
}

impl PoolClass {
    /// A longest context that is not known.
    pub const CTX_UNKNOWN: u32 = u32::MAX;

    /// A class without facts and names, to build others from.
    pub(crate) const UNNAMED: Self = Self {
        vram_total_bytes: 0,
        quantizations: 0,
        extensions: 0,
        device_mask: DeviceMask::EMPTY,
        models: Span::EMPTY,
        digests: Span::EMPTY,
        ctx_max: Self::CTX_UNKNOWN,
        engine: NameId::NONE,
        engine_version: NameId::NONE,
        sampler_profile: NameId::NONE,
        capability: ComputeCapability::from_value(0),
        min_capability: ComputeCapability::from_value(0),
        flags: ClassFlags::EMPTY,
        reserved: 0,
    };
}

flag_set! {
    /// Yes-or-no facts of a pool that change, a bit each.
    pub PoolFlags {
        /// The pool takes work.
        READY = 0,
        /// The pool only finishes what it has.
        DRAINING = 1,
        /// It publishes which models are resident.
        RESIDENCY_PUBLISHED = 2,
        /// It publishes warm sessions.
        WARM_SESSIONS = 3,
    }
}

flag_set! {
    /// Yes-or-no facts of a class, a bit each.
    pub ClassFlags {
        /// The compute capability is known.
        CAPABILITY_KNOWN = 0,
        /// The adapter's build needs a compute capability.
        MIN_CAPABILITY = 1,
        /// The models served are listed.
        MODELS_LISTED = 2,
    }
}

/// One device of a pool. 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct DeviceRow {
    /// VRAM in bytes.
    pub vram_total_bytes: u64,
    /// Free VRAM in bytes.
    pub vram_free_bytes: u64,
    capability: ComputeCapability,
    capability_known: u16,
    reserved: u32,
}

impl DeviceRow {
    /// A device; without a capability of its own the pool's counts. DEV-1.
    #[must_use]
    pub fn new(vram_total_bytes: u64, vram_free_bytes: u64, capability: Option<ComputeCapability>) -> Self {
        Self {
            vram_total_bytes,
            vram_free_bytes,
            capability: capability.unwrap_or(ComputeCapability::from_value(0)),
            capability_known: u16::from(capability.is_some()),
            reserved: 0,
        }
    }

    /// Its own compute capability, if published.
    #[must_use]
    pub const fn capability(&self) -> Option<ComputeCapability> {
        if self.capability_known == 0 { None } else { Some(self.capability) }
    }
}

/// One label. 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct LabelRow {
    /// The label's key.
    pub key: NameId,
    /// Its value.
    pub value: NameId,
}

/// One warm session of a pool. 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct WarmRow {
    /// The session.
    pub session: NameId,
    /// Tokens of it that need no prefill.
    pub cached_tokens: u32,
}

/// Where a pool's list lies in its arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct Span {
    /// Index of the first entry.
    pub start: u32,
    /// Number of entries.
    pub len: u32,
}

impl Span {
    /// A list without entries.
    pub const EMPTY: Self = Self { start: 0, len: 0 };

    /// The entries in `arena`; empty when the span does not lie inside it.
    #[inline]
    #[must_use]
    pub fn of<T>(self, arena: &[T]) -> &[T] {
        let start = crate::values::index::index(self.start);
        arena.get(start..).and_then(|tail| tail.get(..crate::values::index::index(self.len))).unwrap_or_default()
    }

    /// The entries in `arena`, to change.
    #[inline]
    #[must_use]
    pub(crate) fn of_mut<T>(self, arena: &mut [T]) -> &mut [T] {
        let start = crate::values::index::index(self.start);
        let tail = arena.get_mut(start..).unwrap_or_default();
        tail.get_mut(..crate::values::index::index(self.len)).unwrap_or_default()
    }
}

/// Where the lists of one pool lie. 40 bytes. Every list is in ascending order and without repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct PoolLists {
    /// Labels.
    pub labels: Span,
    /// Devices, in ascending order of their ids.
    pub devices: Span,
    /// Resident models, if the pool publishes them.
    pub residents: Span,
    /// Entries of the resident arena, from `residents.start`, that belong to this pool: commits grow into them.
    pub residents_capacity: u32,
    /// Keeps the row free of implicit padding.
    pub reserved: u32,
    /// Warm sessions.
    pub warm: Span,
}

impl PoolLists {
    /// Whether the published list of resident models, in the arena `residents`, has `model`. NEED-1.
    #[inline]
    pub(crate) fn has_resident(&self, residents: &[NameId], model: NameId) -> bool {
        self.residents.of(residents).binary_search(&model).is_ok()
    }
}
