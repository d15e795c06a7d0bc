//! May this pool take the job? The predicate, rule by rule.
//!
//! Rules: FEAS-1 to FEAS-23 in their order, NEED-1, WAIT-1. What cannot change by waiting comes first, so that the furthest
//! stage that any pool reached says most about why there is no placement.
//!
//! Stage 1 depends on the job's own hints, stages 2 to 4 on the pool's class and devices, stages 5 to 7 on what changes
//! with every snapshot. A `Checker` remembers per job what it found out about a class or a range of ranks, so that a
//! scan over many pools asks each question once; what it remembers never changes an answer.

use core::cell::Cell;

use super::devices::{count_with_free, eligible, share_bytes};
use super::rejection::Rejection;
use crate::policy::Policy;
use crate::rows::{
    ClassFlags, JobFlags, JobQuery, JobRow, NameId, PoolClass, PoolFlags, PoolRef, PoolRow, PoolTable, RankRange,
};
use crate::values::index::index;

/// All rules for one job under one policy.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    job: &'a JobQuery<'a>,
    stale_after_us: u64,
    backlog: Backlog,
    has_hints: bool,
    prefer: RangeMemo<'a>,
    avoid: RangeMemo<'a>,
    classes: ClassMemo,
}

impl<'a> Checker<'a> {
    #[inline] // Made where it stays: it is large.
    pub(crate) fn new(job: &'a JobQuery<'a>, policy: &Policy) -> Self {
        let (row, hints) = (job.row, &job.hints);
        let excluding = [JobFlags::PIN, JobFlags::NO_FALLBACK, JobFlags::FOREIGN_LABEL];
        let has_lists = !(hints.avoid.is_empty() && hints.labels.is_empty() && row.require_device_mask.is_empty());
        Self {
            job,
            stale_after_us: policy.stale_after_us(),
            backlog: Backlog::of(row, policy),
            // Most jobs have no hints, and then stage 1 rejects nothing.
            has_hints: has_lists || excluding.into_iter().any(|flag| row.flags.has(flag)),
            prefer: RangeMemo::of(hints.prefer),
            avoid: RangeMemo::of(hints.avoid),
            classes: ClassMemo::new(),
        }
    }

    /// Tries all rules; a feasible pool says whether the job's model needs no loading.
    #[inline(always)] // Once per pool of every scan: a call costs as much as the usual path through it.
    pub(crate) fn check(&self, pool: &PoolRef<'_>) -> Result<bool, Rejection> {
        if self.has_hints {
            self.check_hints(pool)?;
        }
        let of_class =
            self.classes.get_or(pool.row.class, || check_class(pool.table(), pool.class(), self.job.row).err());
        if let Some(rejection) = of_class {
            return Err(rejection);
        }
        check_split(pool, self.job.row)?;
        let resident = pool.is_resident(self.job.row.model);
        self.check_dynamic(pool, resident)?;
        Ok(resident)
    }

    /// Whether the pool passes what a glance at its row and class can tell. False only where [`Checker::check`] rejects.
    ///
    /// The conditions are joined without branches: which pools pass is as good as random to a branch predictor, and a
    /// wrong guess costs more than all of them.
    #[inline(always)] // See `check`.
    pub(crate) fn may_fit(&self, pool: &PoolRef<'_>) -> bool {
        let row = pool.row;
        let of_class = self.classes.get_or(row.class, || check_class(pool.table(), pool.class(), self.job.row).err());
        of_class.is_none()
            & (row.age_us <= self.stale_after_us)
            & row.flags.has(PoolFlags::READY)
            & !row.flags.has(PoolFlags::DRAINING)
            & ((row.slots_free > 0) | (self.backlog.is_open() && self.backlog.has_room(row)))
            & (self.job.row.need_bytes(true) <= row.vram_free_bytes)
    }

    /// What [`Checker::may_fit`] leaves open, for a pool that passed it: feasible pools say whether the job's model needs
    /// no loading. Both together agree with [`Checker::check`].
    #[inline(always)] // See `check`.
    pub(crate) fn fits(&self, pool: &PoolRef<'_>) -> Option<bool> {
        let job = self.job.row;
        if self.has_hints && self.check_hints(pool).is_err() {
            return None;
        }
        let resident = pool.is_resident(job.model);
        // With its share free on enough devices a split finds enough of them: FEAS-18 is in FEAS-23.
        has_free_vram(pool, job, job.need_bytes(resident)).then_some(resident)
    }

