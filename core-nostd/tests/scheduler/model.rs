//! A scheduler at random, with faults, beside a naive account of every job. EVENT-1, LEASE-1 to LEASE-7, QUEUE-13.
//!
//! Pools vanish, come back, and report late, twice, in another order or wrongly; reports of jobs are lost, repeated and
//! late; cancels race with ends; policies change. `ORCHESTRATOR_FAULT_SEED` repeats a run, `ORCHESTRATOR_FAULT_OPERATIONS`
//! sets its length.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::iter::repeat_with;

use orchestrator_core::scheduler::{
    Answer, CancelCause, ClassWeights, Discipline, Event, FailureCause, FullPolicy, Input, LeaseStorage, Observer,
    PoolLeases, PoolRecord, Prices, QueueStorage, Scheduler, SchedulerPolicy, SchedulerPolicySpec, SchedulerStorage,
    SessionStorage, WaitLimit,
};
use orchestrator_core::storage::IdSlot;
use orchestrator_core::{
    Budget, DeterminismSpec, JobSpec, Order, PlacementHints, Policy, PolicySpec, PoolSnapshot, Priority,
};

use crate::account::{Account, Job, Needs, Pool};
use crate::table::Fleet;

const POOLS: [&str; 5] = ["p0", "p1", "p2", "p3", "p4"];
/// Fewer than there are pools.
const POOL_PLACES: usize = 4;
const SESSIONS: [&str; 4] = ["s0", "s1", "s2", "s3"];
const VERSIONS: [Option<&str>; 3] = [None, Some("1"), Some("2")];
const VRAM: u64 = 1000 << 16;
/// Inputs of one world.
const WORLD: u64 = 2_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// Once in so many times.
    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// The last lines of a run, printed where it fails.
#[derive(Default)]
struct Trace {
    text: String,
    last: VecDeque<String>,
}

impl Trace {
    fn line(&mut self, line: String) {
        self.text.push_str(&line);
        if self.last.len() == 40 {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in &self.last {
                eprint!("{line}");
            }
        }
    }
}

/// Writes every event down.
struct Events<'a>(&'a mut String);

impl Observer for Events<'_> {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        writeln!(self.0, "  {event:?}").expect("a string grows");
    }
}

fn placement(random: &mut Random) -> Policy {
    let spec = PolicySpec {
        order: random.pick(&Order::ALL),
        spread_seed: random.one_in(2).then_some(7),
        stale_after_ms: random.pick(&[100.0, 5_000.0, 30_000.0]),
        pool_backlog: random.pick(&[0, 0, 2]),
        ..PolicySpec::default()
    };
    spec.validate().expect("a valid policy")
}

fn rules(random: &mut Random, is_crowded: bool) -> SchedulerPolicy {
    let any = WaitLimit::NONE;
    let limit = |random: &mut Random| match random.below(6) {
        _ if is_crowded => any,
        0 => WaitLimit { jobs: random.below(3) as u32, ..any },
        1 => WaitLimit { tokens: random.below(2_000), ..any },
        _ => any,
    };
    // Half of all runs are of the default policy, but for its limits.
    let is_plain = random.one_in(2);
    let spec = SchedulerPolicySpec {
        queue_total: limit(random),
        queue_interactive: limit(random),
        queue_batch: limit(random),
        full: random.pick(&FullPolicy::ALL),
        strict_upstream: random.one_in(2),
        discipline: if is_plain { Discipline::Fifo } else { random.pick(&Discipline::ALL) },
        class_weights: (!is_plain && random.one_in(2)).then_some(ClassWeights { interactive: 2, batch: 1 }),
        tenant_quantum_tokens: 100,
        promote_after_ms: (!is_plain && random.one_in(3)).then_some(200.0),
        queue_ttl_ms: if is_crowded { 60_000.0 } else { random.pick(&[0.0, 500.0, 20_000.0]) },
        scan_limit: if is_plain { 65_535 } else { random.pick(&[1, 2, 65_535]) },
        overtakes_max: if is_plain { i64::from(u32::MAX) } else { random.pick(&[1, 3, i64::from(u32::MAX)]) },
        start_timeout_ms: random.pick(&[0.0, 100.0, 5_000.0]),
        wall_limit_ms: random.pick(&[0.0, 1_000.0, 60_000.0]),
        idle_limit_ms: random.pick(&[0.0, 300.0, 10_000.0]),
        session_ttl_ms: random.pick(&[0.0, 400.0, 10_000.0]),
        refresh_after_ms: random.pick(&[50.0, 2_000.0]),
        refresh_base_ms: 10.0,
        refresh_cap_ms: random.pick(&[10.0, 1_000.0]),
        ..SchedulerPolicySpec::default()
    };
    spec.validate().expect("a valid policy")
}

