//! What was wrong with an input, and in which field.
//!
//! A refusal names the field by its path in the wire format (`requirements.min_vram_bytes`), the limit that was broken
//! and thereby what to do. Errors are small `Copy` values: they are made without an allocator.

use core::fmt;

/// Why one value was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Problem {
    /// A required field is absent.
    Missing,
    /// The value has another type than the field takes.
    WrongType {
        /// What the field takes, in words.
        expected: &'static str,
    },
    /// A number below zero.
    Negative,
    /// NaN or infinite.
    NotFinite,
    /// A number above its limit.
    TooLarge {
        /// The largest value that is accepted.
        max: u64,
    },
    /// A number with a unit above its limit.
    TooLargeScaled {
        /// The largest value that is accepted, in the unit it is stored in.
        max: u64,
        /// How many of those make one of the field's unit.
        per: u16,
    },
    /// A text that must not be empty is.
    Empty,
    /// A text longer than its limit.
    TooLong {
        /// The most bytes that are accepted.
        max_bytes: usize,
    },
    /// A list with more entries than its limit.
    TooMany {
        /// The most entries that are accepted.
        max: usize,
    },
    /// An entry stands twice where it may stand once.
    Repeated,
    /// A text that does not have the form it must have.
    Malformed {
        /// The form, in words.
        expected: &'static str,
    },
    /// Fields that contradict each other.
    Contradiction {
        /// How they do.
        why: &'static str,
    },
    /// The job needs more of a budget than is left of it. BUDGET-3.
    OverBudget {
        /// What is left, in the unit it is stored in.
        left: u64,
        /// How many of those make one of the field's unit.
        per: u16,
    },
    /// This owner's fixed storage for such entries is full; a larger one would take it.
    StorageFull {
        /// Its capacity.
        capacity: usize,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing => f.write_str("required, but absent"),
            Self::WrongType { expected } => write!(f, "wrong type: expected {expected}"),
            Self::Negative => f.write_str("must not be negative"),
            Self::NotFinite => f.write_str("must be a finite number"),
            Self::TooLarge { max } => write!(f, "above its limit: at most {max}"),
            Self::TooLargeScaled { max, per } => {
                f.write_str("above its limit: at most ")?;
                write_quotient(f, max, per)
            }
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { max_bytes } => write!(f, "too long: at most {max_bytes} bytes"),
            Self::TooMany { max } => write!(f, "too many entries: at most {max}"),
            Self::Repeated => f.write_str("stands more than once"),
            Self::Malformed { expected } => write!(f, "malformed: expected {expected}"),
            Self::Contradiction { why } => f.write_str(why),
            Self::OverBudget { left, per } => {
                f.write_str("the job needs more than what is left: ")?;
                write_quotient(f, left, per)
            }
            Self::StorageFull { capacity } => write!(f, "no room: the capacity of {capacity} is used up"),
        }
    }
}

impl core::error::Error for Problem {}

/// `max / per` with up to three decimals, without floats.
fn write_quotient(f: &mut fmt::Formatter<'_>, max: u64, per: u16) -> fmt::Result {
    let per = u64::from(per).max(1);
    let (whole, rest) = (max.div_euclid(per), max.rem_euclid(per));
    match rest.saturating_mul(1000).div_euclid(per) {
        0 => write!(f, "{whole}"),
        thousandths => write!(f, "{whole}.{thousandths:03}"),
    }
}

/// A refused value and the path of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FieldError {
    /// The field's path on the wire, such as `supports.ctx_max`.
    pub field: &'static str,
    /// What is wrong with its value.
    pub problem: Problem,
}

impl FieldError {
    /// An error about `field`.
    #[must_use]
    pub const fn new(field: &'static str, problem: Problem) -> Self {
        Self { field, problem }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl core::error::Error for FieldError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    /// UNIT-1, UNIT-2, POLICY-1: a limit is said in the unit of its field.
    #[test]
    fn limits_are_said_in_the_unit_of_the_field() {
        let said = |max, per| Problem::TooLargeScaled { max, per }.to_string();
        assert_eq!(said((1 << 46) - 1, 1000), "above its limit: at most 70368744177.663");
        assert_eq!(said(u32::MAX.into(), 1000), "above its limit: at most 4294967.295");
        assert_eq!(said(4096, 256), "above its limit: at most 16");
        let left = Problem::OverBudget { left: 1_500, per: 1000 }.to_string();
        assert_eq!(left, "the job needs more than what is left: 1.500");
    }
}
