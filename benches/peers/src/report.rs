//! What came out: a table for people, the same as JSON, and what each contestant computes.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use orchestrator_host::bench::Size;
use serde::Serialize;

use crate::contest::Kind;
use crate::machine::Machine;
use crate::rounds::Seconds;

/// One contestant at one size.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    kind: Kind,
    size: Size,
    contestant: String,
    /// The share of pairs whose pool can take the job.
    feasible: f64,
    /// Seconds of one decision, or of all jobs at once; the least and the median of the rounds.
    least_s: f64,
    median_s: f64,
    pairs_per_s: f64,
    /// How many times the time of the first line of its fleet and size.
    least_ratio: f64,
    median_ratio: f64,
    /// What shows that the time is that of the right answer.
    answer: String,
}

/// What is known of a contestant before it is measured.
pub(crate) struct Label {
    contestant: String,
    feasible: f64,
    answer: String,
}

impl Label {
    pub(crate) fn new(contestant: &str, feasible: f64, answer: String) -> Self {
        Self { contestant: contestant.to_owned(), feasible, answer }
    }
}

/// The lines of one fleet and size; the first contestant is what the others are compared with.
pub(crate) fn lines(kind: Kind, size: Size, labels: Vec<Label>, seconds: &[Seconds]) -> Vec<Line> {
    let Some(first) = seconds.first() else { return vec![] };
    let line = |(label, own): (Label, &Seconds)| Line {
        kind,
        size,
        contestant: label.contestant,
        feasible: label.feasible,
        least_s: own.least(),
        median_s: own.median(),
        pairs_per_s: size.pools as f64 * size.jobs as f64 / own.least(),
        least_ratio: own.least() / first.least(),
        median_ratio: own.median() / first.median(),
        answer: label.answer,
    };
    labels.into_iter().zip(seconds).map(line).collect()
}

/// What a contestant computes.
#[derive(Debug, Serialize)]
pub(crate) struct Computes {
    pub(crate) contestant: &'static str,
    pub(crate) what: &'static str,
}

/// Lines of one kind, under a heading.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    pub(crate) lines: Vec<Line>,
    pub(crate) computes: Vec<Computes>,
}

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) turn_ms: u64,
    pub(crate) sections: Vec<Section>,
}

impl Report {
    pub(crate) fn print(&self) {
        println!("{}", self.machine);
        println!(
            "{} rounds in turn, {} ms each; ratios are to the first line of a fleet and size",
            self.rounds, self.turn_ms
        );
        for section in &self.sections {
            println!("\n{}\n{}", section.heading, table(&section.lines));
            for Computes { contestant, what } in &section.computes {
                println!("{contestant}: {what}");
            }
        }
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "fleet",
        "size",
        "feasible",
        "who",
        "least us",
        "median us",
        "Gpairs/s",
        "x least",
        "x median",
        "answer",
    ]);
    for line in lines {
        table.add_row([
            line.kind.name().to_owned(),
            line.size.to_string(),
            format!("{:.1} %", line.feasible * 100.0),
            line.contestant.clone(),
            format!("{:.2}", line.least_s * 1e6),
            format!("{:.2}", line.median_s * 1e6),
            format!("{:.3}", line.pairs_per_s / 1e9),
            format!("{:.2}", line.least_ratio),
            format!("{:.2}", line.median_ratio),
            line.answer.clone(),
        ]);
    }
    for column in [1, 2, 4, 5, 6, 7, 8] {
        table.column_mut(column).into_iter().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    }
    table
}
