//! One instruction: guard, opcode with its suffixes, operands, semicolon. The table of opcodes is here.

use super::cursor::Parsed;
use super::error::ParseErrorKind;
use super::lexer::Kind;
use super::modifiers::{Modifiers, WIDE_WORDS, WORDS};
use super::parser::Parser;
use crate::program::{Binary, Instruction, Integer, Logic, Operation, Register, Unary, Width};

/// Spellings of opcodes that a module may have.
const SPELLINGS: u64 = u16::MAX as u64;

impl<'a> Parser<'a> {
    pub(super) fn instruction(&mut self) -> Parsed<()> {
        let guard = self.guard()?;
        self.line = self.cursor.line();
        let opcode = self.cursor.word("an instruction")?;
        let mut list = Vec::new();
        while let Some(Kind::Dotted(modifier)) = self.cursor.peek() {
            self.cursor.skip();
            list.push(modifier);
        }
        let modifiers = Modifiers::new(opcode, list);
        let line = self.line;
        let opcode = self.opcode_index(modifiers.spelled())?;
        let operation = self.operation(modifiers)?;
        self.cursor.expect(';', "`;`")?;
        self.program.code.push(Instruction { guard, operation, line, opcode });
        Ok(())
    }

    fn guard(&mut self) -> Parsed<Option<(Register, bool)>> {
        if !self.cursor.accept('@') {
            return Ok(None);
        }
        self.line = self.cursor.line();
        let wanted = !self.cursor.accept('!');
        Ok(Some((self.destination(None)?, wanted)))
    }

    fn opcode_index(&mut self, spelled: String) -> Parsed<u16> {
        if let Some(index) = self.opcodes.get(&spelled) {
            return Ok(*index);
        }
        let asked = self.program.opcodes.len() as u64;
        let Ok(index) = u16::try_from(asked) else {
            let kind = ParseErrorKind::OverLimit { what: "spellings of opcodes", asked, limit: SPELLINGS };
            return Err(self.cursor.error(kind));
        };
        self.program.opcodes.push(spelled.clone());
        self.opcodes.insert(spelled, index);
        Ok(index)
    }

    fn operation(&mut self, modifiers: Modifiers<'a>) -> Parsed<Operation> {
        match modifiers.opcode {
            "add" | "addc" | "sub" | "subc" | "mul" | "mad" | "madc" | "div" | "rem" | "min" | "max" | "neg"
            | "abs" => self.arithmetic(modifiers),
            "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "shf" | "bfe" | "bfi" | "prmt" | "popc" | "clz"
            | "brev" | "selp" | "setp" => self.logic(modifiers),
            "mov" => self.mov(modifiers),
            "cvt" => self.convert(modifiers),
            "cvta" => self.convert_address(modifiers),
            "ld" => self.load(modifiers),
            "st" => self.store(modifiers),
            "atom" => self.atomic(modifiers, true),
            "red" => self.atomic(modifiers, false),
            "bra" => self.branch(modifiers),
            "brx" => self.branch_indexed(modifiers),
            "call" => self.call(modifiers),
            "ret" => self.ret(modifiers),
            "exit" => self.bare(&modifiers, Operation::Exit),
            "trap" => self.bare(&modifiers, Operation::Trap),
            "bar" => self.barrier(modifiers, true),
            "barrier" => self.barrier(modifiers, false),
            "shfl" => self.shuffle(modifiers),
            "vote" => self.vote(modifiers),
            "activemask" => self.active_mask(modifiers),
            "fence" => self.fence(modifiers, true),
            "membar" => self.fence(modifiers, false),
            other => Err(self.cursor.error_at(self.line, ParseErrorKind::UnknownOpcode(other.to_owned()))),
        }
    }

    fn arithmetic(&mut self, modifiers: Modifiers<'a>) -> Parsed<Operation> {
        match modifiers.opcode {
            "add" => self.sum(modifiers, false, false),
            "addc" => self.sum(modifiers, false, true),
            "sub" => self.sum(modifiers, true, false),
            "subc" => self.sum(modifiers, true, true),
            "mul" => self.product(modifiers),
            "mad" => self.product_sum(modifiers, false),
            "madc" => self.product_sum(modifiers, true),
            "div" => self.plain(modifiers, Binary::Div, "us"),
            "rem" => self.plain(modifiers, Binary::Rem, "us"),
            "min" => self.plain(modifiers, Binary::Min, "us"),
            "max" => self.plain(modifiers, Binary::Max, "us"),
            "neg" => self.unary(modifiers, Unary::Neg, "s", WORDS),
            _ => self.unary(modifiers, Unary::Abs, "s", WORDS),
        }
    }

    fn logic(&mut self, modifiers: Modifiers<'a>) -> Parsed<Operation> {
        match modifiers.opcode {
            "and" => self.bitwise(modifiers, Binary::And, Logic::And),
            "or" => self.bitwise(modifiers, Binary::Or, Logic::Or),
            "xor" => self.bitwise(modifiers, Binary::Xor, Logic::Xor),
            "not" => self.not(modifiers),
            "cnot" => self.unary(modifiers, Unary::LogicalNot, "b", WORDS),
            "shl" => self.shift(modifiers, Binary::ShiftLeft, "b"),
            "shr" => self.shift(modifiers, Binary::ShiftRight, "bus"),
            "shf" => self.funnel(modifiers),
            "bfe" => self.extract(modifiers),
            "bfi" => self.insert(modifiers),
            "prmt" => self.permute(modifiers),
            "popc" => self.unary(modifiers, Unary::CountOnes, "b", WIDE_WORDS),
            "clz" => self.unary(modifiers, Unary::CountLeadingZeros, "b", WIDE_WORDS),
            "brev" => self.unary(modifiers, Unary::Reverse, "b", WIDE_WORDS),
            "selp" => self.select(modifiers),
            _ => self.set_predicate(modifiers),
        }
    }

    /// A modifier that this opcode must have next.
    pub(super) fn need<T: Copy>(
        &self,
        modifiers: &mut Modifiers<'a>,
        table: &[(&str, T)],
        expected: &'static str,
    ) -> Parsed<T> {
        modifiers.need(table, expected).map_err(|kind| self.cursor.error_at(self.line, kind))
    }

    pub(super) fn no_more(&self, modifiers: &Modifiers<'a>) -> Parsed<()> {
        modifiers.end().map_err(|kind| self.cursor.error_at(self.line, kind))
    }

    /// The type that ends the suffixes.
    pub(super) fn last_type(&self, modifiers: &mut Modifiers<'a>, signs: &str, widths: &[Width]) -> Parsed<Integer> {
        let kind = modifiers.integer(signs, widths).map_err(|kind| self.cursor.error_at(self.line, kind))?;
        self.no_more(modifiers)?;
        Ok(kind)
    }
}
