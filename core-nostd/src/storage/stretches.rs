//! Bytes beside a table: an equal stretch of what its owner lends for each slot.

use crate::values::index::index;

/// Equal stretches of borrowed bytes, by slot.
#[derive(Debug, Default)]
pub(crate) struct Stretches<'a> {
    bytes: &'a mut [u8],
    stride: usize,
}

impl<'a> Stretches<'a> {
    /// An equal part of the bytes for each of `slots`, of at most `max_bytes`.
    pub(crate) fn new(bytes: &'a mut [u8], slots: u32, max_bytes: usize) -> Self {
        let stride = bytes.len().checked_div(index(slots)).unwrap_or(0).min(max_bytes);
        Self { bytes, stride }
    }

    /// Bytes of each.
    pub(crate) const fn stride(&self) -> usize {
        self.stride
    }

    /// A slot's stretch.
    pub(crate) fn get(&self, slot: u32) -> Option<&[u8]> {
        let start = index(slot).saturating_mul(self.stride);
        self.bytes.get(start..start.saturating_add(self.stride))
    }

    /// The same, to be written.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut [u8]> {
        let start = index(slot).saturating_mul(self.stride);
        self.bytes.get_mut(start..start.saturating_add(self.stride))
    }
}
