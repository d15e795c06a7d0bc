//! What lives and what was asked for, into a file: how a test sees from outside that nothing is left behind.

use std::env;
use std::fs;

use crate::driver::Driver;

/// Writes the file, if the environment names one: a line per number.
pub(crate) fn write(driver: &Driver) {
    let Some(path) = env::var_os("ORCHESTRATOR_STUB_REPORT") else { return };
    let counters = driver.counters;
    let numbers = [
        ("contexts", driver.contexts),
        ("live_allocations", driver.memory.live_allocations() as u64),
        ("live_bytes", driver.memory.live_bytes()),
        ("live_pinned", driver.pinned.len() as u64),
        ("live_modules", driver.modules.len() as u64),
        ("live_streams", driver.streams.len() as u64),
        ("live_events", driver.events.len() as u64),
        ("hazards", counters.hazards),
        ("allocations", counters.allocations),
        ("launches", counters.launches),
        ("downloads", counters.downloads),
        ("timings", counters.timings),
    ];
    let mut text: String = numbers.iter().map(|(name, number)| format!("{name} {number}\n")).collect();
    text.extend(driver.launches_of.iter().map(|(kernel, number)| format!("launches_of_{kernel} {number}\n")));
    if let Err(error) = fs::write(&path, text) {
        eprintln!("stub driver: {}: {error}", path.display());
    }
}
