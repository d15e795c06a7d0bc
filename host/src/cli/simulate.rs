//! `orchestrator simulate`: a trace over a fleet, under this engine and its peers.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;

use clap::Args;

use super::{Completion, Failure, load, terminal};
use crate::daemon::Sizes;
use crate::import::Deployment;
use crate::input::{Policies, Warnings};
use crate::simulate::faults::{ScheduledFault, read_faults};
use crate::simulate::fleet::{EngineModel, FleetRows, SimFleet};
use crate::simulate::policy::{Ours, OursMemory, OursOptions, PolicyName, World};
use crate::simulate::request::Run;
use crate::simulate::results::{Slo, Summary, table};
use crate::simulate::run::{RunOptions, run as simulate};
use crate::simulate::trace::{self, LoadedTrace, TraceAsk};

/// Simulate a trace over a fleet, and compare policies.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrator simulate --fleet examples/fleet.json --trace examples/jobs.jsonl
  orchestrator simulate --fleet fleet.json --trace azure.csv --engine vllm --model some/model \\
    --compare ours,least-loaded,dynamo --load 0.5,1,2

Engines batch continuously, with contention, a KV cache and prefix reuse; their rates are off from
what the pools publish by up to 20 %, which no policy is told. Policies see reports of pools as old
as they are. Times are in ms, shares in %. The same seed gives the same digests on every machine.
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
    /// Policies of this engine; without it the defaults stand
    #[arg(long, value_name = "TOML")]
    policy: Option<PathBuf>,
    /// Whom to compare
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "ours,least-loaded,round-robin")]
    compare: Vec<PolicyName>,
    /// How many times as fast requests arrive as in the trace
    #[arg(long, value_name = "FACTORS", value_delimiter = ',', default_value = "1", value_parser = load_permille)]
    load: Vec<u32>,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// What users are promised
    #[arg(long, value_name = "LIMITS", default_value = "ttft_ms=2000,tpot_ms=100")]
    slo: Slo,
    /// What goes wrong: lines like {"at_ms": 60000, "pool": "gpu-7", "fault": "vanish"}
    #[arg(long, value_name = "JSONL")]
    faults: Option<PathBuf>,
    /// Where to record what this engine is told and says, for `orchestrator replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
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

pub(super) fn run(args: &SimulateArgs) -> Result<Completion, Failure> {
    let policies = load::policies(args.policy.as_deref())?;
    if args.record.is_some() && (args.load.len() > 1 || !args.compare.contains(&PolicyName::Ours)) {
        return Err("--record: one run of `ours` is recorded, so --compare names it and --load has one factor".into());
    }
    let mut warnings = Warnings::default();
    let in_fleet = |error: &dyn std::fmt::Display| format!("{}: {error}", args.fleet.display());
    let rows = FleetRows::read(&args.fleet, &mut warnings).map_err(|error| in_fleet(&error))?;
    let fleet =
        SimFleet::new(&rows, EngineModel::default(), args.seed, &mut warnings).map_err(|error| in_fleet(&error))?;
    load::say_warnings(&warnings);
    let loaded = read_trace(args)?;
    let world = World { fleet: &fleet, trace: &loaded.trace, engines: &loaded.engines };
    let faults = args.faults.as_ref().map(|path| read_schedule(path, &fleet)).transpose()?.unwrap_or_default();
    let summaries = Runs { args, policies: &policies, world, faults }.all()?;
    let mut out = io::stdout().lock();
    out.write_all(table(&summaries).as_bytes())?;
    out.flush()?;
    summaries.iter().for_each(say_unfinished);
    Ok(Completion::from_findings(loaded.refused.total > 0))
}

fn read_trace(args: &SimulateArgs) -> Result<LoadedTrace, Failure> {
    let deployment = args.deployment.as_deref().map(Deployment::load).transpose()?;
    let ask = TraceAsk {
        jobs: deployment.and_then(|deployment| deployment.jobs).unwrap_or_default(),
        otherwise: trace::EngineModel { engine: args.engine.clone(), model: args.model.clone() },
        seed: args.seed,
        ..TraceAsk::default()
    };
    let loaded = trace::read(&args.trace, &ask)?;
    for file in &loaded.files {
        let (name, kind) = (file.file.display(), file.kind);
        terminal::say(format_args!("{name}: {kind}, {} requests, {} left out", file.requests, file.left_out));
    }
    if loaded.refused.total > 0 {
        terminal::say(format_args!("refused: {} rows", loaded.refused.total));
    }
    Ok(loaded)
}

fn read_schedule(path: &std::path::Path, fleet: &SimFleet<'_>) -> Result<Vec<ScheduledFault>, Failure> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| in_file(&error))?;
    Ok(read_faults(BufReader::new(file), fleet).map_err(|error| in_file(&error))?)
}

/// All runs of one command.
struct Runs<'a> {
    args: &'a SimulateArgs,
    policies: &'a Policies,
    world: World<'a>,
    faults: Vec<ScheduledFault>,
}

impl Runs<'_> {
    fn all(&self) -> Result<Vec<Summary>, Failure> {
        let Self { args, world, .. } = self;
        let runs = args.load.len() * args.compare.len();
        let requests = world.trace.requests.len() as u64;
        let progress = terminal::progress_of(requests * runs as u64);
        let mut summaries = Vec::new();
        for &load_permille in &args.load {
            for &policy in &args.compare {
                progress.set_message(format!("{policy} at {}.{:03}", load_permille / 1000, load_permille % 1000));
                let before = summaries.len() as u64 * requests;
                let run = self.one(policy, load_permille, &mut |ended| progress.set_position(before + ended))?;
                summaries.push(Summary::of(&run, world.trace, world.fleet, &args.slo));
            }
        }
        progress.finish_and_clear();
        Ok(summaries)
    }

    fn one(&self, policy: PolicyName, load_permille: u32, progress: &mut dyn FnMut(u64)) -> Result<Run, Failure> {
        let Self { args, world, .. } = self;
        let options = RunOptions { load_permille, faults: self.faults.clone(), ..RunOptions::default() };
        if let Some(mut baseline) = policy.baseline(*world, args.seed) {
            return Ok(simulate(world, policy.name(), &mut *baseline, &options, progress)?);
        }
        let ours = OursOptions { policies: self.policies.clone(), sizes: self.sizes() };
        let mut memory = OursMemory::new(&ours)?;
        let mut at_work = Ours::new(*world, &ours, &mut memory, args.record.as_deref())?;
        let run = simulate(world, policy.name(), &mut at_work, &options, progress)?;
        at_work.finish_recording().map_err(|error| format!("--record: {error}"))?;
        Ok(run)
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

/// What became of those that did not finish.
fn say_unfinished(summary: &Summary) {
    if !summary.unfinished.is_empty() {
        let counts: Vec<_> = summary.unfinished.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let load = summary.load_permille;
        let (policy, counts) = (&summary.policy, counts.join(", "));
        terminal::say(format_args!("{policy} at {}.{}: {counts}", load / 1000, load % 1000));
    }
}
