//! How long one decision takes, over fleets of 8 to 100,000 pools, and what share of the machine's read rate that is.
//!
//! `cargo bench`, or `cargo bench -- --test` for one pass with all checks. The lines that begin with `summary` on
//! stderr hold, beside the time, the digest of the decisions: a time without its digest says nothing, because a wrong
//! answer can be arbitrarily fast. How to read the figures: docs/benchmarks.md.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use orchestrator_core::hash::ContentHasher;
use orchestrator_core::rows::JobQuery;
use orchestrator_core::{PlacementDecision, PlacementInput, Policy, decide, explain, rank_best};

mod fleet;

use fleet::{Fleet, Job, Mix};

const SIZES: [usize; 5] = [8, 100, 1_000, 10_000, 100_000];
/// Each size is measured over these many jobs in turn: with one job alone, branch prediction would learn the fleet.
const JOBS: u64 = 256;

/// The digests of all decisions: they change with the generator in `fleet` and with `SEMANTICS_VERSION`, never with a
/// faster implementation.
const DIGESTS: [(Mix, [u64; SIZES.len()]); 3] = [
    (
        Mix::Mixed,
        [
            0xf921_0a3b_a830_a67f,
            0x155c_1889_eadc_ca5d,
            0x4cbf_22a4_c013_83df,
            0x6176_f3b9_7bdb_8b23,
            0xe970_5fa4_862d_b50e,
        ],
    ),
    (
        Mix::Open,
        [
            0x6783_3fe7_3e19_81ba,
            0x654e_3ad2_908b_0e01,
            0x0f0c_bde7_0054_3461,
            0x121d_74e7_041d_1b7b,
            0xb308_37e2_d1ee_4c9e,
        ],
    ),
    (
        Mix::Plain,
        [
            0xac37_c450_4f0d_62d9,
            0xeb6a_d7d7_fb7d_41fc,
            0x918b_75c8_2e83_b039,
            0x4369_1070_c96c_45d2,
            0xb55b_0f2f_1edd_a367,
        ],
    ),
];

/// A fleet with jobs looked up in it.
struct World {
    mix: Mix,
    fleet: Fleet,
    jobs: Vec<Job>,
    policy: Policy,
}

impl World {
    fn new(pools: usize, mix: Mix) -> Self {
        let (fleet, policy) = (Fleet::new(pools, mix), Policy::default());
        let jobs = (0..JOBS).map(|index| fleet::job(index, &fleet, mix, &policy)).collect();
        Self { mix, fleet, jobs, policy }
    }

    fn name(&self) -> &'static str {
        match self.mix {
            Mix::Mixed => "mixed",
            Mix::Open => "open",
            Mix::Plain => "plain",
        }
    }

    fn pools(&self) -> usize {
        self.fleet.table().len()
    }

    fn queries(&self) -> Vec<JobQuery<'_>> {
        self.jobs.iter().map(|job| job.resolved.query(job.session)).collect()
    }

    fn input<'a>(&'a self, query: &JobQuery<'a>) -> PlacementInput<'a> {
        PlacementInput::new(self.fleet.table(), *query, &self.policy).expect("the generator keeps the parts together")
    }

    /// The digest of the decisions of all jobs.
    fn digest(&self) -> u64 {
        let mut hasher = ContentHasher::new("bench");
        for query in self.queries() {
            match decide(&self.input(&query)) {
                PlacementDecision::Assigned(assignment) => {
                    hasher.byte(0);
                    hasher.int(assignment.rank.into());
                    hasher.int(assignment.devices.bits());
                    hasher.int(assignment.start_us);
                    hasher.optional_int(assignment.end_us);
                    hasher.byte(assignment.warm.into());
                    hasher.byte(assignment.fallback.into());
                }
                PlacementDecision::NoCapacity { reason, headline, code } => {
                    hasher.byte(1);
                    hasher.text(reason.name());
                    hasher.optional_text(headline.map(|rejection| rejection.detail()));
                    hasher.text(code.name());
                }
            }
        }
        hasher.finish()
    }

    /// The digest that the decisions must have, for the sizes that have one.
    fn expected_digest(&self) -> Option<u64> {
        let size = SIZES.iter().position(|&size| size == self.pools())?;
        let (_, digests) = DIGESTS.iter().find(|(mix, _)| *mix == self.mix)?;
        digests.get(size).copied()
    }

    /// Checks that the other entry points agree with `decide`; returns the share of feasible pools.
    fn check(&self) -> f64 {
        let mut feasible = 0;
        for query in self.queries() {
            let input = self.input(&query);
            let explanation = explain(&input);
            feasible += u64::from(explanation.feasible);
            let mut best = [None; 1];
            rank_best(&input, &mut best);
            assert_eq!(best[0].as_ref(), decide(&input).assignment());
            assert_eq!(explanation.winner.map(|winner| winner.parts.rank), best[0].map(|winner| winner.rank));
        }
        feasible as f64 / (JOBS as f64 * self.pools() as f64)
    }
}

