//! Lines of a file, one at a time, in bounded memory.
//!
//! ```text
//! {"id":"j1", …}\r\n      1  read
//!                         2  blank: skipped, but counted (UNIT-10)
//! {"id":"j3", … 3 MiB     3  TooLong: its first MiB is kept, for the id; the rest is passed over
//! {"id":"j4\xff"}         4  NotUtf8
//! ```
//!
//! Invariants: memory stays below [`MAX_LINE_BYTES`] and a little; every line that is not blank is handed out once, with
//! its number in the file; a byte order mark at the start of the file and the carriage return at the end of a line are
//! not part of it; the last line needs no line feed.

use std::io::{self, BufRead};

/// A line has at most this many bytes, its end not counted. UNIT-11.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// What is kept of a line: room for a byte order mark, a carriage return, and one byte more than is allowed.
const KEPT_BYTES: usize = MAX_LINE_BYTES + 5;

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why the text of a line cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// It has more than [`MAX_LINE_BYTES`].
    #[error("longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// It is not UTF-8.
    #[error("not UTF-8 text")]
    NotUtf8,
}

/// One line that is not blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    number: u64,
    bytes: &'a [u8],
    too_long: bool,
}

impl<'a> Line<'a> {
    /// Its number in the file, from 1; blank lines count.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Its bytes without the line's end; of a line that is too long, the first [`MAX_LINE_BYTES`].
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its text.
    ///
    /// # Errors
    /// The line is too long or not UTF-8.
    pub fn text(&self) -> Result<&'a str, LineProblem> {
        if self.too_long {
            return Err(LineProblem::TooLong);
        }
        str::from_utf8(self.bytes).map_err(|_| LineProblem::NotUtf8)
    }
}

/// A line with memory of its own, to hand it to another thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedLine {
    number: u64,
    bytes: Box<[u8]>,
    too_long: bool,
}

impl OwnedLine {
    /// The line.
    #[must_use]
    pub fn as_line(&self) -> Line<'_> {
        Line { number: self.number, bytes: &self.bytes, too_long: self.too_long }
    }
}

impl From<Line<'_>> for OwnedLine {
    fn from(line: Line<'_>) -> Self {
        Self { number: line.number, bytes: line.bytes.into(), too_long: line.too_long }
    }
}

/// Reads lines from any source.
#[derive(Debug)]
pub struct LineReader<R> {
    source: R,
    kept: Vec<u8>,
    number: u64,
}

impl<R: BufRead> LineReader<R> {
    /// A reader at the start of a file.
    #[must_use]
    pub const fn new(source: R) -> Self {
        Self { source, kept: Vec::new(), number: 0 }
    }

    /// The next line that is not blank; `None` at the end of the file.
    ///
    /// # Errors
    /// The source cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let Some(length) = self.fill()? else {
                return Ok(None);
            };
            // A line whose start is blank but whose rest was not kept is too long, not blank.
            if !self.content().trim_ascii().is_empty() || length > KEPT_BYTES {
                break;
            }
        }
        let bytes = self.content();
        Ok(Some(Line {
            number: self.number,
            bytes: bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes),
            too_long: bytes.len() > MAX_LINE_BYTES,
        }))
    }

    /// What is kept of the current line, without byte order mark and carriage return.
    fn content(&self) -> &[u8] {
        let bytes = &*self.kept;
        let bytes = if self.number == 1 { bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes) } else { bytes };
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }

    /// Reads up to the next line feed and says how many bytes stood before it; `None` at the end of the file.
    fn fill(&mut self) -> io::Result<Option<usize>> {
        self.kept.clear();
        let mut length = 0usize;
        loop {
            let chunk = match self.source.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                self.number = self.number.saturating_add(1);
                return Ok((length > 0).then_some(length));
            }
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or(chunk);
            length = length.saturating_add(part.len());
            let room = KEPT_BYTES.saturating_sub(self.kept.len()).min(part.len());
            self.kept.extend_from_slice(part.get(..room).unwrap_or_default());
            let used = part.len().saturating_add(usize::from(end.is_some()));
            self.source.consume(used);
            if end.is_some() {
                self.number = self.number.saturating_add(1);
                return Ok(Some(length));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    type Read = Vec<(u64, Result<String, LineProblem>)>;

    fn lines(file: &[u8], buffer: usize) -> Read {
        let mut reader = LineReader::new(BufReader::with_capacity(buffer, file));
        let mut read = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            read.push((line.number(), line.text().map(str::to_owned)));
        }
        assert_eq!(reader.next_line().unwrap(), None);
        read
    }

    fn texts(list: &[(u64, &str)]) -> Read {
        list.iter().map(|&(number, text)| (number, Ok(text.to_owned()))).collect()
    }

    #[test]
    fn line_ends_and_blank_lines() {
        for buffer in [1, 2, 3, 7, 4096] {
            assert_eq!(lines(b"", buffer), []);
            assert_eq!(lines(b"\n \r\n\t", buffer), []);
            assert_eq!(lines(b"a\r\n\n  \nb\n c", buffer), texts(&[(1, "a"), (4, "b"), (5, " c")]));
            assert_eq!(lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", buffer), texts(&[(1, "a"), (2, "\u{feff}b")]));
            assert_eq!(lines(b"\xef\xbb\xbf\na\n", buffer), texts(&[(2, "a")]));
            let bad = lines(b"a\n\xff\nb", buffer);
            assert_eq!(bad[1], (2, Err(LineProblem::NotUtf8)));
            assert_eq!((bad.len(), &bad[2]), (3, &texts(&[(3, "b")])[0]));
        }
    }

    #[test]
    fn long_lines_are_passed_over_in_bounded_memory() {
        let most = "x".repeat(MAX_LINE_BYTES);
        for (start, end) in [("", "\n"), ("", "\r\n"), ("\u{feff}", "\r\n"), ("", "")] {
            let file = format!("{start}{most}{end}");
            assert_eq!(lines(file.as_bytes(), 4096), texts(&[(1, &*most)]), "{end:?}");
            let file = format!("{start}{most}x{end}");
            assert_eq!(lines(file.as_bytes(), 4096), [(1, Err(LineProblem::TooLong))], "{end:?}");
        }
        let file = format!("a\n{}\nb", "y".repeat(5 * MAX_LINE_BYTES));
        let mut reader = LineReader::new(BufReader::new(file.as_bytes()));
        let mut seen = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            seen.push((line.number(), line.text().is_ok(), line.bytes().len()));
        }
        assert_eq!(seen, [(1, true, 1), (2, false, MAX_LINE_BYTES), (3, true, 1)]);
        assert!(reader.kept.capacity() <= 2 * KEPT_BYTES);
    }

    #[test]
    fn a_source_that_fails_is_an_error() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let mut reader = LineReader::new(BufReader::new(Broken));
        assert_eq!(reader.next_line().unwrap_err().to_string(), "gone");
    }
}
