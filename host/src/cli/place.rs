//! `orchestrator place`: a stream of jobs in, one line per job out.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use orchestrator_core::{FieldError, JobSpec, KvLayout};

use super::load::{self, LoadedModels};
use super::{Completion, Failure, terminal};
use crate::input::{Line, RefusedJob, Warnings, read_job_line};
use crate::place::{DecisionDigest, Mode, Placed, Placer, Summary, Wanted};
use crate::report::{DecisionLine, Hashes, Refusal, TABLE_HEADER, table_row};

/// Place jobs on a fleet.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  orchestrator place --fleet examples/fleet.json --jobs examples/jobs.jsonl --explain

Every input line gives one output line, in the same order. The digest on standard error is
the same on every machine and for every order of pools in the fleet file.")]
pub(super) struct PlaceArgs {
    /// The fleet: {"version": 1, "pools": [ … ]}
    #[arg(long, value_name = "JSON")]
    fleet: PathBuf,
    /// The jobs: JSON Lines
    #[arg(long, value_name = "JSONL")]
    jobs: PathBuf,
    /// The policy; without one the defaults stand
    #[arg(long, value_name = "TOML")]
    policy: Option<PathBuf>,
    /// Commit each placement before the next decision, or let every job see the same snapshot
    #[arg(long, value_enum, default_value_t = ModeArg::Sequential)]
    mode: ModeArg,
    /// Model dimensions, to estimate the KV cache of jobs that do not give it
    #[arg(long, value_name = "CSV")]
    models: Option<PathBuf>,
    /// Add what decided, by how much, the runner-up, counts and the nearest miss
    #[arg(long)]
    explain: bool,
    /// Add the N best pools
    #[arg(long, value_name = "N", default_value_t = 0)]
    k: u16,
    /// One JSON object per line, or columns for people
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeArg {
    // Not a doc comment: clap would give every option lines of its own.
    Sequential,
    Independent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Table,
}

pub(super) fn run(args: &PlaceArgs) -> Result<Completion, Failure> {
    let inputs = [Some(&args.fleet), Some(&args.jobs), args.policy.as_ref(), args.models.as_ref()];
    load::check_output(inputs.into_iter().flatten(), args.output.as_deref())?;
    if args.format == Format::Table && (args.explain || args.k > 0) {
        return Err("--format table has no room for --explain and --k: leave one of them out".into());
    }
    let policy = load::policy(args.policy.as_deref())?;
    let models = args.models.as_deref().map(load::models).transpose()?;
    let loaded = load::fleet(&args.fleet)?;
    let (pools, refused_pools) = (loaded.fleet.len(), loaded.refused);
    let mode = match args.mode {
        ModeArg::Sequential => Mode::Sequential,
        ModeArg::Independent => Mode::Independent,
    };
    let mut run = Run {
        policy_hash: hex(policy.content_hash()),
        snapshot_hash: hex(loaded.fleet.content_hash()),
        placer: Placer::new(loaded.fleet, policy, mode),
        models: models.as_ref(),
        wanted: Wanted { explanation: args.explain, best: args.k.into() },
        format: args.format,
        warnings: Warnings::default(),
        summary: Summary::default(),
        digest: DecisionDigest::default(),
        deciding: Duration::ZERO,
    };
    run.place_file(&args.jobs, args.output.as_deref())?;
    load::say_warnings(&run.warnings);
    run.say_summary(pools, refused_pools);
    let refused_models = models.as_ref().map_or(0, |models| models.refused);
    Ok(Completion::from_refusals(refused_pools + refused_models + run.summary.refused() > 0))
}

/// One run over a job file.
struct Run<'a> {
    placer: Placer,
    models: Option<&'a LoadedModels>,
    wanted: Wanted,
    format: Format,
    policy_hash: String,
    snapshot_hash: String,
    warnings: Warnings,
    summary: Summary,
    digest: DecisionDigest,
    /// Time spent in decisions, explanations and commits, without reading and writing.
    deciding: Duration,
}

/// What became of one line, with what its report needs.
struct Outcome {
    job_id: Option<String>,
    has_deadline: bool,
    result: Result<Placed, (String, String)>,
}

