//! From files to the borrowed wire values of the core: fleets, jobs, policies and model dimensions.
//!
//! Everything that comes from outside passes here first. This module knows syntax and types; the limits and rules of
//! `docs/spec.md` are checked by the core (`PoolSnapshot::validate`, `JobSpec::validate`, `PolicySpec::validate`).
//!
//! ```text
//! fleet.json ── FleetReader ── row text ── PoolText ── with_snapshot ─▶ PoolSnapshot::validate
//! jobs.jsonl ── LineReader ─── line ────── JobText ─── with_spec ─────▶ JobSpec::validate
//! policy.toml ─ read_policies ─────────────────────────────────────────▶ Policy, SchedulerPolicy, prices
//! events.jsonl  LineReader ─── line ────── EventText ── with_input ────▶ scheduler Input, with its time
//! faults.jsonl  LineReader ─── line ────── read_fault_line ────────────▶ FaultRow of a simulation's schedule
//! dims.csv ──── read_model_dims ───────────────────────────────────────▶ model id -> ModelDims
//!                                             └─ Warnings: unknown fields, slipped units, other VRAM
//! ```
//!
//! Example:
//!
//! ```text
//! let mut warnings = Warnings::default();
//! let mut fleet = FleetReader::open(path)?;
//! while let Some(row) = fleet.next_row(&mut warnings)? {
//!     match row.read(&mut warnings) {
//!         Ok(pool) => pool.with_snapshot(|snapshot| snapshot.validate().map(|valid| …)),
//!         Err(refused) => …, // its line, its ids as far as readable, its field and why
//!     }
//! }
//! ```
//!
//! Invariants:
//! - Rows are independent: a bad row is refused by itself, named by line, field and reason, with its ids where they
//!   could be read (UNIT-10, POOL-1). Every row is either read or refused, never dropped.
//! - Nothing is clamped or repaired on the way (UNIT-9). Integers beyond 64 bits become the nearest 64-bit integer,
//!   which the core refuses as above its limit.
//! - Memory is bounded: one row or line of at most 1 MiB at a time, whatever the file.
//! - No input makes this module panic.

mod event_row;
mod fault_row;
mod fields;
mod fleet_error;
mod fleet_file;
mod fleet_scan;
mod job_row;
mod lines;
mod model_dims;
mod numbers;
mod objects;
mod policy_file;
mod pool_row;
mod row_error;
mod slips;
mod warnings;

pub use event_row::{EventText, RefusedEvent, read_event_line};
pub use fault_row::{DELAY_MS_MAX, Fault, FaultRow, SLOW_PERMILLE_MAX, read_fault_line};
pub use fleet_error::FleetFileError;
pub use fleet_file::{FleetReader, FleetRow, MAX_ROW_BYTES};
pub use job_row::{JobText, RefusedJob, read_job, read_job_line};
pub use lines::{Line, LineProblem, LineReader, MAX_LINE_BYTES, OwnedLine};
pub use model_dims::{DimsFileError, MAX_DIMS_BYTES, ModelTable, RefusedDims, read_model_dims, read_model_dims_file};
pub use policy_file::{
    MAX_POLICY_BYTES, Policies, PolicyFileError, Price, parse_policies, parse_policy, read_policies, read_policy,
};
pub use pool_row::{PoolText, RefusedPool, read_pool};
pub use row_error::{ROW, RowError, Why};
pub use warnings::{Concern, Source, Warnings};
