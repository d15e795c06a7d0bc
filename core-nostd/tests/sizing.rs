//! The sizing table of docs/firmware.md: what each row of each table costs, as it is now.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test may fail")]

use std::fs;
use std::mem::size_of;
use std::path::Path;

use orchestrator_core::scheduler::{
    Leased, PoolLeases, PoolRecord, RunningJob, Session, TenantSlot, WaitingJob, WaitingSlot,
};
use orchestrator_core::storage::IdSlot;
use orchestrator_core::{HeldLease, SmallFleet};

const BUCKET: usize = size_of::<u32>();

/// What one more of a kind costs in a fleet.
fn fleet_costs() -> [(&'static str, usize); 3] {
    // Over many, so that padding at the ends does not count.
    let pool = (size_of::<SmallFleet<128, 0, 32>>() - size_of::<SmallFleet<64, 0, 32>>()) / 64;
    let entry = (size_of::<SmallFleet<64, 5, 32>>() - size_of::<SmallFleet<64, 4, 32>>()) / 64;
    let name = (size_of::<SmallFleet<64, 4, 64>>() - size_of::<SmallFleet<64, 4, 32>>()) / 32;
    [("pool", pool), ("entry of a pool's lists", entry), ("name", name)]
}

#[test]
fn the_sizing_table_is_true() {
    let [pool, entry, name] = fleet_costs();
    let rows = [
        pool,
        entry,
        name,
        ("pool, in the scheduler", size_of::<PoolRecord>() + size_of::<PoolLeases>()),
        ("job that waits", size_of::<WaitingSlot<WaitingJob>>() + BUCKET),
        ("job that runs", size_of::<IdSlot<Leased<HeldLease<0>, RunningJob>>>() + BUCKET),
        ("session", size_of::<IdSlot<Session>>() + BUCKET),
        ("tenant", size_of::<TenantSlot>() + BUCKET),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/firmware.md");
    let document = fs::read_to_string(path).unwrap();
    for (kind, bytes) in rows {
        let row = format!("| {kind} | {bytes} |");
        println!("{row}");
        assert!(document.lines().any(|line| line.starts_with(&row)), "docs/firmware.md should have: {row}");
    }
}
