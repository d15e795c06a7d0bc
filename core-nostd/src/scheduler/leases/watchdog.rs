//! Which leases end by themselves. LEASE-5.
//!
//! Leases that wait for their start are kept in order of the time at which they should start; that is their reservation,
//! but for those that wait in their pools. Time never goes back, so started ones are in
//! order of their wall limit, and of their idle limit once every report moves its lease to the end: whatever the limits
//! are, what expires first is the head of one of three lists.

use super::Leases;
use crate::scheduler::event::ExpiryCause;
use crate::scheduler::policy::WatchdogRules;
use crate::storage::Ticket;

impl<L, P> Leases<'_, L, P> {
    /// The lease that expired first, and how; `None` where none has. It stays until it is [ended](Self::end): a caller
    /// that ends each and asks again gets all of them, in the order of their expiry. LEASE-5. O(1).
    ///
    /// Equal times are ordered by cause as [`ExpiryCause`] lists them, then by reservation, start or last report.
    #[must_use]
    pub fn next_expired(&self, now_us: u64, rules: &WatchdogRules) -> Option<(Ticket, ExpiryCause)> {
        let (at_us, found) = self.first_expiry(rules)?;
        if at_us <= now_us { Some(found) } else { None }
    }

    /// When the next lease expires if nothing more is reported, in µs; `None` is never. O(1).
    #[must_use]
    pub fn next_expiry_us(&self, rules: &WatchdogRules) -> Option<u64> {
        self.first_expiry(rules).map(|(at_us, _)| at_us)
    }

    fn first_expiry(&self, rules: &WatchdogRules) -> Option<(u64, (Ticket, ExpiryCause))> {
        let (states, table) = (&self.states, &self.table);
        let not_started = states.first_reserved(table).and_then(|ticket| {
            let at_us = limit_end(table.get(ticket)?.expected_start_us(), rules.start_timeout_us)?;
            Some((at_us, (ticket, ExpiryCause::NotStarted)))
        });
        let too_long = states.first_started(table).and_then(|ticket| {
            let at_us = limit_end(table.get(ticket)?.started_at_us()?, rules.wall_limit_us)?;
            Some((at_us, (ticket, ExpiryCause::WallLimit)))
        });
        let silent = states.longest_silent(table).and_then(|ticket| {
            let at_us = limit_end(table.get(ticket)?.last_report_us(), rules.idle_limit_us)?;
            Some((at_us, (ticket, ExpiryCause::IdleLimit)))
        });
        earlier(earlier(not_started, too_long), silent)
    }
}

/// The end of a time limit; 0 is no limit, and a sum that does not fit is a time that does not come.
const fn limit_end(since_us: u64, limit_us: u64) -> Option<u64> {
    if limit_us == 0 { None } else { since_us.checked_add(limit_us) }
}

/// The earlier of two, by the order of causes where the times are equal.
fn earlier<T: Copy>(a: Option<(u64, T)>, b: Option<(u64, T)>) -> Option<(u64, T)> {
    match (a, b) {
        (Some(first), Some(second)) => Some(if second.0 < first.0 { second } else { first }),
        (one, other) => one.or(other),
    }
}
