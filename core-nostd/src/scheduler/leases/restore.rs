//! Leases put back as they were, with their places in every list. STATE-1.

use super::{Leased, Leases, PoolLeases, StateLists};
use crate::storage::Ticket;
use crate::values::index::index;

/// An order in which the watchdog looks at leases. LEASE-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum WatchOrder {
    /// Leases that did not start, by expected start.
    ExpectedStart,
    /// Started ones, by start.
    Start,
    /// Started ones, by last report.
    Report,
}

impl WatchOrder {
    /// All orders.
    pub(in crate::scheduler) const ALL: [Self; 3] = [Self::ExpectedStart, Self::Start, Self::Report];

    /// Whether a lease has a place in it.
    const fn has<L, P>(self, lease: &Leased<L, P>) -> bool {
        lease.started_at_us().is_some() == !matches!(self, Self::ExpectedStart)
    }

    fn time_us<L, P>(self, lease: &Leased<L, P>) -> Option<u64> {
        match self {
            Self::ExpectedStart => Some(lease.expected_start_us()),
            Self::Start => lease.started_at_us(),
            Self::Report => Some(lease.last_report_us()),
        }
    }
}

impl<L, P> Leases<'_, L, P> {
    /// The leases of an order, first to last.
    pub(in crate::scheduler) fn in_order(&self, order: WatchOrder) -> impl Iterator<Item = Ticket> {
        let mut at = self.states.first(order);
        core::iter::from_fn(move || {
            let ticket = self.table.at(at)?;
            at = StateLists::next(&self.table, order, at);
            Some(ticket)
        })
    }

    /// Puts a lease back, as the last of its pool; none where there is no room for it or its job has one. It is in no
    /// order of the watchdog until it is [watched](Self::watch).
    pub(in crate::scheduler) fn restore(&mut self, job_id: &str, lease: Leased<L, P>) -> Option<Ticket> {
        let pool = index(lease.pool().slot);
        if pool >= self.pools.len() {
            return None;
        }
        let ticket = self.table.insert(job_id, lease).ok()?;
        self.join_pool(ticket);
        Some(ticket)
    }

    /// Puts a lease last in an order where it has a place; says whether it does, was not there, and keeps the order.
    pub(in crate::scheduler) fn watch(&mut self, ticket: Ticket, order: WatchOrder) -> bool {
        let Self { table, states, .. } = self;
        let Some(lease) = table.get(ticket).filter(|lease| order.has(lease)) else { return false };
        let last = table.in_slot(states.last(order));
        let is_in_order = last.is_none_or(|last| order.time_us(last) <= order.time_us(lease));
        is_in_order && states.push_back(table, order, ticket.slot())
    }

    /// Goes on at a time that is not before any of the leases'.
    pub(in crate::scheduler) fn resume(&mut self, now_us: u64) {
        self.advance(now_us);
    }

    /// Takes all leases out; what they hold stays taken. O(storage).
    pub(in crate::scheduler) fn clear(&mut self) {
        self.table.clear();
        self.pools.fill(PoolLeases::EMPTY);
        self.states = StateLists::EMPTY;
    }
}
