//! What is shown to a person while a long run goes on: on a terminal only, on standard error only.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::observe::LogWriter;

/// Where lines go while log lines go to standard error: behind those, and no one waits for long.
static LOG: OnceLock<LogWriter> = OnceLock::new();

/// From now on lines go behind the log's.
pub(super) fn say_behind(log: LogWriter) {
    // A process has one log.
    let _ = LOG.set(log);
}

/// Says a line on standard error. What no one listens to is no failure: the exit code tells the rest.
pub(super) fn say(line: impl Display) {
    match LOG.get() {
        Some(log) => log.say(&line.to_string()),
        None => drop(writeln!(stderr().lock(), "{line}")),
    }
}

/// The last lines are written, if somebody reads them.
pub(super) fn finish() {
    if let Some(log) = LOG.get() {
        log.finish();
    }
}

/// A bar over `bytes` of input; hidden when standard error is no terminal.
pub(super) fn progress_over(bytes: Option<u64>) -> ProgressBar {
    progress(bytes, "{bar:40} {bytes}/{total_bytes} {elapsed} (ETA {eta}) {msg}")
}

/// A bar over `count` pieces of work; hidden when standard error is no terminal.
pub(super) fn progress_of(count: u64) -> ProgressBar {
    progress(Some(count), "{bar:40} {pos}/{len} {elapsed} (ETA {eta}) {msg}")
}

fn progress(length: Option<u64>, template: &str) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    if !stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        return bar;
    }
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("eta", write_eta));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Nothing is known before the first piece is done.
fn write_eta(state: &ProgressState, to: &mut dyn std::fmt::Write) {
    // A line that cannot be drawn is drawn again.
    let _ = match state.pos() {
        0 => to.write_str("unknown"),
        _ => write!(to, "{:#}", HumanDuration(state.eta())),
    };
}
