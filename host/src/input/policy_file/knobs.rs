//! Every key of a policy file and what it takes; access by dotted path; the placement part. POLICY-1.

use std::path::Path;

use orchestrator_core::{PolicySpec, SCHEMA_VERSION, WeightsSpec};
use toml::{Table, Value};

use super::PolicyFileError;
use super::values::{float, integer, order, seed, shown};
use crate::input::row_error::path_text;

/// Every key by its dotted path, and what it takes. A key with keys below it is a table.
pub(super) const KNOBS: [(&str, &str); 58] = [
    ("version", "1"),
    ("order", "\"predicted-end\" or \"vram-first\""),
    ("quantum_shift", "an integer from 0 to 46"),
    ("performance_aware", A_BOOLEAN),
    ("spread_seed", "an integer from 0 to 2^63 - 1, or a text with a decimal or 0x number of 64 bits"),
    ("default_output_tokens", "an integer from 0 to 16777215"),
    ("default_tokens_per_s", "a number from 0 to 4294967.295"),
    ("default_first_token_ms", MILLISECONDS),
    ("stale_after_ms", MILLISECONDS),
    ("session_capacity", "an integer from 0 to 16777216"),
    ("pool_backlog", "an integer from 0 to 65535"),
    ("weights", "a table of admission, model_load, first_token, prefill, decode"),
    ("weights.admission", A_WEIGHT),
    ("weights.model_load", A_WEIGHT),
    ("weights.first_token", A_WEIGHT),
    ("weights.prefill", A_WEIGHT),
    ("weights.decode", A_WEIGHT),
    ("queue", "a table of knobs such as max_jobs"),
    ("queue.max_jobs", JOBS),
    ("queue.max_tokens", TOKENS),
    ("queue.policy", "\"reject\", \"drop-lru\" or \"shed-low-priority\""),
    ("queue.strict_upstream", A_BOOLEAN),
    ("queue.shed_above_percent", "an integer from 0 to 100"),
    ("queue.discipline", "\"fifo\", \"earliest-deadline\" or \"fair-tenants\""),
    ("queue.tenant_quantum_tokens", "an integer from 1 to 16777215"),
    ("queue.promote_after_ms", MILLISECONDS),
    ("queue.ttl_ms", MILLISECONDS),
    ("queue.scan_limit", "an integer from 1 to 65535"),
    ("queue.overtakes_max", "an integer from 1 to 4294967295"),
    ("queue.interactive", "a table of max_jobs, max_tokens"),
    ("queue.interactive.max_jobs", JOBS),
    ("queue.interactive.max_tokens", TOKENS),
    ("queue.batch", "a table of max_jobs, max_tokens"),
    ("queue.batch.max_jobs", JOBS),
    ("queue.batch.max_tokens", TOKENS),
    ("queue.class_weights", "a table of interactive, batch"),
    ("queue.class_weights.interactive", TURNS),
    ("queue.class_weights.batch", TURNS),
    ("admission", "a table of max_job_tokens, max_context_tokens, retry_floor_ms, retry_cap_ms"),
    ("admission.max_job_tokens", "an integer from 0 to 33554430"),
    ("admission.max_context_tokens", "an integer from 0 to 33554430"),
    ("admission.retry_floor_ms", "an integer from 0 to 86400000"),
    ("admission.retry_cap_ms", "an integer from 0 to 86400000, not below admission.retry_floor_ms"),
    ("lease", "a table of start_timeout_ms, wall_limit_ms, idle_limit_ms, prefill_weight"),
    ("lease.start_timeout_ms", MILLISECONDS),
    ("lease.wall_limit_ms", MILLISECONDS),
    ("lease.idle_limit_ms", MILLISECONDS),
    ("lease.prefill_weight", "an integer from 0 to 255"),
    ("session", "a table of ttl_ms"),
    ("session.ttl_ms", MILLISECONDS),
    ("refresh", "a table of after_ms, base_ms, cap_ms"),
    ("refresh.after_ms", MILLISECONDS),
    ("refresh.base_ms", MILLISECONDS),
    ("refresh.cap_ms", "milliseconds, a number from 0 to 70368744177.663, not below refresh.base_ms"),
    ("price", "a list of tables, [[price]], of engine, model, micros_per_1000_tokens; an engine and model once"),
    ("price.engine", A_NAME),
    ("price.model", A_NAME),
    ("price.micros_per_1000_tokens", "an integer from 0 to 4294967295, and must be there"),
];

const A_WEIGHT: &str = "a number from 0 to 16";
const A_BOOLEAN: &str = "true or false";
const MILLISECONDS: &str = "milliseconds, a number from 0 to 70368744177.663";
const JOBS: &str = "an integer from 0 to 4294967295";
const TOKENS: &str = "an integer from 0 to 281474976710655";
const TURNS: &str = "an integer from 1 to 65535";
const A_NAME: &str = "a text of 1 to 128 bytes";

