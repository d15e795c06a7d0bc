//! One pool as a fleet file has it, and how it follows from a node, its section of the deployment and measured facts.
//!
//! Pure: no file is touched here. What is `None` is not written, so that unknown stays unknown.

use std::collections::BTreeMap;

use orchestrator_core::limits::LABELS_MAX;
use serde::Serialize;

use super::check::Fault;
use super::deployment::{DeclaredSession, PoolOverride, Serving};

/// A pool of `docs/spec.md` section 2, its fields in the order of the table there.
#[derive(Debug, Serialize)]
pub(super) struct Pool<'a> {
    pub(super) id: String,
    engine: &'a str,
    slots_total: u16,
    slots_free: u16,
    vram_total_bytes: u64,
    vram_free_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampler_profile_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_capability: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    perf_tokens_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admission_latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_load_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_depth: Option<u32>,
    supports: Supports<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_models: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<Device>,
    device_mask: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warm_sessions: &'a [DeclaredSession],
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    draining: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Supports<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    quantizations: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    extensions: &'a [String],
    models: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    model_digests: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    ctx_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_compute_cap: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Device {
    vram_total_bytes: u64,
    vram_free_bytes: u64,
}

/// The GPUs of a node that make one pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct GpuRange {
    /// The first of them, as the node numbers its GPUs.
    pub(super) first: u64,
    /// How many.
    pub(super) count: u64,
    /// Whether they are published one by one: a pool of several GPUs, or of all of a node's.
    pub(super) as_devices: bool,
}

/// Facts of a pool that come from tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) vram_bytes_per_gpu: u64,
    pub(super) compute_capability: Option<&'a str>,
    pub(super) tokens_per_s: Option<f64>,
    pub(super) first_token_ms: Option<f64>,
}

impl<'a> Pool<'a> {
    /// The pool on some GPUs of a node, idle and healthy. The caller has checked that the weights fit.
    pub(super) fn idle(id: String, serving: &'a Serving, gpus: GpuRange, facts: Facts<'a>) -> Self {
        let models = serving.served_models();
        let mut pool = Self {
            id,
            engine: &serving.engine,
            slots_total: serving.slots_per_pool,
            slots_free: serving.slots_per_pool,
            vram_total_bytes: facts.vram_bytes_per_gpu * gpus.count,
            vram_free_bytes: 0,
            engine_version: serving.engine_version.as_deref(),
            sampler_profile_version: serving.sampler_profile_version.as_deref(),
            compute_capability: facts.compute_capability,
            perf_tokens_per_s: facts.tokens_per_s,
            first_token_ms: facts.first_token_ms,
            admission_latency_ms: serving.admission_latency_ms,
            model_load_ms: serving.model_load_ms,
            age_ms: None,
            queue_depth: None,
            resident_models: serving.resident.map(|resident| if resident { models.clone() } else { Vec::new() }),
            supports: supports(serving, models),
            devices: Vec::new(),
            device_mask: mask(gpus),
            labels: serving.labels.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect(),
            warm_sessions: &[],
            ready: None,
            draining: None,
        };
        if gpus.as_devices {
            let devices =
                (0..gpus.count).map(|_| Device { vram_total_bytes: facts.vram_bytes_per_gpu, vram_free_bytes: 0 });
            pool.devices = devices.collect();
        }
        pool.set_free_vram(pool.vram_total_bytes.saturating_sub(weights_held(serving)));
        pool
    }

    /// Puts the pool into the state that is declared for it.
    pub(super) fn apply(&mut self, entry: &'a PoolOverride) -> Result<(), Fault> {
        let key = |field: &str| format!("override.\"{}\".{field}", entry.pool);
        if let Some(slots) = entry.slots_free {
            within(key("slots_free"), u64::from(slots), u64::from(self.slots_total), "slots")?;
            self.slots_free = slots;
        }
        if let Some(bytes) = entry.vram_free_bytes {
            within(key("vram_free_bytes"), bytes, self.vram_total_bytes, "bytes")?;
            self.set_free_vram(bytes);
        }
        if let Some(models) = &entry.resident_models {
            self.resident_models = Some(models.iter().map(String::as_str).collect());
        }
        self.labels.extend(entry.labels.iter().map(|(label, value)| (label.as_str(), value.as_str())));
        within(key("labels"), self.labels.len() as u64, LABELS_MAX as u64, "labels")?;
        self.warm_sessions = &entry.warm_sessions;
        (self.queue_depth, self.age_ms) = (entry.queue_depth, entry.age_ms);
        (self.ready, self.draining) = (entry.ready, entry.draining);
        Ok(())
    }

    /// Sets the pool's free VRAM and shares it out over its devices, the first ones taking what is left over.
    fn set_free_vram(&mut self, bytes: u64) {
        self.vram_free_bytes = bytes;
        let devices = self.devices.len() as u64;
        for (device, position) in self.devices.iter_mut().zip(0..) {
            device.vram_free_bytes = bytes / devices + u64::from(position < bytes % devices);
        }
    }
}

/// Bytes of weights that lie in a pool's VRAM: none when it publishes that no model is resident.
pub(super) fn weights_held(serving: &Serving) -> u64 {
    if serving.resident == Some(false) { 0 } else { serving.weights_bytes.unwrap_or(0) }
}

fn supports<'a>(serving: &'a Serving, models: Vec<&'a str>) -> Supports<'a> {
    Supports {
        quantizations: serving.quantization.as_deref().map(|name| [name]),
        extensions: &serving.extensions,
        models,
        model_digests: &serving.model_digests,
        ctx_max: serving.ctx_max,
        min_compute_cap: serving.min_compute_cap.as_deref(),
    }
}

fn mask(gpus: GpuRange) -> String {
    let ids: Vec<String> = (gpus.first..gpus.first + gpus.count).map(|id| id.to_string()).collect();
    ids.join(",")
}

fn within(key: String, value: u64, max: u64, what: &str) -> Result<(), Fault> {
    if value <= max {
        return Ok(());
    }
    Err(Fault::new(key, format!("makes {value} {what}"), format!("this pool has at most {max}")))
}
