//! What IEEE 754 makes of `floor(value * per + 0.5)`, worked out with integers.
//!
//! The rules for wire values (UNIT-1, UNIT-2, POLICY-1) are three operations on `f64`. A microcontroller has no unit for
//! these: the compiler would bring 2 KiB of routines that take any two numbers. A wire value is at least 0, its factor is
//! small and so are all results that count, so that the product and the sum are exact in 64 bits, and what is left to do
//! is to round each to the 53 bits that an `f64` has.
//!
//! ```
//! use orchestrator_core::units::micros_from_millis;
//!
//! // 1.005 * 1000 is 1004.9999999999999 in f64, and a half more is 1005.4999999999999.
//! assert_eq!(micros_from_millis(1.005), Ok(1_005));
//! ```
//!
//! Invariant: what [`scaled_and_rounded`] makes of a value below 2^52 is what the three operations on `f64` make of it.

use crate::error::Problem;

/// The largest factor: with it a product is below 2^63, and its sum with a half below 2^64.
const PER_MAX: u16 = 1_000;

/// Bits of a significand, with the highest, which is not written.
const SIGNIFICAND_BITS: u32 = 53;

/// Bits of a significand that are written.
const FRACTION_BITS: u32 = SIGNIFICAND_BITS - 1;

/// Written where a significand is whole: the value is 2^52 or more.
const WHOLE_EXPONENT: u32 = 1_023 + FRACTION_BITS;

/// The sign.
const SIGN: u64 = 1 << 63;

/// Without their sign, all bits above these are of a NaN.
const INFINITY: u64 = f64::INFINITY.to_bits();

/// The one NaN that is written.
const NAN: u64 = 0x7ff8_0000_0000_0000;

const _: () = assert!((1_u128 << SIGNIFICAND_BITS) * (PER_MAX as u128) < (1 << 63) - (1 << 53));

/// `floor(value * per + 0.5)`; `u64::MAX` for every value of 2^52 or more. `per` is at most [`PER_MAX`].
///
/// # Errors
///
/// [`Problem::NotFinite`] for NaN and infinities, [`Problem::Negative`] below zero: `-0.0` is 0.
pub(super) fn scaled_and_rounded(value: f64, per: u16) -> Result<u64, Problem> {
    let bits = value.to_bits();
    let magnitude = bits & !SIGN;
    if magnitude >= INFINITY {
        return Err(Problem::NotFinite);
    }
    if bits != magnitude && magnitude > 0 {
        return Err(Problem::Negative);
    }
    // Below 2^11: it has that many bits.
    let exponent = u32::try_from(magnitude >> FRACTION_BITS).unwrap_or(u32::MAX);
    // How many bits of the significand are behind the point: at least one.
    let Some(behind @ 1..) = WHOLE_EXPONENT.checked_sub(exponent) else { return Ok(u64::MAX) };
    if behind >= u64::BITS {
        // The product is below 2^63 of these bits, which are at most a half. Numbers that are not normal, and 0, are here.
        return Ok(0);
    }
    let significand = magnitude & ((1 << FRACTION_BITS) - 1) | 1 << FRACTION_BITS;
    let half = 1_u64.wrapping_shl(behind.wrapping_sub(1));
    // Both exact: see PER_MAX.
    let product = to_significand(significand.saturating_mul(per.into()));
    Ok(to_significand(product.saturating_add(half)).wrapping_shr(behind))
}

/// The bits of a value, the same of every NaN.
pub(crate) const fn canonical_bits(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & !SIGN > INFINITY { NAN } else { bits }
}

/// The nearest number of 53 bits with zeros behind; of two that are as near, the one whose last bit is 0.
const fn to_significand(exact: u64) -> u64 {
    let excess = (u64::BITS - SIGNIFICAND_BITS).saturating_sub(exact.leading_zeros());
    let unit = 1_u64.wrapping_shl(excess);
    let is_even = !exact.wrapping_shr(excess) & 1;
    // What is added carries into the bits that stay where more than a half is cut off, or a half of an odd number.
    exact.saturating_add((unit >> 1).saturating_sub(is_even)) & !unit.wrapping_sub(1)
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the oracle is floats"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same with the operations themselves.
    fn by_floats(value: f64, per: u16) -> Result<u64, Problem> {
        if !value.is_finite() {
            return Err(Problem::NotFinite);
        }
        if value < 0.0 {
            return Err(Problem::Negative);
        }
        Ok((value * f64::from(per) + 0.5).floor() as u64)
    }

    const WHOLE: f64 = (1_u64 << FRACTION_BITS) as f64;

    #[track_caller]
    fn check(value: f64, per: u16) {
        let (ours, theirs) = (scaled_and_rounded(value, per), by_floats(value, per));
        if value.is_finite() && value >= WHOLE {
            assert_eq!(ours, Ok(u64::MAX), "{value:?} times {per}");
        } else {
            assert_eq!(ours, theirs, "{value:?} times {per}");
        }
    }

    const FACTORS: [u16; 5] = [1, 3, 256, 999, PER_MAX];

    // The bits of a NaN say nothing; those of all other values are their own.
    #[test]
    fn every_nan_has_the_same_bits() {
        for bits in [INFINITY + 1, INFINITY | SIGN | 5, NAN | 1, u64::MAX] {
            assert_eq!(canonical_bits(f64::from_bits(bits)), NAN);
        }
        for bits in [0, SIGN, INFINITY, INFINITY | SIGN, 1.5_f64.to_bits(), (-1.5_f64).to_bits()] {
            assert_eq!(canonical_bits(f64::from_bits(bits)), bits);
        }
    }

    // UNIT-1: around every power of two, where the exponent changes, and every value at which the result does.
    #[test]
    fn edges_are_as_in_floats() {
        let powers = (0..=2046_u64).map(|exponent| exponent << FRACTION_BITS);
        let halves = (0..4_000_u32).map(|steps| (f64::from(steps) / 2_000.0).to_bits());
        for bits in powers.chain(halves).chain([0, SIGN, INFINITY]) {
            for near in -3..=3_i64 {
                let value = f64::from_bits(bits.wrapping_add_signed(near));
                FACTORS.iter().for_each(|&per| check(value, per));
            }
        }
    }

    // UNIT-1: the sum rounds too: 0.49999999999999994 + 0.5 is 1.0.
    #[test]
    fn the_sum_is_one_of_floats() {
        assert_eq!(scaled_and_rounded(0.499_999_999_999_999_94, 1), Ok(1));
        assert_eq!(scaled_and_rounded(0.499_999_999_999_999_9, 1), Ok(0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        // UNIT-1, UNIT-2, POLICY-1: any bits at all, and any value near a result that counts.
        #[test]
        fn all_bits_are_as_in_floats(bits: u64, per in 1..=PER_MAX) {
            check(f64::from_bits(bits), per);
        }

        #[test]
        fn all_results_are_as_in_floats(twice in 0_u64..1 << 48, near in -4..=4_i64, per in 1..=PER_MAX) {
            let value = twice as f64 / 2.0 / f64::from(per);
            check(f64::from_bits(value.to_bits().wrapping_add_signed(near)), per);
        }
    }
}
