//! CSV tables by column name, and the two that describe hardware: specs and profiles.
//!
//! A table's first line names its columns; their order is free and further ones are ignored. A column that is missing or
//! stands twice is an error of the file. A bad row is refused with its line and column, and reading goes on:
//!
//! ```text
//! nodes.csv:17: `gpu_count` is `two`, no whole number
//! ```
//!
//! Invariants: a row is one line of at most 1 MiB, so that a bad one cannot take others with it; a cell is used exactly as
//! it stands, apart from spaces around it; blank means unknown.

use std::collections::BTreeMap;
use std::path::Path;
use std::str;

use csv::ByteRecord;
use orchestrator_core::limits::{BYTES_MAX, TOKENS_MAX};

use super::cells;
use super::check;
use super::deployment::ProfileKey;
use super::error::ImportError;
use super::lines::Lines;
use super::summary::Refusals;
use crate::input::{Line, LineProblem};

/// A CSV file whose header has been read.
pub(crate) struct Table {
    lines: Lines,
    columns: Vec<String>,
    line: u64,
    record: ByteRecord,
}

impl Table {
    /// Opens a table that must have the columns `required`.
    pub(crate) fn open(path: &Path, required: &[&str]) -> Result<Self, ImportError> {
        let mut lines = Lines::open(path)?;
        let header = lines.next_line()?.map(|line| (line.number(), line.bytes().to_vec()));
        let Some((line, header)) = header else {
            let expected = format!("a CSV table with the columns {}", required.join(", "));
            return Err(ImportError::Empty { path: path.to_owned(), expected });
        };
        Self::with_header(lines, line, &header, required)
    }

    /// A table whose header, `line` of the file, has been taken from `lines`; it must have the columns `required`.
    pub(crate) fn with_header(lines: Lines, line: u64, header: &[u8], required: &[&str]) -> Result<Self, ImportError> {
        let damaged = |problem: String| ImportError::Header { path: lines.path().to_owned(), line, problem };
        let mut record = ByteRecord::new();
        cells::split(header, &mut record).map_err(|problem| damaged(problem.to_owned()))?;
        let columns: Vec<String> = record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let mut named: Vec<&String> = columns.iter().filter(|name| !name.is_empty()).collect();
        named.sort_unstable();
        if let Some(twice) = named.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(damaged(format!("the column `{}` stands twice", twice[0])));
        }
        let is_missing = |name: &&&str| !columns.iter().any(|column| column == **name);
        let missing: Vec<String> = required.iter().filter(is_missing).map(|name| (*name).to_owned()).collect();
        if !missing.is_empty() {
            return Err(ImportError::MissingColumns { path: lines.path().to_owned(), missing, found: columns });
        }
        Ok(Self { lines, columns, line, record })
    }

    /// The next row of the right width; damaged lines and rows of another width are refused on the way.
    pub(crate) fn next_row(&mut self, refused: &mut Refusals) -> Result<Option<Row<'_>>, ImportError> {
        loop {
            let Some(line) = self.lines.next_line()? else {
                return Ok(None);
            };
            self.line = line.number();
            match read_cells(&line, self.columns.len(), &mut self.record) {
                Ok(()) => break,
                Err(why) => refused.push(self.lines.path(), self.line, "", why),
            }
        }
        let Self { lines, columns, line, record } = self;
        Ok(Some(Row { path: lines.path(), columns, line: *line, record }))
    }
}

fn read_cells(line: &Line<'_>, columns: usize, record: &mut ByteRecord) -> Result<(), String> {
    // Text that is no UTF-8 is refused with its column, when the cell is read.
    if line.text() == Err(LineProblem::TooLong) {
        return Err(format!("the row is {}", LineProblem::TooLong));
    }
    cells::split(line.bytes(), record)?;
    match record.len() {
        cells if cells == columns => Ok(()),
        cells => Err(format!("the row has {cells} cells where the header has {columns}")),
    }
}

/// One row of a [`Table`].
pub(crate) struct Row<'a> {
    path: &'a Path,
    columns: &'a [String],
    line: u64,
    record: &'a ByteRecord,
}

/// Why a cell could not be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadCell {
    column: &'static str,
    why: String,
}

