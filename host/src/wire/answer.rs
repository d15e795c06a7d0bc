//! The answer to one event as one line.

use orchestrator_core::FleetError;
use orchestrator_core::scheduler::{Answer, Input};
use orchestrator_core::units::millis_ceil;
use serde::Serialize;

use super::at_ms;
use super::refusal::RefusalFields;
use crate::input::RefusedEvent;

/// What became of an event: fields that do not apply are left out. WIRE-4.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerLine<'a> {
    /// The answer's name.
    pub answer: &'static str,
    at_ms: f64,
    event: &'static str,
    #[serde(flatten)]
    subject: Subject<'a>,
    #[serde(flatten)]
    accepted: Option<AcceptedFields>,
    #[serde(flatten)]
    refused: Option<RefusalFields>,
    #[serde(flatten)]
    bad_snapshot: Option<BadSnapshotFields>,
    /// The time that the event was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ms: Option<f64>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
struct Subject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct AcceptedFields {
    queue_position: u32,
    class_position: u32,
    /// From now; null while it is not known.
    predicted_start_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct BadSnapshotFields {
    field: &'static str,
    why: String,
}

impl<'a> AnswerLine<'a> {
    /// The answer to `input` at `now_us`.
    #[must_use]
    pub fn new(now_us: u64, input: &Input<'a>, answer: &Answer) -> Self {
        let (event, subject) = event_and_subject(input);
        let mut line = Self {
            answer: answer.name(),
            at_ms: at_ms(now_us),
            event,
            subject,
            accepted: None,
            refused: None,
            bad_snapshot: None,
            last_ms: None,
            max_ms: None,
        };
        match answer {
            Answer::Accepted(forecast) => {
                let from_now = |start_us: u64| millis_ceil(start_us.saturating_sub(now_us));
                line.accepted = Some(AcceptedFields {
                    queue_position: forecast.queue_position,
                    class_position: forecast.class_position,
                    predicted_start_ms: forecast.predicted_start_us.map(from_now),
                });
            }
            Answer::Refused(refusal) => line.refused = Some(RefusalFields::new(refusal)),
            Answer::BadSnapshot(error) => line.bad_snapshot = Some(BadSnapshotFields::new(error)),
            Answer::TimeWentBack { last_us } => line.last_ms = Some(at_ms(*last_us)),
            Answer::TimeTooLate { max_us } => line.max_ms = Some(at_ms(*max_us)),
            // The name says it all; also of what later versions add.
            _ => {}
        }
        line
    }
}

impl BadSnapshotFields {
    fn new(error: &FleetError) -> Self {
        match error {
            FleetError::Field(error) => Self { field: error.field, why: error.problem.to_string() },
            // The pool itself has no place; also what later versions add.
            _ => Self { field: "id", why: error.to_string() },
        }
    }
}

/// A job's, a pool's or a session's event by its name in `docs/spec.md` section 21.
fn event_and_subject<'a>(input: &Input<'a>) -> (&'static str, Subject<'a>) {
    let job = |job_id| Subject { job_id: Some(job_id), ..Subject::default() };
    let pool = |id, replica| Subject { pool_id: Some(id), replica_id: Some(replica), ..Subject::default() };
    match *input {
        Input::Snapshot(snapshot) => ("snapshot", pool(snapshot.id, snapshot.replica_id)),
        Input::RemovePool { id, replica_id } => ("remove_pool", pool(id, replica_id)),
        Input::Drain { id, replica_id, .. } => ("drain", pool(id, replica_id)),
        Input::Submit(spec) => ("submit", job(spec.id)),
        Input::Started { job_id } => ("started", job(job_id)),
        Input::FirstToken { job_id } => ("first_token", job(job_id)),
        Input::Progress { job_id, .. } => ("progress", job(job_id)),
        Input::Finished { job_id, .. } => ("finished", job(job_id)),
        Input::Failed { job_id, .. } => ("failed", job(job_id)),
        Input::Cancel { job_id, .. } => ("cancel", job(job_id)),
        Input::EndSession { session_id } => {
            ("end_session", Subject { session_id: Some(session_id), ..Subject::default() })
        }
        Input::SetPolicies { .. } => ("set_policy", Subject::default()),
        Input::Tick => ("tick", Subject::default()),
    }
}

/// A line of events that could not be read, as a line. WIRE-2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedLine<'a> {
    answer: &'static str,
    line: u64,
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a str>,
    field: &'a str,
    why: String,
}

