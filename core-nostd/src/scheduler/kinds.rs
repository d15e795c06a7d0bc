//! How many jobs wait of each kind, so that a pass can end where no pool can take any of them.
//!
//! Jobs of one kind ask the same of a pool but for their tokens and their KV cache. Where no pool can take the least that a kind
//! can ask for, none takes any of the kind: a queue of one model, all of whose pools are full, need not be walked job by job
//! for each slot that another model leaves free. QUEUE-13.
//!
//! Invariant: of a kind at most as many are counted as wait, so that a count of all that wait leaves nobody out. Jobs of
//! kinds for which there is no row, and of those that are not known, are not counted.

use heapless::Vec;

use super::refusals::Wants;
use crate::values::kept::{Kept32, Kept64};

/// Kinds that are counted at the same time: as many as refusals are remembered.
const KINDS_MAX: usize = 12;
/// From this many for each kind on it pays to ask for the least of a kind: a question costs as much as a look at a hundred
/// jobs.
const CROWD_MIN: u32 = 128;

/// Free while it counts nobody.
#[derive(Debug, Clone, Copy)]
struct Row {
    kind: Kept64,
    jobs: Kept32,
    /// Whether no pool takes even the least of the kind.
    is_refused: bool,
}

impl Row {
    const fn new(kind: u64, jobs: u32) -> Self {
        Self { kind: Kept64::new(kind), jobs: Kept32::new(jobs), is_refused: false }
    }

    const fn counts(&self, kind: u64) -> bool {
        self.kind.get() == kind && self.jobs.get() > 0
    }
}

/// Waiting jobs by kind.
#[derive(Debug, Default)]
pub(super) struct WaitingKinds(Vec<Row, KINDS_MAX>);

impl WaitingKinds {
    /// A job waits.
    pub(super) fn came(&mut self, kind: u64) {
        if let Some(row) = self.row(kind) {
            row.jobs = Kept32::new(row.jobs.get().saturating_add(1));
        } else if kind != Wants::UNKNOWN.kind() {
            match self.0.iter_mut().find(|row| row.jobs.get() == 0) {
                Some(free) => *free = Row::new(kind, 1),
                // Without room it is not counted.
                None => drop(self.0.push(Row::new(kind, 1))),
            }
        }
    }

    /// A job waits no longer. One that was not counted is taken for one that was: a count may be too low.
    pub(super) fn left(&mut self, kind: u64) {
        if let Some(row) = self.row(kind) {
            row.jobs = Kept32::new(row.jobs.get().saturating_sub(1));
        }
    }

    /// Whether all that wait are counted, and so many for each kind that it pays to ask for the least of each. O(kinds).
    pub(super) fn is_crowd(&self, waiting_jobs: u32) -> bool {
        let (mut kinds, mut counted) = (0u32, 0u32);
        for row in self.0.iter().filter(|row| row.jobs.get() > 0) {
            kinds = kinds.saturating_add(1);
            counted = counted.saturating_add(row.jobs.get());
        }
        counted == waiting_jobs && counted >= kinds.saturating_mul(CROWD_MIN)
    }

    /// No pool takes even the least of a kind.
    pub(super) fn refuse(&mut self, kind: u64) {
        if let Some(row) = self.row(kind) {
            row.is_refused = true;
        }
    }

    /// Whether no pool takes even the least of a kind. O(kinds).
    pub(super) fn is_refused(&self, kind: u64) -> bool {
        self.0.iter().any(|row| row.is_refused && row.counts(kind))
    }

    /// Something changed that could help.
    pub(super) fn forget_refusals(&mut self) {
        self.0.iter_mut().for_each(|row| row.is_refused = false);
    }

    /// How many jobs are counted of kinds that are refused. O(kinds).
    pub(super) fn refused_jobs(&self) -> u32 {
        let refused = self.0.iter().filter(|row| row.is_refused);
        refused.fold(0, |jobs, row| jobs.saturating_add(row.jobs.get()))
    }

    #[inline(never)] // Four come here, and each would have a loop of its own.
    fn row(&mut self, kind: u64) -> Option<&mut Row> {
        self.0.iter_mut().find(|row| row.counts(kind))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// QUEUE-13: whatever comes and leaves, no more are counted than wait; all of them, where all kinds have a row.
        #[test]
        fn no_more_are_counted_than_wait(
            kinds in 1u64..20,
            steps in proptest::collection::vec((any::<bool>(), 0u64..20), 0..400),
        ) {
            let (mut counted, mut waiting) = (WaitingKinds::default(), BTreeMap::<u64, u32>::new());
            for (comes, kind) in steps {
                let kind = kind % kinds;
                let jobs = waiting.entry(kind).or_default();
                if comes {
                    *jobs += 1;
                    counted.came(kind);
                } else if *jobs > 0 {
                    *jobs -= 1;
                    counted.left(kind);
                }
                for row in counted.0.iter().filter(|row| row.jobs.get() > 0) {
                    prop_assert!(row.jobs.get() <= waiting[&row.kind.get()], "kind {}", row.kind.get());
                }
                // Kind 0 is the unknown one.
                if kinds <= 13 {
                    waiting.keys().for_each(|&kind| counted.refuse(kind));
                    let known: u32 = waiting.iter().filter(|(kind, _)| **kind > 0).map(|(_, jobs)| jobs).sum();
                    prop_assert_eq!(counted.refused_jobs(), known);
                    let is_known = |(&kind, &jobs): (&u64, &u32)| counted.is_refused(kind) == (kind > 0 && jobs > 0);
                    prop_assert!(waiting.iter().all(is_known));
                    counted.forget_refusals();
                    prop_assert_eq!(counted.refused_jobs(), 0);
                }
            }
        }
    }
}
