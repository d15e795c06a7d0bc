//! The fleet in fixed storage: its limits, and that a refusal leaves it as it was.

use orchestrator_core::rows::{PoolClass, Span};
use orchestrator_core::{
    FieldError, FleetError, JobSpec, PlacementDecision, Policy, PoolSnapshot, Problem, SmallFleet,
};

use crate::{TIME_MAX, decide_in, device, fleet, job, leak, pool, warm};

fn names(prefix: &str, count: usize) -> &'static [&'static str] {
    leak((0..count).map(|i| &*format!("{prefix}{i}").leak()))
}

fn wins<const P: usize, const L: usize, const N: usize>(
    fleet: &SmallFleet<P, L, N>,
    job: &JobSpec<'_>,
) -> Option<String> {
    let policy = Policy::default();
    let decision = fleet.decide(&job.validate(&policy, None).unwrap(), &policy);
    let rank = decision.assignment()?.rank;
    fleet.pool_id(rank).map(|(id, _)| id.to_owned())
}

fn storage_full<T>(field: &'static str, capacity: usize) -> Result<T, FleetError> {
    let problem = Problem::StorageFull { capacity };
    Err(FleetError::Field(FieldError::new(field, problem)))
}

/// What a decision can see of a fleet.
fn picture<
    const P: usize,
    const L: usize,
    const N: usize,
    const D: usize,
    const I: usize,
    const B: usize,
    const C: usize,
>(
    fleet: &SmallFleet<P, L, N, D, I, B, C>,
) -> String {
    let table = fleet.table();
    let ids: Vec<_> = (0..fleet.len() as u32).map(|rank| fleet.pool_id(rank)).collect();
    let classes = table.rows.iter().map(|row| table.classes[row.class as usize]);
    let lists = classes.zip(table.lists).map(|(class, lists)| {
        let names = (class.models.of(table.models), class.digests.of(table.digests));
        let class = PoolClass { models: Span::EMPTY, digests: Span::EMPTY, ..class };
        let lists = (
            lists.residents.of(table.residents),
            lists.labels.of(table.labels),
            lists.devices.of(table.devices),
            lists.warm.of(table.warm),
        );
        format!("{class:?} {names:?} {lists:?}")
    });
    format!("{ids:?} {:?} {:?}", table.rows, lists.collect::<Vec<_>>())
}

#[test]
fn every_place_taken() {
    let mut small: SmallFleet<2, 4, 16> = SmallFleet::new();
    assert!(small.is_empty());
    small.upsert(&pool("b")).unwrap();
    small.upsert(&pool("a")).unwrap();
    let before = picture(&small);
    assert_eq!(small.upsert(&pool("c")), Err(FleetError::Full { capacity: 2 }));
    assert_eq!(picture(&small), before);
    // A pool that is there is replaced all the same.
    let mut changed = pool("a");
    changed.slots_free = 1;
    small.upsert(&changed).unwrap();
    assert_eq!((small.len(), small.table().rows[0].slots_free), (2, 1));
    // And a place that is given back is taken again.
    assert!(small.remove("b", ""));
    small.upsert(&pool("c")).unwrap();
    assert_eq!((small.pool_id(0), small.pool_id(1)), (Some(("a", "")), Some(("c", ""))));
    let mut none: SmallFleet<0, 0, 0> = SmallFleet::default();
    assert_eq!(none.upsert(&pool("a")), Err(FleetError::Full { capacity: 0 }));
}

