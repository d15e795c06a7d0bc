//! What was accepted, but looks wrong: counted per field, and said once at the end.
//!
//! ```text
//! 3 pools: unknown field `gpu_name`
//! 1 pool: `vram_total_bytes` below 1 MiB; bytes are meant
//! 2 pools: `vram_total_bytes` is not the sum over `devices`, which is used
//! ```
//!
//! A warning never changes a decision: unknown fields are ignored (UNIT-10), slipped units are used as written
//! (POOL-4), the VRAM of devices replaces the pool's (POOL-2).
//!
//! Invariants: a row counts once per warning; the order is fixed (fleet file, pools, jobs, events, faults; then by kind and field);
//! memory is bounded, because only [`UNKNOWN_MAX`] unknown fields per source keep their name.

use std::collections::BTreeMap;
use std::fmt;

/// Unknown fields beyond this many per source are counted together.
const UNKNOWN_MAX: usize = 64;

/// Where a warning comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The fleet file outside its rows.
    FleetFile,
    /// A pool of the fleet file.
    Pool,
    /// A line of the job file.
    Job,
    /// A line of events, outside the pool or job in it.
    Event,
    /// A line of a schedule of faults.
    Fault,
}

/// What looks wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Concern {
    /// A field that no rule knows, by its dotted path. UNIT-10.
    UnknownField(String),
    /// Unknown fields that were too many to keep their names.
    MoreUnknownFields,
    /// A value that looks like one in another unit. POOL-4.
    SlippedUnit {
        /// The field's dotted path.
        field: &'static str,
        /// What is odd about the value, and what is meant.
        hint: &'static str,
    },
    /// A wish of a job that a simulation has no model of.
    NotSimulated {
        /// The field.
        field: &'static str,
    },
    /// A published VRAM that is not the sum over the devices. POOL-2.
    VramDiffers {
        /// The pool's field.
        field: &'static str,
    },
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField(path) => write!(f, "unknown field `{path}`"),
            Self::MoreUnknownFields => f.write_str("further unknown fields"),
            Self::SlippedUnit { field, hint } => write!(f, "`{field}` {hint}"),
            Self::NotSimulated { field } => write!(f, "`{field}` is not simulated"),
            Self::VramDiffers { field } => write!(f, "`{field}` is not the sum over `devices`, which is used"),
        }
    }
}

/// Counts of warnings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Warnings {
    counts: BTreeMap<(Source, Concern), u64>,
}

impl Warnings {
    /// Counts one row with these concerns; a concern counts once, however often the row gave rise to it.
    pub fn count_row(&mut self, source: Source, mut concerns: Vec<Concern>) {
        concerns.sort_unstable();
        concerns.dedup();
        for concern in concerns {
            self.add(source, concern, 1);
        }
    }

    /// Adds the counts of another file.
    pub fn merge(&mut self, other: Self) {
        for ((source, concern), count) in other.counts {
            self.add(source, concern, count);
        }
    }

    /// Whether there is nothing to warn about.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Every warning with the number of its rows, in their fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Source, &Concern, u64)> {
        self.counts.iter().map(|((source, concern), &count)| (*source, concern, count))
    }

    fn add(&mut self, source: Source, concern: Concern, rows: u64) {
        let is_new = || !self.counts.contains_key(&(source, concern.clone()));
        let concern = match concern {
            Concern::UnknownField(_) if is_new() && self.unknown_names(source) >= UNKNOWN_MAX => {
                Concern::MoreUnknownFields
            }
            other => other,
        };
        let count = self.counts.entry((source, concern)).or_default();
        *count = count.saturating_add(rows);
    }

    fn unknown_names(&self, source: Source) -> usize {
        let unknown = |key: &&(Source, Concern)| key.0 == source && matches!(key.1, Concern::UnknownField(_));
        self.counts.keys().filter(unknown).count()
    }
}

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (source, concern, count)) in self.iter().enumerate() {
            let line_break = if place == 0 { "" } else { "\n" };
            let plural = if count == 1 { "" } else { "s" };
            match (source, concern) {
                (Source::FleetFile, _) => write!(f, "{line_break}fleet file: {concern}")?,
                // A row with several of them counts several times.
                (_, Concern::MoreUnknownFields) => write!(f, "{line_break}{count} {concern} of {source}s")?,
                _ => write!(f, "{line_break}{count} {source}{plural}: {concern}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FleetFile => "fleet file",
            Self::Pool => "pool",
            Self::Job => "job",
            Self::Event => "event",
            Self::Fault => "fault",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(path: &str) -> Concern {
        Concern::UnknownField(path.to_owned())
    }

    #[test]
    fn counts_rows_and_says_them_in_order() {
        let mut warnings = Warnings::default();
        assert!(warnings.is_empty());
        assert_eq!(warnings.to_string(), "");
        let slipped = Concern::SlippedUnit { field: "age_ms", hint: "is odd" };
        warnings.count_row(Source::Job, vec![unknown("b")]);
        warnings.count_row(Source::Pool, vec![slipped, unknown("x"), unknown("x")]);
        warnings.count_row(Source::Pool, vec![unknown("x"), Concern::VramDiffers { field: "v" }]);
        warnings.count_row(Source::FleetFile, vec![unknown("note")]);
        let mut again = Warnings::default();
        again.count_row(Source::Pool, vec![unknown("x")]);
        warnings.merge(again);
        let lines = [
            "fleet file: unknown field `note`",
            "3 pools: unknown field `x`",
            "1 pool: `age_ms` is odd",
            "1 pool: `v` is not the sum over `devices`, which is used",
            "1 job: unknown field `b`",
        ];
        assert_eq!(warnings.to_string(), lines.join("\n"));
        assert!(!warnings.is_empty());
    }

    #[test]
    fn names_are_bounded() {
        let mut warnings = Warnings::default();
        for number in 0..1000 {
            warnings.count_row(Source::Pool, vec![unknown(&format!("f{number:04}"))]);
        }
        warnings.count_row(Source::Pool, vec![unknown("f0000")]);
        warnings.count_row(Source::Job, vec![unknown("late")]);
        assert_eq!(warnings.iter().count(), UNKNOWN_MAX + 2);
        let text = warnings.to_string();
        assert!(text.contains("2 pools: unknown field `f0000`") && text.contains("1 job: unknown field `late`"));
        assert!(text.contains("936 further unknown fields of pools"));
    }
}
