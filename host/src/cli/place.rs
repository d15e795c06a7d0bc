//! `orchestrator place`: a stream of jobs in, one line per job out. Jobs are decided in chunks of lines, so that memory is
//! bounded whatever the file, and lines come out in the order of the file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use orchestrator_core::{FieldError, JobSpec, KvLayout};

use super::kernels::KernelArgs;
use super::load::{self, LoadedModels};
use super::threads::ThreadArgs;
use super::{Completion, Failure, terminal};
use crate::batch::{Backend, BackendChoice, BackendError, CrossCheck, DeviceFault, Guarded, Incident};
use crate::input::{Line, RefusedJob, Warnings, read_job_line};
use crate::place::{BatchPlacer, DecisionDigest, Mode, Placed, Summary, Wanted};
use crate::report::{DecisionLine, Hashes, Refusal, TABLE_HEADER, table_row};

/// Place jobs on a fleet.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  orchestrator place --fleet examples/fleet.json --jobs examples/jobs.jsonl --explain

Every input line gives one output line, in the same order. The digest on standard error is
the same on every machine and for every order of pools in the fleet file. A cross-check that
finds a difference says it at once, goes on with the scalar backend, and ends with exit code 1.")]
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
    /// What decides: all backends decide the same
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    backend: BackendArg,
    /// Compare no job's best pools, those of one job in N, or all with the scalar backend's: off, sample:N or full
    #[arg(long, value_name = "CHECK", default_value_t = CrossCheck::Off)]
    cross_check: CrossCheck,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    kernels: KernelArgs,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Lines that are read before they are decided, unless there are so many pools that it takes long.
const CHUNK_LINES: usize = 4096;

/// Pairs of pool and job after which progress is shown: less than a second for any backend.
const CHUNK_PAIRS: usize = 1 << 26;

/// A chunk has at least so many lines: what is made of the pools once for it pays off.
const CHUNK_LINES_MIN: usize = 256;

/// Bytes of lines after which a chunk is decided, however few they are.
const CHUNK_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BackendArg {
    // No doc comments: see below.
    Auto,
    Scalar,
    Simd,
    Cuda,
}

impl BackendArg {
    const fn choice(self) -> BackendChoice {
        match self {
            Self::Auto => BackendChoice::Auto,
            Self::Scalar => BackendChoice::Scalar,
            Self::Simd => BackendChoice::Simd,
            Self::Cuda => BackendChoice::Cuda,
        }
    }
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
    let options = args.kernels.options(args.threads.count())?;
    let backend = args.backend.choice().open(&options).map_err(|why| format!("--backend: {why}"))?;
    let loaded = load::fleet(&args.fleet)?;
    let (pools, refused_pools) = (loaded.fleet.len(), loaded.refused);
    let mode = match args.mode {
        ModeArg::Sequential => Mode::Sequential,
        ModeArg::Independent => Mode::Independent,
    };
    let mut run = Run {
        policy_hash: hex(policy.content_hash()),
        snapshot_hash: hex(loaded.fleet.content_hash()),
        placer: BatchPlacer::new(loaded.fleet, policy, mode, Guarded::new(backend, args.cross_check)),
        chunk_lines: (CHUNK_PAIRS / pools.max(1)).clamp(CHUNK_LINES_MIN, CHUNK_LINES),
        waiting: Vec::new(),
        waiting_bytes: 0,
        has_diverged: false,
        placed: Vec::new(),
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
    let any_refused = refused_pools + refused_models + run.summary.refused() > 0;
    Ok(Completion::from_findings(any_refused || run.has_diverged))
}

/// One run over a job file.
struct Run<'a> {
    placer: BatchPlacer,
    chunk_lines: usize,
    /// The lines of the chunk.
    waiting: Vec<Read>,
    waiting_bytes: usize,
    /// Whether the cross-check found a difference.
    has_diverged: bool,
    /// What became of the chunk's jobs.
    placed: Vec<Placed>,
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

/// One line that was read.
struct Read {
    line: u64,
    bytes: usize,
    job_id: Option<String>,
    has_deadline: bool,
    /// The field that a refused line breaks a rule with, and which.
    refused: Option<(String, String)>,
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
        let mut refusals = load::Refusals::of(path);
        let ended = loop {
            match lines.next_line() {
                Ok(Some(line)) => self.read(&line),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            if self.waiting.len() >= self.chunk_lines || self.waiting_bytes >= CHUNK_BYTES {
                self.place_chunk(&mut *out, &mut refusals, &progress)?;
            }
        };
        // What was read before an error is placed all the same.
        self.place_chunk(&mut *out, &mut refusals, &progress)?;
        ended.map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        out.flush()?;
        progress.finish_and_clear();
        refusals.finish();
        Ok(())
    }

