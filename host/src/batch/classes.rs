//! Classes of jobs, and the views of the fleet that they share: which class a view is for, and whether it is fresh.
//!
//! Two jobs are of one class when what the core keeps of their rows for a class (`class_row`), their labels and the
//! verdicts of stages 2 to 4 on every class of pools are equal. A view costs memory for every pool, so only as many are
//! kept as a budget allows; the jobs of a batch are taken class by class. What a view is made of and where it lies is the
//! backend's ([`Views`]): columns of the host, records of a device.
//!
//! Invariant: a class's view has seen all changes whenever `prepare` has returned with it.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use orchestrator_core::rows::{Hints, JobQuery, JobRow, LabelRow};
use orchestrator_core::rule::feasibility::class_rejection;
use orchestrator_core::{PlacementInput, class_row};

use super::backend::World;
use super::kinds::{JobSize, Kinds};

/// Classes, and kinds of jobs, that are remembered from batch to batch.
const CLASSES_MAX: usize = 1 << 14;
/// Changes that are remembered for views; after so many it is cheaper to make a view anew.
const CHANGES_MAX: usize = 1 << 14;

/// Views of the fleet by their numbers, from 0 upwards.
pub(super) trait Views {
    /// Why a view cannot be made.
    type Error;

    /// Makes view `at` anew for the class of the input's job. O(pools).
    fn fill(&mut self, at: usize, input: &PlacementInput<'_>) -> Result<(), Self::Error>;

    /// Brings some pools of view `at` up to date. O(1) for each.
    fn refresh(&mut self, at: usize, input: &PlacementInput<'_>, ranks: &[u32]) -> Result<(), Self::Error>;
}

/// What makes jobs ask the same of pools.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    row: JobRow,
    labels: Vec<LabelRow>,
    /// A bit per class of pools: whether it is ruled out.
    verdicts: Vec<u64>,
}

impl Identity {
    /// Asks all classes of pools. O(classes of pools).
    fn ask(&mut self, world: &World<'_>, job: &JobRow) {
        let is_closed = |class| u64::from(class_rejection(&world.table, class, job).is_some());
        let words = world.table.classes.chunks(64);
        self.verdicts.clear();
        self.verdicts
            .extend(words.map(|classes| classes.iter().rev().fold(0, |bits, class| bits << 1 | is_closed(class))));
    }
}

#[derive(Debug)]
struct Class {
    identity: Identity,
    /// One job of the class.
    row: JobRow,
    view: Option<usize>,
}

/// What is known of one view.
#[derive(Debug, Default)]
struct Slot {
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
    kinds: Kinds,
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
            kinds: Kinds::default(),
        }
    }
}

