//! Calls of everything that decides. Each probe returns whether its result was the expected one.

use orchestrator_core::commit::{self, Lease, SessionSlot, SessionTable};
use orchestrator_core::hash::{ContentHasher, spread_pool_hash};
use orchestrator_core::rows::{
    DeviceRow, LabelRow, NameId, PoolClass, PoolLists, PoolRow, PoolTable, PoolTableMut, RankRange, SessionEntry, Span,
    WarmRow,
};
use orchestrator_core::units::{micros_from_millis, millis_ceil, weight_256_from};
use orchestrator_core::{
    Attention, Budget, DeterminismSpec, DeviceSnapshot, Directory, JobSpec, KvFormat, KvHint, KvLayout, ModelDims,
    ModelRequirements, NameKind, Order, PlacementDecision, PlacementHints, PlacementInput, Policy, PolicySpec,
    PoolSnapshot, PoolSupports, Priority, SlidingWindow, SmallFleet, ValidJob, ValidPool, WarmSession, WeightsSpec,
    decide, est_kv_bytes, explain, explain_pool, inspect, rank_best,
};

use crate::opaque::{flag, float, int, keep, maybe, size, some, some_mut, text, word};
use crate::recording::recording;
use crate::scheduling::scheduling;

/// 0, or the number of the first probe that went wrong.
pub fn run() -> u32 {
    #[cfg(feature = "plant_panic")]
    keep(&[1u8, 2, 3][size(1)]);

    let probes: [fn() -> bool; 8] =
        [values, policies, pool_and_job, tables, sessions, small_fleet, recording, scheduling];
    let failed = (1u32..).zip(probes).find(|(_, probe)| !probe());
    failed.map_or(0, |(number, _)| number)
}

/// Units, KV estimates, hashes.
fn values() -> bool {
    let mut name = [0; 256];
    let dims = ModelDims::new(
        word(32),
        if flag(true) {
            Attention::Heads { kv_heads: word(8), head_dim: word(128) }
        } else {
            Attention::Latent { kv_lora_rank: word(512), rope_dim: word(64) }
        },
        if flag(true) { None } else { Some(SlidingWindow { layers: word(16), window_tokens: word(1024) }) },
    );
    let format = KvFormat::parse(text(&mut name, "F16")).unwrap_or_default();
    let layout = KvLayout { format, block_tokens: word(1) };
    let estimate = dims.map(|dims| est_kv_bytes(&dims, layout, word(8192)));
    let mut hasher = ContentHasher::new(text(&mut name, "snapshot"));
    hasher.int(int(5) as u64);
    hasher.text_lowercase(text(&mut name, "vLLM"));
    hasher.optional_text(maybe(text(&mut name, "vLLM")));
    hasher.optional_int(maybe(7));
    keep(&hasher.finish());
    keep(&spread_pool_hash(int(1) as u64, text(&mut name, "a"), "r"));
    estimate == Ok(Ok(1 << 30))
        && micros_from_millis(float(12.5)) == Ok(12_500)
        && millis_ceil(int(12_500) as u64) == 13
        && weight_256_from(float(1.0)) == Ok(256)
}

pub fn policy() -> Option<Policy> {
    let spec = PolicySpec {
        order: if flag(true) { Order::PredictedEnd } else { Order::VramFirst },
        quantum_shift: int(10),
        performance_aware: flag(true),
        spread_seed: if flag(false) { Some(int(42) as u64) } else { None },
        default_output_tokens: int(256),
        default_tokens_per_s: maybe(float(20.0)),
        default_first_token_ms: maybe(float(100.0)),
        stale_after_ms: float(30_000.0),
        session_capacity: int(65_536),
        pool_backlog: int(0),
        weights: WeightsSpec {
            admission: float(1.0),
            model_load: float(1.0),
            first_token: float(1.0),
            prefill: float(1.0),
            decode: float(1.0),
        },
    };
    spec.validate().ok()
}

fn policies() -> bool {
    policy().is_some_and(|policy| {
        keep(&policy.content_hash());
        policy.stale_after_us() == 30_000_000
    })
}

