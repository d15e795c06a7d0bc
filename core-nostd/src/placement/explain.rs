//! Why this pool, and why not that one? A pure function beside the decision.
//!
//! Rules: EXPL-1 to EXPL-3. Costs two passes over the pools; it changes no decision.

use super::candidate::Scorer;
use super::decide::PlacementInput;
use crate::limits::END_UNKNOWN_US;
use crate::policy::{Order, Policy};
use crate::rows::{JobQuery, PoolClass, PoolRef};
use crate::rule::devices::{choose, eligible, share_bytes};
use crate::rule::key::{Key, KeyParts};
use crate::rule::rejection::Rejection;
use crate::rule::score::ScoreTerms;
use crate::values::device_mask::DeviceMask;

/// How many pools failed each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RejectionCounts([u32; Rejection::COUNT]);

impl RejectionCounts {
    /// The pools whose first failed rule this is.
    #[must_use]
    pub fn of(&self, rejection: Rejection) -> u32 {
        self.0.get(usize::from(rejection as u8)).copied().unwrap_or(0)
    }

    fn add(&mut self, rejection: Rejection) {
        if let Some(count) = self.0.get_mut(usize::from(rejection as u8)) {
            *count = count.saturating_add(1);
        }
    }
}

/// A part of the key, by which one pool can beat another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeyPart {
    /// There was no other feasible pool.
    OnlyCandidate,
    /// KEY-1.
    Preferred,
    /// KEY-2; unit: µs.
    PredictedEnd,
    /// KEY-3.
    Warm,
    /// KEY-4; unit: leases.
    ActiveLeases,
    /// KEY-5; unit: slots.
    SlotsFree,
    /// KEY-6; unit: bytes.
    ResidualVram,
    /// KEY-7; unit: milli-tokens per second.
    TokensPerS,
    /// KEY-8.
    Spread,
    /// KEY-9; unit: ranks.
    PoolId,
    /// KEY-10; unit: bytes.
    VramFree,
}

impl KeyPart {
    /// The part's name on the wire: `decided_by`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnlyCandidate => "only_candidate",
            Self::Preferred => "preferred",
            Self::PredictedEnd => "predicted_end",
            Self::Warm => "warm",
            Self::ActiveLeases => "active_leases",
            Self::SlotsFree => "slots_free",
            Self::ResidualVram => "residual_vram",
            Self::TokensPerS => "tokens_per_s",
            Self::Spread => "spread",
            Self::PoolId => "pool_id",
            Self::VramFree => "vram_free",
        }
    }

    /// The unit of its margin, in words; empty where the part is a yes or no.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::PredictedEnd => "us",
            Self::ActiveLeases => "leases",
            Self::SlotsFree => "slots",
            Self::ResidualVram | Self::VramFree => "bytes",
            Self::TokensPerS => "milli-tokens/s",
            Self::PoolId => "ranks",
            Self::OnlyCandidate | Self::Preferred | Self::Warm | Self::Spread => "",
        }
    }
}

/// Which part of the key decided between two pools, and by how much. EXPL-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Decided {
    /// The first part in which they differ.
    pub by: KeyPart,
    /// The better pool's value minus the other's, in the part's unit; `None` when one end is unknown.
    pub margin: Option<i64>,
}

/// A feasible pool and everything that its key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Standing {
    /// Its key: smaller is better.
    pub key: Key,
    /// The parts of its key.
    pub parts: KeyParts,
    /// The summands of its score, without weights.
    pub terms: ScoreTerms,
    /// Predicted start in µs, without weights.
    pub start_us: u64,
    /// Predicted end in µs, without weights; `None` is unknown.
    pub end_us: Option<u64>,
    /// Tokens that need no prefill.
    pub cached_tokens: u32,
    /// Whether the model needs no loading.
    pub resident: bool,
    /// The devices of a split.
    pub devices: DeviceMask,
}

