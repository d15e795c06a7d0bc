//! What the outcomes of a run say: percentiles, goodput, refusals, utilisation, the error of predictions.
//!
//! Every number is over the requests that the name says, and every percentile is a value that occurred
//! ([`Distribution`]). A request that did not finish is in no time but counts against the goodput.

mod percentile;
mod slo;
mod summary;
mod table;

pub use percentile::Distribution;
pub use slo::{Slo, SloError};
pub use summary::Summary;
pub use table::table;
