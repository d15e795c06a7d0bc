//! Checks of a deployment against the limits of `docs/spec.md` section 1, so that what is declared can be published.
//!
//! Each fault names the key by its path and says what to write. What one [`Fault`] cannot know is the file's name:
//! [`Fault::in_file`] adds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use orchestrator_core::ComputeCapability;
use orchestrator_core::limits::{
    BYTES_MAX, ID_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, RESIDENT_MODELS_MAX, SLOTS_MAX, TIME_LIMIT_US, TOKENS_MAX,
    WARM_SESSIONS_MAX,
};

use super::deployment::{Deployment, JobsSection, PoolOverride, Serving, TraceSection};
use super::error::ImportError;

/// What is wrong with one key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    key: String,
    problem: String,
    help: String,
}

impl Fault {
    pub(super) fn new(key: impl Into<String>, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into(), help: help.into() }
    }

    pub(super) fn in_file(self, path: &Path) -> ImportError {
        ImportError::Deployment { path: path.to_owned(), key: self.key, problem: self.problem, help: self.help }
    }
}

/// Checks a whole deployment.
pub(super) fn deployment(deployment: &Deployment) -> Result<(), Fault> {
    if deployment.version != 1 {
        let problem = format!("is {}, a version that this program does not know", deployment.version);
        return Err(Fault::new("version", problem, "write `version = 1`"));
    }
    deployment.jobs.as_ref().map_or(Ok(()), jobs)?;
    for (gpu, section) in &deployment.gpu {
        serving(&format!("gpu.\"{gpu}\""), section)?;
    }
    for (node, section) in &deployment.node {
        serving(&format!("node.\"{node}\""), section)?;
    }
    overrides(&deployment.overrides)?;
    for (name, model) in &deployment.model_alias {
        self::name(&format!("model_alias.\"{name}\""), model)?;
    }
    Ok(())
}

fn jobs(section: &JobsSection) -> Result<(), Fault> {
    optional_name("jobs.engine", section.engine.as_deref())?;
    optional_name("jobs.model", section.model.as_deref())?;
    optional_name("jobs.quantization", section.quantization.as_deref())?;
    bytes("jobs.min_vram_bytes", section.min_vram_bytes)?;
    let mut stems = BTreeSet::new();
    for (index, trace) in section.trace.iter().enumerate() {
        let key = format!("jobs.trace[{index}]");
        if !stems.insert(&trace.stem) {
            return Err(repeated(&format!("{key}.stem"), &trace.stem));
        }
        trace_section(&key, trace)?;
    }
    Ok(())
}

fn trace_section(key: &str, section: &TraceSection) -> Result<(), Fault> {
    name(&format!("{key}.stem"), &section.stem)?;
    optional_name(&format!("{key}.engine"), section.engine.as_deref())?;
    optional_name(&format!("{key}.model"), section.model.as_deref())?;
    optional_name(&format!("{key}.quantization"), section.quantization.as_deref())?;
    bytes(&format!("{key}.min_vram_bytes"), section.min_vram_bytes)
}

fn serving(key: &str, section: &Serving) -> Result<(), Fault> {
    name(&format!("{key}.engine"), &section.engine)?;
    optional_name(&format!("{key}.engine_version"), section.engine_version.as_deref())?;
    optional_name(&format!("{key}.sampler_profile_version"), section.sampler_profile_version.as_deref())?;
    optional_name(&format!("{key}.quantization"), section.quantization.as_deref())?;
    models(key, section)?;
    all_names(&format!("{key}.extensions"), &section.extensions)?;
    all_names(&format!("{key}.model_digests"), &section.model_digests)?;
    slots(&format!("{key}.slots_per_pool"), Some(section.slots_per_pool))?;
    bytes(&format!("{key}.weights_bytes"), section.weights_bytes)?;
    tokens(&format!("{key}.ctx_max"), section.ctx_max)?;
    millis(&format!("{key}.admission_latency_ms"), section.admission_latency_ms)?;
    millis(&format!("{key}.model_load_ms"), section.model_load_ms)?;
    labels(&format!("{key}.labels"), &section.labels)?;
    match section.min_compute_cap.as_deref() {
        Some(text) if !is_capability(text) => {
            let problem = format!("is `{text}`, no compute capability");
            Err(Fault::new(format!("{key}.min_compute_cap"), problem, "write it like \"8.6\""))
        }
        _ => Ok(()),
    }
}

fn models(key: &str, section: &Serving) -> Result<(), Fault> {
    if section.model.is_some() == section.models.is_some() {
        let problem = if section.model.is_some() { "stands beside `models`" } else { "is missing" };
        let help = "declare one of `model = \"…\"` and `models = [\"…\", …]`";
        return Err(Fault::new(format!("{key}.model"), problem, help));
    }
    optional_name(&format!("{key}.model"), section.model.as_deref())?;
    let list = section.models.as_deref().unwrap_or_default();
    all_names(&format!("{key}.models"), list)?;
    let resident = if section.resident == Some(true) { list.len() } else { 0 };
    at_most(&format!("{key}.models"), resident, RESIDENT_MODELS_MAX)
}

