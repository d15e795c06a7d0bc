//! A scheduler under a steady load: made from numbers, so that every run on every machine has the same.

use std::collections::VecDeque;

use orchestrator_core::hash::ContentHasher;
use orchestrator_core::scheduler::{
    Action, Answer, Input, Observer, OutcomeLog, RefreshRules, Scheduler, SchedulerPolicy, WatchdogRules,
};
use orchestrator_core::{Id, JobSpec, Policy, PolicySpec, PoolRegistry, PoolSnapshot, PoolSupports, Priority};

#[path = "../../tests/support/memory.rs"]
pub(crate) mod memory;

use memory::Room;

const GIB: i64 = 1 << 30;
/// Ids come again after these many jobs: all jobs of before have ended by then.
const IDS: usize = 8_192;
const MODELS: usize = 8;
const SESSIONS: usize = 64;
/// What a pool can run at once.
pub(crate) const SLOTS: usize = 8;

/// The names of everything.
pub(crate) struct Names {
    pools: Vec<String>,
    jobs: Vec<String>,
    models: Vec<String>,
    sessions: Vec<String>,
}

impl Names {
    pub(crate) fn new(pools: usize) -> Self {
        Self {
            pools: (0..pools).map(|pool| format!("pool-{pool:03}")).collect(),
            jobs: (0..IDS).map(|job| format!("request-{job:05}")).collect(),
            models: (0..MODELS).map(|model| format!("org/model-{model:02}")).collect(),
            sessions: (0..SESSIONS).map(|session| format!("session-{session:02}")).collect(),
        }
    }

    pub(crate) fn pool(&self, pool: usize, slots: usize, slots_free: usize) -> PoolSnapshot<'_> {
        let step = (pool % 16) as f64;
        PoolSnapshot {
            perf_tokens_per_s: Some(60.0 + step),
            first_token_ms: Some(40.0 + step),
            prefill_tokens_per_s: Some(9_000.0),
            engine_version: Some("0.9.1"),
            supports: PoolSupports {
                ctx_max: Some(131_072),
                quantizations: &["fp8", "fp16"],
                ..PoolSupports::default()
            },
            ..PoolSnapshot::new(&self.pools[pool], "vllm", slots as i64, slots_free as i64, 1_024 * GIB, 1_000 * GIB)
        }
    }

    pub(crate) fn job(&self, number: usize) -> JobSpec<'_> {
        JobSpec {
            priority: if number.is_multiple_of(4) { Priority::Batch } else { Priority::Interactive },
            prompt_tokens: 256 + (number % 7) as i64 * 128,
            max_tokens: Some(64 + (number % 5) as i64 * 64),
            session_id: (number.is_multiple_of(2)).then(|| &*self.sessions[number / 2 % SESSIONS]),
            tenant_id: Some(&*self.sessions[number % 16]),
            ..JobSpec::new(&self.jobs[number % IDS], "vllm", &self.models[number % MODELS])
        }
    }
}

/// Policies under which nothing happens by itself.
pub(crate) fn policies() -> (Policy, SchedulerPolicy) {
    let placement = PolicySpec { stale_after_ms: 1e9, ..PolicySpec::default() }.validate().expect("inside its limits");
    let mut rules = SchedulerPolicy::default();
    rules.watchdog = WatchdogRules { start_timeout_us: 0, wall_limit_us: 0, idle_limit_us: 0 };
    rules.queue.ttl_us = 0;
    rules.session_ttl_us = 0;
    rules.refresh = RefreshRules { after_us: u64::MAX, ..rules.refresh };
    (placement, rules)
}

pub(crate) fn room(pools: usize) -> Room {
    Room { pools, waiting: 4_096, leases: pools.max(8) * 128, sessions: SESSIONS, tenants: 16 }
}

/// A scheduler and what drives it.
pub(crate) struct Live<'a, F: PoolRegistry> {
    pub(crate) scheduler: Scheduler<'a, F>,
    pub(crate) names: &'a Names,
    pub(crate) now_us: u64,
    next: usize,
    running: VecDeque<Id>,
    fresh: Vec<Id>,
}

impl<'a, F: PoolRegistry> Live<'a, F> {
    pub(crate) fn new(scheduler: Scheduler<'a, F>, names: &'a Names) -> Self {
        Self {
            scheduler,
            names,
            now_us: 0,
            next: 0,
            running: VecDeque::with_capacity(4_096),
            fresh: Vec::with_capacity(64),
        }
    }

    /// Adds the pools, every slot free.
    pub(crate) fn add_pools(&mut self, slots: usize) {
        for pool in 0..self.names.pools.len() {
            let snapshot = self.names.pool(pool, slots, slots);
            assert_eq!(self.drive(&Input::Snapshot(&snapshot), &mut ()), Answer::Done);
        }
    }

    pub(crate) fn drive(&mut self, input: &Input<'_>, observer: &mut impl Observer) -> Answer {
        let Self { scheduler, running, fresh, now_us, .. } = self;
        *now_us += 1;
        scheduler.drive(input, *now_us, observer, |action| {
            if let Action::Dispatch { job_id, .. } = action {
                running.push_back(job_id.clone());
                fresh.push(job_id);
            }
        })
    }

    /// Submits the next job.
    pub(crate) fn submit(&mut self, observer: &mut impl Observer) -> Answer {
        let names = self.names;
        let job = names.job(self.next);
        self.next += 1;
        self.drive(&Input::Submit(&job), observer)
    }

    /// One job in and one out: the next is submitted, the oldest that runs finishes, and what was dispatched starts and
    /// produces its first token. Four inputs.
    pub(crate) fn turn(&mut self, observer: &mut impl Observer) {
        let _ = self.submit(observer);
        if let Some(job_id) = self.running.pop_front() {
            let _ = self.drive(&Input::Finished { job_id: &job_id, tokens_out: 100 }, observer);
        }
        while let Some(job_id) = self.fresh.pop() {
            let _ = self.drive(&Input::Started { job_id: &job_id }, observer);
            let _ = self.drive(&Input::FirstToken { job_id: &job_id }, observer);
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// The digest of all outcomes of these many turns.
    pub(crate) fn digest(&mut self, turns: usize) -> u64 {
        let mut hasher = ContentHasher::new("bench");
        for _ in 0..turns {
            // One log for the inputs of a turn: their events one after the other.
            let mut log = OutcomeLog::new(&mut []);
            self.turn(&mut log);
            hasher.int(log.digest());
            hasher.int(log.items().into());
        }
        hasher.finish()
    }
}