/// The keys directly below a table; of the empty path, the outermost ones.
fn keys_below(path: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    KNOBS.iter().filter_map(move |&(knob, _)| {
        let below = if path.is_empty() { knob } else { knob.strip_prefix(path)?.strip_prefix('.')? };
        (!below.contains('.')).then_some((knob, below))
    })
}

/// The keys of a policy file.
#[derive(Clone, Copy)]
pub(super) struct Knobs<'a> {
    pub(super) table: &'a Table,
    pub(super) path: &'a Path,
}

impl Knobs<'_> {
    /// Whether every key is a knob, and every table a table.
    pub(super) fn check_keys(&self) -> Result<(), PolicyFileError> {
        self.check_table("", self.table)
    }

    fn check_table(&self, path: &'static str, table: &Table) -> Result<(), PolicyFileError> {
        for (key, value) in table {
            let (knob, _) = keys_below(path).find(|(_, below)| below == key).ok_or_else(|| self.unknown(path, key))?;
            if keys_below(knob).next().is_some() {
                self.check_tables(knob, value)?;
            }
        }
        Ok(())
    }

    /// A table, or where it is about prices a list of them.
    fn check_tables(&self, knob: &'static str, value: &Value) -> Result<(), PolicyFileError> {
        match value {
            Value::Table(table) if knob != "price" => self.check_table(knob, table),
            Value::Array(list) if knob == "price" => list.iter().try_for_each(|entry| match entry {
                Value::Table(table) => self.check_table(knob, table),
                _ => Err(self.refused_value(knob, Some(entry))),
            }),
            _ => Err(self.refused(knob)),
        }
    }

    fn unknown(&self, parent: &'static str, key: &str) -> PolicyFileError {
        let known: Vec<_> = keys_below(parent).map(|(knob, _)| knob).collect();
        PolicyFileError::UnknownKey { path: self.path.to_owned(), key: path_text(parent, key), known: known.join(", ") }
    }

    /// The error that `key` does not take its value.
    pub(super) fn refused(&self, key: &'static str) -> PolicyFileError {
        self.refused_value(key, self.get(key))
    }

    /// The same, of a value that stands in a list.
    pub(super) fn refused_value(&self, key: &'static str, value: Option<&Value>) -> PolicyFileError {
        let allowed = KNOBS.iter().find(|(name, _)| *name == key).map_or("", |(_, allowed)| allowed);
        // An absent key is at fault where its default does not go with another value.
        let found = value.map_or_else(|| "absent".to_owned(), shown);
        PolicyFileError::Value { path: self.path.to_owned(), key, found, allowed }
    }

    /// The value at a dotted path.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let mut parts = key.split('.');
        let first = self.table.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    pub(super) fn typed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, PolicyFileError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => parse(value).map(Some).ok_or_else(|| self.refused(key)),
        }
    }

    pub(super) fn placement_spec(&self) -> Result<PolicySpec, PolicyFileError> {
        let defaults = PolicySpec::default();
        let version = |value: &Value| (integer(value)? == i64::from(SCHEMA_VERSION)).then_some(());
        self.typed("version", version)?;
        Ok(PolicySpec {
            order: self.typed("order", order)?.unwrap_or(defaults.order),
            quantum_shift: self.typed("quantum_shift", integer)?.unwrap_or(defaults.quantum_shift),
            performance_aware: self.typed("performance_aware", Value::as_bool)?.unwrap_or(defaults.performance_aware),
            spread_seed: self.typed("spread_seed", seed)?,
            default_output_tokens: self
                .typed("default_output_tokens", integer)?
                .unwrap_or(defaults.default_output_tokens),
            default_tokens_per_s: self.typed("default_tokens_per_s", float)?,
            default_first_token_ms: self.typed("default_first_token_ms", float)?,
            stale_after_ms: self.typed("stale_after_ms", float)?.unwrap_or(defaults.stale_after_ms),
            session_capacity: self.typed("session_capacity", integer)?.unwrap_or(defaults.session_capacity),
            pool_backlog: self.typed("pool_backlog", integer)?.unwrap_or(defaults.pool_backlog),
            weights: self.weights()?,
        })
    }

    fn weights(&self) -> Result<WeightsSpec, PolicyFileError> {
        let weight = |key| Ok(self.typed(key, float)?.unwrap_or(1.0));
        Ok(WeightsSpec {
            admission: weight("weights.admission")?,
            model_load: weight("weights.model_load")?,
            first_token: weight("weights.first_token")?,
            prefill: weight("weights.prefill")?,
            decode: weight("weights.decode")?,
        })
    }
}
