//! All runs in numbers.

use super::ShownRun;
use super::axis::load_text;
use super::markup::{Cell, escaped, table};
use crate::simulate::results::{ClassGroup, Distribution, Slo, Summary, milliseconds, percent, percent_or_none};

const HEADINGS: [&str; 17] = [
    "load",
    "policy",
    "finished",
    "goodput %",
    "on time %",
    "fairness %",
    "first token p50",
    "p90",
    "p99",
    "end to end p50",
    "p90",
    "p99",
    "queue p50",
    "p99",
    "KV hits %",
    "slots in use %",
    "digest",
];

pub(super) fn section(runs: &[ShownRun], groups: &[ClassGroup], slo: &Slo) -> String {
    let summaries: Vec<&Summary> = runs.iter().map(|run| &run.summary).collect();
    let rows = summaries.iter().map(|of| row(of, &summaries));
    let mut html = format!(
        "<section>\n<h2>All runs</h2>\n<p>Times in ms. Goodput: the share of all requests that finished with {}, and within \
         their deadline where they have one. Fairness: Jain's index of the shares of kept promises over sessions, or over \
         priorities where there are no sessions. Queue: until a request was sent to a pool. The best of each load is \
         bold.</p>\n{}",
        escaped(&slo.to_string()),
        table(HEADINGS, 2, rows)
    );
    html += "<h3>Slots in use, per class of pools, in %</h3>\n";
    let headings = ["load", "policy"].into_iter().chain(groups.iter().map(|group| &*group.name));
    let rows = summaries.iter().map(|of| {
        let mut cells = names(of);
        cells.extend(groups.iter().map(|group| Cell::from(percent(group.busy_permille(of)))));
        cells
    });
    html += &table(headings, 2, rows);
    let rows: Vec<_> = summaries.iter().flat_map(|of| unfinished(of)).collect();
    html += "<h3>What did not finish</h3>\n";
    html += &if rows.is_empty() {
        "<p>Everything finished.</p>\n".to_owned()
    } else {
        table(["load", "policy", "reason", "requests"], 3, rows)
    };
    html + "</section>\n"
}

fn names(of: &Summary) -> Vec<Cell> {
    vec![load_text(of.load_permille).into(), of.policy.clone().into()]
}

fn row(of: &Summary, all: &[&Summary]) -> Vec<Cell> {
    let rivals: Vec<_> = all.iter().filter(|other| other.load_permille == of.load_permille).collect();
    let is_contest = rivals.len() > 1;
    let time = |times: fn(&Summary) -> &Distribution, permille: u32| {
        let own = times(of).permille(permille);
        let least = rivals.iter().filter_map(|other| times(other).permille(permille)).min();
        Cell::best_if(is_contest && own.is_some() && own == least, milliseconds(times(of), permille))
    };
    let is_most = rivals.iter().all(|other| other.goodput_permille <= of.goodput_permille);
    let mut cells = names(of);
    cells.extend([
        format!("{}/{}", of.finished, of.requests).into(),
        Cell::best_if(is_contest && is_most, percent(of.goodput_permille)),
        percent_or_none(of.on_time_permille).into(),
        percent_or_none(of.fairness_permille).into(),
    ]);
    cells.extend([500, 900, 990].map(|permille| time(|of| &of.first_token_us, permille)));
    cells.extend([500, 900, 990].map(|permille| time(|of| &of.end_to_end_us, permille)));
    cells.extend([500, 990].map(|permille| Cell::from(milliseconds(&of.queue_us, permille))));
    cells.extend([
        percent(of.cached_permille).into(),
        percent(of.busy_permille).into(),
        format!("{:016x}", of.digest).into(),
    ]);
    cells
}

fn unfinished(of: &Summary) -> impl Iterator<Item = Vec<Cell>> {
    of.unfinished.iter().map(|(why, count)| {
        let mut cells = names(of);
        cells.extend([Cell::from((*why).to_owned()), count.to_string().into()]);
        cells
    })
}
