//! Every pool against every job, jobs in registers: a block keeps [`JOBS_PER_BLOCK`] jobs of one view, and the pools of
//! its part stream by, a tile at a time, through shared memory.
//!
//! A pool is read from memory once per block instead of once per job, and once per thread from shared memory for
//! [`JOBS_PER_THREAD`] jobs, so the arithmetic of the first look is what a pair costs.

use orchestrator_core::rule::key::Key;
use orchestrator_core::rule::lane::FIRST_WORD_LIMIT;

use super::bound::{Arithmetic, Tokens};
use super::leaders::{ABSENT, Leaders, is_below};
use super::pair::{Closer, InTables, Pair};
use super::pool::{Hot, Ties, Waits};
use crate::block::{Block, Chunk, Output, Tile};
use crate::launch::{JOBS_PER_BLOCK, JOBS_PER_THREAD, THREADS};
use crate::records::{Found, JobLanes};
use crate::tables::{Scan, View};

/// Chunks of a pool in the tile: the hot ones, then that of ties.
pub const LINE_CHUNKS: usize = 3;

/// A job in registers.
#[derive(Clone, Copy)]
struct Held {
    kv_bytes: u64,
    tokens: Tokens,
    /// What a bound must be below.
    limit: u64,
    /// The rank of the first leader: its key is made again where it is needed, to save registers.
    first: u32,
    /// The second leader, which every close look is compared with.
    second: Key,
    feasible: u32,
}

/// Pools of a first look: a part of a tile.
const GROUP: u32 = 8;
const GROUPS: u32 = THREADS / GROUP;

/// The kernel `scan_jobs`.
#[inline(always)] // Into the kernel of each arithmetic.
pub fn scan_jobs<E: Arithmetic, B: Block>(
    block: &mut B,
    tile: &mut B::Tile<LINE_CHUNKS>,
    scan: &Scan<'_>,
    found: &mut (impl Output<Found> + ?Sized),
) {
    let Some((group, part)) = scan.task(block.index()) else { return };
    let view = scan.jobs.get(place_of(group, 0, 0)).and_then(|job| scan.view(job.view)).unwrap_or_default();
    let mut held = block.all::<Jobs>([Held::NOWHERE; JOBS_PER_THREAD as usize]);
    block.each(&mut held, |thread, held| {
        for_each_job(held, |job, own| *own = Held::of(scan.jobs.get(place_of(group, thread, job))));
    });
    let (mut start, end) = scan.ranks(&view, part);
    while start < end {
        let len = (end - start).min(THREADS);
        block.share(tile, &held, |thread, _| Some(line::<E>(&view, start, len, thread)));
        block.each(&mut held, |thread, held| {
            let look = Look { scan, view: &view, tile: &*tile, start, group, thread };
            for pools in 0..len.div_ceil(GROUP) {
                look.at::<E, B>(pools, held);
            }
        });
        start += len;
    }
    block.each(&mut held, |thread, held| {
        for_each_job(held, |job, own| {
            let place = place_of(group, thread, job);
            if let Some(lanes) = scan.jobs.get(place) {
                let leaders = Leaders::of(own.key_of::<E>(own.first, scan, &view, Some(lanes)), own.second);
                found.put(scan.answer(place as u64, part), leaders.found(own.feasible));
            }
        });
    });
}

/// Written out: a loop over an array would keep the jobs in memory.
#[inline(always)] // Once per pool of every batch.
fn for_each_job(held: &mut Jobs, mut step: impl FnMut(u32, &mut Held)) {
    let [first, second, third, fourth] = held;
    step(0, first);
    step(1, second);
    step(2, third);
    step(3, fourth);
}

/// The place of a job in the table: neighbouring threads have neighbouring jobs.
#[inline(always)]
const fn place_of(group: u32, thread: u32, job: u32) -> usize {
    group as usize * JOBS_PER_BLOCK as usize + (job * THREADS + thread) as usize
}

/// The line of a tile that thread `thread` fills: a pool, or one that takes no job behind the last.
#[inline(always)]
fn line<E: Arithmetic>(view: &View<'_>, start: u32, len: u32, thread: u32) -> [Chunk; LINE_CHUNKS] {
    if thread >= len {
        return [[0; 2]; LINE_CHUNKS];
    }
    let [first, second]: [Chunk; 2] = bytemuck::cast(view.hot::<E>(start + thread));
    [first, second, bytemuck::cast(view.ties(start + thread))]
}

/// The jobs of a thread.
type Jobs = [Held; JOBS_PER_THREAD as usize];

impl Held {
    const NOWHERE: Self = Self {
        kv_bytes: u64::MAX,
        tokens: Tokens { prompt: 0, output: 0 },
        limit: u64::MAX,
        first: ABSENT.rank(),
        second: ABSENT,
        feasible: 0,
    };

