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

/// All pools as one class of jobs sees them: four tables of one length.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct View<'a> {
    pool_hot: &'a [PoolHot],
    pool_cold: &'a [PoolCold],
    view_hot: &'a [ViewHot],
    view_cold: &'a [ViewCold],
}

impl<'a> Scan<'a> {
    /// What block `block` works on: a group (or a job), and a part of the pools.
    #[inline(always)]
    pub(crate) fn task(&self, block: u32) -> Option<(u32, u32)> {
        Some((block.checked_div(self.parts)?, block.checked_rem(self.parts)?))
    }

    /// The view of a class; none where there is no such view.
    #[inline(always)]
    pub(crate) fn view(&self, view: u32) -> Option<View<'a>> {
        if view >= self.views {
            return None;
        }
        let len = self.pool_hot.len().min(self.stride as usize);
        let start = (view as usize).checked_mul(self.stride as usize)?;
        Some(View {
            pool_hot: self.pool_hot.get(..len)?,
            pool_cold: self.pool_cold.get(..len)?,
            view_hot: self.view_hot.get(start..)?.get(..len)?,
            view_cold: self.view_cold.get(start..)?.get(..len)?,
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

impl<'a> View<'a> {
    /// Its length is at most that of a stride.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "see above")]
    pub(crate) const fn len(&self) -> u32 {
        self.pool_hot.len() as u32
    }

    #[inline(always)]
    pub(crate) fn pool_hot(&self, rank: u32) -> Option<&'a PoolHot> {
        self.pool_hot.get(rank as usize)
    }

    #[inline(always)]
    pub(crate) fn pool_cold(&self, rank: u32) -> Option<&'a PoolCold> {
        self.pool_cold.get(rank as usize)
    }

    #[inline(always)]
    pub(crate) fn view_hot(&self, rank: u32) -> Option<&'a ViewHot> {
        self.view_hot.get(rank as usize)
    }

    #[inline(always)]
    pub(crate) fn view_cold(&self, rank: u32) -> Option<&'a ViewCold> {
        self.view_cold.get(rank as usize)
    }
}
