//! The policy file: the knobs of POLICY-1 as TOML.
//!
//! ```toml
//! version = 1                     # optional
//! order = "predicted-end"         # or "vram-first"
//! quantum_shift = 10              # 0 to 46
//! performance_aware = true
//! spread_seed = "0x9e3779b9"      # any u64; as a plain integer up to 2^63 - 1
//! default_output_tokens = 256
//! default_tokens_per_s = 50
//! default_first_token_ms = 200
//! stale_after_ms = 30_000
//! session_capacity = 65_536
//!
//! [weights]                       # 0 to 16 each
//! prefill = 0.5
//! ```
//!
//! Invariants: an absent knob has its default; an unknown one is an error, because a typing mistake must not silently be
//! a default; every error names the file, the key and what the key takes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use orchestrator_core::{Order, Policy, PolicySpec, SCHEMA_VERSION, WeightsSpec};
use toml::{Table, Value};

use super::row_error::path_text;

/// A policy file has at most this many bytes.
pub const MAX_POLICY_BYTES: u64 = 1 << 20;

/// Every key, and what it takes.
const KNOBS: [(&str, &str); 11] = [
    ("version", "1"),
    ("order", "\"predicted-end\" or \"vram-first\""),
    ("quantum_shift", "an integer from 0 to 46"),
    ("performance_aware", "true or false"),
    ("spread_seed", "an integer from 0 to 2^63 - 1, or a text with a decimal or 0x number of 64 bits"),
    ("default_output_tokens", "an integer from 0 to 16777215"),
    ("default_tokens_per_s", "a number from 0 to 4294967.295"),
    ("default_first_token_ms", "milliseconds, a number from 0 to 70368744177.663"),
    ("stale_after_ms", "milliseconds, a number from 0 to 70368744177.663"),
    ("session_capacity", "an integer from 0 to 16777216"),
    ("weights", "a table of admission, model_load, first_token, prefill, decode"),
];

/// Every key of the table `weights`.
const WEIGHTS: [&str; 5] =
    ["weights.admission", "weights.model_load", "weights.first_token", "weights.prefill", "weights.decode"];

const A_WEIGHT: &str = "a number from 0 to 16";

/// A policy file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said; also for text that is no UTF-8.
        source: io::Error,
    },
    /// The file has more bytes than a policy file may have.
    #[error("{}: longer than {MAX_POLICY_BYTES} bytes; is this a policy file?", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The text is not TOML.
    #[error("{}: {}", path.display(), message.trim_end())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line, column, excerpt and reason.
        message: String,
    },
    /// A key that is none of the knobs.
    #[error("{}: unknown key `{key}`; known are {known}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key's dotted path.
        key: String,
        /// The keys there are.
        known: String,
    },
    /// A value that its key does not take.
    #[error("{}: `{key}` cannot be {found}; it takes {allowed}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key's dotted path.
        key: &'static str,
        /// The value, or what kind of value it is.
        found: String,
        /// What the key takes.
        allowed: &'static str,
    },
}

/// Reads the policy file at `path`.
///
/// # Errors
/// The file cannot be read, is no TOML, or has a key or value that POLICY-1 does not know.
pub fn read_policy(path: &Path) -> Result<Policy, PolicyFileError> {
    let failed = |source| PolicyFileError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let bounded = &mut file.take(MAX_POLICY_BYTES.saturating_add(1));
    let length = bounded.read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(length).is_ok_and(|length| length <= MAX_POLICY_BYTES) {
        parse_policy(&text, path)
    } else {
        let path = path.to_owned();
        Err(PolicyFileError::TooLong { path })
    }
}

/// Reads the text of a policy file; `path` names it in errors.
///
/// # Errors
/// The text is no TOML, or has a key or value that POLICY-1 does not know.
pub fn parse_policy(text: &str, path: &Path) -> Result<Policy, PolicyFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed = toml::from_str::<Table>(text);
    let table = parsed.map_err(|error| PolicyFileError::Toml { path: path.to_owned(), message: error.to_string() })?;
    let knobs = Knobs { table: &table, path };
    knobs.check_keys()?;
    let spec = knobs.spec()?;
    // The core knows the limits; a value outside of one is said like a value of the wrong type.
    spec.validate().map_err(|error| knobs.refused(error.field))
}

