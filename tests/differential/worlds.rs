//! Exhaustive small worlds: three pools, two jobs, and every four fields against each other.
//!
//! A placement goes wrong where rules meet: a tie in one part uncovers the next, a commit changes what the second job
//! sees. Such meetings rarely take more than four facts at once, so every set of four [`FIELDS`] is varied while the
//! others stand at one of two default sets. Values are few and chosen to tie: a load takes as long as an admission, a
//! warm session saves as much as either, a free VRAM less a load equals a smaller one without.
//!
//! # What is exhaustive
//!
//! A field has two or three values per default set. A field of the policy always takes each of them. A field of pools
//! or jobs takes *patterns*, a value for each of the three pools or two jobs. With `v` values, by [`Level`]:
//!
//! - `Every`: all `v^3` (pools), all `v^2` (jobs).
//! - `Pairs`: the `v^2` patterns `(a, b, a + b mod v)`, in which any two pools see every pair of values; all `v^2`
//!   (jobs).
//! - `Rounds`: `v` patterns of one pool at `i` and two at `i + 1 mod v`, the odd one out turning with the field's place
//!   in the set of four; the `v` patterns `(i, i + 1 mod v)` (jobs).
//!
//! The worlds of four fields are the full product of their patterns. All four start at `Every`; while the product is
//! above a cap, in an ordinary run [`CAP`], the field with most patterns (of equals the last) goes one level down. So for *each* four fields that
//! end at `Pairs` or better, any two pools and the two jobs meet in *every* joint assignment of the four; four
//! two-valued fields of pools always do. [`count`] says for how many sets that holds.
//!
//! Without a cap every set stays at `Every`: all its worlds, some tens of millions in all.

use std::fmt;

use super::reference::{RefDevice, RefJob, RefKvHint, RefMode, RefOrder, RefPolicy, RefPool, RefWeights};

/// The most worlds that one set of four fields costs in an ordinary run.
pub(crate) const CAP: usize = 256;
/// The number of default sets.
pub(crate) const DEFAULT_SETS: usize = 2;
const VARIED: usize = 4;

/// One case: a fleet, its jobs, a policy.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) pools: Vec<RefPool>,
    pub(crate) jobs: Vec<RefJob>,
    pub(crate) policy: RefPolicy,
    pub(crate) label: Label,
}

/// Where a world comes from; its text is made only when someone asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// One of [`for_each_world`]: the varied fields, each with its value numbers per pool or job.
    Small { default_set: usize, fields: [&'static str; VARIED], patterns: [Pattern; VARIED] },
    /// [`super::strategies::random_world`] of this seed.
    Random(u64),
    /// Drawn by proptest, which prints and shrinks it itself.
    Drawn,
}

impl fmt::Display for Label {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small { default_set, fields, patterns } => {
                write!(out, "default set {default_set}")?;
                fields.iter().zip(patterns).try_for_each(|(field, pattern)| write!(out, ", {field} {pattern:?}"))
            }
            Self::Random(seed) => write!(out, "random world {seed:#x}"),
            Self::Drawn => out.write_str("drawn by proptest"),
        }
    }
}

/// A value number for each pool; jobs use the first two, a policy the first.
type Pattern = [u8; 3];

/// How many patterns a field takes; see the module's text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Every,
    Pairs,
    Rounds,
}

/// How a field puts the value of a number into place.
enum Setter {
    Pool(fn(&mut RefPool, u8)),
    Job(fn(&mut RefJob, u8)),
    Policy(fn(&mut RefPolicy, u8)),
}

/// One varied field.
struct Field {
    name: &'static str,
    /// The value numbers that it takes in each default set; the first is its default there.
    values: [&'static [u8]; DEFAULT_SETS],
    setter: Setter,
}

impl Field {
    const fn pool(name: &'static str, values: [&'static [u8]; DEFAULT_SETS], set: fn(&mut RefPool, u8)) -> Self {
        Self { name, values, setter: Setter::Pool(set) }
    }

