//! What a caller says of a pool. Fields and limits: `docs/spec.md` section 2.

use core::ptr::null;

use heapless::Vec;
use orchestrator_core::limits::{DEVICES_MAX, LABELS_MAX};
use orchestrator_core::{DeviceSnapshot, PoolSnapshot, PoolSupports, WarmSession};

use crate::codes::Fault;
use crate::names::flags;
use crate::storage::LIST_ENTRIES;
use crate::text::{collect, items, oc_labels, oc_text, oc_texts};
use crate::versioned::{Versioned, read};

/// Flag of `oc_pool`: `perf_tokens_per_s` is known.
pub const OC_POOL_HAS_PERF_TOKENS_PER_S: u32 = 1;
/// Flag of `oc_pool`: `first_token_ms` is known.
pub const OC_POOL_HAS_FIRST_TOKEN: u32 = 2;
/// Flag of `oc_pool`: `prefill_tokens_per_s` is known; without it prefill is inside `first_token_ms`.
pub const OC_POOL_HAS_PREFILL_TOKENS_PER_S: u32 = 4;
/// Flag of `oc_pool`: `ctx_max` is known.
pub const OC_POOL_HAS_CTX_MAX: u32 = 8;
/// Flag of `oc_pool`: the pool serves the models of `models` only; without it, any.
pub const OC_POOL_HAS_MODELS: u32 = 16;
/// Flag of `oc_pool`: `resident_models` are those that are loaded; without it every model counts as loaded.
pub const OC_POOL_HAS_RESIDENT_MODELS: u32 = 32;
/// Flag of `oc_pool`: it takes no work now.
pub const OC_POOL_NOT_READY: u32 = 64;
/// Flag of `oc_pool`: it only finishes what it has.
pub const OC_POOL_DRAINING: u32 = 128;

const KNOWN_FLAGS: u32 = OC_POOL_HAS_PERF_TOKENS_PER_S
    | OC_POOL_HAS_FIRST_TOKEN
    | OC_POOL_HAS_PREFILL_TOKENS_PER_S
    | OC_POOL_HAS_CTX_MAX
    | OC_POOL_HAS_MODELS
    | OC_POOL_HAS_RESIDENT_MODELS
    | OC_POOL_NOT_READY
    | OC_POOL_DRAINING;

/// One device of a pool.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_device {
    /// VRAM in bytes: below 2^48.
    pub vram_total_bytes: i64,
    /// Free VRAM in bytes; more than the total counts as the total.
    pub vram_free_bytes: i64,
    /// Its compute capability, such as `9.0`, where it differs from the pool's.
    pub compute_capability: oc_text,
}

/// A session whose KV cache a pool holds.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_warm_session {
    /// The session: 1 to 64 bytes.
    pub session_id: oc_text,
    /// Tokens of it that need no prefill: below 2^24.
    pub cached_tokens: i64,
}

/// A pool's state. A structure of zeros with `struct_bytes`, `id`, `engine`, slots and VRAM is a pool with all defaults.
/// Every list has at most as many entries as `oc_limits` says, repeats counted.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_pool {
    /// `sizeof(oc_pool)`.
    pub struct_bytes: u32,
    /// `OC_POOL_…`.
    pub flags: u32,
    /// The pool's id: 1 to 64 bytes. Required.
    pub id: oc_text,
    /// Tells replicas of one id apart: 0 to 64 bytes.
    pub replica_id: oc_text,
    /// The engine, without regard to ASCII case: 1 to 128 bytes, as all names. Required.
    pub engine: oc_text,
    /// The engine's version; absent is unknown, as for the following four.
    pub engine_version: oc_text,
    /// The version of its sampler profile.
    pub sampler_profile_version: oc_text,
    /// Its compute capability, such as `9.0`.
    pub compute_capability: oc_text,
    /// The least capability that its adapter runs on.
    pub min_compute_cap: oc_text,
    /// Its device ids, such as `0,1`.
    pub device_mask: oc_text,
    /// Requests that it can run at once: below 2^15.
    pub slots_total: i64,
    /// Free ones; more than the total counts as the total.
    pub slots_free: i64,
    /// VRAM in bytes: below 2^48. Where devices are listed, their sums count.
    pub vram_total_bytes: i64,
    /// Free VRAM in bytes; more than the total counts as the total.
    pub vram_free_bytes: i64,
    /// Requests that wait in the pool: below 2^32.
    pub queue_depth: i64,
    /// With `OC_POOL_HAS_CTX_MAX`: the longest context in tokens, below 2^24.
    pub ctx_max: i64,
    /// With `OC_POOL_HAS_PERF_TOKENS_PER_S`: decode rate of one request, in tokens per second.
    pub perf_tokens_per_s: f64,
    /// With `OC_POOL_HAS_FIRST_TOKEN`: time to the first token, in ms.
    pub first_token_ms: f64,
    /// With `OC_POOL_HAS_PREFILL_TOKENS_PER_S`: prefill rate, in tokens per second.
    pub prefill_tokens_per_s: f64,
    /// From placement to the start of work, in ms.
    pub admission_latency_ms: f64,
    /// Time to load a model, in ms.
    pub model_load_ms: f64,
    /// Age of this state, in ms.
    pub age_ms: f64,
    /// Quantisations that it supports.
    pub quantizations: oc_texts,
    /// Extensions that it supports.
    pub extensions: oc_texts,
    /// With `OC_POOL_HAS_MODELS`: models that it serves.
    pub models: oc_texts,
    /// Digests of the models that it serves.
    pub model_digests: oc_texts,
    /// With `OC_POOL_HAS_RESIDENT_MODELS`: models that are loaded.
    pub resident_models: oc_texts,
    /// Labels: at most 16.
    pub labels: oc_labels,
    /// Devices, in the order of their ids: at most 16. May be null where there are none.
    pub devices: *const oc_device,
    /// How many.
    pub device_count: usize,
    /// Sessions whose KV cache it holds. May be null where there are none.
    pub warm_sessions: *const oc_warm_session,
    /// How many.
    pub warm_session_count: usize,
}

