//! Pools, views and jobs as the core's lanes, and the tables that kernels read of them.

use std::iter::repeat_n;

use orchestrator_core::limits::{BYTES_MAX, END_UNKNOWN_US, SLOTS_MAX, TIME_MAX_US, TOKENS_MAX};
use orchestrator_core::rule::key::Key;
use orchestrator_core::rule::lane::{ClassLane, PoolLane};
use orchestrator_kernels::Scan;
use orchestrator_kernels::launch::{Ends, JOBS_PER_BLOCK};
use orchestrator_kernels::records::{JobLanes, PoolCold, PoolHot, Segment, ViewCold, ViewHot};

use crate::random::Random;

/// A key that leaves out none.
pub(crate) const FROM_ALL: Key = Key::from_words([0; 3], 0);

#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) kv_bytes: u64,
    pub(crate) spread_hash: u64,
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) view: u32,
    pub(crate) from: Key,
    pub(crate) segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) ends: Ends,
    pub(crate) quantum_shift: u32,
    pub(crate) spreads: bool,
    pub(crate) pools: Vec<PoolLane>,
    pub(crate) spread_hashes: Vec<u64>,
    /// For each view a lane per pool.
    pub(crate) views: Vec<Vec<ClassLane>>,
    /// Records behind the pools of each view, of no pool.
    pub(crate) gap: u32,
    pub(crate) jobs: Vec<Job>,
}

/// What lies in the device's memory.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) pool_hot: Vec<PoolHot>,
    pub(crate) pool_cold: Vec<PoolCold>,
    pub(crate) view_hot: Vec<ViewHot>,
    pub(crate) view_cold: Vec<ViewCold>,
    pub(crate) views: u32,
    pub(crate) stride: u32,
    pub(crate) jobs: Vec<JobLanes>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) parts: u32,
    pub(crate) pools_per_part: u32,
    pub(crate) quantum_shift: u32,
    pub(crate) spreads: bool,
}

impl Tables {
    pub(crate) fn scan(&self) -> Scan<'_> {
        Scan {
            pool_hot: &self.pool_hot,
            pool_cold: &self.pool_cold,
            view_hot: &self.view_hot,
            view_cold: &self.view_cold,
            views: self.views,
            stride: self.stride,
            jobs: &self.jobs,
            segments: &self.segments,
            parts: self.parts,
            pools_per_part: self.pools_per_part,
            quantum_shift: self.quantum_shift,
            spreads: self.spreads,
        }
    }
}

/// How values are spread: over all magnitudes, or over so few that words are often equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variety {
    Wide,
    Ties,
}

impl Variety {
    pub(crate) const ALL: [Self; 2] = [Self::Wide, Self::Ties];

    fn at_most(self, random: &mut Random, max: u64) -> u64 {
        match self {
            Self::Wide => random.magnitude(max),
            Self::Ties => random.pick(&[0, max / 2, max / 2, max / 2, max / 2 + 1, max]),
        }
    }

    fn at_most_u32(self, random: &mut Random, max: u32) -> u32 {
        u32::try_from(self.at_most(random, max.into())).expect("at most max")
    }

    fn at_most_u16(self, random: &mut Random, max: u16) -> u16 {
        u16::try_from(self.at_most(random, max.into())).expect("at most max")
    }
}

impl World {
    /// Random lanes for which the arithmetic of `ends` is exact; jobs look at all pools.
    pub(crate) fn random(random: &mut Random, ends: Ends, variety: Variety, pools: u32, jobs: u32, views: u32) -> Self {
        let lanes: Vec<_> = (0..pools).map(|_| pool(random, ends, variety)).collect();
        Self {
            ends,
            quantum_shift: random.pick(&[0, 1, 10, 20, 46]),
            spreads: random.one_in(2),
            spread_hashes: (0..pools).map(|_| variety.at_most(random, u64::MAX)).collect(),
            gap: 3,
            views: (0..views).map(|_| lanes.iter().map(|lane| class(random, ends, variety, lane)).collect()).collect(),
            jobs: (0..jobs).map(|_| job(random, ends, variety, pools, views)).collect(),
            pools: lanes,
        }
    }

