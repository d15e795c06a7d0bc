//! What was simulated: enough to do it again.

use std::path::Path;

use super::markup::escaped;
use crate::simulate::fleet::SimFleet;
use crate::simulate::results::Slo;
use crate::simulate::run::RunOptions;
use crate::simulate::trace::LoadedTrace;

/// How many models are named; the rest is counted.
const NAMED_MAX: usize = 8;

/// What was simulated.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The command that does it again.
    pub command: &'a str,
    /// The seed of everything that was drawn.
    pub seed: u64,
    /// The fleet's file.
    pub fleet_file: &'a Path,
    /// The fleet.
    pub fleet: &'a SimFleet<'a>,
    /// The requests.
    pub loaded: &'a LoadedTrace,
    /// What users were promised.
    pub slo: Slo,
    /// How the runs were made, but for their load.
    pub options: &'a RunOptions,
}

impl Setting<'_> {
    /// Escaped.
    pub(super) fn title(&self) -> String {
        let traces: Vec<_> = self.loaded.files.iter().map(|file| name_of(&file.file)).collect();
        let traces = if traces.is_empty() { "no trace".to_owned() } else { traces.join(", ") };
        format!("Simulation: {traces} over {}", name_of(self.fleet_file))
    }
}

/// The last part of a path, escaped.
fn name_of(path: &Path) -> String {
    escaped(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

pub(super) fn section(setting: &Setting<'_>) -> String {
    let facts = [
        ("Command", format!("<code>{}</code>", escaped(setting.command))),
        ("Seed", setting.seed.to_string()),
        ("Fleet", fleet(setting)),
        ("Trace", trace(setting.loaded)),
        ("Promise", escaped(&setting.slo.to_string())),
        ("Engines", engines(setting)),
        ("Faults", if setting.options.faults.is_empty() { "none".to_owned() } else { faults(setting) }),
        ("Program", concat!("orchestrator ", env!("CARGO_PKG_VERSION")).to_owned()),
    ];
    let facts = facts.map(|(name, text)| format!("<dt>{name}</dt><dd>{text}</dd>\n"));
    format!("<dl>\n{}</dl>\n", facts.concat())
}

fn fleet(setting: &Setting<'_>) -> String {
    let fleet = setting.fleet;
    let slots: u64 = fleet.slots_by_class().iter().sum();
    let (pools, classes) = (fleet.pools.len(), fleet.class_names.len());
    let file = escaped(&setting.fleet_file.to_string_lossy());
    format!("{file}: {pools} pools of {classes} classes, {slots} slots")
}

fn trace(loaded: &LoadedTrace) -> String {
    let mut parts: Vec<_> = loaded
        .files
        .iter()
        .map(|file| {
            let name = escaped(&file.file.to_string_lossy());
            format!("{name}: {}, {} requests, {} left out", file.kind, file.requests, file.left_out)
        })
        .collect();
    if loaded.refused.total > 0 {
        parts.push(format!("{} rows refused", loaded.refused.total));
    }
    let models = &loaded.trace.models;
    let mut named: Vec<_> = models.iter().take(NAMED_MAX).map(|model| escaped(model)).collect();
    if models.len() > NAMED_MAX {
        named.push(format!("{} more", models.len() - NAMED_MAX));
    }
    parts.push(format!("models: {}", if named.is_empty() { "none".to_owned() } else { named.join(", ") }));
    parts.join("<br/>")
}

fn engines(setting: &Setting<'_>) -> String {
    let (model, options) = (&setting.fleet.model, setting.options);
    format!(
        "rates and times up to {} % off what pools publish, which no policy is told; steps {} % longer with all slots than \
         with one; steps beside a prefill at {} % of their speed; {} KiB of KV cache a token; reports every {} ms, {} ms late",
        model.spread_permille / 10,
        model.contention_permille / 10,
        model.beside_prefill_permille / 10,
        model.kv_bytes_per_token / 1024,
        options.report_every_us / 1000,
        options.report_delay_us / 1000,
    )
}

fn faults(setting: &Setting<'_>) -> String {
    let faults = &setting.options.faults;
    let last_us = faults.iter().map(|fault| fault.at_us).max().unwrap_or_default();
    format!("{} by schedule, the last at {} s", faults.len(), last_us / 1_000_000)
}
