//! The memory functions that compiled code may call, for a program without a C library.
//!
//! By volatile accesses, because a plain loop would be recognised as the function that it implements, and compiled to a
//! call of itself. Slow, and the same on every architecture.

/// # Safety
/// As C's `memcpy`: `n` readable bytes at `from`, `n` writable ones at `to`, no overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: inside the bytes that the caller vouches for.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    to
}

/// # Safety
/// As C's `memmove`: `n` readable bytes at `from`, `n` writable ones at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= n {
        // SAFETY: `to` does not lie inside the bytes still to be read, so copying upwards is right; for the bytes see
        // the caller's promise.
        return unsafe { memcpy(to, from, n) };
    }
    for i in (0..n).rev() {
        // SAFETY: inside the bytes that the caller vouches for.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    to
}

/// # Safety
/// As C's `memset`: `n` writable bytes at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: inside the bytes that the caller vouches for.
        unsafe { to.add(i).write_volatile(byte as u8) };
    }
    to
}

/// # Safety
/// As C's `memcmp`: `n` readable bytes at both.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: inside the bytes that the caller vouches for.
        let (a, b) = unsafe { (one.add(i).read_volatile(), other.add(i).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// # Safety
/// As C's `bcmp`: `n` readable bytes at both.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's promise is the same.
    unsafe { memcmp(one, other, n) }
}