impl Classes {
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Forgets all classes.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.index.clear();
        self.kinds.clear();
        self.forget_views();
    }

    /// Notes that a pool changed.
    pub(super) fn mark(&mut self, rank: u32) {
        if self.changes.len() > CHANGES_MAX {
            self.forget_views();
        }
        self.changes.push(rank);
    }

    /// Begins a batch: the class and index of every job, by class. O(jobs · log), and O(classes of pools) for each new
    /// size of job.
    pub(super) fn sort(&mut self, world: &World<'_>, jobs: &[JobQuery<'_>], order: &mut Vec<(u32, u32)>) {
        self.begin_batch();
        order.clear();
        order.extend((0u32..).zip(jobs).map(|(index, job)| (self.of(world, job), index)));
        order.sort_unstable();
    }

    fn begin_batch(&mut self) {
        if self.all.len().max(self.kinds.len()) > CLASSES_MAX {
            self.clear();
        }
    }

    /// Has every view made anew before it is used again.
    pub(super) fn forget_views(&mut self) {
        self.changes.clear();
        for class in &mut self.all {
            class.view = None;
        }
        for slot in &mut self.slots {
            (slot.class, slot.seen) = (None, 0);
        }
    }

    /// The class of a job. O(1) for most, O(classes of pools) where its size is a new one.
    fn of(&mut self, world: &World<'_>, job: &JobQuery<'_>) -> u32 {
        let (kind, size) = (self.kinds.of(job), JobSize::of(job.row));
        self.kinds.class(kind, size).unwrap_or_else(|| {
            let class = self.find_or_add(world, job);
            let Self { all, kinds, scratch, .. } = self;
            kinds.learn(kind, size, class, |size| {
                scratch.ask(world, &size.put_into(job.row));
                scratch.verdicts == all[class as usize].identity.verdicts
            });
            class
        })
    }

    fn find_or_add(&mut self, world: &World<'_>, job: &JobQuery<'_>) -> u32 {
        let identity = &mut self.scratch;
        identity.row = class_row(job.row);
        identity.labels.clear();
        identity.labels.extend_from_slice(job.hints.labels);
        identity.ask(world, job.row);
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

    /// The number of the view of a class that was prepared.
    pub(super) fn view(&self, class: u32) -> Option<usize> {
        self.all.get(class as usize)?.view
    }

    /// Makes or refreshes the views of the classes in `order[start..]`, `views_max` of them at most, and returns the
    /// place of the first job that has to wait for the next round.
    pub(super) fn prepare<V: Views>(
        &mut self,
        world: &World<'_>,
        views: &mut V,
        views_max: usize,
        order: &[(u32, u32)],
        start: usize,
    ) -> Result<usize, V::Error> {
        self.round += 1;
        self.drop_slots(views_max);
        let mut prepared = 0;
        let mut place = start;
        while let Some(&(class, _)) = order.get(place) {
            if prepared == views_max {
                break;
            }
            self.prepare_view(world, views, class, views_max)?;
            prepared += 1;
            place += order[place..].partition_point(|&(other, _)| other == class);
        }
        Ok(place)
    }

    /// Gives slots up that there is no memory for any more: a fleet that grew has fewer views.
    fn drop_slots(&mut self, views_max: usize) {
        for slot in self.slots.drain(views_max.min(self.slots.len())..) {
            if let Some(class) = slot.class {
                self.all[class as usize].view = None;
            }
        }
    }

    fn prepare_view<V: Views>(
        &mut self,
        world: &World<'_>,
        views: &mut V,
        class: u32,
        views_max: usize,
    ) -> Result<(), V::Error> {
        let at = self.all[class as usize].view;
        let at = at.unwrap_or_else(|| self.take_slot(class, views_max));
        let Class { identity, row, .. } = &self.all[class as usize];
        let hints = Hints { labels: &identity.labels, ..Hints::default() };
        let query = JobQuery { row, hints, session: None };
        let input = PlacementInput::new(world.table, query, world.policy).expect("the table was checked");
        let slot = &mut self.slots[at];
        let made = if slot.class == Some(class) {
            views.refresh(at, &input, &self.changes[slot.seen..])
        } else {
            views.fill(at, &input)
        };
        (slot.round, slot.seen) = (self.round, self.changes.len());
        slot.class = made.is_ok().then_some(class);
        self.all[class as usize].view = made.is_ok().then_some(at);
        made
    }

    /// A slot for a class: a free one, a new one, or that of the view which was not used for longest. O(slots).
    fn take_slot(&mut self, class: u32, views_max: usize) -> usize {
        let by_use = |(_, slot): &(usize, &Slot)| (slot.class.is_some(), slot.round);
        let at = match self.slots.iter().enumerate().min_by_key(by_use) {
            Some((at, slot)) if slot.class.is_none() || self.slots.len() >= views_max => at,
            _ => {
                self.slots.push(Slot::default());
                self.slots.len() - 1
            }
        };
        if let Some(former) = self.slots[at].class.take() {
            self.all[former as usize].view = None;
        }
        self.all[class as usize].view = Some(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use orchestrator_core::{DeviceSnapshot, JobSpec, Policy, PoolSnapshot, ResolvedJob};

    use super::*;
    use crate::fleet::{Fleet, FleetBuilder};
    use crate::random::Random;

    /// Notes which views are made anew and which are refreshed.
    #[derive(Default)]
    struct Noted {
        filled: Vec<usize>,
        refreshed: Vec<usize>,
    }

    impl Views for Noted {
        type Error = Infallible;

        fn fill(&mut self, at: usize, _input: &PlacementInput<'_>) -> Result<(), Infallible> {
            self.filled.push(at);
            Ok(())
        }

        fn refresh(&mut self, at: usize, _input: &PlacementInput<'_>, _ranks: &[u32]) -> Result<(), Infallible> {
            self.refreshed.push(at);
            Ok(())
        }
    }

    fn fleet() -> Fleet {
        let mut builder = FleetBuilder::default();
        builder.add(1, &PoolSnapshot::new("pool", "vllm", 8, 8, 1 << 36, 1 << 36).validate().unwrap()).unwrap();
        builder.finish().fleet
    }

    /// A job of a class of its own: its weights are.
    fn job(number: i64, fleet: &Fleet) -> ResolvedJob {
        let mut spec = JobSpec::new("job", "vllm", "some/model");
        spec.requirements.min_vram_bytes = number;
        spec.validate(&Policy::default(), None).unwrap().resolve(fleet)
    }

    /// Prepares all jobs, in rounds of at most `views_max` classes.
    fn prepare(classes: &mut Classes, fleet: &Fleet, jobs: &[ResolvedJob], views_max: usize) -> Noted {
        let (policy, mut order, mut start) = (Policy::default(), Vec::new(), 0);
        let world = World { table: fleet.table(), policy: &policy };
        let queries: Vec<_> = jobs.iter().map(|job| job.query(None)).collect();
        classes.sort(&world, &queries, &mut order);
        let mut noted = Noted::default();
        while start < order.len() {
            let Ok(end) = classes.prepare(&world, &mut noted, views_max, &order, start);
            for &(class, _) in &order[start..end] {
                assert!(classes.view(class).is_some_and(|view| view < views_max), "prepared, and within the limit");
            }
            start = end;
        }
        noted
    }

    /// Pools of nine classes: three limits of context, three totals of VRAM.
    fn fleet_of_nine_classes() -> Fleet {
        let mut builder = FleetBuilder::default();
        for (line, ctx_max) in [1000, 2000, 3000].into_iter().enumerate() {
            for total in [1000, 2000, 4000] {
                let id = format!("{ctx_max}-{total}");
                let mut pool = PoolSnapshot::new(&id, "vllm", 8, 8, total, total);
                let devices = [1, 3].map(|part| DeviceSnapshot {
                    vram_total_bytes: total / 4 * part,
                    vram_free_bytes: total / 4 * part,
                    compute_capability: None,
                });
                pool.devices = &devices;
                pool.supports.ctx_max = Some(ctx_max);
                builder.add(line as u64 + 1, &pool.validate().unwrap()).unwrap();
            }
        }
        builder.finish().fleet
    }

    /// However many sizes were met before, and in whatever order: jobs are of one class if their rows for a class and the
    /// verdicts on all pools are equal, each asked for anew.
    #[test]
    fn what_is_known_of_other_sizes_changes_no_class() {
        let (fleet, policy, mut random) = (fleet_of_nine_classes(), Policy::default(), Random::of(1, 0));
        let world = World { table: fleet.table(), policy: &policy };
        for _ in 0..50 {
            let jobs: Vec<_> = (0..200)
                .map(|_| {
                    let mut spec = JobSpec::new("job", "vllm", "some/model");
                    spec.required_ctx = (random.below(3) > 0).then(|| random.below(3500).cast_signed());
                    spec.prompt_tokens = random.below(3500).cast_signed();
                    spec.est_kv_bytes = Some(random.below(5000).cast_signed());
                    spec.requirements.min_vram_bytes = random.below(2).cast_signed() * 1000;
                    spec.requirements.split_degree = (random.below(4) == 0).then_some(2);
                    spec.validate(&policy, None).unwrap().resolve(&fleet)
                })
                .collect();
            let mut classes = Classes::default();
            let found: Vec<_> = jobs.iter().map(|job| classes.of(&world, &job.query(None))).collect();
            let anew: Vec<_> = jobs
                .iter()
                .map(|job| {
                    let query = job.query(None);
                    let verdict = |class| class_rejection(&world.table, class, query.row).is_some();
                    (class_row(query.row), world.table.classes.iter().map(verdict).collect::<Vec<_>>())
                })
                .collect();
            for (one, other) in (0..jobs.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
                assert_eq!(found[one] == found[other], anew[one] == anew[other], "{:?}", (&jobs[one], &jobs[other]));
            }
            assert!(classes.kinds.len() < jobs.len(), "most jobs are of few kinds");
        }
    }

    #[test]
    fn views_stay_and_are_refreshed() {
        let (fleet, mut classes) = (fleet(), Classes::default());
        let jobs: Vec<_> = (0..3).map(|number| job(number, &fleet)).collect();
        assert_eq!(prepare(&mut classes, &fleet, &jobs, 4).filled, [0, 1, 2]);
        let again = prepare(&mut classes, &fleet, &jobs, 4);
        assert_eq!((again.filled, again.refreshed), (vec![], vec![0, 1, 2]));
    }

    #[test]
    fn what_was_forgotten_gives_its_place_to_others() {
        let (fleet, mut classes) = (fleet(), Classes::default());
        let jobs: Vec<_> = (0..3).map(|number| job(number, &fleet)).collect();
        prepare(&mut classes, &fleet, &jobs, 8);
        classes.clear();
        let mut filled = prepare(&mut classes, &fleet, &jobs, 8).filled;
        filled.sort_unstable();
        assert_eq!(filled, [0, 1, 2]);
    }

    #[test]
    fn fewer_views_than_before_are_within_the_new_limit() {
        let (fleet, mut classes) = (fleet(), Classes::default());
        let jobs: Vec<_> = (0..9).map(|number| job(number, &fleet)).collect();
        assert_eq!(prepare(&mut classes, &fleet, &jobs, 8).filled.len(), 9);
        let fewer = prepare(&mut classes, &fleet, &jobs, 2);
        assert!(fewer.filled.iter().chain(&fewer.refreshed).all(|&view| view < 2));
    }
}
