//! This engine: the very `Scheduler` that a daemon runs, with its recorder where a recording is wanted. Without one nobody
//! asks for digests of outcomes, which would be a sixth of a run's time.
//!
//! Jobs are named by their request's index, so that an action finds its request; sessions likewise.

use std::path::Path;

use orchestrator_core::scheduler::{AbortCause, Action, Answer, ExpiryCause, Input, Refusal, RefusalCode, Scheduler};
use orchestrator_core::{JobSpec, KvHint, PoolSnapshot, Rejection};

use super::{Order, Policy, Report, Told, World};
use crate::daemon::{Driver, HostStorage, OUTCOME_BYTES, RecordingFile, Said, Sizes, StorageError, next_timer_us};
use crate::fleet::LiveFleet;
use crate::input::Policies;
use crate::simulate::fleet::SimFleet;

/// How this engine is set up.
#[derive(Debug, Clone)]
pub struct OursOptions {
    /// Its policies.
    pub policies: Policies,
    /// Its storage.
    pub sizes: Sizes,
}

/// Why it cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OursError {
    /// Its storage is too large.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Nothing can be recorded.
    #[error("the recording: {0}")]
    Recording(#[from] std::io::Error),
}

/// Memory that a scheduler borrows.
#[derive(Debug)]
pub struct OursMemory {
    storage: HostStorage<<LiveFleet as orchestrator_core::PoolRegistry>::Lease>,
    outcome: Vec<u8>,
}

impl OursMemory {
    /// Memory for these options.
    ///
    /// # Errors
    /// Sizes above their limits.
    pub fn new(options: &OursOptions) -> Result<Self, StorageError> {
        let storage = HostStorage::new(&options.sizes, &options.policies.prices)?;
        Ok(Self { storage, outcome: Vec::new() })
    }
}