/// A row that breaks a rule leaves the fleet as it was; so does a list above the storage, for each list.
#[test]
fn refusals_change_nothing() {
    type Change = fn(&mut PoolSnapshot<'static>);
    let mut small: SmallFleet<2, 2, 64> = SmallFleet::new();
    let mut full = pool("a");
    full.supports.models = Some(names("m", 2));
    full.supports.model_digests = names("d", 2);
    full.resident_models = Some(names("m", 2));
    full.labels = &[("k", "v"), ("l", "v")];
    full.warm_sessions = leak([warm("s", 1), warm("t", 2)]);
    full.devices = leak([device(1, 1), device(2, 2)]);
    small.upsert(&full).unwrap();
    let before = picture(&small);
    let table: [(&'static str, Change); 6] = [
        ("supports.models", |pool| pool.supports.models = Some(names("m", 3))),
        ("supports.model_digests", |pool| pool.supports.model_digests = names("d", 3)),
        ("resident_models", |pool| pool.resident_models = Some(names("m", 3))),
        ("labels", |pool| pool.labels = &[("k", "v"), ("l", "v"), ("o", "v")]),
        ("warm_sessions", |pool| pool.warm_sessions = leak([warm("s", 1), warm("t", 2), warm("u", 3)])),
        ("devices", |pool| pool.devices = leak([device(1, 1), device(2, 2), device(3, 3)])),
    ];
    for (field, change) in table {
        for id in ["a", "b"] {
            let mut changed = full;
            changed.id = id;
            change(&mut changed);
            assert_eq!(small.upsert(&changed), storage_full(field, 2), "{field}");
            assert_eq!(picture(&small), before, "{field}");
            assert_eq!(small.len(), 1);
        }
    }
    let mut bad = full;
    bad.slots_total = -1;
    assert!(matches!(small.upsert(&bad), Err(FleetError::Field(error)) if error.field == "slots_total"));
    assert_eq!(picture(&small), before);
    // Repeats count once: two models of three entries.
    let mut repeated = full;
    repeated.supports.models = Some(&["m0", "m1", "m0"]);
    assert_eq!(small.upsert(&repeated), Ok(()));
    assert_eq!(picture(&small), before);
}

/// Ids and names are as long as the owner has room for, and no device has room in a fleet without any.
#[test]
fn texts_and_devices_without_room_are_refused() {
    let mut small: SmallFleet<2, 2, 4, 0, 3, 5> = SmallFleet::new();
    let fits = PoolSnapshot { id: "p-1", engine: "vllm0", ..pool("") };
    small.upsert(&fits).unwrap();
    let before = picture(&small);
    let too_long = |field, max_bytes| Err(FieldError::new(field, Problem::TooLong { max_bytes }).into());
    assert_eq!(small.upsert(&PoolSnapshot { id: "p-10", ..fits }), too_long("id", 3));
    assert_eq!(small.upsert(&PoolSnapshot { replica_id: "r-10", ..fits }), too_long("replica_id", 3));
    assert_eq!(small.upsert(&PoolSnapshot { engine: "vllm10", ..fits }), too_long("engine", 5));
    assert_eq!(small.upsert(&PoolSnapshot { devices: leak([device(1, 1)]), ..fits }), storage_full("devices", 0));
    assert_eq!(picture(&small), before);
    assert_eq!(small.len(), 1);
}

/// Pools share classes: what has no class is refused, and a class that no pool has is another's.
#[test]
fn classes_without_room_are_refused() {
    let mut small: SmallFleet<4, 2, 8, 2, 8, 8, 2> = SmallFleet::new();
    let of = |id, ctx_max| {
        let mut pool = pool(id);
        pool.supports.ctx_max = Some(ctx_max);
        pool
    };
    for (id, ctx_max) in [("a", 1), ("b", 1), ("c", 2)] {
        small.upsert(&of(id, ctx_max)).unwrap();
    }
    let before = picture(&small);
    assert_eq!(small.upsert(&of("d", 3)), storage_full("supports", 2));
    // Others have the class that it would leave.
    assert_eq!(small.upsert(&of("a", 3)), storage_full("supports", 2));
    assert_eq!(picture(&small), before);
    // Its class is its own.
    small.upsert(&of("c", 3)).unwrap();
    small.upsert(&of("d", 1)).unwrap();
    assert!(small.remove("c", ""));
    small.upsert(&of("a", 4)).unwrap();
    let table = small.table();
    let contexts: Vec<_> = table.rows.iter().map(|row| table.classes[row.class as usize].ctx_max).collect();
    assert_eq!(contexts, [4, 1, 1]);
}

/// UNIT-8: 64 quantisations and extensions are bits of a word; the next one has no bit.
#[test]
fn bits_are_limited() {
    type Set = fn(&mut PoolSnapshot<'static>, &'static [&'static str]);
    let table: [(&'static str, Set); 2] = [
        ("supports.quantizations", |pool, names| pool.supports.quantizations = names),
        ("supports.extensions", |pool, names| pool.supports.extensions = names),
    ];
    for (field, set) in table {
        let mut small: SmallFleet<2, 2, 100> = SmallFleet::new();
        let mut full = pool("a");
        set(&mut full, names("x", 64));
        small.upsert(&full).unwrap();
        let before = picture(&small);
        let mut other = pool("b");
        set(&mut other, names("y", 1));
        assert_eq!(small.upsert(&other), storage_full(field, 64), "{field}");
        assert_eq!(picture(&small), before);
        set(&mut other, names("x", 64));
        assert_eq!(small.upsert(&other), Ok(()));
        // Once no pool has the old names their bits are free again.
        assert!(small.remove("a", "") && small.remove("b", ""));
        set(&mut other, names("y", 64));
        assert_eq!(small.upsert(&other), Ok(()), "{field}");
        set(&mut other, names("y", 65));
        assert_eq!(small.upsert(&other), storage_full(field, 64), "{field}");
    }
}

/// Names that no pool has any more make room for others, and names in use keep their numbers.
#[test]
fn unused_names_are_collected() {
    // "vllm" and three names of models.
    let mut small: SmallFleet<2, 4, 4> = SmallFleet::new();
    let serving = |id, models| {
        let mut pool = pool(id);
        pool.supports.models = Some(models);
        pool
    };
    let asking = |model_id| JobSpec { model_id, ..job() };
    small.upsert(&serving("a", &["m0", "m1"])).unwrap();
    small.upsert(&serving("b", &["m2"])).unwrap();
    let before = picture(&small);
    // All three are in use, and a fourth does not fit; the fleet still serves what it served.
    assert_eq!(small.upsert(&serving("b", &["m2", "m3"])), storage_full("supports.models", 4));
    assert_eq!(picture(&small), before);
    for (model, expected) in [("m0", Some("a")), ("m1", Some("a")), ("m2", Some("b")), ("m3", None)] {
        assert_eq!(wins(&small, &asking(model)).as_deref(), expected, "{model}");
    }
    // "a" lets "m0" and "m1" go: they make room for others while "m2" stays what it is.
    small.upsert(&serving("a", &["m1"])).unwrap();
    small.upsert(&serving("a", &["m3"])).unwrap();
    small.upsert(&serving("a", &["m3", "m4"])).unwrap();
    for (model, expected) in [("m0", None), ("m1", None), ("m2", Some("b")), ("m3", Some("a")), ("m4", Some("a"))] {
        assert_eq!(wins(&small, &asking(model)).as_deref(), expected, "{model}");
    }
    // Ten generations pass through the same storage.
    assert!(small.remove("b", ""));
    for generation in 0..10 {
        let models: &'static [&'static str] = leak((0..3).map(|i| &*format!("g{generation}-{i}").leak()));
        // A replacement needs room for the old names and the new ones, so that it can be refused: here there is none.
        assert_eq!(small.upsert(&serving("a", models)), storage_full("supports.models", 4));
        small.remove("a", "");
        small.upsert(&serving("a", models)).unwrap();
        assert_eq!(wins(&small, &asking(models[2])).as_deref(), Some("a"));
    }
}

/// Every kind of name is kept while a pool has it.
#[test]
fn names_in_use_are_kept() {
    // Engine, version, profile, quantisation, extension, model, digest, key, value, session: 10, and one to spare.
    let mut small: SmallFleet<2, 4, 11> = SmallFleet::new();
    let mut full = pool("a");
    full.engine_version = Some("version");
    full.sampler_profile_version = Some("profile");
    full.supports.quantizations = &["q4"];
    full.supports.extensions = &["ext"];
    full.supports.models = Some(&["m"]);
    full.supports.model_digests = &["digest"];
    full.labels = &[("key", "value")];
    full.warm_sessions = leak([warm("session", 5)]);
    small.upsert(&full).unwrap();
    let mut asking = job();
    asking.determinism.engine_version = Some("version");
    asking.determinism.sampler_profile_version = Some("profile");
    asking.determinism.model_digest = Some("digest");
    asking.requirements.quantization = Some("Q4");
    asking.requirements.required_extensions = &["ext"];
    asking.placement.require_labels = &[("key", "value")];
    asking.session_id = Some("session");
    let policy = Policy::default();
    for generation in 0..5 {
        let mut other = pool("b");
        other.engine = format!("engine-{generation}").leak();
        small.remove("b", "");
        small.upsert(&other).unwrap();
        let decision = small.decide(&asking.validate(&policy, None).unwrap(), &policy);
        let given = decision.assignment().expect("every name is known");
        assert_eq!((given.rank, given.warm), (0, true), "{generation}");
    }
    small.remove("b", "");
    let mut other = pool("b");
    other.engine_version = Some("one too many");
    other.engine = "another";
    assert_eq!(small.upsert(&other), storage_full("engine_version", 11));
}

/// A commit gives a model a number if there is room, and without room the model does not become resident.
#[test]
fn models_of_commits() {
    let mut published = pool("a");
    published.resident_models = Some(&["m0"]);
    let policy = Policy::default();
    let commit = |small: &mut SmallFleet<1, 2, 3>, model_id| {
        let job = JobSpec { model_id, ..job() };
        let lease = small.commit(&job.validate(&policy, None).unwrap(), 0).unwrap();
        (lease.resident, small.table().lists[0].residents.len)
    };
    let mut small: SmallFleet<1, 2, 3> = SmallFleet::new();
    small.upsert(&published).unwrap();
    assert_eq!(commit(&mut small, "m1"), (true, 2));
    assert_eq!(commit(&mut small, "m1"), (true, 2));
    // The third resident model does not fit a list of two; neither does its name.
    assert_eq!(commit(&mut small, "m2"), (false, 2));
    assert_eq!(commit(&mut small, "m0"), (true, 2));
    // Names of models that came and went make room.
    published.resident_models = Some(&["m5", "m6"]);
    small.remove("a", "");
    small.upsert(&published).unwrap();
    assert_eq!(commit(&mut small, "m6"), (true, 2));
    assert_eq!(commit(&mut small, "m1"), (false, 2));
}

#[test]
fn replace_in_place() {
    let mut small = fleet(&[pool("a"), pool("b"), pool("c")]);
    let mut changed = pool("b");
    changed.devices = leak([device(10, 5), device(20, 6)]);
    changed.resident_models = Some(&["m"]);
    small.upsert(&changed).unwrap();
    small.upsert(&changed).unwrap();
    assert_eq!(small.len(), 3);
    assert_eq!(small.table().rows[1].vram_free_bytes, 11);
    assert_eq!((small.table().rows[0].vram_free_bytes, small.table().rows[2].vram_free_bytes), (1000, 1000));
    // And back: what was published before is gone.
    small.upsert(&pool("b")).unwrap();
    let lists = small.table().lists[1];
    assert_eq!((lists.devices.len, lists.residents.len), (0, 0));
    assert_eq!(small.table().rows[1].vram_free_bytes, 1000);
}

#[test]
fn remove() {
    let mut small = fleet(&[pool("a"), pool("b"), pool("c")]);
    let mut with_lists = pool("b");
    with_lists.devices = leak([device(10, 5), device(20, 6)]);
    small.upsert(&with_lists).unwrap();
    assert!(small.remove("a", ""));
    assert!(!small.remove("a", ""));
    assert!(!small.remove("b", "r1"));
    assert_eq!((small.rank_of("b", ""), small.rank_of("c", ""), small.rank_of("a", "")), (Some(0), Some(1), None));
    // "b" keeps its lists, and the next pool does not get them.
    small.upsert(&pool("d")).unwrap();
    let mut other = pool("a");
    other.devices = leak([device(7, 7)]);
    small.upsert(&other).unwrap();
    let table = small.table();
    let free =
        |rank: usize| table.lists[rank].devices.of(table.devices).iter().map(|d| d.vram_free_bytes).collect::<Vec<_>>();
    assert_eq!([free(0), free(1), free(2), free(3)], [vec![7], vec![5, 6], vec![], vec![]]);
}

#[test]
fn draining() {
    let mut small = fleet(&[pool("a"), pool("b")]);
    assert!(small.set_draining("a", "", true));
    assert!(!small.set_draining("a", "r1", true));
    assert!(!small.set_draining("none", "", true));
    assert_eq!(wins(&small, &job()).as_deref(), Some("b"));
    assert!(small.set_draining("b", "", true));
    assert_eq!(wins(&small, &job()), None);
    assert!(small.set_draining("a", "", false));
    assert_eq!(wins(&small, &job()).as_deref(), Some("a"));
}

/// FEAS-19: ages add up, and stay below 2^46.
#[test]
fn age() {
    let mut old = pool("a");
    old.age_ms = 10.0;
    let mut small = fleet(&[old, pool("b")]);
    small.age(29_990_000);
    assert_eq!(wins(&small, &job()).as_deref(), Some("a"));
    small.age(1);
    assert_eq!(wins(&small, &job()).as_deref(), Some("b"));
    small.age(u64::MAX);
    assert_eq!(small.table().rows.iter().map(|row| row.age_us).collect::<Vec<_>>(), [TIME_MAX, TIME_MAX]);
    small.age(1);
    assert_eq!(small.table().rows[0].age_us, TIME_MAX);
    let decision = decide_in(&small, &job(), &Policy::default(), None);
    assert!(matches!(decision, PlacementDecision::NoCapacity { .. }));
}

/// A fleet that keeps nothing of where lists lie answers as one that has room for lists of its pools, and commits and gives
/// back as it does.
#[test]
fn fleets_without_lists_answer_alike() {
    let mut listed: SmallFleet<3, 4, 16> = SmallFleet::new();
    let mut plain: SmallFleet<3, 0, 2, 0, 6, 4, 1, 0, 0> = SmallFleet::new();
    let policy = Policy::default();
    let spec = JobSpec { prompt_tokens: 100, ..JobSpec::new("j", "vllm", "m") };
    let job = spec.validate(&policy, None).unwrap();
    for (id, slots_free) in [("b", 1), ("a", 1), ("c", 2)] {
        let snapshot = PoolSnapshot::new(id, "vllm", 2, slots_free, 80 << 30, 60 << 30);
        assert_eq!((listed.upsert(&snapshot), plain.upsert(&snapshot)), (Ok(()), Ok(())));
    }
    let mut held = Vec::new();
    for free in (0..4).rev() {
        let decision = plain.decide(&job, &policy);
        assert_eq!(decision, listed.decide(&job, &policy));
        let rank = decision.assignment().unwrap().rank;
        let (one, other) = (plain.commit(&job, rank).unwrap(), listed.commit(&job, rank).unwrap());
        assert_eq!((one.taken(), one.rank), (other.taken(), other.rank));
        held.push((one, other));
        assert_eq!(plain.table().rows, listed.table().rows);
        assert_eq!(plain.table().rows.iter().map(|row| row.slots_free).sum::<u16>(), free);
    }
    assert_eq!(plain.decide(&job, &policy).assignment(), None);
    assert!(plain.remove("b", "") && listed.remove("b", ""));
    for (one, other) in held {
        assert_eq!(plain.release(one), listed.release(other));
        assert_eq!(plain.table().rows, listed.table().rows);
    }
    let replica = PoolSnapshot { replica_id: "r", ..PoolSnapshot::new("b", "vllm", 2, 2, 80 << 30, 60 << 30) };
    let problem = Problem::TooLong { max_bytes: 0 };
    assert_eq!(plain.upsert(&replica), Err(FleetError::Field(FieldError::new("replica_id", problem))));
    let labeled = PoolSnapshot { labels: &[("k", "v")], ..PoolSnapshot::new("b", "vllm", 2, 2, 80 << 30, 60 << 30) };
    assert!(plain.upsert(&labeled).is_err() && plain.table().check(&policy).is_ok());
}
