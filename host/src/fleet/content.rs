//! The snapshot hash: equal content, equal hash, whatever the order of pools and names in the file. HASH-1, HASH-2.

use orchestrator_core::NameKind;
use orchestrator_core::hash::ContentHasher;
use orchestrator_core::rows::{ClassFlags, DeviceRow, NameId, PoolClass, PoolFlags, PoolLists, PoolRow};

use super::{Fleet, PoolName};

pub(super) fn hash(fleet: &Fleet) -> u64 {
    let mut hasher = ContentHasher::new("snapshot");
    hasher.int(fleet.pools.len() as u64);
    for ((name, row), lists) in fleet.pools.iter().zip(&fleet.rows).zip(&fleet.lists) {
        PoolContent { fleet, hasher: &mut hasher }.add(name, row, lists);
    }
    hasher.finish()
}

struct PoolContent<'a> {
    fleet: &'a Fleet,
    hasher: &'a mut ContentHasher,
}

impl PoolContent<'_> {
    /// The fields in the order of `docs/spec.md` section 2.
    fn add(&mut self, name: &PoolName, row: &PoolRow, lists: &PoolLists) {
        let arenas = &self.fleet.arenas;
        let class = &self.fleet.classes[row.class as usize];
        self.hasher.text(&name.id);
        self.name(NameKind::Engine, class.engine);
        self.hasher.int(row.slots_total.into());
        self.hasher.int(row.slots_free.into());
        self.hasher.int(class.vram_total_bytes);
        self.hasher.int(row.vram_free_bytes);
        self.hasher.text(&name.replica_id);
        self.optional_name(class.engine_version);
        self.optional_name(class.sampler_profile);
        self.optional_int(class.flags.has(ClassFlags::CAPABILITY_KNOWN), class.capability.value().into());
        self.hasher.int(row.milli_tps.into());
        self.optional_int(row.first_token_us != PoolRow::FIRST_TOKEN_UNKNOWN, row.first_token_us);
        self.hasher.int(row.prefill_q10.into());
        self.hasher.int(row.admission_latency_us);
        self.hasher.int(row.model_load_us);
        self.hasher.int(row.age_us);
        self.bits(NameKind::Quantization, class.quantizations);
        self.bits(NameKind::Extension, class.extensions);
        self.names(NameKind::Text, class.digests.of(&arenas.digests));
        self.optional_models(class.flags.has(ClassFlags::MODELS_LISTED), class.models.of(&arenas.models));
        self.optional_int(class.ctx_max != PoolClass::CTX_UNKNOWN, class.ctx_max.into());
        self.optional_int(class.flags.has(ClassFlags::MIN_CAPABILITY), class.min_capability.value().into());
        self.optional_models(
            row.flags.has(PoolFlags::RESIDENCY_PUBLISHED),
            lists.residents.of(arenas.residents.entries()),
        );
        self.devices(lists.devices.of(&arenas.devices));
        self.optional_int(!class.device_mask.is_empty(), class.device_mask.bits());
        self.labels_and_sessions(lists);
        self.hasher.byte(row.flags.has(PoolFlags::READY).into());
        let waits = u8::from(row.waiting > 0);
        self.hasher.byte(u8::from(row.flags.has(PoolFlags::DRAINING)) | waits << 1);
        if waits > 0 {
            self.hasher.int(row.waiting.into());
        }
    }

    fn labels_and_sessions(&mut self, lists: &PoolLists) {
        let arenas = &self.fleet.arenas;
        let labels = lists.labels.of(&arenas.labels);
        self.hasher.int(labels.len() as u64);
        for label in labels {
            self.name(NameKind::Text, label.key);
            self.name(NameKind::Text, label.value);
        }
        let warm = lists.warm.of(&arenas.warm);
        self.hasher.int(warm.len() as u64);
        for session in warm {
            self.name(NameKind::Session, session.session);
            self.hasher.int(session.cached_tokens.into());
        }
    }

    fn devices(&mut self, devices: &[DeviceRow]) {
        self.hasher.int(devices.len() as u64);
        for device in devices {
            self.hasher.int(device.vram_total_bytes);
            self.hasher.int(device.vram_free_bytes);
            self.hasher.optional_int(device.capability().map(|capability| capability.value().into()));
        }
    }

    fn optional_int(&mut self, known: bool, value: u64) {
        self.hasher.optional_int(known.then_some(value));
    }

    /// Numbers are in bytewise order of their names, so a list in ascending order needs no sorting.
    fn names(&mut self, kind: NameKind, numbers: &[NameId]) {
        self.hasher.int(numbers.len() as u64);
        for &number in numbers {
            self.name(kind, number);
        }
    }

    fn optional_models(&mut self, published: bool, models: &[NameId]) {
        self.hasher.byte(published.into());
        if published {
            self.names(NameKind::Model, models);
        }
    }

    fn bits(&mut self, kind: NameKind, bits: u64) {
        let numbers: Vec<NameId> = (0..64).filter(|bit| bits >> bit & 1 == 1).map(NameId).collect();
        self.names(kind, &numbers);
    }

    fn optional_name(&mut self, number: NameId) {
        let name = self.fleet.vocabulary.name(NameKind::Text, number);
        self.hasher.optional_text(name);
    }

    fn name(&mut self, kind: NameKind, number: NameId) {
        self.hasher.text(self.fleet.vocabulary.name(kind, number).unwrap_or_default());
    }
}
