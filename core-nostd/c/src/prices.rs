//! What tokens cost, so that a budget can limit money. Rule: BUDGET-2 of `docs/spec.md`.
//!
//! Invariant: a list is checked as a whole before anything is written anywhere.

use orchestrator_core::scheduler::{Price, Prices};

use crate::codes::Fault;
use crate::text::{items, oc_text};

/// No list has more entries.
pub(crate) const PRICES_MAX: usize = 1 << 16;

/// What the tokens of a model on an engine cost. Part of a list: it never grows.
///
/// The price of both names counts, else that of the engine with any model, else that of the model on any engine, else that
/// of any; without one, tokens are free.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_price {
    /// The engine, in any case; absent is any. In a list any comes first, then names in ascending order of their bytes, in
    /// lower case.
    pub engine: oc_text,
    /// The model; absent is any. Where the engine is the same, any comes first, then names in ascending order of their bytes.
    pub model_id: oc_text,
    /// Millionths of the currency for 1,000 tokens.
    pub micros_per_1000_tokens: u32,
}

impl oc_price {
    /// # Safety
    /// As [`oc_text::read`], for both texts.
    unsafe fn read(&self) -> Result<Price, Fault> {
        // SAFETY: the caller's promise.
        let (engine, model) = unsafe { (self.engine.read("prices.engine")?, self.model_id.read("prices.model")?) };
        Ok(Price::new(engine, model, self.micros_per_1000_tokens)?)
    }
}

/// The prices that a caller points to, checked.
pub(crate) struct PriceList<'a> {
    items: &'a [oc_price],
}

impl PriceList<'_> {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { items: &[] };

    /// # Safety
    /// `first` is null, misaligned or points to `count` prices; they and what they point to stay as they are for as long as
    /// the list.
    pub(crate) unsafe fn read(first: *const oc_price, count: usize) -> Result<Self, Fault> {
        // SAFETY: the caller's promise.
        let items = unsafe { items(first, count, "prices", PRICES_MAX) }?;
        let mut former: Option<Price> = None;
        for item in items {
            // SAFETY: the caller's promise covers the texts of each.
            let price = unsafe { item.read() }?;
            if let Some(former) = former {
                Prices::new(&[former, price.clone()])?;
            }
            former = Some(price);
        }
        Ok(Self { items })
    }

    /// Every price, in the list's order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Price> {
        // SAFETY: those who made the list promised that it stays as it was when it was checked.
        self.items.iter().map_while(|item| unsafe { item.read() }.ok())
    }
}
