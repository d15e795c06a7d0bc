//! Declarations of registers and of variables in every state space, with their first values.

use super::cursor::Parsed;
use super::error::ParseErrorKind;
use super::modifiers::integer;
use super::names::{NamedRegister, Symbol};
use super::parser::Parser;
use crate::memory::windows::{DYNAMIC_SHARED_START, SPACE_START, to_generic};
use crate::program::{Image, Operand, Register, Relocation, Slot, Space, Width};

/// Registers of one function; a device has far fewer, a compiler's text may name many.
const REGISTERS: usize = 1 << 16;
/// Bytes of one variable in global memory.
const GLOBAL_VARIABLE_BYTES: u64 = 1 << 28;
const CONST_BYTES: u64 = 64 << 10;
/// Static shared memory of one entry.
pub(super) const SHARED_BYTES: u64 = 48 << 10;
const LOCAL_BYTES: u64 = 512 << 10;
/// Parameters of one entry or function.
const PARAM_BYTES: u64 = 4096;
const ALIGNMENT: u64 = 256;
/// Bytes between variables that belong to none.
const GAP: usize = 16;

/// The head of a variable's declaration.
pub(super) struct Variable<'a> {
    pub(super) name: &'a str,
    pub(super) element: Width,
    /// `None` for an array whose length another place gives.
    pub(super) bytes: Option<usize>,
    pub(super) align: usize,
}

impl<'a> Parser<'a> {
    fn declare(&mut self, name: &str, symbol: Symbol) -> Parsed<()> {
        let fresh = self.names.declare(name, symbol);
        if fresh { Ok(()) } else { Err(self.declared_twice(name)) }
    }

    pub(super) fn declared_twice(&self, name: &str) -> super::error::ParseError {
        self.cursor.error_at(self.line, ParseErrorKind::DeclaredTwice(name.to_owned()))
    }

    fn over(&self, what: &'static str, asked: usize, limit: u64) -> super::error::ParseError {
        self.cursor.error_at(self.line, ParseErrorKind::OverLimit { what, asked: asked as u64, limit })
    }

    /// A type's name as a width.
    fn element(&mut self, of: &str) -> Parsed<Width> {
        let name = self.cursor.dotted("a type")?;
        let kind = integer(name, "bus")
            .ok_or_else(|| ParseErrorKind::UnknownModifier { opcode: of.to_owned(), modifier: name.to_owned() });
        kind.map(|kind| kind.width).map_err(|kind| self.cursor.error_at(self.line, kind))
    }

