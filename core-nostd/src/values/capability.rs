//! Compute capability as one number: `"10.0"` must be above `"9.0"`, which no comparison of text gives.
//!
//! Rule: UNIT-4 of `docs/spec.md`. The value is `major * 256 + minor`, so comparing two capabilities is comparing two
//! 16-bit integers, in a row of a table as on a device.
//!
//! Invariant: every value from 0 to 65,535 is a capability, and each capability has exactly one value. The order of the
//! values is the order of `(major, minor)`.
//!
//! ```
//! use orchestrator_core::ComputeCapability;
//!
//! let ampere = ComputeCapability::parse("8.6")?;
//! assert_eq!(ampere, ComputeCapability::new(8, 6));
//! assert!(ComputeCapability::parse("10.0")? > ComputeCapability::parse("9")?);
//! assert_eq!(ampere.to_string(), "8.6");
//! assert!(ComputeCapability::parse("sm_86").is_err());
//! # Ok::<(), orchestrator_core::Problem>(())
//! ```

use core::fmt;

use bytemuck::{Pod, Zeroable};

use crate::error::Problem;

/// A compute capability: `major.minor`, each part 0 to 255, ordered as numbers. UNIT-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(transparent)]
pub struct ComputeCapability(u16);

impl ComputeCapability {
    /// The capability `major.minor`.
    #[must_use]
    pub const fn new(major: u8, minor: u8) -> Self {
        Self(u16::from_be_bytes([major, minor]))
    }

    /// The capability with this [value](Self::value): every value has one.
    #[must_use]
    pub const fn from_value(value: u16) -> Self {
        Self(value)
    }

    /// `major * 256 + minor`. UNIT-4.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Reads `"M"` or `"M.m"`: decimal digits, each part 0 to 255, leading zeros allowed. `"9"` is `"9.0"`. UNIT-4.
    ///
    /// # Errors
    ///
    /// [`Problem::Malformed`] for anything else: signs, spaces, an empty part, a third part, a part above 255.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        match (decimal_u8(major.as_bytes()), decimal_u8(minor.as_bytes())) {
            (Some(major), Some(minor)) => Ok(Self::new(major, minor)),
            _ => Err(Problem::Malformed { expected: "\"M\" or \"M.m\" in decimal digits, each part 0 to 255" }),
        }
    }
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor] = self.0.to_be_bytes();
        write!(f, "{major}.{minor}")
    }
}

/// The number that one or more decimal digits spell; `None` for anything else and above 255.
///
/// Not `str::parse`, which takes a leading `+`.
pub(super) fn decimal_u8(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u8, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    // UNIT-4
    #[test]
    fn texts_of_the_form_are_read() {
        let table = [
            ("0", 0, 0),
            ("0.0", 0, 0),
            ("9", 9, 0),
            ("9.0", 9, 0),
            ("8.6", 8, 6),
            ("8.06", 8, 6),
            ("08.6", 8, 6),
            ("8.60", 8, 60),
            ("10.0", 10, 0),
            ("12.1", 12, 1),
            ("255.255", 255, 255),
            ("0000000000000000000000000255", 255, 0),
        ];
        for (text, major, minor) in table {
            let capability = ComputeCapability::parse(text).unwrap();
            assert_eq!(capability, ComputeCapability::new(major, minor), "{text}");
            assert_eq!(capability.value(), u16::from(major).saturating_mul(256).saturating_add(u16::from(minor)));
        }
    }

    // UNIT-4: anything else is malformed.
    #[test]
    fn other_texts_are_malformed() {
        let texts = [
            "",
            ".",
            "9.",
            ".9",
            "9.0.0",
            "9..0",
            "256",
            "256.0",
            "0.256",
            "+9",
            "-9",
            "9.-1",
            "9.+1",
            " 9",
            "9 ",
            "9. 0",
            "9,0",
            "sm_90",
            "9.0a",
            "0x9",
            "1e1",
            "٩",
            "9.٠",
            "99999999999999999999",
            "9\n",
            "9\0",
        ];
        for text in texts {
            assert!(matches!(ComputeCapability::parse(text), Err(Problem::Malformed { .. })), "{text:?}");
        }
    }

    // UNIT-4: compared as a number, not as text.
    #[test]
    fn ten_is_above_nine() {
        let capability = |text| ComputeCapability::parse(text).unwrap();
        assert!(capability("10.0") > capability("9.0"));
        assert!(capability("8.10") > capability("8.9"));
        assert!(capability("9.0") > capability("8.255"));
        assert_eq!(ComputeCapability::zeroed(), ComputeCapability::new(0, 0));
    }

    proptest! {
        // UNIT-4: text, parts and value are the same thing, and the order is that of the parts.
        #[test]
        fn order_and_round_trip(a in any::<(u8, u8)>(), b in any::<(u8, u8)>()) {
            let (x, y) = (ComputeCapability::new(a.0, a.1), ComputeCapability::new(b.0, b.1));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.value().cmp(&y.value()), a.cmp(&b));
            prop_assert_eq!(ComputeCapability::parse(&x.to_string()), Ok(x));
            prop_assert_eq!(ComputeCapability::from_value(x.value()), x);
        }

        // UNIT-4: no text makes the parser fail in another way.
        #[test]
        fn any_text_is_read_or_malformed(text in "[0-9.+ a]{0,8}") {
            let part = |digits: &str| -> Option<u8> {
                if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
            };
            let expected = match text.split('.').collect::<std::vec::Vec<_>>().as_slice() {
                [major] => part(major).map(|major| (major, 0)),
                [major, minor] => part(major).zip(part(minor)),
                _ => None,
            };
            let read = ComputeCapability::parse(&text).ok();
            prop_assert_eq!(read, expected.map(|(major, minor)| ComputeCapability::new(major, minor)));
        }
    }
}
