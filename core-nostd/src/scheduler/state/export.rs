//! From a scheduler to bytes. STATE-1, STATE-2.

use super::error::ExportError;
use super::records::{
    Bytes, Checked, Errors, JobRecord, LeaseRecord, Measured, PoolEntry, Prelude, RoomNeeded, SessionRecord, WorkRecord,
};
use super::times::Clock;
use super::{STATE_FORMAT, STATE_MAGIC};
use crate::SEMANTICS_VERSION;
use crate::codec::{Encode, Fixed, OutOfRoom, Sink};
use crate::commit::Lease;
use crate::fleet::{PoolHandle, PoolRegistry};
use crate::scheduler::leases::WatchOrder;
use crate::scheduler::machine::Scheduler;
use crate::scheduler::work::Work;
use crate::storage::Ticket;
use crate::values::hash::Xxh64;
use crate::values::index::position;

impl<F: PoolRegistry> Scheduler<'_, F> {
    /// Writes the state as bytes, for [`Scheduler::import_state`]; it changes nothing. Bytes: `docs/state.md`. STATE-1.
    /// O(pools + jobs + leases + sessions).
    ///
    /// # Errors
    /// The sink has no room (it may have got a part), or actions of the last input are pending.
    pub fn export_state(&self, sink: &mut impl Sink) -> Result<(), ExportError> {
        if self.has_actions() {
            return Err(ExportError::ActionsPending);
        }
        let mut out = Checked { sink, hash: Xxh64::new(0) };
        out.write(&STATE_MAGIC)?;
        out.write(&STATE_FORMAT.to_le_bytes())?;
        out.write(&SEMANTICS_VERSION.to_le_bytes())?;
        self.prelude().encode(&mut out)?;
        self.write_sessions(&mut out)?;
        self.queue.by_arrival().try_for_each(|ticket| Written(self.job_record(ticket)).encode(&mut out))?;
        self.write_pools(&mut out)?;
        for order in WatchOrder::ALL {
            position(self.leases.in_order(order).count()).encode(&mut out)?;
            let mut ids = self.leases.in_order(order).filter_map(|ticket| self.leases.id(ticket));
            ids.try_for_each(|id| id.encode(&mut out))?;
        }
        let Checked { sink, hash } = out;
        Ok(sink.write(&hash.digest().to_le_bytes())?)
    }

    const fn clock(&self) -> Clock {
        Clock { now_us: self.now_us }
    }

    fn prelude(&self) -> Prelude {
        let measured = self.measured();
        Prelude {
            placement_hash: Fixed(self.placement.content_hash()),
            scheduler_hash: Fixed(self.rules.content_hash()),
            oldest_age_us: self.oldest_age_us().max(measured.last_service_age_us.unwrap_or(0)),
            room: self.room_needed(),
            measured,
            order: self.queue.order_record(),
        }
    }

    fn oldest_age_us(&self) -> u64 {
        let leases = self.leases.tickets().filter_map(|ticket| Some(self.leases.get(ticket)?.admitted_at_us()));
        let sessions = self.sessions.tickets().filter_map(|ticket| Some(self.sessions.get(ticket)?.last_used_us()));
        let oldest_us = leases.chain(sessions).chain(self.queue.oldest_us()).min();
        oldest_us.map_or(0, |oldest_us| self.clock().age_us(oldest_us))
    }

    fn room_needed(&self) -> RoomNeeded {
        let job_bytes = |ticket: Ticket| self.jobs.get(ticket.slot()).map_or(0, <[u8]>::len);
        RoomNeeded {
            waiting_jobs: self.queue.len(),
            job_bytes: self.queue.by_arrival().map(job_bytes).max().unwrap_or(0),
            tenants: self.queue.tenant_room().0,
            leases: self.leases.len(),
            sessions: self.sessions.len(),
        }
    }

    fn measured(&self) -> Measured {
        // A service before the queue ran empty begins no sample. ADMIT-3.
        let last_service_us = self.drain.last_service_us().filter(|_| !self.queue.is_empty());
        // A forecast that is past holds no other back. FORECAST-2.
        let ahead_us = |last_us: u64| last_us.saturating_sub(self.now_us);
        Measured {
            drain_interval_us: self.drain.interval_us(),
            last_service_age_us: last_service_us.map(|last_us| self.clock().age_us(last_us)),
            interactive_ahead_us: ahead_us(self.forecast.last_interactive_us),
            batch_ahead_us: ahead_us(self.forecast.last_batch_us),
            errors: Errors(self.forecast.errors),
        }
    }

    fn write_sessions(&self, out: &mut impl Sink) -> Result<(), OutOfRoom> {
        let in_use = |ticket: &Ticket| self.sessions.get(*ticket).is_some_and(|session| session.jobs() > 0);
        self.sessions.idle().try_for_each(|ticket| self.session_record(ticket, true).encode(out))?;
        self.sessions.tickets().filter(in_use).try_for_each(|ticket| self.session_record(ticket, false).encode(out))
    }

    fn session_record(&self, ticket: Ticket, is_idle: bool) -> Written<SessionRecord<'_>> {
        let record = || {
            let session = self.sessions.get(ticket)?;
            let pool = session.pool().and_then(|pool| self.fleet.facts(pool));
            Some(SessionRecord {
                id: self.sessions.id(ticket)?,
                is_idle,
                pool: pool.map(|pool| (pool.id, pool.replica_id)),
                cached_tokens: session.cached_tokens(),
                turns: session.turns(),
                last_used_age_us: self.clock().age_us(session.last_used_us()),
                limits: session.ledger.limits(),
                spent: session.ledger.spent(),
            })
        };
        Written(record())
    }

    fn work_record(&self, work: &Work) -> WorkRecord {
        WorkRecord {
            priority: work.priority,
            prompt_tokens: work.prompt_tokens,
            output_tokens: work.output_tokens,
            micros_per_1000_tokens: work.micros_per_1000_tokens,
            admitted_age_us: self.clock().age_us(work.admitted_at_us),
            deadline: work.deadline_at_us.map(|at_us| self.clock().moment(at_us)),
            held: work.held(),
        }
    }

    fn job_record(&self, ticket: Ticket) -> Option<JobRecord<'_>> {
        let work = self.queue.get(ticket)?.work(&self.queue.facts(ticket)?);
        Some(JobRecord {
            work: self.work_record(&work),
            place: self.queue.place_record(ticket)?,
            in_session: work.session.is_some_and(|session| self.sessions.get(session).is_some()),
            job: Bytes(self.jobs.get(ticket.slot())?),
        })
    }

    fn write_pools(&self, out: &mut impl Sink) -> Result<(), OutOfRoom> {
        let pools = || (0..self.fleet.len()).filter_map(|rank| self.fleet.at_rank(rank));
        let has_entry = |pool: &PoolHandle| self.pools.is_drained(*pool) || self.leases.first_of_pool(*pool).is_some();
        position(pools().filter(has_entry).count()).encode(out)?;
        for pool in pools().filter(has_entry) {
            let entry = PoolEntry {
                pool: self.fleet.facts(pool).unwrap_or_default(),
                is_drained: self.pools.is_drained(pool),
                leases: position(self.leases.of_pool(pool).count()),
            };
            entry.encode(out)?;
            self.leases.of_pool(pool).try_for_each(|ticket| Written(self.lease_record(ticket)).encode(out))?;
        }
        Ok(())
    }

    fn lease_record(&self, ticket: Ticket) -> Option<LeaseRecord<'_>> {
        let (lease, clock) = (self.leases.get(ticket)?, self.clock());
        let work = lease.work();
        Some(LeaseRecord {
            id: self.leases.id(ticket)?,
            work: self.work_record(&work),
            session: work.session.and_then(|session| self.sessions.id(session)),
            model_id: self.models.get(ticket.slot()),
            reserved_age_us: clock.age_us(lease.reserved_at_us()),
            started_age_us: lease.started_at_us().map(|at_us| clock.age_us(at_us)),
            first_token_age_us: lease.first_token_at_us().map(|at_us| clock.age_us(at_us)),
            last_report_age_us: clock.age_us(lease.last_report_us()),
            predicted_end: lease.predicted_end_us().map(|at_us| clock.moment(at_us)),
            pool_wait_us: lease.pool_wait_us(),
            pending_prefill_us: lease.pending_prefill_us(),
            tokens_out: lease.tokens_out(),
            taken: Lease::of(self.fleet.export_lease(&lease.held), 0)?,
        })
    }
}

/// A record of something that is there: its tickets come from its own table.
struct Written<R>(Option<R>);

impl<R: Encode> Encode for Written<R> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        self.0.iter().try_for_each(|record| record.encode(sink))
    }
}
