//! A live fleet against two others: after every step it answers as a fleet built afresh from the same snapshots, and as
//! a small fleet in fixed storage that went through the same steps, commits included.

use std::collections::BTreeMap;

use orchestrator_core::commit::Lease;
use orchestrator_core::rows::{PoolRow, SessionEntry};
use orchestrator_core::{
    DeviceSnapshot, HeldRoom, JobSpec, Policy, PolicySpec, PoolHandle, PoolRegistry, PoolSnapshot, SmallFleet,
    WarmSession,
};
use orchestrator_host::fleet::{Fleet, FleetBuilder, LiveFleet, PoolName};
use orchestrator_host::place::{Mode, Placer, Wanted};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const CASES: u32 = 300;
/// Pools that fit: fewer than there are names for, so that some are refused.
const POOLS: usize = 10;

const IDS: [&str; 6] = ["a", "a-b", "b", "c", "pool-10", "pool-2"];
const REPLICAS: [&str; 2] = ["", "r1"];
const MODELS: [&str; 4] = ["m", "n", "o", "p"];
/// Some are in no pool's lists.
const JOB_MODELS: [&str; 6] = ["m", "n", "o", "p", "only-jobs", "only-jobs-2"];
const TEXTS: [&str; 3] = ["t1", "t2", "t3"];
const SESSIONS: [&str; 5] = ["s", "t", "u", "v", "w"];

/// What jobs ask for of model digest, engine version and sampler profile.
const DETERMINISM: [(Option<&str>, Option<&str>, Option<&str>); 4] =
    [(Some("t1"), None, None), (Some("t2"), None, None), (None, Some("t1"), None), (None, None, Some("t2"))];

type Small = SmallFleet<POOLS, 16, 256>;

/// A pool that owns its lists.
#[derive(Debug, Clone)]
struct Pool {
    base: PoolSnapshot<'static>,
    quantizations: Vec<&'static str>,
    extensions: Vec<&'static str>,
    digests: Vec<&'static str>,
    models: Option<Vec<&'static str>>,
    resident: Option<Vec<&'static str>>,
    devices: Vec<DeviceSnapshot<'static>>,
    labels: Vec<(&'static str, &'static str)>,
    warm: Vec<WarmSession<'static>>,
}

impl Pool {
    fn snapshot(&self) -> PoolSnapshot<'_> {
        let mut snapshot = self.base;
        snapshot.supports.quantizations = &self.quantizations;
        snapshot.supports.extensions = &self.extensions;
        snapshot.supports.model_digests = &self.digests;
        snapshot.supports.models = self.models.as_deref();
        snapshot.resident_models = self.resident.as_deref();
        snapshot.devices = &self.devices;
        snapshot.labels = &self.labels;
        snapshot.warm_sessions = &self.warm;
        snapshot
    }

    fn name(&self) -> (&'static str, &'static str) {
        (self.base.id, self.base.replica_id)
    }
}

/// A job that owns its lists.
#[derive(Debug, Clone)]
struct Job {
    base: JobSpec<'static>,
    prefer: Vec<&'static str>,
    avoid: Vec<&'static str>,
    labels: Vec<(&'static str, &'static str)>,
    extensions: Vec<&'static str>,
    session: Option<SessionEntry>,
}

impl Job {
    fn spec(&self) -> JobSpec<'_> {
        let mut spec = self.base;
        spec.placement.prefer_pools = &self.prefer;
        spec.placement.avoid_pools = &self.avoid;
        spec.placement.require_labels = &self.labels;
        spec.requirements.required_extensions = &self.extensions;
        spec
    }
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(Pool),
    /// The same pool's snapshot once more, with other free slots and VRAM.
    Refresh(usize, i64, i64),
    /// The same pool with one of its facts that rarely change, or one of its lists, from another.
    Vary(usize, Pool, u8),
    Remove(usize),
    Drain(usize, bool),
    Age(usize, u64),
    Commit(Job),
    /// At a rank that may not be there, whatever a decision says.
    CommitAt(Job, u32),
    Retake(usize),
    Release(usize),
    /// Under another policy from here on; whether the fleet is prepared for it.
    Policy(Policy, bool),
}

