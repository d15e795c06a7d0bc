//! Jobs that wait: one bounded queue over borrowed storage, in order, with every way in and out.
//!
//! ```text
//!             ┌─ refused                                    ┌─ pop, serve  the next in service order, or one of a pass
//!  enqueue ───┼─ waits ─────────────────────────────────────┼─ cancel      nobody wants it any more
//!             └─ waits, and the oldest of a class leaves    └─ expire      it waited too long
//! ```
//!
//! A class is served first in first out, by deadline, or by tenants in turn; the classes strictly or by weight; jobs
//! that waited long enough before all others. Whatever leaves is returned with what its owner stored with it.
//!
//! ```
//! use orchestrator_core::Priority;
//! use orchestrator_core::scheduler::{Arrival, Queue, QueueStorage, SchedulerPolicy, TenantSlot, WaitingSlot};
//!
//! let (mut jobs, mut buckets, mut ids) = ([const { WaitingSlot::EMPTY }; 4], [0; 4], [0; 4 * 65]);
//! let storage = QueueStorage {
//!     jobs: &mut jobs,
//!     buckets: &mut buckets,
//!     ids: &mut ids,
//!     job_tenants: &mut [],
//!     tenants: &mut [],
//!     tenant_buckets: &mut [],
//!     tenant_ids: &mut [],
//! };
//! let mut queue = Queue::new(storage, SchedulerPolicy::default().queue);
//!
//! let arrival = |id, class| Arrival { id, class, tokens: 100, deadline_at_us: None, tenant: "" };
//! let report = queue.enqueue(&arrival("report", Priority::Batch), "a payload", 10).unwrap();
//! let chat = queue.enqueue(&arrival("chat", Priority::Interactive), "another", 20).unwrap();
//! assert_eq!(queue.position(report.ticket, 30).map(|position| position.total), Some(1));
//!
//! // No pool can take the chat now, one can take the report.
//! queue.begin_pass(30);
//! assert_eq!(queue.next_in_pass(), Some(chat.ticket));
//! assert_eq!(queue.next_in_pass(), Some(report.ticket));
//! assert_eq!(queue.serve(report.ticket).unwrap().payload, "a payload");
//!
//! assert_eq!(queue.facts(chat.ticket).unwrap().overtaken, 1);
//! assert_eq!(queue.pop(40).unwrap().id, "chat");
//! ```
//!
//! Invariants: the counts are those of what waits; jobs of a class are linked in the order of their arrival, and their
//! times do not fall; a job is in the structure of the discipline in force, once. Rules: QUEUE-1 to QUEUE-13, FORECAST-1.

mod class;
mod order;
mod pass;
mod position;
mod restore;
mod tenants;
mod tree;
mod turns;
mod waiting;

#[cfg(test)]
mod tests;

use crate::storage::list::{self, NONE};
use class::ByClass;
use order::Order;
use pass::Pass;
use waiting::Jobs;

pub(super) use restore::RestoredJob;
pub use tenants::{Tenant, TenantSlot};
pub use waiting::{
    Arrival, Departed, EnqueueError, Enqueued, PassedOver, QueuePosition, Waiting, WaitingFacts, WaitingSlot,
};

use super::admission::{Admission, AdmissionCapacity, ClassState, QueueState, Room, admission_policy, room};
use super::policy::{AdmissionRules, QueueRules};
use crate::error::Problem;
use crate::input::Priority;
use crate::limits::ID_BYTES_MAX;
use crate::storage::{IdTable, InsertError, Texts, Ticket};
use crate::values::index::position as position_of;
use crate::values::kept::heard;
use crate::values::text::Id;

