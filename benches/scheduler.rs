//! How long the scheduler takes for a job, from its request to its end, and what the worst input costs.
//!
//! `cargo bench --bench scheduler`, or with `-- --test` for one pass with all checks. As in `benches/decide.rs`, the
//! lines that begin with `summary` hold beside the time the digest of all events of the run: it depends on what the
//! scheduler does, never on how fast. Both fleets must have the same. How to read the figures: docs/benchmarks.md.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use orchestrator_core::codec::{OutOfRoom, Sink};
use orchestrator_core::scheduler::{
    Answer, Capacities, Counters, Discipline, FlightRecorder, Input, Observer, OutcomeLog, RecordingHeader, Scheduler,
};
use orchestrator_core::{PoolRegistry, PoolSnapshot, SmallFleet};
use orchestrator_host::fleet::LiveFleet;
use orchestrator_host::observe::{LogObserver, MetricsObserver};

mod live;

use live::memory::Memory;
use live::{Live, Names, SLOTS, policies, room};

const SIZES: [usize; 2] = [8, 64];
/// Jobs of which a digest is taken.
const DIGEST_TURNS: usize = 4_096;

type Small = SmallFleet<64, 8, 64>;

/// What a load is like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Half of the slots are taken: a job is dispatched when it comes.
    Half,
    /// Every slot is taken and 64 jobs wait: a job is dispatched when another one ends.
    Full,
}

impl Load {
    const ALL: [Self; 2] = [Self::Half, Self::Full];

    const fn name(self) -> &'static str {
        match self {
            Self::Half => "half",
            Self::Full => "full",
        }
    }

    const fn jobs(self, pools: usize) -> usize {
        match self {
            Self::Half => pools * SLOTS / 2,
            Self::Full => pools * SLOTS + 64,
        }
    }
}

/// The digests of all events of the first turns: they change with the load in `live`, with the form of events and with
/// `SEMANTICS_VERSION`, never with a faster implementation.
const DIGESTS: [(Load, [u64; SIZES.len()]); 2] = [
    (Load::Half, [0x34be_cf09_6dad_68dd, 0xef1e_1713_0344_bcad]),
    (Load::Full, [0x6106_2c0c_720f_6eb3, 0x48ee_1c8a_fbd6_3115]),
];

/// Runs `act` with a scheduler over `fleet` under a load.
fn with_load<F: PoolRegistry, R>(fleet: F, pools: usize, load: Load, act: impl FnOnce(Live<'_, F>) -> R) -> R {
    let (names, mut memory) = (Names::new(pools), Memory::new(room(pools)));
    let (placement, rules) = policies();
    let mut live = Live::new(Scheduler::new(fleet, memory.storage(), placement, rules), &names);
    live.add_pools(SLOTS);
    for _ in 0..load.jobs(pools) {
        assert!(matches!(live.submit(&mut ()), Answer::Accepted(_)));
    }
    assert_eq!(live.running(), load.jobs(pools).min(pools * SLOTS));
    act(live)
}

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler/job");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(1));
    for load in Load::ALL {
        for pools in SIZES {
            group.bench_function(BenchmarkId::new(format!("live/{}", load.name()), pools), |bencher| {
                with_load(LiveFleet::with_capacity(64), pools, load, |mut live| bencher.iter(|| live.turn(&mut ())));
            });
            group.bench_function(BenchmarkId::new(format!("small/{}", load.name()), pools), |bencher| {
                with_load(Small::new(), pools, load, |mut live| bencher.iter(|| live.turn(&mut ())));
            });
        }
    }
    group.finish();
}

/// The least mean time of one turn over repetitions that take `budget` in all, in nanoseconds.
fn turn_ns<F: PoolRegistry>(live: &mut Live<'_, F>, observer: &mut impl Observer, budget: Duration) -> f64 {
    const BATCH: u32 = 500;
    let (end, mut least) = (Instant::now() + budget, f64::INFINITY);
    while Instant::now() < end {
        let start = Instant::now();
        for _ in 0..BATCH {
            live.turn(observer);
        }
        least = least.min(start.elapsed().as_nanos() as f64 / f64::from(BATCH));
    }
    least
}

