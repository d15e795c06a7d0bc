//! `orchestrator explain`: what every pool is to one job.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use orchestrator_core::{Directory, JobSpec, KvLayout, ModelDims, PoolVerdict};

use super::load::{self, LoadedModels};
use super::{Completion, Failure};
use crate::input::{Warnings, read_job_line};
use crate::place::{Mode, Placer};
use crate::report::{decision_sentences, pool_name, pool_table, printable, verdict_sentence};

/// Show what every pool is to one job.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrator explain --fleet examples/fleet.json --job examples/mixed-jobs.jsonl --id 01-pin
  orchestrator explain --fleet examples/fleet.json --job job.json --pool h200-a/0

With --pool: what that pool lacks to win. The job is decided on the fleet as it stands in
the file; nothing is committed.")]
pub(super) struct ExplainArgs {
    /// The fleet: {"version": 1, "pools": [ … ]}
    #[arg(long, value_name = "JSON")]
    fleet: PathBuf,
    /// The job: a file with one job per line
    #[arg(long, value_name = "JSONL")]
    job: PathBuf,
    /// The job's id in its file; without one, the file's first job
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only this pool: what does it lack to win?
    #[arg(long, value_name = "ID")]
    pool: Option<String>,
    /// The policy; without one the defaults stand
    #[arg(long, value_name = "TOML")]
    policy: Option<PathBuf>,
    /// Model dimensions, to estimate the KV cache of a job that does not give it
    #[arg(long, value_name = "CSV")]
    models: Option<PathBuf>,
}

pub(super) fn run(args: &ExplainArgs) -> Result<Completion, Failure> {
    let policy = load::policy(args.policy.as_deref())?;
    let models = args.models.as_deref().map(load::models).transpose()?;
    let loaded = load::fleet(&args.fleet)?;
    let placer = Placer::new(loaded.fleet, policy, Mode::Independent);
    if let Some(pool_id) = args.pool.as_deref().filter(|id| placer.fleet().ranks_of(id).is_empty()) {
        return Err(format!("{}: no pool `{}` in this fleet", args.fleet.display(), printable(pool_id)).into());
    }
    let mut warnings = Warnings::default();
    let text = explain_wanted_job(args, models.as_ref(), &placer, &mut warnings)?;
    load::say_warnings(&warnings);
    writeln!(io::stdout().lock(), "{text}")?;
    let refused_models = models.map_or(0, |models| models.refused);
    Ok(Completion::from_findings(loaded.refused + refused_models > 0))
}

/// Finds the wanted line and explains its job.
fn explain_wanted_job(
    args: &ExplainArgs,
    models: Option<&LoadedModels>,
    placer: &Placer,
    warnings: &mut Warnings,
) -> Result<String, Failure> {
    let (mut lines, _) = load::job_lines(&args.job)?;
    while let Some(line) = lines.next_line()? {
        let mut of_line = Warnings::default();
        let answer = read_job_line(&line, &mut of_line, |job| {
            let is_wanted = args.id.as_deref().is_none_or(|id| id == job.id);
            let dims = models.and_then(|models| models.table.models.get(job.model_id));
            is_wanted.then(|| explain(args.pool.as_deref(), placer, job, dims))
        });
        match answer {
            Ok(None) => {}
            Ok(Some(answer)) => {
                warnings.merge(of_line);
                return answer.map_err(|failure| in_line(args, line.number(), &*failure));
            }
            Err(refused) if args.id.is_none() || refused.id == args.id => {
                return Err(in_line(args, line.number(), &refused.error));
            }
            Err(_) => {}
        }
    }
    let what = args.id.as_ref().map_or_else(|| "no job".to_owned(), |id| format!("no job `{id}`"));
    Err(format!("{}: {what} in this file", args.job.display()).into())
}

fn in_line(args: &ExplainArgs, line: u64, error: &dyn std::error::Error) -> Failure {
    format!("{}:{line}: {error}", args.job.display()).into()
}

fn explain(
    pool: Option<&str>,
    placer: &Placer,
    job: &JobSpec<'_>,
    dims: Option<&ModelDims>,
) -> Result<String, Failure> {
    let dims = dims.map(|dims| (dims, KvLayout::default()));
    match pool {
        Some(pool_id) => explain_pool(pool_id, placer, job, dims),
        None => {
            let examination = placer.examine(job, dims)?;
            let table = pool_table(&examination, placer.fleet());
            let sentences = decision_sentences(&examination, placer.fleet());
            Ok(format!("job: {}\n{sentences}\n\n{table}", printable(job.id)))
        }
    }
}

/// One sentence for each replica of the pool.
fn explain_pool(
    pool_id: &str,
    placer: &Placer,
    job: &JobSpec<'_>,
    dims: Option<(&ModelDims, KvLayout)>,
) -> Result<String, Failure> {
    let verdicts = placer.verdicts(job, dims, pool_id)?;
    let sentence = |(rank, verdict): &(u32, PoolVerdict)| verdict_sentence(&pool_name(placer.fleet(), *rank), verdict);
    Ok(verdicts.iter().map(sentence).collect::<Vec<_>>().join("\n"))
}