    const fn job(name: &'static str, values: [&'static [u8]; DEFAULT_SETS], set: fn(&mut RefJob, u8)) -> Self {
        Self { name, values, setter: Setter::Job(set) }
    }

    const fn policy(name: &'static str, values: [&'static [u8]; DEFAULT_SETS], set: fn(&mut RefPolicy, u8)) -> Self {
        Self { name, values, setter: Setter::Policy(set) }
    }

    fn set(&self, world: &mut World, pattern: Pattern) {
        match self.setter {
            Setter::Pool(set) => world.pools.iter_mut().zip(pattern).for_each(|(pool, value)| set(pool, value)),
            Setter::Job(set) => world.jobs.iter_mut().zip(pattern).for_each(|(job, value)| set(job, value)),
            Setter::Policy(set) => set(&mut world.policy, pattern[0]),
        }
    }

    fn default_pattern(&self, default_set: usize) -> Pattern {
        [self.values[default_set][0]; 3]
    }

    /// The patterns of a level; `place` is the field's place in its set of four.
    fn patterns(&self, default_set: usize, level: Level, place: usize) -> Vec<Pattern> {
        let values = self.values[default_set];
        let count = values.len();
        let pick = |indices: [usize; 3]| indices.map(|index| values[index % count]);
        let all = || 0..count;
        match (&self.setter, level) {
            (Setter::Pool(_), Level::Every) => {
                all().flat_map(|a| all().flat_map(move |b| all().map(move |c| pick([a, b, c])))).collect()
            }
            (Setter::Pool(_), Level::Pairs) => all().flat_map(|a| all().map(move |b| pick([a, b, a + b]))).collect(),
            (Setter::Pool(_), Level::Rounds) => all().map(|i| pick(odd_one_out(i, place))).collect(),
            (Setter::Job(_), Level::Every | Level::Pairs) => {
                all().flat_map(|a| all().map(move |b| pick([a, b, 0]))).collect()
            }
            (Setter::Job(_), Level::Rounds) => all().map(|i| pick([i, i + 1, 0])).collect(),
            (Setter::Policy(_), _) => all().map(|i| pick([i, 0, 0])).collect(),
        }
    }
}

/// `i` for one pool, its successor for the two others.
fn odd_one_out(i: usize, place: usize) -> [usize; 3] {
    let mut indices = [i + 1; 3];
    indices[place % 3] = i;
    indices
}

/// Values are numbered from 0; what a number means stands in the setters below.
const FIELDS: [Field; 23] = [
    Field::pool("slots_free", [&[0, 1], &[0, 2]], |pool, value| {
        pool.slots_free = pick(&[3, 1, 0], value);
    }),
    Field::pool("slots_total", [&[0, 1], &[0, 2]], |pool, value| {
        pool.slots_total = pick(&[4, 2, 1], value);
    }),
    Field::pool("vram_free", [&[0, 1], &[2, 3]], set_vram_free),
    Field::pool("perf_rate", [&[0, 1], &[2, 0]], |pool, value| {
        pool.perf_tokens_per_s = pick(&[Some(100.0), Some(50.0), None], value);
    }),
    Field::pool("first_token", [&[0, 1], &[2, 0]], |pool, value| {
        // The first two share a bucket of 1,024 µs.
        pool.first_token_ms = pick(&[Some(20.0), Some(20.2), None], value);
    }),
    Field::pool("prefill_rate", [&[0, 1], &[1, 2]], |pool, value| {
        pool.prefill_tokens_per_s = pick(&[None, Some(1000.0), Some(500.0)], value);
    }),
    Field::pool("admission", [&[0, 1], &[1, 0]], |pool, value| {
        pool.admission_latency_ms = pick(&[None, Some(5.0)], value);
    }),
    Field::pool("residency", [&[0, 1], &[2, 3]], set_residency),
    Field::pool("warm", [&[0, 1], &[1, 2]], set_warm),
    Field::pool("health", [&[0, 1], &[2, 3, 4]], set_health),
    Field::pool("serving", [&[0, 1], &[2, 3, 4]], set_serving),
    Field::pool("capability", [&[0, 1], &[2, 3]], set_capability),
    Field::pool("devices", [&[0, 1], &[1, 2]], set_devices),
    Field::pool("mask_and_labels", [&[0, 1], &[1, 2]], set_mask_and_labels),
    Field::job("tokens", [&[0, 1], &[0, 2, 3]], set_tokens),
    Field::job("session", [&[0, 1], &[1, 2]], set_session),
    Field::job("memory", [&[0, 1], &[2, 3]], set_memory),
    Field::job("placement", [&[0, 1, 2], &[0, 3, 4]], set_placement),
    Field::job("split", [&[0, 2], &[2, 1]], |job, value| {
        job.split_degree = pick(&[None, Some(1), Some(2)], value);
    }),
    Field::job("demands", [&[0, 1, 2], &[0, 3, 4]], set_demands),
    Field::policy("order", [&[0, 1], &[0, 2]], set_order),
    Field::policy("ties", [&[0, 1, 2], &[1, 3]], set_ties),
    Field::policy("weights", [&[0, 1], &[2, 3]], set_weights),
];

