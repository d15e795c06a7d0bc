//! The lists of every pool, by rank.

use orchestrator_core::NameKind;
use orchestrator_core::rows::{DeviceRow, LabelRow, NameId, PoolLists, WarmRow};

use crate::fleet::arena::Arena;
use crate::fleet::names::NamesInUse;
use crate::fleet::staged::StagedLists;

/// Entries that belong to a pool's lists; those of the resident models stand in [`PoolLists`].
#[derive(Debug, Clone, Copy, Default)]
struct Capacities {
    labels: u32,
    devices: u32,
    warm: u32,
}

/// Where the lists of every pool lie, and the arenas that they lie in.
#[derive(Debug, Clone, Default)]
pub(super) struct ListTable {
    pub(super) rows: Vec<PoolLists>,
    capacities: Vec<Capacities>,
    pub(super) labels: Arena<LabelRow>,
    pub(super) devices: Arena<DeviceRow>,
    pub(super) residents: Arena<NameId>,
    pub(super) warm: Arena<WarmRow>,
}

impl ListTable {
    /// Makes a place for a pool at `rank`, at most the number of pools; its lists are empty.
    pub(super) fn insert(&mut self, rank: usize) {
        self.rows.insert(rank, PoolLists::default());
        self.capacities.insert(rank, Capacities::default());
    }

    /// Removes the lists of the pool at `rank`, which is there.
    pub(super) fn remove(&mut self, rank: usize) {
        let (row, capacities) = (self.rows.remove(rank), self.capacities.remove(rank));
        self.labels.abandon(capacities.labels);
        self.devices.abandon(capacities.devices);
        self.residents.abandon(row.residents_capacity);
        self.warm.abandon(capacities.warm);
    }

    /// Writes the lists of the pool at `rank`, which is there.
    pub(super) fn write(&mut self, rank: usize, staged: &StagedLists) {
        let (row, capacities) = (&mut self.rows[rank], &mut self.capacities[rank]);
        self.labels.write(&mut row.labels, &mut capacities.labels, &staged.labels);
        self.devices.write(&mut row.devices, &mut capacities.devices, &staged.devices);
        self.residents.write(&mut row.residents, &mut row.residents_capacity, &staged.residents);
        self.warm.write(&mut row.warm, &mut capacities.warm, &staged.warm);
    }

    /// Whether a model is in the list of the pool at `rank`, which is there.
    pub(super) fn has_resident(&self, rank: usize, model: NameId) -> bool {
        self.rows[rank].residents.of(self.residents.entries()).binary_search(&model).is_ok()
    }

    /// Makes room for one more resident model of the pool at `rank`, which is there.
    pub(super) fn make_room_for_resident(&mut self, rank: usize) {
        self.residents.make_room_for_resident(&mut self.rows[rank]);
    }

    /// Marks the names of all pools' lists, but of those of the pool at `except`.
    pub(super) fn mark_names(&self, except: Option<usize>, names: &mut NamesInUse) {
        for (_, row) in self.rows.iter().enumerate().filter(|(rank, _)| except != Some(*rank)) {
            for label in row.labels.of(self.labels.entries()) {
                names.mark(NameKind::Text, label.key);
                names.mark(NameKind::Text, label.value);
            }
            let residents = row.residents.of(self.residents.entries());
            residents.iter().for_each(|&model| names.mark(NameKind::Model, model));
            let warm = row.warm.of(self.warm.entries());
            warm.iter().for_each(|warm| names.mark(NameKind::Session, warm.session));
        }
    }

    /// Gives up the memory of lists that no pool has any more, where it is much.
    pub(super) fn squeeze(&mut self) {
        let Self { rows, capacities, labels, devices, residents, warm } = self;
        if labels.is_wasteful() {
            labels.squeeze(rows.iter_mut().zip(&*capacities).map(|(row, own)| (&mut row.labels, own.labels)));
        }
        if devices.is_wasteful() {
            devices.squeeze(rows.iter_mut().zip(&*capacities).map(|(row, own)| (&mut row.devices, own.devices)));
        }
        if residents.is_wasteful() {
            residents.squeeze(rows.iter_mut().map(|row| (&mut row.residents, row.residents_capacity)));
        }
        if warm.is_wasteful() {
            warm.squeeze(rows.iter_mut().zip(&*capacities).map(|(row, own)| (&mut row.warm, own.warm)));
        }
    }
}

#[cfg(test)]
impl ListTable {
    /// How much memory the lists hold, in entries.
    pub(super) fn list_capacity(&self) -> usize {
        self.labels.capacity() + self.devices.capacity() + self.residents.capacity() + self.warm.capacity()
    }
}
