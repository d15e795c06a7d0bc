//! Numbers of slots as rows keep them. Every waiting job has a dozen, so that on a small machine half of their bytes count:
//! the feature `small_tables` keeps them in 16 bits, and no table then has more rows than these can tell apart.
//!
//! Invariant: [`NONE`] and every number up to twice [`ROWS_MAX`] and two come back as they were: a tenant has two lanes, and
//! so have those without a place of their own.

#[cfg(feature = "small_tables")]
type Kept = u16;
#[cfg(not(feature = "small_tables"))]
type Kept = u32;

/// No slot: above every table's capacity, so it finds nothing.
pub(crate) const NONE: u32 = if cfg!(feature = "small_tables") { 0xffff } else { u32::MAX };
/// Rows of a table: further slots stay unused.
pub(crate) const ROWS_MAX: u32 = NONE / 2 - 1;

/// A slot's number, or [`NONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct SlotNumber(Kept);

impl SlotNumber {
    pub(crate) const NONE: Self = Self(Kept::MAX);
    pub(crate) const ZERO: Self = Self(0);

    #[cfg_attr(
        not(feature = "small_tables"),
        allow(clippy::useless_conversion, reason = "it is kept as it is asked for")
    )]
    #[inline]
    pub(crate) fn get(self) -> u32 {
        self.0.into()
    }
}

impl From<u32> for SlotNumber {
    #[cfg(feature = "small_tables")]
    #[inline]
    fn from(number: u32) -> Self {
        // What is cut off is 0: a conversion that may fail would be looked at in every step of every list.
        let [low, high, _, _] = number.to_le_bytes();
        Self(Kept::from_le_bytes([low, high]))
    }

    #[cfg(not(feature = "small_tables"))]
    #[inline]
    fn from(number: u32) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, ROWS_MAX, ROWS_MAX * 2 + 2, NONE] {
            assert_eq!(SlotNumber::from(number).get(), number);
        }
        const { assert!(ROWS_MAX * 2 + 2 < NONE) };
        assert_eq!((SlotNumber::ZERO.get(), SlotNumber::NONE.get()), (0, NONE));
    }
}