fn facts() -> impl Strategy<Value = PoolSnapshot<'static>> {
    let slots = (0i64..3, select(vec![-1i64, 0, 1, 1, 2, 3, 4]));
    let vram = (select(vec![400i64, 1000, 2000]), select(vec![300i64, 700, 900, 2000]));
    let rates = (
        select(vec![None, Some(0.1), Some(50.0), Some(4000.0)]),
        select(vec![None, Some(1.0), Some(300.0)]),
        select(vec![None, Some(1000.0)]),
    );
    let times = (select(vec![0.0, 0.5]), select(vec![0.0, 10.0]), select(vec![0.0, 0.0, 0.0, 1e9]));
    let class = (
        select(vec!["vllm", "vLLM", "vllm", "trt"]),
        prop::option::of(select(&TEXTS[..])),
        prop::option::of(select(&TEXTS[..])),
        select(vec![None, Some(400), Some(1000)]),
        select(vec![None, Some("8.0"), Some("9.0")]),
        0u8..24,
    );
    (slots, vram, rates, times, class).prop_map(|(slots, vram, rates, times, class)| {
        let (engine, engine_version, sampler, ctx_max, capability, rare) = class;
        // Free slots of -1 are refused.
        let mut pool = PoolSnapshot::new("a", engine, slots.0 + slots.1.max(0), slots.1, vram.0, vram.1);
        (pool.perf_tokens_per_s, pool.first_token_ms, pool.prefill_tokens_per_s) = rates;
        (pool.admission_latency_ms, pool.model_load_ms, pool.age_ms) = times;
        (pool.engine_version, pool.sampler_profile_version) = (engine_version, sampler);
        (pool.supports.ctx_max, pool.compute_capability) = (ctx_max, capability);
        (pool.ready, pool.draining) = (rare != 0, rare == 1);
        pool
    })
}

fn pool() -> impl Strategy<Value = Pool> {
    let device = (select(vec![400i64, 800]), select(vec![200i64, 600, 800]));
    let names = (select(&IDS[..]), select(&REPLICAS[..]));
    let class_lists = (
        subsequence(vec!["Q4", "q8", "fp16"], 0..=3),
        subsequence(vec!["x", "y"], 0..=2),
        subsequence(TEXTS.to_vec(), 0..=3).prop_shuffle(),
        prop::option::weighted(0.3, prop::collection::vec(select(&MODELS[..]), 0..5)),
    );
    let lists = (
        prop::option::weighted(0.6, prop::collection::vec(select(&MODELS[..]), 0..5)),
        prop::collection::vec(device, 0..4),
        subsequence(vec![("k", "v"), ("l", "w"), ("t1", "t2")], 0..=3),
        subsequence(SESSIONS.to_vec(), 0..=5).prop_shuffle(),
        0i64..60,
    );
    (facts(), names, class_lists, lists).prop_map(|(mut base, names, class_lists, lists)| {
        let (quantizations, extensions, digests, models) = class_lists;
        let (resident, devices, labels, sessions, tokens) = lists;
        (base.id, base.replica_id) = names;
        let device = |(vram_total_bytes, vram_free_bytes)| DeviceSnapshot {
            vram_total_bytes,
            vram_free_bytes,
            compute_capability: None,
        };
        let warm = |(place, session_id)| WarmSession { session_id, cached_tokens: tokens * place };
        Pool {
            base,
            quantizations,
            extensions,
            digests,
            models,
            resident,
            devices: devices.into_iter().map(device).collect(),
            labels,
            warm: (0..).zip(sessions).map(warm).collect(),
        }
    })
}

