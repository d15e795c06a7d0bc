//! Events as log lines: structured fields, and where a person follows a job a short sentence beside them.
//!
//! ```text
//! {"level":"INFO","target":"orchestrator::scheduler","event":"job_enqueued","now_us":12500,"job_id":"j1",
//!  "engine":"vllm","model_id":"m","priority":"batch","tokens_in":512,"queue_position":3,"predicted_start_ms":420,
//!  "human":"accepted, 3 jobs before it, starts in about 420 ms"}
//! ```
//!
//! Fields that do not apply are absent. What ends well or goes on is `info`, what ends badly `warn`, pools and queue
//! `debug`. The sentence (`human`) stands at admission, placement, stream start, stream end and cancel; it names no ids,
//! which stand beside it.
//!
//! Invariants: names are those of LOG-1; a sentence has at most [`HUMAN_CHARS_MAX`] characters (LOG-2); a line that no
//! one reads costs a look at its level.

use orchestrator_core::PoolFacts;
use orchestrator_core::scheduler::{DispatchFacts, Event, JobFacts, Observer, Refusal, UsageFacts, WaitForecast};
use orchestrator_core::units::millis_ceil;
use tracing::{debug, info, warn};

use super::metrics::priority_name;

/// A sentence for people has at most this many characters. LOG-2.
pub const HUMAN_CHARS_MAX: usize = 100;

/// The target of all lines, for filters.
const TARGET: &str = "orchestrator::scheduler";

/// Writes log lines. LOG-1.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogObserver;

/// A line with the fields that every line about a job has.
macro_rules! job_line {
    ($level:ident, $event:expr, $now_us:expr, $job:expr, $($fields:tt)*) => {
        $level!(
            target: TARGET,
            event = $event.name(),
            now_us = $now_us,
            job_id = $job.id,
            session_id = $job.session_id,
            engine = $job.engine,
            model_id = $job.model_id,
            priority = priority_name($job.priority),
            $($fields)*
        )
    };
}

/// The same for a job on a pool.
macro_rules! pool_line {
    ($level:ident, $event:expr, $now_us:expr, $job:expr, $pool:expr, $($fields:tt)*) => {
        job_line!(
            $level, $event, $now_us, $job,
            pool_id = $pool.id,
            replica_id = $pool.replica_id,
            engine_version = $pool.engine_version,
            $($fields)*
        )
    };
}

impl Observer for LogObserver {
    fn observe(&mut self, now_us: u64, event: &Event<'_>) {
        match *event {
            Event::JobRefused { job, refusal } => refused(event, now_us, job, refusal, None),
            Event::JobEvicted { job, refusal, waited_us } | Event::JobTimedOut { job, refusal, waited_us } => {
                refused(event, now_us, job, refusal, Some(waited_us));
            }
            Event::JobEnqueued { job, forecast } => enqueued(event, now_us, job, forecast),
            Event::PlacementDecided { job, decision } => job_line!(
                debug,
                event,
                now_us,
                job,
                assigned = decision.assigned,
                pinned = decision.pinned,
                fallback = decision.fallback,
                candidates_total = decision.candidates,
            ),
            Event::JobDispatched { job, pool, dispatch } => dispatched(event, now_us, job, pool, dispatch),
            Event::JobStarted { job, pool } => {
                pool_line!(info, event, now_us, job, pool, tokens_in = job.prompt_tokens, human = "taken by its engine",)
            }
            Event::JobFirstToken { job, pool, since_admission_us } => {
                let first_token_ms = millis_ceil(since_admission_us);
                pool_line!(
                    info,
                    event,
                    now_us,
                    job,
                    pool,
                    first_token_ms,
                    human = format_args!("first token {first_token_ms} ms after admission"),
                );
            }
            Event::JobFinished { .. }
            | Event::JobFailed { .. }
            | Event::JobCanceled { .. }
            | Event::JobExpired { .. } => {
                ended(event, now_us);
            }
            _ => beside_jobs(event, now_us),
        }
    }
}

fn refused(event: &Event<'_>, now_us: u64, job: JobFacts<'_>, refusal: Refusal, waited_us: Option<u64>) {
    let code = refusal.code.name();
    let what = if waited_us.is_some() { "lost its place" } else { "refused" };
    let queue_time_ms = waited_us.map(millis_ceil);
    let (field, detail) = (refusal.field.map(|error| error.field), refusal.rejection.map(|failed| failed.detail()));
    let (policy_label, retry_after_ms) = (refusal.policy_label, refusal.retry_after_ms);
    match retry_after_ms {
        Some(after_ms) => job_line!(
            warn,
            event,
            now_us,
            job,
            tokens_in = job.prompt_tokens,
            code,
            field,
            detail,
            policy_label,
            retry_after_ms,
            queue_time_ms,
            human = format_args!("{what} ({code}), worth another try in {after_ms} ms"),
        ),
        None => job_line!(
            warn,
            event,
            now_us,
            job,
            tokens_in = job.prompt_tokens,
            code,
            field,
            detail,
            policy_label,
            queue_time_ms,
            human = format_args!("{what} ({code}), another try will not help"),
        ),
    }
}

fn enqueued(event: &Event<'_>, now_us: u64, job: JobFacts<'_>, forecast: WaitForecast) {
    let queue_position = forecast.queue_position;
    let predicted_start_ms = forecast.predicted_start_us.map(|start_us| millis_ceil(start_us.saturating_sub(now_us)));
    match predicted_start_ms {
        Some(start_ms) => job_line!(
            info,
            event,
            now_us,
            job,
            tokens_in = job.prompt_tokens,
            queue_position,
            predicted_start_ms,
            human = format_args!("accepted, {queue_position} before it, starts in about {start_ms} ms"),
        ),
        None => job_line!(
            info,
            event,
            now_us,
            job,
            tokens_in = job.prompt_tokens,
            queue_position,
            human = format_args!("accepted, {queue_position} before it"),
        ),
    }
}

