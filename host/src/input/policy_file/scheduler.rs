//! The tables `queue`, `admission`, `lease`, `session` and `refresh`.

use orchestrator_core::scheduler::{ClassWeights, Discipline, FullPolicy, SchedulerPolicySpec, WaitLimit};
use toml::Value;

use super::PolicyFileError;
use super::knobs::Knobs;
use super::values::{float, integer, narrow};

impl Knobs<'_> {
    pub(super) fn scheduler_spec(&self) -> Result<SchedulerPolicySpec, PolicyFileError> {
        let defaults = SchedulerPolicySpec::default();
        Ok(SchedulerPolicySpec {
            start_timeout_ms: self.float_or("lease.start_timeout_ms", defaults.start_timeout_ms)?,
            wall_limit_ms: self.float_or("lease.wall_limit_ms", defaults.wall_limit_ms)?,
            idle_limit_ms: self.float_or("lease.idle_limit_ms", defaults.idle_limit_ms)?,
            prefill_weight: self.integer_or("lease.prefill_weight", defaults.prefill_weight)?,
            session_ttl_ms: self.float_or("session.ttl_ms", defaults.session_ttl_ms)?,
            refresh_after_ms: self.float_or("refresh.after_ms", defaults.refresh_after_ms)?,
            refresh_base_ms: self.float_or("refresh.base_ms", defaults.refresh_base_ms)?,
            refresh_cap_ms: self.float_or("refresh.cap_ms", defaults.refresh_cap_ms)?,
            ..self.queue(self.admission(defaults)?)?
        })
    }

    fn admission(&self, defaults: SchedulerPolicySpec) -> Result<SchedulerPolicySpec, PolicyFileError> {
        Ok(SchedulerPolicySpec {
            max_job_tokens: self.integer_or("admission.max_job_tokens", defaults.max_job_tokens)?,
            max_context_tokens: self.integer_or("admission.max_context_tokens", defaults.max_context_tokens)?,
            retry_floor_ms: self.integer_or("admission.retry_floor_ms", defaults.retry_floor_ms)?,
            retry_cap_ms: self.integer_or("admission.retry_cap_ms", defaults.retry_cap_ms)?,
            ..defaults
        })
    }

    fn queue(&self, defaults: SchedulerPolicySpec) -> Result<SchedulerPolicySpec, PolicyFileError> {
        Ok(SchedulerPolicySpec {
            queue_total: self.limit("queue.max_jobs", "queue.max_tokens")?,
            queue_interactive: self.limit("queue.interactive.max_jobs", "queue.interactive.max_tokens")?,
            queue_batch: self.limit("queue.batch.max_jobs", "queue.batch.max_tokens")?,
            full: self.typed("queue.policy", full_policy)?.unwrap_or(defaults.full),
            strict_upstream: self.typed("queue.strict_upstream", Value::as_bool)?.unwrap_or(defaults.strict_upstream),
            shed_above_percent: self.integer_or("queue.shed_above_percent", defaults.shed_above_percent)?,
            discipline: self.typed("queue.discipline", discipline)?.unwrap_or(defaults.discipline),
            class_weights: self.class_weights()?,
            tenant_quantum_tokens: self.integer_or("queue.tenant_quantum_tokens", defaults.tenant_quantum_tokens)?,
            promote_after_ms: self.typed("queue.promote_after_ms", float)?,
            queue_ttl_ms: self.float_or("queue.ttl_ms", defaults.queue_ttl_ms)?,
            scan_limit: self.integer_or("queue.scan_limit", defaults.scan_limit)?,
            overtakes_max: self.integer_or("queue.overtakes_max", defaults.overtakes_max)?,
            ..defaults
        })
    }

    /// Limits of jobs and tokens. QUEUE-3.
    fn limit(&self, jobs: &'static str, tokens: &'static str) -> Result<WaitLimit, PolicyFileError> {
        Ok(WaitLimit {
            jobs: self.typed(jobs, narrow)?.unwrap_or(WaitLimit::NONE.jobs),
            tokens: self.typed(tokens, narrow)?.unwrap_or(WaitLimit::NONE.tokens),
        })
    }

    /// Turns of the classes, where there is a table of them. QUEUE-8.
    fn class_weights(&self) -> Result<Option<ClassWeights>, PolicyFileError> {
        if self.get("queue.class_weights").is_none() {
            return Ok(None);
        }
        let defaults = ClassWeights::default();
        let turns = |value: &Value| narrow(value).filter(|&turns: &u16| turns > 0);
        Ok(Some(ClassWeights {
            interactive: self.typed("queue.class_weights.interactive", turns)?.unwrap_or(defaults.interactive),
            batch: self.typed("queue.class_weights.batch", turns)?.unwrap_or(defaults.batch),
        }))
    }

    fn integer_or(&self, key: &'static str, default: i64) -> Result<i64, PolicyFileError> {
        Ok(self.typed(key, integer)?.unwrap_or(default))
    }

    fn float_or(&self, key: &'static str, default: f64) -> Result<f64, PolicyFileError> {
        Ok(self.typed(key, float)?.unwrap_or(default))
    }
}

fn full_policy(value: &Value) -> Option<FullPolicy> {
    let label = value.as_str()?;
    FullPolicy::ALL.into_iter().find(|policy| policy.label() == label)
}

fn discipline(value: &Value) -> Option<Discipline> {
    let name = value.as_str()?;
    Discipline::ALL.into_iter().find(|discipline| discipline.name() == name)
}