/// A run in one world: a scheduler, what is sent to it, and the account.
struct World<'a> {
    random: Random,
    scheduler: Scheduler<'a, Fleet>,
    account: Account,
    storage: (usize, usize),
    /// Whether many jobs of few kinds wait.
    is_crowded: bool,
    trace: Trace,
}

/// All that a world said, and how often which event was among it.
struct Said {
    text: String,
    tally: BTreeMap<&'static str, u64>,
}

fn play(seed: u64, inputs: u64) -> Said {
    let mut random = Random(seed);
    let is_crowded = random.one_in(3);
    let sizes = if is_crowded { [600, 600, 600, 600, 64, 2] } else { [0, 1, 2, 64, 64, 64] };
    let (queued, leases, sessions) = (random.pick(&sizes), random.pick(&sizes), random.pick(&[0, 1, 2, 8]));
    let mut jobs: Vec<_> = repeat_with(|| IdSlot::EMPTY).take(queued).collect();
    let mut slots: Vec<_> = repeat_with(|| IdSlot::EMPTY).take(leases).collect();
    let mut session_slots: Vec<_> = repeat_with(|| IdSlot::EMPTY).take(sessions).collect();
    let mut tenants: Vec<_> = repeat_with(|| IdSlot::EMPTY).take(random.pick(&[0, 1, 2, 4])).collect();
    let (mut queue_buckets, mut lease_buckets) = (vec![0; queued], vec![0; leases]);
    let (mut session_buckets, mut tenant_buckets) = (vec![0; sessions], vec![0; tenants.len()]);
    let (mut queue_ids, mut job_tenants) = (vec![0; queued * 65], vec![0; queued * 65]);
    let (mut lease_ids, mut session_ids) = (vec![0; leases * 65], vec![0; sessions * 65]);
    let mut tenant_ids = vec![0; tenants.len() * 65];
    let (mut job_bytes, mut model_names) = (vec![0; queued * 256], vec![0; leases * 16]);
    let mut pool_leases = [PoolLeases::EMPTY; POOL_PLACES];
    let mut pools = [PoolRecord::EMPTY; POOL_PLACES];
    let storage = SchedulerStorage {
        queue: QueueStorage {
            jobs: &mut jobs,
            buckets: &mut queue_buckets,
            ids: &mut queue_ids,
            job_tenants: &mut job_tenants,
            tenants: &mut tenants,
            tenant_buckets: &mut tenant_buckets,
            tenant_ids: &mut tenant_ids,
        },
        job_bytes: &mut job_bytes,
        leases: LeaseStorage {
            slots: &mut slots,
            buckets: &mut lease_buckets,
            ids: &mut lease_ids,
            pools: &mut pool_leases,
        },
        model_names: &mut model_names,
        pools: &mut pools,
        sessions: SessionStorage { slots: &mut session_slots, buckets: &mut session_buckets, ids: &mut session_ids },
        prices: Prices::default(),
        hash_seed: 0,
    };
    let (placement, rules) = (placement(&mut random), rules(&mut random, is_crowded));
    let account = Account::new(placement.clone(), rules, 1_000_000_000);
    let scheduler = Scheduler::new(Fleet::new(), storage, placement, rules);
    let storage = (queued, leases);
    let mut world = World { random, scheduler, account, storage, is_crowded, trace: Trace::default() };
    for _ in 0..inputs {
        world.step();
    }
    world.finish();
    let World { account, mut trace, .. } = world;
    Said { text: std::mem::take(&mut trace.text), tally: account.tally }
}

