//! Fleets from tables: one pool per group of GPUs of every node that the deployment wants.
//!
//! ```text
//! node row ─ section [node."…"] or [gpu."…"] ─ pools <node>/0, <node>/1, … ─ [[override]] ─ one line of JSON
//! ```
//!
//! A node's own VRAM and capability come first, then the specs table's. A pool's speed comes from the one profile row
//! that its section names, or is unknown. Its `device_mask` is the position of its GPUs in the node.
//!
//! Nodes are streamed: memory does not grow with their number, apart from their ids, which must not repeat.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::path::PathBuf;

use orchestrator_core::limits::{BYTES_MAX, DEVICE_ID_LIMIT, DEVICES_MAX, ID_BYTES_MAX};

use super::check::Fault;
use super::deployment::{Deployment, GpusPerPool, PoolOverride, ProfileKey, Serving};
use super::error::ImportError;
use super::pool::{Facts, GpuRange, Pool, weights_held};
use super::provenance::{Fact, Provenance};
use super::summary::{FleetCounts, ImportSummary, Imported, Refusals, SkipReason};
use super::tables::{self, BadCell, Origin, Profile, Profiles, Row, Specs, Table};

/// Columns that a nodes table must have; their cells may be blank, apart from the id and the number of GPUs.
const NODE_COLUMNS: [&str; 5] = ["node_id", "gpu", "gpu_count", "vram_bytes_per_gpu", "compute_capability"];

/// The files that a fleet is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSources {
    /// The nodes: `node_id,gpu,gpu_count,vram_bytes_per_gpu,compute_capability`.
    pub nodes: PathBuf,
    /// The GPU types: `gpu,vram_bytes,compute_capability`; asked where a node's cell is blank.
    pub specs: Option<PathBuf>,
    /// Measured deployments: `gpu,gpu_count,model,quant,engine,perf_tokens_per_s,first_token_ms`.
    pub profiles: Option<PathBuf>,
    /// What no table knows.
    pub deployment: PathBuf,
}

/// Writes the fleet of `sources` as JSON, one pool per line.
///
/// # Errors
/// A file that cannot be used, or an output that cannot be written; what has been written by then is no whole JSON.
pub fn import_fleet(sources: &FleetSources, out: &mut dyn Write) -> Result<ImportSummary, ImportError> {
    FleetImport::load(sources)?.run(out, Provenance::none())
}

/// Like [`import_fleet`], and writes to `provenance` where each number comes from, as CSV:
/// `pool,field,value,table,source_id,ref,licence`.
///
/// # Errors
/// As [`import_fleet`].
pub fn import_fleet_with_provenance(
    sources: &FleetSources,
    out: &mut dyn Write,
    provenance: &mut dyn Write,
) -> Result<ImportSummary, ImportError> {
    FleetImport::load(sources)?.run(out, Provenance::to(provenance)?)
}

/// Everything but the nodes, loaded.
struct FleetImport<'a> {
    sources: &'a FleetSources,
    deployment: Deployment,
    specs: Specs,
    profiles: Profiles,
    refused: Refusals,
}

/// One row of the nodes table, with what the specs table adds.
struct Node<'a> {
    id: &'a str,
    gpu: &'a str,
    gpu_count: u64,
    vram_bytes_per_gpu: Known<'a, u64>,
    compute_capability: Option<Known<'a, &'a str>>,
}

/// A hardware fact and the table that it comes from.
struct Known<'a, T> {
    value: T,
    table: &'static str,
    origin: &'a Origin,
}

/// What becomes of a sound row.
enum Plan<'s, 'r> {
    Skip(SkipReason),
    Pools { node: Node<'r>, serving: &'s Serving, gpus_per_pool: u64 },
}

/// What the pools written so far amount to.
struct Progress<'a> {
    counts: FleetCounts,
    used_sections: BTreeSet<&'a str>,
    /// Declared states that no pool has taken yet.
    pending: BTreeMap<&'a str, &'a PoolOverride>,
}

impl<'a> FleetImport<'a> {
    fn load(sources: &'a FleetSources) -> Result<Self, ImportError> {
        let mut refused = Refusals::default();
        let deployment = Deployment::load(&sources.deployment)?;
        let specs = sources.specs.as_ref().map(|path| tables::specs(path, &mut refused)).transpose()?;
        let profiles = sources.profiles.as_ref().map(|path| tables::profiles(path, &mut refused)).transpose()?;
        let (specs, profiles) = (specs.unwrap_or_default(), profiles.unwrap_or_default());
        let import = Self { sources, deployment, specs, profiles, refused };
        import.check_profiles().map_err(|fault| fault.in_file(&sources.deployment))?;
        Ok(import)
    }

