//! What the queue knows of a job that waits, and what it says of one that came or left.

use super::tree::{Node, Ordered};
use crate::input::Priority;
use crate::storage::list::{Linked, Links};
use crate::storage::{IdSlot, IdTable, SlotNumber, Ticket};
use crate::values::text::Id;

/// A job that asks for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Arrival<'a> {
    /// The job's id: 1 to 64 bytes.
    pub id: &'a str,
    /// Its class.
    pub class: Priority,
    /// Its prompt and output tokens.
    pub tokens: u32,
    /// Arrival and deadline, in µs; absent without one. QUEUE-9.
    pub deadline_at_us: Option<u64>,
    /// Whose job it is, in at most 64 bytes; empty for nobody's. QUEUE-10.
    pub tenant: &'a str,
}

/// A job that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub struct Enqueued<T> {
    /// Finds the job for as long as it waits.
    pub ticket: Ticket,
    /// The job that left for it: tell its owner. QUEUE-4.
    pub evicted: Option<Departed<T>>,
}

/// Why a job was not taken in; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EnqueueError {
    /// The id is empty, or longer than the storage has room for.
    BadId,
    /// The tenant's name is longer than the storage has room for.
    BadTenant,
    /// A job with this id waits. QUEUE-2.
    Duplicate(Ticket),
    /// No room. QUEUE-4.
    Full {
        /// The policy that refused it. QUEUE-6.
        policy_label: &'static str,
    },
}

/// A job that left the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Departed<T> {
    /// Its id.
    pub id: Id,
    /// The slot that it had: another job's from the next arrival on.
    pub slot: u32,
    /// What was to say of it while it waited.
    pub facts: WaitingFacts,
    /// What its owner stored with it.
    pub payload: T,
}

/// What is to say of a waiting job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WaitingFacts {
    /// Its class.
    pub class: Priority,
    /// Its prompt and output tokens.
    pub tokens: u32,
    /// When it came, in µs.
    pub arrived_us: u64,
    /// When it should be done, in µs.
    pub deadline_at_us: Option<u64>,
    /// How often a job behind it was served before it that could take what it waits for. QUEUE-13.
    pub overtaken: u32,
}

/// Why a pass went past a job, which keeps its place. QUEUE-13.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PassedOver {
    /// It was asked for, and a job behind it can take what it waits for: whoever is served before it overtakes it.
    Contending,
    /// It was asked for; what it waits for is nothing that a job behind it can take.
    Waiting,
    /// It was not asked for, because the answer is known.
    Known,
}

/// A job's place in the queue. FORECAST-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct QueuePosition {
    /// Jobs that are served before it if nothing else arrives.
    pub total: u32,
    /// Those of its class.
    pub in_class: u32,
}

/// Storage for one waiting job.
pub type WaitingSlot<T> = IdSlot<Waiting<T>>;

/// One waiting job, in a [`WaitingSlot`].
#[derive(Debug, Clone)]
pub struct Waiting<T> {
    pub(super) payload: T,
    pub(super) class: Priority,
    /// Whether jobs behind it can take what it waits for: those that are served before it overtake it. QUEUE-13.
    pub(super) contends: bool,
    /// Whether it is among what the pass asked.
    pub(super) is_asked: bool,
    pub(super) tokens: u32,
    pub(super) overtaken: u32,
    pub(super) arrived_us: u64,
    /// The largest value without a deadline: such jobs are last. QUEUE-9.
    pub(super) deadline_us: u64,
    /// Arrivals before it.
    pub(super) arrival: u64,
    /// Among the arrivals of its class.
    pub(super) in_class: Links,
    /// Among its tenant's jobs.
    pub(super) in_lane: Links,
    pub(super) lane: SlotNumber,
    /// Among the deadlines of its class.
    pub(super) by_deadline: Node,
    /// Among what the pass asked.
    pub(super) asked: Links,
}

