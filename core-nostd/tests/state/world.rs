//! A small world that lives at random, told to one scheduler or to two.

use orchestrator_core::codec::Writer;
use orchestrator_core::scheduler::{
    Action, Answer, Event, Input, LeaseStorage, Leased, Observer, OutcomeLog, PoolLeases, PoolRecord, Prices,
    QueueStorage, RunningJob, Scheduler, SchedulerPolicy, SchedulerStorage, Session, SessionStorage, TenantSlot,
    WaitForecast, WaitingJob, WaitingSlot,
};
use orchestrator_core::scheduler::{CancelCause, FailureCause};
use orchestrator_core::storage::IdSlot;
use orchestrator_core::{
    Budget, DeviceSnapshot, HeldRoom, JobSpec, Policy, PolicySpec, PoolRegistry, PoolSnapshot, Priority, SmallFleet,
};

pub(crate) type Fleet = SmallFleet<4, 8, 64>;

/// Room of every table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) jobs: usize,
    pub(crate) job_bytes: usize,
    pub(crate) tenants: usize,
    pub(crate) leases: usize,
    pub(crate) sessions: usize,
    pub(crate) id_bytes: usize,
}

pub(crate) const SIZES: Sizes = Sizes { jobs: 12, job_bytes: 256, tenants: 2, leases: 8, sessions: 4, id_bytes: 65 };

pub(crate) struct Room {
    jobs: Vec<WaitingSlot<WaitingJob>>,
    job_buckets: Vec<u32>,
    job_ids: Vec<u8>,
    job_tenants: Vec<u8>,
    job_bytes: Vec<u8>,
    tenants: Vec<TenantSlot>,
    tenant_buckets: Vec<u32>,
    tenant_ids: Vec<u8>,
    leases: Vec<IdSlot<Leased<HeldRoom<8>, RunningJob>>>,
    lease_buckets: Vec<u32>,
    lease_ids: Vec<u8>,
    model_names: Vec<u8>,
    pool_leases: Vec<PoolLeases>,
    pools: Vec<PoolRecord>,
    sessions: Vec<IdSlot<Session>>,
    session_buckets: Vec<u32>,
    session_ids: Vec<u8>,
}

fn slots<T>(count: usize) -> Vec<IdSlot<T>> {
    (0..count).map(|_| IdSlot::EMPTY).collect()
}

impl Room {
    pub(crate) fn new(sizes: Sizes) -> Self {
        Self {
            jobs: slots(sizes.jobs),
            job_buckets: vec![0; sizes.jobs],
            job_ids: vec![0; sizes.jobs * sizes.id_bytes],
            job_tenants: vec![0; sizes.jobs * sizes.id_bytes],
            job_bytes: vec![0; sizes.jobs * sizes.job_bytes],
            tenants: slots(sizes.tenants),
            tenant_buckets: vec![0; sizes.tenants],
            tenant_ids: vec![0; sizes.tenants * sizes.id_bytes],
            leases: slots(sizes.leases),
            lease_buckets: vec![0; sizes.leases],
            lease_ids: vec![0; sizes.leases * sizes.id_bytes],
            model_names: vec![0; sizes.leases * 32],
            pool_leases: vec![PoolLeases::EMPTY; 4],
            pools: vec![PoolRecord::EMPTY; 4],
            sessions: slots(sizes.sessions),
            session_buckets: vec![0; sizes.sessions],
            session_ids: vec![0; sizes.sessions * sizes.id_bytes],
        }
    }

    pub(crate) fn scheduler(&mut self, rules: SchedulerPolicy) -> Scheduler<'_, Fleet> {
        let storage = SchedulerStorage {
            queue: QueueStorage {
                jobs: &mut self.jobs,
                buckets: &mut self.job_buckets,
                ids: &mut self.job_ids,
                job_tenants: &mut self.job_tenants,
                tenants: &mut self.tenants,
                tenant_buckets: &mut self.tenant_buckets,
                tenant_ids: &mut self.tenant_ids,
            },
            job_bytes: &mut self.job_bytes,
            leases: LeaseStorage {
                slots: &mut self.leases,
                buckets: &mut self.lease_buckets,
                ids: &mut self.lease_ids,
                pools: &mut self.pool_leases,
            },
            model_names: &mut self.model_names,
            pools: &mut self.pools,
            sessions: SessionStorage {
                slots: &mut self.sessions,
                buckets: &mut self.session_buckets,
                ids: &mut self.session_ids,
            },
            prices: Prices::default(),
            hash_seed: 0,
        };
        Scheduler::new(Fleet::new(), storage, placement(), rules)
    }
}