    /// A profile that is declared must exist, also where no node needs it: its absence is a typing mistake.
    fn check_profiles(&self) -> Result<(), Fault> {
        let gpus = self.deployment.gpu.iter().map(|(name, section)| ("gpu", name, section));
        let nodes = self.deployment.node.iter().map(|(name, section)| ("node", name, section));
        for (kind, name, section) in gpus.chain(nodes) {
            if let Some(key) = &section.profile
                && self.profile(key).is_none()
            {
                return Err(self.no_such_profile(&format!("{kind}.\"{name}\".profile"), &self.table_key(key)));
            }
        }
        Ok(())
    }

    fn no_such_profile(&self, key: &str, wanted: &ProfileKey) -> Fault {
        let alike = |row: &&ProfileKey| row.gpu == wanted.gpu && row.model == wanted.model;
        let near: Vec<String> = self.profiles.keys().filter(alike).take(3).map(|row| format!("`{row}`")).collect();
        let help = match (&self.sources.profiles, near.is_empty()) {
            (None, _) => "pass --profiles FILE, or leave `profile` out, so that the speed is unknown".to_owned(),
            (Some(_), true) => {
                "the table has no such GPU and model; leave `profile` out where nothing was measured".to_owned()
            }
            (Some(_), false) => format!("that GPU and model has {}", near.join(", ")),
        };
        Fault::new(key, format!("names the row `{wanted}`, which the profiles table does not have"), help)
    }

    fn table_key(&self, key: &ProfileKey) -> ProfileKey {
        ProfileKey { model: self.deployment.table_model(&key.model).to_owned(), ..key.clone() }
    }

    fn profile(&self, key: &ProfileKey) -> Option<(&ProfileKey, &Profile)> {
        self.profiles.get_key_value(&self.table_key(key))
    }

    fn run(mut self, out: &mut dyn Write, mut provenance: Provenance<'_>) -> Result<ImportSummary, ImportError> {
        let mut refused = std::mem::take(&mut self.refused);
        let mut nodes = Table::open(&self.sources.nodes, &NODE_COLUMNS)?;
        let mut seen = HashSet::new();
        let mut progress = Progress::new(&self.deployment);
        write_head(out, &self.deployment)?;
        while let Some(row) = nodes.next_row(&mut refused)? {
            match self.plan(&row, &mut seen) {
                Ok(Plan::Skip(reason)) => *progress.counts.skipped.entry(reason).or_default() += 1,
                Ok(Plan::Pools { node, serving, gpus_per_pool }) => {
                    self.write_pools(&node, serving, gpus_per_pool, &mut progress, out, &mut provenance)?;
                }
                Err(bad) => row.refuse(bad, &mut refused),
            }
        }
        check_all_taken(&progress).map_err(|fault| fault.in_file(&self.sources.deployment))?;
        out.write_all(b"\n]}\n")?;
        out.flush()?;
        provenance.finish()?;
        let counts = self.finished_counts(progress);
        Ok(ImportSummary { imported: Imported::Fleet(counts), refused })
    }

