//! Log lines as a subscriber sees them: level, fields, values.

use std::fmt;
use std::sync::{Arc, Mutex};

use orchestrator_core::scheduler::{CancelCause, DecisionFacts, ExpiryCause, FailureCause, RefusalCode, SessionEnd};
use orchestrator_core::{Assignment, DeviceMask, Priority, Rejection};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::subscriber::with_default;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::*;

/// Keeps lines as objects, with their level under `level`.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Map<String, Value>>>>);

impl<S: tracing::Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Fields(Map::new());
        event.record(&mut line);
        assert_eq!(event.metadata().target(), "orchestrator::scheduler");
        line.0.insert("level".to_owned(), json!(event.metadata().level().as_str()));
        self.0.lock().unwrap().push(line.0);
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        assert!(self.0.insert(field.name().to_owned(), value).is_none(), "{} stands twice", field.name());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, json!(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, json!(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, json!(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, json!(value));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, json!(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, json!(value));
    }
}

/// The one line of an event, at 1,000,000 µs.
fn line(event: &Event<'_>) -> Value {
    let kept = Kept::default();
    with_default(tracing_subscriber::registry().with(kept.clone()), || LogObserver.observe(1_000_000, event));
    let mut lines = kept.0.lock().unwrap().clone();
    assert_eq!(lines.len(), 1, "{event:?}");
    Value::Object(lines.remove(0))
}

const JOB: JobFacts<'static> = JobFacts {
    id: "j1",
    session_id: Some("s1"),
    engine: "vllm",
    model_id: "m",
    priority: Priority::Interactive,
    prompt_tokens: 512,
    output_tokens: 64,
};
const POOL: PoolFacts<'static> =
    PoolFacts { id: "h100", replica_id: "r0", engine: "vllm", engine_version: Some("0.9") };
const USAGE: UsageFacts = UsageFacts { tokens_in: 512, tokens_out: 60, run_us: 2_000_001, decode_us: 1_900_000 };
const REFUSAL: Refusal = Refusal {
    code: RefusalCode::QueueFullDropLru,
    field: None,
    policy_label: Some("drop-lru"),
    rejection: None,
    retry_after_ms: Some(1_500),
};

const ASSIGNMENT: Assignment = Assignment {
    rank: 0,
    devices: DeviceMask::EMPTY,
    start_us: 0,
    end_us: Some(2_500_500),
    warm: true,
    fallback: false,
    on_time: Some(true),
};

fn dispatch() -> DispatchFacts {
    DispatchFacts {
        assignment: ASSIGNMENT,
        waited_us: 7_001,
        kv_warm: true,
        kv_migrated: false,
        seed: Some(-5),
        on_time_permille: Some(925),
    }
}

/// The fields of every line about [`JOB`], and more.
fn with_job(level: &str, event: &str, more: Value) -> Value {
    let mut line = json!({
        "level": level, "event": event, "now_us": 1_000_000, "job_id": "j1", "session_id": "s1", "engine": "vllm",
        "model_id": "m", "priority": "interactive",
    });
    add(&mut line, more);
    line
}

/// The same on [`POOL`].
fn with_pool(level: &str, event: &str, more: Value) -> Value {
    let mut line = with_job(level, event, more);
    add(&mut line, json!({ "pool_id": "h100", "replica_id": "r0", "engine_version": "0.9" }));
    line
}

fn add(line: &mut Value, more: Value) {
    let (Value::Object(line), Value::Object(more)) = (line, more) else { panic!("objects") };
    line.extend(more);
}

