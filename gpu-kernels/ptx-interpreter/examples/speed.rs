//! How many instructions of threads the interpreter executes in a second:
//! `cargo run --release -p orchestrator-ptx-interpreter --example speed`.
//!
//! The kernel is the tests' minimum of many numbers: strided loads, comparisons, then shuffles.

use std::error::Error;
use std::time::Instant;

use orchestrator_ptx_interpreter::{Launch, Memory, Module, launch};

const KERNELS: &str = include_str!("../tests/fixtures/kernels.ptx");
const NUMBERS: u64 = 1 << 20;
const ROUNDS: u32 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let module = Module::parse(KERNELS)?;
    let mut memory = Memory::new(1 << 30);
    let (input, out) = (memory.alloc(8 * NUMBERS)?, memory.alloc(8)?);
    let numbers: Vec<u8> = (0..NUMBERS).flat_map(|number| (NUMBERS - number).to_le_bytes()).collect();
    memory.write(input, &numbers)?;
    let mut params = input.to_le_bytes().to_vec();
    params.extend(NUMBERS.to_le_bytes());
    params.extend(out.to_le_bytes());
    for order_seed in 0..u64::from(ROUNDS) {
        let shape = Launch { grid: [1; 3], block: [256, 1, 1], dynamic_shared_bytes: 0, order_seed };
        let begun = Instant::now();
        let statistics = launch(&module, "minimum", &shape, &params, &mut memory)?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("{:6.1} million instructions a second", statistics.instructions as f64 / seconds / 1e6);
    }
    Ok(())
}
