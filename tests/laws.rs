//! Laws of placement that hold for every fleet, job and policy, whatever the rules' numbers are.
//!
//! Each law is stated above its test. `ORCHESTRATOR_LAW_CASES` multiplies the number of cases.

use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::rows::PoolRow;
use orchestrator_core::rule::key::{Key, KeyParts};
use orchestrator_core::{
    Assignment, Decided, DeviceSnapshot, Explanation, JobSpec, KeyPart, KvHint, Order, PlacementDecision,
    PlacementInput, Policy, PolicySpec, PoolSnapshot, Rejection, Standing, WarmSession, WeightsSpec, decide,
};
use orchestrator_host::fleet::{Fleet, FleetBuilder, PoolName};
use orchestrator_host::place::{DecisionDigest, Mode, Placed, Placer, Wanted};
use proptest::prelude::*;
use proptest::sample::select;

/// Cases per law of an ordinary run.
const CASES: u32 = 500;

const IDS: [&str; 6] = ["a", "a-b", "b", "c", "pool-10", "pool-2"];
const MODELS: [&str; 3] = ["m", "n", "o"];
const SESSIONS: [&str; 3] = ["s", "t", "u"];

fn config() -> ProptestConfig {
    let times = std::env::var("ORCHESTRATOR_LAW_CASES");
    let times = times.ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    ProptestConfig { cases: CASES * times, failure_persistence: None, ..ProptestConfig::default() }
}

/// A pool that owns its lists.
#[derive(Debug, Clone)]
struct Pool {
    base: PoolSnapshot<'static>,
    models: Option<Vec<&'static str>>,
    resident: Option<Vec<&'static str>>,
    devices: Vec<DeviceSnapshot<'static>>,
    labels: Vec<(&'static str, &'static str)>,
    warm: Vec<WarmSession<'static>>,
}

impl Pool {
    fn snapshot(&self) -> PoolSnapshot<'_> {
        let mut snapshot = self.base;
        snapshot.supports.models = self.models.as_deref();
        snapshot.resident_models = self.resident.as_deref();
        snapshot.devices = &self.devices;
        snapshot.labels = &self.labels;
        snapshot.warm_sessions = &self.warm;
        snapshot
    }

    fn name(&self) -> PoolName {
        PoolName { id: self.base.id.into(), replica_id: self.base.replica_id.into() }
    }

    /// What validation makes of it.
    fn row(&self) -> PoolRow {
        *self.snapshot().validate().expect("a valid pool").row()
    }
}

/// A job that owns its lists.
#[derive(Debug, Clone)]
struct Job {
    base: JobSpec<'static>,
    prefer: Vec<&'static str>,
    avoid: Vec<&'static str>,
    labels: Vec<(&'static str, &'static str)>,
}

impl Job {
    fn spec(&self) -> JobSpec<'_> {
        let mut spec = self.base;
        spec.placement.prefer_pools = &self.prefer;
        spec.placement.avoid_pools = &self.avoid;
        spec.placement.require_labels = &self.labels;
        spec
    }
}

#[derive(Debug, Clone)]
struct World {
    pools: Vec<Pool>,
    jobs: Vec<Job>,
    policy: Policy,
}

/// Few values, so that ties are frequent; some of them unknown.
fn facts() -> impl Strategy<Value = PoolSnapshot<'static>> {
    let slots = (0i64..3, select(vec![0i64, 1, 1, 2, 2, 3, 4]));
    let vram = (select(vec![400i64, 1000, 1000, 2000]), select(vec![300i64, 700, 700, 900, 2000]));
    let rates = (
        select(vec![None, Some(0.1), Some(0.239), Some(50.0), Some(50.0), Some(4000.0)]),
        select(vec![None, Some(0.0), Some(1.0), Some(1.0), Some(1.5), Some(300.0)]),
        select(vec![None, Some(1000.0), Some(1e6)]),
    );
    let times = (
        select(vec![0.0, 0.0, 0.5, 40.0]),
        select(vec![0.0, 10.0]),
        select(vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e9]),
    );
    let rare = (0u8..24, select(vec![None, Some(400), Some(1000)]), select(vec![None, Some("8.0"), Some("9.0")]));
    (slots, vram, rates, times, rare).prop_map(|(slots, vram, rates, times, (rare, ctx_max, capability))| {
        let mut pool = PoolSnapshot::new("a", "vllm", slots.0 + slots.1, slots.1, vram.0, vram.1);
        (pool.perf_tokens_per_s, pool.first_token_ms, pool.prefill_tokens_per_s) = rates;
        (pool.admission_latency_ms, pool.model_load_ms, pool.age_ms) = times;
        pool.ready = rare != 0;
        pool.draining = rare == 1;
        pool.engine = if rare == 2 { "trt" } else { "vllm" };
        (pool.supports.ctx_max, pool.compute_capability) = (ctx_max, capability);
        pool
    })
}