/// Pools may queue a job more than they have slots.
pub(crate) fn placement() -> Policy {
    PolicySpec { pool_backlog: 1, stale_after_ms: 2_000.0, ..PolicySpec::default() }.validate().unwrap()
}

/// SplitMix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What a pool has free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Free {
    pub(crate) slots: i64,
    pub(crate) queued: i64,
    pub(crate) bytes: [i64; 2],
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Submit { job: u64, chance: u64 },
    Started(u64),
    FirstToken(u64),
    Progress(u64, u32),
    Finished(u64, u32),
    Failed(u64),
    Cancel(u64),
    EndSession(u64),
    Snapshot { pool: usize, free: Free, age_us: u64 },
    Remove(usize),
    Drain(usize, bool),
    Policies(Box<SchedulerPolicy>),
    Tick,
}

pub(crate) const POOLS: [(&str, &str, i64); 3] = [("a", "", 2), ("b", "r1", 2), ("c", "", 1)];

pub(crate) fn pool_snapshot<'a>(
    pool: usize,
    free: &Free,
    age_us: u64,
    devices: &'a mut Vec<DeviceSnapshot<'a>>,
) -> PoolSnapshot<'a> {
    let (id, replica_id, slots) = POOLS[pool];
    let mut snapshot = PoolSnapshot::new(id, "vllm", slots, free.slots, 1_000, free.bytes[0]);
    snapshot.replica_id = replica_id;
    snapshot.perf_tokens_per_s = Some(50.0);
    snapshot.first_token_ms = Some(100.0);
    snapshot.queue_depth = free.queued;
    snapshot.age_ms = age_us as f64 / 1000.0;
    if pool == 1 {
        let device =
            |vram_free_bytes| DeviceSnapshot { vram_total_bytes: 500, vram_free_bytes, compute_capability: None };
        devices.extend(free.bytes.map(device));
        snapshot.devices = devices;
    }
    snapshot
}

/// One scheduler, and everything that it said.
pub(crate) struct Told {
    /// Items of outcomes, byte for byte.
    pub(crate) items: Vec<Vec<u8>>,
    /// Times are told as if the clock were so much earlier.
    pub(crate) shift_us: u64,
    /// Leaves out what an import says and a policy does not, or the other way round.
    pub(crate) is_import: bool,
}

impl Told {
    pub(crate) fn new(shift_us: u64) -> Self {
        Self { items: Vec::new(), shift_us, is_import: false }
    }

    fn earlier(&self, forecast: WaitForecast) -> WaitForecast {
        let predicted_start_us = forecast.predicted_start_us.map(|us| us - self.shift_us);
        WaitForecast { predicted_start_us, ..forecast }
    }