fn dispatched(event: &Event<'_>, now_us: u64, job: JobFacts<'_>, pool: PoolFacts<'_>, dispatch: DispatchFacts) {
    let (queue_time_ms, kv_warmth) = (millis_ceil(dispatch.waited_us), dispatch.kv_warm);
    let cache = if kv_warmth { "a warm" } else { "a cold" };
    pool_line!(
        info,
        event,
        now_us,
        job,
        pool,
        tokens_in = job.prompt_tokens,
        queue_time_ms,
        predicted_end_ms = dispatch.assignment.end_us.map(millis_ceil),
        kv_warmth,
        kv_migrated = dispatch.kv_migrated,
        fallback_used = dispatch.assignment.fallback,
        seed = dispatch.seed,
        on_time_probability = dispatch.on_time_permille.map(|permille| f64::from(permille) / 1000.0),
        human = format_args!("placed after {queue_time_ms} ms in the queue, on {cache} cache"),
    );
}

/// A job that had a lease, or was canceled while it waited.
fn ended(event: &Event<'_>, now_us: u64) {
    let times = |usage: UsageFacts| (millis_ceil(usage.run_us), millis_ceil(usage.decode_us));
    match *event {
        Event::JobFinished { job, pool, usage } => {
            let (run_ms, decode_time_ms) = times(usage);
            let (tokens_in, tokens_out) = (usage.tokens_in, usage.tokens_out);
            pool_line!(
                info,
                event,
                now_us,
                job,
                pool,
                tokens_in,
                tokens_out,
                decode_time_ms,
                run_ms,
                human = format_args!("done: {tokens_out} tokens in {run_ms} ms"),
            );
        }
        Event::JobFailed { job, pool, cause, usage } => {
            let (run_ms, decode_time_ms) = times(usage);
            let (reason, tokens_out) = (cause.name(), usage.tokens_out);
            pool_line!(
                warn,
                event,
                now_us,
                job,
                pool,
                reason,
                tokens_in = usage.tokens_in,
                tokens_out,
                decode_time_ms,
                run_ms,
                human = format_args!("failed ({reason}) after {tokens_out} tokens"),
            );
        }
        Event::JobExpired { job, pool, cause, usage } => {
            let (run_ms, decode_time_ms) = times(usage);
            let (reason, tokens_out) = (cause.name(), usage.tokens_out);
            pool_line!(
                warn,
                event,
                now_us,
                job,
                pool,
                reason,
                tokens_in = usage.tokens_in,
                tokens_out,
                decode_time_ms,
                run_ms,
                human = format_args!("ended by the watchdog ({reason}) after {tokens_out} tokens"),
            );
        }
        Event::JobCanceled { job, pool: Some(pool), cause, usage } => {
            let (run_ms, decode_time_ms) = times(usage);
            let (reason, tokens_out) = (cause.name(), usage.tokens_out);
            pool_line!(
                info,
                event,
                now_us,
                job,
                pool,
                reason,
                tokens_in = usage.tokens_in,
                tokens_out,
                decode_time_ms,
                run_ms,
                human = format_args!("canceled ({reason}) after {tokens_out} tokens"),
            );
        }
        Event::JobCanceled { job, pool: None, cause, .. } => {
            let reason = cause.name();
            job_line!(info, event, now_us, job, reason, human = format_args!("canceled ({reason}) while it waited"),);
        }
        _ => {}
    }
}

fn beside_jobs(event: &Event<'_>, now_us: u64) {
    let name = event.name();
    match *event {
        Event::PoolUpdated { pool, credited, vram_used_bytes } => debug!(
            target: TARGET, event = name, now_us, pool_id = pool.id, replica_id = pool.replica_id, engine = pool.engine,
            engine_version = pool.engine_version, credited, vram_used_bytes,
        ),
        Event::PoolRemoved { pool } => info!(
            target: TARGET, event = name, now_us, pool_id = pool.id, replica_id = pool.replica_id, engine = pool.engine,
            engine_version = pool.engine_version,
        ),
        Event::PoolDraining { pool, draining } => info!(
            target: TARGET, event = name, now_us, pool_id = pool.id, replica_id = pool.replica_id, engine = pool.engine,
            engine_version = pool.engine_version, draining,
        ),
        Event::RefreshRequested { pool, attempt } => debug!(
            target: TARGET, event = name, now_us, pool_id = pool.id, replica_id = pool.replica_id, engine = pool.engine,
            engine_version = pool.engine_version, attempt,
        ),
        Event::SessionEnded { session_id, cause } => {
            debug!(target: TARGET, event = name, now_us, session_id, reason = cause.name());
        }
        Event::QueueDepth { priority, engine, jobs, tokens } => debug!(
            target: TARGET, event = name, now_us, priority = priority_name(priority), engine, queue_depth = jobs,
            queue_tokens = tokens,
        ),
        Event::PoliciesChanged { placement_hash, scheduler_hash } => info!(
            target: TARGET, event = name, now_us,
            placement_hash = format_args!("{placement_hash:016x}"),
            scheduler_hash = format_args!("{scheduler_hash:016x}"),
        ),
        // What later versions add has at least its name.
        _ => debug!(target: TARGET, event = name, now_us),
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
