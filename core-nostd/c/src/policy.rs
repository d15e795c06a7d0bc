//! How pools are chosen, and how jobs wait, run and end: the knobs, all of them with defaults.

use orchestrator_core::scheduler::{ClassWeights, SchedulerPolicy, SchedulerPolicySpec, WaitLimit};
use orchestrator_core::{Policy, PolicySpec, Problem, WeightsSpec};

use crate::codes::{Fault, OC_BAD_VALUE, OC_OK, oc_code};
use crate::names::{OC_DISCIPLINE_FIFO, OC_FULL_REJECT, OC_ORDER_PREDICTED_END};
use crate::names::{discipline, flags, full_policy, oc_discipline, oc_full_policy, oc_order, order};
use crate::versioned::{Out, Versioned, read};

/// Flag of `oc_placement_policy`: measured rates and times count. On by default.
pub const OC_POLICY_PERFORMANCE_AWARE: u32 = 1;
/// Flag of `oc_placement_policy`: equal pools are spread by `spread_seed`.
pub const OC_POLICY_HAS_SPREAD_SEED: u32 = 2;
/// Flag of `oc_placement_policy`: pools without a decode rate have `default_tokens_per_s`.
pub const OC_POLICY_HAS_DEFAULT_TOKENS_PER_S: u32 = 4;
/// Flag of `oc_placement_policy`: pools without a first-token time have `default_first_token_ms`.
pub const OC_POLICY_HAS_DEFAULT_FIRST_TOKEN: u32 = 8;

/// How pools are chosen. `oc_placement_policy_default` fills it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_placement_policy {
    /// `sizeof(oc_placement_policy)`, set by the caller.
    pub struct_bytes: u32,
    /// `OC_POLICY_…`.
    pub flags: u32,
    /// Which order ranks the pools.
    pub order: oc_order,
    /// Jobs that may wait in a pool without free slots: 0 (off) to 65535.
    pub pool_backlog: u32,
    /// Ends within the same 2^shift µs are equal: 0 to 46.
    pub quantum_shift: i64,
    /// With `OC_POLICY_HAS_SPREAD_SEED`.
    pub spread_seed: u64,
    /// Output tokens of a job that says nothing about them: below 2^24.
    pub default_output_tokens: i64,
    /// With `OC_POLICY_HAS_DEFAULT_TOKENS_PER_S`: tokens per second.
    pub default_tokens_per_s: f64,
    /// With `OC_POLICY_HAS_DEFAULT_FIRST_TOKEN`: milliseconds.
    pub default_first_token_ms: f64,
    /// Snapshots older than this are stale: milliseconds.
    pub stale_after_ms: f64,
    /// Weight of the admission latency in the score: 0 to 16, as the following.
    pub weight_admission: f64,
    /// Weight of a model's load time.
    pub weight_model_load: f64,
    /// Weight of the first-token time.
    pub weight_first_token: f64,
    /// Weight of the prefill.
    pub weight_prefill: f64,
    /// Weight of the decode.
    pub weight_decode: f64,
}

// SAFETY: integers and floats, the size first.
unsafe impl Versioned for oc_placement_policy {}

impl oc_placement_policy {
    pub(crate) const DEFAULT: Self = Self {
        struct_bytes: 0,
        flags: OC_POLICY_PERFORMANCE_AWARE,
        order: OC_ORDER_PREDICTED_END,
        pool_backlog: 0,
        quantum_shift: 10,
        spread_seed: 0,
        default_output_tokens: 256,
        default_tokens_per_s: 0.0,
        default_first_token_ms: 0.0,
        stale_after_ms: 30_000.0,
        weight_admission: 1.0,
        weight_model_load: 1.0,
        weight_first_token: 1.0,
        weight_prefill: 1.0,
        weight_decode: 1.0,
    };

