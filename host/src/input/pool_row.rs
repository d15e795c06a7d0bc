//! One row of a fleet file as a [`PoolSnapshot`]. Fields and defaults: `docs/spec.md` section 2.
//!
//! ```text
//! {"id":"a","engine":"vllm","slots_total":8,"slots_free":8.0,"vram_total_bytes":8e10,"vram_free_bytes":80000000000}
//! ```
//!
//! Two steps, because a snapshot borrows lists of texts, and escapes in the file make some of these texts new:
//! [`PoolText::read`] knows types, [`PoolText::with_snapshot`] lends the snapshot, and `PoolSnapshot::validate` of the
//! core knows limits.
//!
//! Invariants: nothing is clamped here; a refused row keeps the ids that could be read, because a duplicate refuses
//! rows "whether or not their other fields are valid" (POOL-1).

use std::borrow::Cow;

use orchestrator_core::{DeviceSnapshot, PoolSnapshot, PoolSupports, WarmSession};

use super::fields::{Object, TextMap};
use super::row_error::RowError;
use super::slips::check_pool;
use super::warnings::{Concern, Source, Warnings};

/// A list of texts of the row.
type Texts<'a> = Vec<Cow<'a, str>>;

/// A pool row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct RefusedPool {
    /// The pool's id, where it could be read.
    pub id: Option<String>,
    /// Its replica id, where it could be read; empty when the row surely has none.
    pub replica_id: Option<String>,
    /// What broke the row.
    pub error: RowError,
}

impl RefusedPool {
    /// `(id, replica_id)` where both could be read: what POOL-1 compares.
    #[must_use]
    pub fn identity(&self) -> Option<(&str, &str)> {
        self.id.as_deref().zip(self.replica_id.as_deref())
    }

    /// A row of these bytes, refused before it could be parsed: not UTF-8, or cut because it is too long.
    pub(super) fn unparsed(bytes: &[u8], error: RowError) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut refused = Self::of(&Object::row(&text), error);
        // A replaced character means that the id itself is not known.
        let whole = |id: &String| !id.contains(char::REPLACEMENT_CHARACTER);
        refused.id = refused.id.filter(whole);
        refused.replica_id = refused.replica_id.filter(whole);
        refused
    }

    fn of(row: &Object<'_>, error: RowError) -> Self {
        let none = || row.surely_lacks("replica_id").then(String::new);
        Self { id: row.peek_text("id"), replica_id: row.peek_text("replica_id").or_else(none), error }
    }
}

/// A pool row, its types checked and its limits not.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolText<'a> {
    id: Cow<'a, str>,
    replica_id: Cow<'a, str>,
    engine: Cow<'a, str>,
    engine_version: Option<Cow<'a, str>>,
    sampler_profile_version: Option<Cow<'a, str>>,
    compute_capability: Option<Cow<'a, str>>,
    device_mask: Option<Cow<'a, str>>,
    numbers: Numbers,
    supports: Supports<'a>,
    resident_models: Option<Texts<'a>>,
    devices: Vec<Device<'a>>,
    labels: TextMap<'a>,
    warm_sessions: Vec<(Cow<'a, str>, i64)>,
    ready: bool,
    draining: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Numbers {
    slots_total: i64,
    slots_free: i64,
    vram_total_bytes: i64,
    vram_free_bytes: i64,
    perf_tokens_per_s: Option<f64>,
    first_token_ms: Option<f64>,
    prefill_tokens_per_s: Option<f64>,
    admission_latency_ms: f64,
    model_load_ms: f64,
    age_ms: f64,
    queue_depth: i64,
}

#[derive(Debug, Clone, PartialEq)]
struct Supports<'a> {
    quantizations: Texts<'a>,
    extensions: Texts<'a>,
    models: Option<Texts<'a>>,
    model_digests: Texts<'a>,
    ctx_max: Option<i64>,
    min_compute_cap: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Device<'a> {
    vram_total_bytes: i64,
    vram_free_bytes: i64,
    compute_capability: Option<Cow<'a, str>>,
}

