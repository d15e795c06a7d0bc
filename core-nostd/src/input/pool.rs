//! What a pool manager says about one pool, and the check that turns it into facts.
//!
//! Fields, defaults and rules: `docs/spec.md` section 2, POOL-2, POOL-3, UNIT-1 to UNIT-9.

use heapless::Vec;

use super::checks;
use crate::error::{FieldError, Problem};
use crate::limits::{BYTES_MAX, DEVICES_MAX, LABELS_MAX, RESIDENT_MODELS_MAX, TOKENS_MAX, WARM_SESSIONS_MAX};
use crate::rows::{ClassFlags, DeviceRow, PoolClass, PoolFlags, PoolRow};
use crate::values::capability::ComputeCapability;
use crate::values::device_mask::DeviceMask;
use crate::values::text::check_optional_id;

/// One pool as its manager publishes it: untrusted, borrowed, in wire units.
///
/// [`PoolSnapshot::new`] sets what every pool must say; every other field has the default of `docs/spec.md` section 2.
/// Times are in milliseconds, rates in tokens per second, sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PoolSnapshot<'a> {
    /// The pool's id: 1 to 64 bytes. Hints name pools by it.
    pub id: &'a str,
    /// Tells replicas of one id apart: 0 to 64 bytes.
    pub replica_id: &'a str,
    /// The serving engine, without regard to ASCII case.
    pub engine: &'a str,
    /// Version of the engine, if published.
    pub engine_version: Option<&'a str>,
    /// Version of the sampler profile, if published.
    pub sampler_profile_version: Option<&'a str>,
    /// Requests that the pool can run at once: below 2^15.
    pub slots_total: i64,
    /// Of these, how many are free; more than the total counts as the total.
    pub slots_free: i64,
    /// VRAM of the pool in bytes: below 2^48.
    pub vram_total_bytes: i64,
    /// Free VRAM in bytes; more than the total counts as the total.
    pub vram_free_bytes: i64,
    /// Compute capability as `"major.minor"`, if published.
    pub compute_capability: Option<&'a str>,
    /// Steady decode rate of one request, in tokens per second.
    pub perf_tokens_per_s: Option<f64>,
    /// Time to first token of an admitted request, in milliseconds.
    pub first_token_ms: Option<f64>,
    /// Prefill rate in tokens per second; absent when prefill is inside `first_token_ms`.
    pub prefill_tokens_per_s: Option<f64>,
    /// Time from placement to the engine's start of work, in milliseconds.
    pub admission_latency_ms: f64,
    /// Time to load a model that is not resident, in milliseconds.
    pub model_load_ms: f64,
    /// Age of this snapshot, in milliseconds.
    pub age_ms: f64,
    /// Requests waiting at the pool.
    pub queue_depth: i64,
    /// What the pool's adapter can serve.
    pub supports: PoolSupports<'a>,
    /// Models whose weights are loaded; `None` when the pool does not publish this.
    pub resident_models: Option<&'a [&'a str]>,
    /// The pool's devices, in ascending order of their ids; empty when not published.
    pub devices: &'a [DeviceSnapshot<'a>],
    /// Device ids of the pool, such as `"0,1"`.
    pub device_mask: Option<&'a str>,
    /// Labels of the pool.
    pub labels: &'a [(&'a str, &'a str)],
    /// Sessions whose KV cache is warm here.
    pub warm_sessions: &'a [WarmSession<'a>],
    /// Whether the pool takes work at all.
    pub ready: bool,
    /// Whether it only finishes what it has.
    pub draining: bool,
}

/// What a pool's adapter says it supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PoolSupports<'a> {
    /// Quantisations, without regard to ASCII case.
    pub quantizations: &'a [&'a str],
    /// Extensions.
    pub extensions: &'a [&'a str],
    /// Models served; `None` serves any, an empty list none.
    pub models: Option<&'a [&'a str]>,
    /// Digests of the models served.
    pub model_digests: &'a [&'a str],
    /// Longest context in tokens, if published.
    pub ctx_max: Option<i64>,
    /// The least compute capability that the adapter's build runs on.
    pub min_compute_cap: Option<&'a str>,
}

/// One device of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceSnapshot<'a> {
    /// VRAM of the device in bytes.
    pub vram_total_bytes: i64,
    /// Free VRAM in bytes; more than the total counts as the total.
    pub vram_free_bytes: i64,
    /// Its own compute capability, where it differs from the pool's.
    pub compute_capability: Option<&'a str>,
}

/// A session whose KV cache a pool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WarmSession<'a> {
    /// The session.
    pub session_id: &'a str,
    /// Tokens of it that need no prefill.
    pub cached_tokens: i64,
}

