//! A refusal on the wire: as fields of a line, and as an HTTP answer. ADMIT-4, ADMIT-5.
//!
//! ```
//! use orchestrator_core::scheduler::{Refusal, RefusalCode};
//! use orchestrator_host::wire::HttpRefusal;
//!
//! let refusal = Refusal {
//!     code: RefusalCode::AdmissionReject,
//!     field: None,
//!     policy_label: Some("reject"),
//!     rejection: None,
//!     retry_after_ms: Some(1_500),
//! };
//! let answer = HttpRefusal::new(&refusal, Some("vllm"));
//! assert_eq!(answer.status, 429);
//! assert_eq!(answer.headers(), [("Retry-After", "2".to_owned()), ("X-Backoff-Ms", "1500".to_owned())]);
//! ```

use orchestrator_core::scheduler::{Refusal, RefusalCode};
use orchestrator_core::{FieldError, Problem};
use serde::Serialize;

/// A refusal's fields in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalFields {
    /// The code of the wire contract.
    pub code: &'static str,
    /// Whether trying again can help.
    pub retriable: bool,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The full policy that refused or evicted the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_label: Option<&'static str>,
    /// The rule that the furthest pool failed. NOCAP-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'static str>,
    /// The job's field that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl RefusalFields {
    /// The fields of a refusal.
    #[must_use]
    pub fn new(refusal: &Refusal) -> Self {
        Self {
            code: refusal.code.name(),
            retriable: refusal.retry_after_ms.is_some(),
            retry_after_ms: refusal.retry_after_ms,
            policy_label: refusal.policy_label,
            detail: refusal.rejection.map(|rejection| rejection.detail()),
            field: refusal.field.map(|error| error.field),
            why: refusal.field.map(|error| why(&error)),
        }
    }
}

/// What is wrong with a field; where the size of this process's storage is the limit, the option that sets it. ADMIT-2.
fn why(error: &FieldError) -> String {
    match error.problem {
        Problem::TooLong { .. } if error.field == "job" => format!("{} (--job-bytes)", error.problem),
        problem => problem.to_string(),
    }
}

/// A refusal as data of an HTTP answer: a server writes it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRefusal<'a> {
    /// The status code: 400, 429 or 503.
    pub status: u16,
    /// `Retry-After` in whole seconds: at least 1, and never shorter than the backoff.
    pub retry_after_s: Option<u64>,
    /// `X-Backoff-Ms`.
    pub backoff_ms: Option<u64>,
    /// The JSON body.
    pub body: RefusalBody<'a>,
}

/// The JSON body of a refusal: the error envelope of the wire contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalBody<'a> {
    /// The code.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The engine that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<&'a str>,
    /// Whether trying again can help.
    pub retriable: bool,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The full policy that refused or evicted the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_label: Option<&'static str>,
}

impl<'a> HttpRefusal<'a> {
    /// The answer to a refusal of a job for `engine`.
    #[must_use]
    pub fn new(refusal: &Refusal, engine: Option<&'a str>) -> Self {
        let (status, reason) = status_and_reason(refusal.code);
        let message = match (refusal.field, refusal.rejection) {
            (Some(error), _) => error.to_string(),
            (None, Some(rejection)) => format!("{reason} ({})", rejection.detail()),
            (None, None) => reason.to_owned(),
        };
        let retry_after_ms = refusal.retry_after_ms;
        Self {
            status,
            // ADMIT-4, 7-18: rounded up, so that nobody comes back too early.
            retry_after_s: retry_after_ms.map(|ms| ms.div_ceil(1000).max(1)),
            backoff_ms: retry_after_ms,
            body: RefusalBody {
                code: refusal.code.name(),
                message,
                engine,
                retriable: retry_after_ms.is_some(),
                retry_after_ms,
                policy_label: refusal.policy_label,
            },
        }
    }

    /// The headers that belong to it; none where trying again cannot help.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let retry_after = self.retry_after_s.map(|seconds| ("Retry-After", seconds.to_string()));
        let backoff = self.backoff_ms.map(|ms| ("X-Backoff-Ms", ms.to_string()));
        retry_after.into_iter().chain(backoff).collect()
    }
}

