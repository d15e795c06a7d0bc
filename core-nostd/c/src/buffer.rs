//! The caller's buffer for answers of any length: filled as far as it goes, and told how much was needed.

use core::ffi::c_char;
use core::ptr::copy_nonoverlapping;

use orchestrator_core::codec::{OutOfRoom, Sink};

use crate::codes::{Fault, OC_BUFFER_TOO_SMALL, OC_NULL_POINTER};
use crate::versioned::OutNumber;

/// Bytes that go into the caller's memory.
pub(crate) struct Buffer {
    to: *mut u8,
    room: usize,
    written: usize,
    needed: usize,
}

impl Buffer {
    /// # Safety
    /// `to` is null or points to `room` writable bytes, which nobody else uses until the buffer is dropped.
    pub(crate) const unsafe fn new(to: *mut u8, room: usize) -> Result<Self, Fault> {
        if to.is_null() && room > 0 {
            Err(Fault::of(OC_NULL_POINTER))
        } else {
            Ok(Self { to, room, written: 0, needed: 0 })
        }
    }

    /// Writes bytes, or nothing of them where they do not fit.
    fn push(&mut self, bytes: &[u8]) {
        // Once something did not fit, nothing that follows does.
        let fits = self.written == self.needed && bytes.len() <= self.room.saturating_sub(self.written);
        self.needed = self.needed.saturating_add(bytes.len());
        if fits && !bytes.is_empty() {
            // SAFETY: there is room for them behind what is written, by the promise of `new`.
            unsafe { copy_nonoverlapping(bytes.as_ptr(), self.to.add(self.written), bytes.len()) };
            self.written = self.needed;
        }
    }

    /// Says how much was needed, and whether it fitted.
    fn finish(&self, needed: OutNumber<usize>) -> Result<(), Fault> {
        needed.put(self.needed);
        if self.written == self.needed { Ok(()) } else { Err(Fault::of(OC_BUFFER_TOO_SMALL)) }
    }
}

impl Sink for Buffer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        self.push(bytes);
        Ok(())
    }
}

/// A text in the caller's buffer. Without `core::fmt`, whose code can panic for all that a linker knows.
pub(crate) struct TextBuffer(Buffer);

impl TextBuffer {
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        // Character by character, so that a text that is cut off is still UTF-8.
        let mut bytes = [0; 4];
        for character in text.chars() {
            self.0.push(character.encode_utf8(&mut bytes).as_bytes());
        }
        self
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        let mut divisor: u64 = 10_000_000_000_000_000_000;
        while divisor > 1 && number < divisor {
            divisor = divisor.div_euclid(10);
        }
        while divisor > 0 {
            let digit = number.div_euclid(divisor).rem_euclid(10);
            self.0.push(&[b'0'.saturating_add(u8::try_from(digit).unwrap_or(0))]);
            divisor = divisor.div_euclid(10);
        }
        self
    }
}

/// Writes a text with a null byte behind it. A text that is cut off has one too, if there is room for any byte.
///
/// # Safety
/// `buffer` is null or points to `bytes` writable bytes, and `needed` is null, misaligned or points to a writable number;
/// nobody else uses them until this returns.
pub(crate) unsafe fn write_text(
    buffer: *mut c_char,
    bytes: usize,
    needed: *mut usize,
    write: impl FnOnce(&mut TextBuffer),
) -> Result<(), Fault> {
    // SAFETY: the caller's promise; the last byte is kept back.
    let (needed, inner) = unsafe { (OutNumber::new(needed)?, Buffer::new(buffer.cast(), bytes)?) };
    let mut text = TextBuffer(Buffer { room: bytes.saturating_sub(1), ..inner });
    write(&mut text);
    let TextBuffer(inner) = text;
    if bytes > 0 {
        // SAFETY: at most all bytes but the last are written.
        unsafe { inner.to.add(inner.written).write(0) };
        inner.finish(needed)
    } else {
        // There is no room for the null byte, even of an empty text.
        needed.put(inner.needed);
        Err(Fault::of(OC_BUFFER_TOO_SMALL))
    }
}

/// Writes bytes by whatever writes into a sink.
///
/// # Safety
/// As [`write_text`].
pub(crate) unsafe fn write_bytes(
    buffer: *mut u8,
    bytes: usize,
    needed: *mut usize,
    write: impl FnOnce(&mut Buffer) -> Result<(), Fault>,
) -> Result<(), Fault> {
    // SAFETY: the caller's promise.
    let (needed, mut inner) = unsafe { (OutNumber::new(needed)?, Buffer::new(buffer, bytes)?) };
    write(&mut inner)?;
    inner.finish(needed)
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;
    use crate::codes::{OC_OK, oc_code};

    fn written(room: usize, write: impl FnOnce(&mut TextBuffer)) -> (oc_code, usize, String) {
        let (mut bytes, mut needed) = ([b'#'; 64], 0);
        // SAFETY: there are more bytes than any room here.
        let result = unsafe { write_text(bytes.as_mut_ptr().cast(), room, &raw mut needed, write) };
        let text: String = String::from_utf8(bytes.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap();
        assert!(bytes[room..].iter().all(|byte| *byte == b'#'));
        (result.err().map_or(OC_OK, |fault| fault.code), needed, text)
    }

    #[test]
    fn texts_are_whole_or_cut_between_characters() {
        let write = |text: &mut TextBuffer| {
            text.text("aé").number(7);
        };
        assert_eq!(written(5, write), (OC_OK, 4, String::from("aé7")));
        assert_eq!(written(4, write), (OC_BUFFER_TOO_SMALL, 4, String::from("aé")));
        assert_eq!(written(3, write), (OC_BUFFER_TOO_SMALL, 4, String::from("a")));
        assert_eq!(written(1, write), (OC_BUFFER_TOO_SMALL, 4, String::new()));
        assert_eq!(written(0, write).0, OC_BUFFER_TOO_SMALL);
    }

    #[test]
    fn numbers() {
        for number in [0, 7, 10, 99, 100, 1_000_001, u64::MAX] {
            let expected = std::format!("{number}");
            let write = |text: &mut TextBuffer| {
                text.number(number);
            };
            assert_eq!(written(32, write).2, expected);
        }
    }
}
