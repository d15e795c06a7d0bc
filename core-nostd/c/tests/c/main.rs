//! The interface as C uses it: built by the system's compiler, with and without its sanitizers, linked with the static
//! library, and run.
//!
//! `CC` chooses the compiler.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    reason = "a test may fail"
)]

mod agent;
mod compile;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod hostile;
mod same_digest;
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
mod without_std;
