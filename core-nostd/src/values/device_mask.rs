//! Sets of device ids as one word, so that "within" and "equal" are single instructions.
//!
//! Rule: UNIT-6 of `docs/spec.md`. Operators write masks as text in several spellings (`"0,1"`, `"GPU1, gpu0"`); a mask
//! is the set behind the spelling: order and case are gone, and bit `i` stands for id `i`.
//!
//! Invariant: ids are 0 to 63, so every `u64` is a mask and each mask has exactly one `u64`. Whether an empty mask
//! means "no device" or "unknown" is up to the field that holds it; text never makes an empty one.
//!
//! ```
//! use orchestrator_core::DeviceMask;
//!
//! let mask = DeviceMask::parse("GPU1, gpu0")?;
//! assert_eq!(mask, DeviceMask::parse("0,1")?);
//! assert!(mask.is_within(DeviceMask::first(8)));
//! assert_eq!(mask.iter().collect::<Vec<u8>>(), [0, 1]);
//! assert_eq!(mask.to_string(), "0,1");
//! assert!(DeviceMask::parse("0,,1").is_err());
//! # Ok::<(), orchestrator_core::Problem>(())
//! ```

use core::fmt;
use core::iter::FusedIterator;

use bytemuck::{Pod, Zeroable};

use super::capability::decimal_u8;
use crate::error::Problem;
use crate::limits::DEVICE_ID_LIMIT;

// UNIT-6: every id has a bit.
const _: () = assert!(DEVICE_ID_LIMIT as u32 == u64::BITS);

/// A set of device ids, each 0 to 63. UNIT-6.
///
/// The default is [`DeviceMask::EMPTY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(transparent)]
pub struct DeviceMask(u64);

impl DeviceMask {
    /// The set without ids.
    pub const EMPTY: Self = Self(0);

    /// The set whose ids are the bits of `bits` that are 1.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The word in which bit `i` is 1 when id `i` is in the set.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The ids 0 to `n - 1`; all 64 ids for 64 and more. POOL-3.
    #[must_use]
    pub fn first(n: usize) -> Self {
        let bit = u32::try_from(n).ok().and_then(|n| 1u64.checked_shl(n));
        // A single bit is at least 1, so the subtraction never saturates.
        Self(bit.map_or(u64::MAX, |bit| bit.saturating_sub(1)))
    }

    /// Reads ids separated by commas, such as `"0,1"` or `"GPU1, gpu0"`. UNIT-6.
    ///
    /// ASCII spaces (U+0020 only) are allowed around an id, `GPU` in any case directly before its digits, and leading
    /// zeros.
    ///
    /// # Errors
    ///
    /// [`Problem::Malformed`] for empty text, an empty element, an id above 63, a repeated id and anything else.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut mask = Self::EMPTY;
        for element in text.as_bytes().split(|byte| *byte == b',') {
            let id = decimal_u8(without_prefix(without_spaces(element))).filter(|id| *id < DEVICE_ID_LIMIT).ok_or(
                Problem::Malformed { expected: "device ids 0 to 63, separated by commas, as in \"0,1\" or \"GPU0\"" },
            )?;
            if mask.contains(id) {
                return Err(Problem::Malformed { expected: "each device id once" });
            }
            mask.insert(id);
        }
        Ok(mask)
    }

    /// Whether the set has no ids.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The number of ids: 0 to 64.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether `id` is in the set; false for 64 and more.
    #[must_use]
    pub const fn contains(self, id: u8) -> bool {
        self.0 & bit(id) != 0
    }

    /// Adds `id`. An id of 64 or more is in no set: it changes nothing, and text that names one is refused by
    /// [`DeviceMask::parse`].
    pub const fn insert(&mut self, id: u8) {
        self.0 |= bit(id);
    }

    /// Whether every id of this set is in `other`. The empty set is within every set. FEAS-15.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The ids in ascending order.
    #[must_use]
    pub const fn iter(self) -> DeviceIds {
        DeviceIds { rest: self.0 }
    }

    /// The `i`-th smallest id, counted from 0; `None` when there are not that many. POOL-3.
    #[must_use]
    pub fn nth(self, i: usize) -> Option<u8> {
        self.iter().nth(i)
    }
}

