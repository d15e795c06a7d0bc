//! Texts and lists that a caller points to: checked, borrowed, never copied.
//!
//! Invariant: nothing is read beyond the length that the caller says, nor beyond [`TEXT_BYTES_MAX`].

use core::ffi::c_char;
use core::ptr::null;
use core::{slice, str};

use heapless::Vec;
use orchestrator_core::Problem;

use crate::codes::{Fault, OC_BAD_VALUE, OC_MISALIGNED, OC_NOT_UTF8, OC_NULL_POINTER};

/// No text of the interface is longer; a longer one is refused unread.
const TEXT_BYTES_MAX: usize = 4096;

/// A text: a pointer and a number of bytes, without a null byte at the end. UTF-8. A null pointer with 0 bytes is an
/// absent text. Texts that the library gives out may be followed by anything.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_text {
    /// The first byte.
    pub data: *const c_char,
    /// How many bytes: at most 4096.
    pub bytes: usize,
}

/// A list of texts.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_texts {
    /// The first; may be null where there are none.
    pub items: *const oc_text,
    /// How many.
    pub count: usize,
}

/// A label: a name and its value.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_label {
    /// The name.
    pub key: oc_text,
    /// Its value.
    pub value: oc_text,
}

/// A list of labels.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_labels {
    /// The first; may be null where there are none.
    pub items: *const oc_label,
    /// How many.
    pub count: usize,
}

impl oc_text {
    pub(crate) const ABSENT: Self = Self { data: null(), bytes: 0 };

    /// What the library gives out: valid as long as `text` is.
    pub(crate) const fn given(text: &str) -> Self {
        Self { data: text.as_ptr().cast(), bytes: text.len() }
    }

    /// The text, or none where it is absent.
    ///
    /// # Safety
    /// `data` is null or points to `bytes` readable bytes that nobody writes for as long as `'a`.
    pub(crate) unsafe fn read<'a>(self, field: &'static str) -> Result<Option<&'a str>, Fault> {
        if self.data.is_null() {
            return if self.bytes == 0 { Ok(None) } else { Err(null_pointer(field)) };
        }
        if self.bytes > TEXT_BYTES_MAX {
            return Err(Fault::field(OC_BAD_VALUE, field, Problem::TooLong { max_bytes: TEXT_BYTES_MAX }));
        }
        // SAFETY: not null, and the caller vouches for `bytes` readable bytes.
        let bytes = unsafe { slice::from_raw_parts(self.data.cast::<u8>(), self.bytes) };
        let malformed = Problem::Malformed { expected: "UTF-8" };
        str::from_utf8(bytes).map(Some).map_err(|_| Fault::field(OC_NOT_UTF8, field, malformed))
    }

    /// The text, or an empty one where it is absent: the core refuses it where it is required.
    ///
    /// # Safety
    /// As [`oc_text::read`].
    pub(crate) unsafe fn required<'a>(self, field: &'static str) -> Result<&'a str, Fault> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.read(field) }.map(Option::unwrap_or_default)
    }
}

impl oc_texts {
    pub(crate) const NONE: Self = Self { items: null(), count: 0 };

    /// At most `N` texts.
    ///
    /// # Safety
    /// `items` is null or points to `count` texts; they and what they point to stay as they are for as long as `'a`.
    pub(crate) unsafe fn read<'a, const N: usize>(self, field: &'static str) -> Result<Vec<&'a str, N>, Fault> {
        // SAFETY: the caller's promise.
        let items = unsafe { items(self.items, self.count, field, N) }?;
        collect(items, field, |text| {
            // SAFETY: the caller's promise covers each of the texts.
            unsafe { text.required(field) }
        })
    }
}

impl oc_labels {
    pub(crate) const NONE: Self = Self { items: null(), count: 0 };

    /// At most `N` labels.
    ///
    /// # Safety
    /// As [`oc_texts::read`].
    pub(crate) unsafe fn read<'a, const N: usize>(
        self,
        field: &'static str,
    ) -> Result<Vec<(&'a str, &'a str), N>, Fault> {
        // SAFETY: the caller's promise.
        let items = unsafe { items(self.items, self.count, field, N) }?;
        collect(items, field, |label| {
            // SAFETY: the caller's promise covers both texts of each label.
            unsafe { Ok((label.key.required(field)?, label.value.required(field)?)) }
        })
    }
}

/// A list as a slice, if it has at most `max` entries.
///
/// # Safety
/// `items` is null, misaligned or points to `count` values that nobody writes for as long as `'a`.
pub(crate) unsafe fn items<'a, T>(
    items: *const T,
    count: usize,
    field: &'static str,
    max: usize,
) -> Result<&'a [T], Fault> {
    if count == 0 {
        return Ok(&[]);
    }
    if count > max {
        return Err(Fault::field(OC_BAD_VALUE, field, Problem::TooMany { max }));
    }
    if items.is_null() {
        return Err(null_pointer(field));
    }
    if !items.is_aligned() {
        return Err(Fault::field(OC_MISALIGNED, field, Problem::Malformed { expected: "an aligned pointer" }));
    }
    // SAFETY: not null, aligned, and the caller vouches for `count` values; `max` keeps their size far below the limit.
    Ok(unsafe { slice::from_raw_parts(items, count) })
}

/// What becomes of each entry.
pub(crate) fn collect<T, U, const N: usize>(
    items: &[T],
    field: &'static str,
    mut make: impl FnMut(&T) -> Result<U, Fault>,
) -> Result<Vec<U, N>, Fault> {
    let mut made = Vec::new();
    for item in items {
        let full = Fault::field(OC_BAD_VALUE, field, Problem::TooMany { max: N });
        made.push(make(item)?).map_err(|_| full)?;
    }
    Ok(made)
}

fn null_pointer(field: &'static str) -> Fault {
    Fault::field(OC_NULL_POINTER, field, Problem::Missing)
}
