//! The two ends of a simulation: the requests of a trace, and what became of each.
//!
//! ```text
//! Trace ── requests, in order ──▶ one run of a policy at a load ──▶ Run ── one Outcome per request, in that order
//! ```
//!
//! Invariants: a request's index is its place in [`Trace::requests`] and that of its outcome in [`Run::outcomes`]; a
//! predecessor stands before its successors; requests that arrive at a time of their own ascend by it. All times are
//! microseconds of the simulation's clock, which starts at 0.

use std::ops::Range;

use orchestrator_core::Priority;

/// One request of a trace, as the world makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it arrives, of an open loop; of a closed one the time after the end of its predecessor (think time).
    pub arrival: Arrival,
    /// Which of [`Trace::models`] it asks for.
    pub model: u32,
    /// Its session, by number: requests of one session share their growing prefix.
    pub session: Option<u32>,
    /// Its class of service.
    pub priority: Priority,
    /// Tokens of the whole prompt.
    pub prompt_tokens: u32,
    /// The truth; policies see only `predicted_output_tokens`.
    pub output_tokens: u32,
    /// What a predictor said.
    pub predicted_output_tokens: Option<u32>,
    /// Its user wants no more than this; policies know. JOB-1.
    pub output_tokens_max: Option<u32>,
    /// Tokens of the prompt's beginning that equal those of earlier requests, block by block, into [`Trace::blocks`];
    /// empty where unknown.
    pub prefix_blocks: Range<u32>,
    /// When it must have ended, after its arrival.
    pub deadline_us: Option<u64>,
    /// Whether it wants nothing that a cache holds.
    pub is_cold: bool,
}

/// When a request arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// At this time, whatever became of others.
    At {
        /// The time.
        at_us: u64,
    },
    /// So long after the end of another request, whatever its end was.
    After {
        /// The index of that request.
        request: u32,
        /// The time that its user thinks.
        think_us: u64,
    },
}

/// Requests, and what they name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// Names of models.
    pub models: Vec<String>,
    /// The requests.
    pub requests: Vec<Request>,
    /// Block ids: equal ids are equal content behind equal beginnings.
    pub blocks: Vec<u32>,
    /// Tokens of one block; the last block of a prompt may be partial.
    pub block_tokens: u32,
}

/// What became of a request: exactly one of these for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When it arrived.
    pub arrived_us: u64,
    /// How it ended.
    pub end: End,
    /// The pool that had it last, by its rank in the fleet.
    pub pool: Option<u32>,
    /// When it was sent there.
    pub dispatched_us: Option<u64>,
    /// When it got a slot there.
    pub started_us: Option<u64>,
    /// When its first token came.
    pub first_token_us: Option<u64>,
    /// When it ended.
    pub ended_us: u64,
    /// What the policy predicted, when it was sent: its start.
    pub predicted_start_us: Option<u64>,
    /// And its end.
    pub predicted_end_us: Option<u64>,
    /// Tokens of its prompt that were in the pool's cache.
    pub cached_tokens: u32,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All its tokens came.
    Finished,
    /// It was refused when it arrived.
    Refused {
        /// Why, in the words of the answer.
        reason: &'static str,
    },
    /// It was dropped from the queue for others.
    Dropped,
    /// It waited too long.
    Expired {
        /// Which limit it passed.
        cause: &'static str,
    },
    /// Its user gave up.
    Canceled,
    /// Its pool failed.
    Lost,
}

/// How full the queue and the pools were at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The time.
    pub at_us: u64,
    /// Requests that wait.
    pub waiting: u32,
    /// Requests that run.
    pub running: u32,
    /// Slots in use, per class of pools.
    pub busy_slots_by_class: Vec<u32>,
}

/// One run: a policy at a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The policy's name.
    pub policy: String,
    /// Thousandths of the trace's own rate of arrivals.
    pub load_permille: u32,
    /// One per request, in their order.
    pub outcomes: Vec<Outcome>,
    /// At equal intervals.
    pub samples: Vec<Sample>,
    /// Slots times the time that each was taken, in µs, per class of pools.
    pub busy_slot_us_by_class: Vec<u128>,
    /// Decisions that the policy took.
    pub decisions: u64,
    /// Over all outcomes.
    pub digest: u64,
}

#[cfg(test)]
impl Request {
    /// A request of which nothing is special, for tests to build others from.
    pub(super) const fn plain() -> Self {
        Self {
            arrival: Arrival::At { at_us: 0 },
            model: 0,
            session: None,
            priority: Priority::Batch,
            prompt_tokens: 1,
            output_tokens: 1,
            predicted_output_tokens: None,
            output_tokens_max: None,
            prefix_blocks: 0..0,
            deadline_us: None,
            is_cold: false,
        }
    }
}