/// Calls `use_it` with a valid pool of which every field is opaque.
pub fn with_pool<R>(id: &str, use_it: impl FnOnce(&PoolSnapshot<'_>, &ValidPool<'_>) -> R) -> Option<R> {
    let mut storage = [[0; 256]; 16];
    let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd, se, sf] = &mut storage;
    let models = [text(s0, "model-a"), text(s1, "model-b")];
    let quantizations = [text(s2, "Q4_K_M")];
    let extensions = [text(s3, "tools"), text(s4, "vision")];
    let digests = [text(s5, "sha256:00")];
    let labels = [(text(s6, "zone"), text(s7, "eu")), ("tier", text(s8, "1"))];
    let warm = [
        WarmSession { session_id: text(s9, "session-1"), cached_tokens: int(512) },
        WarmSession { session_id: text(sa, "session-2"), cached_tokens: int(128) },
    ];
    let device = |free: i64| DeviceSnapshot {
        vram_total_bytes: int(40 << 30),
        vram_free_bytes: int(free),
        compute_capability: if flag(false) { Some("9.0") } else { None },
    };
    let devices = [device(30 << 30), device(20 << 30)];
    let pool = PoolSnapshot {
        id,
        replica_id: text(sb, "r0"),
        engine: text(sc, "vLLM"),
        engine_version: maybe(text(sd, "0.11.0")),
        sampler_profile_version: maybe("p1"),
        slots_total: int(8),
        slots_free: int(6),
        vram_total_bytes: int(80 << 30),
        vram_free_bytes: int(50 << 30),
        compute_capability: maybe(text(se, "9.0")),
        perf_tokens_per_s: maybe(float(50.0)),
        first_token_ms: maybe(float(40.0)),
        prefill_tokens_per_s: maybe(float(4000.0)),
        admission_latency_ms: float(1.0),
        model_load_ms: float(9000.0),
        age_ms: float(10.0),
        queue_depth: int(0),
        supports: PoolSupports {
            quantizations: some(&quantizations),
            extensions: some(&extensions),
            models: maybe(some(&models)),
            model_digests: some(&digests),
            ctx_max: maybe(int(32_768)),
            min_compute_cap: maybe("8.0"),
        },
        resident_models: maybe(some(&models)),
        devices: some(&devices),
        device_mask: maybe(text(sf, "GPU0, 3")),
        labels: some(&labels),
        warm_sessions: some(&warm),
        ready: flag(true),
        draining: flag(false),
    };
    let valid = pool.validate().ok()?;
    Some(use_it(&pool, &valid))
}

/// Calls `use_it` with a valid job of which every field is opaque.
pub fn with_job<R>(policy: &Policy, degree: i64, use_it: impl FnOnce(&ValidJob<'_>) -> R) -> Option<R> {
    let mut storage = [[0; 256]; 16];
    let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, ..] = &mut storage;
    let extensions = [text(s0, "tools")];
    let (prefer, avoid) = ([text(s1, "b")], [text(s2, "z")]);
    let labels = [(text(s3, "zone"), text(s4, "eu"))];
    let job = JobSpec {
        id: text(s5, "job-1"),
        engine: text(s6, "VLLM"),
        model_id: text(s7, "model-b"),
        priority: if flag(true) { Priority::Interactive } else { Priority::Batch },
        prompt_tokens: int(1000),
        expected_tokens: maybe(int(200)),
        max_tokens: maybe(int(400)),
        required_ctx: maybe(int(4096)),
        est_kv_bytes: if flag(false) { Some(int(1 << 30)) } else { None },
        session_id: maybe(text(s8, "session-1")),
        tenant_id: None,
        kv_hint: if flag(true) { KvHint::Reuse } else { KvHint::Cold },
        deadline_ms: maybe(float(60_000.0)),
        requirements: ModelRequirements {
            min_vram_bytes: int(16 << 30),
            quantization: maybe(text(s9, "q4_k_m")),
            min_compute_cap: maybe("8.9"),
            device_mask: maybe(text(sa, "0,1,2,3")),
            required_extensions: some(&extensions),
            split_degree: (int(degree) != 0).then_some(int(degree)),
        },
        determinism: DeterminismSpec {
            seed: maybe(int(-5)),
            sampler_profile_version: maybe("p1"),
            engine_version: maybe(text(sb, "0.11.0")),
            model_digest: maybe(text(sc, "sha256:00")),
        },
        placement: PlacementHints {
            mode: None,
            pin_pool_id: if flag(false) { Some("b") } else { None },
            prefer_pools: some(&prefer),
            avoid_pools: some(&avoid),
            require_device_mask: maybe("0,3"),
            allow_fallback: flag(true),
            require_labels: some(&labels),
        },
        budget: Budget { tokens: maybe(int(1 << 20)), time_ms: maybe(float(1e6)), cost_micros: maybe(int(5000)) },
    };
    let attention = Attention::Heads { kv_heads: word(8), head_dim: word(128) };
    let dims = ModelDims::new(word(32), attention, None).ok()?;
    let valid = job.validate(policy, maybe((&dims, KvLayout::default()))).ok()?;
    Some(use_it(&valid))
}

