//! Numbers of JSON text, exactly: integers without a detour over floats.
//!
//! A whole number may be written as a decimal (UNIT-9), and byte counts do not fit an f64, so an integer is taken from
//! its digits:
//!
//! ```text
//! 8, 8.0, 80e-1, 0.8e1   8
//! 8.5, 1e-1              Fractional
//! 1e400, 2^63            TooLarge
//! 08, +8, NaN, 0x8       NotANumber
//! ```
//!
//! Invariant: the answer depends on the value, never on how it was written; time is linear in the text.

/// Why a text is not an integer of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotWhole {
    /// Not a number as JSON writes it.
    NotANumber,
    /// A number with a fraction.
    Fractional,
    /// Whole, but below `i64::MIN`.
    TooSmall,
    /// Whole, but above `i64::MAX`.
    TooLarge,
}

/// A JSON number taken apart; its value is `digits * 10^exponent`, the digits being those of `whole` and `fraction`.
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

/// The integer that a JSON number stands for.
pub(super) fn whole(text: &str) -> Result<i64, NotWhole> {
    let decimal = Decimal::parse(text).ok_or(NotWhole::NotANumber)?;
    let digits: String = [decimal.whole, decimal.fraction].concat();
    let significant = digits.trim_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    // Zeros cut off at the end scale the value up, digits after the point scale it down.
    let zeros = digits.len().saturating_sub(digits.trim_end_matches('0').len());
    let scale = decimal.exponent.saturating_sub(length(decimal.fraction.len())).saturating_add(length(zeros));
    let beyond = if decimal.negative { NotWhole::TooSmall } else { NotWhole::TooLarge };
    if scale < 0 {
        return Err(NotWhole::Fractional);
    }
    // 19 digits hold every i64, and 10^19 fits an i128 many times over.
    if scale.saturating_add(length(significant.len())) > 19 {
        return Err(beyond);
    }
    let power = u32::try_from(scale).ok().and_then(|scale| 10i128.checked_pow(scale));
    let magnitude = power.and_then(|power| significant.parse::<i128>().ok()?.checked_mul(power));
    magnitude
        .map(|value| if decimal.negative { -value } else { value })
        .and_then(|value| i64::try_from(value).ok())
        .ok_or(beyond)
}

/// Whether the text is a number as JSON writes it.
pub(super) fn is_number(text: &str) -> bool {
    Decimal::parse(text).is_some()
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, rest) = digits(rest);
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let (fraction, rest) = match rest.strip_prefix('.') {
            None => ("", rest),
            Some(rest) => Some(digits(rest)).filter(|(fraction, _)| !fraction.is_empty())?,
        };
        let exponent = match rest.strip_prefix(['e', 'E']) {
            None => rest.is_empty().then_some(0)?,
            Some(power) => exponent(power)?,
        };
        Some(Self { negative, whole, fraction, exponent })
    }
}

/// The leading digits of a text, and the rest of it.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// An exponent; one beyond 64 bits becomes the nearest, which is as far outside every limit.
fn exponent(text: &str) -> Option<i64> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (power, end) = digits(rest);
    if power.is_empty() || !end.is_empty() {
        return None;
    }
    // Half of the range, so that adding a length never reaches its end.
    let power = power.parse::<i64>().unwrap_or(i64::MAX).min(i64::MAX / 2);
    Some(if negative { -power } else { power })
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // UNIT-9: a whole decimal is an integer, whatever its spelling.
    #[test]
    fn whole_numbers() {
        let table = [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("0.000e999999999999999999999", Ok(0)),
            ("8", Ok(8)),
            ("8.0", Ok(8)),
            ("-8.00", Ok(-8)),
            ("80e-1", Ok(8)),
            ("0.8e1", Ok(8)),
            ("1e3", Ok(1000)),
            ("1E+3", Ok(1000)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("922337203685477580.7e1", Ok(i64::MAX)),
            ("9007199254740993", Ok(9_007_199_254_740_993)),
            ("9007199254740993.0", Ok(9_007_199_254_740_993)),
            ("9223372036854775808", Err(NotWhole::TooLarge)),
            ("-9223372036854775809", Err(NotWhole::TooSmall)),
            ("1e400", Err(NotWhole::TooLarge)),
            ("-1e400", Err(NotWhole::TooSmall)),
            ("1e99999999999999999999999", Err(NotWhole::TooLarge)),
            ("1e-99999999999999999999999", Err(NotWhole::Fractional)),
            ("8.5", Err(NotWhole::Fractional)),
            ("-0.5", Err(NotWhole::Fractional)),
            ("5e-324", Err(NotWhole::Fractional)),
        ];
        for (text, expected) in table {
            assert_eq!(whole(text), expected, "{text}");
        }
    }

    #[test]
    fn what_json_does_not_call_a_number() {
        for text in [
            "",
            "-",
            "+8",
            "08",
            "00",
            ".5",
            "5.",
            "1e",
            "1e+",
            "0x8",
            "8_0",
            "NaN",
            "Infinity",
            "-Infinity",
            "1 2",
            "٣",
            "1.2.3",
            "1e5.0",
            " 8",
            "8 ",
            "--8",
        ] {
            assert_eq!(whole(text), Err(NotWhole::NotANumber), "{text:?}");
            assert!(!is_number(text), "{text:?}");
        }
    }

    #[test]
    fn long_texts_cost_no_more_than_their_length() {
        let zeros = "0".repeat(1_000_000);
        assert_eq!(whole(&format!("1{zeros}")), Err(NotWhole::TooLarge));
        assert_eq!(whole(&format!("1{zeros}e-1000000")), Ok(1));
        assert_eq!(whole(&format!("0.{zeros}1")), Err(NotWhole::Fractional));
    }

    proptest! {
        #[test]
        fn every_integer_in_every_spelling(value in any::<i64>(), zeros in 0..5usize, shift in 0..40i64) {
            prop_assert_eq!(whole(&value.to_string()), Ok(value));
            prop_assert_eq!(whole(&format!("{value}.{}0", "0".repeat(zeros))), Ok(value));
            let shifted = format!("{value}{}e-{shift}", "0".repeat(usize::try_from(shift).unwrap()));
            prop_assert_eq!(whole(&shifted), if value == 0 { Ok(0) } else { Ok(value) });
        }

        #[test]
        fn agrees_with_serde_json_on_what_a_number_is(text in "[-+0-9.eE]{0,8}") {
            // An overflowing number is a number all the same.
            let known = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(is_number(&text), known, "{}", text);
        }
    }
}