/// Reads one row and lends the snapshot to `then`.
///
/// # Errors
/// A row that is no object, or a field of the wrong type, required and absent, or repeated.
pub fn read_pool<R>(
    text: &str,
    warnings: &mut Warnings,
    then: impl FnOnce(&PoolSnapshot<'_>) -> R,
) -> Result<R, RefusedPool> {
    PoolText::read(text, warnings).map(|pool| pool.with_snapshot(then))
}

impl<'a> PoolText<'a> {
    /// Reads one row. Its warnings are counted only if it can be read.
    ///
    /// # Errors
    /// A row that is no object, or a field of the wrong type, required and absent, or repeated.
    pub fn read(text: &'a str, warnings: &mut Warnings) -> Result<Self, RefusedPool> {
        let row = Object::row(text);
        let mut notes = Vec::new();
        let pool = Self::parse(&row, &mut notes).map_err(|error| RefusedPool::of(&row, error))?;
        pool.with_snapshot(|snapshot| check_pool(snapshot, &mut notes));
        pool.compare_vram(&mut notes);
        warnings.count_row(Source::Pool, notes);
        Ok(pool)
    }

    /// The pool's id, as written.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pool's replica id, as written.
    #[must_use]
    pub fn replica_id(&self) -> &str {
        &self.replica_id
    }

    /// Lends the row as the snapshot that the core validates.
    pub fn with_snapshot<R>(&self, then: impl FnOnce(&PoolSnapshot<'_>) -> R) -> R {
        let supports = &self.supports;
        let quantizations = borrowed(&supports.quantizations);
        let extensions = borrowed(&supports.extensions);
        let model_digests = borrowed(&supports.model_digests);
        let models = supports.models.as_deref().map(borrowed);
        let resident_models = self.resident_models.as_deref().map(borrowed);
        let devices: Vec<_> = self.devices.iter().map(Device::snapshot).collect();
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| (&**key, &**value)).collect();
        let sessions = self
            .warm_sessions
            .iter()
            .map(|(session, tokens)| WarmSession { session_id: session, cached_tokens: *tokens });
        let warm_sessions: Vec<_> = sessions.collect();
        then(&PoolSnapshot {
            supports: PoolSupports {
                quantizations: &quantizations,
                extensions: &extensions,
                models: models.as_deref(),
                model_digests: &model_digests,
                ctx_max: supports.ctx_max,
                min_compute_cap: supports.min_compute_cap.as_deref(),
            },
            resident_models: resident_models.as_deref(),
            devices: &devices,
            labels: &labels,
            warm_sessions: &warm_sessions,
            ..self.scalars()
        })
    }

    /// The snapshot without its lists.
    fn scalars(&self) -> PoolSnapshot<'_> {
        let numbers = &self.numbers;
        PoolSnapshot {
            replica_id: &self.replica_id,
            engine_version: self.engine_version.as_deref(),
            sampler_profile_version: self.sampler_profile_version.as_deref(),
            compute_capability: self.compute_capability.as_deref(),
            device_mask: self.device_mask.as_deref(),
            perf_tokens_per_s: numbers.perf_tokens_per_s,
            first_token_ms: numbers.first_token_ms,
            prefill_tokens_per_s: numbers.prefill_tokens_per_s,
            admission_latency_ms: numbers.admission_latency_ms,
            model_load_ms: numbers.model_load_ms,
            age_ms: numbers.age_ms,
            queue_depth: numbers.queue_depth,
            ready: self.ready,
            draining: self.draining,
            ..PoolSnapshot::new(
                &self.id,
                &self.engine,
                numbers.slots_total,
                numbers.slots_free,
                numbers.vram_total_bytes,
                numbers.vram_free_bytes,
            )
        }
    }

    fn parse(row: &Object<'a>, notes: &mut Vec<Concern>) -> Result<Self, RowError> {
        row.check()?;
        let pool = Self {
            id: Object::required("id", row.text("id")?)?,
            engine: Object::required("engine", row.text("engine")?)?,
            numbers: Numbers::parse(row)?,
            replica_id: row.text("replica_id")?.unwrap_or_default(),
            engine_version: row.text("engine_version")?,
            sampler_profile_version: row.text("sampler_profile_version")?,
            compute_capability: row.text("compute_capability")?,
            supports: Supports::parse(&row.object("supports")?, notes)?,
            resident_models: row.texts("resident_models")?,
            devices: Device::parse_all(row, notes)?,
            device_mask: row.text("device_mask")?,
            labels: row.text_map("labels")?,
            warm_sessions: warm_sessions(row, notes)?,
            ready: row.boolean("ready")?.unwrap_or(true),
            draining: row.boolean("draining")?.unwrap_or(false),
        };
        row.finish(notes);
        Ok(pool)
    }

    /// Notes a published VRAM that the devices' sum replaces. POOL-2.
    fn compare_vram(&self, notes: &mut Vec<Concern>) {
        if self.devices.is_empty() {
            return;
        }
        let sum = |part: fn(&Device<'a>) -> i64| self.devices.iter().map(part).fold(0, i64::saturating_add);
        let total = sum(|device| device.vram_total_bytes);
        let free = sum(|device| device.vram_free_bytes.min(device.vram_total_bytes));
        let numbers = &self.numbers;
        if numbers.vram_total_bytes != total {
            notes.push(Concern::VramDiffers { field: "vram_total_bytes" });
        }
        // Compared as used: a free VRAM above its total is the total (UNIT-9).
        if numbers.vram_free_bytes.min(numbers.vram_total_bytes) != free {
            notes.push(Concern::VramDiffers { field: "vram_free_bytes" });
        }
    }
}

impl Numbers {
    fn parse(row: &Object<'_>) -> Result<Self, RowError> {
        let required = |path| Object::required(path, row.integer(path)?);
        Ok(Self {
            slots_total: required("slots_total")?,
            slots_free: required("slots_free")?,
            vram_total_bytes: required("vram_total_bytes")?,
            vram_free_bytes: required("vram_free_bytes")?,
            perf_tokens_per_s: row.float("perf_tokens_per_s")?,
            first_token_ms: row.float("first_token_ms")?,
            prefill_tokens_per_s: row.float("prefill_tokens_per_s")?,
            admission_latency_ms: row.float("admission_latency_ms")?.unwrap_or(0.0),
            model_load_ms: row.float("model_load_ms")?.unwrap_or(0.0),
            age_ms: row.float("age_ms")?.unwrap_or(0.0),
            queue_depth: row.integer("queue_depth")?.unwrap_or(0),
        })
    }
}

impl<'a> Supports<'a> {
    fn parse(object: &Object<'a>, notes: &mut Vec<Concern>) -> Result<Self, RowError> {
        let supports = Self {
            quantizations: object.texts("supports.quantizations")?.unwrap_or_default(),
            extensions: object.texts("supports.extensions")?.unwrap_or_default(),
            models: object.texts("supports.models")?,
            model_digests: object.texts("supports.model_digests")?.unwrap_or_default(),
            ctx_max: object.integer("supports.ctx_max")?,
            min_compute_cap: object.text("supports.min_compute_cap")?,
        };
        object.finish(notes);
        Ok(supports)
    }
}

impl<'a> Device<'a> {
    fn parse_all(row: &Object<'a>, notes: &mut Vec<Concern>) -> Result<Vec<Self>, RowError> {
        let objects = row.objects("devices")?;
        objects.iter().map(|object| Self::parse(object, notes)).collect()
    }

    fn parse(object: &Object<'a>, notes: &mut Vec<Concern>) -> Result<Self, RowError> {
        let required = |path| Object::required(path, object.integer(path)?);
        let device = Self {
            vram_total_bytes: required("devices.vram_total_bytes")?,
            vram_free_bytes: required("devices.vram_free_bytes")?,
            compute_capability: object.text("devices.compute_capability")?,
        };
        object.finish(notes);
        Ok(device)
    }

    fn snapshot(&self) -> DeviceSnapshot<'_> {
        DeviceSnapshot {
            vram_total_bytes: self.vram_total_bytes,
            vram_free_bytes: self.vram_free_bytes,
            compute_capability: self.compute_capability.as_deref(),
        }
    }
}

