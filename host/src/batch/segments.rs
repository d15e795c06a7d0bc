//! Which ranks a job looks at, and which of them it prefers: its lists of pools as ranges for a scan. FEAS-1 to FEAS-3,
//! KEY-1.
//!
//! Invariant: the segments of a job ascend and do not overlap; together they are the ranks that its lists leave.

use orchestrator_core::rows::{JobFlags, JobQuery, RankRange};

/// Ranks that are all preferred or all not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) preferred: bool,
}

/// The segments of the jobs of a batch, one job behind the other.
#[derive(Debug, Default)]
pub(super) struct Segments {
    all: Vec<Segment>,
    /// Where each job's segments end.
    ends: Vec<usize>,
}

impl Segments {
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.ends.clear();
    }

    /// The segments of the `index`-th job.
    pub(super) fn of(&self, index: usize) -> &[Segment] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start..self.ends[index]]
    }

    /// Adds a job among so many pools.
    pub(super) fn add(&mut self, job: &JobQuery<'_>, pools: usize) {
        let (flags, hints) = (job.row.flags, &job.hints);
        // A fleet has at most 2^30 pools.
        let all = RankRange { start: 0, end: u32::try_from(pools).unwrap_or(u32::MAX) };
        let allowed = if flags.has(JobFlags::PIN) { hints.pin } else { all };
        if flags.has(JobFlags::PREFER) {
            self.add_allowed(allowed, hints.prefer, hints.avoid, flags.has(JobFlags::NO_FALLBACK));
        } else {
            self.add_allowed(allowed, &[], hints.avoid, flags.has(JobFlags::NO_FALLBACK));
        }
        self.ends.push(self.all.len());
    }

    /// Walks from border to border of the lists: between two borders all ranks are alike.
    fn add_allowed(&mut self, allowed: RankRange, prefer: &[RankRange], avoid: &[RankRange], only_preferred: bool) {
        let mut start = allowed.start;
        while start < allowed.end {
            let (preferred, prefer_border) = around(prefer, start);
            let (avoided, avoid_border) = around(avoid, start);
            let end = allowed.end.min(prefer_border).min(avoid_border);
            if !avoided && (preferred || !only_preferred) {
                self.all.push(Segment { start, end, preferred });
            }
            start = end;
        }
    }
}

/// Whether a rank is inside one of the ranges, and the next rank that may differ. O(log ranges).
fn around(ranges: &[RankRange], rank: u32) -> (bool, u32) {
    let next = ranges.partition_point(|range| range.end <= rank);
    match ranges.get(next) {
        Some(range) if range.start <= rank => (true, range.end),
        Some(range) => (false, range.start),
        None => (false, u32::MAX),
    }
}
