//! What an import did: what was written, what was left out and why, and which facts stayed unknown.
//!
//! A summary is for people (its `Display` goes to stderr) and for the exit code: [`ImportSummary::has_refusals`] is
//! true when a row could not be used, so that a script notices. Nodes that are *skipped* are no fault: the deployment
//! does not want them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::traces::TraceKind;

/// How many refused rows are kept with their reason; the rest is only counted.
const REFUSALS_KEPT: usize = 20;

/// The outcome of an import that went to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSummary {
    /// What was written.
    pub imported: Imported,
    /// Rows that could not be used.
    pub refused: Refusals,
}

impl ImportSummary {
    /// Whether a row was refused: the caller's exit code is then 1.
    #[must_use]
    pub fn has_refusals(&self) -> bool {
        self.refused.total > 0
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// A fleet.
    Fleet(FleetCounts),
    /// Jobs of these traces, in the order in which they were named.
    Jobs(Vec<TraceCount>),
    /// Events of these traces, one per job, in the order in which they were named.
    Events(Vec<TraceCount>),
}

/// What became of the nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetCounts {
    /// Rows of the nodes table that gave pools.
    pub nodes: u64,
    /// Pools written.
    pub pools: u64,
    /// Nodes that the deployment does not want.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// GPUs that are left over on nodes whose count is no multiple of `gpus_per_pool`.
    pub spare_gpus: u64,
    /// Facts that stayed unknown.
    pub unknown: Unknowns,
    /// Rows of the profiles table that were used, with the number of pools each stands in for.
    pub profiles: BTreeMap<String, u64>,
    /// Pools whose profile row was measured on another GPU type or number of GPUs, or does not state the number.
    pub foreign_profiles: u64,
    /// Pools whose profile row is marked `suspect` in the table.
    pub suspect_profiles: u64,
    /// Sections of the deployment that no node matches.
    pub unused_sections: Vec<String>,
}

/// Pools without a fact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unknowns {
    /// Without `perf_tokens_per_s`.
    pub rate: u64,
    /// Without `first_token_ms`.
    pub first_token: u64,
    /// Without `compute_capability`.
    pub capability: u64,
}

/// Why a node gave no pool, though its row is sound.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// Its GPU type is blank in the table.
    GpuNotDisclosed,
    /// It has no GPU.
    NoGpu,
    /// The deployment has no section for its GPU type.
    NoSection {
        /// The GPU type.
        gpu: String,
    },
    /// It has fewer GPUs than one pool takes.
    TooFewGpus {
        /// The GPU type.
        gpu: String,
    },
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GpuNotDisclosed => f.write_str("GPU type not disclosed"),
            Self::NoGpu => f.write_str("no GPU"),
            Self::NoSection { gpu } => write!(f, "no section [gpu.\"{gpu}\"] in the deployment"),
            Self::TooFewGpus { gpu } => write!(f, "fewer GPUs ({gpu}) than `gpus_per_pool`"),
        }
    }
}

/// What became of one trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceCount {
    /// The file.
    pub file: PathBuf,
    /// What it was recognised as.
    pub kind: TraceKind,
    /// Jobs written.
    pub jobs: u64,
    /// Arrival of the first and the last request in milliseconds of the trace's clock, if there is a request.
    pub arrivals_ms: Option<(u64, u64)>,
    /// What its jobs follow of the deployment, in the order of a job's fields. A fleet file has its deployment inside;
    /// lines of jobs have no place for it.
    pub declared: Vec<DeclaredKey>,
}

/// A key of the deployment that the jobs of a trace follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredKey {
    /// The section that it stands in, with its brackets.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// Its value, as the deployment has it.
    pub value: String,
}

impl fmt::Display for DeclaredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} = {}", self.section, self.key, self.value)
    }
}

/// A row that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
    /// The column or field; empty where it is the whole row.
    pub column: String,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for RefusedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if self.column.is_empty() { write!(f, "{}", self.why) } else { write!(f, "`{}` {}", self.column, self.why) }
    }
}

/// All rows that could not be used: the first with their reasons, all by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The first of them.
    pub first: Vec<RefusedRow>,
    /// How many there are.
    pub total: u64,
}

impl Refusals {
    pub(crate) fn push(&mut self, file: &Path, line: u64, column: &str, why: impl Into<String>) {
        self.total += 1;
        if self.first.len() < REFUSALS_KEPT {
            let (column, why) = (column.to_owned(), why.into());
            self.first.push(RefusedRow { file: file.to_owned(), line, column, why });
        }
    }
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.imported {
            Imported::Fleet(counts) => counts.fmt(f)?,
            Imported::Jobs(traces) => traces.iter().try_for_each(|trace| trace.write(f, "jobs"))?,
            Imported::Events(traces) => traces.iter().try_for_each(|trace| trace.write(f, "events"))?,
        }
        self.refused.fmt(f)
    }
}

impl fmt::Display for FleetCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "wrote {} pools of {} nodes", self.pools, self.nodes)?;
        for (reason, count) in &self.skipped {
            writeln!(f, "  skipped {count} nodes: {reason}")?;
        }
        for section in &self.unused_sections {
            writeln!(f, "  [{section}] matches no node")?;
        }
        count_line(f, self.spare_gpus, "GPUs left over, too few for a pool")?;
        count_line(f, self.unknown.rate, "pools without a measured rate")?;
        count_line(f, self.unknown.first_token, "pools without a measured first-token time")?;
        count_line(f, self.unknown.capability, "pools without a compute capability")?;
        count_line(
            f,
            self.foreign_profiles,
            "pools with a profile of another, or an unstated, GPU type or number of GPUs",
        )?;
        count_line(f, self.suspect_profiles, "pools with a profile that its table marks as suspect")?;
        for (row, pools) in &self.profiles {
            writeln!(f, "  profile {row}: {pools} pools")?;
        }
        Ok(())
    }
}

fn count_line(f: &mut fmt::Formatter<'_>, count: u64, what: &str) -> fmt::Result {
    if count == 0 { Ok(()) } else { writeln!(f, "  {count} {what}") }
}

impl TraceCount {
    fn write(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        write!(f, "wrote {} {what} of {} ({})", self.jobs, self.file.display(), self.kind)?;
        match self.arrivals_ms {
            Some((first, last)) => writeln!(f, ", arrivals {first} to {last} ms")?,
            None => writeln!(f)?,
        }
        self.declared.iter().try_for_each(|declared| writeln!(f, "  {declared}"))
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total == 0 {
            return Ok(());
        }
        writeln!(f, "refused {} rows", self.total)?;
        for row in &self.first {
            writeln!(f, "  {row}")?;
        }
        let more = self.total - self.first.len() as u64;
        count_line(f, more, "more")
    }
}
