//! Values out of bytes that may be anything.

use core::fmt;

use super::writer::{Fixed, MORE};
use crate::values::binary64::canonical_bits;
use crate::values::text::Id;

/// Bytes that are no value of the form expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DecodeError {
    /// How many bytes had been read.
    pub at_byte: usize,
    /// What is wrong there.
    pub problem: DecodeProblem,
}

/// Why bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecodeProblem {
    /// They end within a value.
    Truncated,
    /// A text is not UTF-8.
    NotUtf8,
    /// A byte that says which of several forms follows, or whether one does, is none that it can be.
    UnknownTag,
    /// A text is longer than what holds it.
    TooLong {
        /// The most bytes.
        max_bytes: usize,
    },
    /// There are more items than the scratch has places left.
    TooMany {
        /// The places left.
        max: usize,
    },
    /// A number is outside its range.
    OutOfRange,
    /// A number has a shorter form, or is a NaN that is never written.
    NotCanonical,
    /// Bytes follow where the value should end.
    TrailingBytes,
}

impl fmt::Display for DecodeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("ends within a value"),
            Self::NotUtf8 => f.write_str("text that is not UTF-8"),
            Self::UnknownTag => f.write_str("unknown tag"),
            Self::TooLong { max_bytes } => write!(f, "text too long: at most {max_bytes} bytes"),
            Self::TooMany { max } => write!(f, "too many items: room for {max} more"),
            Self::OutOfRange => f.write_str("number outside its range"),
            Self::NotCanonical => f.write_str("number in a form that is never written"),
            Self::TrailingBytes => f.write_str("bytes behind the end"),
        }
    }
}

impl core::error::Error for DecodeProblem {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at_byte, self.problem)
    }
}

impl core::error::Error for DecodeError {}

/// Reads values one after the other; texts are borrowed from the bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    read: usize,
    intern: fn(&str) -> &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, read: 0, intern: |_| "" }
    }

    /// A reader of values with texts of the program.
    pub(super) const fn interning(bytes: &'a [u8], intern: fn(&str) -> &'static str) -> Self {
        Self { rest: bytes, read: 0, intern }
    }

    /// How many bytes have been read.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.read
    }

    /// The bytes not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// [`DecodeProblem::TrailingBytes`].
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { self.fail(DecodeProblem::TrailingBytes) }
    }

    pub(crate) const fn fail<T>(&self, problem: DecodeProblem) -> Result<T, DecodeError> {
        Err(DecodeError { at_byte: self.read, problem })
    }

    /// Reads the next value.
    pub(crate) fn take<T: Decode<'a>>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// Reads a value that is there if `present`.
    pub(crate) fn take_if<T: Decode<'a>>(&mut self, present: bool) -> Result<Option<T>, DecodeError> {
        if present { self.take().map(Some) } else { Ok(None) }
    }

    /// Reads an integer from `min` to `max`.
    pub(crate) fn take_between<T: TryFrom<u64> + PartialOrd>(&mut self, min: T, max: T) -> Result<T, DecodeError> {
        match T::try_from(self.take::<u64>()?) {
            Ok(value) if value >= min && value <= max => Ok(value),
            _ => self.fail(DecodeProblem::OutOfRange),
        }
    }

    /// Reads as many bytes.
    pub(crate) fn take_bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(count) else {
            return self.fail(DecodeProblem::Truncated);
        };
        self.rest = rest;
        // Never saturates: no more bytes are read than there are.
        self.read = self.read.saturating_add(count);
        Ok(bytes)
    }

    /// Reads a text that the program itself had written.
    pub(super) fn take_static(&mut self) -> Result<&'static str, DecodeError> {
        let text = self.take()?;
        Ok((self.intern)(text))
    }

    /// Reads bytes of a fixed number.
    pub(crate) fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return self.fail(DecodeProblem::Truncated);
        };
        self.rest = rest;
        // Never saturates: no more bytes are read than there are.
        self.read = self.read.saturating_add(N);
        Ok(*bytes)
    }
}

/// Comes out of bytes.
pub(crate) trait Decode<'a>: Sized {
    /// Reads the value.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
}

impl Decode<'_> for u8 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [byte] = reader.take_array()?;
        Ok(byte)
    }
}

impl Decode<'_> for bool {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.take::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => reader.fail(DecodeProblem::UnknownTag),
        }
    }
}

impl Decode<'_> for u64 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = 0;
        for shift in [0u32, 7, 14, 21, 28, 35, 42, 49, 56, 63] {
            let byte = reader.take::<u8>()?;
            let bits = Self::from(byte & !MORE);
            // The shift is below 64; the tenth byte has room for one bit.
            let placed = bits.wrapping_shl(shift);
            if placed.wrapping_shr(shift) != bits {
                return reader.fail(DecodeProblem::OutOfRange);
            }
            value |= placed;
            if byte & MORE == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded { reader.fail(DecodeProblem::NotCanonical) } else { Ok(value) };
            }
        }
        reader.fail(DecodeProblem::OutOfRange)
    }
}

impl Decode<'_> for u16 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.take_between(0, Self::MAX)
    }
}

impl Decode<'_> for u32 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.take_between(0, Self::MAX)
    }
}

impl Decode<'_> for usize {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.take_between(0, Self::MAX)
    }
}

impl Decode<'_> for i64 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let folded = reader.take::<u64>()?;
        Ok((folded >> 1).cast_signed() ^ (folded & 1).cast_signed().wrapping_neg())
    }
}

impl Decode<'_> for f64 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let Fixed(bits) = reader.take()?;
        let value = Self::from_bits(bits);
        if bits == canonical_bits(value) { Ok(value) } else { reader.fail(DecodeProblem::NotCanonical) }
    }
}

impl Decode<'_> for Fixed {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(u64::from_le_bytes(reader.take_array()?)))
    }
}

impl<'a> Decode<'a> for &'a str {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = reader.take()?;
        let bytes = reader.take_bytes(count)?;
        str::from_utf8(bytes).or_else(|_| reader.fail(DecodeProblem::NotUtf8))
    }
}

impl<'a> Decode<'a> for (&'a str, &'a str) {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let first = reader.take()?;
        Ok((first, reader.take()?))
    }
}

impl Decode<'_> for Id {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text: &str = reader.take()?;
        let max_bytes = crate::limits::ID_BYTES_MAX;
        Self::try_from(text).or_else(|_| reader.fail(DecodeProblem::TooLong { max_bytes }))
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let present = reader.take()?;
        reader.take_if(present)
    }
}
