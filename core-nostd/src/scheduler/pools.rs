//! What a scheduler remembers of each pool between two snapshots: when it was observed, how often it was asked, and
//! whether somebody asked to drain it.
//!
//! ```text
//!                snapshot_taken            next_refresh (1)          next_refresh (2)
//!   unknown ───────────────────▶ fresh ───────────────────▶ asked ───────────────────▶ asked again, …
//!      ▲                           ▲                          │
//!      └──────── removed ──────────┴───── snapshot_taken ─────┘
//! ```
//! 1. At the age `after`. 2. `base * 2^(n - 1)` after the n-th attempt, at most `cap`. REFRESH-1.
//!
//! ```
//! use orchestrator_core::PoolHandle;
//! use orchestrator_core::scheduler::{PoolRecord, PoolRecords, RefreshDue, RefreshRules};
//!
//! let mut storage = [PoolRecord::EMPTY; 4];
//! let mut records = PoolRecords::new(&mut storage);
//! let pool = PoolHandle { slot: 2, generation: 1 };
//! records.snapshot_taken(pool, 1_000);
//! assert!(records.is_late(pool, 999));
//! assert_eq!(records.age_us(pool, 1_500), Some(500));
//!
//! let rules = RefreshRules { after_us: 10_000, base_us: 100, cap_us: 400 };
//! assert_eq!(records.next_refresh(10_999, &rules), None);
//! assert_eq!(records.next_refresh(11_000, &rules), Some(RefreshDue { pool, attempt: 1, not_before_us: 11_000 }));
//! assert_eq!(records.next_refresh(11_100, &rules), Some(RefreshDue { pool, attempt: 2, not_before_us: 11_100 }));
//! ```
//!
//! # Ages without ageing every row
//! A decision compares a row's age with a limit (FEAS-19) and reads it for nothing else. So a row's age may lag behind
//! as long as it is on the right side of the limit. [`PoolRecords::next_stale`] names every pool that crosses the limit,
//! once; whoever gives its row its true age then, before the next decision, has exact decisions: the rows not named are
//! at most `stale_after` old, and so is the age in them, which only ever lags; the rows named have an age above it. Another limit
//! starts over. An explanation prints ages: give the rows their true ages first.
//!
//! # Cost
//! Snapshots come most often, so they cost O(1). What is due is found by a sweep over all records, which only starts at
//! a lower bound of the next due time: nothing due costs O(1), and one sweep finds all that are due.

use crate::fleet::PoolHandle;
use crate::limits::TIME_MAX_US;
use crate::scheduler::policy::RefreshRules;
use crate::values::bytes6::{packed, unpacked};
use crate::values::flag_set::flag_set;
use crate::values::index::index;
use crate::values::kept::Kept48;

/// What is remembered of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PoolRecord {
    generation: u32,
    /// Attempts to refresh since the last snapshot.
    attempts: u32,
    observed_at_us: Kept48,
    /// When the next attempt is due, if one was made.
    retry_at_us: Kept48,
    /// As its snapshot says: below 2^46. LEASE-8.
    admission_latency_us: [u8; 6],
    marks: Marks,
}

flag_set! {
    /// What is so of a slot.
    Marks {
        /// A pool has it.
        THERE = 0,
        /// The pool's row has an age above the limit.
        STALE = 1,
        /// Somebody asked to drain the pool. REFRESH-3.
        DRAINED = 2,
    }
}

impl PoolRecord {
    /// No pool.
    pub const EMPTY: Self = Self {
        generation: 0,
        attempts: 0,
        observed_at_us: Kept48::ZERO,
        retry_at_us: Kept48::ZERO,
        admission_latency_us: [0; 6],
        marks: Marks::EMPTY,
    };

    const fn observed_at_us(&self) -> Option<u64> {
        if self.marks.has(Marks::THERE) { Some(self.observed_at_us.get()) } else { None }
    }

    const fn is_of(&self, pool: PoolHandle) -> bool {
        self.marks.has(Marks::THERE) && self.generation == pool.generation
    }

    fn refresh_due_us(&self, after_us: u64) -> Option<u64> {
        let observed_at_us = self.observed_at_us()?;
        if self.attempts > 0 {
            return self.retry_at_us.unless_never();
        }
        // The end of time is never: otherwise there would be an attempt after each.
        Some(observed_at_us.saturating_add(after_us)).filter(|&due_us| due_us < u64::MAX)
    }

    fn stale_due_us(&self, stale_after_us: u64) -> Option<u64> {
        let observed_at_us = self.observed_at_us().filter(|_| !self.marks.has(Marks::STALE))?;
        // FEAS-19: stale is above the limit, not at it.
        Some(observed_at_us.saturating_add(stale_after_us).saturating_add(1))
    }
}