// LOG-1: fields and levels of the lines that a job gives on its way.
#[test]
fn a_job_that_ends_well() {
    let forecast = WaitForecast { queue_position: 3, class_position: 1, predicted_start_us: Some(1_419_001) };
    let more = json!({
        "tokens_in": 512, "queue_position": 3, "predicted_start_ms": 420,
        "human": "accepted, 3 before it, starts in about 420 ms",
    });
    assert_eq!(line(&Event::JobEnqueued { job: JOB, forecast }), with_job("INFO", "job_enqueued", more));
    let more = json!({ "tokens_in": 512, "queue_position": 0, "human": "accepted, 0 before it" });
    let unknown = Event::JobEnqueued { job: JOB, forecast: WaitForecast::default() };
    assert_eq!(line(&unknown), with_job("INFO", "job_enqueued", more));

    let decision = DecisionFacts { assigned: true, pinned: false, fallback: true, candidates: 41 };
    let more = json!({ "assigned": true, "pinned": false, "fallback": true, "candidates_total": 41 });
    let decided = Event::PlacementDecided { job: JOB, decision };
    assert_eq!(line(&decided), with_job("DEBUG", "placement_decided", more));

    let dispatched = Event::JobDispatched { job: JOB, pool: POOL, dispatch: dispatch() };
    let more = json!({
        "tokens_in": 512, "queue_time_ms": 8, "predicted_end_ms": 2_501, "kv_warmth": true, "kv_migrated": false,
        "fallback_used": false, "seed": -5, "on_time_probability": 0.925,
        "human": "placed after 8 ms in the queue, on a warm cache",
    });
    assert_eq!(line(&dispatched), with_pool("INFO", "job_dispatched", more));

    let more = json!({ "tokens_in": 512, "human": "taken by its engine" });
    assert_eq!(line(&Event::JobStarted { job: JOB, pool: POOL }), with_pool("INFO", "job_started", more));
    let first = Event::JobFirstToken { job: JOB, pool: POOL, since_admission_us: 90_000 };
    let more = json!({ "first_token_ms": 90, "human": "first token 90 ms after admission" });
    assert_eq!(line(&first), with_pool("INFO", "job_first_token", more));
    let more = json!({
        "tokens_in": 512, "tokens_out": 60, "decode_time_ms": 1_900, "run_ms": 2_001,
        "human": "done: 60 tokens in 2001 ms",
    });
    let finished = Event::JobFinished { job: JOB, pool: POOL, usage: USAGE };
    assert_eq!(line(&finished), with_pool("INFO", "job_finished", more));
}

// LOG-1: refusals and bad ends.
#[test]
fn jobs_that_end_otherwise() {
    let more = json!({
        "tokens_in": 512, "code": "QUEUE_FULL_DROP_LRU", "policy_label": "drop-lru", "retry_after_ms": 1_500,
        "human": "refused (QUEUE_FULL_DROP_LRU), worth another try in 1500 ms",
    });
    assert_eq!(line(&Event::JobRefused { job: JOB, refusal: REFUSAL }), with_job("WARN", "job_refused", more));
    let hopeless = Refusal {
        code: RefusalCode::PoolUnavailable,
        rejection: Some(Rejection::EngineName),
        policy_label: None,
        retry_after_ms: None,
        ..REFUSAL
    };
    let more = json!({
        "tokens_in": 512, "code": "POOL_UNAVAILABLE", "detail": "engine_name",
        "human": "refused (POOL_UNAVAILABLE), another try will not help",
    });
    assert_eq!(line(&Event::JobRefused { job: JOB, refusal: hopeless }), with_job("WARN", "job_refused", more));
    let evicted = line(&Event::JobEvicted { job: JOB, refusal: REFUSAL, waited_us: 5_000 });
    assert_eq!((&evicted["queue_time_ms"], &evicted["level"]), (&json!(5), &json!("WARN")));
    assert_eq!(evicted["human"], "lost its place (QUEUE_FULL_DROP_LRU), worth another try in 1500 ms");

    let used = json!({ "tokens_in": 512, "tokens_out": 60, "decode_time_ms": 1_900, "run_ms": 2_001 });
    let table = [
        (
            Event::JobFailed { job: JOB, pool: POOL, cause: FailureCause::WorkerReset, usage: USAGE },
            ("WARN", "job_failed", "worker_reset", "failed (worker_reset) after 60 tokens"),
        ),
        (
            Event::JobExpired { job: JOB, pool: POOL, cause: ExpiryCause::IdleLimit, usage: USAGE },
            ("WARN", "job_expired", "idle_limit", "ended by the watchdog (idle_limit) after 60 tokens"),
        ),
        (
            Event::JobCanceled { job: JOB, pool: Some(POOL), cause: CancelCause::Admin, usage: USAGE },
            ("INFO", "job_canceled", "admin", "canceled (admin) after 60 tokens"),
        ),
    ];
    for (event, (level, name, reason, human)) in table {
        let mut expected = with_pool(level, name, json!({ "reason": reason, "human": human }));
        add(&mut expected, used.clone());
        assert_eq!(line(&event), expected);
    }
    let waiting =
        Event::JobCanceled { job: JOB, pool: None, cause: CancelCause::Disconnect, usage: UsageFacts::default() };
    let more = json!({ "reason": "disconnect", "human": "canceled (disconnect) while it waited" });
    assert_eq!(line(&waiting), with_job("INFO", "job_canceled", more));
}

