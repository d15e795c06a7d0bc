//! Requests from files of several kinds, joined to one [`Trace`].
//!
//! The kind follows from what the first line says, not from a file's name:
//!
//! | kind | first line | arrivals | what equals earlier prompts |
//! |---|---|---|---|
//! | Azure | `arrival_ms,input_tokens,output_tokens` | its times | unknown |
//! | Mooncake | `{"timestamp":…,"input_length":…,"output_length":…,"hash_ids":[…]}` | its times | block ids |
//! | sessions | `session_id,seq,kind,t_ms,…,blocks64,prefix_blocks_any,…` | a session at a drawn time, then think times | blocks of the session |
//! | replays | `run,…,arrival_ms,…,scheduled_ms,…` | its times | unknown |
//! | clients | `client_id,window_start_s,rate_rps,…,pattern,p1,p2` | drawn from each client's pattern | unknown |
//! | lengths | `client_id,window_start_s,in_mean,…`, the file behind that of its clients | - | - |
//! | jobs | `{"id":…,"engine":…,"model_id":…}` or `{"event":"submit","at_ms":…,"job":{…}}` | drawn times; its times | sessions |
//!
//! ```text
//! let ask = TraceAsk { seed: 1, ..TraceAsk::default() };
//! let loaded = trace::read(&[conversations, code], &ask)?;
//! ```
//!
//! Invariants:
//! - The same files and the same [`TraceAsk`] give the same trace, on every machine.
//! - Every row becomes a request, is refused with its line and reason, or is counted as left out.
//! - A predecessor stands before its successors; requests with times of their own ascend by them.
//! - Nothing is guessed: where neither the deployment nor the file says engine and model, the caller must.

mod ask;
mod azure;
mod clients;
mod error;
mod jobs;
mod join;
mod kind;
mod mooncake;
mod part;
mod replays;
mod sampling;
mod sessions;

use std::path::PathBuf;

pub use ask::{EngineModel, TraceAsk};
pub use error::TraceError;
pub use kind::Kind;

use self::clients::Windows;
use self::kind::Content;
use self::part::Part;
use crate::import::Refusals;
use crate::input::Warnings;
use crate::simulate::request::Trace;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedTrace {
    /// The requests of all files.
    pub trace: Trace,
    /// The engine of each of [`Trace::models`].
    pub engines: Vec<String>,
    /// Per file, in the order in which they were named.
    pub files: Vec<FileCount>,
    /// Rows that could not be used.
    pub refused: Refusals,
    /// What was used and looks wrong, or asks for what is not simulated.
    pub warnings: Warnings,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCount {
    /// The file.
    pub file: PathBuf,
    /// What it was recognised as.
    pub kind: Kind,
    /// Requests that it gave.
    pub requests: u64,
    /// Rows that are sound and gave none: they lie outside [`TraceAsk::within_us`], or are events other than `submit`.
    pub left_out: u64,
}

/// Reads all files and joins their requests.
///
/// # Errors
/// A file that cannot be read or is of no known kind; requests without engine or model; clients without lengths; too
/// much for 32-bit indexes.
pub fn read(paths: &[PathBuf], ask: &TraceAsk) -> Result<LoadedTrace, TraceError> {
    let mut refused = Refusals::default();
    let mut parts: Vec<Part<'_>> = Vec::new();
    // Clients whose lengths have not come yet: these must be the next file.
    let mut waiting: Option<Windows> = None;
    for path in paths {
        let content = Content::open(path)?;
        if let Some(windows) = waiting.take() {
            let Content::Lengths(table) = content else {
                return Err(no_lengths(&parts));
            };
            let lengths = clients::read_lengths(table, &mut refused)?;
            if let Some(part) = parts.last_mut() {
                clients::draw(&windows, &lengths, part, &mut refused)?;
            }
            continue;
        }
        let mut part = Part::new(path, content.kind(), ask, parts.len() as u64);
        match content {
            Content::Azure(table) => azure::read(table, &mut part, &mut refused)?,
            Content::Mooncake(lines) => mooncake::read(lines, &mut part, &mut refused)?,
            Content::Sessions(table) => sessions::read(table, &mut part, &mut refused)?,
            Content::Replays(table) => replays::read(table, &mut part, &mut refused)?,
            Content::Jobs(lines) => jobs::read(lines, &mut part, &mut refused)?,
            Content::Clients(table) => waiting = Some(clients::read_windows(table, path.clone(), &mut refused)?),
            Content::Lengths(_) => return Err(TraceError::LengthsAlone { path: path.clone() }),
        }
        parts.push(part);
    }
    if waiting.is_some() {
        return Err(no_lengths(&parts));
    }
    let files = parts.iter().map(Part::count).collect();
    let mut warnings = Warnings::default();
    parts.iter_mut().for_each(|part| warnings.merge(std::mem::take(&mut part.warnings)));
    let (trace, engines) = join::join(parts)?;
    Ok(LoadedTrace { trace, engines, files, refused, warnings })
}

fn no_lengths(parts: &[Part<'_>]) -> TraceError {
    TraceError::NoLengths { path: parts.last().map(|part| part.path.to_owned()).unwrap_or_default() }
}

#[cfg(test)]
mod tests;
