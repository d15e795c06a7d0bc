//! Conversion between integer types, and into registers that are wider than a type.

use super::signed;
use crate::program::{Integer, Width};

/// The value of a type in a register of at least its width: signed types fill it with their sign, others with zeros.
pub(crate) fn extend(kind: Integer, value: u64, register: Width) -> u64 {
    let cut = value & kind.width.mask();
    if kind.signed { signed(kind.width, cut) as u64 & register.mask() } else { cut }
}

/// `cvt`: the source is cut to its type, extended by that type's sign, and cut or clamped to the new type.
pub(crate) fn convert(from: Integer, to: Integer, saturate: bool, value: u64, register: Width) -> u64 {
    let cut = value & from.width.mask();
    let exact = if from.signed { i128::from(signed(from.width, cut)) } else { i128::from(cut) };
    let fitted = if saturate { exact.clamp(least(to), most(to)) } else { exact };
    extend(to, fitted as u64, register)
}

/// Whether the new type holds every value of the old one: there is nothing to clamp then, and `.sat` is not allowed.
pub(crate) fn always_fits(from: Integer, to: Integer) -> bool {
    least(to) <= least(from) && most(from) <= most(to)
}

fn least(kind: Integer) -> i128 {
    if kind.signed { -(1 << (kind.width.bits() - 1)) } else { 0 }
}

fn most(kind: Integer) -> i128 {
    (1 << (kind.width.bits() - u32::from(kind.signed))) - 1
}
