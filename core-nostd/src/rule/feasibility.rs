//! May this pool take the job? The predicate, rule by rule.
//!
//! Rules: FEAS-1 to FEAS-23 in their order, NEED-1. What cannot change by waiting comes first, so that the furthest
//! stage that any pool reached says most about why there is no placement.
//!
//! Stages 2 to 4 depend on static facts only ([`check_static`]), stages 5 to 7 on what changes with every snapshot
//! ([`check_dynamic`]); stage 1 on the job's own hints ([`check_hints`]).

use super::devices::{count_with_free, eligible, share_bytes};
use super::rejection::Rejection;
use crate::policy::Policy;
use crate::rows::{Hints, JobFlags, JobQuery, JobRow, NameId, PoolFlags, PoolRef, PoolRow, RankRange};

/// Tries all rules; a feasible pool says whether the job's model needs no loading.
///
/// `has_hints` is [`has_hints`] of the job: most jobs have none, and then stage 1 rejects nothing.
///
/// # Errors
/// The first rule that the pool fails.
#[inline(always)] // The scan calls it once per pool: a call costs as much as the usual path through it.
pub(crate) fn check(
    pool: &PoolRef<'_>,
    job: &JobQuery<'_>,
    has_hints: bool,
    policy: &Policy,
) -> Result<bool, Rejection> {
    if has_hints {
        check_hints(pool, job.row, &job.hints)?;
    }
    check_static(pool, job.row)?;
    let resident = pool.is_resident(job.row.model);
    check_dynamic(pool, job.row, policy, resident)?;
    Ok(resident)
}

/// Whether stage 1 can reject a pool at all.
#[must_use]
pub fn has_hints(job: &JobRow, hints: &Hints<'_>) -> bool {
    [JobFlags::PIN, JobFlags::NO_FALLBACK, JobFlags::FOREIGN_LABEL]
        .into_iter()
        .any(|flag| job.flags.has(flag))
        || !(hints.avoid.is_empty() && hints.labels.is_empty() && job.require_device_mask.is_empty())
}

/// Stage 1: the job's own hints. FEAS-1 to FEAS-5.
fn check_hints(pool: &PoolRef<'_>, job: &JobRow, hints: &Hints<'_>) -> Result<(), Rejection> {
    let flags = job.flags;
    if flags.has(JobFlags::PIN) && !hints.pin.contains(pool.rank) {
        return Err(Rejection::NotPinned);
    }
    if !hints.avoid.is_empty() && RankRange::any_contains(hints.avoid, pool.rank) {
        return Err(Rejection::Avoided);
    }
    if flags.has(JobFlags::NO_FALLBACK) && !is_preferred(job, hints, pool.rank) {
        return Err(Rejection::NotPreferred);
    }
    if flags.has(JobFlags::FOREIGN_LABEL) || !(hints.labels.is_empty() || pool.has_labels(hints.labels)) {
        return Err(Rejection::LabelMissing);
    }
    let required = job.require_device_mask;
    if !required.is_empty() && pool.row.device_mask != required {
        return Err(Rejection::DeviceMaskMismatch);
    }
    Ok(())
}

/// Whether the job prefers the pool at `rank`. KEY-1, FEAS-3.
#[inline]
#[must_use]
pub fn is_preferred(job: &JobRow, hints: &Hints<'_>, rank: u32) -> bool {
    job.flags.has(JobFlags::PREFER) && RankRange::any_contains(hints.prefer, rank)
}

/// Stages 2 to 4: engine, model and devices. FEAS-6 to FEAS-18.
#[inline(always)] // See `check`.
fn check_static(pool: &PoolRef<'_>, job: &JobRow) -> Result<(), Rejection> {
    check_engine(pool.row, job)?;
    check_model(pool, job)?;
    check_devices(pool, job)
}

