//! The position in the tokens, and the small steps that all parsing is made of.

use super::error::{ParseError, ParseErrorKind};
use super::lexer::{Kind, Token, tokens};

/// A step of parsing.
pub(crate) type Parsed<T> = Result<T, ParseError>;

/// The tokens of a text and how far they are read.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Parsed<Self> {
        match tokens(text) {
            Ok(tokens) => Ok(Self { text, tokens, next: 0 }),
            Err((line, kind)) => Err(error_in(text, line, kind)),
        }
    }

    /// The line of the next token, or of the last where none is left.
    pub(crate) fn line(&self) -> u32 {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    /// An error about the token that comes next.
    pub(crate) fn error(&self, kind: ParseErrorKind) -> ParseError {
        error_in(self.text, self.line(), kind)
    }

    /// An error about an earlier line.
    pub(crate) fn error_at(&self, line: u32, kind: ParseErrorKind) -> ParseError {
        error_in(self.text, line, kind)
    }

    pub(crate) fn unexpected(&self, expected: &'static str) -> ParseError {
        self.error(match self.peek() {
            Some(kind) => ParseErrorKind::Unexpected { found: kind.found(), expected },
            None => ParseErrorKind::EndOfText { expected },
        })
    }

    pub(crate) fn peek(&self) -> Option<Kind<'a>> {
        self.tokens.get(self.next).map(|token| token.kind)
    }

    pub(crate) fn peek_second(&self) -> Option<Kind<'a>> {
        self.tokens.get(self.next + 1).map(|token| token.kind)
    }

    /// How many items the braced list that starts here has.
    pub(crate) fn items_ahead(&self) -> usize {
        let inside = self.tokens[self.next.min(self.tokens.len())..].iter().map(|token| token.kind);
        let commas = inside.take_while(|kind| *kind != Kind::Sign('}')).filter(|kind| *kind == Kind::Sign(','));
        1 + commas.count()
    }

    pub(crate) fn skip(&mut self) {
        self.next += 1;
    }

    /// Skips to the end of the line that `line` names: directives about the source have no other end.
    pub(crate) fn skip_line(&mut self, line: u32) {
        while self.tokens.get(self.next).is_some_and(|token| token.line == line) {
            self.next += 1;
        }
    }

    pub(crate) fn accept(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(Kind::Sign(sign));
        self.next += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, sign: char, expected: &'static str) -> Parsed<()> {
        if self.accept(sign) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    pub(crate) fn accept_dotted(&mut self, name: &str) -> bool {
        let found = self.peek() == Some(Kind::Dotted(name));
        self.next += usize::from(found);
        found
    }

    pub(crate) fn word(&mut self, expected: &'static str) -> Parsed<&'a str> {
        let Some(Kind::Word(word)) = self.peek() else { return Err(self.unexpected(expected)) };
        self.skip();
        Ok(word)
    }

    pub(crate) fn dotted(&mut self, expected: &'static str) -> Parsed<&'a str> {
        let Some(Kind::Dotted(name)) = self.peek() else { return Err(self.unexpected(expected)) };
        self.skip();
        Ok(name)
    }

    pub(crate) fn number(&mut self, expected: &'static str) -> Parsed<u64> {
        let Some(Kind::Number(number)) = self.peek() else { return Err(self.unexpected(expected)) };
        self.skip();
        Ok(number)
    }

    /// A number with an optional minus, if one comes next.
    pub(crate) fn signed_number(&mut self) -> Parsed<Option<i128>> {
        match (self.peek(), self.peek_second()) {
            (Some(Kind::Number(number)), _) => {
                self.skip();
                Ok(Some(i128::from(number)))
            }
            (Some(Kind::Sign('-')), Some(Kind::Number(number))) => {
                self.next += 2;
                Ok(Some(-i128::from(number)))
            }
            (Some(Kind::Sign('-')), _) => {
                self.skip();
                Err(self.unexpected("a number"))
            }
            _ => Ok(None),
        }
    }

    /// A number no larger than `limit`, which bounds `what`.
    pub(crate) fn bounded(&mut self, what: &'static str, limit: u64) -> Parsed<usize> {
        let asked = self.number(what)?;
        if asked <= limit {
            return Ok(asked as usize);
        }
        self.next -= 1;
        Err(self.error(ParseErrorKind::OverLimit { what, asked, limit }))
    }
}

fn error_in(text: &str, line: u32, kind: ParseErrorKind) -> ParseError {
    let shown = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
    ParseError { line, text: shown.trim().to_owned(), kind }
}
