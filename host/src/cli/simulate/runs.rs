//! The runs of one `simulate`: each policy at each load, one after the other.

use std::path::Path;

use super::super::stopwatch::Stopwatch;
use super::super::{Failure, terminal};
use super::args::SimulateArgs;
use super::world::{DAY_US, last_arrival_us};
use crate::daemon::Sizes;
use crate::input::Policies;
use crate::simulate::policy::{Ours, OursMemory, OursOptions, Policy, PolicyName, World};
use crate::simulate::report::ShownRun;
use crate::simulate::request::{Run, Trace};
use crate::simulate::results::{Summary, factor};
use crate::simulate::run::{RunOptions, run as simulate};

/// All runs of one command.
pub(super) struct Runs<'a> {
    pub(super) args: &'a SimulateArgs,
    pub(super) policies: &'a Policies,
    pub(super) world: World<'a>,
    /// All but load and interval of samples, which are each run's own.
    pub(super) options: &'a RunOptions,
}

impl Runs<'_> {
    pub(super) fn all(&self) -> Result<Vec<ShownRun>, Failure> {
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
        let slots = self.world.fleet.pools.iter().map(|pool| pool.spec.slots).fold(0, u32::saturating_add);
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
