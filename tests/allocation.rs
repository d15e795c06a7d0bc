//! A scheduler that is warm allocates nothing, whatever happens: one test alone in its process, which counts.
//!
//! `cargo test --test allocation -- --nocapture` prints how much the observers of the host allocate.

use orchestrator_core::codec::{OutOfRoom, Sink};
use orchestrator_core::scheduler::{
    Action, Answer, CancelCause, Capacities, Counters, FlightRecorder, Input, Observer, RecordingHeader, Scheduler,
    SchedulerPolicy,
};
use orchestrator_core::{JobSpec, Policy, PoolRegistry, PoolSnapshot, PoolSupports, Priority, SmallFleet};
use orchestrator_host::fleet::LiveFleet;
use orchestrator_host::observe::{LogObserver, MetricsObserver};

#[allow(dead_code, reason = "counts of all threads are asked of other tests")]
#[path = "support/counting_allocator.rs"]
mod counting_allocator;
#[path = "support/memory.rs"]
mod memory;

use memory::{Memory, Room};

const ROUNDS: usize = 10_000;
const WARM_UP_ROUNDS: usize = 1_000;
/// Inputs of a round: two submits, started, first token, progress, finished, cancel, snapshot, tick.
const INPUTS: usize = 9;
const POOLS: usize = 4;
const GIB: i64 = 1 << 30;

fn allocations(act: impl FnOnce()) -> u64 {
    let before = counting_allocator::of_thread();
    act();
    counting_allocator::of_thread() - before
}

/// Keeps the last bytes of a recording, in memory that it has from the start.
struct Ring {
    bytes: Vec<u8>,
    at: usize,
}

impl Sink for Ring {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        if self.at + bytes.len() > self.bytes.len() {
            self.at = 0;
        }
        self.bytes.get_mut(self.at..self.at + bytes.len()).ok_or(OutOfRoom)?.copy_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }
}

/// What is told to whoever watches beside the events.
trait Watch: Observer {
    fn input(&mut self, _now_us: u64, _input: &Input<'_>) {}
    fn outcome(&mut self, _answer: &Answer, _actions: &[Action]) {}
}

impl Watch for () {}
impl Watch for Counters {}
impl Watch for MetricsObserver {}
impl Watch for LogObserver {}

impl Watch for FlightRecorder<'_, Ring> {
    fn input(&mut self, now_us: u64, input: &Input<'_>) {
        self.begin_input(now_us, input);
    }

    fn outcome(&mut self, answer: &Answer, actions: &[Action]) {
        self.answer(answer);
        for action in actions {
            self.action(action);
        }
        self.end_input();
        assert!(!self.is_broken());
    }
}

struct World<'a, F: PoolRegistry> {
    scheduler: Scheduler<'a, F>,
    ids: Vec<String>,
    models: [String; 4],
    sessions: [String; 8],
    pools: [String; POOLS],
    actions: Vec<Action>,
    dispatched: u64,
    now_us: u64,
}

impl<F: PoolRegistry> World<'_, F> {
    fn drive(&mut self, input: &Input<'_>, watch: &mut impl Watch) -> Answer {
        self.now_us += 7;
        self.actions.clear();
        watch.input(self.now_us, input);
        let actions = &mut self.actions;
        let answer = self.scheduler.drive(input, self.now_us, watch, |action| actions.push(action));
        watch.outcome(&answer, actions);
        let is_dispatch = |action: &&Action| matches!(action, Action::Dispatch { .. });
        self.dispatched += self.actions.iter().filter(is_dispatch).count() as u64;
        answer
    }

    /// Every kind of input once, about two jobs: one ends well, one is canceled.
    fn round(&mut self, round: usize, watch: &mut impl Watch) {
        let ids = std::mem::take(&mut self.ids);
        let (models, sessions) = (std::mem::take(&mut self.models), std::mem::take(&mut self.sessions));
        let pools = std::mem::take(&mut self.pools);
        let [first, second] = [0, 1].map(|part| &*ids[(2 * round + part) % ids.len()]);
        let spec = |id, part: usize| JobSpec {
            priority: if round.is_multiple_of(3) { Priority::Batch } else { Priority::Interactive },
            prompt_tokens: 100 + (round % 50) as i64,
            max_tokens: Some(64),
            session_id: (part == 0).then(|| &*sessions[round % sessions.len()]),
            deadline_ms: (part == 1).then_some(5_000.0),
            ..JobSpec::new(id, "vllm", &models[round % models.len()])
        };
        for (part, id) in [first, second].into_iter().enumerate() {
            let answer = self.drive(&Input::Submit(&spec(id, part)), watch);
            assert!(matches!(answer, Answer::Accepted(_)));
        }
        let done = [
            self.drive(&Input::Started { job_id: first }, watch),
            self.drive(&Input::FirstToken { job_id: first }, watch),
            self.drive(&Input::Progress { job_id: first, tokens_out: 9 }, watch),
            self.drive(&Input::Finished { job_id: first, tokens_out: 20 }, watch),
            self.drive(&Input::Cancel { job_id: second, cause: CancelCause::Disconnect }, watch),
            self.drive(&Input::Snapshot(&snapshot(&pools[round % POOLS], round)), watch),
            self.drive(&Input::Tick, watch),
        ];
        assert_eq!(done, [const { Answer::Done }; 7]);
        (self.ids, self.models, self.sessions, self.pools) = (ids, models, sessions, pools);
    }
}