fn job() -> impl Strategy<Value = Job> {
    let tokens = (0i64..100, prop::option::of(0i64..100), prop::option::weighted(0.1, 0i64..1100));
    let needs = (select(vec![None, Some(0i64), Some(30), Some(201)]), select(vec![0i64, 0, 100, 301]));
    let entry = (0u32..12, 0u32..60).prop_map(|(pool, cached_tokens)| SessionEntry { pool, cached_tokens });
    let session = (prop::option::of(select(&SESSIONS[..])), prop::option::weighted(0.3, entry));
    let hints = (0u8..8, prop::collection::vec(select(&IDS[..]), 1..3), subsequence(IDS.to_vec(), 0..2), 0u8..8);
    let requirements = (
        select(vec![None, None, None, Some(1i64), Some(2)]),
        select(vec![None, None, None, None, Some("q4"), Some("Q8"), Some("no-pool")]),
        select(vec![vec![], vec![], vec![], vec!["x"], vec!["x", "y"], vec!["no-pool"]]),
        select(vec![(None, None, None); 8].into_iter().chain(DETERMINISM).collect::<Vec<_>>()),
    );
    (select(&["j1", "j2"][..]), select(&JOB_MODELS[..]), tokens, needs, session, hints, requirements).prop_map(
        |(id, model, tokens, needs, (session_id, session), (mode, named, avoid, label), requirements)| {
            let mut base = JobSpec::new(id, "VLLM", model);
            (base.prompt_tokens, base.expected_tokens, base.required_ctx) = tokens;
            (base.est_kv_bytes, base.requirements.min_vram_bytes) = needs;
            base.session_id = session_id;
            base.requirements.split_degree = requirements.0;
            base.requirements.quantization = requirements.1;
            let determinism = &mut base.determinism;
            (determinism.model_digest, determinism.engine_version, determinism.sampler_profile_version) =
                requirements.3;
            base.placement.pin_pool_id = (mode == 0).then(|| named[0]);
            base.placement.allow_fallback = mode != 1;
            let prefer = if (1..4).contains(&mode) { named } else { vec![] };
            let labels = if label == 0 { vec![("k", "v")] } else { vec![] };
            Job { base, prefer, avoid, labels, extensions: requirements.2, session }
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    (select(vec![0i64, 10, 46]), prop::option::of(0u64..3), select(vec![0i64, 0, 2])).prop_map(
        |(quantum_shift, spread_seed, pool_backlog)| {
            let spec = PolicySpec { quantum_shift, spread_seed, pool_backlog, ..PolicySpec::default() };
            spec.validate().expect("a valid policy")
        },
    )
}

/// What changes pools.
fn pool_step() -> impl Strategy<Value = Step> {
    let any_pool = 0usize..POOLS;
    prop_oneof![
        6 => pool().prop_map(Step::Upsert),
        3 => (any_pool.clone(), 0i64..4, 0i64..2001).prop_map(|(pool, slots, vram)| Step::Refresh(pool, slots, vram)),
        4 => (any_pool.clone(), pool(), 0u8..12).prop_map(|(place, donor, what)| Step::Vary(place, donor, what)),
        2 => any_pool.clone().prop_map(Step::Remove),
        1 => (any_pool.clone(), any::<bool>()).prop_map(|(pool, draining)| Step::Drain(pool, draining)),
        // Whole milliseconds, as a snapshot may say too.
        1 => (any_pool, 0u64..60_000).prop_map(|(pool, age_ms)| Step::Age(pool, age_ms * 1000)),
        1 => (policy(), any::<bool>()).prop_map(|(policy, prepared)| Step::Policy(policy, prepared)),
    ]
}

/// What takes from pools and gives back.
fn lease_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => job().prop_map(Step::Commit),
        1 => (job(), 0u32..12).prop_map(|(job, rank)| Step::CommitAt(job, rank)),
        2 => (0usize..POOLS).prop_map(Step::Retake),
        3 => (0usize..POOLS).prop_map(Step::Release),
    ]
}

/// Half of all runs are without leases, so that they can be compared with a fleet built afresh after every step.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        prop::collection::vec(pool_step(), 1..60),
        prop::collection::vec(prop_oneof![pool_step(), lease_step()], 1..60),
    ]
}

