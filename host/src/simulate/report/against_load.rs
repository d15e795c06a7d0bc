//! What users saw, against load: one line a policy.

use super::ShownRun;
use super::axis::{Axis, load_text, whole};
use super::markup::{escaped, figure};
use super::palette;
use super::plot::{Line, Plot, PlotError};
use crate::simulate::results::{Distribution, Summary, percent};

const SIZE: (u32, u32) = (540, 300);

/// Shorter times are shown as this: nobody feels the difference, and a logarithm would make much of it.
const SHORTEST_US: u64 = 1000;

/// What a plot shows of a run.
type Shown = fn(&Summary) -> Option<u64>;

pub(super) fn section(runs: &[ShownRun]) -> Result<String, PlotError> {
    let times: [(&str, Shown); 5] = [
        ("First token, p50", |of| of.first_token_us.permille(500)),
        ("First token, p99", |of| of.first_token_us.permille(990)),
        ("End to end, p50", |of| of.end_to_end_us.permille(500)),
        ("End to end, p99", |of| of.end_to_end_us.permille(990)),
        ("Wait for a place, p99", |of| of.queue_us.permille(990)),
    ];
    let mut figures = String::new();
    for (title, shown) in times {
        if runs.iter().all(|run| shown(&run.summary) == Some(0)) {
            continue;
        }
        let lines = lines_of(runs, |of| shown(of).map(|time_us| time_us.max(SHORTEST_US)));
        let times: Vec<_> = lines.iter().flat_map(|line| &line.points).map(|(_, time)| time.unsigned_abs()).collect();
        figures += &draw(title, "log scale, from 1 ms", runs, lines, Axis::of_times(times))?;
    }
    let goodput = lines_of(runs, |of| Some(of.goodput_permille));
    figures += &draw("Goodput", "of all requests", runs, goodput, Axis::of_shares())?;
    let on_time = lines_of(runs, |of| of.on_time_permille);
    if on_time.iter().any(|line| !line.points.is_empty()) {
        figures += &draw("On time", "of requests with a deadline", runs, on_time, Axis::of_shares())?;
    }
    Ok(format!(
        "<section>\n<h2>Against load</h2>\n<p>Load is how many times as fast requests come as in the trace. Times are of \
         those requests that got so far; goodput counts all.</p>\n{}<div class=\"plots\">\n{figures}</div>\n</section>\n",
        best(runs)
    ))
}

fn draw(title: &str, note: &str, runs: &[ShownRun], lines: Vec<Line>, y: Axis) -> Result<String, PlotError> {
    if lines.iter().all(|line| line.points.is_empty()) {
        return Ok(figure(title, note, None));
    }
    let x = Axis::of_loads(runs.iter().map(|run| run.summary.load_permille));
    let svg = Plot { size: SIZE, x, y, lines, has_marks: true }.svg()?;
    Ok(figure(title, note, Some(&svg)))
}

/// Per policy, in the order in which they ran, by load.
fn lines_of(runs: &[ShownRun], shown: impl Fn(&Summary) -> Option<u64>) -> Vec<Line> {
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        if !names.contains(&&*run.summary.policy) {
            names.push(&run.summary.policy);
        }
    }
    let line = |(number, name): (usize, &str)| {
        let own = runs.iter().map(|run| &run.summary).filter(|summary| summary.policy == name);
        let point = |summary: &Summary| Some((i64::from(summary.load_permille), whole(shown(summary)?)));
        let mut points: Vec<_> = own.filter_map(point).collect();
        points.sort_by_key(|(load, _)| *load);
        Line { name: Some(name.to_owned()), colour: palette::of_policy(name, number), points }
    };
    names.into_iter().enumerate().map(line).collect()
}

/// Who was best at each load; nothing where there is nobody to be better than.
fn best(runs: &[ShownRun]) -> String {
    let mut loads: Vec<u32> = runs.iter().map(|run| run.summary.load_permille).collect();
    loads.sort_unstable();
    loads.dedup();
    let lines = loads.into_iter().filter_map(|load| {
        let own: Vec<_> = runs.iter().map(|run| &run.summary).filter(|summary| summary.load_permille == load).collect();
        if own.len() < 2 {
            return None;
        }
        let goodput = own.iter().map(|of| of.goodput_permille).max()?;
        let most = named(&own, |of| of.goodput_permille == goodput);
        let least = |title: &str, times: fn(&Summary) -> &Distribution| {
            let p99 = |of: &Summary| times(of).permille(990);
            let least_us = own.iter().filter_map(|of| p99(of)).min()?;
            let by = named(&own, |of| p99(of) == Some(least_us));
            Some(format!("; {title} p99 {} ms with {by}", least_us.div_ceil(1000)))
        };
        let first = least("least first token", |of| &of.first_token_us).unwrap_or_default();
        let end = least("least end to end", |of| &of.end_to_end_us).unwrap_or_default();
        let load = load_text(load);
        Some(format!("<li><b>{load}</b>: most goodput {} % with {most}{first}{end}</li>\n", percent(goodput)))
    });
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("<ul class=\"best\">\n{lines}</ul>\n") }
}

fn named(summaries: &[&Summary], is_best: impl Fn(&Summary) -> bool) -> String {
    let names: Vec<_> = summaries.iter().filter(|of| is_best(of)).map(|of| escaped(&of.policy)).collect();
    if names.len() == summaries.len() { "all".to_owned() } else { names.join(", ") }
}
