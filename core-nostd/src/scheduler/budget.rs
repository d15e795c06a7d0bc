//! What a session, or a job alone, may use: reserved when a job is admitted, spent when it ends.
//!
//! A job's real use is known only at its end. A [`Ledger`] therefore holds back what admitted jobs will probably use,
//! so that two jobs that wait cannot both count on the same remainder. Rules: BUDGET-1 to BUDGET-4.
//!
//! ```
//! use orchestrator_core::BudgetLimits;
//! use orchestrator_core::scheduler::{BudgetAmounts, Ledger, UsageFacts};
//!
//! let mut ledger = Ledger::new(BudgetLimits { tokens: Some(500), ..BudgetLimits::default() });
//! let held = BudgetAmounts::at_admission(100, 200, 0);
//! ledger.reserve(held)?;
//! assert_eq!(ledger.remaining().tokens, Some(200));
//! assert_eq!(ledger.reserve(held).unwrap_err().field, "budget.tokens");
//!
//! let usage = UsageFacts { tokens_in: 100, tokens_out: 50, ..UsageFacts::default() };
//! ledger.settle(held, BudgetAmounts::used(&usage, 0));
//! assert_eq!(ledger.remaining().tokens, Some(350));
//! assert_eq!(ledger.remaining().cost_micros, None); // no limit
//! # Ok::<(), orchestrator_core::FieldError>(())
//! ```
//!
//! Invariants: what is reserved is exactly the sum of what admitted jobs hold, so it is 0 once all are settled; a
//! reservation is taken whole or not at all; what is left is never negative.

use super::event::UsageFacts;
use super::prices::cost_micros;
use crate::error::{FieldError, Problem};
use crate::input::BudgetLimits;
use crate::values::kept::Kept48;

/// An amount of each kind that a budget limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BudgetAmounts {
    /// Tokens.
    pub tokens: u64,
    /// Time in µs.
    pub time_us: u64,
    /// Cost in millionths of the currency.
    pub cost_micros: u64,
}

impl BudgetAmounts {
    /// Every job takes some time, so a budget without time left takes none: held from the admission until the dispatch
    /// knows more. BUDGET-2.
    pub(super) const SHORTEST_RUN_US: u64 = 1;

    /// Nothing of any kind.
    pub const ZERO: Self = Self { tokens: 0, time_us: 0, cost_micros: 0 };

    /// What a job holds from its admission on, at a price per 1,000 tokens in micros. BUDGET-2.
    #[must_use]
    pub fn at_admission(prompt_tokens: u32, output_tokens: u32, micros_per_1000_tokens: u32) -> Self {
        Self::of(prompt_tokens, output_tokens, Self::SHORTEST_RUN_US, micros_per_1000_tokens)
    }

    /// What a job that ended has spent, at the price of its admission. BUDGET-2.
    #[must_use]
    pub fn used(usage: &UsageFacts, micros_per_1000_tokens: u32) -> Self {
        Self::of(usage.tokens_in, usage.tokens_out, usage.run_us, micros_per_1000_tokens)
    }

    fn of(tokens_in: u32, tokens_out: u32, time_us: u64, micros_per_1000_tokens: u32) -> Self {
        // Two 32-bit counts: below 2^33.
        let tokens = u64::from(tokens_in).saturating_add(tokens_out.into());
        Self { tokens, time_us, cost_micros: cost_micros(tokens, micros_per_1000_tokens) }
    }
}

/// What a ledger keeps of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct KeptAmounts {
    tokens: Kept48,
    time_us: Kept48,
    cost_micros: Kept48,
}

impl KeptAmounts {
    #[inline(never)] // Small where it is called, and that is in many places.
    const fn new(amounts: BudgetAmounts) -> Self {
        let BudgetAmounts { tokens, time_us, cost_micros } = amounts;
        let (tokens, time_us) = (Kept48::at_most(tokens), Kept48::at_most(time_us));
        Self { tokens, time_us, cost_micros: Kept48::at_most(cost_micros) }
    }

    const fn get(self) -> BudgetAmounts {
        let Self { tokens, time_us, cost_micros } = self;
        BudgetAmounts { tokens: tokens.get(), time_us: time_us.get(), cost_micros: cost_micros.get() }
    }
}

/// The limits that are named, in half the bytes of their options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Limits {
    /// 0 where there is none.
    amounts: KeptAmounts,
    has_tokens: bool,
    has_time: bool,
    has_cost: bool,
}

