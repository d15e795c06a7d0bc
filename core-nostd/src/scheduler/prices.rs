//! What tokens cost, by engine and model, so that a budget can limit money.
//!
//! ```
//! use orchestrator_core::scheduler::{Price, Prices, cost_micros};
//!
//! // In ascending order of engine, then model; any comes before every name.
//! let table = [Price::new(None, None, 10)?, Price::new(Some("vllm"), Some("large"), 2_500)?];
//! let prices = Prices::new(&table)?;
//! assert_eq!(prices.micros_per_1000_tokens("VLLM", "large"), 2_500);
//! assert_eq!(prices.micros_per_1000_tokens("vllm", "small"), 10);
//! assert_eq!(cost_micros(401, 2_500), 1_003); // 1002.5, rounded up
//! # Ok::<(), orchestrator_core::FieldError>(())
//! ```
//!
//! Invariants: the table is in strictly ascending order, so no pair of names has two prices; engines are folded to
//! ASCII lower case. Rule: BUDGET-2.

use core::cmp::Ordering;

use crate::error::{FieldError, Problem};
use crate::limits::BYTES_MAX;
use crate::values::text::{Name, check_name, fold_case};

/// The name that stands for any: no engine and no model has it.
const ANY: &str = "";

// `cost_micros`: a product that does not fit 64 bits is a cost above the largest one.
const _: () = assert!(u64::MAX / 1000 > BYTES_MAX);

/// The cost of `tokens` in millionths of the currency: `ceil(tokens * price / 1000)`, at most 2^48 - 1. BUDGET-2.
#[must_use]
pub fn cost_micros(tokens: u64, micros_per_1000_tokens: u32) -> u64 {
    // Where the product saturates, the true cost is above 2^64 / 1000, so `min` gives the same for both.
    tokens.saturating_mul(micros_per_1000_tokens.into()).div_ceil(1000).min(BYTES_MAX)
}

/// The price of an engine's and a model's tokens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Price {
    engine: Name,
    model: Name,
    micros_per_1000_tokens: u32,
}

impl Price {
    /// A price in micros per 1,000 tokens; no engine, or no model, is any.
    ///
    /// # Errors
    /// A name that is empty or too long: `prices.engine`, `prices.model`. UNIT-5.
    pub fn new(engine: Option<&str>, model: Option<&str>, micros_per_1000_tokens: u32) -> Result<Self, FieldError> {
        let checked = |field, text: Option<&'_ str>| {
            text.map_or(Ok(()), check_name).map_err(|problem| FieldError::new(field, problem))
        };
        checked("prices.engine", engine)?;
        checked("prices.model", model)?;
        Ok(Self {
            // Both fit, because they were checked.
            engine: fold_case(engine.unwrap_or(ANY)).unwrap_or_default(),
            model: Name::try_from(model.unwrap_or(ANY)).unwrap_or_default(),
            micros_per_1000_tokens,
        })
    }

    /// How this price's names stand to others, the engine in any case.
    fn compare_names(&self, engine: &str, model: &str) -> Ordering {
        let folded = engine.bytes().map(|byte| byte.to_ascii_lowercase());
        self.engine.bytes().cmp(folded).then_with(|| self.model.as_str().cmp(model))
    }
}

/// A table of prices over its owner's storage; the default is empty, where everything is free.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prices<'a> {
    table: &'a [Price],
}

impl<'a> Prices<'a> {
    /// A table in ascending order of engine, then model. O(prices).
    ///
    /// # Errors
    /// Field `prices`: another order, or two prices for the same names.
    pub fn new(table: &'a [Price]) -> Result<Self, FieldError> {
        for (former, latter) in table.iter().zip(table.iter().skip(1)) {
            let problem = match former.compare_names(&latter.engine, &latter.model) {
                Ordering::Less => continue,
                Ordering::Equal => Problem::Repeated,
                Ordering::Greater => Problem::Malformed { expected: "prices in ascending order of engine, then model" },
            };
            return Err(FieldError::new("prices", problem));
        }
        Ok(Self { table })
    }

    /// The price of a job's tokens in micros per 1,000; 0 where none stands. O(log prices).
    ///
    /// BUDGET-2: the price of both names, else of the engine with any model, else of the model on any engine, else of
    /// any.
    #[must_use]
    pub fn micros_per_1000_tokens(&self, engine: &str, model: &str) -> u32 {
        let names = [(engine, model), (engine, ANY), (ANY, model), (ANY, ANY)];
        names.into_iter().find_map(|(engine, model)| self.find(engine, model)).unwrap_or(0)
    }

