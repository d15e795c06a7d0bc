//! Memory in statics, filled when the program starts.
//!
//! Empty tables are not zeros. A static that is made at build time would stand in flash too, and a local one would pass
//! over the stack, so a table's rows are written one by one where they stay. The linker then knows how large all tables
//! are, and refuses what does not fit.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

/// Room in a static for `N` rows.
#[derive(Debug)]
pub struct Place<T, const N: usize = 1>(UnsafeCell<MaybeUninit<[T; N]>>);

// SAFETY: whoever fills a place has the only reference to what is in it.
unsafe impl<T: Send, const N: usize> Sync for Place<T, N> {}

impl<T, const N: usize> Default for Place<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Place<T> {
    /// Puts in the only row.
    ///
    /// # Safety
    /// At most once for each place, and not filled otherwise.
    #[allow(clippy::mut_from_ref, reason = "the caller promises that there is no other")]
    pub unsafe fn put(&'static self, row: T) -> &'static mut T {
        // SAFETY: by the caller's promise nobody else has the room.
        let [row] = unsafe { (*self.0.get()).write([row]) };
        row
    }
}

impl<T, const N: usize> Place<T, N> {
    /// Room without rows.
    #[must_use]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Makes the rows.
    ///
    /// # Safety
    /// At most once for each place.
    #[allow(clippy::mut_from_ref, reason = "the caller promises that there is no other")]
    pub unsafe fn fill(&'static self, make: impl Fn() -> T) -> &'static mut [T; N] {
        let rows = self.0.get().cast::<T>();
        for row in 0..N {
            // SAFETY: inside the room, which by the caller's promise nobody else has.
            unsafe { rows.add(row).write(make()) };
        }
        // SAFETY: every row was written.
        unsafe { (*self.0.get()).assume_init_mut() }
    }
}
