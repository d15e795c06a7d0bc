//! Values that the compiler cannot know: read through volatile loads, so that nothing is folded away at build time.

use core::ptr::read_volatile;

static NUMBER: i64 = 0;

/// `value`, for all the compiler knows any `i64`.
pub fn int(value: i64) -> i64 {
    // SAFETY: a reference is valid to read.
    value ^ unsafe { read_volatile(&NUMBER) }
}

/// `value`, for all the compiler knows any `usize`.
pub fn size(value: usize) -> usize {
    value ^ int(0) as usize
}

/// `value`, for all the compiler knows any `u32`.
pub fn word(value: u32) -> u32 {
    value ^ int(0) as u32
}

/// `value`, for all the compiler knows any `f64`.
pub fn float(value: f64) -> f64 {
    f64::from_bits(value.to_bits() ^ int(0) as u64)
}

/// `value`, for all the compiler knows either.
pub fn flag(value: bool) -> bool {
    value != (int(0) != 0)
}

/// `value`, for all the compiler knows there or not.
pub fn maybe<T>(value: T) -> Option<T> {
    if int(0) == 0 { Some(value) } else { None }
}

/// `items`, for all the compiler knows any number of them.
pub fn some<T>(items: &[T]) -> &[T] {
    items.get(..size(items.len())).unwrap_or_default()
}

/// As [`some`], to change.
pub fn some_mut<T>(items: &mut [T]) -> &mut [T] {
    let len = size(items.len());
    items.get_mut(..len).unwrap_or_default()
}

/// `text`, for all the compiler knows any text of any length: `storage` receives its bytes.
pub fn text<'a>(storage: &'a mut [u8; 256], text: &str) -> &'a str {
    for (to, from) in storage.iter_mut().zip(text.bytes()) {
        *to = from ^ int(0) as u8;
    }
    let bytes = storage.get(..size(text.len())).unwrap_or_default();
    core::str::from_utf8(bytes).unwrap_or_default()
}

/// Keeps the compiler from dropping the computation of `value`.
pub fn keep<T>(value: &T) {
    let address: *const T = value;
    // SAFETY: the block has no instructions; it only makes the address, and what lies behind it, seem used.
    unsafe { core::arch::asm!("/* {0} */", in(reg) address, options(nostack, preserves_flags, readonly)) };
}
