//! The scan: every pool once, the smallest key kept.

use heapless::Vec;

use super::bound::Leader;
use super::candidate::Scorer;
use super::decision::{Assignment, PlacementDecision};
use crate::policy::Policy;
use crate::rows::{JobQuery, JobRow, PoolRow, PoolTable, TableError};
use crate::rule::key::Key;
use crate::rule::rejection::Rejection;
use crate::values::index::{index, position};
use crate::values::list::insert_at;

/// Everything that one decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct PlacementInput<'a> {
    pools: PoolTable<'a>,
    job: JobQuery<'a>,
    policy: &'a Policy,
}

impl<'a> PlacementInput<'a> {
    /// Pools, a job looked up among them, and a policy. O(1).
    ///
    /// # Errors
    /// The parts of `pools` that do not belong together or to `policy`.
    pub fn new(pools: PoolTable<'a>, job: JobQuery<'a>, policy: &'a Policy) -> Result<Self, TableError> {
        pools.check(policy)?;
        Ok(Self { pools, job, policy })
    }

    /// Parts that belong together by construction.
    pub(crate) const fn assembled(pools: PoolTable<'a>, job: JobQuery<'a>, policy: &'a Policy) -> Self {
        Self { pools, job, policy }
    }

    /// The pools.
    #[must_use]
    pub const fn pools(&self) -> &PoolTable<'a> {
        &self.pools
    }

    /// The job's numbers.
    #[must_use]
    pub const fn job_row(&self) -> &JobRow {
        self.job.row
    }

    pub(crate) fn scorer(&self) -> Scorer<'_> {
        Scorer::new(&self.job, self.policy)
    }

    pub(crate) const fn job(&self) -> &JobQuery<'a> {
        &self.job
    }
}

/// Decides which pool takes the job: O(pools), no allocation, the same answer for every order of pools.
///
/// One pass when a pool can take it; a second one finds the headline when none can.
#[must_use]
#[inline(never)] // A caller that is built for size leaves the scan as fast as this crate is built.
pub fn decide(input: &PlacementInput<'_>) -> PlacementDecision {
    let scorer = input.scorer();
    match best_key(input, &scorer).and_then(|key| input.pools.pool(key.rank())) {
        Some(pool) => PlacementDecision::Assigned(scorer.assignment(&pool)),
        None => PlacementDecision::no_capacity(headline(input, &scorer), &input.job),
    }
}

/// The decision for a job whose winner, or whose headline, another way has found: a [`Shortlist`](super::Shortlist) and
/// what a caller knows about whole classes of pools. O(devices).
///
/// `Err` is the headline of a job that no pool can take, `None` where there are no pools. A rank that no pool has counts
/// as no pool.
#[must_use]
pub fn conclude(input: &PlacementInput<'_>, winner: Result<u32, Option<Rejection>>) -> PlacementDecision {
    let pool = winner.and_then(|rank| input.pools.pool(rank).ok_or(None));
    match pool {
        Ok(pool) => PlacementDecision::Assigned(input.scorer().assignment(&pool)),
        Err(headline) => PlacementDecision::no_capacity(headline, &input.job),
    }
}

/// The keys of those of some pools that can take the job, in the order of `ranks`. O(1) per rank.
pub fn keys_of<'a>(
    input: &'a PlacementInput<'_>,
    ranks: impl IntoIterator<Item = u32> + 'a,
) -> impl Iterator<Item = Key> + 'a {
    let scorer = input.scorer();
    ranks.into_iter().filter_map(move |rank| scorer.key(&input.pools.pool(rank)?).ok())
}

/// Pools that one word of candidates covers: a word of the machine, because two are dear to take apart.
const BLOCK: usize = usize::BITS as usize;

