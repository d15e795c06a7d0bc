//! The jobs of the classes whose views are ready: cut into launches, launched, their answers read.
//!
//! ```text
//! places by class ┬ many of a class, all pools, lists of 2 ─▶ groups of one view ─▶ scan_jobs ─┐
//!                 └ all others ───────────────────────────────────────────────────▶ scan_pools ┴▶ merge_parts ─▶ lists
//!                                             ▲                                                       │
//!                                             └────────── a list that wants more, from its last key ──┘
//! ```
//! A kernel finds two keys. A deeper list asks again for the keys behind the last one, until it is full.

use std::ops::Range;

use orchestrator_core::Shortlist;
use orchestrator_core::rows::JobQuery;
use orchestrator_core::rule::key::Key;
use orchestrator_kernels::launch::{self, JOBS_PER_BLOCK, THREADS};

use super::answer::{self, FIRST};
use super::device::Device;
use super::fault::Fault;
use super::jobs::Jobs;
use super::kernels::{Scan, Tiled};
use super::pools::Pools;
use super::room::Wanted;
use super::staging::Staging;
use super::views::ViewTables;
use crate::batch::backend::World;
use crate::batch::classes::Classes;
use crate::batch::ends::Ends;
use crate::batch::segments::{Segment, Segments};

/// Jobs of a group of the job-tiled kernels.
const GROUP: usize = JOBS_PER_BLOCK as usize;
/// Blocks that a launch has for each multiprocessor, if there are pools enough: some times what it works on at once, so
/// that none is idle while others end. An estimate, not measured on a GPU yet.
const BLOCKS_PER_MULTIPROCESSOR: usize = 8;

/// How jobs and pools are cut. No answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Groups with at least so many jobs of one class go to the job-tiled kernels.
    pub group_jobs_min: usize,
    /// Pools that a block looks at, at least.
    pub part_pools_min: usize,
}

impl Default for Tiling {
    /// Estimates, not measured on a GPU yet.
    fn default() -> Self {
        Self { group_jobs_min: GROUP / 4, part_pools_min: 1024 }
    }
}

/// All that the jobs of a round are scanned with.
pub(super) struct Round<'a> {
    pub(super) device: &'a Device,
    pub(super) staging: &'a mut Staging,
    pub(super) pools: &'a Pools,
    pub(super) views: &'a ViewTables,
    pub(super) buffers: &'a mut Jobs,
    pub(super) tiling: Tiling,
    pub(super) world: &'a World<'a>,
    pub(super) jobs: &'a [JobQuery<'a>],
    /// Class and index of every job, by class.
    pub(super) order: &'a [(u32, u32)],
    pub(super) segments: &'a Segments,
    pub(super) classes: &'a Classes,
}

/// Jobs by how they are scanned: places in the order.
#[derive(Debug, Default)]
struct Cut {
    groups: Vec<Vec<usize>>,
    others: Vec<(usize, Key)>,
}

impl<'a> Round<'a> {
    /// Scans for the jobs at these places of the order; `lists` are those of all places.
    pub(super) fn run(&mut self, places: Range<usize>, lists: &mut [Shortlist]) -> Result<(), Fault> {
        if self.pools.len() == 0 {
            return Ok(());
        }
        let ends = self.ends(places.clone());
        let Cut { groups, others } = self.cut(places, lists);
        self.run_groups(&groups, ends, lists)?;
        self.run_others(others, ends, lists)
    }

    fn run_groups(&mut self, groups: &[Vec<usize>], ends: launch::Ends, lists: &mut [Shortlist]) -> Result<(), Fault> {
        let mut rest = groups;
        while !rest.is_empty() {
            let (blocks, parts) = self.make_room(rest.len(), GROUP, |_| 0)?;
            let (now, later) = rest.split_at(blocks);
            self.buffers.host.clear();
            for group in now {
                group.iter().for_each(|&place| self.add(place, FIRST, false));
                self.buffers.host.fill_group(self.view(group[0]));
            }
            self.scan(Tiled::Jobs, ends, parts)?;
            for (group, found) in now.iter().zip(self.buffers.host.found.chunks(GROUP)) {
                for (&place, found) in group.iter().zip(found) {
                    answer::take(found, FIRST, self.pools.len(), &mut lists[place])?;
                }
            }
            rest = later;
        }
        Ok(())
    }

    /// Lists that want more than two keys come back with where they go on.
    fn run_others(
        &mut self,
        mut waiting: Vec<(usize, Key)>,
        ends: launch::Ends,
        lists: &mut [Shortlist],
    ) -> Result<(), Fault> {
        while !waiting.is_empty() {
            let segments = self.segments;
            let segments_of = |jobs| waiting[..jobs].iter().map(|&(place, _)| segments.of(place).len()).sum();
            let (jobs, parts) = self.make_room(waiting.len(), 1, segments_of)?;
            let later = waiting.split_off(jobs);
            self.buffers.host.clear();
            waiting.iter().for_each(|&(place, from)| self.add(place, from, true));
            self.scan(Tiled::Pools, ends, parts)?;
            let mut unfinished = later;
            for (&(place, from), found) in waiting.iter().zip(&self.buffers.host.found) {
                let next = answer::take(found, from, self.pools.len(), &mut lists[place])?;
                unfinished.extend(next.map(|next| (place, next)));
            }
            waiting = unfinished;
        }
        Ok(())
    }

