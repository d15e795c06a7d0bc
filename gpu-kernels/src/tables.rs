//! What a scan reads: tables of the lengths that the host gives, and a class's view of all pools.
//!
//! Invariant: records may hold anything, as far as the bounds go; an index that no table has finds nothing.

use crate::records::{JobLanes, PoolCold, PoolHot, Segment, ViewCold, ViewHot};

/// The arguments of a scan. See [`launch`](crate::launch).
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// All pools.
    pub pool_hot: &'a [PoolHot],
    /// All pools.
    pub pool_cold: &'a [PoolCold],
    /// All views, one behind the other.
    pub view_hot: &'a [ViewHot],
    /// All views, one behind the other.
    pub view_cold: &'a [ViewCold],
    /// How many views there are.
    pub views: u32,
    /// Records from a view to the next.
    pub stride: u32,
    /// The jobs.
    pub jobs: &'a [JobLanes],
    /// The segments of all jobs.
    pub segments: &'a [Segment],
    /// Parts of the pools.
    pub parts: u32,
    /// Pools of a part.
    pub pools_per_part: u32,
    /// The policy's bucket width of ends.
    pub quantum_shift: u32,
    /// Whether the policy spreads.
    pub spreads: bool,
}

/// All pools as one class of jobs sees them: four tables of one length, which is not 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) pool_hot: Column<'a, PoolHot>,
    pub(crate) pool_cold: Column<'a, PoolCold>,
    pub(crate) view_hot: Column<'a, ViewHot>,
    pub(crate) view_cold: Column<'a, ViewCold>,
}

/// Records of which there is at least one.
///
/// An index without a record reads the first one: unlike a branch, that lets a device load several records at once. So
/// it is up to a caller to make nothing of it.
#[derive(Debug)]
pub(crate) struct Column<'a, T> {
    first: &'a T,
    all: &'a [T],
}

impl<'a> Scan<'a> {
    /// What block `block` works on: a group (or a job), and a part of the pools.
    #[inline(always)]
    pub(crate) fn task(&self, block: u32) -> Option<(u32, u32)> {
        Some((block.checked_div(self.parts)?, block.checked_rem(self.parts)?))
    }

    /// The view of a class; none where there is no such view, or no pool.
    #[inline(always)]
    pub(crate) fn view(&self, view: u32) -> Option<View<'a>> {
        if view >= self.views {
            return None;
        }
        let len = self.pool_hot.len().min(self.stride as usize);
        let start = (view as usize).checked_mul(self.stride as usize)?;
        Some(View {
            pool_hot: Column::of(self.pool_hot.get(..len)?)?,
            pool_cold: Column::of(self.pool_cold.get(..len)?)?,
            view_hot: Column::of(self.view_hot.get(start..)?.get(..len)?)?,
            view_cold: Column::of(self.view_cold.get(start..)?.get(..len)?)?,
        })
    }

    /// The ranks of part `part` of a view's pools, from the first to behind the last.
    #[inline(always)]
    pub(crate) fn ranks(&self, view: &View<'_>, part: u32) -> (u32, u32) {
        let start = part.saturating_mul(self.pools_per_part);
        let end = start.saturating_add(self.pools_per_part).min(view.len());
        (start.min(end), end)
    }

    /// Where the answer for job `job` of part `part` goes.
    #[inline(always)]
    pub(crate) fn answer(&self, job: u64, part: u32) -> u64 {
        job * u64::from(self.parts) + u64::from(part)
    }
}

impl View<'_> {
    /// Its length is at most that of a stride.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "see above")]
    pub(crate) const fn len(&self) -> u32 {
        self.pool_hot.all.len() as u32
    }
}

impl<'a, T> Column<'a, T> {
    #[inline(always)]
    fn of(all: &'a [T]) -> Option<Self> {
        Some(Self { first: all.first()?, all })
    }

    #[inline(always)] // Once per pair of every batch.
    pub(crate) fn at(&self, rank: u32) -> &'a T {
        self.all.get(rank as usize).unwrap_or(self.first)
    }
}

impl<T> Clone for Column<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Column<'_, T> {}
