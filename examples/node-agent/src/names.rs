//! Numbers as ids and back: on the wire between interrupt and main program a job is its number.

/// An id: a letter and up to five digits.
pub(crate) struct Name {
    bytes: [u8; ID_BYTES_MAX],
}

const DIGITS: usize = 5;

/// Bytes of an id.
pub(crate) const ID_BYTES_MAX: usize = DIGITS + 1;

impl Name {
    pub(crate) fn new(letter: u8, number: u16) -> Self {
        let (mut bytes, mut left) = ([letter; ID_BYTES_MAX], number);
        for byte in bytes.iter_mut().skip(1).rev() {
            *byte = b'0' + (left % 10) as u8;
            left /= 10;
        }
        Self { bytes }
    }

    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    /// The number of an id that [`Name::new`] made.
    pub(crate) fn number(id: &str) -> u16 {
        id.bytes()
            .skip(1)
            .fold(0, |number, digit| number.wrapping_mul(10).wrapping_add(digit.wrapping_sub(b'0').into()))
    }
}