    fn find(&self, engine: &str, model: &str) -> Option<u32> {
        let place = self.table.binary_search_by(|price| price.compare_names(engine, model)).ok()?;
        self.table.get(place).map(|price| price.micros_per_1000_tokens)
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn price(engine: &str, model: &str, micros: u32) -> Price {
        Price::new((!engine.is_empty()).then_some(engine), (!model.is_empty()).then_some(model), micros).unwrap()
    }

    /// BUDGET-2: rounded up, and exact up to the largest cost.
    #[test]
    fn costs_are_rounded_up() {
        let table = [
            (0, 5, 0),
            (5, 0, 0),
            (1, 1, 1),
            (1_000, 1, 1),
            (1_001, 1, 2),
            (1_000, u32::MAX, 4_294_967_295),
            (BYTES_MAX, 1_000, BYTES_MAX),
            (BYTES_MAX, 1_001, BYTES_MAX),
            (u64::MAX, u32::MAX, BYTES_MAX),
        ];
        for (tokens, micros, cost) in table {
            assert_eq!(cost_micros(tokens, micros), cost, "{tokens} at {micros}");
        }
    }

    /// BUDGET-2: both names before any model before any engine before any of both.
    #[test]
    fn the_most_exact_price_counts() {
        let table = [price("", "", 1), price("", "m", 2), price("e", "", 3), price("E", "m", 4)];
        let cases = [("e", "m", [1, 2, 3, 4]), ("E", "x", [1, 1, 3, 3]), ("x", "m", [1, 2, 2, 2]), ("x", "M", [1; 4])];
        for (engine, model, expected) in cases {
            for (last, expected) in expected.into_iter().enumerate() {
                let prices = Prices::new(&table[..=last]).unwrap();
                assert_eq!(prices.micros_per_1000_tokens(engine, model), expected, "{engine} {model} {last}");
            }
        }
        assert_eq!(Prices::default().micros_per_1000_tokens("e", "m"), 0);
        // An explicit 0 is a price, and hides the less exact ones.
        let free = [price("", "", 1), price("e", "m", 0)];
        assert_eq!(Prices::new(&free).unwrap().micros_per_1000_tokens("e", "m"), 0);
    }

    /// BUDGET-2: a table that could answer two ways is none.
    #[test]
    fn unsorted_and_repeated_prices_are_refused() {
        let refused = |table: &[Price]| Prices::new(table).unwrap_err();
        assert_eq!(refused(&[price("a", "m", 1), price("A", "m", 2)]).problem, Problem::Repeated);
        let unsorted = refused(&[price("a", "", 1), price("b", "", 1), price("a", "m", 1)]);
        assert_eq!(unsorted.field, "prices");
        assert!(matches!(unsorted.problem, Problem::Malformed { .. }));
    }

    #[test]
    fn names_are_checked() {
        let long = "x".repeat(129);
        let table = [
            (Some(""), None, "prices.engine"),
            (None, Some(""), "prices.model"),
            (Some(long.as_str()), None, "prices.engine"),
            (None, Some(long.as_str()), "prices.model"),
        ];
        for (engine, model, field) in table {
            assert_eq!(Price::new(engine, model, 1).unwrap_err().field, field);
        }
        assert!(Price::new(Some(&long[1..]), Some(&long[1..]), 1).is_ok());
    }

    proptest! {
        /// BUDGET-2: the same as in wide numbers.
        #[test]
        fn costs_are_those_of_wide_numbers(tokens in any::<u64>(), shift in 0u32..64, micros in any::<u32>()) {
            let tokens = tokens >> shift;
            let exact = (u128::from(tokens) * u128::from(micros)).div_ceil(1000);
            prop_assert_eq!(u128::from(cost_micros(tokens, micros)), exact.min(u128::from(BYTES_MAX)));
        }

        /// BUDGET-2: the same as a walk over the whole table.
        #[test]
        fn finds_what_a_walk_finds(
            names in proptest::collection::btree_map(("[ab]{0,2}", "[mnM]{0,2}"), any::<u32>(), 0..20),
            engine in "[abAB]{1,2}",
            model in "[mnM]{1,2}",
        ) {
            let table: Vec<Price> = names.iter().map(|((e, m), micros)| price(e, m, *micros)).collect();
            let prices = Prices::new(&table).unwrap();
            let folded = engine.to_lowercase();
            let matching = |e: &String, m: &String| (e.is_empty() || *e == folded) && (m.is_empty() || *m == model);
            let best = names
                .iter()
                .filter(|((e, m), _)| matching(e, m))
                .max_by_key(|((e, m), _)| (!e.is_empty(), !m.is_empty()));
            let expected = best.map_or(0, |(_, micros)| *micros);
            prop_assert_eq!(prices.micros_per_1000_tokens(&engine, &model), expected);
        }
    }
}
