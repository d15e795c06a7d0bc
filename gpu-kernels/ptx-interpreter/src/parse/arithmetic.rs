//! Addition to remainder, multiplication in all its widths, carries, counts.

use super::cursor::Parsed;
use super::modifiers::{Modifiers, NARROW_WORDS, WIDE_WORDS, WORDS};
use super::parser::Parser;
use crate::program::{Binary, Carry, Integer, Operation, Unary, Width};

impl<'a> Parser<'a> {
    /// `into, left, right`, all of the type's width.
    pub(super) fn binary(&mut self, operation: Binary, kind: Integer) -> Parsed<Operation> {
        let into = self.destination(Some(kind.width))?;
        self.comma()?;
        let left = self.source(kind.width)?;
        self.comma()?;
        let right = self.source(kind.width)?;
        Ok(Operation::Binary { operation, kind, into, left, right })
    }

    /// `add`, `sub`, and with `takes` the forms `addc`, `subc`.
    pub(super) fn sum(&mut self, mut modifiers: Modifiers<'a>, subtract: bool, takes: bool) -> Parsed<Operation> {
        let gives = modifiers.has("cc");
        if takes || gives {
            let kind = self.last_type(&mut modifiers, "us", WIDE_WORDS)?;
            let carry = Carry { subtract, takes, gives };
            let into = self.destination(Some(kind.width))?;
            self.comma()?;
            let left = self.source(kind.width)?;
            self.comma()?;
            let right = self.source(kind.width)?;
            return Ok(Operation::Carry { carry, width: kind.width, into, left, right });
        }
        if modifiers.has("sat") {
            let kind = self.last_type(&mut modifiers, "s", &[Width::B32])?;
            return self.binary(if subtract { Binary::SubSaturating } else { Binary::AddSaturating }, kind);
        }
        let kind = self.last_type(&mut modifiers, "us", WORDS)?;
        self.binary(if subtract { Binary::Sub } else { Binary::Add }, kind)
    }

    /// `mul.lo`, `mul.hi`, `mul.wide`.
    pub(super) fn product(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        if !modifiers.has("wide") {
            let operation = self.half(&mut modifiers)?;
            let kind = self.last_type(&mut modifiers, "us", WORDS)?;
            return self.binary(operation, kind);
        }
        let kind = self.last_type(&mut modifiers, "us", NARROW_WORDS)?;
        let into = self.destination(kind.width.doubled())?;
        self.comma()?;
        let left = self.source(kind.width)?;
        self.comma()?;
        let right = self.source(kind.width)?;
        Ok(Operation::MulWide { kind, into, left, right })
    }

    fn half(&mut self, modifiers: &mut Modifiers<'a>) -> Parsed<Binary> {
        let halves = [("lo", Binary::MulLow), ("hi", Binary::MulHigh)];
        let half = modifiers.need(&halves, "`.lo`, `.hi` or `.wide`");
        half.map_err(|kind| self.cursor.error_at(self.line, kind))
    }

    /// `mad.lo`, `mad.hi`, `mad.wide`, and with `takes` the forms `madc`.
    pub(super) fn product_sum(&mut self, mut modifiers: Modifiers<'a>, takes: bool) -> Parsed<Operation> {
        if !takes && modifiers.has("wide") {
            let kind = self.last_type(&mut modifiers, "us", NARROW_WORDS)?;
            let wide = kind.width.doubled().unwrap_or(kind.width);
            let into = self.destination(Some(wide))?;
            self.comma()?;
            let left = self.source(kind.width)?;
            self.comma()?;
            let right = self.source(kind.width)?;
            self.comma()?;
            let addend = self.source(wide)?;
            return Ok(Operation::MulAddWide { kind, into, left, right, addend });
        }
        let operation = self.half(&mut modifiers)?;
        let gives = modifiers.has("cc");
        let carries = takes || gives;
        let kind = self.last_type(&mut modifiers, "us", if carries { WIDE_WORDS } else { WORDS })?;
        let into = self.destination(Some(kind.width))?;
        self.comma()?;
        let left = self.source(kind.width)?;
        self.comma()?;
        let right = self.source(kind.width)?;
        self.comma()?;
        let addend = self.source(kind.width)?;
        if carries {
            let carry = Carry { subtract: false, takes, gives };
            return Ok(Operation::MulAddCarry { operation, carry, kind, into, operands: [left, right, addend] });
        }
        Ok(Operation::MulAdd { operation, kind, into, left, right, addend })
    }

    /// `into, left, right` of a type of these signs, in the usual widths.
    pub(super) fn plain(&mut self, mut modifiers: Modifiers<'a>, operation: Binary, signs: &str) -> Parsed<Operation> {
        let kind = self.last_type(&mut modifiers, signs, WORDS)?;
        self.binary(operation, kind)
    }

    /// `into, from`; counts give 32 bits whatever they count in.
    pub(super) fn unary(
        &mut self,
        mut modifiers: Modifiers<'a>,
        operation: Unary,
        signs: &str,
        widths: &[Width],
    ) -> Parsed<Operation> {
        let kind = self.last_type(&mut modifiers, signs, widths)?;
        let counts = matches!(operation, Unary::CountOnes | Unary::CountLeadingZeros);
        let into = self.destination(Some(if counts { Width::B32 } else { kind.width }))?;
        self.comma()?;
        let from = self.source(kind.width)?;
        Ok(Operation::Unary { operation, kind, into, from })
    }
}
