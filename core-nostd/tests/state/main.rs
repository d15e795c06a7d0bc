//! What a scheduler keeps beyond one snapshot and beyond one process: drains on request, and its state as bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::cast_lossless,
    clippy::float_arithmetic,
    reason = "a test may fail"
)]

mod drain;
mod refusals;
mod restart;
mod rules;
mod world;