    fn push(&mut self, say: impl FnOnce(&mut OutcomeLog<'_>)) {
        let mut buffer = [0; 4096];
        let mut log = OutcomeLog::new(&mut buffer);
        say(&mut log);
        self.items.push(log.bytes().unwrap().to_vec());
    }

    pub(crate) fn action(&mut self, action: &Action) {
        self.push(|log| log.action(action));
    }
}

impl Observer for Told {
    fn observe(&mut self, now_us: u64, event: &Event<'_>) {
        let event = match *event {
            Event::JobEnqueued { job, forecast } => Event::JobEnqueued { job, forecast: self.earlier(forecast) },
            Event::PoliciesChanged { .. } | Event::QueueDepth { .. } if self.is_import => return,
            event => event,
        };
        self.push(|log| log.observe(now_us, &event));
    }
}

pub(crate) fn tell(scheduler: &mut Scheduler<'_, Fleet>, now_us: u64, input: &Input<'_>, told: &mut Told) -> Answer {
    let answer = scheduler.handle(input, now_us, told);
    let shown = match answer {
        Answer::Accepted(forecast) => Answer::Accepted(told.earlier(forecast)),
        answer => answer,
    };
    if !told.is_import {
        told.push(|log| log.answer(&shown));
    }
    while let Some(action) = scheduler.next_action(told) {
        told.action(&action);
    }
    answer
}

/// Tells a scheduler what happened.
pub(crate) fn apply(scheduler: &mut Scheduler<'_, Fleet>, now_us: u64, op: &Op, told: &mut Told) -> Answer {
    let job_id = |job: u64| format!("job-{job}");
    match op {
        Op::Submit { job, chance } => {
            let (id, mut chance) = (job_id(*job), Chance(*chance));
            let (session, tenant) = (format!("session-{}", chance.below(6)), format!("tenant-{}", chance.below(4)));
            let mut spec = JobSpec::new(&id, "vllm", "m");
            spec.priority = if chance.one_in(2) { Priority::Interactive } else { Priority::Batch };
            spec.prompt_tokens = chance.below(200) as i64;
            spec.expected_tokens = Some(1 + chance.below(100) as i64);
            spec.est_kv_bytes = Some(chance.below(120) as i64);
            spec.session_id = chance.one_in(2).then_some(session.as_str());
            spec.tenant_id = (!chance.one_in(4)).then_some(tenant.as_str());
            spec.deadline_ms = chance.one_in(2).then(|| 1.0 + chance.below(20_000) as f64);
            spec.budget =
                Budget { tokens: chance.one_in(4).then(|| 300 + chance.below(900) as i64), ..Budget::default() };
            spec.requirements.split_degree = chance.one_in(6).then_some(2);
            tell(scheduler, now_us, &Input::Submit(&spec), told)
        }
        Op::Started(job) => tell(scheduler, now_us, &Input::Started { job_id: &job_id(*job) }, told),
        Op::FirstToken(job) => tell(scheduler, now_us, &Input::FirstToken { job_id: &job_id(*job) }, told),
        Op::Progress(job, tokens_out) => {
            tell(scheduler, now_us, &Input::Progress { job_id: &job_id(*job), tokens_out: *tokens_out }, told)
        }
        Op::Finished(job, tokens_out) => {
            tell(scheduler, now_us, &Input::Finished { job_id: &job_id(*job), tokens_out: *tokens_out }, told)
        }
        Op::Failed(job) => {
            let cause = FailureCause::WorkerReset;
            tell(scheduler, now_us, &Input::Failed { job_id: &job_id(*job), cause, tokens_out: 3 }, told)
        }
        Op::Cancel(job) => {
            tell(scheduler, now_us, &Input::Cancel { job_id: &job_id(*job), cause: CancelCause::Admin }, told)
        }
        Op::EndSession(session) => {
            tell(scheduler, now_us, &Input::EndSession { session_id: &format!("session-{session}") }, told)
        }
        Op::Snapshot { pool, free, age_us } => {
            let mut devices = Vec::new();
            tell(scheduler, now_us, &Input::Snapshot(&pool_snapshot(*pool, free, *age_us, &mut devices)), told)
        }
        Op::Remove(pool) => {
            let (id, replica_id, _) = POOLS[*pool];
            tell(scheduler, now_us, &Input::RemovePool { id, replica_id }, told)
        }
        Op::Drain(pool, draining) => {
            let (id, replica_id, _) = POOLS[*pool];
            tell(scheduler, now_us, &Input::Drain { id, replica_id, draining: *draining }, told)
        }
        Op::Policies(rules) => {
            tell(scheduler, now_us, &Input::SetPolicies { placement: &placement(), scheduler: rules }, told)
        }
        Op::Tick => tell(scheduler, now_us, &Input::Tick, told),
    }
}

/// What happens next.
pub(crate) struct Life {
    pub(crate) chance: Chance,
    pub(crate) now_us: u64,
    jobs: u64,
}

impl Life {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Chance(seed), now_us: 1_000_000, jobs: 0 }
    }

    fn job(&mut self) -> u64 {
        self.jobs.saturating_sub(self.chance.below(16))
    }

    pub(crate) fn free(&mut self, pool: usize) -> Free {
        let slots = POOLS[pool].2 as u64;
        let bytes = if pool == 1 { 501 } else { 1_001 };
        Free {
            slots: self.chance.below(slots + 1) as i64,
            queued: i64::from(self.chance.one_in(3)),
            bytes: [self.chance.below(bytes) as i64, self.chance.below(bytes) as i64],
        }
    }

    /// Time often stands still, so that orders among equals count.
    pub(crate) fn next(&mut self) -> Op {
        if !self.chance.one_in(3) {
            self.now_us += self.chance.below(150_000);
        }
        let (job, tokens) = (self.job(), self.chance.below(200) as u32);
        match self.chance.below(40) {
            0..=13 => {
                self.jobs += 1;
                Op::Submit { job: self.jobs, chance: self.chance.below(u64::MAX) }
            }
            14..=17 => Op::Started(job),
            18..=20 => Op::FirstToken(job),
            21..=22 => Op::Progress(job, tokens),
            23..=27 => Op::Finished(job, tokens),
            28 => Op::Failed(job),
            29..=30 => Op::Cancel(job),
            31 => Op::EndSession(self.chance.below(6)),
            32..=35 => {
                let pool = self.chance.below(3) as usize;
                let age_us = self.chance.below(3) * 50_000;
                Op::Snapshot { pool, free: self.free(pool), age_us }
            }
            36 if self.chance.one_in(4) => Op::Remove(self.chance.below(3) as usize),
            37 => Op::Drain(self.chance.below(3) as usize, self.chance.one_in(3)),
            _ => Op::Tick,
        }
    }
}

