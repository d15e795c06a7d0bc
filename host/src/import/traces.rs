//! Request traces: which kind a file is, and its requests.
//!
//! The kind follows from what the file says, not from its name: a first line with the columns of the Azure traces, or a
//! first line that is a JSON object with the fields of the Mooncake traces. Anything else is refused as a whole, for
//! a wrong guess would make thousands of wrong jobs.
//!
//! ```text
//! arrival_ms,input_tokens,output_tokens                              Azure 2023, times in ms since the first request
//! {"timestamp":0,"input_length":6758,"output_length":500,…}          Mooncake
//! ```

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::str;

use orchestrator_core::limits::TOKENS_MAX;
use serde::Deserialize;
use serde_json::Value;

use super::error::ImportError;
use super::summary::Refusals;
use super::tables::{self, BadCell, Row, Table};

const AZURE_COLUMNS: [&str; 3] = ["arrival_ms", "input_tokens", "output_tokens"];
const MOONCAKE_FIELDS: [&str; 3] = ["timestamp", "input_length", "output_length"];

/// The kinds of traces that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceKind {
    /// CSV with `arrival_ms,input_tokens,output_tokens`.
    Azure,
    /// JSON Lines with `timestamp`, `input_length`, `output_length`.
    Mooncake,
}

impl fmt::Display for TraceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Azure => "Azure CSV",
            Self::Mooncake => "Mooncake JSON Lines",
        })
    }
}

/// One request of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// Milliseconds on the trace's clock.
    pub(super) arrival_ms: u64,
    /// Its row, counted from 1 over all rows of the file, also refused ones.
    pub(super) row: u64,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
}

/// A trace that has been read.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) file: PathBuf,
    pub(super) stem: String,
    pub(super) kind: TraceKind,
    pub(super) requests: Vec<Request>,
    /// Rows of the file, refused ones too: the width of row numbers follows from it.
    pub(super) rows: u64,
}

/// Reads one trace of whichever kind.
pub(super) fn read(path: &Path, refused: &mut Refusals) -> Result<Trace, ImportError> {
    let stem = stem(path)?;
    let kind = detect(path)?;
    let refused_before = refused.total;
    let requests = match kind {
        TraceKind::Azure => azure(path, refused)?,
        TraceKind::Mooncake => mooncake(path, refused)?,
    };
    let rows = requests.len() as u64 + (refused.total - refused_before);
    Ok(Trace { file: path.to_owned(), stem, kind, requests, rows })
}

fn stem(path: &Path) -> Result<String, ImportError> {
    let problem = || ImportError::TraceName { path: path.to_owned(), problem: "its name is no UTF-8".to_owned() };
    path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned).ok_or_else(problem)
}

/// The kind by the first line that decides it: a header, or the first line that is JSON.
fn detect(path: &Path) -> Result<TraceKind, ImportError> {
    let mut first = None;
    for line in Lines::open(path)? {
        let line = line?;
        let text = String::from_utf8_lossy(&line.bytes);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        let is_first = first.is_none();
        first.get_or_insert_with(|| tables::excerpt(text));
        if is_first && text.split(',').any(|name| AZURE_COLUMNS.contains(&name.trim().trim_matches('"'))) {
            return Ok(TraceKind::Azure);
        }
        // A damaged line decides nothing; it is refused later, when the file turns out to be a trace.
        match serde_json::from_str::<Value>(text) {
            Ok(value) if MOONCAKE_FIELDS.iter().any(|field| value.get(field).is_some()) => {
                return Ok(TraceKind::Mooncake);
            }
            Err(_) if text.starts_with('{') => {}
            _ => break,
        }
    }
    let path = path.to_owned();
    Err(match first {
        Some(start) => ImportError::UnknownTrace { path, start },
        None => ImportError::Empty { path, expected: "a trace: Azure CSV or Mooncake JSON Lines".to_owned() },
    })
}

