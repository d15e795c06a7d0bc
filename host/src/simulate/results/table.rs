//! Runs beside each other, for a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use super::{ClassGroup, Summary, milliseconds, percent, percent_or_none, signed_milliseconds};
use crate::report::printable;

const HEADINGS: [&str; 17] = [
    "load",
    "policy",
    "finished",
    "goodput",
    "on time",
    "fair",
    "ttft p50",
    "ttft p99",
    "e2e p50",
    "e2e p99",
    "queue p50",
    "queue p99",
    "start error",
    "end error",
    "kv hits",
    "busy",
    "digest",
];

/// A line for each run. Times are in ms, shares in %, errors of forecasts in ms at the 10th, 50th and 90th percentile.
#[must_use]
pub fn table<'s>(summaries: impl IntoIterator<Item = &'s Summary>) -> String {
    let headings = HEADINGS.map(str::to_owned).to_vec();
    let row = |summary: &Summary| {
        vec![
            percent(summary.load_permille.into()),
            summary.policy.clone(),
            format!("{}/{}", summary.finished, summary.requests),
            percent(summary.goodput_permille),
            percent_or_none(summary.on_time_permille),
            percent_or_none(summary.fairness_permille),
            milliseconds(&summary.first_token_us, 500),
            milliseconds(&summary.first_token_us, 990),
            milliseconds(&summary.end_to_end_us, 500),
            milliseconds(&summary.end_to_end_us, 990),
            milliseconds(&summary.queue_us, 500),
            milliseconds(&summary.queue_us, 990),
            errors(&summary.start_error_us),
            errors(&summary.end_error_us),
            percent(summary.cached_permille),
            percent(summary.busy_permille),
            format!("{:016x}", summary.digest),
        ]
    };
    lines(headings, summaries.into_iter().map(row))
}

/// A line for each run: slots in use, in %, of each group of classes of pools.
#[must_use]
pub fn class_table<'s>(summaries: impl IntoIterator<Item = &'s Summary>, groups: &[ClassGroup]) -> String {
    let names = groups.iter().map(|group| printable(&group.name).into_owned());
    let headings = ["load", "policy"].map(str::to_owned).into_iter().chain(names);
    let row = |summary: &Summary| {
        let mut cells = vec![percent(summary.load_permille.into()), summary.policy.clone()];
        cells.extend(groups.iter().map(|group| percent(group.busy_permille(summary))));
        cells
    };
    lines(headings.collect(), summaries.into_iter().map(row))
}

/// All columns but the second, the name, end on the right.
fn lines(headings: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let columns = headings.len();
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(headings).add_rows(rows);
    for column in (0..columns).filter(|&column| column != 1) {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Of none, one mark.
fn errors(errors_us: &super::Distribution<i64>) -> String {
    if errors_us.is_empty() {
        return "-".to_owned();
    }
    [100, 500, 900].map(|permille| signed_milliseconds(errors_us, permille)).join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::results::Distribution;

    #[test]
    fn a_line_for_each_run() {
        let summary = Summary {
            policy: "ours".to_owned(),
            load_permille: 1500,
            requests: 4,
            finished: 3,
            unfinished: [("pool_lost", 1)].into(),
            first_token_us: [1500, 2500, 900_000].into_iter().collect(),
            end_to_end_us: [10_000, 20_000, 30_001].into_iter().collect(),
            queue_us: Distribution::default(),
            start_error_us: Distribution::default(),
            end_error_us: [-1500, 0, 2000].into_iter().collect(),
            goodput_permille: 505,
            on_time_permille: None,
            fairness_permille: Some(999),
            cached_permille: 0,
            busy_permille: 123,
            busy_permille_by_class: vec![123],
            span_us: 1,
            decisions: 4,
            digest: 0xab,
        };
        let text = table(&[summary.clone(), Summary { policy: "random".to_owned(), ..summary }]);
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let times = ["3", "900", "20", "31", "-", "-", "-", "-2/0/2"];
        let numbers = [&["3/4", "50.5", "-", "99.9"][..], &times, &["0.0", "12.3", "00000000000000ab"]].concat();
        assert_eq!(lines[1], [&["150.0", "ours"][..], &numbers].concat());
        assert_eq!(lines[2], [&["150.0", "random"][..], &numbers].concat());
        assert_eq!(lines.len(), 3);
    }
}