impl<'a> RefusedLine<'a> {
    /// The line of a refused one.
    #[must_use]
    pub fn new(refused: &'a RefusedEvent) -> Self {
        Self {
            answer: "bad_event",
            line: refused.line,
            event: refused.event.as_deref(),
            job_id: refused.job_id.as_deref(),
            field: &refused.error.field,
            why: refused.error.why.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::scheduler::{
        CancelCause, FailureCause, Refusal, RefusalCode, SchedulerPolicy, WaitForecast,
    };
    use orchestrator_core::{FieldError, JobSpec, Policy, PoolSnapshot, Problem, Rejection};
    use serde_json::{Value, json};

    use super::*;
    use crate::input::{LineReader, Warnings, read_event_line};

    fn line(input: &Input<'_>, answer: &Answer) -> Value {
        serde_json::to_value(AnswerLine::new(12_500, input, answer)).unwrap()
    }

    // WIRE-4: every answer that has more than a name.
    #[test]
    fn answers() {
        let job = JobSpec::new("j", "vllm", "m");
        let submit = Input::Submit(&job);
        let forecast = WaitForecast { queue_position: 3, class_position: 1, predicted_start_us: Some(432_001) };
        assert_eq!(
            line(&submit, &Answer::Accepted(forecast)),
            json!({ "answer": "accepted", "at_ms": 12.5, "event": "submit", "job_id": "j", "queue_position": 3,
                "class_position": 1, "predicted_start_ms": 420 })
        );
        let unknown = line(&submit, &Answer::Accepted(WaitForecast::default()));
        assert_eq!(unknown["predicted_start_ms"], Value::Null);
        let refusal = Refusal {
            code: RefusalCode::AdmissionReject,
            field: None,
            policy_label: Some("shed-low-priority"),
            rejection: None,
            retry_after_ms: Some(1_500),
        };
        assert_eq!(
            line(&submit, &Answer::Refused(refusal)),
            json!({ "answer": "refused", "at_ms": 12.5, "event": "submit", "job_id": "j", "code": "ADMISSION_REJECT",
                "retriable": true, "retry_after_ms": 1_500, "policy_label": "shed-low-priority" })
        );
        let field = Some(FieldError::new("budget.tokens", Problem::Negative));
        let refusal = Refusal {
            code: RefusalCode::InvalidParams,
            field,
            policy_label: None,
            rejection: Some(Rejection::Context),
            retry_after_ms: None,
        };
        assert_eq!(
            line(&submit, &Answer::Refused(refusal)),
            json!({ "answer": "refused", "at_ms": 12.5, "event": "submit", "job_id": "j", "code": "INVALID_PARAMS",
                "retriable": false, "detail": "context", "field": "budget.tokens", "why": "must not be negative" })
        );
        let pool = PoolSnapshot::new("a", "vllm", 1, 1, 1, 1);
        let bad = Answer::BadSnapshot(FleetError::Field(FieldError::new("slots_total", Problem::Negative)));
        assert_eq!(
            line(&Input::Snapshot(&pool), &bad),
            json!({ "answer": "bad_snapshot", "at_ms": 12.5, "event": "snapshot", "pool_id": "a", "replica_id": "",
                "field": "slots_total", "why": "must not be negative" })
        );
        let full = line(&Input::Snapshot(&pool), &Answer::BadSnapshot(FleetError::Full { capacity: 8 }));
        assert_eq!((&full["field"], &full["why"]), (&json!("id"), &json!("the fleet is full: at most 8 pools")));
        assert_eq!(
            line(&Input::Tick, &Answer::TimeWentBack { last_us: 20_001 }),
            json!({ "answer": "time_went_back", "at_ms": 12.5, "event": "tick", "last_ms": 20.001 })
        );
        assert_eq!(
            line(&Input::Tick, &Answer::TimeTooLate { max_us: 11_001 }),
            json!({ "answer": "time_too_late", "at_ms": 12.5, "event": "tick", "max_ms": 11.001 })
        );
    }

    // WIRE-1, WIRE-4: an event's name in its answer is the one that reads it.
    #[test]
    fn events_have_the_names_that_read_them() {
        let (job, pool) = (JobSpec::new("j", "e", "m"), PoolSnapshot::new("p", "e", 1, 1, 1, 1));
        let (placement, scheduler) = (Policy::default(), SchedulerPolicy::default());
        let job_id = "j";
        let inputs = [
            Input::Submit(&job),
            Input::Snapshot(&pool),
            Input::RemovePool { id: "p", replica_id: "r" },
            Input::Drain { id: "p", replica_id: "r", draining: true },
            Input::Started { job_id },
            Input::FirstToken { job_id },
            Input::Progress { job_id, tokens_out: 1 },
            Input::Finished { job_id, tokens_out: 1 },
            Input::Failed { job_id, cause: FailureCause::Engine, tokens_out: 1 },
            Input::Cancel { job_id, cause: CancelCause::Admin },
            Input::EndSession { session_id: "s" },
            Input::SetPolicies { placement: &placement, scheduler: &scheduler },
            Input::Tick,
        ];
        for input in inputs {
            let mut event = line(&input, &Answer::Done);
            assert_eq!(event["answer"], "done");
            // Enough of everything to be read again.
            event["job"] = json!({ "id": "j", "engine": "e", "model_id": "m" });
            event["pool"] = json!({ "id": "p", "engine": "e", "slots_total": 1, "slots_free": 1, "vram_total_bytes": 1,
                "vram_free_bytes": 1 });
            event["tokens_out"] = json!(1);
            event["toml"] = json!("");
            if event["event"] == "failed" {
                event["cause"] = json!("engine");
            }
            if event["event"] == "cancel" {
                event["cause"] = json!("admin");
            }
            let text = event.to_string();
            let mut lines = LineReader::new(text.as_bytes());
            let read = lines.next_line().unwrap().unwrap();
            let same = read_event_line(&read, &mut Warnings::default(), |at_us, again| {
                assert_eq!(at_us, Some(12_500));
                format!("{again:?}") == format!("{input:?}")
            });
            assert_eq!(same, Ok(true), "{text}");
        }
    }

    // WIRE-2: a line that could not be read has an answer too.
    #[test]
    fn unreadable_lines() {
        let mut lines = LineReader::new(&b"\n{\"event\":\"finished\",\"job_id\":\"j\"}\n{"[..]);
        let mut next = || {
            let line = lines.next_line().unwrap().unwrap();
            let refused = read_event_line(&line, &mut Warnings::default(), |_, _| ()).unwrap_err();
            serde_json::to_value(RefusedLine::new(&refused)).unwrap()
        };
        assert_eq!(
            next(),
            json!({ "answer": "bad_event", "line": 2, "event": "finished", "job_id": "j", "field": "tokens_out",
                "why": "required, but absent" })
        );
        let broken = next();
        assert_eq!((&broken["line"], &broken["event"], &broken["field"]), (&json!(3), &Value::Null, &json!("row")));
    }
}
