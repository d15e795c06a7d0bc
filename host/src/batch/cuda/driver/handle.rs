//! A name that the driver gives to what it made.

use std::ptr::NonNull;

use cudarc::driver::sys::CUresult;

use super::status::Status;

/// A handle of the driver: never dereferenced here.
#[derive(Debug)]
pub(super) struct Handle<T>(NonNull<T>);

impl<T> Handle<T> {
    /// What a function that succeeded wrote; nothing is no handle.
    pub(super) fn of(written: *mut T) -> Result<Self, Status> {
        NonNull::new(written).map(Self).ok_or(Status::of(CUresult::CUDA_ERROR_INVALID_HANDLE))
    }

    pub(super) const fn get(&self) -> *mut T {
        self.0.as_ptr()
    }
}

// SAFETY: a handle is only ever given back to the driver, whose functions take it from any thread.
unsafe impl<T> Send for Handle<T> {}
// SAFETY: as above; the driver has locks of its own.
unsafe impl<T> Sync for Handle<T> {}
