//! The list `[[price]]`: what tokens cost, by engine and model. BUDGET-2.

use std::collections::BTreeSet;

use orchestrator_core::limits::NAME_BYTES_MAX;
use toml::{Table, Value};

use super::PolicyFileError;
use super::knobs::Knobs;
use super::values::narrow;

/// What tokens of an engine and a model cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The engine; `None` is any.
    pub engine: Option<String>,
    /// The model; `None` is any.
    pub model: Option<String>,
    /// Millionths of the currency per 1,000 tokens.
    pub micros_per_1000_tokens: u32,
}

impl Knobs<'_> {
    pub(super) fn prices(&self) -> Result<Vec<Price>, PolicyFileError> {
        let entries = self.get("price").and_then(Value::as_array).into_iter().flatten();
        let mut seen = BTreeSet::new();
        let mut prices = Vec::new();
        for entry in entries.filter_map(Value::as_table) {
            let price = self.price(entry)?;
            // Engines are one without regard to case (UNIT-5).
            let engine = price.engine.as_ref().map(|engine| engine.to_ascii_lowercase());
            if !seen.insert((engine, price.model.clone())) {
                return Err(self.refused("price"));
            }
            prices.push(price);
        }
        Ok(prices)
    }

    fn price(&self, entry: &Table) -> Result<Price, PolicyFileError> {
        let name = |key: &'static str, value: Option<&Value>| match value {
            None => Ok(None),
            Some(Value::String(name)) if (1..=NAME_BYTES_MAX).contains(&name.len()) => Ok(Some(name.clone())),
            Some(other) => Err(self.refused_value(key, Some(other))),
        };
        let micros = entry.get("micros_per_1000_tokens");
        let price = micros.and_then(narrow::<u32>);
        Ok(Price {
            engine: name("price.engine", entry.get("engine"))?,
            model: name("price.model", entry.get("model"))?,
            micros_per_1000_tokens: price.ok_or_else(|| self.refused_value("price.micros_per_1000_tokens", micros))?,
        })
    }
}
