//! Vector units and threads: pools and jobs in columns, many pairs in a handful of instructions.
//!
//! What a class of jobs asks of pools is asked once per class (`classes`), by the core; what is left of a pair is a few
//! integers in columns (`columns`, `view`) and the arithmetic of `rule::lane` (`scan`). `docs/batch.md` says why this
//! is the oracle's answer.
//!
//! ```
//! use orchestrator_core::{JobSpec, Policy, PoolSnapshot, Shortlist};
//! use orchestrator_host::batch::{Backend, Scalar, Simd, World};
//! use orchestrator_host::fleet::FleetBuilder;
//!
//! let mut builder = FleetBuilder::default();
//! for (line, id) in (1..).zip(["a", "b", "c"]) {
//!     builder.add(line, &PoolSnapshot::new(id, "vllm", 8, 8, 1 << 36, 1 << 36).validate().unwrap()).unwrap();
//! }
//! let (fleet, policy) = (builder.finish().fleet, Policy::default());
//! let job = JobSpec::new("job", "vllm", "some/model").validate(&policy, None).unwrap().resolve(&fleet);
//! let world = World { table: fleet.table(), policy: &policy };
//!
//! let mut lists = [Shortlist::new(2), Shortlist::new(2)];
//! let (simd_list, scalar_list) = lists.split_at_mut(1);
//! Simd::new(1).unwrap().shortlists(&world, &[job.query(None)], simd_list).unwrap();
//! Scalar.shortlists(&world, &[job.query(None)], scalar_list).unwrap();
//! assert_eq!(simd_list, scalar_list);
//! ```
//!
//! Invariants: an answer depends on no number of threads, no vector width and no order of jobs; every view that is read
//! has seen all changes.

mod columns;
mod level;
mod scan;
mod tasks;
mod view;

use std::thread::available_parallelism;

use orchestrator_core::Shortlist;
use orchestrator_core::rows::JobQuery;
use rayon::{ThreadPool, ThreadPoolBuilder};

pub use level::Level;

use self::columns::Columns;
use self::tasks::{Snapshot, Task};
use self::view::HostViews;
use super::backend::{Backend, BackendError, BackendName, World};
use super::classes::Classes;
use super::sorted::SortedJobs;
use super::unavailable::Unavailable;
use super::warm::WarmIndex;

/// Jobs that one thread takes at once: enough to have a tile of columns pay off.
const JOBS_PER_TASK: usize = 32;
/// Fewer pairs are not worth waking a thread for: they take less than 50 µs.
const SHARED_PAIRS_MIN: usize = 1 << 16;
/// A range of fewer pools is not cut in two for threads.
const SHARED_POOLS_MIN: usize = 1 << 15;

/// Columns, vector units and threads.
#[derive(Debug)]
pub struct Simd {
    level: Level,
    /// None with one thread: then nothing but the caller's thread is used.
    threads: Option<ThreadPool>,
    shared_pairs_min: usize,
    shared_pools_min: usize,
    columns: Columns,
    classes: Classes,
    views: HostViews,
    warm: WarmIndex,
    /// Whether anything may have changed since the columns were made.
    stale: bool,
    sorted: SortedJobs,
    /// The work of a round: kept for its memory.
    tasks: Vec<Task>,
}

impl Simd {
    /// More threads than any machine has cores only wait for each other.
    pub const THREADS_MAX: usize = 1024;

    /// The widest vectors of this machine, on so many threads; 0 takes all of them.
    ///
    /// # Errors
    /// When the threads cannot be started, or are more than [`Simd::THREADS_MAX`].
    pub fn new(threads: usize) -> Result<Self, Unavailable> {
        Self::with_level(Level::best(), threads)
    }

    /// Vectors of a certain width.
    ///
    /// # Errors
    /// As [`Simd::new`].
    pub fn with_level(level: Level, threads: usize) -> Result<Self, Unavailable> {
        let threads = if threads == 0 { available_parallelism().map_or(1, usize::from) } else { threads };
        let no_threads = |why: String| Unavailable::NoThreads { backend: BackendName::Simd, threads, why };
        if threads > Self::THREADS_MAX {
            return Err(no_threads(format!("the limit is {}", Self::THREADS_MAX)));
        }
        let pool = (threads > 1).then(|| ThreadPoolBuilder::new().num_threads(threads).build()).transpose();
        Ok(Self {
            level,
            threads: pool.map_err(|error| no_threads(error.to_string()))?,
            shared_pairs_min: SHARED_PAIRS_MIN,
            shared_pools_min: SHARED_POOLS_MIN,
            columns: Columns::default(),
            classes: Classes::default(),
            views: HostViews::default(),
            warm: WarmIndex::default(),
            stale: true,
            sorted: SortedJobs::default(),
            tasks: Vec::new(),
        })
    }

    /// Its threads share any work, however little: slower, and a way to verify on small worlds what large ones do.
    #[must_use]
    pub const fn sharing_everything(mut self) -> Self {
        (self.shared_pairs_min, self.shared_pools_min) = (0, 0);
        self
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    /// The number of classes of jobs seen since the snapshot last changed.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }

    fn catch_up(&mut self, world: &World<'_>) {
        if self.stale || self.columns.len() != world.table.len() {
            self.columns.fill(world);
            self.warm.fill(&world.table);
            self.classes.clear();
            self.stale = false;
        }
    }

    /// Scans for the jobs of as many classes at a time as there is memory for views.
    fn scan(&mut self, world: &World<'_>, jobs: &[JobQuery<'_>]) {
        let SortedJobs { order, lists, segments } = &mut self.sorted;
        let tasks = &mut self.tasks;
        let mut start = 0;
        while start < order.len() {
            let views_max = self.views.limit(self.columns.len());
            let Ok(end) = self.classes.prepare(world, &mut self.views, views_max, order, start);
            Task::cut(&order[start..end], start, JOBS_PER_TASK, tasks);
            let snapshot = Snapshot {
                level: self.level,
                world,
                jobs,
                order,
                segments,
                columns: &self.columns,
                classes: &self.classes,
                shared_pools_min: self.shared_pools_min,
                views: &self.views,
            };
            let round = &mut lists[start..end];
            let is_shared = round.len().saturating_mul(self.columns.len()) >= self.shared_pairs_min;
            match self.threads.as_ref().filter(|_| is_shared) {
                Some(pool) => pool.install(|| snapshot.run_all(tasks, round, pool.current_num_threads())),
                None => snapshot.run_all(tasks, round, 1),
            }
            start = end;
        }
    }
}

impl Backend for Simd {
    fn name(&self) -> BackendName {
        BackendName::Simd
    }

    fn description(&self) -> String {
        let threads = self.threads();
        format!("{}, {threads} thread{}", self.level, if threads == 1 { "" } else { "s" })
    }

    fn snapshot_changed(&mut self) {
        self.stale = true;
    }

    fn pool_changed(&mut self, rank: u32) {
        self.columns.mark(rank);
        self.classes.mark(rank);
    }

    fn shortlists(
        &mut self,
        world: &World<'_>,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        world.check(jobs, lists, self.name())?;
        self.catch_up(world);
        self.columns.refresh(world);
        self.sorted.arrange(world, &mut self.classes, jobs, lists);
        self.scan(world, jobs);
        self.sorted.hand_out(world, &self.warm, self.name(), jobs, lists)
    }
}
