//! Scenarios of the scheduler as its metrics show them: after each, every sample that is not zero, and no other.
//!
//! `core-nostd/tests/scheduler` holds the events of such scenarios, `tests/metrics_contract.rs` the form of the
//! exposition. Here both meet: what an operator sees of what happened. Samples are written as name, label values in the
//! contract's order, value; buckets are left out, sums and counts of histograms are not.

use orchestrator_core::scheduler::Input::{
    Cancel, EndSession, Failed, Finished, FirstToken, RemovePool, Snapshot, Started, Submit, Tick,
};
use orchestrator_core::scheduler::{
    CancelCause, FailureCause, FullPolicy, Input, Scheduler, SchedulerBuffers, SchedulerPolicySpec,
};
use orchestrator_core::{JobSpec, Policy, PoolSnapshot, Priority, SmallFleet};
use orchestrator_host::observe::MetricsObserver;

const MS: u64 = 1000;

/// Drives a scheduler with room for 2 waiting jobs through `rows`, of times in ms, and compares its samples.
fn check(rules: &SchedulerPolicySpec, rows: &[(u64, Input<'_>)], samples: &[&str]) {
    let mut buffers: SchedulerBuffers<_, 4, 2, 256, 4, 4> = SchedulerBuffers::new();
    let fleet: SmallFleet<4, 4, 32> = SmallFleet::new();
    let rules = rules.validate().expect("valid knobs");
    let mut scheduler = Scheduler::new(fleet, buffers.storage(), Policy::default(), rules);
    let mut metrics = MetricsObserver::new();
    for (at_ms, input) in rows {
        let _ = scheduler.drive(input, at_ms * MS, &mut metrics, |_| ());
    }
    let text = metrics.handle().text();
    let mut shown: Vec<String> = text.lines().filter_map(sample).collect();
    shown.sort_unstable();
    let mut expected: Vec<&str> = samples.to_vec();
    expected.sort_unstable();
    assert_eq!(shown, expected);
}

/// A sample that is not zero: `tasks_rejected_total{engine="vllm",reason="X"} 1` is `tasks_rejected_total vllm,X 1`.
fn sample(line: &str) -> Option<String> {
    let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    if name.ends_with("_bucket") || value.parse() == Ok(0.0) {
        return None;
    }
    let values: Vec<&str> = labels.split('"').skip(1).step_by(2).collect();
    Some(format!("{name} {} {}", values.join(","), value.strip_suffix(".0").unwrap_or(value)))
}

/// One slot, 10 GiB of 20 in use, version 1; 20 ms to the first token and 10 ms for each after it.
fn pool(id: &str) -> PoolSnapshot<'_> {
    PoolSnapshot {
        engine_version: Some("1"),
        perf_tokens_per_s: Some(100.0),
        first_token_ms: Some(20.0),
        ..PoolSnapshot::new(id, "vllm", 1, 1, 20 << 30, 10 << 30)
    }
}

/// A batch job of 10 tokens that produces 5.
fn batch(id: &str) -> JobSpec<'_> {
    JobSpec { prompt_tokens: 10, expected_tokens: Some(5), ..JobSpec::new(id, "vLLM", "m") }
}

fn chat(id: &str) -> JobSpec<'_> {
    JobSpec { priority: Priority::Interactive, ..batch(id) }
}

/// METRIC-1, METRIC-4: a job that waits, runs and ends well is counted once in each of its stations.
#[test]
fn a_job_that_waits_and_finishes() {
    let pool = pool("p");
    check(
        &SchedulerPolicySpec::default(),
        &[
            (0, Snapshot(&pool)),
            (10, Submit(&chat("a"))),
            (10, Submit(&batch("b"))),
            (12, Started { job_id: "a" }),
            (40, FirstToken { job_id: "a" }),
            (140, Finished { job_id: "a", tokens_out: 7 }),
        ],
        &[
            "admission_latency_ms_count vllm,1,p,batch 1",
            "admission_latency_ms_count vllm,1,p,interactive 1",
            "admission_latency_ms_sum vllm,1,p,batch 130",
            "latency_decode_ms_count vllm,1,p,interactive 1",
            "latency_decode_ms_sum vllm,1,p,interactive 100",
            "latency_first_token_ms_count vllm,1,p,interactive 1",
            "latency_first_token_ms_sum vllm,1,p,interactive 30",
            // One at each dispatch, and one in vain when `b` comes.
            "placement_candidates_considered  1",
            "placement_decisions_total assigned,false,false 2",
            "placement_decisions_total no_capacity,false,false 1",
            "predicted_end_ms_count vllm,1,p,batch 1",
            "predicted_end_ms_count vllm,1,p,interactive 1",
            "predicted_end_ms_sum vllm,1,p,batch 70",
            "predicted_end_ms_sum vllm,1,p,interactive 70",
            "tasks_enqueued_total vllm,unassigned,unassigned,unassigned,batch 1",
            "tasks_enqueued_total vllm,unassigned,unassigned,unassigned,interactive 1",
            "tasks_started_total vllm,1,p,,interactive 1",
            "tokens_in_total vllm,1,p, 10",
            "tokens_out_total vllm,1,p, 7",
            "vram_used_bytes vllm,1,p,,all 10737418240",
        ],
    );
}

