//! The rules of placement, as functions of integers: no state, no allocation, no floats.
//!
//! Every backend, on whatever device, calls these same functions; the shells around them decide only in which order
//! pools are visited, which cannot matter because the winner is the minimum of a total order.
//!
//! Read them in this order: [`feasibility`] (may this pool take the job?), [`score`] (when would it end?),
//! [`key`] (which pool is best?). [`lane`] has the same arithmetic for columns. [`devices`] serves splits, [`rejection`] names what went wrong.
//!
//! ```
//! use orchestrator_core::rule::score::ScoreTerms;
//!
//! // 20 ms to the first token, 100 tokens at 50 tokens/s (20 ms each): 2.02 s.
//! let terms = ScoreTerms {
//!     admission_latency_us: 0,
//!     load_us: 0,
//!     first_token_us: Some(20_000),
//!     prefill_q10: 0,
//!     decode_q10: Some(20_000 * 1024),
//!     waves: 0,
//! };
//! assert_eq!(terms.end_us(0, 100), 2_020_000);
//! ```

pub mod devices;
pub mod feasibility;
pub mod key;
pub mod lane;
pub mod rejection;
pub mod score;
