//! Where bytes go, and how the simplest values become bytes.

use core::fmt;

use crate::values::binary64::canonical_bits;
use crate::values::hash::Xxh64;
use crate::values::text::Id;

/// Takes bytes: a slice ([`Writer`]), or what a host writes to.
pub trait Sink {
    /// Takes all of `bytes`.
    ///
    /// # Errors
    /// They do not fit, or could not be written; whether some of them were is up to the sink.
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom>;
}

/// A sink took no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OutOfRoom;

impl fmt::Display for OutOfRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for more bytes")
    }
}

impl core::error::Error for OutOfRoom {}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        (**self).write(bytes)
    }
}

/// Writes to a slice, from its start.
#[derive(Debug)]
pub struct Writer<'a> {
    room: &'a mut [u8],
    /// At most the room's length.
    used: usize,
}

impl<'a> Writer<'a> {
    /// A writer that has written nothing yet.
    #[must_use]
    pub const fn new(room: &'a mut [u8]) -> Self {
        Self { room, used: 0 }
    }

    /// What was written so far.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.room.get(..self.used).unwrap_or_default()
    }

    /// Starts again.
    pub const fn clear(&mut self) {
        self.used = 0;
    }
}

impl Sink for Writer<'_> {
    /// Writes all of `bytes` or none of them.
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        let end = self.used.checked_add(bytes.len()).ok_or(OutOfRoom)?;
        self.room.get_mut(self.used..end).ok_or(OutOfRoom)?.copy_from_slice(bytes);
        self.used = end;
        Ok(())
    }
}

/// Counts bytes and keeps none.
struct ByteCount(usize);

impl Sink for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(())
    }
}

/// Hashes bytes and keeps none.
impl Sink for Xxh64 {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        self.update(bytes);
        Ok(())
    }
}

/// How many bytes a value has.
pub(crate) fn encoded_bytes(value: &(impl Encode + ?Sized)) -> usize {
    let mut count = ByteCount(0);
    // A count takes everything.
    let _ = value.encode::<dyn Sink>(&mut count);
    count.0
}

/// Becomes bytes.
pub(crate) trait Encode {
    /// Writes the value. Where a firmware needs it for several sinks, they are a `dyn Sink`: the code that walks through
    /// values is large, and there once.
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom>;
}

/// An integer in 8 bytes, little-endian, whatever its size: hashes and sums of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fixed(pub(crate) u64);

/// Bytes as they are, without their length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

/// The bytes of the longest integer: 64 bits in sevens.
const INTEGER_BYTES_MAX: usize = 10;
/// Says that another byte of the integer follows.
pub(super) const MORE: u8 = 0x80;

impl Encode for u8 {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        sink.write(&[*self])
    }
}

impl Encode for bool {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        u8::from(*self).encode(sink)
    }
}

/// LEB128: seven bits a byte, the lowest first, the top bit set in all bytes but the last.
impl Encode for u64 {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let mut bytes = [0; INTEGER_BYTES_MAX];
        let (mut rest, mut used) = (*self, 0usize);
        for byte in &mut bytes {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            // At most 10, the bytes there are.
            used = used.saturating_add(1);
            *byte = if rest == 0 { low } else { low | MORE };
            if rest == 0 {
                break;
            }
        }
        sink.write(bytes.get(..used).unwrap_or_default())
    }
}

impl Encode for u16 {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        u64::from(*self).encode(sink)
    }
}

impl Encode for u32 {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        u64::from(*self).encode(sink)
    }
}

impl Encode for usize {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        // No supported machine has addresses above 64 bits.
        u64::try_from(*self).unwrap_or(u64::MAX).encode(sink)
    }
}

/// 0, -1, 1, -2, 2, … as 0, 1, 2, 3, 4, …, so that small numbers of both signs are short.
impl Encode for i64 {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        ((*self << 1) ^ (*self >> 63)).cast_unsigned().encode(sink)
    }
}

/// The bits, so that a value comes back as it was; every NaN is the same.
impl Encode for f64 {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        Fixed(canonical_bits(*self)).encode(sink)
    }
}

impl Encode for Fixed {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        sink.write(&self.0.to_le_bytes())
    }
}

impl Encode for Raw<'_> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        sink.write(self.0)
    }
}

/// Its length in bytes, then its bytes.
impl Encode for str {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        self.len().encode(sink)?;
        sink.write(self.as_bytes())
    }
}

impl Encode for Id {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        self.as_str().encode(sink)
    }
}

/// A byte 0, or a byte 1 and the value.
impl<T: Encode> Encode for Option<T> {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        self.is_some().encode(sink)?;
        self.iter().try_for_each(|value| value.encode(sink))
    }
}

/// The number of items, then the items.
impl<T: Encode> Encode for [T] {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        self.len().encode(sink)?;
        self.iter().try_for_each(|item| item.encode(sink))
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        (**self).encode(sink)
    }
}

/// One after the other.
macro_rules! coded_tuple {
    ($($item:ident)+) => {
        impl<$($item: Encode),+> Encode for ($($item,)+) {
            #[allow(non_snake_case, reason = "a type and its value have one name here")]
            fn encode<Out: Sink + ?Sized>(&self, sink: &mut Out) -> Result<(), OutOfRoom> {
                let ($($item,)+) = self;
                $($item.encode(sink)?;)+
                Ok(())
            }
        }
    };
}

coded_tuple!(A B);
coded_tuple!(A B C);
coded_tuple!(A B C D);
coded_tuple!(A B C D E);
