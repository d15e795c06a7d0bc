//! Numbers as rows keep them. Every row of a job has a dozen times and counts, so that on a small machine their bytes count:
//! the feature `small_tables` keeps times in 6 bytes, and lets no number ask for room between it and its neighbour.
//!
//! Invariant: what a scheduler keeps comes back as it was. With `small_tables` it hears of no time above
//! [`NOW_MAX_US`](crate::limits::NOW_MAX_US) (UNIT-12), and what lies ahead of it does so by less than 2^46 µs (UNIT-1), so
//! that every time is below 2^48.

#[cfg(feature = "small_tables")]
use crate::limits::NOW_MAX_US;

/// A number in rows of many.
macro_rules! kept {
    ($(#[$doc:meta])* $name:ident, $number:ty, $small:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub(crate) struct $name(
            #[cfg(feature = "small_tables")] $small,
            #[cfg(not(feature = "small_tables"))] $number,
        );

        #[cfg(not(feature = "small_tables"))]
        impl $name {
            #[inline]
            pub(crate) const fn new(number: $number) -> Self {
                Self(number)
            }

            #[inline]
            pub(crate) const fn get(self) -> $number {
                self.0
            }
        }
    };
}

kept! {
    /// A count.
    Kept32, u32, [u16; 2]
}
kept! {
    /// A number of any size.
    Kept64, u64, [Kept32; 2]
}
kept! {
    /// A time, or an amount of a budget: with `small_tables` at most 2^48 - 1.
    Kept48, u64, (Kept32, u16)
}

#[cfg(feature = "small_tables")]
impl Kept32 {
    #[inline]
    pub(crate) const fn new(number: u32) -> Self {
        let [a, b, c, d] = number.to_le_bytes();
        Self([u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])])
    }

    #[inline]
    pub(crate) const fn get(self) -> u32 {
        let Self([low, high]) = self;
        low as u32 | (high as u32) << 16
    }
}

#[cfg(feature = "small_tables")]
impl Kept64 {
    #[inline]
    pub(crate) const fn new(number: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        Self([Kept32::new(u32::from_le_bytes([a, b, c, d])), Kept32::new(u32::from_le_bytes([e, f, g, h]))])
    }

    #[inline]
    pub(crate) const fn get(self) -> u64 {
        let Self([low, high]) = self;
        low.get() as u64 | (high.get() as u64) << 32
    }
}

#[cfg(not(feature = "small_tables"))]
impl Kept48 {
    /// The largest number that comes back as it was.
    pub(crate) const MAX: u64 = u64::MAX;

    /// Whether a number comes back as it was: every one does.
    #[inline]
    pub(crate) const fn holds(_: u64) -> bool {
        true
    }

    /// The number.
    #[inline]
    pub(crate) const fn at_most(number: u64) -> Self {
        Self::new(number)
    }
}

#[cfg(feature = "small_tables")]
impl Kept48 {
    /// The largest number that comes back as it was.
    pub(crate) const MAX: u64 = (1 << 48) - 1;

    /// Whether a number comes back as it was.
    #[inline]
    pub(crate) const fn holds(number: u64) -> bool {
        number <= Self::MAX
    }

    /// The number, or the largest where it is above that.
    #[inline]
    pub(crate) const fn at_most(number: u64) -> Self {
        Self::new(if Self::holds(number) { number } else { Self::MAX })
    }

    #[inline]
    pub(crate) const fn new(number: u64) -> Self {
        debug_assert!(Self::holds(number), "a time that is too late, or a larger amount than is kept");
        let [a, b, c, d, e, f, _, _] = number.to_le_bytes();
        Self((Kept32::new(u32::from_le_bytes([a, b, c, d])), u16::from_le_bytes([e, f])))
    }

    #[inline]
    pub(crate) const fn get(self) -> u64 {
        let Self((low, high)) = self;
        low.get() as u64 | (high as u64) << 32
    }
}

/// The time of an input, or the last one of which a scheduler hears where that is earlier.
#[cfg(feature = "small_tables")]
pub(crate) const fn heard(now_us: u64) -> u64 {
    if now_us > NOW_MAX_US { NOW_MAX_US } else { now_us }
}

/// The time of an input: a scheduler hears of every time.
#[cfg(not(feature = "small_tables"))]
pub(crate) const fn heard(now_us: u64) -> u64 {
    now_us
}

impl Kept48 {
    pub(crate) const ZERO: Self = Self::new(0);
    /// The end of time: one that does not come.
    pub(crate) const NEVER: Self = Self::new(Self::MAX);

    /// The time, or that there is none.
    #[inline]
    pub(crate) const fn or_never(time_us: Option<u64>) -> Self {
        match time_us {
            Some(time_us) => Self::at_most(time_us),
            None => Self::NEVER,
        }
    }

    /// The time, if it comes.
    #[inline]
    pub(crate) const fn unless_never(self) -> Option<u64> {
        let time_us = self.get();
        if time_us == Self::MAX { None } else { Some(time_us) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{NOW_MAX_US, TIME_MAX_US};

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 0x0123_4567, u32::MAX] {
            assert_eq!(Kept32::new(number).get(), number);
        }
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(Kept64::new(number).get(), number);
        }
        // UNIT-12: the last time of which anybody hears, and what may lie ahead of it.
        for number in [0, 1, 0x0123_4567_89ab, NOW_MAX_US, NOW_MAX_US.saturating_add(TIME_MAX_US)] {
            assert_eq!(Kept48::new(number).get(), number);
            assert!(Kept48::holds(number));
        }
    }

    #[test]
    fn what_is_above_stays_at_the_end_of_time() {
        assert_eq!((Kept48::at_most(u64::MAX), Kept48::new(Kept48::MAX)), (Kept48::NEVER, Kept48::NEVER));
        assert_eq!((Kept48::NEVER.unless_never(), Kept48::or_never(None)), (None, Kept48::NEVER));
        assert_eq!((Kept48::new(7).unless_never(), Kept48::or_never(Some(7)).get()), (Some(7), 7));
    }
}