impl World<'_> {
    /// One input at random, some time after the one before.
    fn step(&mut self) {
        let pause_us = match self.random.below(40) {
            0 if !self.is_crowded => self.random.below(40_000_000),
            0..=5 => self.random.below(500_000),
            6..=15 => 0,
            _ => self.random.below(20_000),
        };
        self.account.now_us += pause_us;
        match self.random.below(100) {
            0..=34 => self.submit(),
            35..=55 if self.is_crowded => self.submit(),
            35..=66 => self.report(),
            67..=73 => self.cancel(),
            74..=88 => self.snapshot(),
            89..=90 => self.remove(),
            91..=93 => self.drain(),
            94..=95 => self.change_policies(),
            96 => {
                let session_id = self.random.pick(&SESSIONS);
                self.feed(&Input::EndSession { session_id }, None);
            }
            97 => self.go_back(),
            _ => self.feed(&Input::Tick, Some("done")),
        }
    }

    /// No more jobs come, and time passes: every one that is left ends.
    fn finish(&mut self) {
        let (placement, rules) = (Policy::default(), SchedulerPolicy::default());
        self.account.placement = placement.clone();
        self.account.rules = rules;
        self.feed(&Input::SetPolicies { placement: &placement, scheduler: &rules }, Some("done"));
        while let Some(at_us) = self.scheduler.next_job_end_us() {
            self.account.now_us = at_us;
            self.feed(&Input::Tick, Some("done"));
        }
        assert!(self.account.jobs.is_empty(), "jobs are left: {:?}", self.account.jobs);
        assert_eq!(self.account.submitted, self.account.ended);
    }

    /// Gives an input, asks for all actions, and settles the account.
    fn feed(&mut self, input: &Input<'_>, expected: Option<&str>) {
        let Self { scheduler, account, trace, random, storage, .. } = self;
        let now_us = account.now_us;
        let mut text = format!("{now_us} {input:?}\n");
        account.in_handle = true;
        let answer = scheduler.handle(input, now_us, &mut (&mut *account, Events(&mut text)));
        account.in_handle = false;
        writeln!(text, "  {answer:?}").expect("a string grows");
        if random.one_in(50) {
            let too_early = scheduler.handle(&Input::Tick, now_us + 1, &mut Never);
            assert_eq!(too_early, Answer::ActionsPending);
        }
        while let Some(action) = scheduler.next_action(&mut (&mut *account, Events(&mut text))) {
            account.act(&action);
            writeln!(text, "  {action:?}").expect("a string grows");
        }
        trace.line(text);
        if let Some(expected) = expected {
            assert_eq!(answer.name(), expected);
        }
        account.settle(&answer, scheduler, *storage);
    }

    fn submit(&mut self) {
        let id = self.some_id();
        let (random, rarity) = (&mut self.random, if self.is_crowded { 200 } else { 1 });
        let class = random.pick(&[Priority::Interactive, Priority::Batch]);
        let needs = Needs {
            pin: random.one_in(6 * rarity).then(|| random.pick(&POOLS)),
            version: if random.one_in(4 * rarity) { random.pick(&VERSIONS) } else { None },
            // Whole units of QUEUE-13.
            kv_bytes: if random.one_in(3) { random.below(VRAM >> 16) << 16 } else { 0 },
        };
        let spec = JobSpec {
            priority: class,
            prompt_tokens: random.below(200) as i64,
            expected_tokens: Some(random.below(50) as i64),
            est_kv_bytes: Some(needs.kv_bytes as i64),
            session_id: random.one_in(3).then(|| random.pick(&SESSIONS)),
            tenant_id: random.one_in(2).then(|| random.pick(&["t0", "t1", "t2"])),
            deadline_ms: random.one_in(3).then(|| random.below(5_000) as f64),
            determinism: DeterminismSpec { engine_version: needs.version, ..DeterminismSpec::default() },
            placement: PlacementHints { pin_pool_id: needs.pin, ..PlacementHints::AUTOMATIC },
            budget: Budget {
                tokens: random.one_in(8).then(|| random.below(2_000) as i64),
                time_ms: random.one_in(20).then(|| random.below(2_000) as f64),
                cost_micros: None,
            },
            ..JobSpec::new(&id, "vllm", if random.one_in(2 * rarity) { "n" } else { "m" })
        };
        let is_known = self.account.jobs.contains_key(&id);
        let arrived_us = self.account.now_us;
        let arrival = self.account.submitted;
        self.account.submitting = Some((id.clone(), Job { class, needs, arrival, arrived_us, lease: None }));
        self.feed(&Input::Submit(&spec), is_known.then_some("duplicate_job"));
    }

    fn some_id(&mut self) -> String {
        format!("j{}", self.random.below(if self.is_crowded { 2_000 } else { 120 }))
    }

    /// A job: mostly one that has a lease.
    fn some_job(&mut self) -> String {
        let leased: Vec<&String> =
            self.account.jobs.iter().filter(|(_, job)| job.lease.is_some()).map(|(id, _)| id).collect();
        if leased.is_empty() || self.random.one_in(5) {
            return self.some_id();
        }
        leased[self.random.below(leased.len() as u64) as usize].clone()
    }

    fn report(&mut self) {
        let id = self.some_job();
        let tokens_out = self.random.below(60) as u32;
        let now_us = self.account.now_us;
        let kind = self.random.below(5);
        let input = match kind {
            0 => Input::Started { job_id: &id },
            1 => Input::FirstToken { job_id: &id },
            2 => Input::Progress { job_id: &id, tokens_out },
            3 => Input::Finished { job_id: &id, tokens_out },
            _ => Input::Failed { job_id: &id, cause: self.random.pick(&FailureCause::ALL), tokens_out },
        };
        // LEASE-7.
        let expected = match self.account.jobs.get_mut(&id).map(|job| &mut job.lease) {
            None => "unknown_job",
            Some(None) => "not_dispatched",
            Some(Some(lease)) => {
                let is_old = match kind {
                    0 => lease.started_us.is_some(),
                    1 => lease.has_token,
                    2 => tokens_out < lease.tokens_out,
                    _ => false,
                };
                if !is_old {
                    lease.started_us.get_or_insert(now_us);
                    lease.last_report_us = now_us;
                    lease.has_token |= kind == 1;
                    lease.tokens_out = if kind == 2 { tokens_out } else { lease.tokens_out };
                }
                if is_old { "repeated" } else { "done" }
            }
        };
        self.feed(&input, Some(expected));
    }

    fn cancel(&mut self) {
        let id = if self.random.one_in(2) { self.some_job() } else { self.some_id() };
        let expected = if self.account.jobs.contains_key(&id) { "done" } else { "unknown_job" };
        let cause = self.random.pick(&CancelCause::ALL);
        self.feed(&Input::Cancel { job_id: &id, cause }, Some(expected));
    }

    /// A pool's state: true, true some time ago, or anything.
    fn snapshot(&mut self) {
        let id = self.random.pick(&POOLS);
        let age_ms = if self.random.one_in(3) { self.random.below(3_000) } else { 0 };
        let observed_us = self.account.now_us - age_ms * 1000;
        let is_true = self.random.below(3) > 0;
        let random = &mut self.random;
        let slots_total = if random.one_in(10) { 0 } else { id.as_bytes()[1] as u64 % 3 + 1 };
        let seen = self.account.leases_of(id).filter(|(_, lease)| lease.reserved_us < observed_us);
        let (slots, kv_bytes) =
            seen.fold((0, 0), |(slots, kv_bytes), (job, _)| (slots + 1, kv_bytes + job.needs.kv_bytes));
        let vram_total = if self.is_crowded { VRAM } else { VRAM * 10 };
        let pool = Pool {
            ready: !random.one_in(20),
            draining: random.one_in(20),
            is_drained: false,
            version: random.pick(&VERSIONS),
            slots_total,
            slots_free: if is_true { slots_total.saturating_sub(slots) } else { random.below(slots_total + 1) },
            waiting: if is_true { slots.saturating_sub(slots_total) } else { random.below(3) },
            vram_total,
            vram_free: if is_true { vram_total.saturating_sub(kv_bytes) } else { random.below(vram_total + 1) },
            observed_us,
            is_exact: is_true && age_ms == 0,
        };
        let snapshot = PoolSnapshot {
            ready: pool.ready,
            draining: pool.draining,
            engine_version: pool.version,
            queue_depth: pool.waiting as i64,
            age_ms: age_ms as f64,
            perf_tokens_per_s: Some(50.0),
            first_token_ms: Some(20.0),
            prefill_tokens_per_s: Some(1000.0),
            ..PoolSnapshot::new(
                id,
                "vllm",
                if random.one_in(30) { -1 } else { slots_total as i64 },
                pool.slots_free as i64,
                vram_total as i64,
                pool.vram_free as i64,
            )
        };
        let held = self.account.pools.get(id);
        let expected = if held.is_some_and(|held| observed_us < held.observed_us) {
            "late"
        } else if snapshot.slots_total < 0 || (held.is_none() && self.account.pools.len() == POOL_PLACES) {
            "bad_snapshot"
        } else {
            "done"
        };
        self.account.arriving = Some((id, pool.clone()));
        self.feed(&Input::Snapshot(&snapshot), Some(expected));
        if self.random.one_in(5) {
            // Again the same, which what followed from the first one may have made untrue.
            self.account.arriving = Some((id, Pool { is_exact: false, ..pool }));
            self.feed(&Input::Snapshot(&snapshot), Some(expected));
        }
    }

    fn remove(&mut self) {
        let id = self.random.pick(&POOLS);
        let is_there = self.account.pools.contains_key(id);
        self.account.removing = is_there.then_some(id);
        let expected = if is_there { "done" } else { "unknown_pool" };
        self.feed(&Input::RemovePool { id, replica_id: "" }, Some(expected));
    }

    fn drain(&mut self) {
        let id = self.random.pick(&POOLS);
        let expected = if self.account.pools.contains_key(id) { "done" } else { "unknown_pool" };
        let draining = self.random.one_in(4);
        self.feed(&Input::Drain { id, replica_id: "", draining }, Some(expected));
    }

    fn change_policies(&mut self) {
        let (placement, rules) = (placement(&mut self.random), rules(&mut self.random, self.is_crowded));
        self.account.placement = placement.clone();
        self.account.rules = rules;
        self.feed(&Input::SetPolicies { placement: &placement, scheduler: &rules }, Some("done"));
    }

    /// EVENT-3.
    fn go_back(&mut self) {
        let last_us = self.scheduler.now_us();
        if last_us > 0 {
            let answer = self.scheduler.handle(&Input::Tick, last_us - 1, &mut Never);
            assert_eq!(answer, Answer::TimeWentBack { last_us });
            assert_eq!(self.scheduler.next_action(&mut Never), None);
        }
    }
}

