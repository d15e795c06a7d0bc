//! Handles and ranks: a pool keeps its slot while its rank shifts with every pool that comes or goes before it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use orchestrator_core::PoolHandle;

use crate::fleet::arena::position;

/// The rank of a slot without a pool.
const NO_RANK: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Slot {
    generation: u32,
    rank: u32,
}

/// Which pool has which slot.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// Slots without a pool: the smallest is the next, whatever the order in which they became free.
    free: BinaryHeap<Reverse<u32>>,
    by_rank: Vec<u32>,
}

impl Slots {
    /// Gives a slot to a new pool at `rank`, at most the number of pools. O(pools behind it).
    pub(super) fn insert(&mut self, rank: usize) -> PoolHandle {
        let slot = match self.free.pop() {
            Some(Reverse(slot)) => slot,
            None => {
                self.slots.push(Slot { generation: 0, rank: NO_RANK });
                position(self.slots.len() - 1)
            }
        };
        self.by_rank.insert(rank, slot);
        self.renumber_from(rank);
        PoolHandle { slot, generation: self.slots[slot as usize].generation }
    }

    /// Takes the slot from the pool at `rank`, which is there: its handle is void from now on. O(pools behind it).
    pub(super) fn remove(&mut self, rank: usize) {
        let number = self.by_rank.remove(rank);
        let slot = &mut self.slots[number as usize];
        *slot = Slot { generation: slot.generation.wrapping_add(1), rank: NO_RANK };
        self.free.push(Reverse(number));
        self.renumber_from(rank);
    }

    /// The pool at a rank.
    pub(super) fn at_rank(&self, rank: usize) -> Option<PoolHandle> {
        let slot = *self.by_rank.get(rank)?;
        Some(PoolHandle { slot, generation: self.slots[slot as usize].generation })
    }

    /// The rank of a pool, if it is still there. O(1).
    pub(super) fn rank_of(&self, pool: PoolHandle) -> Option<usize> {
        let slot = self.slots.get(pool.slot as usize)?;
        (slot.generation == pool.generation && slot.rank != NO_RANK).then_some(slot.rank as usize)
    }

    /// The rank of the pool that has a slot.
    pub(super) fn rank_of_slot(&self, slot: u32) -> usize {
        self.slots[slot as usize].rank as usize
    }

    fn renumber_from(&mut self, rank: usize) {
        for (rank, &slot) in self.by_rank.iter().enumerate().skip(rank) {
            self.slots[slot as usize].rank = position(rank);
        }
    }
}
