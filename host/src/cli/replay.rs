//! `orchestrator replay`: a recording again, every outcome compared.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;

use super::{Completion, Failure, terminal};
use crate::daemon::{Difference, ExplainedDecision, REPLAY_STORAGE_BYTES_MAX, Replay, ReplayEnd, Replayed};
use crate::report::printable;

/// Run a recording again and compare.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrator replay run.rec
  orchestrator replay run.rec --explain 17

A new scheduler gets the recorded inputs; every answer, event and action must be the recorded
one, byte for byte.
Exit codes: 0 all are, 1 one is not or the recording ends in damage, 2 no recording of this
program.")]
pub(super) struct ReplayArgs {
    /// A file of `orchestrator run --record`
    #[arg(value_name = "FILE")]
    recording: PathBuf,
    /// Stop at input N, counted from 1, and explain its placement decisions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    explain: Option<u64>,
    /// MiB that the recorded capacities may take
    #[arg(long, value_name = "N", default_value_t = REPLAY_STORAGE_BYTES_MAX >> 20)]
    max_storage_mib: u64,
}

pub(super) fn run(args: &ReplayArgs) -> Result<Completion, Failure> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", args.recording.display());
    let bytes = std::fs::read(&args.recording).map_err(|error| in_file(&format_args!("cannot be read: {error}")))?;
    let replay = Replay::open(&bytes).map_err(|error| in_file(&error))?;
    let replay = replay.with_storage_bytes_max(args.max_storage_mib.saturating_mul(1 << 20));
    let replayed = replay.run(args.explain).map_err(|error| in_file(&error))?;
    let mut out = io::stdout().lock();
    match &replayed.end {
        ReplayEnd::Equal if replayed.inputs == 0 => {
            writeln!(out, "{}\n0 inputs: nothing to compare", summary(&replayed))?
        }
        ReplayEnd::Equal => writeln!(out, "{}\nequal: every outcome is the recorded one", summary(&replayed))?,
        ReplayEnd::Differs(difference) => writeln!(out, "{}", difference_words(&replayed, difference))?,
        ReplayEnd::BrokenOff(why) => {
            writeln!(out, "{}\nequal up to there", summary(&replayed))?;
            terminal::say(in_file(&format_args!("the recording is not whole: {why}")));
        }
        ReplayEnd::Explained(decisions) => writeln!(out, "{}", explanation(&replayed, decisions))?,
    }
    let is_fine = matches!(replayed.end, ReplayEnd::Equal | ReplayEnd::Explained(_));
    Ok(Completion::from_findings(!is_fine))
}

fn summary(replayed: &Replayed) -> String {
    let Replayed { inputs, last_us, took, digest, .. } = replayed;
    let per_second = u128::from(*inputs) * 1_000_000_000 / took.as_nanos().max(1);
    format!(
        "replayed: {inputs} inputs, {} s of the scheduler's time, in {:.3} s: {per_second} per second\nrun digest: {digest:016x}",
        last_us / 1_000_000,
        took.as_secs_f64(),
    )
}

fn difference_words(replayed: &Replayed, difference: &Difference) -> String {
    let Difference { item, recorded, replayed: now } = difference;
    let place = item.map_or_else(|| "the digests differ".to_owned(), |item| format!("item {item} differs"));
    format!(
        "input {} at {}: {}\n{place}\n  recorded: {}\n  replayed: {}\ndifferent: this outcome is not the recorded one",
        replayed.inputs,
        at(replayed.last_us),
        replayed.last.as_deref().unwrap_or_default(),
        printable(recorded),
        printable(now)
    )
}

fn explanation(replayed: &Replayed, decisions: &[ExplainedDecision]) -> String {
    let line = replayed.last.as_deref().unwrap_or_default();
    let mut text = format!("input {} at {}: {line}", replayed.inputs, at(replayed.last_us));
    if decisions.is_empty() {
        text.push_str("\nno placement was decided");
    }
    for ExplainedDecision { job_id, sentences } in decisions {
        // Writing to a text cannot fail.
        let _ = write!(text, "\n\njob: {}\n{sentences}", printable(job_id));
    }
    text
}

/// Microseconds as milliseconds: exact, without floats.
fn at(us: u64) -> String {
    format!("{}.{:03} ms", us / 1000, us % 1000)
}