impl<'a> PoolSnapshot<'a> {
    /// A pool with the required fields; every other field has its default.
    #[must_use]
    pub const fn new(
        id: &'a str,
        engine: &'a str,
        slots_total: i64,
        slots_free: i64,
        vram_total_bytes: i64,
        vram_free_bytes: i64,
    ) -> Self {
        Self {
            id,
            replica_id: "",
            engine,
            engine_version: None,
            sampler_profile_version: None,
            slots_total,
            slots_free,
            vram_total_bytes,
            vram_free_bytes,
            compute_capability: None,
            perf_tokens_per_s: None,
            first_token_ms: None,
            prefill_tokens_per_s: None,
            admission_latency_ms: 0.0,
            model_load_ms: 0.0,
            age_ms: 0.0,
            queue_depth: 0,
            supports: PoolSupports {
                quantizations: &[],
                extensions: &[],
                models: None,
                model_digests: &[],
                ctx_max: None,
                min_compute_cap: None,
            },
            resident_models: None,
            devices: &[],
            device_mask: None,
            labels: &[],
            warm_sessions: &[],
            ready: true,
            draining: false,
        }
    }

    /// Checks every field against its limit.
    ///
    /// O(list entries); warm sessions that are not in ascending order cost O(n²) with n <= 256.
    ///
    /// # Errors
    /// A field that breaks a rule of UNIT-1 to UNIT-9, POOL-2 or POOL-3.
    pub fn validate(&self) -> Result<ValidPool<'a>, FieldError> {
        self.check_texts()?;
        let mut class = self.class_facts()?;
        let mut row = self.row_facts(class.vram_total_bytes)?;
        let devices = self.checked_devices()?;
        self.apply_devices(&mut row, &mut class, &devices)?;
        self.check_lists()?;
        Ok(ValidPool { snapshot: *self, row, class, devices })
    }

    fn check_texts(&self) -> Result<(), FieldError> {
        checks::id("id", self.id)?;
        check_optional_id(self.replica_id).map_err(|problem| FieldError::new("replica_id", problem))?;
        checks::name("engine", self.engine)?;
        checks::optional_name("engine_version", self.engine_version)?;
        checks::optional_name("sampler_profile_version", self.sampler_profile_version)
    }

    /// What rarely changes.
    fn class_facts(&self) -> Result<PoolClass, FieldError> {
        let capability = checks::capability("compute_capability", self.compute_capability)?;
        let ctx_max = self.supports.ctx_max.map(|ctx| checks::tokens("supports.ctx_max", ctx)).transpose()?;
        let min_capability = checks::capability("supports.min_compute_cap", self.supports.min_compute_cap)?;
        let mut flags = ClassFlags::EMPTY;
        flags.set(ClassFlags::CAPABILITY_KNOWN, capability.is_some());
        flags.set(ClassFlags::MIN_CAPABILITY, min_capability.is_some());
        flags.set(ClassFlags::MODELS_LISTED, self.supports.models.is_some());
        Ok(PoolClass {
            vram_total_bytes: checks::bytes("vram_total_bytes", self.vram_total_bytes)?,
            device_mask: checks::mask("device_mask", self.device_mask)?,
            ctx_max: ctx_max.unwrap_or(PoolClass::CTX_UNKNOWN),
            capability: capability.unwrap_or(ComputeCapability::from_value(0)),
            min_capability: min_capability.unwrap_or(ComputeCapability::from_value(0)),
            flags,
            ..PoolClass::UNNAMED
        })
    }

    /// What changes from snapshot to snapshot.
    fn row_facts(&self, vram_total_bytes: u64) -> Result<PoolRow, FieldError> {
        let slots_total = checks::slots("slots_total", self.slots_total)?;
        let slots_free = checks::slots("slots_free", self.slots_free)?;
        let vram_free_bytes = checks::bytes("vram_free_bytes", self.vram_free_bytes)?;
        let decode = checks::rate("perf_tokens_per_s", self.perf_tokens_per_s)?;
        let prefill = checks::rate("prefill_tokens_per_s", self.prefill_tokens_per_s)?;
        let first_token_us = self.first_token_ms.map(|ms| checks::time("first_token_ms", ms)).transpose()?;
        let queue_depth = checks::bounded("queue_depth", self.queue_depth, u64::from(u32::MAX))?;
        let mut flags = PoolFlags::EMPTY;
        flags.set(PoolFlags::READY, self.ready);
        flags.set(PoolFlags::DRAINING, self.draining);
        flags.set(PoolFlags::RESIDENCY_PUBLISHED, self.resident_models.is_some());
        flags.set(PoolFlags::WARM_SESSIONS, !self.warm_sessions.is_empty());
        Ok(PoolRow {
            vram_free_bytes: vram_free_bytes.min(vram_total_bytes),
            first_token_us: first_token_us.unwrap_or(PoolRow::FIRST_TOKEN_UNKNOWN),
            admission_latency_us: checks::time("admission_latency_ms", self.admission_latency_ms)?,
            model_load_us: checks::time("model_load_ms", self.model_load_ms)?,
            age_us: checks::time("age_ms", self.age_ms)?,
            decode_q10: decode.q10,
            milli_tps: decode.milli_tps,
            prefill_q10: prefill.q10,
            slots_total,
            slots_free: slots_free.min(slots_total),
            flags,
            waiting: u16::try_from(queue_depth).unwrap_or(u16::MAX),
            ..PoolRow::EMPTY
        })
    }

    fn checked_devices(&self) -> Result<Vec<DeviceRow, DEVICES_MAX>, FieldError> {
        checks::at_most("devices", self.devices, DEVICES_MAX)?;
        let mut rows = Vec::new();
        for device in self.devices {
            let total_bytes = checks::bytes("devices.vram_total_bytes", device.vram_total_bytes)?;
            let free_bytes = checks::bytes("devices.vram_free_bytes", device.vram_free_bytes)?;
            let own = checks::capability("devices.compute_capability", device.compute_capability)?;
            let pushed = rows.push(DeviceRow::new(total_bytes, free_bytes.min(total_bytes), own));
            // At most DEVICES_MAX entries, checked above.
            pushed.map_err(|_| FieldError::new("devices", Problem::TooMany { max: DEVICES_MAX }))?;
        }
        Ok(rows)
    }

    /// Makes the pool's mask and VRAM those of its devices. POOL-2, POOL-3.
    fn apply_devices(&self, row: &mut PoolRow, class: &mut PoolClass, devices: &[DeviceRow]) -> Result<(), FieldError> {
        if devices.is_empty() {
            return Ok(());
        }
        // At most 16 terms below 2^48: the sums stay below 2^52.
        let total: u64 = devices.iter().fold(0, |sum, device| sum.saturating_add(device.vram_total_bytes));
        let free: u64 = devices.iter().fold(0, |sum, device| sum.saturating_add(device.vram_free_bytes));
        if total > BYTES_MAX {
            return Err(FieldError::new("devices", Problem::TooLarge { max: BYTES_MAX }));
        }
        if class.device_mask.is_empty() {
            class.device_mask = DeviceMask::first(devices.len());
        } else if usize::try_from(class.device_mask.len()) != Ok(devices.len()) {
            let problem = Problem::Contradiction { why: "names another number of devices than `devices` lists" };
            return Err(FieldError::new("device_mask", problem));
        }
        class.vram_total_bytes = total;
        row.vram_free_bytes = free;
        Ok(())
    }

    fn check_lists(&self) -> Result<(), FieldError> {
        checks::names("supports.quantizations", self.supports.quantizations)?;
        checks::names("supports.extensions", self.supports.extensions)?;
        checks::names("supports.models", self.supports.models.unwrap_or_default())?;
        checks::names("supports.model_digests", self.supports.model_digests)?;
        let resident = self.resident_models.unwrap_or_default();
        checks::at_most("resident_models", resident, RESIDENT_MODELS_MAX)?;
        checks::names("resident_models", resident)?;
        checks::labels("labels", self.labels, LABELS_MAX)?;
        self.check_warm_sessions()
    }

    fn check_warm_sessions(&self) -> Result<(), FieldError> {
        let field = "warm_sessions";
        checks::at_most(field, self.warm_sessions, WARM_SESSIONS_MAX)?;
        for session in self.warm_sessions {
            checks::id("warm_sessions.session_id", session.session_id)?;
            checks::tokens("warm_sessions.cached_tokens", session.cached_tokens)?;
        }
        if has_repeats(self.warm_sessions) { Err(FieldError::new(field, Problem::Repeated)) } else { Ok(()) }
    }
}

