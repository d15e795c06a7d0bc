//! The metrics of the contract: names, types, labels in their order, buckets. METRIC-1.
//!
//! Every family stands in the exposition from the start, with or without series, so that a dashboard finds it. The ones
//! that nothing in this process can feed say so in their help text and in `tests/metrics_contract.json`.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labels::{Label, LabelSet, Number, Series, Vocabulary};

/// Upper ends of the buckets, in milliseconds.
const FIRST_TOKEN_MS: [f64; 11] = [50., 100., 150., 200., 300., 500., 750., 1000., 1500., 2000., 3000.];
const DECODE_MS: [f64; 10] = [250., 500., 1000., 1500., 2000., 3000., 4000., 6000., 8000., 12_000.];
const ADMISSION_MS: [f64; 10] = [1., 5., 10., 50., 100., 500., 1000., 5000., 30_000., 300_000.];
const PREDICTED_END_MS: [f64; 10] = [250., 500., 1000., 2000., 4000., 8000., 16_000., 32_000., 64_000., 128_000.];

const BY_REPLICA: [Label; 4] = [Label::Engine, Label::EngineVersion, Label::PoolId, Label::ReplicaId];
const BY_REPLICA_AND_PRIORITY: [Label; 5] =
    [Label::Engine, Label::EngineVersion, Label::PoolId, Label::ReplicaId, Label::Priority];
const BY_REPLICA_AND_REASON: [Label; 5] =
    [Label::Engine, Label::EngineVersion, Label::PoolId, Label::ReplicaId, Label::Reason];
const BY_DEVICE: [Label; 5] = [Label::Engine, Label::EngineVersion, Label::PoolId, Label::ReplicaId, Label::Device];
const BY_POOL_AND_PRIORITY: [Label; 4] = [Label::Engine, Label::EngineVersion, Label::PoolId, Label::Priority];

/// The metrics that events feed.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) enqueued: Series<5, Counter>,
    pub(super) started: Series<5, Counter>,
    pub(super) canceled: Series<5, Counter>,
    pub(super) rejected: Series<2, Counter>,
    pub(super) decisions: Series<3, Counter>,
    pub(super) queue_depth: Series<4, Gauge>,
    pub(super) vram_used_bytes: Series<5, Gauge>,
    pub(super) candidates: Gauge,
    pub(super) first_token_ms: Series<4, Histogram>,
    pub(super) decode_ms: Series<4, Histogram>,
    pub(super) tokens_in: Series<4, Counter>,
    pub(super) tokens_out: Series<4, Counter>,
    pub(super) backpressure: Series<2, Counter>,
    pub(super) admission_ms: Series<4, Histogram>,
    pub(super) predicted_end_ms: Series<4, Histogram>,
    /// By label.
    pub(super) overflow: Family<LabelSet<1>, Counter>,
}

impl Families {
    /// All families, without series.
    pub(super) fn new() -> Self {
        Self {
            enqueued: counters(BY_REPLICA_AND_PRIORITY),
            started: counters(BY_REPLICA_AND_PRIORITY),
            canceled: counters(BY_REPLICA_AND_REASON),
            rejected: counters([Label::Engine, Label::Reason]),
            decisions: counters([Label::Outcome, Label::Pinned, Label::Fallback]),
            queue_depth: gauges(BY_POOL_AND_PRIORITY),
            vram_used_bytes: gauges(BY_DEVICE),
            candidates: Gauge::default(),
            first_token_ms: Series::new(BY_POOL_AND_PRIORITY, || Histogram::new(FIRST_TOKEN_MS)),
            decode_ms: Series::new(BY_POOL_AND_PRIORITY, || Histogram::new(DECODE_MS)),
            tokens_in: counters(BY_REPLICA),
            tokens_out: counters(BY_REPLICA),
            backpressure: counters([Label::Engine, Label::Policy]),
            admission_ms: Series::new(BY_POOL_AND_PRIORITY, || Histogram::new(ADMISSION_MS)),
            predicted_end_ms: Series::new(BY_POOL_AND_PRIORITY, || Histogram::new(PREDICTED_END_MS)),
            overflow: Family::default(),
        }
    }

    /// The counter of a label's values beyond its budget.
    pub(super) fn overflow_of(&self, label: &'static str) -> Counter {
        self.overflow.get_or_create_owned(&[(Label::OverflowOf.name(), label.into())])
    }

