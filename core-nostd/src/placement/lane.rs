//! What a pool is to all jobs of one class, as the few integers that `rule::lane` needs: columns are filled with these.
//!
//! Jobs of a class ask the same of pools: they differ in tokens, KV bytes, deadline, session and in the pools that they
//! pin, prefer and avoid, and under a split in nothing but tokens, deadline, session and those pools. All that is
//! decided by what they share (hints about labels, stages 2 to 6, slots, residency, devices) is decided once per class
//! and pool, here, with the very functions that decide a single job.
//!
//! Invariant: for a job of the class, the words that `rule::lane` makes of the pool's lanes are those of its key, cold.

use super::candidate::Scorer;
use super::decide::PlacementInput;
use crate::limits::{END_UNKNOWN_US, TIME_MAX_US};
use crate::policy::{Order, Policy, Weights};
use crate::rows::{JobFlags, JobRow, PoolRef, PoolRow};
use crate::rule::devices::{by_free_vram, eligible};
use crate::rule::key::{Key, KeyParts};
use crate::rule::lane::{ClassLane, PoolLane};
use crate::rule::score::ScoreTerms;

/// What a pool is to any job under `policy`.
#[must_use]
pub fn pool_lane(row: &PoolRow, policy: &Policy) -> PoolLane {
    let terms = weighted(&ScoreTerms::of(row, policy, true), policy);
    let known = terms.first_token_us.zip(terms.decode_q10);
    let (first_token_us, decode_q10) = known.unwrap_or((END_UNKNOWN_US, 0));
    PoolLane {
        first_token_us,
        decode_q10,
        prefill_q10: if known.is_some() { terms.prefill_q10 } else { 0 },
        milli_tps: row.milli_tps,
        waves: terms.waves,
        active_leases: row.slots_total.saturating_sub(row.slots_free),
        slots_free: row.slots_free,
    }
}

/// What of a job its class keeps, besides its labels and the verdicts of stages 2 to 4: jobs whose rows, labels and
/// verdicts on all classes of pools are equal have the same lanes.
#[must_use]
pub fn class_row(job: &JobRow) -> JobRow {
    let mut row = JobRow {
        min_vram_bytes: job.min_vram_bytes,
        require_device_mask: job.require_device_mask,
        model: job.model,
        pool_backlog: job.pool_backlog,
        split_degree: job.split_degree,
        ..JobRow::UNNAMED
    };
    row.flags.set(JobFlags::FOREIGN_LABEL, job.flags.has(JobFlags::FOREIGN_LABEL));
    if job.split_degree > 0 {
        // Which devices may carry a share. DEV-1.
        row.est_kv_bytes = job.est_kv_bytes;
        row.device_mask = job.device_mask;
        row.min_capability = job.min_capability;
        row.flags.set(JobFlags::MIN_CAPABILITY, job.flags.has(JobFlags::MIN_CAPABILITY));
    }
    row
}

/// What every pool is to the jobs of a class, of which the input's job is one.
#[derive(Debug)]
pub struct ClassScorer<'a> {
    input: &'a PlacementInput<'a>,
    scorer: Scorer<'a>,
}

impl<'a> ClassScorer<'a> {
    /// The class of the input's job.
    #[must_use]
    pub fn new(input: &'a PlacementInput<'a>) -> Self {
        Self { input, scorer: input.scorer() }
    }

    /// The pool at `rank`; closed to all where there is none. O(devices + residents).
    #[must_use]
    pub fn lane(&self, rank: u32) -> ClassLane {
        self.input.pools().pool(rank).map_or(ClassLane::CLOSED, |pool| self.lane_of(&pool))
    }

    fn lane_of(&self, pool: &PoolRef<'_>) -> ClassLane {
        if self.scorer.is_closed(pool) {
            return ClassLane::CLOSED;
        }
        let (row, job, policy) = (pool.row, self.scorer.job.row, self.scorer.policy);
        let resident = pool.is_resident(job.model);
        let weights_bytes = if resident { 0 } else { job.min_vram_bytes };
        let above = |bytes: u64| bytes.saturating_add(1).saturating_sub(weights_bytes);
        let splittable_bytes = if job.split_degree == 0 { row.vram_free_bytes } else { self.splittable_bytes(pool) };
        let terms = weighted(&ScoreTerms::of(row, policy, resident), policy);
        // Both are below 2^46, so is their sum below 2^47.
        let start_us = terms.admission_latency_us.saturating_add(terms.load_us);
        let base_us = match (terms.first_token_us, terms.decode_q10) {
            (Some(first_token_us), Some(_)) => {
                start_us.min(TIME_MAX_US).saturating_add(first_token_us).min(TIME_MAX_US)
            }
            _ => END_UNKNOWN_US,
        };
        ClassLane {
            base: match policy.order() {
                Order::PredictedEnd => base_us,
                Order::VramFirst => static_word(row, pool.rank),
            },
            start_us,
            room_bytes: above(splittable_bytes),
            spare_bytes: above(row.vram_free_bytes),
        }
    }

    /// The most bytes of which every share of the split fits a device. FEAS-23.
    fn splittable_bytes(&self, pool: &PoolRef<'_>) -> u64 {
        let (job, devices) = (self.scorer.job.row, pool.devices());
        let able = eligible(pool.class(), devices, job);
        let by_free = by_free_vram(devices);
        let mut able_by_free = by_free.iter().filter(|&&position| able >> position & 1 != 0);
        let last = able_by_free.nth(usize::from(job.split_degree).saturating_sub(1));
        let share_bytes =
            last.and_then(|&position| devices.get(usize::from(position))).map(|device| device.vram_free_bytes);
        // At most 16 times 2^48.
        share_bytes.unwrap_or(0).saturating_mul(job.split_degree.into())
    }
}

fn weighted(terms: &ScoreTerms, policy: &Policy) -> ScoreTerms {
    if *policy.weights() == Weights::ONE { *terms } else { terms.weighted(policy.weights()) }
}

/// The first word of a key that no job changes but by what it prefers. KEY-10.
fn static_word(row: &PoolRow, rank: u32) -> u64 {
    let parts = KeyParts {
        preferred: true,
        weighted_end_us: 0,
        warm: false,
        active_leases: row.slots_total.saturating_sub(row.slots_free),
        slots_free: row.slots_free,
        vram_free_bytes: row.vram_free_bytes,
        residual_vram_bytes: 0,
        milli_tps: 0,
        spread: 0,
        rank,
    };
    Key::by_free_vram(&parts).first_word()
}
