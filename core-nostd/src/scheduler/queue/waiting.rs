//! What the queue knows of a job that waits, and what it says of one that came or left.

use super::tree::{Node, Ordered};
use crate::input::Priority;
use crate::storage::list::{Linked, Links, NONE};
use crate::storage::{IdSlot, IdTable, SlotNumber, Ticket};
use crate::values::kept::{Kept32, Kept48};
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
    tokens: Kept32,
    overtaken: Kept32,
    arrived_us: Kept48,
    /// Without a deadline the time that does not come: such jobs are last. QUEUE-9.
    deadline_us: Kept48,
    /// Arrivals before it.
    arrival: Kept48,
    /// Among the arrivals of its class.
    pub(super) in_class: Links,
    place: Place,
    /// Among what the pass asked.
    pub(super) asked: Links,
}

/// A job's place in the order of the discipline in force.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Among the deadlines of its class, if they count.
    Deadline(Node),
    /// Among its tenant's jobs, in their lane.
    Lane(SlotNumber, Links),
}

impl<T> Waiting<T> {
    pub(super) fn new(arrival: &Arrival<'_>, number: u64, now_us: u64, payload: T) -> Self {
        Self {
            payload,
            class: arrival.class,
            contends: true,
            is_asked: false,
            tokens: Kept32::new(arrival.tokens),
            overtaken: Kept32::new(0),
            arrived_us: Kept48::new(now_us),
            deadline_us: Kept48::or_never(arrival.deadline_at_us),
            arrival: Kept48::new(number),
            in_class: Links::OUT,
            place: Place::Deadline(Node::OUT),
            asked: Links::OUT,
        }
    }

    /// Its prompt and output tokens.
    pub(super) const fn tokens(&self) -> u32 {
        self.tokens.get()
    }

    /// How often it was overtaken. QUEUE-13.
    pub(super) const fn overtaken(&self) -> u32 {
        self.overtaken.get()
    }

    pub(super) const fn set_overtaken(&mut self, times: u32) {
        self.overtaken = Kept32::new(times);
    }

    /// It is overtaken once more.
    pub(super) const fn overtake(&mut self) {
        self.set_overtaken(self.overtaken().saturating_add(1));
    }

    /// When it came.
    pub(super) const fn arrived_us(&self) -> u64 {
        self.arrived_us.get()
    }

    /// Arrivals before it.
    pub(super) const fn arrival(&self) -> u64 {
        self.arrival.get()
    }

    /// Its place by deadline. QUEUE-9.
    pub(super) const fn deadline_key(&self) -> (u64, u64) {
        (self.deadline_us.get(), self.arrival.get())
    }

    /// It is about to be put among deadlines.
    pub(super) const fn enter_deadlines(&mut self) {
        self.place = Place::Deadline(Node::OUT);
    }

    /// It is about to be put into a lane.
    pub(super) fn enter_lane(&mut self, lane: u32) {
        self.place = Place::Lane(lane.into(), Links::OUT);
    }

    /// Its lane, else [`NONE`].
    pub(super) fn lane(&self) -> u32 {
        match self.place {
            Place::Lane(lane, _) => lane.get(),
            Place::Deadline(_) => NONE,
        }
    }

    /// The job behind it in its lane, else [`NONE`].
    pub(super) fn next_in_lane(&self) -> u32 {
        match self.place {
            Place::Lane(_, links) => links.next(),
            Place::Deadline(_) => NONE,
        }
    }

    const fn in_lane(&self) -> Option<&Links> {
        match &self.place {
            Place::Lane(_, links) => Some(links),
            Place::Deadline(_) => None,
        }
    }

    const fn in_lane_mut(&mut self) -> Option<&mut Links> {
        match &mut self.place {
            Place::Lane(_, links) => Some(links),
            Place::Deadline(_) => None,
        }
    }

    const fn by_deadline(&self) -> Option<&Node> {
        match &self.place {
            Place::Deadline(node) => Some(node),
            Place::Lane(..) => None,
        }
    }

    const fn by_deadline_mut(&mut self) -> Option<&mut Node> {
        match &mut self.place {
            Place::Deadline(node) => Some(node),
            Place::Lane(..) => None,
        }
    }

    /// Whether it arrived at `until_us` or before. QUEUE-11.
    pub(super) fn is_aged(&self, until_us: Option<u64>) -> bool {
        until_us.is_some_and(|until_us| self.arrived_us() <= until_us)
    }

    pub(super) fn facts(&self) -> WaitingFacts {
        WaitingFacts {
            class: self.class,
            tokens: self.tokens(),
            arrived_us: self.arrived_us(),
            deadline_at_us: self.deadline_us.unless_never(),
            overtaken: self.overtaken(),
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
        jobs.in_slot(at)?.in_lane()
    }

    fn links_mut<'s>(jobs: &'s mut Jobs<'_, T>, at: u32) -> Option<&'s mut Links> {
        jobs.in_slot_mut(at)?.in_lane_mut()
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
        jobs.in_slot(at)?.by_deadline()
    }

    fn node_mut<'s>(jobs: &'s mut Jobs<'_, T>, at: u32) -> Option<&'s mut Node> {
        jobs.in_slot_mut(at)?.by_deadline_mut()
    }

    fn key(jobs: &Jobs<'_, T>, at: u32) -> Option<(u64, u64)> {
        jobs.in_slot(at).map(Waiting::deadline_key)
    }
}
