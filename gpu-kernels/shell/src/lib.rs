//! The kernels as a device runs them: entries with the names and arguments of `orchestrator_kernels::launch`, over
//! blocks whose threads are those of the device.
//!
//! All unsafe code of the kernels is here. What it relies on is what a host promises with a launch: that each pointer
//! and the length beside it are of one allocation, aligned, that inputs and outputs do not overlap, and that blocks have
//! `THREADS` threads. What records hold is not relied on.

#![no_std]
#![feature(abi_ptx, asm_experimental_arch, stdarch_nvptx)]

mod block;
mod entries;
mod memory;

/// A device has nobody to tell: the launch fails. No kernel can reach this; the image holds no call.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: ends the launch.
    unsafe { core::arch::nvptx::trap() }
}
