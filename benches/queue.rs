//! How long a job's way through the queue takes, with 1 to 100,000 jobs waiting.
//!
//! `cargo bench --bench queue`, or `cargo bench --bench queue -- --test` for one pass with all checks. The lines that
//! begin with `summary` on stderr hold the digest of the ids served beside the least times; a run fails when a digest is
//! not the recorded one. How to read the figures: docs/benchmarks.md.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use orchestrator_core::Priority;
use orchestrator_core::hash::ContentHasher;
use orchestrator_core::scheduler::{
    Arrival, Discipline, Queue, QueueRules, QueueStorage, SchedulerPolicy, TenantSlot, WaitingSlot,
};
use orchestrator_core::storage::Ticket;

const SIZES: [usize; 5] = [1, 64, 1_024, 10_000, 100_000];
const TENANTS: u64 = 10_000;
/// Jobs that are served for the digest, and canceled or exchanged in one repetition.
const STEPS: usize = 1_024;
/// Entries of the queue that is drained: as many as in the peer's benchmark.
const DRAINED: usize = 4_096;
/// Deadlines are up to so long after the arrival; a job waits about as long.
const LONGEST_DEADLINE_US: u64 = 10_000_000;

/// The digests of the ids served: they change with the generator and with `SEMANTICS_VERSION`, never with a faster
/// implementation.
const DIGESTS: [(Discipline, [u64; SIZES.len()]); 3] = [
    (
        Discipline::Fifo,
        [
            0x43fe_262d_ace8_7068,
            0x5ba5_5ad7_32dd_bc85,
            0x7bea_2209_7828_15d3,
            0xa239_df33_e55d_7b36,
            0x8148_e4ac_1a99_6bc2,
        ],
    ),
    (
        Discipline::EarliestDeadline,
        [
            0x43fe_262d_ace8_7068,
            0x0fbe_8bc5_2091_1e5e,
            0xf0de_a4c6_73de_8d82,
            0x0db7_4522_7874_d1a7,
            0xd91e_9c75_4bc0_4613,
        ],
    ),
    (
        Discipline::FairTenants,
        [
            0xeaf5_d697_64ff_5096,
            0xa5ce_5ba6_e36d_2cb6,
            0xfd8f_71d6_21a2_e547,
            0xb83d_568b_4ba1_8341,
            0x4fbe_6867_e1f7_79e6,
        ],
    ),
];

/// Bytes for the longest id and its length.
const ID_STRIDE: usize = 65;

/// Memory that a queue works in.
struct Storage {
    jobs: Vec<WaitingSlot<u64>>,
    buckets: Vec<u32>,
    ids: Vec<u8>,
    job_tenants: Vec<u8>,
    tenants: Vec<TenantSlot>,
    tenant_buckets: Vec<u32>,
    tenant_ids: Vec<u8>,
}

impl Storage {
    fn new(jobs: usize, discipline: Discipline) -> Self {
        let tenants = if discipline == Discipline::FairTenants { jobs.min(TENANTS as usize) } else { 0 };
        Self {
            jobs: vec![WaitingSlot::EMPTY; jobs],
            buckets: vec![0; jobs],
            ids: vec![0; jobs * ID_STRIDE],
            job_tenants: vec![0; jobs * ID_STRIDE],
            tenants: vec![TenantSlot::EMPTY; tenants],
            tenant_buckets: vec![0; tenants],
            tenant_ids: vec![0; tenants * ID_STRIDE],
        }
    }

    fn queue(&mut self, discipline: Discipline) -> Queue<'_, u64> {
        let rules = QueueRules { discipline, ..SchedulerPolicy::default().queue };
        let Self { jobs, buckets, ids, job_tenants, tenants, tenant_buckets, tenant_ids } = self;
        let storage = QueueStorage { jobs, buckets, ids, job_tenants, tenants, tenant_buckets, tenant_ids };
        Queue::new(storage, rules)
    }
}

/// SplitMix64's finaliser: the same jobs on every machine.
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The n-th job: an id as long as a UUID, every fourth interactive, 256 to 8,447 tokens, a deadline, a tenant.
struct Job {
    id: String,
    tenant: String,
    class: Priority,
    tokens: u32,
    deadline_us: u64,
}

impl Job {
    fn new(number: u64) -> Self {
        let random = mix(number);
        Self {
            id: format!("{random:016x}-job-{number:015x}"),
            tenant: format!("tenant-{:04}", mix(random) % TENANTS),
            class: if random.is_multiple_of(4) { Priority::Interactive } else { Priority::Batch },
            tokens: 256 + (random >> 20) as u32 % 8_192,
            deadline_us: (random >> 40) % LONGEST_DEADLINE_US,
        }
    }