fn pool() -> impl Strategy<Value = Pool> {
    let devices = prop::collection::vec((select(vec![400i64, 800]), select(vec![200i64, 600, 600, 800])), 0..4);
    let models = || prop::collection::vec(select(&MODELS[..]), 0..3);
    let models = (prop::option::weighted(0.1, models()), prop::option::weighted(0.6, models()));
    let sessions = prop::sample::subsequence(SESSIONS.to_vec(), 0..=3);
    let labels = prop::sample::subsequence(vec![("k", "v"), ("l", "w")], 0..=2);
    (facts(), devices, 0u8..3, models, sessions, 0i64..60, labels).prop_map(
        |(base, devices, keep_devices, (models, resident), sessions, tokens, labels)| Pool {
            base,
            models,
            resident,
            devices: devices
                .into_iter()
                .filter(|_| keep_devices != 0)
                .map(|(total, free)| DeviceSnapshot {
                    vram_total_bytes: total,
                    vram_free_bytes: free,
                    compute_capability: None,
                })
                .collect(),
            labels,
            warm: (0..)
                .zip(sessions)
                .map(|(place, session_id)| WarmSession { session_id, cached_tokens: tokens * place })
                .collect(),
        },
    )
}

/// Distinct pools; a third of them are replicas.
fn pools(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Pool>> {
    let names: Vec<(&str, &str)> = IDS.iter().flat_map(|id| [(*id, ""), (*id, "r1")]).collect();
    let names = prop::sample::subsequence(names, count).prop_shuffle();
    names.prop_flat_map(|names| {
        let count = names.len();
        let shares = prop::collection::vec(any::<bool>(), count);
        (Just(names), prop::collection::vec(pool(), count), shares).prop_map(|(names, mut pools, shares)| {
            // Half of the pools have all that rarely changes in common with the first.
            if let Some(first) = pools.first().cloned() {
                for (pool, _) in pools.iter_mut().zip(shares).filter(|(_, shares)| *shares) {
                    pool.base.engine = first.base.engine;
                    pool.base.vram_total_bytes = first.base.vram_total_bytes;
                    pool.base.compute_capability = first.base.compute_capability;
                    pool.base.supports = first.base.supports;
                    pool.models.clone_from(&first.models);
                    pool.devices.clone_from(&first.devices);
                }
            }
            for (pool, (id, replica_id)) in pools.iter_mut().zip(names) {
                (pool.base.id, pool.base.replica_id) = (id, replica_id);
            }
            pools
        })
    })
}

fn job() -> impl Strategy<Value = Job> {
    let tokens = (0i64..100, prop::option::of(0i64..100), prop::option::weighted(0.1, 0i64..1100));
    let needs = (select(vec![None, Some(0i64), Some(30), Some(201)]), select(vec![0i64, 0, 100, 301]));
    let session = (prop::option::of(select(&SESSIONS[..])), 0u8..6);
    let hints = (0u8..5, prop::collection::vec(select(&IDS[..]), 1..3), prop::sample::subsequence(IDS.to_vec(), 0..2));
    let requirements = (
        select(vec![None, None, None, None, Some(1i64), Some(2)]),
        select(vec![None, None, None, None, None, None, None, None, Some("8.0")]),
        0u8..8,
    );
    let deadline = prop::option::of(select(vec![0.0, 1.0, 21.0, 1000.0, 5000.0]));
    (select(&["j1", "j2", "j3"][..]), select(&MODELS[..]), tokens, needs, session, hints, requirements, deadline)
        .prop_map(|(id, model, tokens, needs, session, hints, requirements, deadline)| {
            let mut base = JobSpec::new(id, "vllm", model);
            (base.prompt_tokens, base.expected_tokens, base.required_ctx) = tokens;
            (base.est_kv_bytes, base.requirements.min_vram_bytes) = needs;
            base.session_id = session.0;
            base.kv_hint = if session.1 == 0 { KvHint::Cold } else { KvHint::Reuse };
            base.requirements.split_degree = requirements.0;
            base.requirements.min_compute_cap = requirements.1;
            base.deadline_ms = deadline;
            let (mode, named, avoid) = hints;
            base.placement.pin_pool_id = (mode == 0).then(|| named[0]);
            base.placement.allow_fallback = mode != 1;
            Job {
                base,
                prefer: if (1..6).contains(&mode) { named } else { vec![] },
                avoid,
                labels: if requirements.2 == 0 { vec![("k", "v")] } else { vec![] },
            }
        })
}

fn policy() -> impl Strategy<Value = Policy> {
    let weight = || select(vec![1.0, 1.0, 0.0, 0.3, 16.0]);
    let weights = (weight(), weight(), weight(), weight(), weight());
    (
        select(&Order::ALL[..]),
        select(vec![0i64, 10, 20, 46]),
        prop::bool::weighted(0.9),
        prop::option::of(0u64..4),
        (prop::option::of(select(vec![1.0, 100.0])), prop::option::of(select(vec![0.0, 2.0]))),
        select(vec![0i64, 1, 2, 100]),
        prop::option::weighted(0.3, weights),
    )
        .prop_map(|(order, quantum_shift, performance_aware, spread_seed, defaults, session_capacity, weights)| {
            let mut spec = PolicySpec {
                order,
                quantum_shift,
                performance_aware,
                spread_seed,
                session_capacity,
                ..PolicySpec::default()
            };
            (spec.default_tokens_per_s, spec.default_first_token_ms) = defaults;
            if let Some((admission, model_load, first_token, prefill, decode)) = weights {
                spec.weights = WeightsSpec { admission, model_load, first_token, prefill, decode };
            }
            spec.validate().expect("a valid policy")
        })
}

fn world(jobs: std::ops::Range<usize>) -> impl Strategy<Value = World> {
    (pools(0..9), prop::collection::vec(job(), jobs), policy()).prop_map(|(pools, jobs, policy)| World {
        pools,
        jobs,
        policy,
    })
}

fn fleet<'a>(pools: impl IntoIterator<Item = &'a Pool>) -> Fleet {
    let mut builder = FleetBuilder::default();
    for (line, pool) in (1..).zip(pools) {
        let valid = pool.snapshot().validate().map(|valid| builder.add(line, &valid));
        valid.expect("a valid pool").expect("few names");
    }
    let built = builder.finish();
    assert!(built.duplicates.is_empty());
    built.fleet
}

