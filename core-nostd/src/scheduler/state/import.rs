//! From bytes to a scheduler that goes on. STATE-2 to STATE-6.
//!
//! ```text
//!  bytes ─ checksum ─ room ─▶ take in: sessions, jobs, leases ─▶ all of it stands ─▶ lost leases end, actions
//!             │        │                    │
//!             └────────┴────────────────────┴─▶ an error: nothing changed
//! ```

use super::error::{StateError, StateTable};
use super::records::{JobRecord, LeaseRecord, PoolEntry, Prelude, SessionRecord, WorkRecord, each_pool};
use super::times::Clock;
use super::{Imported, STATE_FORMAT, STATE_MAGIC};
use crate::SEMANTICS_VERSION;
use crate::codec::{Fixed, Reader, with_job};
use crate::error::Problem;
use crate::fleet::{PoolFacts, PoolHandle, PoolRegistry};
use crate::input::{BudgetLimits, JobSpec, Priority};
use crate::limits::NOW_MAX_US;
use crate::scheduler::action::{AbortCause, Action};
use crate::scheduler::budget::{BudgetAmounts, Ledger};
use crate::scheduler::drain_rate::DrainRate;
use crate::scheduler::event::{Event, ExpiryCause, JobFacts};
use crate::scheduler::kinds::WaitingKinds;
use crate::scheduler::leases::{Leased, NewLease, WatchOrder};
use crate::scheduler::lifecycle::owned;
use crate::scheduler::machine::Scheduler;
use crate::scheduler::observer::Observer;
use crate::scheduler::queue::{Arrival, RestoredJob};
use crate::scheduler::refusals::Wants;
use crate::scheduler::sessions::Session;
use crate::scheduler::work::{RunningJob, WaitingJob, Work};
use crate::storage::Ticket;
use crate::values::hash::Xxh64;
use crate::values::index::index;
use crate::values::kept::{Kept48, heard};

/// A pool that is not there: no fleet has as many slots.
const NOWHERE: PoolHandle = PoolHandle { slot: u32::MAX, generation: 0 };

const fn contradiction(what: &'static str) -> StateError {
    StateError::Contradiction { what }
}

/// An id that is too long for its table.
fn fits(id: &str, fitting: Result<(), Problem>) -> Result<(), StateError> {
    let room = match fitting {
        Ok(()) => return Ok(()),
        Err(Problem::TooLong { max_bytes }) => max_bytes,
        Err(_) => 0,
    };
    Err(StateError::NoRoom { table: StateTable::IdBytes, needed: id.len(), room })
}

/// Checks everything that can be checked without reading: what is left is the payload. STATE-3.
fn open(bytes: &[u8]) -> Result<Reader<'_>, StateError> {
    let mut reader = Reader::new(bytes);
    if reader.take_array() != Ok(STATE_MAGIC) {
        return Err(StateError::NotAState);
    }
    let cut_off = |_| StateError::Checksum;
    let format = u32::from_le_bytes(reader.take_array().map_err(cut_off)?);
    if format != STATE_FORMAT {
        return Err(StateError::OtherFormat { found: format });
    }
    let semantics = u32::from_le_bytes(reader.take_array().map_err(cut_off)?);
    if semantics != SEMANTICS_VERSION {
        return Err(StateError::OtherSemantics { found: semantics });
    }
    let (checked, checksum) = bytes.split_last_chunk().ok_or(StateError::Checksum)?;
    let mut hash = Xxh64::new(0);
    hash.update(checked);
    if hash.digest() != u64::from_le_bytes(*checksum) {
        return Err(StateError::Checksum);
    }
    let mut payload = Reader::new(checked);
    payload.take_bytes(reader.position()).map_err(cut_off)?;
    Ok(payload)
}

