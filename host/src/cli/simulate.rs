//! `orchestrator simulate`: a trace over a fleet, under this engine and its peers.

use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::HumanCount;

use super::command_line::CommandLine;
use super::stopwatch::Stopwatch;
use super::{Completion, Failure, load, terminal};
use crate::daemon::Sizes;
use crate::import::Deployment;
use crate::input::{DELAY_MS_MAX, Policies, Warnings};
use crate::report::printable;
use crate::simulate::faults::{ScheduledFault, read_faults};
use crate::simulate::fleet::{EngineModel, FleetRows, SimFleet};
use crate::simulate::policy::{Ours, OursMemory, OursOptions, Policy, PolicyName, World};
use crate::simulate::predictor::Predictor;
use crate::simulate::report::{Setting, ShownRun, html};
use crate::simulate::request::{Arrival, Run, Trace};
use crate::simulate::results::{ClassGroup, Slo, Summary, class_table, factor, table};
use crate::simulate::run::{RunOptions, run as simulate};
use crate::simulate::trace::{self, LoadedTrace, TraceAsk};

/// Simulate a trace over a fleet, and compare policies.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrator simulate --fleet examples/fleet.json --trace examples/jobs.jsonl
  orchestrator simulate --fleet fleet.json --trace azure.csv --engine vllm --model some/model \\
    --compare ours,least-loaded,dynamo --load 0.5,1,2 --report report.html

Engines batch continuously, with contention, a KV cache and prefix reuse; their rates are off from
what the pools publish by up to 20 %, which no policy is told. Policies see reports of pools as old
as they are. Times are in ms, shares in %, errors of forecasts in ms at the 10th, 50th and 90th
percentile (positive: later than predicted). The same seed gives the same digests on every machine.
Exit codes: 0 fine, 1 some rows of the trace were refused, 2 usage or unreadable input.")]
pub(super) struct SimulateArgs {
    /// The fleet
    #[arg(long, value_name = "JSON")]
    fleet: PathBuf,
    /// A trace; several are joined
    #[arg(long, value_name = "FILE", required = true)]
    trace: Vec<PathBuf>,
    /// What the requests of a trace ask for, in its section [jobs]
    #[arg(long, value_name = "TOML")]
    deployment: Option<PathBuf>,
    /// The engine of requests that do not say one
    #[arg(long)]
    engine: Option<String>,
    /// The model of requests that do not say one
    #[arg(long)]
    model: Option<String>,
    /// How long answers were predicted to be: a table of actual_output_tokens, predicted_class
    #[arg(long, value_name = "CSV")]
    predictions: Option<PathBuf>,
    /// Policies of this engine; without it the defaults stand
    #[arg(long, value_name = "TOML")]
    policy: Option<PathBuf>,
    /// Whom to compare
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "ours,least-loaded,round-robin")]
    compare: Vec<PolicyName>,
    /// How many times as fast requests arrive as in the trace; in % in the table
    #[arg(long, value_name = "FACTORS", value_delimiter = ',', default_value = "1", value_parser = load_permille)]
    #[arg(allow_negative_numbers = true)]
    load: Vec<u32>,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "S", default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// What users are promised
    #[arg(long, value_name = "LIMITS", default_value = "ttft_ms=2000,tpot_ms=100")]
    slo: Slo,
    /// How often a pool reports [default: 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=DELAY_MS_MAX))]
    report_every_ms: Option<u64>,
    /// How late its reports are [default: 50]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=DELAY_MS_MAX))]
    report_delay_ms: Option<u64>,
    /// What goes wrong: lines like {"at_ms": 60000, "pool": "gpu-7", "fault": "vanish"}
    #[arg(long, value_name = "JSONL")]
    faults: Option<PathBuf>,
    /// Where to record what this engine is told and says in its one run, for `orchestrator replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Where to write plots and tables, as one HTML file that needs no network
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

impl SimulateArgs {
    /// What each value may be is checked before; here is what they may be together.
    fn check(&self) -> Result<(), Failure> {
        if let Some(policy) = first_repeated(&self.compare) {
            return Err(format!("--compare: `{policy}` stands more than once").into());
        }
        if let Some(&load) = first_repeated(&self.load) {
            return Err(format!("--load: `{}` stands more than once", factor(load)).into());
        }
        if self.record.is_some() && (self.load.len() > 1 || !self.compare.contains(&PolicyName::Ours)) {
            let wanted = "one run of `ours` is recorded, so --compare names it and --load has one factor";
            return Err(format!("--record: {wanted}").into());
        }
        self.check_outputs()
    }

