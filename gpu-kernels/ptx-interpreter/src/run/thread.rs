//! One thread: its registers, its calls, and what each instruction does to them.
//!
//! Invariant: a register holds a value of its width or is unset; only a plain copy may read an unset one.

use super::Step;
use super::context::Context;
use crate::fault::FaultKind;
use crate::memory::region::Region;
use crate::memory::shared::Moment;
use crate::memory::windows::{SPACE_START, from_generic, function_at, to_generic};
use crate::program::{
    Binary, Call, Callee, Carry, Condition, Function, Instruction, Integer, LaneMask, Operand, Operation, Program,
    Register, SetPredicate, Shuffle, Special, Vote, Width,
};
use crate::value::{arithmetic, bits, carry, compare, convert, shift};

/// Calls inside each other.
const CALL_DEPTH: usize = 256;
/// Local variables of a frame start at multiples of this.
const LOCAL_ALIGNMENT: usize = 256;
/// Instructions of a turn: a thread that waits for another by asking memory again and again does not keep the other from
/// its turn.
const TURN: u64 = 1 << 16;
const LANES: u32 = 32;

/// A register's contents.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    value: u64,
    set: bool,
}

/// A function under way.
#[derive(Debug)]
struct Frame {
    function: u32,
    /// Its first register among the thread's.
    base: usize,
    local_base: usize,
    pub(super) params: Region,
    /// Where it was called from; the call says where results go.
    caller: u32,
}

/// Why a thread stops running.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pause {
    /// Its turn is over.
    Turn,
    Exited,
    Barrier(BarrierWait),
    Warp(WarpWait),
}

/// A thread that has arrived at a barrier of its block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BarrierWait {
    pub(super) id: u32,
    pub(super) count: Option<u32>,
    pub(super) aligned: bool,
}

/// A thread that waits for other lanes of its warp.
#[derive(Debug, Clone, Copy)]
pub(super) struct WarpWait {
    pub(super) members: u32,
    pub(super) request: Request,
}

/// What the lanes do together once all are there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    Barrier,
    Shuffle { mode: Shuffle, value: u64, lane: u32, clamp: u32, into: Register, in_range: Option<Register> },
    Vote { mode: Vote, condition: bool, into: Register },
}

/// A thread of a block.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) index: [u32; 3],
    /// Its number in the block.
    pub(super) number: u32,
    /// The next instruction; the one at fault, after a fault.
    pub(super) next: u32,
    pub(super) block_barriers: u32,
    pub(super) warp_barriers: u32,
    cells: Vec<Cell>,
    base: usize,
    frames: Vec<Frame>,
    pub(super) local: Region,
    carry: Option<bool>,
    executed: u64,
}

impl Thread {
    /// A thread at the start of an entry whose parameters are given.
    pub(super) fn new(index: [u32; 3], number: u32, function: u32, program: &Program, params: &Region) -> Self {
        let entry = &program.functions[function as usize];
        let mut thread = Self {
            index,
            number,
            next: entry.start,
            block_barriers: 0,
            warp_barriers: 0,
            cells: Vec::new(),
            base: 0,
            frames: Vec::new(),
            local: Region::of_spans(SPACE_START, &[]),
            carry: None,
            executed: 0,
        };
        thread.enter(function, entry, params.clone(), u32::MAX);
        thread
    }

    fn enter(&mut self, index: u32, function: &Function, params: Region, caller: u32) {
        let base = self.cells.len();
        let local_base = self.local.len().next_multiple_of(LOCAL_ALIGNMENT);
        self.cells.resize(base + function.registers.len(), Cell::default());
        self.local.push_spans(local_base, &function.local_spans);
        self.frames.push(Frame { function: index, base, local_base, params, caller });
        self.base = base;
        self.next = function.start;
    }

    fn frame(&self) -> &Frame {
        self.frames.last().expect("a thread has a frame until it exits")
    }

