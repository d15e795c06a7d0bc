//! Threads that race on the same jobs, through one lock: whoever comes first wins, and exactly one of cancel and any
//! other end does. LEASE-1, LEASE-6, LEASE-7, EVENT-1.
//!
//! The lock gives inputs an order; what was answered and what happened is recorded in it. A naive model of each job
//! then says what each input must have been answered with, and what must have happened.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use orchestrator_core::scheduler::{
    Action, Answer, CancelCause, Event, FailureCause, Input, LeaseState, Observer, Scheduler, SchedulerPolicy,
};
use orchestrator_core::{JobSpec, Policy, PoolRegistry, PoolSnapshot, Priority};
use orchestrator_host::fleet::LiveFleet;

#[path = "support/memory.rs"]
mod memory;
#[path = "support/random.rs"]
mod random;

use memory::{Memory, Room};
use random::Random;

const JOBS: usize = 4_000;
const POOLS: usize = 4;
const SLOTS: i64 = 4;
const GIB: i64 = 1 << 30;

/// What a thread asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Submit,
    Cancel,
    Report,
    Finish,
    Fail,
    Other,
}

/// What happened to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Change {
    Refused,
    Enqueued,
    Dispatched,
    Canceled,
    Finished,
    Failed,
    OtherEnd,
}

impl Change {
    fn is_end(self) -> bool {
        !matches!(self, Self::Enqueued | Self::Dispatched)
    }
}

/// One input, in the order of the lock.
#[derive(Debug, Clone)]
struct Entry {
    op: Op,
    job: usize,
    answer: &'static str,
    changes: Vec<(usize, Change)>,
}

#[derive(Default)]
struct Recorder(Vec<(usize, Change)>);

impl Observer for Recorder {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        let (job, change) = match event {
            Event::JobRefused { job, .. } => (job, Change::Refused),
            Event::JobEnqueued { job, .. } => (job, Change::Enqueued),
            Event::JobDispatched { job, .. } => (job, Change::Dispatched),
            Event::JobCanceled { job, .. } => (job, Change::Canceled),
            Event::JobFinished { job, .. } => (job, Change::Finished),
            Event::JobFailed { job, .. } => (job, Change::Failed),
            Event::JobEvicted { job, .. } | Event::JobTimedOut { job, .. } | Event::JobExpired { job, .. } => {
                (job, Change::OtherEnd)
            }
            _ => return,
        };
        self.0.push((number(job.id), change));
    }
}

fn name(job: usize) -> String {
    format!("job-{job}")
}

fn number(id: &str) -> usize {
    id.strip_prefix("job-").and_then(|number| number.parse().ok()).expect("an id of this test")
}

/// What the lock guards.
struct Shared<'a> {
    scheduler: Scheduler<'a, LiveFleet>,
    now_us: u64,
    /// Jobs that were dispatched, for those who finish them.
    dispatched: VecDeque<usize>,
    log: Vec<Entry>,
}

impl Shared<'_> {
    fn drive(&mut self, op: Op, job: usize, input: &Input<'_>) -> &'static str {
        self.now_us += 3;
        let mut recorder = Recorder::default();
        let dispatched = &mut self.dispatched;
        let answer = self.scheduler.drive(input, self.now_us, &mut recorder, |action| {
            if let Action::Dispatch { job_id, .. } = action {
                dispatched.push_back(number(&job_id));
            }
        });
        let answer = match answer {
            Answer::Accepted(_) => "accepted",
            Answer::Refused(_) => "refused",
            other => other.name(),
        };
        self.log.push(Entry { op, job, answer, changes: recorder.0 });
        answer
    }
}

/// One thread's view.
struct Racer<'s, 'a> {
    shared: &'s Mutex<Shared<'a>>,
    submitted: &'s AtomicUsize,
    random: Random,
}

