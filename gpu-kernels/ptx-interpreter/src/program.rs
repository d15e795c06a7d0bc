//! The decoded program: what a thread executes, with every name already turned into an index or an address.
//!
//! Parsing is where text is refused; nothing here can be wrong in form. Invariant: registers hold values cut to their
//! declared width and extended with zeros, and an operation's operands have the width that its type asks for.

use std::collections::BTreeMap;

/// The width of an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Width {
    B8,
    B16,
    B32,
    B64,
}

impl Width {
    pub(crate) const fn bits(self) -> u32 {
        match self {
            Self::B8 => 8,
            Self::B16 => 16,
            Self::B32 => 32,
            Self::B64 => 64,
        }
    }

    pub(crate) const fn bytes(self) -> usize {
        self.bits() as usize / 8
    }

    pub(crate) const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }

    /// The width of a product that loses nothing.
    pub(crate) const fn doubled(self) -> Option<Self> {
        match self {
            Self::B8 => Some(Self::B16),
            Self::B16 => Some(Self::B32),
            Self::B32 => Some(Self::B64),
            Self::B64 => None,
        }
    }
}

/// An integer type as far as arithmetic is concerned: `.b` types behave as unsigned ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Integer {
    pub(crate) width: Width,
    pub(crate) signed: bool,
}

/// A register of the executing frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) u32);

/// A read-only register that the hardware fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    Thread(u8),
    BlockSize(u8),
    Block(u8),
    GridSize(u8),
    Lane,
    WarpSize,
    LaneMask(LaneMask),
    DynamicShared,
}

/// Which lanes of a warp a `%lanemask_*` names, seen from the reader's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneMask {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    Register(Register),
    /// An immediate, or an address that is the same in every launch.
    Value(u64),
    /// An offset into the module's variables in global memory, whose place only the launch knows.
    Static(u64),
    /// An offset into the frame's local variables.
    Local(u64),
    Special(Special),
}

/// An address operand: `[base+offset]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) base: Operand,
    pub(crate) offset: u64,
}

/// A state space as a memory instruction names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    Shared,
    Local,
    Const,
    Param,
}

/// How an access orders itself against others; only the race check of shared memory looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strength {
    /// Plain and volatile accesses: two of them on the same bytes race.
    Weak,
    /// Relaxed and stronger ones, and atomics: they do not race with each other.
    Strong,
}

/// Operations of two integers that give one of the same type (shifts take their amount as 32 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    AddSaturating,
    SubSaturating,
    MulLow,
    MulHigh,
    Div,
    Rem,
    Min,
    Max,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

/// Operations of one integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Not,
    Neg,
    Abs,
    LogicalNot,
    CountOnes,
    CountLeadingZeros,
    Reverse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logic {
    And,
    Or,
    Xor,
}

/// A predicate to read, perhaps negated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) operand: Operand,
    pub(crate) negated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Atomic {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exchange,
    CompareAndSwap,
    Increment,
    Decrement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shuffle {
    Up,
    Down,
    Butterfly,
    Index,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vote {
    All,
    Any,
    Uniform,
    Ballot,
}

/// Where a vector load puts its elements; `None` is the sink `_`.
pub(crate) type Elements<T> = Box<[T]>;

/// `add.cc` and its relatives: the product of `mad` comes in as `a`, already formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carry {
    pub(crate) subtract: bool,
    pub(crate) takes: bool,
    pub(crate) gives: bool,
}

/// A load from any state space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) space: Space,
    pub(crate) strength: Strength,
    /// Through the path that is not coherent with stores of the same launch.
    pub(crate) non_coherent: bool,
    pub(crate) kind: Integer,
    /// Each element's register and that register's width.
    pub(crate) into: Elements<Option<(Register, Width)>>,
    pub(crate) address: Address,
}

/// A store to any state space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) space: Space,
    pub(crate) strength: Strength,
    pub(crate) width: Width,
    pub(crate) from: Elements<Operand>,
    pub(crate) address: Address,
}

/// `atom` and `red`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AtomicAccess {
    pub(crate) operation: Atomic,
    pub(crate) space: Space,
    pub(crate) kind: Integer,
    pub(crate) into: Option<Register>,
    pub(crate) address: Address,
    pub(crate) operand: Operand,
    /// The new value of a compare-and-swap.
    pub(crate) swap: Option<Operand>,
}

/// `setp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetPredicate {
    pub(crate) comparison: Comparison,
    pub(crate) kind: Integer,
    pub(crate) into: Register,
    /// The second destination, which takes the negated comparison.
    pub(crate) complement: Option<Register>,
    pub(crate) left: Operand,
    pub(crate) right: Operand,
    pub(crate) combine: Option<(Logic, Condition)>,
}

/// `shfl.sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShuffleSync {
    pub(crate) mode: Shuffle,
    pub(crate) into: Register,
    pub(crate) in_range: Option<Register>,
    pub(crate) value: Operand,
    pub(crate) lane: Operand,
    pub(crate) clamp: Operand,
    pub(crate) members: Operand,
}

/// `vote.sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VoteSync {
    pub(crate) mode: Vote,
    pub(crate) into: Register,
    pub(crate) condition: Condition,
    pub(crate) members: Operand,
}

/// `bar.sync` and `barrier.sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Barrier {
    pub(crate) id: Operand,
    pub(crate) count: Option<Operand>,
    /// All threads of a warp must be at the same instruction.
    pub(crate) aligned: bool,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callee {
    Function(u32),
    /// The address of a function, whose parameters must have the sizes that the call gives.
    Pointer(Operand),
}

