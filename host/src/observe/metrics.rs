//! Which event feeds which metric. METRIC-4.
//!
//! | event | metrics |
//! |---|---|
//! | `JobEnqueued` | `tasks_enqueued_total`, `queue_depth` up |
//! | `JobRefused`, `JobEvicted`, `JobTimedOut` | `tasks_rejected_total`, `admission_backpressure_events_total` where a full queue was the reason |
//! | `PlacementDecided` | `placement_decisions_total`, `placement_candidates_considered` |
//! | `JobDispatched` | `admission_latency_ms`, `predicted_end_ms` |
//! | `JobStarted`, `JobFirstToken` | `tasks_started_total`; `latency_first_token_ms` |
//! | `JobFinished` | `latency_decode_ms`, tokens |
//! | `JobCanceled`, `JobExpired`, `JobFailed` | `tasks_canceled_total` (but for failures), tokens |
//! | `PoolUpdated`, `PoolRemoved` | `vram_used_bytes` |
//!
//! An event that takes a job out of the queue takes it out of `queue_depth`, under the engine it asked for: a scheduler
//! counts waiting jobs by class only, so the observer counts them by engine itself, and must see all events.
//!
//! Invariants: names, labels and buckets are those of `tests/metrics_contract.json` (METRIC-1, held by
//! `tests/metrics_contract.rs` against the live exposition); no event allocates for a series that was seen before.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use orchestrator_core::scheduler::{DispatchFacts, Event, JobFacts, Observer, Refusal, UsageFacts};
use orchestrator_core::{PoolFacts, Priority};
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;

use super::families::Families;
use super::labels::{Label, Number, OTHER_NUMBER, UNASSIGNED_NUMBER, UNKNOWN_NUMBER, Vocabulary};

/// Counts what a scheduler does. See the [module](super).
#[derive(Debug)]
pub struct MetricsObserver {
    families: Families,
    vocabulary: Vocabulary,
    registry: Arc<Registry>,
    /// The labels that a pool's gauge has, by the numbers of its id and replica: its engine or version may change.
    gauges: HashMap<[Number; 2], [Number; 5]>,
}

/// Reads the metrics of an observer, on any thread and at any time.
#[derive(Debug, Clone)]
pub struct MetricsHandle {
    registry: Arc<Registry>,
}

impl MetricsHandle {
    /// The `Content-Type` of [`text`](Self::text).
    pub const CONTENT_TYPE: &'static str = prometheus_text::CONTENT_TYPE;

    /// All metrics in the Prometheus text format, version 0.0.4. O(series).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text cannot fail, and the encoder has no failure of its own.
        let encoded = prometheus_text::encode(&mut text, &self.registry);
        debug_assert!(encoded.is_ok(), "a text takes everything");
        text
    }
}

/// The numbers of a pool's labels.
#[derive(Clone, Copy)]
struct PoolNumbers {
    engine: Number,
    engine_version: Number,
    pool_id: Number,
    replica_id: Number,
}

impl PoolNumbers {
    fn by_replica(self) -> [Number; 4] {
        [self.engine, self.engine_version, self.pool_id, self.replica_id]
    }

    fn by_replica_and(self, last: Number) -> [Number; 5] {
        [self.engine, self.engine_version, self.pool_id, self.replica_id, last]
    }

    fn by_pool_and(self, last: Number) -> [Number; 4] {
        [self.engine, self.engine_version, self.pool_id, last]
    }
}