/// METRIC-1, QUEUE-4, ADMIT-5: a full queue refuses by its policy, and a victim is counted as one.
#[test]
fn a_full_queue_rejects_or_drops() {
    let rows = |jobs: &'static [JobSpec<'static>; 3]| jobs.iter().map(Submit).enumerate();
    static JOBS: [JobSpec<'static>; 3] =
        [JobSpec::new("a", "vllm", "m"), JobSpec::new("b", "vllm", "m"), JobSpec::new("c", "vllm", "m")];
    let rows: Vec<_> = rows(&JOBS).map(|(at, input)| (at as u64, input)).collect();
    let common =
        ["placement_decisions_total no_capacity,false,false 3", "queue_depth vllm,unassigned,unassigned,batch 2"];
    // Without pools every job waits: `no_pools` can be helped by waiting.
    check(
        &SchedulerPolicySpec::default(),
        &rows,
        &[
            "admission_backpressure_events_total vllm,reject 1",
            common[0],
            common[1],
            "tasks_enqueued_total vllm,unassigned,unassigned,unassigned,batch 2",
            "tasks_rejected_total vllm,ADMISSION_REJECT 1",
        ],
    );
    check(
        &SchedulerPolicySpec { full: FullPolicy::DropLru, ..SchedulerPolicySpec::default() },
        &rows,
        &[
            "admission_backpressure_events_total vllm,drop-lru 1",
            common[0],
            common[1],
            "tasks_enqueued_total vllm,unassigned,unassigned,unassigned,batch 3",
            "tasks_rejected_total vllm,QUEUE_FULL_DROP_LRU 1",
        ],
    );
}

/// METRIC-1, METRIC-3: cancels are counted where the job was, refusals by code, and a failed job's tokens are spent.
#[test]
fn cancels_refusals_and_failures() {
    let pool = pool("p");
    let (elsewhere, late) = (JobSpec::new("e", "tgi", "m"), JobSpec { deadline_ms: Some(0.0), ..batch("l") });
    check(
        &SchedulerPolicySpec::default(),
        &[
            (0, Snapshot(&pool)),
            (1, Submit(&elsewhere)),
            (2, Submit(&late)),
            (3, Submit(&batch("a"))),
            (4, Submit(&batch("b"))),
            (5, Cancel { job_id: "b", cause: CancelCause::Disconnect }),
            (6, Started { job_id: "a" }),
            (7, Cancel { job_id: "a", cause: CancelCause::ClientRequest }),
            (8, Submit(&batch("c"))),
            (9, Failed { job_id: "c", cause: FailureCause::Engine, tokens_out: 2 }),
        ],
        &[
            "admission_latency_ms_count vllm,1,p,batch 2",
            "placement_candidates_considered  1",
            "placement_decisions_total assigned,false,false 2",
            "placement_decisions_total no_capacity,false,false 2",
            "predicted_end_ms_count vllm,1,p,batch 2",
            "predicted_end_ms_sum vllm,1,p,batch 140",
            "tasks_canceled_total vllm,1,p,,client_request 1",
            "tasks_canceled_total vllm,unassigned,unassigned,unassigned,disconnect 1",
            "tasks_enqueued_total vllm,unassigned,unassigned,unassigned,batch 3",
            // No pool has that engine.
            "tasks_rejected_total other,POOL_UNAVAILABLE 1",
            "tasks_rejected_total vllm,DEADLINE_UNMET 1",
            "tasks_started_total vllm,1,p,,batch 1",
            // `a` had started, and `c` produced tokens: both spent their prompts.
            "tokens_in_total vllm,1,p, 20",
            "tokens_out_total vllm,1,p, 2",
            "vram_used_bytes vllm,1,p,,all 10737418240",
        ],
    );
}

/// METRIC-1, QUEUE-12, LEASE-4, LEASE-5: time limits and lost pools are counted; a pool that is gone uses nothing.
#[test]
fn timeouts_and_lost_pools() {
    let (p, q) = (pool("p"), pool("q"));
    let rules = SchedulerPolicySpec { queue_ttl_ms: 50.0, idle_limit_ms: 30.0, ..SchedulerPolicySpec::default() };
    check(
        &rules,
        &[
            (0, Snapshot(&p)),
            (0, Snapshot(&q)),
            (1, Submit(&batch("a"))),
            (1, Submit(&batch("b"))),
            (1, Submit(&batch("c"))),
            (2, Started { job_id: "b" }),
            (3, RemovePool { id: "p", replica_id: "" }),
            // `c` waits for `q` until 31; `b` is idle there from 32 on.
            (32, EndSession { session_id: "none" }),
            (33, Submit(&batch("d"))),
            (90, Tick),
        ],
        &[
            "admission_latency_ms_count vllm,1,p,batch 1",
            "admission_latency_ms_count vllm,1,q,batch 2",
            "admission_latency_ms_sum vllm,1,q,batch 31",
            "placement_candidates_considered  1",
            "placement_decisions_total assigned,false,false 3",
            "placement_decisions_total no_capacity,false,false 2",
            "predicted_end_ms_count vllm,1,p,batch 1",
            "predicted_end_ms_count vllm,1,q,batch 2",
            "predicted_end_ms_sum vllm,1,p,batch 70",
            "predicted_end_ms_sum vllm,1,q,batch 140",
            "tasks_canceled_total vllm,1,p,,pool_lost 1",
            "tasks_canceled_total vllm,1,q,,idle_limit 1",
            "tasks_enqueued_total vllm,unassigned,unassigned,unassigned,batch 4",
            "tasks_rejected_total vllm,QUEUE_TIMEOUT 1",
            "tasks_started_total vllm,1,q,,batch 1",
            "tokens_in_total vllm,1,q, 10",
            "vram_used_bytes vllm,1,q,,all 10737418240",
        ],
    );
}
