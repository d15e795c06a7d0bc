//! One line of events as an [`Input`] of a scheduler, with its time. Events and fields: `docs/spec.md` section 21.
//!
//! ```text
//! {"event":"snapshot","at_ms":0,"pool":{"id":"a","engine":"vllm","slots_total":8, …}}
//! {"event":"submit","at_ms":12.5,"job":{"id":"j1","engine":"vllm","model_id":"m"}}
//! {"event":"finished","at_ms":340,"job_id":"j1","tokens_out":64}
//! {"event":"tick"}                                       without a time: it happens now
//! ```
//!
//! A pool and a job are read by the same code as in fleet and job files, and their limits are checked by the core when
//! the scheduler takes them.
//!
//! Invariants: a refused line changes nothing and names its line and field, with `job.` or `pool.` before fields in them
//! (WIRE-2); unknown fields are counted in a warning.

use std::borrow::Cow;
use std::path::Path;

use orchestrator_core::limits::TOKENS_MAX;
use orchestrator_core::scheduler::{CancelCause, FailureCause, Input};
use orchestrator_core::units::micros_from_millis;
use orchestrator_core::{FieldError, Problem};

use super::fields::Object;
use super::job_row::JobText;
use super::lines::{Line, LineProblem};
use super::policy_file::{Policies, parse_policies, read_policies};
use super::pool_row::PoolText;
use super::row_error::{RowError, Why};
use super::warnings::{Source, Warnings};

/// A line of events that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct RefusedEvent {
    /// The line's number, from 1.
    pub line: u64,
    /// Which event it is, where that could be read.
    pub event: Option<String>,
    /// The job's id, where it could be read.
    pub job_id: Option<String>,
    /// What broke the line.
    pub error: RowError,
}

/// A line of events, its types checked and its limits not.
#[derive(Debug, Clone, PartialEq)]
pub struct EventText<'a> {
    at_us: Option<u64>,
    body: Body<'a>,
}