    fn validate(&self) -> Result<Policy, Fault> {
        const KNOWN: u32 = OC_POLICY_PERFORMANCE_AWARE
            | OC_POLICY_HAS_SPREAD_SEED
            | OC_POLICY_HAS_DEFAULT_TOKENS_PER_S
            | OC_POLICY_HAS_DEFAULT_FIRST_TOKEN;
        let flags = flags(self.flags, KNOWN)?;
        let has = |flag: u32| flags & flag != 0;
        let spec = PolicySpec {
            order: order(self.order)?,
            quantum_shift: self.quantum_shift,
            performance_aware: has(OC_POLICY_PERFORMANCE_AWARE),
            spread_seed: has(OC_POLICY_HAS_SPREAD_SEED).then_some(self.spread_seed),
            default_output_tokens: self.default_output_tokens,
            default_tokens_per_s: has(OC_POLICY_HAS_DEFAULT_TOKENS_PER_S).then_some(self.default_tokens_per_s),
            default_first_token_ms: has(OC_POLICY_HAS_DEFAULT_FIRST_TOKEN).then_some(self.default_first_token_ms),
            stale_after_ms: self.stale_after_ms,
            pool_backlog: self.pool_backlog.into(),
            weights: WeightsSpec {
                admission: self.weight_admission,
                model_load: self.weight_model_load,
                first_token: self.weight_first_token,
                prefill: self.weight_prefill,
                decode: self.weight_decode,
            },
            // Of sequential placement, which this interface does not do: sessions are the scheduler's.
            ..PolicySpec::default()
        };
        Ok(spec.validate()?)
    }
}

/// Flag of `oc_scheduler_policy`: a batch newcomer may evict an interactive job.
pub const OC_POLICY_STRICT_UPSTREAM: u32 = 1;
/// Flag of `oc_scheduler_policy`: classes are served by weight; without it interactive jobs always go first.
pub const OC_POLICY_HAS_CLASS_WEIGHTS: u32 = 2;
/// Flag of `oc_scheduler_policy`: a job that waited `promote_after_ms` goes before all others.
pub const OC_POLICY_HAS_PROMOTE_AFTER: u32 = 4;

/// How jobs wait, run and end. `oc_scheduler_policy_default` fills it. Times are in milliseconds.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_scheduler_policy {
    /// `sizeof(oc_scheduler_policy)`, set by the caller.
    pub struct_bytes: u32,
    /// `OC_POLICY_…`.
    pub flags: u32,
    /// What happens when the queue is full.
    pub full: oc_full_policy,
    /// In which order a class is served.
    pub discipline: oc_discipline,
    /// Jobs that may wait in all; the queue's own room is a limit beside it.
    pub queue_jobs: u32,
    /// Interactive ones among them.
    pub queue_interactive_jobs: u32,
    /// Batch ones among them.
    pub queue_batch_jobs: u32,
    /// With `OC_POLICY_HAS_CLASS_WEIGHTS`: 1 to 65535.
    pub weight_interactive: u32,
    /// With `OC_POLICY_HAS_CLASS_WEIGHTS`: 1 to 65535.
    pub weight_batch: u32,
    /// From how full a queue on batch jobs are shed: percent, 0 to 100.
    pub shed_above_percent: u32,
    /// Their tokens in all: below 2^48, as the following two.
    pub queue_tokens: u64,
    /// Tokens of the interactive ones.
    pub queue_interactive_tokens: u64,
    /// Tokens of the batch ones.
    pub queue_batch_tokens: u64,
    /// Tokens of one tenant's turn: 1 to 2^24 - 1.
    pub tenant_quantum_tokens: i64,
    /// With `OC_POLICY_HAS_PROMOTE_AFTER`.
    pub promote_after_ms: f64,
    /// A job waits no longer; 0 is no limit.
    pub queue_ttl_ms: f64,
    /// Jobs that one pass over the queue may pass over: 1 to 65535.
    pub scan_limit: i64,
    /// How often a job may be overtaken: 1 to 2^32 - 1.
    pub overtakes_max: i64,
    /// Tokens of one job.
    pub max_job_tokens: i64,
    /// Context of one job, in tokens.
    pub max_context_tokens: i64,
    /// The shortest time to try again after, in milliseconds.
    pub retry_floor_ms: i64,
    /// The longest.
    pub retry_cap_ms: i64,
    /// A job that is dispatched starts within it; 0 is no limit, as for the following two.
    pub start_timeout_ms: f64,
    /// A job runs no longer.
    pub wall_limit_ms: f64,
    /// A job is silent no longer.
    pub idle_limit_ms: f64,
    /// A session without jobs is kept as long; 0 is no limit.
    pub session_ttl_ms: f64,
    /// A pool that said nothing for as long is asked for its state.
    pub refresh_after_ms: f64,
    /// The second time after as long, then twice as long each time.
    pub refresh_base_ms: f64,
    /// But no longer than this.
    pub refresh_cap_ms: f64,
    /// How much a pending prefill counts against its pool: 0 (not at all) to 255.
    pub prefill_weight: i64,
}