/// A scheduler, and whether anybody writes down what it is told and says.
enum Driven<'m> {
    Alone(Box<Scheduler<'m, LiveFleet>>),
    Recorded(Box<Driver<'m, LiveFleet, ()>>),
}

/// This engine at work.
pub struct Ours<'m, 'w> {
    world: World<'w>,
    scheduler: Driven<'m>,
    job: String,
    session: String,
    decisions: u64,
}

impl<'m, 'w> Ours<'m, 'w> {
    /// A scheduler that knows nothing yet; what it is told and says is recorded to `recording`.
    ///
    /// # Errors
    /// A recording that cannot be written.
    pub fn new(
        world: World<'w>,
        options: &OursOptions,
        memory: &'m mut OursMemory,
        recording: Option<&Path>,
    ) -> Result<Self, OursError> {
        let fleet = LiveFleet::with_capacity(options.sizes.pools);
        let OursMemory { storage, outcome } = memory;
        let policies = &options.policies;
        let scheduler = if let Some(path) = recording {
            let file = RecordingFile::open(path)?;
            outcome.resize(OUTCOME_BYTES, 0);
            let mut driver = Driver::new(fleet, storage.storage(), policies, None, ());
            driver.record(file, outcome, options.sizes, policies);
            // Only what has begun is written as it comes, and not kept until the end.
            if let Some(file) = driver.recording_mut() {
                file.flush();
            }
            Driven::Recorded(Box::new(driver))
        } else {
            let (placement, rules) = (policies.placement.clone(), policies.scheduler);
            Driven::Alone(Box::new(Scheduler::new(fleet, storage.storage(), placement, rules)))
        };
        Ok(Self { world, scheduler, job: String::new(), session: String::new(), decisions: 0 })
    }

    /// Writes what is left of the recording.
    ///
    /// # Errors
    /// Why it is not whole.
    pub fn finish_recording(&mut self) -> std::io::Result<()> {
        let Driven::Recorded(driver) = &mut self.scheduler else { return Ok(()) };
        let Some(file) = driver.recording_mut() else { return Ok(()) };
        file.flush();
        file.failure().map_or(Ok(()), |error| Err(std::io::Error::new(error.kind(), error.to_string())))
    }

    fn drive(&mut self, now_us: u64, input: &Input<'_>, orders: &mut Vec<Order>) -> Answer {
        let fleet = self.world.fleet;
        match &mut self.scheduler {
            Driven::Alone(scheduler) => {
                scheduler.drive(input, now_us, &mut (), |action| orders.extend(order(&action, now_us, fleet)))
            }
            Driven::Recorded(driver) => driver.drive(input, now_us, &mut |said| {
                if let Said::Action { action, .. } = said {
                    orders.extend(order(action, now_us, fleet));
                }
            }),
        }
    }

    fn report(&mut self, now_us: u64, pool: u32, report: &Report, orders: &mut Vec<Order>) {
        let kv_bytes = report.kv_free_tokens.saturating_mul(self.world.fleet.model.kv_bytes_per_token);
        let own = &self.world.fleet.pools[pool as usize];
        let models = &self.world.trace.models;
        let name = |&model: &u32| models[model as usize].as_str();
        let resident: Option<Vec<&str>> = report.resident_models.as_ref().map(|list| list.iter().map(name).collect());
        own.with_snapshot(|published| {
            let snapshot = PoolSnapshot {
                slots_free: report.slots_free.into(),
                queue_depth: report.waiting.into(),
                vram_free_bytes: i64::try_from(kv_bytes).unwrap_or(i64::MAX).min(published.vram_free_bytes),
                draining: report.draining,
                resident_models: resident.as_deref(),
                age_ms: now_us.saturating_sub(report.observed_us) as f64 / 1000.0,
                ..*published
            };
            let _ = self.drive(now_us, &Input::Snapshot(&snapshot), orders);
        });
    }

    fn arrived(&mut self, now_us: u64, request: u32, orders: &mut Vec<Order>) {
        self.decisions += 1;
        let asked = &self.world.trace.requests[request as usize];
        let context_tokens = self.world.predicted_context_tokens(request);
        let kv_bytes = context_tokens.saturating_mul(self.world.fleet.model.kv_bytes_per_token);
        let (mut job, mut session) = (std::mem::take(&mut self.job), std::mem::take(&mut self.session));
        write_name(&mut job, 'r', request);
        if let Some(number) = asked.session {
            write_name(&mut session, 's', number);
        }
        let mut spec = JobSpec::new(
            &job,
            &self.world.engines[asked.model as usize],
            &self.world.trace.models[asked.model as usize],
        );
        spec.priority = asked.priority;
        spec.prompt_tokens = asked.prompt_tokens.into();
        spec.expected_tokens = Some(self.world.predicted_tokens(request).into());
        spec.est_kv_bytes = Some(i64::try_from(kv_bytes).unwrap_or(i64::MAX));
        spec.session_id = asked.session.map(|_| session.as_str());
        spec.kv_hint = if asked.is_cold { KvHint::Cold } else { KvHint::default() };
        spec.deadline_ms = asked.deadline_us.map(|deadline_us| deadline_us as f64 / 1000.0);
        let start = orders.len();
        match self.drive(now_us, &Input::Submit(&spec), orders) {
            Answer::Accepted(_) => {}
            // An action of the same input that drops it would follow an acceptance only.
            Answer::Refused(refusal) => orders.insert(start, Order::Refuse { request, reason: reason(&refusal) }),
            _ => orders.insert(start, Order::Refuse { request, reason: "not_taken" }),
        }
        (self.job, self.session) = (job, session);
    }

    fn said_of(&mut self, now_us: u64, request: u32, orders: &mut Vec<Order>, input: impl Fn(&str) -> Input<'_>) {
        let mut job = std::mem::take(&mut self.job);
        write_name(&mut job, 'r', request);
        let _ = self.drive(now_us, &input(&job), orders);
        self.job = job;
    }

    fn gone(&mut self, now_us: u64, pool: u32, orders: &mut Vec<Order>) {
        let (id, replica_id) = self.world.fleet.pools[pool as usize].identity();
        let _ = self.drive(now_us, &Input::RemovePool { id, replica_id }, orders);
    }
}

impl Policy for Ours<'_, '_> {
    fn tell(&mut self, now_us: u64, told: Told, orders: &mut Vec<Order>) {
        match told {
            Told::Report { pool, report } => self.report(now_us, pool, &report, orders),
            Told::Gone { pool } => self.gone(now_us, pool, orders),
            Told::Arrived { request } => self.arrived(now_us, request, orders),
            Told::Started { request } => self.said_of(now_us, request, orders, |job_id| Input::Started { job_id }),
            Told::FirstToken { request } => {
                self.said_of(now_us, request, orders, |job_id| Input::FirstToken { job_id })
            }
            Told::Progress { request, tokens } => {
                self.said_of(now_us, request, orders, |job_id| Input::Progress { job_id, tokens_out: tokens });
            }
            Told::Finished { request, tokens } => {
                self.said_of(now_us, request, orders, |job_id| Input::Finished { job_id, tokens_out: tokens });
            }
            Told::Tick => {
                let _ = self.drive(now_us, &Input::Tick, orders);
            }
        }
    }

    fn next_wakeup_us(&self) -> Option<u64> {
        match &self.scheduler {
            Driven::Alone(scheduler) => next_timer_us(scheduler),
            Driven::Recorded(driver) => driver.next_timer_us(),
        }
    }

    fn decisions(&self) -> u64 {
        self.decisions
    }
}

fn write_name(name: &mut String, letter: char, number: u32) {
    use std::fmt::Write;

    name.clear();
    // Writing to a string does not fail.
    let _ = write!(name, "{letter}{number}");
}

/// The rule that no pool could keep says more than the code that a caller gets.
fn reason(refusal: &Refusal) -> &'static str {
    refusal.rejection.map_or(refusal.code.name(), Rejection::detail)
}

/// The request behind a job's id.
fn request_of(job_id: &str) -> Option<u32> {
    job_id.strip_prefix('r')?.parse().ok()
}

fn order(action: &Action, now_us: u64, fleet: &SimFleet<'_>) -> Option<Order> {
    match action {
        Action::Dispatch { job_id, pool_id, replica_id, dispatch } => {
            let assignment = &dispatch.assignment;
            let pool = fleet.rank_of_likely(assignment.rank, pool_id, replica_id)?;
            Some(Order::Send {
                request: request_of(job_id)?,
                pool,
                predicted_start_us: Some(now_us.saturating_add(assignment.start_us)),
                predicted_end_us: assignment.end_us.map(|end_us| now_us.saturating_add(end_us)),
            })
        }
        Action::Abort { job_id, cause, .. } => {
            let request = request_of(job_id)?;
            // What its pool had is lost with the pool.
            let is_lost = matches!(cause, AbortCause::Expired(ExpiryCause::PoolLost));
            (!is_lost).then_some(Order::Abort { request, cause: cause.name() })
        }
        Action::Drop { job_id, refusal } => {
            let is_late = matches!(refusal.code, RefusalCode::QueueTimeout | RefusalCode::DeadlineUnmet);
            let expired = is_late.then_some(refusal.code.name());
            Some(Order::Drop { request: request_of(job_id)?, expired })
        }
        _ => None,
    }
}
