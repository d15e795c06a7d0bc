//! Request traces: which kind a file is, and its requests.
//!
//! The kind follows from what the file says, not from its name: a first line with the columns of the Azure traces, or a
//! first line that is a JSON object with the fields of the Mooncake traces. Anything else is refused as a whole, for
//! a wrong guess would make thousands of wrong jobs. A trace is opened once and read in one pass: it may be a pipe.
//!
//! ```text
//! arrival_ms,input_tokens,output_tokens                              Azure 2023, times in ms since the first request
//! {"timestamp":0,"input_length":6758,"output_length":500,…}          Mooncake
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use orchestrator_core::limits::TOKENS_MAX;
use serde::Deserialize;
use serde_json::Value;

use super::error::ImportError;
use super::lines::Lines;
use super::summary::Refusals;
use super::tables::{self, BadCell, Row, Table};
use crate::input::Line;

const AZURE_COLUMNS: [&str; 3] = ["arrival_ms", "input_tokens", "output_tokens"];
const MOONCAKE_FIELDS: [&str; 3] = ["timestamp", "input_length", "output_length"];

/// Where traces were joined to one file, it stands at the start of a later line too.
const BYTE_ORDER_MARK: char = '\u{feff}';

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

/// Reads one trace of whichever kind; a request that came after `arrival_max_ms` is refused.
pub(super) fn read(path: &Path, arrival_max_ms: u64, refused: &mut Refusals) -> Result<Trace, ImportError> {
    let stem = stem(path)?;
    let refused_before = refused.total;
    let (kind, requests) = requests(path, arrival_max_ms, refused)?;
    let rows = requests.len() as u64 + (refused.total - refused_before);
    Ok(Trace { file: path.to_owned(), stem, kind, requests, rows })
}

fn stem(path: &Path) -> Result<String, ImportError> {
    let problem = || ImportError::TraceName { path: path.to_owned(), problem: "its name is no UTF-8".to_owned() };
    path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned).ok_or_else(problem)
}

/// The kind by the first line that decides it, a header or the first line that is JSON; and the requests, in one pass.
fn requests(
    path: &Path,
    arrival_max_ms: u64,
    refused: &mut Refusals,
) -> Result<(TraceKind, Vec<Request>), ImportError> {
    let mut lines = Lines::open(path)?;
    let refused_before = refused.total;
    let mut rows = MooncakeRows { path, arrival_max_ms, refused_before, refused, requests: Vec::new() };
    let mut first = None;
    while let Some(line) = lines.next_line()? {
        let text = String::from_utf8_lossy(line.bytes());
        let text = text.trim_start_matches(BYTE_ORDER_MARK).trim();
        if first.is_none() && text.split(',').any(|name| AZURE_COLUMNS.contains(&name.trim().trim_matches('"'))) {
            let (number, header) = (line.number(), line.bytes().to_vec());
            let table = Table::with_header(lines, number, &header, &AZURE_COLUMNS)?;
            return Ok((TraceKind::Azure, azure(table, arrival_max_ms, rows.refused)?));
        }
        first.get_or_insert_with(|| tables::excerpt(text));
        match serde_json::from_str::<Value>(text) {
            Ok(value) if MOONCAKE_FIELDS.iter().any(|field| value.get(field).is_some()) => {
                rows.add(&line);
                return Ok((TraceKind::Mooncake, rows.read(lines)?));
            }
            // A damaged line decides nothing; it is refused, and that counts when the file turns out to be a trace.
            Err(_) if text.starts_with('{') => rows.add(&line),
            _ => break,
        }
    }
    let path = path.to_owned();
    Err(match first {
        Some(start) => ImportError::UnknownTrace { path, start },
        None => ImportError::Empty { path, expected: "a trace: Azure CSV or Mooncake JSON Lines".to_owned() },
    })
}

fn azure(mut table: Table, arrival_max_ms: u64, refused: &mut Refusals) -> Result<Vec<Request>, ImportError> {
    let refused_before = refused.total;
    let mut requests = Vec::new();
    while let Some(row) = table.next_row(refused)? {
        let number = requests.len() as u64 + (refused.total - refused_before) + 1;
        match azure_request(&row, arrival_max_ms, number) {
            Ok(request) => requests.push(request),
            Err(bad) => row.refuse(bad, refused),
        }
    }
    Ok(requests)
}

fn azure_request(row: &Row<'_>, arrival_max_ms: u64, number: u64) -> Result<Request, BadCell> {
    let arrival_ms = row.required_integer("arrival_ms", arrival_max_ms)?;
    let (prompt_tokens, output_tokens) = (row.tokens("input_tokens")?, row.tokens("output_tokens")?);
    Ok(Request { arrival_ms, row: number, prompt_tokens, output_tokens })
}

/// A line of a Mooncake trace. `hash_ids` name shared prefixes, not sessions, so that no job can say them.
#[derive(Deserialize)]
struct MooncakeLine {
    timestamp: u64,
    input_length: u64,
    output_length: u64,
}

/// The rows of a Mooncake trace, read or refused.
struct MooncakeRows<'a> {
    path: &'a Path,
    arrival_max_ms: u64,
    requests: Vec<Request>,
    refused: &'a mut Refusals,
    refused_before: u64,
}

impl MooncakeRows<'_> {
    fn add(&mut self, line: &Line<'_>) {
        let number = self.requests.len() as u64 + (self.refused.total - self.refused_before) + 1;
        let text = line.text().map_err(|problem| ("", format!("the line is {problem}")));
        let request = text
            .and_then(|text| mooncake_request(text.trim_start_matches(BYTE_ORDER_MARK), self.arrival_max_ms, number));
        match request {
            Ok(request) => self.requests.push(request),
            Err((field, why)) => self.refused.push(self.path, line.number(), field, why),
        }
    }

    fn read(mut self, mut lines: Lines) -> Result<Vec<Request>, ImportError> {
        while let Some(line) = lines.next_line()? {
            self.add(&line);
        }
        Ok(self.requests)
    }
}

/// The field that is at fault, and why.
type BadLine = (&'static str, String);

fn mooncake_request(text: &str, arrival_max_ms: u64, number: u64) -> Result<Request, BadLine> {
    // A JSON list would pass for an object: serde fills a struct's fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(("", "the line is no JSON object".to_owned()));
    }
    // The column is dropped from serde_json's message: "line 1" would contradict the line that is reported.
    let line: MooncakeLine = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let reason = message.split(" at line 1 column ").next().unwrap_or_default();
        ("", format!("{reason} at column {}", error.column()))
    })?;
    if line.timestamp > arrival_max_ms {
        return Err(("timestamp", format!("is {}, above {arrival_max_ms}", line.timestamp)));
    }
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
