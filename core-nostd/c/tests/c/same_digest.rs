//! The same script, told through C and to the core itself, has the same outcomes: answers, events and actions.

use orchestrator_core::hash::ContentHasher;
use orchestrator_core::limits::{ID_BYTES_MAX, NAME_BYTES_MAX};
use orchestrator_core::scheduler::{
    AbortCause, Action, CancelCause, ExpiryCause, FailureCause, Input, LeaseStorage, OutcomeLog, PoolLeases,
    PoolRecord, Prices, QueueStorage, Scheduler, SchedulerPolicy, SchedulerStorage, SessionStorage,
};
use orchestrator_core::storage::IdSlot;
use orchestrator_core::{JobSpec, Policy, PoolSnapshot, Priority, SmallFleet, WarmSession};

use crate::agent::run;
use crate::compile::{Watch, program};

/// The sizes of the example's engine.
const WAITING: usize = 8;
const RUNNING: usize = 16;
const SESSIONS: usize = 8;
const TENANTS: usize = 16;
const JOB_BYTES: usize = 512;
const POOLS: usize = 16;

type Fleet = SmallFleet<POOLS, 16, 256>;

/// One input, as a line and as the core takes it.
enum Step {
    Pool { id: &'static str, slots: (i64, i64), rate: Option<f64>, age_ms: f64, resident: bool, warm: Option<String> },
    Submit { id: String, interactive: bool, prompt: i64, expected: i64, session: Option<String>, deadline: bool },
    Started(String),
    FirstToken(String),
    Progress(String, u32),
    Finished(String, u32),
    Failed(String, FailureCause),
    Cancel(String, CancelCause),
    Drain(&'static str, bool),
    Remove(&'static str),
    Tick,
}

const VRAM: i64 = 80 << 30;
const FREE: i64 = 60 << 30;
const KV: i64 = 1 << 30;

impl Step {
    fn line(&self, now_us: u64) -> String {
        let optional = |key: &str, value: &Option<String>| {
            value.as_ref().map_or_else(String::new, |value| format!(" {key}={value}"))
        };
        match self {
            Self::Pool { id, slots: (total, free), rate, age_ms, resident, warm } => {
                let rate = rate.map_or_else(String::new, |rate| format!(" rate={rate} first_token_ms=40.5"));
                let resident = if *resident { " resident=m,n load_ms=9000" } else { "" };
                let warm = optional("warm", &warm.as_ref().map(|session| format!("{session}:700")));
                format!(
                    "pool {now_us} id={id} engine=vllm slots={total}/{free} vram={VRAM}/{FREE} age_ms={age_ms} \
                     prefill=4000{rate}{resident}{warm}"
                )
            }
            Self::Submit { id, interactive, prompt, expected, session, deadline } => {
                let interactive = if *interactive { " interactive" } else { "" };
                let deadline = if *deadline { " deadline_ms=2500.5" } else { "" };
                let session = optional("session", session);
                format!(
                    "submit {now_us} id={id} engine=vllm model=m prompt={prompt} expected={expected} kv={KV}\
                     {interactive}{session}{deadline}"
                )
            }
            Self::Started(id) => format!("started {now_us} id={id}"),
            Self::FirstToken(id) => format!("first_token {now_us} id={id}"),
            Self::Progress(id, tokens) => format!("progress {now_us} id={id} tokens={tokens}"),
            Self::Finished(id, tokens) => format!("finished {now_us} id={id} tokens={tokens}"),
            Self::Failed(id, cause) => {
                let cause = FailureCause::ALL.iter().position(|other| other == cause).unwrap();
                format!("failed {now_us} id={id} tokens=3 cause={cause}")
            }
            Self::Cancel(id, cause) => {
                let cause = CancelCause::ALL.iter().position(|other| other == cause).unwrap();
                format!("cancel {now_us} id={id} cause={cause}")
            }
            Self::Drain(id, draining) => format!("{} {now_us} id={id}", if *draining { "drain" } else { "undrain" }),
            Self::Remove(id) => format!("remove {now_us} id={id}"),
            Self::Tick => format!("tick {now_us}"),
        }
    }

    fn tell<R>(&self, tell: impl FnOnce(&Input<'_>) -> R) -> R {
        match self {
            Self::Pool { id, slots: (total, free), rate, age_ms, resident, warm } => {
                let warm = warm.as_deref().map(|session_id| [WarmSession { session_id, cached_tokens: 700 }]);
                tell(&Input::Snapshot(&PoolSnapshot {
                    perf_tokens_per_s: *rate,
                    first_token_ms: rate.map(|_| 40.5),
                    prefill_tokens_per_s: Some(4000.0),
                    age_ms: *age_ms,
                    resident_models: resident.then_some(&["m", "n"]),
                    model_load_ms: if *resident { 9000.0 } else { 0.0 },
                    warm_sessions: warm.as_ref().map_or(&[], |warm| &warm[..]),
                    ..PoolSnapshot::new(id, "vllm", *total, *free, VRAM, FREE)
                }))
            }
            Self::Submit { id, interactive, prompt, expected, session, deadline } => tell(&Input::Submit(&JobSpec {
                priority: if *interactive { Priority::Interactive } else { Priority::Batch },
                prompt_tokens: *prompt,
                expected_tokens: Some(*expected),
                est_kv_bytes: Some(KV),
                session_id: session.as_deref(),
                deadline_ms: deadline.then_some(2500.5),
                ..JobSpec::new(id, "vllm", "m")
            })),
            Self::Started(job_id) => tell(&Input::Started { job_id }),
            Self::FirstToken(job_id) => tell(&Input::FirstToken { job_id }),
            Self::Progress(job_id, tokens_out) => tell(&Input::Progress { job_id, tokens_out: *tokens_out }),
            Self::Finished(job_id, tokens_out) => tell(&Input::Finished { job_id, tokens_out: *tokens_out }),
            Self::Failed(job_id, cause) => tell(&Input::Failed { job_id, cause: *cause, tokens_out: 3 }),
            Self::Cancel(job_id, cause) => tell(&Input::Cancel { job_id, cause: *cause }),
            Self::Drain(id, draining) => tell(&Input::Drain { id, replica_id: "", draining: *draining }),
            Self::Remove(id) => tell(&Input::RemovePool { id, replica_id: "" }),
            Self::Tick => tell(&Input::Tick),
        }
    }
}

/// Numbers that look random and are the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    fn step(&mut self) -> Step {
        let pool = self.one_of(&["gpu-0", "gpu-1", "gpu-2"]);
        let job = format!("job-{}", self.below(24));
        let session = (self.below(2) == 0).then(|| format!("session-{}", self.below(10)));
        let tokens = self.below(100) as u32;
        match self.below(20) {
            0..3 => Step::Pool {
                id: pool,
                slots: (4, self.below(5) as i64),
                rate: (self.below(4) > 0).then(|| 20.0 + self.below(400) as f64 / 8.0),
                age_ms: self.below(16) as f64 / 4.0,
                resident: self.below(2) == 0,
                warm: session,
            },
            3..9 => Step::Submit {
                id: job,
                interactive: self.below(2) == 0,
                prompt: self.below(4000) as i64,
                expected: self.below(500) as i64,
                session,
                deadline: self.below(4) == 0,
            },
            9..11 => Step::Started(job),
            11 => Step::FirstToken(job),
            12 => Step::Progress(job, tokens),
            13..16 => Step::Finished(job, tokens),
            16 => Step::Failed(job, self.one_of(&FailureCause::ALL)),
            17 => Step::Cancel(job, self.one_of(&CancelCause::ALL)),
            18 if tokens < 20 => Step::Remove(pool),
            18 => Step::Drain(pool, tokens < 60),
            _ => Step::Tick,
        }
    }
}

fn script(seed: u64) -> Vec<(u64, Step)> {
    let (mut random, mut now_us) = (Random(seed), 0);
    let mut steps = Vec::new();
    for _ in 0..1500 {
        now_us += random.one_of(&[0, 1, 1000, 250_000, 3_000_000]);
        // Now and then the time goes back.
        let at_us = if random.below(50) == 0 { now_us / 2 } else { now_us };
        steps.push((at_us, random.step()));
    }
    steps
}

/// Bytes for the longest id and its length.
const ID_STRIDE: usize = ID_BYTES_MAX + 1;

fn slots<T>(count: usize) -> Vec<IdSlot<T>> {
    (0..count).map(|_| IdSlot::EMPTY).collect()
}

/// An action as the example prints it.
fn line_of(now_us: u64, action: &Action) -> String {
    match action {
        Action::Dispatch { job_id, pool_id, dispatch, .. } => {
            let end = dispatch.assignment.end_us.map_or_else(String::new, |end_us| format!(", end in {end_us} us"));
            let warm = if dispatch.kv_warm { ", warm" } else { "" };
            format!("{now_us} dispatch {job_id} to {pool_id}{end}{warm}")
        }
        Action::Abort { job_id, pool_id, cause, .. } => {
            let cause = match cause {
                AbortCause::Canceled(cause) => CancelCause::ALL.iter().position(|other| other == cause),
                AbortCause::Expired(cause) => {
                    ExpiryCause::ALL.iter().position(|other| other == cause).map(|at| 16 + at)
                }
            };
            format!("{now_us} abort {job_id} on {pool_id}, cause {}", cause.unwrap())
        }
        Action::Drop { job_id, refusal } => {
            let rule = refusal.rejection.map_or_else(String::new, |rejection| format!(" ({})", rejection.detail()));
            let again = refusal.retry_after_ms.map_or_else(String::new, |ms| format!(", retry after {ms} ms"));
            format!("{now_us} drop {job_id}: {}{rule}{again}", refusal.code.name())
        }
        Action::RefreshSnapshot { pool_id, attempt, .. } => {
            format!("{now_us} refresh {pool_id}, attempt {attempt}")
        }
        _ => panic!("the example does not know {action:?}"),
    }
}

/// What is to be done, line by line, and last the number of inputs and their digest; without C.
fn in_rust(steps: &[(u64, Step)]) -> Vec<String> {
    let (mut waiting, mut tenants, mut leases, mut sessions) =
        (slots(WAITING), slots(TENANTS), slots(RUNNING), slots(SESSIONS));
    let (mut buckets, mut model_names) = ([[0; 16]; 4], vec![0; RUNNING * (NAME_BYTES_MAX + 1)]);
    let [waiting_buckets, tenant_buckets, lease_buckets, session_buckets] = &mut buckets;
    let (mut job_bytes, mut pool_leases, mut pools) =
        (vec![0; WAITING * JOB_BYTES], [PoolLeases::EMPTY; POOLS], [PoolRecord::EMPTY; POOLS]);
    let [mut waiting_ids, mut job_tenants] = [0; 2].map(|_| vec![0; WAITING * ID_STRIDE]);
    let [mut tenant_ids, mut lease_ids, mut session_ids] =
        [TENANTS, RUNNING, SESSIONS].map(|count| vec![0; count * ID_STRIDE]);
    let storage = SchedulerStorage {
        queue: QueueStorage {
            jobs: &mut waiting,
            buckets: &mut waiting_buckets[..WAITING],
            ids: &mut waiting_ids,
            job_tenants: &mut job_tenants,
            tenants: &mut tenants,
            tenant_buckets,
            tenant_ids: &mut tenant_ids,
        },
        job_bytes: &mut job_bytes,
        leases: LeaseStorage {
            slots: &mut leases,
            buckets: lease_buckets,
            ids: &mut lease_ids,
            pools: &mut pool_leases,
        },
        model_names: &mut model_names,
        pools: &mut pools,
        sessions: SessionStorage {
            slots: &mut sessions,
            buckets: &mut session_buckets[..SESSIONS],
            ids: &mut session_ids,
        },
        prices: Prices::default(),
        hash_seed: 7,
    };
    let mut scheduler = Scheduler::new(Fleet::new(), storage, Policy::default(), SchedulerPolicy::default());
    let (mut hasher, mut outcome) = (ContentHasher::new("outcomes"), OutcomeLog::new(&mut []));
    let mut lines = Vec::new();
    for (now_us, step) in steps {
        outcome.clear();
        let answer = step.tell(|input| scheduler.handle(input, *now_us, &mut outcome));
        outcome.answer(&answer);
        while let Some(action) = scheduler.next_action(&mut outcome) {
            outcome.action(&action);
            lines.push(line_of(*now_us, &action));
        }
        hasher.int(outcome.items().into());
        hasher.int(outcome.digest());
    }
    let (waiting, leased) = (scheduler.waiting_jobs(), scheduler.leased_jobs());
    lines.push(format!(
        "status: {} pools, {waiting} jobs wait, {leased} run, {} inputs, digest {:016x}",
        scheduler.fleet().len(),
        steps.len(),
        hasher.finish()
    ));
    lines
}

/// Whether a line is no answer.
fn says_what_to_do(line: &str) -> bool {
    let kinds = ["dispatch", "abort", "drop", "refresh"];
    line.starts_with("status") || line.split(' ').nth(1).is_some_and(|word| kinds.contains(&word))
}

#[test]
fn decisions_through_c_are_those_of_the_core() {
    let agents = Watch::BOTH.map(|watch| program("examples/node_agent.c", watch));
    let mut all = String::new();
    for seed in 1..=20 {
        let steps = script(seed * 7919);
        let mut lines: String = steps.iter().map(|(now_us, step)| step.line(*now_us) + "\n").collect();
        lines.push_str("status\n");
        let expected = in_rust(&steps);
        for agent in &agents {
            let printed = run(agent, &lines);
            let to_do: Vec<_> = printed.lines().filter(|line| says_what_to_do(line)).collect();
            assert_eq!(to_do, expected, "seed {seed}");
            all.push_str(&printed);
        }
    }
    // The scripts say something.
    for word in [" dispatch job-", ", warm\n", " abort job-", " refresh gpu-", ": the job is refused: ADMISSION_REJECT"]
    {
        assert!(all.matches(word).count() > 100, "{word}: {}", all.matches(word).count());
    }
}
