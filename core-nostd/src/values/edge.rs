//! Where floats end: wire values in milliseconds, tokens per second and weights become integers here.
//!
//! A decision must be the same on every machine, so everything behind this module is integer arithmetic. Each
//! conversion below is one IEEE 754 multiplication, one addition and one floor on `f64`, in that order, and then a
//! range check: three operations whose result the standard fixes to the bit. They are worked out with integers here too
//! (`binary64`), so that no machine needs floats. Rules: UNIT-1, UNIT-2, POLICY-1 of `docs/spec.md`.
//!
//! Invariants:
//! - a time made here is at most [`TIME_MAX_US`];
//! - a [`Rate`] made here is either known, with both parts above 0, or [`Rate::UNKNOWN`], with both 0;
//! - nothing is clamped: a value outside its range is a [`Problem`].
//!
//! ```
//! use orchestrator_core::units::{micros_from_millis, millis_ceil};
//! use orchestrator_core::{Problem, Rate};
//!
//! assert_eq!(micros_from_millis(12.5), Ok(12_500));
//! assert_eq!(millis_ceil(12_500), 13);
//! assert_eq!(micros_from_millis(-1.0), Err(Problem::Negative));
//!
//! let rate = Rate::from_tokens_per_s(50.0)?;
//! assert_eq!(rate.milli_tps, 50_000);
//! assert_eq!(rate.q10, 20_480_000); // 20 ms per token, in 1/1024 µs
//! # Ok::<(), Problem>(())
//! ```

use super::binary64::scaled_and_rounded;
use crate::error::Problem;
use crate::limits::{TIME_MAX_US, WEIGHT_256_MAX};

/// A second in 1/1024 µs, times 1000 because rates are in thousandths; by a rate, it is a time per token. UNIT-2.
const Q10_DIVIDEND: u64 = 1_024_000_000_000;

// UNIT-2: the rounded dividend is far inside a u64, so the saturating addition below is exact.
const _: () = assert!(Q10_DIVIDEND + (u32::MAX as u64) < 1 << 41);

/// A time on the wire, in milliseconds, as whole microseconds: `floor(ms * 1000 + 0.5)`. UNIT-1.
///
/// `-0.0` is 0.
///
/// # Errors
///
/// [`Problem::NotFinite`] for NaN and infinities, [`Problem::Negative`] below zero, [`Problem::TooLargeScaled`] for a result
/// above [`TIME_MAX_US`] (its `max` is in microseconds).
pub fn micros_from_millis(ms: f64) -> Result<u64, Problem> {
    scaled(ms, 1000, TIME_MAX_US)
}

/// A time in microseconds as whole milliseconds for the wire, rounded up. UNIT-1.
///
/// ```
/// use orchestrator_core::units::millis_ceil;
///
/// assert_eq!((millis_ceil(0), millis_ceil(1), millis_ceil(1000), millis_ceil(1001)), (0, 1, 1, 2));
/// ```
#[must_use]
pub const fn millis_ceil(us: u64) -> u64 {
    us.div_ceil(1000)
}

/// A token rate, in both forms that the rules need. UNIT-2.
///
/// Either known, with both parts above 0, or [`Rate::UNKNOWN`], which is also the default. Make one with
/// [`Rate::from_tokens_per_s`] or [`rate_from_milli_tps`], which keep the parts in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rate {
    /// Thousandths of a token per second; 0 when unknown.
    pub milli_tps: u32,
    /// Time per token in 1/1024 µs, rounded to the nearest; 0 when unknown.
    pub q10: u32,
}

impl Rate {
    /// A rate that was not published, or is too slow to express. UNIT-2.
    pub const UNKNOWN: Self = Self { milli_tps: 0, q10: 0 };

    /// Whether the rate is known.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.milli_tps != 0
    }

    /// A rate on the wire, in tokens per second: `milli_tps = floor(tokens_per_s * 1000 + 0.5)`. UNIT-2.
    ///
    /// Below 0.2385 tokens per second the time per token does not fit 32 bits: such a rate is [`Rate::UNKNOWN`].
    ///
    /// # Errors
    ///
    /// [`Problem::NotFinite`] for NaN and infinities, [`Problem::Negative`] below zero, [`Problem::TooLargeScaled`] above
    /// 2^32 - 1 thousandths of a token per second (its `max` is in these).
    pub fn from_tokens_per_s(tokens_per_s: f64) -> Result<Self, Problem> {
        let max = u64::from(u32::MAX);
        let milli =
            u32::try_from(scaled(tokens_per_s, 1000, max)?).map_err(|_| Problem::TooLargeScaled { max, per: 1000 })?;
        Ok(rate_from_milli_tps(milli))
    }
}

