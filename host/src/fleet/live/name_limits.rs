//! Whether a snapshot's names fit a fleet, asked before anything changes. UNIT-8.

use std::collections::HashSet;

use orchestrator_core::{FieldError, NameKind, PoolSnapshot, Problem};

use crate::fleet::names::{NamesInUse, Vocabulary, canonical};

/// Kinds of names of which a fleet can tell only so many apart.
const LIMITED_KINDS: [NameKind; 4] = [NameKind::Engine, NameKind::Quantization, NameKind::Extension, NameKind::Model];

/// A list of names of which a fleet can tell only so many apart.
struct LimitedList<'a> {
    field: &'static str,
    kind: NameKind,
    names: &'a [&'a str],
}

/// The lists of a snapshot of whose names a fleet can tell only so many apart.
pub(super) struct LimitedNames<'a>([LimitedList<'a>; 5]);

impl<'a> LimitedNames<'a> {
    pub(super) fn of(snapshot: &'a PoolSnapshot<'a>) -> Self {
        let list = |field, kind, names| LimitedList { field, kind, names };
        let supports = &snapshot.supports;
        Self([
            list("engine", NameKind::Engine, std::slice::from_ref(&snapshot.engine)),
            list("supports.quantizations", NameKind::Quantization, supports.quantizations),
            list("supports.extensions", NameKind::Extension, supports.extensions),
            list("supports.models", NameKind::Model, supports.models.unwrap_or_default()),
            list("resident_models", NameKind::Model, snapshot.resident_models.unwrap_or_default()),
        ])
    }

    /// Whether all names are listed already, or there are numbers to spare for them. O(names), less where few are listed.
    pub(super) fn fit(&self, vocabulary: &Vocabulary) -> bool {
        LIMITED_KINDS.into_iter().all(|kind| {
            let spare = spare(kind, vocabulary.listed(kind));
            let is_new = |name: &str| !vocabulary.is_listed(kind, name);
            let names = || self.of_kind(kind).map(|(_, name)| name);
            names().count() <= spare || names().filter(|name| is_new(name)).count() <= spare
        })
    }

    /// Whether they fit beside the names in use, each counted once. O(all names of the fleet).
    ///
    /// # Errors
    /// The field with the first name that does not.
    pub(super) fn check_beside(&self, vocabulary: &Vocabulary, in_use: &NamesInUse) -> Result<(), FieldError> {
        for kind in LIMITED_KINDS {
            let spare = spare(kind, vocabulary.listed_in_use(kind, in_use));
            let mut newcomers: HashSet<Box<str>> = HashSet::new();
            for (field, name) in self.of_kind(kind) {
                if !vocabulary.is_listed_in_use(kind, name, in_use) {
                    newcomers.insert((*canonical(kind, name)).into());
                }
                if newcomers.len() > spare {
                    let capacity = Vocabulary::max(kind).unwrap_or(usize::MAX);
                    return Err(FieldError::new(field, Problem::StorageFull { capacity }));
                }
            }
        }
        Ok(())
    }

    fn of_kind(&self, kind: NameKind) -> impl Iterator<Item = (&'static str, &'a str)> {
        let lists = self.0.iter().filter(move |list| list.kind == kind);
        lists.flat_map(|list| list.names.iter().map(|name| (list.field, *name)))
    }
}

/// How many further names of a kind a fleet with `listed` of them can tell apart.
fn spare(kind: NameKind, listed: usize) -> usize {
    Vocabulary::max(kind).map_or(usize::MAX, |max| max.saturating_sub(listed))
}
