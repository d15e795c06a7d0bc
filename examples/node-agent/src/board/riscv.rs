//! RISC-V: the software interrupt of the core-local interruptor stands for the wire's.

/// The pending bit of hart 0, where QEMU's `virt` has it.
const MSIP: *mut u32 = core::ptr::without_provenance_mut(0x0200_0000);

unsafe extern "C" {
    /// Of the linker script of riscv-rt: the end of all variables, and the first address above the stack.
    static __sheap: u8;
    static _stack_start: u8;
}

/// Lets interrupts come.
pub fn prepare() {
    // SAFETY: the handler is there, and touches only what is its own.
    unsafe {
        riscv::register::mie::set_msoft();
        riscv::interrupt::enable();
    }
}

/// Raises the interrupt. It is taken at once.
pub fn pend() {
    // SAFETY: the register is a device's, and writing it is what it is for.
    unsafe { MSIP.write_volatile(1) };
    riscv::asm::fence();
}

/// Takes the interrupt back: for its handler.
pub fn acknowledge() {
    // SAFETY: as for `pend`.
    unsafe { MSIP.write_volatile(0) };
}

/// Instructions since an earlier call, which returned `since`; and what to give the next call.
#[must_use]
pub fn instructions(since: u32) -> (u32, u32) {
    let now = riscv::register::minstret::read() as u32;
    (now.wrapping_sub(since), now)
}

/// The memory that the stack can have.
#[must_use]
pub fn stack_bounds() -> (usize, usize) {
    ((&raw const __sheap).addr().next_multiple_of(4), (&raw const _stack_start).addr())
}
