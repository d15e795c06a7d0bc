//! Label values with a budget, and series that are found again without allocation.
//!
//! Engines, versions and pools are named by strangers, and every new name makes new series in the process and in the
//! database that scrapes it. So each label has a budget ([`LABEL_BUDGETS`]): values beyond it become [`OTHER`], and
//! `metrics_label_overflow_total` says how often. METRIC-2.
//!
//! ```text
//! "vllm" ── Vocabulary::number ──▶ 3 ─┐
//! "h100-a" ─────────────────────▶ 17 ─┴─ Series::of ──▶ the counter, in a map by small numbers
//! ```
//!
//! Invariants: a label has at most its budget and the three reserved values; a value keeps its number until it has gone
//! and another needs it; a series that was seen before is found without allocation and without a lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};

/// What a value beyond its label's budget becomes.
pub const OTHER: &str = "other";

/// What `engine_version`, `pool_id` and `replica_id` are of a job that has no pool yet. METRIC-3.
pub const UNASSIGNED: &str = "unassigned";

/// What `engine_version` is of a pool that publishes none. METRIC-3.
pub const UNKNOWN: &str = "unknown";

/// Values that every label may have beside its budget, by their numbers.
const RESERVED: [&str; 3] = [OTHER, UNASSIGNED, UNKNOWN];

/// A label of the metrics contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Label {
    Engine,
    EngineVersion,
    PoolId,
    ReplicaId,
    Priority,
    Reason,
    Policy,
    Outcome,
    Pinned,
    Fallback,
    Device,
    Result,
    ModelId,
    State,
    OverflowOf,
}

/// Every label's name and how many values it may have beside [`OTHER`], [`UNASSIGNED`] and [`UNKNOWN`].
pub const LABEL_BUDGETS: [(&str, u16); 15] = [
    ("engine", 4),
    ("engine_version", 64),
    ("pool_id", 256),
    ("replica_id", 1024),
    ("priority", 8),
    ("reason", 16),
    ("policy", 3),
    ("outcome", 4),
    ("pinned", 2),
    ("fallback", 2),
    ("device", 64),
    ("result", 4),
    ("model_id", 1024),
    ("state", 8),
    ("label", 15),
];

impl Label {
    /// [`LABEL_BUDGETS`] is in the order of the variants; a test holds the two together.
    const fn entry(self) -> (&'static str, u16) {
        LABEL_BUDGETS[self as usize]
    }

    pub(super) const fn name(self) -> &'static str {
        self.entry().0
    }
}

/// The number of a label's value.
pub(super) type Number = u16;

/// The number of [`OTHER`] under every label.
pub(super) const OTHER_NUMBER: Number = 0;
/// The number of [`UNASSIGNED`] under every label.
pub(super) const UNASSIGNED_NUMBER: Number = 1;
/// The number of [`UNKNOWN`] under every label.
pub(super) const UNKNOWN_NUMBER: Number = 2;

/// The values of one label.
#[derive(Debug)]
struct Values {
    numbers: HashMap<Arc<str>, Number>,
    texts: Vec<Arc<str>>,
    /// Values that nobody has any more, oldest first: a full label takes their numbers.
    gone: VecDeque<Number>,
    /// Values that became [`OTHER`].
    overflow: Counter,
}

impl Values {
    fn is_full(&self, label: Label) -> bool {
        self.texts.len() >= RESERVED.len() + usize::from(label.entry().1)
    }
}

/// The values of all labels.
#[derive(Debug)]
pub(super) struct Vocabulary {
    labels: [Values; LABEL_BUDGETS.len()],
}