/// A lease as it was; none where there can be no such times.
fn leased<L, P>(record: &LeaseRecord<'_>, clock: Clock, pool: PoolHandle, held: L, job: P) -> Option<Leased<L, P>> {
    let age = |age_us: Option<u64>| age_us.map_or(Some(None), |age_us| clock.at_age(age_us).map(Some));
    let new = NewLease {
        pool,
        held,
        admitted_at_us: clock.at_age(record.work.admitted_age_us)?,
        predicted_end_us: record.predicted_end.and_then(|moment| clock.at(moment)),
        pool_wait_us: record.pool_wait_us,
        prefill_us: record.pending_prefill_us,
        prompt_tokens: record.work.prompt_tokens,
        job,
    };
    let mut leased = Leased::new(new, clock.at_age(record.reserved_age_us)?);
    let (started_at_us, first_token_at_us) = (age(record.started_age_us)?, age(record.first_token_age_us)?);
    leased.restore_start(started_at_us, first_token_at_us);
    leased.hear(clock.at_age(record.last_report_age_us)?);
    leased.produce(record.tokens_out);
    // LEASE-7: a first token implies the start.
    let is_possible = started_at_us.is_some() || first_token_at_us.is_none();
    let is_kept = Kept48::holds(record.pool_wait_us) && Kept48::holds(record.pending_prefill_us);
    (is_possible && is_kept).then_some(leased)
}