    /// Whether the job prefers the pool at `rank`. KEY-1, FEAS-3.
    #[inline(always)] // See `check`.
    pub(crate) fn is_preferred(&self, rank: u32) -> bool {
        self.job.row.flags.has(JobFlags::PREFER) && self.prefer.contains(rank)
    }

    /// Stage 1: the job's own hints. FEAS-1 to FEAS-5.
    fn check_hints(&self, pool: &PoolRef<'_>) -> Result<(), Rejection> {
        let (job, hints) = (self.job.row, &self.job.hints);
        if job.flags.has(JobFlags::PIN) && !hints.pin.contains(pool.rank) {
            return Err(Rejection::NotPinned);
        }
        if self.avoid.contains(pool.rank) {
            return Err(Rejection::Avoided);
        }
        if job.flags.has(JobFlags::NO_FALLBACK) && !self.is_preferred(pool.rank) {
            return Err(Rejection::NotPreferred);
        }
        self.check_required(pool)
    }

    /// What stage 1 asks of a pool itself, wherever it stands in the job's lists of pools. FEAS-4, FEAS-5.
    pub(crate) fn check_required(&self, pool: &PoolRef<'_>) -> Result<(), Rejection> {
        let (job, labels) = (self.job.row, self.job.hints.labels);
        if job.flags.has(JobFlags::FOREIGN_LABEL) || !(labels.is_empty() || pool.has_labels(labels)) {
            return Err(Rejection::LabelMissing);
        }
        let required = job.require_device_mask;
        if !required.is_empty() && pool.class().device_mask != required {
            return Err(Rejection::DeviceMaskMismatch);
        }
        Ok(())
    }

    /// Stages 2 to 6 and the slots of stage 7: all but the job's lists of pools and VRAM. FEAS-4 to FEAS-22.
    pub(crate) fn check_closed(&self, pool: &PoolRef<'_>) -> Result<(), Rejection> {
        self.check_required(pool)?;
        let of_class =
            self.classes.get_or(pool.row.class, || check_class(pool.table(), pool.class(), self.job.row).err());
        if let Some(rejection) = of_class {
            return Err(rejection);
        }
        check_split(pool, self.job.row)?;
        check_open(pool.row, self.stale_after_us, self.backlog)
    }

    /// Stages 5 to 7: freshness, readiness and capacity. FEAS-19 to FEAS-23.
    #[inline(always)] // See `check`.
    fn check_dynamic(&self, pool: &PoolRef<'_>, resident: bool) -> Result<(), Rejection> {
        check_open(pool.row, self.stale_after_us, self.backlog)?;
        let has_room = has_free_vram(pool, self.job.row, self.job.row.need_bytes(resident));
        if has_room { Ok(()) } else { Err(Rejection::Vram) }
    }
}

/// Whether the pool takes jobs, as long as their VRAM fits. FEAS-19 to FEAS-22.
#[inline(always)] // See `Checker::check`.
fn check_open(row: &PoolRow, stale_after_us: u64, backlog: Backlog) -> Result<(), Rejection> {
    if row.age_us > stale_after_us {
        Err(Rejection::Stale)
    } else if !row.flags.has(PoolFlags::READY) {
        Err(Rejection::NotReady)
    } else if row.flags.has(PoolFlags::DRAINING) {
        Err(Rejection::Draining)
    } else if row.slots_free == 0 && !backlog.has_room(row) {
        Err(Rejection::Slots)
    } else {
        Ok(())
    }
}

/// What stages 2 to 4, but for the devices of a split, say of a class of pools to a job: a class is asked once for all its
/// pools. FEAS-6 to FEAS-17.
#[must_use]
pub fn class_rejection(pools: &PoolTable<'_>, class: &PoolClass, job: &JobRow) -> Option<Rejection> {
    check_class(pools, class, job).err()
}

/// What keeps a pool from taking jobs now, whatever their VRAM and their class. FEAS-19 to FEAS-22.
#[must_use]
pub fn closed_rejection(row: &PoolRow, job: &JobRow, policy: &Policy) -> Option<Rejection> {
    check_open(row, policy.stale_after_us(), Backlog::of(job, policy)).err()
}

/// Whether a pool takes jobs at all now: where none does, no job finds a place, whatever it asks for. FEAS-19 to FEAS-22,
/// WAIT-1. O(pools).
///
/// True does not say that a certain job finds one.
#[must_use]
pub fn any_takes_jobs(rows: &[PoolRow], policy: &Policy) -> bool {
    rows.iter().any(|row| {
        row.age_us <= policy.stale_after_us()
            && row.flags.has(PoolFlags::READY)
            && !row.flags.has(PoolFlags::DRAINING)
            && (row.slots_free > 0 || row.waiting < policy.pool_backlog())
    })
}

