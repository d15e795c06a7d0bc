//! The names of a module and of a function: what is declared, in which scope, and where it lies.

use std::collections::HashMap;

use crate::program::{Operand, Register, Slot, Space, Width};

/// What a name stands for, apart from registers and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symbol {
    /// A variable, whose address in its own space is this operand.
    Variable {
        space: Space,
        address: Operand,
    },
    /// A variable in parameter space; the first kind may only be read.
    Input(Slot),
    Writable(Slot),
    Function(u32),
}

/// A register, and its width; `None` is a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedRegister {
    pub(crate) register: Register,
    pub(crate) width: Option<Width>,
}

/// Names between one pair of braces.
#[derive(Debug, Default)]
struct Scope {
    symbols: HashMap<String, Symbol>,
    registers: HashMap<String, NamedRegister>,
    /// Registers declared by the number: prefix to the first register and how many.
    ranges: HashMap<String, (NamedRegister, u32)>,
}

/// The scopes that are open, outermost first.
#[derive(Debug, Default)]
pub(crate) struct Names {
    scopes: Vec<Scope>,
}

impl Names {
    pub(crate) fn open(&mut self) {
        self.scopes.push(Scope::default());
    }

    pub(crate) fn close(&mut self) {
        self.scopes.pop();
    }

    pub(crate) fn depth(&self) -> usize {
        self.scopes.len()
    }

    /// Declares a name in the innermost scope; false where that scope has it already.
    pub(crate) fn declare(&mut self, name: &str, symbol: Symbol) -> bool {
        let Some(scope) = self.scopes.last_mut() else { return false };
        !scope.registers.contains_key(name) && scope.symbols.insert(name.to_owned(), symbol).is_none()
    }

    pub(crate) fn declare_register(&mut self, name: &str, register: NamedRegister) -> bool {
        let Some(scope) = self.scopes.last_mut() else { return false };
        !scope.symbols.contains_key(name) && scope.registers.insert(name.to_owned(), register).is_none()
    }

    pub(crate) fn declare_range(&mut self, prefix: &str, first: NamedRegister, count: u32) -> bool {
        let Some(scope) = self.scopes.last_mut() else { return false };
        scope.ranges.insert(prefix.to_owned(), (first, count)).is_none()
    }

    /// Declares a name of the module, from within a function's scope.
    pub(crate) fn declare_outermost(&mut self, name: &str, symbol: Symbol) -> bool {
        let Some(scope) = self.scopes.first_mut() else { return false };
        scope.symbols.insert(name.to_owned(), symbol).is_none()
    }

    /// A name of the module, whatever hides it.
    pub(crate) fn outermost(&self, name: &str) -> Option<Symbol> {
        self.scopes.first()?.symbols.get(name).copied()
    }

    pub(crate) fn symbol(&self, name: &str) -> Option<Symbol> {
        self.scopes.iter().rev().find_map(|scope| scope.symbols.get(name).copied())
    }

    pub(crate) fn register(&self, name: &str) -> Option<NamedRegister> {
        self.scopes.iter().rev().find_map(|scope| scope.register(name))
    }
}

impl Scope {
    fn register(&self, name: &str) -> Option<NamedRegister> {
        if let Some(register) = self.registers.get(name) {
            return Some(*register);
        }
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &name[prefix.len()..];
        let canonical = digits == "0" || !digits.starts_with('0');
        let (first, count) = self.ranges.get(prefix)?;
        let number: u32 = digits.parse().ok().filter(|number| canonical && number < count)?;
        Some(NamedRegister { register: Register(first.register.0 + number), width: first.width })
    }
}