impl Limits {
    const fn new(limits: BudgetLimits) -> Self {
        let (has_tokens, tokens) = parts(limits.tokens);
        let (has_time, time_us) = parts(limits.time_us);
        let (has_cost, cost_micros) = parts(limits.cost_micros);
        let amounts = KeptAmounts::new(BudgetAmounts { tokens, time_us, cost_micros });
        Self { amounts, has_tokens, has_time, has_cost }
    }

    const fn get(&self) -> BudgetLimits {
        let Self { amounts, has_tokens, has_time, has_cost } = *self;
        let amounts = amounts.get();
        BudgetLimits {
            tokens: if has_tokens { Some(amounts.tokens) } else { None },
            time_us: if has_time { Some(amounts.time_us) } else { None },
            cost_micros: if has_cost { Some(amounts.cost_micros) } else { None },
        }
    }
}

const fn parts(limit: Option<u64>) -> (bool, u64) {
    match limit {
        Some(limit) => (true, limit),
        None => (false, 0),
    }
}

/// A budget's limits, and what is spent and reserved of it: each is at most [`Ledger::AMOUNT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ledger {
    limits: Limits,
    spent: KeptAmounts,
    reserved: KeptAmounts,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(BudgetLimits::default())
    }
}

impl Ledger {
    /// The largest amount that is told from those above it: 2^64 - 1; with `small_tables` 2^48 - 1, which no limit of a
    /// job is above. UNIT-12.
    pub const AMOUNT_MAX: u64 = Kept48::MAX;

    /// Whether amounts come back as they were. UNIT-12.
    pub(super) const fn keeps(amounts: BudgetAmounts) -> bool {
        let BudgetAmounts { tokens, time_us, cost_micros } = amounts;
        Kept48::holds(tokens) && Kept48::holds(time_us) && Kept48::holds(cost_micros)
    }

    /// A ledger of which nothing is used.
    #[must_use]
    pub const fn new(limits: BudgetLimits) -> Self {
        Self::restored(limits, BudgetAmounts::ZERO)
    }