    pub(super) fn params(&self) -> &Region {
        &self.frame().params
    }

    pub(super) fn params_mut(&mut self) -> &mut Region {
        &mut self.frames.last_mut().expect("a thread has a frame until it exits").params
    }

    pub(super) fn lane(&self) -> u32 {
        self.number % LANES
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { thread: self.number, block_barriers: self.block_barriers, warp_barriers: self.warp_barriers }
    }

    #[cold]
    fn unset(&self, register: Register, program: &Program) -> Box<FaultKind> {
        let function = &program.functions[self.frame().function as usize];
        Box::new(FaultKind::UnsetRegister(function.registers[register.0 as usize].clone()))
    }

    #[inline]
    pub(super) fn read(&self, operand: Operand, context: &Context<'_>) -> Step<u64> {
        match operand {
            Operand::Register(register) => {
                let cell = self.cells[self.base + register.0 as usize];
                if cell.set { Ok(cell.value) } else { Err(self.unset(register, context.program)) }
            }
            Operand::Value(value) => Ok(value),
            Operand::Static(offset) => Ok(context.statics.wrapping_add(offset)),
            Operand::Local(offset) => Ok((SPACE_START + self.frame().local_base as u64).wrapping_add(offset)),
            Operand::Special(special) => Ok(u64::from(self.special(special, context))),
        }
    }

    fn special(&self, special: Special, context: &Context<'_>) -> u32 {
        let lane_bit = 1u32 << self.lane();
        match special {
            Special::Thread(axis) => self.index[usize::from(axis)],
            Special::BlockSize(axis) => context.block[usize::from(axis)],
            Special::Block(axis) => context.block_index[usize::from(axis)],
            Special::GridSize(axis) => context.grid[usize::from(axis)],
            Special::Lane => self.lane(),
            Special::WarpSize => LANES,
            Special::DynamicShared => context.dynamic_shared_bytes,
            Special::LaneMask(LaneMask::Equal) => lane_bit,
            Special::LaneMask(LaneMask::Less) => lane_bit - 1,
            Special::LaneMask(LaneMask::LessOrEqual) => (lane_bit - 1) | lane_bit,
            Special::LaneMask(LaneMask::Greater) => !((lane_bit - 1) | lane_bit),
            Special::LaneMask(LaneMask::GreaterOrEqual) => !(lane_bit - 1),
        }
    }

    #[inline]
    pub(super) fn set(&mut self, register: Register, value: u64) {
        self.cells[self.base + register.0 as usize] = Cell { value, set: true };
    }

    fn condition(&self, condition: Condition, context: &Context<'_>) -> Step<bool> {
        Ok((self.read(condition.operand, context)? != 0) != condition.negated)
    }

    /// Runs until the thread has to wait, exits, or its turn is over.
    pub(super) fn run(&mut self, context: &mut Context<'_>) -> Step<Pause> {
        let program = context.program;
        let turn_ends = self.executed + TURN;
        loop {
            let at = self.next;
            if self.executed >= turn_ends {
                return Ok(Pause::Turn);
            }
            if self.executed >= context.budget {
                return Err(Box::new(FaultKind::Budget(context.budget)));
            }
            self.executed += 1;
            context.tally.executed[at as usize] += 1;
            let instruction = &program.code[at as usize];
            self.next = at + 1;
            match self.guarded(instruction, context) {
                Ok(None) => {}
                Ok(Some(pause)) => return Ok(pause),
                Err(fault) => {
                    self.next = at;
                    return Err(fault);
                }
            }
        }
    }

    #[inline]
    fn guarded(&mut self, instruction: &Instruction, context: &mut Context<'_>) -> Step<Option<Pause>> {
        if let Some((register, wanted)) = instruction.guard
            && (self.read(Operand::Register(register), context)? != 0) != wanted
        {
            return Ok(None);
        }
        self.step(&instruction.operation, context)
    }

