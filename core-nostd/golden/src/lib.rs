//! Goldens: work for the core that is the same everywhere, and one number for all that came of it.
//!
//! "The same inputs give the same decision on every machine" is only worth something when other machines were asked. So
//! here is work without files, clock, allocator or floating-point arithmetic, made from integers and sized for 16 KiB of
//! RAM; `ci/targets.sh` does it on machines of 32 and 64 bits, of both byte orders, with and without an operating system.
//!
//! | golden | what is in its digest |
//! |---|---|
//! | [`placement_digest`] | every decision of [`visit`], what commits took, whether releases found their pool |
//! | [`scheduler_digest`] | every answer, event and action of [`run`] |
//!
//! Invariants: no result depends on the target; a digest changes with the worlds here, with the form of what it covers
//! and with [`SEMANTICS_VERSION`](orchestrator_core::SEMANTICS_VERSION), never with a faster implementation.

#![no_std]

mod placement;
mod random;
mod scheduler;
mod worlds;

pub use placement::{PLACEMENT_DIGEST, Step, Visitor, placement_digest, visit};
pub use scheduler::{SCHEDULER_DIGEST, ScriptBuffers, ScriptFleet, run, scheduler_digest};
