//! Branches, calls, barriers, and what the lanes of a warp do together.

use super::cursor::Parsed;
use super::error::ParseErrorKind;
use super::lexer::Kind;
use super::modifiers::Modifiers;
use super::names::Symbol;
use super::parser::{Labels, Parser, PendingCall, Prototype};
use crate::program::{Barrier, Call, Callee, Operand, Operation, Shuffle, ShuffleSync, Slot, Vote, VoteSync, Width};

/// Barriers of a block are numbered up to this.
const BARRIERS: u64 = 16;

impl<'a> Parser<'a> {
    pub(super) fn branch(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        modifiers.has("uni");
        self.no_more(&modifiers)?;
        let label = self.cursor.word("a label")?;
        self.body.labels_due.push((self.program.code.len(), self.line, Labels::One(label)));
        Ok(Operation::Branch(u32::MAX))
    }

    pub(super) fn branch_indexed(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        self.need(&mut modifiers, &[("idx", ())], "`.idx`")?;
        modifiers.has("uni");
        self.no_more(&modifiers)?;
        let index = self.source(Width::B32)?;
        self.comma()?;
        let table = self.cursor.word("a table of labels")?;
        self.body.labels_due.push((self.program.code.len(), self.line, Labels::Table(table)));
        Ok(Operation::BranchIndexed { index, targets: Box::new([]) })
    }

    /// `call (results), function, (arguments)`, and with a pointer the prototype behind them; arguments are variables in parameter space, as the ABI has it.
    pub(super) fn call(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        modifiers.has("uni");
        self.no_more(&modifiers)?;
        let results = if self.cursor.peek() == Some(Kind::Sign('(')) {
            let results = self.call_slots()?;
            self.comma()?;
            results
        } else {
            Vec::new()
        };
        let name = self.cursor.word("a function")?;
        let callee = match self.names.symbol(name) {
            Some(Symbol::Function(function)) => Callee::Function(function),
            _ => Callee::Pointer(self.pointer_to_function(name)?),
        };
        let has_arguments = self.cursor.peek_second() == Some(Kind::Sign('(')) && self.cursor.accept(',');
        let arguments = if has_arguments { self.call_slots()? } else { Vec::new() };
        let call = Call { callee, arguments: arguments.into(), results: results.into() };
        match callee {
            Callee::Function(function) => {
                self.calls_due.push(PendingCall { line: self.line, function, call: call.clone() });
            }
            Callee::Pointer(_) => self.check_prototype(&call)?,
        }
        Ok(Operation::Call(Box::new(call)))
    }

    fn pointer_to_function(&self, name: &str) -> Parsed<Operand> {
        let register = self.names.register(name).filter(|register| register.width == Some(Width::B64));
        let unknown = || self.cursor.error_at(self.line, ParseErrorKind::UnknownName(name.to_owned()));
        register.map(|register| Operand::Register(register.register)).ok_or_else(unknown)
    }

    /// The prototype of a call through a pointer, which must fit what the call gives.
    fn check_prototype(&mut self, call: &Call) -> Parsed<()> {
        self.comma()?;
        let name = self.cursor.word("a prototype")?;
        let sizes = |slots: &[Slot]| slots.iter().map(|slot| slot.bytes).collect();
        let given = Prototype { results: sizes(&call.results), arguments: sizes(&call.arguments) };
        let kind = match self.body.prototypes.get(name) {
            None => ParseErrorKind::UnknownName(name.to_owned()),
            Some(prototype) if *prototype != given => ParseErrorKind::CallSignature(name.to_owned()),
            Some(_) => return Ok(()),
        };
        Err(self.cursor.error_at(self.line, kind))
    }

    fn call_slots(&mut self) -> Parsed<Vec<Slot>> {
        self.cursor.expect('(', "`(`")?;
        let mut slots = Vec::new();
        while !self.cursor.accept(')') {
            if !slots.is_empty() {
                self.comma()?;
            }
            let name = self.cursor.word("a variable in parameter space")?;
            match self.names.symbol(name) {
                Some(Symbol::Writable(slot) | Symbol::Input(slot)) => slots.push(slot),
                _ => return Err(self.cursor.error_at(self.line, ParseErrorKind::UnknownName(name.to_owned()))),
            }
        }
        Ok(slots)
    }