/// The names and pools of [`tables`], by linear search.
struct TinyDirectory<'a> {
    names: &'a [(NameKind, &'a str, u32)],
    pools: &'a [&'a str],
}

impl Directory for TinyDirectory<'_> {
    fn find(&self, kind: NameKind, name: &str) -> Option<NameId> {
        let found = self.names.iter().find(|(other, text, _)| *other == kind && text.eq_ignore_ascii_case(name));
        found.map(|&(_, _, number)| NameId(number))
    }

    fn ranks_of(&self, pool_id: &str) -> RankRange {
        let found = (0u32..).zip(self.pools).find(|(_, id)| **id == pool_id);
        found.map_or_else(RankRange::default, |(rank, _)| RankRange { start: rank, end: rank.saturating_add(1) })
    }
}

const NAMES: [(NameKind, &str, u32); 13] = [
    (NameKind::Engine, "vllm", 0),
    (NameKind::Quantization, "q4_k_m", 0),
    (NameKind::Extension, "tools", 0),
    (NameKind::Model, "model-a", 0),
    (NameKind::Model, "model-b", 1),
    (NameKind::Text, "0.11.0", 0),
    (NameKind::Text, "p1", 1),
    (NameKind::Text, "sha256:00", 2),
    (NameKind::Text, "zone", 3),
    (NameKind::Text, "eu", 4),
    (NameKind::Text, "tier", 5),
    (NameKind::Text, "1", 6),
    (NameKind::Session, "session-1", 0),
];

/// Validation of a pool and of a job, and the job's resolution against a directory.
fn pool_and_job() -> bool {
    let pool_right = with_pool("a", |_, valid| {
        for session in valid.warm_sessions() {
            keep(&session);
        }
        valid.row().vram_free_bytes == 50 << 30 && valid.devices().len() == 2
    });
    let directory = TinyDirectory { names: some(&NAMES), pools: some(&["a", "b"]) };
    let job_right = policy().and_then(|policy| {
        with_job(&policy, 2, |valid| {
            let resolved = valid.resolve(&directory);
            let query = resolved.query(maybe(SessionEntry { pool: word(1), cached_tokens: word(100) }));
            keep(&query);
            resolved.row().model == NameId(1) && resolved.row().est_kv_bytes == 512 << 20
        })
    });
    pool_right == Some(true) && job_right == Some(true)
}

