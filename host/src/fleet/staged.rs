//! One pool between its check and its place in a fleet: names are numbers already, lists have no place yet.

use orchestrator_core::rows::{DeviceRow, LabelRow, NameId, PoolClass, WarmRow};
use orchestrator_core::{NameKind, ValidPool};

use super::names::{FleetLimit, Renumbering, Vocabulary};

/// The lists of one pool. Read into again and again, they need no new memory.
#[derive(Debug, Clone, Default)]
pub(super) struct StagedLists {
    pub(super) models: Vec<NameId>,
    pub(super) digests: Vec<NameId>,
    pub(super) labels: Vec<LabelRow>,
    pub(super) devices: Vec<DeviceRow>,
    pub(super) residents: Vec<NameId>,
    pub(super) warm: Vec<WarmRow>,
}

impl StagedLists {
    /// Takes in the pool's lists, unsorted, in place of those read before; answers with the pool's class, whose lists
    /// have no place yet.
    pub(super) fn read(&mut self, pool: &ValidPool<'_>, names: &mut Vocabulary) -> Result<PoolClass, FleetLimit> {
        let snapshot = pool.snapshot();
        let supports = &snapshot.supports;
        let mut class = *pool.class();
        class.engine = names.intern(NameKind::Engine, snapshot.engine)?;
        class.engine_version = optional_text(names, snapshot.engine_version)?;
        class.sampler_profile = optional_text(names, snapshot.sampler_profile_version)?;
        class.quantizations = bits(names, NameKind::Quantization, supports.quantizations)?;
        class.extensions = bits(names, NameKind::Extension, supports.extensions)?;
        let mut list =
            |kind, list: &mut Vec<NameId>, from: &[&str]| fill(list, from.iter().map(|name| names.intern(kind, name)));
        list(NameKind::Model, &mut self.models, supports.models.unwrap_or_default())?;
        list(NameKind::Text, &mut self.digests, supports.model_digests)?;
        list(NameKind::Model, &mut self.residents, snapshot.resident_models.unwrap_or_default())?;
        let mut text = |name| names.intern(NameKind::Text, name);
        let mut label = |key, value| Ok(LabelRow { key: text(key)?, value: text(value)? });
        fill(&mut self.labels, snapshot.labels.iter().map(|(key, value)| label(key, value)))?;
        let mut session = |id| names.intern(NameKind::Session, id);
        let mut warm = |id, cached_tokens| Ok(WarmRow { session: session(id)?, cached_tokens });
        fill(&mut self.warm, pool.warm_sessions().map(|(id, cached_tokens)| warm(id, cached_tokens)))?;
        fill(&mut self.devices, pool.devices().iter().map(|device| Ok(*device)))?;
        Ok(class)
    }

    /// Every list in ascending order and without repeats, as rows need them. Devices keep the order of their ids.
    pub(super) fn sort(&mut self) {
        for list in [&mut self.models, &mut self.digests, &mut self.residents] {
            sort_and_dedup(list);
        }
        sort_and_dedup(&mut self.labels);
        sort_and_dedup(&mut self.warm);
    }

    /// From numbers of arrival to numbers in bytewise order.
    pub(super) fn renumber(&mut self, new: &Renumbering) {
        for list in [&mut self.models, &mut self.residents] {
            list.iter_mut().for_each(|model| *model = renumbered(&new.models, *model));
        }
        self.digests.iter_mut().for_each(|digest| *digest = renumbered(&new.texts, *digest));
        for label in &mut self.labels {
            label.key = renumbered(&new.texts, label.key);
            label.value = renumbered(&new.texts, label.value);
        }
        self.warm.iter_mut().for_each(|warm| warm.session = renumbered(&new.sessions, warm.session));
    }
}

/// From numbers of arrival to numbers in bytewise order.
pub(super) fn renumber_class(class: &mut PoolClass, new: &Renumbering) {
    class.engine = renumbered(&new.engines, class.engine);
    class.engine_version = renumbered(&new.texts, class.engine_version);
    class.sampler_profile = renumbered(&new.texts, class.sampler_profile);
    class.quantizations = renumbered_bits(&new.quantizations, class.quantizations);
    class.extensions = renumbered_bits(&new.extensions, class.extensions);
}

fn renumbered(new: &[NameId], old: NameId) -> NameId {
    new.get(old.0 as usize).copied().unwrap_or(old)
}

fn renumbered_bits(new: &[NameId], bits: u64) -> u64 {
    let set = |old: usize| bits >> old & 1 == 1;
    new.iter().enumerate().filter(|&(old, _)| set(old)).fold(0, |bits, (_, number)| bits | 1 << number.0)
}

fn optional_text(names: &mut Vocabulary, name: Option<&str>) -> Result<NameId, FleetLimit> {
    name.map_or(Ok(NameId::NONE), |name| names.intern(NameKind::Text, name))
}

fn bits(names: &mut Vocabulary, kind: NameKind, list: &[&str]) -> Result<u64, FleetLimit> {
    list.iter().try_fold(0, |bits, name| Ok(bits | 1 << names.intern(kind, name)?.0))
}

fn fill<T>(list: &mut Vec<T>, mut items: impl Iterator<Item = Result<T, FleetLimit>>) -> Result<(), FleetLimit> {
    list.clear();
    list.reserve_exact(items.size_hint().0);
    items.try_for_each(|item| item.map(|item| list.push(item)))
}

fn sort_and_dedup<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}
