//! A pool's handle as rows keep it, or that there is none.

use super::registry::PoolHandle;
use crate::storage::SlotNumber;
use crate::values::kept::Kept32;

/// A handle of a pool for which a scheduler has storage, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct KeptHandle {
    slot: SlotNumber,
    generation: Kept32,
}

impl KeptHandle {
    pub(crate) const NONE: Self = Self { slot: SlotNumber::NONE, generation: Kept32::new(0) };

    pub(crate) fn of(pool: PoolHandle) -> Self {
        Self { slot: pool.slot.into(), generation: Kept32::new(pool.generation) }
    }

    /// The handle; that of none is one that no fleet has.
    pub(crate) fn get(self) -> PoolHandle {
        PoolHandle { slot: self.slot.get(), generation: self.generation.get() }
    }

    pub(crate) fn is_none(self) -> bool {
        self.slot == SlotNumber::NONE
    }
}