/// What a queue works in.
#[derive(Debug)]
pub struct QueueStorage<'a, T> {
    /// One for each job that may wait.
    pub jobs: &'a mut [WaitingSlot<T>],
    /// About as many; without any the queue has no room.
    pub buckets: &'a mut [u32],
    /// Ids of the jobs: an equal stretch of up to 65 bytes for each, one of them for its length.
    pub ids: &'a mut [u8],
    /// Whose job each is: the same for their tenants. Without any bytes nobody's job is told from another's, and all share
    /// one place.
    pub job_tenants: &'a mut [u8],
    /// One for each tenant that may have waiting jobs at the same time; further ones share one place. QUEUE-10.
    pub tenants: &'a mut [TenantSlot],
    /// About as many; without any all tenants share one place.
    pub tenant_buckets: &'a mut [u32],
    /// Names of the tenants: a stretch for each, as for ids. One for which there is no room shares the place of others.
    pub tenant_ids: &'a mut [u8],
}

/// Jobs that wait, each with a payload of its owner's.
///
/// A pass ends with every call that changes the queue otherwise than by [`Queue::serve`], and with
/// [`Queue::position`].
#[derive(Debug)]
pub struct Queue<'a, T> {
    jobs: Jobs<'a, T>,
    order: Order<'a>,
    pass: Pass,
    rules: QueueRules,
    counts: ByClass<Count>,
    arrivals: u64,
    now_us: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    jobs: u32,
    tokens: u64,
}

/// How a job leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Served when its class and its tenant had their turn.
    InTurn,
    /// Served for its age, or not served.
    OutOfTurn,
}

impl<'a, T> Queue<'a, T> {
    /// An empty queue; what the storage held is dropped. O(storage).
    #[must_use]
    pub fn new(storage: QueueStorage<'a, T>, rules: QueueRules) -> Self {
        Self::with_hash_seed(storage, rules, 0)
    }

    /// An empty queue whose hash buckets depend on `hash_seed`: where ids come from strangers, one that they cannot
    /// know. No answer depends on it.
    #[must_use]
    pub fn with_hash_seed(storage: QueueStorage<'a, T>, rules: QueueRules, hash_seed: u64) -> Self {
        let QueueStorage { jobs, buckets, ids, job_tenants, tenants, tenant_buckets, tenant_ids } = storage;
        let tenants = IdTable::with_hash_seed(tenants, tenant_buckets, tenant_ids, hash_seed);
        let owners = Texts::new(job_tenants, position_of(jobs.len()), ID_BYTES_MAX);
        Self {
            jobs: IdTable::with_hash_seed(jobs, buckets, ids, hash_seed),
            order: Order::new(tenants, owners, &rules),
            pass: Pass::none(),
            rules,
            counts: ByClass::default(),
            arrivals: 0,
            now_us: 0,
        }
    }

    /// The rules in force.
    #[must_use]
    pub const fn rules(&self) -> &QueueRules {
        &self.rules
    }

    /// Other rules from now on. Nothing that waits is thrown out, also above a new limit. Where the discipline or the
    /// quantum changes, what waits is put in order as if it came anew (O(n log n)), and all deficits are 0; where the
    /// weights change, the turns begin anew.
    pub fn set_rules(&mut self, rules: QueueRules) {
        self.end_pass();
        self.order.set_rules(&mut self.jobs, &rules);
        self.rules = rules;
    }

