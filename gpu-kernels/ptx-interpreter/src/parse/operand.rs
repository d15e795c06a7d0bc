//! Operands: registers of the right width, immediates that fit, special registers, addresses.

use super::cursor::Parsed;
use super::error::ParseErrorKind;
use super::lexer::Kind;
use super::names::{NamedRegister, Symbol};
use super::parser::Parser;
use crate::memory::windows::{SPACE_START, code_address};
use crate::program::{Address, Condition, LaneMask, Operand, Register, Space, Special, Width};

/// Bits of a register as errors name them.
fn bits(width: Option<Width>) -> u32 {
    width.map_or(1, Width::bits)
}

impl<'a> Parser<'a> {
    pub(super) fn comma(&mut self) -> Parsed<()> {
        self.cursor.expect(',', "`,`")
    }

    fn named_register(&mut self, name: &'a str) -> Parsed<NamedRegister> {
        let unknown = || ParseErrorKind::UnknownName(name.to_owned());
        self.names.register(name).ok_or_else(|| self.cursor.error_at(self.line, unknown()))
    }

    fn check_width(&self, name: &str, found: Option<Width>, expected: Option<Width>, exact: bool) -> Parsed<()> {
        let fits = if exact { found == expected } else { found.is_some() && found >= expected };
        if fits {
            return Ok(());
        }
        let kind = ParseErrorKind::RegisterWidth { name: name.to_owned(), bits: bits(found), expected: bits(expected) };
        Err(self.cursor.error_at(self.line, kind))
    }

    /// A register to write, of exactly this width; `None` asks for a predicate.
    pub(super) fn destination(&mut self, width: Option<Width>) -> Parsed<Register> {
        let name = self.cursor.word("a register")?;
        let register = self.named_register(name)?;
        self.check_width(name, register.width, width, true)?;
        Ok(register.register)
    }

    /// A register to write of at least this width, and its own width.
    pub(super) fn wide_destination(&mut self, width: Width) -> Parsed<(Register, Width)> {
        let name = self.cursor.word("a register")?;
        let register = self.named_register(name)?;
        self.check_width(name, register.width, Some(width), false)?;
        Ok((register.register, register.width.unwrap_or(width)))
    }

