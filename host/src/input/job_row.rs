//! One line of a job file as a [`JobSpec`]. Fields and defaults: `docs/spec.md` section 3.
//!
//! ```text
//! {"id":"j1","engine":"vllm","model_id":"m","prompt_tokens":512,"placement":{"prefer_pools":["a","b"]}}
//! ```
//!
//! [`JobText::read`] knows types and words, [`JobText::with_spec`] lends the spec, and `JobSpec::validate` of the core
//! knows limits and rules.
//!
//! Invariants: nothing is clamped here; a refused line keeps its job id where that could be read.

use std::borrow::Cow;

use orchestrator_core::{
    Budget, DeterminismSpec, JobSpec, KvHint, ModelRequirements, PlacementHints, PlacementMode, Priority,
};

use super::fields::{Object, TextMap};
use super::lines::{Line, LineProblem};
use super::pool_row::borrowed;
use super::row_error::RowError;
use super::slips::check_job;
use super::warnings::{Concern, Source, Warnings};

/// A job line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct RefusedJob {
    /// The job's id, where it could be read.
    pub id: Option<String>,
    /// What broke the line.
    pub error: RowError,
}

/// A job line, its types checked and its limits not.
#[derive(Debug, Clone, PartialEq)]
pub struct JobText<'a> {
    id: Cow<'a, str>,
    engine: Cow<'a, str>,
    model_id: Cow<'a, str>,
    session_id: Option<Cow<'a, str>>,
    tenant_id: Option<Cow<'a, str>>,
    numbers: Numbers,
    requirements: Requirements<'a>,
    determinism: Determinism<'a>,
    placement: Placement<'a>,
}

/// What of a job is no text, and the budget.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Numbers {
    priority: Priority,
    kv_hint: KvHint,
    prompt_tokens: i64,
    expected_tokens: Option<i64>,
    max_tokens: Option<i64>,
    required_ctx: Option<i64>,
    est_kv_bytes: Option<i64>,
    deadline_ms: Option<f64>,
    budget: Budget,
}

#[derive(Debug, Clone, PartialEq)]
struct Requirements<'a> {
    min_vram_bytes: i64,
    quantization: Option<Cow<'a, str>>,
    min_compute_cap: Option<Cow<'a, str>>,
    device_mask: Option<Cow<'a, str>>,
    required_extensions: Vec<Cow<'a, str>>,
    split_degree: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Determinism<'a> {
    seed: Option<i64>,
    sampler_profile_version: Option<Cow<'a, str>>,
    engine_version: Option<Cow<'a, str>>,
    model_digest: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Placement<'a> {
    mode: Option<PlacementMode>,
    pin_pool_id: Option<Cow<'a, str>>,
    prefer_pools: Vec<Cow<'a, str>>,
    avoid_pools: Vec<Cow<'a, str>>,
    require_device_mask: Option<Cow<'a, str>>,
    allow_fallback: bool,
    require_labels: TextMap<'a>,
}

const PRIORITIES: [(&str, Priority); 2] = [("interactive", Priority::Interactive), ("batch", Priority::Batch)];
const KV_HINTS: [(&str, KvHint); 2] = [("reuse", KvHint::Reuse), ("cold", KvHint::Cold)];
const MODES: [(&str, PlacementMode); 3] =
    [("auto", PlacementMode::Auto), ("pin", PlacementMode::Pin), ("prefer", PlacementMode::Prefer)];

