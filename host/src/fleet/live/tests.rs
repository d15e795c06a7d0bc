//! Limits, and memory that does not grow: what the answers of a fleet do not show.

use std::collections::BTreeMap;

use orchestrator_core::limits::{ENGINES_MAX, EXTENSIONS_MAX, MODELS_MAX, QUANTIZATIONS_MAX};
use orchestrator_core::{DeviceSnapshot, JobSpec, PlacementDecision, WarmSession};

use super::*;

fn pool<'a>(id: &'a str, engine: &'a str) -> PoolSnapshot<'a> {
    PoolSnapshot::new(id, engine, 8, 8, 80 << 30, 80 << 30)
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn full(field: &'static str, capacity: usize) -> FleetError {
    FleetError::Field(FieldError::new(field, Problem::StorageFull { capacity }))
}

fn decide_on(fleet: &LiveFleet, change: impl FnOnce(&mut JobSpec<'_>)) -> PlacementDecision {
    let policy = Policy::default();
    let mut spec = JobSpec::new("j", "vllm", "m-0");
    change(&mut spec);
    fleet.decide(&spec.validate(&policy, None).unwrap(), &policy, None)
}

/// UNIT-8: the last name fits, one more does not, and a refusal changes nothing.
#[test]
fn a_snapshot_with_a_name_too_many_is_refused() {
    type Set = for<'a> fn(&mut PoolSnapshot<'a>, &'a [&'a str]);
    let kinds: [(&str, usize, Set); 4] = [
        ("supports.quantizations", QUANTIZATIONS_MAX, |pool, names| pool.supports.quantizations = names),
        ("supports.extensions", EXTENSIONS_MAX, |pool, names| pool.supports.extensions = names),
        ("supports.models", MODELS_MAX, |pool, names| pool.supports.models = Some(names)),
        // Some served, some resident: they count together, each once.
        ("resident_models", MODELS_MAX, |pool, names| {
            let split = names.len().min(64);
            pool.supports.models = Some(&names[..names.len() - split / 2]);
            pool.resident_models = Some(&names[names.len() - split..]);
        }),
    ];
    for (field, max, set) in kinds {
        let (most, others) = (names("N", max), names("other", max));
        let (most, others) = (borrowed(&most), borrowed(&others));
        let mut fleet = LiveFleet::with_capacity(4);
        let (mut a, mut b) = (pool("a", "vllm"), pool("b", "vllm"));
        set(&mut a, &most[..max - 1]);
        let handle = fleet.upsert(&a).unwrap();
        set(&mut b, &most[max - 2..]);
        fleet.upsert(&b).unwrap();

        // One more, in a new pool or in a known one, beside names that are known.
        let one_more = [most[0], most[1], others[0]];
        let mut c = pool("c", "vllm");
        set(&mut c, &one_more);
        assert_eq!(fleet.upsert(&c), Err(full(field, max)), "{field}");
        let before = fleet.row(handle).copied();
        let mut larger = most[..max - 1].to_vec();
        larger.push(others[0]);
        let mut grown = pool("a", "vllm");
        set(&mut grown, &larger);
        grown.slots_free = 1;
        assert_eq!(fleet.upsert(&grown), Err(full(field, max)), "{field}");
        assert_eq!((fleet.len(), fleet.row(handle).copied()), (2, before));

        // The names that only `a` has make room for as many others in `a` itself, bit for bit.
        let mut replaced = pool("a", "vllm");
        set(&mut replaced, &others[..max - 2]);
        assert_eq!(fleet.upsert(&replaced), Ok(handle), "{field}");
        // Names that only a removed pool had make room too.
        assert!(fleet.remove(handle));
        set(&mut c, &most[..max - 1]);
        fleet.upsert(&c).unwrap();
        let mut back = pool("a", "vllm");
        set(&mut back, &one_more);
        assert_eq!(fleet.upsert(&back), Err(full(field, max)), "{field}");
    }
}

/// UNIT-8.
#[test]
fn an_engine_too_many_is_refused() {
    let engines = names("Engine", ENGINES_MAX + 1);
    let mut fleet = LiveFleet::with_capacity(1000);
    for engine in &engines[..ENGINES_MAX] {
        fleet.upsert(&pool(engine, engine)).unwrap();
    }
    let last = &engines[ENGINES_MAX];
    assert_eq!(fleet.upsert(&pool(last, last)), Err(full("engine", ENGINES_MAX)));
    fleet.upsert(&pool(last, "ENGINE-0")).unwrap();
    // The only pool of an engine may take another.
    let renamed = fleet.upsert(&pool(&engines[5], last)).unwrap();
    assert_eq!(fleet.facts(renamed).map(|facts| facts.engine.to_owned()), Some(last.to_lowercase()));
    assert_eq!(fleet.upsert(&pool("x", &engines[5])), Err(full("engine", ENGINES_MAX)));
}

