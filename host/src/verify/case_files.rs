//! A case as the files that people and `orchestrator place` read: `fleet.json`, `jobs.jsonl`, `policy.toml`.
//!
//! Invariant: [`read_case`] of what [`write_case`] wrote is the same case, except for a policy without lines.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::case::Case;
use crate::input::{FleetFileError, FleetReader, LineReader, Warnings};

/// The names of a case's files in its folder: fleet, jobs, policy.
pub const CASE_FILES: [&str; 3] = ["fleet.json", "jobs.jsonl", "policy.toml"];

/// Case files that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseFileError {
    /// Any of the files.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The fleet file.
    #[error("{}: {error}", path.display())]
    Fleet {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: FleetFileError,
    },
}

/// Writes the case into `folder`, which is made if it is not there.
///
/// # Errors
/// When a file cannot be written.
pub fn write_case(case: &Case, folder: &Path) -> Result<(), CaseFileError> {
    fs::create_dir_all(folder).map_err(in_file(folder))?;
    let [fleet, jobs, policy] = CASE_FILES.map(|name| folder.join(name));
    write_fleet(case, &fleet).map_err(in_file(&fleet))?;
    write_lines(case.jobs.iter(), &jobs).map_err(in_file(&jobs))?;
    let lines = if case.policy.is_empty() { &["version = 1".to_owned()][..] } else { &case.policy };
    write_lines(lines.iter(), &policy).map_err(in_file(&policy))
}

fn write_fleet(case: &Case, path: &Path) -> io::Result<()> {
    let rows: Vec<_> = case.pools.iter().map(Value::to_string).collect();
    fs::write(path, format!("{{\"version\":1,\"pools\":[\n{}\n]}}\n", rows.join(",\n")))
}

fn write_lines(lines: impl Iterator<Item = impl std::fmt::Display>, path: &Path) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.flush()
}

/// Reads a case back. Rows that are no JSON make no pool and no job.
///
/// # Errors
/// When a file cannot be read.
pub fn read_case(fleet: &Path, jobs: &Path, policy: Option<&Path>) -> Result<Case, CaseFileError> {
    let policy = policy.map(|path| fs::read_to_string(path).map_err(in_file(path))).transpose()?;
    Ok(Case {
        pools: read_fleet(fleet).map_err(|error| CaseFileError::Fleet { path: fleet.to_owned(), error })?,
        jobs: read_jobs(jobs).map_err(in_file(jobs))?,
        policy: policy.iter().flat_map(|text| text.lines()).map(str::to_owned).collect(),
    })
}

fn read_fleet(path: &Path) -> Result<Vec<Value>, FleetFileError> {
    let mut reader = FleetReader::open(path)?;
    let (mut pools, mut warnings) = (Vec::new(), Warnings::default());
    while let Some(row) = reader.next_row(&mut warnings)? {
        pools.extend(row.text.ok().and_then(|text| serde_json::from_str(text).ok()));
    }
    Ok(pools)
}

fn read_jobs(path: &Path) -> io::Result<Vec<Value>> {
    let mut lines = LineReader::new(io::BufReader::new(fs::File::open(path)?));
    let mut jobs = Vec::new();
    while let Some(line) = lines.next_line()? {
        jobs.extend(line.text().ok().and_then(|text| serde_json::from_str(text).ok()));
    }
    Ok(jobs)
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> CaseFileError {
    let path = path.to_owned();
    |error| CaseFileError::Io { path, error }
}