impl<T> Waiting<T> {
    pub(super) fn new(arrival: &Arrival<'_>, number: u64, now_us: u64, payload: T) -> Self {
        Self {
            payload,
            class: arrival.class,
            contends: true,
            is_asked: false,
            tokens: arrival.tokens,
            overtaken: 0,
            arrived_us: now_us,
            deadline_us: arrival.deadline_at_us.unwrap_or(u64::MAX),
            arrival: number,
            in_class: Links::OUT,
            in_lane: Links::OUT,
            lane: SlotNumber::NONE,
            by_deadline: Node::OUT,
            asked: Links::OUT,
        }
    }

    /// Whether it arrived at `until_us` or before. QUEUE-11.
    pub(super) fn is_aged(&self, until_us: Option<u64>) -> bool {
        until_us.is_some_and(|until_us| self.arrived_us <= until_us)
    }

    pub(super) fn facts(&self) -> WaitingFacts {
        WaitingFacts {
            class: self.class,
            tokens: self.tokens,
            arrived_us: self.arrived_us,
            deadline_at_us: Some(self.deadline_us).filter(|&deadline_us| deadline_us < u64::MAX),
            overtaken: self.overtaken,
        }
    }
}

/// All waiting jobs.
pub(super) type Jobs<'a, T> = IdTable<'a, Waiting<T>>;

/// The list of a class's jobs in the order of their arrival.
#[derive(Debug, Clone, Copy)]
pub(super) struct InClass;
/// The list of a tenant's jobs of a class in the order of their arrival.
#[derive(Debug, Clone, Copy)]
pub(super) struct InLane;
/// The list of jobs that a pass asked and that still wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked;
/// The tree of a class's jobs by deadline, then arrival. QUEUE-9.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByDeadline;

impl<T> Linked<Jobs<'_, T>> for InClass {
    fn links<'s>(jobs: &'s Jobs<'_, T>, at: u32) -> Option<&'s Links> {
        jobs.in_slot(at).map(|job| &job.in_class)
    }

    fn links_mut<'s>(jobs: &'s mut Jobs<'_, T>, at: u32) -> Option<&'s mut Links> {
        jobs.in_slot_mut(at).map(|job| &mut job.in_class)
    }
}

impl<T> Linked<Jobs<'_, T>> for InLane {
    fn links<'s>(jobs: &'s Jobs<'_, T>, at: u32) -> Option<&'s Links> {
        jobs.in_slot(at).map(|job| &job.in_lane)
    }

    fn links_mut<'s>(jobs: &'s mut Jobs<'_, T>, at: u32) -> Option<&'s mut Links> {
        jobs.in_slot_mut(at).map(|job| &mut job.in_lane)
    }
}

impl<T> Linked<Jobs<'_, T>> for Asked {
    fn links<'s>(jobs: &'s Jobs<'_, T>, at: u32) -> Option<&'s Links> {
        jobs.in_slot(at).map(|job| &job.asked)
    }

    fn links_mut<'s>(jobs: &'s mut Jobs<'_, T>, at: u32) -> Option<&'s mut Links> {
        jobs.in_slot_mut(at).map(|job| &mut job.asked)
    }
}

impl<T> Ordered<Jobs<'_, T>> for ByDeadline {
    type Key = (u64, u64);

    fn node<'s>(jobs: &'s Jobs<'_, T>, at: u32) -> Option<&'s Node> {
        jobs.in_slot(at).map(|job| &job.by_deadline)
    }

    fn node_mut<'s>(jobs: &'s mut Jobs<'_, T>, at: u32) -> Option<&'s mut Node> {
        jobs.in_slot_mut(at).map(|job| &mut job.by_deadline)
    }

    fn key(jobs: &Jobs<'_, T>, at: u32) -> Option<(u64, u64)> {
        jobs.in_slot(at).map(|job| (job.deadline_us, job.arrival))
    }
}