/// The rate of `milli` thousandths of a token per second, with its time per token. UNIT-2.
///
/// [`Rate::UNKNOWN`] for 0, and where the time per token, in 1/1024 µs, is above 2^32 - 1 (below 239).
///
/// ```
/// use orchestrator_core::Rate;
/// use orchestrator_core::units::rate_from_milli_tps;
///
/// assert_eq!(rate_from_milli_tps(1000).q10, 1_024_000_000); // one second
/// assert_eq!(rate_from_milli_tps(238), Rate::UNKNOWN);
/// ```
#[must_use]
pub const fn rate_from_milli_tps(milli: u32) -> Rate {
    let divisor = milli as u64;
    // Exact: the sum is below 2^41 (asserted above).
    let rounded = Q10_DIVIDEND.saturating_add(divisor >> 1);
    let Some(q10) = rounded.checked_div(divisor) else {
        return Rate::UNKNOWN;
    };
    // The pattern is "fits 32 bits".
    let [0, 0, 0, 0, a, b, c, d] = q10.to_be_bytes() else {
        return Rate::UNKNOWN;
    };
    Rate { milli_tps: milli, q10: u32::from_be_bytes([a, b, c, d]) }
}

/// A policy weight in 1/256: `floor(w * 256 + 0.5)`, 0 to 4,096. POLICY-1.
///
/// ```
/// use orchestrator_core::units::weight_256_from;
///
/// assert_eq!(weight_256_from(1.0), Ok(256));
/// assert!(weight_256_from(16.5).is_err());
/// ```
///
/// # Errors
///
/// [`Problem::NotFinite`] for NaN and infinities, [`Problem::Negative`] below zero, [`Problem::TooLargeScaled`] above 16.0
/// (its `max` is in 1/256).
pub fn weight_256_from(weight: f64) -> Result<u16, Problem> {
    let max = u64::from(WEIGHT_256_MAX);
    u16::try_from(scaled(weight, 256, max)?).map_err(|_| Problem::TooLargeScaled { max, per: 256 })
}

