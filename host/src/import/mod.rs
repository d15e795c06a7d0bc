//! Importers: tables that other people publish become the fleets and jobs of `docs/spec.md` sections 2 and 3.
//!
//! Measured tables say what a GPU is and how fast it served a model once; they do not say what *your* pools run, how
//! many slots they have or which of them is draining. Those facts are declared in one **deployment file**
//! ([`Deployment`]), and nothing else is ever made up: a fact that neither a table nor the deployment gives stays
//! unknown in the output, and is counted in the [`ImportSummary`].
//!
//! ```text
//! nodes.csv  specs.csv  profiles.csv ─┐
//!                                     ├─ import_fleet ─> {"version":1,"deployment":{…},"pools":[…]}
//! deployment.toml ────────────────────┤
//!                                     ├─ import_jobs ──> one job per line
//! azure.csv  mooncake.jsonl ──────────┴─ import_events > one event `submit` per line, with its time
//! ```
//!
//! Example:
//!
//! ```text
//! orchestrator import fleet --nodes nodes.csv --specs specs.csv --profiles profiles.csv \
//!     --deployment deployment.toml -o fleet.json
//! orchestrator import jobs --trace azure2023_conv_1000.csv --deployment deployment.toml -o jobs.jsonl
//! orchestrator import events --trace azure2023_conv_1000.csv --deployment deployment.toml -o events.jsonl
//! ```
//!
//! Invariants:
//! - The same files give the same bytes: pools come in node order, jobs by arrival, then file, then row.
//! - A row that cannot be read is left out, reported with file, line and column, and counted; it never stops the others
//!   and is never repaired. A file that is not what it should be (no such columns, not a trace) is an [`ImportError`].
//! - Every pool and job that is written is inside the limits of `docs/spec.md` section 1.
//! - A file is opened once, so that a pipe will do; a row is one line of at most 1 MiB, a deployment at most 1 MiB.
//! - No output replaces an input.
//! - A result says what it follows of the deployment: a fleet in its first key, jobs in the summary.
//! - Nothing is printed here: the output goes to the writer that the caller gives, the summary is returned.

mod args;
mod cells;
mod check;
mod deployment;
mod error;
mod fleet;
mod jobs;
pub(crate) mod lines;
mod output;
mod pool;
mod provenance;
mod summary;
pub(crate) mod tables;
mod traces;

pub use args::{FleetArgs, ImportArgs, ImportCommand, JobsArgs};
pub use deployment::{
    DeclaredSession, Deployment, GpusPerPool, JobsSection, MAX_DEPLOYMENT_BYTES, PoolOverride, Priority, ProfileKey,
    Serving, TraceSection,
};
pub use error::ImportError;
pub use fleet::{FleetSources, import_fleet, import_fleet_with_provenance};
pub use jobs::{JobSources, import_events, import_jobs};
pub use summary::{
    DeclaredKey, FleetCounts, ImportSummary, Imported, Refusals, RefusedRow, SkipReason, TraceCount, Unknowns,
};
pub use traces::TraceKind;

#[cfg(test)]
mod tests;
