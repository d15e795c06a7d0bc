//! Inputs and outcomes as bytes, recordings, and counters of events: RECORD-1 to RECORD-3, EVENT-2, METRIC-4.
//!
//! Floats are compared by what `Debug` prints: it tells every two values apart, but for NaNs, which are one value here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_lossless,
    clippy::float_arithmetic,
    clippy::too_many_lines,
    reason = "a test may fail"
)]

mod codec;
mod counters;
mod recorder;
mod replay;
mod strategies;