    /// Adds a line to the chunk.
    fn read(&mut self, line: &Line<'_>) {
        let Self { placer, models, warnings, deciding, .. } = self;
        let (number, bytes) = (line.number(), line.bytes().len());
        let add = |job: &JobSpec<'_>| {
            let dims = models.and_then(|models| models.table.models.get(job.model_id));
            let start = Instant::now();
            let added = placer.add(job, dims.map(|dims| (dims, KvLayout::default())));
            *deciding += start.elapsed();
            Read {
                line: number,
                bytes,
                job_id: Some(job.id.to_owned()),
                has_deadline: job.deadline_ms.is_some(),
                refused: added.err().map(|FieldError { field, problem }| (field.to_owned(), problem.to_string())),
            }
        };
        let read = read_job_line(line, warnings, add).unwrap_or_else(|RefusedJob { id, error }| Read {
            line: number,
            bytes,
            job_id: id,
            has_deadline: false,
            refused: Some((error.field.into_owned(), error.why.to_string())),
        });
        self.waiting.push(read);
        self.waiting_bytes += bytes;
    }

    /// Decides the chunk and writes its lines.
    fn place_chunk(
        &mut self,
        out: &mut dyn Write,
        refusals: &mut load::Refusals<'_>,
        progress: &ProgressBar,
    ) -> Result<(), Failure> {
        let mut placed = std::mem::take(&mut self.placed);
        let start = Instant::now();
        self.placer.place(self.wanted, &mut placed);
        self.deciding += start.elapsed();
        self.say_incident(progress);
        let mut decided = placed.drain(..);
        let mut waiting = std::mem::take(&mut self.waiting);
        for Read { line, bytes, job_id, has_deadline, refused } in waiting.drain(..) {
            let result = match refused {
                Some(refused) => Err(refused),
                None => Ok(decided.next().expect("every job that was added is placed")),
            };
            let outcome = Outcome { job_id, has_deadline, result };
            self.count(&outcome);
            if let Err((field, why)) = &outcome.result {
                progress.suspend(|| refusals.add(line, format_args!("{field}: {why}")));
            }
            self.write(out, line, &outcome)?;
            self.show(progress, bytes);
        }
        drop(decided);
        (self.placed, self.waiting, self.waiting_bytes) = (placed, waiting, 0);
        Ok(())
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

    /// At once: whoever watches a long run can look at the device while it goes on.
    fn say_incident(&mut self, progress: &ProgressBar) {
        while let Some(incident) = self.placer.backend_mut().take_incident() {
            self.has_diverged |= is_wrong_answer(&incident);
            let next = self.placer.backend().name();
            progress.suspend(|| {
                terminal::say(format_args!("backend: {incident}; the {next} backend decides from here on"))
            });
        }
    }

    fn say_summary(&mut self, pools: usize, refused_pools: u64) {
        let mode = self.placer.mode().name();
        let per_second = per_second(self.summary.decided(), self.deciding);
        let classes = self.placer.fleet().class_count();
        terminal::say(format_args!(
            "fleet: {pools} pools, {refused_pools} rows refused; mode {mode}; {classes} classes of pools"
        ));
        terminal::say(&self.summary);
        let checked = self.placer.backend().checked();
        if checked > 0 && !self.has_diverged {
            terminal::say(format_args!("cross-check: {checked} lists compared with the scalar backend's, all equal"));
        }
        let (backend, runs_on) = (self.placer.backend().name(), self.placer.backend().description());
        terminal::say(format_args!(
            "decisions: {per_second} per second, reading and writing not counted; backend {backend}: {runs_on}"
        ));
        terminal::say(format_args!("policy hash:   {}\nsnapshot hash: {}", self.policy_hash, self.snapshot_hash));
        terminal::say(format_args!("decision digest: {}", hex(self.digest.finish())));
    }
}

/// A backend that answers wrongly is another thing than one that does not answer.
const fn is_wrong_answer(incident: &Incident) -> bool {
    match incident {
        Incident::Diverged(_) => true,
        Incident::Failed(BackendError::Device { fault, .. }) => matches!(fault, DeviceFault::ImpossibleAnswer),
        Incident::Failed(_) => false,
    }
}

fn per_second(count: u64, time: Duration) -> u128 {
    u128::from(count) * 1_000_000_000 / time.as_nanos().max(1)
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}
