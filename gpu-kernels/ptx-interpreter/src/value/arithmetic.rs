//! Addition to remainder, and the bitwise operations.

use super::shift;
use super::signed;
use crate::program::{Atomic, Binary, Integer, Unary, Width};

/// The result of a binary operation; `None` where the ISA leaves it open, that is for a division by zero.
pub(crate) fn binary(operation: Binary, kind: Integer, left: u64, right: u64) -> Option<u64> {
    let width = kind.width;
    let value = match operation {
        Binary::Add => left.wrapping_add(right),
        Binary::Sub => left.wrapping_sub(right),
        Binary::AddSaturating => saturated(width, signed(width, left).saturating_add(signed(width, right))),
        Binary::SubSaturating => saturated(width, signed(width, left).saturating_sub(signed(width, right))),
        Binary::MulLow => left.wrapping_mul(right),
        Binary::MulHigh => mul_high(kind, left, right),
        Binary::Div | Binary::Rem => divide(operation, kind, left, right)?,
        Binary::Min | Binary::Max => extreme(operation, kind, left, right),
        Binary::And => left & right,
        Binary::Or => left | right,
        Binary::Xor => left ^ right,
        Binary::ShiftLeft => shift::left(width, left, right),
        Binary::ShiftRight => shift::right(kind, left, right),
    };
    Some(value & width.mask())
}

fn saturated(width: Width, value: i64) -> u64 {
    let unused = 64 - width.bits();
    value.clamp(i64::MIN >> unused, i64::MAX >> unused) as u64
}

fn mul_high(kind: Integer, left: u64, right: u64) -> u64 {
    let bits = kind.width.bits();
    if kind.signed {
        ((i128::from(signed(kind.width, left)) * i128::from(signed(kind.width, right))) >> bits) as u64
    } else {
        ((u128::from(left) * u128::from(right)) >> bits) as u64
    }
}

/// The full product of two values of at most 32 bits, in twice their width.
pub(crate) fn mul_wide(kind: Integer, left: u64, right: u64) -> u64 {
    let product = if kind.signed {
        signed(kind.width, left).wrapping_mul(signed(kind.width, right)) as u64
    } else {
        left.wrapping_mul(right)
    };
    product & kind.width.doubled().map_or(u64::MAX, Width::mask)
}

fn divide(operation: Binary, kind: Integer, left: u64, right: u64) -> Option<u64> {
    if right == 0 {
        return None;
    }
    let (a, b) = (signed(kind.width, left), signed(kind.width, right));
    Some(match (operation, kind.signed) {
        (Binary::Div, true) => a.wrapping_div(b) as u64,
        (Binary::Div, false) => left / right,
        (_, true) => a.wrapping_rem(b) as u64,
        (_, false) => left % right,
    })
}

fn extreme(operation: Binary, kind: Integer, left: u64, right: u64) -> u64 {
    let left_is_less = if kind.signed { signed(kind.width, left) < signed(kind.width, right) } else { left < right };
    if left_is_less == (operation == Binary::Min) { left } else { right }
}

/// The result of a unary operation; the counts are numbers of 32 bits whatever the operand's width.
pub(crate) fn unary(operation: Unary, kind: Integer, value: u64) -> u64 {
    let width = kind.width;
    let result = match operation {
        Unary::Not => !value,
        Unary::Neg => value.wrapping_neg(),
        Unary::Abs => signed(width, value).unsigned_abs(),
        Unary::LogicalNot => u64::from(value == 0),
        Unary::CountOnes => u64::from(value.count_ones()),
        Unary::CountLeadingZeros => u64::from(value.leading_zeros() - (64 - width.bits())),
        Unary::Reverse => value.reverse_bits() >> (64 - width.bits()),
    };
    result & width.mask()
}

/// What an atomic operation leaves in memory.
pub(crate) fn atomic(operation: Atomic, kind: Integer, old: u64, operand: u64, swap: u64) -> u64 {
    let value = match operation {
        Atomic::Add => old.wrapping_add(operand),
        Atomic::Min => extreme(Binary::Min, kind, old, operand),
        Atomic::Max => extreme(Binary::Max, kind, old, operand),
        Atomic::And => old & operand,
        Atomic::Or => old | operand,
        Atomic::Xor => old ^ operand,
        Atomic::Exchange => operand,
        Atomic::CompareAndSwap if old == operand => swap,
        Atomic::CompareAndSwap => old,
        Atomic::Increment if old >= operand => 0,
        Atomic::Increment => old + 1,
        Atomic::Decrement if old == 0 || old > operand => operand,
        Atomic::Decrement => old - 1,
    };
    value & kind.width.mask()
}
