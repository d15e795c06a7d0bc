//! Short texts beside a table, one for each of its slots: an equal stretch of borrowed bytes, the first of which is the
//! text's length.
//!
//! How long a text may be is the owner's choice: most ids are far below their limit, and there are as many as rows.
//!
//! Invariant: a stretch begins with the length of a text that was whole when it was put there.

use super::Stretches;

/// Texts of at most as many bytes as the owner has room for, by slot.
#[derive(Debug)]
pub(crate) struct Texts<'a>(Stretches<'a>);

impl<'a> Texts<'a> {
    /// No texts; an equal part of the bytes for each of `slots`, of texts of at most `max_bytes`.
    pub(crate) fn new(bytes: &'a mut [u8], slots: u32, max_bytes: usize) -> Self {
        Self(Stretches::new(bytes, slots, max_bytes.saturating_add(1)))
    }

    /// Bytes that a text may have.
    pub(crate) const fn room(&self) -> usize {
        self.0.stride().saturating_sub(1)
    }

    /// Keeps a text; says whether it has room, else the slot's text is empty.
    #[inline(never)] // Many callers, who wait for the bytes either way.
    pub(crate) fn put(&mut self, slot: u32, text: &str) -> bool {
        let Some((length, room)) = self.0.get_mut(slot).and_then(<[u8]>::split_first_mut) else {
            return text.is_empty();
        };
        let fitting = room.get_mut(..text.len());
        let fits = fitting.is_some();
        // A stretch is at most 256 bytes.
        *length = if fits { u8::try_from(text.len()).unwrap_or(0) } else { 0 };
        for (to, from) in fitting.unwrap_or_default().iter_mut().zip(text.as_bytes()) {
            *to = *from;
        }
        fits
    }

    /// A slot's text.
    #[inline(never)] // As above.
    pub(crate) fn get(&self, slot: u32) -> &str {
        core::str::from_utf8(self.bytes_of(slot)).unwrap_or_default()
    }

    /// Whether a slot has this text. Cheaper than [`get`](Self::get): nothing is checked.
    pub(crate) fn is(&self, slot: u32, text: &str) -> bool {
        self.bytes_of(slot) == text.as_bytes()
    }

    /// The bytes of a slot's text. Cheaper than [`get`](Self::get): nothing is checked.
    pub(super) fn bytes_of(&self, slot: u32) -> &[u8] {
        let stretch = self.0.get(slot).and_then(<[u8]>::split_first);
        stretch.and_then(|(&length, text)| text.get(..usize::from(length))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_to_their_slots() {
        let mut bytes = [0xff; 3 * 5 + 2];
        let mut texts = Texts::new(&mut bytes, 3, 64);
        assert_eq!(texts.room(), 4);
        for (slot, text) in [(0, "four"), (1, ""), (2, "äö")] {
            assert!(texts.put(slot, text));
        }
        assert_eq!([0, 1, 2].map(|slot| texts.get(slot)), ["four", "", "äö"]);
        assert!(texts.is(0, "four") && !texts.is(0, "fou") && !texts.is(1, "four"));
        assert!(!texts.put(0, "fives"));
        assert_eq!((texts.get(0), texts.get(1), texts.get(3)), ("", "", ""));
        assert!(!texts.put(3, "x"));
    }

    #[test]
    fn no_more_than_a_text_may_have() {
        let mut bytes = [0; 100];
        assert_eq!(Texts::new(&mut bytes, 1, 64).room(), 64);
        assert_eq!(Texts::new(&mut bytes, 0, 64).room(), 0);
        let mut none = Texts::new(&mut [], 2, 64);
        assert!(none.put(0, "") && !none.put(0, "x"));
        assert_eq!((none.room(), none.get(0)), (0, ""));
    }
}
