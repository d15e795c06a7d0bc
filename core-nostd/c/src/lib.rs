//! The C interface of `orchestrator-core`: pools, jobs and a scheduler for programs that are not in Rust.
//!
//! ```text
//!   caller's memory ── oc_init ──▶ handle ── oc_upsert_pool, oc_submit, oc_tick, … ──▶ oc_code, oc_answer
//!                                     └──── oc_next_action until OC_NOTHING ─────────▶ oc_action
//! ```
//!
//! The header `include/orchestrator_core.h` is made from the documentation here; names are those of C, so that one search
//! finds both sides.
//!
//! | module | what it holds |
//! |---|---|
//! | [`codes`](oc_code), [`problem`](oc_problem) | how a call went; which value was refused, and its limit |
//! | [`names`](oc_priority) | numbers in place of enumerations |
//! | [`text`](oc_text), [`versioned`](OC_API_VERSION) | reading what a caller points to |
//! | [`config`](oc_config), [`policy`](oc_scheduler_policy), [`prices`](oc_price), [`pool`](oc_pool), [`job`](oc_job) | what a caller says |
//! | [`action`](oc_action), [`explain`](oc_explanation) | what it is told |
//! | [`engine`](oc_engine) | the handle: a scheduler in the caller's memory |
//! | [`inputs`](oc_submit), [`queries`](oc_next_wakeup), [`state`](oc_export_state) | the functions |
//!
//! Invariants:
//! - nothing allocates, and nothing panics whatever a caller says;
//! - nothing is read or written but what a caller points to, in the sizes that it says;
//! - a call that is refused with one of the codes of misuse changes nothing;
//! - `unsafe` reads and writes through pointers, and nothing else: decisions are the core's.

#![no_std]
#![allow(non_camel_case_types, reason = "names are those of the header")]
#![allow(
    clippy::missing_safety_doc,
    reason = "what every call asks of its caller stands once, at the top of the header"
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may fail"
    )
)]

#[cfg(any(feature = "std", test))]
extern crate std;

mod action;
mod buffer;
mod codes;
mod config;
mod engine;
mod explain;
mod inputs;
mod job;
mod names;
mod policy;
mod pool;
mod prices;
mod problem;
mod queries;
mod run_digest;
mod state;
mod storage;
mod text;
mod versioned;

pub use action::*;
pub use codes::*;
pub use config::*;
pub use engine::{OC_MEMORY_ALIGN, oc_engine, oc_init, oc_memory_align, oc_memory_bytes};
pub use explain::*;
pub use inputs::*;
pub use job::*;
pub use names::*;
pub use policy::*;
pub use pool::*;
pub use prices::oc_price;
pub use problem::{oc_last_problem, oc_problem, oc_problem_kind_text};
pub use queries::*;
pub use state::*;
pub use text::{oc_label, oc_labels, oc_text, oc_texts};
pub use versioned::OC_API_VERSION;

#[cfg(not(any(feature = "std", test)))]
mod without_std;