/// What a shortfall is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Unit {
    /// Bytes of VRAM.
    Bytes,
    /// Tokens of context.
    Tokens,
    /// Devices of a split.
    Devices,
    /// Slots.
    Slots,
    /// Microseconds of age.
    Micros,
}

impl Unit {
    /// The unit's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Tokens => "tokens",
            Self::Devices => "devices",
            Self::Slots => "slots",
            Self::Micros => "us",
        }
    }
}

/// By how much a pool fails a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Shortfall {
    /// The amount, above 0.
    pub amount: u64,
    /// Its unit.
    pub unit: Unit,
}

/// The pools that came closest to being feasible. EXPL-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NearestMiss {
    /// The rule they fail.
    pub rejection: Rejection,
    /// How many they are.
    pub pools: u32,
    /// The smallest shortfall among them, where the rule has a measure.
    pub shortfall: Option<Shortfall>,
}

/// Why a pool cannot take a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Unfit {
    /// The first rule it fails.
    pub rejection: Rejection,
    /// By how much, where the rule has a measure.
    pub shortfall: Option<Shortfall>,
}

/// Why a decision is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Explanation {
    /// Pools that could take the job.
    pub feasible: u32,
    /// The others, by the first rule they fail.
    pub counts: RejectionCounts,
    /// The pool that takes it.
    pub winner: Option<Standing>,
    /// The second best.
    pub runner_up: Option<Standing>,
    /// What decided between the two; `None` without a winner.
    pub decided: Option<Decided>,
    /// The pools that came closest to being feasible; `None` when all are.
    pub nearest_miss: Option<NearestMiss>,
}

/// What one pool is to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(clippy::large_enum_variant, reason = "made once per question, and without an allocator")]
pub enum PoolVerdict {
    /// It cannot take it.
    Infeasible(Unfit),
    /// It could.
    Feasible {
        /// What its key is made of.
        standing: Standing,
        /// What it loses to the winner by; `None` when it is the winner.
        loses_by: Option<Decided>,
    },
}

/// Explains the decision of [`decide`](super::decide) for the same input. O(pools), no allocation.
#[must_use]
pub fn explain(input: &PlacementInput<'_>) -> Explanation {
    let scorer = input.scorer();
    let mut counts = RejectionCounts([0; Rejection::COUNT]);
    let mut feasible: u32 = 0;
    let mut two_best = TwoBest::default();
    let mut headline: Option<Rejection> = None;
    for pool in input.pools().pools() {
        match scorer.key(&pool) {
            Ok(key) => {
                feasible = feasible.saturating_add(1);
                two_best.add(key);
            }
            Err(rejection) => {
                counts.add(rejection);
                headline = Some(headline.map_or(rejection, |so_far| so_far.headline(rejection)));
            }
        }
    }
    let standing = |key: Key| input.pools().pool(key.rank()).map(|pool| standing_of(&scorer, &pool, key));
    let winner = two_best.best.and_then(standing);
    let runner_up = two_best.second.and_then(standing);
    Explanation {
        feasible,
        counts,
        winner,
        runner_up,
        decided: winner.map(|winner| match &runner_up {
            Some(other) => compare(&winner, other, scorer.policy),
            None => Decided { by: KeyPart::OnlyCandidate, margin: None },
        }),
        nearest_miss: headline.map(|rejection| nearest_miss(input, rejection, counts.of(rejection))),
    }
}

/// What the pool at `rank` is to the job, by itself; `None` when there is no such rank. O(lists of the pool).
#[must_use]
pub fn inspect(input: &PlacementInput<'_>, rank: u32) -> Option<Result<Standing, Unfit>> {
    let scorer = input.scorer();
    let pool = input.pools().pool(rank)?;
    Some(match scorer.key(&pool) {
        Err(rejection) => Err(Unfit { rejection, shortfall: shortfall(&pool, input.job(), scorer.policy, rejection) }),
        Ok(key) => Ok(standing_of(&scorer, &pool, key)),
    })
}