// SAFETY: integers and floats, the size first.
unsafe impl Versioned for oc_scheduler_policy {}

impl oc_scheduler_policy {
    pub(crate) const DEFAULT: Self = Self {
        struct_bytes: 0,
        flags: 0,
        full: OC_FULL_REJECT,
        discipline: OC_DISCIPLINE_FIFO,
        queue_jobs: WaitLimit::NONE.jobs,
        queue_interactive_jobs: WaitLimit::NONE.jobs,
        queue_batch_jobs: WaitLimit::NONE.jobs,
        weight_interactive: 8,
        weight_batch: 1,
        shed_above_percent: 75,
        queue_tokens: WaitLimit::NONE.tokens,
        queue_interactive_tokens: WaitLimit::NONE.tokens,
        queue_batch_tokens: WaitLimit::NONE.tokens,
        tenant_quantum_tokens: 4_096,
        promote_after_ms: 0.0,
        queue_ttl_ms: 300_000.0,
        scan_limit: 256,
        overtakes_max: 1_024,
        max_job_tokens: 33_554_430,
        max_context_tokens: 33_554_430,
        retry_floor_ms: 1_000,
        retry_cap_ms: 60_000,
        start_timeout_ms: 60_000.0,
        wall_limit_ms: 1_800_000.0,
        idle_limit_ms: 60_000.0,
        session_ttl_ms: 600_000.0,
        refresh_after_ms: 15_000.0,
        refresh_base_ms: 1_000.0,
        refresh_cap_ms: 60_000.0,
        prefill_weight: 32,
    };

    fn validate(&self) -> Result<SchedulerPolicy, Fault> {
        const KNOWN: u32 = OC_POLICY_STRICT_UPSTREAM | OC_POLICY_HAS_CLASS_WEIGHTS | OC_POLICY_HAS_PROMOTE_AFTER;
        let flags = flags(self.flags, KNOWN)?;
        let has = |flag: u32| flags & flag != 0;
        let weights = ClassWeights { interactive: weight(self.weight_interactive)?, batch: weight(self.weight_batch)? };
        let limit = |jobs, tokens| WaitLimit { jobs, tokens };
        let spec = SchedulerPolicySpec {
            queue_total: limit(self.queue_jobs, self.queue_tokens),
            queue_interactive: limit(self.queue_interactive_jobs, self.queue_interactive_tokens),
            queue_batch: limit(self.queue_batch_jobs, self.queue_batch_tokens),
            full: full_policy(self.full)?,
            strict_upstream: has(OC_POLICY_STRICT_UPSTREAM),
            shed_above_percent: self.shed_above_percent.into(),
            discipline: discipline(self.discipline)?,
            class_weights: has(OC_POLICY_HAS_CLASS_WEIGHTS).then_some(weights),
            tenant_quantum_tokens: self.tenant_quantum_tokens,
            promote_after_ms: has(OC_POLICY_HAS_PROMOTE_AFTER).then_some(self.promote_after_ms),
            queue_ttl_ms: self.queue_ttl_ms,
            scan_limit: self.scan_limit,
            overtakes_max: self.overtakes_max,
            max_job_tokens: self.max_job_tokens,
            max_context_tokens: self.max_context_tokens,
            retry_floor_ms: self.retry_floor_ms,
            retry_cap_ms: self.retry_cap_ms,
            start_timeout_ms: self.start_timeout_ms,
            wall_limit_ms: self.wall_limit_ms,
            idle_limit_ms: self.idle_limit_ms,
            session_ttl_ms: self.session_ttl_ms,
            refresh_after_ms: self.refresh_after_ms,
            refresh_base_ms: self.refresh_base_ms,
            refresh_cap_ms: self.refresh_cap_ms,
            prefill_weight: self.prefill_weight,
        };
        Ok(spec.validate()?)
    }
}

