//! Text to program. Whatever the subset does not have is an error with its line: nothing is skipped in silence.
//!
//! What is skipped is listed: comments; `.file`, `.loc` and debug sections, which speak of the source; `.pragma`,
//! `.maxnreg` and `.minnctapersm`, which steer the assembler.

mod arithmetic;
mod control;
mod cursor;
mod declaration;
pub(crate) mod error;
mod function;
mod instruction;
mod lexer;
mod logic;
mod modifiers;
mod names;
mod operand;
mod parser;
mod transfer;

use self::cursor::Parsed;
use self::declaration::SHARED_BYTES;
use self::error::{Found, ParseErrorKind};
use self::lexer::Kind;
use self::parser::Parser;
use crate::entry::Entry;
use crate::program::{Program, Space};

/// The program of a text and its entries.
pub(crate) fn parse(text: &str) -> Parsed<(Program, Vec<Entry>)> {
    let mut parser = Parser::new(text)?;
    parser.head()?;
    while parser.cursor.peek().is_some() {
        parser.module_statement()?;
    }
    parser.check_calls()?;
    parser.lay_out_shared()?;
    Ok((parser.program, parser.entries))
}

impl Parser<'_> {
    /// `.version`, `.target`, `.address_size`: which PTX this is.
    fn head(&mut self) -> Parsed<()> {
        self.directive("version", "`.version`")?;
        let major = self.cursor.number("a version")?;
        let minor = self.cursor.dotted("a version")?;
        if !(6..=8).contains(&major) || minor.parse::<u8>().is_err() {
            return Err(self.unsupported("PTX version", format!("{major}.{minor}")));
        }
        self.directive("target", "`.target`")?;
        let target = self.cursor.word("a target")?;
        let capability = target.strip_prefix("sm_").and_then(|number| number.parse::<u32>().ok());
        if capability.is_none_or(|capability| capability < 70) {
            return Err(self.unsupported("target", target.to_owned()));
        }
        while self.cursor.accept(',') {
            let option = self.cursor.word("an option of the target")?;
            if option != "debug" {
                return Err(self.unsupported("option of the target", option.to_owned()));
            }
        }
        self.directive("address_size", "`.address_size`")?;
        let bits = self.cursor.number("a size")?;
        if bits == 64 { Ok(()) } else { Err(self.unsupported("address size", bits.to_string())) }
    }

    fn directive(&mut self, name: &str, expected: &'static str) -> Parsed<()> {
        self.line = self.cursor.line();
        if self.cursor.accept_dotted(name) { Ok(()) } else { Err(self.cursor.unexpected(expected)) }
    }

    fn unsupported(&self, what: &'static str, found: String) -> error::ParseError {
        self.cursor.error_at(self.line, ParseErrorKind::Unsupported { what, found: Found(found) })
    }

    fn module_statement(&mut self) -> Parsed<()> {
        self.line = self.cursor.line();
        if self.debug_label() {
            return Ok(());
        }
        let external = self.cursor.accept_dotted("extern");
        if !external {
            let _linking = self.cursor.accept_dotted("visible") || self.cursor.accept_dotted("weak");
        }
        let directive = self.cursor.dotted("a directive")?;
        match directive {
            "entry" if !external => self.function(true),
            "func" => self.function(false),
            "global" if !external => self.module_variable(Space::Global),
            "const" if !external => self.module_variable(Space::Const),
            "shared" => self.shared(external, None),
            "file" if !external => {
                self.cursor.skip_line(self.line);
                Ok(())
            }
            "section" if !external => self.debug_section(),
            other => Err(self.cursor.error_at(self.line, ParseErrorKind::UnknownDirective(other.to_owned()))),
        }
    }

    /// The label that compilers put behind debug sections.
    fn debug_label(&mut self) -> bool {
        let label = matches!(self.cursor.peek(), Some(Kind::Word(name)) if name.starts_with("$L__sec_end"));
        let found = label && self.cursor.peek_second() == Some(Kind::Sign(':'));
        if found {
            self.cursor.skip();
            self.cursor.skip();
        }
        found
    }

    /// `.section .debug_… { … }`.
    fn debug_section(&mut self) -> Parsed<()> {
        let name = self.cursor.dotted("the name of a section")?;
        if !name.starts_with("debug_") {
            let kind = ParseErrorKind::UnknownDirective(name.to_owned());
            return Err(self.cursor.error_at(self.line, kind));
        }
        self.cursor.expect('{', "`{`")?;
        while !self.cursor.accept('}') {
            if self.cursor.peek().is_none_or(|kind| kind == Kind::Sign('{')) {
                return Err(self.cursor.unexpected("`}`"));
            }
            self.cursor.skip();
        }
        Ok(())
    }

    /// Every call names a function with a body, and its arguments have that function's shape.
    fn check_calls(&self) -> Parsed<()> {
        for pending in &self.calls_due {
            let function = &self.program.functions[pending.function as usize];
            let kind = match (function.callable, function.takes(&pending.call)) {
                (true, true) => continue,
                (true, false) => ParseErrorKind::CallSignature(function.name.clone()),
                (false, _) => ParseErrorKind::UnknownName(function.name.clone()),
            };
            return Err(self.cursor.error_at(pending.line, kind));
        }
        Ok(())
    }

    /// Which shared variables each entry has: the module's, its own, and those of all functions it might call.
    fn lay_out_shared(&mut self) -> Parsed<()> {
        let is_entry = |function: &u32| self.entries.iter().any(|entry| entry.function == *function);
        let mut common = self.program.shared.clone();
        for (function, spans) in &self.program.shared_of {
            if !is_entry(function) {
                common.extend(spans);
            }
        }
        for entry in &mut self.entries {
            entry.shared.clone_from(&common);
            entry.shared.extend(self.program.shared_of.get(&entry.function).into_iter().flatten());
            let asked: usize = entry.shared.iter().map(|(_, bytes)| bytes).sum();
            entry.shared_bytes = asked as u32;
            if asked as u64 > SHARED_BYTES {
                let line = self.program.functions[entry.function as usize].line;
                let what = "static shared memory of an entry";
                let kind = ParseErrorKind::OverLimit { what, asked: asked as u64, limit: SHARED_BYTES };
                return Err(self.cursor.error_at(line, kind));
            }
        }
        Ok(())
    }
}