/// UNIT-8: bits that others had before say what they say now.
#[test]
fn a_number_that_was_free_again_is_a_new_name() {
    let (first, second) = (names("q", QUANTIZATIONS_MAX), names("r", QUANTIZATIONS_MAX));
    let (first, second) = (borrowed(&first), borrowed(&second));
    let mut fleet = LiveFleet::with_capacity(4);
    let mut a = pool("a", "vllm");
    a.supports.quantizations = &first;
    fleet.upsert(&a).unwrap();
    a.supports.quantizations = &second;
    fleet.upsert(&a).unwrap();
    let fits =
        |name: &'static str| decide_on(&fleet, |job| job.requirements.quantization = Some(name)).assignment().is_some();
    assert!(fits("r-0") && fits("R-63"));
    assert!(!fits("q-0") && !fits("q-63"));
}

/// UNIT-8, COMMIT-4: a model that only jobs know becomes resident, and takes no pool's model its number.
#[test]
fn models_of_jobs_are_not_counted() {
    let models = names("m", MODELS_MAX + 1);
    let models = borrowed(&models);
    let mut fleet = LiveFleet::with_capacity(4);
    let mut any = pool("any", "vllm");
    any.resident_models = Some(&[]);
    let any_handle = fleet.upsert(&any).unwrap();
    let mut listed = pool("listed", "vllm");
    listed.supports.models = Some(&models[..MODELS_MAX - 1]);
    fleet.upsert(&listed).unwrap();

    let policy = Policy::default();
    for name in ["own-1", "own-2", "own-3", "own-4", "own-5"] {
        let job = JobSpec::new("j", "vllm", name).validate(&policy, None).unwrap();
        let lease = fleet.commit(&job, 0).unwrap();
        assert!(lease.resident);
        assert!(fleet.release(any_handle, lease));
    }
    listed.supports.models = Some(&models[..MODELS_MAX]);
    fleet.upsert(&listed).unwrap();
    listed.supports.models = Some(&models);
    assert_eq!(fleet.upsert(&listed), Err(full("supports.models", MODELS_MAX)));
    // What a commit made resident counts from when a snapshot says so.
    any.resident_models = Some(&["own-1"]);
    assert_eq!(fleet.upsert(&any), Err(full("resident_models", MODELS_MAX)));
    any.resident_models = Some(&["m-7"]);
    fleet.upsert(&any).unwrap();
}

#[test]
fn a_full_fleet_takes_no_other_pool() {
    let mut none = LiveFleet::with_capacity(0);
    assert_eq!(none.upsert(&pool("a", "vllm")), Err(FleetError::Full { capacity: 0 }));
    let mut one = LiveFleet::with_capacity(1);
    let a = one.upsert(&pool("a", "vllm")).unwrap();
    assert_eq!(one.upsert(&pool("b", "vllm")), Err(FleetError::Full { capacity: 1 }));
    assert_eq!(one.upsert(&pool("a", "trt")), Ok(a));
    assert!(one.remove(a));
    let b = one.upsert(&pool("b", "vllm")).unwrap();
    assert_eq!((b.slot, b.generation), (a.slot, a.generation + 1));
    assert_eq!((one.rank_of(a), one.rank_of(b)), (None, Some(0)));
    // UNIT-11.
    assert_eq!(LiveFleet::with_capacity(u32::MAX).capacity(), 1 << 30);
}

/// An unpredictable but fixed number below `limit`.
fn pick(state: &mut u64, limit: usize) -> usize {
    // SplitMix64.
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % limit as u64) as usize
}

/// What a pool's lists say, names spelled out and in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Published {
    engine: String,
    models: Vec<String>,
    digests: Vec<String>,
    residents: Vec<String>,
    labels: Vec<(String, String)>,
    warm: Vec<(String, u32)>,
    devices: usize,
}