/// Nothing may happen.
struct Never;

impl Observer for Never {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        panic!("an event of an input that changes nothing: {event:?}");
    }
}

fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// EVENT-1, DET-1: every job ends once, and the same inputs give the same answers, events and actions.
#[test]
fn every_job_ends_once_whatever_fails() {
    let seed = number_from("ORCHESTRATOR_FAULT_SEED", 20_260_101);
    let operations = number_from("ORCHESTRATOR_FAULT_OPERATIONS", 60_000);
    println!("ORCHESTRATOR_FAULT_SEED={seed} ORCHESTRATOR_FAULT_OPERATIONS={operations}");
    let mut tally = BTreeMap::new();
    for world in 0..operations.div_ceil(WORLD) {
        let world_seed = Random(seed.wrapping_add(world)).next();
        let inputs = WORLD.min(operations - world * WORLD);
        let first = play(world_seed, inputs);
        for (event, count) in first.tally {
            *tally.entry(event).or_insert(0) += count;
        }
        assert!(first.text == play(world_seed, inputs).text, "world {world} of seed {seed} differs from itself");
    }
    println!("{tally:?}");
    // 19 kinds of events, and each happened often: the run shows something.
    assert!(operations < 50_000 || (tally.len() == 19 && tally.values().all(|&count| count > 50)), "{tally:?}");
}