    /// No output may take the place of an input, nor of the other output.
    fn check_outputs(&self) -> Result<(), Failure> {
        let optional = [&self.deployment, &self.predictions, &self.policy, &self.faults].into_iter().flatten();
        let inputs = || self.trace.iter().chain([&self.fleet]).chain(optional.clone());
        load::check_output(inputs(), self.record.as_deref())?;
        load::check_output(inputs(), self.report.as_deref())?;
        self.check_report_beside_record()
    }

    fn check_report_beside_record(&self) -> Result<(), Failure> {
        let (Some(record), Some(report)) = (&self.record, &self.report) else { return Ok(()) };
        if record == report || load::check_output([record], Some(report)).is_err() {
            return Err(format!("--report: {}: is where --record writes; name another file", report.display()).into());
        }
        Ok(())
    }

    /// How all runs are made: load and interval of samples are each run's own.
    fn options(&self, faults: Vec<ScheduledFault>) -> RunOptions {
        let otherwise = RunOptions::default();
        let micros = |ms: Option<u64>, otherwise_us| ms.map_or(otherwise_us, |ms| ms * 1000);
        RunOptions {
            report_every_us: micros(self.report_every_ms, otherwise.report_every_us),
            report_delay_us: micros(self.report_delay_ms, otherwise.report_delay_us),
            faults,
            ..otherwise
        }
    }

    /// The command that gives the same results: all but where they go.
    fn command(&self) -> CommandLine {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let loads: Vec<_> = self.load.iter().map(|&load| factor(load)).collect();
        let names: Vec<_> = self.compare.iter().map(|policy| policy.name()).collect();
        CommandLine::of("orchestrator simulate")
            .option("--fleet", self.fleet.display())
            .options("--trace", self.trace.iter().map(|path| path.display()))
            .options("--deployment", path(&self.deployment))
            .options("--engine", self.engine.as_ref())
            .options("--model", self.model.as_ref())
            .options("--predictions", path(&self.predictions))
            .options("--policy", path(&self.policy))
            .option("--compare", names.join(","))
            .option("--load", loads.join(","))
            .option("--seed", self.seed)
            .option("--slo", format_args!("ttft_ms={},tpot_ms={}", self.slo.ttft_us / 1000, self.slo.tpot_us / 1000))
            .options("--report-every-ms", self.report_every_ms)
            .options("--report-delay-ms", self.report_delay_ms)
            .options("--faults", path(&self.faults))
    }
}

/// A factor of at least 1/1000, exact to that.
fn load_permille(text: &str) -> Result<u32, String> {
    let wanted = "a load is a factor from 0.001 to 1000, as in 0.5";
    let factor: f64 = text.parse().map_err(|_| wanted)?;
    if !(0.001..=1000.0).contains(&factor) {
        return Err(wanted.to_owned());
    }
    // At most a million.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
    Ok((factor * 1000.0).round() as u32)
}

/// The first that stands behind one that is equal.
fn first_repeated<T: PartialEq>(list: &[T]) -> Option<&T> {
    list.iter().enumerate().find(|(place, one)| list[..*place].contains(one)).map(|(_, one)| one)
}

pub(super) fn run(args: &SimulateArgs) -> Result<Completion, Failure> {
    let policies = load::policies(args.policy.as_deref())?;
    args.check()?;
    let mut warnings = Warnings::default();
    let in_fleet = |error: &dyn std::fmt::Display| format!("{}: {error}", args.fleet.display());
    let rows = FleetRows::read(&args.fleet, &mut warnings).map_err(|error| in_fleet(&error))?;
    let fleet =
        SimFleet::new(&rows, EngineModel::default(), args.seed, &mut warnings).map_err(|error| in_fleet(&error))?;
    let faults = args.faults.as_deref().map(|path| read_schedule(path, &fleet, &mut warnings)).transpose()?;
    load::say_warnings(&warnings);
    let loaded = read_trace(args)?;
    let world = World { fleet: &fleet, trace: &loaded.trace, engines: &loaded.engines };
    let options = args.options(faults.unwrap_or_default());
    check_world(&world)?;
    args.load.iter().for_each(|&load| say_if_long(&world, load, &options));
    // A report that cannot be written is better known before the runs than after.
    if let Some(path) = &args.report {
        load::check_writable(path).map_err(|error| in_report(path, &error))?;
    }
    let runs = Runs { args, policies: &policies, world, options: &options }.all()?;
    if let Some(path) = &args.report {
        args.check_report_beside_record()?;
        let command = args.command();
        let setting = Setting {
            command: command.text(),
            seed: args.seed,
            fleet_file: &args.fleet,
            fleet: &fleet,
            loaded: &loaded,
            slo: args.slo,
            options: &options,
        };
        fs::write(path, html(&setting, &runs)?).map_err(|error| in_report(path, &error))?;
    }
    let summaries = || runs.iter().map(|run| &run.summary);
    let mut out = io::stdout().lock();
    out.write_all(table(summaries()).as_bytes())?;
    writeln!(out, "\nSlots in use, %")?;
    out.write_all(class_table(summaries(), &ClassGroup::of(&fleet, summaries())).as_bytes())?;
    out.flush()?;
    summaries().for_each(say_unfinished);
    Ok(Completion::from_findings(loaded.refused.total > 0))
}

