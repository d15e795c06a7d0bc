//! The proof that deciding needs no operating system, no allocator and no panic.
//!
//! This program has no C runtime, no library and no heap, and its panic handler calls a symbol that nobody defines. It
//! links only if the optimiser could show that no panic is reachable from the calls below, whatever their inputs: those
//! come through volatile loads. `check.sh` builds it, looks for forbidden symbols, runs it, and plants a panic to see
//! that the linker then refuses. The program exits with 0 when the decisions it makes are the expected ones.

#![no_std]
#![no_main]

mod mem;
mod opaque;
mod probes;
mod recording;
mod scheduling;

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym main,
);

extern "C" fn main() -> ! {
    let status = probes::run();
    // SAFETY: `exit_group`, system call 231 of Linux on x86-64, does not return and touches no memory of ours.
    unsafe { asm!("syscall", in("eax") 231, in("edi") status, options(noreturn, nostack)) }
}

#[cfg(not(feature = "locate_panics"))]
unsafe extern "C" {
    /// Defined nowhere: a reachable panic is an error of the linker.
    fn orchestrator_core_can_panic() -> !;
}

#[cfg(feature = "locate_panics")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn orchestrator_core_can_panic() -> ! {
    // SAFETY: `ud2` stops the program.
    unsafe { asm!("ud2", options(noreturn, nostack)) }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    #[cfg_attr(feature = "locate_panics", allow(unused_unsafe, reason = "defined above, and safe"))]
    // SAFETY: never called: the program does not link where it could be, except to show where that is.
    unsafe {
        orchestrator_core_can_panic()
    }
}