// SAFETY: integers, floats, pointers and structures of them, the size first.
unsafe impl Versioned for oc_pool {}

impl oc_pool {
    const ABSENT: Self = Self {
        struct_bytes: 0,
        flags: 0,
        id: oc_text::ABSENT,
        replica_id: oc_text::ABSENT,
        engine: oc_text::ABSENT,
        engine_version: oc_text::ABSENT,
        sampler_profile_version: oc_text::ABSENT,
        compute_capability: oc_text::ABSENT,
        min_compute_cap: oc_text::ABSENT,
        device_mask: oc_text::ABSENT,
        slots_total: 0,
        slots_free: 0,
        vram_total_bytes: 0,
        vram_free_bytes: 0,
        queue_depth: 0,
        ctx_max: 0,
        perf_tokens_per_s: 0.0,
        first_token_ms: 0.0,
        prefill_tokens_per_s: 0.0,
        admission_latency_ms: 0.0,
        model_load_ms: 0.0,
        age_ms: 0.0,
        quantizations: oc_texts::NONE,
        extensions: oc_texts::NONE,
        models: oc_texts::NONE,
        model_digests: oc_texts::NONE,
        resident_models: oc_texts::NONE,
        labels: oc_labels::NONE,
        devices: null(),
        device_count: 0,
        warm_sessions: null(),
        warm_session_count: 0,
    };

