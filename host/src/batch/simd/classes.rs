//! Classes of jobs, and the views of the fleet that they share.
//!
//! Two jobs are of one class when what the core keeps of their rows for a class (`class_row`), their labels and the
//! verdicts of stages 2 to 4 on every class of pools are equal. A view costs memory for every pool, so only as many are
//! kept as a budget allows; the jobs of a batch are taken class by class.
//!
//! Invariant: a class's view has seen all changes whenever `prepare` has returned with it.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use orchestrator_core::rows::{Hints, JobQuery, JobRow, LabelRow};
use orchestrator_core::rule::feasibility::class_rejection;
use orchestrator_core::{PlacementInput, class_row};

use super::columns::Columns;
use super::view::View;
use crate::batch::backend::World;

/// Memory for views.
const VIEW_BYTES_MAX: usize = 512 << 20;
/// So many views there are at least: one to scan with, one to make.
const VIEWS_MIN: usize = 2;
/// Classes that are remembered from batch to batch.
const CLASSES_MAX: usize = 1 << 14;
/// Changes that are remembered for views; after so many it is cheaper to make a view anew.
const CHANGES_MAX: usize = 1 << 14;

/// What makes jobs ask the same of pools.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    row: JobRow,
    labels: Vec<LabelRow>,
    /// A bit per class of pools: whether it is ruled out.
    verdicts: Vec<u64>,
}

#[derive(Debug)]
struct Class {
    identity: Identity,
    /// One job of the class.
    row: JobRow,
    view: Option<usize>,
}

#[derive(Debug, Default)]
struct Slot {
    view: View,
    class: Option<u32>,
    /// How many changes it has seen.
    seen: usize,
    /// The last round that used it.
    round: u64,
}

/// The classes of jobs that were met since the snapshot changed.
#[derive(Debug)]
pub(super) struct Classes {
    all: Vec<Class>,
    index: HashTable<u32>,
    slots: Vec<Slot>,
    changes: Vec<u32>,
    round: u64,
    hasher: RandomState,
    /// The identity of the job at hand: kept for its memory.
    scratch: Identity,
}

impl Default for Classes {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            index: HashTable::new(),
            slots: Vec::new(),
            changes: Vec::new(),
            round: 0,
            // It spreads classes over buckets and reaches no answer.
            hasher: RandomState::new(),
            scratch: Identity { row: JobRow::UNNAMED, labels: Vec::new(), verdicts: Vec::new() },
        }
    }
}

impl Classes {
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Forgets all classes; the memory of their views stays.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.index.clear();
        self.forget_views();
    }

    /// Notes that a pool changed.
    pub(super) fn mark(&mut self, rank: u32) {
        self.changes.push(rank);
    }

    pub(super) fn begin_batch(&mut self) {
        if self.all.len() > CLASSES_MAX {
            self.clear();
        }
        if self.changes.len() > CHANGES_MAX {
            self.forget_views();
        }
    }

    fn forget_views(&mut self) {
        self.changes.clear();
        for class in &mut self.all {
            class.view = None;
        }
        for slot in &mut self.slots {
            (slot.class, slot.seen) = (None, 0);
        }
    }

    /// The class of a job. O(classes of pools).
    pub(super) fn of(&mut self, world: &World<'_>, job: &JobQuery<'_>) -> u32 {
        let identity = &mut self.scratch;
        identity.row = class_row(job.row);
        identity.labels.clear();
        identity.labels.extend_from_slice(job.hints.labels);
        identity.verdicts.clear();
        for classes in world.table.classes.chunks(64) {
            let verdicts = classes
                .iter()
                .rev()
                .fold(0, |bits, class| bits << 1 | u64::from(class_rejection(&world.table, class, job.row).is_some()));
            identity.verdicts.push(verdicts);
        }
        let hash = self.hasher.hash_one(&*identity);
        let known = self.index.find(hash, |&class| self.all[class as usize].identity == *identity);
        known.copied().unwrap_or_else(|| self.add(hash, *job.row))
    }

    fn add(&mut self, hash: u64, row: JobRow) -> u32 {
        // A batch has at most 2^32 jobs.
        let class = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(Class { identity: self.scratch.clone(), row, view: None });
        let (all, hasher) = (&self.all, &self.hasher);
        self.index.insert_unique(hash, class, |&class| hasher.hash_one(&all[class as usize].identity));
        class
    }

    /// The view of a class that was prepared.
    pub(super) fn view(&self, class: u32) -> Option<&View> {
        let slot = self.all.get(class as usize)?.view?;
        Some(&self.slots[slot].view)
    }

    /// Makes or refreshes the views of the classes in `order[start..]`, as many as there is memory for, and returns the
    /// place of the first job that has to wait for the next round.
    pub(super) fn prepare(
        &mut self,
        world: &World<'_>,
        columns: &Columns,
        order: &[(u32, u32)],
        start: usize,
    ) -> usize {
        self.round += 1;
        let views_max = (VIEW_BYTES_MAX / (View::BYTES_PER_POOL * columns.len().max(1))).max(VIEWS_MIN);
        let mut prepared = 0;
        let mut place = start;
        while let Some(&(class, _)) = order.get(place) {
            if prepared == views_max {
                break;
            }
            self.prepare_view(world, class, views_max);
            prepared += 1;
            place += order[place..].partition_point(|&(other, _)| other == class);
        }
        place
    }

    fn prepare_view(&mut self, world: &World<'_>, class: u32, views_max: usize) {
        let at = self.all[class as usize].view;
        let at = at.unwrap_or_else(|| self.take_slot(class, views_max));
        let Class { identity, row, .. } = &self.all[class as usize];
        let hints = Hints { labels: &identity.labels, ..Hints::default() };
        let query = JobQuery { row, hints, session: None };
        let input = PlacementInput::new(world.table, query, world.policy).expect("the table was checked");
        let slot = &mut self.slots[at];
        slot.round = self.round;
        if slot.class == Some(class) {
            slot.view.refresh(&input, &self.changes[slot.seen..]);
        } else {
            slot.view.fill(&input);
            slot.class = Some(class);
        }
        slot.seen = self.changes.len();
    }

    /// A slot for a class: a new one, or that of the view which was not used for longest.
    fn take_slot(&mut self, class: u32, views_max: usize) -> usize {
        let at = if self.slots.len() < views_max {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        } else {
            let oldest = self.slots.iter().enumerate().min_by_key(|(_, slot)| slot.round);
            oldest.map_or(0, |(at, _)| at)
        };
        if let Some(former) = self.slots[at].class.take() {
            self.all[former as usize].view = None;
        }
        self.all[class as usize].view = Some(at);
        at
    }
}
