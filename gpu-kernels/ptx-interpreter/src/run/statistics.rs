//! What a launch executed, for reports of coverage and cost.

use std::collections::BTreeMap;

use crate::entry::Entry;
use crate::program::Program;

/// What a launch executed. An instruction counts when a thread reaches it, whether or not its guard lets it act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Instructions of all threads.
    pub instructions: u64,
    /// The same by opcode with its modifiers and types, as it is spelled.
    pub opcodes: BTreeMap<String, u64>,
    /// The same by line of the text. All lines of the entry's code are here, also those that no thread reached; lines of
    /// other functions only where one did.
    pub lines: BTreeMap<u32, u64>,
    /// Loads from global memory; a vector counts once.
    pub global_loads: u64,
    /// Stores to global memory; a vector counts once.
    pub global_stores: u64,
    /// Atomic operations on global memory.
    pub global_atomics: u64,
}

impl Statistics {
    /// Adds what another launch executed.
    pub fn add(&mut self, other: &Self) {
        self.instructions += other.instructions;
        self.global_loads += other.global_loads;
        self.global_stores += other.global_stores;
        self.global_atomics += other.global_atomics;
        for (opcode, count) in &other.opcodes {
            *self.opcodes.entry(opcode.clone()).or_default() += count;
        }
        for (line, count) in &other.lines {
            *self.lines.entry(*line).or_default() += count;
        }
    }

    /// The lines with code that no thread reached.
    pub fn unreached_lines(&self) -> impl Iterator<Item = u32> + '_ {
        self.lines.iter().filter(|(_, count)| **count == 0).map(|(line, _)| *line)
    }
}

/// Counts under way: by index of the instruction.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) executed: Vec<u64>,
    pub(super) global_loads: u64,
    pub(super) global_stores: u64,
    pub(super) global_atomics: u64,
}

impl Tally {
    pub(super) fn new(program: &Program) -> Self {
        Self { executed: vec![0; program.code.len()], ..Self::default() }
    }

    pub(super) fn statistics(&self, program: &Program, entry: &Entry) -> Statistics {
        let mut statistics = Statistics {
            global_loads: self.global_loads,
            global_stores: self.global_stores,
            global_atomics: self.global_atomics,
            ..Statistics::default()
        };
        let function = &program.functions[entry.function as usize];
        for (index, (instruction, count)) in program.code.iter().zip(&self.executed).enumerate() {
            let of_entry = (function.start as usize..function.end as usize).contains(&index);
            if *count == 0 && !of_entry {
                continue;
            }
            *statistics.lines.entry(instruction.line).or_default() += count;
            if *count > 0 {
                let opcode = program.opcodes[usize::from(instruction.opcode)].clone();
                *statistics.opcodes.entry(opcode).or_default() += count;
                statistics.instructions += count;
            }
        }
        statistics
    }
}