fn warm_sessions<'a>(row: &Object<'a>, notes: &mut Vec<Concern>) -> Result<Vec<(Cow<'a, str>, i64)>, RowError> {
    let (session_id, cached_tokens) = ("warm_sessions.session_id", "warm_sessions.cached_tokens");
    let objects = row.objects("warm_sessions")?;
    let sessions = objects.iter().map(|object| {
        let session = Object::required(session_id, object.text(session_id)?)?;
        let tokens = Object::required(cached_tokens, object.integer(cached_tokens)?)?;
        object.finish(notes);
        Ok((session, tokens))
    });
    sessions.collect()
}

/// The same list, borrowed. (An empty one takes no memory.)
pub(super) fn borrowed<'s>(list: &'s [Cow<'_, str>]) -> Vec<&'s str> {
    list.iter().map(|text| &**text).collect()
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Problem;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn minimal() -> Value {
        json!({"id":"a","engine":"vllm","slots_total":8,"slots_free":7,"vram_total_bytes":80_000_000_000u64,
               "vram_free_bytes":1_000_000})
    }

    fn full() -> Value {
        json!({
            "id":"a","replica_id":"r1","engine":"vllm","engine_version":"0.6","sampler_profile_version":"p1",
            "slots_total":8,"slots_free":7,"vram_total_bytes":200_000_000,"vram_free_bytes":100_000_000,
            "compute_capability":"9.0","perf_tokens_per_s":50.5,"first_token_ms":12.5,"prefill_tokens_per_s":9000,
            "admission_latency_ms":1,"model_load_ms":20_000,"age_ms":5,"queue_depth":3,
            "supports":{"quantizations":["awq"],"extensions":["lora"],"models":["m"],"model_digests":["d"],
                        "ctx_max":8192,"min_compute_cap":"8.0"},
            "resident_models":["m"],"device_mask":"0,1",
            "devices":[{"vram_total_bytes":100_000_000,"vram_free_bytes":50_000_000,"compute_capability":"9.0"},
                       {"vram_total_bytes":100_000_000,"vram_free_bytes":50_000_000}],
            "labels":{"zone":"b","rack":"1"},"warm_sessions":[{"session_id":"s","cached_tokens":9}],
            "ready":false,"draining":true
        })
    }

    fn with(path: &str, value: Value) -> Value {
        let mut row = full();
        *row.pointer_mut(path).unwrap() = value;
        row
    }

    fn refusal(row: &Value) -> String {
        let read = read_pool(&row.to_string(), &mut Warnings::default(), |_| ());
        read.err().map(|refused| refused.error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_minimal_row_has_the_defaults() {
        let mut warnings = Warnings::default();
        let expected = PoolSnapshot::new("a", "vllm", 8, 7, 80_000_000_000, 1_000_000);
        let same = read_pool(&minimal().to_string(), &mut warnings, |snapshot| *snapshot == expected);
        assert_eq!((same, warnings.is_empty()), (Ok(true), true));
    }

    #[test]
    fn a_full_row_has_every_field() {
        let mut warnings = Warnings::default();
        let read = read_pool(&full().to_string(), &mut warnings, |snapshot| {
            let devices = [Some("9.0"), None].map(|compute_capability| DeviceSnapshot {
                vram_total_bytes: 100_000_000,
                vram_free_bytes: 50_000_000,
                compute_capability,
            });
            let expected = PoolSnapshot {
                replica_id: "r1",
                engine_version: Some("0.6"),
                sampler_profile_version: Some("p1"),
                compute_capability: Some("9.0"),
                perf_tokens_per_s: Some(50.5),
                first_token_ms: Some(12.5),
                prefill_tokens_per_s: Some(9000.0),
                admission_latency_ms: 1.0,
                model_load_ms: 20_000.0,
                age_ms: 5.0,
                queue_depth: 3,
                supports: PoolSupports {
                    quantizations: &["awq"],
                    extensions: &["lora"],
                    models: Some(&["m"]),
                    model_digests: &["d"],
                    ctx_max: Some(8192),
                    min_compute_cap: Some("8.0"),
                },
                resident_models: Some(&["m"]),
                devices: &devices,
                device_mask: Some("0,1"),
                labels: &[("rack", "1"), ("zone", "b")],
                warm_sessions: &[WarmSession { session_id: "s", cached_tokens: 9 }],
                ready: false,
                draining: true,
                ..PoolSnapshot::new("a", "vllm", 8, 7, 200_000_000, 100_000_000)
            };
            assert_eq!(*snapshot, expected);
            snapshot.validate().is_ok()
        });
        assert_eq!((read, warnings.to_string()), (Ok(true), String::new()));
    }

    // UNIT-10: null is absent, in every field.
    #[test]
    fn null_is_absent() {
        let required = ["id", "engine", "slots_total", "slots_free", "vram_total_bytes", "vram_free_bytes"];
        for key in full().as_object().unwrap().keys() {
            let message = refusal(&with(&format!("/{key}"), Value::Null));
            let expected =
                if required.contains(&key.as_str()) { format!("{key}: required, but absent") } else { String::new() };
            assert_eq!(message, expected);
        }
        for path in ["/supports/models", "/devices/0/compute_capability", "/labels/zone"] {
            assert_eq!(refusal(&with(path, Value::Null)), "", "{path}");
        }
        for (path, field) in [
            ("/devices/1/vram_free_bytes", "devices.vram_free_bytes"),
            ("/warm_sessions/0/session_id", "warm_sessions.session_id"),
            ("/warm_sessions/0/cached_tokens", "warm_sessions.cached_tokens"),
        ] {
            assert_eq!(refusal(&with(path, Value::Null)), format!("{field}: required, but absent"));
        }
    }

    // UNIT-9: a wrong type names its field, in every field.
    #[test]
    fn wrong_types_name_their_field() {
        let row = full();
        for key in row.as_object().unwrap().keys() {
            let is_text = row[key].is_string();
            let wrong = if is_text { json!(5) } else { json!("five") };
            let message = refusal(&with(&format!("/{key}"), wrong));
            assert!(message.starts_with(&format!("{key}: wrong type: expected ")), "{message}");
        }
        for (path, value, message) in [
            ("/supports/ctx_max", json!(8.5), "supports.ctx_max: wrong type: expected a whole number"),
            ("/supports/models", json!("m"), "supports.models: wrong type: expected a list of texts"),
            ("/supports/models/0", json!(1), "supports.models: wrong type: expected a list of texts"),
            ("/devices/0", json!(null), "devices: wrong type: expected a list of objects"),
            (
                "/devices/1/vram_total_bytes",
                json!("8"),
                "devices.vram_total_bytes: wrong type: expected a whole number",
            ),
            ("/labels/zone", json!(["b"]), "labels.zone: wrong type: expected a text"),
            ("/ready", json!(1), "ready: wrong type: expected true or false"),
        ] {
            assert_eq!(refusal(&with(path, value)), message);
        }
    }

    #[test]
    fn the_core_refuses_what_is_out_of_range() {
        let problem = |text: &str| {
            let read = read_pool(text, &mut Warnings::default(), |snapshot| snapshot.validate().err());
            read.unwrap().map(|error| (error.field, error.problem))
        };
        let text = minimal().to_string();
        let huge = text.replace("\"slots_total\":8", "\"slots_total\":1e400");
        assert_eq!(problem(&huge), Some(("slots_total", Problem::TooLarge { max: 32_767 })));
        let low = text.replace("\"slots_total\":8", "\"slots_total\":-99999999999999999999");
        assert_eq!(problem(&low), Some(("slots_total", Problem::Negative)));
        let infinite = text.replace('}', ",\"age_ms\":1e400}");
        assert_eq!(problem(&infinite), Some(("age_ms", Problem::NotFinite)));
        assert_eq!(problem(&text.replace("\"slots_total\":8", "\"slots_total\":8.0")), None);
    }

    // POOL-1: ids of rows that are refused for another reason.
    #[test]
    fn refused_rows_keep_their_ids() {
        let table = [
            (r#"{"slots_total":NaN,"replica_id":"r","id":"a"}"#, Some(("a", "r"))),
            (r#"{"slots_total":NaN,"id":"a"}"#, Some(("a", ""))),
            (r#"{"id":"a"}"#, Some(("a", ""))),
            (r#"{"id":"a","replica_id":null,"x":1,"x":2}"#, Some(("a", ""))),
            (r#"{"id":"a","replica_id":5}"#, None),
            (r#"{"id":"a","replica_id":"r""#, Some(("a", "r"))),
            (r#"{"id":"a","#, None),
            (r#"{"id":7,"replica_id":"r"}"#, None),
            ("[]", None),
        ];
        for (text, identity) in table {
            let refused = read_pool(text, &mut Warnings::default(), |_| ()).unwrap_err();
            assert_eq!(refused.identity(), identity, "{text}");
        }
        let not_utf8 =
            |bytes: &[u8]| RefusedPool::unparsed(bytes, RowError::row(super::super::row_error::Why::NotUtf8));
        assert_eq!(not_utf8(b"{\"id\":\"a\",\"labels\":{\"k\":\"\xff\"}}").identity(), Some(("a", "")));
        assert_eq!(not_utf8(b"{\"id\":\"a\xff\"}").identity(), None);
    }

    // POOL-2, POOL-4, UNIT-10.
    #[test]
    fn warnings_are_counted_per_row() {
        let mut warnings = Warnings::default();
        let mut row = with("/devices/0/vram_free_bytes", json!(40_000_000));
        row["devices"][0]["name"] = json!("H100");
        row["devices"][1]["name"] = json!("H100");
        row["vram_total_bytes"] = json!(80);
        row["gpu_name"] = json!({"x": [1]});
        assert!(read_pool(&row.to_string(), &mut warnings, |_| ()).is_ok());
        let lines = [
            "1 pool: unknown field `devices.name`",
            "1 pool: unknown field `gpu_name`",
            "1 pool: `vram_total_bytes` is below 1 MiB; bytes are meant",
            "1 pool: `vram_free_bytes` is not the sum over `devices`, which is used",
            "1 pool: `vram_total_bytes` is not the sum over `devices`, which is used",
        ];
        assert_eq!(warnings.to_string(), lines.join("\n"));
        // A row that is refused here counts for nothing.
        assert!(read_pool(r#"{"gpu_name":1}"#, &mut warnings, |_| ()).is_err());
        assert_eq!(warnings.to_string(), lines.join("\n"));
    }

    proptest! {
        #[test]
        fn texts_and_numbers_survive(
            id in any::<String>(),
            list in prop::collection::vec(any::<String>(), 0..5),
            labels in prop::collection::btree_map(any::<String>(), any::<String>(), 0..5),
            bytes in any::<i64>(),
            rate in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        ) {
            let mut row = minimal();
            row["id"] = json!(id);
            row["resident_models"] = json!(list);
            row["labels"] = json!(labels);
            row["vram_free_bytes"] = json!(bytes);
            row["perf_tokens_per_s"] = json!(rate);
            let same = read_pool(&row.to_string(), &mut Warnings::default(), |snapshot| {
                snapshot.id == id
                    && snapshot.resident_models.unwrap().iter().eq(list.iter())
                    && snapshot.labels.iter().copied().eq(labels.iter().map(|(key, value)| (&**key, &**value)))
                    && snapshot.vram_free_bytes == bytes
                    && snapshot.perf_tokens_per_s.map(f64::to_bits) == Some(rate.to_bits())
            });
            prop_assert_eq!(same, Ok(true));
        }
    }
}
