//! Cortex-M: PendSV stands for the wire's interrupt, SysTick counts.

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};

/// Instructions that an emulator with `-icount shift=0` runs between two counts: a nanosecond each, at 25 MHz.
const PER_COUNT: u32 = 40;
const COUNTS: u32 = 1 << 24;

unsafe extern "C" {
    /// Of the linker script of cortex-m-rt: the end of all variables, and the first address above the stack.
    static __sheap: u8;
    static _stack_start: u8;
}

/// Starts what counts.
pub fn prepare() {
    // SAFETY: called first, and nothing else uses the timer.
    let mut timer = unsafe { cortex_m::Peripherals::steal() }.SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(COUNTS - 1);
    timer.clear_current();
    timer.enable_counter();
}

/// Raises the interrupt. It is taken at once.
pub fn pend() {
    SCB::set_pendsv();
    cortex_m::asm::isb();
}

/// Instructions since an earlier call, which returned `since`; and what to give the next call.
#[must_use]
pub fn instructions(since: u32) -> (u32, u32) {
    let now = SYST::get_current();
    // It counts down.
    ((since.wrapping_sub(now) & (COUNTS - 1)) * PER_COUNT, now)
}

/// The memory that the stack can have.
#[must_use]
pub fn stack_bounds() -> (usize, usize) {
    ((&raw const __sheap).addr().next_multiple_of(4), (&raw const _stack_start).addr())
}
