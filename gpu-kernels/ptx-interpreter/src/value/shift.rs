//! Shifts, with the amounts that Rust refuses: PTX clamps an amount to the width.

use super::signed;
use crate::program::{Integer, Width};

pub(crate) fn left(width: Width, value: u64, amount: u64) -> u64 {
    if amount >= u64::from(width.bits()) { 0 } else { value << amount }
}

pub(crate) fn right(kind: Integer, value: u64, amount: u64) -> u64 {
    let amount = amount.min(u64::from(kind.width.bits()));
    if kind.signed {
        // An amount of 64 gives the sign, as 63 does.
        (signed(kind.width, value) >> amount.min(63)) as u64
    } else {
        value.checked_shr(amount as u32).unwrap_or(0)
    }
}

/// A window of 32 bits in the pair `high:low`, moved by an amount that wraps at 32 or clamps to it.
pub(crate) fn funnel(to_left: bool, wrap: bool, low: u64, high: u64, amount: u64) -> u64 {
    let amount = if wrap { amount & 31 } else { amount.min(32) };
    let pair = high << 32 | low;
    let window = if to_left { (pair << amount) >> 32 } else { pair >> amount };
    window & Width::B32.mask()
}
