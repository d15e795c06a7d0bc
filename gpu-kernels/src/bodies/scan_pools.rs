//! The pools of one job's segments against the job, pools spread over threads: for jobs that look at some pools only, or
//! go on where a list ended, or are too few to fill blocks.
//!
//! The threads of a block read neighbouring pools together; what each has kept is joined in halves.

use orchestrator_core::rule::key::Key;
use orchestrator_core::rule::lane::FIRST_WORD_LIMIT;

use super::bound::{Arithmetic, Tokens};
use super::leaders::{Leaders, is_below};
use super::pair::{InTables, Pair};
use crate::block::{Block, Chunk, Output, Tile};
use crate::launch::THREADS;
use crate::records::{Found, JobLanes, Segment};
use crate::tables::{Scan, View};

/// Chunks of what a thread hands to another one.
pub const LEADERS_CHUNKS: usize = 4;

/// What a thread has seen.
#[derive(Clone, Copy)]
struct Seen {
    leaders: Leaders,
    feasible: u32,
}

/// The kernel `scan_pools`.
#[inline(always)] // Into the kernel of each arithmetic.
pub fn scan_pools<E: Arithmetic, B: Block>(
    block: &mut B,
    tile: &mut B::Tile<LEADERS_CHUNKS>,
    scan: &Scan<'_>,
    found: &mut (impl Output<Found> + ?Sized),
) {
    let Some((index, part)) = scan.task(block.index()) else { return };
    let Some(job) = scan.jobs.get(index as usize) else { return };
    let mut seen = block.all(Seen { leaders: Leaders::NONE, feasible: 0 });
    if let Some(view) = scan.view(job.view) {
        let look = Look { scan, view: &view, job };
        let part = scan.ranks(&view, part);
        block.each(&mut seen, |thread, seen| {
            for segment in scan.segments_of(job) {
                look.at_segment::<E, B>(segment, part, thread, seen);
            }
        });
    }
    let mut half = THREADS / 2;
    while half > 0 {
        block.share(tile, &seen, |thread, seen| (half..half * 2).contains(&thread).then(|| seen.to_chunks()));
        block.each(&mut seen, |thread, seen| {
            if thread < half {
                seen.join(&*tile, thread + half);
            }
        });
        half /= 2;
    }
    block.each(&mut seen, |thread, seen| {
        if thread == 0 {
            found.put(scan.answer(index.into(), part), seen.leaders.found(seen.feasible));
        }
    });
}

impl<'a> Scan<'a> {
    /// The job's segments, as far as there are any.
    #[inline(always)]
    fn segments_of(&self, job: &JobLanes) -> &'a [Segment] {
        let rest = self.segments.get(job.segment as usize..).unwrap_or_default();
        rest.get(..job.segments as usize).unwrap_or(rest)
    }
}

/// A job and what it looks at.
struct Look<'a> {
    scan: &'a Scan<'a>,
    view: &'a View<'a>,
    job: &'a JobLanes,
}

impl Look<'_> {
    /// A thread's share of a segment, within a part of the pools.
    #[inline(always)]
    fn at_segment<E: Arithmetic, B: Block>(&self, segment: &Segment, part: (u32, u32), thread: u32, seen: &mut Seen) {
        let Scan { quantum_shift, spreads, .. } = *self.scan;
        let key_1 = if segment.preferred != 0 { 0 } else { FIRST_WORD_LIMIT };
        let tokens = Tokens { prompt: self.job.prompt_tokens, output: self.job.output_tokens };
        let kv_bytes = self.job.kv_bytes;
        let end = segment.end.min(part.1);
        let mut limit = seen.leaders.limit::<E>(key_1, quantum_shift);
        let mut rank = segment.start.max(part.0).saturating_add(thread);
        while rank < end {
            let hot = self.view.hot::<E>(rank);
            if kv_bytes < hot.room_bytes {
                seen.feasible = seen.feasible.wrapping_add(1);
                if hot.bound::<E, B>(tokens) < limit {
                    let closer = InTables { view: self.view, rank, job: Some(self.job) };
                    let pair = Pair { hot: &hot, closer, rank, kv_bytes, tokens, key_1, quantum_shift, spreads };
                    let key = pair.key_up_to::<E>(seen.leaders.bar_word()).filter(|key| !is_below(key, &self.job.from));
                    if key.is_some_and(|key| seen.leaders.offer(key)) {
                        limit = seen.leaders.limit::<E>(key_1, quantum_shift);
                    }
                }
            }
            rank = rank.saturating_add(THREADS);
        }
    }
}

impl Seen {
    #[inline(always)]
    fn to_chunks(self) -> [Chunk; LEADERS_CHUNKS] {
        let [first, second] = self.leaders.keys();
        let ([a0, a1, a2], [b0, b1, b2]) = (first.words(), second.words());
        let ranks = u64::from(first.rank()) << 32 | u64::from(second.rank());
        [[a0, a1], [a2, b0], [b1, b2], [ranks, self.feasible.into()]]
    }

    /// Takes what another thread handed over.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "halves of words, as `to_chunks` packs them")]
    fn join<T: Tile<LEADERS_CHUNKS>>(&mut self, tile: &T, cell: u32) {
        let [a0, a1] = tile.chunk(cell, 0);
        let [a2, b0] = tile.chunk(cell, 1);
        let [b1, b2] = tile.chunk(cell, 2);
        let [ranks, feasible] = tile.chunk(cell, 3);
        // A second key leads only where the first one does.
        if self.leaders.offer(Key::from_words([a0, a1, a2], (ranks >> 32) as u32)) {
            self.leaders.offer(Key::from_words([b0, b1, b2], ranks as u32));
        }
        self.feasible = self.feasible.wrapping_add(feasible as u32);
    }
}
