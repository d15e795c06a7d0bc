//! Where answers and actions go: whole lines, and none in the middle of an input.

use std::io::{self, Write};
use std::path::Path;

use crate::cli::{Failure, load};
use crate::daemon::Said;
use crate::wire::{ActionLine, AnswerLine};

/// Output is written at the latest when there is this much of it.
const OUTPUT_BYTES: usize = 1 << 16;

/// Lines to be written.
pub(super) struct Output {
    target: Box<dyn Write>,
    name: String,
    kept: Vec<u8>,
}

impl Output {
    /// The file of that name, else standard output.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let name = path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
        Ok(Self { target: load::open_output(path)?, name, kept: Vec::new() })
    }

    pub(super) fn line(&mut self, line: &impl serde::Serialize) {
        serde_json::to_writer(&mut self.kept, line).expect("lines are JSON, and memory takes everything");
        self.kept.push(b'\n');
    }

    pub(super) fn say(&mut self, said: &Said<'_>) {
        match *said {
            Said::Answer { now_us, input, answer } => self.line(&AnswerLine::new(now_us, input, answer)),
            Said::Action { now_us, action } => self.line(&ActionLine::new(now_us, action)),
        }
    }

    pub(super) const fn is_much(&self) -> bool {
        self.kept.len() >= OUTPUT_BYTES
    }

    pub(super) fn write(&mut self) -> Result<(), Failure> {
        let written = self.target.write_all(&self.kept);
        self.kept.clear();
        written.map_err(|error| self.failure(&error))
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.write()?;
        self.target.flush().map_err(|error| self.failure(&error))
    }

    /// In words: a scheduler whose actions nobody reads has failed, where other commands have shown enough.
    fn failure(&self, error: &io::Error) -> Failure {
        let Self { name, .. } = self;
        if error.kind() == io::ErrorKind::BrokenPipe {
            return format!("{name}: nobody reads the answers any more").into();
        }
        format!("{name}: cannot be written: {error}").into()
    }
}
