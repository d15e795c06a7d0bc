//! The fleet file, `{"version": 1, "pools": [ … ]}`, row by row in bounded memory.
//!
//! ```text
//! {"version": 1,
//!  "deployment": { … }, "sources": [ … ], "generated_by": "…",      known, and ignored
//!  "note": 1,                                                       unknown: a warning
//!  "pools": [
//!   {"id": "a", "slots_total": NaN, …},                             line 5: refused by itself
//!   {"id": "b", …}                                                  line 6: read
//!  ]}
//! ```
//!
//! What stands in a row is the row's own concern; what stands around the rows is the file's, and breaks the whole file
//! ([`FleetFileError`]), because behind a broken bracket no text is surely a row. Rows come before the file's end is
//! seen: a fleet counts only once [`FleetReader::next_row`] said `None`.
//!
//! Invariants: memory is one row of at most [`MAX_ROW_BYTES`]; every element of `pools` is handed out exactly once, in
//! order, with the line on which it starts; after an error or the end there is nothing more.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use orchestrator_core::SCHEMA_VERSION;

use super::fleet_error::FleetFileError;
use super::fleet_scan::{Scanner, Value};
use super::lines::BYTE_ORDER_MARK;
use super::numbers::whole;
use super::objects::{check_json, string_text};
use super::pool_row::{PoolText, RefusedPool};
use super::row_error::{RowError, Why, path_text};
use super::warnings::{Concern, Source, Warnings};

/// A row has at most this many bytes. UNIT-11.
pub const MAX_ROW_BYTES: usize = 1 << 20;

/// The keys of the file; each stands at most once. Those other than `version` and `pools` say where a fleet came from.
const KEYS: [&str; 5] = ["version", "pools", "deployment", "sources", "generated_by"];

/// One element of `pools`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetRow<'r> {
    /// The line on which it starts, from 1.
    pub line: u64,
    /// Its text; what is refused already is too long or no UTF-8.
    pub text: Result<&'r str, RefusedPool>,
}

impl<'r> FleetRow<'r> {
    /// Reads the row.
    ///
    /// # Errors
    /// The row is refused: see [`PoolText::read`].
    pub fn read(self, warnings: &mut Warnings) -> Result<PoolText<'r>, RefusedPool> {
        PoolText::read(self.text?, warnings)
    }
}

/// Reads a fleet file row by row.
#[derive(Debug)]
pub struct FleetReader<R> {
    scanner: Scanner<R>,
    state: State,
    /// Which of [`KEYS`] stood already.
    seen: [bool; KEYS.len()],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the file's first bracket.
    Start,
    /// Before the first key, or behind a value.
    Keys { first: bool },
    /// Inside `pools`, before the first row or behind one.
    Rows { first: bool },
    /// Behind the last bracket, or behind an error.
    Done,
}

impl FleetReader<BufReader<File>> {
    /// A reader of the file at `path`.
    ///
    /// # Errors
    /// The file cannot be opened, or is a folder.
    pub fn open(path: &Path) -> Result<Self, FleetFileError> {
        let file = File::open(path).map_err(FleetFileError::Open)?;
        if file.metadata().map_err(FleetFileError::Open)?.is_dir() {
            return Err(FleetFileError::IsAFolder);
        }
        Ok(Self::new(BufReader::with_capacity(1 << 16, file)))
    }
}

impl<R: BufRead> FleetReader<R> {
    /// A reader at the start of a file.
    pub fn new(source: R) -> Self {
        Self { scanner: Scanner::new(source), state: State::Start, seen: [false; KEYS.len()] }
    }

