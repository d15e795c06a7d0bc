//! Policies as bytes: their integers, exactly, and on the way in the limits that every policy is inside of.
//!
//! A policy comes back bit for bit, so that its hash is the same: what a file said in floats is not kept.

use super::reader::{Decode, DecodeError, DecodeProblem, Reader};
use super::writer::{Encode, OutOfRoom, Sink};
use crate::limits::{
    BYTES_MAX, CONTEXT_MAX, POOL_BACKLOG_MAX, QUANTUM_SHIFT_MAX, RETRY_MAX_MS, SCAN_LIMIT_MAX, SESSION_CAPACITY_MAX,
    TIME_MAX_US, TOKENS_MAX, WEIGHT_256_MAX,
};
use crate::policy::{Order, Policy, Weights};
use crate::scheduler::{
    AdmissionRules, ClassWeights, Discipline, FullPolicy, QueueRules, RefreshRules, SchedulerPolicy, WaitLimit,
    WatchdogRules,
};
use crate::values::edge::rate_from_milli_tps;

coded_enum!(Order { 0 => PredictedEnd, 1 => VramFirst });
coded_enum!(FullPolicy { 0 => Reject, 1 => DropLru, 2 => ShedLowPriority });
coded_enum!(Discipline { 0 => Fifo, 1 => EarliestDeadline, 2 => FairTenants });

/// Writes a placement policy. RECORD-3.
///
/// # Errors
/// The sink has no room.
pub fn encode_policy<S: Sink + ?Sized>(policy: &Policy, sink: &mut S) -> Result<(), OutOfRoom> {
    policy.encode(sink)
}

/// Reads a placement policy.
///
/// # Errors
/// The bytes are no policy inside every limit.
pub fn decode_policy(reader: &mut Reader<'_>) -> Result<Policy, DecodeError> {
    reader.take()
}

/// Writes a scheduler's policy. RECORD-3.
///
/// # Errors
/// The sink has no room.
pub fn encode_scheduler_policy<S: Sink + ?Sized>(policy: &SchedulerPolicy, sink: &mut S) -> Result<(), OutOfRoom> {
    policy.encode(sink)
}

/// Reads a scheduler's policy.
///
/// # Errors
/// The bytes are no policy inside every limit.
pub fn decode_scheduler_policy(reader: &mut Reader<'_>) -> Result<SchedulerPolicy, DecodeError> {
    reader.take()
}

impl Encode for Policy {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self {
            order,
            quantum_shift,
            performance_aware,
            spread_seed,
            default_output_tokens,
            default_rate,
            default_first_token_us,
            stale_after_us,
            session_capacity,
            pool_backlog,
            weights: Weights { admission, model_load, first_token, prefill, decode },
        } = self;
        (order, quantum_shift, performance_aware, spread_seed).encode(sink)?;
        // The other part of the rate follows from this one. UNIT-2.
        (default_output_tokens, default_rate.milli_tps, default_first_token_us).encode(sink)?;
        (stale_after_us, session_capacity, pool_backlog).encode(sink)?;
        (admission, model_load, first_token, prefill, decode).encode(sink)
    }
}

impl Decode<'_> for Policy {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let order = reader.take()?;
        let quantum_shift = reader.take::<u8>()?;
        if quantum_shift > QUANTUM_SHIFT_MAX {
            return reader.fail(DecodeProblem::OutOfRange);
        }
        let performance_aware = reader.take()?;
        let spread_seed = reader.take()?;
        let default_output_tokens = reader.take_between(0, TOKENS_MAX)?;
        let milli_tps = reader.take()?;
        let default_rate = rate_from_milli_tps(milli_tps);
        if default_rate.milli_tps != milli_tps {
            return reader.fail(DecodeProblem::OutOfRange);
        }
        Ok(Self {
            order,
            quantum_shift,
            performance_aware,
            spread_seed,
            default_output_tokens,
            default_rate,
            default_first_token_us: take_time_if_some(reader)?,
            stale_after_us: take_time(reader)?,
            session_capacity: reader.take_between(0, SESSION_CAPACITY_MAX)?,
            pool_backlog: reader.take_between(0, POOL_BACKLOG_MAX)?,
            weights: Weights {
                admission: reader.take_between(0, WEIGHT_256_MAX)?,
                model_load: reader.take_between(0, WEIGHT_256_MAX)?,
                first_token: reader.take_between(0, WEIGHT_256_MAX)?,
                prefill: reader.take_between(0, WEIGHT_256_MAX)?,
                decode: reader.take_between(0, WEIGHT_256_MAX)?,
            },
        })
    }
}