fn in_report(path: &Path, error: &io::Error) -> String {
    format!("--report: {}: cannot be written: {error}", path.display())
}

/// A trace that asks for nothing, or for nothing that the fleet has, is a slip: a table of it would look like a result.
fn check_world(world: &World<'_>) -> Result<(), Failure> {
    if world.trace.requests.is_empty() {
        return Err("the traces have no requests".into());
    }
    if world.fleet.pools.iter().all(|pool| pool.spec.slots == 0) {
        terminal::say("warning: no pool of the fleet has a slot");
    }
    let unserved = unserved(world);
    let nothing = unserved.len() == world.trace.models.len();
    for (model, count) in unserved {
        let (engine, name) = (printable(&world.engines[model]), printable(&world.trace.models[model]));
        let what = format!("no pool of the fleet serves model `{name}` on engine `{engine}`");
        if nothing {
            return Err(format!("{what}; name what it serves (--engine, --model, --deployment)").into());
        }
        terminal::say(format_args!("warning: {what}; requests for it: {count}"));
    }
    Ok(())
}

/// Models that no pool serves, with the number of requests for each.
fn unserved(world: &World<'_>) -> Vec<(usize, usize)> {
    let is_served = |model: &usize| {
        let (engine, name) = (&world.engines[*model], &world.trace.models[*model]);
        world.fleet.pools.iter().any(|pool| pool.serves(engine, name))
    };
    let requests_of = |model: usize| world.trace.requests.iter().filter(|asked| asked.model as usize == model).count();
    let models = (0..world.trace.models.len()).filter(|model| !is_served(model));
    models.map(|model| (model, requests_of(model))).collect()
}

/// So many reports of pools take some ten seconds, whatever else a run has to do.
const MANY_REPORTS: u64 = 10_000_000;

/// A long time in which little happens costs what its reports cost: whoever waits should know.
fn say_if_long(world: &World<'_>, load_permille: u32, options: &RunOptions) {
    let span_us = last_arrival_us(world.trace, load_permille);
    let reports = span_us / options.report_every_us * world.fleet.pools.len() as u64;
    if reports >= MANY_REPORTS {
        let (days, load) = (span_us / DAY_US, factor(load_permille));
        let reports = HumanCount(reports);
        let what = format!("the arrivals span {days} days at load {load}: {reports} reports of pools");
        terminal::say(format_args!("warning: {what} in each run; a part of the trace, or a greater load, takes less"));
    }
}

const DAY_US: u64 = 86_400_000_000;

fn read_trace(args: &SimulateArgs) -> Result<LoadedTrace, Failure> {
    let deployment = args.deployment.as_deref().map(Deployment::load).transpose()?;
    let ask = TraceAsk {
        jobs: deployment.and_then(|deployment| deployment.jobs).unwrap_or_default(),
        otherwise: trace::EngineModel { engine: args.engine.clone(), model: args.model.clone() },
        seed: args.seed,
        ..TraceAsk::default()
    };
    let mut loaded = trace::read(&args.trace, &ask)?;
    if let Some(path) = &args.predictions {
        Predictor::read(path, &mut loaded.refused)?.predict_all(&mut loaded.trace, args.seed);
    }
    for file in &loaded.files {
        let (name, kind) = (file.file.display(), file.kind);
        terminal::say(format_args!("{name}: {kind}, {} requests, {} left out", file.requests, file.left_out));
    }
    if loaded.refused.total > 0 {
        terminal::say(loaded.refused.to_string().trim_end());
    }
    Ok(loaded)
}

fn read_schedule(path: &Path, fleet: &SimFleet<'_>, warnings: &mut Warnings) -> Result<Vec<ScheduledFault>, Failure> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| in_file(&error))?;
    Ok(read_faults(BufReader::new(file), fleet, warnings).map_err(|error| in_file(&error))?)
}

/// All runs of one command.
struct Runs<'a> {
    args: &'a SimulateArgs,
    policies: &'a Policies,
    world: World<'a>,
    /// All but load and interval of samples, which are each run's own.
    options: &'a RunOptions,
}