impl fmt::Display for DeviceMask {
    /// The ids in ascending order, separated by commas: what [`DeviceMask::parse`] reads. Nothing for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, id) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            write!(f, "{id}")?;
        }
        Ok(())
    }
}

impl IntoIterator for DeviceMask {
    type Item = u8;
    type IntoIter = DeviceIds;

    fn into_iter(self) -> DeviceIds {
        self.iter()
    }
}

/// The ids of a [`DeviceMask`] in ascending order.
#[derive(Debug, Clone)]
pub struct DeviceIds {
    rest: u64,
}

impl Iterator for DeviceIds {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        // 64, when none is left, is not an id.
        let id = u8::try_from(self.rest.trailing_zeros()).ok().filter(|id| *id < DEVICE_ID_LIMIT)?;
        // `rest` is at least 1 here, so the subtraction never saturates; the lowest 1 goes away.
        self.rest &= self.rest.saturating_sub(1);
        Some(id)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.rest.count_ones()).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl ExactSizeIterator for DeviceIds {}
impl FusedIterator for DeviceIds {}

/// The bit of `id`; none for 64 and more.
const fn bit(id: u8) -> u64 {
    match 1u64.checked_shl(id as u32) {
        Some(bit) => bit,
        None => 0,
    }
}

/// `element` without the spaces around it.
fn without_spaces(mut element: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = element {
        element = rest;
    }
    element
}