/// Explains one pool: why it cannot take the job, or what it lacks to win. `None` when there is no such rank. O(pools).
#[must_use]
pub fn explain_pool(input: &PlacementInput<'_>, rank: u32) -> Option<PoolVerdict> {
    let inspected = inspect(input, rank)?;
    Some(PoolVerdict::beside(explain(input).winner.as_ref(), inspected, input.scorer().policy))
}

impl PoolVerdict {
    /// What an inspected pool is beside the winner, if there is one: for many pools of one job the winner is found once.
    #[must_use]
    pub fn beside(winner: Option<&Standing>, inspected: Result<Standing, Unfit>, policy: &Policy) -> Self {
        match inspected {
            Err(unfit) => Self::Infeasible(unfit),
            Ok(standing) => {
                let winner = winner.filter(|winner| winner.parts.rank != standing.parts.rank);
                let loses_by = winner.map(|winner| compare(winner, &standing, policy));
                Self::Feasible { standing, loses_by }
            }
        }
    }
}

#[derive(Default)]
struct TwoBest {
    best: Option<Key>,
    second: Option<Key>,
}

impl TwoBest {
    fn add(&mut self, key: Key) {
        match self.best {
            Some(best) if best < key => self.second = Some(self.second.map_or(key, |second| second.min(key))),
            _ => {
                self.second = self.best;
                self.best = Some(key);
            }
        }
    }
}

fn standing_of(scorer: &Scorer<'_>, pool: &PoolRef<'_>, key: Key) -> Standing {
    let resident = pool.is_resident(scorer.job.row.model);
    let cached_tokens = scorer.cached_tokens(pool);
    let assignment = scorer.assignment(pool);
    Standing {
        key,
        parts: scorer.parts(pool, resident, cached_tokens),
        terms: scorer.terms(pool, resident),
        start_us: assignment.start_us,
        end_us: assignment.end_us,
        cached_tokens,
        resident,
        devices: assignment.devices,
    }
}

/// What decides between two pools that could take the job, the better one first. EXPL-2.
#[must_use]
pub fn compare(winner: &Standing, other: &Standing, policy: &Policy) -> Decided {
    let (better, worse) = (&winner.parts, &other.parts);
    if better.preferred != worse.preferred {
        return Decided { by: KeyPart::Preferred, margin: Some(difference(better.preferred, worse.preferred)) };
    }
    match policy.order() {
        Order::PredictedEnd => compare_predicted_end(better, worse, policy.quantum_shift()),
        Order::VramFirst => compare_free_vram(better, worse),
    }
}

fn compare_predicted_end(better: &KeyParts, worse: &KeyParts, quantum_shift: u8) -> Decided {
    let bucket = |end: u64| end.checked_shr(u32::from(quantum_shift)).unwrap_or(0);
    if bucket(better.weighted_end_us) != bucket(worse.weighted_end_us) {
        let both_known = better.weighted_end_us != END_UNKNOWN_US && worse.weighted_end_us != END_UNKNOWN_US;
        let margin = both_known.then(|| difference(better.weighted_end_us, worse.weighted_end_us));
        return Decided { by: KeyPart::PredictedEnd, margin };
    }
    first_difference(&[
        (KeyPart::Warm, difference(better.warm, worse.warm)),
        (KeyPart::ActiveLeases, difference(better.active_leases, worse.active_leases)),
        (KeyPart::SlotsFree, difference(better.slots_free, worse.slots_free)),
        (KeyPart::ResidualVram, difference(better.residual_vram_bytes, worse.residual_vram_bytes)),
        (KeyPart::TokensPerS, difference(better.milli_tps, worse.milli_tps)),
        (KeyPart::Spread, difference(better.spread, worse.spread)),
        (KeyPart::PoolId, difference(better.rank, worse.rank)),
    ])
}