    #[inline]
    fn step(&mut self, operation: &Operation, context: &mut Context<'_>) -> Step<Option<Pause>> {
        match operation {
            Operation::Move { into, from } => self.copy(*into, *from, context)?,
            Operation::Binary { operation, kind, into, left, right } => {
                let value = self.binary(*operation, *kind, *left, *right, context)?;
                self.set(*into, value);
            }
            Operation::SetPredicate(set) => self.set_predicate(set, context)?,
            Operation::Branch(target) => self.next = *target,
            Operation::Load(load) => self.load(load, context)?,
            Operation::Store(store) => self.store(store, context)?,
            Operation::Atomic(access) => self.atomic(access, context)?,
            Operation::Fence => {}
            Operation::BranchIndexed { index, targets } => {
                let index = self.read(*index, context)? as u32;
                let past = FaultKind::BranchIndex { index, targets: targets.len() };
                self.next = *targets.get(index as usize).ok_or_else(|| Box::new(past))?;
            }
            Operation::Call(call) => self.call(call, context)?,
            Operation::Return => return Ok(self.leave(context.program)),
            Operation::Exit => return Ok(Some(Pause::Exited)),
            Operation::Trap => return Err(Box::new(FaultKind::Trap)),
            Operation::Barrier(_) | Operation::WarpBarrier { .. } | Operation::Shuffle(_) | Operation::Vote(_) => {
                return self.wait(operation, context).map(Some);
            }
            _ => self.compute(operation, context)?,
        }
        Ok(None)
    }

    /// A copy that takes the absence of a value along.
    fn copy(&mut self, into: Register, from: Operand, context: &Context<'_>) -> Step<()> {
        if let Operand::Register(from) = from {
            self.cells[self.base + into.0 as usize] = self.cells[self.base + from.0 as usize];
        } else {
            let value = self.read(from, context)?;
            self.set(into, value);
        }
        Ok(())
    }

    #[inline]
    fn binary(
        &self,
        operation: Binary,
        kind: Integer,
        left: Operand,
        right: Operand,
        context: &Context<'_>,
    ) -> Step<u64> {
        let (left, right) = (self.read(left, context)?, self.read(right, context)?);
        arithmetic::binary(operation, kind, left, right).ok_or_else(|| Box::new(FaultKind::DivisionByZero))
    }

    fn set_predicate(&mut self, set: &SetPredicate, context: &Context<'_>) -> Step<()> {
        let (left, right) = (self.read(set.left, context)?, self.read(set.right, context)?);
        let holds = compare::compare(set.comparison, set.kind, left, right);
        let (value, complement) = match set.combine {
            None => (holds, !holds),
            Some((logic, condition)) => {
                let other = self.condition(condition, context)?;
                (compare::combine(logic, holds, other), compare::combine(logic, !holds, other))
            }
        };
        self.set(set.into, u64::from(value));
        if let Some(into) = set.complement {
            self.set(into, u64::from(complement));
        }
        Ok(())
    }

