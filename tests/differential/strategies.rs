//! Random worlds, rich in ties and near misses, over every field of the specification.
//!
//! A world is read off *tapes* of bytes: each byte picks one of a few values, the plainest half of the time. The pools
//! of a fleet are siblings: they read one tape, each with a few bytes changed, so that most of their facts tie and what
//! is left to decide lies anywhere in the key. One reading serves both sources: [`world`] lets proptest draw the tapes,
//! so that a failure shrinks to fewer pools, jobs and changes and, byte by byte towards 0, to plain values;
//! [`random_world`] fills them from a small generator, for millions of cases.
//!
//! Every row is valid on its own, and no two pools share a name: refusals are tested elsewhere.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

use super::reference::{RefDevice, RefJob, RefKvHint, RefMode, RefOrder, RefPolicy, RefPool, RefPriority, RefWeights};
use super::worlds::{Label, World};

const POOLS_MAX: usize = 12;
const JOBS_MAX: usize = 8;
/// The most bytes in which a pool differs from its fleet's tape.
const CHANGES_MAX: usize = 16;
/// Enough bytes for every choice of a pool, a job or a policy; the unit tests hold it.
const TAPE_BYTES: usize = 85;

/// The largest time below 2^46 µs, in milliseconds.
const TIME_LIMIT_MS: f64 = 70_368_744_177.663;
const TOKENS_LIMIT: u64 = (1 << 24) - 1;
const BYTES_LIMIT: u64 = (1 << 48) - 1;
const SLOTS_LIMIT: u64 = (1 << 15) - 1;

// Few names, so that rows meet; some differ only in case, or sort differently by bytes than by letters.
const POOL_IDS: &[&str] = &["p", "q", "P", "p-1", "é"];
const REPLICA_IDS: &[&str] = &["", "r", "r2", "0"];
const ENGINES: &[&str] = &["vllm", "vllm", "vllm", "vllm", "vllm", "vLLM", "VLLM", "tgi"];
const MODELS: &[&str] = &["m", "m", "m", "n", "M"];
const SESSIONS: &[&str] = &["s", "t", "u"];
const QUANTIZATIONS: &[&str] = &["q4", "Q4", "fp8"];
const EXTENSIONS: &[&str] = &["lora", "vision"];
const DIGESTS: &[&str] = &["d1", "d2"];
const VERSIONS: &[&str] = &["v1", "v1", "v2"];
const CAPABILITIES: &[&str] = &["8.0", "8", "9", "9.0", "8.9", "10.0", "7.5"];
const LABELS: &[(&str, &str)] = &[("zone", "a"), ("zone", "b"), ("tier", "a")];

/// Ties within a bucket of 1,024 µs and just outside it, sums that meet (2 + 3 = 5), and rarely the limit.
const TIMES_MS: &[f64] =
    &[0.0, 5.0, 2.0, 3.0, 5.0, 5.5, 10.0, 20.0, 1.023_5, 1.024, 0.000_5, -0.0, TIME_LIMIT_MS, TIME_LIMIT_MS - 5.0];
/// 0 and 0.238 are unknown (q10 has no room for them), 0.239 is the slowest known rate, the last is the fastest.
const RATES: &[f64] = &[100.0, 50.0, 100.0, 200.0, 100.001, 1000.0, 0.0, 0.238, 0.239, 4_294_967.295];
const TOKENS: &[u64] = &[10, 0, 20, 5, 1, 10, 30, 9, 11, 20, 300, TOKENS_LIMIT];
const CONTEXTS: &[u64] = &[300, 266, 0, 20, 1000, 310, TOKENS_LIMIT, 265];
const POOL_BYTES: &[u64] = &[1000, 800, 600, 1000, 900, 700, 500, 300, 100, 0, BYTES_LIMIT];
const NEED_BYTES: &[u64] = &[100, 0, 200, 101, 1, 50, 300, 100, 400, 200, 700, BYTES_LIMIT];
const DEVICE_BYTES: &[u64] = &[500, 300, 200, 100, 400, 50, 0];
/// The ids a pool's devices are numbered from.
const MASK_STARTS: &[u8] = &[0, 0, 1, 2, 8];
const WEIGHTS: &[f64] = &[1.0, 1.0, 1.0, 0.0, 0.5, 2.0, 16.0, 0.003_906_25, 0.3];

