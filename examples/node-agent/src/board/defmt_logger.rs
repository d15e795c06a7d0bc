//! defmt's frames to the debugger's standard output.

use core::cell::UnsafeCell;

use defmt::Encoder;

use super::semihosting::{Stream, write};

/// Only touched between `acquire` and `release`, inside a critical section.
struct Frames(UnsafeCell<(Encoder, critical_section::RestoreState)>);

// SAFETY: a critical section of the only processor keeps everyone else out.
unsafe impl Sync for Frames {}

static FRAMES: Frames = Frames(UnsafeCell::new((Encoder::new(), critical_section::RestoreState::invalid())));

#[defmt::global_logger]
struct Logger;

fn send(bytes: &[u8]) {
    write(Stream::Output, bytes);
}

// SAFETY: frames do not mix, because each is written inside a critical section; a statement inside a statement is none
// that defmt makes.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: released in `release`.
        let restore = unsafe { critical_section::acquire() };
        // SAFETY: inside the critical section.
        let (encoder, kept) = unsafe { &mut *FRAMES.0.get() };
        *kept = restore;
        encoder.start_frame(send);
    }

    unsafe fn flush() {}

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: inside the critical section.
        let (encoder, _) = unsafe { &mut *FRAMES.0.get() };
        encoder.write(bytes, send);
    }

    unsafe fn release() {
        // SAFETY: inside the critical section.
        let (encoder, restore) = unsafe { &mut *FRAMES.0.get() };
        encoder.end_frame(send);
        let restore = *restore;
        // SAFETY: acquired in `acquire`.
        unsafe { critical_section::release(restore) };
    }
}
