//! One line of a schedule of faults, for a simulation.
//!
//! ```text
//! {"at_ms": 60000, "pool": "gpu-7", "fault": "vanish"}
//! {"at_ms": 95000, "pool": "gpu-3", "replica_id": "b", "fault": "slow", "permille": 3000}
//! ```
//!
//! Invariants: a refused line names its field (WIRE-2); unknown fields are counted in a warning; every number is within a
//! limit, so that no time of a simulation overflows.

use std::borrow::Cow;

use orchestrator_core::Problem;
use orchestrator_core::limits::TIME_MAX_US;

use super::fields::Object;
use super::lines::Line;
use super::row_error::RowError;
use super::warnings::{Source, Warnings};

/// The most by which a pool slows down, in 1/1000: a thousandfold.
pub const SLOW_PERMILLE_MAX: u64 = 1_000_000;

/// The most by which reports are late: a day.
pub const DELAY_MS_MAX: u64 = 86_400_000;

/// One thing that goes wrong with a pool, or right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Everything takes so much longer there.
    Slow {
        /// How much longer, in 1/1000: 1 to [`SLOW_PERMILLE_MAX`]; 1000 is as before.
        permille: u64,
    },
    /// It says nothing of itself any more.
    Silence,
    /// It does again.
    Speak,
    /// What it says arrives so much later.
    Delay {
        /// How much later: at most [`DELAY_MS_MAX`].
        delay_ms: u64,
    },
}

/// A line of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRow<'a> {
    /// When, in µs of the simulation's clock.
    pub at_us: u64,
    /// The pool's id.
    pub pool: Cow<'a, str>,
    /// And its replica's.
    pub replica_id: Cow<'a, str>,
    /// What.
    pub fault: Fault,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Vanish,
    Return,
    Drain,
    Undrain,
    Slow,
    Silence,
    Speak,
    Delay,
}

const KINDS: [(&str, Kind); 8] = [
    ("vanish", Kind::Vanish),
    ("return", Kind::Return),
    ("drain", Kind::Drain),
    ("undrain", Kind::Undrain),
    ("slow", Kind::Slow),
    ("silence", Kind::Silence),
    ("speak", Kind::Speak),
    ("delay", Kind::Delay),
];

/// Reads one line. Its warnings are counted only if it can be read.
///
/// # Errors
/// A line that is too long, no UTF-8 or no object; an unknown fault; a field of the wrong type, outside its limit, required
/// and absent, or repeated.
pub fn read_fault_line<'a>(line: &Line<'a>, warnings: &mut Warnings) -> Result<FaultRow<'a>, RowError> {
    let row = Object::row(line.text().map_err(RowError::row)?);
    row.check()?;
    let fault = fault_of(&row)?;
    let at_ms = Object::required("at_ms", row.count("at_ms", TIME_MAX_US / 1000)?)?;
    let pool = Object::required("pool", row.text("pool")?)?;
    let replica_id = row.text("replica_id")?.unwrap_or_default();
    let mut notes = Vec::new();
    row.finish(&mut notes);
    warnings.count_row(Source::Fault, notes);
    Ok(FaultRow { at_us: at_ms * 1000, pool, replica_id, fault })
}

fn fault_of(row: &Object<'_>) -> Result<Fault, RowError> {
    let expected = "vanish, return, drain, undrain, slow, silence, speak or delay";
    Ok(match Object::required("fault", row.word("fault", &KINDS, expected)?)? {
        Kind::Vanish => Fault::Vanish,
        Kind::Return => Fault::Return,
        Kind::Drain => Fault::Drain,
        Kind::Undrain => Fault::Undrain,
        Kind::Slow => {
            let permille = Object::required("permille", row.count("permille", SLOW_PERMILLE_MAX)?)?;
            if permille == 0 {
                let expected = "1 or more; 1000 is as before";
                return Err(RowError::new("permille", Problem::Malformed { expected }));
            }
            Fault::Slow { permille }
        }
        Kind::Silence => Fault::Silence,
        Kind::Speak => Fault::Speak,
        Kind::Delay => Fault::Delay { delay_ms: Object::required("delay_ms", row.count("delay_ms", DELAY_MS_MAX)?)? },
    })
}
