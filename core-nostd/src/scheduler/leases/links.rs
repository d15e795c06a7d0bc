//! The lists that a lease stands in.
//!
//! | list | order | read by |
//! |---|---|---|
//! | of its pool | reservation | credit (LEASE-3), the end of a pool (LEASE-4) |
//! | reserved leases, then started ones | expected start, start | start timeout, wall limit (LEASE-5) |
//! | started leases | last report | idle limit (LEASE-5) |

use super::lease::Leased;
use super::restore::WatchOrder;
use crate::storage::list::{KeptList, Linked, Links, List, next, previous};
use crate::storage::{IdTable, Ticket};
use crate::values::kept::Kept64;

type Table<'a, L, P> = IdTable<'a, Leased<L, P>>;

/// A lease's places.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeaseLinks {
    in_pool: Links,
    in_state: Links,
    in_reports: Links,
}

impl LeaseLinks {
    pub(super) const OUT: Self = Self { in_pool: Links::OUT, in_state: Links::OUT, in_reports: Links::OUT };
}

/// A list of one kind, whose links stand in the field.
macro_rules! list_kind {
    ($(#[$doc:meta])* $kind:ident, $field:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $kind;

        impl<L, P> Linked<Table<'_, L, P>> for $kind {
            fn links<'t>(table: &'t Table<'_, L, P>, at: u32) -> Option<&'t Links> {
                table.in_slot(at).map(|lease| &lease.links.$field)
            }

            fn links_mut<'t>(table: &'t mut Table<'_, L, P>, at: u32) -> Option<&'t mut Links> {
                table.in_slot_mut(at).map(|lease| &mut lease.links.$field)
            }
        }
    };
}

list_kind! {
    /// Leases of a pool.
    InPool, in_pool
}
list_kind! {
    /// Reserved leases, or started ones.
    InState, in_state
}
list_kind! {
    /// Started leases by last report.
    InReports, in_reports
}

/// Storage for the list of one pool's leases: a scheduler brings one for every pool that fits its fleet.
#[derive(Debug, Clone, Copy)]
pub struct PoolLeases {
    list: KeptList<InPool>,
    pending_prefill_us: Kept64,
}

impl PoolLeases {
    /// No leases.
    pub const EMPTY: Self = Self { list: KeptList::EMPTY, pending_prefill_us: Kept64::new(0) };

    pub(super) fn first(&self) -> u32 {
        self.list.get().first
    }

    pub(super) fn push_back<L, P>(&mut self, table: &mut Table<'_, L, P>, at: u32) {
        let mut list = self.list.get();
        list.push_back(table, at);
        self.list = list.into();
    }

    pub(super) fn unlink<L, P>(&mut self, table: &mut Table<'_, L, P>, at: u32) {
        let mut list = self.list.get();
        list.unlink(table, at);
        self.list = list.into();
    }

    /// How long the prefills of theirs take that are pending. LEASE-8.
    pub(super) const fn pending_prefill_us(&self) -> u64 {
        self.pending_prefill_us.get()
    }

    pub(super) const fn set_pending_prefill(&mut self, pending_us: u64) {
        self.pending_prefill_us = Kept64::new(pending_us);
    }
}

/// The lists over all leases.
#[derive(Debug)]
pub(super) struct StateLists {
    reserved: List<InState>,
    started: List<InState>,
    reports: List<InReports>,
}

impl StateLists {
    pub(super) const EMPTY: Self = Self { reserved: List::EMPTY, started: List::EMPTY, reports: List::EMPTY };

    /// The lease that is expected to start first of those that did not.
    pub(super) fn first_reserved<L, P>(&self, table: &Table<'_, L, P>) -> Option<Ticket> {
        table.at(self.reserved.first)
    }

    /// The lease that started first.
    pub(super) fn first_started<L, P>(&self, table: &Table<'_, L, P>) -> Option<Ticket> {
        table.at(self.started.first)
    }

    /// The started lease of which nothing was reported for longest.
    pub(super) fn longest_silent<L, P>(&self, table: &Table<'_, L, P>) -> Option<Ticket> {
        table.at(self.reports.first)
    }

    /// The slot of the first lease of an order.
    pub(super) const fn first(&self, order: WatchOrder) -> u32 {
        match order {
            WatchOrder::ExpectedStart => self.reserved.first,
            WatchOrder::Start => self.started.first,
            WatchOrder::Report => self.reports.first,
        }
    }

    /// The slot of its last one.
    pub(super) const fn last(&self, order: WatchOrder) -> u32 {
        match order {
            WatchOrder::ExpectedStart => self.reserved.last,
            WatchOrder::Start => self.started.last,
            WatchOrder::Report => self.reports.last,
        }
    }

    /// The slot that follows in an order.
    pub(super) fn next<L, P>(table: &Table<'_, L, P>, order: WatchOrder, at: u32) -> u32 {
        match order {
            WatchOrder::ExpectedStart | WatchOrder::Start => next::<_, InState>(table, at),
            WatchOrder::Report => next::<_, InReports>(table, at),
        }
    }

    /// Puts a lease last in an order; says whether it was not in it.
    pub(super) fn push_back<L, P>(&mut self, table: &mut Table<'_, L, P>, order: WatchOrder, at: u32) -> bool {
        let links = match order {
            WatchOrder::ExpectedStart | WatchOrder::Start => InState::links(table, at),
            WatchOrder::Report => InReports::links(table, at),
        };
        // Alone in a list it has no neighbours either.
        if links != Some(&Links::OUT) || self.first(order) == at {
            return false;
        }
        match order {
            WatchOrder::ExpectedStart => self.reserved.push_back(table, at),
            WatchOrder::Start => self.started.push_back(table, at),
            WatchOrder::Report => self.reports.push_back(table, at),
        }
        true
    }

    /// O(1), or O(leases that are expected to start later, because they wait in their pools).
    pub(super) fn reserve<L, P>(&mut self, table: &mut Table<'_, L, P>, ticket: Ticket) {
        let expected_us = |at| table.in_slot(at).map(Leased::expected_start_us);
        let mut before = self.reserved.last;
        while expected_us(before) > expected_us(ticket.slot()) {
            before = previous::<_, InState>(table, before);
        }
        self.reserved.insert_after(table, before, ticket.slot());
    }

    pub(super) fn start<L, P>(&mut self, table: &mut Table<'_, L, P>, ticket: Ticket) {
        self.reserved.unlink(table, ticket.slot());
        self.started.push_back(table, ticket.slot());
        self.reports.push_back(table, ticket.slot());
    }

    pub(super) fn report<L, P>(&mut self, table: &mut Table<'_, L, P>, ticket: Ticket) {
        self.reports.unlink(table, ticket.slot());
        self.reports.push_back(table, ticket.slot());
    }

    pub(super) fn end<L, P>(&mut self, table: &mut Table<'_, L, P>, ticket: Ticket, has_started: bool) {
        if has_started {
            self.started.unlink(table, ticket.slot());
            self.reports.unlink(table, ticket.slot());
        } else {
            self.reserved.unlink(table, ticket.slot());
        }
    }
}
