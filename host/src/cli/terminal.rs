//! What is shown to a person while a long run goes on: on a terminal only, on standard error only.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Says a line on standard error. What no one listens to is no failure: the exit code tells the rest.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(stderr().lock(), "{line}");
}

/// A bar over `bytes` of input; hidden when standard error is no terminal.
pub(super) fn progress_over(bytes: Option<u64>) -> ProgressBar {
    let bar = bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    if !stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        return bar;
    }
    let template = "{bar:40} {bytes}/{total_bytes} {elapsed} (ETA {eta}) {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
