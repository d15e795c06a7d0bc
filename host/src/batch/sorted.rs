//! The jobs of one call in the order of their classes, and their lists: what backends that scan by class share.
//!
//! Invariant: between [`SortedJobs::arrange`] and [`SortedJobs::hand_out`] there is a list and a set of segments for every
//! place of the order.

use orchestrator_core::Shortlist;
use orchestrator_core::rows::JobQuery;

use super::backend::{BackendError, BackendName, World};
use super::classes::Classes;
use super::segments::Segments;
use super::warm::WarmIndex;

/// One call's jobs by class: kept for its memory.
#[derive(Debug, Default)]
pub(super) struct SortedJobs {
    /// Class and index of every job, by class.
    pub(super) order: Vec<(u32, u32)>,
    /// The lists in that order.
    pub(super) lists: Vec<Shortlist>,
    pub(super) segments: Segments,
}

impl SortedJobs {
    /// Puts the jobs in order of their classes and finds out where each looks.
    pub(super) fn arrange(
        &mut self,
        world: &World<'_>,
        classes: &mut Classes,
        jobs: &[JobQuery<'_>],
        lists: &[Shortlist],
    ) {
        let Self { order, lists: sorted, segments } = self;
        classes.sort(world, jobs, order);
        // Lists of former calls stay: an empty one takes as long to move as a full one.
        sorted.resize_with(order.len(), || Shortlist::new(1));
        segments.clear();
        for (&(_, index), own) in order.iter().zip(sorted) {
            own.restart(lists[index as usize].depth());
            segments.add(&jobs[index as usize], world.table.len());
        }
    }

    /// Scores afresh the pools that hold a job's session, and hands the lists out.
    pub(super) fn hand_out(
        &self,
        world: &World<'_>,
        warm: &WarmIndex,
        backend: BackendName,
        jobs: &[JobQuery<'_>],
        lists: &mut [Shortlist],
    ) -> Result<(), BackendError> {
        for (&(_, index), found) in self.order.iter().zip(&self.lists) {
            let list = &mut lists[index as usize];
            list.clone_from(found);
            warm.offer(world, &jobs[index as usize], backend, list)?;
        }
        Ok(())
    }
}
