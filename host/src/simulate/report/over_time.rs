//! How full the queue and the pools were, at the highest load: the same axes for all policies.

use super::ShownRun;
use super::axis::{Axis, load_text, whole};
use super::markup::{figure, legend};
use super::palette;
use super::plot::{Line, Plot, PlotError};
use crate::simulate::request::Sample;
use crate::simulate::results::ClassGroup;

const SIZE: (u32, u32) = (540, 190);
/// More points than this no eye resolves.
const POINTS_MAX: usize = 240;

pub(super) fn section(runs: &[ShownRun], groups: &[ClassGroup]) -> Result<String, PlotError> {
    let Some(load) = runs.iter().map(|run| run.summary.load_permille).max() else {
        return Ok(String::new());
    };
    let shown: Vec<_> = runs.iter().filter(|run| run.summary.load_permille == load).collect();
    let samples = || shown.iter().flat_map(|run| &run.samples);
    let clock = Axis::of_clock(samples().map(|sample| sample.at_us).max().unwrap_or(0));
    let most_waiting = samples().map(|sample| sample.waiting).max().unwrap_or(0);
    let counts = Axis::of_counts(most_waiting.into());
    let busy: Vec<_> = shown.iter().map(|run| busy_lines(run, groups)).collect();
    let most_busy = busy.iter().flatten().flat_map(|line| &line.points).map(|(_, busy)| busy.unsigned_abs()).max();
    let shares = Axis::of_shares_up_to(most_busy.unwrap_or(0));
    let mut figures = String::new();
    for (run, busy) in shown.iter().zip(busy) {
        let name = &run.summary.policy;
        if most_waiting > 0 {
            let points = points(&run.samples, |part| part.iter().map(|sample| sample.waiting.into()).max());
            let queue = Line { name: None, colour: palette::neutral(), points };
            figures += &draw(&format!("{name}: requests that wait"), &clock, &counts, vec![queue])?;
        }
        figures += &draw(&format!("{name}: slots in use"), &clock, &shares, busy)?;
    }
    let waiting = if most_waiting > 0 {
        "First of each pair, requests that have no slot yet, in the policy's queue or in an engine's: the most of each \
         interval. Second, slots"
    } else {
        "No request waited at any time that was looked at. Slots"
    };
    let names: Vec<_> = groups.iter().map(|group| format!("{} ({} slots in all)", group.name, group.slots)).collect();
    let entries = names.iter().enumerate().map(|(number, name)| (palette::of_group(number).class, &**name));
    Ok(format!(
        "<section>\n<h2>Over time, at {}</h2>\n<p>{waiting} in use per class of pools, the busiest by themselves: the mean \
         of each interval. All plots of a kind have one scale.</p>\n{}<div class=\"plots\">\n{figures}</div>\n</section>\n",
        load_text(load),
        legend(entries)
    ))
}

fn busy_lines(run: &ShownRun, groups: &[ClassGroup]) -> Vec<Line> {
    let line = |(number, group): (usize, &ClassGroup)| Line {
        name: None,
        colour: palette::of_group(number),
        points: points(&run.samples, |part| {
            let busy: u64 = part.iter().map(|sample| group.busy_slots(sample)).sum();
            (busy * 1000).checked_div(group.slots * part.len() as u64)
        }),
    };
    groups.iter().enumerate().map(line).collect()
}

fn draw(title: &str, clock: &Axis, y: &Axis, lines: Vec<Line>) -> Result<String, PlotError> {
    if lines.iter().all(|line| line.points.is_empty()) {
        return Ok(figure(title, "", None));
    }
    let svg = Plot { size: SIZE, x: clock.clone(), y: y.clone(), lines, has_marks: false }.svg()?;
    Ok(figure(title, "", Some(&svg)))
}

/// One value for each of at most [`POINTS_MAX`] equal parts of the samples, at its first time.
fn points(samples: &[Sample], value: impl Fn(&[Sample]) -> Option<u64>) -> Vec<(i64, i64)> {
    let parts = samples.chunks(samples.len().div_ceil(POINTS_MAX).max(1));
    parts.filter_map(|part| Some((whole(part.first()?.at_us), whole(value(part)?)))).collect()
}
