//! The live exposition, after every kind of event, against the contract `tests/metrics_contract.json`: names, types,
//! label names in their order, buckets, budgets; nothing missing, nothing more.

mod metrics_lint;

use std::collections::BTreeMap;

use orchestrator_core::scheduler::{
    CancelCause, DecisionFacts, DispatchFacts, Event, ExpiryCause, FailureCause, FullPolicy, JobFacts, Observer,
    Refusal, RefusalCode, SessionEnd, UsageFacts, WaitForecast,
};
use orchestrator_core::{Assignment, DeviceMask, PoolFacts, Priority};
use orchestrator_host::observe::{LABEL_BUDGETS, MetricsObserver, OTHER, UNASSIGNED, UNKNOWN};

use metrics_lint::{Exposition, contract, lint};

fn job(engine: &str, priority: Priority) -> JobFacts<'_> {
    JobFacts { id: "j", engine, model_id: "m", priority, prompt_tokens: 10, output_tokens: 20, session_id: None }
}

fn refusal(code: RefusalCode) -> Refusal {
    let policy = match code {
        RefusalCode::AdmissionReject => Some(FullPolicy::Reject.label()),
        RefusalCode::QueueFullDropLru => Some(FullPolicy::DropLru.label()),
        RefusalCode::PoolUnready => Some(FullPolicy::ShedLowPriority.label()),
        _ => None,
    };
    Refusal { code, field: None, policy_label: policy, rejection: None, retry_after_ms: None }
}

const USAGE: UsageFacts = UsageFacts { tokens_in: 10, tokens_out: 20, run_us: 700_000, decode_us: 600_000 };

/// Feeds every kind of event, for a job of each class on a pool.
fn feed(metrics: &mut MetricsObserver, pool: PoolFacts<'_>) {
    for priority in [Priority::Interactive, Priority::Batch] {
        let job = job(pool.engine, priority);
        for event in job_events(job, pool) {
            metrics.observe(0, &event);
        }
        for code in RefusalCode::ALL {
            metrics.observe(0, &Event::JobRefused { job, refusal: refusal(code) });
        }
        for cause in CancelCause::ALL {
            metrics.observe(0, &Event::JobCanceled { job, pool: Some(pool), cause, usage: USAGE });
        }
        for cause in ExpiryCause::ALL {
            metrics.observe(0, &Event::JobExpired { job, pool, cause, usage: USAGE });
        }
        for cause in FailureCause::ALL {
            metrics.observe(0, &Event::JobFailed { job, pool, cause, usage: USAGE });
        }
        let usage = UsageFacts::default();
        metrics.observe(0, &Event::JobCanceled { job, pool: None, cause: CancelCause::Timeout, usage });
    }
    for bits in 0..8u32 {
        let (assigned, pinned, fallback) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
        let decision = DecisionFacts { assigned, pinned, fallback, candidates: 41 };
        metrics.observe(0, &Event::PlacementDecided { job: job(pool.engine, Priority::Batch), decision });
    }
    for cause in [SessionEnd::Requested, SessionEnd::Expired, SessionEnd::Evicted] {
        metrics.observe(0, &Event::SessionEnded { session_id: "s", cause });
    }
    metrics.observe(0, &Event::PoliciesChanged { placement_hash: 1, scheduler_hash: 2 });
}

fn job_events<'a>(job: JobFacts<'a>, pool: PoolFacts<'a>) -> Vec<Event<'a>> {
    let assignment = Assignment {
        rank: 0,
        devices: DeviceMask::EMPTY,
        start_us: 0,
        end_us: Some(900_000),
        warm: false,
        fallback: false,
        on_time: None,
    };
    let dispatch = DispatchFacts {
        assignment,
        waited_us: 12_000,
        kv_warm: false,
        kv_migrated: false,
        seed: None,
        on_time_permille: None,
    };
    vec![
        Event::PoolUpdated { pool, credited: 0, vram_used_bytes: 1 << 30 },
        Event::PoolDraining { pool, draining: false },
        Event::RefreshRequested { pool, attempt: 1 },
        Event::JobEnqueued { job, forecast: WaitForecast::default() },
        Event::QueueDepth { priority: job.priority, engine: job.engine, jobs: 1, tokens: 30 },
        Event::JobEvicted { job, refusal: refusal(RefusalCode::QueueFullDropLru), waited_us: 5 },
        Event::JobEnqueued { job, forecast: WaitForecast::default() },
        Event::JobTimedOut { job, refusal: refusal(RefusalCode::QueueTimeout), waited_us: 5 },
        Event::JobEnqueued { job, forecast: WaitForecast::default() },
        Event::JobDispatched { job, pool, dispatch },
        Event::JobStarted { job, pool },
        Event::JobFirstToken { job, pool, since_admission_us: 120_000 },
        Event::JobFinished { job, pool, usage: USAGE },
    ]
}

