//! Names as numbers, in fixed storage.
//!
//! Numbers are only compared for equality. When the table is full, names that no pool uses any more make room.

use heapless::{String, Vec};

use crate::directory::NameKind;
use crate::error::Problem;
use crate::limits::{EXTENSIONS_MAX, NAME_BYTES_MAX, QUANTIZATIONS_MAX};
use crate::rows::NameId;
use crate::values::index::position;

#[derive(Debug, Clone)]
struct Entry<const BYTES: usize> {
    number: u32,
    kind: NameKind,
    name: String<BYTES, u8>,
    /// Seen since [`NameTable::begin`]: spared by [`NameTable::retain`], though no row uses it yet.
    fresh: bool,
}

impl<const BYTES: usize> Entry<BYTES> {
    fn is_called(&self, kind: NameKind, name: &str) -> bool {
        let stored = self.name.as_str();
        self.kind == kind && if ignores_case(kind) { stored.eq_ignore_ascii_case(name) } else { stored == name }
    }
}

/// At most `N` names of all kinds, of at most `BYTES` bytes each.
#[derive(Debug, Clone, Default)]
pub(super) struct NameTable<const N: usize, const BYTES: usize> {
    entries: Vec<Entry<BYTES>, N>,
}

impl<const N: usize, const BYTES: usize> NameTable<N, BYTES> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Starts an update: from here on, names that are interned are in use.
    pub(super) fn begin(&mut self) {
        for entry in &mut self.entries {
            entry.fresh = false;
        }
    }

    /// The number of a name, if the table has it.
    pub(super) fn find(&self, kind: NameKind, name: &str) -> Option<NameId> {
        let entry = self.entries.iter().find(|entry| entry.is_called(kind, name))?;
        Some(NameId(entry.number))
    }

    /// The name with a number, if the table has it.
    pub(super) fn name(&self, kind: NameKind, id: NameId) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.kind == kind && entry.number == id.0)?;
        Some(entry.name.as_str())
    }

    /// The number of a name, new if need be.
    pub(super) fn intern(&mut self, kind: NameKind, name: &str) -> Result<NameId, Problem> {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.is_called(kind, name)) {
            entry.fresh = true;
            return Ok(NameId(entry.number));
        }
        let max_bytes = if name.len() > NAME_BYTES_MAX { NAME_BYTES_MAX } else { BYTES };
        let mut name: String<BYTES, u8> = String::try_from(name).map_err(|_| Problem::TooLong { max_bytes })?;
        if ignores_case(kind) {
            name.make_ascii_lowercase();
        }
        let number = self.free_number(kind)?;
        let entry = Entry { number, kind, name, fresh: true };
        self.entries.push(entry).map_err(|_| Problem::StorageFull { capacity: N })?;
        Ok(NameId(number))
    }

    /// Drops the names that are neither fresh nor in use.
    pub(super) fn retain(&mut self, is_used: impl Fn(NameKind, NameId) -> bool) {
        self.entries.retain(|entry| entry.fresh || is_used(entry.kind, NameId(entry.number)));
    }

    /// The smallest number that no name of the kind has; bits have 64.
    fn free_number(&self, kind: NameKind) -> Result<u32, Problem> {
        let is_free = |number: &u32| !self.entries.iter().any(|entry| entry.kind == kind && entry.number == *number);
        // Of len + 1 numbers one is free.
        let number = (0..=position(self.entries.len())).find(is_free).unwrap_or(u32::MAX);
        let max = match kind {
            NameKind::Quantization => QUANTIZATIONS_MAX,
            NameKind::Extension => EXTENSIONS_MAX,
            NameKind::Engine | NameKind::Model | NameKind::Text | NameKind::Session => N,
        };
        if number < position(max) { Ok(number) } else { Err(Problem::StorageFull { capacity: max }) }
    }
}

/// Whether one name stands for all its spellings in ASCII. UNIT-5.
const fn ignores_case(kind: NameKind) -> bool {
    match kind {
        NameKind::Engine | NameKind::Quantization => true,
        NameKind::Extension | NameKind::Model | NameKind::Text | NameKind::Session => false,
    }
}