/// A reader of choices; past its end every choice is the first.
struct Tape<'t> {
    bytes: &'t [u8],
    read: usize,
}

impl<'t> Tape<'t> {
    fn new(bytes: &'t [u8]) -> Self {
        Self { bytes, read: 0 }
    }

    /// A number below `count`, and 0 for at least every second byte.
    fn below(&mut self, count: usize) -> usize {
        let byte = self.bytes.get(self.read).copied().unwrap_or(0);
        self.read += 1;
        usize::from(byte.saturating_sub(127)) % count
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    fn text(&mut self, values: &[&str]) -> String {
        self.pick(values).to_owned()
    }

    /// True once in `2 * rarity` times; a plain world has it false.
    fn rarely(&mut self, rarity: usize) -> bool {
        self.below(rarity) == rarity - 1
    }

    /// A value once in `2 * rarity` times. The value is read in any case, so that a shrunk choice moves no other.
    fn optional<T>(&mut self, rarity: usize, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let present = self.rarely(rarity);
        let value = read(self);
        present.then_some(value)
    }

    fn optional_text(&mut self, rarity: usize, values: &[&str]) -> Option<String> {
        self.optional(rarity, |tape| tape.pick(values)).map(str::to_owned)
    }

    /// One or two of the values, a repeat allowed, once in `2 * rarity` times; else none.
    fn list<T: Copy>(&mut self, rarity: usize, values: &[T]) -> Vec<T> {
        let count = if self.rarely(rarity) { 2 } else { 0 };
        let both = [self.pick(values), self.pick(values)];
        let single = self.rarely(2);
        both.into_iter().take(count).skip(usize::from(single)).collect()
    }

    fn names(&mut self, rarity: usize, values: &[&str]) -> Vec<String> {
        self.list(rarity, values).into_iter().map(str::to_owned).collect()
    }

    fn labels(&mut self, rarity: usize) -> Vec<(String, String)> {
        let mut labels = self.list(rarity, LABELS);
        // An object has each key once.
        labels.dedup_by_key(|(key, _)| *key);
        labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// A pool; `name` picks its id and its replica, and is no part of the tape that siblings share.
fn read_pool(tape: &mut Tape<'_>, name: u8) -> RefPool {
    let name = usize::from(name);
    let mut pool = RefPool::minimal(POOL_IDS[name % POOL_IDS.len()], tape.pick(ENGINES));
    pool.replica_id = REPLICA_IDS[name / POOL_IDS.len() % REPLICA_IDS.len()].to_owned();
    pool.slots_total = tape.pick(&[4, 4, 3, 2, 8, 1, SLOTS_LIMIT]);
    pool.slots_free = tape.pick(&[2, 3, 4, 1, 2, 3, 0, SLOTS_LIMIT]);
    pool.vram_total_bytes = tape.pick(POOL_BYTES);
    pool.vram_free_bytes = tape.pick(POOL_BYTES);
    read_speed(tape, &mut pool);
    read_support(tape, &mut pool);
    pool.labels = tape.labels(2);
    pool.warm = read_warm_sessions(tape);
    pool.ready = !tape.rarely(16);
    pool.draining = tape.rarely(16);
    // Last, because their number moves what follows on the tape.
    read_devices(tape, &mut pool);
    pool
}

fn read_speed(tape: &mut Tape<'_>, pool: &mut RefPool) {
    pool.perf_tokens_per_s = Some(tape.pick(RATES));
    pool.first_token_ms = Some(tape.pick(TIMES_MS));
    // Mostly known, so the rare case is the unknown one.
    if tape.rarely(6) {
        pool.perf_tokens_per_s = None;
    }
    if tape.rarely(6) {
        pool.first_token_ms = None;
    }
    pool.prefill_tokens_per_s = tape.optional(3, |tape| tape.pick(RATES));
    pool.admission_latency_ms = tape.optional(3, |tape| tape.pick(TIMES_MS));
    pool.model_load_ms = tape.optional(2, |tape| tape.pick(TIMES_MS));
    pool.age_ms = tape.optional(4, |tape| tape.pick(&[0.0, 30_000.0, 5.0, 30_000.001]));
    pool.queue_depth = tape.pick(&[0, 1, 7, u64::from(u32::MAX)]);
}

fn read_support(tape: &mut Tape<'_>, pool: &mut RefPool) {
    pool.engine_version = tape.optional_text(2, VERSIONS);
    pool.sampler_profile_version = tape.optional_text(2, VERSIONS);
    pool.compute_capability = tape.optional_text(2, CAPABILITIES);
    pool.min_compute_cap = tape.optional_text(8, CAPABILITIES);
    pool.quantizations = tape.names(2, QUANTIZATIONS);
    pool.extensions = tape.names(2, EXTENSIONS);
    pool.model_digests = tape.names(2, DIGESTS);
    pool.models = tape.optional(6, |tape| tape.names(2, MODELS));
    pool.resident = tape.optional(2, |tape| tape.names(2, MODELS));
    pool.ctx_max = tape.optional(3, |tape| tape.pick(CONTEXTS));
    // Sixty-four resident models: one more is not recorded (COMMIT-4).
    if tape.rarely(32) {
        pool.resident = Some((0..64).map(|number| format!("full-{number}")).collect());
    }
}

/// Devices and a mask that fits them; a mask alone may name any number.
fn read_devices(tape: &mut Tape<'_>, pool: &mut RefPool) {
    let count = tape.pick(&[0, 0, 2, 1, 3, 4, 2]);
    let mut read_device = || RefDevice {
        vram_total_bytes: tape.pick(DEVICE_BYTES),
        vram_free_bytes: tape.pick(DEVICE_BYTES),
        compute_capability: tape.optional_text(4, CAPABILITIES),
    };
    pool.devices = (0..count).map(|_| read_device()).collect();
    let start = tape.pick(MASK_STARTS);
    let step = tape.pick(&[1, 2]);
    let alone = tape.pick(&[2, 1, 3]);
    let ids: Vec<u8> = (0..if count == 0 { alone } else { count }).map(|index| start + step * index).collect();
    let style = tape.below(4);
    pool.device_mask = tape.rarely(2).then(|| spell_mask(style, &ids));
}

/// One of the spellings of UNIT-6.
fn spell_mask(style: usize, ids: &[u8]) -> String {
    let mut elements: Vec<String> = ids.iter().map(u8::to_string).collect();
    match style {
        0 => elements.join(","),
        1 => {
            elements.reverse();
            elements.join(" , ")
        }
        2 => format!("GPU{}", elements.join(", gpu")),
        _ => format!(" gPu{} ", elements.join(",")),
    }
}

/// Up to three sessions, each once.
fn read_warm_sessions(tape: &mut Tape<'_>) -> Vec<(String, u64)> {
    let mut warm = Vec::new();
    for session in SESSIONS {
        let tokens = tape.optional(2, |tape| tape.pick(TOKENS));
        warm.extend(tokens.map(|tokens| ((*session).to_owned(), tokens)));
    }
    warm
}

fn read_job(tape: &mut Tape<'_>, number: usize) -> RefJob {
    let mut job = RefJob::minimal(&format!("job-{number}"), tape.pick(&["vllm", "VLLM"]), tape.pick(MODELS));
    job.prompt_tokens = tape.pick(TOKENS);
    job.expected_tokens = tape.optional(2, |tape| tape.pick(TOKENS));
    job.max_tokens = tape.optional(3, |tape| tape.pick(TOKENS));
    job.required_ctx = tape.optional(10, |tape| tape.pick(CONTEXTS));
    job.est_kv_bytes = tape.optional(2, |tape| tape.pick(NEED_BYTES));
    job.session_id = tape.optional_text(2, SESSIONS);
    job.kv_hint = tape.optional(3, |tape| tape.pick(&[RefKvHint::Reuse, RefKvHint::Cold]));
    read_requirements(tape, &mut job);
    read_placement(tape, &mut job);
    read_inert_fields(tape, &mut job);
    job
}

fn read_requirements(tape: &mut Tape<'_>, job: &mut RefJob) {
    job.min_vram_bytes = tape.pick(NEED_BYTES);
    if tape.rarely(2) {
        job.min_vram_bytes = 0;
    }
    job.quantization = tape.optional_text(16, QUANTIZATIONS);
    job.min_compute_cap = tape.optional_text(8, CAPABILITIES);
    job.device_mask = read_mask(tape, 16);
    job.required_extensions = tape.names(20, EXTENSIONS);
    job.split_degree = tape.optional(4, |tape| tape.pick(&[1, 2, 3, 2, 4, 16]));
    job.sampler_profile_version = tape.optional_text(20, VERSIONS);
    job.engine_version = tape.optional_text(20, VERSIONS);
    job.model_digest = tape.optional_text(20, DIGESTS);
}

fn read_mask(tape: &mut Tape<'_>, rarity: usize) -> Option<String> {
    let masks: [&[u8]; 5] = [&[0, 1, 2, 3], &[0, 1], &[1, 2], &[0, 2, 4, 6], &[1]];
    let (present, ids, style) = (tape.rarely(rarity), tape.pick(&masks), tape.below(4));
    present.then(|| spell_mask(style, ids))
}

/// A mode that goes with its lists (JOB-4), said outright half of the time; hints may name pools that no fleet has.
fn read_placement(tape: &mut Tape<'_>, job: &mut RefJob) {
    let hint = |tape: &mut Tape<'_>| {
        if tape.rarely(8) { "ghost".to_owned() } else { tape.text(POOL_IDS) }
    };
    let mode = tape.pick(&[RefMode::Auto, RefMode::Auto, RefMode::Prefer, RefMode::Prefer, RefMode::Pin]);
    let (first, second) = (hint(tape), hint(tape));
    match mode {
        RefMode::Auto => {}
        RefMode::Pin => job.pin_pool_id = Some(first),
        RefMode::Prefer => job.prefer_pools = vec![first, second],
    }
    job.mode = tape.optional(2, |_| mode);
    job.avoid_pools = tape.optional(5, hint).into_iter().collect();
    job.require_device_mask = read_mask(tape, 16);
    job.allow_fallback = !tape.rarely(4);
    job.require_labels = tape.labels(16);
}

/// JOB-6: none of these may change a decision.
fn read_inert_fields(tape: &mut Tape<'_>, job: &mut RefJob) {
    job.priority = tape.optional(2, |tape| tape.pick(&[RefPriority::Batch, RefPriority::Interactive]));
    job.deadline_ms = tape.optional(3, |tape| tape.pick(TIMES_MS));
    job.seed = tape.optional(3, |tape| tape.pick(&[0, -1, i64::MIN, i64::MAX]));
    job.budget_tokens = tape.optional(3, |tape| tape.pick(TOKENS));
    job.budget_time_ms = tape.optional(3, |tape| tape.pick(TIMES_MS));
    job.budget_cost_micros = tape.optional(3, |tape| tape.pick(NEED_BYTES));
}

fn read_policy(tape: &mut Tape<'_>) -> RefPolicy {
    RefPolicy {
        order: tape.pick(&[
            RefOrder::PredictedEnd,
            RefOrder::PredictedEnd,
            RefOrder::PredictedEnd,
            RefOrder::VramFirst,
        ]),
        quantum_shift: tape.pick(&[10, 0, 46, 13, 45]),
        performance_aware: !tape.rarely(6),
        spread_seed: tape.optional(3, |tape| tape.pick(&[0, 1, 7, u64::MAX])),
        default_output_tokens: tape.pick(&[256, 10, 0, TOKENS_LIMIT]),
        // Only rates that are known: whether another one is a default at all is for the policy's own tests.
        default_tokens_per_s: tape.optional(3, |tape| tape.pick(&[100.0, 50.0, 0.239])),
        default_first_token_ms: tape.optional(3, |tape| tape.pick(TIMES_MS)),
        stale_after_ms: tape.pick(&[30_000.0, 30_000.0, 30_000.0, 5.0, 0.0, TIME_LIMIT_MS]),
        session_capacity: tape.pick(&[65_536, 1, 2, 0, 1 << 24]),
        pool_backlog: tape.pick(&[0, 0, 1, 8, 65_535]),
        weights: read_weights(tape),
    }
}

fn read_weights(tape: &mut Tape<'_>) -> RefWeights {
    let weights = RefWeights {
        admission: tape.pick(WEIGHTS),
        model_load: tape.pick(WEIGHTS),
        first_token: tape.pick(WEIGHTS),
        prefill: tape.pick(WEIGHTS),
        decode: tape.pick(WEIGHTS),
    };
    if tape.rarely(3) { weights } else { RefWeights::default() }
}

/// The first of the pools under each name (POOL-1).
fn unique(pools: Vec<RefPool>) -> Vec<RefPool> {
    let mut names = BTreeSet::new();
    pools.into_iter().filter(|pool| names.insert((pool.id.clone(), pool.replica_id.clone()))).collect()
}

/// What makes one pool of a fleet: its name, and the bytes in which its tape is another.
type Sibling = (u8, Vec<(usize, u8)>);

fn read_fleet(tape: &[u8], siblings: &[Sibling]) -> Vec<RefPool> {
    let read = |(name, changes): &Sibling| {
        let mut own = tape.to_vec();
        for (place, byte) in changes {
            own[*place] = *byte;
        }
        read_pool(&mut Tape::new(&own), *name)
    };
    unique(siblings.iter().map(read).collect())
}

fn tape_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), TAPE_BYTES)
}

