//! The deployment file: everything about a fleet that no table knows, declared by its owner.
//!
//! ```toml
//! version = 1
//!
//! [jobs]                       # what the requests of a trace ask for
//! engine = "vllm"
//! model = "Qwen/Qwen2.5-7B-Instruct"
//! priority = "interactive"
//!
//! [gpu."T4"]                   # pools on every node whose `gpu` column says T4
//! engine = "vllm"
//! model = "Qwen/Qwen2.5-7B-Instruct"
//! quantization = "awq"
//! slots_per_pool = 4
//! gpus_per_pool = 1            # a node with 8 GPUs gives the pools <node>/0 to <node>/7
//! weights_bytes = 5_390_000_000
//! resident = true
//! profile = { gpu = "T4", gpu_count = 1, model = "qwen2.5-7b", quant = "awq", engine = "vLLM" }
//!
//! [node."rack3-07"]            # one node instead of its GPU type's section; same keys
//! engine = "sglang"
//! model = "Qwen/Qwen3-32B"
//! slots_per_pool = 16
//! gpus_per_pool = "all"        # one pool on all GPUs of the node, its id the node's
//!
//! [[override]]                 # the state that one pool is in
//! pool = "rack3-07"
//! draining = true
//!
//! [model_alias]                # name in pools and jobs -> model id in the profiles table
//! "Qwen/Qwen3-32B" = "qwen3-32b"
//! ```
//!
//! Invariants: an unknown key is an error (a typing mistake must not pass for a declaration), a key stands once, every
//! value is inside the limits of `docs/spec.md` section 1 (module `check`), and a **measured speed cannot be
//! declared**: `profile` names the row of the profiles table that stands in for the pool, exactly.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check;
use super::error::ImportError;
use super::lines::open;

/// A deployment file has at most this many bytes.
pub const MAX_DEPLOYMENT_BYTES: u64 = 1 << 20;

/// A deployment file. Maps are ordered by key, so that its echo in a fleet file is the same for any order of sections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Version of the format: 1.
    pub version: u32,
    /// What the requests of the traces ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobsSection>,
    /// By the `gpu` column of the nodes table: what runs on such nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gpu: BTreeMap<String, Serving>,
    /// By node id: what runs on this node, instead of its GPU type's section.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node: BTreeMap<String, Serving>,
    /// The states of single pools.
    #[serde(default, rename = "override", skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<PoolOverride>,
    /// From model names as pools and jobs have them to model ids as the profiles table has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub model_alias: BTreeMap<String, String>,
}

/// What the requests of the traces ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobsSection {
    /// The engine; required here or for each trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The model; required here or for each trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The priority; absent means `batch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The quantisation that a pool must support.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Bytes of the model's weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_vram_bytes: Option<u64>,
    /// Other values for single traces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<TraceSection>,
}

/// Values of one trace that differ from [`JobsSection`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSection {
    /// The trace's file name without its extension.
    pub stem: String,
    /// The engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The quantisation that a pool must support.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Bytes of the model's weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_vram_bytes: Option<u64>,
}

/// Priority of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Someone waits for it.
    Interactive,
    /// Nobody does.
    Batch,
}

/// What runs on the nodes of one GPU type, or on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serving {
    /// The engine.
    pub engine: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Version of the sampler profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler_profile_version: Option<String>,
    /// The model served; exactly one of `model` and `models` stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The models served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The quantisation of the weights that are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Requests that one pool can run at once.
    pub slots_per_pool: u16,
    /// How many GPUs of a node make one pool; absent means 1.
    #[serde(default)]
    pub gpus_per_pool: GpusPerPool,
    /// Bytes of the weights of one pool: they are taken from its free VRAM, unless `resident` is `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_bytes: Option<u64>,
    /// `true`: the pool publishes its models as resident; `false`: it publishes that none is; absent: it publishes
    /// nothing, so that every model counts as resident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident: Option<bool>,
    /// Longest context in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx_max: Option<u32>,
    /// The least compute capability that the engine's build runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_compute_cap: Option<String>,
    /// Extensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Digests of the models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_digests: Vec<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Time from placement to the engine's start of work, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission_latency_ms: Option<f64>,
    /// Time to load a model that is not resident, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_load_ms: Option<f64>,
    /// The row of the profiles table that stands in for these pools; absent means that their speed is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileKey>,
}

