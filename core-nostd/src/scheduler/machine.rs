//! The whole scheduler: queue, leases, sessions, budgets and forecasts around one fleet.
//!
//! [`Scheduler::handle`] takes one input with its time and answers it; [`Scheduler::next_action`] then says, one by one,
//! what is to be done. Both are bounded: an input does a bounded number of look-ups, an action at most one decision per
//! job that is passed over.
//!
//! Invariants: every submitted job ends in exactly one terminal event (EVENT-1); a job waits or has a lease, never
//! both; what was reserved in a ledger is settled once; the same inputs give the same answers, events and actions.

use super::action::{Action, Answer};
use super::admission::QueueState;
use super::decided::DecidedAhead;
use super::drain_rate::DrainRate;
use super::event::Event;
use super::forecast::Forecast;
use super::input::Input;
use super::kinds::WaitingKinds;
use super::leases::{LeaseState, Leases};
use super::lifecycle::End;
use super::observer::Observer;
use super::policy::SchedulerPolicy;
use super::pools::PoolRecords;
use super::prices::Prices;
use super::queue::Queue;
use super::refusals::Refusals;
use super::sessions::Sessions;
use super::storage::SchedulerStorage;
use super::waiting::JobStore;
use super::work::{RunningJob, WaitingJob};
use crate::fleet::{PoolFacts, PoolHandle, PoolRegistry};
use crate::input::BudgetLimits;
use crate::limits::{NAME_BYTES_MAX, NOW_MAX_US};
use crate::policy::Policy;
use crate::storage::{ROWS_MAX, Texts};
use crate::values::index::position;
use crate::values::kept::heard;

/// A fleet with everything that waits for it and runs on it.
///
/// ```
/// use orchestrator_core::scheduler::{Action, Answer, Input, Scheduler, SchedulerBuffers, SchedulerPolicy};
/// use orchestrator_core::{JobSpec, Policy, PoolSnapshot, SmallFleet};
///
/// // 2 pools; 4 jobs of up to 256 bytes may wait, 4 may run; 2 sessions.
/// let mut buffers: SchedulerBuffers<_, 2, 4, 256, 4, 2> = SchedulerBuffers::new();
/// let fleet: SmallFleet<2, 4, 16> = SmallFleet::new();
/// let mut scheduler = Scheduler::new(fleet, buffers.storage(), Policy::default(), SchedulerPolicy::default());
///
/// let pool = PoolSnapshot::new("gpu-0", "vllm", 1, 1, 80 << 30, 60 << 30);
/// let answer = scheduler.drive(&Input::Snapshot(&pool), 0, &mut (), |_| ());
/// assert_eq!(answer, Answer::Done);
///
/// let job = JobSpec::new("job-1", "vllm", "some/model");
/// let mut dispatched = None;
/// let answer = scheduler.drive(&Input::Submit(&job), 10, &mut (), |action| dispatched = Some(action));
/// assert!(matches!(answer, Answer::Accepted(_)));
/// let Some(Action::Dispatch { job_id, pool_id, .. }) = dispatched else { panic!("the pool is free") };
/// assert_eq!((job_id.as_str(), pool_id.as_str()), ("job-1", "gpu-0"));
/// assert_eq!(scheduler.lease_of("job-1").map(|(pool, _)| pool.id), Some("gpu-0"));
/// ```
#[derive(Debug)]
pub struct Scheduler<'a, F: PoolRegistry> {
    pub(super) fleet: F,
    pub(super) placement: Policy,
    pub(super) rules: SchedulerPolicy,
    pub(super) prices: Prices<'a>,
    pub(super) queue: Queue<'a, WaitingJob>,
    pub(super) jobs: JobStore<'a>,
    pub(super) leases: Leases<'a, F::Lease, RunningJob>,
    /// Names of the models of leased jobs, for events, by slot; one that does not fit is empty.
    pub(super) models: Texts<'a>,
    pub(super) pools: PoolRecords<'a>,
    /// Pools for which there is storage, whatever fits the fleet.
    pub(super) pools_max: u32,
    pub(super) sessions: Sessions<'a>,
    pub(super) drain: DrainRate,
    pub(super) forecast: Forecast,
    pub(super) now_us: u64,
    /// Raised by everything that could let a waiting job be placed, never 0. A job that was asked for in an epoch and comes
    /// up again 2^32 epochs later, without a question in between, is taken for asked in that one. QUEUE-13.
    pub(super) epoch: u32,
    /// What was asked for in vain in this epoch.
    pub(super) refusals: Refusals,
    pub(super) kinds: WaitingKinds,
    pub(super) todo: Todo,
}

/// What is left to do of the last input.
#[derive(Debug, Default)]
pub(super) struct Todo {
    step: Step,
    /// What the input itself calls for.
    pub(super) held: Option<Action>,
    /// A pool that goes when its leases have ended.
    pub(super) leaving: Option<PoolHandle>,
    /// Whether a pass over the queue may find a place for a job.
    pub(super) pass: bool,
    /// What the pass need not decide.
    pub(super) decided: DecidedAhead,
}