impl Runs<'_> {
    fn all(&self) -> Result<Vec<ShownRun>, Failure> {
        let Self { args, world, .. } = self;
        let count = args.load.len() * args.compare.len();
        let requests = world.trace.requests.len() as u64;
        let progress = terminal::progress_of(requests * count as u64);
        let mut runs = Vec::new();
        for &load_permille in &args.load {
            for &policy in &args.compare {
                progress.set_message(format!("{policy} at {}", factor(load_permille)));
                let before = runs.len() as u64 * requests;
                let mut tell = |ended, now_us| {
                    progress.set_position(before + ended);
                    progress.set_message(format!("{policy} at {}, day {}", factor(load_permille), now_us / DAY_US));
                };
                let (run, rate) = self.one(policy, load_permille, &mut tell)?;
                let (load, decisions) = (factor(load_permille), run.decisions);
                let line = format!("{policy} at {load}: {decisions} decisions, {rate} a second");
                progress.suspend(|| terminal::say(line));
                let summary = Summary::of(&run, world.trace, world.fleet, &args.slo);
                runs.push(ShownRun { summary, samples: run.samples });
            }
        }
        progress.finish_and_clear();
        Ok(runs)
    }

    /// A run, and its decisions a second.
    fn one(
        &self,
        policy: PolicyName,
        load_permille: u32,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Run, u64), Failure> {
        let Self { args, world, .. } = self;
        if let Some(mut baseline) = policy.baseline(*world, args.seed) {
            return self.timed(policy, load_permille, &mut *baseline, progress);
        }
        let ours = OursOptions { policies: self.policies.clone(), sizes: self.sizes() };
        let mut memory = OursMemory::new(&ours)?;
        let record = args.record.as_deref();
        let mut at_work = Ours::new(*world, &ours, &mut memory, record).map_err(|error| in_record(record, &error))?;
        let timed = self.timed(policy, load_permille, &mut at_work, progress)?;
        at_work.finish_recording().map_err(|error| in_record(record, &error))?;
        Ok(timed)
    }

    fn timed(
        &self,
        policy: PolicyName,
        load_permille: u32,
        at_work: &mut dyn Policy,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Run, u64), Failure> {
        let sample_every_us = sample_every_us(self.world.trace, load_permille);
        let options = RunOptions { load_permille, sample_every_us, ..self.options.clone() };
        let mut at_work = Stopwatch::on(at_work);
        let run = simulate(&self.world, policy.name(), &mut at_work, &options, progress)?;
        Ok((run, at_work.decisions_per_s()))
    }

    /// Room for every request of the trace, as far as tables go.
    fn sizes(&self) -> Sizes {
        let requests = u32::try_from(self.world.trace.requests.len()).unwrap_or(u32::MAX);
        let pools = u32::try_from(self.world.fleet.pools.len()).unwrap_or(u32::MAX);
        let slots = self.world.fleet.pools.iter().map(|pool| pool.spec.slots).sum::<u32>();
        Sizes {
            waiting: requests.clamp(1, 1 << 16),
            job_bytes: 512,
            running: slots.max(1),
            sessions: requests.clamp(1, 1 << 16),
            pools,
            ..Sizes::default()
        }
    }
}

/// What is wrong with the recording, if there is one.
fn in_record(path: Option<&Path>, error: &dyn std::fmt::Display) -> String {
    path.map_or_else(|| error.to_string(), |path| format!("--record: {}: {error}", path.display()))
}

/// Some hundred samples until the last arrival: at least one in ten seconds, as long as that is not above ten thousand.
fn sample_every_us(trace: &Trace, load_permille: u32) -> u64 {
    let last_us = last_arrival_us(trace, load_permille);
    (last_us / 250).clamp(10_000, 10_000_000.max(last_us / 10_000))
}

/// Of those that arrive at times of their own.
fn last_arrival_us(trace: &Trace, load_permille: u32) -> u64 {
    let at_us = |arrival| if let Arrival::At { at_us } = arrival { at_us } else { 0 };
    let last_us = trace.requests.iter().map(|asked| at_us(asked.arrival)).max().unwrap_or(0);
    last_us.saturating_mul(1000) / u64::from(load_permille.max(1))
}

/// What became of those that did not finish.
fn say_unfinished(summary: &Summary) {
    if !summary.unfinished.is_empty() {
        let counts: Vec<_> = summary.unfinished.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let (policy, load, counts) = (&summary.policy, factor(summary.load_permille), counts.join(", "));
        terminal::say(format_args!("{policy} at {load}: {counts}"));
    }
}
