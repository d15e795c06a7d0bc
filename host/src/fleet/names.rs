//! Names as numbers: in order of arrival while a fleet is read or lives, in bytewise order once it is complete.
//!
//! A number is only ever compared for equality. Bytewise order is kept all the same in a fleet that is complete, so
//! that equal fleets have equal columns whatever the order of their files. In a fleet that lives on, names that no row
//! uses any more are forgotten from time to time, and their numbers go to others.

use std::collections::HashMap;
use std::ops::Deref;

use orchestrator_core::limits::{ENGINES_MAX, EXTENSIONS_MAX, MODELS_MAX, QUANTIZATIONS_MAX};
use orchestrator_core::rows::NameId;
use orchestrator_core::{Name, NameKind};

/// A fleet with more names of a kind than the rows can tell apart. UNIT-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the fleet has more than {max} {what}: split it into fleets with fewer")]
pub struct FleetLimit {
    /// What there are too many of.
    pub what: &'static str,
    /// How many there may be.
    pub max: usize,
}

/// What has a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    /// Empty where the number is free: no name is (UNIT-5).
    name: Box<str>,
    /// Whether a pool listed it: names that only jobs know are not limited.
    listed: bool,
}

/// The names of one kind. The map is looked into, never walked, so its order shows nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    numbers: HashMap<Box<str>, NameId>,
    by_number: Vec<Entry>,
    /// Numbers without a name.
    free: Vec<NameId>,
    /// How many names pools listed.
    listed: usize,
}

impl Names {
    fn intern(&mut self, name: &str) -> NameId {
        if let Some(&known) = self.numbers.get(name) {
            return known;
        }
        let entry = Entry { name: name.into(), listed: false };
        let number = if let Some(number) = self.free.pop() {
            self.by_number[number.0 as usize] = entry;
            number
        } else {
            self.by_number.push(entry);
            // Below the sentinels: 2^32 - 2 names of at least a byte each do not fit into a file that was read.
            NameId(u32::try_from(self.by_number.len() - 1).unwrap_or(NameId::LIMIT).min(NameId::LIMIT - 1))
        };
        self.numbers.insert(name.into(), number);
        number
    }

    /// The number of a name that a pool lists; `None` when `max` others are listed.
    ///
    /// Where every name is listed, all numbers are below `max`: free ones go first.
    fn intern_listed(&mut self, name: &str, max: usize) -> Option<NameId> {
        if let Some(number) = self.find_listed(name) {
            return Some(number);
        }
        if self.listed >= max {
            return None;
        }
        let number = self.intern(name);
        self.by_number[number.0 as usize].listed = true;
        self.listed += 1;
        Some(number)
    }

    fn find_listed(&self, name: &str) -> Option<NameId> {
        self.numbers.get(name).copied().filter(|number| self.by_number[number.0 as usize].listed)
    }

    /// Forgets the names whose numbers are not in use.
    fn retain(&mut self, in_use: &[bool]) {
        for (number, entry) in self.by_number.iter_mut().enumerate() {
            if entry.name.is_empty() || in_use.get(number).is_some_and(|used| *used) {
                continue;
            }
            let freed = self.numbers.remove(&entry.name);
            self.listed -= usize::from(entry.listed);
            *entry = Entry::default();
            self.free.extend(freed);
        }
    }

    /// Renumbers in bytewise order; the result maps old numbers to new ones. No number may be free.
    fn sort(&mut self) -> Vec<NameId> {
        let mut order: Vec<usize> = (0..self.by_number.len()).collect();
        order.sort_unstable_by(|&left, &right| self.by_number[left].name.cmp(&self.by_number[right].name));
        let mut renumbered = vec![NameId::NONE; order.len()];
        for (new, &old) in (0u32..).zip(&order) {
            renumbered[old] = NameId(new);
        }
        self.by_number.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        for number in self.numbers.values_mut() {
            *number = renumbered[number.0 as usize];
        }
        renumbered
    }
}

/// The names of a fleet, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Vocabulary {
    engines: Names,
    quantizations: Names,
    extensions: Names,
    models: Names,
    texts: Names,
    sessions: Names,
}

/// Old numbers to new ones, by kind.
pub(super) struct Renumbering {
    pub(super) engines: Vec<NameId>,
    pub(super) quantizations: Vec<NameId>,
    pub(super) extensions: Vec<NameId>,
    pub(super) models: Vec<NameId>,
    pub(super) texts: Vec<NameId>,
    pub(super) sessions: Vec<NameId>,
}

/// Every kind, in the order of [`NameKind`].
const KINDS: [NameKind; 6] =
    [NameKind::Engine, NameKind::Quantization, NameKind::Extension, NameKind::Model, NameKind::Text, NameKind::Session];

/// Which numbers rows use, by kind.
pub(super) struct NamesInUse([Vec<bool>; KINDS.len()]);

impl NamesInUse {
    pub(super) fn mark(&mut self, kind: NameKind, number: NameId) {
        // A name that is not published has no number.
        if let Some(used) = self.0[kind as usize].get_mut(number.0 as usize) {
            *used = true;
        }
    }

    /// Marks the names of a kind whose numbers are bits.
    pub(super) fn mark_bits(&mut self, kind: NameKind, bits: u64) {
        (0..u64::BITS).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| self.mark(kind, NameId(bit)));
    }

    fn of(&self, kind: NameKind) -> &[bool] {
        &self.0[kind as usize]
    }

    fn has(&self, kind: NameKind, number: NameId) -> bool {
        self.of(kind).get(number.0 as usize).is_some_and(|used| *used)
    }
}

