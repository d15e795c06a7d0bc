//! What the machine can do: the arithmetic of a pair without any rule around it, and a plain read of memory.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use orchestrator_core::rule::lane::{end_us, first_word};
use pulp::NullaryFnOnce;
use serde::Serialize;

use super::fastest;
use crate::batch::Level;
use crate::batch::words::{NO_WORD, is_below, lesser, word_if};
use crate::random::Random;

/// Words of the read that is timed: 256 MiB, more than caches hold for one core.
const MEMORY_WORDS: usize = 1 << 25;
/// Jobs of the bare scan.
const JOBS: u32 = 16;

/// What one core of the machine can do.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// Pairs per second of a loop that does nothing but a fit, an end, a word and a minimum, over as many pools.
    pub bare_pairs_per_s: f64,
    /// Bytes of memory read per second.
    pub memory_bytes_per_s: f64,
}

/// Measures both on one core, over so many pools.
#[must_use]
pub fn measure_limits(pools: usize, at_least: Duration) -> Limits {
    let (columns, words, level) = (Columns::of(pools), vec![1u64; MEMORY_WORDS], Level::best());
    let Ok(scan) = fastest::<Infallible>(at_least, || {
        for job in 0..JOBS {
            black_box(level.run(Scan(&columns, job)));
        }
        Ok(())
    });
    let Ok(read) = fastest::<Infallible>(at_least, || {
        black_box(level.run(Read(black_box(&words))));
        Ok(())
    });
    Limits {
        bare_pairs_per_s: pools as f64 * f64::from(JOBS) / scan,
        memory_bytes_per_s: (MEMORY_WORDS * size_of::<u64>()) as f64 / read,
    }
}

struct Columns {
    base: Vec<u64>,
    room_bytes: Vec<u64>,
    decode_q10: Vec<u32>,
    prefill_q10: Vec<u32>,
    low_bits: Vec<u16>,
}

impl Columns {
    #[allow(clippy::cast_possible_truncation, reason = "all are below 2^32")]
    fn of(pools: usize) -> Self {
        let mut random = Random::of(1, 0);
        let mut column = |limit| (0..pools).map(|_| random.below(limit)).collect::<Vec<_>>();
        Self {
            base: column(1 << 24),
            room_bytes: column(80 << 30),
            decode_q10: column(20_000 << 10).iter().map(|&rate| rate as u32).collect(),
            prefill_q10: column(200 << 10).iter().map(|&rate| rate as u32).collect(),
            low_bits: column(1 << 7).iter().map(|&leases| leases as u16 | 1 << 15).collect(),
        }
    }
}

/// The bare fused scan of one job: the least first word.
struct Scan<'a>(&'a Columns, u32);

impl NullaryFnOnce for Scan<'_> {
    type Output = u64;

    #[inline(always)] // So that it is compiled with the level's instructions.
    fn call(self) -> u64 {
        let Self(columns, job) = self;
        let (prompt, output, kv_bytes) = (100 + job, 200 + job, u64::from(job) << 28);
        let quantum_shift = black_box(0);
        let mut least = NO_WORD;
        let rates = columns.decode_q10.iter().zip(&columns.prefill_q10).zip(&columns.low_bits);
        for ((&base, &room_bytes), ((&decode, &prefill), &low_bits)) in
            columns.base.iter().zip(&columns.room_bytes).zip(rates)
        {
            let word = first_word(end_us(base, decode, prefill, output, prompt), quantum_shift, low_bits);
            least = lesser(least, word_if(is_below(kv_bytes, room_bytes), word));
        }
        least
    }
}

/// A sum over memory.
struct Read<'a>(&'a [u64]);

impl NullaryFnOnce for Read<'_> {
    type Output = u64;

    #[inline(always)] // As above.
    fn call(self) -> u64 {
        self.0.iter().fold(0, |sum, &word| sum.wrapping_add(word))
    }
}
