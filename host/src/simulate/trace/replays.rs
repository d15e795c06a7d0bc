//! A table of measured runs of an engine: the requests as they came, the model as it was logged.

use super::azure::open_request;
use super::error::TraceError;
use super::part::Part;
use crate::import::Refusals;
use crate::import::tables::Table;
use crate::simulate::request::Arrival;

/// All runs start at 0 of the clock.
pub(super) fn read(mut table: Table, part: &mut Part<'_>, refused: &mut Refusals) -> Result<(), TraceError> {
    while let Some(row) = table.next_row(refused)? {
        let read = open_request(&row).and_then(|lengths| Ok((lengths, row.required("model")?)));
        match read {
            Ok(((at_us, prompt, output), model)) => {
                let model = part.served(Some(model))?;
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