/// Which pools without free slots may take jobs that wait there. WAIT-1.
#[derive(Debug, Clone, Copy)]
struct Backlog {
    jobs_max: u16,
    has_default_rate: bool,
    has_default_first_token: bool,
}

impl Backlog {
    fn of(job: &JobRow, policy: &Policy) -> Self {
        Self {
            jobs_max: job.pool_backlog,
            has_default_rate: policy.default_decode_q10().is_some(),
            has_default_first_token: policy.default_first_token_us().is_some(),
        }
    }

    /// Whether any pool may have room, as no pool has by default. The same for all of them: to ask this first costs no
    /// wrong guess.
    #[inline(always)] // See `Checker::check`.
    const fn is_open(self) -> bool {
        self.jobs_max > 0
    }

    #[inline(always)] // See `Checker::check`.
    fn has_room(self, row: &PoolRow) -> bool {
        let knows_service = ((row.decode_q10 != 0) | self.has_default_rate)
            & ((row.first_token_us != PoolRow::FIRST_TOKEN_UNKNOWN) | self.has_default_first_token);
        (row.waiting < self.jobs_max) & (row.slots_total > 0) & knows_service
    }
}

/// Stages 2 to 4 but for the devices of a split: what the pool's class decides. FEAS-6 to FEAS-17.
fn check_class(pools: &PoolTable<'_>, class: &PoolClass, job: &JobRow) -> Result<(), Rejection> {
    check_engine(class, job)?;
    check_model(pools, class, job)?;
    check_capability(class, job)
}

fn check_engine(class: &PoolClass, job: &JobRow) -> Result<(), Rejection> {
    let asks_other = |asked: NameId, own: NameId| asked != NameId::NONE && asked != own;
    if job.engine != class.engine {
        Err(Rejection::EngineName)
    } else if asks_other(job.engine_version, class.engine_version) {
        Err(Rejection::EngineVersion)
    } else if asks_other(job.sampler_profile, class.sampler_profile) {
        Err(Rejection::SamplerProfile)
    } else {
        Ok(())
    }
}

fn check_model(pools: &PoolTable<'_>, class: &PoolClass, job: &JobRow) -> Result<(), Rejection> {
    if !pools.serves(class, job.model) {
        Err(Rejection::ModelNotServed)
    } else if job.digest != NameId::NONE && !pools.has_digest(class, job.digest) {
        Err(Rejection::ModelDigest)
    } else if job.flags.has(JobFlags::FOREIGN_QUANTIZATION) || job.quantization & !class.quantizations != 0 {
        Err(Rejection::Quantization)
    } else if !fits_context(class, job) {
        Err(Rejection::Context)
    } else if job.flags.has(JobFlags::FOREIGN_EXTENSION) || job.extensions & !class.extensions != 0 {
        Err(Rejection::Extension)
    } else if job.whole_bytes() > class.vram_total_bytes {
        Err(Rejection::VramTotal)
    } else {
        Ok(())
    }
}

/// JOB-2, FEAS-12.
fn fits_context(class: &PoolClass, job: &JobRow) -> bool {
    if class.ctx_max == PoolClass::CTX_UNKNOWN {
        job.context_tokens == 0 || !job.flags.has(JobFlags::CONTEXT_GIVEN)
    } else {
        job.context_tokens <= class.ctx_max
    }
}

/// FEAS-15 to FEAS-17.
fn check_capability(class: &PoolClass, job: &JobRow) -> Result<(), Rejection> {
    let capability_known = class.flags.has(ClassFlags::CAPABILITY_KNOWN);
    if job.split_degree == 0 {
        let within = !class.device_mask.is_empty() && class.device_mask.is_within(job.device_mask);
        if !job.device_mask.is_empty() && !within {
            return Err(Rejection::MaskNotWithin);
        }
        let reaches = capability_known && class.capability >= job.min_capability;
        if job.flags.has(JobFlags::MIN_CAPABILITY) && !reaches {
            return Err(Rejection::Capability);
        }
    }
    let runs_adapter = capability_known && class.capability >= class.min_capability;
    if class.flags.has(ClassFlags::MIN_CAPABILITY) && !runs_adapter {
        return Err(Rejection::OwnMinCapability);
    }
    Ok(())
}

/// FEAS-18.
#[inline(always)] // See `Checker::check`. Few jobs ask for a split.
fn check_split(pool: &PoolRef<'_>, job: &JobRow) -> Result<(), Rejection> {
    if job.split_degree == 0 || has_devices(pool, job, 0) { Ok(()) } else { Err(Rejection::SplitDegree) }
}

