//! Where each state space lies: its first address in its own terms, and its window among generic addresses.
//!
//! No space starts at zero, so that a null pointer is stray in all of them. Global addresses are generic addresses as
//! they are; every other window lies above all of global memory.

use crate::program::Space;

/// The first address of a variable in any space but global memory.
pub(crate) const SPACE_START: u64 = 0x400;
/// The first address of dynamic shared memory: above any that variables of shared memory can take.
pub(crate) const DYNAMIC_SHARED_START: u64 = 0x10_0000;
/// The first address of an allocation.
pub(crate) const GLOBAL_START: u64 = 0x7_0000_0000;
/// No allocation reaches this address.
pub(crate) const GLOBAL_END: u64 = 1 << 47;
/// The address of function number zero. Nothing can be read there.
pub(crate) const CODE_START: u64 = 1 << 50;

/// The distance between the addresses of functions.
const CODE_STEP: u64 = 16;

/// The address of a function.
pub(crate) fn code_address(function: u32) -> u64 {
    CODE_START + CODE_STEP * u64::from(function)
}

/// The function that an address is that of, if the module has so many.
pub(crate) fn function_at(address: u64) -> Option<usize> {
    let offset = address.checked_sub(CODE_START)?;
    usize::try_from(offset / CODE_STEP).ok().filter(|_| offset % CODE_STEP == 0)
}

const WINDOW_BYTES: u64 = 1 << 32;
const SHARED_WINDOW: u64 = 1 << 48;
const LOCAL_WINDOW: u64 = SHARED_WINDOW + WINDOW_BYTES;
const CONST_WINDOW: u64 = LOCAL_WINDOW + WINDOW_BYTES;

/// The generic address of zero in a space.
const fn window(space: Space) -> u64 {
    match space {
        Space::Shared => SHARED_WINDOW,
        Space::Local => LOCAL_WINDOW,
        Space::Const => CONST_WINDOW,
        Space::Generic | Space::Global | Space::Param => 0,
    }
}

/// An address of a space as a generic one.
pub(crate) const fn to_generic(space: Space, address: u64) -> u64 {
    address.wrapping_add(window(space))
}

/// A generic address in terms of a space; one that lies elsewhere becomes an address that the space does not have.
pub(crate) const fn from_generic(space: Space, address: u64) -> u64 {
    address.wrapping_sub(window(space))
}

/// The space that a generic address lies in, and the address there.
pub(crate) const fn resolve(address: u64) -> (Space, u64) {
    if address < SHARED_WINDOW {
        return (Space::Global, address);
    }
    let inside = address % WINDOW_BYTES;
    match (address - SHARED_WINDOW) / WINDOW_BYTES {
        0 => (Space::Shared, inside),
        1 => (Space::Local, inside),
        2 => (Space::Const, inside),
        _ => (Space::Global, address),
    }
}