fn azure(path: &Path, refused: &mut Refusals) -> Result<Vec<Request>, ImportError> {
    let refused_before = refused.total;
    let mut table = Table::open(path, &AZURE_COLUMNS)?;
    let mut requests = Vec::new();
    while let Some(row) = table.next_row(refused)? {
        let number = requests.len() as u64 + (refused.total - refused_before) + 1;
        match azure_request(&row, number) {
            Ok(request) => requests.push(request),
            Err(bad) => row.refuse(bad, refused),
        }
    }
    Ok(requests)
}

fn azure_request(row: &Row<'_>, number: u64) -> Result<Request, BadCell> {
    let arrival_ms = row.required_integer("arrival_ms", u64::MAX)?;
    let tokens = |column| {
        let value = row.required_integer(column, u64::from(TOKENS_MAX))?;
        u32::try_from(value).map_err(|_| BadCell::new(column, "is too large"))
    };
    let (prompt_tokens, output_tokens) = (tokens("input_tokens")?, tokens("output_tokens")?);
    Ok(Request { arrival_ms, row: number, prompt_tokens, output_tokens })
}

/// A line of a Mooncake trace. `hash_ids` name shared prefixes, not sessions, so that no job can say them.
#[derive(Deserialize)]
struct MooncakeLine {
    timestamp: u64,
    input_length: u64,
    output_length: u64,
}

fn mooncake(path: &Path, refused: &mut Refusals) -> Result<Vec<Request>, ImportError> {
    let refused_before = refused.total;
    let mut requests = Vec::new();
    for line in Lines::open(path)? {
        let line = line?;
        let Some(text) = json_text(&line.bytes) else { continue };
        let number = requests.len() as u64 + (refused.total - refused_before) + 1;
        match text.and_then(|text| mooncake_request(text, number)) {
            Ok(request) => requests.push(request),
            Err((field, why)) => refused.push(path, line.number, field, why),
        }
    }
    Ok(requests)
}

/// The field that is at fault, and why.
type BadLine = (&'static str, String);

/// The text of a line; `None` when it is blank.
fn json_text(bytes: &[u8]) -> Option<Result<&str, BadLine>> {
    match str::from_utf8(bytes) {
        Ok(text) => Some(text.trim_start_matches('\u{feff}').trim()).filter(|text| !text.is_empty()).map(Ok),
        Err(_) => Some(Err(("", "the line is no UTF-8".to_owned()))),
    }
}

fn mooncake_request(text: &str, number: u64) -> Result<Request, BadLine> {
    // The column is dropped from serde_json's message: "line 1" would contradict the line that is reported.
    let line: MooncakeLine = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let reason = message.split(" at line 1 column ").next().unwrap_or_default();
        ("", format!("{reason} at column {}", error.column()))
    })?;
    let tokens = |field, value: u64| match u32::try_from(value) {
        Ok(tokens) if tokens <= TOKENS_MAX => Ok(tokens),
        _ => Err((field, format!("is {value}, above {TOKENS_MAX}"))),
    };
    Ok(Request {
        arrival_ms: line.timestamp,
        row: number,
        prompt_tokens: tokens("input_length", line.input_length)?,
        output_tokens: tokens("output_length", line.output_length)?,
    })
}

/// The lines of a file as bytes: one line that is no UTF-8 must not end the file.
struct Lines {
    path: PathBuf,
    reader: BufReader<std::fs::File>,
    number: u64,
}

struct Line {
    number: u64,
    bytes: Vec<u8>,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, ImportError> {
        Ok(Self { path: path.to_owned(), reader: BufReader::new(tables::open(path)?), number: 0 })
    }
}

impl Iterator for Lines {
    type Item = Result<Line, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        self.number += 1;
        match self.reader.read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(_) => Some(Ok(Line { number: self.number, bytes })),
            Err(source) => Some(Err(ImportError::Read { path: self.path.clone(), source })),
        }
    }
}