    /// Takes every series with this value out of the exposition.
    pub(super) fn remove_all(&mut self, vocabulary: &Vocabulary, label: Label, number: Number) {
        self.enqueued.remove_all(vocabulary, label, number);
        self.started.remove_all(vocabulary, label, number);
        self.canceled.remove_all(vocabulary, label, number);
        self.rejected.remove_all(vocabulary, label, number);
        self.queue_depth.remove_all(vocabulary, label, number);
        self.vram_used_bytes.remove_all(vocabulary, label, number);
        self.first_token_ms.remove_all(vocabulary, label, number);
        self.decode_ms.remove_all(vocabulary, label, number);
        self.tokens_in.remove_all(vocabulary, label, number);
        self.tokens_out.remove_all(vocabulary, label, number);
        self.backpressure.remove_all(vocabulary, label, number);
        self.admission_ms.remove_all(vocabulary, label, number);
        self.predicted_end_ms.remove_all(vocabulary, label, number);
    }

    /// A registry of all families. The encoder appends `_total` to counters, and a full stop to help texts.
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        self.register_jobs(&mut registry);
        self.register_tokens_and_times(&mut registry);
        register_unfed(&mut registry);
        registry
    }

    fn register_jobs(&self, registry: &mut Registry) {
        announce(registry, "tasks_enqueued", "Jobs accepted into the queue", &self.enqueued);
        announce(registry, "tasks_started", "Jobs that their engine took", &self.started);
        announce(registry, "tasks_canceled", "Jobs ended by their caller or a watchdog", &self.canceled);
        announce(registry, "tasks_rejected", "Jobs refused, evicted or timed out, by code", &self.rejected);
        announce(registry, "placement_decisions", "Placements asked for", &self.decisions);
        announce(registry, "queue_depth", "Jobs that wait", &self.queue_depth);
        let help = "Pools that the last placement looked at";
        registry.register("placement_candidates_considered", help, self.candidates.clone());
        let help = "Newcomers refused and jobs evicted because the queue was full";
        announce(registry, "admission_backpressure_events", help, &self.backpressure);
        let help = "Label values beyond the label's budget, written as other";
        registry.register("metrics_label_overflow", help, self.overflow.clone());
    }

    fn register_tokens_and_times(&self, registry: &mut Registry) {
        announce(registry, "tokens_in", "Prompt tokens of jobs that ended on a pool", &self.tokens_in);
        announce(registry, "tokens_out", "Tokens produced by jobs that ended", &self.tokens_out);
        announce(registry, "vram_used_bytes", "VRAM in use, over all devices of a pool", &self.vram_used_bytes);
        announce(registry, "latency_first_token_ms", "From admission to the first token", &self.first_token_ms);
        announce(registry, "latency_decode_ms", "From the first token to the end of the stream", &self.decode_ms);
        announce(registry, "admission_latency_ms", "From admission to dispatch", &self.admission_ms);
        let help = "Predicted end of a job, from its dispatch";
        announce(registry, "predicted_end_ms", help, &self.predicted_end_ms);
    }
}

/// What the contract asks for and a scheduler cannot know.
fn register_unfed(registry: &mut Registry) {
    let help = "Share of the KV cache in use (no source in this process)";
    announce(registry, "kv_cache_usage_ratio", help, &gauges(BY_REPLICA));
    let help = "Utilization in percent (no source in this process)";
    announce(registry, "gpu_utilization", help, &gauges(BY_DEVICE));
    let help = "Catalog verifications (no source in this process)";
    let labels = [Label::Result, Label::Reason, Label::Engine];
    announce(registry, "catalog_verifications", help, &counters(labels));
    let help = "State of a model (no source in this process)";
    announce(registry, "model_state", help, &gauges([Label::ModelId, Label::State]));
}

fn counters<const N: usize>(labels: [Label; N]) -> Series<N, Counter> {
    Series::new(labels, Counter::default)
}

fn gauges<const N: usize>(labels: [Label; N]) -> Series<N, Gauge> {
    Series::new(labels, Gauge::default)
}

fn announce<const N: usize, M>(registry: &mut Registry, name: &'static str, help: &'static str, series: &Series<N, M>)
where
    M: Clone + std::fmt::Debug + Send + Sync + 'static,
    Family<LabelSet<N>, M>: EncodeMetric,
    fn() -> M: MetricConstructor<M> + Clone,
{
    registry.register(name, help, Announced(series.family()));
}

/// A family that stands in the exposition also without series: name, help and type are known before the first job.
#[derive(Debug)]
struct Announced<F>(F);

impl<F: EncodeMetric> EncodeMetric for Announced<F> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> std::fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}
