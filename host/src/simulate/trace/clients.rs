//! Clients with a rate and a pattern of arrivals per ten minutes, and lengths per six hours: requests are drawn.
//!
//! A client's requests of a window are as many as its rate says, rounded by a draw; the gaps between them have the shape
//! of the pattern, and fill the window. A length is drawn from the published quantiles, linear between them; below the
//! median the line starts where it gives the published mean.
//!
//! Invariants: requests are drawn in the order of rows, so that a window that is not wanted changes no other client's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orchestrator_core::limits::TOKENS_MAX;

use super::error::TraceError;
use super::part::Part;
use super::sampling::Pattern;
use crate::import::Refusals;
use crate::import::tables::{BadCell, Row, Table};
use crate::random::Random;
use crate::simulate::request::Arrival;

const WINDOW_US: u64 = 600_000_000;
/// The most seconds that a window can start at: ten years.
const START_MAX_S: u64 = 315_360_000;
/// The most requests per second of one client, so that a slip cannot ask for more memory than there is.
const RATE_MAX: f64 = 10_000.0;

/// The windows of a table of clients.
pub(super) struct Windows {
    path: PathBuf,
    rows: Vec<(u64, Window)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    client: u64,
    start_s: u64,
    rate_rps: f64,
    pattern: Pattern,
}

pub(super) fn read_windows(mut table: Table, path: PathBuf, refused: &mut Refusals) -> Result<Windows, TraceError> {
    let mut windows = Windows { path, rows: Vec::new() };
    while let Some(row) = table.next_row(refused)? {
        match window(&row) {
            Ok(window) => windows.rows.push((row.line(), window)),
            Err(bad) => row.refuse(bad, refused),
        }
    }
    Ok(windows)
}

fn window(row: &Row<'_>) -> Result<Window, BadCell> {
    let number = |column| row.number(column)?.ok_or_else(|| BadCell::new(column, "is blank"));
    let rate_rps = number("rate_rps")?;
    if rate_rps > RATE_MAX {
        return Err(BadCell::new("rate_rps", format!("is {rate_rps}, above {RATE_MAX}")));
    }
    let shape = number("p1")?;
    // Far below what any client shows, a power of it would be no number.
    if shape < 0.001 {
        return Err(BadCell::new("p1", format!("is {shape}, a shape below 0.001")));
    }
    let pattern = match row.required("pattern")? {
        "Gamma" => Pattern::Gamma { shape },
        "Weibull" => Pattern::Weibull { shape },
        _ => return Err(BadCell::new("pattern", "is neither Gamma nor Weibull")),
    };
    Ok(Window { client: client(row)?, start_s: start(row)?, rate_rps, pattern })
}

fn client(row: &Row<'_>) -> Result<u64, BadCell> {
    row.required_integer("client_id", u64::MAX)
}

fn start(row: &Row<'_>) -> Result<u64, BadCell> {
    row.required_integer("window_start_s", START_MAX_S)
}

/// The lengths of clients, by client and start of the window.
pub(super) type Lengths = BTreeMap<(u64, u64), (Quantiles, Quantiles)>;

pub(super) fn read_lengths(mut table: Table, refused: &mut Refusals) -> Result<Lengths, TraceError> {
    let mut lengths = Lengths::new();
    while let Some(row) = table.next_row(refused)? {
        let read = || {
            let input = Quantiles::of(&row, ["in_mean", "in_p50", "in_p90", "in_p99", "in_max"])?;
            let output = Quantiles::of(&row, ["out_mean", "out_p50", "out_p90", "out_p99", "out_max"])?;
            Ok(((client(&row)?, start(&row)?), (input, output)))
        };
        match read() {
            Ok((key, both)) => drop(lengths.insert(key, both)),
            Err(bad) => row.refuse(bad, refused),
        }
    }
    Ok(lengths)
}

/// Thousandths of all requests, and the tokens that so many have at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantiles([(u64, u64); 5]);

