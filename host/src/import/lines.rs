//! The lines of an input that is opened once, so that a pipe (`/dev/stdin`, a FIFO, `<(…)`) reads like a file.
//!
//! The first line decides what a file is; one that is longer than [`MAX_LINE_BYTES`] ends the import, also where it
//! never ends (`/dev/zero`). Any later line of that length is a bad row: it is passed over, and the rest goes on.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::error::ImportError;
use crate::input::{Line, LineReader, MAX_LINE_BYTES};

/// Opens a file for reading; a folder is an error of its own, because the system reports it only at the first read.
pub(super) fn open(path: &Path) -> Result<File, ImportError> {
    if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
        return Err(ImportError::NotAFile { path: path.to_owned() });
    }
    File::open(path).map_err(|source| ImportError::Open { path: path.to_owned(), source })
}

/// The lines of one file, in bounded memory; blank ones are passed over.
pub(crate) struct Lines {
    path: PathBuf,
    reader: LineReader<FirstLineGuard<File>>,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self, ImportError> {
        Ok(Self { path: path.to_owned(), reader: LineReader::new(FirstLineGuard::new(open(path)?)) })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn next_line(&mut self) -> Result<Option<Line<'_>>, ImportError> {
        let Self { path, reader } = self;
        reader.next_line().map_err(|source| {
            let path = path.clone();
            if source.get_ref().is_some_and(|inner| inner.is::<FirstLineTooLong>()) {
                ImportError::FirstLineTooLong { path }
            } else {
                ImportError::Read { path, source }
            }
        })
    }
}

/// Fails once the first line that is not blank has more than [`FIRST_LINE_BYTES`], instead of looking for its end.
pub(crate) struct FirstLineGuard<R> {
    reader: BufReader<R>,
    /// Bytes of the current line so far; `None` behind the first line.
    length: Option<usize>,
    blank: bool,
}

/// The longest line that [`LineReader`] takes, with a byte order mark and its end.
const FIRST_LINE_BYTES: usize = MAX_LINE_BYTES + 5;

#[derive(Debug)]
struct FirstLineTooLong;

impl fmt::Display for FirstLineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the first line is too long")
    }
}

impl std::error::Error for FirstLineTooLong {}

impl<R: Read> FirstLineGuard<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { reader: BufReader::new(source), length: Some(0), blank: true }
    }
}

impl<R: Read> BufRead for FirstLineGuard<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.length.is_some_and(|length| length > FIRST_LINE_BYTES) {
            return Err(io::Error::other(FirstLineTooLong));
        }
        self.reader.fill_buf()
    }

    /// `LineReader` consumes at most to the end of a line.
    fn consume(&mut self, amount: usize) {
        if let Some(length) = self.length {
            let bytes = self.reader.buffer().get(..amount).unwrap_or_default();
            self.blank &= bytes.trim_ascii().is_empty();
            self.length = match bytes.last() {
                Some(b'\n') if !self.blank && length + amount <= FIRST_LINE_BYTES => None,
                Some(b'\n') if self.blank => Some(0),
                _ => Some(length + amount),
            };
        }
        self.reader.consume(amount);
    }
}

impl<R: Read> Read for FirstLineGuard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(source: impl Read) -> io::Result<Vec<(u64, bool)>> {
        let mut reader = LineReader::new(FirstLineGuard::new(source));
        let mut seen = Vec::new();
        while let Some(line) = reader.next_line()? {
            seen.push((line.number(), line.text().is_ok()));
        }
        Ok(seen)
    }

    #[test]
    fn a_first_line_that_never_ends_is_an_error() {
        for byte in [0, b' ', b'x', b'"', b'{'] {
            assert!(numbers(io::repeat(byte)).is_err(), "{byte}");
            assert!(numbers(b" \n\r\n".chain(io::repeat(byte))).is_err(), "{byte}");
        }
    }

    #[test]
    fn only_the_first_line_is_guarded() {
        let (most, end) = ("x".repeat(MAX_LINE_BYTES), "\n".repeat(2 * MAX_LINE_BYTES));
        let file = format!("\u{feff}{most}\r\n{most}x\nz\n");
        assert_eq!(numbers(file.as_bytes()).unwrap(), [(1, true), (2, false), (3, true)]);
        let number = end.len() as u64 + 1;
        assert_eq!(numbers(format!("{end}a").as_bytes()).unwrap(), [(number, true)]);
    }
}
