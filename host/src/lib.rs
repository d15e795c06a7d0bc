//! The host of orchestrator: fleets of any size, files, and the command.
//!
//! The rules and every decision are the core's (`orchestrator-core`); this crate brings memory, files and people to it.
//!
//! ```text
//! import ──▶ files ──▶ input ──▶ fleet ──▶ place ──▶ report ──▶ cli
//!                       (rows)   (sorted)  (decide,   (lines,
//!                                           commit)    tables)
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`input`] | fleets, jobs, policies and model tables from files: tolerant, row by row |
//! | [`fleet`] | the pools of a fleet of any size, and the session table |
//! | [`place`] | the run: decide, explain, commit; digest and summary |
//! | [`batch`] | many jobs against many pools: backends, cross-check |
//! | [`bench`](mod@bench) | how fast backends are, beside the machine's limits |
//! | [`report`] | decisions as lines and tables |
//! | [`wire`] | answers and actions of a scheduler as lines, refusals as HTTP, frames for streams |
//! | [`observe`] | metrics by contract, the metrics page, log lines |
//! | [`daemon`] | a scheduler with storage, watchers and a recording; its replay |
//! | [`import`] | fleets and jobs made from published tables and traces |
//! | [`cli`] | the command `orchestrator` |

// Allowed in one module, `batch::cuda`, which talks to a driver.
#![deny(unsafe_code)]

pub mod batch;
pub mod bench;
pub mod cli;
pub mod daemon;
pub mod fleet;
pub mod import;
pub mod input;
pub mod observe;
pub mod place;
mod random;
pub mod report;
pub mod simulate;
pub mod verify;
pub mod wire;