/// Fleets of one to twelve pools under different names.
pub(crate) fn fleet() -> impl Strategy<Value = Vec<RefPool>> {
    let changes = vec((0..TAPE_BYTES, any::<u8>()), 0..=CHANGES_MAX);
    let siblings = vec((any::<u8>(), changes), 1..=POOLS_MAX);
    (tape_bytes(), siblings).prop_map(|(tape, siblings)| read_fleet(&tape, &siblings))
}

/// One to eight valid jobs.
pub(crate) fn jobs() -> impl Strategy<Value = Vec<RefJob>> {
    let read = |(number, bytes): (usize, &Vec<u8>)| read_job(&mut Tape::new(bytes), number);
    vec(tape_bytes(), 1..=JOBS_MAX).prop_map(move |tapes| tapes.iter().enumerate().map(read).collect())
}

/// Valid policies.
pub(crate) fn policy() -> impl Strategy<Value = RefPolicy> {
    tape_bytes().prop_map(|bytes| read_policy(&mut Tape::new(&bytes)))
}

/// Worlds that shrink.
pub(crate) fn world() -> impl Strategy<Value = World> {
    let parts = (fleet(), jobs(), policy());
    parts.prop_map(|(pools, jobs, policy)| World { pools, jobs, policy, label: Label::Drawn })
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    fn tape(&mut self) -> [u8; TAPE_BYTES] {
        std::array::from_fn(|_| self.byte())
    }

    fn sibling(&mut self) -> Sibling {
        let changes = self.below(CHANGES_MAX + 1);
        let mut change = || (self.below(TAPE_BYTES), self.byte());
        let changes = (0..changes).map(|_| change()).collect();
        (self.byte(), changes)
    }
}

