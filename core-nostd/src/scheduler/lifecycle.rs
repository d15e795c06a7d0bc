//! What is reported of a leased job, and every way for it to end. LEASE-1 to LEASE-7.

use super::action::{AbortCause, Action, Answer};
use super::budget::BudgetAmounts;
use super::event::{Event, ExpiryCause, JobFacts, UsageFacts};
use super::input::{CancelCause, FailureCause};
use super::leases::Reported;
use super::machine::Scheduler;
use super::observer::Observer;
use super::work::Work;
use crate::fleet::{PoolFacts, PoolRegistry};
use crate::storage::Ticket;
use crate::values::text::Id;

/// How a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Failed(FailureCause),
    Canceled(CancelCause),
    Expired(ExpiryCause),
}

impl End {
    const fn event<'a>(self, job: JobFacts<'a>, pool: PoolFacts<'a>, usage: UsageFacts) -> Event<'a> {
        match self {
            Self::Finished => Event::JobFinished { job, pool, usage },
            Self::Failed(cause) => Event::JobFailed { job, pool, cause, usage },
            Self::Canceled(cause) => Event::JobCanceled { job, pool: Some(pool), cause, usage },
            Self::Expired(cause) => Event::JobExpired { job, pool, cause, usage },
        }
    }
}

impl<F: PoolRegistry> Scheduler<'_, F> {
    pub(super) fn started(&mut self, job_id: &str, observer: &mut impl Observer) -> Answer {
        self.report(job_id, |scheduler, ticket| {
            let reported = scheduler.leases.started(ticket, scheduler.now_us);
            scheduler.note_start(ticket, reported, observer)
        })
    }

    pub(super) fn first_token(&mut self, job_id: &str, observer: &mut impl Observer) -> Answer {
        self.report(job_id, |scheduler, ticket| {
            let reported = scheduler.leases.first_token(ticket, scheduler.now_us);
            let is_news = scheduler.note_start(ticket, reported, observer);
            if is_news {
                scheduler.prefills_changed(ticket);
                scheduler.note_first_token(ticket, observer);
            }
            is_news
        })
    }

    /// Whether a report was news; where the job starts with it, that is an event too. LEASE-7.
    fn note_start(&self, ticket: Ticket, reported: Reported, observer: &mut impl Observer) -> bool {
        let Reported::Taken { starts } = reported else { return false };
        if starts {
            self.observe_lease(ticket, observer, |job, pool| Event::JobStarted { job, pool });
        }
        true
    }

    /// The pool holds the prompt's KV cache now. SESSION-2.
    fn note_first_token(&mut self, ticket: Ticket, observer: &mut impl Observer) {
        let Some(lease) = self.leases.get(ticket) else { return };
        let (work, pool) = (lease.work(), lease.pool());
        if let Some(session) = work.session {
            self.sessions.kv_written(session, pool, work.prompt_tokens, self.now_us);
        }
        let since_admission_us = self.now_us.saturating_sub(work.admitted_at_us);
        self.observe_lease(ticket, observer, |job, pool| Event::JobFirstToken { job, pool, since_admission_us });
    }

    pub(super) fn progress(&mut self, job_id: &str, tokens_out: u32, observer: &mut impl Observer) -> Answer {
        self.report(job_id, |scheduler, ticket| {
            let reported = scheduler.leases.progress(ticket, scheduler.now_us, tokens_out);
            scheduler.prefills_changed(ticket);
            scheduler.note_start(ticket, reported, observer)
        })
    }

    pub(super) fn ended(&mut self, job_id: &str, end: End, tokens_out: u32, observer: &mut impl Observer) -> Answer {
        self.report(job_id, |scheduler, ticket| {
            scheduler.end_lease(ticket, end, tokens_out, observer);
            true
        })
    }

    /// A report on a leased job; `change` says whether it was news. LEASE-7.
    fn report(&mut self, job_id: &str, change: impl FnOnce(&mut Self, Ticket) -> bool) -> Answer {
        match self.leases.find(job_id) {
            Some(ticket) if change(self, ticket) => Answer::Done,
            Some(_) => Answer::Repeated,
            None if self.queue.find(job_id).is_some() => Answer::NotDispatched,
            None => Answer::UnknownJob,
        }
    }

    /// LEASE-6.
    pub(super) fn cancel(&mut self, job_id: &str, cause: CancelCause, observer: &mut impl Observer) -> Answer {
        if let Some(departed) = self.queue.find(job_id).and_then(|ticket| self.queue.cancel(ticket)) {
            let (pool, usage) = (None, UsageFacts::default());
            self.leave(&departed, observer, |job| Event::JobCanceled { job, pool, cause, usage });
            return Answer::Done;
        }
        let Some(ticket) = self.leases.find(job_id) else { return Answer::UnknownJob };
        self.todo.held = self.abort(ticket, AbortCause::Canceled(cause));
        self.end_lease(ticket, End::Canceled(cause), 0, observer);
        Answer::Done
    }

    /// The next lease that ends by itself. LEASE-5.
    #[inline(never)] // An action is large, and stays off the stack of the other ways through its caller.
    pub(super) fn expire_lease(&mut self, observer: &mut impl Observer) -> Option<Action> {
        let (ticket, cause) = self.leases.next_expired(self.now_us, &self.rules.watchdog)?;
        self.expire(ticket, cause, observer)
    }

    pub(super) fn expire(
        &mut self,
        ticket: Ticket,
        cause: ExpiryCause,
        observer: &mut impl Observer,
    ) -> Option<Action> {
        let action = self.abort(ticket, AbortCause::Expired(cause));
        self.end_lease(ticket, End::Expired(cause), 0, observer);
        action
    }

    fn abort(&self, ticket: Ticket, cause: AbortCause) -> Option<Action> {
        let pool = self.fleet.facts(self.leases.get(ticket)?.pool()).unwrap_or_default();
        Some(Action::Abort {
            job_id: owned(self.leases.id(ticket)?),
            pool_id: owned(pool.id),
            replica_id: owned(pool.replica_id),
            cause,
        })
    }

    /// Ends a lease: the pool, the session and the ledger get back what is theirs. LEASE-1, COMMIT-6, BUDGET-2.
    fn end_lease(&mut self, ticket: Ticket, end: End, tokens_out: u32, observer: &mut impl Observer) {
        let Some(lease) = self.leases.get(ticket) else { return };
        let usage = lease.usage(self.now_us, tokens_out);
        self.observe_lease(ticket, observer, |job, pool| end.event(job, pool, usage));
        let Some(ended) = self.leases.end(ticket) else { return };
        let work = ended.work();
        if end == End::Finished {
            self.forecast.record_end(ended.predicted_end_us(), self.now_us);
            // SESSION-2: a good end implies a first token, reported or not.
            if let Some(session) = work.session {
                let cached_tokens = ended.prompt_tokens().saturating_add(usage.tokens_out);
                self.sessions.kv_written(session, ended.pool(), cached_tokens, self.now_us);
            }
        }
        let pool = ended.pool();
        ended.give_back_to(&mut self.fleet);
        self.note_prefills(pool);
        self.settle(&work, &usage);
        self.capacity_may_have_grown();
    }

    /// Spends what was really used, and frees what was held beyond it. BUDGET-2.
    pub(super) fn settle(&mut self, work: &Work, usage: &UsageFacts) {
        if let Some(session) = work.session {
            let used = BudgetAmounts::used(usage, work.micros_per_1000_tokens);
            self.sessions.job_ended(session, work.held(), used, self.now_us);
        }
    }

    /// A leased job as events name it.
    fn leased_facts(&self, ticket: Ticket) -> Option<JobFacts<'_>> {
        let lease = self.leases.get(ticket)?;
        let work = lease.work();
        Some(JobFacts {
            id: self.leases.id(ticket)?,
            session_id: work.session.and_then(|session| self.sessions.id(session)),
            engine: self.fleet.facts(lease.pool()).unwrap_or_default().engine,
            model_id: self.models.get(ticket.slot()),
            priority: work.priority,
            prompt_tokens: work.prompt_tokens,
            output_tokens: work.output_tokens,
        })
    }

    fn observe_lease<'e>(
        &'e self,
        ticket: Ticket,
        observer: &mut impl Observer,
        event: impl FnOnce(JobFacts<'e>, PoolFacts<'e>) -> Event<'e>,
    ) {
        let facts = || Some((self.leased_facts(ticket)?, self.fleet.facts(self.leases.get(ticket)?.pool())?));
        if let Some((job, pool)) = facts() {
            observer.observe(self.now_us, &event(job, pool));
        }
    }
}

/// An id with storage of its own; ids that reached the scheduler are inside the limit.
pub(super) fn owned(id: &str) -> Id {
    Id::try_from(id).unwrap_or_default()
}
