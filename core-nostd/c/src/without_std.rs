//! What the standard library has for every static library, and this one has to bring where it is built without.

use core::hint::spin_loop;
use core::panic::PanicInfo;

/// Never called: nothing here panics (`tests/c/without_std.rs`).
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        spin_loop();
    }
}

/// Never called: with `panic = "abort"` nothing unwinds. The compiled core library that comes with the toolchain names it,
/// so that a program would not link without `--gc-sections`.
#[unsafe(no_mangle)]
const extern "C" fn rust_eh_personality() {}
