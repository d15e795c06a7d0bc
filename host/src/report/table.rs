//! One decision as one row of a table with fixed columns, so that a stream of any length needs no memory.

use std::borrow::Cow;

use super::line::DecisionLine;

/// The heading over the rows of [`table_row`].
pub const TABLE_HEADER: &str = "job                              outcome      end ms      warm  pool, or why none";

/// The text with control characters as escapes: an id may hold any, and a row is one line of a terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escape = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(escape).collect::<String>().into()
}

/// The row of a line.
#[must_use]
pub fn table_row(line: &DecisionLine<'_>) -> String {
    let (end_ms, warm) = line.prediction();
    let end_ms = end_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
    let warm = if warm { "warm" } else { "-" };
    format!(
        "{:<32} {:<12} {end_ms:<11} {warm:<5} {}",
        printable(line.job_id.unwrap_or("-")),
        line.outcome,
        printable(&line.words())
    )
}
