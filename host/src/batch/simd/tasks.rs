//! Who scans what: jobs of one class over a range of pools, tile by tile, on as many threads as there are.
//!
//! A tile's columns stay in the first-level cache while all jobs of a task pass over them. Which thread takes which task
//! cannot matter: lists of different jobs are apart, and lists of one job over different pools are merged.

use std::ops::Range;

use orchestrator_core::Shortlist;
use orchestrator_core::rows::JobQuery;
use pulp::NullaryFnOnce;

use super::columns::Columns;
use super::level::Level;
use super::scan::{JobLane, Pools, ends, offer_ranks, scan};
use super::view::{HostViews, View};
use crate::batch::backend::World;
use crate::batch::classes::Classes;
use crate::batch::ends::Ends;
use crate::batch::segments::Segments;

/// Pools of a tile: 26 bytes each in the loops of most jobs.
const TILE: usize = 1024;

/// Jobs of one class, as places in the order of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    class: u32,
    places: Range<usize>,
}

impl Task {
    /// Cuts a part of the order, which begins at `start`, into tasks of at most `jobs_max`.
    pub(super) fn cut(order: &[(u32, u32)], start: usize, jobs_max: usize, tasks: &mut Vec<Self>) {
        tasks.clear();
        for (place, &(class, _)) in (start..).zip(order) {
            match tasks.last_mut() {
                Some(task) if task.class == class && task.places.len() < jobs_max => task.places.end = place + 1,
                _ => tasks.push(Self { class, places: place..place + 1 }),
            }
        }
    }
}

/// All that tasks read.
#[derive(Clone, Copy)]
pub(super) struct Snapshot<'a> {
    pub(super) level: Level,
    pub(super) world: &'a World<'a>,
    pub(super) jobs: &'a [JobQuery<'a>],
    pub(super) order: &'a [(u32, u32)],
    pub(super) segments: &'a Segments,
    pub(super) columns: &'a Columns,
    pub(super) classes: &'a Classes,
    /// A range of fewer pools is for one thread.
    pub(super) shared_pools_min: usize,
    pub(super) views: &'a HostViews,
}

impl Snapshot<'_> {
    /// Runs the tasks; `lists` are those of their jobs, one behind the other.
    pub(super) fn run_all(&self, tasks: &[Task], lists: &mut [Shortlist], threads: usize) {
        let pools = 0..self.columns.len();
        if threads == 1 {
            self.run_in_turn(tasks, lists, pools);
        } else {
            // Twice as many parts as threads, so that no thread waits long for the last one.
            let parts = (2 * threads).div_ceil(tasks.len().max(1));
            self.run_shared(tasks, lists, pools, parts);
        }
    }

    fn run_in_turn(&self, tasks: &[Task], mut lists: &mut [Shortlist], pools: Range<usize>) {
        for task in tasks {
            let (own, others) = lists.split_at_mut(task.places.len());
            self.run(task, own, pools.clone());
            lists = others;
        }
    }

    /// Halves the tasks, and then the pools, until a part is for one thread.
    fn run_shared(&self, tasks: &[Task], lists: &mut [Shortlist], pools: Range<usize>, parts: usize) {
        if let [_, _, ..] = tasks {
            let (left, right) = tasks.split_at(tasks.len() / 2);
            let places = left.iter().map(|task| task.places.len()).sum();
            let (left_lists, right_lists) = lists.split_at_mut(places);
            rayon::join(
                || self.run_shared(left, left_lists, pools.clone(), parts),
                || self.run_shared(right, right_lists, pools.clone(), parts),
            );
        } else if parts > 1 && pools.len() > TILE && pools.len() >= self.shared_pools_min {
            let middle = pools.start + (pools.len() / 2).next_multiple_of(TILE);
            let mut others: Vec<_> = lists.iter().map(|list| Shortlist::new(list.depth())).collect();
            rayon::join(
                || self.run_shared(tasks, lists, pools.start..middle, parts.div_ceil(2)),
                || self.run_shared(tasks, &mut others, middle..pools.end, parts.div_ceil(2)),
            );
            for (list, other) in lists.iter_mut().zip(&others) {
                list.merge(other);
            }
        } else {
            self.run_in_turn(tasks, lists, pools);
        }
    }

    fn run(&self, task: &Task, lists: &mut [Shortlist], ranks: Range<usize>) {
        let Some(view) = self.classes.view(task.class).and_then(|at| self.views.get(at)) else { return };
        let pools = self.pools(view);
        let loops = Loops { snapshot: self, task, pools, ranks, lists };
        match self.ends(task, view) {
            Ends::Plain => self.level.run(Compiled::<{ ends::PLAIN }>(loops)),
            Ends::Saturating => self.level.run(Compiled::<{ ends::SATURATING }>(loops)),
            Ends::Waiting => self.level.run(Compiled::<{ ends::WAITING }>(loops)),
            Ends::Static => self.level.run(Compiled::<{ ends::STATIC }>(loops)),
        }
    }

    fn pools<'v>(&'v self, view: &'v View) -> Pools<'v> {
        let columns = self.columns;
        Pools {
            base: &view.base,
            room_bytes: &view.room_bytes,
            spare_bytes: view.spare_bytes(),
            start_us: view.start_us(),
            first_token_us: &columns.first_token_us,
            decode_q10: &columns.decode_q10,
            prefill_q10: &columns.prefill_q10,
            waves: &columns.waves,
            milli_tps: &columns.milli_tps,
            low_bits: &columns.low_bits,
            slots_free: &columns.slots_free,
            spread_hashes: self.world.table.spread_hashes,
        }
    }

    fn job(&self, place: usize) -> &JobQuery<'_> {
        &self.jobs[self.order[place].1 as usize]
    }

    /// The cheapest arithmetic that is exact for all jobs of a task.
    fn ends(&self, task: &Task, view: &View) -> Ends {
        let rows = task.places.clone().map(|place| self.job(place).row);
        Ends::of(self.world.policy, rows, self.columns.rates_max, view.base_max)
    }
}