    /// An instruction of one word.
    pub(super) fn bare(&mut self, modifiers: &Modifiers<'a>, operation: Operation) -> Parsed<Operation> {
        self.no_more(modifiers)?;
        Ok(operation)
    }

    pub(super) fn ret(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        modifiers.has("uni");
        self.bare(&modifiers, Operation::Return)
    }

    /// `bar.sync`, `bar.warp.sync`, `barrier.sync`; `bar` is the aligned form of `barrier`.
    pub(super) fn barrier(&mut self, mut modifiers: Modifiers<'a>, always_aligned: bool) -> Parsed<Operation> {
        if always_aligned && modifiers.has("warp") {
            self.need(&mut modifiers, &[("sync", ())], "`.sync`")?;
            self.no_more(&modifiers)?;
            return Ok(Operation::WarpBarrier { members: self.source(Width::B32)? });
        }
        modifiers.has("cta");
        self.need(&mut modifiers, &[("sync", ())], "`.sync`")?;
        let aligned = always_aligned || modifiers.has("aligned");
        self.no_more(&modifiers)?;
        let id = self.source(Width::B32)?;
        if let Operand::Value(id) = id
            && id >= BARRIERS
        {
            let kind = ParseErrorKind::OverLimit { what: "a barrier's number", asked: id, limit: BARRIERS - 1 };
            return Err(self.cursor.error_at(self.line, kind));
        }
        let count = if self.cursor.accept(',') { Some(self.source(Width::B32)?) } else { None };
        Ok(Operation::Barrier(Box::new(Barrier { id, count, aligned })))
    }

    pub(super) fn shuffle(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        self.need(&mut modifiers, &[("sync", ())], "`.sync`")?;
        let modes =
            [("up", Shuffle::Up), ("down", Shuffle::Down), ("bfly", Shuffle::Butterfly), ("idx", Shuffle::Index)];
        let mode = self.need(&mut modifiers, &modes, "a mode")?;
        self.last_type(&mut modifiers, "b", &[Width::B32])?;
        let into = self.destination(Some(Width::B32))?;
        let in_range = if self.cursor.accept('|') { Some(self.destination(None)?) } else { None };
        self.comma()?;
        let value = self.source(Width::B32)?;
        self.comma()?;
        let lane = self.source(Width::B32)?;
        self.comma()?;
        let clamp = self.source(Width::B32)?;
        self.comma()?;
        let members = self.source(Width::B32)?;
        Ok(Operation::Shuffle(Box::new(ShuffleSync { mode, into, in_range, value, lane, clamp, members })))
    }

    pub(super) fn vote(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        self.need(&mut modifiers, &[("sync", ())], "`.sync`")?;
        let modes = [("all", Vote::All), ("any", Vote::Any), ("uni", Vote::Uniform), ("ballot", Vote::Ballot)];
        let mode = self.need(&mut modifiers, &modes, "a mode")?;
        let into = if mode == Vote::Ballot {
            self.last_type(&mut modifiers, "b", &[Width::B32])?;
            self.destination(Some(Width::B32))?
        } else {
            self.need(&mut modifiers, &[("pred", ())], "`.pred`")?;
            self.no_more(&modifiers)?;
            self.destination(None)?
        };
        self.comma()?;
        let condition = self.condition()?;
        self.comma()?;
        let members = self.source(Width::B32)?;
        Ok(Operation::Vote(Box::new(VoteSync { mode, into, condition, members })))
    }

    pub(super) fn active_mask(&mut self, mut modifiers: Modifiers<'a>) -> Parsed<Operation> {
        self.last_type(&mut modifiers, "b", &[Width::B32])?;
        Ok(Operation::ActiveMask { into: self.destination(Some(Width::B32))? })
    }

    /// `fence` with an order and a scope, `membar` with a level: threads here see every store at once anyway.
    pub(super) fn fence(&mut self, mut modifiers: Modifiers<'a>, ordered: bool) -> Parsed<Operation> {
        if ordered {
            modifiers.take(&[("sc", ()), ("acq_rel", ())]);
            self.need(&mut modifiers, &[("cta", ()), ("gpu", ()), ("sys", ())], "a scope")?;
        } else {
            self.need(&mut modifiers, &[("cta", ()), ("gl", ()), ("sys", ())], "a level")?;
        }
        self.bare(&modifiers, Operation::Fence)
    }
}