/// Two pools in borrowed rows: decide, rank, explain, commit, release.
fn tables() -> bool {
    let Some(policy) = policy() else { return false };
    let Some((row, class, own)) = with_pool("a", |_, valid| {
        let mut own = [DeviceRow::new(0, 0, None); 16];
        for (to, from) in own.iter_mut().zip(valid.devices()) {
            *to = *from;
        }
        (*valid.row(), *valid.class(), own)
    }) else {
        return false;
    };
    let span = |start, len| Span { start: word(start), len: word(len) };
    let class = PoolClass {
        engine: NameId(0),
        engine_version: NameId(0),
        sampler_profile: NameId(1),
        quantizations: 1,
        extensions: 1,
        models: span(0, 2),
        digests: span(0, 1),
        ..class
    };
    let classes = [class, class];
    let row = PoolRow { class: word(0), ..row };
    let slower = PoolRow { class: word(1), decode_q10: row.decode_q10.saturating_mul(2), ..row };
    let lists = |residents_start| PoolLists {
        labels: span(0, 2),
        devices: span(0, 2),
        residents: span(residents_start, 1),
        residents_capacity: word(4),
        reserved: 0,
        warm: span(0, 1),
    };
    let models = [NameId(0), NameId(1)];
    let digests = [NameId(2)];
    let label = |key, value| LabelRow { key: NameId(key), value: NameId(value) };
    let labels = [label(3, 4), label(5, 6)];
    let warm = [WarmRow { session: NameId(0), cached_tokens: word(512) }];
    let mut rows = [row, slower];
    let mut list_rows = [lists(0), lists(4)];
    let mut devices = own;
    let mut residents = [NameId(0); 8];
    let hashes = [int(1) as u64, int(2) as u64];
    let directory = TinyDirectory { names: some(&NAMES), pools: some(&["a", "c"]) };
    let right = with_job(&policy, 2, |valid| {
        let resolved = valid.resolve(&directory);
        let entry = SessionEntry { pool: word(1), cached_tokens: word(100) };
        let table = PoolTable {
            rows: some(&rows),
            classes: some(&classes),
            lists: some(&list_rows),
            models: some(&models),
            digests: some(&digests),
            labels: some(&labels),
            devices: some(&devices),
            residents: some(&residents),
            warm: some(&warm),
            spread_hashes: if policy.spread_seed().is_some() { some(&hashes) } else { &[] },
        };
        let Ok(input) = PlacementInput::new(table, resolved.query(maybe(entry)), &policy) else {
            return false;
        };
        let decision = decide(&input);
        let mut best = [None; 4];
        let ranked = rank_best(&input, some_mut(&mut best));
        let explanation = explain(&input);
        keep(&explanation);
        keep(&explain_pool(&input, word(1)));
        keep(&inspect(&input, word(0)));
        let PlacementDecision::Assigned(assignment) = decision else {
            return false;
        };
        let mut table = PoolTableMut {
            rows: some_mut(&mut rows),
            classes: some(&classes),
            lists: some_mut(&mut list_rows),
            devices: some_mut(&mut devices),
            residents: some_mut(&mut residents),
        };
        let committed: Result<Lease, _> = commit::commit(&mut table, resolved.row(), word(assignment.rank));
        let Ok(lease) = committed else { return false };
        keep(&lease);
        commit::release(&mut table, &lease);
        keep(&commit::committed_tokens(resolved.row()));
        ranked == 2 && explanation.feasible == 2 && assignment.rank == 0
    });
    keep(&rows);
    keep(&residents);
    right == Some(true)
}

fn sessions() -> bool {
    let mut name = [0; 256];
    let mut slots = [SessionSlot::EMPTY; 2];
    let mut buckets = [0u32; 4];
    let mut sessions = SessionTable::new(some_mut(&mut slots), some_mut(&mut buckets));
    for (id, pool) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
        sessions.record(text(&mut name, id), word(pool), word(100));
    }
    for entry in sessions.iter() {
        keep(&entry);
    }
    let pool_of = |id: &str| sessions.get(id).map(|entry| entry.pool);
    let (a, b) = (pool_of(text(&mut name, "a")), pool_of("b"));
    a == Some(3) && b.is_none() && sessions.len() == 2
}

/// The owner of a small fleet: every operation.
fn small_fleet() -> bool {
    let Some(policy) = policy() else { return false };
    let mut fleet: SmallFleet<4, 4, 48> = SmallFleet::new();
    for id in ["b", "a", "c", "b"] {
        let taken = with_pool(id, |snapshot, _| fleet.upsert(snapshot).is_ok());
        if taken != Some(true) {
            return false;
        }
    }
    keep(&fleet.set_draining("c", "r0", flag(true)));
    keep(&fleet.rank_of("c", "r0"));
    fleet.age(int(5) as u64);
    let placed = with_job(&policy, 0, |valid| {
        let decision = fleet.decide(valid, &policy);
        let mut best = [None; 2];
        keep(&fleet.rank_best(valid, &policy, some_mut(&mut best)));
        keep(&fleet.explain(valid, &policy, None));
        let Some(assignment) = decision.assignment() else {
            return false;
        };
        let was_preferred = fleet.pool_id(assignment.rank).is_some_and(|(id, _)| id == "b");
        let Ok(lease) = fleet.commit(valid, word(assignment.rank)) else {
            return false;
        };
        fleet.release(lease);
        was_preferred
    });
    placed == Some(true) && fleet.remove("c", "r0") && fleet.len() == size(2)
}
