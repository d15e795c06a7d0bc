//! `orchestrator simulate`: a trace over a fleet, under this engine and its peers.
//!
//! ```text
//! SimulateArgs ─▶ world: fleet, trace, faults ─▶ Runs: each policy at each load ─▶ tables, the report
//! ```
//!
//! Invariants: what cannot be together is refused before anything is read; no file is written before all runs are done,
//! but the recording.

mod args;
mod runs;
mod world;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

pub(super) use self::args::SimulateArgs;
use self::runs::Runs;
use self::world::{check_world, read_schedule, read_trace, say_if_long};
use super::{Completion, Failure, load, terminal};
use crate::input::Warnings;
use crate::simulate::fleet::{EngineModel, FleetRows, SimFleet};
use crate::simulate::policy::World;
use crate::simulate::report::{Setting, ShownRun, html};
use crate::simulate::results::{ClassGroup, Summary, class_table, factor, table};

pub(super) fn run(args: &SimulateArgs) -> Result<Completion, Failure> {
    args.check()?;
    let policies = load::policies(args.policy.as_deref())?;
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
    let printed = print(&fleet, &runs);
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
    printed?;
    Ok(Completion::from_findings(loaded.refused.total > 0))
}

/// What was long in the making is shown before a report may fail.
fn print(fleet: &SimFleet<'_>, runs: &[ShownRun]) -> io::Result<()> {
    let summaries = || runs.iter().map(|run| &run.summary);
    let mut out = io::stdout().lock();
    out.write_all(table(summaries()).as_bytes())?;
    writeln!(out, "\nSlots in use, %")?;
    out.write_all(class_table(summaries(), &ClassGroup::of(fleet, summaries())).as_bytes())?;
    out.flush()?;
    summaries().for_each(say_unfinished);
    Ok(())
}

fn in_report(path: &Path, error: &io::Error) -> String {
    format!("--report: {}: cannot be written: {error}", path.display())
}

/// What became of those that did not finish.
fn say_unfinished(summary: &Summary) {
    if !summary.unfinished.is_empty() {
        let counts: Vec<_> = summary.unfinished.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let (policy, load, counts) = (&summary.policy, factor(summary.load_permille), counts.join(", "));
        terminal::say(format_args!("{policy} at {load}: {counts}"));
    }
}
