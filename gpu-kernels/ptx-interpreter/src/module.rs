//! A parsed module: the one thing that a text becomes.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::entry::Entry;
use crate::parse::error::ParseError;
use crate::parse::parse;
use crate::program::Program;

/// Numbers modules, so that a device's memory knows whose variables it holds.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A text of PTX, checked and decoded.
#[derive(Debug)]
pub struct Module {
    pub(crate) program: Program,
    pub(crate) number: u64,
    entries: Vec<Entry>,
}

impl Module {
    /// Decodes a text.
    ///
    /// # Errors
    /// The first line that is not PTX of the subset.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (program, entries) = parse(text)?;
        Ok(Self { program, number: NEXT.fetch_add(1, Ordering::Relaxed), entries })
    }

    /// Its entries, in the order of the text.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entry of a name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name() == name)
    }
}
