//! Pools come, change, age and go. LEASE-3, LEASE-4, REFRESH-1 to REFRESH-3.

use super::action::{Action, Answer};
use super::event::{Event, ExpiryCause, SessionEnd};
use super::leases::credit_after_snapshot;
use super::lifecycle::owned;
use super::machine::Scheduler;
use super::observer::Observer;
use super::pools::RefreshDue;
use crate::fleet::{FleetError, PoolFacts, PoolHandle, PoolRegistry};
use crate::input::PoolSnapshot;
use crate::rows::SessionEntry;
use crate::storage::Ticket;
use crate::values::edge::micros_from_millis;
use crate::values::index::index;

impl<F: PoolRegistry> Scheduler<'_, F> {
    #[inline(never)] // Its frame is large, and stays off the stack of the other ways through its caller.
    pub(super) fn take_snapshot(&mut self, snapshot: &PoolSnapshot<'_>, observer: &mut impl Observer) -> Answer {
        // A bad age is refused by the fleet, with its field.
        let age_us = micros_from_millis(snapshot.age_ms).unwrap_or(0);
        let observed_at_us = self.now_us.saturating_sub(age_us);
        let known = self.fleet.find(snapshot.id, snapshot.replica_id);
        if known.is_some_and(|pool| self.pools.is_late(pool, observed_at_us)) {
            return Answer::Late;
        }
        let pool = match self.fleet.upsert(snapshot) {
            Ok(pool) => pool,
            Err(error) => return Answer::BadSnapshot(error),
        };
        if pool.slot >= self.pools_max {
            // Without storage for what is kept of it, no job could have a lease there.
            self.fleet.remove(pool);
            return Answer::BadSnapshot(FleetError::Full { capacity: index(self.pools_max) });
        }
        self.pools.snapshot_taken(pool, observed_at_us);
        self.note_published_latency(pool);
        // REFRESH-3: the pool's own numbers know nothing of it.
        if self.pools.is_drained(pool) {
            self.fleet.set_draining(pool, true);
        }
        let credited = credit_after_snapshot(&mut self.fleet, &mut self.leases, pool, observed_at_us);
        let vram_used_bytes = self.fleet.vram_used_bytes(pool).unwrap_or(0);
        self.observe_pool(pool, observer, |pool| Event::PoolUpdated { pool, credited, vram_used_bytes });
        self.capacity_may_have_grown();
        Answer::Done
    }

    /// The pool takes no more jobs from here on, and goes when its leases have ended. LEASE-4.
    pub(super) fn remove_pool(&mut self, id: &str, replica_id: &str) -> Answer {
        let Some(pool) = self.fleet.find(id, replica_id) else { return Answer::UnknownPool };
        self.fleet.set_draining(pool, true);
        self.todo.leaving = Some(pool);
        Answer::Done
    }

    /// Ends the next lease of the pool that goes; the pool itself after the last.
    #[inline(never)] // An action is large, and stays off the stack of the other ways through its caller.
    pub(super) fn lose_lease(&mut self, observer: &mut impl Observer) -> Option<Action> {
        let pool = self.todo.leaving?;
        let lost = self.leases.of_pool(pool).next();
        if let Some(ticket) = lost {
            return self.expire(ticket, ExpiryCause::PoolLost, observer);
        }
        self.observe_pool(pool, observer, |pool| Event::PoolRemoved { pool });
        self.fleet.remove(pool);
        self.pools.removed(pool);
        self.todo.leaving = None;
        None
    }

    /// A drain holds over snapshots until it is taken back. REFRESH-3.
    pub(super) fn drain_pool(
        &mut self,
        id: &str,
        replica_id: &str,
        draining: bool,
        observer: &mut impl Observer,
    ) -> Answer {
        let Some(pool) = self.fleet.find(id, replica_id) else { return Answer::UnknownPool };
        self.fleet.set_draining(pool, draining);
        self.pools.set_drained(pool, draining);
        self.observe_pool(pool, observer, |pool| Event::PoolDraining { pool, draining });
        if !draining {
            self.capacity_may_have_grown();
        }
        Answer::Done
    }

    /// Lets the fleet know of snapshots that became stale by now. FEAS-19.
    pub(super) fn mark_stale_pools(&mut self) {
        while let Some((pool, age_us)) = self.pools.next_stale(self.now_us, self.placement.stale_after_us()) {
            self.fleet.set_age(pool, age_us);
        }
    }

    /// The next pool to ask for its state. REFRESH-1.
    #[inline(never)] // As above.
    pub(super) fn refresh_pool(&mut self, observer: &mut impl Observer) -> Option<Action> {
        let RefreshDue { pool, attempt, not_before_us } = self.pools.next_refresh(self.now_us, &self.rules.refresh)?;
        self.observe_pool(pool, observer, |pool| Event::RefreshRequested { pool, attempt });
        let facts = self.fleet.facts(pool)?;
        Some(Action::RefreshSnapshot {
            pool_id: owned(facts.id),
            replica_id: owned(facts.replica_id),
            attempt,
            not_before_us,
        })
    }

    /// What a decision is told of a session. SCORE-3, SESSION-2.
    pub(super) fn session_entry(&self, session: Ticket) -> Option<SessionEntry> {
        self.sessions.entry(session, |pool| self.fleet.rank_of(pool))
    }

    pub(super) fn end_session(&mut self, session_id: &str, observer: &mut impl Observer) -> Answer {
        let ended = self.sessions.find(session_id).and_then(|ticket| self.sessions.end(ticket));
        if ended.is_none() {
            return Answer::UnknownSession;
        }
        let cause = SessionEnd::Requested;
        observer.observe(self.now_us, &Event::SessionEnded { session_id, cause });
        Answer::Done
    }

    /// Ends the sessions that were not used for too long, before anything can continue them. SESSION-1.
    pub(super) fn expire_sessions(&mut self, observer: &mut impl Observer) {
        while let Some(id) = self.sessions.next_expired(self.now_us, self.rules.session_ttl_us) {
            let cause = SessionEnd::Expired;
            observer.observe(self.now_us, &Event::SessionEnded { session_id: &id, cause });
        }
    }

    fn observe_pool<'e>(
        &'e self,
        pool: PoolHandle,
        observer: &mut impl Observer,
        event: impl FnOnce(PoolFacts<'e>) -> Event<'e>,
    ) {
        if let Some(pool) = self.fleet.facts(pool) {
            observer.observe(self.now_us, &event(pool));
        }
    }
}