    /// Operations that only turn registers into registers.
    fn compute(&mut self, operation: &Operation, context: &Context<'_>) -> Step<()> {
        let (into, value) = match operation {
            Operation::Unary { operation, kind, into, from } => {
                (into, arithmetic::unary(*operation, *kind, self.read(*from, context)?))
            }
            Operation::MulWide { kind, into, left, right } => {
                (into, arithmetic::mul_wide(*kind, self.read(*left, context)?, self.read(*right, context)?))
            }
            Operation::MulAdd { operation, kind, into, left, right, addend } => {
                let product = self.binary(*operation, *kind, *left, *right, context)?;
                (into, product.wrapping_add(self.read(*addend, context)?) & kind.width.mask())
            }
            Operation::MulAddWide { kind, into, left, right, addend } => {
                let product = arithmetic::mul_wide(*kind, self.read(*left, context)?, self.read(*right, context)?);
                let wide = kind.width.doubled().unwrap_or(kind.width);
                (into, product.wrapping_add(self.read(*addend, context)?) & wide.mask())
            }
            Operation::Select { into, left, right, condition } => {
                let picked = if self.read(*condition, context)? != 0 { *left } else { *right };
                (into, self.read(picked, context)?)
            }
            Operation::Logic { logic, into, left, right } => {
                let (left, right) = (self.read(*left, context)? != 0, self.read(*right, context)? != 0);
                (into, u64::from(compare::combine(*logic, left, right)))
            }
            Operation::NotPredicate { into, from } => (into, u64::from(self.read(*from, context)? == 0)),
            Operation::Convert { from, to, saturate, register, into, value } => {
                (into, convert::convert(*from, *to, *saturate, self.read(*value, context)?, *register))
            }
            Operation::ToGeneric { space, into, from } => (into, to_generic(*space, self.read(*from, context)?)),
            Operation::FromGeneric { space, into, from } => (into, from_generic(*space, self.read(*from, context)?)),
            // Threads here diverge and meet as their order has it: all that is sure is the asking lane itself.
            Operation::ActiveMask { into } => (into, 1 << self.lane()),
            _ => return self.rearrange(operation, context),
        };
        self.set(*into, value);
        Ok(())
    }

    /// Bit fields, packing, carries.
    fn rearrange(&mut self, operation: &Operation, context: &Context<'_>) -> Step<()> {
        let (into, value) = match operation {
            Operation::Funnel { left, wrap, into, low, high, amount } => {
                let (low, high) = (self.read(*low, context)?, self.read(*high, context)?);
                (into, shift::funnel(*left, *wrap, low, high, self.read(*amount, context)?))
            }
            Operation::Extract { kind, into, from, start, length } => {
                let (start, length) = (self.read(*start, context)?, self.read(*length, context)?);
                (into, bits::extract(*kind, self.read(*from, context)?, start, length))
            }
            Operation::Insert { width, into, from, base, start, length } => {
                let (start, length) = (self.read(*start, context)?, self.read(*length, context)?);
                let (from, base) = (self.read(*from, context)?, self.read(*base, context)?);
                (into, bits::insert(*width, from, base, start, length))
            }
            Operation::Permute { into, low, high, selector } => {
                let (low, high) = (self.read(*low, context)?, self.read(*high, context)?);
                (into, bits::permute(low, high, self.read(*selector, context)?))
            }
            Operation::Pack { into, part, from } => (into, self.pack(*part, from, context)?),
            Operation::Unpack { into, part, from } => return self.unpack(into, *part, *from, context),
            Operation::Carry { carry, width, into, left, right } => {
                let (left, right) = (self.read(*left, context)?, self.read(*right, context)?);
                (into, self.with_carry(*carry, *width, left, right)?)
            }
            Operation::MulAddCarry { operation, carry, kind, into, operands: [left, right, addend] } => {
                let product = self.binary(*operation, *kind, *left, *right, context)?;
                let addend = self.read(*addend, context)?;
                (into, self.with_carry(*carry, kind.width, product, addend)?)
            }
            _ => unreachable!("every other operation has its arm above"),
        };
        self.set(*into, value);
        Ok(())
    }

    fn pack(&self, part: Width, from: &[Operand], context: &Context<'_>) -> Step<u64> {
        let mut packed = 0;
        for operand in from.iter().rev() {
            packed = packed << part.bits() | self.read(*operand, context)?;
        }
        Ok(packed)
    }

    fn unpack(&mut self, into: &[Option<Register>], part: Width, from: Operand, context: &Context<'_>) -> Step<()> {
        let mut packed = self.read(from, context)?;
        for register in into {
            if let Some(register) = register {
                self.set(*register, packed & part.mask());
            }
            packed >>= part.bits();
        }
        Ok(())
    }

