//! From a waiting job to a lease, and out of the queue without one. QUEUE-12 to QUEUE-14.

use super::action::Action;
use super::admission::ClassState;
use super::event::{DispatchFacts, Event, JobFacts, Refusal, RefusalCode, UsageFacts, WaitForecast};
use super::leases::NewLease;
use super::lifecycle::owned;
use super::machine::Scheduler;
use super::observer::Observer;
use super::prefills::prefill_us;
use super::queue::{Departed, PassedOver};
use super::refusals::Wants;
use super::submit::{decision_facts, facts_of};
use super::work::{RunningJob, WaitingJob, Work};
use crate::fleet::{PoolHandle, PoolRegistry};
use crate::input::{JobSpec, Priority, ValidJob};
use crate::placement::{Assignment, Explanation, PlacementDecision};
use crate::policy::Policy;
use crate::rows::SessionEntry;
use crate::rule::rejection::Rejection;
use crate::storage::Ticket;

/// A placement that the fleet has committed.
struct Committed<L> {
    pool: PoolHandle,
    held: L,
    assignment: Assignment,
    prefill_us: u64,
}

/// Decides, where that was not `decided` ahead, says so, and commits; the headline where no pool can take the job now.
fn place<F: PoolRegistry>(
    fleet: &mut F,
    job: &ValidJob<'_>,
    policy: &Policy,
    session: Option<SessionEntry>,
    decided: Option<&Assignment>,
    say: impl FnOnce(Event<'_>),
) -> Result<Committed<F::Lease>, Option<Rejection>> {
    debug_assert!(decided.is_none_or(|decided| is_explained(decided, &fleet.explain(job, policy, session))));
    let decision =
        decided.map_or_else(|| fleet.decide(job, policy, session), |decided| PlacementDecision::Assigned(*decided));
    let facts = job.facts();
    say(Event::PlacementDecided {
        job: facts_of(job.spec(), facts.prompt_tokens, facts.output_tokens),
        decision: decision_facts(&decision, job, fleet.len()),
    });
    let assignment = match decision {
        PlacementDecision::Assigned(assignment) => assignment,
        PlacementDecision::NoCapacity { headline, .. } => return Err(headline),
    };
    let pool = fleet.at_rank(assignment.rank).ok_or(None)?;
    let prefill_us = fleet.row(pool).map_or(0, |row| prefill_us(row, policy, &assignment, facts.output_tokens));
    let held = fleet.commit(job, assignment.rank).map_err(|_| None)?;
    Ok(Committed { pool, held, assignment, prefill_us })
}

/// Whether an explanation that is made now finds the same winner, and the same of it.
fn is_explained(decided: &Assignment, explanation: &Explanation) -> bool {
    let Assignment { rank, devices, start_us, end_us, .. } = *decided;
    explanation.winner.is_some_and(|winner| {
        (winner.parts.rank, winner.devices, winner.start_us, winner.end_us) == (rank, devices, start_us, end_us)
    })
}

impl<F: PoolRegistry> Scheduler<'_, F> {
    /// Starts a pass where something changed that could help a waiting job.
    pub(super) fn begin_pass(&mut self) {
        self.todo.pass &= !self.queue.is_empty();
        if self.todo.pass {
            self.queue.begin_pass(self.now_us);
        }
    }

    /// Goes on with the pass until a job is dispatched. QUEUE-13.
    pub(super) fn dispatch_next(&mut self, observer: &mut impl Observer) -> Option<Action> {
        // Where no pool takes jobs, asking for each that waits would find that out as often.
        let has_room = self.todo.pass && !self.leases.is_full() && self.fleet.takes_jobs(&self.placement);
        let has_room = has_room && !self.is_all_refused();
        let action = if has_room { self.dispatch_in_pass(observer) } else { None };
        // Without room the next end of a lease begins another pass.
        self.todo.pass = action.is_some() && !self.queue.is_empty();
        action
    }

    /// Asks for a place for one waiting job after the other, until one has it.
    fn dispatch_in_pass(&mut self, observer: &mut impl Observer) -> Option<Action> {
        while let Some(ticket) = self.queue.next_in_pass() {
            if let Some(why) = self.known_refusal(ticket) {
                self.queue.passed_over(ticket, why);
            } else if let Some(action) = self.dispatch_waiting(ticket, observer) {
                return Some(action);
            } else if self.is_all_refused() {
                break;
            }
        }
        None
    }

    /// Whether no pool takes any job that waits, however few tokens and bytes it asks for: so that none of them contends.
    pub(super) fn is_all_refused(&self) -> bool {
        self.kinds.refused_jobs() == self.queue.len()
    }

    /// Why a waiting job need not be asked for, if so.
    fn known_refusal(&self, ticket: Ticket) -> Option<PassedOver> {
        let waiting = self.queue.get(ticket)?;
        if waiting.was_refused_in(self.epoch) {
            let contends = self.queue.contends(ticket);
            return Some(if contends { PassedOver::Contending } else { PassedOver::Known });
        }
        self.is_refused(&waiting.wants(&self.queue.facts(ticket)?)).then_some(PassedOver::Known)
    }

    /// Whether a job is known to be refused, by what it wants or with all of its kind.
    fn is_refused(&self, wants: &Wants) -> bool {
        self.refusals.include(wants) || self.kinds.is_refused(wants.kind())
    }

    #[inline(never)] // Its frame is large, and stays off the stack of the other ways through its caller.
    fn dispatch_waiting(&mut self, ticket: Ticket, observer: &mut impl Observer) -> Option<Action> {
        let work = self.queue.get(ticket)?.work(&self.queue.facts(ticket)?);
        // The job is read once. Its bytes stay as they are: its slot is used again by the next arrival at the earliest.
        let jobs = core::mem::take(&mut self.jobs);
        // Written here by the innermost: an action is large, and each that hands it on would have a copy on the stack.
        let mut action = None;
        let _ = jobs.with(ticket.slot(), |spec| self.serve(ticket, spec, &work, observer, &mut action));
        self.jobs = jobs;
        action
    }

    /// Places a waiting job, takes it out of the queue and leases; or notes that no pool can take it now.
    #[inline(never)] // Short jobs and long ones come here from different frames.
    fn serve(
        &mut self,
        ticket: Ticket,
        spec: &JobSpec<'_>,
        work: &Work,
        observer: &mut impl Observer,
        action: &mut Option<Action>,
    ) -> Option<()> {
        let session = work.session.and_then(|session| self.session_entry(session));
        let policy = self.deciding_policy();
        let Self { fleet, now_us, todo, .. } = self;
        let decided = todo.decided.of(ticket);
        // It was valid when it came; another policy changes no more than its default of output tokens.
        let valid = spec.validate(&policy, None);
        // A job is large: it stays where its check put it.
        let job = valid.as_ref().ok()?;
        let committed = match place(fleet, job, &policy, session, decided, |event| observer.observe(*now_us, &event)) {
            Ok(committed) => committed,
            Err(headline) => {
                let queued = self.queue.facts(ticket)?;
                self.note_refusal(ticket, job, Wants::of(job, queued.tokens), headline);
                return None;
            }
        };
        let served = self.queue.serve(ticket)?;
        self.kinds.left(served.payload.kind());
        // ADMIT-3: one that did not wait says nothing of how long the others will.
        if work.admitted_at_us < self.now_us {
            self.drain.served(self.now_us);
        }
        self.class_left(work.priority);
        *action = self.lease(spec, *work, committed, observer);
        self.observe_depth(spec.engine, work.priority, observer);
        Some(())
    }

    /// No pool can take a waiting job now. QUEUE-13.
    pub(super) fn note_refusal(
        &mut self,
        ticket: Ticket,
        job: &ValidJob<'_>,
        wants: Wants,
        headline: Option<Rejection>,
    ) {
        let epoch = self.epoch;
        if let Some(waiting) = self.queue.get_mut(ticket) {
            if waiting.kind() != wants.kind() {
                self.kinds.left(waiting.kind());
                self.kinds.came(wants.kind());
            }
            waiting.refuse_in(epoch, &wants);
        }
        // Else it waits behind the first of its like.
        let is_first = !self.is_refused(&wants);
        let contends = is_first && self.note_first_refusal(job, &wants, headline);
        self.queue.passed_over(ticket, if contends { PassedOver::Contending } else { PassedOver::Waiting });
    }

    /// No pool can take the first of its like; says whether it contends.
    fn note_first_refusal(&mut self, job: &ValidJob<'_>, wants: &Wants, headline: Option<Rejection>) -> bool {
        let least = JobSpec { prompt_tokens: 0, expected_tokens: Some(0), ..*job.spec() };
        if self.kinds.is_crowd(self.queue.len()) && !self.would_fit_without_vram(least) {
            self.kinds.refuse(wants.kind());
            self.refusals.remember(wants.least());
            return false;
        }
        self.refusals.remember(*wants);
        self.lacks_vram(job, headline)
    }

    /// Whether a pool that takes jobs refused this one for its VRAM, which a job behind it may take. Any other pool that
    /// takes jobs never takes this one; and whatever a pool that takes none may get, this one is asked for it first.
    fn lacks_vram(&self, job: &ValidJob<'_>, headline: Option<Rejection>) -> bool {
        match headline {
            Some(Rejection::Vram) => true,
            // Another pool may lack a slot: that one says more.
            Some(Rejection::Slots) if job.facts().whole_bytes() > 0 => self.would_fit_without_vram(*job.spec()),
            _ => false,
        }
    }

    #[inline(never)] // Its frame is large, and stays off the stack of the other ways through its caller.
    fn would_fit_without_vram(&self, mut spec: JobSpec<'_>) -> bool {
        (spec.est_kv_bytes, spec.requirements.min_vram_bytes) = (Some(0), 0);
        let weightless = spec.validate(&self.placement, None);
        let job = weightless.as_ref();
        job.is_ok_and(|job| self.fleet.decide(job, &self.placement, None).assignment().is_some())
    }

    /// A newcomer that needs no place in the queue. QUEUE-14.
    #[inline(never)] // Its frame is large, and stays off the stack of the other ways through its caller.
    pub(super) fn dispatch_at_once(
        &mut self,
        job: &ValidJob<'_>,
        decided: &Assignment,
        observer: &mut impl Observer,
    ) -> Result<WaitForecast, Refusal> {
        let work = self.begin_work(job, observer)?;
        let session = work.session.and_then(|session| self.session_entry(session));
        let policy = self.deciding_policy();
        let Self { fleet, now_us, .. } = self;
        let placed = place(fleet, job, &policy, session, Some(decided), |event| observer.observe(*now_us, &event));
        let Ok(committed) = placed else {
            // What is decided can be committed: this answers a disagreement that cannot be.
            self.settle(&work, &UsageFacts::default());
            return Err(self.no_storage(work.priority));
        };
        if !self.is_all_refused() {
            self.queue.overtake_first(self.now_us);
        }
        let forecast = self.forecast.wait(work.priority, 0, 0, self.drain.interval_us(), self.now_us);
        self.class_left(work.priority);
        let facts = facts_of(job.spec(), work.prompt_tokens, work.output_tokens);
        observer.observe(self.now_us, &Event::JobEnqueued { job: facts, forecast });
        self.todo.held = self.lease(job.spec(), work, committed, observer);
        Ok(forecast)
    }

    /// Makes a lease of a committed placement and says so. LEASE-1.
    fn lease(
        &mut self,
        spec: &JobSpec<'_>,
        mut work: Work,
        committed: Committed<F::Lease>,
        observer: &mut impl Observer,
    ) -> Option<Action> {
        let Committed { pool, held, mut assignment, prefill_us } = committed;
        let now_us = self.now_us;
        self.todo.decided.forget();
        let waits = self.fleet.export_lease(&held).waits;
        // LEASE-8: where it waits for a slot, the service times of WAIT-2 have them.
        let untold_us = if waits { self.counted_prefills_us(pool) } else { 0 };
        assignment.start_us = assignment.start_us.saturating_sub(untold_us);
        assignment.end_us = assignment.end_us.map(|end_us| end_us.saturating_sub(untold_us));
        let run_us = assignment.end_us.map(|end_us| end_us.saturating_sub(assignment.start_us));
        let predicted_end_us = assignment.end_us.map(|us| now_us.saturating_add(us));
        // The deadline counts from the admission, the prediction from now.
        assignment.on_time = predicted_end_us.zip(work.deadline_at_us).map(|(end, deadline)| end <= deadline);
        let on_time_permille = self.forecast.on_time_permille(work.deadline_at_us, predicted_end_us, now_us);
        if let Some(session) = work.session {
            work.held_time_us = self.sessions.turn_started(session, work.held(), run_us, now_us).time_us;
        }
        // LEASE-5: it was sent to wait there.
        let pool_wait_us = if waits { assignment.start_us } else { 0 };
        let lease = NewLease {
            pool,
            held,
            admitted_at_us: work.admitted_at_us,
            predicted_end_us,
            pool_wait_us,
            prefill_us,
            prompt_tokens: work.prompt_tokens,
            job: RunningJob::new(&work),
        };
        // There is room for a lease, and no other job has the id: both were asked.
        let ticket = self.leases.reserve(spec.id, lease, now_us).ok()?;
        self.models.put(ticket.slot(), spec.model_id);
        self.note_prefills(pool);
        let dispatch = DispatchFacts {
            assignment,
            waited_us: now_us.saturating_sub(work.admitted_at_us),
            kv_warm: assignment.warm,
            kv_migrated: false,
            seed: spec.determinism.seed,
            on_time_permille,
        };
        let job = facts_of(spec, work.prompt_tokens, work.output_tokens);
        let pool = self.fleet.facts(pool)?;
        observer.observe(now_us, &Event::JobDispatched { job, pool, dispatch });
        Some(Action::Dispatch {
            job_id: owned(spec.id),
            pool_id: owned(pool.id),
            replica_id: owned(pool.replica_id),
            dispatch,
        })
    }

    /// The next job that waited too long. QUEUE-12.
    #[inline(never)] // As above: an action is large.
    pub(super) fn expire_waiting(&mut self, observer: &mut impl Observer) -> Option<Action> {
        let departed = self.queue.expire(self.now_us)?;
        let retry_after_ms = self.retry_after_ms(departed.facts.class);
        let refusal = Refusal::later(RefusalCode::QueueTimeout, None, retry_after_ms);
        let waited_us = self.now_us.saturating_sub(departed.facts.arrived_us);
        self.leave(&departed, observer, |job| Event::JobTimedOut { job, refusal, waited_us });
        Some(Action::Drop { job_id: departed.id, refusal })
    }

    /// What is to be done and said of a job that left the queue without a lease.
    pub(super) fn leave(
        &mut self,
        departed: &Departed<WaitingJob>,
        observer: &mut impl Observer,
        event: impl for<'e> FnOnce(JobFacts<'e>) -> Event<'e>,
    ) {
        let work = departed.work();
        self.kinds.left(departed.payload.kind());
        self.settle(&work, &UsageFacts::default());
        self.class_left(departed.facts.class);
        // QUEUE-13: it may have been the one at which passes had to stop.
        self.todo.pass = true;
        if let Some(spec) = self.jobs.head(departed.slot) {
            let job = facts_of(&spec, work.prompt_tokens, work.output_tokens);
            observer.observe(self.now_us, &event(job));
            self.observe_depth(spec.engine, departed.facts.class, observer);
        }
    }

    /// FORECAST-2: a class that is empty starts its forecasts anew.
    fn class_left(&mut self, class: Priority) {
        if self.queue.state().class(class).jobs == 0 {
            self.forecast.class_emptied(class);
        }
    }

    /// Says how many jobs of a class wait, with the engine of the job that came or left.
    pub(super) fn observe_depth(&self, engine: &str, priority: Priority, observer: &mut impl Observer) {
        let ClassState { jobs, tokens, .. } = self.queue.state().class(priority);
        observer.observe(self.now_us, &Event::QueueDepth { priority, engine, jobs, tokens });
    }
}
