//! What the driver answers: the numbers of its interface.

use core::ffi::{CStr, c_char, c_uint};
use core::mem::MaybeUninit;

/// A `CUresult`.
pub(crate) type Status = c_uint;

pub(crate) const SUCCESS: Status = 0;
pub(crate) const INVALID_VALUE: Status = 1;
pub(crate) const OUT_OF_MEMORY: Status = 2;
pub(crate) const NOT_INITIALIZED: Status = 3;
pub(crate) const NO_DEVICE: Status = 100;
pub(crate) const INVALID_DEVICE: Status = 101;
pub(crate) const INVALID_CONTEXT: Status = 201;
pub(crate) const INVALID_PTX: Status = 218;
pub(crate) const INVALID_HANDLE: Status = 400;
pub(crate) const NOT_FOUND: Status = 500;
pub(crate) const NOT_READY: Status = 600;
pub(crate) const LAUNCH_FAILED: Status = 719;
pub(crate) const SYSTEM_DRIVER_MISMATCH: Status = 803;
pub(crate) const UNKNOWN: Status = 999;

/// Writes an answer where the caller wants it.
pub(crate) fn put<T>(to: Option<&mut MaybeUninit<T>>, value: Result<T, Status>) -> Status {
    match (to, value) {
        (Some(to), Ok(value)) => {
            to.write(value);
            SUCCESS
        }
        (None, Ok(_)) => INVALID_VALUE,
        (_, Err(status)) => status,
    }
}

/// A status as the driver returns it.
pub(crate) const fn of(result: Result<(), Status>) -> Status {
    match result {
        Ok(()) => SUCCESS,
        Err(status) => status,
    }
}

const TEXT: &CStr = c"a status of the stub driver";

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorName(_status: Status, text: Option<&mut MaybeUninit<*const c_char>>) -> Status {
    put(text, Ok(TEXT.as_ptr()))
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorString(_status: Status, text: Option<&mut MaybeUninit<*const c_char>>) -> Status {
    put(text, Ok(TEXT.as_ptr()))
}