/// The parts of the work after an input, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Step {
    /// What the input itself calls for.
    Held,
    /// Leases of a pool that goes.
    Leaving,
    /// Leases that end by themselves.
    Watchdog,
    /// Jobs that waited too long.
    Expiry,
    /// Pools that are to be asked for their state.
    Refresh,
    /// Waiting jobs that a pool can take now.
    Pass,
    /// Nothing.
    #[default]
    Idle,
}

impl Step {
    const fn next(self) -> Self {
        match self {
            Self::Held => Self::Leaving,
            Self::Leaving => Self::Watchdog,
            Self::Watchdog => Self::Expiry,
            Self::Expiry => Self::Refresh,
            Self::Refresh => Self::Pass,
            Self::Pass | Self::Idle => Self::Idle,
        }
    }
}

impl<'a, F: PoolRegistry> Scheduler<'a, F> {
    /// A scheduler over `fleet` and this storage; whatever the storage held is dropped. Pools that are in the fleet
    /// already count as observed at time 0; those for which there is no storage leave it.
    #[must_use]
    pub fn new(
        mut fleet: F,
        storage: SchedulerStorage<'a, F::Lease>,
        placement: Policy,
        rules: SchedulerPolicy,
    ) -> Self {
        let SchedulerStorage { queue, job_bytes, leases, model_names, pools, sessions, prices, hash_seed } = storage;
        fleet.prepare_for(&placement);
        let pools_max = position(pools.len().min(leases.pools.len())).min(ROWS_MAX);
        let queue = Queue::with_hash_seed(queue, rules.queue, hash_seed);
        let leases = Leases::with_hash_seed(leases, hash_seed);
        let mut pools = PoolRecords::new(pools);
        let mut rank = 0;
        while let Some(pool) = fleet.at_rank(rank) {
            if pool.slot >= pools_max && fleet.remove(pool) {
                continue;
            }
            pools.snapshot_taken(pool, 0);
            rank = rank.saturating_add(1);
        }
        Self {
            fleet,
            placement,
            rules,
            prices,
            jobs: JobStore::new(job_bytes, queue.capacity()),
            models: Texts::new(model_names, leases.capacity(), NAME_BYTES_MAX),
            queue,
            leases,
            pools,
            pools_max,
            sessions: Sessions::new(sessions, hash_seed),
            drain: DrainRate::default(),
            forecast: Forecast::default(),
            now_us: 0,
            epoch: 1,
            refusals: Refusals::default(),
            kinds: WaitingKinds::default(),
            todo: Todo::default(),
        }
    }

    /// Takes one input. EVENT-3.
    ///
    /// What it calls for is said by [`Scheduler::next_action`], until that says nothing more: before, further inputs are
    /// answered with [`Answer::ActionsPending`] and change nothing, so that no action can be lost.
    pub fn handle(&mut self, input: &Input<'_>, now_us: u64, observer: &mut impl Observer) -> Answer {
        if self.todo.step != Step::Idle {
            return Answer::ActionsPending;
        }
        if now_us < self.now_us {
            return Answer::TimeWentBack { last_us: self.now_us };
        }
        if heard(now_us) < now_us {
            return Answer::TimeTooLate { max_us: NOW_MAX_US };
        }
        self.now_us = now_us;
        self.todo.step = Step::Held;
        self.todo.decided.forget();
        self.mark_stale_pools();
        self.expire_sessions(observer);
        match *input {
            Input::Snapshot(snapshot) => self.take_snapshot(snapshot, observer),
            Input::RemovePool { id, replica_id } => self.remove_pool(id, replica_id),
            Input::Drain { id, replica_id, draining } => self.drain_pool(id, replica_id, draining, observer),
            Input::Submit(job) => self.submit(job, observer),
            Input::Started { job_id } => self.started(job_id, observer),
            Input::FirstToken { job_id } => self.first_token(job_id, observer),
            Input::Progress { job_id, tokens_out } => self.progress(job_id, tokens_out, observer),
            Input::Finished { job_id, tokens_out } => self.ended(job_id, End::Finished, tokens_out, observer),
            Input::Failed { job_id, cause, tokens_out } => self.ended(job_id, End::Failed(cause), tokens_out, observer),
            Input::Cancel { job_id, cause } => self.cancel(job_id, cause, observer),
            Input::EndSession { session_id } => self.end_session(session_id, observer),
            Input::SetPolicies { placement, scheduler } => self.set_policies(placement, scheduler, observer),
            Input::Tick => Answer::Done,
        }
    }

