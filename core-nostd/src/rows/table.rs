//! All pools of a fleet as borrowed slices: what a node agent with eight pools and a host with a million share.

use core::fmt;

use super::{ClassFlags, DeviceRow, LabelRow, NameId, PoolClass, PoolFlags, PoolLists, PoolRow, WarmRow};
use crate::limits::POOLS_MAX;
use crate::policy::Policy;
use crate::values::index::index;

/// Ranks `start` to `end`, without `end`: the replicas of one pool id lie next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RankRange {
    /// The first rank.
    pub start: u32,
    /// The rank after the last.
    pub end: u32,
}

impl RankRange {
    /// Whether `rank` is inside.
    #[inline]
    #[must_use]
    pub const fn contains(self, rank: u32) -> bool {
        self.start <= rank && rank < self.end
    }

    /// Whether no rank is inside.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// The longest stretch of ranks around `rank` that lies inside one of `ranges`, or outside of all, and which of the
    /// two. `ranges` ascend and do not overlap. O(log n).
    #[must_use]
    pub(crate) fn stretch_around(ranges: &[Self], rank: u32) -> (Self, bool) {
        let after = ranges.partition_point(|range| range.end <= rank);
        match ranges.get(after) {
            Some(range) if range.contains(rank) => (*range, true),
            next => {
                let before = after.checked_sub(1).and_then(|last| ranges.get(last));
                let start = before.map_or(0, |range| range.end);
                let end = next.map_or(u32::MAX, |range| range.start);
                (Self { start, end }, false)
            }
        }
    }
}

/// A table whose parts do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TableError {
    /// Another number of list rows than of pools, and not none.
    Lists,
    /// The policy spreads and there is not one hash per pool, or it does not and there are hashes.
    SpreadHashes,
    /// More pools than a rank can number.
    TooManyPools,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lists => "every pool needs one row of lists, or none has any",
            Self::SpreadHashes => "a policy with a spread seed needs one hash per pool, any other none",
            Self::TooManyPools => "a fleet has at most 2^30 pools",
        })
    }
}

impl core::error::Error for TableError {}

/// The pools of a fleet, in ascending order of `(id, replica_id)`: the index of a pool is its rank.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolTable<'a> {
    /// Hot facts, one row per pool.
    pub rows: &'a [PoolRow],
    /// Classes: every row's `class` is an index into them.
    pub classes: &'a [PoolClass],
    /// Where each pool's lists lie; empty where no pool has any.
    pub lists: &'a [PoolLists],
    /// Arena of model lists.
    pub models: &'a [NameId],
    /// Arena of digest lists.
    pub digests: &'a [NameId],
    /// Arena of labels.
    pub labels: &'a [LabelRow],
    /// Arena of devices.
    pub devices: &'a [DeviceRow],
    /// Arena of resident models.
    pub residents: &'a [NameId],
    /// Arena of warm sessions.
    pub warm: &'a [WarmRow],
    /// One hash per pool under a policy that spreads, else empty. KEY-8.
    pub spread_hashes: &'a [u64],
}

impl PoolTable<'_> {
    /// The number of pools.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no pools.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Checks that the parts belong together and to `policy`. O(1).
    ///
    /// # Errors
    /// The part that does not.
    pub const fn check(&self, policy: &Policy) -> Result<(), TableError> {
        let hashes_due = if policy.spread_seed().is_some() { self.rows.len() } else { 0 };
        if self.rows.len() > POOLS_MAX {
            Err(TableError::TooManyPools)
        } else if !self.lists.is_empty() && self.lists.len() != self.rows.len() {
            Err(TableError::Lists)
        } else if self.spread_hashes.len() != hashes_due {
            Err(TableError::SpreadHashes)
        } else {
            Ok(())
        }
    }

    /// The pool at `rank`.
    pub(crate) fn pool(&self, rank: u32) -> Option<PoolRef<'_>> {
        let row = self.rows.get(index(rank))?;
        Some(PoolRef { rank, row, table: self })
    }

    /// The pool at `rank`, whose row is at hand.
    #[inline(always)] // Once per pool of every scan.
    pub(crate) const fn pool_of<'a>(&'a self, rank: u32, row: &'a PoolRow) -> PoolRef<'a> {
        PoolRef { rank, row, table: self }
    }

    /// Whether a class of pools serves `model`: it lists it, or lists none.
    pub(crate) fn serves(&self, class: &PoolClass, model: NameId) -> bool {
        !class.flags.has(ClassFlags::MODELS_LISTED) || contains(class.models.of(self.models), &model)
    }

    /// Whether a class of pools has `digest`.
    pub(crate) fn has_digest(&self, class: &PoolClass, digest: NameId) -> bool {
        contains(class.digests.of(self.digests), &digest)
    }

    /// All pools in rank order.
    #[inline]
    pub(crate) fn pools(&self) -> impl Iterator<Item = PoolRef<'_>> {
        (0u32..).zip(self.rows).map(|(rank, row)| PoolRef { rank, row, table: self })
    }
}

