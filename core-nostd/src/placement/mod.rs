//! One decision: every feasible pool gets a key, the smallest key wins.
//!
//! [`decide`] is one pass over borrowed rows, O(pools), without allocation. [`rank_best`] keeps the k best of the same
//! pass; [`shortlist`] also counts, for backends that look at many jobs at once, and [`conclude`] makes a decision of
//! what they found. [`explain`] is apart from both, so that deciding stays lean: it counts, compares and measures what it needs
//! for an answer to "why?".
//!
//! Invariants: the same input gives the same decision for any order of visits (the minimum of a total order); nothing
//! here reads a clock, a random source or an environment. DET-1.
//!
//! ```
//! use orchestrator_core::{JobSpec, PlacementDecision, Policy, PoolSnapshot, SmallFleet};
//!
//! let mut fleet: SmallFleet<4, 8, 32> = SmallFleet::new();
//! for (id, tokens_per_s) in [("slow", 20.0), ("fast", 80.0)] {
//!     let mut pool = PoolSnapshot::new(id, "vllm", 4, 4, 24 << 30, 20 << 30);
//!     pool.perf_tokens_per_s = Some(tokens_per_s);
//!     pool.first_token_ms = Some(50.0);
//!     fleet.upsert(&pool).unwrap();
//! }
//! let policy = Policy::default();
//! let job = JobSpec::new("job-1", "vllm", "some/model").validate(&policy, None).unwrap();
//! let PlacementDecision::Assigned(assignment) = fleet.decide(&job, &policy) else { panic!("a pool is free") };
//! assert_eq!(fleet.pool_id(assignment.rank), Some(("fast", "")));
//! assert_eq!(assignment.end_us, Some(50_000 + 256 * 12_500));
//! ```

mod bound;
mod candidate;
mod decide;
mod decision;
mod explain;
mod lane;
mod shortlist;

pub use decide::{PlacementInput, conclude, decide, keys_of, rank_best};
pub use decision::{Assignment, PlacementDecision, WireCode};
pub use explain::{
    Decided, Explanation, KeyPart, NearestMiss, PoolVerdict, RejectionCounts, Shortfall, Standing, Unfit, Unit,
    compare, explain, explain_pool, inspect,
};
pub use lane::{ClassScorer, class_row, pool_lane};
pub use shortlist::{Shortlist, shortlist};