fn placer<'a>(pools: impl IntoIterator<Item = &'a Pool>, policy: &Policy, mode: Mode) -> Placer {
    Placer::new(fleet(pools), policy.clone(), mode)
}

fn place(placer: &mut Placer, job: &Job) -> Placed {
    let wanted = Wanted { explanation: true, best: 3 };
    placer.place(&job.spec(), None, wanted).expect("a valid job")
}

/// The decision on one job in a fresh fleet.
fn once<'a>(pools: impl IntoIterator<Item = &'a Pool>, job: &Job, policy: &Policy) -> (Placed, Fleet) {
    let mut placer = placer(pools, policy, Mode::Independent);
    let placed = place(&mut placer, job);
    (placed, placer.fleet().clone())
}

fn name(fleet: &Fleet, rank: u32) -> PoolName {
    fleet.name(rank).expect("a rank of this fleet").clone()
}

/// An assignment without its rank, which depends on the other pools, and the pool instead.
fn of_pool(assignment: Assignment, fleet: &Fleet) -> (PoolName, Assignment) {
    (name(fleet, assignment.rank), Assignment { rank: 0, ..assignment })
}

fn winner(placed: &Placed, fleet: &Fleet) -> Option<(PoolName, Assignment)> {
    placed.decision.assignment().map(|assignment| of_pool(*assignment, fleet))
}

fn explanation(placed: &Placed) -> &Explanation {
    placed.explanation.as_ref().expect("wanted")
}

