//! Structures that can grow: each begins with its size in bytes, as its user was compiled.
//!
//! An older caller gives a smaller structure: what it lacks has its default. A newer one gives a larger structure: what
//! this library does not know must be zero, so that nothing is silently ignored. Out of the library only as much is
//! written as the caller has room for, and what it has beyond that is set to zero.

use core::mem::MaybeUninit;
use core::ptr::copy_nonoverlapping;

use crate::codes::{Fault, OC_MISALIGNED, OC_NULL_POINTER, OC_STRUCT_SIZE};

/// The version of this interface. It is raised when something is added; what was there keeps its meaning.
pub const OC_API_VERSION: u32 = 2;

/// No version of any structure is larger: a size above it is a mistake, not a future.
const STRUCT_BYTES_MAX: usize = 4096;

/// A structure whose first field is its size.
///
/// # Safety
/// The type is `repr(C)`, its first field is `struct_bytes: u32`, and all of its fields are integers, floats, pointers or
/// such structures and arrays of them: any bytes are a value.
pub(crate) unsafe trait Versioned: Copy {
    /// The size of its first version: no caller has a smaller one.
    const FIRST_BYTES: usize = size_of::<Self>();
}

/// The size that a caller gives its structure, if it can be one.
///
/// # Safety
/// `structure` is null, misaligned, or points to a readable `u32`.
unsafe fn claimed<T: Versioned>(structure: *const T) -> Result<usize, Fault> {
    if structure.is_null() {
        return Err(Fault::of(OC_NULL_POINTER));
    }
    if !structure.is_aligned() {
        return Err(Fault::of(OC_MISALIGNED));
    }
    // SAFETY: not null, aligned for `T` and so for its first field, and the caller vouches for four bytes.
    let bytes = unsafe { structure.cast::<u32>().read() };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let is_possible = (T::FIRST_BYTES..=STRUCT_BYTES_MAX).contains(&bytes);
    if is_possible { Ok(bytes) } else { Err(Fault::of(OC_STRUCT_SIZE)) }
}

/// What a caller says; `absent` is what an older one, who cannot say it, means.
///
/// # Safety
/// `from` is null, misaligned, or points to as many readable bytes as its `struct_bytes` says, at least four.
pub(crate) unsafe fn read<T: Versioned>(from: *const T, absent: T) -> Result<T, Fault> {
    // SAFETY: the caller's promise.
    let claimed = unsafe { claimed(from) }?;
    let mut value = MaybeUninit::new(absent);
    let known = claimed.min(size_of::<T>());
    // SAFETY: `known` bytes are readable by the caller's promise, and `value` has room for them.
    unsafe { copy_nonoverlapping(from.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), known) };
    for at in known..claimed {
        // SAFETY: below the size that the caller vouches for.
        if unsafe { from.cast::<u8>().add(at).read() } != 0 {
            return Err(Fault::of(OC_STRUCT_SIZE));
        }
    }
    // SAFETY: it was a value before, and any bytes are one.
    Ok(unsafe { value.assume_init() })
}

/// A structure of the caller's that an answer goes into, checked before anything happens.
pub(crate) struct Out<T> {
    to: *mut T,
    claimed: usize,
}

impl<T: Versioned> Out<T> {
    /// # Safety
    /// `to` is null, misaligned, or points to as many writable bytes as its `struct_bytes` says, at least four; nobody else
    /// uses them until [`Out::put`] has returned.
    pub(crate) unsafe fn new(to: *mut T) -> Result<Self, Fault> {
        // SAFETY: the caller's promise.
        Ok(Self { to, claimed: unsafe { claimed(to) }? })
    }

    /// None where the caller does not want it.
    ///
    /// # Safety
    /// As [`Out::new`].
    pub(crate) unsafe fn optional(to: *mut T) -> Result<Option<Self>, Fault> {
        if to.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller's promise.
        unsafe { Self::new(to) }.map(Some)
    }

    /// Writes as much as there is room for; `struct_bytes` stays.
    pub(crate) fn put(self, value: &T) {
        let first = size_of::<u32>();
        let known = self.claimed.min(size_of::<T>());
        let (to, from) = (self.to.cast::<u8>(), (&raw const *value).cast::<u8>());
        // SAFETY: `new` had the promise that `claimed` bytes are writable; `known` is within both structures, and every
        // size is at least that of the first field.
        unsafe {
            copy_nonoverlapping(from.add(first), to.add(first), known.saturating_sub(first));
            to.add(known).write_bytes(0, self.claimed.saturating_sub(known));
        }
    }
}

/// A number of the caller's that an answer goes into.
pub(crate) struct OutNumber<T>(*mut T);

impl<T: Copy> OutNumber<T> {
    /// # Safety
    /// `to` is null, misaligned, or points to a writable number, which nobody else uses until [`OutNumber::put`] returns.
    pub(crate) unsafe fn new(to: *mut T) -> Result<Self, Fault> {
        if to.is_null() {
            Err(Fault::of(OC_NULL_POINTER))
        } else if !to.is_aligned() {
            Err(Fault::of(OC_MISALIGNED))
        } else {
            Ok(Self(to))
        }
    }

    pub(crate) fn put(self, value: T) {
        // SAFETY: not null, aligned, and writable by the promise of `new`.
        unsafe { self.0.write(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Grown {
        struct_bytes: u32,
        first: u32,
        second: u32,
    }

    // SAFETY: three integers.
    unsafe impl Versioned for Grown {
        const FIRST_BYTES: usize = 8;
    }

    const DEFAULTS: Grown = Grown { struct_bytes: 0, first: 7, second: 9 };

    fn read_words(words: &[u32]) -> Result<Grown, oc_code> {
        // SAFETY: each test claims at most what it has.
        unsafe { read(words.as_ptr().cast::<Grown>(), DEFAULTS) }.map_err(|fault| fault.code)
    }

    use crate::codes::oc_code;

    #[test]
    fn older_callers_get_defaults() {
        assert_eq!(read_words(&[8, 1]), Ok(Grown { struct_bytes: 8, first: 1, second: 9 }));
        assert_eq!(read_words(&[12, 1, 2]), Ok(Grown { struct_bytes: 12, first: 1, second: 2 }));
    }

    #[test]
    fn newer_callers_may_not_use_what_is_unknown() {
        assert_eq!(read_words(&[16, 1, 2, 0]), Ok(Grown { struct_bytes: 16, first: 1, second: 2 }));
        assert_eq!(read_words(&[16, 1, 2, 3]), Err(OC_STRUCT_SIZE));
    }

    #[test]
    fn sizes_that_are_none() {
        for bytes in [0, 4, 7, 4097, u32::MAX] {
            assert_eq!(read_words(&[bytes, 0, 0]), Err(OC_STRUCT_SIZE), "{bytes}");
        }
    }

    #[test]
    fn answers_fit_their_callers() {
        let put = |words: &mut [u32]| {
            // SAFETY: each test claims at most what it has.
            unsafe { Out::new(words.as_mut_ptr().cast::<Grown>()) }.map(|out| out.put(&DEFAULTS)).map_err(|f| f.code)
        };
        let mut older = [8, 1, 5];
        assert_eq!((put(&mut older), older), (Ok(()), [8, 7, 5]));
        let mut newer = [16, 1, 1, 1];
        assert_eq!((put(&mut newer), newer), (Ok(()), [16, 7, 9, 0]));
        assert_eq!(put(&mut [0; 3]), Err(OC_STRUCT_SIZE));
    }
}
