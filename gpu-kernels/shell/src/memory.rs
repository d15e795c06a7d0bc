//! Global memory, within the lengths that the host gives.

use core::slice;

use orchestrator_kernels::block::Output;

/// A table that a kernel reads. Empty tables may have any address.
///
/// # Safety
/// `len` records lie at `first`, initialised and aligned, and nobody writes them during the launch.
#[inline(always)]
pub(crate) unsafe fn table<'a, T>(first: *const T, len: usize) -> &'a [T] {
    if len == 0 {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(first, len) }
}

/// Records that a kernel writes and never reads.
pub(crate) struct Records<T> {
    first: *mut T,
    len: u64,
}

impl<T> Records<T> {
    /// # Safety
    /// `len` aligned records may be written at `first`, during the whole launch, by nobody but its kernel.
    #[inline(always)]
    pub(crate) const unsafe fn new(first: *mut T, len: u64) -> Self {
        Self { first, len }
    }
}

impl<T: Copy> Output<T> for Records<T> {
    #[inline(always)]
    fn put(&mut self, index: u64, value: T) {
        if index < self.len {
            // SAFETY: inside the records.
            unsafe { self.first.add(index as usize).write(value) }
        }
    }
}