impl Racer<'_, '_> {
    fn with<R>(&mut self, act: impl FnOnce(&mut Shared<'_>) -> R) -> R {
        for _ in 0..self.random.below(3) {
            thread::yield_now();
        }
        act(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One of the latest jobs, which others are at as well.
    fn recent(&mut self) -> usize {
        let submitted = self.submitted.load(Ordering::Relaxed);
        submitted.saturating_sub(self.random.below(24) as usize)
    }

    fn cancel(&mut self) {
        let (job, cause) = (self.recent(), CancelCause::ClientRequest);
        self.with(|shared| shared.drive(Op::Cancel, job, &Input::Cancel { job_id: &name(job), cause }));
    }

    /// Reports of a job and its end; now and then only one of both, or of a job that somebody else may have ended.
    fn finish(&mut self) {
        let (pick, recent) = (self.random.below(8), self.recent());
        let next = self.with(|shared| shared.dispatched.pop_front());
        let job = if pick == 0 { recent } else { next.unwrap_or(recent) };
        let id = name(job);
        if pick < 4 {
            self.with(|shared| shared.drive(Op::Report, job, &Input::Started { job_id: &id }));
            self.with(|shared| shared.drive(Op::Report, job, &Input::FirstToken { job_id: &id }));
        }
        if pick == 1 {
            let input = Input::Failed { job_id: &id, cause: FailureCause::Engine, tokens_out: 1 };
            self.with(|shared| shared.drive(Op::Fail, job, &input));
        }
        for _ in 0..1 + pick % 2 {
            self.with(|shared| shared.drive(Op::Finish, job, &Input::Finished { job_id: &id, tokens_out: 2 }));
        }
    }

    /// Time passes, pools drain and come back.
    fn tick(&mut self) {
        let (pool, pick) = (self.random.below(POOLS as u64), self.random.below(4));
        let id = format!("pool-{pool}");
        self.with(|shared| match pick {
            0 => shared.drive(Op::Other, 0, &Input::Drain { id: &id, replica_id: "", draining: true }),
            1 | 2 => shared.drive(Op::Other, 0, &Input::Drain { id: &id, replica_id: "", draining: false }),
            _ => shared.drive(Op::Other, 0, &Input::Tick),
        });
    }
}

/// A job as the naive model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Gone,
    Waiting,
    Leased,
}

/// Says everything that is wrong with a record; nothing, if every outcome is one that some order of the inputs explains.
fn faults(log: &[Entry]) -> Vec<String> {
    let mut jobs: HashMap<usize, State> = HashMap::new();
    let mut faults = Vec::new();
    for (at, entry) in log.iter().enumerate() {
        let before = jobs.get(&entry.job).copied().unwrap_or_default();
        let expected: &[&str] = match (entry.op, before) {
            (Op::Submit, State::Gone) => &["accepted", "refused"],
            (Op::Submit, _) => &["duplicate_job"],
            (Op::Cancel, State::Gone) | (Op::Report | Op::Finish | Op::Fail, State::Gone) => &["unknown_job"],
            (Op::Cancel, _) | (Op::Finish | Op::Fail, State::Leased) | (Op::Other, _) => &["done"],
            (Op::Report, State::Leased) => &["done", "repeated"],
            (Op::Report | Op::Finish | Op::Fail, State::Waiting) => &["not_dispatched"],
        };
        if !expected.contains(&entry.answer) {
            faults.push(format!("input {at}: {entry:?} for a job that is {before:?}"));
        }
        // What the input itself ends: its job, in its way, once; nothing else ends anything here.
        let end = match (entry.op, entry.answer) {
            (Op::Submit, "refused") => Some(Change::Refused),
            (Op::Cancel, "done") => Some(Change::Canceled),
            (Op::Finish, "done") => Some(Change::Finished),
            (Op::Fail, "done") => Some(Change::Failed),
            _ => None,
        };
        let ends: Vec<_> = entry.changes.iter().filter(|(_, change)| change.is_end()).copied().collect();
        if ends != end.map(|end| (entry.job, end)).into_iter().collect::<Vec<_>>() {
            faults.push(format!("input {at}: {entry:?} ended {ends:?}"));
        }
        for &(job, change) in &entry.changes {
            let state = jobs.entry(job).or_default();
            *state = match (*state, change) {
                (State::Gone, Change::Refused) => State::Gone,
                (State::Gone, Change::Enqueued) => State::Waiting,
                (State::Waiting, Change::Dispatched) => State::Leased,
                (State::Waiting, Change::Canceled) => State::Gone,
                (State::Leased, Change::Canceled | Change::Finished | Change::Failed) => State::Gone,
                (state, change) => {
                    faults.push(format!("input {at}: job {job} is {state:?} and was {change:?}"));
                    state
                }
            };
        }
    }
    let left = jobs.iter().filter(|(_, state)| **state != State::Gone).map(|(job, state)| format!("{job}: {state:?}"));
    faults.extend(left);
    faults
}

fn count(log: &[Entry], op: Op, answer: &str) -> usize {
    log.iter().filter(|entry| entry.op == op && entry.answer == answer).count()
}

fn count_changes(log: &[Entry], change: Change) -> usize {
    log.iter().flat_map(|entry| &entry.changes).filter(|(_, happened)| *happened == change).count()
}

fn race(seed: u64) -> Vec<Entry> {
    let mut memory = Memory::new(Room { pools: POOLS, waiting: 32, leases: 64, sessions: 8, tenants: 1 });
    let mut rules = SchedulerPolicy::default();
    rules.queue.scan_limit = 32;
    let scheduler = Scheduler::new(LiveFleet::with_capacity(POOLS as u32), memory.storage(), Policy::default(), rules);
    let mut shared = Shared { scheduler, now_us: 0, dispatched: VecDeque::new(), log: Vec::new() };
    for pool in 0..POOLS {
        let id = format!("pool-{pool}");
        let snapshot = PoolSnapshot::new(&id, "vllm", SLOTS, SLOTS, 80 * GIB, 80 * GIB);
        assert_eq!(shared.drive(Op::Other, 0, &Input::Snapshot(&snapshot)), "done");
    }
    let shared = Mutex::new(shared);
    let (submitted, submitting) = (AtomicUsize::new(0), AtomicUsize::new(2));
    let is_over = AtomicBool::new(false);
    let racer = |thread| Racer { shared: &shared, submitted: &submitted, random: Random(seed * 1_000 + thread) };
    thread::scope(|scope| {
        for thread in 0..2 {
            let (mut racer, submitting) = (racer(thread), &submitting);
            scope.spawn(move || {
                // Both submit every job: one is first, unless the job ended in between; then it lives twice.
                for job in 0..JOBS {
                    racer.submitted.fetch_max(job, Ordering::Relaxed);
                    let id = name(job);
                    let priority = [Priority::Interactive, Priority::Batch][job % 2];
                    let session_id = (job.is_multiple_of(3)).then_some("chat");
                    let spec = JobSpec { priority, session_id, ..JobSpec::new(&id, "vllm", "some/model") };
                    racer.with(|shared| shared.drive(Op::Submit, job, &Input::Submit(&spec)));
                }
                submitting.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for thread in 2..4 {
            let (mut racer, is_over) = (racer(thread), &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    racer.cancel();
                }
            });
        }
        for thread in 4..6 {
            let (mut racer, is_over, submitting) = (racer(thread), &is_over, &submitting);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    racer.finish();
                    if submitting.load(Ordering::SeqCst) == 0 {
                        is_over.store(true, Ordering::SeqCst);
                    }
                }
            });
        }
        let (mut racer, is_over) = (racer(6), &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                racer.tick();
            }
        });
    });
    let mut shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    end_all(&mut shared);
    shared.log
}

