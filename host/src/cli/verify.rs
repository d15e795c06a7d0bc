//! `orchestrator verify`: all backends on the same worlds, and the smallest case on which one differs.

use std::convert::Infallible;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use orchestrator_core::{FieldError, Policy};

use super::kernels::KernelArgs;
use super::{Completion, Failure, load, terminal};
use crate::batch::{Backend, BackendName};
use crate::input::{RefusedJob, Warnings, read_job_line};
use crate::verify::{self, Case, Found, Plan, Report};

/// Compare all backends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrator verify
  orchestrator verify --pools 1025 --jobs 64 --cases 100 --seed 7
  orchestrator verify --fleet verify-case/fleet.json --jobs verify-case/jobs.jsonl --policy verify-case/policy.toml

Every backend names the best pools of every job, up to 16, on fresh pools, after commits and
releases, and under another policy; the core's own answers are the measure. How `place` makes
decisions of such lists does not depend on the backend. The same seed makes the same worlds on
every machine.
Exit codes: 0 all backends found what the core finds, 1 one differs: the smallest case that
shows it is in the folder of --case-out; 2 usage or unreadable input.")]
pub(super) struct VerifyArgs {
    /// Pools of every made world; without it sizes vary
    #[arg(long, value_name = "N", conflicts_with = "fleet", value_parser = made())]
    pools: Option<u64>,
    /// A fleet file, to compare on it and a job file instead of made worlds
    #[arg(long, value_name = "JSON", requires = "jobs")]
    fleet: Option<PathBuf>,
    /// Jobs of every made world; without it numbers vary. With --fleet a job file
    #[arg(long, value_name = "N|JSONL")]
    jobs: Option<Jobs>,
    /// The policy of the files; without one the defaults stand
    #[arg(long, value_name = "TOML", requires = "fleet")]
    policy: Option<PathBuf>,
    /// Number of worlds
    #[arg(long, value_name = "C", default_value_t = Plan::default().cases, conflicts_with = "fleet", value_parser = clap::value_parser!(u64).range(1..))]
    cases: u64,
    /// Seed of the worlds
    #[arg(long, value_name = "S", default_value_t = Plan::default().seed, conflicts_with = "fleet")]
    seed: u64,
    /// Only these backends, of those that `orchestrator backends` lists; without it all that are available
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    backends: Vec<String>,
    #[command(flatten)]
    kernels: KernelArgs,
    /// Folder for the smallest case that differs
    #[arg(long, value_name = "FOLDER", default_value = "verify-case")]
    case_out: PathBuf,
}

/// Rows of a made world: they stand in memory as text.
fn made() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=MADE_MAX)
}

/// Some gigabytes of rows.
const MADE_MAX: u64 = 1 << 20;

/// A number of jobs to make, or a file of jobs.
#[derive(Debug, Clone)]
enum Jobs {
    Count(u64),
    File(PathBuf),
}

impl FromStr for Jobs {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Count))
    }
}

pub(super) fn run(args: &VerifyArgs) -> Result<Completion, Failure> {
    let mut backends = chosen_backends(args)?;
    let start = Instant::now();
    let report = match (&args.fleet, &args.jobs) {
        (Some(fleet), Some(Jobs::File(jobs))) => run_files(args, fleet, jobs, &mut backends)?,
        (Some(_), _) => return Err("--fleet: --jobs has to name a job file too".into()),
        (None, Some(Jobs::File(_))) => return Err("--jobs: a job file goes with a fleet file (--fleet)".into()),
        (None, Some(Jobs::Count(jobs))) if !(1..=MADE_MAX).contains(jobs) => {
            return Err(format!("--jobs: {jobs} is not in 1..={MADE_MAX}").into());
        }
        (None, Some(Jobs::Count(jobs))) => run_plan(args, Some(*jobs), &mut backends)?,
        (None, None) => run_plan(args, None, &mut backends)?,
    };
    // First what matters: the digests may find nobody who reads them.
    if let Some(found) = &report.found {
        say_found(found, args);
    }
    let said = say_report(&report, start);
    if report.found.is_none() {
        said?;
    }
    Ok(Completion::from_findings(report.found.is_some()))
}

/// A backend that is asked for by name and is not available is an error, and not left out.
fn chosen_backends(args: &VerifyArgs) -> Result<Vec<Box<dyn Backend>>, Failure> {
    let options = args.kernels.options(load::available_threads())?;
    if args.backends.is_empty() {
        return Ok(verify::available_backends(&options)?);
    }
    let is_wanted = |known: &BackendName| args.backends.iter().any(|name| name == known.name());
    if let Some(unknown) =
        args.backends.iter().find(|name| !BackendName::ALL.iter().any(|known| known.name() == **name))
    {
        let known = BackendName::ALL.map(BackendName::name).join(", ");
        return Err(format!("--backends: there is no `{unknown}`, only: {known}").into());
    }
    let mut backends = Vec::new();
    for name in BackendName::ALL.into_iter().filter(is_wanted) {
        backends.extend(verify::backends_of(name, &options).map_err(|why| format!("--backends: {why}"))?);
    }
    Ok(backends)
}

