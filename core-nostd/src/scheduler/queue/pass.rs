//! A walk through the queue in service order that takes nothing out by itself: jobs that no pool can take are passed
//! over and keep their places, jobs behind them may be served.
//!
//! The walk goes through the jobs exactly as if each that it comes to were served, so that serving all of them is the
//! same as popping all of them. QUEUE-13.
//!
//! Invariants: `asked` links the jobs that the pass came to, that still wait and that jobs behind them overtake, in that
//! order; `used_up` counts those among them that may not be overtaken (again). Outside a pass it is empty.

use super::class::ByClass;
use super::order::{Order, older};
use super::tree;
use super::turns::Turns;
use super::waiting::{Asked, ByDeadline, InClass, Jobs};
use crate::input::Priority;
use crate::scheduler::policy::Discipline;
use crate::storage::list::{self, List, NONE};

/// A pass goes past this many jobs without a question for each that it may ask: to look at a job costs about a hundredth of
/// what it costs to ask for it.
const KNOWN_PER_ASKED: u32 = 64;

/// One pass, or none.
#[derive(Debug)]
pub(super) struct Pass {
    is_open: bool,
    /// The latest arrival that goes first for its age.
    pub(super) aged_us: Option<u64>,
    turns: Turns,
    /// The next by arrival: all aged ones first, and all others where that is their order.
    arrivals: ByClass<u32>,
    /// The next by deadline.
    deadlines: ByClass<u32>,
    asked: List<Asked>,
    asked_jobs: u32,
    known_jobs: u32,
    used_up: u32,
    overtakes_max: u32,
}

impl Pass {
    pub(super) fn none() -> Self {
        Self {
            is_open: false,
            aged_us: None,
            turns: Turns::new(None),
            arrivals: ByClass { interactive: NONE, batch: NONE },
            deadlines: ByClass { interactive: NONE, batch: NONE },
            asked: List::EMPTY,
            asked_jobs: 0,
            known_jobs: 0,
            used_up: 0,
            overtakes_max: 0,
        }
    }

    /// Begins at the first job; the pass before has ended.
    pub(super) fn begin(&mut self, order: &mut Order<'_>, aged_us: Option<u64>, overtakes_max: u32) {
        order.tenants.begin_walk();
        let classes = &order.deadlines;
        *self = Self {
            is_open: true,
            aged_us,
            turns: order.turns,
            arrivals: ByClass { interactive: order.arrivals.interactive.first, batch: order.arrivals.batch.first },
            deadlines: ByClass { interactive: classes.interactive.first(), batch: classes.batch.first() },
            overtakes_max,
            ..Self::none()
        };
    }

    /// Ends the pass, if there is one.
    pub(super) fn end<T>(&mut self, jobs: &mut Jobs<'_, T>, order: &mut Order<'_>) {
        if !self.is_open {
            return;
        }
        self.is_open = false;
        order.tenants.end_walk(jobs);
        let mut at = self.asked.first;
        while let Some(job) = jobs.in_slot_mut(at) {
            job.is_asked = false;
            at = job.asked.next();
        }
        self.asked = List::EMPTY;
    }

    /// Goes on to the next job, unless the pass has to stop.
    pub(super) fn advance<T>(&mut self, jobs: &mut Jobs<'_, T>, order: &mut Order<'_>, scan_limit: u32) -> Option<u32> {
        // Every job that was asked and still waits is one that was passed over.
        let is_tired = self.asked_jobs >= scan_limit || self.known_jobs >= scan_limit.saturating_mul(KNOWN_PER_ASKED);
        if !self.is_open || is_tired || self.used_up > 0 {
            return None;
        }
        let at = match self.next_aged(jobs) {
            Some(at) => at,
            None => self.next_in_turn(jobs, order)?,
        };
        let job = jobs.in_slot_mut(at)?;
        job.is_asked = true;
        self.used_up = u32::from(job.overtaken() >= self.overtakes_max);
        self.asked.push_back(jobs, at);
        self.asked_jobs = self.asked_jobs.saturating_add(1);
        self.walk_past(jobs, order, at);
        Some(at)
    }

