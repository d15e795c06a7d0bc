//! How far predictions were from what came, of the policies that predict.

use super::ShownRun;
use super::axis::{Axis, load_text, whole};
use super::markup::{Cell, escaped, figure, legend, table};
use super::palette;
use super::plot::{Line, Plot, PlotError};
use crate::simulate::results::{Distribution, Summary, signed_milliseconds};

const SIZE: (u32, u32) = (540, 300);
/// Points of a line: one for each of these shares.
const STEP_PERMILLE: usize = 5;

/// Which errors of a run.
type Errors = fn(&Summary) -> &Distribution<i64>;

/// Nothing where nobody predicts.
pub(super) fn section(runs: &[ShownRun]) -> Result<String, PlotError> {
    let predicts = |of: &&Summary| !of.start_error_us.is_empty() || !of.end_error_us.is_empty();
    let mut shown: Vec<&Summary> = runs.iter().map(|run| &run.summary).filter(predicts).collect();
    if shown.is_empty() {
        return Ok(String::new());
    }
    shown.sort_by_key(|of| of.load_permille);
    let mut names: Vec<&str> = shown.iter().map(|of| &*of.policy).collect();
    names.sort_unstable();
    names.dedup();
    let mut plots = String::new();
    for name in names {
        let own: Vec<_> = shown.iter().copied().filter(|of| of.policy == name).collect();
        plots += &of_policy(name, &own)?;
    }
    let headings = ["load", "policy", "starts", "p10", "p50", "p90", "ends", "p10", "p50", "p90"];
    let rows = shown.iter().map(|of| {
        let mut row = vec![load_text(of.load_permille).into(), of.policy.clone().into()];
        row.extend(cells(&of.start_error_us));
        row.extend(cells(&of.end_error_us));
        row
    });
    Ok(format!(
        "<section>\n<h2>Forecasts</h2>\n<p>How much later than predicted requests got a slot and ended; negative is earlier. \
         A curve that is steep at 0 is \
         a good forecast. Table in ms; policies that are not here predict \
         nothing.</p>\n{plots}{}</section>\n",
        table(headings, 2, rows)
    ))
}

fn of_policy(name: &str, runs: &[&Summary]) -> Result<String, PlotError> {
    // As many as there are colours, the lowest and the highest load among them.
    let wanted = runs.len().min(palette::STEPS_MAX);
    let picked: Vec<_> = (0..wanted).map(|number| runs[number * (runs.len() - 1) / (wanted - 1).max(1)]).collect();
    let colours: Vec<_> = (0..wanted).map(|number| palette::of_step(number, wanted)).collect();
    let loads: Vec<_> = picked.iter().map(|of| load_text(of.load_permille)).collect();
    let entries = colours.iter().zip(&loads).map(|(colour, load)| (colour.class.clone(), &**load));
    let mut figures = String::new();
    let kinds: [(&str, Errors); 2] = [("start", |of| &of.start_error_us), ("end", |of| &of.end_error_us)];
    for (kind, errors) in kinds {
        let edges = picked.iter().flat_map(|of| [errors(of).permille(0), errors(of).permille(1000)]).flatten();
        let (least, most) = (edges.clone().min().unwrap_or(0), edges.max().unwrap_or(0));
        let lines = picked.iter().zip(&colours).map(|(of, colour)| Line {
            name: None,
            colour: colour.clone(),
            points: shares(errors(of)),
        });
        let (x, y) = (Axis::of_errors(least, most), Axis::of_shares());
        let svg = Plot { size: SIZE, x, y, lines: lines.collect(), has_marks: false }.svg()?;
        let title = format!("{name}: error of the {kind}");
        figures += &figure(&title, "share of requests with at most this; log scale", Some(&svg));
    }
    Ok(format!("<h3>{}</h3>\n{}<div class=\"plots\">\n{figures}</div>\n", escaped(name), legend(entries)))
}

/// The share of errors up to each.
fn shares(errors_us: &Distribution<i64>) -> Vec<(i64, i64)> {
    let permilles = (0..=1000_u32).step_by(STEP_PERMILLE);
    permilles.filter_map(|permille| Some((errors_us.permille(permille)?, whole(permille.into())))).collect()
}

/// How many there are, and three of them.
fn cells(errors_us: &Distribution<i64>) -> impl Iterator<Item = Cell> {
    let count = errors_us.values().len().to_string();
    let errors = [100, 500, 900].map(|permille| signed_milliseconds(errors_us, permille));
    std::iter::once(count).chain(errors).map(Cell::from)
}
