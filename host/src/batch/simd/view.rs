//! What every pool is to the jobs of one class, a column per fact.
//!
//! Invariant: `base_max` is not below any known end without tokens; a pool that lost a late one may leave it above.

use std::convert::Infallible;

use orchestrator_core::limits::TIME_MAX_US;
use orchestrator_core::rule::lane::ClassLane;
use orchestrator_core::{ClassScorer, PlacementInput};

use crate::batch::classes::Views;

/// Memory for views.
const VIEW_BYTES_MAX: usize = 512 << 20;
/// So many views there are at least: one to scan with, one to make.
const VIEWS_MIN: usize = 2;
/// And at most: the one to give up is searched for among all.
const VIEWS_MAX: usize = 1024;

/// The views of all classes, as far as there is memory.
#[derive(Debug, Default)]
pub(super) struct HostViews(Vec<View>);

impl HostViews {
    /// How many views of so many pools there may be. Gives up those above, which a smaller fleet left.
    pub(super) fn limit(&mut self, pools: usize) -> usize {
        let views_max = (VIEW_BYTES_MAX / (View::BYTES_PER_POOL * pools.max(1))).clamp(VIEWS_MIN, VIEWS_MAX);
        self.0.truncate(views_max);
        views_max
    }

    pub(super) fn get(&self, at: usize) -> Option<&View> {
        self.0.get(at)
    }
}

impl Views for HostViews {
    type Error = Infallible;

    fn fill(&mut self, at: usize, input: &PlacementInput<'_>) -> Result<(), Infallible> {
        if self.0.len() <= at {
            self.0.resize_with(at + 1, View::default);
        }
        self.0[at].fill(input);
        Ok(())
    }

    fn refresh(&mut self, at: usize, input: &PlacementInput<'_>, ranks: &[u32]) -> Result<(), Infallible> {
        self.0[at].refresh(input, ranks);
        Ok(())
    }
}

/// Columns of equal length, by rank.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) base: Vec<u64>,
    pub(super) room_bytes: Vec<u64>,
    /// Empty where no split makes it differ from the room.
    spare_bytes: Vec<u64>,
    /// Empty where no job waits in a pool.
    start_us: Vec<u64>,
    pub(super) base_max: u64,
}

impl View {
    /// Bytes for each pool, at most.
    const BYTES_PER_POOL: usize = 4 * size_of::<u64>();

    /// Makes all columns anew for the class of the input's job. O(pools).
    fn fill(&mut self, input: &PlacementInput<'_>) {
        let (len, job) = (input.pools().len(), input.job_row());
        self.base.resize(len, 0);
        self.room_bytes.resize(len, 0);
        self.spare_bytes.resize(if job.split_degree > 0 { len } else { 0 }, 0);
        self.start_us.resize(if job.pool_backlog > 0 { len } else { 0 }, 0);
        self.base_max = 0;
        let class = ClassScorer::new(input);
        for index in 0..len {
            // A fleet has at most 2^30 pools.
            #[allow(clippy::cast_possible_truncation, reason = "see above")]
            self.set(index, &class.lane(index as u32));
        }
    }

    /// Brings some pools up to date. O(1) for each.
    fn refresh(&mut self, input: &PlacementInput<'_>, ranks: &[u32]) {
        let class = ClassScorer::new(input);
        let len = self.base.len();
        for &rank in ranks.iter().filter(|&&rank| (rank as usize) < len) {
            self.set(rank as usize, &class.lane(rank));
        }
    }

    fn set(&mut self, index: usize, lane: &ClassLane) {
        self.base[index] = lane.base;
        self.room_bytes[index] = lane.room_bytes;
        if let Some(spare_bytes) = self.spare_bytes.get_mut(index) {
            *spare_bytes = lane.spare_bytes;
        }
        if let Some(start_us) = self.start_us.get_mut(index) {
            *start_us = lane.start_us;
        }
        if lane.base <= TIME_MAX_US {
            self.base_max = self.base_max.max(lane.base);
        }
    }

    /// Free VRAM beyond the weights that have to be loaded, plus 1.
    pub(super) fn spare_bytes(&self) -> &[u64] {
        if self.spare_bytes.is_empty() { &self.room_bytes } else { &self.spare_bytes }
    }

    /// Admission and load; of no meaning where no job waits in a pool.
    pub(super) fn start_us(&self) -> &[u64] {
        if self.start_us.is_empty() { &self.base } else { &self.start_us }
    }
}
