//! One decision as one row of a table with fixed columns, so that a stream of any length needs no memory.

use super::line::DecisionLine;

/// The heading over the rows of [`table_row`].
pub const TABLE_HEADER: &str = "job                              outcome      end ms      warm  pool, or why none";

/// The row of a line.
#[must_use]
pub fn table_row(line: &DecisionLine<'_>) -> String {
    let (end_ms, warm) = line.prediction();
    let end_ms = end_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
    let warm = if warm { "warm" } else { "-" };
    format!("{:<32} {:<12} {end_ms:<11} {warm:<5} {}", line.job_id.unwrap_or("-"), line.outcome, line.words())
}
