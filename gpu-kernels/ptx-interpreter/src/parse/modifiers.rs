//! The dotted suffixes of an opcode, read from left to right; one that nobody takes is an error.

use super::error::ParseErrorKind;
use crate::program::{Integer, Width};

/// Widths that most types come in.
pub(crate) const WORDS: &[Width] = &[Width::B16, Width::B32, Width::B64];
/// Widths of memory accesses and conversions.
pub(crate) const ALL_WIDTHS: &[Width] = &[Width::B8, Width::B16, Width::B32, Width::B64];
/// Widths of fields, carries and atomics.
pub(crate) const WIDE_WORDS: &[Width] = &[Width::B32, Width::B64];
/// Widths whose doubles exist.
pub(crate) const NARROW_WORDS: &[Width] = &[Width::B16, Width::B32];

/// The suffixes of one instruction.
pub(crate) struct Modifiers<'a> {
    pub(crate) opcode: &'a str,
    list: Vec<&'a str>,
    next: usize,
}

impl<'a> Modifiers<'a> {
    pub(crate) fn new(opcode: &'a str, list: Vec<&'a str>) -> Self {
        Self { opcode, list, next: 0 }
    }

    /// The opcode with all its suffixes, as it is spelled.
    pub(crate) fn spelled(&self) -> String {
        let mut spelled = self.opcode.to_owned();
        for modifier in &self.list {
            spelled.push('.');
            spelled.push_str(modifier);
        }
        spelled
    }

    fn peek(&self) -> Option<&'a str> {
        self.list.get(self.next).copied()
    }

    /// Takes the next suffix if it is this one.
    pub(crate) fn has(&mut self, name: &str) -> bool {
        let found = self.peek() == Some(name);
        self.next += usize::from(found);
        found
    }

    /// Takes the next suffix if the table has it.
    pub(crate) fn take<T: Copy>(&mut self, table: &[(&str, T)]) -> Option<T> {
        let next = self.peek()?;
        let (_, value) = table.iter().find(|(name, _)| *name == next)?;
        self.next += 1;
        Some(*value)
    }

    /// Takes the next suffix, which must be in the table.
    pub(crate) fn need<T: Copy>(&mut self, table: &[(&str, T)], expected: &'static str) -> Result<T, ParseErrorKind> {
        self.take(table).ok_or_else(|| self.refusal(expected))
    }

    /// Takes an integer type: its sign must be one of `b`, `u`, `s` that `signs` has, its width one of `widths`.
    pub(crate) fn integer(&mut self, signs: &str, widths: &[Width]) -> Result<Integer, ParseErrorKind> {
        let kind = self.peek().and_then(|name| integer(name, signs)).filter(|kind| widths.contains(&kind.width));
        let kind = kind.ok_or_else(|| self.refusal("a type"))?;
        self.next += 1;
        Ok(kind)
    }

    /// All suffixes must be taken by now.
    pub(crate) fn end(&self) -> Result<(), ParseErrorKind> {
        if self.next == self.list.len() { Ok(()) } else { Err(self.refusal("nothing more")) }
    }

    fn refusal(&self, expected: &'static str) -> ParseErrorKind {
        let opcode = self.opcode.to_owned();
        match self.peek() {
            Some(modifier) => ParseErrorKind::UnknownModifier { opcode, modifier: modifier.to_owned() },
            None => ParseErrorKind::MissingModifier { opcode, expected },
        }
    }
}

/// The integer type of a name such as `u32`.
pub(crate) fn integer(name: &str, signs: &str) -> Option<Integer> {
    let sign = name.chars().next().filter(|sign| signs.contains(*sign))?;
    let width = match &name[1..] {
        "8" => Width::B8,
        "16" => Width::B16,
        "32" => Width::B32,
        "64" => Width::B64,
        _ => return None,
    };
    Some(Integer { width, signed: sign == 's' })
}