impl Vocabulary {
    /// No values; `overflow` gives the counter of a label's values beyond its budget.
    pub(super) fn new(overflow: impl Fn(&'static str) -> Counter) -> Self {
        let reserved = RESERVED.map(Arc::<str>::from);
        let values = |(name, _)| Values {
            numbers: reserved.iter().cloned().zip([OTHER_NUMBER, UNASSIGNED_NUMBER, UNKNOWN_NUMBER]).collect(),
            texts: reserved.to_vec(),
            gone: VecDeque::new(),
            overflow: overflow(name),
        };
        Self { labels: LABEL_BUDGETS.map(values) }
    }

    /// The number of a value; of one beyond the label's budget, that of [`OTHER`].
    pub(super) fn number(&mut self, label: Label, value: &str) -> Number {
        let values = &mut self.labels[label as usize];
        if let Some(&number) = values.numbers.get(value) {
            return number;
        }
        let next = Number::try_from(values.texts.len()).ok().filter(|_| !values.is_full(label));
        let Some(next) = next else {
            values.overflow.inc();
            return OTHER_NUMBER;
        };
        let text: Arc<str> = value.into();
        values.numbers.insert(Arc::clone(&text), next);
        values.texts.push(text);
        next
    }

    /// The number of a value that came before; of any other, that of [`OTHER`].
    pub(super) fn known(&self, label: Label, value: &str) -> Number {
        self.labels[label as usize].numbers.get(value).copied().unwrap_or(OTHER_NUMBER)
    }

    /// Nobody has this value any more.
    pub(super) fn mark_gone(&mut self, label: Label, number: Number) {
        let gone = &mut self.labels[label as usize].gone;
        if usize::from(number) >= RESERVED.len() && !gone.contains(&number) {
            gone.push_back(number);
        }
    }

    /// Somebody has this value.
    pub(super) fn mark_present(&mut self, label: Label, number: Number) {
        self.labels[label as usize].gone.retain(|&gone| gone != number);
    }

    /// The number that a new value has to take from one that has gone: its series are to be removed before it does.
    pub(super) fn to_take_over(&self, label: Label, value: &str) -> Option<Number> {
        let values = &self.labels[label as usize];
        let gone = *values.gone.front()?;
        (values.is_full(label) && !values.numbers.contains_key(value)).then_some(gone)
    }

    /// Gives the number of a value that has gone to a new one.
    pub(super) fn take_over(&mut self, label: Label, number: Number, value: &str) {
        let values = &mut self.labels[label as usize];
        let text: Arc<str> = value.into();
        let former = std::mem::replace(&mut values.texts[usize::from(number)], Arc::clone(&text));
        values.numbers.remove(&former);
        values.numbers.insert(text, number);
        values.gone.retain(|&gone| gone != number);
    }

    fn text(&self, label: Label, number: Number) -> Arc<str> {
        Arc::clone(&self.labels[label as usize].texts[usize::from(number)])
    }
}

/// The label set of one series, its names in the order of the contract.
pub(super) type LabelSet<const N: usize> = [(&'static str, Arc<str>); N];

/// The series of one metric.
#[derive(Debug)]
pub(super) struct Series<const N: usize, M, C = fn() -> M> {
    labels: [Label; N],
    family: Family<LabelSet<N>, M, C>,
    /// What the family has already, by the numbers of the values.
    seen: HashMap<[Number; N], M>,
}

impl<const N: usize, M: Clone, C: MetricConstructor<M> + Clone> Series<N, M, C> {
    pub(super) fn new(labels: [Label; N], constructor: C) -> Self {
        Self { labels, family: Family::new_with_constructor(constructor), seen: HashMap::new() }
    }

    /// The family to register.
    pub(super) fn family(&self) -> Family<LabelSet<N>, M, C> {
        self.family.clone()
    }

    /// The metric with these values of its labels.
    pub(super) fn of(&mut self, vocabulary: &Vocabulary, values: [Number; N]) -> &M {
        self.seen
            .entry(values)
            .or_insert_with(|| self.family.get_or_create_owned(&set(self.labels, vocabulary, values)))
    }

    /// Takes all series with this value out of the exposition.
    pub(super) fn remove_all(&mut self, vocabulary: &Vocabulary, label: Label, number: Number) {
        let Some(at) = self.labels.iter().position(|&own| own == label) else { return };
        for (values, _) in self.seen.extract_if(|values, _| values[at] == number) {
            self.family.remove(&set(self.labels, vocabulary, values));
        }
    }

    /// Takes a series out of the exposition.
    pub(super) fn remove(&mut self, vocabulary: &Vocabulary, values: [Number; N]) {
        if self.seen.remove(&values).is_some() {
            self.family.remove(&set(self.labels, vocabulary, values));
        }
    }
}

fn set<const N: usize>(labels: [Label; N], vocabulary: &Vocabulary, values: [Number; N]) -> LabelSet<N> {
    std::array::from_fn(|at| (labels[at].name(), vocabulary.text(labels[at], values[at])))
}

#[cfg(test)]
mod tests {
    use super::*;

    // METRIC-2: a budget is kept, known values stay, the reserved ones cost nothing.
    #[test]
    fn values_beyond_the_budget_become_other() {
        let (pools, others) = (Counter::default(), Counter::default());
        let mut vocabulary = Vocabulary::new(|name| if name == "pool_id" { pools.clone() } else { others.clone() });
        let numbers: Vec<_> = (0..300).map(|pool| vocabulary.number(Label::PoolId, &format!("p{pool}"))).collect();
        let distinct: std::collections::HashSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), 257);
        assert_eq!((&*vocabulary.text(Label::PoolId, numbers[255]), numbers[256]), ("p255", OTHER_NUMBER));
        assert_eq!((pools.get(), others.get()), (300 - 256, 0));
        assert_eq!(vocabulary.number(Label::PoolId, "p7"), numbers[7]);
        assert_eq!(vocabulary.number(Label::PoolId, UNASSIGNED), UNASSIGNED_NUMBER);
        assert_eq!(vocabulary.number(Label::PoolId, UNKNOWN), UNKNOWN_NUMBER);
        assert_eq!(vocabulary.number(Label::PoolId, OTHER), OTHER_NUMBER);
        assert_eq!(pools.get(), 44);
    }

    #[test]
    fn labels_stand_at_their_places() {
        let labels = [
            (Label::Engine, "engine"),
            (Label::EngineVersion, "engine_version"),
            (Label::PoolId, "pool_id"),
            (Label::ReplicaId, "replica_id"),
            (Label::Priority, "priority"),
            (Label::Reason, "reason"),
            (Label::Policy, "policy"),
            (Label::Outcome, "outcome"),
            (Label::Pinned, "pinned"),
            (Label::Fallback, "fallback"),
            (Label::Device, "device"),
            (Label::Result, "result"),
            (Label::ModelId, "model_id"),
            (Label::State, "state"),
            (Label::OverflowOf, "label"),
        ];
        for (label, name) in labels {
            assert_eq!(label.name(), name);
        }
        // The overflow counter names labels, so its own budget is their number.
        assert_eq!(LABEL_BUDGETS.len(), labels.len());
        assert_eq!(usize::from(LABEL_BUDGETS[LABEL_BUDGETS.len() - 1].1), labels.len());
    }

    #[test]
    fn a_series_is_one_metric_until_it_is_removed() {
        let mut vocabulary = Vocabulary::new(|_| Counter::default());
        let mut series = Series::<1, Counter>::new([Label::Engine], Counter::default);
        let vllm = [vocabulary.number(Label::Engine, "vllm")];
        series.of(&vocabulary, vllm).inc();
        series.of(&vocabulary, vllm).inc();
        let family = series.family();
        let count = |family: &Family<_, Counter>| family.get(&[("engine", "vllm".into())]).map(|counter| counter.get());
        assert_eq!(count(&family), Some(2));
        series.remove(&vocabulary, vllm);
        assert_eq!(count(&family), None);
    }
}
