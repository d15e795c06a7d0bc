//! The engine beside its peers, in one run on one core.
//!
//! ```text
//!                     ┌─ ours ─ simd, core              every contestant in turn,
//! contest ─ world ────┼─ dynamo ─ its selection         round after round ──▶ report ─▶ table, JSON
//!   └─ columns ───────┴─ python ─ numpy, numba          (rounds)
//! ```
//! No time without its answer: ours stand beside a digest that the oracle confirmed, those of numpy and numba count
//! only where every winner is ours, and the router's selection, which answers another question, is checked to have the
//! least cost of its own.

mod columns;
mod contest;
mod dynamo;
mod machine;
mod many_jobs;
mod one_decision;
mod open_world;
mod ours;
mod python;
mod random;
mod report;
mod rounds;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use orchestrator_host::bench::Size;

use crate::machine::Machine;
use crate::python::Environment;
use crate::report::Report;
use crate::rounds::Pace;

/// Measure the engine beside Dynamo's router, numpy and numba, on one core in one run.
#[derive(Debug, Parser)]
struct Args {
    /// Pools for one decision at a time
    #[arg(long, value_name = "POOLS", value_delimiter = ',', default_value = "100,1000,10000,100000")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 22))]
    pools: Vec<u32>,
    /// Pools and jobs for many jobs at once
    #[arg(long, value_name = "POOLSxJOBS", value_delimiter = ',', default_value = "1000x1000,10000x1000,100000x256")]
    sizes: Vec<Size>,
    /// Rounds that count
    #[arg(long, value_name = "N", default_value_t = 100)]
    rounds: usize,
    /// The time of each contestant in each round
    #[arg(long, value_name = "MS", default_value_t = 10)]
    turn_ms: u64,
    /// The core that everything is pinned to; the last one if not given
    #[arg(long, value_name = "NUMBER")]
    core: Option<usize>,
    /// The Python that makes the environment for numpy and numba
    #[arg(long, value_name = "COMMAND", default_value = "python3")]
    python: String,
    /// Leave numpy and numba out
    #[arg(long)]
    skip_python: bool,
    /// Write the figures as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let python = if args.skip_python { None } else { Some(Environment::new(&args.python)?) };
    let mut machine = Machine::pinned(args.core);
    let pace = Pace { rounds: args.rounds, turn: Duration::from_millis(args.turn_ms) };
    let sections = vec![one_decision::run(&args.pools, pace)?, many_jobs::run(&args.sizes, pace, python.as_ref())?];
    machine.finish();
    let report = Report { machine, rounds: args.rounds, turn_ms: args.turn_ms, sections };
    report.print();
    if let Some(file) = args.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(&file, json + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
