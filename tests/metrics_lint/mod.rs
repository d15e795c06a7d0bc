//! The contract `tests/metrics_contract.json`, and what of an exposition is not as it says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contract {
    #[serde(rename = "about")]
    _about: String,
    pub(crate) reserved_values: Vec<String>,
    pub(crate) required_metrics: Vec<Metric>,
    pub(crate) optional_metrics: Vec<Metric>,
    pub(crate) label_cardinality_budget: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metric {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) labels: Vec<String>,
    pub(crate) source: Source,
    #[serde(default)]
    pub(crate) buckets: Vec<f64>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Events,
    None,
}

pub(crate) fn contract() -> Contract {
    serde_json::from_str(include_str!("../metrics_contract.json")).expect("the contract is JSON of this shape")
}

impl Contract {
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.required_metrics.iter().chain(&self.optional_metrics)
    }
}

/// An exposition, read back: types by name, and samples.
#[derive(Default)]
pub(crate) struct Exposition {
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Self {
        let mut exposition = Self::default();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# TYPE ") {
                let (name, kind) = comment.split_once(' ').expect("a name and a type");
                let twice = exposition.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(twice, None, "{name} is announced twice");
            } else if !line.starts_with('#') {
                exposition.samples.push(Sample::parse(line));
            }
        }
        exposition
    }

    /// The samples of a metric: of a histogram, those of its three parts.
    pub(crate) fn of(&self, name: &str, kind: &str) -> Vec<&Sample> {
        let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}"));
        let is_own = |sample: &&Sample| match kind {
            "histogram" => parts.contains(&sample.name),
            _ => sample.name == name,
        };
        self.samples.iter().filter(is_own).collect()
    }
}

impl Sample {
    pub(crate) fn parse(line: &str) -> Self {
        let (head, value) = line.rsplit_once(' ').expect("a value");
        let value = value.parse().expect("a number");
        let (name, mut rest) = head.split_once('{').map_or((head, ""), |(name, rest)| (name, rest));
        let mut labels = Vec::new();
        while !rest.is_empty() && rest != "}" {
            let (label, quoted) = rest.split_once("=\"").expect("a label and its value");
            let (text, behind) = unquote(quoted);
            labels.push((label.to_owned(), text));
            rest = behind.strip_prefix(',').unwrap_or(behind);
        }
        Self { name: name.to_owned(), labels, value }
    }

    /// The labels but the end of a bucket.
    pub(crate) fn own_labels(&self) -> Vec<(&str, &str)> {
        let labels = self.labels.iter().map(|(name, value)| (&**name, &**value));
        labels.filter(|(name, _)| *name != "le").collect()
    }

    pub(crate) fn bucket_end(&self) -> Option<&str> {
        self.labels.iter().find(|(name, _)| name == "le").map(|(_, end)| &**end)
    }
}

/// A quoted value without its escapes, and what stands behind the quote.
pub(crate) fn unquote(text: &str) -> (String, &str) {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    loop {
        match characters.next().expect("a closing quote") {
            (at, '"') => return (value, &text[at + 1..]),
            (_, '\\') => match characters.next().expect("an escaped character").1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            (_, other) => value.push(other),
        }
    }
}

/// What of an exposition is not as the contract says.
pub(crate) fn lint(text: &str, contract: &Contract) -> Vec<String> {
    let exposition = Exposition::parse(text);
    let known: BTreeSet<&str> = contract.metrics().map(|metric| &*metric.name).collect();
    let mut problems: Vec<String> = Vec::new();
    let unknown = exposition.types.keys().filter(|name| !known.contains(&***name));
    problems.extend(unknown.map(|name| format!("{name}: not in the contract")));
    let mut samples = 0;
    for metric in contract.metrics() {
        let own = exposition.of(&metric.name, &metric.kind);
        samples += own.len();
        problems.extend(lint_metric(metric, exposition.types.get(&metric.name), &own));
    }
    if samples != exposition.samples.len() {
        problems.push(format!("{} samples of no metric of the contract", exposition.samples.len() - samples));
    }
    problems.extend(lint_budgets(&exposition, contract));
    problems
}

pub(crate) fn lint_metric(metric: &Metric, kind: Option<&String>, samples: &[&Sample]) -> Vec<String> {
    let name = &metric.name;
    let mut problems = Vec::new();
    if kind != Some(&metric.kind) {
        problems.push(format!("{name}: type {kind:?}, not {}", metric.kind));
    }
    match (&metric.source, samples.is_empty()) {
        (Source::Events, true) => problems.push(format!("{name}: no event feeds it")),
        (Source::None, false) => problems.push(format!("{name}: has series, but its source is `none`")),
        _ => {}
    }
    for sample in samples {
        let labels: Vec<_> = sample.own_labels().into_iter().map(|(label, _)| label).collect();
        if labels != metric.labels {
            problems.push(format!("{}: labels {labels:?}, not {:?}", sample.name, metric.labels));
        }
    }
    if metric.kind == "histogram" {
        problems.extend(lint_buckets(metric, samples));
    }
    problems
}

pub(crate) fn lint_buckets(metric: &Metric, samples: &[&Sample]) -> Vec<String> {
    // Ends and counts by the labels of their series.
    let mut by_series: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in samples {
        let buckets = by_series.entry(sample.own_labels()).or_default();
        let end = sample.bucket_end().map(|end| end.replace("+Inf", "inf").parse().expect("a bucket's end"));
        buckets.extend(end.map(|end| (end, sample.value)));
    }
    let expected: Vec<f64> = metric.buckets.iter().copied().chain([f64::INFINITY]).collect();
    let is_wrong = |buckets: &&Vec<(f64, f64)>| {
        let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
        !grows || !buckets.iter().map(|(end, _)| end).eq(&expected)
    };
    let wrong = by_series.values().find(is_wrong);
    wrong.map(|buckets| format!("{}: buckets {buckets:?}", metric.name)).into_iter().collect()
}

pub(crate) fn lint_budgets(exposition: &Exposition, contract: &Contract) -> Vec<String> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (label, value) in exposition.samples.iter().flat_map(Sample::own_labels) {
        if !contract.reserved_values.iter().any(|reserved| reserved == value) {
            values.entry(label).or_default().insert(value);
        }
    }
    let over = |(label, values): (&str, BTreeSet<&str>)| match contract.label_cardinality_budget.get(label) {
        None => Some(format!("{label}: no budget")),
        Some(&budget) if values.len() > budget => Some(format!("{label}: {} values, {budget} allowed", values.len())),
        Some(_) => None,
    };
    values.into_iter().filter_map(over).collect()
}
