//! Copies, conversions, and everything that goes to memory.

use super::cursor::Parsed;
use super::error::ParseErrorKind;
use super::lexer::Kind;
use super::modifiers::{ALL_WIDTHS, Modifiers, WIDE_WORDS, WORDS};
use super::names::Symbol;
use super::operand::displaced;
use super::parser::Parser;
use crate::program::{Atomic, AtomicAccess, Integer, Load, Operand, Operation, Space, Store, Strength, Width};
use crate::value::convert;

const SPACES: &[(&str, Space)] =
    &[("global", Space::Global), ("shared", Space::Shared), ("local", Space::Local), ("param", Space::Param)];
const SCOPES: &[(&str, ())] = &[("cta", ()), ("gpu", ()), ("sys", ())];
const LOAD_CACHES: &[(&str, ())] = &[("ca", ()), ("cg", ()), ("cs", ()), ("lu", ()), ("cv", ())];
const STORE_CACHES: &[(&str, ())] = &[("wb", ()), ("cg", ()), ("cs", ()), ("wt", ())];
const VECTORS: &[(&str, usize)] = &[("v2", 2), ("v4", 4)];
/// A vector access moves at most this many bytes.
const VECTOR_BYTES: usize = 16;

impl<'a> Parser<'a> {
    pub(super) fn mov(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        if modifiers.has("pred") {
            self.no_more(&modifiers)?;
            let into = self.destination(None)?;
            self.comma()?;
            return Ok(Operation::Move { into, from: self.predicate()? });
        }
        let width = self.last_type(&mut modifiers, "bus", WORDS)?.width;
        if self.cursor.peek() == Some(Kind::Sign('{')) {
            return self.unpack(width);
        }
        let into = self.destination(Some(width))?;
        self.comma()?;
        if self.cursor.peek() == Some(Kind::Sign('{')) {
            let part = self.part_of(width)?;
            let from = self.list(|parser| parser.source(part))?.into();
            return Ok(Operation::Pack { into, part, from });
        }
        Ok(Operation::Move { into, from: self.movable(width)? })
    }

    fn unpack(&mut self, width: Width) -> Parsed<Operation> {
        let part = self.part_of(width)?;
        let into = self.list(|parser| parser.sink_or(|parser| parser.destination(Some(part))))?.into();
        self.comma()?;
        let from = self.source(width)?;
        Ok(Operation::Unpack { into, part, from })
    }

    /// The width of each part of a braced list that packs to `width`: the list's length decides.
    fn part_of(&self, width: Width) -> Parsed<Width> {
        let parts = self.cursor.items_ahead();
        let part = match (width, parts) {
            (Width::B64, 2) => Some(Width::B32),
            (Width::B64, 4) | (Width::B32, 2) => Some(Width::B16),
            _ => None,
        };
        part.ok_or_else(|| self.cursor.unexpected("two or four parts that fill the type"))
    }

    pub(super) fn convert(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        let saturate = modifiers.has("sat");
        let to = modifiers.integer("us", ALL_WIDTHS).map_err(|kind| self.cursor.error_at(self.line, kind))?;
        let from = self.last_type(&mut modifiers, "us", ALL_WIDTHS)?;
        if saturate && convert::always_fits(from, to) {
            let kind = ParseErrorKind::UnknownModifier { opcode: "cvt".to_owned(), modifier: "sat".to_owned() };
            return Err(self.cursor.error_at(self.line, kind));
        }
        let (into, register) = self.wide_destination(to.width)?;
        self.comma()?;
        let value = self.wide_source(from.width)?;
        Ok(Operation::Convert { from, to, saturate, register, into, value })
    }

    /// `cvta` and `cvta.to`.
    pub(super) fn convert_address(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        let to_space = modifiers.has("to");
        let spaces =
            [("global", Space::Global), ("shared", Space::Shared), ("local", Space::Local), ("const", Space::Const)];
        let space = self.need(&mut modifiers, &spaces, "a state space")?;
        self.last_type(&mut modifiers, "u", &[Width::B64])?;
        let into = self.destination(Some(Width::B64))?;
        self.comma()?;
        let from = self.space_address(space, to_space)?;
        Ok(if to_space {
            Operation::FromGeneric { space, into, from }
        } else {
            Operation::ToGeneric { space, into, from }
        })
    }

    /// A register, or the address of a variable that lies in this space.
    fn space_address(&mut self, space: Space, to_space: bool) -> Parsed<Operand> {
        if let Some(Kind::Word(name)) = self.cursor.peek()
            && let Some(Symbol::Variable { space: lies, address }) = self.names.symbol(name)
            && lies == space
            && !to_space
        {
            self.cursor.skip();
            let offset = self.offset()?;
            return Ok(displaced(address, offset));
        }
        self.source(Width::B64)
    }