/// WIRE-6.
const fn status_and_reason(code: RefusalCode) -> (u16, &'static str) {
    match code {
        RefusalCode::AdmissionReject => (429, "no room in the queue"),
        RefusalCode::QueueFullDropLru => (429, "no room in the queue, or the place went to another job"),
        RefusalCode::InvalidParams => (400, "no pool can serve what the request asks for"),
        RefusalCode::DeadlineUnmet => (400, "the deadline cannot be met"),
        RefusalCode::PoolUnready => (503, "no pool is ready"),
        RefusalCode::ReplicaExhausted => (503, "every pool is full"),
        RefusalCode::QueueTimeout => (503, "waited too long in the queue"),
        // What later versions add is at least no fault of the caller.
        RefusalCode::PoolUnavailable | _ => (503, "no pool can serve this"),
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::{FieldError, Problem, Rejection};
    use serde_json::json;

    use super::*;

    const REFUSAL: Refusal = Refusal {
        code: RefusalCode::QueueFullDropLru,
        field: None,
        policy_label: Some("drop-lru"),
        rejection: None,
        retry_after_ms: Some(1_001),
    };

    // WIRE-6: the status of every code.
    #[test]
    fn every_code_has_its_status() {
        let statuses = RefusalCode::ALL.map(|code| {
            let refusal = HttpRefusal::new(&Refusal { code, ..REFUSAL }, None);
            assert_eq!(refusal.body.code, code.name());
            (code.name(), refusal.status)
        });
        let expected = [
            ("ADMISSION_REJECT", 429),
            ("QUEUE_FULL_DROP_LRU", 429),
            ("INVALID_PARAMS", 400),
            ("DEADLINE_UNMET", 400),
            ("POOL_UNREADY", 503),
            ("POOL_UNAVAILABLE", 503),
            ("REPLICA_EXHAUSTED", 503),
            ("QUEUE_TIMEOUT", 503),
        ];
        assert_eq!(statuses, expected);
    }

    // ADMIT-4, WIRE-6: seconds are rounded up and at least 1; milliseconds stay.
    #[test]
    fn headers_never_send_anyone_back_too_early() {
        let table = [(0, 1), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (1_500, 2), (2_000, 2), (86_400_000, 86_400)];
        for (ms, seconds) in table {
            let refusal = HttpRefusal::new(&Refusal { retry_after_ms: Some(ms), ..REFUSAL }, None);
            let expected = [("Retry-After", format!("{seconds}")), ("X-Backoff-Ms", format!("{ms}"))];
            assert_eq!(refusal.headers(), expected);
        }
        let hopeless = HttpRefusal::new(&Refusal { retry_after_ms: None, ..REFUSAL }, None);
        assert_eq!(hopeless.headers(), []);
    }

    #[test]
    fn bodies() {
        let body = |refusal: &Refusal, engine| serde_json::to_value(HttpRefusal::new(refusal, engine).body).unwrap();
        assert_eq!(
            body(&REFUSAL, Some("vllm")),
            json!({ "code": "QUEUE_FULL_DROP_LRU", "engine": "vllm", "retriable": true, "retry_after_ms": 1_001,
                "policy_label": "drop-lru", "message": "no room in the queue, or the place went to another job" })
        );
        let field = Some(FieldError::new("budget.tokens", Problem::TooLarge { max: 5 }));
        let refusal = Refusal {
            code: RefusalCode::InvalidParams,
            field,
            policy_label: None,
            rejection: None,
            retry_after_ms: None,
        };
        assert_eq!(
            body(&refusal, None),
            json!({ "code": "INVALID_PARAMS", "retriable": false,
                "message": "budget.tokens: above its limit: at most 5" })
        );
        let full = Refusal { field: None, rejection: Some(Rejection::Context), ..refusal };
        assert_eq!(body(&full, None)["message"], "no pool can serve what the request asks for (context)");
    }

    /// ADMIT-2: a job that the storage has no room for is told which option would give it some.
    #[test]
    fn a_job_too_large_names_the_option() {
        let field = Some(FieldError::new("job", Problem::TooLong { max_bytes: 64 }));
        let (policy_label, rejection, retry_after_ms) = (None, None, None);
        let refusal = Refusal { code: RefusalCode::InvalidParams, field, policy_label, rejection, retry_after_ms };
        let why = RefusalFields::new(&refusal).why;
        assert_eq!(why.as_deref(), Some("too long: at most 64 bytes (--job-bytes)"));
    }
}
