//! Where each number of an imported fleet comes from, as a CSV table beside the fleet.
//!
//! ```text
//! pool,field,value,table,source_id,ref,licence
//! h200-a/0,perf_tokens_per_s,46.586,profiles,aiconfigurator-silicon,2026_04_06_…,Apache-2.0
//! ```
//!
//! A fleet file has no place for sources (unknown fields are warned about), but a number without one cannot be
//! checked. Listed are the facts that come from tables; every other field of a pool is declared in the deployment,
//! which the fleet file echoes.

use std::io::Write;

use super::error::ImportError;
use super::tables::Origin;

/// Writes provenance rows, or drops them.
pub(super) struct Provenance<'a> {
    writer: Option<csv::Writer<&'a mut dyn Write>>,
}

impl<'a> Provenance<'a> {
    /// Keeps nothing.
    pub(super) fn none() -> Self {
        Self { writer: None }
    }

    /// Writes to `out`, beginning with the header.
    pub(super) fn to(out: &'a mut dyn Write) -> Result<Self, ImportError> {
        let mut provenance = Self { writer: Some(csv::Writer::from_writer(out)) };
        provenance.write(["pool", "field", "value", "table", "source_id", "ref", "licence"])?;
        Ok(provenance)
    }

    /// Notes one field of one pool.
    pub(super) fn note(&mut self, pool: &str, fact: &Fact<'_>) -> Result<(), ImportError> {
        let Origin { source_id, reference, licence } = fact.origin;
        self.write([pool, fact.field, &fact.value, fact.table, source_id, reference, licence])
    }

    /// Writes what is still held back.
    pub(super) fn finish(mut self) -> Result<(), ImportError> {
        Ok(self.writer.as_mut().map_or(Ok(()), csv::Writer::flush)?)
    }

    fn write(&mut self, row: [&str; 7]) -> Result<(), ImportError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write_record(row).map_err(|error| ImportError::Write { source: error.into() })
    }
}

/// One field that comes from a table.
pub(super) struct Fact<'a> {
    pub(super) field: &'static str,
    pub(super) value: String,
    pub(super) table: &'static str,
    pub(super) origin: &'a Origin,
}