const POOL: PoolFacts<'static> =
    PoolFacts { id: "h100", replica_id: "r0", engine: "vllm", engine_version: Some("0.9") };

fn fed() -> (MetricsObserver, String) {
    let mut metrics = MetricsObserver::new();
    feed(&mut metrics, POOL);
    let text = metrics.handle().text();
    (metrics, text)
}

/// The value of the one sample that starts like this.
fn value(text: &str, start: &str) -> f64 {
    let mut lines = text.lines().filter(|line| line.starts_with(start));
    let line = lines.next().unwrap_or_else(|| panic!("no {start} in\n{text}"));
    assert_eq!(lines.next(), None, "two samples start with {start}");
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

// METRIC-1: the exposition is what the contract says.
#[test]
fn the_live_exposition_keeps_the_contract() {
    let (_, text) = fed();
    assert_eq!(lint(&text, &contract()), Vec::<String>::new());
}

// METRIC-1: every name and type stands from the start.
#[test]
fn every_metric_is_announced_before_the_first_event() {
    let exposition = Exposition::parse(&MetricsObserver::new().handle().text());
    let contract = contract();
    let expected: BTreeMap<_, _> =
        contract.metrics().map(|metric| (metric.name.clone(), metric.kind.clone())).collect();
    assert_eq!(exposition.types, expected);
}

// METRIC-1: the lint sees every way in which an exposition can leave the contract.
#[test]
fn a_doctored_exposition_fails() {
    let (_, text) = fed();
    let table = [
        ("replica_id=", "replica=", "labels [\"engine\", \"engine_version\", \"pool_id\", \"replica\""),
        ("policy=\"", "policy_label=\"", "admission_backpressure_events_total: labels [\"engine\", \"policy_label\"]"),
        (
            "{engine=\"vllm\",reason=\"QUEUE_FULL_DROP_LRU\"}",
            "{reason=\"QUEUE_FULL_DROP_LRU\",engine=\"vllm\"}",
            "labels [\"reason\", \"engine\"]",
        ),
        ("le=\"750\"", "le=\"800\"", "latency_first_token_ms: buckets"),
        ("# TYPE queue_depth gauge", "# TYPE queue_depth counter", "queue_depth: type Some(\"counter\"), not gauge"),
        ("tokens_in_total", "tokens_in", "tokens_in_total: type None"),
        (
            "# TYPE model_state gauge",
            "# TYPE model_state gauge\nmodel_state{model_id=\"m\",state=\"Active\"} 1",
            "its source is `none`",
        ),
        (
            "# TYPE model_state gauge",
            "# TYPE model_state gauge\n# TYPE jobs gauge\njobs 1",
            "jobs: not in the contract",
        ),
        ("# TYPE model_state gauge", "# TYPE model_state gauge\nstray{engine=\"x\"} 1", "1 samples of no metric"),
        ("policy=\"reject\"", "policy=\"queue.reject.rpm\",policy=\"x\",policy=\"y\"", "policy: 5 values, 3 allowed"),
    ];
    for (from, to, problem) in table {
        let doctored = text.replace(from, to);
        assert!(doctored != text, "{from}");
        let problems = lint(&doctored, &contract());
        assert!(problems.iter().any(|found| found.contains(problem)), "{from} -> {to}: {problems:#?}");
    }
}

// METRIC-2: budgets of the code are those of the contract, and are kept by any fleet.
#[test]
fn budgets_are_kept() {
    let contract = contract();
    let budgets: BTreeMap<_, _> =
        LABEL_BUDGETS.iter().map(|&(name, budget)| (name.to_owned(), usize::from(budget))).collect();
    assert_eq!(budgets, contract.label_cardinality_budget);
    assert_eq!(contract.reserved_values, [OTHER, UNASSIGNED, UNKNOWN]);

    let (mut metrics, _) = fed();
    for pool in 0..2_000 {
        let (id, replica) = (format!("pool-{pool}"), format!("replica-{pool}"));
        let (version, engine) = (format!("1.{pool}"), format!("engine-{pool}"));
        let facts = PoolFacts { id: &id, replica_id: &replica, engine: &engine, engine_version: Some(&version) };
        metrics.observe(0, &Event::PoolUpdated { pool: facts, credited: 0, vram_used_bytes: 1 });
        metrics.observe(0, &Event::JobStarted { job: job(&engine, Priority::Batch), pool: facts });
    }
    let text = metrics.handle().text();
    assert_eq!(lint(&text, &contract), Vec::<String>::new());
    // One engine, one version, one pool and one replica came before; each is asked for twice.
    for (label, budget) in [("engine", 4), ("engine_version", 64), ("pool_id", 256), ("replica_id", 1024)] {
        let overflow = value(&text, &format!("metrics_label_overflow_total{{label=\"{label}\"}}"));
        assert_eq!(overflow, f64::from(2 * (2_000 - (budget - 1))), "{label}");
    }
    // Many pools that are one series have no VRAM of their own.
    let vram = text.lines().filter(|line| line.starts_with("vram_used_bytes{"));
    assert_eq!((vram.clone().count(), vram.filter(|line| line.contains("pool_id=\"other\"")).count()), (256, 0));
    // What came before its label was full is still counted by name.
    assert!(text.contains("engine=\"other\",engine_version=\"other\",pool_id=\"other\",replica_id=\"other\""));
    assert_eq!(
        value(
            &text,
            "tasks_started_total{engine=\"vllm\",engine_version=\"0.9\",pool_id=\"h100\",replica_id=\"r0\",priority=\"batch\"}"
        ),
        1.0
    );
}

// METRIC-3, METRIC-4: labels of jobs without a pool, and what each event counts.
#[test]
fn events_are_counted_where_they_belong() {
    let (metrics, text) = fed();
    let unassigned = "engine=\"vllm\",engine_version=\"unassigned\",pool_id=\"unassigned\"";
    let placed = "engine=\"vllm\",engine_version=\"0.9\",pool_id=\"h100\"";
    let table = [
        (format!("tasks_enqueued_total{{{unassigned},replica_id=\"unassigned\",priority=\"batch\"}}"), 3.0),
        (format!("tasks_started_total{{{placed},replica_id=\"r0\",priority=\"interactive\"}}"), 1.0),
        (format!("tasks_canceled_total{{{placed},replica_id=\"r0\",reason=\"wall_limit\"}}"), 2.0),
        (format!("tasks_canceled_total{{{unassigned},replica_id=\"unassigned\",reason=\"timeout\"}}"), 2.0),
        // Refused once per class, and evicted once per class.
        ("tasks_rejected_total{engine=\"vllm\",reason=\"QUEUE_FULL_DROP_LRU\"}".to_owned(), 4.0),
        ("tasks_rejected_total{engine=\"vllm\",reason=\"QUEUE_TIMEOUT\"}".to_owned(), 4.0),
        ("tasks_rejected_total{engine=\"vllm\",reason=\"INVALID_PARAMS\"}".to_owned(), 2.0),
        ("admission_backpressure_events_total{engine=\"vllm\",policy=\"drop-lru\"}".to_owned(), 4.0),
        ("admission_backpressure_events_total{engine=\"vllm\",policy=\"reject\"}".to_owned(), 2.0),
        ("placement_decisions_total{outcome=\"no_capacity\",pinned=\"true\",fallback=\"false\"}".to_owned(), 1.0),
        ("placement_candidates_considered".to_owned() + " ", 41.0),
        (format!("queue_depth{{{unassigned},priority=\"batch\"}}"), 0.0),
        (format!("vram_used_bytes{{{placed},replica_id=\"r0\",device=\"all\"}}"), f64::from(1 << 30)),
        // One end that is well, four cancels, four expiries and three failures, for each class.
        (format!("tokens_in_total{{{placed},replica_id=\"r0\"}}"), 240.0),
        (format!("tokens_out_total{{{placed},replica_id=\"r0\"}}"), 480.0),
        (format!("latency_first_token_ms_sum{{{placed},priority=\"batch\"}}"), 120.0),
        (format!("latency_first_token_ms_bucket{{{placed},priority=\"batch\",le=\"100\"}}"), 0.0),
        (format!("latency_first_token_ms_bucket{{{placed},priority=\"batch\",le=\"150\"}}"), 1.0),
        (format!("latency_decode_ms_sum{{{placed},priority=\"batch\"}}"), 600.0),
        (format!("admission_latency_ms_sum{{{placed},priority=\"batch\"}}"), 12.0),
        (format!("predicted_end_ms_sum{{{placed},priority=\"batch\"}}"), 900.0),
    ];
    for (start, expected) in table {
        assert_eq!(value(&text, &start), expected, "{start}");
    }
    // The handle lives on its own.
    let handle = metrics.handle();
    drop(metrics);
    assert_eq!(handle.text().lines().count(), text.lines().count());
}

// METRIC-4: the depth of the queue goes up and down by engine and class, and never below zero.
#[test]
fn queue_depth_follows_the_jobs() {
    let mut metrics = MetricsObserver::new();
    let depth = |metrics: &MetricsObserver, engine: &str, class: &str| {
        let start = format!(
            "queue_depth{{engine=\"{engine}\",engine_version=\"unassigned\",pool_id=\"unassigned\",priority=\"{class}\"}}"
        );
        value(&metrics.handle().text(), &start)
    };
    let come = |engine, class| Event::JobEnqueued { job: job(engine, class), forecast: WaitForecast::default() };
    let go = |engine, class| Event::JobCanceled {
        job: job(engine, class),
        pool: None,
        cause: CancelCause::Admin,
        usage: UsageFacts::default(),
    };
    for event in [come("vllm", Priority::Batch), come("VLLM", Priority::Batch), come("tgi", Priority::Interactive)] {
        metrics.observe(0, &event);
    }
    assert_eq!((depth(&metrics, "vllm", "batch"), depth(&metrics, "tgi", "interactive")), (2.0, 1.0));
    // A job that is refused never waited.
    let refused =
        Event::JobRefused { job: job("vllm", Priority::Batch), refusal: refusal(RefusalCode::AdmissionReject) };
    metrics.observe(0, &refused);
    metrics.observe(0, &go("vllm", Priority::Batch));
    metrics.observe(0, &go("tgi", Priority::Interactive));
    metrics.observe(0, &go("tgi", Priority::Interactive));
    assert_eq!((depth(&metrics, "vllm", "batch"), depth(&metrics, "tgi", "interactive")), (1.0, 0.0));
}

// METRIC-3: a pool that goes takes its VRAM along; its counters stay.
#[test]
fn a_removed_pool_has_no_vram() {
    let (mut metrics, before) = fed();
    metrics.observe(0, &Event::PoolRemoved { pool: POOL });
    let after = metrics.handle().text();
    assert!(before.contains("vram_used_bytes{") && !after.contains("vram_used_bytes{"));
    assert!(after.contains("tokens_in_total{"));
    metrics.observe(0, &Event::PoolUpdated { pool: POOL, credited: 0, vram_used_bytes: 5 });
    assert_eq!(value(&metrics.handle().text(), "vram_used_bytes{"), 5.0);
}

// METRIC-1: whatever a pool is called, the exposition can be read back.
#[test]
fn names_of_strangers_are_escaped() {
    let mut metrics = MetricsObserver::new();
    let name = "a\"b\\c\nd{e=\"f\"} 1,é";
    let pool = PoolFacts { id: name, replica_id: "", engine: "vllm", engine_version: None };
    metrics.observe(0, &Event::JobStarted { job: job("vllm", Priority::Batch), pool });
    let exposition = Exposition::parse(&metrics.handle().text());
    let started = exposition.of("tasks_started_total", "counter");
    let labels = [
        ("engine", "vllm"),
        ("engine_version", "unknown"),
        ("pool_id", name),
        ("replica_id", ""),
        ("priority", "batch"),
    ];
    assert_eq!((started[0].own_labels(), started[0].value), (labels.to_vec(), 1.0));
}
