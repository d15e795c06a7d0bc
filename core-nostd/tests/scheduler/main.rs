//! The scheduler as a whole: what it answers, says and does to inputs at given times, and what holds for any of them.
//!
//! Scenarios are tables written by hand: an input, its time, and exactly what follows from it. The model runs at random,
//! with faults, beside a naive account of every job.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    clippy::float_arithmetic,
    reason = "a test may fail, and tables are long"
)]

mod account;
mod admission;
mod decisions;
mod ids;
mod leases;
mod limits;
mod model;
mod pools;
mod prefills;
mod queue;
mod sessions;
mod table;
