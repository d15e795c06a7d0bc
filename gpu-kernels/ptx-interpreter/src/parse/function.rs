//! Entries and functions: signature, limits, body, and the labels that the body resolves at its end.

use super::cursor::Parsed;
use super::error::ParseErrorKind;
use super::lexer::Kind;
use super::names::Symbol;
use super::parser::{Body, Labels, Parser, Prototype};
use crate::entry::{Entry, ParamLayout};
use crate::program::{Function, Instruction, Operation, Slot};

/// Scopes inside each other; compilers need two or three.
const DEPTH: usize = 64;

/// What a signature says.
struct Signature {
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
}

impl<'a> Parser<'a> {
    /// `.entry name(params) limits { body }` or `.func (results) name(params) { body }`, or the latter's prototype.
    pub(super) fn function(&mut self, is_entry: bool) -> Parsed<()> {
        self.body = Body::default();
        self.names.open();
        let mut signature = Signature { inputs: Vec::new(), outputs: Vec::new() };
        // Results come first in the text and last in the frame: remember where they stand.
        let results =
            if !is_entry && self.cursor.peek() == Some(Kind::Sign('(')) { self.results()? } else { Vec::new() };
        let line = self.cursor.line();
        let name = self.cursor.word("the name of a function")?;
        if self.cursor.peek() == Some(Kind::Sign('(')) {
            signature.inputs = self.params(false)?;
        }
        for (name, slot) in results {
            let offset = self.body.param_bytes.next_multiple_of(slot.align);
            self.body.param_bytes = offset + slot.bytes;
            let slot = Slot { offset, ..slot };
            if !self.names.declare(name, Symbol::Writable(slot)) {
                return Err(self.declared_twice(name));
            }
            signature.outputs.push(slot);
        }
        let limits = self.limits()?;
        let index = self.function_index(name, line, &signature)?;
        if self.cursor.accept(';') {
            self.names.close();
            return Ok(());
        }
        if !self.defined.insert(index) {
            self.line = line;
            return Err(self.declared_twice(name));
        }
        self.program.functions[index as usize].callable = !is_entry;
        if is_entry {
            self.entries.push(entry(name, index, &signature.inputs, limits));
        }
        self.body.function = index;
        self.code(index)?;
        self.names.close();
        Ok(())
    }

    /// The results of a function, named but not yet placed.
    fn results(&mut self) -> Parsed<Vec<(&'a str, Slot)>> {
        self.cursor.expect('(', "`(`")?;
        let mut results = Vec::new();
        while !self.cursor.accept(')') {
            if !results.is_empty() {
                self.comma()?;
            }
            self.param_directive()?;
            let variable = self.variable("param", 4096)?;
            let Some(bytes) = variable.bytes else { return Err(self.cursor.unexpected("a result with a length")) };
            results.push((variable.name, Slot { offset: 0, bytes, align: variable.align }));
        }
        Ok(results)
    }

    fn params(&mut self, writable: bool) -> Parsed<Vec<Slot>> {
        self.cursor.expect('(', "`(`")?;
        let mut slots = Vec::new();
        while !self.cursor.accept(')') {
            if !slots.is_empty() {
                self.comma()?;
            }
            self.param_directive()?;
            slots.push(self.param(writable)?);
        }
        Ok(slots)
    }

    fn param_directive(&mut self) -> Parsed<()> {
        if self.cursor.accept_dotted("param") { Ok(()) } else { Err(self.cursor.unexpected("`.param`")) }
    }

    /// Directives between a signature and its body. Those that only steer register allocation change no result.
    fn limits(&mut self) -> Parsed<Limits> {
        let mut limits = Limits::default();
        loop {
            if self.cursor.accept_dotted("maxntid") {
                limits.most = Some(self.extent()?);
            } else if self.cursor.accept_dotted("reqntid") {
                limits.exact = Some(self.extent()?);
            } else if self.cursor.accept_dotted("minnctapersm") || self.cursor.accept_dotted("maxnreg") {
                self.cursor.number("a limit")?;
            } else if self.cursor.accept_dotted("pragma") {
                self.pragma()?;
            } else if !self.cursor.accept_dotted("noreturn") {
                return Ok(limits);
            }
        }
    }

