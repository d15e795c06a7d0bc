//! The hash buckets of a table: of each the first link of its chain, in borrowed words.
//!
//! With `small_tables` a link has 16 bits, and a word two of them: half as many words are as many buckets.

use super::slot_number::NONE;
use crate::values::index::{index, position};

/// Positions are stored plus one, so that zeroed storage links nowhere.
pub(super) type Link = u32;
pub(super) const END: Link = 0;

const LINK_BITS: u32 = if cfg!(feature = "small_tables") { 16 } else { 32 };
const LINKS_IN_WORD: u32 = u32::BITS / LINK_BITS;

/// Heads of chains, by bucket.
#[derive(Debug)]
pub(super) struct Buckets<'a>(&'a mut [u32]);

impl<'a> Buckets<'a> {
    /// Chains without links.
    pub(super) fn new(words: &'a mut [u32]) -> Self {
        let mut buckets = Self(words);
        buckets.clear();
        buckets
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(END);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bucket of a hash; none where there are none.
    pub(super) fn of(&self, hash: u64) -> Option<u32> {
        let buckets = u64::from(position(self.0.len())).saturating_mul(LINKS_IN_WORD.into());
        // Below their number.
        u32::try_from(hash.checked_rem(buckets)?).ok()
    }

    /// The first link of a bucket's chain.
    #[inline(never)] // Small where it is called, and that is in every table.
    pub(super) fn head(&self, bucket: u32) -> Link {
        self.0.get(index(bucket / LINKS_IN_WORD)).map_or(END, |word| (word >> shift(bucket)) & NONE)
    }

    pub(super) fn set_head(&mut self, bucket: u32, head: Link) {
        if let Some(word) = self.0.get_mut(index(bucket / LINKS_IN_WORD)) {
            *word = (*word & !(NONE << shift(bucket))) | (head << shift(bucket));
        }
    }
}

/// Where in its word a bucket's link begins.
const fn shift(bucket: u32) -> u32 {
    bucket.wrapping_mul(LINK_BITS) % u32::BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::slot_number::ROWS_MAX;

    #[test]
    fn heads_keep_to_their_buckets() {
        let mut words = [7; 3];
        let mut buckets = Buckets::new(&mut words);
        let count = 3 * LINKS_IN_WORD;
        for bucket in 0..count {
            assert_eq!((buckets.head(bucket), buckets.of(u64::from(bucket + count))), (END, Some(bucket)));
            buckets.set_head(bucket, ROWS_MAX - bucket);
        }
        buckets.set_head(1, 5);
        for bucket in 0..count {
            assert_eq!(buckets.head(bucket), if bucket == 1 { 5 } else { ROWS_MAX - bucket });
        }
        buckets.clear();
        assert!((0..count).all(|bucket| buckets.head(bucket) == END));
        assert_eq!((Buckets::new(&mut []).of(1), Buckets::new(&mut []).is_empty()), (None, true));
    }
}