    /// Reads one row and decides what becomes of it.
    fn plan<'s: 'r, 'r>(&'s self, row: &Row<'r>, seen: &mut HashSet<String>) -> Result<Plan<'s, 'r>, BadCell> {
        let id = row.required("node_id")?;
        if !seen.insert(id.to_owned()) {
            return Err(BadCell::new("node_id", format!("is `{}`, which an earlier row has", tables::excerpt(id))));
        }
        let gpu_count = row.required_integer("gpu_count", u64::from(DEVICE_ID_LIMIT))?;
        if gpu_count == 0 {
            return Ok(Plan::Skip(SkipReason::NoGpu));
        }
        let Some(gpu) = row.text("gpu")? else {
            return Ok(Plan::Skip(SkipReason::GpuNotDisclosed));
        };
        let Some(serving) = self.deployment.serving(id, gpu) else {
            return Ok(Plan::Skip(SkipReason::NoSection { gpu: gpu.to_owned() }));
        };
        let gpus_per_pool = match serving.gpus_per_pool {
            GpusPerPool::All => gpu_count,
            GpusPerPool::Count(count) => u64::from(count),
        };
        if gpus_per_pool > gpu_count {
            return Ok(Plan::Skip(SkipReason::TooFewGpus { gpu: gpu.to_owned() }));
        }
        let node = self.node(row, id, gpu, gpu_count)?;
        check_fit(&node, serving, gpus_per_pool)?;
        Ok(Plan::Pools { node, serving, gpus_per_pool })
    }

    fn node<'r>(&'r self, row: &Row<'r>, id: &'r str, gpu: &'r str, gpu_count: u64) -> Result<Node<'r>, BadCell> {
        let spec = self.specs.get(gpu);
        let own_vram = row.integer("vram_bytes_per_gpu", BYTES_MAX)?.map(Known::of_node);
        let vram = own_vram.or_else(|| {
            let sourced = spec?.vram_bytes.as_ref()?;
            Some(Known { value: sourced.value, table: "specs", origin: &sourced.origin })
        });
        let own_capability = row.capability("compute_capability")?.map(Known::of_node);
        let compute_capability = own_capability.or_else(|| {
            let sourced = spec?.compute_capability.as_ref()?;
            Some(Known { value: sourced.value.as_str(), table: "specs", origin: &sourced.origin })
        });
        let blank = || {
            BadCell::new(
                "vram_bytes_per_gpu",
                format!("is blank, and no specs table has it for `{}`", tables::excerpt(gpu)),
            )
        };
        Ok(Node { id, gpu, gpu_count, vram_bytes_per_gpu: vram.ok_or_else(blank)?, compute_capability })
    }

    fn write_pools<'s>(
        &'s self,
        node: &Node<'_>,
        serving: &'s Serving,
        gpus_per_pool: u64,
        progress: &mut Progress<'s>,
        out: &mut dyn Write,
        provenance: &mut Provenance<'_>,
    ) -> Result<(), ImportError> {
        let profile = serving.profile.as_ref().and_then(|key| self.profile(key));
        let pools = node.gpu_count / gpus_per_pool;
        for position in 0..pools {
            let gpus = GpuRange {
                first: position * gpus_per_pool,
                count: gpus_per_pool,
                as_devices: gpus_per_pool > 1 || serving.gpus_per_pool == GpusPerPool::All,
            };
            let mut pool = Pool::idle(pool_id(node, serving, position), serving, gpus, facts(node, profile));
            if let Some(entry) = progress.pending.remove(pool.id.as_str()) {
                pool.apply(entry).map_err(|fault| fault.in_file(&self.sources.deployment))?;
            }
            write_pool(out, &pool, progress.counts.pools == 0)?;
            note_origins(provenance, &pool.id, node, gpus_per_pool, profile)?;
            progress.count_pool(node, gpus_per_pool, profile);
        }
        progress.counts.nodes += 1;
        progress.counts.spare_gpus += node.gpu_count - pools * gpus_per_pool;
        self.mark_section(node, progress);
        Ok(())
    }

    fn mark_section<'s>(&'s self, node: &Node<'_>, progress: &mut Progress<'s>) {
        let own = self.deployment.node.get_key_value(node.id);
        if let Some((key, _)) = own.or_else(|| self.deployment.gpu.get_key_value(node.gpu)) {
            progress.used_sections.insert(key);
        }
    }

    fn finished_counts(&self, progress: Progress<'_>) -> FleetCounts {
        let Progress { mut counts, used_sections, .. } = progress;
        let gpus = self.deployment.gpu.keys().map(|name| ("gpu", name));
        let nodes = self.deployment.node.keys().map(|name| ("node", name));
        let unused = gpus.chain(nodes).filter(|(_, name)| !used_sections.contains(name.as_str()));
        counts.unused_sections = unused.map(|(kind, name)| format!("{kind}.\"{name}\"")).collect();
        counts
    }
}

impl<T> Known<'static, T> {
    /// A fact that the nodes table states itself.
    fn of_node(value: T) -> Self {
        static NO_ORIGIN: Origin =
            Origin { source_id: String::new(), reference: String::new(), licence: String::new() };
        Known { value, table: "nodes", origin: &NO_ORIGIN }
    }
}

impl<'a> Progress<'a> {
    fn new(deployment: &'a Deployment) -> Self {
        let pending = deployment.overrides.iter().map(|entry| (entry.pool.as_str(), entry)).collect();
        Self { counts: FleetCounts::default(), used_sections: BTreeSet::new(), pending }
    }

    fn count_pool(&mut self, node: &Node<'_>, gpus_per_pool: u64, profile: Option<(&ProfileKey, &Profile)>) {
        let counts = &mut self.counts;
        counts.pools += 1;
        counts.unknown.capability += u64::from(node.compute_capability.is_none());
        counts.unknown.rate += u64::from(profile.is_none_or(|(_, found)| found.tokens_per_s.is_none()));
        counts.unknown.first_token += u64::from(profile.is_none_or(|(_, found)| found.first_token_ms.is_none()));
        if let Some((key, found)) = profile {
            *counts.profiles.entry(key.to_string()).or_default() += 1;
            let same = key.gpu == node.gpu && key.gpu_count.map(u64::from) == Some(gpus_per_pool);
            counts.foreign_profiles += u64::from(!same);
            counts.suspect_profiles += u64::from(found.suspect);
        }
    }
}

