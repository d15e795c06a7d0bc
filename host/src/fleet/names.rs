//! Names as numbers: in order of arrival while a fleet is read, in bytewise order once it is complete.
//!
//! A number is only ever compared for equality. Bytewise order is kept all the same, so that equal fleets have equal
//! columns whatever the order of their files.

use std::borrow::Cow;
use std::collections::HashMap;

use orchestrator_core::NameKind;
use orchestrator_core::limits::{ENGINES_MAX, EXTENSIONS_MAX, MODELS_MAX, QUANTIZATIONS_MAX};
use orchestrator_core::rows::NameId;

/// A fleet with more names of a kind than the rows can tell apart. UNIT-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the fleet has more than {max} {what}: split it into fleets with fewer")]
pub struct FleetLimit {
    /// What there are too many of.
    pub what: &'static str,
    /// How many there may be.
    pub max: usize,
}

/// The names of one kind. The map is looked into, never walked, so its order shows nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    numbers: HashMap<Box<str>, NameId>,
    by_number: Vec<Box<str>>,
}

impl Names {
    fn intern(&mut self, name: &str) -> NameId {
        if let Some(&known) = self.numbers.get(name) {
            return known;
        }
        // Below the sentinels: 2^32 - 2 names of at least a byte each do not fit into a file that was read.
        let number = NameId(u32::try_from(self.by_number.len()).unwrap_or(NameId::LIMIT).min(NameId::LIMIT - 1));
        self.numbers.insert(name.into(), number);
        self.by_number.push(name.into());
        number
    }

    /// Renumbers in bytewise order; the result maps old numbers to new ones.
    fn sort(&mut self) -> Vec<NameId> {
        let mut order: Vec<usize> = (0..self.by_number.len()).collect();
        order.sort_unstable_by(|&left, &right| self.by_number[left].cmp(&self.by_number[right]));
        let mut renumbered = vec![NameId::NONE; order.len()];
        for (new, &old) in (0u32..).zip(&order) {
            renumbered[old] = NameId(new);
        }
        self.by_number.sort_unstable();
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

impl Vocabulary {
    /// The number of a name, new if need be.
    pub(super) fn intern(&mut self, kind: NameKind, name: &str) -> Result<NameId, FleetLimit> {
        let number = self.names_mut(kind).intern(&canonical(kind, name));
        match limit_of(kind) {
            Some(limit) if number.0 as usize >= limit.max => Err(limit),
            _ => Ok(number),
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
        self.names(kind).by_number.get(number.0 as usize).map(|name| &**name)
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

/// UNIT-5: engines and quantisations are compared without regard to ASCII case.
fn canonical(kind: NameKind, name: &str) -> Cow<'_, str> {
    let folds = matches!(kind, NameKind::Engine | NameKind::Quantization);
    if folds && name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
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