fn compare_free_vram(better: &KeyParts, worse: &KeyParts) -> Decided {
    first_difference(&[
        (KeyPart::VramFree, difference(better.vram_free_bytes, worse.vram_free_bytes)),
        (KeyPart::ActiveLeases, difference(better.active_leases, worse.active_leases)),
        (KeyPart::PoolId, difference(better.rank, worse.rank)),
    ])
}

fn first_difference(parts: &[(KeyPart, i64)]) -> Decided {
    let differing = parts.iter().find(|(_, margin)| *margin != 0);
    // Ranks always differ, so there is one.
    differing
        .map_or(Decided { by: KeyPart::PoolId, margin: None }, |&(by, margin)| Decided { by, margin: Some(margin) })
}

/// Key parts are below 2^48, so their differences fit.
fn difference<T: Into<u64>>(better: T, worse: T) -> i64 {
    let signed = |value: T| i64::try_from(value.into()).unwrap_or(i64::MAX);
    signed(better).saturating_sub(signed(worse))
}

/// EXPL-3.
fn nearest_miss(input: &PlacementInput<'_>, rejection: Rejection, pools: u32) -> NearestMiss {
    let scorer = input.scorer();
    let smallest = input
        .pools()
        .pools()
        .filter(|pool| scorer.check(pool) == Err(rejection))
        .filter_map(|pool| shortfall(&pool, input.job(), scorer.policy, rejection))
        .min_by_key(|shortfall| shortfall.amount);
    NearestMiss { rejection, pools, shortfall: smallest }
}

/// By how much `pool` fails the rule of `rejection`, where the rule has a measure.
fn shortfall(pool: &PoolRef<'_>, job: &JobQuery<'_>, policy: &Policy, rejection: Rejection) -> Option<Shortfall> {
    let (row, class) = (pool.row, pool.class());
    let short = |needed: u64, has: u64, unit| {
        needed.checked_sub(has).filter(|&amount| amount > 0).map(|amount| Shortfall { amount, unit })
    };
    match rejection {
        Rejection::Context if class.ctx_max != PoolClass::CTX_UNKNOWN => {
            short(job.row.context_tokens.into(), class.ctx_max.into(), Unit::Tokens)
        }
        Rejection::VramTotal => short(job.row.whole_bytes(), class.vram_total_bytes, Unit::Bytes),
        Rejection::SplitDegree => {
            let able = eligible(class, pool.devices(), job.row).count_ones();
            short(job.row.split_degree.into(), able.into(), Unit::Devices)
        }
        Rejection::Stale => short(row.age_us, policy.stale_after_us(), Unit::Micros),
        Rejection::Slots => Some(Shortfall { amount: 1, unit: Unit::Slots }),
        Rejection::Vram => vram_shortfall(pool, job),
        _ => None,
    }
}

fn vram_shortfall(pool: &PoolRef<'_>, job: &JobQuery<'_>) -> Option<Shortfall> {
    let need = job.row.need_bytes(pool.is_resident(job.row.model));
    let whole = need.saturating_sub(pool.row.vram_free_bytes);
    let degree = job.row.split_degree;
    let on_device = if degree == 0 {
        0
    } else {
        share_bytes(need, degree).saturating_sub(free_on_weakest_chosen(pool, job, degree))
    };
    let amount = whole.max(on_device);
    (amount > 0).then_some(Shortfall { amount, unit: Unit::Bytes })
}

/// Free VRAM of the last device that would be chosen; 0 when there are too few.
fn free_on_weakest_chosen(pool: &PoolRef<'_>, job: &JobQuery<'_>, degree: u8) -> u64 {
    let devices = pool.devices();
    let chosen = choose(devices, eligible(pool.class(), devices, job.row), degree);
    let weakest = chosen.get(usize::from(degree.saturating_sub(1)));
    weakest.and_then(|&position| devices.get(usize::from(position))).map_or(0, |device| device.vram_free_bytes)
}