impl Default for MetricsObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl MetricsObserver {
    /// All metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        let families = Families::new();
        let vocabulary = Vocabulary::new(|label| families.overflow_of(label));
        let registry = Arc::new(families.registry());
        Self { families, vocabulary, registry, gauges: HashMap::new() }
    }

    /// A reader of the metrics.
    #[must_use]
    pub fn handle(&self) -> MetricsHandle {
        MetricsHandle { registry: Arc::clone(&self.registry) }
    }

    fn number(&mut self, label: Label, value: &str) -> Number {
        if let Some(gone) = self.vocabulary.to_take_over(label, value) {
            self.families.remove_all(&self.vocabulary, label, gone);
            self.vocabulary.take_over(label, gone, value);
        }
        self.vocabulary.number(label, value)
    }

    /// Engines are one without regard to case (UNIT-5): they are counted in lower case.
    fn engine(&mut self, engine: &str) -> Number {
        let engine = in_lower_case(engine);
        self.number(Label::Engine, &engine)
    }

    /// Who is refused can ask for any engine: only what a pool or an accepted job had has a name. METRIC-3.
    fn engine_of_refused(&self, engine: &str) -> Number {
        self.vocabulary.known(Label::Engine, &in_lower_case(engine))
    }

    fn pool(&mut self, pool: PoolFacts<'_>) -> PoolNumbers {
        PoolNumbers {
            engine: self.engine(pool.engine),
            engine_version: pool
                .engine_version
                .map_or(UNKNOWN_NUMBER, |version| self.number(Label::EngineVersion, version)),
            pool_id: self.number(Label::PoolId, pool.id),
            replica_id: self.number(Label::ReplicaId, pool.replica_id),
        }
    }

    /// A job that has no pool. METRIC-3.
    fn unassigned(&mut self, job: JobFacts<'_>) -> PoolNumbers {
        PoolNumbers {
            engine: self.engine(job.engine),
            engine_version: UNASSIGNED_NUMBER,
            pool_id: UNASSIGNED_NUMBER,
            replica_id: UNASSIGNED_NUMBER,
        }
    }

    fn priority(&mut self, priority: Priority) -> Number {
        self.number(Label::Priority, priority_name(priority))
    }

    fn enqueued(&mut self, job: JobFacts<'_>) {
        let (pool, priority) = (self.unassigned(job), self.priority(job.priority));
        self.families.enqueued.of(&self.vocabulary, pool.by_replica_and(priority)).inc();
        self.families.queue_depth.of(&self.vocabulary, pool.by_pool_and(priority)).inc();
    }

    /// A job that waited does so no longer.
    fn left_queue(&mut self, job: JobFacts<'_>) {
        let (pool, priority) = (self.unassigned(job), self.priority(job.priority));
        let depth = self.families.queue_depth.of(&self.vocabulary, pool.by_pool_and(priority));
        // An observer that came late has not seen the job come.
        if depth.get() > 0 {
            depth.dec();
        }
    }

    fn refused(&mut self, job: JobFacts<'_>, refusal: Refusal) {
        let (engine, reason) = (self.engine_of_refused(job.engine), self.number(Label::Reason, refusal.code.name()));
        self.families.rejected.of(&self.vocabulary, [engine, reason]).inc();
        if let Some(policy) = refusal.policy_label {
            let policy = self.number(Label::Policy, policy);
            self.families.backpressure.of(&self.vocabulary, [engine, policy]).inc();
        }
    }

    fn decided(&mut self, assigned: bool, pinned: bool, fallback: bool, candidates: u32) {
        let outcome = self.number(Label::Outcome, if assigned { "assigned" } else { "no_capacity" });
        let pinned = self.number(Label::Pinned, bool_name(pinned));
        let fallback = self.number(Label::Fallback, bool_name(fallback));
        self.families.decisions.of(&self.vocabulary, [outcome, pinned, fallback]).inc();
        self.families.candidates.set(candidates.into());
    }

    fn dispatched(&mut self, job: JobFacts<'_>, pool: PoolFacts<'_>, dispatch: DispatchFacts) {
        self.left_queue(job);
        let (pool, priority) = (self.pool(pool), self.priority(job.priority));
        let labels = pool.by_pool_and(priority);
        self.families.admission_ms.of(&self.vocabulary, labels).observe(millis(dispatch.waited_us));
        if let Some(end_us) = dispatch.assignment.end_us {
            self.families.predicted_end_ms.of(&self.vocabulary, labels).observe(millis(end_us));
        }
    }

    fn started(&mut self, job: JobFacts<'_>, pool: PoolFacts<'_>) {
        let (pool, priority) = (self.pool(pool), self.priority(job.priority));
        self.families.started.of(&self.vocabulary, pool.by_replica_and(priority)).inc();
    }

    fn first_token(&mut self, job: JobFacts<'_>, pool: PoolFacts<'_>, since_admission_us: u64) {
        let (pool, priority) = (self.pool(pool), self.priority(job.priority));
        let histogram = self.families.first_token_ms.of(&self.vocabulary, pool.by_pool_and(priority));
        histogram.observe(millis(since_admission_us));
    }

    fn finished(&mut self, job: JobFacts<'_>, pool: PoolFacts<'_>, usage: UsageFacts) {
        self.used(pool, usage);
        // Without a first token there was no stream to measure.
        if usage.decode_us > 0 {
            let (pool, priority) = (self.pool(pool), self.priority(job.priority));
            let histogram = self.families.decode_ms.of(&self.vocabulary, pool.by_pool_and(priority));
            histogram.observe(millis(usage.decode_us));
        }
    }

    fn canceled(&mut self, pool: PoolNumbers, reason: &str) {
        let reason = self.number(Label::Reason, reason);
        self.families.canceled.of(&self.vocabulary, pool.by_replica_and(reason)).inc();
    }

    fn used(&mut self, pool: PoolFacts<'_>, usage: UsageFacts) {
        let labels = self.pool(pool).by_replica();
        self.families.tokens_in.of(&self.vocabulary, labels).inc_by(usage.tokens_in.into());
        self.families.tokens_out.of(&self.vocabulary, labels).inc_by(usage.tokens_out.into());
    }

    fn pool_updated(&mut self, pool: PoolFacts<'_>, vram_used_bytes: u64) {
        if let Some(labels) = self.all_devices(pool) {
            let [_, _, pool_id, replica_id, _] = labels;
            self.vocabulary.mark_present(Label::PoolId, pool_id);
            self.vocabulary.mark_present(Label::ReplicaId, replica_id);
            let former = self.gauges.insert([pool_id, replica_id], labels);
            if let Some(former) = former.filter(|&former| former != labels) {
                self.families.vram_used_bytes.remove(&self.vocabulary, former);
            }
            // Below 2^48 (UNIT-3).
            let bytes = i64::try_from(vram_used_bytes).unwrap_or(i64::MAX);
            self.families.vram_used_bytes.of(&self.vocabulary, labels).set(bytes);
        }
    }

    fn pool_removed(&mut self, pool: PoolFacts<'_>) {
        let Some([_, _, pool_id, replica_id, _]) = self.all_devices(pool) else { return };
        if let Some(labels) = self.gauges.remove(&[pool_id, replica_id]) {
            self.families.vram_used_bytes.remove(&self.vocabulary, labels);
        }
        if !self.gauges.keys().any(|&[id, _]| id == pool_id) {
            self.vocabulary.mark_gone(Label::PoolId, pool_id);
        }
        if !self.gauges.keys().any(|&[_, id]| id == replica_id) {
            self.vocabulary.mark_gone(Label::ReplicaId, replica_id);
        }
    }

    /// None for a pool beyond a budget: a gauge that many pools set in turn would be no one's.
    fn all_devices(&mut self, pool: PoolFacts<'_>) -> Option<[Number; 5]> {
        let all = self.number(Label::Device, ALL_DEVICES);
        let pool = self.pool(pool);
        let is_named = pool.pool_id != OTHER_NUMBER && pool.replica_id != OTHER_NUMBER;
        is_named.then(|| pool.by_replica_and(all))
    }
}

