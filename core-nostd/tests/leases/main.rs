//! Leases and pool records: their rules as tables, and a random life of all of them against a naive model.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::cast_lossless,
    clippy::float_arithmetic,
    clippy::too_many_lines,
    reason = "a test may fail, and tables of rules are long"
)]

mod credit;
mod life;
mod model;
mod records;
mod reports;

use orchestrator_core::scheduler::{LeaseStorage, Leased, Leases, NewLease, PoolLeases};
use orchestrator_core::storage::IdSlot;
use orchestrator_core::{PoolHandle, PoolSnapshot};

/// Storage for leases of any size.
pub(crate) struct Room<L, P> {
    slots: Vec<IdSlot<Leased<L, P>>>,
    buckets: Vec<u32>,
    ids: Vec<u8>,
    pools: Vec<PoolLeases>,
}

impl<L, P> Room<L, P> {
    pub(crate) fn new(leases: usize, pools: usize) -> Self {
        Self {
            slots: (0..leases).map(|_| IdSlot::EMPTY).collect(),
            buckets: vec![7; leases],
            ids: vec![7; leases * 65],
            pools: vec![PoolLeases::EMPTY; pools],
        }
    }

    pub(crate) fn leases(&mut self) -> Leases<'_, L, P> {
        let Self { slots, buckets, ids, pools } = self;
        Leases::new(LeaseStorage { slots, buckets, ids, pools })
    }
}

pub(crate) const POOL: PoolHandle = PoolHandle { slot: 0, generation: 1 };

/// A lease of nothing, for tests of what happens without a fleet.
pub(crate) fn lease_on(pool: PoolHandle) -> NewLease<&'static str, u32> {
    NewLease {
        pool,
        held: "held",
        admitted_at_us: 3,
        predicted_end_us: Some(99),
        pool_wait_us: 0,
        prefill_us: 0,
        prompt_tokens: 10,
        job: 42,
    }
}

/// A pool with 4 slots and 1,000 bytes, observed `age_us` ago.
pub(crate) fn snapshot(id: &str, slots_free: i64, vram_free: i64, age_us: u64) -> PoolSnapshot<'_> {
    let mut snapshot = PoolSnapshot::new(id, "vllm", 4, slots_free, 1000, vram_free);
    snapshot.age_ms = age_us as f64 / 1000.0;
    snapshot
}
