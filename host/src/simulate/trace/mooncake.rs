//! JSON Lines with `hash_ids`: equal ids are equal blocks of 512 tokens behind equal beginnings.

use std::collections::HashMap;

use orchestrator_core::limits::{TIME_MAX_US, TOKENS_MAX};
use serde::Deserialize;

use super::error::TraceError;
use super::kind::JsonLines;
use super::part::{Part, index_of};
use crate::import::Refusals;
use crate::input::Line;
use crate::simulate::request::Arrival;

/// Tokens of a block, as the trace's authors state.
const BLOCK_TOKENS: u32 = 512;

#[derive(Deserialize)]
struct Row {
    timestamp: u64,
    input_length: u64,
    output_length: u64,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// The field that is at fault, and why.
type BadField = (&'static str, String);

pub(super) fn read(lines: JsonLines, part: &mut Part<'_>, refused: &mut Refusals) -> Result<(), TraceError> {
    part.block_tokens = BLOCK_TOKENS;
    let model = part.served(None)?;
    let mut numbers = HashMap::new();
    lines.each(|path, line| {
        match row_of(line) {
            Ok(row) => add(part, &row, model, &mut numbers)?,
            Err((field, why)) => refused.push(path, line.number(), field, why),
        }
        Ok(())
    })
}

fn add(part: &mut Part<'_>, row: &Row, model: u32, numbers: &mut HashMap<u64, u32>) -> Result<(), TraceError> {
    let Some(at_us) = part.place(row.timestamp * 1000) else {
        return Ok(());
    };
    let start = index_of(part.blocks.len(), "blocks")?;
    for id in &row.hash_ids {
        let next = index_of(numbers.len(), "blocks")?;
        part.blocks.push(*numbers.entry(*id).or_insert(next));
    }
    part.block_ids = index_of(numbers.len(), "blocks")?;
    let end = index_of(part.blocks.len(), "blocks")?;
    let (prompt, output) = (saturated(row.input_length), saturated(row.output_length));
    let mut request = part.request(Arrival::At { at_us }, model, prompt, output);
    request.prefix_blocks = start..end;
    part.requests.push(request);
    Ok(())
}

/// Of a row that was checked, so that nothing is lost.
fn saturated(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(TOKENS_MAX)
}

fn row_of(line: &Line<'_>) -> Result<Row, BadField> {
    let text = line.text().map_err(|problem| ("", format!("the line is {problem}")))?;
    let row: Row = serde_json::from_str(text).map_err(|error| {
        // The line that serde_json counts is always 1.
        let message = error.to_string();
        ("", message.split(" at line 1 column ").next().unwrap_or_default().to_owned())
    })?;
    let limits = [
        ("timestamp", row.timestamp, TIME_MAX_US / 1000),
        ("input_length", row.input_length, u64::from(TOKENS_MAX)),
        ("output_length", row.output_length, u64::from(TOKENS_MAX)),
        ("hash_ids", row.hash_ids.len() as u64, row.input_length.div_ceil(u64::from(BLOCK_TOKENS))),
    ];
    match limits.into_iter().find(|(_, value, limit)| value > limit) {
        Some((field, value, limit)) if field == "hash_ids" => {
            Err((field, format!("has {value} blocks, more than the {limit} that the prompt can have")))
        }
        Some((field, value, limit)) => Err((field, format!("is {value}, above {limit}"))),
        None => Ok(row),
    }
}
