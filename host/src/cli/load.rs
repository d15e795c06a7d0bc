//! Files named on the command line, read whole before the first job: what is refused is said on standard error.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use orchestrator_core::{Policy, PoolSnapshot};

use super::{Failure, terminal};
use crate::fleet::{Fleet, FleetBuilder};
use crate::input::{
    FleetReader, LineReader, ModelTable, Policies, PoolText, Warnings, read_model_dims_file, read_policies, read_policy,
};
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
                let pool = refused.identity().map_or_else(String::new, |(id, _)| of_pool(id));
                refusals.add(line, format_args!("{}{pool}", refused.error));
            }
            Ok(text) => text.with_snapshot(|snapshot| match snapshot.validate() {
                Ok(valid) => builder.add(line, &valid).map_err(|limit| in_file(&limit)),
                Err(error) => {
                    builder.claim(snapshot.id, snapshot.replica_id);
                    refusals.add(line, format_args!("{error}{}", of_pool(snapshot.id)));
                    Ok(())
                }
            })?,
        }
    }
    let built = builder.finish();
    for duplicate in &built.duplicates {
        let name = &duplicate.name;
        refusals.add(duplicate.line, named_twice(&name.id, &name.replica_id));
    }
    say_warnings(&warnings);
    Ok(LoadedFleet { fleet: built.fleet, refused: refusals.finish() })
}

/// Hands the rows of a fleet file on as snapshots, in the order of the file, and returns how many were refused; `take`
/// says why it refuses one. Refused rows go to standard error.
pub(super) fn snapshots(
    path: &Path,
    warnings: &mut Warnings,
    mut take: impl FnMut(&PoolSnapshot<'_>) -> Result<(), String>,
) -> Result<u64, Failure> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut reader = FleetReader::open(path).map_err(|error| in_file(&error))?;
    // A file counts only once its end was seen, and a row only if no other has its ids: POOL-1.
    let mut rows = Vec::new();
    let mut claims = HashMap::<_, u32>::new();
    let mut claim =
        |id: &str, replica_id: &str| *claims.entry((id.to_owned(), replica_id.to_owned())).or_default() += 1;
    while let Some(row) = reader.next_row(warnings).map_err(|error| in_file(&error))? {
        let (line, text) = (row.line, row.text.as_ref().map(|text| (*text).to_owned()).unwrap_or_default());
        let read = row.read(warnings);
        match &read {
            Ok(pool) => pool.with_snapshot(|snapshot| claim(snapshot.id, snapshot.replica_id)),
            Err(refused) => refused.identity().into_iter().for_each(|(id, replica_id)| claim(id, replica_id)),
        }
        rows.push((line, read.map(|_| text)));
    }
    let mut refusals = Refusals::of(path);
    for (line, row) in rows {
        // Read before: what it warns about was counted then.
        match row.and_then(|text| {
            PoolText::read(&text, &mut Warnings::default()).map(|pool| {
                pool.with_snapshot(|snapshot| {
                    let ids = (snapshot.id.to_owned(), snapshot.replica_id.to_owned());
                    if claims.get(&ids).is_some_and(|&rows| rows > 1) {
                        Err(named_twice(&ids.0, &ids.1))
                    } else {
                        take(snapshot)
                    }
                })
            })
        }) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => refusals.add(line, why),
            Err(refused) => refusals.add(line, &refused.error),
        }
    }
    Ok(refusals.finish())
}

/// Whose row it is: where a fleet is one line, its number tells nothing.
fn of_pool(id: &str) -> String {
    format!(" (pool `{}`)", printable(id))
}

/// POOL-1.
fn named_twice(id: &str, replica_id: &str) -> String {
    format!("id: another row is `{}` with replica `{}` too", printable(id), printable(replica_id))
}

/// Reads a policy file; without one the defaults stand.
pub(super) fn policy(path: Option<&Path>) -> Result<Policy, Failure> {
    Ok(path.map_or_else(|| Ok(Policy::default()), read_policy)?)
}

/// Reads all of a policy file; without one the defaults stand.
pub(super) fn policies(path: Option<&Path>) -> Result<Policies, Failure> {
    Ok(path.map_or_else(|| Ok(Policies::default()), read_policies)?)
}

/// No input may be an output too: it would be gone.
pub(super) fn check_output<'p>(
    inputs: impl IntoIterator<Item = &'p PathBuf>,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let Some(output) = output.filter(|path| path.is_file()) else { return Ok(()) };
    let is_output = |input: &&PathBuf| same_file::is_same_file(input, output).unwrap_or(false);
    match inputs.into_iter().find(is_output) {
        Some(_) => Err(format!("{}: is an input; name another file for the output", output.display()).into()),
        None => Ok(()),
    }
}

/// The file of that name, else standard output.
pub(super) fn open_output(path: Option<&Path>) -> Result<Box<dyn Write>, Failure> {
    let Some(path) = path else {
        return Ok(Box::new(BufWriter::new(io::stdout().lock())));
    };
    let file = File::create(path).map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Whether a file can be written, which is not done yet: what stands in it stays, and a file that is not there is not
/// there after it.
pub(super) fn check_writable(path: &Path) -> io::Result<()> {
    if path.exists() && !path.is_file() && !path.is_dir() {
        // A pipe's reader would see it closed, and /dev/full is full when something is written.
        return Ok(());
    }
    let is_new = !path.exists();
    File::options().append(true).create(true).open(path)?;
    if is_new { fs::remove_file(path) } else { Ok(()) }
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

/// As many threads as this process may use at once.
pub(super) fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

pub(super) fn say_warnings(warnings: &Warnings) {
    if !warnings.is_empty() {
        let text = warnings.to_string();
        text.lines().for_each(|line| terminal::say(format_args!("warning: {line}")));
    }
}