#[inline(always)] // See `check`.
fn check_engine(pool: &PoolRow, job: &JobRow) -> Result<(), Rejection> {
    let asks_other = |asked: NameId, own: NameId| asked != NameId::NONE && asked != own;
    if job.engine != pool.engine {
        Err(Rejection::EngineName)
    } else if asks_other(job.engine_version, pool.engine_version) {
        Err(Rejection::EngineVersion)
    } else if asks_other(job.sampler_profile, pool.sampler_profile) {
        Err(Rejection::SamplerProfile)
    } else {
        Ok(())
    }
}

#[inline(always)] // See `check`.
fn check_model(pool: &PoolRef<'_>, job: &JobRow) -> Result<(), Rejection> {
    if !pool.serves(job.model) {
        Err(Rejection::ModelNotServed)
    } else if job.digest != NameId::NONE && !pool.has_digest(job.digest) {
        Err(Rejection::ModelDigest)
    } else if job.flags.has(JobFlags::FOREIGN_QUANTIZATION) || job.quantization & !pool.row.quantizations != 0 {
        Err(Rejection::Quantization)
    } else if !fits_context(pool.row, job) {
        Err(Rejection::Context)
    } else if job.flags.has(JobFlags::FOREIGN_EXTENSION) || job.extensions & !pool.row.extensions != 0 {
        Err(Rejection::Extension)
    } else if job.whole_bytes() > pool.row.vram_total_bytes {
        Err(Rejection::VramTotal)
    } else {
        Ok(())
    }
}

/// JOB-2, FEAS-12.
fn fits_context(pool: &PoolRow, job: &JobRow) -> bool {
    if pool.ctx_max == PoolRow::CTX_UNKNOWN {
        job.context_tokens == 0 || !job.flags.has(JobFlags::CONTEXT_GIVEN)
    } else {
        job.context_tokens <= pool.ctx_max
    }
}

#[inline(always)] // See `check`.
fn check_devices(pool: &PoolRef<'_>, job: &JobRow) -> Result<(), Rejection> {
    let row = pool.row;
    let capability_known = row.flags.has(PoolFlags::CAPABILITY_KNOWN);
    if job.split_degree == 0 {
        let within = !row.device_mask.is_empty() && row.device_mask.is_within(job.device_mask);
        if !job.device_mask.is_empty() && !within {
            return Err(Rejection::MaskNotWithin);
        }
        let reaches = capability_known && row.capability >= job.min_capability;
        if job.flags.has(JobFlags::MIN_CAPABILITY) && !reaches {
            return Err(Rejection::Capability);
        }
    }
    let runs_adapter = capability_known && row.capability >= row.min_capability;
    if row.flags.has(PoolFlags::MIN_CAPABILITY) && !runs_adapter {
        return Err(Rejection::OwnMinCapability);
    }
    if job.split_degree > 0 && eligible(row, pool.devices(), job).count_ones() < u32::from(job.split_degree) {
        return Err(Rejection::SplitDegree);
    }
    Ok(())
}

/// Stages 5 to 7: freshness, readiness and capacity. FEAS-19 to FEAS-23.
#[inline(always)] // See `check`.
fn check_dynamic(pool: &PoolRef<'_>, job: &JobRow, policy: &Policy, resident: bool) -> Result<(), Rejection> {
    let row = pool.row;
    if row.age_us > policy.stale_after_us() {
        Err(Rejection::Stale)
    } else if !row.flags.has(PoolFlags::READY) {
        Err(Rejection::NotReady)
    } else if row.flags.has(PoolFlags::DRAINING) {
        Err(Rejection::Draining)
    } else if row.slots_free == 0 {
        Err(Rejection::Slots)
    } else if !has_free_vram(pool, job, job.need_bytes(resident)) {
        Err(Rejection::Vram)
    } else {
        Ok(())
    }
}

/// FEAS-23.
fn has_free_vram(pool: &PoolRef<'_>, job: &JobRow, need_bytes: u64) -> bool {
    if need_bytes > pool.row.vram_free_bytes {
        return false;
    }
    let degree = job.split_degree;
    degree == 0 || {
        let devices = pool.devices();
        let share = share_bytes(need_bytes, degree);
        count_with_free(devices, eligible(pool.row, devices, job), share) >= u32::from(degree)
    }
}