/// A call of a function of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) callee: Callee,
    /// Places of the arguments among the caller's parameters, in order.
    pub(crate) arguments: Box<[Slot]>,
    pub(crate) results: Box<[Slot]>,
}

/// A variable of parameter space: an offset into the frame's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    pub(crate) align: usize,
}

/// What an instruction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A plain copy. It copies the absence of a value too: compilers move registers that no path has set.
    Move {
        into: Register,
        from: Operand,
    },
    Pack {
        into: Register,
        part: Width,
        from: Elements<Operand>,
    },
    Unpack {
        into: Elements<Option<Register>>,
        part: Width,
        from: Operand,
    },
    Binary {
        operation: Binary,
        kind: Integer,
        into: Register,
        left: Operand,
        right: Operand,
    },
    Unary {
        operation: Unary,
        kind: Integer,
        into: Register,
        from: Operand,
    },
    MulWide {
        kind: Integer,
        into: Register,
        left: Operand,
        right: Operand,
    },
    MulAdd {
        operation: Binary,
        kind: Integer,
        into: Register,
        left: Operand,
        right: Operand,
        addend: Operand,
    },
    MulAddWide {
        kind: Integer,
        into: Register,
        left: Operand,
        right: Operand,
        addend: Operand,
    },
    Carry {
        carry: Carry,
        width: Width,
        into: Register,
        left: Operand,
        right: Operand,
    },
    MulAddCarry {
        operation: Binary,
        carry: Carry,
        kind: Integer,
        into: Register,
        operands: [Operand; 3],
    },
    Funnel {
        left: bool,
        wrap: bool,
        into: Register,
        low: Operand,
        high: Operand,
        amount: Operand,
    },
    Extract {
        kind: Integer,
        into: Register,
        from: Operand,
        start: Operand,
        length: Operand,
    },
    Insert {
        width: Width,
        into: Register,
        from: Operand,
        base: Operand,
        start: Operand,
        length: Operand,
    },
    Permute {
        into: Register,
        low: Operand,
        high: Operand,
        selector: Operand,
    },
    Select {
        into: Register,
        left: Operand,
        right: Operand,
        condition: Operand,
    },
    SetPredicate(Box<SetPredicate>),
    Logic {
        logic: Logic,
        into: Register,
        left: Operand,
        right: Operand,
    },
    NotPredicate {
        into: Register,
        from: Operand,
    },
    Convert {
        from: Integer,
        to: Integer,
        saturate: bool,
        register: Width,
        into: Register,
        value: Operand,
    },
    ToGeneric {
        space: Space,
        into: Register,
        from: Operand,
    },
    FromGeneric {
        space: Space,
        into: Register,
        from: Operand,
    },
    Load(Box<Load>),
    Store(Box<Store>),
    Atomic(Box<AtomicAccess>),
    Fence,
    Branch(u32),
    BranchIndexed {
        index: Operand,
        targets: Box<[u32]>,
    },
    Call(Box<Call>),
    Return,
    Exit,
    Trap,
    Barrier(Box<Barrier>),
    WarpBarrier {
        members: Operand,
    },
    Shuffle(Box<ShuffleSync>),
    Vote(Box<VoteSync>),
    ActiveMask {
        into: Register,
    },
}

/// One instruction with its guard and its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) guard: Option<(Register, bool)>,
    pub(crate) operation: Operation,
    pub(crate) line: u32,
    /// Which of the module's spellings of opcodes this is.
    pub(crate) opcode: u16,
}

/// A function or an entry: where its code starts, and what a frame of it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: u32,
    /// It has a body and is no entry.
    pub(crate) callable: bool,
    pub(crate) start: u32,
    /// One past the last instruction.
    pub(crate) end: u32,
    /// Names by register index, for reports.
    pub(crate) registers: Vec<String>,
    pub(crate) inputs: Vec<Slot>,
    pub(crate) outputs: Vec<Slot>,
    pub(crate) param_bytes: usize,
    pub(crate) local_bytes: usize,
    pub(crate) local_spans: Vec<(usize, usize)>,
}

/// A variable of the module in global or constant memory whose value holds an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relocation {
    pub(crate) at: usize,
    pub(crate) target: Operand,
    pub(crate) addend: u64,
}

/// The first contents of a state space: bytes, which of them are variables, and the addresses to fill in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) spans: Vec<(usize, usize)>,
    pub(crate) relocations: Vec<Relocation>,
}

impl Function {
    /// Whether a call fits: each argument and result has its parameter's size.
    pub(crate) fn takes(&self, call: &Call) -> bool {
        let same =
            |given: &[Slot], own: &[Slot]| given.iter().map(|slot| slot.bytes).eq(own.iter().map(|slot| slot.bytes));
        same(&call.arguments, &self.inputs) && same(&call.results, &self.outputs)
    }
}

/// All code of a module and the memory that it declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) code: Vec<Instruction>,
    pub(crate) functions: Vec<Function>,
    pub(crate) opcodes: Vec<String>,
    pub(crate) statics: Image,
    pub(crate) constants: Image,
    /// Variables in shared memory that any entry may use: offset and bytes.
    pub(crate) shared: Vec<(usize, usize)>,
    /// Variables in shared memory of one function only, by its index.
    pub(crate) shared_of: BTreeMap<u32, Vec<(usize, usize)>>,
    /// The largest alignment asked for by dynamic shared memory.
    pub(crate) dynamic_shared: bool,
}
