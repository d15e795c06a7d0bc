//! Text to tokens. Every character belongs to a token, a comment or white space, or the text is refused.

use super::error::{Found, ParseErrorKind};

/// What a token is; words keep their sigil (`%r1`, `$L__BB0_1`), suffixes lose their dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Word(&'a str),
    /// A name after a dot: a directive, a type, a modifier.
    Dotted(&'a str),
    Number(u64),
    Quoted(&'a str),
    Sign(char),
}

impl Kind<'_> {
    /// The token as an error shows it.
    pub(crate) fn found(self) -> Found {
        Found(match self {
            Self::Word(word) => word.to_owned(),
            Self::Dotted(word) => format!(".{word}"),
            Self::Number(number) => number.to_string(),
            Self::Quoted(text) => format!("\"{text}\""),
            Self::Sign(sign) => sign.to_string(),
        })
    }
}

/// A token and the line it starts on, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) line: u32,
}

/// All tokens of a text, or the line and reason of the first that is none.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, (u32, ParseErrorKind)> {
    let mut lexer = Lexer { rest: text, line: 1 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next().map_err(|kind| (lexer.line, kind))? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<Option<Token<'a>>, ParseErrorKind> {
        self.skip_blanks()?;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let line = self.line;
        let kind = match first {
            '.' => self.dotted()?,
            '"' => self.quoted()?,
            '0'..='9' => self.number()?,
            _ if starts_word(first) => Kind::Word(self.take_while(|c| starts_word(c) || c.is_ascii_digit())),
            '{' | '}' | '(' | ')' | '[' | ']' | '<' | '>' | ',' | ';' | ':' | '=' | '+' | '-' | '@' | '!' | '|' => {
                self.rest = &self.rest[1..];
                Kind::Sign(first)
            }
            other => return Err(ParseErrorKind::UnknownCharacter(other)),
        };
        Ok(Some(Token { kind, line }))
    }

    fn skip_blanks(&mut self) -> Result<(), ParseErrorKind> {
        loop {
            let start = self.rest.len();
            self.take_while(|c| c.is_ascii_whitespace());
            if self.rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if self.rest.starts_with("/*") {
                let end = self.rest.find("*/").ok_or(ParseErrorKind::Unterminated)?;
                self.advance(end + 2);
            } else if self.rest.len() == start {
                return Ok(());
            }
        }
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.bytes().filter(|byte| *byte == b'\n').count() as u32;
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.advance(end)
    }

    fn dotted(&mut self) -> Result<Kind<'a>, ParseErrorKind> {
        self.rest = &self.rest[1..];
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() { Err(ParseErrorKind::UnknownCharacter('.')) } else { Ok(Kind::Dotted(name)) }
    }

    fn quoted(&mut self) -> Result<Kind<'a>, ParseErrorKind> {
        let body = &self.rest[1..];
        let end = body.find(['"', '\n']).filter(|end| body.as_bytes()[*end] == b'"');
        let end = end.ok_or(ParseErrorKind::Unterminated)?;
        self.rest = &body[end + 1..];
        Ok(Kind::Quoted(&body[..end]))
    }

    /// Integers as C writes them, with an optional `U`. Floating-point literals are no numbers here.
    fn number(&mut self) -> Result<Kind<'a>, ParseErrorKind> {
        let spelled = self.take_while(|c| c.is_ascii_alphanumeric());
        let digits = spelled.strip_suffix('U').unwrap_or(spelled);
        let (digits, radix) = match digits.as_bytes() {
            [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
            [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
            [b'0', _, ..] => (&digits[1..], 8),
            _ => (digits, 10),
        };
        let number = u64::from_str_radix(digits, radix);
        number.map(Kind::Number).map_err(|_| ParseErrorKind::NotANumber(spelled.to_owned()))
    }
}

fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | '$' | '%')
}
