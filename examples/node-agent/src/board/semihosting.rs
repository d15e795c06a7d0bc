//! Semihosting: what a debugger, or an emulator, does for a program without an operating system.

use core::arch::asm;

const SYS_OPEN: usize = 0x01;
const SYS_WRITE: usize = 0x05;
const SYS_EXIT_EXTENDED: usize = 0x20;
/// The program ended by itself.
const APPLICATION_EXIT: usize = 0x20026;

/// The debugger's console. Opened for writing it is standard output, for appending standard error.
const CONSOLE: &[u8] = b":tt\0";
const MODE_WRITE: usize = 4;
const MODE_APPEND: usize = 8;

/// A stream of the debugger's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// Log frames.
    Output,
    /// Text.
    Error,
}

/// Writes text: standard error where logs go to standard output, else standard output.
pub fn print(text: &str) {
    write(if cfg!(feature = "defmt") { Stream::Error } else { Stream::Output }, text.as_bytes());
}

/// Writes bytes.
pub(crate) fn write(stream: Stream, bytes: &[u8]) {
    let mode = match stream {
        Stream::Output => MODE_WRITE,
        Stream::Error => MODE_APPEND,
    };
    // Opened each time: there is nothing to keep, and nothing to share with an interrupt.
    let file = call(SYS_OPEN, &[CONSOLE.as_ptr() as usize, mode, CONSOLE.len() - 1]);
    call(SYS_WRITE, &[file, bytes.as_ptr() as usize, bytes.len()]);
}

/// Ends the program with a status.
pub fn exit(status: u32) -> ! {
    call(SYS_EXIT_EXTENDED, &[APPLICATION_EXIT, status as usize, 0]);
    loop {
        core::hint::spin_loop();
    }
}

fn call(operation: usize, arguments: &[usize; 3]) -> usize {
    let mut result = operation;
    // SAFETY: the operations above read the arguments and the bytes that they point to, and write nothing of ours.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("bkpt 0xab", inout("r0") result, in("r1") arguments.as_ptr(), options(nostack));
        #[cfg(target_arch = "riscv32")]
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") result,
            in("a1") arguments.as_ptr(),
            options(nostack),
        );
    }
    result
}