    /// A job that was asked is served: each that was asked before it and still waits is overtaken.
    pub(super) fn serve<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32) {
        let mut passed = list::previous::<_, Asked>(jobs, at);
        while let Some(job) = jobs.in_slot_mut(passed) {
            job.overtake();
            self.used_up = self.used_up.saturating_add(u32::from(job.overtaken() == self.overtakes_max));
            passed = job.asked.previous();
        }
        let Some(job) = jobs.in_slot(at) else { return };
        self.used_up = self.used_up.saturating_sub(u32::from(job.overtaken() >= self.overtakes_max));
        // A cursor skips aged jobs late: it may stand on one that was asked long before.
        self.leave_behind(jobs, job.class, at);
        self.unlink(jobs, at);
        self.asked_jobs = self.asked_jobs.saturating_sub(1);
    }

    /// A job that the pass came to is not overtaken by those behind it, nor does it count where it was not asked for.
    pub(super) fn put_aside<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32, was_asked: bool) {
        let Some(job) = jobs.in_slot(at).filter(|job| job.is_asked) else { return };
        self.used_up = self.used_up.saturating_sub(u32::from(job.overtaken() >= self.overtakes_max));
        self.unlink(jobs, at);
        if !was_asked {
            self.asked_jobs = self.asked_jobs.saturating_sub(1);
            self.known_jobs = self.known_jobs.saturating_add(1);
        }
    }

    fn unlink<T>(&mut self, jobs: &mut Jobs<'_, T>, at: u32) {
        self.asked.unlink(jobs, at);
        if let Some(job) = jobs.in_slot_mut(at) {
            job.is_asked = false;
        }
    }

    /// The oldest aged job that was not asked. QUEUE-11.
    fn next_aged<T>(&self, jobs: &Jobs<'_, T>) -> Option<u32> {
        let oldest = older(jobs, self.arrivals.interactive, self.arrivals.batch)?;
        jobs.in_slot(oldest)?.is_aged(self.aged_us).then_some(oldest)
    }

    fn next_in_turn<T>(&mut self, jobs: &Jobs<'_, T>, order: &Order<'_>) -> Option<u32> {
        let interactive = self.next_of(jobs, order, Priority::Interactive);
        let batch = self.next_of(jobs, order, Priority::Batch);
        match self.turns.next(interactive != NONE, batch != NONE)? {
            Priority::Interactive => Some(interactive),
            Priority::Batch => Some(batch),
        }
    }

    fn next_of<T>(&mut self, jobs: &Jobs<'_, T>, order: &Order<'_>, class: Priority) -> u32 {
        match order.discipline() {
            Discipline::Fifo => *self.arrivals.get(class),
            Discipline::FairTenants => order.tenants.next(class),
            Discipline::EarliestDeadline => {
                let cursor = self.deadlines.get_mut(class);
                // Aged jobs were asked before.
                while jobs.in_slot(*cursor).is_some_and(|job| job.is_aged(self.aged_us)) {
                    *cursor = tree::next::<_, ByDeadline>(jobs, *cursor);
                }
                *cursor
            }
        }
    }

    /// Moves on behind a job, as if it had been served.
    fn walk_past<T>(&mut self, jobs: &Jobs<'_, T>, order: &mut Order<'_>, at: u32) {
        let Some(job) = jobs.in_slot(at) else { return };
        let (class, is_aged) = (job.class, job.is_aged(self.aged_us));
        self.leave_behind(jobs, class, at);
        if order.discipline() == Discipline::FairTenants {
            order.tenants.walk_past(jobs, at, !is_aged);
        }
        if !is_aged {
            self.turns.take(class);
        }
    }

    /// No cursor may stay on a job that may be gone the next time.
    fn leave_behind<T>(&mut self, jobs: &Jobs<'_, T>, class: Priority, at: u32) {
        let arrival = self.arrivals.get_mut(class);
        if *arrival == at {
            *arrival = list::next::<_, InClass>(jobs, at);
        }
        let deadline = self.deadlines.get_mut(class);
        if *deadline == at {
            *deadline = tree::next::<_, ByDeadline>(jobs, at);
        }
    }
}
