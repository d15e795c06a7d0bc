//! What every pool is to any job, a column per fact.

use orchestrator_core::pool_lane;
use orchestrator_core::rule::lane::{PoolLane, low_bits};

use crate::batch::backend::World;
use crate::batch::changes::Changes;
use crate::batch::ends::RatesMax;

/// Columns of equal length, by rank.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) decode_q10: Vec<u32>,
    pub(super) prefill_q10: Vec<u32>,
    pub(super) low_bits: Vec<u16>,
    pub(super) slots_free: Vec<u16>,
    pub(super) milli_tps: Vec<u32>,
    pub(super) first_token_us: Vec<u64>,
    pub(super) waves: Vec<u32>,
    pub(super) rates_max: RatesMax,
    changed: Changes,
}

impl Columns {
    pub(super) const fn len(&self) -> usize {
        self.decode_q10.len()
    }

    /// Notes that a pool changed.
    pub(super) fn mark(&mut self, rank: u32) {
        self.changed.mark(rank);
    }

    /// Makes all columns anew. O(pools).
    pub(super) fn fill(&mut self, world: &World<'_>) {
        self.changed.clear();
        self.rates_max = RatesMax::default();
        let len = world.table.len();
        for column in [&mut self.decode_q10, &mut self.prefill_q10, &mut self.milli_tps, &mut self.waves] {
            column.resize(len, 0);
        }
        self.low_bits.resize(len, 0);
        self.slots_free.resize(len, 0);
        self.first_token_us.resize(len, 0);
        for (index, row) in world.table.rows.iter().enumerate() {
            self.set(index, &pool_lane(row, world.policy));
        }
    }

    /// Brings the pools up to date that were noted. O(1) for each.
    pub(super) fn refresh(&mut self, world: &World<'_>) {
        while let Some(rank) = self.changed.pop() {
            if let Some(row) = world.table.rows.get(rank as usize) {
                self.set(rank as usize, &pool_lane(row, world.policy));
            }
        }
    }

    fn set(&mut self, index: usize, lane: &PoolLane) {
        self.decode_q10[index] = lane.decode_q10;
        self.prefill_q10[index] = lane.prefill_q10;
        self.low_bits[index] = low_bits(lane.active_leases);
        self.slots_free[index] = lane.slots_free;
        self.milli_tps[index] = lane.milli_tps;
        self.first_token_us[index] = lane.first_token_us;
        self.waves[index] = lane.waves;
        self.rates_max.add(lane);
    }
}