impl Run<'_> {
    fn place_file(&mut self, path: &Path, output: Option<&Path>) -> Result<(), Failure> {
        let (mut lines, bytes) = load::job_lines(path)?;
        let mut out = load::open_output(output)?;
        let progress = terminal::progress_over(bytes);
        if self.format == Format::Table {
            writeln!(out, "{TABLE_HEADER}")?;
        }
        let read_error = |error: io::Error| format!("{}: cannot be read: {error}", path.display());
        let mut refusals = load::Refusals::of(path);
        while let Some(line) = lines.next_line().map_err(read_error)? {
            let outcome = self.place_line(&line);
            self.count(&outcome);
            if let Err((field, why)) = &outcome.result {
                progress.suspend(|| refusals.add(line.number(), format_args!("{field}: {why}")));
            }
            self.write(&mut out, line.number(), &outcome)?;
            self.show(&progress, line.bytes().len());
        }
        out.flush()?;
        progress.finish_and_clear();
        refusals.finish();
        Ok(())
    }

    fn place_line(&mut self, line: &Line<'_>) -> Outcome {
        let Self { placer, models, wanted, warnings, deciding, .. } = self;
        let place = |job: &JobSpec<'_>| {
            let dims = models.and_then(|models| models.table.models.get(job.model_id));
            let start = Instant::now();
            let placed = placer.place(job, dims.map(|dims| (dims, KvLayout::default())), *wanted);
            *deciding += start.elapsed();
            Outcome {
                job_id: Some(job.id.to_owned()),
                has_deadline: job.deadline_ms.is_some(),
                result: placed.map_err(|FieldError { field, problem }| (field.to_owned(), problem.to_string())),
            }
        };
        read_job_line(line, warnings, place).unwrap_or_else(|RefusedJob { id, error }| Outcome {
            job_id: id,
            has_deadline: false,
            result: Err((error.field.into_owned(), error.why.to_string())),
        })
    }

    fn count(&mut self, outcome: &Outcome) {
        match &outcome.result {
            Ok(placed) => {
                let job_id = outcome.job_id.as_deref().unwrap_or_default();
                self.digest.add_decision(job_id, &placed.decision, self.placer.fleet());
                self.summary.add_decision(&placed.decision);
            }
            Err((field, _)) => {
                self.digest.add_refusal(outcome.job_id.as_deref(), field);
                self.summary.add_refusal();
            }
        }
    }

    fn write(&self, out: &mut dyn Write, line: u64, outcome: &Outcome) -> Result<(), Failure> {
        let hashes = Hashes { policy: &self.policy_hash, snapshot: &self.snapshot_hash };
        let job_id = outcome.job_id.as_deref();
        let report = match &outcome.result {
            Ok(placed) => {
                let job_id = job_id.unwrap_or_default();
                DecisionLine::decided(job_id, outcome.has_deadline, placed, self.placer.fleet(), hashes)
            }
            Err((field, why)) => DecisionLine::refused(job_id, Refusal { line, field, why }, hashes),
        };
        match self.format {
            Format::Jsonl => {
                serde_json::to_writer(&mut *out, &report).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            Format::Table => writeln!(out, "{}", table_row(&report))?,
        }
        Ok(())
    }

    fn show(&self, progress: &ProgressBar, bytes: usize) {
        // A line's end counts too.
        progress.inc(bytes as u64 + 1);
        if !progress.is_hidden() {
            progress.set_message(format!("{} jobs", self.summary.decided()));
        }
    }

    fn say_summary(&self, pools: usize, refused_pools: u64) {
        let mode = self.placer.mode().name();
        let per_second = per_second(self.summary.decided(), self.deciding);
        let classes = self.placer.fleet().class_count();
        terminal::say(format_args!(
            "fleet: {pools} pools, {refused_pools} rows refused; mode {mode}; {classes} classes of pools"
        ));
        terminal::say(&self.summary);
        terminal::say(format_args!("decisions: {per_second} per second, reading and writing not counted"));
        terminal::say(format_args!("policy hash:   {}\nsnapshot hash: {}", self.policy_hash, self.snapshot_hash));
        terminal::say(format_args!("decision digest: {}", hex(self.digest.finish())));
    }
}

fn per_second(count: u64, time: Duration) -> u128 {
    u128::from(count) * 1_000_000_000 / time.as_nanos().max(1)
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}
