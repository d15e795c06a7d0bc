//! A simulation to show to others: one HTML file with plots and tables, which needs neither a network nor a script.
//!
//! ```text
//! Setting, runs ─▶ sections (against load, over time, forecasts, tables) ─▶ Plot ─▶ Axis ─▶ SVG ─▶ one page
//! ```
//!
//! Invariants: the same runs give the same bytes on every machine, for nothing here reads a clock and positions are whole
//! numbers (`axis`); every text that comes from a file is escaped where it enters the page (`markup`); the page is
//! well-formed XML too; nothing in it names a place outside, but for the name space of SVG.

mod against_load;
mod axis;
mod forecasts;
mod markup;
mod over_time;
mod palette;
mod plot;
mod runs;
mod setting;

use crate::simulate::request::Sample;
use crate::simulate::results::{ClassGroup, Summary};

pub use plot::PlotError;
pub use setting::Setting;

/// How the page looks, light and dark.
const STYLE: &str = include_str!("style.css");

/// What is shown of a run.
#[derive(Debug, Clone)]
pub struct ShownRun {
    /// Its numbers.
    pub summary: Summary,
    /// How full queue and pools were.
    pub samples: Vec<Sample>,
}

/// The page.
///
/// # Errors
/// A plot that cannot be drawn.
pub fn html(setting: &Setting<'_>, runs: &[ShownRun]) -> Result<String, PlotError> {
    let groups = ClassGroup::of(setting.fleet, runs.iter().map(|run| &run.summary));
    let sections = [
        setting::section(setting),
        against_load::section(runs)?,
        over_time::section(runs, &groups)?,
        forecasts::section(runs)?,
        runs::section(runs, &groups, &setting.slo),
    ];
    Ok(format!(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{title}</title>\n\
         <style>\n{colours}{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{sections}</main>\n</body>\n</html>\n",
        title = setting.title(),
        colours = palette::css(),
        sections = sections.concat(),
    ))
}

#[cfg(test)]
mod tests;
