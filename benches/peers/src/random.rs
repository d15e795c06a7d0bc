//! Unpredictable but fixed numbers.

/// The number of an index (SplitMix64).
pub(crate) fn mixed(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `limit` for an index and a question.
pub(crate) fn below(limit: u64, index: u64, question: u64) -> u64 {
    mixed(index << 8 | question) % limit
}
