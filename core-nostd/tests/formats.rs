//! What firmware may want to log can be logged: every public type of the core has `defmt::Format` under the feature `defmt`,
//! but those that hold what others keep.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};

/// Machines and storage: whoever logs one means something in it. Rows of tables with their links among them.
const WITHOUT: [&str; 32] = [
    "ClassScorer",
    "ContentHasher",
    "DeviceIds",
    "FlightRecorder",
    "IdSlot",
    "IdTable",
    "LeaseStorage",
    "Leased",
    "Leases",
    "OutcomeLog",
    "PlacementInput",
    "PoolLeases",
    "PoolRecords",
    "PoolTable",
    "PoolTableMut",
    "Prices",
    "Queue",
    "QueueStorage",
    "Reader",
    "Recording",
    "Scheduler",
    "SchedulerBuffers",
    "SchedulerStorage",
    "Scratch",
    "SessionStorage",
    "SessionTable",
    "Sessions",
    "Shortlist",
    "SmallFleet",
    "Tenant",
    "Waiting",
    "Writer",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The public types of a source, each with whether it can be formatted.
fn public_types(source: &str) -> Vec<(&str, bool)> {
    let (mut types, mut formatted) = (Vec::new(), false);
    for line in source.lines() {
        let declared = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "));
        if let Some(rest) = declared {
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            types.push((&rest[..end], formatted));
        }
        let is_attribute = line.starts_with("#[") || line.starts_with("///");
        formatted = is_attribute && (formatted || line.contains("derive(defmt::Format)"));
    }
    types
}

#[test]
fn what_can_be_logged_has_a_format() {
    let mut paths = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut paths);
    let mut seen = Vec::new();
    for path in paths {
        let source = fs::read_to_string(&path).unwrap();
        for (name, formatted) in public_types(&source) {
            seen.push(name.to_owned());
            assert_ne!(formatted, WITHOUT.contains(&name), "{name} in {}", path.display());
        }
    }
    assert!(seen.len() > 100, "{seen:?}");
    for name in WITHOUT {
        assert!(seen.iter().any(|seen| seen == name), "no public type is called {name}");
    }
}