    /// `x[, y[, z]]`.
    fn extent(&mut self) -> Parsed<[u32; 3]> {
        let mut extent = [1; 3];
        extent[0] = self.cursor.bounded("threads of a block", 1024)? as u32;
        for size in &mut extent[1..] {
            if self.cursor.accept(',') {
                *size = self.cursor.bounded("threads of a block", 1024)? as u32;
            }
        }
        Ok(extent)
    }

    /// The index of a function that a prototype may have declared, then with the same signature.
    fn function_index(&mut self, name: &str, line: u32, signature: &Signature) -> Parsed<u32> {
        let known = self.names.outermost(name);
        if let Some(Symbol::Function(index)) = known {
            let function = &self.program.functions[index as usize];
            let same = function.inputs == signature.inputs && function.outputs.len() == signature.outputs.len();
            let kind = ParseErrorKind::CallSignature(name.to_owned());
            return if same { Ok(index) } else { Err(self.cursor.error_at(line, kind)) };
        }
        let index = self.program.functions.len() as u32;
        if known.is_some() || !self.names.declare_outermost(name, Symbol::Function(index)) {
            self.line = line;
            return Err(self.declared_twice(name));
        }
        self.program.functions.push(Function {
            name: name.to_owned(),
            line,
            callable: false,
            start: 0,
            end: 0,
            registers: Vec::new(),
            inputs: signature.inputs.clone(),
            outputs: signature.outputs.clone(),
            param_bytes: 0,
            local_bytes: 0,
            local_spans: Vec::new(),
        });
        Ok(index)
    }

    fn code(&mut self, index: u32) -> Parsed<()> {
        let start = self.program.code.len();
        self.cursor.expect('{', "`{` or `;`")?;
        self.names.open();
        let outside = self.names.depth();
        while self.names.depth() >= outside {
            self.statement()?;
        }
        self.resolve_labels()?;
        let end = self.program.code.len();
        let function = &mut self.program.functions[index as usize];
        (function.start, function.end) = (start as u32, end as u32);
        function.registers = std::mem::take(&mut self.body.registers);
        function.param_bytes = self.body.param_bytes;
        function.local_bytes = self.body.local_bytes;
        function.local_spans = std::mem::take(&mut self.body.local_spans);
        let closed = self.program.code[start..].last().is_some_and(ends);
        let kind = ParseErrorKind::OpenEnd(function.name.clone());
        if closed { Ok(()) } else { Err(self.cursor.error_at(function.line, kind)) }
    }

    fn statement(&mut self) -> Parsed<()> {
        self.line = self.cursor.line();
        match self.cursor.peek() {
            Some(Kind::Sign('{')) if self.names.depth() < DEPTH => {
                self.cursor.skip();
                self.names.open();
                Ok(())
            }
            Some(Kind::Sign('}')) => {
                self.cursor.skip();
                self.names.close();
                Ok(())
            }
            Some(Kind::Sign(';')) => {
                self.cursor.skip();
                Ok(())
            }
            Some(Kind::Dotted(directive)) => {
                self.cursor.skip();
                self.body_directive(directive)
            }
            Some(Kind::Word(name)) if self.cursor.peek_second() == Some(Kind::Sign(':')) => self.label(name),
            Some(Kind::Word(_) | Kind::Sign('@')) => self.instruction(),
            _ => Err(self.cursor.unexpected("a statement")),
        }
    }

    fn body_directive(&mut self, directive: &str) -> Parsed<()> {
        match directive {
            "reg" => self.registers(),
            "local" => self.local(),
            "shared" => self.shared(false, Some(self.body.function)),
            "param" => {
                self.param(true)?;
                self.cursor.expect(';', "`;`")
            }
            "loc" => {
                self.cursor.skip_line(self.line);
                Ok(())
            }
            "pragma" => self.pragma(),
            other => Err(self.cursor.error_at(self.line, ParseErrorKind::UnknownDirective(other.to_owned()))),
        }
    }