/// A pool that is to be asked for its state. REFRESH-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RefreshDue {
    /// The pool.
    pub pool: PoolHandle,
    /// Which attempt since its last snapshot, from 1.
    pub attempt: u32,
    /// When it became due, in µs.
    pub not_before_us: u64,
}

/// The records of all pools, by the slots of their handles.
///
/// A handle whose slot has no record, or whose pool is gone, finds nothing and changes nothing.
#[derive(Debug)]
pub struct PoolRecords<'a> {
    records: &'a mut [PoolRecord],
    refreshes: Sweep,
    ageing: Sweep,
}

impl<'a> PoolRecords<'a> {
    /// No pools; the storage has one record for each that fits the fleet, its
    /// [`capacity`](crate::PoolRegistry::capacity). O(pools).
    #[must_use]
    pub fn new(storage: &'a mut [PoolRecord]) -> Self {
        storage.fill(PoolRecord::EMPTY);
        Self { records: storage, refreshes: Sweep::IDLE, ageing: Sweep::IDLE }
    }

    /// A snapshot stands, observed at `observed_at_us`: arrival less age. It ends a series of attempts. O(1).
    pub fn snapshot_taken(&mut self, pool: PoolHandle, observed_at_us: u64) {
        let mut marks = Marks::THERE;
        marks.set(Marks::DRAINED, self.is_drained(pool));
        let Some(record) = self.records.get_mut(index(pool.slot)) else { return };
        let observed_at_us = Kept48::at_most(observed_at_us);
        *record = PoolRecord { generation: pool.generation, observed_at_us, marks, ..PoolRecord::EMPTY };
        self.refreshes.arm(record.refresh_due_us(self.refreshes.limit_us));
        self.ageing.arm(record.stale_due_us(self.ageing.limit_us));
    }

    /// A pool is gone. O(1).
    pub fn removed(&mut self, pool: PoolHandle) {
        if self.record(pool).is_some()
            && let Some(record) = self.records.get_mut(index(pool.slot))
        {
            *record = PoolRecord::EMPTY;
        }
    }

    /// Somebody asks to drain a pool, or takes that back. REFRESH-3. O(1).
    pub fn set_drained(&mut self, pool: PoolHandle, is_drained: bool) {
        let record = self.records.get_mut(index(pool.slot));
        if let Some(record) = record.filter(|record| record.is_of(pool)) {
            record.marks.set(Marks::DRAINED, is_drained);
        }
    }

    /// Whether somebody asked to drain a pool, and did not take it back: its snapshots do not. REFRESH-3. O(1).
    #[must_use]
    pub fn is_drained(&self, pool: PoolHandle) -> bool {
        self.record(pool).is_some_and(|record| record.marks.has(Marks::DRAINED))
    }

    /// What a pool publishes as its admission latency, in µs. LEASE-8. O(1).
    pub fn set_admission_latency(&mut self, pool: PoolHandle, admission_latency_us: u64) {
        let record = self.records.get_mut(index(pool.slot));
        if let Some(record) = record.filter(|record| record.is_of(pool)) {
            record.admission_latency_us = packed(admission_latency_us.min(TIME_MAX_US));
        }
    }

    /// The admission latency that a pool publishes, in µs. O(1).
    #[must_use]
    pub fn admission_latency_us(&self, pool: PoolHandle) -> Option<u64> {
        self.record(pool).map(|record| unpacked(record.admission_latency_us))
    }

    /// When a pool's state was observed, in µs. O(1).
    #[must_use]
    pub fn observed_at_us(&self, pool: PoolHandle) -> Option<u64> {
        self.record(pool)?.observed_at_us()
    }

    /// How old a pool's state is, in µs. O(1).
    #[must_use]
    pub fn age_us(&self, pool: PoolHandle, now_us: u64) -> Option<u64> {
        Some(now_us.saturating_sub(self.observed_at_us(pool)?))
    }

    /// Whether a snapshot observed at `observed_at_us` is older than the one held. REFRESH-2. O(1).
    #[must_use]
    pub fn is_late(&self, pool: PoolHandle, observed_at_us: u64) -> bool {
        self.observed_at_us(pool).is_some_and(|held_us| observed_at_us < held_us)
    }

