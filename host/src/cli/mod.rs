//! The command `orchestrator`: arguments in, results on standard output, talk on standard error.
//!
//! Exit codes: 0 fine, 1 some input lines were refused or a comparison found a difference, 2 usage or unreadable input.

mod backends;
mod bench;
mod capabilities;
mod command_line;
mod explain;
mod kernels;
mod kv;
mod load;
mod place;
mod replay;
mod run;
mod simulate;
mod stopwatch;
mod terminal;
mod threads;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::import::ImportArgs;

/// Places LLM inference jobs on fleets of engine pools, deterministically, and says why.
#[derive(Debug, Parser)]
#[command(
    name = "orchestrator",
    version = capabilities::SHORT_VERSION,
    long_version = capabilities::LONG_VERSION,
    after_help = "\
Example:
  orchestrator place --fleet examples/fleet.json --jobs examples/jobs.jsonl

Results go to standard output, everything else to standard error.
Exit codes: 0 fine, 1 some input lines were refused or what was compared differs, 2 usage or
unreadable input."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Place jobs on a fleet: one line per job, in the order of the file
    Place(place::PlaceArgs),
    /// Show what every pool is to one job: why the winner won, and what a pool lacks
    Explain(explain::ExplainArgs),
    /// Run a scheduler: events on standard input, answers and actions on standard output
    Run(Box<run::RunArgs>),
    /// Run a recording again and compare every outcome
    Replay(replay::ReplayArgs),
    /// Simulate a trace over a fleet, and compare policies
    Simulate(simulate::SimulateArgs),
    /// Measure how fast the backends are, beside the machine's limits
    Bench(bench::BenchArgs),
    /// Compare all backends on adversarial and random worlds, or on files
    Verify(verify::VerifyArgs),
    /// Estimate KV cache bytes from a model's dimensions
    Kv(kv::KvArgs),
    /// Show what this build can decide with on this machine
    Backends(backends::BackendsArgs),
    /// Print versions, limits and policies as JSON
    #[command(after_help = "\
Example:
  orchestrator capabilities")]
    Capabilities,
    /// Make fleets and jobs from published tables and traces
    #[command(after_help = "\
Example:
  orchestrator import fleet --help")]
    Import(ImportArgs),
}

/// How a command ended, if it ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Completion {
    /// Everything was taken, and agreed.
    Fine,
    /// Some input lines were refused, or what was compared differs.
    WithFindings,
}

impl Completion {
    const fn from_findings(any: bool) -> Self {
        if any { Self::WithFindings } else { Self::Fine }
    }
}

/// A command that could not do its work.
type Failure = Box<dyn std::error::Error>;

/// Runs the command with the arguments of this process.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Place(args) => place::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Kv(args) => kv::run(&args),
        Command::Backends(args) => backends::run(&args),
        Command::Capabilities => capabilities::run(),
        Command::Import(args) => import(&args),
    };
    let code = exit_code(outcome);
    terminal::finish();
    code
}

fn exit_code(outcome: Result<Completion, Failure>) -> ExitCode {
    match outcome {
        Ok(Completion::Fine) => ExitCode::SUCCESS,
        Ok(Completion::WithFindings) => ExitCode::from(1),
        Err(failure) if is_broken_pipe(&*failure) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::say(format_args!("orchestrator: {failure}"));
            ExitCode::from(2)
        }
    }
}

fn import(args: &ImportArgs) -> Result<Completion, Failure> {
    let mut stdout = io::stdout().lock();
    let summary = args.run(&mut stdout)?;
    stdout.flush()?;
    terminal::say(summary.to_string().trim_end());
    Ok(Completion::from_findings(summary.has_refusals()))
}

/// A reader that has seen enough, such as `head`, is no failure.
fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(failure);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}