impl Vocabulary {
    /// The number of a name that a pool lists, new if need be.
    pub(super) fn intern(&mut self, kind: NameKind, name: &str) -> Result<NameId, FleetLimit> {
        let name = canonical(kind, name);
        match limit_of(kind) {
            Some(limit) => self.names_mut(kind).intern_listed(&name, limit.max).ok_or(limit),
            None => Ok(self.names_mut(kind).intern(&name)),
        }
    }

    /// The number of a name that only a job knows: no limit applies. UNIT-8.
    pub(super) fn intern_for_job(&mut self, kind: NameKind, name: &str) -> NameId {
        self.names_mut(kind).intern(&canonical(kind, name))
    }

    /// The number of a name, if it has one.
    pub(super) fn find(&self, kind: NameKind, name: &str) -> Option<NameId> {
        self.names(kind).numbers.get(&*canonical(kind, name)).copied()
    }

    /// The name behind a number.
    pub(super) fn name(&self, kind: NameKind, number: NameId) -> Option<&str> {
        self.names(kind).by_number.get(number.0 as usize).map(|entry| &*entry.name)
    }

    /// How many names have numbers.
    pub(super) fn len(&self) -> usize {
        KINDS.iter().map(|&kind| self.names(kind).numbers.len()).sum()
    }

    /// How many names of a kind rows can tell apart, if there is a limit. UNIT-8.
    pub(super) fn max(kind: NameKind) -> Option<usize> {
        limit_of(kind).map(|limit| limit.max)
    }

    /// How many names of a kind were listed by pools, those included that none lists any more.
    pub(super) const fn listed(&self, kind: NameKind) -> usize {
        self.names(kind).listed
    }

    /// How many names of a kind were listed by pools and are in use.
    pub(super) fn listed_in_use(&self, kind: NameKind, in_use: &NamesInUse) -> usize {
        let entries = self.names(kind).by_number.iter().zip(in_use.of(kind));
        entries.filter(|(entry, used)| entry.listed && **used).count()
    }

    /// Whether a name was listed by pools.
    pub(super) fn is_listed(&self, kind: NameKind, name: &str) -> bool {
        self.names(kind).find_listed(&canonical(kind, name)).is_some()
    }

    /// Whether a name was listed by pools and is in use.
    pub(super) fn is_listed_in_use(&self, kind: NameKind, name: &str, in_use: &NamesInUse) -> bool {
        self.names(kind).find_listed(&canonical(kind, name)).is_some_and(|number| in_use.has(kind, number))
    }

    /// A mark for every number, none of them set.
    pub(super) fn none_in_use(&self) -> NamesInUse {
        NamesInUse(KINDS.map(|kind| vec![false; self.names(kind).by_number.len()]))
    }

    /// Forgets the names that are not in use; their numbers go to others.
    pub(super) fn retain(&mut self, in_use: &NamesInUse) {
        for kind in KINDS {
            self.names_mut(kind).retain(in_use.of(kind));
        }
    }

    /// Renumbers every kind in bytewise order.
    pub(super) fn sort(&mut self) -> Renumbering {
        Renumbering {
            engines: self.engines.sort(),
            quantizations: self.quantizations.sort(),
            extensions: self.extensions.sort(),
            models: self.models.sort(),
            texts: self.texts.sort(),
            sessions: self.sessions.sort(),
        }
    }

    const fn names(&self, kind: NameKind) -> &Names {
        match kind {
            NameKind::Engine => &self.engines,
            NameKind::Quantization => &self.quantizations,
            NameKind::Extension => &self.extensions,
            NameKind::Model => &self.models,
            NameKind::Text => &self.texts,
            NameKind::Session => &self.sessions,
        }
    }

    const fn names_mut(&mut self, kind: NameKind) -> &mut Names {
        match kind {
            NameKind::Engine => &mut self.engines,
            NameKind::Quantization => &mut self.quantizations,
            NameKind::Extension => &mut self.extensions,
            NameKind::Model => &mut self.models,
            NameKind::Text => &mut self.texts,
            NameKind::Session => &mut self.sessions,
        }
    }
}

/// A name as it is compared. Folding needs no allocation: a fleet that lives looks names up at every snapshot.
pub(super) enum Canonical<'a> {
    AsGiven(&'a str),
    Folded(Name),
}

impl Deref for Canonical<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::AsGiven(name) => name,
            Self::Folded(name) => name,
        }
    }
}

/// UNIT-5: engines and quantisations are compared without regard to ASCII case.
pub(super) fn canonical(kind: NameKind, name: &str) -> Canonical<'_> {
    let folds = matches!(kind, NameKind::Engine | NameKind::Quantization);
    if !folds || !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Canonical::AsGiven(name);
    }
    let mut folded = Name::new();
    match name.chars().try_for_each(|character| folded.push(character.to_ascii_lowercase())) {
        Ok(()) => Canonical::Folded(folded),
        // Longer than a name may be: no pool has it, however it is written.
        Err(_) => Canonical::AsGiven(name),
    }
}

/// UNIT-8.
const fn limit_of(kind: NameKind) -> Option<FleetLimit> {
    match kind {
        NameKind::Engine => Some(FleetLimit { what: "engines", max: ENGINES_MAX }),
        NameKind::Quantization => Some(FleetLimit { what: "quantizations", max: QUANTIZATIONS_MAX }),
        NameKind::Extension => Some(FleetLimit { what: "extensions", max: EXTENSIONS_MAX }),
        NameKind::Model => Some(FleetLimit { what: "models", max: MODELS_MAX }),
        NameKind::Text | NameKind::Session => None,
    }
}