    /// Hints to the assembler, which change no result.
    pub(super) fn pragma(&mut self) -> Parsed<()> {
        let Some(Kind::Quoted(_)) = self.cursor.peek() else { return Err(self.cursor.unexpected("a string")) };
        self.cursor.skip();
        self.cursor.expect(';', "`;`")
    }

    /// A label of the next instruction, or a table of labels.
    fn label(&mut self, name: &'a str) -> Parsed<()> {
        self.cursor.skip();
        self.cursor.skip();
        if self.body.has_label(name) {
            return Err(self.declared_twice(name));
        }
        if self.cursor.accept_dotted("callprototype") {
            let prototype = self.prototype()?;
            self.body.prototypes.insert(name, prototype);
            return Ok(());
        }
        if !self.cursor.accept_dotted("branchtargets") {
            self.body.labels.insert(name, self.program.code.len() as u32);
            return Ok(());
        }
        let mut targets = vec![self.cursor.word("a label")?];
        while self.cursor.accept(',') {
            targets.push(self.cursor.word("a label")?);
        }
        self.body.tables.insert(name, targets);
        self.cursor.expect(';', "`;`")
    }

    /// `(results) _ (arguments);`, none of them named.
    fn prototype(&mut self) -> Parsed<Prototype> {
        let sizes = |parser: &mut Self| {
            let open = parser.cursor.peek() == Some(Kind::Sign('('));
            let slots = if open { parser.results()? } else { Vec::new() };
            Ok(slots.into_iter().map(|(_, slot)| slot.bytes).collect())
        };
        let results = sizes(self)?;
        if self.cursor.word("`_`")? != "_" {
            return Err(self.cursor.unexpected("`_` before this"));
        }
        let arguments = sizes(self)?;
        self.cursor.accept_dotted("noreturn");
        self.cursor.expect(';', "`;`")?;
        Ok(Prototype { results, arguments })
    }

    fn resolve_labels(&mut self) -> Parsed<()> {
        let end = self.program.code.len() as u32;
        for (index, line, labels) in std::mem::take(&mut self.body.labels_due) {
            let target = |name: &str| {
                let at = self.body.labels.get(name).copied().filter(|at| *at < end);
                at.ok_or_else(|| self.cursor.error_at(line, ParseErrorKind::UnknownName(name.to_owned())))
            };
            let operation = match (labels, &self.program.code[index].operation) {
                (Labels::Table(name), Operation::BranchIndexed { index, .. }) => {
                    let Some(table) = self.body.tables.get(name) else { return Err(target(name).unwrap_err()) };
                    let targets: Parsed<Box<[u32]>> = table.iter().map(|name| target(name)).collect();
                    Operation::BranchIndexed { index: *index, targets: targets? }
                }
                (Labels::One(name) | Labels::Table(name), _) => Operation::Branch(target(name)?),
            };
            self.program.code[index].operation = operation;
        }
        Ok(())
    }
}

/// Limits on the shape of a block.
#[derive(Default)]
struct Limits {
    most: Option<[u32; 3]>,
    exact: Option<[u32; 3]>,
}

fn entry(name: &str, function: u32, inputs: &[Slot], limits: Limits) -> Entry {
    let params = inputs.iter().map(|slot| ParamLayout { offset: slot.offset, bytes: slot.bytes, align: slot.align });
    Entry {
        name: name.to_owned(),
        function,
        params: params.collect(),
        most_threads: limits.most.map(|extent| extent.iter().product()),
        exact_block: limits.exact,
        shared: Vec::new(),
        shared_bytes: 0,
    }
}

/// Whether nothing follows this instruction.
fn ends(instruction: &Instruction) -> bool {
    let leaves = matches!(
        instruction.operation,
        Operation::Branch(_) | Operation::BranchIndexed { .. } | Operation::Return | Operation::Exit | Operation::Trap
    );
    leaves && instruction.guard.is_none()
}
