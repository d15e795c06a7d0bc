//! `orchestrator capabilities`: what this build is and what it takes, for programs. FR-DV-001, FR-DV-002.

use std::io::{self, Write};

use orchestrator_core::{Order, PolicySpec, Reason, Rejection, SCHEMA_VERSION, SEMANTICS_VERSION, limits};
use serde_json::{Value, json};

use super::{Completion, Failure};
use crate::batch::BackendName;
use crate::place::Mode;

// SEMANTICS_VERSION stands in a text that must be a constant; the test below holds the two together.
/// `-V`.
pub(super) const SHORT_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (semantics 1)");

/// `--version`.
pub(super) const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nsemantics 1, schema 1",
    "\ncommit ",
    env!("ORCHESTRATOR_GIT_COMMIT"),
    "\ntarget ",
    env!("ORCHESTRATOR_TARGET"),
    " (",
    env!("ORCHESTRATOR_PROFILE"),
    ", ",
    env!("ORCHESTRATOR_RUSTC"),
    ")"
);

pub(super) fn run() -> Result<Completion, Failure> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, &document()).map_err(io::Error::from)?;
    writeln!(stdout)?;
    Ok(Completion::Fine)
}

fn document() -> Value {
    json!({
        "versions": {
            "crate": env!("CARGO_PKG_VERSION"),
            "semantics": SEMANTICS_VERSION,
            "schema": SCHEMA_VERSION,
            "commit": env!("ORCHESTRATOR_GIT_COMMIT"),
            "target": env!("ORCHESTRATOR_TARGET"),
        },
        "modes": Mode::ALL.map(Mode::name),
        "orders": Order::ALL.map(Order::name),
        "backends": BackendName::ALL.into_iter().filter(|name| name.is_built()).map(BackendName::name).collect::<Vec<_>>(),
        "reasons": Rejection::ALL.map(|rejection| json!({
            "stage": rejection.stage(),
            "reason": rejection.reason().name(),
            "detail": rejection.detail(),
            "retryable": rejection.reason().is_retryable(),
        })),
        "no_pools": { "stage": Reason::NoPools.stage(), "retryable": Reason::NoPools.is_retryable() },
        "policy": policy_document(),
        "limits": limits_document(),
    })
}

/// The knobs of POLICY-1 with their ranges and defaults.
fn policy_document() -> Value {
    let default = PolicySpec::default();
    let weight = |value: f64| json!({ "default": value, "min": 0, "max": limits::WEIGHT_256_MAX / 256 });
    json!({
        "order": { "default": default.order.name(), "values": Order::ALL.map(Order::name) },
        "quantum_shift": { "default": default.quantum_shift, "min": 0, "max": limits::QUANTUM_SHIFT_MAX },
        "performance_aware": { "default": default.performance_aware },
        "spread_seed": {
            "default": default.spread_seed, "min": 0, "max": u64::MAX,
            "note": "above 9223372036854775807 as text: \"18446744073709551615\" or \"0xffffffffffffffff\"",
        },
        "default_output_tokens": {
            "default": default.default_output_tokens, "min": 0, "max": limits::TOKENS_MAX,
        },
        "default_tokens_per_s": { "default": default.default_tokens_per_s },
        "default_first_token_ms": { "default": default.default_first_token_ms },
        "stale_after_ms": { "default": default.stale_after_ms },
        "session_capacity": {
            "default": default.session_capacity, "min": 0, "max": limits::SESSION_CAPACITY_MAX,
        },
        "pool_backlog": {
            "default": default.pool_backlog, "min": 0, "max": limits::POOL_BACKLOG_MAX,
        },
        "weights": {
            "admission": weight(default.weights.admission),
            "model_load": weight(default.weights.model_load),
            "first_token": weight(default.weights.first_token),
            "prefill": weight(default.weights.prefill),
            "decode": weight(default.weights.decode),
        },
    })
}

fn limits_document() -> Value {
    json!({
        "time_us_max": limits::TIME_MAX_US,
        "bytes_max": limits::BYTES_MAX,
        "tokens_max": limits::TOKENS_MAX,
        "slots_max": limits::SLOTS_MAX,
        "id_bytes_max": limits::ID_BYTES_MAX,
        "name_bytes_max": limits::NAME_BYTES_MAX,
        "devices_per_pool_max": limits::DEVICES_MAX,
        "device_id_max": limits::DEVICE_ID_LIMIT - 1,
        "split_degree_max": limits::SPLIT_DEGREE_MAX,
        "warm_sessions_per_pool_max": limits::WARM_SESSIONS_MAX,
        "labels_per_pool_max": limits::LABELS_MAX,
        "resident_models_per_pool_max": limits::RESIDENT_MODELS_MAX,
        "hints_per_job_max": limits::HINTS_MAX,
        "quantizations_per_fleet_max": limits::QUANTIZATIONS_MAX,
        "extensions_per_fleet_max": limits::EXTENSIONS_MAX,
        "engines_per_fleet_max": limits::ENGINES_MAX,
        "models_per_fleet_max": limits::MODELS_MAX,
        "pools_per_fleet_max": limits::POOLS_MAX,
        "session_capacity_max": limits::SESSION_CAPACITY_MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_text_names_the_semantics() {
        let semantics = format!("semantics {SEMANTICS_VERSION}");
        assert!(SHORT_VERSION.contains(&semantics));
        assert!(LONG_VERSION.contains(&format!("{semantics}, schema {SCHEMA_VERSION}")));
    }
}