    /// A ledger of which this is spent. STATE-1.
    pub(super) const fn restored(limits: BudgetLimits, spent: BudgetAmounts) -> Self {
        Self {
            limits: Limits::new(limits),
            spent: KeptAmounts::new(spent),
            reserved: KeptAmounts::new(BudgetAmounts::ZERO),
        }
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> BudgetLimits {
        self.limits.get()
    }

    /// What jobs that ended have used.
    #[must_use]
    pub const fn spent(&self) -> BudgetAmounts {
        self.spent.get()
    }

    /// What jobs hold that have not ended.
    #[must_use]
    pub const fn reserved(&self) -> BudgetAmounts {
        self.reserved.get()
    }

    /// Puts the limits that are named in place of the former ones; the others stay. BUDGET-1.
    pub fn set_limits(&mut self, named: BudgetLimits) {
        let former = self.limits();
        self.limits = Limits::new(BudgetLimits {
            tokens: named.tokens.or(former.tokens),
            time_us: named.time_us.or(former.time_us),
            cost_micros: named.cost_micros.or(former.cost_micros),
        });
    }

    /// Holds `wanted` back for a job, all kinds or none.
    ///
    /// # Errors
    /// BUDGET-3: the first of `budget.tokens`, `budget.time_ms`, `budget.cost_micros` of which less than `wanted` is
    /// left; nothing changes.
    pub fn reserve(&mut self, wanted: BudgetAmounts) -> Result<(), FieldError> {
        let (limits, spent, reserved) = (self.limits(), self.spent(), self.reserved());
        fits("budget.tokens", 1, wanted.tokens, room(limits.tokens, spent.tokens, reserved.tokens))?;
        fits("budget.time_ms", 1000, wanted.time_us, room(limits.time_us, spent.time_us, reserved.time_us))?;
        let cost_room = room(limits.cost_micros, spent.cost_micros, reserved.cost_micros);
        fits("budget.cost_micros", 1, wanted.cost_micros, cost_room)?;
        // Exact: each sum is at most the limit, or fits where there is none.
        self.reserved = KeptAmounts::new(reserved.zip_with(wanted, u64::saturating_add));
        Ok(())
    }

    /// Holds back what a job held already, whatever the limits. STATE-1.
    ///
    /// # Errors
    /// The sum would not be exact; nothing changes.
    pub(super) fn reserve_again(&mut self, held: BudgetAmounts) -> Result<(), FieldError> {
        let mut unlimited = Self { reserved: self.reserved, ..Self::default() };
        unlimited.reserve(held)?;
        self.reserved = unlimited.reserved;
        Ok(())
    }

    /// Reserves the predicted time from start to end, in µs, in place of the time that a job `held`; says what it holds
    /// now.
    ///
    /// BUDGET-2: a dispatch is never refused for it, however little is left.
    #[must_use = "the job must settle what it holds now"]
    pub fn reserve_time(&mut self, held: BudgetAmounts, predicted_run_us: u64) -> BudgetAmounts {
        let time_us = predicted_run_us.max(BudgetAmounts::SHORTEST_RUN_US);
        let others_us = self.reserved.time_us.get().saturating_sub(held.time_us);
        match others_us.checked_add(time_us).filter(|&reserved_us| Kept48::holds(reserved_us)) {
            Some(reserved_us) => {
                self.reserved.time_us = Kept48::new(reserved_us);
                BudgetAmounts { time_us, ..held }
            }
            // A sum above what is kept would no longer be exact: the job goes on with what it held.
            None => held,
        }
    }

    /// Releases what a job `held`, and spends what it really used, be it more or less. BUDGET-2.
    pub fn settle(&mut self, held: BudgetAmounts, used: BudgetAmounts) {
        // Each job gives back what it took, so no difference is below 0. What is spent stays at the largest amount once it
        // gets there: no limit is above it.
        self.reserved = KeptAmounts::new(self.reserved().zip_with(held, u64::saturating_sub));
        self.spent = KeptAmounts::new(self.spent().zip_with(used, u64::saturating_add));
    }

    /// What is left of each limit: 0 where more is spent and reserved than it allows, none where there is no limit.
    /// BUDGET-4.
    #[must_use]
    pub fn remaining(&self) -> BudgetLimits {
        let (limits, spent, reserved) = (self.limits(), self.spent(), self.reserved());
        let left = |limit: Option<u64>, spent, reserved| limit.map(|limit| left(limit, spent, reserved));
        BudgetLimits {
            tokens: left(limits.tokens, spent.tokens, reserved.tokens),
            time_us: left(limits.time_us, spent.time_us, reserved.time_us),
            cost_micros: left(limits.cost_micros, spent.cost_micros, reserved.cost_micros),
        }
    }
}

impl BudgetAmounts {
    fn zip_with(self, other: Self, combine: fn(u64, u64) -> u64) -> Self {
        Self {
            tokens: combine(self.tokens, other.tokens),
            time_us: combine(self.time_us, other.time_us),
            cost_micros: combine(self.cost_micros, other.cost_micros),
        }
    }
}

/// BUDGET-3: refuses what is above the room; `per` stored units make one of the field's.
const fn fits(field: &'static str, per: u16, wanted: u64, left: u64) -> Result<(), FieldError> {
    if wanted > left { Err(FieldError::new(field, Problem::OverBudget { left, per })) } else { Ok(()) }
}

/// What may still be reserved: without a limit as much as can be counted, so that the sum is always exact.
fn room(limit: Option<u64>, spent: u64, reserved: u64) -> u64 {
    limit.map_or(left(Ledger::AMOUNT_MAX, 0, reserved), |limit| left(limit, spent, reserved))
}

const fn left(limit: u64, spent: u64, reserved: u64) -> u64 {
    limit.saturating_sub(spent).saturating_sub(reserved)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::input::{Budget, JobSpec};
    use crate::policy::Policy;

    const UNLIMITED: BudgetLimits = BudgetLimits { tokens: None, time_us: None, cost_micros: None };

    fn amounts(tokens: u64, time_us: u64, cost_micros: u64) -> BudgetAmounts {
        BudgetAmounts { tokens, time_us, cost_micros }
    }

    fn limits(tokens: impl Into<Option<u64>>, time_us: impl Into<Option<u64>>, cost: impl Into<Option<u64>>) -> Ledger {
        Ledger::new(BudgetLimits { tokens: tokens.into(), time_us: time_us.into(), cost_micros: cost.into() })
    }

    fn over(field: &'static str, left: u64, per: u16) -> Result<(), FieldError> {
        Err(FieldError::new(field, Problem::OverBudget { left, per }))
    }

    /// BUDGET-1: absent is unlimited and 0 is exhausted, on the way from the wire, too.
    #[test]
    fn absent_is_unlimited_and_zero_is_exhausted() {
        let budget_of = |budget| {
            let spec = JobSpec { budget, ..JobSpec::new("j", "e", "m") };
            spec.validate(&Policy::default(), None).unwrap().budget()
        };
        assert_eq!(budget_of(Budget::default()), UNLIMITED);
        let exhausted = Budget { tokens: Some(0), time_ms: Some(0.0), cost_micros: Some(0) };
        let zero = BudgetLimits { tokens: Some(0), time_us: Some(0), cost_micros: Some(0) };
        assert_eq!(budget_of(exhausted), zero);
        let some = Budget { tokens: Some(7), time_ms: Some(1.5), cost_micros: Some(9) };
        assert_eq!(budget_of(some), BudgetLimits { tokens: Some(7), time_us: Some(1_500), cost_micros: Some(9) });

        // Whatever kind is exhausted takes no job that would use some of it; every job uses time.
        let job = BudgetAmounts::at_admission(1, 0, 1);
        assert_eq!(Ledger::new(UNLIMITED).reserve(job), Ok(()));
        assert_eq!(limits(0, None, None).reserve(job), over("budget.tokens", 0, 1));
        assert_eq!(limits(None, 0, None).reserve(job), over("budget.time_ms", 0, 1000));
        assert_eq!(limits(None, None, 0).reserve(job), over("budget.cost_micros", 0, 1));
        let empty = BudgetAmounts::at_admission(0, 0, 1);
        assert_eq!(limits(0, None, 0).reserve(empty), Ok(()));
        assert_eq!(limits(None, 0, None).reserve(empty), over("budget.time_ms", 0, 1000));
    }

    /// BUDGET-1: a named limit replaces the former one, an unnamed one stays, what was spent stays spent.
    #[test]
    fn named_limits_replace_former_ones() {
        let mut ledger = limits(100, None, 50);
        ledger.settle(BudgetAmounts::ZERO, amounts(60, 0, 10));
        ledger.set_limits(BudgetLimits { tokens: Some(80), ..UNLIMITED });
        assert_eq!(ledger.remaining(), BudgetLimits { tokens: Some(20), time_us: None, cost_micros: Some(40) });
        ledger.set_limits(UNLIMITED);
        assert_eq!(ledger.limits(), BudgetLimits { tokens: Some(80), time_us: None, cost_micros: Some(50) });
        ledger.set_limits(BudgetLimits { tokens: Some(0), time_us: Some(5), cost_micros: None });
        assert_eq!(ledger.remaining(), BudgetLimits { tokens: Some(0), time_us: Some(5), cost_micros: Some(40) });
    }

    /// BUDGET-2: prompt and predicted output at admission; at the end what was used, and nothing by a job that never
    /// started.
    #[test]
    fn reserved_at_admission_and_spent_at_the_end() {
        let held = BudgetAmounts::at_admission(100, 21, 2_500);
        assert_eq!(held, amounts(121, 1, 303)); // 302.5, rounded up
        let usage = UsageFacts { tokens_in: 100, tokens_out: 1, run_us: 9_000, decode_us: 8_000 };
        assert_eq!(BudgetAmounts::used(&usage, 2_500), amounts(101, 9_000, 253)); // 252.5, rounded up
        assert_eq!(BudgetAmounts::used(&UsageFacts::default(), 2_500), BudgetAmounts::ZERO);

        let mut ledger = limits(1_000, 20_000, 1_000);
        ledger.reserve(held).unwrap();
        assert_eq!((ledger.reserved(), ledger.spent()), (held, BudgetAmounts::ZERO));
        ledger.settle(held, BudgetAmounts::used(&usage, 2_500));
        assert_eq!((ledger.reserved(), ledger.spent()), (BudgetAmounts::ZERO, amounts(101, 9_000, 253)));
        ledger.reserve(held).unwrap();
        ledger.settle(held, BudgetAmounts::ZERO);
        assert_eq!((ledger.reserved(), ledger.spent()), (BudgetAmounts::ZERO, amounts(101, 9_000, 253)));
    }

    /// BUDGET-2: a dispatch reserves its predicted time in place of the 1 µs, even where less is left.
    #[test]
    fn a_dispatch_reserves_its_time() {
        let mut ledger = limits(None, 1_000, None);
        let first = BudgetAmounts::at_admission(1, 1, 0);
        ledger.reserve(first).unwrap();
        ledger.reserve(first).unwrap();
        assert_eq!(ledger.remaining().time_us, Some(998));
        let first = ledger.reserve_time(first, 600);
        assert_eq!((first, ledger.remaining().time_us), (amounts(2, 600, 0), Some(399)));
        let second = ledger.reserve_time(amounts(2, 1, 0), 700);
        assert_eq!((second.time_us, ledger.remaining().time_us), (700, Some(0)));
        assert_eq!(ledger.reserve(BudgetAmounts::at_admission(0, 0, 0)), over("budget.time_ms", 0, 1000));
        ledger.settle(second, amounts(0, 10, 0));
        assert_eq!(ledger.remaining().time_us, Some(390));
        assert_eq!(ledger.reserve_time(first, 0).time_us, 1);
    }

    /// BUDGET-3: the first kind of which too little is left is named, with what is left; nothing changes.
    #[test]
    fn a_refusal_names_the_kind_and_changes_nothing() {
        let mut ledger = limits(100, 1_500, 10);
        ledger.reserve(amounts(40, 500, 4)).unwrap();
        ledger.settle(BudgetAmounts::ZERO, amounts(10, 200, 1));
        let before = ledger;
        let table = [
            (amounts(51, 801, 6), over("budget.tokens", 50, 1)),
            (amounts(50, 801, 6), over("budget.time_ms", 800, 1000)),
            (amounts(50, 800, 6), over("budget.cost_micros", 5, 1)),
        ];
        for (wanted, expected) in table {
            assert_eq!(ledger.reserve(wanted), expected);
            assert_eq!(ledger, before);
        }
        assert_eq!(ledger.reserve(amounts(50, 800, 5)), Ok(()));
    }

    /// BUDGET-4: limit less spent less reserved, 0 once more is used than the limit allows, none without one.
    #[test]
    fn what_is_left_is_never_negative() {
        let mut ledger = limits(100, None, 10);
        ledger.reserve(amounts(30, 1, 0)).unwrap();
        assert_eq!(ledger.remaining(), BudgetLimits { tokens: Some(70), time_us: None, cost_micros: Some(10) });
        ledger.settle(amounts(30, 1, 0), amounts(101, 5, 11));
        assert_eq!(ledger.remaining(), BudgetLimits { tokens: Some(0), time_us: None, cost_micros: Some(0) });
        assert_eq!(ledger.spent(), amounts(101, 5, 11));
        // Without a limit it stays none, however much is spent.
        ledger.settle(BudgetAmounts::ZERO, amounts(0, Ledger::AMOUNT_MAX, 0));
        assert_eq!(ledger.remaining().time_us, None);
        assert_eq!(ledger.reserve(amounts(0, 1, 0)), Ok(()));
    }

    /// What is reserved stays exact at the end of the number range: what cannot be counted is not taken.
    #[test]
    fn reservations_stay_exact_at_the_end_of_the_range() {
        let mut ledger = Ledger::new(UNLIMITED);
        let most = amounts(Ledger::AMOUNT_MAX, Ledger::AMOUNT_MAX - 1, 0);
        ledger.reserve(most).unwrap();
        assert_eq!(ledger.reserve(amounts(1, 0, 0)), over("budget.tokens", 0, 1));
        let small = amounts(0, 1, 0);
        ledger.reserve(small).unwrap();
        assert_eq!(ledger.reserve_time(small, 2), small);
        ledger.settle(small, small);
        ledger.settle(most, BudgetAmounts::ZERO);
        assert_eq!(ledger.reserved(), BudgetAmounts::ZERO);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Reserve([u64; 3]),
        ReserveTime(usize, u64),
        Settle(usize, [u64; 3]),
        SetLimits([Option<u64>; 3]),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let number = || prop_oneof![0u64..4, 0u64..1000, Just(Ledger::AMOUNT_MAX / 3), Just(u64::MAX)];
        let small = || [0u64..300, 0u64..300, 0u64..300];
        let step = prop_oneof![
            4 => small().prop_map(Step::Reserve),
            1 => [number(), number(), number()].prop_map(Step::Reserve),
            2 => (any::<usize>(), number()).prop_map(|(pick, time)| Step::ReserveTime(pick, time)),
            3 => (any::<usize>(), small()).prop_map(|(pick, used)| Step::Settle(pick, used)),
            1 => [proptest::option::of(0u64..1000), proptest::option::of(0u64..1000), proptest::option::of(0u64..1000)]
                .prop_map(Step::SetLimits),
        ];
        proptest::collection::vec(step, 0..120)
    }

    fn of([tokens, time_us, cost_micros]: [u64; 3]) -> BudgetAmounts {
        amounts(tokens, time_us, cost_micros)
    }

    fn list(amounts: BudgetAmounts) -> [u64; 3] {
        [amounts.tokens, amounts.time_us, amounts.cost_micros]
    }

    fn limit_list(limits: BudgetLimits) -> [Option<u64>; 3] {
        [limits.tokens, limits.time_us, limits.cost_micros]
    }

    const FIELDS: [&str; 3] = ["budget.tokens", "budget.time_ms", "budget.cost_micros"];

    /// A ledger in wide signed numbers, with a list of what every job holds.
    #[derive(Default)]
    struct Model {
        limits: [Option<u64>; 3],
        spent: [i128; 3],
        held: Vec<[u64; 3]>,
    }

    impl Model {
        fn reserved(&self, kind: usize) -> i128 {
            self.held.iter().map(|held| i128::from(held[kind])).sum()
        }

        fn left(&self, kind: usize) -> Option<i128> {
            self.limits[kind].map(|limit| i128::from(limit) - self.spent[kind] - self.reserved(kind))
        }

        fn refusal(&self, wanted: [u64; 3]) -> Option<&'static str> {
            let most = i128::from(Ledger::AMOUNT_MAX);
            (0..3)
                .find(|&kind| i128::from(wanted[kind]) > self.left(kind).unwrap_or(most - self.reserved(kind)).max(0))
                .map(|kind| FIELDS[kind])
        }
    }