/// Reads the text of one job and lends the spec to `then`.
///
/// # Errors
/// A text that is no object, or a field of the wrong type, required and absent, or repeated.
pub fn read_job<R>(text: &str, warnings: &mut Warnings, then: impl FnOnce(&JobSpec<'_>) -> R) -> Result<R, RefusedJob> {
    JobText::read(text, warnings).map(|job| job.with_spec(then))
}

/// Reads one line of a job file and lends the spec to `then`.
///
/// # Errors
/// As [`read_job`], and a line that is too long or no UTF-8.
pub fn read_job_line<R>(
    line: &Line<'_>,
    warnings: &mut Warnings,
    then: impl FnOnce(&JobSpec<'_>) -> R,
) -> Result<R, RefusedJob> {
    match line.text() {
        Ok(text) => read_job(text, warnings, then),
        Err(problem) => Err(RefusedJob::unparsed(line.bytes(), problem)),
    }
}

impl RefusedJob {
    /// A line of these bytes, refused before it could be parsed.
    fn unparsed(bytes: &[u8], problem: LineProblem) -> Self {
        let text = String::from_utf8_lossy(bytes);
        // A replaced character means that the id itself is not known.
        let whole = |id: &String| !id.contains(char::REPLACEMENT_CHARACTER);
        Self { id: Object::row(&text).peek_text("id").filter(whole), error: RowError::row(problem) }
    }
}

impl<'a> JobText<'a> {
    /// Reads the text of one job. Its warnings are counted only if it can be read.
    ///
    /// # Errors
    /// A text that is no object, or a field of the wrong type, required and absent, or repeated.
    pub fn read(text: &'a str, warnings: &mut Warnings) -> Result<Self, RefusedJob> {
        let row = Object::row(text);
        let mut notes = Vec::new();
        let job = Self::parse(&row, &mut notes).map_err(|error| RefusedJob { id: row.peek_text("id"), error })?;
        job.with_spec(|spec| check_job(spec, &mut notes));
        warnings.count_row(Source::Job, notes);
        Ok(job)
    }

    /// The job's id, as written.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Lends the line as the spec that the core validates.
    pub fn with_spec<R>(&self, then: impl FnOnce(&JobSpec<'_>) -> R) -> R {
        let (requirements, determinism, placement) = (&self.requirements, &self.determinism, &self.placement);
        let required_extensions = borrowed(&requirements.required_extensions);
        let prefer_pools = borrowed(&placement.prefer_pools);
        let avoid_pools = borrowed(&placement.avoid_pools);
        let labels = placement.require_labels.iter();
        let require_labels: Vec<_> = labels.map(|(key, value)| (&**key, &**value)).collect();
        then(&JobSpec {
            requirements: ModelRequirements {
                min_vram_bytes: requirements.min_vram_bytes,
                quantization: requirements.quantization.as_deref(),
                min_compute_cap: requirements.min_compute_cap.as_deref(),
                device_mask: requirements.device_mask.as_deref(),
                required_extensions: &required_extensions,
                split_degree: requirements.split_degree,
            },
            determinism: DeterminismSpec {
                seed: determinism.seed,
                sampler_profile_version: determinism.sampler_profile_version.as_deref(),
                engine_version: determinism.engine_version.as_deref(),
                model_digest: determinism.model_digest.as_deref(),
            },
            placement: PlacementHints {
                mode: placement.mode,
                pin_pool_id: placement.pin_pool_id.as_deref(),
                prefer_pools: &prefer_pools,
                avoid_pools: &avoid_pools,
                require_device_mask: placement.require_device_mask.as_deref(),
                allow_fallback: placement.allow_fallback,
                require_labels: &require_labels,
            },
            ..self.scalars()
        })
    }

    /// The spec without its nested objects.
    fn scalars(&self) -> JobSpec<'_> {
        let numbers = &self.numbers;
        JobSpec {
            session_id: self.session_id.as_deref(),
            tenant_id: self.tenant_id.as_deref(),
            priority: numbers.priority,
            kv_hint: numbers.kv_hint,
            prompt_tokens: numbers.prompt_tokens,
            expected_tokens: numbers.expected_tokens,
            max_tokens: numbers.max_tokens,
            required_ctx: numbers.required_ctx,
            est_kv_bytes: numbers.est_kv_bytes,
            deadline_ms: numbers.deadline_ms,
            budget: numbers.budget,
            ..JobSpec::new(&self.id, &self.engine, &self.model_id)
        }
    }

    fn parse(row: &Object<'a>, notes: &mut Vec<Concern>) -> Result<Self, RowError> {
        row.check()?;
        let job = Self {
            id: Object::required("id", row.text("id")?)?,
            engine: Object::required("engine", row.text("engine")?)?,
            model_id: Object::required("model_id", row.text("model_id")?)?,
            numbers: Numbers::parse(row, notes)?,
            session_id: row.text("session_id")?,
            tenant_id: row.text("tenant_id")?,
            requirements: Requirements::parse(&row.object("requirements")?, notes)?,
            determinism: Determinism::parse(&row.object("determinism")?, notes)?,
            placement: Placement::parse(&row.object("placement")?, notes)?,
        };
        row.finish(notes);
        Ok(job)
    }
}

impl Numbers {
    fn parse(row: &Object<'_>, notes: &mut Vec<Concern>) -> Result<Self, RowError> {
        let priority = row.word("priority", &PRIORITIES, "interactive or batch")?;
        let kv_hint = row.word("kv_hint", &KV_HINTS, "reuse or cold")?;
        let budget = row.object("budget")?;
        let numbers = Self {
            priority: priority.unwrap_or_default(),
            kv_hint: kv_hint.unwrap_or_default(),
            prompt_tokens: row.integer("prompt_tokens")?.unwrap_or(0),
            expected_tokens: row.integer("expected_tokens")?,
            max_tokens: row.integer("max_tokens")?,
            required_ctx: row.integer("required_ctx")?,
            est_kv_bytes: row.integer("est_kv_bytes")?,
            deadline_ms: row.float("deadline_ms")?,
            budget: Budget {
                tokens: budget.integer("budget.tokens")?,
                time_ms: budget.float("budget.time_ms")?,
                cost_micros: budget.integer("budget.cost_micros")?,
            },
        };
        budget.finish(notes);
        Ok(numbers)
    }
}

impl<'a> Requirements<'a> {
    fn parse(object: &Object<'a>, notes: &mut Vec<Concern>) -> Result<Self, RowError> {
        let split = object.object("requirements.split")?;
        let requirements = Self {
            min_vram_bytes: object.integer("requirements.min_vram_bytes")?.unwrap_or(0),
            quantization: object.text("requirements.quantization")?,
            min_compute_cap: object.text("requirements.min_compute_cap")?,
            device_mask: object.text("requirements.device_mask")?,
            required_extensions: object.texts("requirements.required_extensions")?.unwrap_or_default(),
            split_degree: split.integer("requirements.split.degree")?,
        };
        split.finish(notes);
        object.finish(notes);
        Ok(requirements)
    }
}

impl<'a> Determinism<'a> {
    fn parse(object: &Object<'a>, notes: &mut Vec<Concern>) -> Result<Self, RowError> {
        let determinism = Self {
            // Every seed of 64 bits is legal, so a larger one must not become the nearest.
            seed: object.exact_integer("determinism.seed")?,
            sampler_profile_version: object.text("determinism.sampler_profile_version")?,
            engine_version: object.text("determinism.engine_version")?,
            model_digest: object.text("determinism.model_digest")?,
        };
        object.finish(notes);
        Ok(determinism)
    }
}

impl<'a> Placement<'a> {
    fn parse(object: &Object<'a>, notes: &mut Vec<Concern>) -> Result<Self, RowError> {
        let placement = Self {
            mode: object.word("placement.mode", &MODES, "auto, pin or prefer")?,
            pin_pool_id: object.text("placement.pin_pool_id")?,
            prefer_pools: object.texts("placement.prefer_pools")?.unwrap_or_default(),
            avoid_pools: object.texts("placement.avoid_pools")?.unwrap_or_default(),
            require_device_mask: object.text("placement.require_device_mask")?,
            allow_fallback: object.boolean("placement.allow_fallback")?.unwrap_or(true),
            require_labels: object.text_map("placement.require_labels")?,
        };
        object.finish(notes);
        Ok(placement)
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::{Policy, Problem};
    use serde_json::{Value, json};

    use super::*;
    use crate::input::{LineReader, MAX_LINE_BYTES};

    fn full() -> Value {
        json!({
            "id":"j","engine":"vllm","model_id":"m","priority":"interactive","prompt_tokens":5,"expected_tokens":6,
            "max_tokens":7,"required_ctx":8,"est_kv_bytes":9000,"session_id":"s","tenant_id":"t","kv_hint":"cold","deadline_ms":10.5,
            "requirements":{"min_vram_bytes":11_000_000,"quantization":"awq","min_compute_cap":"8.0",
                            "device_mask":"0","required_extensions":["x"],"split":{"degree":2}},
            "determinism":{"seed":i64::MIN,"sampler_profile_version":"p","engine_version":"v","model_digest":"d"},
            "placement":{"mode":"prefer","pin_pool_id":null,"prefer_pools":["a"],"avoid_pools":["b"],
                         "require_device_mask":"1","allow_fallback":false,"require_labels":{"k":"v"}},
            "budget":{"tokens":12,"time_ms":13.5,"cost_micros":14}
        })
    }

    fn with(path: &str, value: Value) -> String {
        let mut row = full();
        *row.pointer_mut(path).unwrap() = value;
        row.to_string()
    }

    fn refusal(text: &str) -> String {
        let read = read_job(text, &mut Warnings::default(), |_| ());
        read.err().map(|refused| refused.error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_minimal_line_has_the_defaults() {
        let mut warnings = Warnings::default();
        let text = r#"{"id":"j","engine":"vllm","model_id":"m"}"#;
        let same = read_job(text, &mut warnings, |spec| *spec == JobSpec::new("j", "vllm", "m"));
        assert_eq!((same, warnings.is_empty()), (Ok(true), true));
    }

    #[test]
    fn a_full_line_has_every_field() {
        let mut warnings = Warnings::default();
        let read = read_job(&full().to_string(), &mut warnings, |spec| {
            let expected = JobSpec {
                priority: Priority::Interactive,
                prompt_tokens: 5,
                expected_tokens: Some(6),
                max_tokens: Some(7),
                required_ctx: Some(8),
                est_kv_bytes: Some(9000),
                session_id: Some("s"),
                tenant_id: Some("t"),
                kv_hint: KvHint::Cold,
                deadline_ms: Some(10.5),
                requirements: ModelRequirements {
                    min_vram_bytes: 11_000_000,
                    quantization: Some("awq"),
                    min_compute_cap: Some("8.0"),
                    device_mask: Some("0"),
                    required_extensions: &["x"],
                    split_degree: Some(2),
                },
                determinism: DeterminismSpec {
                    seed: Some(i64::MIN),
                    sampler_profile_version: Some("p"),
                    engine_version: Some("v"),
                    model_digest: Some("d"),
                },
                placement: PlacementHints {
                    mode: Some(PlacementMode::Prefer),
                    pin_pool_id: None,
                    prefer_pools: &["a"],
                    avoid_pools: &["b"],
                    require_device_mask: Some("1"),
                    allow_fallback: false,
                    require_labels: &[("k", "v")],
                },
                budget: Budget { tokens: Some(12), time_ms: Some(13.5), cost_micros: Some(14) },
                ..JobSpec::new("j", "vllm", "m")
            };
            assert_eq!(*spec, expected);
            spec.validate(&Policy::default(), None).is_ok()
        });
        assert_eq!((read, warnings.to_string()), (Ok(true), String::new()));
    }

    #[test]
    fn words_are_exact() {
        for (path, word) in [("/priority", "batch"), ("/kv_hint", "reuse"), ("/placement/mode", "auto")] {
            assert_eq!(refusal(&with(path, json!(word))), "");
        }
        for (path, word, message) in [
            ("/priority", "Batch", "priority: malformed: expected interactive or batch"),
            ("/kv_hint", "warm", "kv_hint: malformed: expected reuse or cold"),
            ("/placement/mode", "PIN", "placement.mode: malformed: expected auto, pin or prefer"),
        ] {
            assert_eq!(refusal(&with(path, json!(word))), message);
        }
        assert_eq!(refusal(&with("/priority", json!(1))), "priority: wrong type: expected a text");
    }

    #[test]
    fn every_field_refuses_a_wrong_type_by_its_path() {
        let row = full();
        let mut seen = 0;
        for (key, value) in row.as_object().unwrap() {
            let nested = value.as_object().into_iter().flatten();
            let paths = nested.map(|(inner, value)| (format!("/{key}/{inner}"), value));
            for (path, value) in paths.chain([(format!("/{key}"), value)]) {
                let wrong = if value.is_string() || value.is_null() { json!(5) } else { json!("five") };
                let field = path.trim_start_matches('/').replace('/', ".");
                let message = refusal(&with(&path, wrong));
                assert!(message.starts_with(&format!("{field}: wrong type: expected ")), "{message}");
                seen += 1;
            }
        }
        assert_eq!(seen, 37);
        let message = "requirements.split.degree: wrong type: expected a whole number";
        assert_eq!(refusal(&with("/requirements/split/degree", json!(1.5))), message);
    }

    #[test]
    fn seeds_are_exact_or_refused() {
        let seed = |text: &str| {
            let line = format!(r#"{{"id":"j","engine":"e","model_id":"m","determinism":{{"seed":{text}}}}}"#);
            read_job(&line, &mut Warnings::default(), |spec| spec.determinism.seed).map_err(|refused| refused.error)
        };
        assert_eq!(seed("9223372036854775807"), Ok(Some(i64::MAX)));
        assert_eq!(seed("-9223372036854775808"), Ok(Some(i64::MIN)));
        let max = i64::MAX.unsigned_abs();
        let large = RowError::new("determinism.seed", Problem::TooLarge { max });
        assert_eq!(seed("9223372036854775808"), Err(large));
        assert!(seed("-9223372036854775809").is_err());
    }

    #[test]
    fn lines_keep_their_ids_when_they_are_refused() {
        let long = format!(r#"{{"id":"long","engine":"{}"}}"#, "x".repeat(MAX_LINE_BYTES));
        let mut file =
            b"{\"id\":\"bad\",\"prompt_tokens\":NaN}\n{\"id\":\"u\",\"x\":\"\xff\"}\n{\"id\":\"\xff\"}\n".to_vec();
        file.extend_from_slice(long.as_bytes());
        let mut reader = LineReader::new(&*file);
        let mut refused = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            let error = read_job_line(&line, &mut Warnings::default(), |_| ()).unwrap_err();
            refused.push((line.number(), error.id.unwrap_or_default(), error.error.to_string()));
        }
        let expected = [
            (1, "bad", "prompt_tokens: not JSON: expected value"),
            (2, "u", "row: not UTF-8 text"),
            (3, "", "row: not UTF-8 text"),
            (4, "long", "row: longer than 1048576 bytes"),
        ];
        assert_eq!(refused, expected.map(|(number, id, why)| (number, id.to_owned(), why.to_owned())));
    }

    #[test]
    fn warnings() {
        let mut warnings = Warnings::default();
        let text =
            r#"{"id":"j","engine":"e","model_id":"m","tags":[],"requirements":{"split":{"axis":1}},"est_kv_bytes":5}"#;
        assert!(read_job(text, &mut warnings, |_| ()).is_ok());
        let lines = [
            "1 job: unknown field `requirements.split.axis`",
            "1 job: unknown field `tags`",
            "1 job: `est_kv_bytes` is below 1 KiB; bytes are meant",
        ];
        assert_eq!(warnings.to_string(), lines.join("\n"));
    }

    // Any damage to a valid line is either read or refused, never a panic.
    #[test]
    fn damaged_lines_never_panic() {
        let text = full().to_string().into_bytes();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap()
        };
        let bytes = b"{}[]\",:\\nNaN0-+.eE\n\xff\x00 u";
        for _ in 0..50_000 {
            let mut line = text.clone();
            for _ in 0..=random() % 3 {
                let place = random() % line.len();
                match random() % 3 {
                    0 => line[place] = bytes[random() % bytes.len()],
                    1 => line.insert(place, bytes[random() % bytes.len()]),
                    _ => drop(line.remove(place)),
                }
            }
            line.retain(|&byte| byte != b'\n');
            let mut reader = LineReader::new(&*line);
            let line = reader.next_line().unwrap().unwrap();
            let _ = read_job_line(&line, &mut Warnings::default(), |spec| {
                spec.validate(&Policy::default(), None).map(|_| ())
            });
        }
    }
}