/// `element` without `GPU` in any case before it.
const fn without_prefix(element: &[u8]) -> &[u8] {
    match element {
        [b'G' | b'g', b'P' | b'p', b'U' | b'u', digits @ ..] => digits,
        _ => element,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    extern crate std;

    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    // UNIT-6
    #[test]
    fn spellings_of_a_set_are_equal() {
        let table = [
            ("0", 0b1),
            ("0,1", 0b11),
            ("1,0", 0b11),
            ("GPU1, gpu0", 0b11),
            (" Gpu0 , gPU1 ", 0b11),
            ("  3  ,  5  ", 0b10_1000),
            ("GPU07,03", 0b1000_1000),
            ("63", 1 << 63),
            ("000063", 1 << 63),
            ("0,63", 1 << 63 | 1),
        ];
        for (text, bits) in table {
            assert_eq!(DeviceMask::parse(text), Ok(DeviceMask::from_bits(bits)), "{text:?}");
        }
    }

    // UNIT-6: anything else is malformed.
    #[test]
    fn other_texts_are_malformed() {
        let texts = [
            "",
            " ",
            ",",
            "0,",
            ",0",
            "0,,1",
            "0, ,1",
            "64",
            "255",
            "256",
            "99999999999999999999",
            "0,64",
            "0,0",
            "1,GPU1",
            "01,1",
            "GPU",
            "GPU 0",
            "G PU0",
            "GPUGPU0",
            "GPU-0",
            "GP0",
            "XGPU0",
            "0GPU",
            "-1",
            "+1",
            "1.0",
            "0 1",
            "0;1",
            "0-3",
            "0x1",
            "\t0",
            "0\n",
            "0\u{a0}",
            "٣",
            "all",
            "[0,1]",
        ];
        for text in texts {
            assert!(matches!(DeviceMask::parse(text), Err(Problem::Malformed { .. })), "{text:?}");
        }
    }

    // UNIT-6: ids end at 63.
    #[test]
    fn ids_at_their_limit() {
        let mut mask = DeviceMask::EMPTY;
        mask.insert(63);
        assert!(mask.contains(63));
        mask.insert(64);
        mask.insert(255);
        assert_eq!(mask.bits(), 1 << 63);
        assert!(!mask.contains(64) && !mask.contains(127) && !mask.contains(255));
        assert_eq!((mask.len(), mask.nth(0), mask.nth(1)), (1, Some(63), None));
        assert_eq!(DeviceMask::from_bits(u64::MAX).iter().len(), 64);
        assert_eq!(DeviceMask::from_bits(u64::MAX).nth(63), Some(63));
        assert_eq!(DeviceMask::from_bits(u64::MAX).nth(64), None);
    }

    // POOL-3: the mask of a pool that published devices only.
    #[test]
    fn first_ids() {
        let table =
            [(0, 0), (1, 1), (4, 0xf), (63, u64::MAX >> 1), (64, u64::MAX), (65, u64::MAX), (usize::MAX, u64::MAX)];
        for (n, bits) in table {
            assert_eq!(DeviceMask::first(n).bits(), bits, "{n}");
        }
    }

    // FEAS-15
    #[test]
    fn within_is_subset() {
        let mask = DeviceMask::from_bits;
        assert!(mask(0b101).is_within(mask(0b111)));
        assert!(mask(0b101).is_within(mask(0b101)));
        assert!(!mask(0b101).is_within(mask(0b001)));
        assert!(DeviceMask::EMPTY.is_within(DeviceMask::EMPTY));
        assert!(!mask(1).is_within(DeviceMask::EMPTY));
    }

    #[test]
    fn the_empty_set() {
        assert_eq!(DeviceMask::default(), DeviceMask::EMPTY);
        assert!(DeviceMask::EMPTY.is_empty() && DeviceMask::EMPTY.iter().next().is_none());
        assert_eq!(DeviceMask::EMPTY.to_string(), "");
    }

    proptest! {
        // UNIT-6: text and set, ids and bits are the same thing.
        #[test]
        fn round_trip(bits in 1..=u64::MAX) {
            let mask = DeviceMask::from_bits(bits);
            prop_assert_eq!(DeviceMask::parse(&mask.to_string()), Ok(mask));
            let ids: Vec<u8> = mask.iter().collect();
            prop_assert_eq!(&ids, &(0..64).filter(|id| mask.contains(*id)).collect::<Vec<u8>>());
            prop_assert_eq!(u32::try_from(ids.len()), Ok(mask.len()));
            for (place, id) in ids.iter().enumerate() {
                prop_assert_eq!(mask.nth(place), Some(*id));
            }
            let mut rebuilt = DeviceMask::EMPTY;
            ids.iter().for_each(|id| rebuilt.insert(*id));
            prop_assert_eq!(rebuilt, mask);
        }

        // UNIT-6: order, case and spaces do not count.
        #[test]
        fn spelling_does_not_count(
            ids in proptest::sample::subsequence((0u8..64).collect::<Vec<_>>(), 1..16).prop_shuffle(),
            style in any::<u64>(),
        ) {
            let text: Vec<String> = ids
                .iter()
                .map(|id| match style.rotate_right(u32::from(*id)) & 3 {
                    0 => format!("{id}"),
                    1 => format!(" GPU{id}"),
                    2 => format!("gpu{id} "),
                    _ => format!(" {id:03}  "),
                })
                .collect();
            let mut mask = DeviceMask::EMPTY;
            ids.iter().for_each(|id| mask.insert(*id));
            prop_assert_eq!(DeviceMask::parse(&text.join(",")), Ok(mask));
        }

        #[test]
        fn within_is_about_each_id(a in any::<u64>(), b in any::<u64>(), c in any::<u64>()) {
            let (a, b) = (DeviceMask::from_bits(a & b & c), DeviceMask::from_bits(b));
            prop_assert!(a.is_within(b));
            prop_assert_eq!(b.is_within(a), b.iter().all(|id| a.contains(id)));
        }

        // UNIT-6: no text makes the parser fail in another way.
        #[test]
        fn any_text_is_read_or_malformed(text in "[0-9,gpuGPU +]{0,10}") {
            match DeviceMask::parse(&text) {
                Ok(mask) => prop_assert!(!mask.is_empty()),
                Err(problem) => prop_assert!(matches!(problem, Problem::Malformed { .. }), "{}", problem),
            }
        }
    }
}
