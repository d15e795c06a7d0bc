//! `orchestrator verify`: all backends on the same worlds, and the smallest case on which one differs.

use std::convert::Infallible;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use clap::Args;

use super::kernels::KernelArgs;
use super::{Completion, Failure, load, terminal};
use crate::batch::{Backend, BackendName};
use crate::verify::{self, Case, Found, Plan, Report};

/// Compare all backends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrator verify
  orchestrator verify --fleet 1025 --jobs 64 --cases 100 --seed 7
  orchestrator verify --fleet verify-case/fleet.json --jobs verify-case/jobs.jsonl --policy verify-case/policy.toml

Every backend answers for every job, on fresh pools, after commits and releases, and under
another policy. The same seed makes the same worlds on every machine.
Exit codes: 0 all backends found what the core finds, 1 one differs: the smallest case that
shows it is in the folder of --case-out; 2 usage or unreadable input.")]
pub(super) struct VerifyArgs {
    /// Pools of every world, or a fleet file; without it sizes vary
    #[arg(long, value_name = "N|JSON")]
    fleet: Option<Source>,
    /// Jobs of every world, or a job file; without it numbers vary
    #[arg(long, value_name = "N|JSONL")]
    jobs: Option<Source>,
    /// The policy of the files; without one the defaults stand
    #[arg(long, value_name = "TOML")]
    policy: Option<PathBuf>,
    /// Number of worlds
    #[arg(long, value_name = "C", default_value_t = Plan::default().cases)]
    cases: u64,
    /// Seed of the worlds
    #[arg(long, value_name = "S", default_value_t = Plan::default().seed)]
    seed: u64,
    /// Only these backends; without it all that are available
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    backends: Vec<String>,
    #[command(flatten)]
    kernels: KernelArgs,
    /// Folder for the smallest case that differs
    #[arg(long, value_name = "FOLDER", default_value = "verify-case")]
    case_out: PathBuf,
}

/// A number of rows to make, or a file of rows.
#[derive(Debug, Clone)]
enum Source {
    Count(usize),
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Count))
    }
}

pub(super) fn run(args: &VerifyArgs) -> Result<Completion, Failure> {
    let mut backends = chosen_backends(args)?;
    let start = Instant::now();
    let report = match (&args.fleet, &args.jobs) {
        (Some(Source::File(fleet)), Some(Source::File(jobs))) => run_files(args, fleet, jobs, &mut backends)?,
        (Some(Source::File(_)), _) | (_, Some(Source::File(_))) => {
            return Err("--fleet and --jobs: either both name files or none does".into());
        }
        (fleet, jobs) => run_plan(args, count(fleet.as_ref()), count(jobs.as_ref()), &mut backends)?,
    };
    say_report(&report, start)?;
    if let Some(found) = &report.found {
        say_found(found, args)?;
    }
    Ok(Completion::from_refusals(report.found.is_some()))
}

/// A backend that is asked for by name and is not available is an error, and not left out.
fn chosen_backends(args: &VerifyArgs) -> Result<Vec<Box<dyn Backend>>, Failure> {
    let options = args.kernels.options(load::available_threads());
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

const fn count(source: Option<&Source>) -> Option<usize> {
    match source {
        Some(Source::Count(count)) => Some(*count),
        _ => None,
    }
}

/// Rows that a file refuses are said as `place` says them, and take no part.
fn run_files(
    args: &VerifyArgs,
    fleet: &Path,
    jobs: &Path,
    backends: &mut [Box<dyn Backend>],
) -> Result<Report, Failure> {
    load::fleet(fleet)?;
    load::policy(args.policy.as_deref())?;
    let case = verify::read_case(fleet, jobs, args.policy.as_deref())?;
    run_cases([case], 1, backends)
}

fn run_plan(
    args: &VerifyArgs,
    pools: Option<usize>,
    jobs: Option<usize>,
    backends: &mut [Box<dyn Backend>],
) -> Result<Report, Failure> {
    if args.policy.is_some() {
        return Err("--policy goes with a fleet file and a job file: made worlds have policies of their own".into());
    }
    let plan = Plan { seed: args.seed, cases: args.cases, pools, jobs };
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

fn say_found(found: &Found, args: &VerifyArgs) -> Result<(), Failure> {
    let Found { world, difference, case } = found;
    let (pools, jobs) = (case.pools.len(), case.jobs.len());
    terminal::say(format_args!("DIFFERENT in world {world}: {difference}"));
    terminal::say(format_args!("smallest case: {pools} pools, {jobs} jobs"));
    if let Err(is_input) = check_case_out(args) {
        terminal::say(format_args!("not written: {is_input}"));
        return Ok(());
    }
    verify::write_case(case, &args.case_out)?;
    let folder = args.case_out.display();
    terminal::say(format_args!(
        "run it again: orchestrator verify --fleet {folder}/fleet.json --jobs {folder}/jobs.jsonl --policy {folder}/policy.toml"
    ));
    Ok(())
}

/// A case that is run again stays as it is.
fn check_case_out(args: &VerifyArgs) -> Result<(), Failure> {
    let files = [&args.fleet, &args.jobs].into_iter().filter_map(|source| match source {
        Some(Source::File(path)) => Some(path),
        _ => None,
    });
    let inputs: Vec<_> = files.chain(&args.policy).collect();
    let mut outputs = verify::CASE_FILES.iter().map(|name| args.case_out.join(name));
    outputs.try_for_each(|output| load::check_output(inputs.iter().copied(), Some(&output)))
}