    /// What a caller says, as the core takes it.
    ///
    /// # Safety
    /// `pool` is as [`read`] wants it; every pointer in it is null or points to as many values as stand beside it; they
    /// stay as they are until this returns.
    pub(crate) unsafe fn with<R>(pool: *const Self, use_it: impl FnOnce(&PoolSnapshot<'_>) -> R) -> Result<R, Fault> {
        // SAFETY: the caller's promise.
        let pool = unsafe { read(pool, Self::ABSENT) }?;
        let flags = flags(pool.flags, KNOWN_FLAGS)?;
        // SAFETY: the caller's promise.
        let (texts, lists) = unsafe { (pool.texts()?, pool.lists()?) };
        Ok(use_it(&pool.snapshot(flags, &texts, &lists)))
    }

    fn snapshot<'a>(&self, flags: u32, texts: &Texts<'a>, lists: &'a Lists<'a>) -> PoolSnapshot<'a> {
        let has = |flag: u32| flags & flag != 0;
        let supports = PoolSupports {
            quantizations: &lists.quantizations,
            extensions: &lists.extensions,
            models: has(OC_POOL_HAS_MODELS).then_some(&lists.models),
            model_digests: &lists.model_digests,
            ctx_max: has(OC_POOL_HAS_CTX_MAX).then_some(self.ctx_max),
            min_compute_cap: texts.min_compute_cap,
        };
        PoolSnapshot {
            id: texts.id,
            replica_id: texts.replica_id,
            engine: texts.engine,
            engine_version: texts.engine_version,
            sampler_profile_version: texts.sampler_profile_version,
            slots_total: self.slots_total,
            slots_free: self.slots_free,
            vram_total_bytes: self.vram_total_bytes,
            vram_free_bytes: self.vram_free_bytes,
            compute_capability: texts.compute_capability,
            perf_tokens_per_s: has(OC_POOL_HAS_PERF_TOKENS_PER_S).then_some(self.perf_tokens_per_s),
            first_token_ms: has(OC_POOL_HAS_FIRST_TOKEN).then_some(self.first_token_ms),
            prefill_tokens_per_s: has(OC_POOL_HAS_PREFILL_TOKENS_PER_S).then_some(self.prefill_tokens_per_s),
            admission_latency_ms: self.admission_latency_ms,
            model_load_ms: self.model_load_ms,
            age_ms: self.age_ms,
            queue_depth: self.queue_depth,
            supports,
            resident_models: has(OC_POOL_HAS_RESIDENT_MODELS).then_some(&lists.resident_models),
            devices: &lists.devices,
            device_mask: texts.device_mask,
            labels: &lists.labels,
            warm_sessions: &lists.warm_sessions,
            ready: !has(OC_POOL_NOT_READY),
            draining: has(OC_POOL_DRAINING),
        }
    }

    /// # Safety
    /// As [`oc_pool::with`].
    unsafe fn texts<'a>(&self) -> Result<Texts<'a>, Fault> {
        // SAFETY: the caller's promise.
        unsafe {
            Ok(Texts {
                id: self.id.required("id")?,
                replica_id: self.replica_id.required("replica_id")?,
                engine: self.engine.required("engine")?,
                engine_version: self.engine_version.read("engine_version")?,
                sampler_profile_version: self.sampler_profile_version.read("sampler_profile_version")?,
                compute_capability: self.compute_capability.read("compute_capability")?,
                min_compute_cap: self.min_compute_cap.read("supports.min_compute_cap")?,
                device_mask: self.device_mask.read("device_mask")?,
            })
        }
    }

    /// # Safety
    /// As [`oc_pool::with`].
    unsafe fn lists<'a>(&self) -> Result<Lists<'a>, Fault> {
        // SAFETY: the caller's promise.
        unsafe {
            Ok(Lists {
                quantizations: self.quantizations.read("supports.quantizations")?,
                extensions: self.extensions.read("supports.extensions")?,
                models: self.models.read("supports.models")?,
                model_digests: self.model_digests.read("supports.model_digests")?,
                resident_models: self.resident_models.read("resident_models")?,
                labels: self.labels.read("labels")?,
                devices: self.devices()?,
                warm_sessions: self.warm_sessions()?,
            })
        }
    }

    /// # Safety
    /// As [`oc_pool::with`].
    unsafe fn devices<'a>(&self) -> Result<Vec<DeviceSnapshot<'a>, DEVICES_MAX>, Fault> {
        let field = "devices";
        // SAFETY: the caller's promise.
        let devices = unsafe { items(self.devices, self.device_count, field, DEVICES_MAX) }?;
        collect(devices, field, |device| {
            Ok(DeviceSnapshot {
                vram_total_bytes: device.vram_total_bytes,
                vram_free_bytes: device.vram_free_bytes,
                // SAFETY: the caller's promise covers the texts of all devices.
                compute_capability: unsafe { device.compute_capability.read("devices.compute_capability") }?,
            })
        })
    }

    /// # Safety
    /// As [`oc_pool::with`].
    unsafe fn warm_sessions<'a>(&self) -> Result<Vec<WarmSession<'a>, LIST_ENTRIES>, Fault> {
        let field = "warm_sessions";
        // SAFETY: the caller's promise.
        let sessions = unsafe { items(self.warm_sessions, self.warm_session_count, field, LIST_ENTRIES) }?;
        collect(sessions, field, |session| {
            // SAFETY: the caller's promise covers the texts of all sessions.
            let session_id = unsafe { session.session_id.required("warm_sessions.session_id") }?;
            Ok(WarmSession { session_id, cached_tokens: session.cached_tokens })
        })
    }
}

struct Texts<'a> {
    id: &'a str,
    replica_id: &'a str,
    engine: &'a str,
    engine_version: Option<&'a str>,
    sampler_profile_version: Option<&'a str>,
    compute_capability: Option<&'a str>,
    min_compute_cap: Option<&'a str>,
    device_mask: Option<&'a str>,
}

