//! Deterministic placement of LLM inference jobs: which pool takes a job, or why none can.
//!
//! A **pool** is an engine on one or more GPUs with slots, VRAM, measured rates and warm KV caches. A **job** brings a
//! model, a context, expected tokens, a session. The same inputs give the same decision, bit for bit, on every machine
//! and for every order of pools: all arithmetic is on bounded unsigned integers, and a decision is the minimum of a
//! total order. The crate needs no `std`, no allocator and no `unsafe`.
//!
//! ```text
//! PoolSnapshot ─ validate ─▶ ValidPool ─ intern ─▶ PoolRow + lists ┐
//!                                                                  ├─ decide ─▶ PlacementDecision ─ commit ─▶ Lease
//! JobSpec ────── validate ─▶ ValidJob ── resolve ▶ JobQuery ───────┘      └─── explain ─▶ Explanation
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`limits`], [`units`], [`hash`] | bounds with their proofs; the float edge; the published hash |
//! | [`input`](crate::PoolSnapshot) | what a wire can say, and its check |
//! | [`rows`] | plain-old-data rows and the borrowed table of pools |
//! | [`rule`] | the predicate, the score, the key: functions of integers |
//! | [`decide`], [`explain`] | one decision, and why |
//! | [`commit`] | slots, VRAM, residency, sessions |
//! | [`SmallFleet`], [`PoolRegistry`] | a fleet in fixed storage, for node agents; what a scheduler needs of a fleet |
//! | [`scheduler`] | jobs wait, run and end: queue, admission, leases, sessions, budgets, forecasts |
//! | [`codec`] | inputs and outcomes as bytes: for waiting jobs and recordings |
//! | [`storage`] | containers over borrowed storage |
//!
//! The normative rules are in `docs/spec.md`; code and tests name their ids.

#![no_std]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_lossless,
        clippy::float_arithmetic,
        reason = "a test may fail"
    )
)]

#[cfg(test)]
extern crate std;

#[macro_use]
pub mod codec;
pub mod commit;
mod directory;
mod error;
mod fleet;
mod input;
mod kv;
pub mod limits;
mod placement;
mod policy;
pub mod rows;
pub mod rule;
pub mod scheduler;
pub mod storage;
mod values;

/// The version of the rules in `docs/spec.md`: it stands in every hash and digest.
pub const SEMANTICS_VERSION: u32 = 1;

/// The version of the wire shapes: fleet files, job lines and decision lines. FR-DV-002.
pub const SCHEMA_VERSION: u32 = 1;

pub use commit::HeldRoom;
pub use directory::{Directory, NameKind, ResolvedJob};
pub use error::{FieldError, Problem};
pub use fleet::{FleetError, HeldLease, PoolFacts, PoolHandle, PoolRegistry, SmallFleet};
pub use input::{
    Budget, BudgetLimits, DeterminismSpec, DeviceSnapshot, JobSpec, KvHint, ModelRequirements, PlacementHints,
    PlacementMode, PoolSnapshot, PoolSupports, Priority, ValidJob, ValidPool, WarmSession,
};
pub use kv::{Attention, KvFormat, KvLayout, ModelDims, SlidingWindow, bytes_per_token, est_kv_bytes};
pub use placement::{
    Assignment, ClassScorer, Decided, Explanation, KeyPart, NearestMiss, PlacementDecision, PlacementInput,
    PoolVerdict, RejectionCounts, Shortfall, Shortlist, Standing, Unfit, Unit, WireCode, class_row, compare, conclude,
    decide, explain, explain_pool, inspect, keys_of, pool_lane, rank_best, shortlist,
};
pub use policy::{Order, Policy, PolicySpec, Weights, WeightsSpec};
pub use rule::rejection::{Reason, Rejection};
pub use scheduler::{Admission, AdmissionCapacity, QueueState, admission_policy};
pub use values::capability::ComputeCapability;
pub use values::device_mask::DeviceMask;
pub use values::edge::Rate;
pub use values::text::{Id, Name};

/// From wire units to integers and back: behind it there are no floats.
pub mod units {
    pub use crate::values::edge::{micros_from_millis, millis_ceil, rate_from_milli_tps, weight_256_from};
}

/// The published hash, and the hashes of the spread key.
pub mod hash {
    pub use crate::values::hash::{ContentHasher, spread_job_hash, spread_pool_hash, spread_value};
}
