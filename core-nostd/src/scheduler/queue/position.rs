//! How many jobs are served before this one if nothing else arrives: counted, not simulated. FORECAST-1.

use super::class::other;
use super::order::Order;
use super::tree;
use super::waiting::{ByDeadline, InClass, Jobs, QueuePosition, Waiting};
use crate::input::Priority;
use crate::scheduler::policy::Discipline;
use crate::storage::list::{self, NONE};

/// The place of the job in a slot; `waiting` says how many jobs of a class wait.
pub(super) fn position<T>(
    jobs: &Jobs<'_, T>,
    order: &Order<'_>,
    waiting: impl Fn(Priority) -> u32,
    at: u32,
    aged_us: Option<u64>,
) -> Option<QueuePosition> {
    let job = jobs.in_slot(at)?;
    let class = job.class;
    let others = order.arrivals(other(class)).first;
    if job.is_aged(aged_us) {
        let is_before = |another: &Waiting<T>| another.arrival() < job.arrival();
        let in_class = count_while(jobs, order.arrivals(class).first, is_before);
        let total = in_class.saturating_add(count_while(jobs, others, is_before));
        return Some(QueuePosition { total, in_class });
    }
    let is_aged = |another: &Waiting<T>| another.is_aged(aged_us);
    let aged = count_while(jobs, order.arrivals(class).first, is_aged);
    let others_aged = count_while(jobs, others, is_aged);
    let ahead = ahead_in_turn(jobs, order, waiting(class), at, aged, aged_us)?;
    let others_in_turn = waiting(other(class)).saturating_sub(others_aged);
    let others_ahead = order.turns.others_before(class, ahead, others_in_turn);
    let in_class = aged.saturating_add(ahead);
    Some(QueuePosition { total: in_class.saturating_add(others_aged).saturating_add(others_ahead), in_class })
}

/// Jobs of its class before a job, the aged ones not counted.
fn ahead_in_turn<T>(
    jobs: &Jobs<'_, T>,
    order: &Order<'_>,
    waiting: u32,
    at: u32,
    aged: u32,
    aged_us: Option<u64>,
) -> Option<u32> {
    let job = jobs.in_slot(at)?;
    match order.discipline() {
        Discipline::Fifo => Some(place_by_arrival(jobs, at, waiting).saturating_sub(aged)),
        Discipline::FairTenants => Some(order.tenants.ahead(jobs, at, aged_us)),
        Discipline::EarliestDeadline => {
            let mut aged_before = 0u32;
            let mut oldest = order.arrivals(job.class).first;
            while let Some(another) = jobs.in_slot(oldest).filter(|another| another.is_aged(aged_us)) {
                aged_before = aged_before.saturating_add(u32::from(another.deadline_key() < job.deadline_key()));
                oldest = another.in_class.next();
            }
            Some(tree::rank::<_, ByDeadline>(jobs, at).saturating_sub(aged_before))
        }
    }
}

/// Arrivals of its class before a job, from the nearer end: O(1) for the latest.
fn place_by_arrival<T>(jobs: &Jobs<'_, T>, at: u32, waiting: u32) -> u32 {
    let (mut older, mut newer) = (list::previous::<_, InClass>(jobs, at), list::next::<_, InClass>(jobs, at));
    let mut steps = 0u32;
    while older != NONE && newer != NONE {
        older = list::previous::<_, InClass>(jobs, older);
        newer = list::next::<_, InClass>(jobs, newer);
        steps = steps.saturating_add(1);
    }
    if older == NONE { steps } else { waiting.saturating_sub(steps).saturating_sub(1) }
}

fn count_while<T>(jobs: &Jobs<'_, T>, first: u32, holds: impl Fn(&Waiting<T>) -> bool) -> u32 {
    let (mut at, mut count) = (first, 0u32);
    while let Some(job) = jobs.in_slot(at).filter(|job| holds(job)) {
        count = count.saturating_add(1);
        at = job.in_class.next();
    }
    count
}
