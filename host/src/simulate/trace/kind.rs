//! Which kind a file is, by its first line; the file is opened once, so that a pipe will do.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::error::TraceError;
use crate::import::ImportError;
use crate::import::lines::Lines;
use crate::import::tables::{Table, excerpt};
use crate::input::{Line, OwnedLine};

pub(super) const AZURE_COLUMNS: [&str; 3] = ["arrival_ms", "input_tokens", "output_tokens"];
pub(super) const REPLAY_COLUMNS: [&str; 6] =
    ["run", "model", "arrival_ms", "scheduled_ms", "input_tokens", "output_tokens"];
pub(super) const SESSION_COLUMNS: [&str; 8] =
    ["session_id", "seq", "kind", "t_ms", "model", "input_tokens", "output_tokens", "blocks64"];
pub(super) const CLIENT_COLUMNS: [&str; 5] = ["client_id", "window_start_s", "rate_rps", "pattern", "p1"];
pub(super) const LENGTH_COLUMNS: [&str; 5] = ["client_id", "window_start_s", "in_mean", "in_p50", "out_mean"];

/// The kinds of traces that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CSV with `arrival_ms,input_tokens,output_tokens`.
    Azure,
    /// JSON Lines with `timestamp`, `input_length`, `output_length`, `hash_ids`.
    Mooncake,
    /// A table of the requests of coding sessions.
    Sessions,
    /// A table of measured runs of an engine.
    Replays,
    /// A table of clients' rates, with one of their lengths.
    Clients,
    /// JSON Lines of jobs, or of events.
    Jobs,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Azure => "Azure CSV",
            Self::Mooncake => "Mooncake JSON Lines",
            Self::Sessions => "table of sessions",
            Self::Replays => "table of replays",
            Self::Clients => "table of clients",
            Self::Jobs => "JSON Lines of jobs",
        })
    }
}

/// The rows of a file behind the line that decided its kind.
pub(super) enum Content {
    Azure(Table),
    Mooncake(JsonLines),
    Sessions(Table),
    Replays(Table),
    Clients(Table),
    Lengths(Table),
    Jobs(JsonLines),
}

impl Content {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Azure(_) => Kind::Azure,
            Self::Mooncake(_) => Kind::Mooncake,
            Self::Sessions(_) => Kind::Sessions,
            Self::Replays(_) => Kind::Replays,
            Self::Clients(_) | Self::Lengths(_) => Kind::Clients,
            Self::Jobs(_) => Kind::Jobs,
        }
    }

    /// Opens a file and looks at its first line.
    pub(super) fn open(path: &Path) -> Result<Self, TraceError> {
        let mut lines = Lines::open(path)?;
        let Some(first) = lines.next_line()?.map(OwnedLine::from) else {
            let expected = "a trace (docs/simulate.md lists the kinds)".to_owned();
            return Err(ImportError::Empty { path: path.to_owned(), expected }.into());
        };
        let line = first.as_line();
        let text = String::from_utf8_lossy(line.bytes());
        let unknown = || TraceError::UnknownKind { path: path.to_owned(), start: excerpt(text.trim()) };
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let has = |field: &str| value.get(field).is_some();
            let lines = JsonLines { first: first.clone(), lines };
            return if has("hash_ids") || has("input_length") {
                Ok(Self::Mooncake(lines))
            } else if has("event") || has("model_id") {
                Ok(Self::Jobs(lines))
            } else {
                Err(unknown())
            };
        }
        let names: Vec<&str> = text.split(',').map(|name| name.trim().trim_matches('"')).collect();
        let has = |columns: &[&str]| columns.iter().all(|column| names.contains(column));
        // A table of replays has the columns of an Azure trace too.
        type Kinds<'c> = [(&'c [&'c str], fn(Table) -> Content); 5];
        let tables: Kinds<'_> = [
            (&REPLAY_COLUMNS, Self::Replays),
            (&SESSION_COLUMNS, Self::Sessions),
            (&CLIENT_COLUMNS, Self::Clients),
            (&LENGTH_COLUMNS, Self::Lengths),
            (&AZURE_COLUMNS, Self::Azure),
        ];
        let (columns, content) = tables.into_iter().find(|(columns, _)| has(columns)).ok_or_else(unknown)?;
        Ok(content(Table::with_header(lines, line.number(), line.bytes(), columns)?))
    }
}

/// The lines of a file of JSON Lines, the first of which has been looked at.
pub(super) struct JsonLines {
    first: OwnedLine,
    lines: Lines,
}

impl JsonLines {
    /// Lends each line to `take`, with its file.
    pub(super) fn each(
        mut self,
        mut take: impl FnMut(&Path, &Line<'_>) -> Result<(), TraceError>,
    ) -> Result<(), TraceError> {
        let path = self.lines.path().to_owned();
        take(&path, &self.first.as_line())?;
        while let Some(line) = self.lines.next_line()? {
            take(&path, &line)?;
        }
        Ok(())
    }
}