#[derive(Debug, Clone, PartialEq)]
enum Body<'a> {
    // Boxed: by far the largest.
    Submit(Box<JobText<'a>>),
    Snapshot(Box<PoolText<'a>>),
    RemovePool(PoolIds<'a>),
    Drain(PoolIds<'a>, bool),
    Started(Cow<'a, str>),
    FirstToken(Cow<'a, str>),
    Progress(Cow<'a, str>, u32),
    Finished(Cow<'a, str>, u32),
    Failed(Cow<'a, str>, FailureCause, u32),
    Cancel(Cow<'a, str>, CancelCause),
    EndSession(Cow<'a, str>),
    SetPolicy(Box<Policies>),
    Tick,
}

#[derive(Debug, Clone, PartialEq)]
struct PoolIds<'a> {
    id: Cow<'a, str>,
    replica_id: Cow<'a, str>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Submit,
    Snapshot,
    RemovePool,
    Drain,
    Started,
    FirstToken,
    Progress,
    Finished,
    Failed,
    Cancel,
    EndSession,
    SetPolicy,
    Tick,
}

const KINDS: [(&str, Kind); 13] = [
    ("submit", Kind::Submit),
    ("snapshot", Kind::Snapshot),
    ("remove_pool", Kind::RemovePool),
    ("drain", Kind::Drain),
    ("started", Kind::Started),
    ("first_token", Kind::FirstToken),
    ("progress", Kind::Progress),
    ("finished", Kind::Finished),
    ("failed", Kind::Failed),
    ("cancel", Kind::Cancel),
    ("end_session", Kind::EndSession),
    ("set_policy", Kind::SetPolicy),
    ("tick", Kind::Tick),
];

/// Reads one line of events and lends it to `then`, with its time in µs if it has one. WIRE-1.
///
/// # Errors
/// As [`EventText::read`].
pub fn read_event_line<R>(
    line: &Line<'_>,
    warnings: &mut Warnings,
    then: impl FnOnce(Option<u64>, Input<'_>) -> R,
) -> Result<R, RefusedEvent> {
    EventText::read(line, warnings).map(|event| event.with_input(|input| then(event.at_us(), input)))
}

impl<'a> EventText<'a> {
    /// Reads one line of events. Its warnings are counted only if it can be read. `set_policy` with a path reads a file.
    ///
    /// # Errors
    /// A line that is too long, no UTF-8 or no object; an unknown event; a field of the wrong type, outside its limit,
    /// required and absent, or repeated; a policy that cannot be used.
    pub fn read(line: &Line<'a>, warnings: &mut Warnings) -> Result<Self, RefusedEvent> {
        let text = line.text().map_err(|problem| RefusedEvent::unparsed(line, problem))?;
        let row = Object::row(text);
        Self::parse(&row, warnings).map_err(|error| RefusedEvent::of(line.number(), &row, error))
    }

    /// When it happened, in µs; `None` where the line does not say.
    #[must_use]
    pub const fn at_us(&self) -> Option<u64> {
        self.at_us
    }

    /// Lends the line as what a scheduler takes.
    pub fn with_input<R>(&self, then: impl FnOnce(Input<'_>) -> R) -> R {
        match &self.body {
            Body::Submit(job) => job.with_spec(|spec| then(Input::Submit(spec))),
            Body::Snapshot(pool) => pool.with_snapshot(|snapshot| then(Input::Snapshot(snapshot))),
            Body::RemovePool(pool) => then(Input::RemovePool { id: &pool.id, replica_id: &pool.replica_id }),
            Body::Drain(pool, draining) => {
                then(Input::Drain { id: &pool.id, replica_id: &pool.replica_id, draining: *draining })
            }
            Body::Started(job_id) => then(Input::Started { job_id }),
            Body::FirstToken(job_id) => then(Input::FirstToken { job_id }),
            Body::Progress(job_id, tokens_out) => then(Input::Progress { job_id, tokens_out: *tokens_out }),
            Body::Finished(job_id, tokens_out) => then(Input::Finished { job_id, tokens_out: *tokens_out }),
            Body::Failed(job_id, cause, tokens_out) => {
                then(Input::Failed { job_id, cause: *cause, tokens_out: *tokens_out })
            }
            Body::Cancel(job_id, cause) => then(Input::Cancel { job_id, cause: *cause }),
            Body::EndSession(session_id) => then(Input::EndSession { session_id }),
            Body::SetPolicy(policies) => {
                then(Input::SetPolicies { placement: &policies.placement, scheduler: &policies.scheduler })
            }
            Body::Tick => then(Input::Tick),
        }
    }

    fn parse(row: &Object<'a>, warnings: &mut Warnings) -> Result<Self, RowError> {
        row.check()?;
        let expected = "submit, snapshot, remove_pool, drain, started, first_token, progress, finished, failed, \
            cancel, end_session, set_policy or tick";
        let kind = Object::required("event", row.word("event", &KINDS, expected)?)?;
        let at_us = row.float("at_ms")?.map(micros_from_millis).transpose();
        let at_us = at_us.map_err(|problem| FieldError::new("at_ms", problem))?;
        let body = Body::parse(kind, row, warnings)?;
        let mut notes = Vec::new();
        row.finish(&mut notes);
        warnings.count_row(Source::Event, notes);
        Ok(Self { at_us, body })
    }
}

impl<'a> Body<'a> {
    fn parse(kind: Kind, row: &Object<'a>, warnings: &mut Warnings) -> Result<Self, RowError> {
        let job_id = || Object::required("job_id", row.text("job_id")?);
        Ok(match kind {
            Kind::Submit => {
                let job = JobText::read(Object::required("job", row.value("job"))?, warnings);
                Self::Submit(Box::new(job.map_err(|refused| refused.error.within("job"))?))
            }
            Kind::Snapshot => {
                let pool = PoolText::read(Object::required("pool", row.value("pool"))?, warnings);
                Self::Snapshot(Box::new(pool.map_err(|refused| refused.error.within("pool"))?))
            }
            Kind::RemovePool => Self::RemovePool(PoolIds::parse(row)?),
            Kind::Drain => Self::Drain(PoolIds::parse(row)?, row.boolean("draining")?.unwrap_or(true)),
            Kind::Started => Self::Started(job_id()?),
            Kind::FirstToken => Self::FirstToken(job_id()?),
            Kind::Progress => Self::Progress(job_id()?, Object::required("tokens_out", tokens_out(row)?)?),
            Kind::Finished => Self::Finished(job_id()?, Object::required("tokens_out", tokens_out(row)?)?),
            Kind::Failed => {
                let causes = FailureCause::ALL.map(|cause| (cause.name(), cause));
                let cause = row.word("cause", &causes, "engine, worker_reset or decode_timeout")?;
                Self::Failed(job_id()?, cause.unwrap_or(FailureCause::Engine), tokens_out(row)?.unwrap_or(0))
            }
            Kind::Cancel => {
                let causes = CancelCause::ALL.map(|cause| (cause.name(), cause));
                let cause = row.word("cause", &causes, "client_request, disconnect, timeout or admin")?;
                Self::Cancel(job_id()?, cause.unwrap_or_default())
            }
            Kind::EndSession => Self::EndSession(Object::required("session_id", row.text("session_id")?)?),
            Kind::SetPolicy => Self::SetPolicy(Box::new(policies(row)?)),
            Kind::Tick => Self::Tick,
        })
    }
}

impl<'a> PoolIds<'a> {
    fn parse(row: &Object<'a>) -> Result<Self, RowError> {
        Ok(Self {
            id: Object::required("pool_id", row.text("pool_id")?)?,
            replica_id: row.text("replica_id")?.unwrap_or_default(),
        })
    }
}

/// Tokens produced, below 2^24 (UNIT-3).
fn tokens_out(row: &Object<'_>) -> Result<Option<u32>, RowError> {
    let tokens = row.count("tokens_out", TOKENS_MAX.into())?;
    Ok(tokens.and_then(|tokens| u32::try_from(tokens).ok()))
}

/// The policies of a file, or of TOML text in the line itself. WIRE-3.
fn policies(row: &Object<'_>) -> Result<Policies, RowError> {
    let (path, toml) = (row.text("path")?, row.text("toml")?);
    let (field, read) = match (path, toml) {
        // A pipe would keep the scheduler waiting.
        (Some(path), None) if Path::new(&*path).exists() && !Path::new(&*path).is_file() => {
            return Err(RowError::new("path", Why::Policy { reason: format!("{path}: is no regular file") }));
        }
        (Some(path), None) => ("path", read_policies(Path::new(&*path))),
        (None, Some(toml)) => ("toml", parse_policies(&toml, Path::new("policy"))),
        (None, None) => return Err(RowError::new("path", Problem::Missing)),
        (Some(_), Some(_)) => {
            return Err(RowError::new("path", Problem::Contradiction { why: "stands beside `toml`; leave one out" }));
        }
    };
    let policies = read.map_err(|error| RowError::new(field, Why::Policy { reason: error.to_string() }))?;
    if policies.prices.is_empty() {
        return Ok(policies);
    }
    // Reservations were made at the prices of the start.
    Err(RowError::new(field, Problem::Contradiction { why: "has [[price]]; prices cannot change while jobs run" }))
}

impl RefusedEvent {
    fn of(line: u64, row: &Object<'_>, error: RowError) -> Self {
        let of_job = || Object::row(row.value("job")?).peek_text("id");
        Self { line, event: row.peek_text("event"), job_id: row.peek_text("job_id").or_else(of_job), error }
    }

    /// A line that was refused before it could be parsed.
    fn unparsed(line: &Line<'_>, problem: LineProblem) -> Self {
        let text = String::from_utf8_lossy(line.bytes());
        let mut refused = Self::of(line.number(), &Object::row(&text), RowError::row(problem));
        // A replaced character means that the text itself is not known.
        let whole = |text: &String| !text.contains(char::REPLACEMENT_CHARACTER);
        refused.event = refused.event.filter(whole);
        refused.job_id = refused.job_id.filter(whole);
        refused
    }
}

#[cfg(test)]
#[path = "event_row_tests.rs"]
mod tests;