    /// The next row; `None` at the end of a file that is whole. Unknown keys of the file go to `warnings`.
    ///
    /// # Errors
    /// The file as a whole cannot be used; rows handed out before do not count either.
    pub fn next_row(&mut self, warnings: &mut Warnings) -> Result<Option<FleetRow<'_>>, FleetFileError> {
        match self.advance(warnings) {
            Ok(Some(value)) => Ok(Some(self.row(value))),
            Ok(None) => Ok(None),
            Err(error) => {
                self.state = State::Done;
                Err(error)
            }
        }
    }

    fn row(&self, value: Value) -> FleetRow<'_> {
        let bytes = self.scanner.kept.trim_ascii();
        let refused = |why| Err(RefusedPool::unparsed(bytes, RowError::row(why)));
        let text = if value.too_long {
            let max_bytes = MAX_ROW_BYTES;
            refused(Why::RowTooLong { max_bytes })
        } else {
            str::from_utf8(bytes).or_else(|_| refused(Why::NotUtf8))
        };
        let line = value.line;
        FleetRow { line, text }
    }

    /// Goes to the next row, or to the end of the file.
    fn advance(&mut self, warnings: &mut Warnings) -> Result<Option<Value>, FleetFileError> {
        loop {
            match self.state {
                State::Start => self.start()?,
                State::Keys { first } => self.next_key(first, warnings)?,
                State::Rows { first } => {
                    if let Some(value) = self.next_value(first)? {
                        return Ok(Some(value));
                    }
                }
                State::Done => return Ok(None),
            }
        }
    }

    fn start(&mut self) -> Result<(), FleetFileError> {
        if self.scanner.peek_byte()? == BYTE_ORDER_MARK.first().copied() {
            for &byte in BYTE_ORDER_MARK {
                if self.scanner.peek_byte()? != Some(byte) {
                    return Err(FleetFileError::NotUtf8 { line: 1 });
                }
                self.scanner.take(byte);
            }
        }
        match self.scanner.peek()? {
            None => return Err(FleetFileError::Empty),
            Some(byte @ b'{') => self.scanner.take(byte),
            Some(_) => {
                let line = self.scanner.line;
                return Err(FleetFileError::NotAnObject { line });
            }
        }
        self.state = State::Keys { first: true };
        Ok(())
    }

    /// Reads the next key and, unless it is `pools`, its value; or the end of the file.
    fn next_key(&mut self, first: bool, warnings: &mut Warnings) -> Result<(), FleetFileError> {
        if let Some(byte @ b'}') = self.scanner.peek()? {
            self.scanner.take(byte);
            return self.end();
        }
        if !first {
            self.scanner.expect(b',', "`,` or `}` after a value")?;
        }
        self.scanner.expect(b'"', "a key in quotes")?;
        let line = self.scanner.line;
        self.scanner.key()?;
        let key = self.key_text(line)?;
        self.scanner.expect(b':', "`:` after a key")?;
        self.note_key(&key, line, warnings)?;
        if key == "pools" {
            return self.open_pools();
        }
        self.skip_value(&key)?;
        self.state = State::Keys { first: false };
        Ok(())
    }

    fn key_text(&self, line: u64) -> Result<String, FleetFileError> {
        let text = str::from_utf8(&self.scanner.kept).map_err(|_| FleetFileError::NotUtf8 { line })?;
        let key = string_text(text).map(Cow::into_owned);
        key.ok_or(FleetFileError::Syntax { line, expected: "a key without bad escapes or control characters" })
    }

    fn note_key(&mut self, key: &str, line: u64, warnings: &mut Warnings) -> Result<(), FleetFileError> {
        let mut known = KEYS.iter().zip(&mut self.seen);
        match known.find(|(name, _)| **name == key) {
            None => {
                let unknown = Concern::UnknownField(path_text("", key));
                warnings.count_row(Source::FleetFile, vec![unknown]);
            }
            Some((_, true)) => {
                let key = key.to_owned();
                return Err(FleetFileError::Repeated { line, key });
            }
            Some((_, seen)) => *seen = true,
        }
        Ok(())
    }

    fn open_pools(&mut self) -> Result<(), FleetFileError> {
        match self.scanner.peek()? {
            Some(byte @ b'[') => self.scanner.take(byte),
            Some(_) => {
                let line = self.scanner.line;
                return Err(FleetFileError::PoolsNotAList { line });
            }
            None => {
                let line = self.scanner.line;
                return Err(FleetFileError::CutOff { line });
            }
        }
        self.state = State::Rows { first: true };
        Ok(())
    }

    /// Reads a value beside the pools.
    fn skip_value(&mut self, key: &str) -> Result<(), FleetFileError> {
        self.scanner.peek()?;
        let line = self.scanner.line;
        let cut_off = FleetFileError::CutOff { line };
        let value = self.scanner.value()?.ok_or(cut_off)?;
        let text = str::from_utf8(self.scanner.kept.trim_ascii());
        // A value that was not kept as a whole (sources can be long) is ignored unseen; a version is never that long.
        let text = match text {
            _ if value.too_long && key != "version" => return Ok(()),
            Ok(text) => text,
            Err(_) => return Err(FleetFileError::NotUtf8 { line }),
        };
        if check_json(text).is_err() {
            let key = path_text("", key);
            return Err(FleetFileError::BadValue { line, key });
        }
        // UNIT-10: null is absent, and an absent version is 1.
        if key == "version" && text != "null" && whole(text) != Ok(i64::from(SCHEMA_VERSION)) {
            let found = path_text("", text);
            return Err(FleetFileError::Version { line, found });
        }
        Ok(())
    }

    /// The next row, or `None` and the list is closed.
    fn next_value(&mut self, first: bool) -> Result<Option<Value>, FleetFileError> {
        let expected = "`,` or `]` after a row";
        match self.scanner.peek()? {
            Some(byte @ b']') => {
                self.scanner.take(byte);
                self.state = State::Keys { first: false };
                return Ok(None);
            }
            Some(byte @ b',') if !first => self.scanner.take(byte),
            Some(_) if first => {}
            Some(_) => return Err(self.scanner.syntax(expected)),
            None => {
                let line = self.scanner.line;
                return Err(FleetFileError::CutOff { line });
            }
        }
        self.state = State::Rows { first: false };
        if let Some(b',' | b']' | b'}') = self.scanner.peek()? {
            return Err(self.scanner.syntax("a row"));
        }
        let line = self.scanner.line;
        let value = self.scanner.value()?;
        value.map(Some).ok_or(FleetFileError::CutOffInRow { line })
    }

    /// Checks what follows the last bracket.
    fn end(&mut self) -> Result<(), FleetFileError> {
        self.state = State::Done;
        if self.scanner.peek()?.is_some() {
            let line = self.scanner.line;
            return Err(FleetFileError::Trailing { line });
        }
        let pools = KEYS.iter().zip(self.seen).any(|(key, seen)| *key == "pools" && seen);
        if pools { Ok(()) } else { Err(FleetFileError::NoPools) }
    }
}

#[cfg(test)]
#[path = "fleet_file_tests.rs"]
mod tests;