fn vary(pool: &mut Pool, donor: &Pool, what: u8) {
    let donor = donor.clone();
    match what {
        0 => pool.quantizations = donor.quantizations,
        1 => pool.extensions = donor.extensions,
        2 => pool.digests = donor.digests,
        3 => pool.models = donor.models,
        4 => pool.resident = donor.resident,
        5 => pool.devices = donor.devices,
        6 => pool.labels = donor.labels,
        7 => pool.warm = donor.warm,
        8 => pool.base.engine = donor.base.engine,
        9 => pool.base.engine_version = donor.base.engine_version,
        10 => pool.base.sampler_profile_version = donor.base.sampler_profile_version,
        _ => pool.base.supports.ctx_max = donor.base.supports.ctx_max,
    }
}

/// A pool of the naive model.
#[derive(Debug, Clone)]
struct Known {
    pool: Pool,
    handle: PoolHandle,
    /// Whether a lease changed its numbers since its snapshot.
    leased: bool,
}

/// Both fleets, and what they should hold.
struct Fleets {
    live: LiveFleet,
    small: Small,
    /// In the order of ranks.
    known: BTreeMap<(&'static str, &'static str), Known>,
    dead: Vec<PoolHandle>,
    leases: Vec<(PoolHandle, Lease, HeldRoom<16>)>,
    policy: Policy,
}