    fn arrival(&self, class: Priority, now_us: u64) -> Arrival<'_> {
        let Self { id, tenant, tokens, deadline_us, .. } = self;
        Arrival { id, class, tokens: *tokens, deadline_at_us: Some(now_us + deadline_us), tenant }
    }
}

fn enqueue(queue: &mut Queue<'_, u64>, job: &Job, class: Priority, number: usize, now_us: u64) -> Ticket {
    queue.enqueue(&job.arrival(class, now_us), number as u64, now_us).expect("there is room for one more").ticket
}

/// A queue in which `waiting` jobs wait, and the jobs that come next.
struct World {
    discipline: Discipline,
    waiting: usize,
    jobs: Vec<Job>,
}

impl World {
    fn new(discipline: Discipline, waiting: usize) -> Self {
        let jobs = (0..(waiting + 4 * STEPS) as u64).map(Job::new).collect();
        Self { discipline, waiting, jobs }
    }

    /// One more slot than jobs waiting: a newcomer comes before another leaves.
    fn storage(&self) -> Storage {
        Storage::new(self.waiting + 1, self.discipline)
    }

    /// The time of the n-th arrival.
    fn time_us(&self, number: usize) -> u64 {
        number as u64 * (LONGEST_DEADLINE_US / self.waiting as u64)
    }

    fn filled<'a>(&self, storage: &'a mut Storage, class: impl Fn(&Job) -> Priority) -> Queue<'a, u64> {
        let mut queue = storage.queue(self.discipline);
        for (number, job) in self.jobs[..self.waiting].iter().enumerate() {
            enqueue(&mut queue, job, class(job), number, self.time_us(number));
        }
        queue
    }

    /// The ids in the order of their service, with a newcomer before each.
    fn digest(&self) -> u64 {
        let mut storage = self.storage();
        let mut queue = self.filled(&mut storage, |job| job.class);
        let mut hasher = ContentHasher::new("queue-bench");
        for (number, job) in self.jobs.iter().enumerate().skip(self.waiting) {
            enqueue(&mut queue, job, job.class, number, self.time_us(number));
            hasher.text(&queue.pop(0).expect("one waits at least").id);
        }
        assert_eq!(queue.len() as usize, self.waiting);
        while let Some(departed) = queue.pop(0) {
            hasher.text(&departed.id);
        }
        hasher.finish()
    }

    fn expected_digest(&self) -> Option<u64> {
        let size = SIZES.iter().position(|&size| size == self.waiting)?;
        let (_, digests) = DIGESTS.iter().find(|(discipline, _)| *discipline == self.discipline)?;
        digests.get(size).copied()
    }

    /// Exchanges one job by enqueueing the next and popping the first, over and over; in nanoseconds per exchange. All
    /// are of one class: with strict priority only interactive newcomers would come and go in the end.
    fn exchange(&self, budget: Duration) -> Vec<f64> {
        let mut storage = self.storage();
        let mut queue = self.filled(&mut storage, |_| Priority::Batch);
        let mut gone: VecDeque<usize> = (self.waiting..self.jobs.len()).collect();
        let mut turn = self.waiting;
        repeat(budget, || {
            let number = gone.pop_front().expect("more jobs than slots");
            enqueue(&mut queue, &self.jobs[number], Priority::Batch, number, self.time_us(turn));
            turn += 1;
            gone.push_back(queue.pop(0).expect("one waits at least").payload as usize);
        })
    }

    /// The same, but a job at random is canceled instead of the first popped.
    fn exchange_at_random(&self, budget: Duration) -> Vec<f64> {
        let mut storage = self.storage();
        let mut queue = self.filled(&mut storage, |_| Priority::Batch);
        let mut tickets: Vec<Ticket> =
            self.jobs[..self.waiting].iter().map(|job| queue.find(&job.id).expect("it waits")).collect();
        let mut gone: VecDeque<usize> = (self.waiting..self.jobs.len()).collect();
        let mut turn = self.waiting;
        repeat(budget, || {
            let number = gone.pop_front().expect("more jobs than slots");
            let ticket = enqueue(&mut queue, &self.jobs[number], Priority::Batch, number, self.time_us(turn));
            turn += 1;
            let place = mix(turn as u64) as usize % tickets.len();
            let canceled = queue.cancel(std::mem::replace(&mut tickets[place], ticket)).expect("it waits");
            gone.push_back(canceled.payload as usize);
        })
    }
}

/// Repeats a step in batches for the time of `budget`; the mean time of each batch, in nanoseconds.
fn repeat(budget: Duration, mut step: impl FnMut()) -> Vec<f64> {
    let end = Instant::now() + budget;
    let mut means = Vec::new();
    loop {
        let start = Instant::now();
        for _ in 0..STEPS {
            step();
        }
        means.push(start.elapsed().as_nanos() as f64 / STEPS as f64);
        if Instant::now() >= end {
            return means;
        }
    }
}