#[test]
fn pools_sessions_and_policies() {
    let pool = |level: &str, event: &str, more: Value| {
        let mut line = json!({
            "level": level, "event": event, "now_us": 1_000_000, "pool_id": "h100", "replica_id": "r0", "engine": "vllm",
            "engine_version": "0.9",
        });
        add(&mut line, more);
        line
    };
    let table = [
        (
            Event::PoolUpdated { pool: POOL, credited: 2, vram_used_bytes: 7 },
            pool("DEBUG", "pool_updated", json!({ "credited": 2, "vram_used_bytes": 7 })),
        ),
        (Event::PoolRemoved { pool: POOL }, pool("INFO", "pool_removed", json!({}))),
        (
            Event::PoolDraining { pool: POOL, draining: true },
            pool("INFO", "pool_draining", json!({ "draining": true })),
        ),
        (
            Event::RefreshRequested { pool: POOL, attempt: 3 },
            pool("DEBUG", "refresh_requested", json!({ "attempt": 3 })),
        ),
        (
            Event::SessionEnded { session_id: "s1", cause: SessionEnd::Expired },
            json!({ "level": "DEBUG", "event": "session_ended", "now_us": 1_000_000, "session_id": "s1",
                "reason": "expired" }),
        ),
        (
            Event::QueueDepth { priority: Priority::Batch, engine: "vllm", jobs: 4, tokens: 99 },
            json!({ "level": "DEBUG", "event": "queue_depth", "now_us": 1_000_000, "priority": "batch",
                "engine": "vllm", "queue_depth": 4, "queue_tokens": 99 }),
        ),
        (
            Event::PoliciesChanged { placement_hash: 1, scheduler_hash: u64::MAX },
            json!({ "level": "INFO", "event": "policies_changed", "now_us": 1_000_000,
                "placement_hash": "0000000000000001", "scheduler_hash": "ffffffffffffffff" }),
        ),
    ];
    for (event, expected) in table {
        assert_eq!(line(&event), expected);
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just("x".repeat(128)), any::<String>()]
}

proptest! {
    // LOG-2: sentences are short and name no ids, whatever the values are.
    #[test]
    fn sentences_are_short(id in text(), numbers in any::<[u64; 4]>(), pick in 0usize..64) {
        let job = JobFacts { id: &id, session_id: Some(&id), engine: &id, model_id: &id, ..JOB };
        let pool = PoolFacts { id: &id, replica_id: &id, engine: &id, engine_version: Some(&id) };
        let [a, b, c, d] = numbers;
        let usage = UsageFacts { tokens_in: u32::MAX, tokens_out: u32::MAX, run_us: a, decode_us: b };
        let refusal = Refusal {
            code: RefusalCode::ALL[pick % RefusalCode::ALL.len()],
            retry_after_ms: (pick % 2 == 0).then_some(c),
            ..REFUSAL
        };
        let position = u32::MAX;
        let forecast = WaitForecast { queue_position: position, class_position: 0, predicted_start_us: Some(d) };
        let failure = FailureCause::ALL[pick % FailureCause::ALL.len()];
        let expiry = ExpiryCause::ALL[pick % ExpiryCause::ALL.len()];
        let cause = CancelCause::ALL[pick % CancelCause::ALL.len()];
        let events = [
            Event::JobRefused { job, refusal },
            Event::JobEvicted { job, refusal, waited_us: a },
            Event::JobTimedOut { job, refusal, waited_us: a },
            Event::JobEnqueued { job, forecast },
            Event::JobDispatched { job, pool, dispatch: DispatchFacts { waited_us: a, ..dispatch() } },
            Event::JobStarted { job, pool },
            Event::JobFirstToken { job, pool, since_admission_us: a },
            Event::JobFinished { job, pool, usage },
            Event::JobFailed { job, pool, cause: failure, usage },
            Event::JobExpired { job, pool, cause: expiry, usage },
            Event::JobCanceled { job, pool: Some(pool), cause, usage },
            Event::JobCanceled { job, pool: None, cause, usage },
        ];
        for event in &events {
            let line = line(event);
            let human = line["human"].as_str().unwrap();
            prop_assert!(human.chars().count() <= HUMAN_CHARS_MAX, "{}", human);
            prop_assert!(!human.is_empty() && !human.contains(&"x".repeat(128)), "{}", human);
        }
    }
}