/// FEAS-23.
#[inline(always)] // As above.
fn has_free_vram(pool: &PoolRef<'_>, job: &JobRow, need_bytes: u64) -> bool {
    need_bytes <= pool.row.vram_free_bytes && (job.split_degree == 0 || has_devices(pool, job, need_bytes))
}

/// Whether a split finds as many devices as it asks for, with its share of `need_bytes` free on each.
#[inline(never)] // As above.
fn has_devices(pool: &PoolRef<'_>, job: &JobRow, need_bytes: u64) -> bool {
    let devices = pool.devices();
    let share = share_bytes(need_bytes, job.split_degree);
    count_with_free(devices, eligible(pool.class(), devices, job), share) >= u32::from(job.split_degree)
}

/// Whether ranks lie in one of some ranges, with the last stretch of equal answers remembered: a scan in rank order
/// searches once per range instead of once per pool.
#[derive(Debug)]
struct RangeMemo<'a> {
    ranges: &'a [RankRange],
    stretch: Cell<RankRange>,
    inside: Cell<bool>,
}

impl<'a> RangeMemo<'a> {
    const fn of(ranges: &'a [RankRange]) -> Self {
        Self { ranges, stretch: Cell::new(RankRange { start: 0, end: 0 }), inside: Cell::new(false) }
    }

    #[inline]
    fn contains(&self, rank: u32) -> bool {
        if !self.stretch.get().contains(rank) {
            let (stretch, inside) = RankRange::stretch_around(self.ranges, rank);
            self.stretch.set(stretch);
            self.inside.set(inside);
        }
        self.inside.get()
    }
}

/// Entries of a [`ClassMemo`]; a power of two. Fleets have a few dozen classes, those of a microcontroller a few.
const MEMO_ENTRIES: usize = if cfg!(feature = "small_tables") { 8 } else { 64 };

/// What stages 2 to 4 said of a class, by class number modulo the size: 5 bytes of stack each instead of a table per job.
#[derive(Debug)]
struct ClassMemo {
    classes: [Cell<u32>; MEMO_ENTRIES],
    verdicts: [Cell<Option<Rejection>>; MEMO_ENTRIES],
}

impl ClassMemo {
    /// No class has this number: there are at most as many classes as pools.
    const VACANT: u32 = u32::MAX;

    const fn new() -> Self {
        Self {
            classes: [const { Cell::new(Self::VACANT) }; MEMO_ENTRIES],
            verdicts: [const { Cell::new(None) }; MEMO_ENTRIES],
        }
    }

    #[inline(always)] // See `Checker::check`.
    fn get_or(&self, class: u32, check: impl FnOnce() -> Option<Rejection>) -> Option<Rejection> {
        let place = index(class) & (MEMO_ENTRIES - 1);
        let (Some(known), Some(verdict)) = (self.classes.get(place), self.verdicts.get(place)) else { return check() };
        if known.get() == class && class != Self::VACANT {
            return verdict.get();
        }
        let rejection = check();
        known.set(class);
        verdict.set(rejection);
        rejection
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySpec;

    // FEAS-19 to FEAS-22, WAIT-1: a pool takes jobs unless it is stale, not ready, draining or without a slot and a backlog.
    #[test]
    fn a_pool_takes_jobs() {
        let mut open = PoolRow { slots_free: 1, age_us: 1_000, ..PoolRow::EMPTY };
        open.flags.set(PoolFlags::READY, true);
        let (mut draining, mut unready) = (open, open);
        draining.flags.set(PoolFlags::DRAINING, true);
        unready.flags.set(PoolFlags::READY, false);
        let (full, stale) = (PoolRow { slots_free: 0, waiting: 2, ..open }, PoolRow { age_us: 1_001, ..open });
        let policy = |pool_backlog| {
            PolicySpec { stale_after_ms: 1.0, pool_backlog, ..PolicySpec::default() }.validate().unwrap()
        };
        let alone = policy(0);
        assert!(any_takes_jobs(&[open], &alone));
        for closed in [draining, unready, full, stale] {
            assert!(!any_takes_jobs(&[closed], &alone), "{closed:?}");
            assert!(any_takes_jobs(&[closed, open], &alone));
        }
        assert!(!any_takes_jobs(&[], &alone));
        assert_eq!([2, 3].map(|backlog| any_takes_jobs(&[full], &policy(backlog))), [false, true]);
    }
}