fn benchmark(criterion: &mut Criterion, worlds: &[World]) {
    let mut group = criterion.benchmark_group("decide");
    group.sample_size(30).measurement_time(Duration::from_secs(3));
    for world in worlds {
        group.throughput(Throughput::Elements(world.pools() as u64));
        let queries = world.queries();
        group.bench_function(BenchmarkId::new(world.name(), world.pools()), |bencher| {
            let mut turn = queries.iter().cycle();
            bencher.iter(|| turn.next().map(|query| decide(&world.input(black_box(query)))));
        });
    }
    group.finish();

    let Some(world) = worlds.iter().find(|world| world.pools() == 1_000) else {
        return;
    };
    let queries = world.queries();
    let mut group = criterion.benchmark_group("beside");
    group.sample_size(30).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(world.pools() as u64));
    group.bench_function("explain/1000", |bencher| {
        let mut turn = queries.iter().cycle();
        bencher.iter(|| turn.next().map(|query| explain(&world.input(black_box(query)))));
    });
    group.bench_function("rank_best_8/1000", |bencher| {
        let mut turn = queries.iter().cycle();
        bencher.iter(|| {
            let mut best = [None; 8];
            turn.next().map(|query| rank_best(&world.input(black_box(query)), &mut best));
            best
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("validate_and_resolve", |bencher| {
        fleet::with_spec(0, world.pools(), world.mix, |spec| {
            bencher.iter(|| {
                let valid = black_box(spec).validate(&world.policy, None);
                valid.map(|valid| valid.resolve(&world.fleet))
            });
        });
    });
    group.finish();
}

/// The least time of one call of `pass` over repetitions that take `budget` in all, in nanoseconds.
fn least_ns(budget: Duration, mut pass: impl FnMut()) -> f64 {
    let start = Instant::now();
    pass();
    let once = start.elapsed().max(Duration::from_nanos(20));
    let batch = (Duration::from_millis(2).as_nanos() / once.as_nanos()).max(1) as u32;
    let mut least = f64::INFINITY;
    let end = Instant::now() + budget;
    while Instant::now() < end {
        let start = Instant::now();
        for _ in 0..batch {
            pass();
        }
        least = least.min(start.elapsed().as_nanos() as f64 / f64::from(batch));
    }
    least
}

/// Sums `words`, eight sums side by side: as fast as one core reads.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; 8];
    let (blocks, rest) = words.as_chunks::<8>();
    for block in blocks {
        for (sum, word) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().chain(rest).fold(0, |all, word| all.wrapping_add(*word))
}

/// Prints the summary of one world; returns whether its decisions are the expected ones.
fn summarise(world: &World, budget: Duration) -> bool {
    let (digest, feasible) = (world.digest(), world.check());
    let is_expected = world.expected_digest() == Some(digest);
    let pools = world.pools();
    let bytes = world.fleet.bytes();
    let head = format!(
        "summary decide/{}/{pools} digest={digest:016x} feasible={:.1}% table={:.0}B/pool",
        world.name(),
        feasible * 100.0,
        bytes as f64 / pools as f64
    );
    if budget.is_zero() {
        eprintln!("{head}");
        return is_expected;
    }
    let queries = world.queries();
    // A pass is every job once.
    let decision_ns = least_ns(budget, || {
        for query in &queries {
            black_box(decide(&world.input(black_box(query))));
        }
    }) / JOBS as f64;
    let words: Vec<u64> = (0..bytes.div_ceil(8) as u64).collect();
    let sum_ns = least_ns(budget / 2, || {
        black_box(sum(black_box(&words)));
    });
    let rate = bytes as f64 / decision_ns;
    let machine = bytes as f64 / sum_ns;
    eprintln!(
        "{head} decision={decision_ns:.0}ns pool={:.2}ns table/time={rate:.1}GB/s machine={machine:.1}GB/s share={:.0}%",
        decision_ns / pools as f64,
        rate / machine * 100.0,
    );
    is_expected
}

fn main() {
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    let worlds: Vec<World> = [Mix::Mixed, Mix::Open, Mix::Plain]
        .into_iter()
        .flat_map(|mix| SIZES.map(|size| World::new(size, mix)))
        .collect();
    let mut criterion = Criterion::default().configure_from_args();
    benchmark(&mut criterion, &worlds);
    criterion.final_summary();
    if asked("--list") {
        return;
    }
    let budget = if asked("--test") { Duration::ZERO } else { Duration::from_secs(1) };
    let changed = worlds.iter().filter(|world| !summarise(world, budget)).count();
    assert!(
        changed == 0,
        "the decisions of {changed} fleets changed: a bug, or another generator or SEMANTICS_VERSION, and then DIGESTS \
         must change with it"
    );
}
