//! The command line of `orchestrator import`.
//!
//! The options name files; what they cannot say (engines, slots, states) is in the deployment file.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::error::ImportError;
use super::fleet::{FleetSources, import_fleet, import_fleet_with_provenance};
use super::jobs::{JobSources, import_events, import_jobs};
use super::output::{check_outputs, write_to};
use super::summary::ImportSummary;

/// Make fleets and jobs from published tables and traces.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// What to import.
    #[command(subcommand)]
    pub command: ImportCommand,
}

/// What to import.
#[derive(Debug, Clone, Subcommand)]
pub enum ImportCommand {
    /// Make a fleet file from tables of nodes, GPU types and measured speeds
    #[command(after_help = "\
Example:
  orchestrator import fleet --nodes nodes.csv --specs specs.csv --profiles profiles.csv \\
      --deployment deployment.toml -o fleet.json

The deployment file declares what no table knows: engines, models, slots, states.
What neither says stays unknown.
Exit code 1: a row was refused. The rest was written; the rows are named on standard error.")]
    Fleet(FleetArgs),
    /// Make a job file from request traces
    #[command(after_help = "\
Example:
  orchestrator import jobs --trace conv.csv --trace code.csv \\
      --deployment deployment.toml -o jobs.jsonl

Traces: Azure CSV (arrival_ms,input_tokens,output_tokens) and Mooncake JSON Lines.
The answer's real length becomes expected_tokens, as if a perfect predictor had said it.
Engine and model come from [jobs] of the deployment file; standard error says what applied.
Exit code 1: a row was refused. The rest was written; the rows are named on standard error.")]
    Jobs(JobsArgs),
    /// Make a file of events from request traces: each job asks for a place when its request came
    #[command(after_help = "\
Example:
  orchestrator import events --trace conv.csv --deployment deployment.toml -o events.jsonl

As `import jobs`, but each line is an event with the request's time on the trace's clock:
  {\"event\":\"submit\",\"at_ms\":12,\"job\":{ … }}
It is half of a run: snapshots and the reports started and finished come from the engines.
Without them pools go stale after 30 s, and leases end as not_started after 60 s.
Exit code 1: a row was refused. The rest was written; the rows are named on standard error.")]
    Events(JobsArgs),
}

/// Files of `import fleet`.
#[derive(Debug, Clone, Args)]
pub struct FleetArgs {
    /// Nodes: node_id,gpu,gpu_count,vram_bytes_per_gpu,compute_capability
    #[arg(long, value_name = "CSV")]
    pub nodes: PathBuf,
    /// GPU types: gpu,vram_bytes,compute_capability
    #[arg(long, value_name = "CSV")]
    pub specs: Option<PathBuf>,
    /// Measured speeds: gpu,gpu_count,model,quant,engine,perf_tokens_per_s,first_token_ms
    #[arg(long, value_name = "CSV")]
    pub profiles: Option<PathBuf>,
    /// What no table knows
    #[arg(long, value_name = "TOML")]
    pub deployment: PathBuf,
    /// Write the fleet here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Also write where each number comes from, as CSV
    #[arg(long, value_name = "FILE")]
    pub provenance: Option<PathBuf>,
}

/// Files of `import jobs` and `import events`.
#[derive(Debug, Clone, Args)]
pub struct JobsArgs {
    /// A trace; several are merged by arrival time
    #[arg(long = "trace", value_name = "FILE", required = true)]
    pub traces: Vec<PathBuf>,
    /// What the requests ask for, in its section `jobs`
    #[arg(long, value_name = "TOML")]
    pub deployment: Option<PathBuf>,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl ImportArgs {
    /// Runs the import; the result goes to the file named by `-o`, else to `stdout`.
    ///
    /// # Errors
    /// As [`import_fleet`], [`import_jobs`] and [`import_events`], and an output that is an input or the other output; a file named by `-o` is then left as it was.
    pub fn run(&self, stdout: &mut dyn Write) -> Result<ImportSummary, ImportError> {
        match &self.command {
            ImportCommand::Fleet(args) => args.run(stdout),
            ImportCommand::Jobs(args) => args.run(stdout, import_jobs),
            ImportCommand::Events(args) => args.run(stdout, import_events),
        }
    }
}

impl FleetArgs {
    fn run(&self, stdout: &mut dyn Write) -> Result<ImportSummary, ImportError> {
        let tables = [&self.nodes, &self.deployment].into_iter().chain(&self.specs).chain(&self.profiles);
        check_outputs(tables, self.output.as_deref(), self.provenance.as_deref())?;
        let sources = FleetSources {
            nodes: self.nodes.clone(),
            specs: self.specs.clone(),
            profiles: self.profiles.clone(),
            deployment: self.deployment.clone(),
        };
        write_to(self.output.as_deref(), stdout, |out| match &self.provenance {
            None => import_fleet(&sources, out),
            // Standard output is taken by the fleet; the sink stands for it and is never reached.
            Some(path) => write_to(Some(path), &mut std::io::sink(), |provenance| {
                import_fleet_with_provenance(&sources, out, provenance)
            }),
        })
    }
}

/// [`import_jobs`] or [`import_events`].
type ImportRequests = fn(&JobSources, &mut dyn Write) -> Result<ImportSummary, ImportError>;

impl JobsArgs {
    fn run(&self, stdout: &mut dyn Write, import: ImportRequests) -> Result<ImportSummary, ImportError> {
        check_outputs(self.traces.iter().chain(&self.deployment), self.output.as_deref(), None)?;
        let sources = JobSources { traces: self.traces.clone(), deployment: self.deployment.clone() };
        write_to(self.output.as_deref(), stdout, |out| import(&sources, out))
    }
}