/// Whether a session stands twice: one pass when the list is in ascending order, pairwise otherwise.
fn has_repeats(sessions: &[WarmSession<'_>]) -> bool {
    let ids = || sessions.iter().map(|session| session.session_id);
    let ascending = ids().zip(ids().skip(1)).all(|(left, right)| left < right);
    !ascending && ids().enumerate().any(|(position, id)| ids().take(position).any(|earlier| earlier == id))
}

/// A pool inside every limit, its names not yet interned.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ValidPool<'a> {
    snapshot: PoolSnapshot<'a>,
    row: PoolRow,
    class: PoolClass,
    devices: Vec<DeviceRow, DEVICES_MAX>,
}

impl<'a> ValidPool<'a> {
    /// The texts and lists as they came, each inside its limit.
    #[must_use]
    pub const fn snapshot(&self) -> &PoolSnapshot<'a> {
        &self.snapshot
    }

    /// What changes from snapshot to snapshot, bounded, clamped and in integer units; the class number is still unset.
    #[must_use]
    pub const fn row(&self) -> &PoolRow {
        &self.row
    }

    /// What rarely changes; names and lists are still unset.
    #[must_use]
    pub const fn class(&self) -> &PoolClass {
        &self.class
    }

    /// The devices in ascending order of their ids.
    #[must_use]
    pub fn devices(&self) -> &[DeviceRow] {
        &self.devices
    }

    /// Cached tokens of the pool's warm sessions, in the order given.
    pub fn warm_sessions(&self) -> impl Iterator<Item = (&'a str, u32)> {
        self.snapshot.warm_sessions.iter().map(|session| {
            // Validation bounded the count by TOKENS_MAX.
            (session.session_id, u32::try_from(session.cached_tokens).unwrap_or(TOKENS_MAX))
        })
    }
}