fn rejections(explanation: &Explanation) -> [u32; Rejection::COUNT] {
    Rejection::ALL.map(|rejection| explanation.counts.of(rejection))
}

/// What decided, but for a margin in ranks, which other pools shift.
fn decided(explanation: &Explanation) -> Option<Decided> {
    explanation.decided.map(|decided| match decided.by {
        KeyPart::PoolId => Decided { margin: None, ..decided },
        _ => decided,
    })
}

/// Ways to make a pool infeasible for every job.
fn spoil(pool: &mut Pool, how: u8) {
    match how {
        0 => pool.base.draining = true,
        1 => pool.base.ready = false,
        2 => pool.base.engine = "another",
        3 => pool.base.slots_free = 0,
        4 => pool.base.age_ms = 30_000.001,
        5 => pool.models = Some(vec![]),
        _ => pool.base.supports.min_compute_cap = Some("255.255"),
    }
}

proptest! {
    #![proptest_config(config())]

    /// DET-1, POOL-1: the order of pools in the file changes no decision, explanation, list of the best, hash or digest.
    #[test]
    fn order_of_pools_does_not_count(
        (world, shuffled) in world(1..6).prop_flat_map(|world| {
            let pools = Just(world.pools.clone()).prop_shuffle();
            (Just(world), pools)
        }),
        mode in select(vec![Mode::Sequential, Mode::Independent]),
    ) {
        let run = |pools: &[Pool]| {
            let mut placer = placer(pools, &world.policy, mode);
            let mut digest = DecisionDigest::default();
            let placed: Vec<Placed> = world.jobs.iter().map(|job| {
                let placed = place(&mut placer, job);
                digest.add_decision(job.base.id, &placed.decision, placer.fleet());
                placed
            }).collect();
            (placer.fleet().content_hash(), digest.finish(), placed)
        };
        prop_assert_eq!(run(&world.pools), run(&shuffled));
    }

    /// NOCAP-1, EXPL-1: a further pool that cannot take the job changes the counts by one, and a headline only as
    /// `headline` of the two says; winner, runner-up and what decided stay (but for margins in ranks).
    #[test]
    fn infeasible_pools_only_count(world in world(1..2), mut extra in pool(), how in 0u8..7) {
        spoil(&mut extra, how);
        (extra.base.id, extra.base.replica_id) = ("a", "extra");
        let job = &world.jobs[0];
        let (without, small) = once(&world.pools, job, &world.policy);
        let (with, large) = once(world.pools.iter().chain([&extra]), job, &world.policy);
        let (before, after) = (explanation(&without), explanation(&with));

        prop_assert_eq!(winner(&with, &large), winner(&without, &small));
        let best = |placed: &Placed, fleet: &Fleet| -> Vec<_> {
            placed.best.iter().map(|assignment| of_pool(*assignment, fleet)).collect()
        };
        prop_assert_eq!(best(&with, &large), best(&without, &small));
        prop_assert_eq!(after.feasible, before.feasible);
        prop_assert_eq!(decided(after), decided(before));
        let more: Vec<Rejection> = Rejection::ALL
            .into_iter()
            .filter(|rejection| after.counts.of(*rejection) != before.counts.of(*rejection))
            .collect();
        prop_assert_eq!(more.len(), 1);
        prop_assert_eq!(after.counts.of(more[0]), before.counts.of(more[0]) + 1);
        if let PlacementDecision::NoCapacity { headline, .. } = with.decision {
            let PlacementDecision::NoCapacity { headline: earlier, .. } = without.decision else {
                unreachable!("compared above");
            };
            prop_assert_eq!(headline, Some(earlier.map_or(more[0], |earlier| earlier.headline(more[0]))));
        }
    }

    /// KEY-2, KEY-4, KEY-5, KEY-6, KEY-7, KEY-10: a winner that gets better in one fact, all else equal, stays the
    /// winner. Better is, in both orders: more free VRAM up to its total; more free slots up to its total (fewer leases
    /// run); another slot, free (as many run); a shorter first-token time, admission or load; a faster decode or prefill
    /// rate; more cached tokens of the job's session; the job's model resident.
    ///
    /// A rate or time counts as better only from one known value to another: an unknown decode rate or first-token time
    /// may stand for a default that is better than any measurement, and an unknown prefill rate costs nothing. More
    /// slots in all are no improvement unless they are free, and a tie is safe because no other pool changes.
    #[test]
    fn a_better_winner_stays(mut world in world(1..2), how in 0u8..10, by in 1i64..500) {
        let job = world.jobs[0].clone();
        let (before, fleet) = once(&world.pools, &job, &world.policy);
        let Some((winning, _)) = winner(&before, &fleet) else { return Ok(()) };
        let pool = world.pools.iter_mut().find(|pool| pool.name() == winning).expect("the winner");
        let row = pool.row();
        let factor = 1.0 / (1.0 + by as f64 / 100.0);
        match how {
            0 if pool.devices.is_empty() => {
                let free = pool.base.vram_free_bytes.min(pool.base.vram_total_bytes);
                pool.base.vram_free_bytes = (free + by).min(pool.base.vram_total_bytes);
            }
            0 => {
                let place = usize::try_from(by).unwrap_or(0) % pool.devices.len();
                let device = &mut pool.devices[place];
                let free = device.vram_free_bytes.min(device.vram_total_bytes);
                device.vram_free_bytes = (free + by).min(device.vram_total_bytes);
            }
            1 => pool.base.slots_free = (pool.base.slots_free + by).min(pool.base.slots_total),
            2 => {
                pool.base.slots_total += by;
                pool.base.slots_free += by;
            }
            3 => pool.base.first_token_ms = pool.base.first_token_ms.map(|ms| ms * factor),
            4 => pool.base.admission_latency_ms *= factor,
            5 => pool.base.model_load_ms *= factor,
            6 if row.decode_q10 != 0 => {
                pool.base.perf_tokens_per_s = pool.base.perf_tokens_per_s.map(|rate| rate / factor);
            }
            7 if row.prefill_q10 != 0 => {
                pool.base.prefill_tokens_per_s = pool.base.prefill_tokens_per_s.map(|rate| (rate / factor).min(4e6));
            }
            8 => pool.warm.iter_mut().for_each(|session| session.cached_tokens += by),
            9 => {
                if let Some(resident) = &mut pool.resident {
                    resident.push(job.base.model_id);
                }
            }
            _ => {}
        }
        let (after, fleet) = once(&world.pools, &job, &world.policy);
        prop_assert_eq!(winner(&after, &fleet).map(|(name, _)| name), Some(winning));
    }

    /// MODE-1, MODE-2: for a single job the two modes are one.
    #[test]
    fn one_job_has_no_mode(world in world(1..2)) {
        let run = |mode| place(&mut placer(&world.pools, &world.policy, mode), &world.jobs[0]);
        prop_assert_eq!(run(Mode::Sequential), run(Mode::Independent));
    }

    /// MODE-2: in independent mode the jobs before change nothing.
    #[test]
    fn independent_jobs_do_not_meet(world in world(1..6)) {
        let mut placer = placer(&world.pools, &world.policy, Mode::Independent);
        for job in &world.jobs {
            let alone = once(&world.pools, job, &world.policy).0;
            prop_assert_eq!(place(&mut placer, job), alone);
        }
    }

    /// COMMIT-1, COMMIT-2, COMMIT-3, COMMIT-6: after commit and release a pool has its slots and its free VRAM but for
    /// the weights, device by device and in sum; no other pool changed. A second commit then fits, and without new
    /// weights a release restores every byte.
    #[test]
    fn release_undoes_commit(world in world(1..2)) {
        let job = world.jobs[0].spec();
        let mut fleet = fleet(&world.pools);
        fleet.prepare_for(&world.policy);
        fleet.intern_model(job.model_id);
        let valid = job.validate(&world.policy, None).expect("a valid job");
        let resolved = valid.resolve(&fleet);
        let rank = |fleet: &Fleet| {
            let input = PlacementInput::new(fleet.table(), resolved.query(None), &world.policy).expect("prepared");
            decide(&input).assignment().map(|assignment| assignment.rank)
        };
        let Some(winning) = rank(&fleet) else { return Ok(()) };
        let free = |fleet: &Fleet| -> Vec<Vec<u64>> {
            let table = fleet.table();
            let devices = |place: usize| table.lists[place].devices.of(table.devices);
            (0..table.rows.len())
                .map(|place| match devices(place) {
                    [] => vec![table.rows[place].vram_free_bytes],
                    devices => {
                        let free: Vec<u64> = devices.iter().map(|device| device.vram_free_bytes).collect();
                        assert_eq!(free.iter().sum::<u64>(), table.rows[place].vram_free_bytes);
                        free
                    }
                })
                .collect()
        };
        let slots = |fleet: &Fleet| -> Vec<u16> { fleet.table().rows.iter().map(|row| row.slots_free).collect() };
        let place = winning as usize;
        let (slots_before, mut expected) = (slots(&fleet), free(&fleet));

        let lease = fleet.commit(resolved.row(), winning).expect("feasible");
        let mut taken = slots_before.clone();
        taken[place] -= 1;
        prop_assert_eq!(slots(&fleet), taken);
        fleet.release(&lease);
        if lease.devices.is_empty() {
            expected[place][0] -= lease.weight_bytes;
        }
        for share in &lease.devices {
            expected[place][usize::from(share.position)] -= share.weight_bytes();
        }
        prop_assert_eq!(slots(&fleet), slots_before.clone());
        prop_assert_eq!(free(&fleet), expected.clone());

        if lease.resident {
            let second = fleet.commit(resolved.row(), winning).expect("the model is resident now");
            fleet.release(&second);
            prop_assert_eq!(slots(&fleet), slots_before);
            prop_assert_eq!(free(&fleet), expected);
        }
    }

    /// EXPL-1, EXPL-2, EXPL-3: an explanation agrees with its decision.
    #[test]
    fn explanations_agree(world in world(1..4)) {
        let mut placer = placer(&world.pools, &world.policy, Mode::Sequential);
        for job in &world.jobs {
            let placed = place(&mut placer, job);
            let explained = explanation(&placed);
            let infeasible: u32 = rejections(explained).iter().sum();
            prop_assert_eq!((explained.feasible + infeasible) as usize, world.pools.len());
            let standing = |standing: Option<Standing>| standing.map(|standing| standing.parts.rank);
            let rank = |place: usize| placed.best.get(place).map(|assignment| assignment.rank);
            prop_assert_eq!(standing(explained.winner), rank(0));
            prop_assert_eq!(standing(explained.runner_up), rank(1));
            prop_assert_eq!(explained.decided.is_some(), explained.winner.is_some());
            let only = explained.decided.is_some_and(|decided| decided.by == KeyPart::OnlyCandidate);
            prop_assert_eq!(only, explained.feasible == 1);

            let headline = Rejection::ALL
                .into_iter()
                .filter(|rejection| explained.counts.of(*rejection) > 0)
                .reduce(Rejection::headline);
            let miss = explained.nearest_miss;
            prop_assert_eq!(miss.map(|miss| miss.rejection), headline);
            prop_assert_eq!(miss.map(|miss| miss.pools), headline.map(|rejection| explained.counts.of(rejection)));
            prop_assert!(miss.and_then(|miss| miss.shortfall).is_none_or(|shortfall| shortfall.amount > 0));
            match placed.decision {
                PlacementDecision::Assigned(assignment) => {
                    let winner = explained.winner.expect("a winner");
                    let stated = (winner.parts.rank, winner.start_us, winner.end_us, winner.devices, winner.parts.warm);
                    let Assignment { rank, start_us, end_us, devices, warm, .. } = assignment;
                    prop_assert_eq!(stated, (rank, start_us, end_us, devices, warm));
                    // Where it need not wait, the start is in no need of tokens.
                    prop_assert!(winner.terms.waves > 0 || winner.terms.start_us(0, 0) == start_us);
                }
                PlacementDecision::NoCapacity { headline: stated, reason, .. } => {
                    prop_assert_eq!((explained.feasible, stated), (0, headline));
                    prop_assert_eq!(reason.stage(), headline.map_or(0, Rejection::stage));
                }
            }
        }
    }

    /// EXPL-1: the k best are the first k of all feasible pools in their order: the winner first, and each the winner
    /// when those before it are away.
    #[test]
    fn the_best_are_a_prefix(world in world(1..2)) {
        let job = &world.jobs[0];
        let ask = |pools: &[Pool], best: usize| {
            let mut placer = placer(pools, &world.policy, Mode::Independent);
            let wanted = Wanted { explanation: false, best };
            let placed = placer.place(&job.spec(), None, wanted).expect("a valid job");
            let names = placed.best.iter().map(|assignment| of_pool(*assignment, placer.fleet())).collect::<Vec<_>>();
            (names, winner(&placed, placer.fleet()))
        };
        let (all, first) = ask(&world.pools, world.pools.len() + 1);
        prop_assert_eq!(all.first().cloned(), first);
        for best in 0..all.len() {
            prop_assert_eq!(&ask(&world.pools, best).0[..], &all[..best]);
        }
        let mut left = world.pools.clone();
        for next in &all {
            prop_assert_eq!(ask(&left, 0).1, Some(next.clone()));
            left.retain(|pool| pool.name() != next.0);
        }
        prop_assert_eq!(ask(&left, 0).1, None);
    }

    /// EXPL-2: without the winner the runner-up wins, and nobody where there is none; without another pool the winner
    /// stays.
    #[test]
    fn the_runner_up_is_next(world in world(1..2)) {
        let job = &world.jobs[0];
        let (placed, all) = once(&world.pools, job, &world.policy);
        let second = placed.best.get(1).map(|assignment| of_pool(*assignment, &all));
        let Some(first) = winner(&placed, &all) else { return Ok(()) };
        for away in &world.pools {
            let left = world.pools.iter().filter(|pool| pool.name() != away.name());
            let (placed, fleet) = once(left, job, &world.policy);
            let expected = if away.name() == first.0 { second.clone() } else { Some(first.clone()) };
            prop_assert_eq!(winner(&placed, &fleet), expected);
        }
    }

    /// MODE-1, COMMIT-1, COMMIT-2, COMMIT-3, COMMIT-4: a stream of jobs takes no more slots or bytes than were free; what is
    /// left is what was free less every need: KV each time, weights where the model was not resident, rounded up to
    /// equal shares for a split.
    #[test]
    fn streams_stay_within_their_pools(world in world(1..25)) {
        let mut placer = placer(&world.pools, &world.policy, Mode::Sequential);
        let mut taken: BTreeMap<PoolName, (u16, u64)> = BTreeMap::new();
        let mut loaded: BTreeSet<(PoolName, &str)> = BTreeSet::new();
        for job in &world.jobs {
            let placed = place(&mut placer, job);
            let Some((pool, _)) = winner(&placed, placer.fleet()) else { continue };
            let published = world.pools.iter().find(|other| other.name() == pool).expect("a pool of the world");
            let model = job.base.model_id;
            let resident = published.resident.as_ref().is_none_or(|resident| resident.contains(&model));
            let first = loaded.insert((pool.clone(), model));
            let signed = |bytes: i64| u64::try_from(bytes).expect("not negative");
            let kv = signed(job.base.est_kv_bytes.unwrap_or(0));
            let need = kv + if resident || !first { 0 } else { signed(job.base.requirements.min_vram_bytes) };
            let degree = signed(job.base.requirements.split_degree.unwrap_or(1));
            let (slots, bytes) = taken.entry(pool).or_default();
            *slots += 1;
            *bytes += need.div_ceil(degree) * degree;
        }
        let table = placer.fleet().table();
        for pool in &world.pools {
            let rank = (0..).find(|rank| placer.fleet().name(*rank) == Some(&pool.name())).expect("a rank");
            let (before, after) = (pool.row(), table.rows[rank as usize]);
            let (slots, bytes) = taken.remove(&pool.name()).unwrap_or_default();
            prop_assert_eq!(before.slots_free.checked_sub(slots), Some(after.slots_free));
            prop_assert_eq!(before.vram_free_bytes.checked_sub(bytes), Some(after.vram_free_bytes));
        }
    }

    /// A job is on time when it has a deadline and a known end, and the end is not behind the deadline.
    #[test]
    fn on_time_is_an_end_by_the_deadline(world in world(1..2)) {
        let job = &world.jobs[0];
        for assignment in once(&world.pools, job, &world.policy).0.best {
            let deadline_us = job.base.deadline_ms.map(|ms| (ms * 1000.0) as u64);
            let expected = deadline_us.zip(assignment.end_us).map(|(deadline, end)| end <= deadline);
            prop_assert_eq!(assignment.on_time, expected);
            prop_assert!(assignment.end_us.is_none_or(|end| assignment.start_us <= end));
        }
    }

    /// SCORE-3, COMMIT-5: after a placement in sequential mode, the session is warm on its pool for every job that may
    /// use it, with what the placement recorded.
    #[test]
    fn sessions_are_warm_where_they_were_placed(world in world(2..6)) {
        // A smaller table forgets some of the three sessions.
        if world.policy.session_capacity() < 3 { return Ok(()) }
        let mut placer = placer(&world.pools, &world.policy, Mode::Sequential);
        let mut last: BTreeMap<&str, (PoolName, i64)> = BTreeMap::new();
        for job in &world.jobs {
            let placed = place(&mut placer, job);
            let (Some(session), Some((pool, given))) = (job.base.session_id, winner(&placed, placer.fleet())) else {
                continue;
            };
            let output = job.base.expected_tokens.unwrap_or(256);
            if let Some((_, tokens)) = last.get(session).filter(|(holder, _)| *holder == pool) {
                prop_assert_eq!(given.warm, *tokens > 0 && job.base.kv_hint == KvHint::Reuse);
            }
            last.insert(session, (pool, job.base.prompt_tokens + output));
        }
    }
}