/// The label `device` of a number that is about all devices of a pool. METRIC-3.
const ALL_DEVICES: &str = "all";

impl Observer for MetricsObserver {
    fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
        match *event {
            Event::PoolUpdated { pool, vram_used_bytes, .. } => self.pool_updated(pool, vram_used_bytes),
            Event::PoolRemoved { pool } => self.pool_removed(pool),
            Event::JobRefused { job, refusal } => self.refused(job, refusal),
            Event::JobEnqueued { job, .. } => self.enqueued(job),
            Event::JobEvicted { job, refusal, .. } | Event::JobTimedOut { job, refusal, .. } => {
                self.left_queue(job);
                self.refused(job, refusal);
            }
            Event::PlacementDecided { decision, .. } => {
                self.decided(decision.assigned, decision.pinned, decision.fallback, decision.candidates);
            }
            Event::JobDispatched { job, pool, dispatch } => self.dispatched(job, pool, dispatch),
            Event::JobStarted { job, pool } => self.started(job, pool),
            Event::JobFirstToken { job, pool, since_admission_us } => self.first_token(job, pool, since_admission_us),
            Event::JobFinished { job, pool, usage } => self.finished(job, pool, usage),
            Event::JobFailed { pool, usage, .. } => self.used(pool, usage),
            Event::JobCanceled { job, pool: None, cause, .. } => {
                self.left_queue(job);
                let nowhere = self.unassigned(job);
                self.canceled(nowhere, cause.name());
            }
            Event::JobCanceled { pool: Some(pool), cause, usage, .. } => {
                self.used(pool, usage);
                let pool = self.pool(pool);
                self.canceled(pool, cause.name());
            }
            Event::JobExpired { pool, cause, usage, .. } => {
                self.used(pool, usage);
                let pool = self.pool(pool);
                self.canceled(pool, cause.name());
            }
            // Nothing of the contract; also what later versions add.
            _ => {}
        }
    }
}

