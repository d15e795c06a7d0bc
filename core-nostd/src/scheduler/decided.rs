//! What was decided for a newcomer, until the pass that follows asks for it.
//!
//! A submitted job is asked for when it comes, because the answer says whether it may wait; then the pass asks for it
//! again, mostly at once. Nothing has changed until then, so the first decision is kept and made use of.
//!
//! Invariant: what is kept is what a decision for this job would say now. Whatever such a decision reads is changed by
//! three things only, and each [forgets](DecidedAhead::forget) it: a commit, the end of a lease and all else that begins
//! an epoch, and the next input. Builds with debug assertions work out anew what they make use of.

use crate::placement::Assignment;
use crate::storage::Ticket;

/// Where the job goes that came with the last input, while that holds.
#[derive(Debug, Default)]
pub(super) struct DecidedAhead(Option<(Ticket, Assignment)>);

impl DecidedAhead {
    /// A pool can take this waiting job now.
    pub(super) const fn remember(&mut self, job: Ticket, assignment: Assignment) {
        self.0 = Some((job, assignment));
    }

    /// What was decided for this job, if that is known.
    pub(super) fn of(&self, job: Ticket) -> Option<&Assignment> {
        self.0.as_ref().filter(|(decided_for, _)| *decided_for == job).map(|(_, assignment)| assignment)
    }

    /// Something changed that a decision reads.
    pub(super) const fn forget(&mut self) {
        self.0 = None;
    }
}
