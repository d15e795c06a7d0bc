//! Fleets and jobs of any size for benchmarks: made from an index, so that every run on every machine has the same.

use std::collections::HashMap;

use orchestrator_core::rows::{
    DeviceRow, LabelRow, NameId, PoolClass, PoolLists, PoolRow, PoolTable, RankRange, SessionEntry, Span, WarmRow,
};
use orchestrator_core::{
    DeviceSnapshot, Directory, JobSpec, NameKind, Policy, PoolSnapshot, PoolSupports, ResolvedJob, WarmSession,
};

const ENGINES: [&str; 8] = ["vllm", "vllm", "vllm", "vllm", "vllm", "sglang", "llama.cpp", "tgi"];
const QUANTIZATIONS: [&str; 4] = ["fp16", "fp8", "q4_k_m", "q8_0"];
const EXTENSIONS: [&str; 4] = ["tools", "vision", "json", "lora"];
const CAPABILITIES: [&str; 8] = ["8.0", "8.6", "8.9", "9.0", "9.0", "9.0", "10.0", "12.0"];
const ZONES: [&str; 4] = ["eu-1", "eu-2", "us-1", "us-2"];
const MODELS: u64 = 24;
const SESSIONS: u64 = 64;
/// A fleet has at most these many kinds of pools: those facts of a pool that rarely change are the facts of its kind.
const KINDS: u64 = 64;
const GIB: i64 = 1 << 30;

/// Which pools can take the jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Pools of several engines, models, ages and loads: most are ruled out, by a rule or another.
    Mixed,
    /// Every pool can take every job: each must be compared.
    Open,
    /// As `Open`, for jobs that prefer no pools: no pool wins by its name.
    Plain,
}

/// An unpredictable but fixed number below `limit`, for item `index` and question `salt`.
fn pick(index: u64, salt: u64, limit: u64) -> u64 {
    // SplitMix64.
    let mut z = (index << 8 | salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % limit
}

fn choice<'a>(from: &[&'a str], index: u64, salt: u64) -> &'a str {
    from[pick(index, salt, from.len() as u64) as usize]
}

/// `count` neighbours on the ring of `from`, from an unpredictable place.
fn some<'a>(from: &[&'a str], index: u64, salt: u64, count: usize) -> Vec<&'a str> {
    let start = pick(index, salt, from.len() as u64) as usize;
    (start..start + count).map(|at| from[at % from.len()]).collect()
}

fn model(number: u64) -> String {
    format!("org/model-{number:02}")
}

fn session(number: u64) -> String {
    format!("session-{number:02}")
}

fn pool_id(index: u64) -> String {
    format!("pool-{index:06}")
}

#[derive(Default)]
struct Names {
    numbers: HashMap<(NameKind, String), NameId>,
    counts: HashMap<NameKind, u32>,
}

impl Names {
    fn key(kind: NameKind, name: &str) -> (NameKind, String) {
        match kind {
            NameKind::Engine | NameKind::Quantization => (kind, name.to_ascii_lowercase()),
            _ => (kind, name.to_owned()),
        }
    }

    fn intern(&mut self, kind: NameKind, name: &str) -> NameId {
        *self.numbers.entry(Self::key(kind, name)).or_insert_with(|| {
            let count = self.counts.entry(kind).or_default();
            *count += 1;
            NameId(*count - 1)
        })
    }

    fn sorted(&mut self, kind: NameKind, names: &[&str]) -> Vec<NameId> {
        let mut list: Vec<_> = names.iter().map(|name| self.intern(kind, name)).collect();
        list.sort_unstable();
        list.dedup();
        list
    }

    fn bits(&mut self, kind: NameKind, names: &[&str]) -> u64 {
        names.iter().fold(0, |bits, name| bits | 1 << self.intern(kind, name).0)
    }
}

fn append<T>(arena: &mut Vec<T>, items: impl IntoIterator<Item = T>) -> Span {
    let start = arena.len();
    arena.extend(items);
    Span { start: start as u32, len: (arena.len() - start) as u32 }
}

