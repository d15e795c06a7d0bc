//! Why a fleet file as a whole cannot be used.
//!
//! A bad *row* is none of these: it is refused by itself. These are about what stands around the rows: once the file's
//! own brackets and commas are broken, no one can say which text is a row.
//!
//! ```text
//! line 7: the file ends inside the row that starts here: a bracket or a quote is not closed
//! line 1: version "2" of the fleet format is not known; this program reads version 1
//! ```
//!
//! The path is not part of the message, because a fleet can come from a pipe: the caller puts it in front.

use std::io;

/// A fleet file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetFileError {
    /// The file cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(#[source] io::Error),
    /// A folder where a file is due.
    #[error("is a folder; name a file in it")]
    IsAFolder,
    /// The file cannot be read to its end.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// There is nothing in it.
    #[error("is empty; a fleet is {{\"version\": 1, \"pools\": [ … ]}}")]
    Empty,
    /// It does not start as an object does.
    #[error("line {line}: not a fleet: a fleet is an object, {{\"version\": 1, \"pools\": [ … ]}}")]
    NotAnObject {
        /// Where it starts.
        line: u64,
    },
    /// It ends too early.
    #[error("line {line}: the file ends before its last bracket is closed")]
    CutOff {
        /// Where it ends.
        line: u64,
    },
    /// It ends inside a row: it was cut off there, or the row lacks a bracket or a quote.
    #[error("line {line}: the file ends inside the row that starts here: a bracket or a quote is not closed")]
    CutOffInRow {
        /// Where the row starts.
        line: u64,
    },
    /// Something else stands where a bracket, comma, colon or key of the file is due.
    #[error("line {line}: not JSON: expected {expected}")]
    Syntax {
        /// Where it stands.
        line: u64,
        /// What is due there.
        expected: &'static str,
    },
    /// Bytes outside the rows that are no UTF-8.
    #[error("line {line}: not UTF-8 text")]
    NotUtf8 {
        /// Where the key or value with these bytes starts.
        line: u64,
    },
    /// A value beside the pools that is no JSON.
    #[error("line {line}: the value of `{key}` is not JSON")]
    BadValue {
        /// Where it starts.
        line: u64,
        /// Its key.
        key: String,
    },
    /// A key beside the pools that is longer than a row may be.
    #[error("line {line}: a key without its closing quote")]
    EndlessKey {
        /// Where it starts.
        line: u64,
    },
    /// A key that stands twice.
    #[error("line {line}: `{key}` stands more than once")]
    Repeated {
        /// Where it stands again.
        line: u64,
        /// The key.
        key: String,
    },
    /// A format that this program does not know.
    #[error("line {line}: version {found} of the fleet format is not known; this program reads version 1")]
    Version {
        /// Where the version stands.
        line: u64,
        /// What stands there.
        found: String,
    },
    /// `pools` is no list.
    #[error("line {line}: `pools` must be a list of objects")]
    PoolsNotAList {
        /// Where its value stands.
        line: u64,
    },
    /// There is no `pools`.
    #[error("has no `pools`; a fleet is {{\"version\": 1, \"pools\": [ … ]}}")]
    NoPools,
    /// Something stands behind the document.
    #[error("line {line}: text after the end of the fleet")]
    Trailing {
        /// Where it stands.
        line: u64,
    },
}