fn least_and_median(mut samples: Vec<f64>) -> (f64, f64) {
    samples.sort_by(f64::total_cmp);
    (samples[0], samples[samples.len() / 2])
}

/// What one call of `served` takes on a full queue of batch jobs, spread over `tenants`, in which nothing was served
/// yet; filling it is not measured.
fn on_full_queues(
    iterations: u64,
    (discipline, requests, tenants): (Discipline, usize, usize),
    served: impl Fn(&mut Queue<'_, u64>),
) -> Duration {
    let jobs: Vec<Job> = (0..requests)
        .map(|number| {
            let tenant = format!("tenant-{}", number % tenants);
            Job { tenant, ..Job::new(number as u64) }
        })
        .collect();
    let mut storages: Vec<Storage> = (0..iterations.min(10)).map(|_| Storage::new(requests, discipline)).collect();
    let mut elapsed = Duration::ZERO;
    let mut left = iterations as usize;
    while left > 0 {
        let mut queues: Vec<Queue<'_, u64>> =
            storages.iter_mut().take(left).map(|storage| storage.queue(discipline)).collect();
        for queue in &mut queues {
            for (number, job) in jobs.iter().enumerate() {
                enqueue(queue, job, Priority::Batch, number, number as u64);
            }
        }
        let start = Instant::now();
        for queue in &mut queues {
            served(queue);
        }
        elapsed += start.elapsed();
        left -= queues.len();
    }
    elapsed
}

fn drain(queue: &mut Queue<'_, u64>) {
    while black_box(queue.pop(0)).is_some() {}
}

/// A pass of which the first job cannot be placed, and the second is served; the next pass begins.
fn pass_over_one(queue: &mut Queue<'_, u64>) {
    queue.begin_pass(0);
    black_box(queue.next_in_pass());
    let second = queue.next_in_pass();
    black_box(second.and_then(|ticket| queue.serve(ticket)));
    queue.begin_pass(0);
}

/// What the peer's benchmark measures: a pop or a pass with one job for each of many tenants; and drains.
fn benchmark_full_queues(criterion: &mut Criterion) {
    let fair = Discipline::FairTenants;
    for (name, served) in [
        ("pop_once", (|queue| drop(black_box(queue.pop(0)))) as fn(&mut Queue<'_, u64>)),
        ("pass_over_one", pass_over_one),
    ] {
        let mut group = criterion.benchmark_group(format!("queue/{name}"));
        group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
        for tenants in [1, 1_024, 10_000] {
            group.bench_function(BenchmarkId::from_parameter(tenants), |bencher| {
                bencher.iter_custom(|iterations| on_full_queues(iterations, (fair, tenants, tenants), served));
            });
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("queue/drain");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (name, case) in [
        ("shared_fifo", (Discipline::Fifo, DRAINED, 1)),
        ("shared_fair", (fair, DRAINED, 1)),
        ("512_tenants", (fair, DRAINED, 512)),
        ("one_per_tenant", (fair, 1_024, 1_024)),
    ] {
        group.throughput(Throughput::Elements(case.1 as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| on_full_queues(iterations, case, drain));
        });
    }
    group.finish();
}

fn main() {
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    let mut criterion = Criterion::default().configure_from_args();
    benchmark_full_queues(&mut criterion);
    criterion.final_summary();
    if asked("--list") {
        return;
    }
    let budget = if asked("--test") { Duration::ZERO } else { Duration::from_secs(1) };
    let mut changed = 0;
    for (discipline, _) in DIGESTS {
        for waiting in SIZES {
            let world = World::new(discipline, waiting);
            let digest = world.digest();
            changed += u32::from(world.expected_digest() != Some(digest));
            let head = format!("summary queue/{}/{waiting} digest={digest:016x}", discipline.name());
            let (exchanges, cancels) = (world.exchange(budget), world.exchange_at_random(budget));
            if budget.is_zero() {
                eprintln!("{head}");
                continue;
            }
            let (exchange, exchange_median) = least_and_median(exchanges);
            let (cancel, cancel_median) = least_and_median(cancels);
            eprintln!(
                "{head} enqueue+pop={exchange:.0}ns (median {exchange_median:.0}) \
                 enqueue+cancel={cancel:.0}ns (median {cancel_median:.0})"
            );
        }
    }
    assert!(
        changed == 0,
        "the order of service of {changed} queues changed: a bug, or another generator or SEMANTICS_VERSION, and then \
         DIGESTS must change with it"
    );
}
