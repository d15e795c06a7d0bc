//! Tests of the interpreter through its public interface.

mod compiled;
mod faults;
mod host_memory;
mod memory;
mod opcodes;
mod parsing;
mod support;
mod warps;
