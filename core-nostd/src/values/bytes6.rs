//! Numbers below 2^48 in 6 bytes: byte counts (UNIT-3) and times (UNIT-1), where there are many of them.

/// The number's lower 6 bytes, which are all of it.
pub(crate) const fn packed(number: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, _, _] = number.to_le_bytes();
    [a, b, c, d, e, f]
}

/// The number.
pub(crate) const fn unpacked(packed: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = packed;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}
