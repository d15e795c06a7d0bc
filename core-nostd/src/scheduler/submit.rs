//! From a request to a waiting job, or a refusal that says why. ADMIT-1, ADMIT-2, ADMIT-5.

use super::action::{Action, Answer};
use super::admission::Admission;
use super::budget::{BudgetAmounts, Ledger};
use super::event::{DecisionFacts, Event, JobFacts, Refusal, RefusalCode, SessionEnd, UsageFacts, WaitForecast};
use super::machine::Scheduler;
use super::observer::Observer;
use super::policy::FullPolicy;
use super::queue::{Arrival, Departed};
use super::refusals::Wants;
use super::sessions::SessionRefusal;
use super::work::{WaitingJob, Work};
use crate::error::{FieldError, Problem};
use crate::fleet::PoolRegistry;
use crate::input::{JobSpec, PlacementMode, Priority, ValidJob};
use crate::placement::{Assignment, PlacementDecision, WireCode};
use crate::rows::JobRow;
use crate::rule::rejection::Rejection;
use crate::values::index::index;

impl Refusal {
    const fn of(code: RefusalCode) -> Self {
        Self { code, field: None, policy_label: None, rejection: None, retry_after_ms: None }
    }

    /// The job's own fault: trying again cannot help.
    const fn invalid(field: FieldError) -> Self {
        Self { field: Some(field), ..Self::of(RefusalCode::InvalidParams) }
    }

    /// No room now.
    pub(super) const fn later(code: RefusalCode, policy_label: Option<&'static str>, retry_after_ms: u64) -> Self {
        Self { policy_label, retry_after_ms: Some(retry_after_ms), ..Self::of(code) }
    }
}

impl From<WireCode> for RefusalCode {
    fn from(code: WireCode) -> Self {
        match code {
            WireCode::InvalidParams => Self::InvalidParams,
            WireCode::PoolUnavailable => Self::PoolUnavailable,
            WireCode::PoolUnready => Self::PoolUnready,
            WireCode::ReplicaExhausted => Self::ReplicaExhausted,
        }
    }
}

/// A job as events name it, from its request.
pub(super) const fn facts_of<'a>(spec: &JobSpec<'a>, prompt_tokens: u32, output_tokens: u32) -> JobFacts<'a> {
    JobFacts {
        id: spec.id,
        session_id: spec.session_id,
        engine: spec.engine,
        model_id: spec.model_id,
        priority: spec.priority,
        prompt_tokens,
        output_tokens,
    }
}

/// Whether a pool can take a job now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// Where it goes.
    Now(Assignment),
    /// Why not now.
    Later(Option<Rejection>),
}

