//! The sizing table of docs/firmware.md: what each row of each table costs, as it is now.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test may fail")]

use std::fs;
use std::mem::size_of;
use std::path::Path;

use orchestrator_core::scheduler::{
    Leased, PoolLeases, PoolRecord, RunningJob, Session, TenantSlot, WaitingJob, WaitingSlot,
};
use orchestrator_core::storage::IdSlot;
use orchestrator_core::{HeldRoom, SmallFleet};

/// Where the document has the bytes: of large rows, and of small ones.
const COLUMN: usize = if cfg!(feature = "small_tables") { 2 } else { 1 };
const BUCKET: usize = size_of::<u32>() / if cfg!(feature = "small_tables") { 2 } else { 1 };

/// A fleet with names of up to 14 bytes.
type Pools<
    const POOLS: usize,
    const LISTS: usize,
    const NAMES: usize,
    const DEVICES: usize,
    const ID_BYTES: usize,
    const CLASSES: usize = 4,
> = SmallFleet<POOLS, LISTS, NAMES, DEVICES, ID_BYTES, 14, CLASSES>;

/// What one more device of its pool costs a lease.
const fn share_bytes() -> usize {
    (size_of::<HeldRoom<64>>() - size_of::<HeldRoom<0>>()) / 64
}

/// What one more of a kind costs in a fleet.
fn fleet_costs() -> [(&'static str, usize); 7] {
    // Over many, so that padding at the ends does not count.
    let pool = (size_of::<Pools<128, 0, 32, 0, 0>>() - size_of::<Pools<64, 0, 32, 0, 0>>()) / 64;
    let id_byte = (size_of::<Pools<64, 0, 32, 0, 64>>() - size_of::<Pools<64, 0, 32, 0, 0>>()) / 64 / 64;
    let class = (size_of::<Pools<64, 0, 32, 0, 0, 68>>() - size_of::<Pools<64, 0, 32, 0, 0>>()) / 64;
    let class_entry = (size_of::<Pools<0, 5, 32, 0, 0, 64>>() - size_of::<Pools<0, 4, 32, 0, 0, 64>>()) / 64;
    let entry = (size_of::<Pools<64, 5, 32, 0, 0, 0>>() - size_of::<Pools<64, 4, 32, 0, 0, 0>>()) / 64;
    let device = (size_of::<Pools<64, 4, 32, 5, 0>>() - size_of::<Pools<64, 4, 32, 4, 0>>()) / 64;
    let name = (size_of::<Pools<64, 4, 64, 4, 0>>() - size_of::<Pools<64, 4, 32, 4, 0>>()) / 32;
    [
        ("pool", pool),
        ("byte of a pool's ids", id_byte),
        ("class of pools", class),
        ("entry of a pool's lists", entry),
        ("entry of a class's lists", class_entry),
        ("device of a pool", device),
        ("name", name),
    ]
}

#[test]
fn the_sizing_table_is_true() {
    let fleet = fleet_costs();
    let scheduler = [
        ("pool, in the scheduler", size_of::<PoolRecord>() + size_of::<PoolLeases>()),
        ("job that waits", size_of::<WaitingSlot<WaitingJob>>() + BUCKET),
        ("job that runs", size_of::<IdSlot<Leased<HeldRoom<0>, RunningJob>>>() + BUCKET),
        ("session", size_of::<IdSlot<Session>>() + BUCKET),
        ("device's share in a job that runs", share_bytes()),
        ("tenant", size_of::<TenantSlot>() + BUCKET),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/firmware.md");
    let document = fs::read_to_string(path).unwrap();
    let rows: Vec<_> = fleet.into_iter().chain(scheduler).map(|(kind, bytes)| (kind, bytes.to_string())).collect();
    println!("{rows:#?}");
    for (kind, bytes) in rows {
        let line = document.lines().find(|line| line.starts_with(&format!("| {kind} |"))).unwrap();
        assert_eq!(line.split(" | ").nth(COLUMN), Some(&*bytes), "docs/firmware.md, {kind}");
    }
}