/// The keys of a policy file.
struct Knobs<'a> {
    table: &'a Table,
    path: &'a Path,
}

impl Knobs<'_> {
    fn check_keys(&self) -> Result<(), PolicyFileError> {
        let names = KNOBS.map(|(name, _)| name);
        if let Some(key) = self.table.keys().find(|key| !names.contains(&key.as_str())) {
            return Err(self.unknown("", key, &names));
        }
        let Some(weights) = self.get("weights") else {
            return Ok(());
        };
        let weights = weights.as_table().ok_or_else(|| self.refused("weights"))?;
        let is_known = |key: &String| WEIGHTS.iter().any(|name| last_part(name) == key);
        match weights.keys().find(|key| !is_known(key)) {
            Some(key) => Err(self.unknown("weights", key, &WEIGHTS)),
            None => Ok(()),
        }
    }

    fn unknown(&self, parent: &str, key: &str, known: &[&str]) -> PolicyFileError {
        PolicyFileError::UnknownKey { path: self.path.to_owned(), key: path_text(parent, key), known: known.join(", ") }
    }

    /// The error that `key` does not take its value.
    fn refused(&self, key: &'static str) -> PolicyFileError {
        let knob = KNOBS.iter().find(|(name, _)| *name == key);
        PolicyFileError::Value {
            path: self.path.to_owned(),
            key,
            found: self.get(key).map(shown).unwrap_or_default(),
            allowed: knob.map_or(A_WEIGHT, |(_, allowed)| allowed),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        match key.strip_prefix("weights.") {
            Some(weight) => self.table.get("weights")?.get(weight),
            None => self.table.get(key),
        }
    }

    fn typed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, PolicyFileError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => parse(value).map(Some).ok_or_else(|| self.refused(key)),
        }
    }

    fn spec(&self) -> Result<PolicySpec, PolicyFileError> {
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

/// A value for a message, short and printable.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", path_text("", text)),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn order(value: &Value) -> Option<Order> {
    let name = value.as_str()?;
    Order::ALL.into_iter().find(|order| order.name() == name)
}

/// An integer; a whole decimal is one as well, as it is on the wire (UNIT-9).
fn integer(value: &Value) -> Option<i64> {
    let whole = |float: f64| float.to_string().parse().ok();
    value.as_integer().or_else(|| whole(value.as_float()?))
}

/// A number, written with a point or without.
#[expect(clippy::cast_precision_loss, reason = "an integer in a float's place is the nearest float, as in JSON")]
fn float(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| Some(value.as_integer()? as f64))
}

