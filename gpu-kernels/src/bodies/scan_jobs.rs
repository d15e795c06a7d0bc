//! Every pool against every job, jobs in registers: a block keeps [`JOBS_PER_BLOCK`] jobs of one view, and the pools of
//! its part stream by, a tile at a time, through shared memory.
//!
//! A pool is read from memory once per block instead of once per job, and once per thread from shared memory for
//! [`JOBS_PER_THREAD`] jobs, so the arithmetic of the first look is what a pair costs.

use orchestrator_core::rule::lane::FIRST_WORD_LIMIT;

use super::bound::{Arithmetic, Tokens};
use super::leaders::Leaders;
use super::pair::{Closer, Pair};
use super::pool::{Hot, Ties, Waits};
use crate::block::{Block, Chunk, Output, Tile};
use crate::launch::{JOBS_PER_BLOCK, JOBS_PER_THREAD, THREADS};
use crate::records::Found;
use crate::tables::{Scan, View};

/// Chunks of a pool in the tile: the hot ones, then that of ties.
pub const LINE_CHUNKS: usize = 3;

/// A job in registers.
#[derive(Clone, Copy)]
struct Held {
    kv_bytes: u64,
    tokens: Tokens,
    /// Of the leaders; 0 keeps out all.
    limit: u64,
    leaders: Leaders,
    feasible: u32,
}

/// The kernel `scan_jobs`.
#[inline(always)] // Into the kernel of each arithmetic.
pub fn scan_jobs<E: Arithmetic, B: Block>(
    block: &mut B,
    tile: &mut B::Tile<LINE_CHUNKS>,
    scan: &Scan<'_>,
    found: &mut (impl Output<Found> + ?Sized),
) {
    let Some((group, part)) = scan.task(block.index()) else { return };
    let mut held = block.all([Held::NOWHERE; JOBS_PER_THREAD as usize]);
    block.each(&mut held, |thread, held| {
        for (own, job) in held.iter_mut().zip(0..) {
            *own = Held::of(scan, job_index(group, thread, job));
        }
    });
    let first_job = scan.jobs.get(job_index(group, 0, 0) as usize);
    if let Some(view) = first_job.and_then(|job| scan.view(job.view)) {
        let (mut start, end) = scan.ranks(&view, part);
        while start < end {
            let len = (end - start).min(THREADS);
            block.share(tile, &held, |thread, _| (thread < len).then(|| line::<E>(&view, start + thread)));
            block.each(&mut held, |thread, held| {
                let look = Look { scan, view: &view, tile: &*tile, start, group, thread };
                for place in 0..len {
                    look.at::<E>(place, held);
                }
            });
            start += len;
        }
    }
    block.each(&mut held, |thread, held| {
        for (own, job) in held.iter().zip(0..) {
            let index = job_index(group, thread, job);
            if (index as usize) < scan.jobs.len() {
                found.put(scan.answer(index, part), own.leaders.found(own.feasible));
            }
        }
    });
}

/// Neighbouring threads have neighbouring jobs.
#[inline(always)]
fn job_index(group: u32, thread: u32, job: u32) -> u32 {
    group.saturating_mul(JOBS_PER_BLOCK).saturating_add(job * THREADS + thread)
}

#[inline(always)]
fn line<E: Arithmetic>(view: &View<'_>, rank: u32) -> [Chunk; LINE_CHUNKS] {
    let [first, second]: [Chunk; 2] = bytemuck::cast(view.hot::<E>(rank));
    [first, second, bytemuck::cast(view.ties(rank))]
}

impl Held {
    const NOWHERE: Self = Self {
        kv_bytes: u64::MAX,
        tokens: Tokens { prompt: 0, output: 0 },
        limit: u64::MAX,
        leaders: Leaders::NONE,
        feasible: 0,
    };

    #[inline(always)]
    fn of(scan: &Scan<'_>, index: u32) -> Self {
        scan.jobs.get(index as usize).map_or(Self::NOWHERE, |job| Self {
            kv_bytes: job.kv_bytes,
            tokens: Tokens { prompt: job.prompt_tokens, output: job.output_tokens },
            ..Self::NOWHERE
        })
    }
}

/// A thread that looks at the pools of a tile.
struct Look<'a, T> {
    scan: &'a Scan<'a>,
    view: &'a View<'a>,
    tile: &'a T,
    start: u32,
    group: u32,
    thread: u32,
}

impl<T: Tile<LINE_CHUNKS>> Look<'_, T> {
    /// The first look at a pool for all jobs, then the close one for those that it may lead.
    #[inline(always)] // Once per pool of every batch.
    fn at<E: Arithmetic>(&self, place: u32, held: &mut [Held; JOBS_PER_THREAD as usize]) {
        let hot: Hot = bytemuck::cast([self.tile.chunk(place, 0), self.tile.chunk(place, 1)]);
        let mut any = false;
        for own in held.iter_mut() {
            let fits = own.kv_bytes < hot.room_bytes;
            own.feasible = own.feasible.wrapping_add(u32::from(fits));
            any |= fits & (hot.bound::<E>(own.tokens) < own.limit);
        }
        if any {
            for (own, job) in held.iter_mut().zip(0..) {
                self.close::<E>(place, &hot, job, own);
            }
        }
    }

    #[inline(always)]
    fn close<E: Arithmetic>(&self, place: u32, hot: &Hot, job: u32, own: &mut Held) {
        if !(own.kv_bytes < hot.room_bytes && hot.bound::<E>(own.tokens) < own.limit) {
            return;
        }
        let Scan { quantum_shift, spreads, .. } = *self.scan;
        let pair = Pair {
            hot,
            closer: InTile { look: self, place, job },
            rank: self.start + place,
            kv_bytes: own.kv_bytes,
            tokens: own.tokens,
            key_1: FIRST_WORD_LIMIT,
            quantum_shift,
            spreads,
        };
        if pair.key::<E>(own.leaders.bar_word()).is_some_and(|key| own.leaders.offer(key)) {
            own.limit = own.leaders.limit::<E>(FIRST_WORD_LIMIT, quantum_shift);
        }
    }
}

/// A pool in the tile, for one of the thread's jobs.
struct InTile<'a, T> {
    look: &'a Look<'a, T>,
    place: u32,
    job: u32,
}

impl<T: Tile<LINE_CHUNKS>> Closer for InTile<'_, T> {
    #[inline(always)]
    fn ties(&self) -> Ties {
        bytemuck::cast(self.look.tile.chunk(self.place, 2))
    }

    #[inline(always)]
    fn waits(&self) -> Waits {
        self.look.view.waits(self.look.start + self.place)
    }

    #[inline(always)]
    fn spread_hash(&self) -> u64 {
        let index = job_index(self.look.group, self.look.thread, self.job);
        self.look.scan.jobs.get(index as usize).map_or(0, |job| job.spread_hash)
    }
}