/// Ends what still waits or runs, and looks whether every pool got back what was taken from it.
fn end_all(shared: &mut Shared<'_>) {
    for pool in 0..POOLS {
        let id = format!("pool-{pool}");
        shared.drive(Op::Other, 0, &Input::Drain { id: &id, replica_id: "", draining: false });
    }
    for round in 0..2 {
        for job in 0..JOBS {
            let id = name(job);
            let Some((_, state)) = shared.scheduler.lease_of(&id) else { continue };
            assert!(state >= LeaseState::Reserved);
            assert_eq!(shared.drive(Op::Finish, job, &Input::Finished { job_id: &id, tokens_out: 1 }), "done");
        }
        for job in (0..JOBS).filter(|_| round == 0) {
            // What waited was dispatched by now, or is canceled here.
            let cause = CancelCause::Admin;
            if shared.scheduler.lease_of(&name(job)).is_none() {
                shared.drive(Op::Cancel, job, &Input::Cancel { job_id: &name(job), cause });
            }
        }
    }
    let fleet = shared.scheduler.fleet();
    for rank in 0..fleet.len() {
        let row = fleet.at_rank(rank).and_then(|pool| fleet.row(pool)).expect("a pool of this rank");
        assert_eq!(i64::from(row.slots_free), SLOTS, "pool {rank} got back what was taken");
    }
}