/// Prints the summary of one size and load; returns whether the digests are the expected ones.
fn summarise(pools: usize, load: Load, expected: u64, budget: Duration) -> bool {
    let (live_digest, live_ns) = with_load(LiveFleet::with_capacity(64), pools, load, |mut live| {
        (live.digest(DIGEST_TURNS), turn_ns(&mut live, &mut (), budget))
    });
    let (small_digest, small_ns) = with_load(Small::new(), pools, load, |mut live| {
        (live.digest(DIGEST_TURNS), turn_ns(&mut live, &mut (), budget))
    });
    eprint!("summary scheduler/{}/{pools} digest={live_digest:016x}", load.name());
    if !budget.is_zero() {
        eprint!(
            " live={live_ns:.0}ns/job {:.0}ns/input small={small_ns:.0}ns/job {:.0}ns/input",
            live_ns / 4.0,
            small_ns / 4.0
        );
    }
    eprintln!();
    live_digest == expected && small_digest == expected
}

/// Keeps the last bytes of a recording.
struct Ring {
    bytes: Vec<u8>,
    at: usize,
}

impl Sink for Ring {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        if self.at + bytes.len() > self.bytes.len() {
            self.at = 0;
        }
        let room = self.bytes.get_mut(self.at..self.at + bytes.len()).ok_or(OutOfRoom)?;
        room.copy_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }
}

/// What each observer adds to a job at 8 pools.
fn summarise_observers(budget: Duration) {
    let time = |observer: &mut dyn Observer| {
        let mut observer = observer;
        with_load(LiveFleet::with_capacity(64), 8, Load::Half, |mut live| turn_ns(&mut live, &mut observer, budget))
    };
    let (placement, scheduler) = policies();
    let header = RecordingHeader { capacities: Capacities::default(), placement, scheduler, setup: b"" };
    let mut outcome = vec![0; 4_096];
    let mut recorder = FlightRecorder::new(Ring { bytes: vec![0; 1 << 20], at: 0 }, &mut outcome, &header);
    let recorder_ns =
        with_load(LiveFleet::with_capacity(64), 8, Load::Half, |mut live| turn_ns(&mut live, &mut recorder, budget));
    let rows: [(&str, f64); 6] = [
        ("none", time(&mut ())),
        ("Counters", time(&mut Counters::new())),
        ("OutcomeLog, digest alone", time(&mut OutcomeLog::new(&mut []))),
        ("FlightRecorder, events alone", recorder_ns),
        ("MetricsObserver", time(&mut MetricsObserver::new())),
        ("LogObserver, nobody listens", time(&mut LogObserver)),
    ];
    for (name, ns) in rows {
        eprintln!("summary scheduler/observer \"{name}\" {ns:.0}ns/job");
    }
}

/// Times of single inputs.
struct Worst(Vec<Duration>);

impl Worst {
    fn of(rounds: usize, mut time: impl FnMut() -> Duration) -> Self {
        let mut times: Vec<Duration> = (0..rounds).map(|_| time()).collect();
        times.sort_unstable();
        Self(times)
    }

    fn print(&self, name: &str) {
        let micros = |time: &Duration| time.as_nanos() as f64 / 1e3;
        let (least, median, most) = (&self.0[0], &self.0[self.0.len() / 2], &self.0[self.0.len() - 1]);
        eprintln!(
            "summary scheduler/worst \"{name}\" rounds={} least={:.1}us median={:.1}us largest={:.1}us",
            self.0.len(),
            micros(least),
            micros(median),
            micros(most)
        );
    }
}