    /// An element of a vector to write: a register or the sink `_`.
    pub(super) fn sink_or<T>(&mut self, register: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<Option<T>> {
        if self.cursor.peek() == Some(Kind::Word("_")) {
            self.cursor.skip();
            return Ok(None);
        }
        register(self).map(Some)
    }

    /// A register of exactly this width, or an immediate that fits it.
    pub(super) fn source(&mut self, width: Width) -> Parsed<Operand> {
        self.read(width, true)
    }

    /// A register of at least this width, or an immediate that fits it.
    pub(super) fn wide_source(&mut self, width: Width) -> Parsed<Operand> {
        self.read(width, false)
    }

    fn read(&mut self, width: Width, exact: bool) -> Parsed<Operand> {
        if let Some(value) = self.immediate(width)? {
            return Ok(value);
        }
        let name = self.cursor.word("a register or an immediate")?;
        if name == "WARP_SZ" {
            return Ok(Operand::Special(Special::WarpSize));
        }
        let register = self.named_register(name)?;
        self.check_width(name, register.width, Some(width), exact)?;
        Ok(Operand::Register(register.register))
    }

    fn immediate(&mut self, width: Width) -> Parsed<Option<Operand>> {
        let Some(value) = self.cursor.signed_number()? else { return Ok(None) };
        self.fit(value, width).map(|value| Some(Operand::Value(value)))
    }

    /// A number as a value of this width, read as signed or unsigned.
    pub(super) fn fit(&self, value: i128, width: Width) -> Parsed<u64> {
        let least = -(1i128 << (width.bits() - 1));
        if (least..=i128::from(width.mask())).contains(&value) {
            Ok(value as u64 & width.mask())
        } else {
            Err(self.cursor.error_at(self.line, ParseErrorKind::ImmediateRange(value)))
        }
    }

    /// A predicate register, or an immediate as a truth value.
    pub(super) fn predicate(&mut self) -> Parsed<Operand> {
        if let Some(value) = self.cursor.signed_number()? {
            return Ok(Operand::Value(u64::from(value != 0)));
        }
        self.destination(None).map(Operand::Register)
    }

    /// A predicate, perhaps negated by `!`.
    pub(super) fn condition(&mut self) -> Parsed<Condition> {
        let negated = self.cursor.accept('!');
        Ok(Condition { operand: self.predicate()?, negated })
    }

    /// What `mov` may read besides other sources: special registers, addresses of variables and functions.
    pub(super) fn movable(&mut self, width: Width) -> Parsed<Operand> {
        let Some(Kind::Word(name)) = self.cursor.peek() else { return self.source(width) };
        if let Some(special) = self.special(name)? {
            if width != Width::B32 {
                return Err(self.register_width(name, Width::B32, width));
            }
            return Ok(Operand::Special(special));
        }
        let Some(symbol) = self.names.symbol(name) else { return self.source(width) };
        self.cursor.skip();
        let base = self.symbol_address(symbol);
        let offset = self.offset()?;
        Ok(displaced(base, offset))
    }

    fn register_width(&self, name: &str, found: Width, expected: Width) -> super::error::ParseError {
        let kind =
            ParseErrorKind::RegisterWidth { name: name.to_owned(), bits: found.bits(), expected: expected.bits() };
        self.cursor.error_at(self.line, kind)
    }

    /// The special register of this name, with its component; the cursor moves only if there is one.
    fn special(&mut self, name: &str) -> Parsed<Option<Special>> {
        let vector: Option<fn(u8) -> Special> = match name {
            "%tid" => Some(Special::Thread),
            "%ntid" => Some(Special::BlockSize),
            "%ctaid" => Some(Special::Block),
            "%nctaid" => Some(Special::GridSize),
            _ => None,
        };
        if let Some(vector) = vector {
            self.cursor.skip();
            let axis = match self.cursor.dotted("a component of a special register")? {
                "x" => 0,
                "y" => 1,
                "z" => 2,
                other => {
                    let name = format!("{name}.{other}");
                    return Err(self.cursor.error_at(self.line, ParseErrorKind::UnknownName(name)));
                }
            };
            return Ok(Some(vector(axis)));
        }
        let scalar = match name {
            "%laneid" => Special::Lane,
            "%lanemask_eq" => Special::LaneMask(LaneMask::Equal),
            "%lanemask_lt" => Special::LaneMask(LaneMask::Less),
            "%lanemask_le" => Special::LaneMask(LaneMask::LessOrEqual),
            "%lanemask_gt" => Special::LaneMask(LaneMask::Greater),
            "%lanemask_ge" => Special::LaneMask(LaneMask::GreaterOrEqual),
            "%dynamic_smem_size" => Special::DynamicShared,
            _ => return Ok(None),
        };
        self.cursor.skip();
        Ok(Some(scalar))
    }

    /// A symbol's address in its own space.
    pub(super) fn symbol_address(&self, symbol: Symbol) -> Operand {
        match symbol {
            Symbol::Variable { address, .. } => address,
            Symbol::Input(slot) | Symbol::Writable(slot) => Operand::Value(SPACE_START + slot.offset as u64),
            Symbol::Function(index) => Operand::Value(code_address(index)),
        }
    }

    /// An optional `+ number`; the number may be negative.
    pub(super) fn offset(&mut self) -> Parsed<u64> {
        if !self.cursor.accept('+') {
            return Ok(0);
        }
        let number = self.cursor.signed_number()?.ok_or_else(|| self.cursor.unexpected("an offset"))?;
        self.fit(number, Width::B64)
    }

    /// `[base+offset]` in a space; a variable must lie in that space. `write` refuses parameters that are inputs.
    pub(super) fn address(&mut self, space: Space, write: bool) -> Parsed<Address> {
        self.cursor.expect('[', "`[`")?;
        // The assembler takes a bare number for local memory only.
        let number = if space == Space::Local { self.immediate(Width::B64)? } else { None };
        let base = number.map_or_else(|| self.address_base(space, write), Ok)?;
        let offset = self.offset()?;
        self.cursor.expect(']', "`]`")?;
        Ok(Address { base, offset })
    }

    fn address_base(&mut self, space: Space, write: bool) -> Parsed<Operand> {
        let name = self.cursor.word("an address")?;
        if let Some(symbol) = self.names.symbol(name) {
            let reachable = match symbol {
                Symbol::Variable { space: lies, .. } => {
                    lies == space || space == Space::Generic && lies == Space::Global
                }
                Symbol::Input(_) => space == Space::Param && !write,
                Symbol::Writable(_) => space == Space::Param,
                Symbol::Function(_) => false,
            };
            let error = ParseErrorKind::UnknownName(name.to_owned());
            return if reachable {
                Ok(self.symbol_address(symbol))
            } else {
                Err(self.cursor.error_at(self.line, error))
            };
        }
        let register = self.named_register(name)?;
        let short = register.width == Some(Width::B32) && !matches!(space, Space::Generic | Space::Global);
        if !short {
            self.check_width(name, register.width, Some(Width::B64), true)?;
        }
        Ok(Operand::Register(register.register))
    }

    /// A braced list, or a single item.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.cursor.expect('{', "`{`")?;
        let mut items = vec![item(self)?];
        while self.cursor.accept(',') {
            items.push(item(self)?);
        }
        self.cursor.expect('}', "`}`")?;
        Ok(items)
    }
}

/// An address of a variable, moved by a constant.
pub(super) fn displaced(base: Operand, offset: u64) -> Operand {
    match base {
        Operand::Value(value) => Operand::Value(value.wrapping_add(offset)),
        Operand::Static(at) => Operand::Static(at.wrapping_add(offset)),
        Operand::Local(at) => Operand::Local(at.wrapping_add(offset)),
        other @ (Operand::Register(_) | Operand::Special(_)) => other,
    }
}
