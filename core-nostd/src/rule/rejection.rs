//! Why a pool cannot take a job: one reason per rule of FEAS-1 to FEAS-23, in their order.
//!
//! Invariant: the discriminants ascend in the order in which the rules are tried, so stages ascend with them.

use core::fmt;

/// The first rule that a pool fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
#[non_exhaustive]
pub enum Rejection {
    /// Not the pinned pool. FEAS-1.
    NotPinned,
    /// A pool to avoid. FEAS-2.
    Avoided,
    /// Not a preferred pool, and there is no fallback. FEAS-3.
    NotPreferred,
    /// Lacks a label. FEAS-4.
    LabelMissing,
    /// Another set of devices than the one required. FEAS-5.
    DeviceMaskMismatch,
    /// Another engine. FEAS-6.
    EngineName,
    /// Another engine version, or unknown. FEAS-7.
    EngineVersion,
    /// Another sampler profile, or unknown. FEAS-8.
    SamplerProfile,
    /// Does not serve the model. FEAS-9.
    ModelNotServed,
    /// Lacks the model digest. FEAS-10.
    ModelDigest,
    /// Lacks the quantisation. FEAS-11.
    Quantization,
    /// The context is too long for it, or its longest context is unknown. FEAS-12.
    Context,
    /// Lacks an extension. FEAS-13.
    Extension,
    /// Weights and KV exceed its whole VRAM. FEAS-14.
    VramTotal,
    /// Its devices are not within the job's mask. FEAS-15.
    MaskNotWithin,
    /// Its compute capability is too low or unknown. FEAS-16.
    Capability,
    /// Its compute capability is too low for its own adapter, or unknown. FEAS-17.
    OwnMinCapability,
    /// Too few devices for the split. FEAS-18.
    SplitDegree,
    /// Its snapshot is too old. FEAS-19.
    Stale,
    /// It is not ready. FEAS-20.
    NotReady,
    /// It is draining. FEAS-21.
    Draining,
    /// It has no free slot. FEAS-22.
    Slots,
    /// It has too little free VRAM now. FEAS-23.
    Vram,
}

/// The group that a rejection belongs to, and the headline of a decision without a pool. NOCAP-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// The snapshot holds no pools: stage 0.
    NoPools,
    /// The job's own hints: stage 1.
    Excluded,
    /// `Incompatible(Engine)`: stage 2.
    Engine,
    /// `Incompatible(Model)`: stage 3.
    Model,
    /// `Incompatible(DeviceMask)`: stage 4.
    DeviceMask,
    /// The snapshot is too old: stage 5.
    Stale,
    /// Not ready: stage 6.
    NotReady,
    /// Draining: stage 6.
    Draining,
    /// Slots exhausted: stage 7.
    Slots,
    /// VRAM exhausted: stage 7.
    Vram,
}

impl Reason {
    /// The reason's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPools => "no_pools",
            Self::Excluded => "excluded",
            Self::Engine => "engine",
            Self::Model => "model",
            Self::DeviceMask => "device_mask",
            Self::Stale => "stale",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::Slots => "slots",
            Self::Vram => "vram",
        }
    }

    /// The stage, 0 to 7: what cannot change by waiting comes first.
    #[must_use]
    pub const fn stage(self) -> u8 {
        match self {
            Self::NoPools => 0,
            Self::Excluded => 1,
            Self::Engine => 2,
            Self::Model => 3,
            Self::DeviceMask => 4,
            Self::Stale => 5,
            Self::NotReady | Self::Draining => 6,
            Self::Slots | Self::Vram => 7,
        }
    }

    /// Whether waiting can help. NOCAP-2.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::NoPools) || self.stage() >= 5
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Rejection {
    /// The number of rejections.
    pub const COUNT: usize = 23;

    /// All rejections in the order in which the rules are tried.
    pub const ALL: [Self; Self::COUNT] = [
        Self::NotPinned,
        Self::Avoided,
        Self::NotPreferred,
        Self::LabelMissing,
        Self::DeviceMaskMismatch,
        Self::EngineName,
        Self::EngineVersion,
        Self::SamplerProfile,
        Self::ModelNotServed,
        Self::ModelDigest,
        Self::Quantization,
        Self::Context,
        Self::Extension,
        Self::VramTotal,
        Self::MaskNotWithin,
        Self::Capability,
        Self::OwnMinCapability,
        Self::SplitDegree,
        Self::Stale,
        Self::NotReady,
        Self::Draining,
        Self::Slots,
        Self::Vram,
    ];

    /// The group it belongs to.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::NotPinned | Self::Avoided | Self::NotPreferred | Self::LabelMissing | Self::DeviceMaskMismatch => {
                Reason::Excluded
            }
            Self::EngineName | Self::EngineVersion | Self::SamplerProfile => Reason::Engine,
            Self::ModelNotServed
            | Self::ModelDigest
            | Self::Quantization
            | Self::Context
            | Self::Extension
            | Self::VramTotal => Reason::Model,
            Self::MaskNotWithin | Self::Capability | Self::OwnMinCapability | Self::SplitDegree => Reason::DeviceMask,
            Self::Stale => Reason::Stale,
            Self::NotReady => Reason::NotReady,
            Self::Draining => Reason::Draining,
            Self::Slots => Reason::Slots,
            Self::Vram => Reason::Vram,
        }
    }

    /// The stage of its group, 1 to 7.
    #[must_use]
    pub const fn stage(self) -> u8 {
        self.reason().stage()
    }

    /// Its name on the wire: `detail`.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NotPinned => "not_pinned",
            Self::Avoided => "avoided",
            Self::NotPreferred => "not_preferred",
            Self::LabelMissing => "label_missing",
            Self::DeviceMaskMismatch => "device_mask_mismatch",
            Self::EngineName => "engine_name",
            Self::EngineVersion => "engine_version",
            Self::SamplerProfile => "sampler_profile",
            Self::ModelNotServed => "model_not_served",
            Self::ModelDigest => "model_digest",
            Self::Quantization => "quantization",
            Self::Context => "context",
            Self::Extension => "extension",
            Self::VramTotal => "vram_total",
            Self::MaskNotWithin => "mask_not_within",
            Self::Capability => "capability",
            Self::OwnMinCapability => "own_min_capability",
            Self::SplitDegree => "split_degree",
            Self::Stale => "stale",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::Slots => "slots",
            Self::Vram => "vram",
        }
    }

    /// The more useful headline of two: the higher stage; within it the reason listed first; within that the detail
    /// listed last, because its pool got furthest. NOCAP-1.
    ///
    /// Associative, commutative and idempotent, so pools may be visited in any order.
    #[inline]
    #[must_use]
    pub const fn headline(self, other: Self) -> Self {
        if self.usefulness() >= other.usefulness() { self } else { other }
    }

    /// How much it says as a headline: stage, then how early its reason is listed, then how late its detail is.
    const fn usefulness(self) -> u8 {
        // Discriminants ascend with the rules; the two stages with two reasons swap them, so that the first reason wins.
        match self {
            Self::NotReady => Self::Draining as u8,
            Self::Draining => Self::NotReady as u8,
            Self::Slots => Self::Vram as u8,
            Self::Vram => Self::Slots as u8,
            other => other as u8,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}
