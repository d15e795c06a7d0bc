//! Files named on the command line, read whole before the first job: what is refused is said on standard error.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use orchestrator_core::Policy;

use super::{Failure, terminal};
use crate::fleet::{Fleet, FleetBuilder};
use crate::input::{FleetReader, LineReader, ModelTable, Warnings, read_model_dims_file, read_policy};
use crate::report::printable;

/// How many refused rows of one file are named; the rest is counted.
const NAMED_MAX: u64 = 20;

/// A fleet, and how many rows were left out of it.
pub(super) struct LoadedFleet {
    pub(super) fleet: Fleet,
    pub(super) refused: u64,
}

/// A table of model dimensions, and how many rows were left out of it.
pub(super) struct LoadedModels {
    pub(super) table: ModelTable,
    pub(super) refused: u64,
}

/// Refused rows of one file: the first are named, all are counted.
pub(super) struct Refusals<'a> {
    path: &'a Path,
    count: u64,
}

impl<'a> Refusals<'a> {
    pub(super) const fn of(path: &'a Path) -> Self {
        Self { path, count: 0 }
    }

    pub(super) fn add(&mut self, line: u64, why: impl std::fmt::Display) {
        self.count += 1;
        if self.count <= NAMED_MAX {
            terminal::say(format_args!("{}:{line}: refused: {why}", self.path.display()));
        }
    }

    /// The number of refused rows; says how many of them were not named.
    pub(super) fn finish(self) -> u64 {
        let unnamed = self.count.saturating_sub(NAMED_MAX);
        if unnamed > 0 {
            terminal::say(format_args!("{}: {unnamed} more rows refused", self.path.display()));
        }
        self.count
    }
}

/// Reads a fleet file; refused rows and warnings go to standard error.
pub(super) fn fleet(path: &Path) -> Result<LoadedFleet, Failure> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut reader = FleetReader::open(path).map_err(|error| in_file(&error))?;
    let mut warnings = Warnings::default();
    let mut builder = FleetBuilder::default();
    let mut refusals = Refusals::of(path);
    while let Some(row) = reader.next_row(&mut warnings).map_err(|error| in_file(&error))? {
        let line = row.line;
        match row.read(&mut warnings) {
            Err(refused) => {
                refused.identity().map(|(id, replica_id)| builder.claim(id, replica_id));
                refusals.add(line, &refused.error);
            }
            Ok(text) => text.with_snapshot(|snapshot| match snapshot.validate() {
                Ok(valid) => builder.add(line, &valid).map_err(|limit| in_file(&limit)),
                Err(error) => {
                    builder.claim(snapshot.id, snapshot.replica_id);
                    refusals.add(line, error);
                    Ok(())
                }
            })?,
        }
    }
    let built = builder.finish();
    for duplicate in &built.duplicates {
        let name = &duplicate.name;
        let why =
            format!("id: another row is `{}` with replica `{}` too", printable(&name.id), printable(&name.replica_id));
        refusals.add(duplicate.line, why);
    }
    say_warnings(&warnings);
    Ok(LoadedFleet { fleet: built.fleet, refused: refusals.finish() })
}

/// Reads a policy file; without one the defaults stand.
pub(super) fn policy(path: Option<&Path>) -> Result<Policy, Failure> {
    Ok(path.map_or_else(|| Ok(Policy::default()), read_policy)?)
}

/// Reads a table of model dimensions; refused rows go to standard error.
pub(super) fn models(path: &Path) -> Result<LoadedModels, Failure> {
    let table = read_model_dims_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut refusals = Refusals::of(path);
    for row in &table.refused {
        refusals.add(row.line, row);
    }
    Ok(LoadedModels { table, refused: refusals.finish() })
}

/// A reader of job lines, and the size of its file where that is known.
pub(super) fn job_lines(path: &Path) -> Result<(LineReader<BufReader<File>>, Option<u64>), Failure> {
    let in_file = |error: io::Error| format!("{}: cannot be opened: {error}", path.display());
    let file = File::open(path).map_err(in_file)?;
    let metadata = file.metadata().map_err(in_file)?;
    if metadata.is_dir() {
        return Err(format!("{}: is a folder; name a file in it", path.display()).into());
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((LineReader::new(BufReader::with_capacity(1 << 16, file)), bytes))
}

pub(super) fn say_warnings(warnings: &Warnings) {
    if !warnings.is_empty() {
        let text = warnings.to_string();
        text.lines().for_each(|line| terminal::say(format_args!("warning: {line}")));
    }
}
