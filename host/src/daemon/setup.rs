//! What a recording's header says beside capacities and policies: prices, as JSON. RECORD-1.

use serde::{Deserialize, Serialize};

use crate::input::Price;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    prices: Vec<PriceForm>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceForm {
    engine: Option<String>,
    model: Option<String>,
    micros_per_1000_tokens: u32,
}

/// The bytes for the header.
pub(super) fn setup_bytes(prices: &[Price]) -> Vec<u8> {
    let form = |price: &Price| {
        let Price { engine, model, micros_per_1000_tokens } = price.clone();
        PriceForm { engine, model, micros_per_1000_tokens }
    };
    let setup = Setup { prices: prices.iter().map(form).collect() };
    serde_json::to_vec(&setup).expect("texts and numbers are JSON")
}

/// The prices in the header's bytes.
pub(super) fn prices_of(setup: &[u8]) -> Result<Vec<Price>, serde_json::Error> {
    let setup: Setup = serde_json::from_slice(setup)?;
    let price = |form| {
        let PriceForm { engine, model, micros_per_1000_tokens } = form;
        Price { engine, model, micros_per_1000_tokens }
    };
    Ok(setup.prices.into_iter().map(price).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_back() {
        let exact =
            Price { engine: Some("vllm".to_owned()), model: Some("m \"1\"".to_owned()), micros_per_1000_tokens: 9 };
        for prices in [vec![], vec![Price { engine: None, model: None, micros_per_1000_tokens: u32::MAX }, exact]] {
            assert_eq!(prices_of(&setup_bytes(&prices)).unwrap(), prices);
        }
        for bad in [&b""[..], b"{}", b"{\"prices\":[],\"more\":1}", b"{\"prices\":[{}]}"] {
            assert!(prices_of(bad).is_err());
        }
    }
}