struct Lists<'a> {
    quantizations: Vec<&'a str, LIST_ENTRIES>,
    extensions: Vec<&'a str, LIST_ENTRIES>,
    models: Vec<&'a str, LIST_ENTRIES>,
    model_digests: Vec<&'a str, LIST_ENTRIES>,
    resident_models: Vec<&'a str, LIST_ENTRIES>,
    labels: Vec<(&'a str, &'a str), LABELS_MAX>,
    devices: Vec<DeviceSnapshot<'a>, DEVICES_MAX>,
    warm_sessions: Vec<WarmSession<'a>, LIST_ENTRIES>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::oc_label;

    /// Every field has a value of its own.
    fn whole(lists: &[[oc_text; 1]; 5], labels: &[oc_label; 1], device: &oc_device, warm: &oc_warm_session) -> oc_pool {
        let [quantizations, extensions, models, model_digests, resident_models] =
            lists.each_ref().map(|list| oc_texts { items: list.as_ptr(), count: 1 });
        oc_pool {
            struct_bytes: size_of::<oc_pool>().try_into().unwrap(),
            flags: KNOWN_FLAGS,
            id: oc_text::given("id"),
            replica_id: oc_text::given("replica"),
            engine: oc_text::given("engine"),
            engine_version: oc_text::given("version"),
            sampler_profile_version: oc_text::given("sampler"),
            compute_capability: oc_text::given("9.0"),
            min_compute_cap: oc_text::given("8.0"),
            device_mask: oc_text::given("0"),
            slots_total: 1,
            slots_free: 2,
            vram_total_bytes: 3,
            vram_free_bytes: 4,
            queue_depth: 5,
            ctx_max: 6,
            perf_tokens_per_s: 7.0,
            first_token_ms: 8.0,
            prefill_tokens_per_s: 9.0,
            admission_latency_ms: 10.0,
            model_load_ms: 11.0,
            age_ms: 12.0,
            quantizations,
            extensions,
            models,
            model_digests,
            resident_models,
            labels: oc_labels { items: labels.as_ptr(), count: 1 },
            devices: &raw const *device,
            device_count: 1,
            warm_sessions: &raw const *warm,
            warm_session_count: 1,
        }
    }

    const SNAPSHOT: PoolSnapshot<'static> = PoolSnapshot {
        id: "id",
        replica_id: "replica",
        engine: "engine",
        engine_version: Some("version"),
        sampler_profile_version: Some("sampler"),
        slots_total: 1,
        slots_free: 2,
        vram_total_bytes: 3,
        vram_free_bytes: 4,
        compute_capability: Some("9.0"),
        perf_tokens_per_s: Some(7.0),
        first_token_ms: Some(8.0),
        prefill_tokens_per_s: Some(9.0),
        admission_latency_ms: 10.0,
        model_load_ms: 11.0,
        age_ms: 12.0,
        queue_depth: 5,
        supports: PoolSupports {
            quantizations: &["quantization"],
            extensions: &["extension"],
            models: Some(&["model"]),
            model_digests: &["digest"],
            ctx_max: Some(6),
            min_compute_cap: Some("8.0"),
        },
        resident_models: Some(&["resident"]),
        devices: &[DeviceSnapshot { vram_total_bytes: 13, vram_free_bytes: 14, compute_capability: Some("9.1") }],
        device_mask: Some("0"),
        labels: &[("key", "value")],
        warm_sessions: &[WarmSession { session_id: "session", cached_tokens: 15 }],
        ready: false,
        draining: true,
    };

    fn with_whole<R>(flags: u32, use_it: impl FnOnce(&PoolSnapshot<'_>) -> R) -> R {
        let lists = ["quantization", "extension", "model", "digest", "resident"].map(|text| [oc_text::given(text)]);
        let labels = [oc_label { key: oc_text::given("key"), value: oc_text::given("value") }];
        let device = oc_device { vram_total_bytes: 13, vram_free_bytes: 14, compute_capability: oc_text::given("9.1") };
        let warm = oc_warm_session { session_id: oc_text::given("session"), cached_tokens: 15 };
        let pool = oc_pool { flags, ..whole(&lists, &labels, &device, &warm) };
        // SAFETY: a whole pool, and everything that it points to.
        unsafe { oc_pool::with(&raw const pool, use_it) }.unwrap()
    }

    #[test]
    fn every_field_is_where_it_belongs() {
        assert!(with_whole(KNOWN_FLAGS, |pool| *pool == SNAPSHOT));
    }

    #[test]
    fn what_no_flag_names_is_absent() {
        for flag in (0..8).map(|bit| 1 << bit) {
            let given = with_whole(flag, |pool| {
                [
                    (pool.perf_tokens_per_s.is_some(), OC_POOL_HAS_PERF_TOKENS_PER_S),
                    (pool.first_token_ms.is_some(), OC_POOL_HAS_FIRST_TOKEN),
                    (pool.prefill_tokens_per_s.is_some(), OC_POOL_HAS_PREFILL_TOKENS_PER_S),
                    (pool.supports.ctx_max.is_some(), OC_POOL_HAS_CTX_MAX),
                    (pool.supports.models.is_some(), OC_POOL_HAS_MODELS),
                    (pool.resident_models.is_some(), OC_POOL_HAS_RESIDENT_MODELS),
                    (!pool.ready, OC_POOL_NOT_READY),
                    (pool.draining, OC_POOL_DRAINING),
                ]
            });
            assert!(given.iter().all(|&(is_given, its)| is_given == (its == flag)), "{flag}: {given:?}");
        }
    }
}