fn timed<F: PoolRegistry>(live: &mut Live<'_, F>, input: &Input<'_>) -> Duration {
    let start = Instant::now();
    let answer = live.drive(black_box(input), &mut ());
    let time = start.elapsed();
    assert_eq!(answer, Answer::Done);
    time
}

/// Runs `act` with 4,096 jobs that wait for 64 full pools, beside one of another engine that is free: each has to be
/// asked.
fn with_backlog<R>(scan_limit: u32, act: impl FnOnce(Live<'_, LiveFleet>) -> R) -> R {
    let (names, mut memory) = (Names::new(64), Memory::new(room(65)));
    let (placement, mut rules) = policies();
    rules.queue.scan_limit = scan_limit;
    let fleet = LiveFleet::with_capacity(65);
    let mut live = Live::new(Scheduler::new(fleet, memory.storage(), placement, rules), &names);
    live.add_pools(SLOTS);
    let other = PoolSnapshot::new("other", "tgi", 8, 8, 1 << 40, 1 << 40);
    assert_eq!(live.drive(&Input::Snapshot(&other), &mut ()), Answer::Done);
    for _ in 0..64 * SLOTS + 4_096 {
        assert!(matches!(live.submit(&mut ()), Answer::Accepted(_)));
    }
    act(live)
}

/// The inputs that cost most.
fn summarise_worst(rounds: usize) {
    for scan_limit in [256, 4_096] {
        with_backlog(scan_limit, |mut live| {
            let snapshot = live.names.pool(0, SLOTS, 0);
            let worst = Worst::of(rounds, || timed(&mut live, &Input::Snapshot(&snapshot)));
            worst.print(&format!("snapshot, 4096 blocked jobs, 65 pools, scan limit {scan_limit}"));
        });
    }
    with_backlog(256, |mut live| {
        let (placement, rules) = policies();
        let mut turn = 0;
        let worst = Worst::of(rounds, || {
            turn += 1;
            let mut rules = rules;
            rules.queue.discipline = [Discipline::FairTenants, Discipline::EarliestDeadline][turn % 2];
            timed(&mut live, &Input::SetPolicies { placement: &placement, scheduler: &rules })
        });
        worst.print("other discipline, 4096 blocked jobs, 65 pools, scan limit 256");
    });
    let worst = Worst::of(rounds.min(50), || {
        let (names, mut memory) = (Names::new(8), Memory::new(room(8)));
        let (placement, rules) = policies();
        let fleet = LiveFleet::with_capacity(64);
        let mut live = Live::new(Scheduler::new(fleet, memory.storage(), placement, rules), &names);
        let snapshot = names.pool(0, 1_024, 1_024);
        assert_eq!(live.drive(&Input::Snapshot(&snapshot), &mut ()), Answer::Done);
        for _ in 0..1_024 {
            assert!(matches!(live.submit(&mut ()), Answer::Accepted(_)));
        }
        assert_eq!(live.running(), 1_024);
        timed(&mut live, &Input::RemovePool { id: snapshot.id, replica_id: "" })
    });
    worst.print("removal of a pool with 1024 leases");
}

fn main() {
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    let mut criterion = Criterion::default().configure_from_args();
    benchmark(&mut criterion);
    criterion.final_summary();
    if asked("--list") {
        return;
    }
    let is_test = asked("--test");
    let budget = if is_test { Duration::ZERO } else { Duration::from_secs(1) };
    let mut changed = 0;
    for (load, digests) in DIGESTS {
        for (pools, expected) in SIZES.into_iter().zip(digests) {
            changed += usize::from(!summarise(pools, load, expected, budget));
        }
    }
    if !is_test {
        summarise_observers(budget);
    }
    summarise_worst(if is_test { 1 } else { 200 });
    assert!(
        changed == 0,
        "the outcomes of {changed} loads changed: a bug, or another load, form of events or SEMANTICS_VERSION, and then \
         DIGESTS must change with it"
    );
}
