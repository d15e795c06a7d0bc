//! A table of requests with their times: `arrival_ms,input_tokens,output_tokens`.

use orchestrator_core::limits::TIME_MAX_US;

use super::error::TraceError;
use super::part::Part;
use crate::import::Refusals;
use crate::import::tables::{BadCell, Row, Table};
use crate::simulate::request::Arrival;

pub(super) fn read(mut table: Table, part: &mut Part<'_>, refused: &mut Refusals) -> Result<(), TraceError> {
    let model = part.served(None)?;
    while let Some(row) = table.next_row(refused)? {
        match open_request(&row) {
            Ok((at_us, prompt, output)) => {
                if let Some(at_us) = part.place(at_us) {
                    let request = part.request(Arrival::At { at_us }, model, prompt, output);
                    part.requests.push(request);
                }
            }
            Err(bad) => row.refuse(bad, refused),
        }
    }
    Ok(())
}

/// A row's arrival in µs, its prompt's tokens and those of its output.
pub(super) fn open_request(row: &Row<'_>) -> Result<(u64, u32, u32), BadCell> {
    let at_us = micros(row, "arrival_ms")?.ok_or_else(|| BadCell::new("arrival_ms", "is blank"))?;
    Ok((at_us, row.tokens("input_tokens")?, row.tokens("output_tokens")?))
}

/// A cell of whole milliseconds in µs.
pub(super) fn micros(row: &Row<'_>, column: &'static str) -> Result<Option<u64>, BadCell> {
    Ok(row.integer(column, TIME_MAX_US / 1000)?.map(|ms| ms * 1000))
}
