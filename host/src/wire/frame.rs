//! The frame `metrics` of a token stream.
//!
//! ```
//! use orchestrator_host::wire::{BudgetsLeft, MetricsFrame};
//!
//! let frame = MetricsFrame::new(Some(925), 3, true, BudgetsLeft { tokens: Some(1_000), ..BudgetsLeft::default() });
//! let expected = "event: metrics\n\
//!     data: {\"on_time_probability\":0.925,\"queue_depth\":3,\"kv_warmth\":true,\"tokens_budget_remaining\":1000}\n\n";
//! assert_eq!(frame.to_sse(), expected);
//! ```

use serde::{Deserialize, Serialize};

use super::probability;

/// How a job and its session stand. Additive: readers ignore fields that they do not know, and none but the depth and
/// the warmth need be there. WIRE-7.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricsFrame {
    /// The chance of meeting the deadline, 0 to 1; advisory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_time_probability: Option<f64>,
    /// Jobs that wait.
    pub queue_depth: u32,
    /// Whether the session's KV cache is there.
    pub kv_warmth: bool,
    /// Tokens that the session may still use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_budget_remaining: Option<u64>,
    /// Time that it may still use, rounded down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_budget_remaining_ms: Option<u64>,
    /// What it may still cost, in units of the currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_budget_remaining: Option<f64>,
}

/// What is left of a session's budgets; `None` is unlimited. BUDGET-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetsLeft {
    /// Tokens.
    pub tokens: Option<u64>,
    /// Time in µs.
    pub time_us: Option<u64>,
    /// Cost in millionths.
    pub cost_micros: Option<u64>,
}

impl MetricsFrame {
    /// A frame of these numbers; `on_time_permille` is that of FORECAST-4.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "costs are below 2^48")]
    pub fn new(on_time_permille: Option<u16>, queue_depth: u32, kv_warmth: bool, left: BudgetsLeft) -> Self {
        Self {
            on_time_probability: on_time_permille.map(probability),
            queue_depth,
            kv_warmth,
            tokens_budget_remaining: left.tokens,
            time_budget_remaining_ms: left.time_us.map(|us| us / 1000),
            cost_budget_remaining: left.cost_micros.map(|micros| micros as f64 / 1_000_000.0),
        }
    }

    /// The frame as a server-sent event.
    #[must_use]
    pub fn to_sse(&self) -> String {
        let data = serde_json::to_string(self).expect("numbers and flags are JSON");
        format!("event: metrics\ndata: {data}\n\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // WIRE-7: names and units of every field; absent is unlimited or unknown.
    #[test]
    fn frames() {
        let left = BudgetsLeft { tokens: Some(0), time_us: Some(1_999), cost_micros: Some(1_500_000) };
        let frame = MetricsFrame::new(Some(1_000), 4, false, left);
        let expected = json!({ "on_time_probability": 1.0, "queue_depth": 4, "kv_warmth": false,
            "tokens_budget_remaining": 0, "time_budget_remaining_ms": 1, "cost_budget_remaining": 1.5 });
        assert_eq!(serde_json::to_value(frame).unwrap(), expected);
        let bare = MetricsFrame::new(None, 0, true, BudgetsLeft::default());
        assert_eq!(serde_json::to_value(bare).unwrap(), json!({ "queue_depth": 0, "kv_warmth": true }));
        for frame in [frame, bare] {
            assert_eq!(serde_json::from_str::<MetricsFrame>(&serde_json::to_string(&frame).unwrap()).unwrap(), frame);
            assert_eq!(frame.to_sse().matches('\n').count(), 3);
        }
        // A newer sender says more.
        let newer = json!({ "queue_depth": 1, "human": "soon", "prep": {} });
        assert_eq!(serde_json::from_value::<MetricsFrame>(newer).unwrap().queue_depth, 1);
    }
}