/// What a pool has free now, with everything that was dispatched to it.
pub(crate) fn free_now(scheduler: &Scheduler<'_, Fleet>, pool: usize) -> Option<Free> {
    let fleet = scheduler.fleet();
    let handle = PoolRegistry::find(fleet, POOLS[pool].0, POOLS[pool].1)?;
    let rank = PoolRegistry::rank_of(fleet, handle)?;
    let (row, table) = (*fleet.row(handle)?, fleet.table());
    let devices = table.lists[rank as usize].devices;
    let first = devices.start as usize;
    let bytes = match devices.len {
        0 => [row.vram_free_bytes as i64, 0],
        _ => [0, 1].map(|device| table.devices[first + device].vram_free_bytes as i64),
    };
    Some(Free { slots: i64::from(row.slots_free), queued: i64::from(row.waiting), bytes })
}

/// A world that has lived for so many steps, and just heard from all its pools.
pub(crate) fn live(scheduler: &mut Scheduler<'_, Fleet>, life: &mut Life, steps: u64) -> [Option<u64>; 3] {
    let mut told = Told::new(0);
    for (pool, (_, _, slots)) in POOLS.into_iter().enumerate() {
        let free = Free { slots, queued: 0, bytes: [500, 500] };
        let _ = apply(scheduler, life.now_us, &Op::Snapshot { pool, free, age_us: 0 }, &mut told);
    }
    for _ in 0..steps {
        let op = life.next();
        let _ = apply(scheduler, life.now_us, &op, &mut told);
    }
    // Leases that were reserved until here are in the numbers: at other times than any of them.
    std::array::from_fn(|pool| {
        free_now(scheduler, pool)?;
        life.now_us += 1;
        let free = life.free(pool);
        let answer = apply(scheduler, life.now_us, &Op::Snapshot { pool, free, age_us: 0 }, &mut told);
        assert_eq!(answer, Answer::Done);
        Some(life.now_us)
    })
}

pub(crate) fn exported(scheduler: &Scheduler<'_, Fleet>) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let mut sink = Writer::new(&mut bytes);
    scheduler.export_state(&mut sink).unwrap();
    sink.written().to_vec()
}