fn weight(weight: u32) -> Result<u16, Fault> {
    let too_large = Problem::TooLarge { max: u16::MAX.into() };
    u16::try_from(weight).map_err(|_| Fault::field(OC_BAD_VALUE, "queue.class_weights", too_large))
}

/// The policy that a caller points to, or the default where the pointer is null.
///
/// # Safety
/// As [`read`].
pub(crate) unsafe fn placement_policy(policy: *const oc_placement_policy) -> Result<Policy, Fault> {
    if policy.is_null() {
        return Ok(Policy::default());
    }
    // SAFETY: the caller's promise.
    unsafe { read(policy, oc_placement_policy::DEFAULT) }?.validate()
}

/// As [`placement_policy`].
///
/// # Safety
/// As [`read`].
pub(crate) unsafe fn scheduler_policy(policy: *const oc_scheduler_policy) -> Result<SchedulerPolicy, Fault> {
    if policy.is_null() {
        return Ok(SchedulerPolicy::default());
    }
    // SAFETY: the caller's promise.
    unsafe { read(policy, oc_scheduler_policy::DEFAULT) }?.validate()
}

/// Fills a policy, of which the caller has set `struct_bytes`, with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_placement_policy_default(policy: *mut oc_placement_policy) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    let out = unsafe { Out::new(policy) };
    out.map_or_else(
        |fault| fault.code,
        |out| {
            out.put(&oc_placement_policy::DEFAULT);
            OC_OK
        },
    )
}

