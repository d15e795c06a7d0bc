//! Why a row was refused, and in which of its fields.
//!
//! The core names fields by `&'static str`; a syntax error or a repeated key can be at a key that only the file knows,
//! so the host's error has a path of its own:
//!
//! ```text
//! slots_total: not JSON: expected value at column 1 of the value
//! supports.ctx_max: wrong type: expected a whole number
//! labels.rack: stands more than once
//! row: longer than 1048576 bytes
//! ```
//!
//! Invariant: a path is short and printable whatever the key in the file was (see [`path_text`]): it goes to terminals
//! and into the decision digest (HASH-4).

use std::borrow::Cow;
use std::fmt;

use orchestrator_core::{FieldError, Problem};

use super::lines::{LineProblem, MAX_LINE_BYTES};

/// The field of an error that is about the row as a whole.
pub const ROW: &str = "row";

/// Keys longer than this many characters are cut in messages.
const KEY_CHARS_MAX: usize = 80;

/// A refused row: the field that broke it, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct RowError {
    /// The field's dotted path, such as `supports.ctx_max`; [`ROW`] for the row as a whole.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a refused field or row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// A problem in the core's words.
    Problem(Problem),
    /// The text is not JSON.
    NotJson {
        /// What a parser found.
        reason: Cow<'static, str>,
    },
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The row has more bytes than a row may have.
    RowTooLong {
        /// The most bytes that are accepted.
        max_bytes: usize,
    },
    /// A policy that cannot be used.
    Policy {
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => problem.fmt(f),
            Self::NotJson { reason } => write!(f, "not JSON: {reason}"),
            Self::NotUtf8 => f.write_str("not UTF-8 text"),
            Self::RowTooLong { max_bytes } => write!(f, "longer than {max_bytes} bytes"),
            Self::Policy { reason } => f.write_str(reason),
        }
    }
}

impl From<Problem> for Why {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<LineProblem> for Why {
    fn from(problem: LineProblem) -> Self {
        match problem {
            LineProblem::TooLong => Self::RowTooLong { max_bytes: MAX_LINE_BYTES },
            LineProblem::NotUtf8 => Self::NotUtf8,
        }
    }
}

impl From<FieldError> for RowError {
    fn from(error: FieldError) -> Self {
        Self::new(error.field, error.problem)
    }
}

impl RowError {
    /// An error about `field`.
    #[must_use]
    pub fn new(field: impl Into<Cow<'static, str>>, why: impl Into<Why>) -> Self {
        Self { field: field.into(), why: why.into() }
    }

    /// An error about the row as a whole.
    #[must_use]
    pub fn row(why: impl Into<Why>) -> Self {
        Self::new(ROW, why)
    }

    /// The same error of a row that stands in the field `parent` of another.
    pub(super) fn within(self, parent: &'static str) -> Self {
        let field = if self.field == ROW { parent.into() } else { format!("{parent}.{}", self.field).into() };
        Self { field, why: self.why }
    }

    /// The core's problem, where it is one.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        match self.why {
            Why::Problem(problem) => Some(problem),
            Why::NotJson { .. } | Why::NotUtf8 | Why::RowTooLong { .. } | Why::Policy { .. } => None,
        }
    }
}

/// The dotted path of `key` in the object at `parent` (empty for the row itself), fit for a message.
pub(super) fn path_text(parent: &str, key: &str) -> String {
    let shown: String = key.chars().take(KEY_CHARS_MAX).flat_map(char::escape_debug).collect();
    let cut = if key.chars().nth(KEY_CHARS_MAX).is_some() { "…" } else { "" };
    if parent.is_empty() { shown + cut } else { format!("{parent}.{shown}{cut}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let error = RowError::from(FieldError::new("supports.ctx_max", Problem::Negative));
        assert_eq!(error.to_string(), "supports.ctx_max: must not be negative");
        assert_eq!(error.problem(), Some(Problem::Negative));
        assert_eq!(RowError::row(Why::NotUtf8).to_string(), "row: not UTF-8 text");
    }

    #[test]
    fn paths_are_printable_and_short() {
        assert_eq!(path_text("", "gpu_name"), "gpu_name");
        assert_eq!(path_text("supports", "x"), "supports.x");
        assert_eq!(path_text("", "\u{1b}[31m"), "\\u{1b}[31m");
        let long = path_text("labels", &"é".repeat(1_000_000));
        assert_eq!(long.chars().count(), "labels.".len() + KEY_CHARS_MAX + 1);
    }
}