#[test]
fn whoever_comes_first_wins_and_exactly_one_end_does() {
    for seed in 0..3 {
        let log = race(seed);
        assert_eq!(faults(&log), Vec::<String>::new());

        // EVENT-1: every job that was admitted has one end; LEASE-6: each end was answered once.
        let ended = [Change::Canceled, Change::Finished, Change::Failed].map(|change| count_changes(&log, change));
        let answered = [Op::Cancel, Op::Finish, Op::Fail].map(|op| count(&log, op, "done"));
        assert_eq!(ended, answered);
        assert_eq!(count(&log, Op::Submit, "accepted"), ended.into_iter().sum::<usize>());
        assert_eq!(count(&log, Op::Submit, "refused"), count_changes(&log, Change::Refused));
        assert_eq!(count_changes(&log, Change::OtherEnd), 0);

        // They raced: every way to lose was met.
        let losses = [
            (Op::Submit, "duplicate_job"),
            (Op::Cancel, "unknown_job"),
            (Op::Finish, "unknown_job"),
            (Op::Finish, "not_dispatched"),
        ];
        for (op, answer) in losses {
            assert!(count(&log, op, answer) > 0, "{op:?} was never answered with {answer}");
        }
        assert!(answered.iter().all(|count| *count > 0), "canceled, finished, failed: {answered:?}");
    }
}

/// The check can fail: records of a scheduler with a fault are found out.
#[test]
fn a_wrong_record_is_found_out() {
    let log = race(7);
    let find = |op, answer| log.iter().position(|entry| entry.op == op && entry.answer == answer).expect("it happened");
    let (canceled, finished) = (find(Op::Cancel, "done"), find(Op::Finish, "done"));
    let lost = find(Op::Cancel, "unknown_job");
    let plant = |plant: &dyn Fn(&mut Vec<Entry>)| {
        let mut log = log.clone();
        plant(&mut log);
        faults(&log)
    };
    assert!(plant(&|_| ()).is_empty());
    // Two ends of one job; two winners; an end that nobody was told of; a winner without an end.
    assert!(!plant(&|log| log.insert(canceled + 1, log[canceled].clone())).is_empty());
    assert!(!plant(&|log| log[lost].answer = "done").is_empty());
    assert!(!plant(&|log| log[finished].answer = "unknown_job").is_empty());
    assert!(!plant(&|log| log[finished].changes.retain(|(_, change)| !change.is_end())).is_empty());
    assert!(
        !plant(&|log| log[canceled].changes.iter_mut().for_each(|(_, change)| *change = Change::Finished)).is_empty()
    );
}
