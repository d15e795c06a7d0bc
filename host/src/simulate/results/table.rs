//! Runs beside each other, for a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use super::{Distribution, Summary};

const HEADINGS: [&str; 12] = [
    "load",
    "policy",
    "finished",
    "goodput",
    "ttft p50",
    "ttft p99",
    "e2e p50",
    "e2e p99",
    "queue p99",
    "kv hits",
    "busy",
    "digest",
];

/// A line for each run. Times are in ms, shares in %.
#[must_use]
pub fn table(summaries: &[Summary]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(HEADINGS);
    for summary in summaries {
        table.add_row([
            percent(summary.load_permille.into()),
            summary.policy.clone(),
            format!("{}/{}", summary.finished, summary.requests),
            percent(summary.goodput_permille),
            millis(&summary.first_token_us, 500),
            millis(&summary.first_token_us, 990),
            millis(&summary.end_to_end_us, 500),
            millis(&summary.end_to_end_us, 990),
            millis(&summary.queue_us, 990),
            percent(summary.cached_permille),
            percent(summary.busy_permille),
            format!("{:016x}", summary.digest),
        ]);
    }
    for column in (0..HEADINGS.len()).filter(|&column| column != 1) {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn percent(permille: u64) -> String {
    format!("{}.{}", permille / 10, permille % 10)
}

fn millis(times: &Distribution, permille: u32) -> String {
    times.permille(permille).map_or_else(|| "-".to_owned(), |time_us| time_us.div_ceil(1000).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            end_error_us: Distribution::default(),
            goodput_permille: 505,
            cached_permille: 0,
            busy_permille: 123,
            span_us: 1,
            decisions: 4,
            digest: 0xab,
        };
        let text = table(&[summary.clone(), Summary { policy: "random".to_owned(), ..summary }]);
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let numbers = ["3/4", "50.5", "3", "900", "20", "31", "-", "0.0", "12.3", "00000000000000ab"];
        assert_eq!(lines[1], [&["150.0", "ours"][..], &numbers].concat());
        assert_eq!(lines[2], [&["150.0", "random"][..], &numbers].concat());
        assert_eq!(lines.len(), 3);
    }
}
