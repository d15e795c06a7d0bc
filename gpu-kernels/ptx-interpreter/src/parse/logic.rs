//! Bitwise operations, shifts, fields, comparisons, selection.

use super::cursor::Parsed;
use super::modifiers::{Modifiers, WIDE_WORDS, WORDS};
use super::parser::Parser;
use crate::program::{Binary, Comparison, Integer, Logic, Operation, SetPredicate, Unary, Width};

impl<'a> Parser<'a> {
    /// `and`, `or`, `xor`, of bits or of predicates.
    pub(super) fn bitwise(&mut self, mut modifiers: Modifiers<'a>, bits: Binary, logic: Logic) -> Parsed<Operation> {
        if !modifiers.has("pred") {
            return self.plain(modifiers, bits, "b");
        }
        self.no_more(&modifiers)?;
        let into = self.destination(None)?;
        self.comma()?;
        let left = self.predicate()?;
        self.comma()?;
        let right = self.predicate()?;
        Ok(Operation::Logic { logic, into, left, right })
    }

    pub(super) fn not(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        if !modifiers.has("pred") {
            return self.unary(modifiers, Unary::Not, "b", WORDS);
        }
        self.no_more(&modifiers)?;
        let into = self.destination(None)?;
        self.comma()?;
        Ok(Operation::NotPredicate { into, from: self.predicate()? })
    }

    /// `shl`, `shr`: the amount has 32 bits whatever is shifted.
    pub(super) fn shift(&mut self, mut modifiers: Modifiers<'a>, operation: Binary, signs: &str) -> Parsed<Operation> {
        let kind = self.last_type(&mut modifiers, signs, WORDS)?;
        let into = self.destination(Some(kind.width))?;
        self.comma()?;
        let left = self.source(kind.width)?;
        self.comma()?;
        let right = self.source(Width::B32)?;
        Ok(Operation::Binary { operation, kind, into, left, right })
    }

    pub(super) fn funnel(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        let left = self.need(&mut modifiers, &[("l", true), ("r", false)], "`.l` or `.r`")?;
        let wrap = self.need(&mut modifiers, &[("wrap", true), ("clamp", false)], "`.wrap` or `.clamp`")?;
        self.last_type(&mut modifiers, "b", &[Width::B32])?;
        let into = self.destination(Some(Width::B32))?;
        self.comma()?;
        let low = self.source(Width::B32)?;
        self.comma()?;
        let high = self.source(Width::B32)?;
        self.comma()?;
        let amount = self.source(Width::B32)?;
        Ok(Operation::Funnel { left, wrap, into, low, high, amount })
    }

    pub(super) fn extract(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        let kind = self.last_type(&mut modifiers, "us", WIDE_WORDS)?;
        let into = self.destination(Some(kind.width))?;
        self.comma()?;
        let from = self.source(kind.width)?;
        self.comma()?;
        let start = self.source(Width::B32)?;
        self.comma()?;
        let length = self.source(Width::B32)?;
        Ok(Operation::Extract { kind, into, from, start, length })
    }

    pub(super) fn insert(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        let width = self.last_type(&mut modifiers, "b", WIDE_WORDS)?.width;
        let into = self.destination(Some(width))?;
        self.comma()?;
        let from = self.source(width)?;
        self.comma()?;
        let base = self.source(width)?;
        self.comma()?;
        let start = self.source(Width::B32)?;
        self.comma()?;
        let length = self.source(Width::B32)?;
        Ok(Operation::Insert { width, into, from, base, start, length })
    }

    pub(super) fn permute(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        self.last_type(&mut modifiers, "b", &[Width::B32])?;
        let into = self.destination(Some(Width::B32))?;
        self.comma()?;
        let low = self.source(Width::B32)?;
        self.comma()?;
        let high = self.source(Width::B32)?;
        self.comma()?;
        let selector = self.source(Width::B32)?;
        Ok(Operation::Permute { into, low, high, selector })
    }

    pub(super) fn select(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        let width = self.last_type(&mut modifiers, "bus", WORDS)?.width;
        let into = self.destination(Some(width))?;
        self.comma()?;
        let left = self.source(width)?;
        self.comma()?;
        let right = self.source(width)?;
        self.comma()?;
        let condition = self.predicate()?;
        Ok(Operation::Select { into, left, right, condition })
    }

    pub(super) fn set_predicate(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        let (comparison, signs) = self.need(&mut modifiers, COMPARISONS, "a comparison")?;
        let logic = modifiers.take(&[("and", Logic::And), ("or", Logic::Or), ("xor", Logic::Xor)]);
        let kind: Integer = self.last_type(&mut modifiers, signs, WORDS)?;
        let into = self.destination(None)?;
        let complement = if self.cursor.accept('|') { Some(self.destination(None)?) } else { None };
        self.comma()?;
        let left = self.source(kind.width)?;
        self.comma()?;
        let right = self.source(kind.width)?;
        let combine = match logic {
            None => None,
            Some(logic) => {
                self.comma()?;
                Some((logic, self.condition()?))
            }
        };
        let set = SetPredicate { comparison, kind, into, complement, left, right, combine };
        Ok(Operation::SetPredicate(Box::new(set)))
    }
}

/// Comparisons, and the signs of the types that they order.
const COMPARISONS: &[(&str, (Comparison, &str))] = &[
    ("eq", (Comparison::Equal, "bus")),
    ("ne", (Comparison::NotEqual, "bus")),
    ("lt", (Comparison::Less, "us")),
    ("le", (Comparison::LessOrEqual, "us")),
    ("gt", (Comparison::Greater, "us")),
    ("ge", (Comparison::GreaterOrEqual, "us")),
    ("lo", (Comparison::Less, "u")),
    ("ls", (Comparison::LessOrEqual, "u")),
    ("hi", (Comparison::Greater, "u")),
    ("hs", (Comparison::GreaterOrEqual, "u")),
];
