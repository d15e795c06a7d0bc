//! Every limit of the system, in one place, with the proof that no product or sum on the decision path overflows.
//!
//! A bounded input is what makes exact integer decisions possible on every machine: each constant below is a promise
//! that validation keeps (`crate::input`) and that the rules rely on ([`crate::rule`]). Rules: `docs/spec.md`
//! UNIT-1 to UNIT-9.

/// Times are below this many microseconds (2.2 years). UNIT-1.
pub const TIME_LIMIT_US: u64 = 1 << 46;
/// The largest time, in microseconds; predicted starts and ends saturate here. SCORE-1, SCORE-2.
pub const TIME_MAX_US: u64 = TIME_LIMIT_US - 1;
/// The last time of which a scheduler hears, in microseconds: with `small_tables` 4.4 years after 0. UNIT-12.
pub const NOW_MAX_US: u64 = if cfg!(feature = "small_tables") { (1 << 47) - 1 } else { u64::MAX };
/// The value of a predicted end that is not known: above every known one. SCORE-2.
pub const END_UNKNOWN_US: u64 = TIME_LIMIT_US;
/// Byte counts are at most this. UNIT-3.
pub const BYTES_MAX: u64 = (1 << 48) - 1;
/// Token counts are at most this. UNIT-3.
pub const TOKENS_MAX: u32 = (1 << 24) - 1;
/// A context derived from prompt and output tokens is at most this. UNIT-3.
pub const CONTEXT_MAX: u32 = 2 * TOKENS_MAX;
/// Slot counts are at most this. UNIT-3.
pub const SLOTS_MAX: u16 = (1 << 15) - 1;
/// Each part of a compute capability is at most this. UNIT-4.
pub const CAPABILITY_PART_MAX: u16 = 255;
/// Ids of pools, replicas, jobs and sessions have at most this many bytes. UNIT-5.
pub const ID_BYTES_MAX: usize = 64;
/// Names, digests and labels have at most this many bytes. UNIT-5.
pub const NAME_BYTES_MAX: usize = 128;
/// Device ids are below this. UNIT-6.
pub const DEVICE_ID_LIMIT: u8 = 64;
/// A pool has at most this many devices. UNIT-7.
pub const DEVICES_MAX: usize = 16;
/// A split has at most this degree. UNIT-7.
pub const SPLIT_DEGREE_MAX: u8 = 16;
/// A pool publishes at most this many warm sessions. UNIT-7.
pub const WARM_SESSIONS_MAX: usize = 256;
/// A pool has at most this many labels. UNIT-7.
pub const LABELS_MAX: usize = 16;
/// A pool has at most this many resident models. UNIT-7, COMMIT-4.
pub const RESIDENT_MODELS_MAX: usize = 64;
/// A job has at most this many hints of a kind. UNIT-7.
pub const HINTS_MAX: usize = 64;
/// A fleet has at most this many quantisations: they are bits of a word. UNIT-8.
pub const QUANTIZATIONS_MAX: usize = 64;
/// A fleet has at most this many extensions: they are bits of a word. UNIT-8.
pub const EXTENSIONS_MAX: usize = 64;
/// A fleet has at most this many engines. UNIT-8.
pub const ENGINES_MAX: usize = 256;
/// A fleet has at most this many models. UNIT-8.
pub const MODELS_MAX: usize = 4096;
/// A fleet has at most this many pools, so that a rank fits 32 bits with room for a sentinel. UNIT-11.
pub const POOLS_MAX: usize = 1 << 30;
/// The largest bucket width of predicted ends, as a shift. POLICY-1.
pub const QUANTUM_SHIFT_MAX: u8 = 46;
/// Policy weights are in 1/256 and at most this (16.0). SCORE-5.
pub const WEIGHT_256_MAX: u16 = 16 * 256;
/// A weight of 1.0. SCORE-5.
pub const WEIGHT_256_ONE: u16 = 256;
/// The session table has at most this many entries. POLICY-1.
pub const SESSION_CAPACITY_MAX: u32 = 1 << 24;

/// A busy pool takes at most this many waiting jobs. POLICY-1, WAIT-1.
pub const POOL_BACKLOG_MAX: u16 = u16::MAX;
/// A pass over the queue passes over at most this many jobs. QUEUE-13.
pub const SCAN_LIMIT_MAX: u32 = 65_535;
/// A refused caller is told to wait at most this many milliseconds (a day). ADMIT-4.
pub const RETRY_MAX_MS: u64 = 86_400_000;

// SCORE-2: the token term is two products of a 32-bit rate and a 24-bit count; their sum stays below 2^57.
const _: () = {
    let product = (u32::MAX as u64) * (TOKENS_MAX as u64);
    assert!(product < 1 << 56);
    assert!(product + product < 1 << 57);
    // start + first token + (tokens >> 10), the start itself at most a time, is far inside a u64.
    assert!(TIME_MAX_US + TIME_MAX_US + TIME_MAX_US + ((product + product) >> 10) < 1 << 49);
};
// WAIT-2: a wait is at most 2^16 waves of at most 2^46 µs each.
const _: () = assert!(TIME_MAX_US.checked_mul(POOL_BACKLOG_MAX as u64 + 1).is_some());
// SCORE-5: a weighted time or rate fits a u64 before it saturates.
const _: () = {
    assert!(TIME_MAX_US.checked_mul(WEIGHT_256_MAX as u64).is_some());
    assert!((u32::MAX as u64).checked_mul(WEIGHT_256_MAX as u64).is_some());
};
// FEAS-14, NEED-1: the sum of two byte counts fits; COMMIT-2: so do `degree` times its rounded-up share.
const _: () = assert!((BYTES_MAX + BYTES_MAX + SPLIT_DEGREE_MAX as u64) < 1 << 50);
// KEY-12: the parts of a key fit their words exactly.
const _: () = {
    assert!(END_UNKNOWN_US < 1 << 47);
    assert!((SLOTS_MAX as u64) < 1 << 15);
    assert!(BYTES_MAX < 1 << 48);
    // Unknown stays behind every known end under every bucket width.
    assert!(TIME_MAX_US >> QUANTUM_SHIFT_MAX < END_UNKNOWN_US >> QUANTUM_SHIFT_MAX);
};
// UNIT-4: a part of a compute capability is what a byte holds.
const _: () = assert!(CAPABILITY_PART_MAX == u8::MAX as u16);
// UNIT-3: a derived context is below 2^25.
const _: () = assert!(CONTEXT_MAX < 1 << 25);
