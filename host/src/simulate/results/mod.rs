//! What the outcomes of a run say: percentiles, goodput, refusals, utilisation, the error of predictions.
//!
//! Every number is over the requests that the name says, and every percentile is a value that occurred
//! ([`Distribution`]). A request that did not finish is in no time but counts against the goodput.

mod cells;
mod class_groups;
mod fairness;
mod percentile;
mod slo;
mod summary;
mod table;

pub(crate) use cells::factor;
pub(super) use cells::{milliseconds, percent, percent_or_none, signed_milliseconds};
pub use class_groups::ClassGroup;
pub use percentile::Distribution;
pub use slo::{Slo, SloError};
pub use summary::Summary;
pub use table::{class_table, table};

/// 0 of nothing.
fn permille(part: u64, whole: u64) -> u64 {
    (part * 1000).checked_div(whole).unwrap_or(0)
}