    /// The number of waiting jobs.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.jobs.len()
    }

    /// Whether no job waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The number of jobs for which there is storage.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.jobs.capacity()
    }

    /// Whether a job's id is as short as there is room for.
    pub(super) fn check_id(&self, job_id: &str) -> Result<(), Problem> {
        self.jobs.check_fits(job_id)
    }

    /// Whether a tenant's name is as short as there is room for; without any room no tenant is told from another.
    pub(super) fn check_tenant(&self, tenant: &str) -> Result<(), Problem> {
        let room = self.order.tenant_room();
        let max_bytes = if room == 0 { ID_BYTES_MAX } else { room };
        if tenant.len() > max_bytes { Err(Problem::TooLong { max_bytes }) } else { Ok(()) }
    }

    /// What waits, by class. O(1).
    #[must_use]
    pub fn state(&self) -> QueueState {
        QueueState { interactive: self.class_state(Priority::Interactive), batch: self.class_state(Priority::Batch) }
    }

    fn class_state(&self, class: Priority) -> ClassState {
        let Count { jobs, tokens } = *self.counts.get(class);
        let oldest = self.jobs.in_slot(self.order.arrivals(class).first);
        ClassState { jobs, tokens, oldest_tokens: oldest.map_or(0, Waiting::tokens) }
    }

    /// Whether a job may enter: [`admission_policy`] of this queue; [`Queue::enqueue`] does what it says. O(1). ADMIT-1.
    pub fn admission(
        &self,
        class: Priority,
        tokens: u32,
        drain_interval_us: Option<u64>,
        retry: &AdmissionRules,
    ) -> Admission {
        let (rules, storage_jobs) = (&self.rules, self.capacity());
        let capacity = AdmissionCapacity { rules, retry, storage_jobs, class, tokens, drain_interval_us };
        admission_policy(&self.state(), &capacity)
    }

    /// Takes a job in, at the expense of the oldest of a class where the rules say so. O(1) expected; O(log n) with
    /// deadlines or tenants. A `now_us` before that of an earlier call counts as the latter's. QUEUE-1 to QUEUE-5.
    ///
    /// # Errors
    /// An id or a tenant that is none, an id that waits already, no room; nothing changes.
    pub fn enqueue(&mut self, arrival: &Arrival<'_>, payload: T, now_us: u64) -> Result<Enqueued<T>, EnqueueError> {
        if arrival.id.is_empty() || self.check_id(arrival.id).is_err() {
            return Err(EnqueueError::BadId);
        }
        self.check_tenant(arrival.tenant).map_err(|_| EnqueueError::BadTenant)?;
        // QUEUE-2: before anybody is evicted.
        if let Some(ticket) = self.jobs.find(arrival.id) {
            return Err(EnqueueError::Duplicate(ticket));
        }
        let full = EnqueueError::Full { policy_label: self.rules.full.label() };
        let victim = match room(&self.state(), &self.rules, self.capacity(), arrival.class, arrival.tokens) {
            Room::None => return Err(full),
            Room::Free => NONE,
            Room::AfterEviction(class) => self.order.arrivals(class).first,
        };
        self.pass_time(now_us);
        self.end_pass();
        let evicted = self.take(victim, Exit::OutOfTurn);
        let job = Waiting::new(arrival, self.arrivals, self.now_us, payload);
        let ticket = self.jobs.insert(arrival.id, job).map_err(|error| match error {
            InsertError::Duplicate(ticket) => EnqueueError::Duplicate(ticket),
            InsertError::BadId => EnqueueError::BadId,
            InsertError::Full => full,
        })?;
        self.arrivals = self.arrivals.saturating_add(1);
        self.order.note_tenant(ticket.slot(), arrival.tenant);
        self.order.enter(&mut self.jobs, ticket.slot());
        let count = self.counts.get_mut(arrival.class);
        count.jobs = count.jobs.saturating_add(1);
        count.tokens = count.tokens.saturating_add(arrival.tokens.into());
        Ok(Enqueued { ticket, evicted })
    }

    /// The waiting job with this id. O(1) expected.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Ticket> {
        self.jobs.find(id)
    }

    /// The id of a job that still waits.
    #[must_use]
    pub fn id(&self, ticket: Ticket) -> Option<&str> {
        self.jobs.id(ticket)
    }

    /// What its owner stored with it.
    #[must_use]
    pub fn get(&self, ticket: Ticket) -> Option<&T> {
        self.jobs.get(ticket).map(|job| &job.payload)
    }

    /// The same, to change.
    #[must_use]
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        self.jobs.get_mut(ticket).map(|job| &mut job.payload)
    }

    /// What is to say of it.
    #[must_use]
    pub fn facts(&self, ticket: Ticket) -> Option<WaitingFacts> {
        self.jobs.get(ticket).map(Waiting::facts)
    }

    /// The ids of a class in the order of their arrival, whatever the discipline. OC-CORE-1001.
    pub fn ids(&self, class: Priority) -> impl Iterator<Item = &str> {
        let mut at = self.order.arrivals(class).first;
        core::iter::from_fn(move || {
            let id = self.jobs.at(at).and_then(|ticket| self.jobs.id(ticket))?;
            at = list::next::<_, waiting::InClass>(&self.jobs, at);
            Some(id)
        })
    }

    /// Takes a job out that nobody wants any more, if it still waits. O(1) expected; O(log n) with deadlines or tenants.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<Departed<T>> {
        self.jobs.get(ticket)?;
        self.end_pass();
        self.take(ticket.slot(), Exit::OutOfTurn)
    }

    /// Takes out the first in service order. O(1) expected; O(log n) with deadlines or tenants. QUEUE-7 to QUEUE-11.
    pub fn pop(&mut self, now_us: u64) -> Option<Departed<T>> {
        self.pass_time(now_us);
        self.end_pass();
        let aged_us = self.aged_us();
        let at = self.order.first(&self.jobs, aged_us)?;
        self.take(at, self.exit_by_service(at, aged_us))
    }

    /// Takes out the oldest job, if it waited for the time limit or longer; one per call, until there is none. O(1)
    /// expected; O(log n) with deadlines or tenants. QUEUE-12.
    pub fn expire(&mut self, now_us: u64) -> Option<Departed<T>> {
        self.pass_time(now_us);
        if self.next_expiry_us()? > self.now_us {
            return None;
        }
        self.end_pass();
        self.take(self.order.oldest(&self.jobs)?, Exit::OutOfTurn)
    }

    /// When [`Queue::expire`] has something to take out next, in µs; none without jobs or a time limit. O(1).
    #[must_use]
    pub fn next_expiry_us(&self) -> Option<u64> {
        let oldest = self.jobs.in_slot(self.order.oldest(&self.jobs)?)?;
        // A sum that does not fit is a time that does not come.
        if self.rules.ttl_us == 0 { None } else { oldest.arrived_us().checked_add(self.rules.ttl_us) }
    }

    /// Begins a walk through the jobs in service order, which takes nothing out by itself. O(1), and the end of the pass
    /// before: O(1) for each job that it passed over, O(log n) with tenants. QUEUE-13.
    pub fn begin_pass(&mut self, now_us: u64) {
        self.pass_time(now_us);
        self.end_pass();
        let aged_us = self.aged_us();
        self.pass.begin(&mut self.order, aged_us, self.rules.overtakes_max);
    }

    /// The next job of the pass; the one before it, if it still waits, counts as passed over: [`PassedOver::Contending`], if
    /// nothing else was said. None at the end, after `scan_limit` jobs that were passed over, or 64 times as many that were
    /// [known](PassedOver::Known), and after one that may not be overtaken. O(1); O(log n) with tenants.
    pub fn next_in_pass(&mut self) -> Option<Ticket> {
        let at = self.pass.advance(&mut self.jobs, &mut self.order, self.rules.scan_limit)?;
        self.jobs.at(at)
    }

    /// Says why a job was passed over: the pass came to it last, or it was asked for on its arrival. O(1). QUEUE-13.
    pub fn passed_over(&mut self, ticket: Ticket, why: PassedOver) {
        let Some(job) = self.jobs.get_mut(ticket) else { return };
        job.contends = why == PassedOver::Contending;
        if !job.contends {
            self.pass.put_aside(&mut self.jobs, ticket.slot(), why == PassedOver::Waiting);
        }
    }

    /// Whether jobs behind a job can take what it waits for, as was said when it was passed over last; true before.
    #[must_use]
    pub fn contends(&self, ticket: Ticket) -> bool {
        self.jobs.get(ticket).is_some_and(|job| job.contends)
    }

    /// Takes out a job that is served: with it the turns of the classes advance and its tenant pays, unless it was served for
    /// its age, by the time of the last call that had one. If the pass came to it, and did not go past it as one that does
    /// not contend, each job that was passed over before it and contends is overtaken once more, and the pass goes on; else
    /// the pass ends. O(1) expected, O(log n) with deadlines or tenants; and O(jobs passed over). QUEUE-13.
    pub fn serve(&mut self, ticket: Ticket) -> Option<Departed<T>> {
        let job = self.jobs.get(ticket)?;
        let at = ticket.slot();
        if job.is_asked {
            self.pass.serve(&mut self.jobs, at);
            return self.take(at, self.exit_by_service(at, self.pass.aged_us));
        }
        self.end_pass();
        self.take(at, self.exit_by_service(at, self.aged_us()))
    }

    /// Whether a newcomer may go past all waiting jobs without entering: not where the first of them that contends, in
    /// service order, may not be overtaken once more. O(`scan_limit`); O(log n) for each with tenants. QUEUE-14.
    pub fn may_overtake_first(&mut self, now_us: u64) -> bool {
        let overtakes_max = self.rules.overtakes_max;
        self.first_to_overtake(now_us).is_none_or(|job| job.overtaken() < overtakes_max)
    }

    /// A newcomer goes past all waiting jobs without entering, if it [may](Self::may_overtake_first): the first that contends
    /// counts as overtaken once more. Says whether it may. Costs as much. QUEUE-14.
    pub fn overtake_first(&mut self, now_us: u64) -> bool {
        let overtakes_max = self.rules.overtakes_max;
        let first = self.first_to_overtake(now_us);
        let may_pass = first.as_ref().is_none_or(|job| job.overtaken() < overtakes_max);
        if may_pass && let Some(job) = first {
            job.overtake();
        }
        may_pass
    }

    fn first_to_overtake(&mut self, now_us: u64) -> Option<&mut Waiting<T>> {
        self.begin_pass(now_us);
        let mut first = self.next_in_pass();
        while let Some(ticket) = first.filter(|&ticket| !self.contends(ticket)) {
            self.passed_over(ticket, PassedOver::Waiting);
            first = self.next_in_pass();
        }
        self.end_pass();
        self.jobs.get_mut(first?)
    }

    /// A job's place at `now_us`, if it still waits. FORECAST-1.
    ///
    /// First in first out: O(1) for the latest arrival, else O(the nearer end). By deadline: O(log n). With tenants:
    /// O(tenants + jobs before it). With aging, and O(aged jobs).
    pub fn position(&mut self, ticket: Ticket, now_us: u64) -> Option<QueuePosition> {
        self.pass_time(now_us);
        self.jobs.get(ticket)?;
        self.end_pass();
        let waiting = |class| self.counts.get(class).jobs;
        position::position(&self.jobs, &self.order, waiting, ticket.slot(), self.aged_us())
    }

    /// Time does not go back: arrivals stay in order. UNIT-12.
    fn pass_time(&mut self, now_us: u64) {
        self.now_us = self.now_us.max(heard(now_us));
    }

    /// Jobs that arrived until then go first. QUEUE-11.
    fn aged_us(&self) -> Option<u64> {
        self.now_us.checked_sub(self.rules.promote_after_us?)
    }

    fn end_pass(&mut self) {
        self.pass.end(&mut self.jobs, &mut self.order);
    }

    fn exit_by_service(&self, at: u32, aged_us: Option<u64>) -> Exit {
        let is_aged = self.jobs.in_slot(at).is_some_and(|job| job.is_aged(aged_us));
        if is_aged { Exit::OutOfTurn } else { Exit::InTurn }
    }

    /// Takes a job out of everything.
    fn take(&mut self, at: u32, exit: Exit) -> Option<Departed<T>> {
        let ticket = self.jobs.at(at)?;
        let id = Id::try_from(self.jobs.id(ticket)?).ok()?;
        self.order.leave(&mut self.jobs, at, exit == Exit::InTurn);
        let job = self.jobs.remove(ticket)?;
        let facts = job.facts();
        let count = self.counts.get_mut(facts.class);
        count.jobs = count.jobs.saturating_sub(1);
        count.tokens = count.tokens.saturating_sub(facts.tokens.into());
        Some(Departed { id, slot: at, facts, payload: job.payload })
    }
}
