//! What goes wrong, and when: a schedule, JSON lines in a file.
//!
//! ```json
//! {"at_ms": 60000, "pool": "gpu-7", "fault": "vanish"}
//! {"at_ms": 90000, "pool": "gpu-7", "fault": "return"}
//! {"at_ms": 95000, "pool": "gpu-3", "fault": "slow", "permille": 3000}
//! ```

use std::io::BufRead;

use serde::Deserialize;

use super::fleet::SimFleet;

/// One thing that goes wrong, or right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
#[non_exhaustive]
pub enum Fault {
    /// The pool is gone, with all that it had; its router is told.
    Vanish,
    /// It is there again, empty.
    Return,
    /// It takes no new work.
    Drain,
    /// It takes new work again.
    Undrain,
    /// Everything takes so much longer there, in 1/1000; 1000 is as before.
    Slow {
        /// How much longer.
        permille: u64,
    },
    /// It says nothing of itself any more.
    Silence,
    /// It does again.
    Speak,
    /// What it says arrives so much later.
    Delay {
        /// How much later.
        delay_ms: u64,
    },
}

/// A fault of a pool at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledFault {
    /// When.
    pub at_us: u64,
    /// Which pool, by its rank.
    pub pool: u32,
    /// What.
    pub fault: Fault,
}

/// A schedule that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultsError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A line is none.
    #[error("line {line}: {why}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

#[derive(Debug, Deserialize)]
struct FaultRow {
    at_ms: u64,
    pool: String,
    #[serde(default)]
    replica_id: String,
    #[serde(flatten)]
    fault: Fault,
}

/// Reads a schedule. Blank lines are skipped.
///
/// # Errors
/// The first line that is no fault of a pool of the fleet.
pub fn read_faults(source: impl BufRead, fleet: &SimFleet<'_>) -> Result<Vec<ScheduledFault>, FaultsError> {
    let mut faults = Vec::new();
    for (line, text) in (1..).zip(source.lines()) {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let row: FaultRow =
            serde_json::from_str(&text).map_err(|error| FaultsError::Line { line, why: error.to_string() })?;
        let unknown = || FaultsError::Line { line, why: format!("no pool is named {:?}", row.pool) };
        let rank = fleet.rank_of(&row.pool, &row.replica_id).ok_or_else(unknown)?;
        // A fleet has at most 2^30 pools.
        let pool = u32::try_from(rank).map_err(|_| unknown())?;
        faults.push(ScheduledFault { at_us: row.at_ms.saturating_mul(1000), pool, fault: row.fault });
    }
    faults.sort_by_key(|fault| fault.at_us);
    Ok(faults)
}
