//! What goes wrong, and when: a schedule, JSON lines in a file, of which each names a pool of the fleet.
//!
//! ```json
//! {"at_ms": 60000, "pool": "gpu-7", "fault": "vanish"}
//! {"at_ms": 90000, "pool": "gpu-7", "fault": "return"}
//! {"at_ms": 95000, "pool": "gpu-3", "fault": "slow", "permille": 3000}
//! ```

use std::io::BufRead;

use super::fleet::SimFleet;
use crate::input::{LineReader, RowError, Warnings, read_fault_line};
use crate::report::printable;

pub use crate::input::Fault;

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
    #[error("line {line}: {error}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong.
        error: RowError,
    },
    /// A line names no pool of the fleet.
    #[error("line {line}: pool: no pool of the fleet is `{}` with replica `{}`", printable(id), printable(replica_id))]
    UnknownPool {
        /// Its number, from 1.
        line: u64,
        /// The id that it names.
        id: String,
        /// And the replica's.
        replica_id: String,
    },
}

/// Reads a schedule. Blank lines are skipped.
///
/// # Errors
/// The first line that is no fault of a pool of the fleet.
pub fn read_faults(
    source: impl BufRead,
    fleet: &SimFleet<'_>,
    warnings: &mut Warnings,
) -> Result<Vec<ScheduledFault>, FaultsError> {
    let mut faults = Vec::new();
    let mut lines = LineReader::new(source);
    while let Some(line) = lines.next_line()? {
        let number = line.number();
        let row = read_fault_line(&line, warnings).map_err(|error| FaultsError::Line { line: number, error })?;
        let rank = fleet.rank_of(&row.pool, &row.replica_id);
        // A fleet has at most 2^30 pools.
        let Some(pool) = rank.and_then(|rank| u32::try_from(rank).ok()) else {
            let (id, replica_id) = (row.pool.into_owned(), row.replica_id.into_owned());
            return Err(FaultsError::UnknownPool { line: number, id, replica_id });
        };
        faults.push(ScheduledFault { at_us: row.at_us, pool, fault: row.fault });
    }
    faults.sort_by_key(|fault| fault.at_us);
    Ok(faults)
}
