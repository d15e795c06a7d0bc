//! Hashes that a later run, another machine or another implementation can recompute from the published encoding.
//!
//! A replay is checked by comparing hashes of its snapshot, its policy and its decisions, and ties are spread by hashes
//! of ids: all of them are part of the specification, so they cannot be those of a standard library. Rules: HASH-1 to
//! HASH-4 and KEY-8 of `docs/spec.md`.
//!
//! XXH64 is written out here, in the streaming form, without a path that can panic: the optimiser does not remove the
//! slice checks of the `xxhash-rust` crate's streaming `update`, so a firmware image that proves "no panic" by linking
//! cannot use it. That crate is the oracle of the tests instead.
//!
//! Invariants:
//! - the hash depends only on the sequence of values written, never on how it was cut into calls, nor on the byte order
//!   or word size of the machine;
//! - every length is written before what it counts, so two different values of one form never have one encoding.
//!
//! ```
//! use orchestrator_core::hash::{ContentHasher, spread_job_hash, spread_pool_hash, spread_value};
//!
//! let mut hasher = ContentHasher::new("example");
//! hasher.text("pool-a");
//! hasher.optional_int(Some(5));
//! assert_eq!(hasher.finish(), 0xc929_76d5_ae9b_d8ed);
//!
//! let (pool, job) = (spread_pool_hash(42, "pool-a", "r1"), spread_job_hash(42, "job-1"));
//! assert_eq!(spread_value(pool, job), 0x3d19_2557);
//! ```

const PRIME_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME_5: u64 = 0x27d4_eb2f_1656_67c5;
/// Bytes that one round of XXH64 takes: a word for each of its four lanes.
const BLOCK_BYTES: usize = 32;

/// A stream of typed values under XXH64 with seed 0. HASH-1.
///
/// Integers are 8 bytes, little-endian; text is its length as an integer and its bytes; an optional value is a byte 0
/// or 1, then the value.
#[derive(Debug, Clone)]
pub struct ContentHasher(Xxh64);

impl ContentHasher {
    /// A hash of the kind `tag`: it begins with the tag as text and the semantics version as an integer. HASH-2.
    #[must_use]
    pub fn new(tag: &str) -> Self {
        let mut hasher = Self(Xxh64::new(0));
        hasher.text(tag);
        hasher.int(u64::from(crate::SEMANTICS_VERSION));
        hasher
    }

    /// Writes an integer: 8 bytes, little-endian.
    pub fn int(&mut self, value: u64) {
        self.0.update(&value.to_le_bytes());
    }

    /// Writes one byte.
    pub fn byte(&mut self, value: u8) {
        self.0.update(&[value]);
    }

    /// Writes text: its length in bytes as an integer, then its bytes.
    pub fn text(&mut self, text: &str) {
        self.int(length(text.as_bytes()));
        self.0.update(text.as_bytes());
    }

    /// Writes text in ASCII lower case, as engines and quantisations are written: their spellings have one hash.
    pub fn text_lowercase(&mut self, text: &str) {
        self.int(length(text.as_bytes()));
        for chunk in text.as_bytes().chunks(BLOCK_BYTES) {
            let mut lower = [0; BLOCK_BYTES];
            for (to, from) in lower.iter_mut().zip(chunk) {
                *to = from.to_ascii_lowercase();
            }
            // A chunk is never longer than `lower`.
            self.0.update(lower.get(..chunk.len()).unwrap_or_default());
        }
    }

