//! JSON Lines of jobs, or of events `submit`: the truth of a job's output is its `expected_tokens`, up to its `max_tokens`.
//!
//! Engine, model, session, `kv_hint`, priority and deadline are the job's. What else it asks for is not simulated, and a
//! warning says so.

use std::collections::HashMap;
use std::path::Path;

use orchestrator_core::scheduler::Input;
use orchestrator_core::units::micros_from_millis;
use orchestrator_core::{
    Budget, DeterminismSpec, JobSpec, KvHint, ModelRequirements, PlacementHints, Policy, Priority,
};

use super::error::TraceError;
use super::kind::JsonLines;
use super::part::Part;
use crate::import::Refusals;
use crate::input::{Concern, Line, Source, Warnings, read_event_line, read_job_line};
use crate::simulate::request::{Arrival, Request};

/// What a line says of a request.
struct Row {
    /// Of an event.
    at_us: Option<u64>,
    engine: String,
    model: String,
    session: Option<String>,
    priority: Priority,
    prompt_tokens: u32,
    output_tokens: u32,
    output_tokens_max: Option<u32>,
    deadline_us: Option<u64>,
    is_cold: bool,
    /// What it asks for in vain.
    not_simulated: Vec<Concern>,
}

/// The field that is at fault, and why.
type BadField = (&'static str, String);

pub(super) fn read(lines: JsonLines, part: &mut Part<'_>, refused: &mut Refusals) -> Result<(), TraceError> {
    let mut sessions = HashMap::new();
    let mut untimed = Vec::new();
    lines.each(|path, line| {
        let Some(row) = read_row(path, line, &mut part.warnings, refused) else {
            return Ok(());
        };
        match row {
            None => part.left_out += 1,
            Some(mut row) => {
                part.warnings.count_row(Source::Job, std::mem::take(&mut row.not_simulated));
                add(part, row, &mut sessions, &mut untimed)?;
            }
        }
        Ok(())
    })?;
    for (place, time) in untimed.iter().zip(part.drawn_times(untimed.len())) {
        part.requests[*place].arrival = Arrival::At { at_us: time };
    }
    Ok(())
}

fn add(
    part: &mut Part<'_>,
    row: Row,
    sessions: &mut HashMap<String, u32>,
    untimed: &mut Vec<usize>,
) -> Result<(), TraceError> {
    let at_us = match row.at_us {
        Some(at_us) => match part.place(at_us) {
            Some(at_us) => at_us,
            None => return Ok(()),
        },
        None => {
            untimed.push(part.requests.len());
            0
        }
    };
    let model = part.named(row.engine, row.model)?;
    let session = match row.session {
        Some(name) => Some(match sessions.get(&name) {
            Some(session) => *session,
            None => *sessions.entry(name).or_insert(part.new_session()?),
        }),
        None => None,
    };
    let request = part.request(Arrival::At { at_us }, model, row.prompt_tokens, row.output_tokens);
    let Row { output_tokens_max, priority, deadline_us, is_cold, .. } = row;
    part.requests.push(Request { session, output_tokens_max, priority, deadline_us, is_cold, ..request });
    Ok(())
}

/// The request of a line; `Some(None)` for an event of another kind, `None` for a line that was refused.
fn read_row(path: &Path, line: &Line<'_>, warnings: &mut Warnings, refused: &mut Refusals) -> Option<Option<Row>> {
    let is_event = line.text().is_ok_and(|text| text.contains("\"event\""));
    let read = if is_event {
        read_event_line(line, warnings, |at_us, input| match input {
            Input::Submit(spec) => row_of(spec, at_us).map(Some),
            _ => Ok(None),
        })
        .map_err(|event| event.error.to_string())
    } else {
        read_job_line(line, warnings, |spec| row_of(spec, None).map(Some)).map_err(|job| job.error.to_string())
    };
    let bad = match read {
        Ok(Ok(row)) => return Some(row),
        Ok(Err(bad)) => bad,
        Err(why) => ("", why),
    };
    refused.push(path, line.number(), bad.0, bad.1);
    None
}

fn row_of(spec: &JobSpec<'_>, at_us: Option<u64>) -> Result<Row, BadField> {
    spec.validate(&Policy::default(), None).map_err(|error| ("", error.to_string()))?;
    let output =
        spec.expected_tokens.ok_or(("expected_tokens", "is missing; it is taken for the output".to_owned()))?;
    let output = output.min(spec.max_tokens.unwrap_or(output));
    let tokens = |field, value: i64| u32::try_from(value).map_err(|_| (field, "is out of range".to_owned()));
    let deadline_us = spec.deadline_ms.map(micros_from_millis).transpose();
    Ok(Row {
        at_us,
        engine: spec.engine.to_owned(),
        model: spec.model_id.to_owned(),
        session: spec.session_id.map(str::to_owned),
        priority: spec.priority,
        prompt_tokens: tokens("prompt_tokens", spec.prompt_tokens)?,
        output_tokens: tokens("expected_tokens", output)?,
        output_tokens_max: spec.max_tokens.map(|most| tokens("max_tokens", most)).transpose()?,
        deadline_us: deadline_us.map_err(|problem| ("deadline_ms", problem.to_string()))?,
        is_cold: spec.kv_hint == KvHint::Cold,
        not_simulated: not_simulated(spec),
    })
}

/// What a job asks for that nothing here looks at.
fn not_simulated(spec: &JobSpec<'_>) -> Vec<Concern> {
    let asks = [
        ("required_ctx", spec.required_ctx.is_some()),
        ("est_kv_bytes", spec.est_kv_bytes.is_some()),
        ("tenant_id", spec.tenant_id.is_some()),
        ("requirements", spec.requirements != ModelRequirements::default()),
        ("determinism", spec.determinism != DeterminismSpec::default()),
        ("placement", spec.placement != PlacementHints::AUTOMATIC),
        ("budget", spec.budget != Budget::default()),
    ];
    asks.into_iter().filter(|&(_, is_asked)| is_asked).map(|(field, _)| Concern::NotSimulated { field }).collect()
}
