//! Prints the digests of both goldens, computed where it runs: `placement HEX`, `scheduler HEX`.
//!
//! Without an operating system's library, so that the same sources run on every architecture that an emulator knows: on
//! Linux by two system calls, in WebAssembly as two functions that the host calls.

#![no_std]
#![no_main]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod mem;
#[cfg(target_family = "wasm")]
mod wasm;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(target_os = "linux")]
    linux::exit(101);
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable()
}
