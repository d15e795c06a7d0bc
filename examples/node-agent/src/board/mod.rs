//! The machine: what a microcontroller and its debugger give the programs here.
//!
//! | function | what it does |
//! |---|---|
//! | [`print`], [`exit`] | text and an exit status for the debugger, or for an emulator in its place |
//! | [`pend`] | raises the interrupt that stands for the wire's |
//! | [`instructions`] | counts, as far as the machine can |
//! | [`stack`] | how deep the stack was at most |

#[cfg(target_arch = "arm")]
mod cortex_m;
#[cfg(feature = "defmt")]
mod defmt_logger;
mod memory;
#[cfg(target_arch = "riscv32")]
mod riscv;
mod semihosting;
pub mod stack;
mod text;

#[cfg(target_arch = "arm")]
pub use cortex_m::{instructions, pend, prepare, stack_bounds};
pub use memory::Place;
#[cfg(target_arch = "riscv32")]
pub use riscv::{acknowledge, instructions, pend, prepare, stack_bounds};
pub use semihosting::{exit, print};
pub use text::{print_hex, print_number};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(101)
}
