//! The bytes of a fleet file, cut into values by brackets and strings only.
//!
//! ```text
//! [ {"id":"a","slots_total":NaN} , {"id":"b"} ]
//!   └─ one value: what is in it  │  is judged by the row reader
//!                                └─ stop: a comma outside every bracket
//! ```
//!
//! Invariants: at most [`MAX_ROW_BYTES`] of a value are kept, however long it is; the brackets and strings of valid JSON
//! are those that a parser sees; a line break ends a string, because valid JSON has none inside one, so that a missing
//! quote ends with its line and not with the file.

use std::io::{self, BufRead};

use super::fleet_error::FleetFileError;
use super::fleet_file::MAX_ROW_BYTES;

/// A cursor over the bytes of a file.
#[derive(Debug)]
pub(super) struct Scanner<R> {
    source: R,
    /// The line of the next byte, from 1.
    pub(super) line: u64,
    /// The value read last, as far as it is kept.
    pub(super) kept: Vec<u8>,
}

/// How a value ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    /// The line of its first byte.
    pub(super) line: u64,
    /// Whether only its start was kept.
    pub(super) too_long: bool,
}

/// Where in a value the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    depth: u64,
    in_string: bool,
    escaped: bool,
    /// Something stood outside every bracket: none may open behind it, for that is another value without its comma.
    begun: bool,
    /// A bracket was opened and closed again: nothing but white space may follow before the comma.
    closed: bool,
}

/// What a byte means for the value.
enum Step {
    Inside,
    /// A comma or closing bracket outside the value.
    End,
    /// The start of another value, without a comma.
    Surplus,
}

impl State {
    fn step(&mut self, byte: u8) -> Step {
        if self.in_string {
            self.in_string = byte != b'\n' && (self.escaped || byte != b'"');
            self.escaped = byte == b'\\' && !self.escaped;
            return Step::Inside;
        }
        match byte {
            b',' | b'}' | b']' if self.depth == 0 => return Step::End,
            b' ' | b'\t' | b'\r' | b'\n' => return Step::Inside,
            _ if self.closed => return Step::Surplus,
            b'{' | b'[' if self.depth == 0 && self.begun => return Step::Surplus,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'"' => (self.in_string, self.escaped) = (true, false),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.closed = self.depth == 0;
            }
            _ => {}
        }
        self.begun = true;
        Step::Inside
    }
}

impl<R: BufRead> Scanner<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, line: 1, kept: Vec::new() }
    }

    /// The next byte that is no white space, not taken; `None` at the end of the file.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, FleetFileError> {
        loop {
            match self.peek_byte()? {
                Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) => self.take(byte),
                other => return Ok(other),
            }
        }
    }

    /// The next byte, white space or not, not taken.
    pub(super) fn peek_byte(&mut self) -> Result<Option<u8>, FleetFileError> {
        Ok(chunk(&mut self.source)?.first().copied())
    }

    /// Takes the byte that was seen.
    pub(super) fn take(&mut self, byte: u8) {
        self.line = self.line.saturating_add(u64::from(byte == b'\n'));
        self.source.consume(1);
    }

    /// Takes the next byte that is no white space if it is the one that is due.
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), FleetFileError> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.take(found);
                Ok(())
            }
            Some(_) => Err(self.syntax(expected)),
            None => Err(FleetFileError::CutOff { line: self.line }),
        }
    }

    pub(super) fn syntax(&self, expected: &'static str) -> FleetFileError {
        FleetFileError::Syntax { line: self.line, expected }
    }

    /// Reads a value up to the comma or bracket behind it, which is not taken; `None` at the end of the file.
    pub(super) fn value(&mut self) -> Result<Option<Value>, FleetFileError> {
        self.kept.clear();
        let mut state = State::default();
        let mut value = Value { line: self.line, too_long: false };
        loop {
            let chunk = chunk(&mut self.source)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let mut stop = None;
            let mut length = chunk.len();
            for (place, &byte) in chunk.iter().enumerate() {
                match state.step(byte) {
                    Step::Inside => self.line = self.line.saturating_add(u64::from(byte == b'\n')),
                    end => {
                        (stop, length) = (Some(end), place);
                        break;
                    }
                }
            }
            let part = chunk.get(..length).unwrap_or(chunk);
            let room = MAX_ROW_BYTES.saturating_sub(self.kept.len());
            value.too_long |= part.len() > room && !part.get(room..).unwrap_or_default().trim_ascii().is_empty();
            self.kept.extend_from_slice(part.get(..room).unwrap_or(part));
            self.source.consume(length);
            match stop {
                None => {}
                Some(Step::Surplus) => return Err(self.syntax("`,` or a closing bracket after the value")),
                Some(Step::End | Step::Inside) => return Ok(Some(value)),
            }
        }
    }

    /// Reads a key behind its opening quote, up to and with the closing one.
    pub(super) fn key(&mut self) -> Result<(), FleetFileError> {
        self.kept.clear();
        let line = self.line;
        let mut escaped = false;
        loop {
            let Some(byte) = self.peek_byte()? else {
                return Err(FleetFileError::CutOff { line });
            };
            if byte == b'\n' || self.kept.len() >= MAX_ROW_BYTES {
                return Err(FleetFileError::EndlessKey { line });
            }
            self.take(byte);
            if byte == b'"' && !escaped {
                return Ok(());
            }
            escaped = byte == b'\\' && !escaped;
            self.kept.push(byte);
        }
    }
}

/// What the source has ready; empty at the end of the file.
fn chunk<R: BufRead>(source: &mut R) -> Result<&[u8], FleetFileError> {
    // Twice, because a buffer that is returned from a loop keeps its source borrowed; the second call reads nothing.
    while let Err(error) = source.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(FleetFileError::Read(error));
        }
    }
    source.fill_buf().map_err(FleetFileError::Read)
}
