//! Coding sessions as a closed loop: a request comes so long after its predecessor's end as its user thought.
//!
//! ```text
//! main     ██████····██████·················█████        · think time, as logged or from the logged times
//! sub:a           └──··███··███                          a sub-agent starts after the main request before it
//! ```
//!
//! A session starts at a drawn time. Its prompts grow: `prefix_blocks_any` says how many blocks of 64 tokens the prompt
//! has in common with *some* earlier one of the session, not with which; the latest of the same agent that is long
//! enough is taken, then the latest of any.
//!
//! Invariants: in a session requests ascend by their logged time; blocks of two sessions are never equal.

use std::ops::Range;

use indexmap::IndexMap;

use super::azure::micros;
use super::error::TraceError;
use super::part::{Part, index_of};
use crate::import::Refusals;
use crate::import::tables::{BadCell, Row, Table};
use crate::simulate::request::{Arrival, Request};

const BLOCK_TOKENS: u32 = 64;

/// One row, with the number of its agent in the session.
struct Turn {
    agent: String,
    model: String,
    start_us: u64,
    /// How long the logged service took.
    service_us: u64,
    think_us: Option<u64>,
    prompt_tokens: u32,
    output_tokens: u32,
    blocks: u32,
    shared_blocks: u32,
}

impl Turn {
    const fn end_us(&self) -> u64 {
        self.start_us.saturating_add(self.service_us)
    }
}

pub(super) fn read(mut table: Table, part: &mut Part<'_>, refused: &mut Refusals) -> Result<(), TraceError> {
    part.block_tokens = BLOCK_TOKENS;
    let mut sessions: IndexMap<String, Vec<Turn>> = IndexMap::new();
    while let Some(row) = table.next_row(refused)? {
        match turn(&row) {
            Ok((session, turn)) => sessions.entry(session).or_default().push(turn),
            Err(bad) => row.refuse(bad, refused),
        }
    }
    let starts = part.drawn_times(sessions.len());
    for (mut turns, start_us) in sessions.into_values().zip(starts) {
        // Stable: turns of one time stay in the order of the file.
        turns.sort_by_key(|turn| turn.start_us);
        add_session(part, &turns, start_us)?;
    }
    Ok(())
}

fn turn(row: &Row<'_>) -> Result<(String, Turn), BadCell> {
    let blank = |column| move || BadCell::new(column, "is blank");
    let prompt_tokens = row.tokens("input_tokens")?;
    let blocks = row.tokens("blocks64")?;
    if blocks > prompt_tokens.div_ceil(BLOCK_TOKENS) {
        return Err(BadCell::new("blocks64", format!("is {blocks}, more than the prompt has")));
    }
    let turn = Turn {
        agent: row.required("kind")?.to_owned(),
        model: row.required("model")?.to_owned(),
        start_us: micros(row, "t_ms")?.ok_or_else(blank("t_ms"))?,
        service_us: micros(row, "api_time_ms")?.unwrap_or(0),
        think_us: micros(row, "think_time_ms")?,
        prompt_tokens,
        output_tokens: row.tokens("output_tokens")?,
        blocks,
        shared_blocks: row.tokens("prefix_blocks_any")?.min(blocks),
    };
    Ok((row.required("session_id")?.to_owned(), turn))
}

fn add_session(part: &mut Part<'_>, turns: &[Turn], start_us: u64) -> Result<(), TraceError> {
    let session = part.new_session()?;
    let first = part.requests.len();
    for (place, turn) in turns.iter().enumerate() {
        let model = part.served(Some(&turn.model))?;
        let earlier = &turns[..place];
        let arrival = match predecessor(earlier, turn) {
            None => Arrival::At { at_us: start_us },
            Some(before) => {
                let between_us = turn.start_us.saturating_sub(turns[before].end_us());
                let same_agent = turns[before].agent == turn.agent;
                let think_us = turn.think_us.filter(|_| same_agent).unwrap_or(between_us);
                Arrival::After { request: index_of(first + before, "requests")?, think_us }
            }
        };
        let prefix_blocks = blocks_of(part, earlier, first, turn)?;
        let request = part.request(arrival, model, turn.prompt_tokens, turn.output_tokens);
        part.requests.push(Request { session: Some(session), prefix_blocks, ..request });
    }
    Ok(())
}

/// The latest earlier turn of the same agent; a new agent comes after the turn that had ended latest when it came.
fn predecessor(earlier: &[Turn], turn: &Turn) -> Option<usize> {
    let same = earlier.iter().rposition(|before| before.agent == turn.agent);
    let ended = || {
        let ended = earlier.iter().enumerate().filter(|(_, before)| before.end_us() <= turn.start_us);
        ended.max_by_key(|(place, before)| (before.end_us(), *place)).map(|(place, _)| place)
    };
    same.or_else(ended).or_else(|| earlier.len().checked_sub(1))
}

/// The blocks of a prompt: those of an earlier one as far as they are shared, then new ones.
fn blocks_of(part: &mut Part<'_>, earlier: &[Turn], first: usize, turn: &Turn) -> Result<Range<u32>, TraceError> {
    let long_enough = |before: &Turn| before.blocks >= turn.shared_blocks;
    let same = earlier.iter().rposition(|before| long_enough(before) && before.agent == turn.agent);
    let source = same.or_else(|| earlier.iter().rposition(long_enough)).filter(|_| turn.shared_blocks > 0);
    let source = source.map(|place| part.requests[first + place].prefix_blocks.clone());
    let (start, shared) = match source {
        // The prompt goes on where the earlier one ends, which is the end of the list: the common blocks stand once.
        Some(range) if range.len() == turn.shared_blocks as usize && range.end as usize == part.blocks.len() => {
            (range.start, turn.shared_blocks)
        }
        Some(range) => {
            let start = index_of(part.blocks.len(), "blocks")?;
            let from = range.start as usize;
            part.blocks.extend_from_within(from..from + turn.shared_blocks as usize);
            (start, turn.shared_blocks)
        }
        None => (index_of(part.blocks.len(), "blocks")?, 0),
    };
    let new = turn.blocks - shared;
    let next = part.block_ids.checked_add(new).ok_or(TraceError::TooMany { what: "blocks" })?;
    part.blocks.extend(part.block_ids..next);
    part.block_ids = next;
    Ok(start..index_of(part.blocks.len(), "blocks")?)
}