impl Quantiles {
    fn of(row: &Row<'_>, columns: [&'static str; 5]) -> Result<Self, BadCell> {
        let [mean, p50, p90, p99, max] = columns;
        let tokens = |column| row.required_integer(column, u64::from(TOKENS_MAX));
        let mean = row.number(mean)?.ok_or_else(|| BadCell::new(mean, "is blank"))?;
        let points = [(500, tokens(p50)?), (900, tokens(p90)?), (990, tokens(p99)?), (1000, tokens(max)?)];
        if points.windows(2).any(|pair| pair[0].1 > pair[1].1) {
            return Err(BadCell::new(p90, "and the quantiles beside it do not rise"));
        }
        Ok(Self::with_mean(mean, points))
    }

    /// The start of the lowest line, so that the mean of all is `mean`, as far as tokens between 1 and the median can.
    fn with_mean(mean: f64, points: [(u64, u64); 4]) -> Self {
        // In units of half a thousandth: a line's mean is half the sum of its ends.
        let above: u64 = points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1)).sum();
        let median = points[0].1;
        // 500 (start + median) + above = 2000 mean.
        let start = (2000.0 * mean - above as f64) / 500.0 - median as f64;
        let start = start.clamp(1.0_f64.min(median as f64), median as f64) as u64;
        let [p50, p90, p99, max] = points;
        Self([(0, start), p50, p90, p99, max])
    }

    fn draw(&self, random: &mut Random) -> u32 {
        // In millionths, so that the long tail has more than ten values.
        let place = random.below(1_000_000);
        let pair = self.0.windows(2).find(|pair| place < pair[1].0 * 1000);
        let tokens = pair.map_or(self.0[4].1, |pair| {
            let [(from, low), (to, high)] = [pair[0], pair[1]];
            low + (high - low) * (place - from * 1000) / ((to - from) * 1000)
        });
        u32::try_from(tokens).unwrap_or(TOKENS_MAX)
    }
}

/// Draws the requests of all windows that are wanted.
pub(super) fn draw(
    windows: &Windows,
    lengths: &Lengths,
    part: &mut Part<'_>,
    refused: &mut Refusals,
) -> Result<(), TraceError> {
    let model = part.served(None)?;
    for (line, window) in &windows.rows {
        let Some((input, output)) = lengths_of(lengths, window) else {
            let why = format!("{} has no lengths", window.client);
            refused.push(&windows.path, *line, "client_id", why);
            continue;
        };
        let start_us = window.start_s * 1_000_000;
        let wanted = &part.ask.within_us;
        if start_us >= wanted.end || start_us + WINDOW_US <= wanted.start {
            part.left_out += 1;
            continue;
        }
        // Its own numbers, whatever other windows are wanted.
        let mut random = Random::of(part.ask.seed ^ window.start_s, window.client);
        for offset_us in arrivals(window, &mut random) {
            let (prompt, tokens) = (input.draw(&mut random), output.draw(&mut random));
            if let Some(at_us) = part.place(start_us + offset_us) {
                let request = part.request(Arrival::At { at_us }, model, prompt, tokens);
                part.requests.push(request);
            }
        }
    }
    Ok(())
}

/// The client's lengths of that time, or the latest before it, or its first.
fn lengths_of<'l>(lengths: &'l Lengths, window: &Window) -> Option<&'l (Quantiles, Quantiles)> {
    let before = lengths.range((window.client, 0)..=(window.client, window.start_s)).next_back();
    let first = || lengths.range((window.client, 0)..=(window.client, u64::MAX)).next();
    before.or_else(first).map(|(_, both)| both)
}

/// Times from the window's start.
fn arrivals(window: &Window, random: &mut Random) -> Vec<u64> {
    let expected = window.rate_rps * (WINDOW_US as f64 / 1e6);
    let count = expected as u64 + u64::from(expected.fract() * 1e6 > random.below(1_000_000) as f64);
    // One gap more than requests: behind the last one the window goes on.
    let gaps: Vec<f64> = (0..=count).map(|_| window.pattern.gap(random)).collect();
    let total: f64 = gaps.iter().sum();
    let mut sum = 0.0;
    let times = gaps.iter().take(gaps.len() - 1).map(|gap| {
        sum += gap;
        // Where all gaps are too small for a number, all requests come at once.
        let share = if total > 0.0 { sum / total } else { 0.0 };
        ((share * WINDOW_US as f64) as u64).min(WINDOW_US - 1)
    });
    times.collect()
}
