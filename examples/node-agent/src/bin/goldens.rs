//! Prints the digests of both goldens, computed on the microcontroller.

#![no_std]
#![no_main]

use node_agent::board::{exit, prepare, print, print_hex, print_number, stack};

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    prepare();
    stack::paint();
    golden("placement ", orchestrator_golden::placement_digest);
    golden("scheduler ", orchestrator_golden::scheduler_digest);
    print("stack ");
    print_number(stack::deepest() as u32);
    print("\n");
    exit(0)
}

fn golden(name: &str, digest: fn() -> u64) {
    let digest = digest();
    print(name);
    print_hex(digest);
    print("\n");
}
