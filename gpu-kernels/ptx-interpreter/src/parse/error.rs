//! Why a text is not PTX of the subset.

use std::fmt;

use thiserror::Error;

/// A text that is not PTX of the subset: where, the line itself, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("PTX line {line}: {kind}, in `{text}`")]
pub struct ParseError {
    /// The line, counted from one.
    pub line: u32,
    /// The text of that line, without the blanks around it.
    pub text: String,
    /// What is wrong with it.
    pub kind: ParseErrorKind,
}

/// A token that stands where another was expected, as it is spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found(pub String);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseErrorKind {
    /// A character that starts no token.
    #[error("{0:?} starts no token")]
    UnknownCharacter(char),
    /// A comment or a string without an end.
    #[error("a comment or a string has no end")]
    Unterminated,
    /// A literal that is no integer of 64 bits.
    #[error("`{0}` is no integer of 64 bits")]
    NotANumber(String),
    /// The text ends inside a statement.
    #[error("the text ends here, expected {expected}")]
    EndOfText {
        /// What should follow.
        expected: &'static str,
    },
    /// A token in a place where another belongs.
    #[error("found {found}, expected {expected}")]
    Unexpected {
        /// What stands there.
        found: Found,
        /// What should.
        expected: &'static str,
    },
    /// A directive that the subset does not have.
    #[error("directive `.{0}` is not in the subset")]
    UnknownDirective(String),
    /// An opcode that the subset does not have.
    #[error("opcode `{0}` is not in the subset")]
    UnknownOpcode(String),
    /// A modifier or a type that this opcode does not have in the subset.
    #[error("`.{modifier}` is not in the subset of `{opcode}`")]
    UnknownModifier {
        /// The opcode.
        opcode: String,
        /// Its modifier or type.
        modifier: String,
    },
    /// An opcode that lacks a modifier or a type.
    #[error("`{opcode}` lacks {expected}")]
    MissingModifier {
        /// The opcode.
        opcode: String,
        /// What it lacks.
        expected: &'static str,
    },
    /// A name that nothing declares, or nothing of the kind that is needed here.
    #[error("`{0}` is not declared")]
    UnknownName(String),
    /// A name that is declared twice.
    #[error("`{0}` is declared twice")]
    DeclaredTwice(String),
    /// A register whose width does not fit the type.
    #[error("`{name}` has {bits} bits, the type asks for {expected}")]
    RegisterWidth {
        /// The register.
        name: String,
        /// Its bits; 1 for a predicate.
        bits: u32,
        /// The bits that it should have.
        expected: u32,
    },
    /// An immediate that the type cannot hold.
    #[error("immediate {0} does not fit the type")]
    ImmediateRange(i128),
    /// A call whose arguments are not those of the function.
    #[error("the call of `{0}` does not fit its parameters")]
    CallSignature(String),
    /// More of something than a device, or this interpreter, has.
    #[error("{what}: {asked} is over the limit of {limit}")]
    OverLimit {
        /// Of what.
        what: &'static str,
        /// How much the text asks for.
        asked: u64,
        /// How much there is.
        limit: u64,
    },
    /// A head (`.version`, `.target`, `.address_size`) that the interpreter does not know.
    #[error("{what} {found} is not supported")]
    Unsupported {
        /// Which part of the head.
        what: &'static str,
        /// What the text says.
        found: Found,
    },
    /// Code that runs past the end of its function.
    #[error("the code of `{0}` has no end: its last instruction leads on")]
    OpenEnd(String),
}