impl BadCell {
    pub(crate) fn new(column: &'static str, why: impl Into<String>) -> Self {
        Self { column, why: why.into() }
    }
}

impl<'a> Row<'a> {
    /// Its line in the file, from 1.
    pub(crate) const fn line(&self) -> u64 {
        self.line
    }

    /// Reports what is wrong with this row.
    pub(crate) fn refuse(&self, bad: BadCell, refused: &mut Refusals) {
        refused.push(self.path, self.line, bad.column, bad.why);
    }

    /// A cell's text; `None` when it is blank or the table has no such column.
    pub(crate) fn text(&self, column: &'static str) -> Result<Option<&'a str>, BadCell> {
        let position = self.columns.iter().position(|name| name == column);
        let Some(bytes) = position.and_then(|position| self.record.get(position)) else {
            return Ok(None);
        };
        let text = str::from_utf8(bytes).map_err(|_| BadCell::new(column, "is no UTF-8"))?.trim();
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A cell's text that must stand.
    pub(crate) fn required(&self, column: &'static str) -> Result<&'a str, BadCell> {
        self.text(column)?.ok_or_else(|| BadCell::new(column, "is blank"))
    }

    /// A whole number from 0 to `max`, if the cell is not blank.
    pub(crate) fn integer(&self, column: &'static str, max: u64) -> Result<Option<u64>, BadCell> {
        let parse = |text: &str| match text.parse::<u64>() {
            Ok(value) if value <= max => Ok(value),
            Ok(value) => Err(BadCell::new(column, format!("is {value}, above {max}"))),
            Err(_) => Err(BadCell::new(column, format!("is `{}`, no whole number", excerpt(text)))),
        };
        self.text(column)?.map(parse).transpose()
    }

    /// A whole number from 0 to `max` that must stand.
    pub(crate) fn required_integer(&self, column: &'static str, max: u64) -> Result<u64, BadCell> {
        self.integer(column, max)?.ok_or_else(|| BadCell::new(column, "is blank"))
    }

    /// A whole number from 0 to `max` that must stand, of 32 bits.
    pub(crate) fn required_u32(&self, column: &'static str, max: u32) -> Result<u32, BadCell> {
        let value = self.required_integer(column, max.into())?;
        u32::try_from(value).map_err(|_| BadCell::new(column, "is too large"))
    }

    /// Tokens, which must stand.
    pub(crate) fn tokens(&self, column: &'static str) -> Result<u32, BadCell> {
        self.required_u32(column, TOKENS_MAX)
    }

    /// A finite number of at least 0, if the cell is not blank.
    pub(crate) fn number(&self, column: &'static str) -> Result<Option<f64>, BadCell> {
        let parse = |text: &str| match text.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
            _ => Err(BadCell::new(column, format!("is `{}`, no number of at least 0", excerpt(text)))),
        };
        self.text(column)?.map(parse).transpose()
    }

    /// A compute capability, if the cell is not blank.
    pub(super) fn capability(&self, column: &'static str) -> Result<Option<&'a str>, BadCell> {
        match self.text(column)? {
            Some(text) if !check::is_capability(text) => {
                Err(BadCell::new(column, format!("is `{}`, no compute capability like 8.6", excerpt(text))))
            }
            capability => Ok(capability),
        }
    }

    fn owned(&self, column: &'static str) -> Result<String, BadCell> {
        Ok(self.text(column)?.unwrap_or_default().to_owned())
    }
}

/// The start of a text that may be of any length, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).filter(|letter| !letter.is_control()).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Where a number of a table comes from, as its optional columns say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) source_id: String,
    pub(super) reference: String,
    pub(super) licence: String,
}

impl Origin {
    pub(super) fn of_row(row: &Row<'_>, reference: &'static str) -> Result<Self, BadCell> {
        let (source_id, licence) = (row.owned("source_id")?, row.owned("licence")?);
        Ok(Self { source_id, reference: row.owned(reference)?, licence })
    }
}

/// A value of a table with its origin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sourced<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

impl<T> Sourced<T> {
    fn read(value: Option<T>, row: &Row<'_>, reference: &'static str) -> Result<Option<Self>, BadCell> {
        value.map(|value| Ok(Self { value, origin: Origin::of_row(row, reference)? })).transpose()
    }
}

/// What the specs table says about one GPU type.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spec {
    pub(super) vram_bytes: Option<Sourced<u64>>,
    pub(super) compute_capability: Option<Sourced<String>>,
}

/// The specs table, by GPU type.
pub(super) type Specs = BTreeMap<String, Spec>;

/// Reads the specs table.
pub(super) fn specs(path: &Path, refused: &mut Refusals) -> Result<Specs, ImportError> {
    let mut table = Table::open(path, &["gpu", "vram_bytes", "compute_capability"])?;
    let mut specs = Specs::new();
    while let Some(row) = table.next_row(refused)? {
        match spec(&row).and_then(|(gpu, spec)| insert_once(&mut specs, "gpu", gpu, spec)) {
            Ok(()) => {}
            Err(bad) => row.refuse(bad, refused),
        }
    }
    Ok(specs)
}

fn spec(row: &Row<'_>) -> Result<(String, Spec), BadCell> {
    let vram = row.integer("vram_bytes", BYTES_MAX)?;
    let capability = row.capability("compute_capability")?.map(str::to_owned);
    let spec = Spec {
        vram_bytes: Sourced::read(vram, row, "vram_source")?,
        compute_capability: Sourced::read(capability, row, "cc_source")?,
    };
    Ok((row.required("gpu")?.to_owned(), spec))
}

/// What the profiles table says about one deployment that was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Profile {
    pub(super) tokens_per_s: Option<Sourced<f64>>,
    pub(super) first_token_ms: Option<Sourced<f64>>,
    pub(super) suspect: bool,
}