    /// The tables, with the jobs as they are.
    pub(crate) fn tables(&self, parts: u32) -> Tables {
        let pools = u32::try_from(self.pools.len()).expect("few pools");
        let stride = pools + self.gap;
        let mut tables = Tables {
            pool_hot: self.pools.iter().map(PoolHot::of).collect(),
            pool_cold: self
                .pools
                .iter()
                .zip(&self.spread_hashes)
                .map(|(lane, &hash)| PoolCold::of(lane, hash))
                .collect(),
            view_hot: Vec::new(),
            view_cold: Vec::new(),
            views: u32::try_from(self.views.len()).expect("few views"),
            stride,
            jobs: Vec::new(),
            segments: Vec::new(),
            parts,
            pools_per_part: pools.div_ceil(parts),
            quantum_shift: self.quantum_shift,
            spreads: self.spreads,
        };
        // Behind a view lie pools that would be the best of all.
        let beyond = ClassLane { base: 0, start_us: 0, room_bytes: u64::MAX, spare_bytes: BYTES_MAX };
        for view in &self.views {
            let lanes = view.iter().chain(repeat_n(&beyond, self.gap as usize));
            tables.view_hot.extend(lanes.clone().map(ViewHot::of));
            tables.view_cold.extend(lanes.map(ViewCold::of));
        }
        for job in &self.jobs {
            let first = u32::try_from(tables.segments.len()).expect("few segments");
            tables.jobs.push(lanes_of(job, first));
            tables.segments.extend(&job.segments);
        }
        tables
    }

    /// The tables of a job-tiled scan: blocks of jobs of one view; and the place of each job in them.
    pub(crate) fn tables_by_view(&self, parts: u32) -> (Tables, Vec<usize>) {
        let mut tables = self.tables(parts);
        let mut places = vec![0; self.jobs.len()];
        let mut jobs = Vec::new();
        for view in 0..tables.views {
            for (index, job) in self.jobs.iter().enumerate().filter(|(_, job)| job.view == view) {
                places[index] = jobs.len();
                jobs.push(lanes_of(job, 0));
            }
            let filler = JobLanes { kv_bytes: u64::MAX, view, ..bytemuck::Zeroable::zeroed() };
            jobs.resize(jobs.len().next_multiple_of(JOBS_PER_BLOCK as usize), filler);
        }
        tables.jobs = jobs;
        (tables, places)
    }
}

fn lanes_of(job: &Job, segment: u32) -> JobLanes {
    JobLanes {
        kv_bytes: job.kv_bytes,
        spread_hash: job.spread_hash,
        from: job.from,
        prompt_tokens: job.prompt_tokens,
        output_tokens: job.output_tokens,
        view: job.view,
        segment,
        segments: u32::try_from(job.segments.len()).expect("few segments"),
        reserved: [0; 3],
    }
}

fn pool(random: &mut Random, ends: Ends, variety: Variety) -> PoolLane {
    let unknown = random.one_in(8);
    let (time_max, rate_max) = if ends == Ends::Plain { (1 << 40, 1 << 30) } else { (TIME_MAX_US, u32::MAX) };
    let waits = ends == Ends::Waiting && !unknown;
    PoolLane {
        first_token_us: if unknown { END_UNKNOWN_US } else { variety.at_most(random, time_max) },
        decode_q10: if unknown { 0 } else { variety.at_most_u32(random, rate_max) },
        prefill_q10: if unknown { 0 } else { variety.at_most_u32(random, rate_max) },
        milli_tps: variety.at_most_u32(random, u32::MAX),
        waves: if waits { variety.at_most_u32(random, 1 << 16) } else { 0 },
        active_leases: variety.at_most_u16(random, u16::MAX),
        slots_free: variety.at_most_u16(random, SLOTS_MAX),
    }
}

fn class(random: &mut Random, ends: Ends, variety: Variety, pool: &PoolLane) -> ClassLane {
    if random.one_in(6) {
        return ClassLane::CLOSED;
    }
    let start_max = if ends == Ends::Plain { 1 << 40 } else { 2 * TIME_MAX_US };
    let start_us = variety.at_most(random, start_max);
    let known = start_us.min(TIME_MAX_US).saturating_add(pool.first_token_us).min(TIME_MAX_US);
    let spare_bytes = variety.at_most(random, BYTES_MAX) + 1;
    ClassLane {
        base: match ends {
            Ends::Static => variety.at_most(random, (1 << 63) - 1),
            _ if pool.first_token_us == END_UNKNOWN_US => END_UNKNOWN_US,
            _ => known,
        },
        start_us,
        room_bytes: if random.one_in(4) { variety.at_most(random, BYTES_MAX).min(spare_bytes) } else { spare_bytes },
        spare_bytes,
    }
}

fn job(random: &mut Random, ends: Ends, variety: Variety, pools: u32, views: u32) -> Job {
    let tokens_max = if ends == Ends::Plain { 1 << 20 } else { TOKENS_MAX };
    Job {
        kv_bytes: if random.one_in(2) { 0 } else { variety.at_most(random, BYTES_MAX) },
        spread_hash: variety.at_most(random, u64::MAX),
        prompt_tokens: variety.at_most_u32(random, tokens_max),
        output_tokens: variety.at_most_u32(random, tokens_max),
        view: random.below_u32(views),
        from: FROM_ALL,
        segments: vec![Segment { start: 0, end: pools, preferred: 0 }],
    }
}
