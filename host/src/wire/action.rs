//! One thing to do as one line.

use orchestrator_core::Id;
use orchestrator_core::scheduler::{Action, DispatchFacts};
use orchestrator_core::units::millis_ceil;
use serde::Serialize;

use super::refusal::RefusalFields;
use super::{at_ms, probability};

/// What a driver is to do: fields that do not apply are left out. WIRE-5.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActionLine<'a> {
    /// The action's name.
    pub action: &'static str,
    at_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica_id: Option<&'a str>,
    #[serde(flatten)]
    dispatch: Option<DispatchFields>,
    /// Why a job is aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(flatten)]
    refusal: Option<RefusalFields>,
    #[serde(flatten)]
    refresh: Option<RefreshFields>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct DispatchFields {
    /// The devices of a split, ascending.
    devices: Vec<u8>,
    waited_ms: u64,
    predicted_start_ms: u64,
    /// Null when it is unknown.
    predicted_end_ms: Option<u64>,
    fallback: bool,
    kv_warmth: bool,
    kv_migrated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_time_probability: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct RefreshFields {
    attempt: u32,
    /// On the clock of the events.
    not_before_ms: f64,
}

impl<'a> ActionLine<'a> {
    /// An action that was given at `now_us`.
    #[must_use]
    pub fn new(now_us: u64, action: &'a Action) -> Self {
        let mut line = Self {
            action: action.name(),
            at_ms: at_ms(now_us),
            job_id: None,
            pool_id: None,
            replica_id: None,
            dispatch: None,
            cause: None,
            refusal: None,
            refresh: None,
        };
        match action {
            Action::Dispatch { job_id, pool_id, replica_id, dispatch } => {
                line.name(Some(job_id), Some((pool_id, replica_id)));
                line.dispatch = Some(DispatchFields::new(dispatch));
            }
            Action::Abort { job_id, pool_id, replica_id, cause } => {
                line.name(Some(job_id), Some((pool_id, replica_id)));
                line.cause = Some(cause.name());
            }
            Action::Drop { job_id, refusal } => {
                line.name(Some(job_id), None);
                line.refusal = Some(RefusalFields::new(refusal));
            }
            Action::RefreshSnapshot { pool_id, replica_id, attempt, not_before_us } => {
                line.name(None, Some((pool_id, replica_id)));
                line.refresh = Some(RefreshFields { attempt: *attempt, not_before_ms: at_ms(*not_before_us) });
            }
            // What later versions add has at least its name.
            _ => {}
        }
        line
    }

    fn name(&mut self, job_id: Option<&'a Id>, pool: Option<(&'a Id, &'a Id)>) {
        self.job_id = job_id.map(Id::as_str);
        self.pool_id = pool.map(|(id, _)| id.as_str());
        self.replica_id = pool.map(|(_, replica_id)| replica_id.as_str());
    }
}

impl DispatchFields {
    fn new(dispatch: &DispatchFacts) -> Self {
        let assignment = &dispatch.assignment;
        Self {
            devices: assignment.devices.iter().collect(),
            waited_ms: millis_ceil(dispatch.waited_us),
            predicted_start_ms: millis_ceil(assignment.start_us),
            predicted_end_ms: assignment.end_us.map(millis_ceil),
            fallback: assignment.fallback,
            kv_warmth: dispatch.kv_warm,
            kv_migrated: dispatch.kv_migrated,
            seed: dispatch.seed,
            on_time_probability: dispatch.on_time_permille.map(probability),
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::scheduler::{AbortCause, CancelCause, ExpiryCause, Refusal, RefusalCode};
    use orchestrator_core::{Assignment, DeviceMask};
    use serde_json::{Value, json};

    use super::*;

    fn line(action: &Action) -> Value {
        let line = serde_json::to_string(&ActionLine::new(12_500, action)).unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        // No key stands twice.
        assert_eq!(value.to_string().len(), line.len(), "{line}");
        value
    }

    fn id(text: &str) -> Id {
        Id::try_from(text).unwrap()
    }

    // WIRE-5: every action with its fields.
    #[test]
    fn actions() {
        let assignment = Assignment {
            rank: 7,
            devices: DeviceMask::from_bits(0b101),
            start_us: 1,
            end_us: Some(2_000_001),
            warm: true,
            fallback: true,
            on_time: Some(true),
        };
        let dispatch = DispatchFacts {
            assignment,
            waited_us: 3_000,
            kv_warm: true,
            kv_migrated: false,
            seed: Some(i64::MIN),
            on_time_permille: Some(925),
        };
        let (job_id, pool_id, replica_id) = (id("j"), id("a"), id("r"));
        let full = Action::Dispatch {
            job_id: job_id.clone(),
            pool_id: pool_id.clone(),
            replica_id: replica_id.clone(),
            dispatch,
        };
        assert_eq!(
            line(&full),
            json!({ "action": "dispatch", "at_ms": 12.5, "job_id": "j", "pool_id": "a", "replica_id": "r",
                "devices": [0, 2], "waited_ms": 3, "predicted_start_ms": 1, "predicted_end_ms": 2_001,
                "fallback": true, "kv_warmth": true, "kv_migrated": false, "seed": i64::MIN,
                "on_time_probability": 0.925 })
        );
        let unknown = DispatchFacts {
            assignment: Assignment { devices: DeviceMask::EMPTY, end_us: None, ..assignment },
            seed: None,
            on_time_permille: None,
            ..dispatch
        };
        let bare = Action::Dispatch {
            job_id: job_id.clone(),
            pool_id: pool_id.clone(),
            replica_id: Id::new(),
            dispatch: unknown,
        };
        let bare = line(&bare);
        assert_eq!((&bare["devices"], &bare["predicted_end_ms"]), (&json!([]), &Value::Null));
        assert!(bare.get("seed").is_none() && bare.get("on_time_probability").is_none());
        assert_eq!(bare["replica_id"], "");

        let table = [
            (AbortCause::Canceled(CancelCause::Disconnect), "disconnect"),
            (AbortCause::Expired(ExpiryCause::WallLimit), "wall_limit"),
        ];
        for (cause, name) in table {
            let abort = Action::Abort {
                job_id: job_id.clone(),
                pool_id: pool_id.clone(),
                replica_id: replica_id.clone(),
                cause,
            };
            assert_eq!(
                line(&abort),
                json!({ "action": "abort", "at_ms": 12.5, "job_id": "j", "pool_id": "a", "replica_id": "r",
                    "cause": name })
            );
        }
        let refusal = Refusal {
            code: RefusalCode::QueueFullDropLru,
            field: None,
            policy_label: Some("drop-lru"),
            rejection: None,
            retry_after_ms: Some(1_000),
        };
        assert_eq!(
            line(&Action::Drop { job_id, refusal }),
            json!({ "action": "drop", "at_ms": 12.5, "job_id": "j", "code": "QUEUE_FULL_DROP_LRU", "retriable": true,
                "retry_after_ms": 1_000, "policy_label": "drop-lru" })
        );
        assert_eq!(
            line(&Action::RefreshSnapshot { pool_id, replica_id, attempt: 2, not_before_us: 20_500 }),
            json!({ "action": "refresh_snapshot", "at_ms": 12.5, "pool_id": "a", "replica_id": "r", "attempt": 2,
                "not_before_ms": 20.5 })
        );
    }
}
