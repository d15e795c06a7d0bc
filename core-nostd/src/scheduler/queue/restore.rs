//! A queue's jobs and its service order as records, and back. STATE-1, STATE-5.

use super::class::ByClass;
use super::order::older;
use super::waiting::{InClass, Waiting};
use super::{Arrival, Exit, Queue};
use crate::scheduler::state::{OrderRecord, PlaceRecord};
use crate::storage::Ticket;
use crate::storage::list;
use crate::values::kept::Kept48;

/// A job to be put back, beside what its owner stored with it.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct RestoredJob<'a> {
    pub(in crate::scheduler) arrival: Arrival<'a>,
    pub(in crate::scheduler) arrived_us: u64,
    pub(in crate::scheduler) place: PlaceRecord,
}

impl<T> Queue<'_, T> {
    /// All jobs in the order of their arrival.
    pub(in crate::scheduler) fn by_arrival(&self) -> impl Iterator<Item = Ticket> {
        let arrivals = &self.order.arrivals;
        let mut ahead = ByClass { interactive: arrivals.interactive.first, batch: arrivals.batch.first };
        core::iter::from_fn(move || {
            let at = older(&self.jobs, ahead.interactive, ahead.batch)?;
            let class = self.jobs.in_slot(at)?.class;
            *ahead.get_mut(class) = list::next::<_, InClass>(&self.jobs, at);
            self.jobs.at(at)
        })
    }

    /// Where the service order stands.
    pub(in crate::scheduler) fn order_record(&self) -> OrderRecord {
        let ((turn_of, turns_left), rounds) = (self.order.turns.standing(), self.order.tenants.rounds());
        OrderRecord {
            discipline: self.rules.discipline,
            quantum_tokens: self.rules.tenant_quantum_tokens,
            weights: self.rules.class_weights,
            turn_of,
            turns_left,
            interactive_round: rounds.interactive,
            batch_round: rounds.batch,
            arrivals: self.arrivals,
        }
    }

    /// A job's place in it.
    pub(in crate::scheduler) fn place_record(&self, ticket: Ticket) -> Option<PlaceRecord> {
        let job = self.jobs.get(ticket)?;
        let (shares_turn, account) = self.order.tenants.account_record(job, ticket.slot());
        Some(PlaceRecord { arrival: job.arrival(), overtaken: job.overtaken(), shares_turn, account })
    }

    /// Tenants with a turn of their own, now and at most.
    pub(in crate::scheduler) fn tenant_room(&self) -> (u32, u32) {
        self.order.tenants.room()
    }

    /// Whether jobs go on with the accounts of their tenants: under another discipline or quantum they begin anew.
    pub(in crate::scheduler) fn keeps_accounts(&self, order: &OrderRecord) -> bool {
        let rules = &self.rules;
        (rules.discipline, rules.tenant_quantum_tokens) == (order.discipline, order.quantum_tokens)
    }

    /// Puts back the next job in the order of arrival, whatever the limits; none where there is no room for it, or it
    /// contradicts what was put back before.
    pub(in crate::scheduler) fn restore(
        &mut self,
        job: &RestoredJob<'_>,
        keeps_account: bool,
        payload: T,
    ) -> Option<Ticket> {
        let RestoredJob { arrival, arrived_us, place } = job;
        let is_later = |before: &Waiting<T>| before.arrival() < place.arrival && before.arrived_us() <= *arrived_us;
        let newest = [self.order.arrivals.interactive.last, self.order.arrivals.batch.last];
        let is_in_order = newest.into_iter().filter_map(|at| self.jobs.in_slot(at)).all(is_later);
        if !is_in_order || !Kept48::holds(place.arrival) {
            return None;
        }
        self.check_tenant(arrival.tenant).ok()?;
        let mut waiting = Waiting::new(arrival, place.arrival, *arrived_us, payload);
        waiting.set_overtaken(place.overtaken);
        let ticket = self.jobs.insert(arrival.id, waiting).ok()?;
        let count = self.counts.get_mut(arrival.class);
        count.jobs = count.jobs.saturating_add(1);
        count.tokens = count.tokens.saturating_add(arrival.tokens.into());
        self.order.note_tenant(ticket.slot(), arrival.tenant);
        let record = keeps_account.then_some(place);
        self.order.re_enter(&mut self.jobs, ticket.slot(), record).then_some(ticket)
    }

    /// Goes on with the service order after the last job was put back; says whether it can be that of these jobs.
    pub(in crate::scheduler) fn resume(&mut self, order: &OrderRecord, now_us: u64) -> bool {
        let newest = [self.order.arrivals.interactive.last, self.order.arrivals.batch.last];
        let is_before = |job: &Waiting<T>| job.arrival() < order.arrivals;
        if !newest.into_iter().filter_map(|at| self.jobs.in_slot(at)).all(is_before) {
            return false;
        }
        if self.rules.class_weights == order.weights && !self.order.turns.resume(order.turn_of, order.turns_left) {
            return false;
        }
        // From here on it stands: nothing is changed before.
        if self.keeps_accounts(order) {
            self.order.tenants.set_rounds(ByClass { interactive: order.interactive_round, batch: order.batch_round });
        }
        self.arrivals = order.arrivals;
        self.pass_time(now_us);
        true
    }

    /// Takes all jobs out. O(n log n).
    pub(in crate::scheduler) fn clear(&mut self) {
        self.end_pass();
        while let Some(at) = self.order.oldest(&self.jobs) {
            self.take(at, Exit::OutOfTurn);
        }
    }

    /// When the oldest job came.
    pub(in crate::scheduler) fn oldest_us(&self) -> Option<u64> {
        Some(self.jobs.in_slot(self.order.oldest(&self.jobs)?)?.arrived_us())
    }
}
