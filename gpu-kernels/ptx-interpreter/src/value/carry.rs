//! Addition and subtraction with the carry that a chain of instructions hands on.

use crate::program::Width;

/// The sum, and whether it carries out.
pub(crate) fn add(width: Width, left: u64, right: u64, carry: bool) -> (u64, bool) {
    let sum = u128::from(left) + u128::from(right) + u128::from(carry);
    (sum as u64 & width.mask(), sum >> width.bits() != 0)
}

/// The difference, and whether it borrows.
pub(crate) fn subtract(width: Width, left: u64, right: u64, borrow: bool) -> (u64, bool) {
    let due = u128::from(right) + u128::from(borrow);
    (left.wrapping_sub(due as u64) & width.mask(), u128::from(left) < due)
}