impl<F: PoolRegistry> Scheduler<'_, F> {
    pub(super) fn submit(&mut self, spec: &JobSpec<'_>, observer: &mut impl Observer) -> Answer {
        if self.queue.find(spec.id).is_some() || self.leases.find(spec.id).is_some() {
            return Answer::DuplicateJob;
        }
        let valid = spec.validate(&self.placement, None);
        // A job is large: it stays where its check put it.
        let job = match &valid {
            Ok(job) => job,
            Err(field) => return self.refuse(facts_of(spec, 0, 0), Refusal::invalid(*field), observer),
        };
        match self.admit(job, observer) {
            Ok(forecast) => Answer::Accepted(forecast),
            Err(refusal) => {
                let JobRow { prompt_tokens, output_tokens, .. } = *job.facts();
                self.refuse(facts_of(spec, prompt_tokens, output_tokens), refusal, observer)
            }
        }
    }

    fn refuse(&self, job: JobFacts<'_>, refusal: Refusal, observer: &mut impl Observer) -> Answer {
        observer.observe(self.now_us, &Event::JobRefused { job, refusal });
        Answer::Refused(refusal)
    }

    fn admit(&mut self, job: &ValidJob<'_>, observer: &mut impl Observer) -> Result<WaitForecast, Refusal> {
        self.check_guardrails(job)?;
        let outlook = self.outlook(job, observer)?;
        let (class, tokens) = (job.spec().priority, whole_tokens(job.facts()));
        let admission = self.queue.admission(class, tokens, self.drain.interval_us(), &self.rules.admission);
        // QUEUE-14: where a pool takes it at once, it needs no room, and nobody has to go for it.
        if admission != Admission::Accept
            && let Outlook::Now(assignment) = &outlook
            && !self.leases.is_full()
            && (self.is_all_refused() || self.queue.may_overtake_first(self.now_us))
        {
            return self.dispatch_at_once(job, assignment, observer);
        }
        match admission {
            Admission::Accept | Admission::AcceptAfterEviction { .. } => self.enqueue(job, outlook, observer),
            Admission::Reject { policy_label, retry_after_ms } => {
                let is_lru = policy_label == FullPolicy::DropLru.label();
                let code = if is_lru { RefusalCode::QueueFullDropLru } else { RefusalCode::AdmissionReject };
                Err(Refusal::later(code, Some(policy_label), retry_after_ms))
            }
        }
    }

    /// ADMIT-2.
    fn check_guardrails(&self, job: &ValidJob<'_>) -> Result<(), Refusal> {
        let (facts, rules) = (job.facts(), &self.rules.admission);
        let too_large =
            |field, max: u32| Refusal::invalid(FieldError::new(field, Problem::TooLarge { max: max.into() }));
        if facts.deadline_us == 0 {
            let why = "must be above 0: a deadline of 0 has passed already";
            let field = FieldError::new("deadline_ms", Problem::Contradiction { why });
            return Err(Refusal { code: RefusalCode::DeadlineUnmet, ..Refusal::invalid(field) });
        }
        if whole_tokens(facts) > rules.max_job_tokens {
            return Err(too_large("max_tokens", rules.max_job_tokens));
        }
        if facts.context_tokens > rules.max_context_tokens {
            return Err(too_large("required_ctx", rules.max_context_tokens));
        }
        let too_long = |field| move |problem| Refusal::invalid(FieldError::new(field, problem));
        let spec = job.spec();
        let fits = self.queue.check_id(spec.id).and_then(|()| self.leases.check_id(spec.id));
        fits.map_err(too_long("id"))?;
        self.queue.check_tenant(spec.tenant_id.unwrap_or_default()).map_err(too_long("tenant_id"))?;
        // Without any room to wait nothing is kept of a job: it is dispatched at once or not at all. QUEUE-14.
        if self.queue.capacity() > 0 && !self.jobs.fits(job.spec()) {
            let field = FieldError::new("job", Problem::TooLong { max_bytes: self.jobs.room() });
            return Err(Refusal::invalid(field));
        }
        Ok(())
    }

    /// Whether a pool can take it now, or later; a refusal where waiting cannot help. ADMIT-2.
    #[inline(never)] // Its frame is large, and stays off the stack of the other ways through its caller.
    fn outlook(&self, job: &ValidJob<'_>, observer: &mut impl Observer) -> Result<Outlook, Refusal> {
        let session = job.spec().session_id.and_then(|id| self.session_entry(self.sessions.find(id)?));
        let decision = self.fleet.decide(job, &self.deciding_policy(), session);
        let facts = job.facts();
        // What can be assigned is decided, and said, when it is dispatched. METRIC-4.
        if decision.assignment().is_none() {
            let event = Event::PlacementDecided {
                job: facts_of(job.spec(), facts.prompt_tokens, facts.output_tokens),
                decision: decision_facts(&decision, job, self.fleet.len()),
            };
            observer.observe(self.now_us, &event);
        }
        match decision {
            PlacementDecision::Assigned(assignment) => Ok(Outlook::Now(assignment)),
            PlacementDecision::NoCapacity { reason, headline, .. } if reason.is_retryable() => {
                Ok(Outlook::Later(headline))
            }
            PlacementDecision::NoCapacity { headline, code, .. } => {
                Err(Refusal { rejection: headline, ..Refusal::of(code.into()) })
            }
        }
    }

    #[inline(never)] // Its frame is large, and stays off the stack of the other ways through its caller.
    fn enqueue(
        &mut self,
        job: &ValidJob<'_>,
        outlook: Outlook,
        observer: &mut impl Observer,
    ) -> Result<WaitForecast, Refusal> {
        let (spec, work) = (job.spec(), self.begin_work(job, observer)?);
        let arrival = Arrival {
            id: spec.id,
            class: spec.priority,
            tokens: whole_tokens(job.facts()),
            deadline_at_us: work.deadline_at_us,
            tenant: spec.tenant_id.unwrap_or_default(),
        };
        if self.queue.is_empty() {
            self.drain.ran_empty();
        }
        let wants = Wants::of(job, arrival.tokens);
        let Ok(enqueued) = self.queue.enqueue(&arrival, WaitingJob::new(&work, &wants), self.now_us) else {
            // The queue does what its admission said: this answers a disagreement that cannot be.
            self.settle(&work, &UsageFacts::default());
            return Err(self.no_storage(work.priority));
        };
        self.kinds.came(wants.kind());
        if let Some(victim) = enqueued.evicted {
            self.evict(&victim, observer);
        }
        self.jobs.put(enqueued.ticket.slot(), spec);
        match outlook {
            Outlook::Now(assignment) => {
                self.todo.decided.remember(enqueued.ticket, assignment);
                self.todo.pass = true;
            }
            Outlook::Later(headline) => self.note_refusal(enqueued.ticket, job, wants, headline),
        }
        let position = self.queue.position(enqueued.ticket, self.now_us);
        let (total, in_class) = position.map_or((0, 0), |position| (position.total, position.in_class));
        let interval_us = self.drain.interval_us();
        let forecast = self.forecast.wait(spec.priority, total, in_class, interval_us, self.now_us);
        let job = facts_of(spec, work.prompt_tokens, work.output_tokens);
        observer.observe(self.now_us, &Event::JobEnqueued { job, forecast });
        self.observe_depth(spec.engine, spec.priority, observer);
        Ok(forecast)
    }

    /// Takes the job into its session and its budget. SESSION-1, BUDGET-1 to BUDGET-3.
    pub(super) fn begin_work(&mut self, job: &ValidJob<'_>, observer: &mut impl Observer) -> Result<Work, Refusal> {
        let (spec, facts) = (job.spec(), job.facts());
        let micros_per_1000_tokens = self.prices.micros_per_1000_tokens(spec.engine, spec.model_id);
        let held = BudgetAmounts::at_admission(facts.prompt_tokens, facts.output_tokens, micros_per_1000_tokens);
        let session = match spec.session_id {
            None => {
                Ledger::new(job.budget()).reserve(held).map_err(Refusal::invalid)?;
                None
            }
            Some(session_id) => {
                let admitted = self.sessions.admit(session_id, job.budget(), held, self.now_us);
                let admitted = admitted.map_err(|refusal| match refusal {
                    SessionRefusal::Full => {
                        let problem = Problem::StorageFull { capacity: index(self.sessions.capacity()) };
                        let field = Some(FieldError::new("session_id", problem));
                        Refusal { field, ..self.no_storage(spec.priority) }
                    }
                    SessionRefusal::Field(field) => Refusal::invalid(field),
                })?;
                if let Some(evicted) = admitted.evicted {
                    let cause = SessionEnd::Evicted;
                    observer.observe(self.now_us, &Event::SessionEnded { session_id: &evicted, cause });
                }
                Some(admitted.ticket)
            }
        };
        let has_deadline = facts.deadline_us != JobRow::NO_DEADLINE;
        Ok(Work {
            priority: spec.priority,
            prompt_tokens: facts.prompt_tokens,
            output_tokens: facts.output_tokens,
            micros_per_1000_tokens,
            admitted_at_us: self.now_us,
            deadline_at_us: has_deadline.then(|| self.now_us.saturating_add(facts.deadline_us)),
            session,
            held_time_us: held.time_us,
        })
    }

    /// Storage for jobs, leases or sessions is used up. ADMIT-5.
    pub(super) fn no_storage(&self, class: Priority) -> Refusal {
        Refusal::later(RefusalCode::AdmissionReject, None, self.retry_after_ms(class))
    }

    /// When a job of this class may try again. ADMIT-4.
    pub(super) fn retry_after_ms(&self, class: Priority) -> u64 {
        self.drain.retry_after_ms(self.queue.state().jobs_ahead(class), &self.rules.admission)
    }

    /// A waiting job lost its place to a newcomer. QUEUE-4.
    fn evict(&mut self, victim: &Departed<WaitingJob>, observer: &mut impl Observer) {
        let label = FullPolicy::DropLru.label();
        let retry_after_ms = self.retry_after_ms(victim.facts.class);
        let refusal = Refusal::later(RefusalCode::QueueFullDropLru, Some(label), retry_after_ms);
        let waited_us = self.now_us.saturating_sub(victim.facts.arrived_us);
        self.leave(victim, observer, |job| Event::JobEvicted { job, refusal, waited_us });
        self.todo.held = Some(Action::Drop { job_id: victim.id.clone(), refusal });
    }
}

/// What metrics count of a decision.
pub(super) fn decision_facts(decision: &PlacementDecision, job: &ValidJob<'_>, candidates: u32) -> DecisionFacts {
    let assignment = decision.assignment();
    DecisionFacts {
        assigned: assignment.is_some(),
        pinned: job.mode() == PlacementMode::Pin,
        fallback: assignment.is_some_and(|assignment| assignment.fallback),
        candidates,
    }
}

/// Prompt and output tokens: below 2^25.
const fn whole_tokens(facts: &JobRow) -> u32 {
    facts.prompt_tokens.saturating_add(facts.output_tokens)
}