impl<F: PoolRegistry> Scheduler<'_, F> {
    /// Takes in a state that [`Scheduler::export_state`] wrote, and goes on with it at `now_us`: as an input does it, with
    /// events, and actions to do. STATE-2 to STATE-6. O(pools + jobs + leases + sessions), with deadlines or tenants times
    /// O(log n).
    ///
    /// Tell the scheduler about its pools first: a lease whose pool is not there ends. Policies are those that the
    /// scheduler was made with.
    ///
    /// # Errors
    /// The bytes are no state of this version, do not fit, or the scheduler has work of its own; nothing changes.
    pub fn import_state(
        &mut self,
        bytes: &[u8],
        now_us: u64,
        observer: &mut impl Observer,
        mut act: impl FnMut(Action),
    ) -> Result<Imported, StateError> {
        let mut reader = open(bytes)?;
        self.check_fresh(now_us)?;
        let prelude: Prelude = reader.take()?;
        self.check_room(&prelude)?;
        let clock = Clock { now_us };
        if clock.at_age(prelude.oldest_age_us).is_none() {
            return Err(StateError::TooEarly { at_least_us: prelude.oldest_age_us });
        }
        let taken = self.take_all(&mut reader, &prelude, clock);
        let pools = taken.inspect_err(|_| {
            self.queue.clear();
            self.kinds = WaitingKinds::default();
            self.leases.clear();
            self.sessions.clear();
            self.note_all_prefills();
        })?;
        self.now_us = now_us;
        self.go_on(&prelude);
        let lost_leases = self.end_lost_leases(pools, clock, observer, &mut act);
        let imported = Imported {
            waiting_jobs: self.queue.len(),
            leases: self.leases.len(),
            lost_leases,
            sessions: self.sessions.len(),
            same_placement_policy: prelude.placement_hash == Fixed(self.placement.content_hash()),
            same_scheduler_policy: prelude.scheduler_hash == Fixed(self.rules.content_hash()),
        };
        self.say_depths(observer);
        // As before every input: ages and times to live may have other limits now.
        self.mark_stale_pools();
        self.expire_sessions(observer);
        self.capacity_may_have_grown();
        self.begin_actions();
        while let Some(action) = self.next_action(observer) {
            act(action);
        }
        Ok(imported)
    }

    fn check_fresh(&self, now_us: u64) -> Result<(), StateError> {
        if now_us < self.now_us {
            return Err(StateError::TimeWentBack { last_us: self.now_us });
        }
        if heard(now_us) < now_us {
            return Err(StateError::TimeTooLate { max_us: NOW_MAX_US });
        }
        let is_empty = self.queue.is_empty() && self.leases.is_empty() && self.sessions.is_empty();
        if is_empty && !self.has_actions() { Ok(()) } else { Err(StateError::NotFresh) }
    }

    /// STATE-3: what does not fit is refused before anything changes.
    fn check_room(&self, prelude: &Prelude) -> Result<(), StateError> {
        let needed = &prelude.room;
        // Without accounts to go on with tenants find a place as they come.
        let tenants = if self.queue.keeps_accounts(&prelude.order) { needed.tenants } else { 0 };
        let tables = [
            (StateTable::WaitingJobs, index(needed.waiting_jobs), index(self.queue.capacity())),
            (StateTable::JobBytes, needed.job_bytes, self.jobs.room()),
            (StateTable::Tenants, index(tenants), index(self.queue.tenant_room().1)),
            (StateTable::Leases, index(needed.leases), index(self.leases.capacity())),
            (StateTable::Sessions, index(needed.sessions), index(self.sessions.capacity())),
        ];
        match tables.into_iter().find(|&(_, needed, room)| needed > room) {
            Some((table, needed, room)) => Err(StateError::NoRoom { table, needed, room }),
            None => Ok(()),
        }
    }

    /// Puts everything into the tables, or stops at the first thing that cannot be; returns where the pools begin.
    fn take_all<'b>(
        &mut self,
        reader: &mut Reader<'b>,
        prelude: &Prelude,
        clock: Clock,
    ) -> Result<Reader<'b>, StateError> {
        for _ in 0..prelude.room.sessions {
            self.take_session(&reader.take()?, clock)?;
        }
        let keeps_accounts = self.queue.keeps_accounts(&prelude.order);
        for _ in 0..prelude.room.waiting_jobs {
            let record: JobRecord<'_> = reader.take()?;
            with_job(record.job.0, |spec| self.take_job(spec, &record, keeps_accounts, clock))??;
        }
        let pools = reader.clone();
        each_pool(reader, |pool, lease| lease.map_or(Ok(()), |lease| self.take_lease(pool, lease, clock)))?;
        self.take_watch_orders(reader)?;
        reader.finish()?;
        if !self.sessions.all_are_of_use() {
            return Err(contradiction("a session without jobs is not idle"));
        }
        if !self.queue.resume(&prelude.order, clock.now_us) {
            return Err(contradiction("no such turn or arrival"));
        }
        Ok(pools)
    }

    fn take_session(&mut self, record: &SessionRecord<'_>, clock: Clock) -> Result<(), StateError> {
        let broken = contradiction("sessions repeat, are too many or out of order");
        fits(record.id, self.sessions.check_id(record.id))?;
        let last_used_us = clock.at_age(record.last_used_age_us).ok_or(broken)?;
        let BudgetLimits { tokens, time_us, cost_micros } = record.limits;
        let are_kept = [tokens, time_us, cost_micros].into_iter().flatten().all(Kept48::holds);
        let is_kept = are_kept && Ledger::keeps(record.spent);
        if !is_kept {
            return Err(contradiction("a budget is larger than small tables keep"));
        }
        let ledger = Ledger::restored(record.limits, record.spent);
        let mut session = Session::new(ledger, last_used_us).restored(record.turns, record.cached_tokens);
        // SESSION-2: a pool that is not there took the cache with it.
        if let Some(pool) = record.pool.and_then(|(id, replica_id)| self.fleet.find(id, replica_id)) {
            session.keep_cache(pool, record.cached_tokens);
        }
        self.sessions.restore(record.id, session, record.is_idle).map(|_| ()).ok_or(broken)
    }

    fn take_work(&mut self, record: &WorkRecord, session_id: Option<&str>, clock: Clock) -> Result<Work, StateError> {
        let session = match session_id {
            Some(id) => Some(self.rejoin(id, record.held).ok_or(contradiction("a job's session does not have it"))?),
            None => None,
        };
        let early = contradiction("a job was admitted before time 0");
        let work = Work {
            priority: record.priority,
            prompt_tokens: record.prompt_tokens,
            output_tokens: record.output_tokens,
            micros_per_1000_tokens: record.micros_per_1000_tokens,
            admitted_at_us: clock.at_age(record.admitted_age_us).ok_or(early)?,
            deadline_at_us: record.deadline.and_then(|moment| clock.at(moment)),
            session,
            held_time_us: record.held.time_us,
        };
        // BUDGET-2: only its time is ever another than that of its admission.
        let is_own = work.held() == record.held && Ledger::keeps(record.held);
        if is_own { Ok(work) } else { Err(contradiction("a job holds more or less than it was admitted with")) }
    }

    fn rejoin(&mut self, session_id: &str, held: BudgetAmounts) -> Option<Ticket> {
        let session = self.sessions.find(session_id)?;
        self.sessions.restore_job(session, held).then_some(session)
    }

    fn take_job(
        &mut self,
        spec: &JobSpec<'_>,
        record: &JobRecord<'_>,
        keeps_account: bool,
        clock: Clock,
    ) -> Result<(), StateError> {
        if !self.jobs.fits(spec) {
            let (table, needed, room) = (StateTable::JobBytes, record.job.0.len(), self.jobs.room());
            return Err(StateError::NoRoom { table, needed, room });
        }
        fits(spec.id, self.queue.check_id(spec.id))?;
        let tenant = spec.tenant_id.unwrap_or_default();
        fits(tenant, self.queue.check_tenant(tenant))?;
        let work = self.take_work(&record.work, spec.session_id.filter(|_| record.in_session), clock)?;
        let arrival = Arrival {
            id: spec.id,
            class: work.priority,
            tokens: work.prompt_tokens.saturating_add(work.output_tokens),
            deadline_at_us: work.deadline_at_us,
            tenant,
        };
        // BUDGET-2: before its dispatch nothing is known of its time.
        if work.held_time_us != BudgetAmounts::SHORTEST_RUN_US {
            return Err(contradiction("a waiting job holds time that only a dispatch reserves"));
        }
        let job = RestoredJob { arrival, arrived_us: work.admitted_at_us, place: record.place };
        // STATE-4: the snapshots are new, so every job is asked for again.
        let wants = spec.validate(&self.placement, None).map_or(Wants::UNKNOWN, |job| Wants::of(&job, arrival.tokens));
        let waiting = WaitingJob::new(&work, &wants);
        let broken = contradiction("waiting jobs repeat, are too many or out of order");
        let ticket = self.queue.restore(&job, keeps_account, waiting).ok_or(broken)?;
        self.kinds.came(wants.kind());
        self.jobs.put(ticket.slot(), spec);
        Ok(())
    }

    /// STATE-4: a lease finds its pool by its ids; its room is in the numbers of the pool's snapshot.
    fn take_lease(&mut self, pool: &PoolEntry<'_>, record: &LeaseRecord<'_>, clock: Clock) -> Result<(), StateError> {
        let broken = contradiction("leases repeat, are too many, or their jobs wait");
        if self.queue.find(record.id).is_some() {
            return Err(broken);
        }
        fits(record.id, self.leases.check_id(record.id))?;
        let work = self.take_work(&record.work, record.session, clock)?;
        let found = self.fleet.find(pool.pool.id, pool.pool.replica_id);
        let Some(found) = found else { return self.check_lost_lease(record, clock) };
        let too_many = contradiction("a lease holds shares of more devices than a pool of this fleet has");
        let held = self.fleet.import_lease(found, record.taken.taken()).ok_or(too_many)?;
        let lease = leased(record, clock, found, held, RunningJob::new(&work)).ok_or(broken)?;
        let ticket = self.leases.restore(record.id, lease).ok_or(broken)?;
        self.models.put(ticket.slot(), record.model_id);
        self.note_prefills(found);
        Ok(())
    }

    /// A lease that ends once everything stands.
    fn check_lost_lease(&self, record: &LeaseRecord<'_>, clock: Clock) -> Result<(), StateError> {
        let is_whole = leased(record, clock, NOWHERE, (), ()).is_some() && self.leases.find(record.id).is_none();
        if is_whole { Ok(()) } else { Err(contradiction("a lease repeats, or has no such times")) }
    }

    /// The orders of the watchdog name leases by their jobs; those of lost pools are not there.
    fn take_watch_orders(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        let broken = contradiction("leases are watched out of order, twice or not at all");
        let mut watched = [0u32; WatchOrder::ALL.len()];
        for (order, watched) in WatchOrder::ALL.into_iter().zip(&mut watched) {
            for _ in 0..reader.take::<u32>()? {
                let Some(ticket) = self.leases.find(reader.take()?) else { continue };
                if !self.leases.watch(ticket, order) {
                    return Err(broken);
                }
                *watched = watched.saturating_add(1);
            }
        }
        let [reserved, started, reported] = watched;
        let all = reserved.saturating_add(started) == self.leases.len() && started == reported;
        if all { Ok(()) } else { Err(broken) }
    }

    /// What was measured goes on.
    fn go_on(&mut self, prelude: &Prelude) {
        let measured = &prelude.measured;
        let clock = Clock { now_us: self.now_us };
        self.leases.resume(self.now_us);
        let last_service_us = measured.last_service_age_us.and_then(|age_us| clock.at_age(age_us));
        self.drain = DrainRate::from_parts(measured.drain_interval_us, last_service_us);
        let last_us = |ahead_us: u64| if ahead_us == 0 { 0 } else { self.now_us.saturating_add(ahead_us) };
        self.forecast.last_interactive_us = last_us(measured.interactive_ahead_us);
        self.forecast.last_batch_us = last_us(measured.batch_ahead_us);
        self.forecast.errors = measured.errors.0;
    }

    /// Ends the leases whose pools are not there, and drains again what was drained on request. STATE-4, REFRESH-3.
    fn end_lost_leases(
        &mut self,
        mut pools: Reader<'_>,
        clock: Clock,
        observer: &mut impl Observer,
        act: &mut impl FnMut(Action),
    ) -> u32 {
        let mut lost = 0u32;
        // All of it was read before.
        let _ = each_pool(&mut pools, |entry, lease| {
            match (self.fleet.find(entry.pool.id, entry.pool.replica_id), lease) {
                (None, Some(lease)) => {
                    lost = lost.saturating_add(1);
                    self.end_lost_lease(entry.pool, lease, clock, observer);
                    act(Action::Abort {
                        job_id: owned(lease.id),
                        pool_id: owned(entry.pool.id),
                        replica_id: owned(entry.pool.replica_id),
                        cause: AbortCause::Expired(ExpiryCause::PoolLost),
                    });
                }
                (Some(pool), None) if entry.is_drained => {
                    self.pools.set_drained(pool, true);
                    self.fleet.set_draining(pool, true);
                }
                _ => {}
            }
            Ok(())
        });
        lost
    }

    fn end_lost_lease(
        &mut self,
        pool: PoolFacts<'_>,
        record: &LeaseRecord<'_>,
        clock: Clock,
        observer: &mut impl Observer,
    ) {
        let Some(usage) = leased(record, clock, NOWHERE, (), ()).map(|lease| lease.usage(self.now_us, 0)) else {
            return;
        };
        let work = &record.work;
        let job = JobFacts {
            id: record.id,
            session_id: record.session,
            engine: pool.engine,
            model_id: record.model_id,
            priority: work.priority,
            prompt_tokens: work.prompt_tokens,
            output_tokens: work.output_tokens,
        };
        observer.observe(self.now_us, &Event::JobExpired { job, pool, cause: ExpiryCause::PoolLost, usage });
        if let Some(session) = record.session.and_then(|id| self.sessions.find(id)) {
            let used = BudgetAmounts::used(&usage, work.micros_per_1000_tokens);
            self.sessions.job_ended(session, work.held, used, self.now_us);
        }
    }

    /// Observers that count waiting jobs begin with these. STATE-6.
    fn say_depths(&self, observer: &mut impl Observer) {
        for class in [Priority::Interactive, Priority::Batch] {
            let last = self.queue.ids(class).last().and_then(|id| self.queue.find(id));
            if let Some(ticket) = last {
                self.jobs.with(ticket.slot(), |spec| self.observe_depth(spec.engine, class, observer));
            }
        }
    }
}