impl Encode for SchedulerPolicy {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self { queue, admission, watchdog, prefill_weight, session_ttl_us, refresh } = self;
        let AdmissionRules { max_job_tokens, max_context_tokens, retry_floor_ms, retry_cap_ms } = admission;
        let WatchdogRules { start_timeout_us, wall_limit_us, idle_limit_us } = watchdog;
        let RefreshRules { after_us, base_us, cap_us } = refresh;
        queue.encode(sink)?;
        (max_job_tokens, max_context_tokens, retry_floor_ms, retry_cap_ms).encode(sink)?;
        (start_timeout_us, wall_limit_us, idle_limit_us, session_ttl_us).encode(sink)?;
        (after_us, base_us, cap_us, prefill_weight).encode(sink)
    }
}

impl Decode<'_> for SchedulerPolicy {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let queue = reader.take()?;
        let max_job_tokens = reader.take_between(0, CONTEXT_MAX)?;
        let max_context_tokens = reader.take_between(0, CONTEXT_MAX)?;
        let retry_floor_ms = reader.take_between(0, RETRY_MAX_MS)?;
        let retry_cap_ms = reader.take_between(retry_floor_ms, RETRY_MAX_MS)?;
        let watchdog = WatchdogRules {
            start_timeout_us: take_time(reader)?,
            wall_limit_us: take_time(reader)?,
            idle_limit_us: take_time(reader)?,
        };
        let session_ttl_us = take_time(reader)?;
        let after_us = take_time(reader)?;
        let base_us = reader.take_between(1, TIME_MAX_US)?;
        let cap_us = reader.take_between(base_us, TIME_MAX_US)?;
        let prefill_weight = reader.take()?;
        Ok(Self {
            queue,
            admission: AdmissionRules { max_job_tokens, max_context_tokens, retry_floor_ms, retry_cap_ms },
            watchdog,
            prefill_weight,
            session_ttl_us,
            refresh: RefreshRules { after_us, base_us, cap_us },
        })
    }
}

impl Encode for QueueRules {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        let Self {
            total,
            interactive,
            batch,
            full,
            strict_upstream,
            shed_above_percent,
            discipline,
            class_weights,
            tenant_quantum_tokens,
            promote_after_us,
            ttl_us,
            scan_limit,
            overtakes_max,
        } = self;
        (total, interactive, batch).encode(sink)?;
        (full, strict_upstream, shed_above_percent, discipline, class_weights).encode(sink)?;
        (tenant_quantum_tokens, promote_after_us, ttl_us, scan_limit, overtakes_max).encode(sink)
    }
}

impl Decode<'_> for QueueRules {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            total: reader.take()?,
            interactive: reader.take()?,
            batch: reader.take()?,
            full: reader.take()?,
            strict_upstream: reader.take()?,
            shed_above_percent: match reader.take()? {
                percent @ 0..=100 => percent,
                _ => return reader.fail(DecodeProblem::OutOfRange),
            },
            discipline: reader.take()?,
            class_weights: reader.take()?,
            tenant_quantum_tokens: reader.take_between(1, TOKENS_MAX)?,
            promote_after_us: take_time_if_some(reader)?,
            ttl_us: take_time(reader)?,
            scan_limit: reader.take_between(1, SCAN_LIMIT_MAX)?,
            overtakes_max: reader.take_between(1, u32::MAX)?,
        })
    }
}

impl Encode for WaitLimit {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        (self.jobs, self.tokens).encode(sink)
    }
}

impl Decode<'_> for WaitLimit {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { jobs: reader.take()?, tokens: reader.take_between(0, BYTES_MAX)? })
    }
}

impl Encode for ClassWeights {
    fn encode<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), OutOfRoom> {
        (self.interactive, self.batch).encode(sink)
    }
}

impl Decode<'_> for ClassWeights {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { interactive: reader.take_between(1, u16::MAX)?, batch: reader.take_between(1, u16::MAX)? })
    }
}

/// A time in µs. UNIT-1.
fn take_time(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    reader.take_between(0, TIME_MAX_US)
}

fn take_time_if_some(reader: &mut Reader<'_>) -> Result<Option<u64>, DecodeError> {
    let present = reader.take()?;
    if present { take_time(reader).map(Some) } else { Ok(None) }
}