    proptest! {
        /// BUDGET-1 to BUDGET-4: BUDGET-1, BUDGET-2, BUDGET-3 and BUDGET-4 hold for every sequence of calls.
        #[test]
        fn behaves_like_signed_sums(steps in steps()) {
            let mut ledger = Ledger::new(UNLIMITED);
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::Reserve(wanted) => {
                        let refused = ledger.reserve(of(wanted)).err().map(|error| error.field);
                        prop_assert_eq!(refused, model.refusal(wanted));
                        if refused.is_none() {
                            model.held.push(wanted);
                        }
                    }
                    Step::ReserveTime(pick, time_us) if !model.held.is_empty() => {
                        let pick = pick % model.held.len();
                        let before = model.held[pick];
                        let now = list(ledger.reserve_time(of(before), time_us));
                        model.held[pick][1] = time_us.max(1);
                        if model.reserved(1) > i128::from(Ledger::AMOUNT_MAX) {
                            model.held[pick] = before;
                        }
                        prop_assert_eq!(now, model.held[pick]);
                    }
                    Step::Settle(pick, used) if !model.held.is_empty() => {
                        let held = model.held.swap_remove(pick % model.held.len());
                        ledger.settle(of(held), of(used));
                        for (spent, used) in model.spent.iter_mut().zip(used) {
                            *spent += i128::from(used);
                        }
                    }
                    Step::ReserveTime(..) | Step::Settle(..) => {}
                    Step::SetLimits(named) => {
                        let [tokens, time_us, cost_micros] = named;
                        ledger.set_limits(BudgetLimits { tokens, time_us, cost_micros });
                        for (limit, named) in model.limits.iter_mut().zip(named) {
                            *limit = named.or(*limit);
                        }
                    }
                }
                let remaining = limit_list(ledger.remaining());
                for (kind, remaining) in remaining.into_iter().enumerate() {
                    prop_assert_eq!(i128::from(list(ledger.reserved())[kind]), model.reserved(kind));
                    prop_assert_eq!(i128::from(list(ledger.spent())[kind]), model.spent[kind]);
                    prop_assert_eq!(remaining.map(i128::from), model.left(kind).map(|left| left.max(0)));
                }
            }
            for held in model.held.drain(..) {
                ledger.settle(of(held), BudgetAmounts::ZERO);
            }
            prop_assert_eq!(ledger.reserved(), BudgetAmounts::ZERO);
        }
    }
}