/// The smallest key. Block by block: a glance at every pool first, then the keys of those that pass it and can still win.
fn best_key(input: &PlacementInput<'_>, scorer: &Scorer<'_>) -> Option<Key> {
    let mut best: Option<Leader> = None;
    for (block, rows) in (0u32..).zip(input.pools.rows.chunks(BLOCK)) {
        let first = block.saturating_mul(position(BLOCK));
        let mut candidates = glance(input, scorer, first, rows);
        while candidates != 0 {
            let place = candidates.trailing_zeros();
            // Clears the lowest bit.
            candidates &= candidates.wrapping_sub(1);
            let Some(row) = rows.get(index(place)) else { break };
            let pool = input.pools.pool_of(first.saturating_add(place), row);
            if best.as_ref().is_some_and(|leader| scorer.is_late(&pool, leader)) {
                continue;
            }
            if let Some(key) = scorer.key_of_candidate(&pool, best.as_ref()) {
                // A comparison instead of `min`: most keys lose by their first word, and the others need not be made.
                if best.as_ref().is_none_or(|leader| key < leader.key) {
                    best = Some(scorer.leader(key));
                }
            }
        }
    }
    best.map(|leader| leader.key)
}

/// A bit for each pool of a block that may fit; `first` is the rank of its first one.
///
/// From the last to the first, so that each bit is moved by one: to move one by many takes a machine of 32 bits long.
#[inline(always)] // Once per block of every scan.
fn glance(input: &PlacementInput<'_>, scorer: &Scorer<'_>, first: u32, rows: &[PoolRow]) -> usize {
    let mut rank = first.saturating_add(position(rows.len()));
    rows.iter().rev().fold(0, |bits: usize, row| {
        rank = rank.saturating_sub(1);
        bits << 1 | usize::from(scorer.may_fit(&input.pools.pool_of(rank, row)))
    })
}

/// Why no pool can take the job; `None` when there are no pools. NOCAP-1.
fn headline(input: &PlacementInput<'_>, scorer: &Scorer<'_>) -> Option<Rejection> {
    let rejections = input.pools.pools().filter_map(|pool| scorer.check(&pool).err());
    rejections.reduce(Rejection::headline)
}

/// How many keys one pass of [`rank_best`] keeps.
const KEYS_PER_PASS: usize = 32;

/// Fills `best` with the best feasible pools, best first, and returns how many there are: at most `best.len()`.
///
/// The first equals [`decide`]'s. One pass over the pools for every 32 places, no allocation.
pub fn rank_best(input: &PlacementInput<'_>, best: &mut [Option<Assignment>]) -> usize {
    let scorer = input.scorer();
    let mut filled: usize = 0;
    let mut floor: Option<Key> = None;
    for places in best.chunks_mut(KEYS_PER_PASS) {
        let keys = smallest_keys(input, &scorer, floor, places.len());
        for (place, key) in places.iter_mut().zip(&keys) {
            *place = input.pools.pool(key.rank()).map(|pool| scorer.assignment(&pool));
            filled = filled.saturating_add(1);
        }
        floor = keys.last().copied();
        if keys.len() < places.len() {
            break;
        }
    }
    filled
}

/// The `count` smallest keys above `floor`, in ascending order.
fn smallest_keys(
    input: &PlacementInput<'_>,
    scorer: &Scorer<'_>,
    floor: Option<Key>,
    count: usize,
) -> Vec<Key, KEYS_PER_PASS> {
    let mut keys: Vec<Key, KEYS_PER_PASS> = Vec::new();
    let above_floor = |key: &Key| floor.is_none_or(|floor| *key > floor);
    for key in input.pools.pools().filter_map(|pool| scorer.key(&pool).ok()).filter(above_floor) {
        if keys.len() == count {
            if keys.last().is_none_or(|largest| *largest < key) {
                continue;
            }
            keys.pop();
        }
        let place = keys.partition_point(|smaller| *smaller < key);
        // There is room: a full list gave up its largest key.
        let _ = insert_at(&mut keys, place, key);
    }
    keys
}