/// Fills a policy, of which the caller has set `struct_bytes`, with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_scheduler_policy_default(policy: *mut oc_scheduler_policy) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    let out = unsafe { Out::new(policy) };
    out.map_or_else(
        |fault| fault.code,
        |out| {
            out.put(&oc_scheduler_policy::DEFAULT);
            OC_OK
        },
    )
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Order;
    use orchestrator_core::scheduler::{Discipline, FullPolicy};

    use super::*;

    #[test]
    fn defaults_are_those_of_the_core() {
        assert_eq!(oc_placement_policy::DEFAULT.validate(), Ok(Policy::default()));
        assert_eq!(oc_scheduler_policy::DEFAULT.validate(), Ok(SchedulerPolicy::default()));
    }

    #[test]
    fn every_knob_is_where_it_belongs() {
        let policy = oc_placement_policy {
            struct_bytes: 0,
            flags: 15,
            order: 1,
            pool_backlog: 2,
            quantum_shift: 3,
            spread_seed: 4,
            default_output_tokens: 5,
            default_tokens_per_s: 6.0,
            default_first_token_ms: 7.0,
            stale_after_ms: 8.0,
            weight_admission: 9.0,
            weight_model_load: 10.0,
            weight_first_token: 11.0,
            weight_prefill: 12.0,
            weight_decode: 13.0,
        };
        let weights = WeightsSpec { admission: 9.0, model_load: 10.0, first_token: 11.0, prefill: 12.0, decode: 13.0 };
        let spec = PolicySpec {
            order: Order::VramFirst,
            quantum_shift: 3,
            performance_aware: true,
            spread_seed: Some(4),
            default_output_tokens: 5,
            default_tokens_per_s: Some(6.0),
            default_first_token_ms: Some(7.0),
            stale_after_ms: 8.0,
            pool_backlog: 2,
            weights,
            ..PolicySpec::default()
        };
        assert_eq!(policy.validate(), Ok(spec.validate().unwrap()));
    }

    #[test]
    fn every_rule_is_where_it_belongs() {
        let policy = oc_scheduler_policy {
            struct_bytes: 0,
            flags: 7,
            full: 1,
            discipline: 2,
            queue_jobs: 3,
            queue_interactive_jobs: 4,
            queue_batch_jobs: 5,
            weight_interactive: 6,
            weight_batch: 7,
            shed_above_percent: 8,
            queue_tokens: 9,
            queue_interactive_tokens: 10,
            queue_batch_tokens: 11,
            tenant_quantum_tokens: 12,
            promote_after_ms: 13.0,
            queue_ttl_ms: 14.0,
            scan_limit: 15,
            overtakes_max: 16,
            max_job_tokens: 17,
            max_context_tokens: 18,
            retry_floor_ms: 19,
            retry_cap_ms: 20,
            start_timeout_ms: 21.0,
            wall_limit_ms: 22.0,
            idle_limit_ms: 23.0,
            session_ttl_ms: 24.0,
            refresh_after_ms: 25.0,
            refresh_base_ms: 26.0,
            refresh_cap_ms: 27.0,
            prefill_weight: 28,
        };
        let spec = SchedulerPolicySpec {
            queue_total: WaitLimit { jobs: 3, tokens: 9 },
            queue_interactive: WaitLimit { jobs: 4, tokens: 10 },
            queue_batch: WaitLimit { jobs: 5, tokens: 11 },
            full: FullPolicy::DropLru,
            strict_upstream: true,
            shed_above_percent: 8,
            discipline: Discipline::FairTenants,
            class_weights: Some(ClassWeights { interactive: 6, batch: 7 }),
            tenant_quantum_tokens: 12,
            promote_after_ms: Some(13.0),
            queue_ttl_ms: 14.0,
            scan_limit: 15,
            overtakes_max: 16,
            max_job_tokens: 17,
            max_context_tokens: 18,
            retry_floor_ms: 19,
            retry_cap_ms: 20,
            start_timeout_ms: 21.0,
            wall_limit_ms: 22.0,
            idle_limit_ms: 23.0,
            session_ttl_ms: 24.0,
            refresh_after_ms: 25.0,
            refresh_base_ms: 26.0,
            refresh_cap_ms: 27.0,
            prefill_weight: 28,
        };
        assert_eq!(policy.validate(), Ok(spec.validate().unwrap()));
    }

    #[test]
    fn knobs_outside_their_range_are_named() {
        let refused = |policy: oc_scheduler_policy| policy.validate().unwrap_err().problem.unwrap().field;
        let default = oc_scheduler_policy::DEFAULT;
        assert_eq!(refused(oc_scheduler_policy { scan_limit: 0, ..default }), "queue.scan_limit");
        assert_eq!(refused(oc_scheduler_policy { weight_batch: 65_536, ..default }), "queue.class_weights");
        assert_eq!(refused(oc_scheduler_policy { flags: 8, ..default }), "flags");
        assert_eq!(refused(oc_scheduler_policy { full: 3, ..default }), "queue.policy");
        assert_eq!(refused(oc_scheduler_policy { discipline: 3, ..default }), "queue.discipline");
        let placement = oc_placement_policy { order: 2, ..oc_placement_policy::DEFAULT };
        assert_eq!(placement.validate().unwrap_err().problem.unwrap().field, "order");
    }
}