/// The world of a seed, always the same one.
pub(crate) fn random_world(seed: u64) -> World {
    let mut random = Random(seed);
    let (pool_count, job_count) = (1 + random.below(POOLS_MAX), 1 + random.below(JOBS_MAX));
    let tape = random.tape();
    let siblings: Vec<Sibling> = (0..pool_count).map(|_| random.sibling()).collect();
    let mut job = |number| read_job(&mut Tape::new(&random.tape()), number);
    let jobs = (0..job_count).map(&mut job).collect();
    let policy = read_policy(&mut Tape::new(&random.tape()));
    World { pools: read_fleet(&tape, &siblings), jobs, policy, label: Label::Random(seed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field read past the tape's end would never vary.
    #[test]
    fn tapes_are_as_long_as_needed() {
        let mut random = Random(1);
        let mut longest = 0;
        for _ in 0..10_000 {
            let bytes = random.tape();
            let (mut pool, mut job, mut policy) = (Tape::new(&bytes), Tape::new(&bytes), Tape::new(&bytes));
            read_pool(&mut pool, 0);
            read_job(&mut job, 0);
            read_policy(&mut policy);
            longest = longest.max(pool.read).max(job.read).max(policy.read);
        }
        assert_eq!(longest, TAPE_BYTES);
    }

    #[test]
    fn the_empty_tape_is_a_plain_world_that_places() {
        let pool = read_pool(&mut Tape::new(&[]), 0);
        let job = read_job(&mut Tape::new(&[]), 0);
        assert!(pool.ready && !pool.draining && pool.slots_free > 0 && pool.devices.is_empty());
        assert!(job.split_degree.is_none() && job.avoid_pools.is_empty() && job.mode.is_none());
    }

    #[test]
    fn seeds_repeat_and_differ() {
        let text = |seed: u64| format!("{:?}", random_world(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn masks_always_go_with_devices() {
        for seed in 0..2_000 {
            for pool in random_world(seed).pools {
                let ids = pool.device_mask.map(|mask| mask.split(',').count());
                assert!(pool.devices.is_empty() || ids.is_none_or(|count| count == pool.devices.len()));
            }
        }
    }
}