/// A seed of 64 bits: TOML's integers end at 2^63 - 1, a text does not.
fn seed(value: &Value) -> Option<u64> {
    if let Some(text) = value.as_str() {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let (digits, radix) = digits.map_or((text, 10), |digits| (digits, 16));
        // `from_str_radix` takes a sign; a seed has none.
        let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        return plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten();
    }
    u64::try_from(integer(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Policy, String> {
        parse_policy(text, Path::new("p.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default_policy() {
        assert_eq!(parse(""), Ok(Policy::default()));
        assert_eq!(parse("\u{feff}version = 1\n[weights]\n"), Ok(Policy::default()));
    }

    // POLICY-1: every knob.
    #[test]
    fn every_knob() {
        let text = "version = 1\norder = 'vram-first'\nquantum_shift = 46.0\nperformance_aware = false\n\
            spread_seed = '0xffffffffffffffff'\ndefault_output_tokens = 7\ndefault_tokens_per_s = 50\n\
            default_first_token_ms = 0.5\nstale_after_ms = 1\nsession_capacity = 16_777_216\n\
            [weights]\nadmission = 0\nmodel_load = 16\nfirst_token = 0.5\nprefill = 2\ndecode = 1.5\n";
        let spec = PolicySpec {
            order: Order::VramFirst,
            quantum_shift: 46,
            performance_aware: false,
            spread_seed: Some(u64::MAX),
            default_output_tokens: 7,
            default_tokens_per_s: Some(50.0),
            default_first_token_ms: Some(0.5),
            stale_after_ms: 1.0,
            session_capacity: 1 << 24,
            weights: WeightsSpec { admission: 0.0, model_load: 16.0, first_token: 0.5, prefill: 2.0, decode: 1.5 },
        };
        assert_eq!(parse(text), Ok(spec.validate().unwrap()));
    }

    #[test]
    fn seeds() {
        let seed = |text: &str| parse(&format!("spread_seed = {text}")).map(|policy| policy.spread_seed());
        for (text, value) in [
            ("0", 0),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
            ("'18446744073709551615'", u64::MAX),
            ("0x10", 16),
            ("'0X1f'", 31),
        ] {
            assert_eq!(seed(text), Ok(Some(value)), "{text}");
        }
        for text in ["-1", "'-1'", "'+1'", "'0x+1'", "''", "'0x'", "'18446744073709551616'", "true", "1.5"] {
            let why = seed(text).unwrap_err();
            assert!(why.starts_with("p.toml: `spread_seed` cannot be ") && why.contains("64 bits"), "{why}");
        }
    }

    #[test]
    fn errors_name_file_key_and_range() {
        let table = [
            ("quantum_shift = 47", "p.toml: `quantum_shift` cannot be 47; it takes an integer from 0 to 46"),
            ("quantum_shift = -1", "p.toml: `quantum_shift` cannot be -1; it takes an integer from 0 to 46"),
            ("quantum_shift = 1.5", "p.toml: `quantum_shift` cannot be 1.5; it takes an integer from 0 to 46"),
            ("order = 'fastest'", "`order` cannot be \"fastest\"; it takes \"predicted-end\" or \"vram-first\""),
            ("performance_aware = 1", "`performance_aware` cannot be 1; it takes true or false"),
            ("default_output_tokens = 16777216", "it takes an integer from 0 to 16777215"),
            (
                "default_tokens_per_s = nan",
                "`default_tokens_per_s` cannot be NaN; it takes a number from 0 to 4294967.295",
            ),
            ("default_tokens_per_s = 4294967.296", "it takes a number from 0 to 4294967.295"),
            ("default_first_token_ms = -1", "it takes milliseconds, a number from 0 to 70368744177.663"),
            ("stale_after_ms = '30s'", "it takes milliseconds, a number from 0 to 70368744177.663"),
            ("stale_after_ms = inf", "`stale_after_ms` cannot be inf"),
            ("session_capacity = 16777217", "it takes an integer from 0 to 16777216"),
            ("weights = 1", "`weights` cannot be 1; it takes a table of admission"),
            ("weights.decode = 16.1", "p.toml: `weights.decode` cannot be 16.1; it takes a number from 0 to 16"),
            ("weights.decode = true", "`weights.decode` cannot be true"),
            ("version = 2", "`version` cannot be 2; it takes 1"),
            ("quantum = 1", "p.toml: unknown key `quantum`; known are version, order, quantum_shift"),
            ("weights.decod = 1", "unknown key `weights.decod`; known are weights.admission"),
            ("[weight]\ndecode = 1", "unknown key `weight`"),
            ("order = ", "p.toml: TOML parse error at line 1"),
            ("order = 'vram-first'\norder = 'vram-first'", "line 2"),
        ];
        for (text, part) in table {
            let why = parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    // The allowed ranges in messages are those of the core.
    #[test]
    fn ranges_end_where_they_say() {
        for text in [
            "quantum_shift = 0",
            "quantum_shift = 46",
            "default_output_tokens = 16777215",
            "default_tokens_per_s = 4294967.295",
            "default_first_token_ms = 70368744177.663",
            "stale_after_ms = 70368744177.663",
            "session_capacity = 0",
            "weights.prefill = 16",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
        assert!(parse("stale_after_ms = 70368744177.664").is_err());
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        assert!(matches!(read_policy(&path), Err(PolicyFileError::Read { .. })));
        assert!(matches!(read_policy(folder.path()), Err(PolicyFileError::Read { .. })));
        std::fs::write(&path, "quantum_shift = 3").unwrap();
        assert_eq!(read_policy(&path).unwrap().quantum_shift(), 3);
        std::fs::write(&path, b"# \xff").unwrap();
        assert!(matches!(read_policy(&path), Err(PolicyFileError::Read { .. })));
        std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
        assert!(matches!(read_policy(&path), Err(PolicyFileError::TooLong { .. })));
    }
}