    /// Writes an optional integer: a byte 0, or a byte 1 and the integer.
    pub fn optional_int(&mut self, value: Option<u64>) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            self.int(value);
        }
    }

    /// Writes an optional text: a byte 0, or a byte 1 and the text.
    pub fn optional_text(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    /// The hash of everything written so far; more may be written after it.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}

/// `H(pool)` of KEY-8: XXH64 with the policy's spread seed over the pool's id, a zero byte, and the replica's id.
#[must_use]
pub fn spread_pool_hash(seed: u64, pool_id: &str, replica_id: &str) -> u64 {
    let mut hasher = Xxh64::new(seed);
    hasher.update(pool_id.as_bytes());
    hasher.update(&[0]);
    hasher.update(replica_id.as_bytes());
    hasher.digest()
}

/// `H(job)` of KEY-8: XXH64 with the policy's spread seed over the job's id.
#[must_use]
pub fn spread_job_hash(seed: u64, job_id: &str) -> u64 {
    xxh64(seed, job_id.as_bytes())
}

/// The key's part `spread` for a pool and a job, from their hashes: `mix(pool ^ job) >> 32`. Lower wins. KEY-8.
#[must_use]
pub const fn spread_value(pool_hash: u64, job_hash: u64) -> u32 {
    // SplitMix64's finaliser: multiplication modulo 2^64 is its definition.
    let mut z = pool_hash ^ job_hash;
    z ^= z >> 30;
    z = z.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 27;
    z = z.wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    let [a, b, c, d, ..] = z.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// A length as an integer of the encoding.
const fn length(bytes: &[u8]) -> u64 {
    // Widening: no supported machine has addresses above 64 bits.
    bytes.len() as u64
}

/// XXH64 of bytes that are all there: nothing of them is kept, so it is faster than a stream of them.
pub(crate) fn xxh64(seed: u64, bytes: &[u8]) -> u64 {
    let mut lanes = Lanes::new(seed);
    let (blocks, tail) = bytes.as_chunks();
    for block in blocks {
        lanes.absorb(block);
    }
    lanes.finish(length(bytes), tail)
}

/// XXH64 of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Xxh64 {
    lanes: Lanes,
    /// Bytes that do not fill a block yet: the first `filled` count.
    pending: [u8; BLOCK_BYTES],
    /// Below `BLOCK_BYTES` between calls.
    filled: usize,
    total_bytes: u64,
}

impl Xxh64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { lanes: Lanes::new(seed), pending: [0; BLOCK_BYTES], filled: 0, total_bytes: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.total_bytes = self.total_bytes.wrapping_add(length(bytes));
        let mut rest = bytes;
        if self.filled > 0 {
            rest = self.fill(bytes);
            if self.filled < BLOCK_BYTES {
                return;
            }
            self.lanes.absorb(&self.pending);
            self.filled = 0;
        }
        let (blocks, tail) = rest.as_chunks();
        for block in blocks {
            self.lanes.absorb(block);
        }
        self.fill(tail);
    }

    /// Moves bytes to the end of the pending ones, as many as fit, and returns the others.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = self.pending.get_mut(self.filled..).unwrap_or_default();
        let (head, rest) = bytes.split_at_checked(room.len()).unwrap_or((bytes, &[]));
        for (to, from) in room.iter_mut().zip(head) {
            *to = *from;
        }
        // Never saturates: `head` fits the room, so the sum is at most `BLOCK_BYTES`.
        self.filled = self.filled.saturating_add(head.len());
        rest
    }

    pub(crate) fn digest(&self) -> u64 {
        self.lanes.finish(self.total_bytes, self.pending.get(..self.filled).unwrap_or_default())
    }
}

/// The state of XXH64 between blocks. All its arithmetic is modulo 2^64 by definition, so it wraps.
#[derive(Debug, Clone)]
struct Lanes([u64; 4]);

impl Lanes {
    const fn new(seed: u64) -> Self {
        Self([
            seed.wrapping_add(PRIME_1).wrapping_add(PRIME_2),
            seed.wrapping_add(PRIME_2),
            seed,
            seed.wrapping_sub(PRIME_1),
        ])
    }

    fn absorb(&mut self, block: &[u8; BLOCK_BYTES]) {
        for (lane, word) in self.0.iter_mut().zip(block.as_chunks().0) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }

    /// The hash of `total_bytes`, of which `tail` is what follows the last whole block.
    fn finish(&self, total_bytes: u64, tail: &[u8]) -> u64 {
        let [a, b, c, d] = self.0;
        // Without a whole block the third lane is still the seed.
        let mut hash = c.wrapping_add(PRIME_5);
        if total_bytes >= length(&[0; BLOCK_BYTES]) {
            hash = a.rotate_left(1).wrapping_add(b.rotate_left(7));
            hash = hash.wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18));
            for lane in self.0 {
                hash = (hash ^ round(0, lane)).wrapping_mul(PRIME_1).wrapping_add(PRIME_4);
            }
        }
        hash = hash.wrapping_add(total_bytes);

        let (words, tail) = tail.as_chunks();
        for word in words {
            hash ^= round(0, u64::from_le_bytes(*word));
            hash = hash.rotate_left(27).wrapping_mul(PRIME_1).wrapping_add(PRIME_4);
        }
        let (halves, tail) = tail.as_chunks();
        for half in halves {
            hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(PRIME_1);
            hash = hash.rotate_left(23).wrapping_mul(PRIME_2).wrapping_add(PRIME_3);
        }
        for byte in tail {
            hash ^= u64::from(*byte).wrapping_mul(PRIME_5);
            hash = hash.rotate_left(11).wrapping_mul(PRIME_1);
        }
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(PRIME_2);
        hash ^= hash >> 29;
        hash = hash.wrapping_mul(PRIME_3);
        hash ^ (hash >> 32)
    }
}

const fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIME_2)).rotate_left(31).wrapping_mul(PRIME_1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;
    use xxhash_rust::xxh64::xxh64 as reference;

    use super::*;

    fn hash(seed: u64, bytes: &[u8]) -> u64 {
        let mut hasher = Xxh64::new(seed);
        hasher.update(bytes);
        hasher.digest()
    }

    // HASH-1: XXH64 at its published values (xxHash's own sanity checks) and against another implementation.
    #[test]
    fn xxh64_is_the_published_one() {
        assert_eq!(hash(0, b""), 0xef46_db37_51d8_e999);
        assert_eq!(hash(0, b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(hash(0, b"abc"), 0x44bc_2cf5_ad77_0999);
        let bytes: Vec<u8> = (0..=255).cycle().take(400).collect();
        for length in 0..=bytes.len() {
            for seed in [0, 1, 0x9e37_79b1, u64::MAX] {
                let expected = reference(&bytes[..length], seed);
                assert_eq!(hash(seed, &bytes[..length]), expected, "{length} bytes, seed {seed}");
                assert_eq!(xxh64(seed, &bytes[..length]), expected, "{length} bytes at once, seed {seed}");
            }
        }
    }

    // HASH-1: the encoding, written out by hand and hashed by another implementation; and the hash itself, made by
    // Python's struct and xxhash packages.
    #[test]
    fn the_encoding_is_the_published_one() {
        let mut hasher = ContentHasher::new("decisions");
        hasher.int(1 << 46);
        hasher.byte(7);
        hasher.text("pöol");
        hasher.text_lowercase("Llama.CPP");
        hasher.optional_int(None);
        hasher.optional_int(Some(5));
        hasher.optional_text(None);
        hasher.optional_text(Some("x"));

        let mut bytes = Vec::new();
        bytes.extend(b"\x09\0\0\0\0\0\0\0decisions");
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 0, 0, 0, 0x40, 0, 0]);
        bytes.push(7);
        bytes.extend(b"\x05\0\0\0\0\0\0\0p\xc3\xb6ol");
        bytes.extend(b"\x09\0\0\0\0\0\0\0llama.cpp");
        bytes.push(0);
        bytes.extend([1, 5, 0, 0, 0, 0, 0, 0, 0]);
        bytes.push(0);
        bytes.extend(b"\x01\x01\0\0\0\0\0\0\0x");
        if crate::SEMANTICS_VERSION == 1 {
            assert_eq!(bytes.len(), 85);
            assert_eq!(hasher.finish(), reference(&bytes, 0));
            assert_eq!(hasher.finish(), 0x2a15_d170_ee7c_ab63);
            assert_eq!(ContentHasher::new("snapshot").finish(), 0x60cd_dc82_4ced_571a);
        }
    }

    // HASH-1: lower case is that of ASCII only, at every length around a block.
    #[test]
    fn lower_case_is_that_of_ascii() {
        for length in 0..=100 {
            let text: String = "QuaNT_8ÄÖ".chars().cycle().take(length).collect();
            let (mut folded, mut plain) = (ContentHasher::new(""), ContentHasher::new(""));
            folded.text_lowercase(&text);
            plain.text(&text.to_ascii_lowercase());
            assert_eq!(folded.finish(), plain.finish(), "{length} characters");
        }
    }

    // KEY-8: a zero byte keeps the ids apart; values by Python's xxhash package.
    #[test]
    fn spread_hashes() {
        assert_eq!(spread_pool_hash(42, "pool-a", "r1"), 0xf00d_fa28_8753_b978);
        assert_eq!(spread_job_hash(42, "job-1"), 0xea7d_9f40_ea24_7a59);
        assert_eq!(spread_pool_hash(0, "ab", ""), 0x2275_5c18_a90f_59c8);
        assert_eq!(spread_pool_hash(0, "a", "b"), 0xb51b_25d6_8d13_38c1);
        assert_eq!(spread_pool_hash(0, "", ""), 0xe934_a84a_db05_2768);
    }

    // KEY-8: 0xe220a8397b1dcdaf is the first output of SplitMix64 with seed 0: its finaliser at the golden gamma.
    #[test]
    fn spread_values_are_mixed() {
        assert_eq!(spread_value(0x9e37_79b9_7f4a_7c15, 0), 0xe220_a839);
        assert_eq!(spread_value(0, 0), 0);
        assert_eq!(spread_value(0xf00d_fa28_8753_b978, 0xea7d_9f40_ea24_7a59), 0x3d19_2557);
    }

    proptest! {
        // HASH-1: how the stream is cut into calls does not count.
        #[test]
        fn cuts_do_not_count(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..12),
            seed in any::<u64>(),
        ) {
            let mut hasher = Xxh64::new(seed);
            for piece in &pieces {
                hasher.update(piece);
            }
            prop_assert_eq!(hasher.digest(), reference(&pieces.concat(), seed));
        }

        // KEY-8
        #[test]
        fn spread_hashes_are_xxh64(seed in any::<u64>(), pool in "\\PC{0,64}", replica in "\\PC{0,64}") {
            let bytes = [pool.as_bytes(), &[0], replica.as_bytes()].concat();
            prop_assert_eq!(spread_pool_hash(seed, &pool, &replica), reference(&bytes, seed));
            prop_assert_eq!(spread_job_hash(seed, &pool), reference(pool.as_bytes(), seed));
        }
    }
}