fn pick<T: Copy>(values: &[T], value: u8) -> T {
    values[usize::from(value)]
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

const VRAM_TOTAL: u64 = 1000;

/// 800 less a load of 200 ties with 600 without one; 1200 is clamped.
fn set_vram_free(pool: &mut RefPool, value: u8) {
    pool.vram_free_bytes = pick(&[800, 600, 1200, 150], value);
    share_free_vram(pool);
}

/// Two devices with halves, or with three quarters and a quarter and capabilities of their own.
fn set_devices(pool: &mut RefPool, value: u8) {
    let device = |quarters: u64, capability: Option<&str>| RefDevice {
        vram_total_bytes: VRAM_TOTAL / 4 * quarters,
        vram_free_bytes: 0,
        compute_capability: capability.map(str::to_owned),
    };
    pool.devices = match value {
        0 => Vec::new(),
        1 => vec![device(2, None), device(2, None)],
        _ => vec![device(1, Some("9.0")), device(3, Some("7.5"))],
    };
    share_free_vram(pool);
}

/// Keeps the two fields above independent: devices hold the pool's free VRAM in the proportion of their totals.
fn share_free_vram(pool: &mut RefPool) {
    for device in &mut pool.devices {
        device.vram_free_bytes = pool.vram_free_bytes * device.vram_total_bytes / VRAM_TOTAL;
    }
}

/// Not published; absent, loaded in no time; absent, loaded in the 5 ms that an admission takes; resident.
fn set_residency(pool: &mut RefPool, value: u8) {
    pool.resident = match value {
        0 => None,
        3 => Some(names(&["m"])),
        _ => Some(Vec::new()),
    };
    pool.model_load_ms = pick(&[Some(5.0), None, Some(5.0), Some(5.0)], value);
}

/// Five cached tokens save 5 ms at 1000 tokens/s; none are no warmth.
fn set_warm(pool: &mut RefPool, value: u8) {
    pool.warm = match value {
        0 => Vec::new(),
        1 => vec![("s".to_owned(), 5)],
        _ => vec![("s".to_owned(), 0), ("t".to_owned(), 10)],
    };
}

/// Fine; not ready and draining; just not stale; draining; stale.
fn set_health(pool: &mut RefPool, value: u8) {
    pool.ready = value != 1;
    pool.draining = matches!(value, 1 | 3);
    pool.age_ms = pick(&[None, None, Some(30_000.0), Some(30_000.0), Some(30_000.001)], value);
}

/// What the engine serves: anything, nothing extra under another engine, the model, another model, too short contexts.
fn set_serving(pool: &mut RefPool, value: u8) {
    pool.engine = pick(&["e", "f", "E", "e", "e"], value).to_owned();
    pool.models = match value {
        0 | 1 => None,
        3 => Some(names(&["x"])),
        _ => Some(names(&["x", "m"])),
    };
    pool.quantizations = if value == 1 { Vec::new() } else { names(&["Q4"]) };
    pool.ctx_max = pick(&[Some(100), None, Some(50), Some(100), Some(15)], value);
}

/// The last one asks for a capability and has none.
fn set_capability(pool: &mut RefPool, value: u8) {
    pool.compute_capability = [some("8.0"), some("10.0"), some("9"), None][usize::from(value)].clone();
    pool.min_compute_cap = if value >= 2 { some("8.9") } else { None };
}

/// All masks name two devices, so they go with every layout of [`set_devices`].
fn set_mask_and_labels(pool: &mut RefPool, value: u8) {
    pool.device_mask = [None, some("1,2"), some("GPU3, gpu1")][usize::from(value)].clone();
    let zone = pick(&["a", "a", "b"], value);
    pool.labels = vec![("zone".to_owned(), zone.to_owned())];
}

/// The last one leaves the output to the policy.
fn set_tokens(job: &mut RefJob, value: u8) {
    job.prompt_tokens = pick(&[10, 20, 0, 5], value);
    job.expected_tokens = pick(&[Some(10), Some(0), Some(30), None], value);
    job.max_tokens = pick(&[None, None, Some(0), None], value);
}

/// KV and weights. 101 does not halve; 301 and 700 are one byte more than a pool has.
fn set_memory(job: &mut RefJob, value: u8) {
    job.est_kv_bytes = pick(&[Some(100), None, Some(101), Some(301)], value);
    job.min_vram_bytes = pick(&[200, 0, 200, 700], value);
}

/// None; reused, said outright; cold.
fn set_session(job: &mut RefJob, value: u8) {
    job.session_id = if value == 0 { None } else { some("s") };
    job.kv_hint = pick(&[None, Some(RefKvHint::Reuse), Some(RefKvHint::Cold)], value);
}

/// Auto; prefer `q`; pin `p`; only `q`; avoid `q` while preferring `p`.
fn set_placement(job: &mut RefJob, value: u8) {
    job.mode = pick(&[Some(RefMode::Auto), None, None, Some(RefMode::Prefer), None], value);
    job.pin_pool_id = if value == 2 { some("p") } else { None };
    job.prefer_pools = match value {
        0 | 2 => Vec::new(),
        4 => names(&["q", "p"]),
        _ => names(&["q"]),
    };
    job.avoid_pools = if value == 4 { names(&["q"]) } else { Vec::new() };
    job.allow_fallback = value != 3;
}

/// None; a capability and a quantisation; a context; devices; labels and an exact mask.
fn set_demands(job: &mut RefJob, value: u8) {
    job.min_compute_cap = if value == 1 { some("9.0") } else { None };
    job.quantization = if value == 1 { some("q4") } else { None };
    job.required_ctx = if value == 2 { Some(50) } else { None };
    job.device_mask = if value == 3 { some("2,1,0") } else { None };
    job.require_device_mask = if value == 4 { some("gpu2 ,1") } else { None };
    job.require_labels = if value == 4 { vec![("zone".to_owned(), "a".to_owned())] } else { Vec::new() };
}

fn set_order(policy: &mut RefPolicy, value: u8) {
    policy.order = if value == 1 { RefOrder::VramFirst } else { RefOrder::PredictedEnd };
    policy.performance_aware = value != 2;
}

/// Bucket and spread.
fn set_ties(policy: &mut RefPolicy, value: u8) {
    policy.quantum_shift = pick(&[10, 0, 46, 10], value);
    policy.spread_seed = pick(&[None, None, Some(7), Some(7)], value);
}

/// Plain; weighted; defaults for what is unknown; both, without a session table.
fn set_weights(policy: &mut RefPolicy, value: u8) {
    policy.weights = if value.is_multiple_of(2) {
        RefWeights::default()
    } else {
        RefWeights { admission: 0.0, model_load: 2.0, first_token: 16.0, prefill: 0.5, decode: 0.003_906_25 }
    };
    policy.default_tokens_per_s = if value >= 2 { Some(50.0) } else { None };
    policy.default_first_token_ms = if value >= 2 { Some(20.0) } else { None };
    policy.default_output_tokens = if value >= 2 { 10 } else { 256 };
    policy.session_capacity = if value == 3 { 0 } else { 65_536 };
}

/// Two replicas of `p` and a `q`, not in the order of their ranks.
fn default_world(default_set: usize) -> World {
    let pool = |id: &str, replica: &str| RefPool {
        replica_id: replica.to_owned(),
        vram_total_bytes: VRAM_TOTAL,
        ..RefPool::minimal(id, "e")
    };
    let label = Label::Small { default_set, fields: [""; VARIED], patterns: [[0; 3]; VARIED] };
    let mut world = World {
        pools: vec![pool("q", ""), pool("p", "b"), pool("p", "a")],
        jobs: vec![RefJob::minimal("j1", "e", "m"), RefJob::minimal("j2", "E", "m")],
        policy: RefPolicy::default(),
        label,
    };
    for field in &FIELDS {
        field.set(&mut world, field.default_pattern(default_set));
    }
    world
}

/// Four fields with their patterns.
struct Subset {
    fields: [&'static Field; VARIED],
    levels: [Level; VARIED],
    patterns: [Vec<Pattern>; VARIED],
}

impl Subset {
    fn new(indices: [usize; VARIED], default_set: usize, cap: usize) -> Self {
        let fields = indices.map(|index| &FIELDS[index]);
        let mut levels = [Level::Every; VARIED];
        loop {
            let patterns: [Vec<Pattern>; VARIED] =
                std::array::from_fn(|place| fields[place].patterns(default_set, levels[place], place));
            let subset = Self { fields, levels, patterns };
            let Some(place) = subset.longest_reducible().filter(|_| subset.worlds() > cap) else {
                return subset;
            };
            levels[place] = if levels[place] == Level::Every { Level::Pairs } else { Level::Rounds };
        }
    }

    fn worlds(&self) -> usize {
        self.patterns.iter().map(Vec::len).product()
    }

    fn longest_reducible(&self) -> Option<usize> {
        let reducible = |place: &usize| {
            self.levels[*place] < Level::Rounds && !matches!(self.fields[*place].setter, Setter::Policy(_))
        };
        (0..VARIED).filter(reducible).max_by_key(|place| self.patterns[*place].len())
    }

    /// Calls `visit` with every world of the product, and leaves `world` as it was.
    fn for_each(&self, default_set: usize, world: &mut World, visit: &mut Visit<'_>) {
        let first = std::array::from_fn(|place| self.patterns[place][0]);
        world.label = Label::Small { default_set, fields: self.fields.map(|field| field.name), patterns: first };
        self.vary(0, world, true, visit);
        for field in self.fields {
            field.set(world, field.default_pattern(default_set));
        }
    }

    fn vary(&self, place: usize, world: &mut World, mut pools_changed: bool, visit: &mut Visit<'_>) {
        if place == VARIED {
            return visit(world, pools_changed);
        }
        for pattern in &self.patterns[place] {
            self.fields[place].set(world, *pattern);
            pools_changed |= matches!(self.fields[place].setter, Setter::Pool(_));
            if let Label::Small { patterns, .. } = &mut world.label {
                patterns[place] = *pattern;
            }
            self.vary(place + 1, world, pools_changed, visit);
            pools_changed = false;
        }
    }
}

/// Takes a world, and whether its pools may differ from those of the world before.
type Visit<'a> = dyn FnMut(&World, bool) + 'a;

/// Every four of the fields.
fn subsets(default_set: usize, cap: usize) -> impl Iterator<Item = Subset> {
    let end = FIELDS.len();
    let indices = (0..end).flat_map(move |a| {
        (a + 1..end).flat_map(move |b| (b + 1..end).flat_map(move |c| (c + 1..end).map(move |d| [a, b, c, d])))
    });
    indices.map(move |indices| Subset::new(indices, default_set, cap))
}

/// Visits the small worlds of a default set (0 or 1) under a cap, always in the same order. The world is one value,
/// changed in place between the visits.
pub(crate) fn for_each_world(default_set: usize, cap: usize, visit: &mut Visit<'_>) {
    let mut world = default_world(default_set);
    for subset in subsets(default_set, cap) {
        subset.for_each(default_set, &mut world, visit);
    }
}

/// How much [`for_each_world`] covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) worlds: usize,
    /// The sets of four fields.
    pub(crate) subsets: usize,
    /// The sets whose every assignment to every pool and job is visited.
    pub(crate) exhaustive: usize,
    /// The sets, those included, whose every joint assignment to any two pools and to the two jobs is visited.
    pub(crate) pairwise: usize,
}

/// What [`for_each_world`] visits.
pub(crate) fn count(default_set: usize, cap: usize) -> Count {
    let mut count = Count::default();
    for subset in subsets(default_set, cap) {
        let worst = subset.levels.iter().max().copied().unwrap_or(Level::Every);
        count.worlds += subset.worlds();
        count.subsets += 1;
        count.exhaustive += usize::from(worst == Level::Every);
        count.pairwise += usize::from(worst <= Level::Pairs);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::{CAP, DEFAULT_SETS, FIELDS, Field, Level, Setter, count, default_world, for_each_world, subsets};

    #[test]
    fn counts_are_what_is_visited() {
        let mut total = 0;
        for default_set in 0..DEFAULT_SETS {
            let mut worlds = 0;
            for_each_world(default_set, CAP, &mut |_, _| worlds += 1);
            assert_eq!(worlds, count(default_set, CAP).worlds);
            total += worlds;
        }
        assert!((1_500_000..4_000_000).contains(&total), "{total} worlds: too few to mean much, or too slow to run");
    }

    #[test]
    fn no_subset_is_above_the_cap() {
        assert!((0..DEFAULT_SETS).flat_map(|set| subsets(set, CAP)).all(|subset| subset.worlds() <= CAP));
    }

    #[test]
    fn without_a_cap_every_subset_is_exhaustive() {
        for count in (0..DEFAULT_SETS).map(|set| count(set, usize::MAX)) {
            assert_eq!((count.exhaustive, count.pairwise), (8_855, 8_855));
            assert_eq!(count.subsets, 8_855);
        }
    }

    /// A fleet that was not made again would be compared with other pools than its own.
    #[test]
    fn changed_pools_are_said_to_be() {
        for default_set in 0..DEFAULT_SETS {
            let (mut before, mut kept) = (String::new(), 0);
            for subset in subsets(default_set, CAP).step_by(97) {
                subset.for_each(default_set, &mut default_world(default_set), &mut |world, pools_changed| {
                    let pools = format!("{:?}", world.pools);
                    assert!(pools_changed || pools == before, "{}", world.label);
                    kept += usize::from(!pools_changed);
                    before = pools;
                });
            }
            assert!(kept > 0);
        }
    }

    #[test]
    fn pairs_show_every_two_pools_every_two_values() {
        let field = Field::pool("any", [&[0, 1], &[0, 1, 2]], |_, _| ());
        for (default_set, values) in [(0, 2), (1, 3)] {
            let patterns = field.patterns(default_set, Level::Pairs, 0);
            for (one, other) in [(0, 1), (0, 2), (1, 2)] {
                let mut seen: Vec<_> = patterns.iter().map(|pattern| (pattern[one], pattern[other])).collect();
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), values * values);
            }
        }
    }

    /// A field that overwrote another's value would make its neighbour's variation void.
    #[test]
    fn fields_do_not_undo_each_other() {
        for default_set in 0..DEFAULT_SETS {
            let plain = format!("{:?}", default_world(default_set));
            for field in &FIELDS {
                let last = *field.values[default_set].last().expect("two values");
                let mut varied = default_world(default_set);
                field.set(&mut varied, [last; 3]);
                assert_ne!(plain, format!("{varied:?}"), "{} has no effect", field.name);
                let expected = format!("{varied:?}");
                for other in FIELDS.iter().filter(|other| other.name != field.name) {
                    other.set(&mut varied, other.default_pattern(default_set));
                }
                assert_eq!(expected, format!("{varied:?}"), "{} is undone", field.name);
            }
        }
    }

    #[test]
    fn every_scope_is_varied() {
        let count_of = |is: fn(&Setter) -> bool| FIELDS.iter().filter(|field| is(&field.setter)).count();
        assert!(count_of(|setter| matches!(setter, Setter::Pool(_))) >= 12);
        assert!(count_of(|setter| matches!(setter, Setter::Job(_))) >= 6);
        assert!(count_of(|setter| matches!(setter, Setter::Policy(_))) >= 3);
    }
}