pub(super) const fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Interactive => "interactive",
        Priority::Batch => "batch",
    }
}

fn in_lower_case(engine: &str) -> Cow<'_, str> {
    if engine.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return engine.to_ascii_lowercase().into();
    }
    engine.into()
}

const fn bool_name(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Microseconds as milliseconds: exact below 2^46, but for the last bit of a fraction.
#[expect(clippy::cast_precision_loss, reason = "times are below 2^46 (UNIT-1)")]
fn millis(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use orchestrator_core::scheduler::RefusalCode;

    use super::*;

    // METRIC-4: a pool has one gauge, under its labels of now, and none once it has gone.
    #[test]
    fn a_gauge_follows_the_labels_of_its_pool() {
        let mut metrics = MetricsObserver::new();
        let handle = metrics.handle();
        let gauges = || handle.text().lines().filter(|line| line.starts_with("vram_used_bytes{")).count();
        let old = PoolFacts { id: "a", engine: "vllm", engine_version: Some("1"), ..PoolFacts::default() };
        let new = PoolFacts { engine_version: Some("2"), ..old };
        metrics.pool_updated(old, 1);
        metrics.pool_updated(new, 2);
        assert_eq!(gauges(), 1, "{}", handle.text());
        metrics.pool_removed(old);
        assert_eq!(gauges(), 0, "{}", handle.text());
    }
    fn counts(text: &str, start: &str) -> usize {
        text.lines().filter(|line| line.starts_with(start)).count()
    }

    // METRIC-2: strangers who are refused take no engine's name; pools that come later have theirs.
    #[test]
    fn refused_jobs_take_no_budget() {
        let mut metrics = MetricsObserver::new();
        let code = RefusalCode::InvalidParams;
        let refusal = Refusal { code, field: None, policy_label: None, rejection: None, retry_after_ms: None };
        for engine in ["a", "b", "c", "d", "e"] {
            metrics.refused(JobFacts { engine, ..JobFacts::default() }, refusal);
        }
        metrics.pool_updated(PoolFacts { id: "a", engine: "vLLM", ..PoolFacts::default() }, 1);
        metrics.refused(JobFacts { engine: "VLLM", ..JobFacts::default() }, refusal);
        let text = metrics.handle().text();
        let refused = |engine| counts(&text, &format!("tasks_rejected_total{{engine=\"{engine}\""));
        assert_eq!((refused("other"), refused("vllm"), refused("a")), (1, 1, 0), "{text}");
        assert_eq!(counts(&text, "vram_used_bytes{engine=\"vllm\""), 1, "{text}");
    }

    // METRIC-2: pools that come and go never use up the budget, and the series of the last ones stay.
    #[test]
    fn a_pool_that_goes_gives_its_id_back() {
        let mut metrics = MetricsObserver::new();
        let stays = PoolFacts { id: "stays", engine: "vllm", ..PoolFacts::default() };
        metrics.pool_updated(stays, 1);
        for number in 0..3000 {
            let id = format!("p{number}");
            let pool = PoolFacts { id: &id, replica_id: &id, ..stays };
            metrics.pool_updated(pool, 1);
            metrics.started(JobFacts { id: "j", engine: "vllm", ..JobFacts::default() }, pool);
            assert_eq!(counts(&metrics.handle().text(), "vram_used_bytes{"), 2, "{id}");
            metrics.pool_removed(pool);
        }
        let text = metrics.handle().text();
        assert_eq!(counts(&text, "tasks_started_total{"), 255, "{text}");
        assert!(text.contains("pool_id=\"p2999\"") && !text.contains("pool_id=\"other\""), "{text}");
        assert!(text.contains("metrics_label_overflow_total{label=\"pool_id\"} 0"), "{text}");
        assert_eq!(counts(&text, "vram_used_bytes{engine=\"vllm\",engine_version=\"unknown\",pool_id=\"stays\""), 1);
    }
}