    /// The modifiers that say how an access is ordered: `.weak`, `.volatile`, or a strong one with its scope.
    fn strength(&mut self, modifiers: &mut Modifiers<'a>, strong: &[(&str, ())]) -> Parsed<Strength> {
        if modifiers.take(&[("weak", ()), ("volatile", ())]).is_some() {
            return Ok(Strength::Weak);
        }
        if modifiers.take(strong).is_none() {
            return Ok(Strength::Weak);
        }
        self.need(modifiers, SCOPES, "a scope")?;
        Ok(Strength::Strong)
    }

    /// `.v2` or `.v4` and the type.
    fn elements(&mut self, modifiers: &mut Modifiers<'a>) -> Parsed<(usize, Integer)> {
        let count = modifiers.take(VECTORS).unwrap_or(1);
        let widths: &[Width] = if count * Width::B64.bytes() > VECTOR_BYTES { &ALL_WIDTHS[..3] } else { ALL_WIDTHS };
        Ok((count, self.last_type(modifiers, "bus", widths)?))
    }

    pub(super) fn load(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        let strength = self.strength(&mut modifiers, &[("relaxed", ()), ("acquire", ())])?;
        let space = if modifiers.has("const") { Some(Space::Const) } else { modifiers.take(SPACES) };
        let space = space.unwrap_or(Space::Generic);
        modifiers.take(LOAD_CACHES);
        let non_coherent = space == Space::Global && strength == Strength::Weak && modifiers.has("nc");
        let (count, kind) = self.elements(&mut modifiers)?;
        let element = |parser: &mut Self| parser.wide_destination(kind.width);
        let into = if count == 1 {
            vec![Some(element(self)?)]
        } else {
            self.list_of(count, |parser| parser.sink_or(element))?
        };
        self.comma()?;
        let address = self.address(space, false)?;
        Ok(Operation::Load(Box::new(Load { space, strength, non_coherent, kind, into: into.into(), address })))
    }

    pub(super) fn store(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        let strength = self.strength(&mut modifiers, &[("relaxed", ()), ("release", ())])?;
        let space = modifiers.take(SPACES).unwrap_or(Space::Generic);
        modifiers.take(STORE_CACHES);
        let (count, kind) = self.elements(&mut modifiers)?;
        let width = kind.width;
        let address = self.address(space, true)?;
        self.comma()?;
        let element = |parser: &mut Self| parser.wide_source(width);
        let from = if count == 1 { vec![element(self)?] } else { self.list_of(count, element)? };
        Ok(Operation::Store(Box::new(Store { space, strength, width, from: from.into(), address })))
    }

    /// A braced list of exactly this many items.
    fn list_of<T>(&mut self, count: usize, item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        if self.cursor.items_ahead() != count {
            return Err(self.cursor.unexpected("as many elements as the vector has"));
        }
        self.list(item)
    }

    /// `atom` with a destination, `red` without.
    pub(super) fn atomic(&mut self, mut modifiers: Modifiers<'a>, returns: bool) -> Parsed<Operation> {
        let orders = [("relaxed", ()), ("acquire", ()), ("release", ()), ("acq_rel", ())];
        modifiers.take(&orders);
        modifiers.take(SCOPES);
        let spaces = [("global", Space::Global), ("shared", Space::Shared)];
        let space = modifiers.take(&spaces).unwrap_or(Space::Generic);
        let (operation, signs) = self.need(&mut modifiers, ATOMICS, "an operation")?;
        let only_32 = matches!(operation, Atomic::Increment | Atomic::Decrement);
        let kind = self.last_type(&mut modifiers, signs, if only_32 { &[Width::B32] } else { WIDE_WORDS })?;
        let swaps = operation == Atomic::CompareAndSwap;
        if !returns && (swaps || operation == Atomic::Exchange) {
            return Err(self.cursor.error_at(
                self.line,
                ParseErrorKind::UnknownModifier {
                    opcode: modifiers.opcode.to_owned(),
                    modifier: if swaps { "cas" } else { "exch" }.to_owned(),
                },
            ));
        }
        let into = if returns { self.atomic_result(kind.width)? } else { None };
        let address = self.address(space, true)?;
        self.comma()?;
        let operand = self.source(kind.width)?;
        let swap = if swaps {
            self.comma()?;
            Some(self.source(kind.width)?)
        } else {
            None
        };
        Ok(Operation::Atomic(Box::new(AtomicAccess { operation, space, kind, into, address, operand, swap })))
    }

    fn atomic_result(&mut self, width: Width) -> Parsed<Option<crate::program::Register>> {
        let into = self.sink_or(|parser| parser.destination(Some(width)))?;
        self.comma()?;
        Ok(into)
    }
}

/// Atomic operations, and the signs of their types.
const ATOMICS: &[(&str, (Atomic, &str))] = &[
    ("add", (Atomic::Add, "us")),
    ("min", (Atomic::Min, "us")),
    ("max", (Atomic::Max, "us")),
    ("and", (Atomic::And, "b")),
    ("or", (Atomic::Or, "b")),
    ("xor", (Atomic::Xor, "b")),
    ("exch", (Atomic::Exchange, "b")),
    ("cas", (Atomic::CompareAndSwap, "b")),
    ("inc", (Atomic::Increment, "u")),
    ("dec", (Atomic::Decrement, "u")),
];