    fn with_carry(&mut self, kind: Carry, width: Width, left: u64, right: u64) -> Step<u64> {
        let taken = if kind.takes { self.carry.ok_or_else(|| Box::new(FaultKind::UnsetCarry))? } else { false };
        let operation = if kind.subtract { carry::subtract } else { carry::add };
        let (value, given) = operation(width, left, right, taken);
        if kind.gives {
            self.carry = Some(given);
        }
        Ok(value)
    }

    fn callee(&self, call: &Call, context: &Context<'_>) -> Step<u32> {
        let pointer = match call.callee {
            Callee::Function(function) => return Ok(function),
            Callee::Pointer(pointer) => self.read(pointer, context)?,
        };
        let function = function_at(pointer).filter(|index| {
            let function = context.program.functions.get(*index);
            function.is_some_and(|function| function.callable && function.takes(call))
        });
        function.map(|index| index as u32).ok_or_else(|| Box::new(FaultKind::CallTarget(pointer)))
    }

    fn call(&mut self, call: &Call, context: &Context<'_>) -> Step<()> {
        let callee = self.callee(call, context)?;
        if self.frames.len() >= CALL_DEPTH {
            return Err(Box::new(FaultKind::CallDepth(self.frames.len())));
        }
        let function = &context.program.functions[callee as usize];
        let mut params = Region::unwritten(SPACE_START, function.param_bytes);
        for (argument, input) in call.arguments.iter().zip(&function.inputs) {
            params.copy_from(input.offset, self.params(), argument.offset, input.bytes);
        }
        let caller = self.next - 1;
        self.enter(callee, function, params, caller);
        Ok(())
    }

    /// Ends the frame; the entry's own frame ends the thread.
    fn leave(&mut self, program: &Program) -> Option<Pause> {
        if self.frames.len() == 1 {
            return Some(Pause::Exited);
        }
        let frame = self.frames.pop()?;
        self.cells.truncate(frame.base);
        self.local.truncate(frame.local_base);
        self.base = self.frame().base;
        self.next = frame.caller + 1;
        if let Operation::Call(call) = &program.code[frame.caller as usize].operation {
            let outputs = &program.functions[frame.function as usize].outputs;
            for (result, output) in call.results.iter().zip(outputs) {
                self.params_mut().copy_from(result.offset, &frame.params, output.offset, output.bytes);
            }
        }
        None
    }

    /// What a thread asks of its block or its warp.
    fn wait(&self, operation: &Operation, context: &Context<'_>) -> Step<Pause> {
        let (members, request) = match operation {
            Operation::Barrier(barrier) => {
                let id = self.read(barrier.id, context)? as u32;
                let count = barrier.count.map(|count| self.read(count, context)).transpose()?;
                let count = count.map(|count| count as u32);
                return Ok(Pause::Barrier(BarrierWait { id, count, aligned: barrier.aligned }));
            }
            Operation::WarpBarrier { members } => (*members, Request::Barrier),
            Operation::Shuffle(shuffle) => {
                let request = Request::Shuffle {
                    mode: shuffle.mode,
                    value: self.read(shuffle.value, context)?,
                    lane: self.read(shuffle.lane, context)? as u32,
                    clamp: self.read(shuffle.clamp, context)? as u32,
                    into: shuffle.into,
                    in_range: shuffle.in_range,
                };
                (shuffle.members, request)
            }
            Operation::Vote(vote) => {
                let condition = self.condition(vote.condition, context)?;
                (vote.members, Request::Vote { mode: vote.mode, condition, into: vote.into })
            }
            _ => unreachable!("only these make a thread wait"),
        };
        let (members, lane) = (self.read(members, context)? as u32, self.lane());
        if members >> lane & 1 == 0 {
            return Err(Box::new(FaultKind::NotAMember { lane, members }));
        }
        Ok(Pause::Warp(WarpWait { members, request }))
    }
}