/// The profiles table, by its key.
pub(super) type Profiles = BTreeMap<ProfileKey, Profile>;

/// Reads the profiles table.
pub(super) fn profiles(path: &Path, refused: &mut Refusals) -> Result<Profiles, ImportError> {
    let required = ["gpu", "gpu_count", "model", "quant", "engine", "perf_tokens_per_s", "first_token_ms"];
    let mut table = Table::open(path, &required)?;
    let mut profiles = Profiles::new();
    while let Some(row) = table.next_row(refused)? {
        match profile(&row).and_then(|(key, profile)| insert_once(&mut profiles, "model", key, profile)) {
            Ok(()) => {}
            Err(bad) => row.refuse(bad, refused),
        }
    }
    Ok(profiles)
}

fn profile(row: &Row<'_>) -> Result<(ProfileKey, Profile), BadCell> {
    let gpu_count = row.integer("gpu_count", u64::from(u32::MAX))?;
    let key = ProfileKey {
        gpu: row.required("gpu")?.to_owned(),
        gpu_count: gpu_count.and_then(|count| u32::try_from(count).ok()),
        model: row.required("model")?.to_owned(),
        quant: row.owned("quant")?,
        engine: row.required("engine")?.to_owned(),
    };
    let profile = Profile {
        tokens_per_s: Sourced::read(rate(row)?, row, "perf_ref")?,
        first_token_ms: Sourced::read(first_token(row)?, row, "ttft_ref")?,
        suspect: row.text("suspect")?.is_some(),
    };
    Ok((key, profile))
}

/// A rate of UNIT-2: its thousandths fit 32 bits.
fn rate(row: &Row<'_>) -> Result<Option<f64>, BadCell> {
    match row.number("perf_tokens_per_s")? {
        Some(rate) if (rate * 1000.0 + 0.5).floor() > f64::from(u32::MAX) => {
            Err(BadCell::new("perf_tokens_per_s", format!("is {rate}, above 4294967 tokens/s")))
        }
        rate => Ok(rate),
    }
}

fn first_token(row: &Row<'_>) -> Result<Option<f64>, BadCell> {
    match row.number("first_token_ms")? {
        Some(ms) if !check::is_time(ms) => Err(BadCell::new("first_token_ms", format!("is {ms}, above 2^46 µs"))),
        ms => Ok(ms),
    }
}

/// The first row with a key stands; a second one is refused, for nobody can say which is meant.
fn insert_once<K: Ord, V>(map: &mut BTreeMap<K, V>, column: &'static str, key: K, value: V) -> Result<(), BadCell> {
    if map.contains_key(&key) {
        return Err(BadCell::new(column, "repeats the key of an earlier row"));
    }
    map.insert(key, value);
    Ok(())
}
