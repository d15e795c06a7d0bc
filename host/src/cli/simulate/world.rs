//! What `simulate` reads besides the fleet, and whether it makes sense: what would look like a result, and is a slip, is
//! said before the first run.

use std::fs::File;
use std::path::Path;

use indicatif::HumanCount;

use super::super::{Failure, load, terminal};
use super::args::SimulateArgs;
use crate::import::Deployment;
use crate::import::lines::FirstLineGuard;
use crate::input::Warnings;
use crate::report::printable;
use crate::simulate::faults::{ScheduledFault, read_faults};
use crate::simulate::fleet::SimFleet;
use crate::simulate::policy::World;
use crate::simulate::predictor::Predictor;
use crate::simulate::request::{Arrival, Request, Trace};
use crate::simulate::results::factor;
use crate::simulate::run::{RunOptions, at_load};
use crate::simulate::trace::{self, LoadedTrace, TraceAsk};

/// A trace that asks for nothing, or for nothing that the fleet has, is a slip: a table of it would look like a result.
pub(super) fn check_world(world: &World<'_>) -> Result<(), Failure> {
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
pub(super) fn say_if_long(world: &World<'_>, load_permille: u32, options: &RunOptions) {
    let span_us = last_arrival_us(world.trace, load_permille);
    let reports = span_us / options.report_every_us * world.fleet.pools.len() as u64;
    if reports >= MANY_REPORTS {
        let first_us = world.trace.requests.first().map_or(0, |asked| arrival_us(asked, load_permille));
        let (first, last, load) = (first_us / DAY_US, span_us / DAY_US, factor(load_permille));
        let reports = HumanCount(reports);
        let what = format!("requests arrive from day {first} to day {last} at load {load}: {reports} reports of pools");
        terminal::say(format_args!("warning: {what} in each run; a part of the trace, or a greater load, takes less"));
    }
}

pub(super) const DAY_US: u64 = 86_400_000_000;

pub(super) fn read_trace(args: &SimulateArgs) -> Result<LoadedTrace, Failure> {
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
    load::say_warnings(&loaded.warnings);
    if loaded.refused.total > 0 {
        terminal::say(loaded.refused.to_string().trim_end());
    }
    Ok(loaded)
}

pub(super) fn read_schedule(
    path: &Path,
    fleet: &SimFleet<'_>,
    warnings: &mut Warnings,
) -> Result<Vec<ScheduledFault>, Failure> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| in_file(&error))?;
    Ok(read_faults(FirstLineGuard::new(file), fleet, warnings).map_err(|error| in_file(&error))?)
}

/// The last arrival at a load, of requests that arrive at times of their own.
pub(super) fn last_arrival_us(trace: &Trace, load_permille: u32) -> u64 {
    trace.requests.iter().map(|asked| arrival_us(asked, load_permille)).max().unwrap_or(0)
}

fn arrival_us(asked: &Request, load_permille: u32) -> u64 {
    if let Arrival::At { at_us } = asked.arrival { at_load(at_us, load_permille) } else { 0 }
}
