//! Which optional fields of a struct are there: one integer before its fields, so that an absent field takes no room.

use super::reader::{Decode, DecodeError, DecodeProblem, Reader};
use super::writer::{Encode, OutOfRoom, Sink};

/// Up to 32 flags as an integer; the first is its lowest bit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags<const N: usize>(pub(super) [bool; N]);

impl<const N: usize> Flags<N> {
    const FIT: () = assert!(N <= 32);
}

impl<const N: usize> Encode for Flags<N> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let () = Self::FIT;
        self.0.iter().rev().fold(0u32, |word, flag| (word << 1) | u32::from(*flag)).encode(sink)
    }
}

impl<const N: usize> Decode<'_> for Flags<N> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let () = Self::FIT;
        let mut word = reader.take::<u32>()?;
        let mut flags = [false; N];
        for flag in &mut flags {
            *flag = word & 1 == 1;
            word >>= 1;
        }
        if word == 0 { Ok(Self(flags)) } else { reader.fail(DecodeProblem::UnknownTag) }
    }
}

/// Writes optional values whose flags say which of them are there.
pub(super) fn encode_present<S: Sink + ?Sized>(values: &[Option<impl Encode>], sink: &mut S) -> Result<(), OutOfRoom> {
    values.iter().flatten().try_for_each(|value| value.encode(sink))
}
