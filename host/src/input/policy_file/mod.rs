//! The policy file as TOML: how pools are chosen (POLICY-1), how jobs wait, run and end (sections 13 to 18), prices.
//!
//! ```toml
//! version = 1                     # optional
//! order = "predicted-end"         # or "vram-first"
//! spread_seed = "0x9e3779b9"      # any u64; as a plain integer up to 2^63 - 1
//!
//! [weights]                       # 0 to 16 each
//! prefill = 0.5
//!
//! [queue]
//! max_jobs = 1024
//! policy = "drop-lru"
//!
//! [queue.class_weights]           # turns instead of strict priority
//! interactive = 8
//!
//! [[price]]                       # of any engine and model: leave both out
//! engine = "vllm"
//! micros_per_1000_tokens = 200
//! ```
//!
//! `examples/policy.toml` has every knob. `orchestrator place` reads the same files and uses the placement part of them.
//!
//! Invariants: an absent knob has its default; an unknown one is an error, because a typing mistake must not silently be
//! a default; every error names the file, the key and what the key takes.

mod knobs;
mod price;
mod scheduler;
mod values;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use orchestrator_core::Policy;
use orchestrator_core::scheduler::SchedulerPolicy;
use toml::Table;

use knobs::Knobs;
pub use price::Price;

/// A policy file has at most this many bytes.
pub const MAX_POLICY_BYTES: u64 = 1 << 20;

/// Everything that a policy file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policies {
    /// How pools are chosen. POLICY-1.
    pub placement: Policy,
    /// How jobs wait, run and end.
    pub scheduler: SchedulerPolicy,
    /// What tokens cost; no two are for the same engine and model. BUDGET-2.
    pub prices: Vec<Price>,
}

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

/// Reads the placement part of the policy file at `path`; the rest is checked.
///
/// # Errors
/// As [`read_policies`].
pub fn read_policy(path: &Path) -> Result<Policy, PolicyFileError> {
    Ok(read_policies(path)?.placement)
}

/// Reads the placement part of the text of a policy file; the rest is checked.
///
/// # Errors
/// As [`parse_policies`].
pub fn parse_policy(text: &str, path: &Path) -> Result<Policy, PolicyFileError> {
    Ok(parse_policies(text, path)?.placement)
}

/// Reads the policy file at `path`.
///
/// # Errors
/// The file cannot be read, is no TOML, or has a key or value that no knob takes.
pub fn read_policies(path: &Path) -> Result<Policies, PolicyFileError> {
    let failed = |source| PolicyFileError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let bounded = &mut file.take(MAX_POLICY_BYTES.saturating_add(1));
    let length = bounded.read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(length).is_ok_and(|length| length <= MAX_POLICY_BYTES) {
        parse_policies(&text, path)
    } else {
        let path = path.to_owned();
        Err(PolicyFileError::TooLong { path })
    }
}

/// Reads the text of a policy file; `path` names it in errors.
///
/// # Errors
/// The text is no TOML, or has a key or value that no knob takes.
pub fn parse_policies(text: &str, path: &Path) -> Result<Policies, PolicyFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed = toml::from_str::<Table>(text);
    let table = parsed.map_err(|error| PolicyFileError::Toml { path: path.to_owned(), message: error.to_string() })?;
    let knobs = Knobs { table: &table, path };
    knobs.check_keys()?;
    // The core knows the limits; a value outside of one is said like a value of the wrong type.
    Ok(Policies {
        placement: knobs.placement_spec()?.validate().map_err(|error| knobs.refused(error.field))?,
        scheduler: knobs.scheduler_spec()?.validate().map_err(|error| knobs.refused(error.field))?,
        prices: knobs.prices()?,
    })
}

#[cfg(test)]
mod tests;