/// One pool of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolRef<'a> {
    pub(crate) rank: u32,
    pub(crate) row: &'a PoolRow,
    table: &'a PoolTable<'a>,
}

impl<'a> PoolRef<'a> {
    /// The table that the pool is in.
    pub(crate) const fn table(&self) -> &'a PoolTable<'a> {
        self.table
    }

    /// What rarely changes about the pool.
    pub(crate) fn class(&self) -> &'a PoolClass {
        // Owners keep every class number inside the table; a stray one would be a class that nothing fits.
        self.table.classes.get(index(self.row.class)).unwrap_or(&PoolClass::UNNAMED)
    }

    fn lists(&self) -> PoolLists {
        self.table.lists.get(index(self.rank)).copied().unwrap_or_default()
    }

    /// Whether the pool has every one of `labels`.
    pub(crate) fn has_labels(&self, labels: &[LabelRow]) -> bool {
        let own = self.lists().labels.of(self.table.labels);
        labels.iter().all(|label| contains(own, label))
    }

    /// Whether `model` needs no loading. NEED-1.
    #[inline(always)] // Once per candidate of every scan.
    pub(crate) fn is_resident(&self, model: NameId) -> bool {
        !self.row.flags.has(PoolFlags::RESIDENCY_PUBLISHED) || self.lists().has_resident(self.table.residents, model)
    }

    /// The pool's devices in ascending order of their ids.
    pub(crate) fn devices(&self) -> &'a [DeviceRow] {
        self.lists().devices.of(self.table.devices)
    }

    /// Tokens that the pool published as warm for `session`. SCORE-3.
    #[inline]
    pub(crate) fn published_tokens(&self, session: NameId) -> u32 {
        if !self.row.flags.has(PoolFlags::WARM_SESSIONS) {
            return 0;
        }
        let warm = self.lists().warm.of(self.table.warm);
        warm.binary_search_by_key(&session, |row| row.session)
            .ok()
            .and_then(|found| warm.get(found))
            .map_or(0, |row| row.cached_tokens)
    }

    /// The pool's share of the spread key; 0 without one. KEY-8.
    pub(crate) fn spread_hash(&self) -> u64 {
        self.table.spread_hashes.get(index(self.rank)).copied().unwrap_or(0)
    }
}

/// Lists up to this length are compared as a whole.
const SHORT_LIST: usize = 32;

fn contains<T: Ord>(sorted: &[T], item: &T) -> bool {
    if sorted.len() <= SHORT_LIST {
        // Without an early exit several entries are compared at once; the steps of a search wait for each other.
        sorted.iter().fold(false, |found, own| found | (own == item))
    } else {
        sorted.binary_search(item).is_ok()
    }
}

/// The parts of a table that a commit changes.
#[derive(Debug)]
pub struct PoolTableMut<'a> {
    /// Hot facts, one row per pool.
    pub rows: &'a mut [PoolRow],
    /// Classes: every row's `class` is an index into them.
    pub classes: &'a [PoolClass],
    /// Where each pool's lists lie; empty where no pool has any.
    pub lists: &'a mut [PoolLists],
    /// Arena of devices.
    pub devices: &'a mut [DeviceRow],
    /// Arena of resident models.
    pub residents: &'a mut [NameId],
}