    /// `.align 8 .b8 name[16]`; parameters of entries may add what they point to.
    pub(super) fn variable(&mut self, space: &str, limit: u64) -> Parsed<Variable<'a>> {
        self.line = self.cursor.line();
        let mut align = self.alignment()?;
        let element = self.element(space)?;
        if space == "param" && self.cursor.accept_dotted("ptr") {
            for pointee in ["global", "shared", "local", "const"] {
                if self.cursor.accept_dotted(pointee) {
                    break;
                }
            }
            // This alignment is the pointee's: nothing here relies on it.
            self.alignment()?;
        } else if align.is_none() {
            align = self.alignment()?;
        }
        let name = self.cursor.word("the name of a variable")?;
        let count = self.dimensions(limit)?;
        let bytes = count.map(|count| count.saturating_mul(element.bytes()));
        if let Some(bytes) = bytes.filter(|bytes| *bytes as u64 > limit) {
            return Err(self.over("bytes of a variable", bytes, limit));
        }
        Ok(Variable { name, element, bytes, align: align.unwrap_or(element.bytes()) })
    }

    fn alignment(&mut self) -> Parsed<Option<usize>> {
        if !self.cursor.accept_dotted("align") {
            return Ok(None);
        }
        let align = self.cursor.bounded("an alignment", ALIGNMENT)?;
        if align.is_power_of_two() {
            Ok(Some(align))
        } else {
            Err(self.cursor.unexpected("a power of two before this"))
        }
    }

    /// The number of elements; `None` for an array without a length.
    fn dimensions(&mut self, limit: u64) -> Parsed<Option<usize>> {
        let mut count = Some(1usize);
        while self.cursor.accept('[') {
            if self.cursor.accept(']') {
                count = None;
                continue;
            }
            let length = self.cursor.bounded("elements of an array", limit)?;
            count = count.map(|count| count.saturating_mul(length));
            self.cursor.expect(']', "`]`")?;
        }
        Ok(count)
    }

    /// `.reg .b32 %r<10>, tmp;`
    pub(super) fn registers(&mut self) -> Parsed<()> {
        self.line = self.cursor.line();
        let width = if self.cursor.accept_dotted("pred") { None } else { Some(self.element("reg")?) };
        loop {
            let name = self.cursor.word("the name of a register")?;
            let first = NamedRegister { register: Register(self.body.registers.len() as u32), width };
            let fresh = if self.cursor.accept('<') {
                let count = self.cursor.bounded("registers", REGISTERS as u64)?;
                self.cursor.expect('>', "`>`")?;
                self.body.registers.extend((0..count).map(|number| format!("{name}{number}")));
                self.names.declare_range(name, first, count as u32)
            } else {
                self.body.registers.push(name.to_owned());
                self.names.declare_register(name, first)
            };
            if !fresh {
                return Err(self.declared_twice(name));
            }
            if self.body.registers.len() > REGISTERS {
                return Err(self.over("registers of a function", self.body.registers.len(), REGISTERS as u64));
            }
            if !self.cursor.accept(',') {
                return self.cursor.expect(';', "`;`");
            }
        }
    }

    /// A variable of shared memory, of the module or of the function being parsed.
    pub(super) fn shared(&mut self, external: bool, of: Option<u32>) -> Parsed<()> {
        let variable = self.variable("shared", SHARED_BYTES)?;
        self.cursor.expect(';', "`;`")?;
        let Some(bytes) = variable.bytes.filter(|_| !external) else {
            if !external || variable.bytes.is_some_and(|bytes| bytes > 0) {
                return Err(self.cursor.error_at(
                    self.line,
                    ParseErrorKind::Unsupported {
                        what: "the length of the shared array",
                        found: super::error::Found(variable.name.to_owned()),
                    },
                ));
            }
            let address = Operand::Value(DYNAMIC_SHARED_START);
            return self.declare(variable.name, Symbol::Variable { space: Space::Shared, address });
        };
        let offset = self.shared_bytes.next_multiple_of(variable.align);
        self.shared_bytes = offset + bytes + GAP;
        if SPACE_START + self.shared_bytes as u64 > DYNAMIC_SHARED_START {
            return Err(self.over("shared memory of all entries", self.shared_bytes, DYNAMIC_SHARED_START));
        }
        match of {
            Some(function) => self.program.shared_of.entry(function).or_default().push((offset, bytes)),
            None => self.program.shared.push((offset, bytes)),
        }
        let address = Operand::Value(SPACE_START + offset as u64);
        self.declare(variable.name, Symbol::Variable { space: Space::Shared, address })
    }

    /// A variable of the local memory of each thread.
    pub(super) fn local(&mut self) -> Parsed<()> {
        let variable = self.variable("local", LOCAL_BYTES)?;
        self.cursor.expect(';', "`;`")?;
        let bytes = self.length_of(&variable)?;
        let offset = self.body.local_bytes.next_multiple_of(variable.align);
        self.body.local_bytes = offset + bytes + GAP;
        if self.body.local_bytes as u64 > LOCAL_BYTES {
            return Err(self.over("local memory of a function", self.body.local_bytes, LOCAL_BYTES));
        }
        self.body.local_spans.push((offset, bytes));
        let address = Operand::Local(offset as u64);
        self.declare(variable.name, Symbol::Variable { space: Space::Local, address })
    }

    fn length_of(&self, variable: &Variable<'a>) -> Parsed<usize> {
        let lacks = || {
            self.cursor.error_at(
                self.line,
                ParseErrorKind::Unexpected {
                    found: super::error::Found(variable.name.to_owned()),
                    expected: "an array with a length",
                },
            )
        };
        variable.bytes.ok_or_else(lacks)
    }

    /// A variable in parameter space: of a signature, or for the arguments of a call.
    pub(super) fn param(&mut self, writable: bool) -> Parsed<Slot> {
        let variable = self.variable("param", PARAM_BYTES)?;
        let bytes = self.length_of(&variable)?;
        let offset = self.body.param_bytes.next_multiple_of(variable.align);
        self.body.param_bytes = offset + bytes;
        let slot = Slot { offset, bytes, align: variable.align };
        self.declare(variable.name, if writable { Symbol::Writable(slot) } else { Symbol::Input(slot) })?;
        Ok(slot)
    }

    /// A variable of the module in global or constant memory.
    pub(super) fn module_variable(&mut self, space: Space) -> Parsed<()> {
        let constant = space == Space::Const;
        let (name, limit) = if constant { ("const", CONST_BYTES) } else { ("global", GLOBAL_VARIABLE_BYTES) };
        let variable = self.variable(name, limit)?;
        let image = if constant { &mut self.program.constants } else { &mut self.program.statics };
        let offset = image.bytes.len().next_multiple_of(variable.align);
        let address =
            if constant { Operand::Value(SPACE_START + offset as u64) } else { Operand::Static(offset as u64) };
        let mut values = Image { bytes: vec![0; offset], ..Image::default() };
        if self.cursor.accept('=') {
            self.initialiser(&variable, &mut values)?;
        }
        self.cursor.expect(';', "`;`")?;
        // What no value fills is zero, as the ISA has it.
        let given = values.bytes.len() - offset;
        let bytes = variable.bytes.unwrap_or(given);
        if given > bytes {
            return Err(self.over("bytes of the first value", given, bytes as u64));
        }
        if (offset + bytes) as u64 > limit {
            return Err(self.over("bytes of all variables of a space", offset + bytes, limit));
        }
        let image = if constant { &mut self.program.constants } else { &mut self.program.statics };
        image.bytes.resize(offset, 0);
        image.bytes.extend_from_slice(&values.bytes[offset..]);
        image.bytes.resize(offset + bytes, 0);
        image.spans.push((offset, bytes));
        image.bytes.resize(offset + bytes + GAP, 0);
        image.relocations.append(&mut values.relocations);
        self.declare(variable.name, Symbol::Variable { space, address })
    }

    /// `= 5` or `= {1, 2, generic(name)+8}`.
    fn initialiser(&mut self, variable: &Variable<'a>, values: &mut Image) -> Parsed<()> {
        if !self.cursor.accept('{') {
            return self.value(variable, values);
        }
        self.value(variable, values)?;
        while self.cursor.accept(',') {
            self.value(variable, values)?;
        }
        self.cursor.expect('}', "`}`")
    }

    fn value(&mut self, variable: &Variable<'a>, values: &mut Image) -> Parsed<()> {
        let width = variable.element;
        if let Some(number) = self.cursor.signed_number()? {
            let value = self.fit(number, width)?;
            values.bytes.extend_from_slice(&value.to_le_bytes()[..width.bytes()]);
            return Ok(());
        }
        let at = values.bytes.len();
        let (target, addend) = self.pointer()?;
        if width != Width::B64 {
            return Err(self.cursor.unexpected("a number before this: an address needs 64 bits"));
        }
        values.bytes.extend_from_slice(&[0; 8]);
        values.relocations.push(Relocation { at, target, addend });
        Ok(())
    }

    /// A variable's or a function's address as a first value, with what is to be added to it.
    fn pointer(&mut self) -> Parsed<(Operand, u64)> {
        let mut name = self.cursor.word("a number or a name")?;
        let generic = name == "generic" && self.cursor.accept('(');
        if generic {
            name = self.cursor.word("the name of a variable")?;
            self.cursor.expect(')', "`)`")?;
        }
        let symbol = self.names.symbol(name);
        let unknown = || self.cursor.error(ParseErrorKind::UnknownName(name.to_owned()));
        let symbol = symbol.ok_or_else(unknown)?;
        let target = match (symbol, self.symbol_address(symbol)) {
            (Symbol::Variable { space, .. }, Operand::Value(at)) if generic => Operand::Value(to_generic(space, at)),
            (_, address) => address,
        };
        Ok((target, self.offset()?))
    }
}
