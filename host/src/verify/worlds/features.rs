//! What a world is rich in.

use crate::random::Random;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    /// Few distinct values.
    Ties,
    /// Pools that jobs pin, prefer, avoid; labels; replicas, so that these are ranges.
    Hints,
    /// Devices, masks, degrees.
    Splits,
    /// Models that are resident or not, or nobody says.
    Residency,
    /// Warm sessions.
    Sessions,
    /// Times and rates that reach the limit of times.
    Saturating,
    /// VRAM equal to what is needed, and a byte less or more.
    VramEdges,
    /// Not ready, draining, stale, full.
    States,
    /// More classes of pools than a word has bits; contexts, capabilities, quantisations.
    Classes,
    /// Rates and times that nobody measured.
    Unknown,
    /// Jobs that wait at pools.
    Backlog,
}

use Feature::{Backlog, Classes, Hints, Residency, Saturating, Sessions, Splits, States, Ties, Unknown, VramEdges};

const ALL: [Feature; 11] =
    [Ties, Hints, Splits, Residency, Sessions, Saturating, VramEdges, States, Classes, Unknown, Backlog];

/// A set of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Features(u32);

impl Features {
    /// The one whose turn it is, and some others.
    pub(super) fn of(random: &mut Random, world: u64) -> Self {
        let turn = ALL[usize::try_from(world % ALL.len() as u64).unwrap_or_default()];
        let others = ALL.into_iter().filter(|_| random.one_in(4));
        Self(others.fold(1 << turn as u32, |bits, feature| bits | 1 << feature as u32))
    }

    pub(super) const fn has(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u32 != 0
    }
}