/// `floor(value * per + 0.5)`, or why it is not a number from 0 to `max`.
fn scaled(value: f64, per: u16, max: u64) -> Result<u64, Problem> {
    let whole = scaled_and_rounded(value, per)?;
    if whole > max { Err(Problem::TooLargeScaled { max, per }) } else { Ok(whole) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::cast_precision_loss)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    // UNIT-1: rounding, zero, limits and refusals.
    #[test]
    fn times_round_half_up_and_stop_at_their_limit() {
        let too_large = Err(Problem::TooLargeScaled { max: TIME_MAX_US, per: 1000 });
        let limit_ms = TIME_MAX_US as f64 / 1000.0;
        let table = [
            (0.0, Ok(0)),
            (-0.0, Ok(0)),
            (f64::MIN_POSITIVE, Ok(0)),
            (5e-324, Ok(0)),
            (0.000_499_9, Ok(0)),
            (0.0005, Ok(1)),
            (0.001, Ok(1)),
            (0.001_499_9, Ok(1)),
            (0.0015, Ok(2)),
            (1.0, Ok(1000)),
            (12.345_678, Ok(12_346)),
            // 0.29 * 1000 is 290 in f64, 1.005 * 1000 is 1004.9999999999999.
            (0.29, Ok(290)),
            (1.005, Ok(1005)),
            (30_000.0, Ok(30_000_000)),
            (limit_ms, Ok(TIME_MAX_US)),
            (70_368_744_177.663, Ok(TIME_MAX_US)),
            (70_368_744_177.663_4, Ok(TIME_MAX_US)),
            (70_368_744_177.663_6, too_large),
            (70_368_744_177.664, too_large),
            (1e18, too_large),
            (1e300, too_large),
            (f64::MAX, too_large),
            (-5e-324, Err(Problem::Negative)),
            (-0.0001, Err(Problem::Negative)),
            (-1.0, Err(Problem::Negative)),
            (f64::MIN, Err(Problem::Negative)),
            (f64::NAN, Err(Problem::NotFinite)),
            (-f64::NAN, Err(Problem::NotFinite)),
            (f64::INFINITY, Err(Problem::NotFinite)),
            (f64::NEG_INFINITY, Err(Problem::NotFinite)),
        ];
        for (ms, expected) in table {
            assert_eq!(micros_from_millis(ms), expected, "{ms:?} ms");
        }
    }

    // UNIT-1: out again.
    #[test]
    fn milliseconds_are_rounded_up() {
        let table = [
            (0, 0),
            (1, 1),
            (999, 1),
            (1000, 1),
            (1001, 2),
            (TIME_MAX_US, 70_368_744_178),
            (u64::MAX, 18_446_744_073_709_552),
        ];
        for (us, ms) in table {
            assert_eq!(millis_ceil(us), ms, "{us} us");
        }
    }

    // UNIT-2: rounding, unknown rates, limits and refusals.
    #[test]
    fn rates_have_both_parts_or_none() {
        let known = |milli_tps, q10| Ok(Rate { milli_tps, q10 });
        let unknown = Ok(Rate::UNKNOWN);
        let too_large = Err(Problem::TooLargeScaled { max: 4_294_967_295, per: 1000 });
        let table = [
            (0.0, unknown),
            (-0.0, unknown),
            (0.000_499_9, unknown),
            // 1 to 238 thousandths: the time per token does not fit.
            (0.0005, unknown),
            (0.238, unknown),
            (0.238_499, unknown),
            (0.2385, known(239, 4_284_518_828)),
            (0.239, known(239, 4_284_518_828)),
            (1.0, known(1000, 1_024_000_000)),
            (3.0, known(3000, 341_333_333)),
            (50.0, known(50_000, 20_480_000)),
            // 1,024,000,000,000 / 75,123 is 13,630,978.528...: rounded up.
            (75.1234, known(75_123, 13_630_979)),
            (4_294_967.295, known(u32::MAX, 238)),
            (4_294_967.295_4, known(u32::MAX, 238)),
            (4_294_967.295_6, too_large),
            (4_294_967.296, too_large),
            (f64::MAX, too_large),
            (-0.001, Err(Problem::Negative)),
            (f64::NAN, Err(Problem::NotFinite)),
            (f64::INFINITY, Err(Problem::NotFinite)),
            (f64::NEG_INFINITY, Err(Problem::NotFinite)),
        ];
        for (tokens_per_s, expected) in table {
            assert_eq!(Rate::from_tokens_per_s(tokens_per_s), expected, "{tokens_per_s:?} tokens/s");
        }
        assert_eq!(Rate::default(), Rate::UNKNOWN);
        assert!(!Rate::UNKNOWN.is_known());
        assert!(rate_from_milli_tps(239).is_known());
    }

    // POLICY-1: weights are 0 to 16 in steps of 1/256.
    #[test]
    fn weights_are_in_256ths() {
        let too_large = Err(Problem::TooLargeScaled { max: 4096, per: 256 });
        let table = [
            (0.0, Ok(0)),
            (-0.0, Ok(0)),
            (0.001_953_124, Ok(0)),
            (0.001_953_125, Ok(1)),
            (0.5, Ok(128)),
            (1.0, Ok(256)),
            (16.0, Ok(4096)),
            (16.001_953, Ok(4096)),
            (16.001_953_125, too_large),
            (17.0, too_large),
            (f64::MAX, too_large),
            (-1.0, Err(Problem::Negative)),
            (f64::NAN, Err(Problem::NotFinite)),
            (f64::INFINITY, Err(Problem::NotFinite)),
        ];
        for (weight, expected) in table {
            assert_eq!(weight_256_from(weight), expected, "{weight:?}");
        }
    }

    proptest! {
        // UNIT-1: a time survives the way to the wire and back, in every microsecond that f64 tells apart.
        #[test]
        fn times_survive_the_wire(us in 0..=TIME_MAX_US) {
            prop_assert_eq!(micros_from_millis(us as f64 / 1000.0), Ok(us));
            let ms = millis_ceil(us);
            prop_assert!(ms * 1000 >= us && ms * 1000 < us + 1000);
        }

        // UNIT-1: later is never earlier.
        #[test]
        fn times_are_monotonic(a in 0.0..8e10f64, b in 0.0..8e10f64) {
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            match (micros_from_millis(low), micros_from_millis(high)) {
                (Ok(low), Ok(high)) => prop_assert!(low <= high),
                (Err(_), high) => prop_assert!(high.is_err()),
                (Ok(_), Err(_)) => {}
            }
        }

        // UNIT-2: the integer form is the nearest time per token, and both parts are known together.
        #[test]
        fn rates_are_nearest(milli in 0..=u32::MAX) {
            let rate = rate_from_milli_tps(milli);
            prop_assert_eq!(rate.milli_tps == 0, rate.q10 == 0);
            prop_assert_eq!(rate.is_known(), milli >= 239);
            if rate.is_known() {
                let distance = (u64::from(rate.q10) * u64::from(milli)).abs_diff(Q10_DIVIDEND);
                prop_assert!(2 * distance <= u64::from(milli));
            }
        }
    }
}