/// One task over a range of pools.
struct Loops<'a> {
    snapshot: &'a Snapshot<'a>,
    task: &'a Task,
    pools: Pools<'a>,
    ranks: Range<usize>,
    lists: &'a mut [Shortlist],
}

/// The same, to be compiled for one arithmetic and every level of instructions.
struct Compiled<'a, const ENDS: u8>(Loops<'a>);

impl<const ENDS: u8> NullaryFnOnce for Compiled<'_, ENDS> {
    type Output = ();

    #[inline(always)] // So that it is compiled with the level's instructions.
    fn call(self) {
        let Self(mut loops) = self;
        let mut start = loops.ranks.start;
        while start < loops.ranks.end {
            let tile = start..loops.ranks.end.min(start + TILE);
            start = tile.end;
            for index in 0..loops.lists.len() {
                loops.scan_tile::<ENDS>(index, &tile);
            }
        }
    }
}

impl Loops<'_> {
    /// All segments of the task's `index`-th job in a tile.
    #[inline(always)] // As above.
    fn scan_tile<const ENDS: u8>(&mut self, index: usize, tile: &Range<usize>) {
        let place = self.task.places.start + index;
        let job = self.lane(place);
        let (before, own) = self.lists.split_at_mut(index);
        let Some(list) = own.first_mut() else { return };
        let segments = self.snapshot.segments.of(place);
        let first = segments.partition_point(|segment| segment.end as usize <= tile.start);
        for segment in &segments[first..] {
            let range = tile.start.max(segment.start as usize)..tile.end.min(segment.end as usize);
            if range.is_empty() {
                break;
            }
            // Jobs of one class find much the same pools best.
            let best = before.last().map_or(&[][..], Shortlist::keys).iter().map(|key| key.rank() as usize);
            offer_ranks::<ENDS>(&self.pools, range.clone(), best, segment.preferred, &job, list);
            scan::<ENDS>(&self.pools, range, segment.preferred, &job, list);
        }
    }

    fn lane(&self, place: usize) -> JobLane {
        let row = self.snapshot.job(place).row;
        JobLane {
            kv_bytes: row.est_kv_bytes,
            spread_hash: row.spread_hash,
            prompt_tokens: row.prompt_tokens,
            output_tokens: row.output_tokens,
            quantum_shift: self.snapshot.world.policy.quantum_shift().into(),
        }
    }
}
