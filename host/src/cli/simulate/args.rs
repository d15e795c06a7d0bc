//! What `simulate` is asked for, and what of it cannot be together.

use std::path::PathBuf;

use clap::Args;

use super::super::command_line::CommandLine;
use super::super::{Failure, load};
use crate::input::DELAY_MS_MAX;
use crate::simulate::faults::ScheduledFault;
use crate::simulate::policy::PolicyName;
use crate::simulate::results::{Slo, factor};
use crate::simulate::run::RunOptions;

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
pub(in crate::cli) struct SimulateArgs {
    /// The fleet
    #[arg(long, value_name = "JSON")]
    pub(super) fleet: PathBuf,
    /// A trace; several are joined
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) trace: Vec<PathBuf>,
    /// What the requests of a trace ask for, in its section [jobs]
    #[arg(long, value_name = "TOML")]
    pub(super) deployment: Option<PathBuf>,
    /// The engine of requests that do not say one
    #[arg(long)]
    pub(super) engine: Option<String>,
    /// The model of requests that do not say one
    #[arg(long)]
    pub(super) model: Option<String>,
    /// How long answers were predicted to be: a table of actual_output_tokens, predicted_class
    #[arg(long, value_name = "CSV")]
    pub(super) predictions: Option<PathBuf>,
    /// Policies of this engine; without it the defaults stand
    #[arg(long, value_name = "TOML")]
    pub(super) policy: Option<PathBuf>,
    /// Whom to compare
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "ours,least-loaded,round-robin")]
    pub(super) compare: Vec<PolicyName>,
    /// How many times as fast requests arrive as in the trace; in % in the table
    #[arg(long, value_name = "FACTORS", value_delimiter = ',', default_value = "1", value_parser = load_permille)]
    #[arg(allow_negative_numbers = true)]
    pub(super) load: Vec<u32>,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "S", default_value_t = 1, allow_negative_numbers = true)]
    pub(super) seed: u64,
    /// What users are promised
    #[arg(long, value_name = "LIMITS", default_value = "ttft_ms=2000,tpot_ms=100")]
    pub(super) slo: Slo,
    /// How often a pool reports [default: 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=DELAY_MS_MAX))]
    #[arg(allow_negative_numbers = true)]
    pub(super) report_every_ms: Option<u64>,
    /// How late its reports are [default: 50]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=DELAY_MS_MAX))]
    #[arg(allow_negative_numbers = true)]
    pub(super) report_delay_ms: Option<u64>,
    /// What goes wrong: lines like {"at_ms": 60000, "pool": "gpu-7", "fault": "vanish"}
    #[arg(long, value_name = "JSONL")]
    pub(super) faults: Option<PathBuf>,
    /// Where to record what this engine is told and says in its one run, for `orchestrator replay`
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Where to write plots and tables, as one HTML file that needs no network
    #[arg(long, value_name = "HTML")]
    pub(super) report: Option<PathBuf>,
}

impl SimulateArgs {
    /// What each value may be is checked before; here is what they may be together.
    pub(super) fn check(&self) -> Result<(), Failure> {
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

    pub(super) fn check_report_beside_record(&self) -> Result<(), Failure> {
        let (Some(record), Some(report)) = (&self.record, &self.report) else { return Ok(()) };
        if record == report || load::check_output([record], Some(report)).is_err() {
            return Err(format!("--report: {}: is where --record writes; name another file", report.display()).into());
        }
        Ok(())
    }

    /// How all runs are made: load and interval of samples are each run's own.
    pub(super) fn options(&self, faults: Vec<ScheduledFault>) -> RunOptions {
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
    pub(super) fn command(&self) -> CommandLine {
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
