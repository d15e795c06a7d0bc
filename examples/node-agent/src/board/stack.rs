//! How deep the stack was at most: it is painted first, and later the paint that is left is counted.

use core::ptr::{read_volatile, write_volatile};

use super::stack_bounds;

const PAINT: u32 = 0xc0de_face;
/// Bytes below the stack pointer that are not painted: the painting itself stands there.
const MARGIN: usize = 256;

/// Paints what of the stack is free.
#[inline(never)]
pub fn paint() {
    let here = 0u32;
    let (bottom, _) = stack_bounds();
    let top = (core::ptr::from_ref(&here).addr() - MARGIN) & !3;
    for address in (bottom..top).step_by(4) {
        // SAFETY: between the program's variables and the stack pointer nothing is in use, and the addresses are aligned.
        unsafe { write_volatile(core::ptr::with_exposed_provenance_mut(address), PAINT) };
    }
}

/// Bytes of the stack that were in use at some time since it was painted.
#[must_use]
pub fn deepest() -> usize {
    let (bottom, top) = stack_bounds();
    let is_painted = |address: &usize| {
        // SAFETY: an aligned address inside the stack's memory.
        unsafe { read_volatile(core::ptr::with_exposed_provenance::<u32>(*address)) == PAINT }
    };
    let free = (bottom..top).step_by(4).take_while(is_painted).count() * 4;
    top - bottom - free
}