    #[inline(always)]
    fn of(job: Option<&JobLanes>) -> Self {
        job.map_or(Self::NOWHERE, |job| Self {
            kv_bytes: job.kv_bytes,
            tokens: Tokens { prompt: job.prompt_tokens, output: job.output_tokens },
            ..Self::NOWHERE
        })
    }

    #[inline(always)] // Once per pair of every batch.
    fn fits(&self, hot: &Hot) -> bool {
        self.kv_bytes < hot.room_bytes
    }

    #[inline(always)] // As above.
    fn may_lead<E: Arithmetic, B: Block>(&self, hot: &Hot) -> bool {
        hot.bound::<E, B>(self.tokens) < self.limit
    }

    /// The key of a pool in the tables.
    #[inline(always)] // At each new leader.
    fn key_of<E: Arithmetic>(&self, rank: u32, scan: &Scan<'_>, view: &View<'_>, job: Option<&JobLanes>) -> Key {
        if rank == ABSENT.rank() {
            return ABSENT;
        }
        let hot = view.hot::<E>(rank);
        self.pair(&hot, InTables { view, rank, job }, rank, scan).key::<E>()
    }

    #[inline(always)] // Once per close look.
    fn pair<'a, C: Closer>(&self, hot: &'a Hot, closer: C, rank: u32, scan: &Scan<'_>) -> Pair<'a, C> {
        let Scan { quantum_shift, spreads, .. } = *scan;
        let (kv_bytes, tokens, key_1) = (self.kv_bytes, self.tokens, FIRST_WORD_LIMIT);
        Pair { hot, closer, rank, kv_bytes, tokens, key_1, quantum_shift, spreads }
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
    /// The first look at a group of pools for all jobs, then the close one at those that may lead.
    #[inline(always)] // Once per group of every batch.
    fn at<E: Arithmetic, B: Block>(&self, group: u32, held: &mut Jobs) {
        let first = group % GROUPS * GROUP;
        let mut may_lead = 0u32;
        for pool in 0..GROUP {
            may_lead |= u32::from(self.glance::<E, B>(first + pool, held)) << pool;
        }
        while may_lead != 0 {
            let place = first + may_lead.trailing_zeros() % GROUP;
            may_lead &= may_lead - 1;
            let hot = self.hot(place);
            for_each_job(held, |job, own| self.close::<E, B>(place, &hot, job, own));
        }
    }

    #[inline(always)] // As above.
    fn hot(&self, place: u32) -> Hot {
        bytemuck::cast([self.tile.chunk(place, 0), self.tile.chunk(place, 1)])
    }

    /// Counts the jobs that fit the pool; whether it may lead for one.
    #[inline(always)] // Once per pool of every batch.
    fn glance<E: Arithmetic, B: Block>(&self, place: u32, held: &mut Jobs) -> bool {
        let hot = self.hot(place);
        let mut may_lead = false;
        for_each_job(held, |_, own| {
            let fits = own.fits(&hot);
            own.feasible = B::count(own.feasible, fits);
            may_lead |= fits & own.may_lead::<E, B>(&hot);
        });
        may_lead
    }

    #[inline(always)] // Once per close look.
    fn close<E: Arithmetic, B: Block>(&self, place: u32, hot: &Hot, job: u32, own: &mut Held) {
        if !(own.fits(hot) && own.may_lead::<E, B>(hot)) {
            return;
        }
        let lanes = self.scan.jobs.get(place_of(self.group, self.thread, job));
        let rank = self.start.wrapping_add(place);
        let pair = own.pair(hot, InTile { look: self, place, job: lanes }, rank, self.scan);
        let [bar, ..] = own.second.words();
        let Some(key) = pair.key_up_to::<E>(bar).filter(|key| is_below(key, &own.second)) else { return };
        let mut leaders = Leaders::of(own.key_of::<E>(own.first, self.scan, self.view, lanes), own.second);
        leaders.offer(key);
        own.limit = leaders.limit::<E>(FIRST_WORD_LIMIT, self.scan.quantum_shift);
        let [first, second] = leaders.keys();
        (own.first, own.second) = (first.rank(), second);
    }
}

/// A pool in the tile, for one of the thread's jobs.
struct InTile<'a, T> {
    look: &'a Look<'a, T>,
    place: u32,
    job: Option<&'a JobLanes>,
}

impl<T: Tile<LINE_CHUNKS>> Closer for InTile<'_, T> {
    #[inline(always)]
    fn ties(&self) -> Ties {
        bytemuck::cast(self.look.tile.chunk(self.place, 2))
    }

    #[inline(always)]
    fn waits(&self) -> Waits {
        self.look.view.waits(self.look.start.wrapping_add(self.place))
    }

    #[inline(always)]
    fn spread_hash(&self) -> u64 {
        self.job.map_or(0, |job| job.spread_hash)
    }
}