/// As [`append`]; equal lists of a kind share their place.
fn shared(
    known: &mut HashMap<(NameKind, Vec<NameId>), Span>,
    arena: &mut Vec<NameId>,
    list: (NameKind, Vec<NameId>),
) -> Span {
    *known.entry(list).or_insert_with_key(|(_, list)| append(arena, list.iter().copied()))
}

/// A fleet in vectors: what a host owns.
#[derive(Default)]
pub(crate) struct Fleet {
    names: Names,
    ids: Vec<String>,
    known_classes: HashMap<PoolClass, u32>,
    known_lists: HashMap<(NameKind, Vec<NameId>), Span>,
    rows: Vec<PoolRow>,
    classes: Vec<PoolClass>,
    lists: Vec<PoolLists>,
    models: Vec<NameId>,
    digests: Vec<NameId>,
    labels: Vec<LabelRow>,
    devices: Vec<DeviceRow>,
    residents: Vec<NameId>,
    warm: Vec<WarmRow>,
}

impl Fleet {
    /// The fleet of `pools` pools.
    pub(crate) fn new(pools: usize, mix: Mix) -> Self {
        let mut fleet = Self::default();
        for index in 0..pools as u64 {
            fleet.add(index, mix);
        }
        fleet
    }

    /// The pools as a borrowed table.
    pub(crate) fn table(&self) -> PoolTable<'_> {
        PoolTable {
            rows: &self.rows,
            classes: &self.classes,
            lists: &self.lists,
            models: &self.models,
            digests: &self.digests,
            labels: &self.labels,
            devices: &self.devices,
            residents: &self.residents,
            warm: &self.warm,
            spread_hashes: &[],
        }
    }

    /// Bytes of the table: what a decision reads at most.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.rows)
            + size_of_val(&*self.classes)
            + size_of_val(&*self.lists)
            + size_of_val(&*self.models)
            + size_of_val(&*self.digests)
            + size_of_val(&*self.labels)
            + size_of_val(&*self.devices)
            + size_of_val(&*self.residents)
            + size_of_val(&*self.warm)
    }

    fn add(&mut self, index: u64, mix: Mix) {
        let open = mix != Mix::Mixed;
        let kind = pick(index, 50, KINDS);
        let one_in = |salt, parts| pick(index, salt, parts) == 0;
        let kind_one_in = |salt, parts| pick(kind, salt, parts) == 0;
        let id = pool_id(index);
        let served: Vec<String> = if open {
            (0..MODELS).map(model).collect()
        } else {
            let first = pick(kind, 1, MODELS);
            (first..first + MODELS / 2).map(|at| model(at % MODELS)).collect()
        };
        let served: Vec<&str> = served.iter().map(String::as_str).collect();
        let loaded = &served[..1 + pick(index, 2, 3) as usize];
        let (all_quantizations, all_extensions) = (QUANTIZATIONS.to_vec(), EXTENSIONS.to_vec());
        let quantizations = if open { all_quantizations } else { some(&QUANTIZATIONS, kind, 3, 3) };
        let extensions = if open { all_extensions } else { some(&EXTENSIONS, kind, 4, 3) };
        let digest = format!("sha256:{:02x}", pick(kind, 5, MODELS));
        let digests = [digest.as_str()];
        let labels = [("zone", choice(&ZONES, index, 6)), ("tier", choice(&["a", "b"], index, 7))];
        let sessions: Vec<String> = (0..8).map(|at| session((pick(index, 8, SESSIONS) + at * 8) % SESSIONS)).collect();
        let mut warm: Vec<WarmSession<'_>> = sessions
            .iter()
            .map(|session_id| WarmSession { session_id, cached_tokens: 64 * (1 + pick(index, 9, 40) as i64) })
            .collect();
        warm.sort_unstable_by_key(|session| session.session_id);
        let device = |at| DeviceSnapshot {
            vram_total_bytes: 80 * GIB,
            vram_free_bytes: if open { 70 * GIB } else { (20 + pick(index, 10 + at, 60) as i64) * GIB },
            compute_capability: None,
        };
        let devices: Vec<_> = (0..2 + pick(kind, 18, 3)).map(device).collect();

        let slots_total = 8 << pick(index, 20, 4);
        let mut pool = PoolSnapshot::new(&id, choice(&ENGINES, kind, 19), slots_total, 0, 160 * GIB, 0);
        pool.slots_free = pick(index, 21, slots_total as u64 + 1) as i64;
        pool.vram_free_bytes = (16 + pick(index, 22, 140) as i64) * GIB;
        pool.engine_version = Some("0.11.0");
        pool.compute_capability = Some(choice(&CAPABILITIES, kind, 23));
        pool.perf_tokens_per_s = (!one_in(24, 16)).then(|| 15.0 + pick(index, 25, 1000) as f64 / 8.0);
        pool.first_token_ms = Some(10.0 + pick(index, 26, 4000) as f64 / 16.0);
        pool.prefill_tokens_per_s = (!one_in(27, 4)).then(|| 500.0 + pick(index, 28, 8000) as f64);
        pool.admission_latency_ms = pick(index, 29, 64) as f64 / 8.0;
        pool.model_load_ms = 2000.0 + pick(index, 30, 30_000) as f64;
        pool.age_ms = if one_in(31, 50) { 45_000.0 } else { pick(index, 32, 8000) as f64 };
        pool.ready = !one_in(33, 50);
        pool.draining = one_in(34, 50);
        pool.supports = PoolSupports {
            quantizations: &quantizations,
            extensions: &extensions,
            models: (open || !kind_one_in(35, 8)).then_some(&*served),
            model_digests: &digests,
            ctx_max: Some(16_384 << pick(kind, 36, 4)),
            min_compute_cap: kind_one_in(37, 4).then_some("8.0"),
        };
        // Half of the pools publish what is resident, a quarter their devices, three quarters labels.
        pool.resident_models = one_in(38, 2).then_some(loaded);
        pool.devices = if kind_one_in(39, 4) { &devices } else { &[] };
        pool.labels = if open || !one_in(40, 4) { &labels } else { &[] };
        pool.warm_sessions = if index % 16 == 5 { &warm } else { &[] };
        if open {
            pool.engine = "vllm";
            pool.slots_free = pool.slots_free.max(1);
            pool.vram_free_bytes = pool.vram_free_bytes.max(100 * GIB);
            pool.compute_capability = Some("9.0");
            pool.age_ms = 100.0;
            (pool.ready, pool.draining) = (true, false);
            pool.supports.ctx_max = Some(131_072);
        }
        self.push(&pool);
    }

    /// Validates a pool, interns its names and writes its rows, as a host does.
    fn push(&mut self, pool: &PoolSnapshot<'_>) {
        let valid = pool.validate().expect("the generator keeps every limit");
        let names = &mut self.names;
        let text = |names: &mut Names, name: Option<&str>| {
            name.map_or(NameId::NONE, |name| names.intern(NameKind::Text, name))
        };
        let models = names.sorted(NameKind::Model, pool.supports.models.unwrap_or_default());
        let digests = names.sorted(NameKind::Text, pool.supports.model_digests);
        let class = PoolClass {
            engine: names.intern(NameKind::Engine, pool.engine),
            engine_version: text(names, pool.engine_version),
            sampler_profile: text(names, pool.sampler_profile_version),
            quantizations: names.bits(NameKind::Quantization, pool.supports.quantizations),
            extensions: names.bits(NameKind::Extension, pool.supports.extensions),
            models: shared(&mut self.known_lists, &mut self.models, (NameKind::Model, models)),
            digests: shared(&mut self.known_lists, &mut self.digests, (NameKind::Text, digests)),
            ..*valid.class()
        };
        let class = *self.known_classes.entry(class).or_insert_with(|| {
            self.classes.push(class);
            self.classes.len() as u32 - 1
        });
        let residents = names.sorted(NameKind::Model, pool.resident_models.unwrap_or_default());
        let mut labels: Vec<_> = pool
            .labels
            .iter()
            .map(|(key, value)| LabelRow {
                key: names.intern(NameKind::Text, key),
                value: names.intern(NameKind::Text, value),
            })
            .collect();
        labels.sort_unstable();
        let mut warm: Vec<_> = valid
            .warm_sessions()
            .map(|(session_id, cached_tokens)| WarmRow {
                session: names.intern(NameKind::Session, session_id),
                cached_tokens,
            })
            .collect();
        warm.sort_unstable();
        let residents_capacity = residents.len() as u32;
        self.lists.push(PoolLists {
            labels: append(&mut self.labels, labels),
            devices: append(&mut self.devices, valid.devices().iter().copied()),
            residents: append(&mut self.residents, residents),
            residents_capacity,
            reserved: 0,
            warm: append(&mut self.warm, warm),
        });
        self.rows.push(PoolRow { class, ..*valid.row() });
        self.ids.push(pool.id.to_owned());
    }
}