fn parts() -> impl Strategy<Value = KeyParts> {
    let bits = (any::<bool>(), any::<bool>());
    let ends = select(vec![0, 1, 1023, 1024, 70_368_744_177_663, 70_368_744_177_664]);
    let slots = (0u16..3, 0u16..3);
    let bytes = (0u64..3, 0u64..3);
    (bits, ends, slots, bytes, 0u32..2, 0u32..2, 0u32..4).prop_map(|(bits, end, slots, bytes, rate, spread, rank)| {
        KeyParts {
            preferred: bits.0,
            weighted_end_us: end,
            warm: bits.1,
            active_leases: slots.0,
            slots_free: slots.1,
            vram_free_bytes: bytes.0,
            residual_vram_bytes: bytes.1,
            milli_tps: rate,
            spread,
            rank,
        }
    })
}

proptest! {
    #![proptest_config(config())]

    /// KEY-12: the smaller key is a choice that does not depend on order or grouping, and agrees with the parts compared
    /// one by one.
    #[test]
    fn keys_have_a_minimum(a in parts(), b in parts(), c in parts(), shift in select(vec![0u8, 10, 46])) {
        let by_end = |parts: &KeyParts| Key::by_predicted_end(parts, shift);
        for key in [&by_end as &dyn Fn(&KeyParts) -> Key, &Key::by_free_vram] {
            let (x, y, z) = (key(&a), key(&b), key(&c));
            prop_assert_eq!(x.min(y), y.min(x));
            prop_assert_eq!(x.min(y).min(z), x.min(y.min(z)));
            prop_assert_eq!(x.min(x), x);
        }
        let one_by_one = |parts: &KeyParts| (
            (!parts.preferred, parts.weighted_end_us >> shift, !parts.warm, parts.active_leases),
            std::cmp::Reverse((parts.slots_free, parts.residual_vram_bytes, parts.milli_tps)),
            (parts.spread, parts.rank),
        );
        prop_assert_eq!(by_end(&a).cmp(&by_end(&b)), one_by_one(&a).cmp(&one_by_one(&b)));
        let one_by_one = |parts: &KeyParts| (
            (!parts.preferred, std::cmp::Reverse(parts.vram_free_bytes), parts.active_leases, parts.rank),
        );
        prop_assert_eq!(Key::by_free_vram(&a).cmp(&Key::by_free_vram(&b)), one_by_one(&a).cmp(&one_by_one(&b)));
    }
}

/// NOCAP-1: the headline of many pools does not depend on order or grouping. All of 23 * 23 * 23 triples.
#[test]
fn headlines_have_a_maximum() {
    for a in Rejection::ALL {
        assert_eq!(a.headline(a), a);
        for b in Rejection::ALL {
            assert_eq!(a.headline(b), b.headline(a));
            assert!(a.headline(b) == a || a.headline(b) == b);
            for c in Rejection::ALL {
                assert_eq!(a.headline(b).headline(c), a.headline(b.headline(c)));
            }
        }
    }
}
