//! `orchestrator backends`: what this build can decide with on this machine, and why not with the others.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::kernels::KernelArgs;
use super::{Completion, Failure, load};
use crate::batch::{BackendName, open};

/// Show the backends.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  orchestrator backends --format json")]
pub(super) struct BackendsArgs {
    /// Columns for people, or one JSON array
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    kernels: KernelArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Table,
}

pub(super) fn run(args: &BackendsArgs) -> Result<Completion, Failure> {
    let options = args.kernels.options(load::available_threads())?;
    let states = BackendName::ALL.map(|name| (name, open(name, &options).map(|backend| backend.description())));
    let mut out = io::stdout().lock();
    match args.format {
        Format::Json => {
            let rows = states.map(|(name, state)| match state {
                Ok(runs_on) => json!({ "backend": name.name(), "available": true, "runs_on": runs_on }),
                Err(why) => json!({ "backend": name.name(), "available": false, "why": why.to_string() }),
            });
            serde_json::to_writer(&mut out, &Value::from(rows.to_vec())).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Format::Table => {
            for (name, state) in states {
                let (available, detail) = match state {
                    Ok(runs_on) => ("available", runs_on),
                    Err(why) => ("not available", why.to_string()),
                };
                writeln!(out, "{:<8} {available:<14} {detail}", name.name())?;
            }
        }
    }
    Ok(Completion::Fine)
}
