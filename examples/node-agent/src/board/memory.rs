//! Places for what lives as long as the program, and is made when it starts.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

/// Room in a static for one value.
#[derive(Debug)]
pub struct Place<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: whoever fills a place gets the only reference to what is in it.
unsafe impl<T: Send> Sync for Place<T> {}

impl<T> Place<T> {
    /// An empty place.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Makes a value where it stays.
    ///
    /// # Safety
    /// At most once for each place.
    #[inline(always)] // So that the value is made in its place instead of on the stack.
    pub unsafe fn fill(&'static self, make: impl FnOnce() -> T) -> &'static mut T {
        // SAFETY: by the caller's promise there is no other reference.
        unsafe { (*self.0.get()).write(make()) }
    }
}
