//! Bit fields and byte permutation.

use crate::program::{Integer, Width};

/// `bfe`: the field of `length` bits from `start`, extended by its top bit where the type is signed.
pub(crate) fn extract(kind: Integer, value: u64, start: u64, length: u64) -> u64 {
    let bits = u64::from(kind.width.bits());
    let (start, length) = (start & 0xff, length & 0xff);
    if length == 0 {
        return 0;
    }
    let field = if start >= bits { 0 } else { value >> start };
    // The field may reach past the top: there it holds the sign, as it does above itself.
    let present = length.min(bits.saturating_sub(start));
    let kept = if present == 0 { 0 } else { field & (u64::MAX >> (64 - present)) };
    let sign = kind.signed && value >> (start + length - 1).min(bits - 1) & 1 == 1;
    let filled = if sign { kept | u64::MAX.checked_shl(present as u32).unwrap_or(0) } else { kept };
    filled & kind.width.mask()
}

/// `bfi`: `base` with the low `length` bits of `value` put at `start`; bits past the top are lost.
pub(crate) fn insert(width: Width, value: u64, base: u64, start: u64, length: u64) -> u64 {
    let (start, length) = (start & 0xff, length & 0xff);
    if start >= u64::from(width.bits()) || length == 0 {
        return base;
    }
    let field = (u64::MAX >> (64 - length.min(64))) << start;
    (base & !field | value << start & field) & width.mask()
}

/// `prmt`: four bytes, each picked from the eight of `high:low` or the spread sign of one of them.
pub(crate) fn permute(low: u64, high: u64, selector: u64) -> u64 {
    let bytes = (high << 32 | low).to_le_bytes();
    let pick = |position: u32| {
        let nibble = selector >> (4 * position) & 0xf;
        let byte = bytes[(nibble & 7) as usize];
        if nibble & 8 == 0 { byte } else { ((byte as i8) >> 7) as u8 }
    };
    u64::from(u32::from_le_bytes([pick(0), pick(1), pick(2), pick(3)]))
}