impl Directory for Fleet {
    fn find(&self, kind: NameKind, name: &str) -> Option<NameId> {
        self.names.numbers.get(&Names::key(kind, name)).copied()
    }

    fn ranks_of(&self, pool_id: &str) -> RankRange {
        let rank = |at: usize| u32::try_from(at).expect("benchmarks have fewer than 2^32 pools");
        RankRange {
            start: rank(self.ids.partition_point(|id| id.as_str() < pool_id)),
            end: rank(self.ids.partition_point(|id| id.as_str() <= pool_id)),
        }
    }
}

/// A job looked up in a fleet, and what a session table would say of its session.
pub(crate) struct Job {
    /// The job.
    pub(crate) resolved: ResolvedJob,
    /// The session's last pool.
    pub(crate) session: Option<SessionEntry>,
}

/// Calls `use_it` with job `index`: a session, a context, a model, a quantisation, extensions, a capability, 8 preferred
/// pools, 4 to avoid; every fourth asks for a label, every sixteenth for a split over two devices (of mixed fleets only).
pub(crate) fn with_spec<R>(index: u64, pools: usize, mix: Mix, use_it: impl FnOnce(&JobSpec<'_>) -> R) -> R {
    let (id, model, session) =
        (format!("job-{index}"), model(pick(index, 100, MODELS)), session(pick(index, 101, SESSIONS)));
    let pool = |salt| pool_id(pick(index, salt, pools as u64));
    let prefer: Vec<String> = (110..118).map(pool).collect();
    let avoid: Vec<String> = (120..124).map(pool).collect();
    let prefer: Vec<&str> = prefer.iter().map(String::as_str).filter(|_| mix != Mix::Plain).collect();
    // A pool both preferred and avoided would be ruled out; the open mix rules out none.
    let avoid: Vec<&str> = avoid.iter().map(String::as_str).filter(|_| mix == Mix::Mixed).collect();
    let extensions = [choice(&EXTENSIONS, index, 102)];
    let label = [("zone", choice(&ZONES, index, 103))];
    let mut job = JobSpec::new(&id, "vllm", &model);
    job.prompt_tokens = 64 + pick(index, 104, 8000) as i64;
    job.expected_tokens = Some(16 + pick(index, 105, 1000) as i64);
    job.required_ctx = Some(8192 << pick(index, 106, 3));
    job.est_kv_bytes = Some((1 + pick(index, 107, 8) as i64) * GIB);
    job.session_id = Some(&session);
    job.requirements.min_vram_bytes = (4 + pick(index, 108, 36) as i64) * GIB;
    job.requirements.quantization = Some(choice(&QUANTIZATIONS, index, 109));
    job.requirements.min_compute_cap = Some("8.6");
    job.requirements.required_extensions = &extensions;
    job.placement.prefer_pools = &prefer;
    job.placement.avoid_pools = &avoid;
    if mix == Mix::Mixed {
        job.placement.require_labels = if index % 4 == 1 { &label } else { &[] };
        job.requirements.split_degree = (index % 16 == 3).then_some(2);
    }
    use_it(&job)
}

/// Job `index`, looked up in `fleet`.
pub(crate) fn job(index: u64, fleet: &Fleet, mix: Mix, policy: &Policy) -> Job {
    with_spec(index, fleet.ids.len(), mix, |spec| {
        let valid = spec.validate(policy, None).expect("the generator keeps every limit");
        Job {
            resolved: valid.resolve(fleet),
            session: index
                .is_multiple_of(2)
                .then(|| SessionEntry { pool: pick(index, 130, fleet.ids.len() as u64) as u32, cached_tokens: 1024 }),
        }
    })
}
