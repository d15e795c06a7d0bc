//! Comparisons and the logic that combines them.

use super::signed;
use crate::program::{Comparison, Integer, Logic};

pub(crate) fn compare(comparison: Comparison, kind: Integer, left: u64, right: u64) -> bool {
    let order = if kind.signed { signed(kind.width, left).cmp(&signed(kind.width, right)) } else { left.cmp(&right) };
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

pub(crate) fn combine(logic: Logic, left: bool, right: bool) -> bool {
    match logic {
        Logic::And => left & right,
        Logic::Or => left | right,
        Logic::Xor => left ^ right,
    }
}