fn snapshot(id: &str, round: usize) -> PoolSnapshot<'_> {
    PoolSnapshot {
        perf_tokens_per_s: Some(50.0 + (round % 4) as f64),
        first_token_ms: Some(40.0),
        engine_version: Some("0.9.1"),
        resident_models: Some(&["org/model-0"]),
        labels: &[("zone", "eu-1")],
        supports: PoolSupports { quantizations: &["fp8"], ctx_max: Some(32_768), ..PoolSupports::default() },
        ..PoolSnapshot::new(id, "vllm", 8, 8, 80 * GIB, 60 * GIB)
    }
}

/// Allocations of all rounds after the warm-up.
fn measure<F: PoolRegistry>(fleet: F, watch: &mut impl Watch) -> u64 {
    let mut memory = Memory::new(Room { pools: POOLS, waiting: 64, leases: 64, sessions: 4, tenants: 4 });
    let mut world = World {
        scheduler: Scheduler::new(fleet, memory.storage(), Policy::default(), SchedulerPolicy::default()),
        ids: (0..512).map(|id| format!("job-{id}")).collect(),
        models: std::array::from_fn(|model| format!("org/model-{model}")),
        sessions: std::array::from_fn(|session| format!("session-{session}")),
        pools: std::array::from_fn(|pool| format!("pool-{pool}")),
        actions: Vec::with_capacity(64),
        dispatched: 0,
        now_us: 0,
    };
    let pools = world.pools.clone();
    for pool in &pools {
        assert_eq!(world.drive(&Input::Snapshot(&snapshot(pool, 0)), watch), Answer::Done);
    }
    for round in 0..WARM_UP_ROUNDS {
        world.round(round, watch);
    }
    let dispatched = world.dispatched;
    let allocations = allocations(|| {
        for round in WARM_UP_ROUNDS..WARM_UP_ROUNDS + ROUNDS {
            world.round(round, watch);
        }
    });
    assert_eq!(world.dispatched - dispatched, 2 * ROUNDS as u64, "every job had a lease");
    allocations
}

fn recorder<'b>(outcome: &'b mut [u8]) -> FlightRecorder<'b, Ring> {
    let header = RecordingHeader {
        capacities: Capacities::default(),
        placement: Policy::default(),
        scheduler: SchedulerPolicy::default(),
        setup: b"",
    };
    FlightRecorder::new(Ring { bytes: vec![0; 1 << 16], at: 0 }, outcome, &header)
}

fn small() -> SmallFleet<POOLS, 8, 64> {
    SmallFleet::new()
}

fn live() -> LiveFleet {
    LiveFleet::with_capacity(POOLS as u32)
}

#[test]
fn a_warm_scheduler_allocates_nothing() {
    // The counter counts.
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);

    let (mut one, mut other) = (vec![0; 4_096], vec![0; 4_096]);
    let core = [
        ("SmallFleet, nobody watches", measure(small(), &mut ())),
        ("SmallFleet, Counters", measure(small(), &mut Counters::new())),
        ("SmallFleet, FlightRecorder", measure(small(), &mut recorder(&mut one))),
        ("LiveFleet, nobody watches", measure(live(), &mut ())),
        ("LiveFleet, Counters", measure(live(), &mut Counters::new())),
        ("LiveFleet, FlightRecorder", measure(live(), &mut recorder(&mut other))),
    ];
    for (what, allocations) in core {
        assert_eq!(allocations, 0, "{what}: in {} inputs", ROUNDS * INPUTS);
    }

    let per_input = |allocations: u64| allocations as f64 / (ROUNDS * INPUTS) as f64;
    let metrics = measure(live(), &mut MetricsObserver::new());
    println!("MetricsObserver: {metrics} allocations, {:.4} per input", per_input(metrics));
    let unread = measure(live(), &mut LogObserver);
    println!("LogObserver, nobody listens: {unread} allocations");
    // A series that was seen before, and a line that no one reads, need no memory.
    assert_eq!((metrics, unread), (0, 0));

    let subscriber = tracing_subscriber::fmt().json().with_writer(std::io::sink).finish();
    let written = tracing::subscriber::with_default(subscriber, || measure(live(), &mut LogObserver));
    println!("LogObserver, JSON lines: {written} allocations, {:.2} per input", per_input(written));
}