impl Published {
    fn by(snapshot: &PoolSnapshot<'_>) -> Self {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let mut published = Self {
            engine: snapshot.engine.to_owned(),
            models: names(snapshot.supports.models.unwrap()),
            digests: names(snapshot.supports.model_digests),
            residents: names(snapshot.resident_models.unwrap()),
            labels: snapshot.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            warm: snapshot
                .warm_sessions
                .iter()
                .map(|warm| (warm.session_id.to_owned(), warm.cached_tokens as u32))
                .collect(),
            devices: snapshot.devices.len(),
        };
        published.sort();
        published
    }

    fn in_fleet(fleet: &LiveFleet, rank: usize) -> Self {
        let (class, lists) = (&fleet.classes.rows()[fleet.rows[rank].class as usize], &fleet.lists.rows[rank]);
        let name = |kind, number| fleet.vocabulary.name(kind, number).unwrap().to_owned();
        let names = |kind, list: &[NameId]| list.iter().map(|&number| name(kind, number)).collect();
        let label = |key, value| (name(NameKind::Text, key), name(NameKind::Text, value));
        let labels = lists.labels.of(fleet.lists.labels.entries()).iter();
        let warm = lists.warm.of(fleet.lists.warm.entries()).iter();
        let mut published = Self {
            engine: name(NameKind::Engine, class.engine),
            models: names(NameKind::Model, class.models.of(fleet.classes.models())),
            digests: names(NameKind::Text, class.digests.of(fleet.classes.digests())),
            residents: names(NameKind::Model, lists.residents.of(fleet.lists.residents.entries())),
            labels: labels.map(|label_row| label(label_row.key, label_row.value)).collect(),
            warm: warm.map(|warm| (name(NameKind::Session, warm.session), warm.cached_tokens)).collect(),
            devices: lists.devices.of(fleet.lists.devices.entries()).len(),
        };
        published.sort();
        published
    }

    fn sort(&mut self) {
        self.models.sort();
        self.digests.sort();
        self.residents.sort();
        self.labels.sort();
        self.warm.sort();
    }
}

/// 100,000 updates of 16 pools, with lists of all lengths, ever new names, pools that come and go.
#[test]
fn memory_does_not_grow_with_the_number_of_updates() {
    const POOLS: usize = 16;
    let ids = names("pool", POOLS);
    let known = names("name", 64);
    let known = borrowed(&known);
    let device = DeviceSnapshot { vram_total_bytes: 1 << 30, vram_free_bytes: 1 << 29, compute_capability: None };
    let mut state = 1;
    let mut fleet = LiveFleet::with_capacity(POOLS as u32);
    let mut published: BTreeMap<String, Published> = BTreeMap::new();
    for round in 0..100_000usize {
        let mut some = |most: usize| pick(&mut state, most + 1);
        // Most of these names were never seen before.
        let new = [(); 5].map(|()| format!("new-{}", round.saturating_sub(some(3))));
        let [engine, session, label, model, resident] = new.each_ref().map(String::as_str);
        let engine = if some(9) == 0 { engine } else { "vllm" };
        let mut warm = vec![WarmSession { session_id: session, cached_tokens: 1 }];
        warm.extend(known.iter().take(some(64)).map(|session_id| WarmSession { session_id, cached_tokens: 2 }));
        let labels: Vec<(&str, &str)> = known.iter().take(some(15)).map(|key| (*key, label)).collect();
        let devices = vec![device; some(16)];
        let with = |count: usize, name| known[..count].iter().copied().chain([name]).collect::<Vec<_>>();
        let (models, digests, residents) = (with(some(63), model), with(some(63), label), with(some(63), resident));
        let mut snapshot = pool(&ids[some(POOLS - 1)], engine);
        snapshot.warm_sessions = &warm;
        snapshot.labels = &labels;
        snapshot.devices = &devices;
        snapshot.supports.models = Some(&models);
        snapshot.supports.model_digests = &digests;
        snapshot.resident_models = Some(&residents);
        let handle = fleet.upsert(&snapshot).unwrap();
        published.insert(snapshot.id.to_owned(), Published::by(&snapshot));
        if some(99) == 0 {
            fleet.remove(handle);
            published.remove(snapshot.id);
        }
        if round % 97 == 0 {
            let in_fleet = (0..fleet.pools.len()).map(|rank| Published::in_fleet(&fleet, rank));
            assert!(in_fleet.eq(published.values().cloned()), "{round}");
            // A pool has at most five new names, and all share the others.
            assert!(fleet.vocabulary.len() <= 2 * (5 * POOLS + 3 * 64 + 1) + POOLS + IDLE_NAMES, "{round}");
        }
    }
    // Rooms are less than twice the longest list, garbage at most as much again, a vector at most twice its entries,
    // and there are two of them.
    let longest = 65 + 15 + 16 + 64 + 64 + 64;
    assert!(fleet.lists.list_capacity() + fleet.classes.list_capacity() <= 16 * POOLS * longest);
    assert!(fleet.classes.rows().len() <= POOLS + 1);
}