fn overrides(list: &[PoolOverride]) -> Result<(), Fault> {
    let mut pools = BTreeSet::new();
    for (index, entry) in list.iter().enumerate() {
        let key = format!("override[{index}]");
        if !pools.insert(&entry.pool) {
            return Err(repeated(&format!("{key}.pool"), &entry.pool));
        }
        pool_override(&key, entry)?;
    }
    Ok(())
}

fn pool_override(key: &str, entry: &PoolOverride) -> Result<(), Fault> {
    text(&format!("{key}.pool"), &entry.pool, ID_BYTES_MAX)?;
    slots(&format!("{key}.slots_free"), entry.slots_free)?;
    bytes(&format!("{key}.vram_free_bytes"), entry.vram_free_bytes)?;
    millis(&format!("{key}.age_ms"), entry.age_ms)?;
    let resident = entry.resident_models.as_deref().unwrap_or_default();
    at_most(&format!("{key}.resident_models"), resident.len(), RESIDENT_MODELS_MAX)?;
    all_names(&format!("{key}.resident_models"), resident)?;
    labels(&format!("{key}.labels"), &entry.labels)?;
    at_most(&format!("{key}.warm_sessions"), entry.warm_sessions.len(), WARM_SESSIONS_MAX)?;
    let mut sessions = BTreeSet::new();
    for session in &entry.warm_sessions {
        let key = format!("{key}.warm_sessions");
        text(&format!("{key}.session_id"), &session.session_id, ID_BYTES_MAX)?;
        tokens(&format!("{key}.cached_tokens"), Some(session.cached_tokens))?;
        if !sessions.insert(&session.session_id) {
            return Err(repeated(&format!("{key}.session_id"), &session.session_id));
        }
    }
    Ok(())
}

fn repeated(key: &str, value: &str) -> Fault {
    Fault::new(key, format!("is `{value}`, which an earlier entry has"), "merge the two entries")
}

fn text(key: &str, value: &str, max_bytes: usize) -> Result<(), Fault> {
    if (1..=max_bytes).contains(&value.len()) {
        return Ok(());
    }
    Err(Fault::new(key, format!("has {} bytes", value.len()), format!("write 1 to {max_bytes} bytes")))
}

fn name(key: &str, value: &str) -> Result<(), Fault> {
    text(key, value, NAME_BYTES_MAX)
}

fn optional_name(key: &str, value: Option<&str>) -> Result<(), Fault> {
    value.map_or(Ok(()), |value| name(key, value))
}

fn all_names(key: &str, values: &[String]) -> Result<(), Fault> {
    values.iter().try_for_each(|value| name(key, value))
}

fn labels(key: &str, labels: &BTreeMap<String, String>) -> Result<(), Fault> {
    at_most(key, labels.len(), LABELS_MAX)?;
    labels.iter().try_for_each(|(label, value)| {
        name(key, label)?;
        name(&format!("{key}.\"{label}\""), value)
    })
}

fn at_most(key: &str, count: usize, max: usize) -> Result<(), Fault> {
    if count <= max {
        return Ok(());
    }
    Err(Fault::new(key, format!("has {count} entries"), format!("at most {max} are allowed")))
}

fn bounded(key: &str, value: Option<u64>, max: u64) -> Result<(), Fault> {
    match value {
        Some(value) if value > max => Err(Fault::new(key, format!("is {value}"), format!("write at most {max}"))),
        _ => Ok(()),
    }
}

fn slots(key: &str, value: Option<u16>) -> Result<(), Fault> {
    bounded(key, value.map(u64::from), u64::from(SLOTS_MAX))
}

fn bytes(key: &str, value: Option<u64>) -> Result<(), Fault> {
    bounded(key, value, BYTES_MAX)
}

fn tokens(key: &str, value: Option<u32>) -> Result<(), Fault> {
    bounded(key, value.map(u64::from), u64::from(TOKENS_MAX))
}

fn millis(key: &str, value: Option<f64>) -> Result<(), Fault> {
    match value {
        Some(ms) if !is_time(ms) => {
            Err(Fault::new(key, format!("is {ms}"), "write milliseconds from 0 to 70,368,744,177 (2.2 years)"))
        }
        _ => Ok(()),
    }
}

/// Whether a number of milliseconds is a time of UNIT-1.
pub(super) fn is_time(ms: f64) -> bool {
    // 2^46 is exact in f64; NaN fails both comparisons.
    ms >= 0.0 && (ms * 1000.0 + 0.5).floor() < TIME_LIMIT_US as f64
}

/// Whether a text is a compute capability, by the core's own rule (UNIT-4).
pub(super) fn is_capability(text: &str) -> bool {
    ComputeCapability::parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_digits_below_256() {
        for good in ["8.6", "9", "10.0", "0.0", "255.255"] {
            assert!(is_capability(good), "{good}");
        }
        for bad in ["", ".", "8.", ".6", "8.6.1", "+8.6", " 8.6", "256.0", "gfx90a", "8,6"] {
            assert!(!is_capability(bad), "{bad}");
        }
    }

    #[test]
    fn times_end_before_two_to_the_46_microseconds() {
        for good in [0.0, -0.0, 1.5, 70_368_744_177.0] {
            assert!(is_time(good), "{good}");
        }
        for bad in [-1.0, f64::NAN, f64::INFINITY, 70_368_744_178.0] {
            assert!(!is_time(bad), "{bad}");
        }
    }
}
