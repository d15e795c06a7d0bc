//! What each operation does to integers, apart from registers and memory.
//!
//! Values travel as `u64`, cut to their width and extended with zeros; the functions here return them in the same form.
//! They follow the PTX ISA where Rust's own operators differ: shifts clamp, fields may reach past the top bit.

pub(crate) mod arithmetic;
pub(crate) mod bits;
pub(crate) mod carry;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod shift;

use crate::program::Width;

/// The value as a signed number.
pub(crate) const fn signed(width: Width, value: u64) -> i64 {
    let unused = 64 - width.bits();
    ((value << unused) as i64) >> unused
}