impl Serving {
    /// The models served, whichever key declares them.
    #[must_use]
    pub fn served_models(&self) -> Vec<&str> {
        let many = self.models.iter().flatten();
        self.model.iter().chain(many).map(String::as_str).collect()
    }
}

/// How many GPUs of a node make one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpusPerPool {
    /// So many; what is left over at the end of a node stays unused.
    Count(u8),
    /// All of them: one pool per node.
    All,
}

impl Default for GpusPerPool {
    fn default() -> Self {
        Self::Count(1)
    }
}

impl Serialize for GpusPerPool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u8(*count),
            Self::All => serializer.serialize_str("all"),
        }
    }
}

impl<'de> Deserialize<'de> for GpusPerPool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = GpusPerPool;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number from 1 to 16, or \"all\"")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<GpusPerPool, E> {
                let count = u8::try_from(value).ok().filter(|count| (1..=16).contains(count));
                count.map(GpusPerPool::Count).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<GpusPerPool, E> {
                self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<GpusPerPool, E> {
                if value == "all" {
                    return Ok(GpusPerPool::All);
                }
                Err(E::invalid_value(de::Unexpected::Str(value), &self))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// The key of one row of the profiles table, exactly as the table has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileKey {
    /// Column `gpu`.
    pub gpu: String,
    /// Column `gpu_count`; absent is a blank cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_count: Option<u32>,
    /// Column `model`, or a name that `[model_alias]` translates to it.
    pub model: String,
    /// Column `quant`; absent is a blank cell.
    #[serde(default)]
    pub quant: String,
    /// Column `engine`.
    pub engine: String,
}

impl fmt::Display for ProfileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.gpu_count.map(|count| count.to_string()).unwrap_or_default();
        write!(f, "{},{count},{},{},{}", self.gpu, self.model, self.quant, self.engine)
    }
}

/// The state that one pool is in. A speed cannot be set: it is measured or unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolOverride {
    /// The pool's id.
    pub pool: String,
    /// Free slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots_free: Option<u16>,
    /// Free VRAM in bytes; on a pool with devices it is shared out evenly over them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vram_free_bytes: Option<u64>,
    /// Requests that wait at the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<u32>,
    /// Age of what is known about the pool, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<f64>,
    /// Whether the pool takes work at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Whether it only finishes what it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draining: Option<bool>,
    /// Models whose weights are loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_models: Option<Vec<String>>,
    /// Labels that are added, or that replace the section's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Sessions whose KV cache is warm here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warm_sessions: Vec<DeclaredSession>,
}

/// A session whose KV cache a pool holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredSession {
    /// The session.
    pub session_id: String,
    /// Tokens of it that need no prefill.
    pub cached_tokens: u32,
}

/// Reads a whole deployment file.
fn read_text(path: &Path) -> Result<String, ImportError> {
    let failed = |source| ImportError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    open(path)?.take(MAX_DEPLOYMENT_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_DEPLOYMENT_BYTES {
        return Err(ImportError::TooLong { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

impl Deployment {
    /// Reads and checks a deployment file.
    ///
    /// # Errors
    /// The file cannot be read, is too long, is no TOML of this shape, or has a value that cannot stand.
    pub fn load(path: &Path) -> Result<Self, ImportError> {
        let text = read_text(path)?;
        let parsed: Result<Self, _> = toml::from_str(&text);
        let deployment =
            parsed.map_err(|error| ImportError::Toml { path: path.to_owned(), message: error.to_string() })?;
        check::deployment(&deployment).map_err(|fault| fault.in_file(path))?;
        Ok(deployment)
    }

    /// What runs on a node: its own section, else its GPU type's.
    #[must_use]
    pub fn serving(&self, node: &str, gpu: &str) -> Option<&Serving> {
        self.node.get(node).or_else(|| self.gpu.get(gpu))
    }

    /// The model id that the profiles table uses for a name.
    #[must_use]
    pub fn table_model<'a>(&'a self, name: &'a str) -> &'a str {
        self.model_alias.get(name).map_or(name, String::as_str)
    }
}