    /// Makes room for a launch of so many blocks, or of fewer where memory is short. Says of how many, and in which parts
    /// the pools go.
    fn make_room(
        &mut self,
        blocks: usize,
        jobs_per_block: usize,
        segments: impl Fn(usize) -> usize,
    ) -> Result<(usize, Parts), Fault> {
        let parts_max = (self.pools.len() as usize).div_ceil(self.tiling.part_pools_min);
        let grid = self.device.multiprocessors * BLOCKS_PER_MULTIPROCESSOR;
        let wanted = Wanted { blocks, jobs_per_block, grid, parts_max };
        let size = self.buffers.make_room(self.device, wanted, segments)?;
        Ok((size.blocks, Parts::of(self.pools.len() as usize, size.parts)))
    }

    /// Scans for the jobs whose records are ready, and reads what was found.
    fn scan(&mut self, tiled: Tiled, ends: launch::Ends, parts: Parts) -> Result<(), Fault> {
        let Self { device, staging, pools, views, buffers, .. } = self;
        buffers.upload(device, staging)?;
        // Jobs of a launch and parts of a fleet of at most 2^30 pools are few.
        let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let (jobs_len, parts_len) = (number(buffers.host.records.len()), number(parts.count));
        let scan = Scan {
            pool_hot: &pools.hot,
            pool_cold: &pools.cold,
            pools: pools.len(),
            view_hot: &views.hot,
            view_cold: &views.cold,
            views: number(views.room()),
            stride: pools.len(),
            jobs: &buffers.records,
            jobs_len,
            segments: &buffers.segments,
            segments_len: number(buffers.host.segments.len()),
            parts: parts_len,
            pools_per_part: number(parts.pools),
            quantum_shift: self.world.policy.quantum_shift().into(),
            spreads: !self.world.table.spread_hashes.is_empty(),
            found: if parts.count > 1 { &buffers.parts_found } else { &buffers.found },
        };
        let timer = staging.timer(device)?;
        device.kernels.scan(&device.stream, tiled, ends, &scan)?;
        if parts.count > 1 {
            let size = (jobs_len, parts_len);
            device.kernels.merge_parts(&device.stream, &buffers.parts_found, size, &buffers.found)?;
        }
        staging.add_kernels(device, timer)?;
        buffers.download(device, staging)
    }

    fn add(&mut self, place: usize, from: Key, with_segments: bool) {
        let segments = if with_segments { self.segments.of(place) } else { &[] };
        let (job, view) = (self.job(place), self.view(place));
        self.buffers.host.add(job, view, segments, from);
    }

    /// Job-tiled are those of a class that look at all pools alike for lists of at most two keys, if there are enough.
    fn cut(&self, places: Range<usize>, lists: &[Shortlist]) -> Cut {
        let mut cut = Cut::default();
        let mut start = places.start;
        while start < places.end {
            let class = self.order[start].0;
            let end = start + self.order[start..places.end].partition_point(|&(other, _)| other == class);
            self.cut_class(start..end, lists, &mut cut);
            start = end;
        }
        cut
    }

    fn cut_class(&self, places: Range<usize>, lists: &[Shortlist], cut: &mut Cut) {
        let all = Segment { start: 0, end: self.pools.len(), preferred: false };
        let is_plain = |place: &usize| lists[*place].depth() <= 2 && self.segments.of(*place) == [all];
        let (plain, others): (Vec<_>, Vec<_>) = places.partition(is_plain);
        let mut groups: Vec<_> = plain.chunks(GROUP).map(<[usize]>::to_vec).collect();
        let too_few = groups.pop_if(|last| last.len() < self.tiling.group_jobs_min).unwrap_or_default();
        cut.groups.append(&mut groups);
        let scanned = others.into_iter().filter(|&place| !self.segments.of(place).is_empty());
        cut.others.extend(scanned.chain(too_few).map(|place| (place, FIRST)));
    }

    /// The cheapest arithmetic that is exact for all jobs of the round.
    fn ends(&self, places: Range<usize>) -> launch::Ends {
        let base_max = places.clone().map(|place| self.views.base_max(self.view(place) as usize)).max();
        let rows = places.map(|place| self.job(place).row);
        match Ends::of(self.world.policy, rows, self.pools.rates_max, base_max.unwrap_or(0)) {
            Ends::Plain => launch::Ends::Plain,
            Ends::Saturating => launch::Ends::Saturating,
            Ends::Waiting => launch::Ends::Waiting,
            Ends::Static => launch::Ends::Static,
        }
    }

    fn job(&self, place: usize) -> &'a JobQuery<'a> {
        &self.jobs[self.order[place].1 as usize]
    }

    /// The view of a job's class; it was prepared, and no device has room for 2^32.
    fn view(&self, place: usize) -> u32 {
        let view = self.classes.view(self.order[place].0);
        view.and_then(|view| u32::try_from(view).ok()).unwrap_or(u32::MAX)
    }
}

/// The pools of a launch in parts.
#[derive(Debug, Clone, Copy)]
struct Parts {
    count: usize,
    pools: usize,
}

impl Parts {
    /// At most `count` of them, of whole rounds of a block's threads.
    const fn of(pools: usize, count: usize) -> Self {
        let pools_per_part = pools.div_ceil(count).next_multiple_of(THREADS as usize);
        Self { count: pools.div_ceil(pools_per_part), pools: pools_per_part }
    }
}
