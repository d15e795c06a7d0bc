//! The command from outside: a process with files, exit codes, standard output and standard error.
//!
//! Every test has a folder of its own, and every run is checked for what must hold for any input (`support::Ran`): no
//! panic, a known exit code, a message with every failure.

mod backends;
mod bad_input;
#[path = "../closed_loop/mod.rs"]
mod closed_loop;
mod determinism;
mod digest;
mod examples;
mod explain;
mod fleet_limits;
mod import;
mod kv;
mod limits;
#[path = "../metrics_lint/mod.rs"]
mod metrics_lint;
mod mutations;
#[cfg(unix)]
mod readme;
mod replay;
mod run;
mod simulate;
mod support;
mod terminal;
// Apart from the hash of the code under test.
#[path = "../differential/xxh64.rs"]
mod xxh64;
