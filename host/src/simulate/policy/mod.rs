//! Who decides: this engine's scheduler, or one of its peers' rules.
//!
//! A policy is told what a router would be told: reports of pools as old as they are, arrivals with predicted lengths, and
//! what became of the requests that it sent. It never sees an engine's parameters, nor how long an output will be.
//!
//! All of them know which models a pool serves and how long a context it takes, by what it publishes: none sends a request
//! where it would be refused. The baselines are written anew from published descriptions. They send a request on at once and let it wait in the
//! engine, as those systems do without their flow control; none has a queue of its own.
//!
//! | policy | takes the pool with |
//! |---|---|
//! | `ours` | the decision of `orchestrator_core::scheduler::Scheduler`, which may let a request wait |
//! | `round-robin` | the next turn |
//! | `random` | luck |
//! | `least-loaded` | the fewest requests of its own and of others, by the last report |
//! | `power-of-two` | fewer requests, of two by luck |
//! | `dynamo` | the least blocks to prefill beyond its cached ones, and blocks that decode |
//! | `smg` | the least expected wait by tokens and rate, and KV pressure |
//! | `llm-d` | the greatest weighted sum of scores for queue, KV cache and prefix |

mod baseline;
mod dynamo;
mod least_loaded;
mod llm_d;
mod ours;
mod overlap;
mod power_of_two;
mod random;
mod round_robin;
mod smg;

use std::fmt;
use std::str::FromStr;

use baseline::Baseline;

use super::fleet::SimFleet;
use super::request::Trace;

pub use ours::{Ours, OursError, OursMemory, OursOptions};

/// What all policies know before the first request.
#[derive(Debug, Clone, Copy)]
pub struct World<'w> {
    /// The pools.
    pub fleet: &'w SimFleet<'w>,
    /// The requests; a policy reads of them what a router would see.
    pub trace: &'w Trace,
    /// The engine that each of the trace's models asks for.
    pub engines: &'w [String],
}

impl World<'_> {
    /// Output tokens as predicted, or a default; no more than its user wants.
    fn predicted_tokens(&self, request: u32) -> u32 {
        let asked = &self.trace.requests[request as usize];
        asked.predicted_output_tokens.unwrap_or(256).min(asked.output_tokens_max.unwrap_or(u32::MAX))
    }

    /// Tokens of the prompt and the predicted output: the context that a pool must take.
    fn predicted_context_tokens(&self, request: u32) -> u64 {
        let prompt_tokens = self.trace.requests[request as usize].prompt_tokens;
        u64::from(prompt_tokens) + u64::from(self.predicted_tokens(request))
    }
}

/// What a pool says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When it was so.
    pub observed_us: u64,
    /// Slots that are free.
    pub slots_free: u32,
    /// Requests that wait in it.
    pub waiting: u32,
    /// Tokens of KV cache that are free.
    pub kv_free_tokens: u64,
    /// Whether it takes no new work.
    pub draining: bool,
    /// Models that it has loaded, by their numbers in the trace; none where it says nothing of them.
    pub resident_models: Option<Vec<u32>>,
}

/// What a policy is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A pool's state arrived.
    Report {
        /// The pool's rank.
        pool: u32,
        /// Its state.
        report: Report,
    },
    /// A pool is gone, and all that it had.
    Gone {
        /// The pool's rank.
        pool: u32,
    },
    /// A request asks for a place.
    Arrived {
        /// Which.
        request: u32,
    },
    /// A request has a slot.
    Started {
        /// Which.
        request: u32,
    },
    /// Its first token came.
    FirstToken {
        /// Which.
        request: u32,
    },
    /// It goes on.
    Progress {
        /// Which.
        request: u32,
        /// Tokens so far.
        tokens: u32,
    },
    /// All its tokens came.
    Finished {
        /// Which.
        request: u32,
        /// How many those are.
        tokens: u32,
    },
    /// Only time passed.
    Tick,
}

/// What a policy wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Send a request to a pool.
    Send {
        /// Which.
        request: u32,
        /// The pool's rank.
        pool: u32,
        /// When it expects the start.
        predicted_start_us: Option<u64>,
        /// And the end.
        predicted_end_us: Option<u64>,
    },
    /// Tell its user that there is no place for it.
    Refuse {
        /// Which.
        request: u32,
        /// Why.
        reason: &'static str,
    },
    /// A request that waited lost its place.
    Drop {
        /// Which.
        request: u32,
        /// Whether it waited too long.
        expired: Option<&'static str>,
    },
    /// Stop a request where it runs.
    Abort {
        /// Which.
        request: u32,
        /// Which limit it passed.
        cause: &'static str,
    },
}

/// Sends requests to pools.
pub trait Policy {
    /// Takes one thing in; what is to be done goes to `orders`, in order.
    fn tell(&mut self, now_us: u64, told: Told, orders: &mut Vec<Order>);

    /// When it wants to be told of the time, if nothing else happens.
    fn next_wakeup_us(&self) -> Option<u64>;

    /// Decisions so far.
    fn decisions(&self) -> u64;
}

/// Which policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PolicyName {
    /// This engine.
    Ours,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The fewest requests.
    LeastLoaded,
    /// The better of two.
    PowerOfTwo,
    /// Dynamo's cost.
    Dynamo,
    /// SMG's expected wait.
    Smg,
    /// llm-d's weighted scorers.
    LlmD,
}

impl PolicyName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ours,
        Self::RoundRobin,
        Self::Random,
        Self::LeastLoaded,
        Self::PowerOfTwo,
        Self::Dynamo,
        Self::Smg,
        Self::LlmD,
    ];

    /// As the command names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastLoaded => "least-loaded",
            Self::PowerOfTwo => "power-of-two",
            Self::Dynamo => "dynamo",
            Self::Smg => "smg",
            Self::LlmD => "llm-d",
        }
    }

    /// The baseline of this name, with its luck from `seed`; none for this engine's own, which needs options.
    #[must_use]
    pub fn baseline<'w>(self, world: World<'w>, seed: u64) -> Option<Box<dyn Policy + 'w>> {
        Some(match self {
            Self::Ours => return None,
            Self::RoundRobin => Box::new(Baseline::new(world, seed, round_robin::RoundRobin::default())),
            Self::Random => Box::new(Baseline::new(world, seed, random::AnyPool)),
            Self::LeastLoaded => Box::new(Baseline::new(world, seed, least_loaded::LeastLoaded)),
            Self::PowerOfTwo => Box::new(Baseline::new(world, seed, power_of_two::PowerOfTwo)),
            Self::Dynamo => Box::new(Baseline::new(world, seed, dynamo::DynamoCost)),
            Self::Smg => Box::new(Baseline::new(world, seed, smg::ExpectedWait)),
            Self::LlmD => Box::new(Baseline::new(world, seed, llm_d::WeightedScorers)),
        })
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no policy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no policy: there are {}", PolicyName::ALL.map(PolicyName::name).join(", "))]
pub struct UnknownPolicy {
    name: String,
}

impl FromStr for PolicyName {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == text)
            .ok_or_else(|| UnknownPolicy { name: text.to_owned() })
    }
}