impl Fleets {
    fn new() -> Self {
        Self {
            live: LiveFleet::with_capacity(POOLS as u32),
            small: Small::new(),
            known: BTreeMap::new(),
            dead: Vec::new(),
            leases: Vec::new(),
            policy: Policy::default(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Upsert(pool) => self.upsert(pool),
            Step::Refresh(place, slots_free, vram_free) => {
                if let Some(mut pool) = self.nth(*place).map(|known| known.pool.clone()) {
                    (pool.base.slots_free, pool.base.vram_free_bytes) = (*slots_free, *vram_free);
                    for device in &mut pool.devices {
                        device.vram_free_bytes = *vram_free;
                    }
                    self.upsert(&pool);
                }
            }
            Step::Vary(place, donor, what) => {
                if let Some(mut pool) = self.nth(*place).map(|known| known.pool.clone()) {
                    vary(&mut pool, donor, *what);
                    self.upsert(&pool);
                }
            }
            Step::Remove(place) => self.remove(*place),
            Step::Drain(place, draining) => {
                if let Some(known) = self.nth(*place) {
                    known.pool.base.draining = *draining;
                    let handle = known.handle;
                    assert!(self.live.set_draining(handle, *draining));
                    assert!(PoolRegistry::set_draining(&mut self.small, handle, *draining));
                }
            }
            Step::Age(place, age_us) => {
                if let Some(known) = self.nth(*place) {
                    known.pool.base.age_ms = *age_us as f64 / 1000.0;
                    let handle = known.handle;
                    self.live.set_age(handle, *age_us);
                    self.small.set_age(handle, *age_us);
                }
            }
            Step::Commit(job) => {
                let spec = job.spec();
                let valid = spec.validate(&self.policy, None).expect("a valid job");
                let decision = self.live.decide(&valid, &self.policy, job.session);
                if let Some(assignment) = decision.assignment() {
                    let taken = self.commit_at(job, assignment.rank);
                    assert!(taken, "a decision can be committed");
                }
            }
            Step::CommitAt(job, rank) => {
                self.commit_at(job, *rank);
            }
            Step::Retake(place) => {
                let place = place % self.leases.len().max(1);
                if let Some((pool, lease, held)) = self.leases.get(place) {
                    let taken = self.live.retake(*pool, lease);
                    assert_eq!(taken, self.small.retake(*pool, held));
                    self.known.values_mut().filter(|known| known.handle == *pool).for_each(|known| known.leased = true);
                }
            }
            Step::Release(place) => {
                if !self.leases.is_empty() {
                    let (pool, lease, held) = self.leases.swap_remove(place % self.leases.len());
                    let there = self.live.release(pool, lease);
                    assert_eq!(there, PoolRegistry::release(&mut self.small, pool, held));
                    assert_eq!(there, !self.dead.contains(&pool));
                    self.known.values_mut().filter(|known| known.handle == pool).for_each(|known| known.leased = true);
                }
            }
            Step::Policy(policy, prepared) => {
                self.policy = policy.clone();
                if *prepared {
                    self.live.prepare_for(policy);
                }
            }
        }
    }

    fn nth(&mut self, place: usize) -> Option<&mut Known> {
        let place = place % self.known.len().max(1);
        self.known.values_mut().nth(place)
    }

    fn upsert(&mut self, pool: &Pool) {
        let upserted = self.live.upsert(&pool.snapshot());
        assert_eq!(upserted, PoolRegistry::upsert(&mut self.small, &pool.snapshot()));
        let former = self.known.get(&pool.name()).map(|known| known.handle);
        match upserted {
            Ok(handle) => {
                assert!(former.is_none_or(|former| former == handle), "an update keeps the handle");
                assert!(!self.dead.contains(&handle));
                self.known.insert(pool.name(), Known { pool: pool.clone(), handle, leased: false });
            }
            Err(_) => assert!(pool.base.slots_free < 0 || (former.is_none() && self.known.len() == POOLS)),
        }
    }

    fn remove(&mut self, place: usize) {
        let place = place % self.known.len().max(1);
        let Some(name) = self.known.keys().nth(place).copied() else { return };
        let handle = self.known.remove(&name).expect("it is there").handle;
        assert!(self.live.remove(handle));
        assert!(PoolRegistry::remove(&mut self.small, handle));
        assert!(!self.live.remove(handle));
        self.dead.push(handle);
    }

    fn commit_at(&mut self, job: &Job, rank: u32) -> bool {
        let spec = job.spec();
        let valid = spec.validate(&self.policy, None).expect("a valid job");
        let pool = self.live.at_rank(rank);
        match (self.live.commit(&valid, rank), PoolRegistry::commit(&mut self.small, &valid, rank)) {
            (Ok(lease), Ok(held)) => {
                assert_eq!(lease.taken(), held.taken());
                let pool = pool.expect("a commit has a pool");
                self.known.values_mut().filter(|known| known.handle == pool).for_each(|known| known.leased = true);
                self.leases.push((pool, lease, held));
                true
            }
            (live, small) => {
                assert_eq!(live.expect_err("as in the small fleet"), small.expect_err("as in the live fleet"));
                false
            }
        }
    }

    fn check(&self, jobs: &[Job]) {
        assert_eq!(self.live.len() as usize, self.known.len());
        for (rank, (name, known)) in (0u32..).zip(&self.known) {
            let handle = Some(known.handle);
            assert_eq!(self.live.find(name.0, name.1), handle);
            assert_eq!((self.live.at_rank(rank), self.live.rank_of(known.handle)), (handle, Some(rank)));
            assert_eq!(PoolRegistry::rank_of(&self.small, known.handle), Some(rank));
            assert_eq!(self.live.name(rank), Some(&PoolName { id: name.0.into(), replica_id: name.1.into() }));
            assert_eq!(self.live.facts(known.handle), self.small.facts(known.handle));
            assert_eq!(self.live.facts(known.handle).map(|facts| (facts.id, facts.replica_id)), Some(*name));
            let row = |row: Option<&PoolRow>| row.map(|row| PoolRow { class: 0, ..*row });
            assert_eq!(row(self.live.row(known.handle)), row(self.small.row(known.handle)));
        }
        assert_eq!(self.live.at_rank(self.live.len()), None);
        for &dead in &self.dead {
            assert_eq!((self.live.rank_of(dead), self.live.row(dead)), (None, None));
            assert_eq!(self.live.facts(dead), None);
        }
        let afresh = self.known.values().all(|known| !known.leased).then(|| self.afresh());
        for job in jobs {
            let spec = job.spec();
            let valid = spec.validate(&self.policy, None).expect("a valid job");
            let session = job.session;
            let decision = self.live.decide(&valid, &self.policy, session);
            assert_eq!(decision, self.small.decide_with(&valid, &self.policy, session));
            let explanation = self.live.explain(&valid, &self.policy, session);
            assert_eq!(explanation, self.small.explain(&valid, &self.policy, session));
            if let Some(afresh) = &afresh {
                let mut placer = Placer::new(afresh.clone(), self.policy.clone(), Mode::Independent);
                let wanted = Wanted { explanation: true, best: 3 };
                let placed = placer.place(&spec, None, wanted).expect("a valid job");
                assert_eq!(self.live.decide(&valid, &self.policy, None), placed.decision);
                assert_eq!(Some(self.live.explain(&valid, &self.policy, None)), placed.explanation);
                let mut best = [None; 3];
                let count = self.live.rank_best(&valid, &self.policy, None, &mut best);
                assert_eq!(count, placed.best.len());
                assert_eq!(best.into_iter().flatten().collect::<Vec<_>>(), placed.best);
            }
        }
    }

    /// A fleet of the snapshots as they are now, built from nothing.
    fn afresh(&self) -> Fleet {
        let mut builder = FleetBuilder::default();
        for (line, known) in (1..).zip(self.known.values()) {
            let snapshot = known.pool.snapshot();
            builder.add(line, &snapshot.validate().expect("it was taken in")).expect("few names");
        }
        builder.finish().fleet
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    /// DET-1, LEASE-3: how a fleet came to be what it is changes no answer.
    #[test]
    fn a_live_fleet_answers_as_one_built_afresh_and_as_a_small_one(
        steps in steps(),
        jobs in prop::collection::vec(job(), 1..5),
    ) {
        let mut fleets = Fleets::new();
        for step in &steps {
            fleets.apply(step);
            fleets.check(&jobs);
        }
    }
}

/// How long an update, a decision, a commit and its release take; `--nocapture` shows it.
#[test]
fn an_update_and_a_decision_are_quick() {
    const ROUNDS: usize = 20_000;
    for count in [64, 1213] {
        let ids: Vec<String> = (0..count).map(|pool| format!("pool-{pool:04}")).collect();
        let sessions: Vec<String> = (0..count * 4).map(|session| format!("session-{session:05}")).collect();
        let policy = Policy::default();
        let mut fleet = LiveFleet::with_capacity(count as u32);
        let update = |fleet: &mut LiveFleet, round: usize| {
            let warm: Vec<WarmSession<'_>> = (0..16)
                .map(|place| &sessions[(round * 7 + place * 13) % sessions.len()])
                .map(|session_id| WarmSession { session_id, cached_tokens: 1 })
                .collect();
            let mut snapshot = PoolSnapshot::new(&ids[round % count], "vllm", 16, 8, 80 << 30, 40 << 30);
            snapshot.supports.quantizations = &["fp8", "fp16"];
            snapshot.supports.ctx_max = Some(8192 << (round % 3));
            snapshot.resident_models = Some(&MODELS);
            (snapshot.perf_tokens_per_s, snapshot.first_token_ms) = (Some((round % 50) as f64 + 1.0), Some(20.0));
            let (warm, labels) = (&warm[..], [("zone", "eu"), ("tier", "gold")]);
            (snapshot.warm_sessions, snapshot.labels) = (warm, &labels);
            fleet.upsert(&snapshot).expect("a valid pool");
        };
        (0..count).for_each(|round| update(&mut fleet, round));
        let mut spec = JobSpec::new("job", "vllm", "m");
        (spec.est_kv_bytes, spec.session_id) = (Some(1 << 20), Some("session-00007"));
        let job = spec.validate(&policy, None).expect("a valid job");

        let timed = |step: &mut dyn FnMut(usize)| {
            let start = std::time::Instant::now();
            (0..ROUNDS).for_each(step);
            start.elapsed().as_nanos() / ROUNDS as u128
        };
        let update_ns = timed(&mut |round| update(&mut fleet, round));
        let decide_ns = timed(&mut |_| assert!(fleet.decide(&job, &policy, None).assignment().is_some()));
        let commit_ns = timed(&mut |round| {
            let rank = (round % count) as u32;
            let pool = fleet.at_rank(rank).expect("a rank of this fleet");
            let lease = fleet.commit(&job, rank).expect("slots are free");
            assert!(fleet.release(pool, lease));
        });
        println!("{count} pools: update {update_ns} ns, decide {decide_ns} ns, commit and release {commit_ns} ns");
        assert_eq!(fleet.len() as usize, count);
    }
}