    /// The next pool to ask for its state, and notes that it is asked: a caller that asks until there is none gets each
    /// that is due. REFRESH-1. O(1) where none is due; else O(pools) for all of them.
    pub fn next_refresh(&mut self, now_us: u64, rules: &RefreshRules) -> Option<RefreshDue> {
        self.refreshes.set_limit(rules.after_us);
        let (slot, not_before_us) =
            self.refreshes.next_due(self.records, now_us, |record| record.refresh_due_us(rules.after_us))?;
        let record = self.records.get_mut(index(slot))?;
        let pause_us = pause_after(record.attempts, rules);
        record.attempts = record.attempts.saturating_add(1);
        let retry_at_us = now_us.saturating_add(pause_us);
        record.retry_at_us = Kept48::at_most(retry_at_us);
        let due = RefreshDue {
            pool: PoolHandle { slot, generation: record.generation },
            attempt: record.attempts,
            not_before_us,
        };
        self.refreshes.arm(Some(retry_at_us));
        Some(due)
    }

    /// A time before which [`next_refresh`](Self::next_refresh) answers nothing unless a snapshot comes, in µs; `None` is
    /// never. O(1).
    #[must_use]
    pub fn next_refresh_us(&self, rules: &RefreshRules) -> Option<u64> {
        if self.refreshes.limit_us == rules.after_us && self.refreshes.at == 0 {
            self.refreshes.bound_us
        } else {
            Some(0)
        }
    }

    /// The next pool whose row is to get the age that comes with it, in µs, because it is above `stale_after_us` now. A
    /// caller that asks until there is none before it decides has exact decisions. FEAS-19. O(1) where there is none; else
    /// O(pools) for all of them.
    pub fn next_stale(&mut self, now_us: u64, stale_after_us: u64) -> Option<(PoolHandle, u64)> {
        if self.ageing.set_limit(stale_after_us) {
            for record in self.records.iter_mut() {
                record.marks.set(Marks::STALE, false);
            }
        }
        let (slot, _) = self.ageing.next_due(self.records, now_us, |record| record.stale_due_us(stale_after_us))?;
        let record = self.records.get_mut(index(slot))?;
        record.marks.set(Marks::STALE, true);
        let age_us = now_us.saturating_sub(record.observed_at_us.get());
        Some((PoolHandle { slot, generation: record.generation }, age_us))
    }

    fn record(&self, pool: PoolHandle) -> Option<&PoolRecord> {
        self.records.get(index(pool.slot)).filter(|record| record.is_of(pool))
    }
}

/// From the attempt after `attempts` others to the one that follows it: `min(cap, base * 2^attempts)`. REFRESH-1.
fn pause_after(attempts: u32, rules: &RefreshRules) -> u64 {
    let factor = 1u64.checked_shl(attempts).unwrap_or(u64::MAX);
    rules.base_us.saturating_mul(factor).min(rules.cap_us)
}

/// Walks all records when one may be due, and never otherwise.
///
/// Invariant: while no walk is under way, no record is due before the bound.
#[derive(Debug)]
struct Sweep {
    /// Where the walk goes on; 0 is none under way.
    at: u32,
    /// `None` is never.
    bound_us: Option<u64>,
    /// What due times are counted with.
    limit_us: u64,
}

impl Sweep {
    const IDLE: Self = Self { at: 0, bound_us: None, limit_us: 0 };

    /// Something is due at this time.
    fn arm(&mut self, due_us: Option<u64>) {
        self.bound_us = match (self.bound_us, due_us) {
            (Some(bound_us), Some(due_us)) => Some(bound_us.min(due_us)),
            (bound_us, due_us) => bound_us.or(due_us),
        };
    }

    /// Another limit moves all due times; says whether it is another.
    fn set_limit(&mut self, limit_us: u64) -> bool {
        let is_other = self.limit_us != limit_us;
        if is_other {
            *self = Self { at: 0, bound_us: Some(0), limit_us };
        }
        is_other
    }

    /// The next record that is due, and since when. The caller changes it so that it is due later.
    ///
    /// Ends: a walk from the first record to the last that finds nothing leaves a bound after `now_us`.
    fn next_due(
        &mut self,
        records: &[PoolRecord],
        now_us: u64,
        due_us: impl Fn(&PoolRecord) -> Option<u64>,
    ) -> Option<(u32, u64)> {
        loop {
            if self.at == 0 {
                self.bound_us.filter(|bound_us| *bound_us <= now_us)?;
                self.bound_us = None;
            }
            while let Some(record) = records.get(index(self.at)) {
                let slot = self.at;
                self.at = self.at.saturating_add(1);
                let due_us = due_us(record);
                match due_us {
                    Some(due_us) if due_us <= now_us => return Some((slot, due_us)),
                    later => self.arm(later),
                }
            }
            self.at = 0;
        }
    }
}