/// Rows that a file refuses are said as `place` says them, and take no part.
fn run_files(
    args: &VerifyArgs,
    fleet: &Path,
    jobs: &Path,
    backends: &mut [Box<dyn Backend>],
) -> Result<Report, Failure> {
    load::fleet(fleet)?;
    say_refused_jobs(jobs, &load::policy(args.policy.as_deref())?)?;
    let case = verify::read_case(fleet, jobs, args.policy.as_deref())?;
    let report = run_cases([case], 1, backends)?;
    if report.pairs == 0 {
        return Err("nothing was compared: there is no pool or no job".into());
    }
    Ok(report)
}

fn say_refused_jobs(path: &Path, policy: &Policy) -> Result<(), Failure> {
    let (mut lines, _) = load::job_lines(path)?;
    let mut refusals = load::Refusals::of(path);
    while let Some(line) = lines.next_line().map_err(|error| format!("{}: {error}", path.display()))? {
        let read = read_job_line(&line, &mut Warnings::default(), |spec| spec.validate(policy, None).map(drop));
        match read {
            Ok(Ok(())) => {}
            Ok(Err(FieldError { field, problem })) => refusals.add(line.number(), format_args!("{field}: {problem}")),
            Err(RefusedJob { error, .. }) => {
                refusals.add(line.number(), format_args!("{}: {}", error.field, error.why))
            }
        }
    }
    refusals.finish();
    Ok(())
}

fn run_plan(args: &VerifyArgs, jobs: Option<u64>, backends: &mut [Box<dyn Backend>]) -> Result<Report, Failure> {
    // Below 2^20.
    let rows = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let plan = Plan { seed: args.seed, cases: args.cases, pools: args.pools.map(rows), jobs: jobs.map(rows) };
    run_cases(plan.cases(), plan.cases, backends)
}

fn run_cases(
    cases: impl IntoIterator<Item = Case>,
    count: u64,
    backends: &mut [Box<dyn Backend>],
) -> Result<Report, Failure> {
    let progress = terminal::progress_of(count);
    let report = verify::run(backends, cases, |report| {
        progress.inc(1);
        progress.set_message(format!("{} pairs", report.pairs));
    })?;
    progress.finish_and_clear();
    Ok(report)
}

/// Digests, which are the same on every machine, on standard output; the rest on standard error.
fn say_report(report: &Report, start: Instant) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for (backend, digest) in &report.digests {
        writeln!(out, "{backend} {digest:016x}")?;
    }
    out.flush()?;
    let Report { worlds, pairs, .. } = report;
    let seconds = start.elapsed().as_secs_f64();
    terminal::say(format_args!("compared: {pairs} pairs of pool and job in {worlds} worlds, {seconds:.1} s"));
    if report.found.is_none() {
        terminal::say("equal: every backend found what the core finds");
    }
    Ok(())
}

fn say_found(found: &Found, args: &VerifyArgs) {
    let Found { world, difference, case } = found;
    let (pools, jobs) = (case.pools.len(), case.jobs.len());
    terminal::say(format_args!("DIFFERENT in world {world}: {difference}"));
    let which = if difference.is_of_failed_device() { "case on which the device failed" } else { "smallest case" };
    terminal::say(format_args!("{which}: {pools} pools, {jobs} jobs"));
    let write = || verify::write_case(case, &args.case_out).map_err(Failure::from);
    if let Err(why) = check_case_out(args).and_then(|()| write()) {
        terminal::say(format_args!("the case is not written: {why}"));
        return;
    }
    let folder = args.case_out.display();
    terminal::say(format_args!(
        "run it again: orchestrator verify --fleet {folder}/fleet.json --jobs {folder}/jobs.jsonl --policy {folder}/policy.toml"
    ));
}

/// A case that is run again stays as it is.
fn check_case_out(args: &VerifyArgs) -> Result<(), Failure> {
    let jobs = match &args.jobs {
        Some(Jobs::File(path)) => Some(path),
        _ => None,
    };
    let inputs: Vec<_> = args.fleet.iter().chain(jobs).chain(&args.policy).collect();
    let mut outputs = verify::CASE_FILES.iter().map(|name| args.case_out.join(name));
    outputs.try_for_each(|output| load::check_output(inputs.iter().copied(), Some(&output)))
}