    /// Takes one input and says all that is to be done: [`Scheduler::handle`], and [`Scheduler::next_action`] until there
    /// is nothing more.
    pub fn drive(
        &mut self,
        input: &Input<'_>,
        now_us: u64,
        observer: &mut impl Observer,
        mut act: impl FnMut(Action),
    ) -> Answer {
        let answer = self.handle(input, now_us, observer);
        while let Some(action) = self.next_action(observer) {
            act(action);
        }
        answer
    }

    /// The next thing to do, or `None` when there is nothing more to do of the last input.
    pub fn next_action(&mut self, observer: &mut impl Observer) -> Option<Action> {
        while self.todo.step != Step::Idle {
            let action = match self.todo.step {
                Step::Held => self.todo.held.take(),
                Step::Leaving => self.lose_lease(observer),
                Step::Watchdog => self.expire_lease(observer),
                Step::Expiry => self.expire_waiting(observer),
                Step::Refresh => self.refresh_pool(observer),
                Step::Pass => self.dispatch_next(observer),
                Step::Idle => None,
            };
            if action.is_some() {
                return action;
            }
            self.todo.step = self.todo.step.next();
            if self.todo.step == Step::Pass {
                self.begin_pass();
            }
        }
        None
    }

    /// The time of the last input, in µs.
    #[must_use]
    pub const fn now_us(&self) -> u64 {
        self.now_us
    }

    /// The fleet, with what is committed now.
    #[must_use]
    pub const fn fleet(&self) -> &F {
        &self.fleet
    }

    /// On which pool a job runs, and where its lease is in its life: the only pool that tokens of the job may come from.
    /// `None` for a job that waits, ended or never came. O(1) expected. LEASE-2.
    #[must_use]
    pub fn lease_of(&self, job_id: &str) -> Option<(PoolFacts<'_>, LeaseState)> {
        let lease = self.leases.get(self.leases.find(job_id)?)?;
        Some((self.fleet.facts(lease.pool())?, lease.state()))
    }

    /// The policies in force.
    #[must_use]
    pub const fn policies(&self) -> (&Policy, &SchedulerPolicy) {
        (&self.placement, &self.rules)
    }

    /// What waits, by class: the `queue_depth` of a stream's `metrics` frame. O(1).
    #[must_use]
    pub fn queue_state(&self) -> QueueState {
        self.queue.state()
    }

    /// What is left of a session's budget, for the same frame; `None` where there is no such session. BUDGET-4. O(1)
    /// expected.
    #[must_use]
    pub fn budget_left(&self, session_id: &str) -> Option<BudgetLimits> {
        let session = self.sessions.get(self.sessions.find(session_id)?)?;
        Some(session.ledger.remaining())
    }

    /// The earliest time at which something happens without an input, in µs: a driver ticks then. O(1).
    #[must_use]
    pub fn next_wakeup_us(&self) -> Option<u64> {
        let timers = [
            self.leases.next_expiry_us(&self.rules.watchdog),
            self.queue.next_expiry_us(),
            self.sessions.next_expiry_us(self.rules.session_ttl_us),
            self.pools.next_refresh_us(&self.rules.refresh),
        ];
        timers.into_iter().flatten().min()
    }

    /// The earliest time at which a job is given up that nothing more is heard of, in µs: none where no job is left, or
    /// only jobs without a limit. O(1).
    #[must_use]
    pub fn next_job_end_us(&self) -> Option<u64> {
        let timers = [self.leases.next_expiry_us(&self.rules.watchdog), self.queue.next_expiry_us()];
        timers.into_iter().flatten().min()
    }

    /// The number of jobs that wait.
    #[must_use]
    pub const fn waiting_jobs(&self) -> u32 {
        self.queue.len()
    }

    /// The number of jobs that have a lease.
    #[must_use]
    pub const fn leased_jobs(&self) -> u32 {
        self.leases.len()
    }

    fn set_policies(&mut self, placement: &Policy, rules: &SchedulerPolicy, observer: &mut impl Observer) -> Answer {
        self.fleet.prepare_for(placement);
        self.placement = placement.clone();
        self.rules = *rules;
        self.note_all_prefills();
        // Other ages may be the limits.
        self.mark_stale_pools();
        self.expire_sessions(observer);
        self.queue.set_rules(rules.queue);
        self.capacity_may_have_grown();
        let event =
            Event::PoliciesChanged { placement_hash: placement.content_hash(), scheduler_hash: rules.content_hash() };
        observer.observe(self.now_us, &event);
        Answer::Done
    }

    /// Whether actions of the last input were not asked for yet.
    pub(super) fn has_actions(&self) -> bool {
        self.todo.step != Step::Idle
    }

    /// Everything that is due is said by the next actions.
    pub(super) const fn begin_actions(&mut self) {
        self.todo.step = Step::Held;
    }

    /// Waiting jobs that no pool could take are asked for again. QUEUE-13.
    pub(super) fn capacity_may_have_grown(&mut self) {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.refusals.forget();
        self.kinds.forget_refusals();
        self.todo.decided.forget();
        self.todo.pass = true;
    }
}
