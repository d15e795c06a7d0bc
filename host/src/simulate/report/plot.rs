//! Lines over two axes, drawn as SVG by `plotters`.

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::coord::combinators::BindKeyPoints;
use plotters::drawing::{DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Text};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoTextStyle};

use super::axis::Axis;
use super::markup::speakable;
use super::palette::{self, Colour};

/// Room on the right for the names of lines, and between the end of a line and its name.
const NAMES_WIDTH: i32 = 104;
const NAME_GAP: i32 = 14;
/// Between two names.
const NAME_HEIGHT: i32 = 14;
const TOP: i32 = 10;
const X_LABELS: i32 = 26;
/// The drawn height of letters is less by 1.24: 12 px.
const LETTERS: f64 = 12.0 * 1.24;

/// A plot that cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("a plot cannot be drawn: {0}")]
pub struct PlotError(String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

/// A line through values.
pub(super) struct Line {
    /// What stands at its end, if anything.
    pub(super) name: Option<String>,
    pub(super) colour: Colour,
    /// Values, not positions.
    pub(super) points: Vec<(i64, i64)>,
}

/// Lines over two axes.
pub(super) struct Plot {
    pub(super) size: (u32, u32),
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// Whether each value has a mark.
    pub(super) has_marks: bool,
}

impl Plot {
    /// As the text of one element.
    pub(super) fn svg(&self) -> Result<String, PlotError> {
        let mut text = String::new();
        self.draw(SVGBackend::with_string(&mut text, self.size))?;
        Ok(text)
    }

    fn draw(&self, backend: SVGBackend<'_>) -> Result<(), PlotError> {
        let root = backend.into_drawing_area();
        let has_names = self.lines.iter().any(|line| line.name.is_some());
        let mut chart = ChartBuilder::on(&root)
            .margin_top(TOP)
            .margin_right(if has_names { NAMES_WIDTH } else { 16 })
            .x_label_area_size(X_LABELS)
            .y_label_area_size(58)
            .build_cartesian_2d(
                self.x.range().with_key_points(self.x.marked()),
                self.y.range().with_key_points(self.y.marked()),
            )?;
        let ink = palette::ink();
        let letters = ("sans-serif", LETTERS, &ink).into_text_style(&root);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .set_all_tick_mark_size(4)
            .bold_line_style(palette::grid())
            .axis_style(palette::axis())
            .label_style(letters.clone())
            .x_label_formatter(&|at| self.x.label(*at))
            .y_label_formatter(&|at| self.y.label(*at))
            .draw()?;
        let mut ends = Vec::new();
        // The first on top.
        for line in self.lines.iter().rev() {
            let style = line.colour.light.stroke_width(2);
            let points = || line.points.iter().map(|&(x, y)| (self.x.position(x), self.y.position(y)));
            chart.draw_series(LineSeries::new(points(), style))?;
            if self.has_marks {
                chart.draw_series(points().map(|at| Circle::new(at, 3, line.colour.light.filled())))?;
            }
            if let (Some(name), Some(end)) = (&line.name, points().next_back()) {
                ends.push((chart.backend_coord(&end), name, style));
            }
        }
        let letters = letters.pos(Pos::new(HPos::Left, VPos::Center));
        let bottom = i32::try_from(self.size.1).unwrap_or(i32::MAX) - X_LABELS;
        ends.sort_by_key(|((_, y), ..)| *y);
        let heights = spread(&ends.iter().map(|((_, y), ..)| *y).collect::<Vec<_>>(), bottom);
        for (((x, y), name, style), height) in ends.into_iter().zip(heights) {
            root.draw(&PathElement::new([(x + 4, y), (x + NAME_GAP - 2, height)], style))?;
            // The backend escapes what it writes.
            root.draw(&Text::new(speakable(name), (x + NAME_GAP, height), letters.clone()))?;
        }
        Ok(root.present()?)
    }
}

/// Moves ascending heights apart, as little as it takes, so that no name stands on another or below the bottom.
///
/// Names that would touch make a block, whose middle is the mean of what it stands for.
fn spread(heights: &[i32], bottom: i32) -> Vec<i32> {
    // Each height without the room of the names above it: of these, neighbours out of order become one.
    let mut blocks: Vec<(i32, i32)> = Vec::with_capacity(heights.len());
    for (above, height) in (0..).zip(heights) {
        let mut block = (height - above * NAME_HEIGHT, 1);
        while let Some((sum, count)) = blocks.pop_if(|(sum, count)| *sum * block.1 > block.0 * *count) {
            block = (block.0 + sum, block.1 + count);
        }
        blocks.push(block);
    }
    let means = blocks.into_iter().flat_map(|(sum, count)| (0..count).map(move |_| sum / count));
    let mut spread: Vec<i32> = (0..).zip(means).map(|(above, mean)| mean + above * NAME_HEIGHT).collect();
    let mut limit = bottom;
    for height in spread.iter_mut().rev() {
        *height = (*height).min(limit);
        limit = *height - NAME_HEIGHT;
    }
    let mut limit = TOP;
    for height in &mut spread {
        *height = (*height).max(limit);
        limit = *height + NAME_HEIGHT;
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_apart() {
        assert_eq!(spread(&[10, 50], 200), [10, 50]);
        // Around 101, not from it downwards; the far one stays.
        assert_eq!(spread(&[100, 101, 102, 160], 200), [87, 101, 115, 160]);
        assert_eq!(spread(&[10, 10], 200), [10, 24]);
        assert_eq!(spread(&[190, 199, 200], 200), [172, 186, 200]);
        assert_eq!(spread(&[], 200), [0; 0]);
    }

    #[test]
    fn labels_stand_in_the_svg() {
        let line = |name: &str, y| Line {
            name: Some(name.to_owned()),
            colour: palette::of_policy(name, 0),
            points: vec![(1000, y), (2000, y)],
        };
        let plot = Plot {
            size: (520, 300),
            x: Axis::of_loads([1000, 2000]),
            y: Axis::of_shares(),
            lines: vec![line("<ours>", 250), line("smg", 1000)],
            has_marks: true,
        };
        let svg = plot.svg().unwrap();
        for text in ["&lt;ours&gt;", "smg", "1\u{d7}", "2\u{d7}", "0 %", "25 %", "100 %"] {
            assert!(svg.contains(&format!("\n{text}\n</text>")), "{text}: {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 4);
        // Without a line there are still axes.
        assert!(Plot { lines: vec![], ..plot }.svg().unwrap().contains("100 %"));
    }
}