/// An override that meets no pool would silently lose a declared state.
fn check_all_taken(progress: &Progress<'_>) -> Result<(), Fault> {
    let Some(pool) = progress.pending.keys().next() else {
        return Ok(());
    };
    let help = "write a pool's id: `<node>/0`, or the node's own id where gpus_per_pool is \"all\"";
    Err(Fault::new("override.pool", format!("is `{pool}`, and no such pool was made"), help))
}

/// Whether the pools of a node are inside the limits, with the weights that the deployment puts on them.
fn check_fit(node: &Node<'_>, serving: &Serving, gpus_per_pool: u64) -> Result<(), BadCell> {
    if gpus_per_pool > DEVICES_MAX as u64 {
        return Err(BadCell::new("gpu_count", format!("is {gpus_per_pool}; a pool has at most {DEVICES_MAX} devices")));
    }
    let last_id = pool_id(node, serving, node.gpu_count / gpus_per_pool - 1);
    if last_id.len() > ID_BYTES_MAX {
        return Err(BadCell::new(
            "node_id",
            format!("makes the pool id `{}`, longer than {ID_BYTES_MAX} bytes", tables::excerpt(&last_id)),
        ));
    }
    // At most 16 terms below 2^48.
    let vram = node.vram_bytes_per_gpu.value * gpus_per_pool;
    if vram > BYTES_MAX {
        return Err(BadCell::new("vram_bytes_per_gpu", format!("makes a pool of {vram} bytes, above {BYTES_MAX}")));
    }
    let weights = weights_held(serving);
    if weights > vram {
        let why = format!("makes a pool of {vram} bytes; its deployment's weights_bytes, {weights}, do not fit");
        return Err(BadCell::new("vram_bytes_per_gpu", why));
    }
    Ok(())
}

fn pool_id(node: &Node<'_>, serving: &Serving, position: u64) -> String {
    match serving.gpus_per_pool {
        GpusPerPool::All => node.id.to_owned(),
        GpusPerPool::Count(_) => format!("{}/{position}", node.id),
    }
}

fn facts<'n>(node: &Node<'n>, profile: Option<(&ProfileKey, &Profile)>) -> Facts<'n> {
    Facts {
        vram_bytes_per_gpu: node.vram_bytes_per_gpu.value,
        compute_capability: node.compute_capability.as_ref().map(|known| known.value),
        tokens_per_s: profile.and_then(|(_, found)| Some(found.tokens_per_s.as_ref()?.value)),
        first_token_ms: profile.and_then(|(_, found)| Some(found.first_token_ms.as_ref()?.value)),
    }
}

fn write_head(out: &mut dyn Write, deployment: &Deployment) -> Result<(), ImportError> {
    out.write_all(b"{\"version\":1,\"deployment\":")?;
    write_json(out, deployment)?;
    out.write_all(b",\"pools\":[\n")?;
    Ok(())
}

fn write_pool(out: &mut dyn Write, pool: &Pool<'_>, first: bool) -> Result<(), ImportError> {
    if !first {
        out.write_all(b",\n")?;
    }
    write_json(out, pool)
}

fn write_json(out: &mut dyn Write, value: &impl serde::Serialize) -> Result<(), ImportError> {
    serde_json::to_writer(out, value).map_err(|error| ImportError::Write { source: error.into() })
}

fn note_origins(
    provenance: &mut Provenance<'_>,
    pool: &str,
    node: &Node<'_>,
    gpus_per_pool: u64,
    profile: Option<(&ProfileKey, &Profile)>,
) -> Result<(), ImportError> {
    let vram = &node.vram_bytes_per_gpu;
    let value = (vram.value * gpus_per_pool).to_string();
    provenance.note(pool, &Fact { field: "vram_total_bytes", value, table: vram.table, origin: vram.origin })?;
    if let Some(known) = &node.compute_capability {
        let value = known.value.to_owned();
        provenance
            .note(pool, &Fact { field: "compute_capability", value, table: known.table, origin: known.origin })?;
    }
    let Some((_, found)) = profile else { return Ok(()) };
    let speeds = [("perf_tokens_per_s", &found.tokens_per_s), ("first_token_ms", &found.first_token_ms)];
    for (field, speed) in speeds {
        if let Some(speed) = speed {
            let value = speed.value.to_string();
            provenance.note(pool, &Fact { field, value, table: "profiles", origin: &speed.origin })?;
        }
    }
    Ok(())
}
