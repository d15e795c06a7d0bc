//! The golden of a scheduler: a script of inputs, and all that came of them.
//!
//! The script is made as it runs: what is reported of which job depends on what was dispatched before, so one outcome
//! that differs changes everything after it.

use orchestrator_core::scheduler::{
    Action, Answer, CancelCause, FailureCause, Input, Observer, OutcomeLog, Scheduler, SchedulerBuffers,
    SchedulerPolicy, SchedulerStorage,
};
use orchestrator_core::{Policy, PoolRegistry, SmallFleet};

use crate::random::Random;
use crate::worlds;

/// What [`scheduler_digest`] is everywhere.
pub const SCHEDULER_DIGEST: u64 = 0x04df_7fe0_7f01_a15c;

const POOLS: usize = 8;
const QUEUED: usize = 16;
const JOB_BYTES: usize = 96;
const LEASES: usize = 16;
const SESSIONS: usize = 8;

/// The fleet that the script is written for.
pub type ScriptFleet = SmallFleet<POOLS, 2, 12>;
/// The memory that the script is written for.
pub type ScriptBuffers<L> = SchedulerBuffers<L, POOLS, QUEUED, JOB_BYTES, LEASES, SESSIONS>;

const INPUTS: u32 = 2_304;
/// Inputs between two changes of the policies.
const PHASE: u32 = 256;
/// Jobs with different ids: those of jobs that ended come again.
const JOBS: u32 = 64;
/// One pool more than there is room for.
const POOL_IDS: [&str; POOLS + 1] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

/// The digest of all that comes of the script, in memory on the stack.
#[must_use]
pub fn scheduler_digest() -> u64 {
    let mut fleet = ScriptFleet::new();
    let mut buffers = ScriptBuffers::new();
    run(&mut fleet, buffers.storage(), &mut ())
}

/// Runs the script over any fleet with room for 8 pools, and memory as large as [`ScriptBuffers`]; returns the digest of
/// its answers, events and actions.
pub fn run<F: PoolRegistry>(fleet: F, storage: SchedulerStorage<'_, F::Lease>, observer: &mut impl Observer) -> u64 {
    let mut script = Script {
        scheduler: Scheduler::new(fleet, storage, Policy::default(), SchedulerPolicy::default()),
        random: Random::new(1),
        log: OutcomeLog::new(&mut []),
        running: 0,
        next_job: 0,
        now_us: 0,
    };
    for number in 0..INPUTS {
        if number % PHASE == 0 {
            script.change_policies(number / PHASE, observer);
        }
        script.step(observer);
    }
    script.log.digest()
}

struct Script<'a, F: PoolRegistry> {
    scheduler: Scheduler<'a, F>,
    random: Random,
    log: OutcomeLog<'static>,
    /// A bit for each job that was dispatched and is not known to have ended.
    running: u64,
    next_job: u32,
    now_us: u64,
}

impl<F: PoolRegistry> Script<'_, F> {
    fn step(&mut self, observer: &mut impl Observer) {
        self.now_us += u64::from(self.random.below(400_000));
        if self.random.one_in(64) {
            self.now_us += u64::from(self.random.pick([5_000_000, 16_000_000, 45_000_000u32]));
        }
        match self.random.below(16) {
            0..6 => self.submit(observer),
            6 => self.snapshot(observer),
            7 => self.change_pool(observer),
            8 => self.give_up(observer),
            9 => self.drive(&Input::Tick, observer),
            _ => self.report(observer),
        }
    }

    fn submit(&mut self, observer: &mut impl Observer) {
        // Now and then the last one again.
        if !self.random.one_in(24) {
            self.next_job = (self.next_job + 1) % JOBS;
        }
        let id = JobId::of(self.next_job);
        let job = worlds::serving_job(&mut self.random, id.text());
        self.drive(&Input::Submit(&job), observer);
    }

    fn snapshot(&mut self, observer: &mut impl Observer) {
        let id = self.random.pick(POOL_IDS);
        let pool = worlds::serving_pool(&mut self.random, id);
        self.drive(&Input::Snapshot(&pool), observer);
    }

    fn change_pool(&mut self, observer: &mut impl Observer) {
        let id = self.random.pick(POOL_IDS);
        let input = match self.random.below(6) {
            0 => Input::RemovePool { id, replica_id: "" },
            1 => Input::EndSession { session_id: self.random.pick(worlds::SESSIONS) },
            number => Input::Drain { id, replica_id: "", draining: number == 2 },
        };
        self.drive(&input, observer);
    }

    fn give_up(&mut self, observer: &mut impl Observer) {
        // Of the last 32 jobs: some wait, some run, some ended.
        let id = JobId::of((self.next_job + JOBS - self.random.below(32)) % JOBS);
        let cause = self.random.pick(CancelCause::ALL);
        self.drive(&Input::Cancel { job_id: id.text(), cause }, observer);
    }

    fn report(&mut self, observer: &mut impl Observer) {
        let id = JobId::of(self.reported_job());
        let (job_id, tokens_out) = (id.text(), self.random.below(500));
        let input = match self.random.below(10) {
            0..3 => Input::Started { job_id },
            3..5 => Input::FirstToken { job_id },
            5 => Input::Progress { job_id, tokens_out },
            6..9 => Input::Finished { job_id, tokens_out },
            _ => {
                let cause = self.random.pick(FailureCause::ALL.map(Some)).unwrap_or(FailureCause::Engine);
                Input::Failed { job_id, cause, tokens_out }
            }
        };
        self.drive(&input, observer);
    }

    /// Mostly one that runs: the next from a random place on.
    fn reported_job(&mut self) -> u32 {
        let start = self.random.below(JOBS);
        if self.running == 0 || self.random.one_in(16) {
            return start;
        }
        (start + self.running.rotate_right(start).trailing_zeros()) % JOBS
    }

    fn change_policies(&mut self, phase: u32, observer: &mut impl Observer) {
        let placement = worlds::placement_policy(&mut self.random).validate();
        let scheduler = worlds::scheduler_policy(&mut self.random, phase).validate();
        if let (Ok(placement), Ok(scheduler)) = (placement, scheduler) {
            self.drive(&Input::SetPolicies { placement: &placement, scheduler: &scheduler }, observer);
        }
    }

    fn drive(&mut self, input: &Input<'_>, observer: &mut impl Observer) {
        let mut observer = (&mut self.log, observer);
        let answer = self.scheduler.handle(input, self.now_us, &mut observer);
        observer.0.answer(&answer);
        if let (Input::Finished { job_id, .. } | Input::Failed { job_id, .. }, Answer::Done) = (input, &answer) {
            self.running &= !JobId::bit(job_id);
        }
        while let Some(action) = self.scheduler.next_action(&mut observer) {
            observer.0.action(&action);
            match &action {
                Action::Dispatch { job_id, .. } => self.running |= JobId::bit(job_id),
                Action::Abort { job_id, .. } => self.running &= !JobId::bit(job_id),
                _ => {}
            }
        }
    }
}

/// The id of a job: `j` and two digits.
struct JobId([u8; 3]);

impl JobId {
    fn of(number: u32) -> Self {
        let digit = |value: u32| b'0' + (value % 10) as u8;
        Self([b'j', digit(number / 10), digit(number)])
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn bit(id: &str) -> u64 {
        let number = id.bytes().skip(1).fold(0, |number, byte| number * 10 + u32::from(byte.wrapping_sub(b'0')));
        1u64.checked_shl(number).unwrap_or(0)
    }
}
