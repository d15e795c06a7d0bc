//! What every pool is to one job, as a table and as sentences for people. EXPL-1 to EXPL-3.

use std::cmp::Reverse;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};
use orchestrator_core::{
    Decided, Explanation, KeyPart, NearestMiss, PlacementDecision, PoolVerdict, Shortfall, Standing, Unfit, Unit,
};

use super::explanation::{PoolCounts, RejectedCount};
use super::table::printable;
use crate::fleet::Fleet;
use crate::place::Examination;

/// Columns of the table of all pools.
const COLUMNS: usize = 15;

/// The table of all pools: feasible ones first, best first; then the others, those that got furthest first.
#[must_use]
pub fn pool_table(examination: &Examination, fleet: &Fleet) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    let header: [&str; COLUMNS] = [
        "#",
        "pool",
        "end ms",
        "admission",
        "load",
        "first token",
        "tokens",
        "weighted end",
        "cached",
        "warm",
        "active",
        "free slots",
        "residual GiB",
        "tokens/s",
        "why not",
    ];
    table.set_header(header);
    let mut feasible = Vec::new();
    let mut infeasible = Vec::new();
    for (rank, pool) in (0u32..).zip(&examination.pools) {
        match pool {
            Ok(standing) => feasible.push((rank, standing)),
            Err(unfit) => infeasible.push((rank, unfit)),
        }
    }
    feasible.sort_unstable_by_key(|(_, standing)| standing.key);
    infeasible.sort_by_key(|(rank, unfit)| {
        // The order of NOCAP-1: those that got furthest first.
        let rejection = unfit.rejection;
        (Reverse(rejection.stage()), rejection.reason(), Reverse(rejection), *rank)
    });
    for (place, (rank, standing)) in (1..).zip(feasible) {
        table.add_row(feasible_row(place, &pool_name(fleet, rank), standing));
    }
    for (rank, unfit) in infeasible {
        table.add_row(infeasible_row(&pool_name(fleet, rank), unfit));
    }
    table
}

/// The decision and what decided it, in sentences.
#[must_use]
pub fn decision_sentences(examination: &Examination, fleet: &Fleet) -> String {
    placement_sentences(&examination.decision, &examination.explanation, &|rank| pool_name(fleet, rank))
}

/// The same of any fleet, whose pools have the names that `name` gives by rank.
#[must_use]
pub fn placement_sentences(
    decision: &PlacementDecision,
    explanation: &Explanation,
    name: &dyn Fn(u32) -> String,
) -> String {
    let mut lines = Vec::new();
    match decision {
        PlacementDecision::Assigned(assignment) => {
            lines.push(format!("winner: {}", name(assignment.rank)));
            let runner_up = explanation.runner_up.map(|standing| name(standing.parts.rank));
            let decided = explanation.decided.map(|decided| decided_words(&decided));
            match (runner_up, decided) {
                (Some(runner_up), Some(decided)) => {
                    lines.push(format!("runner-up: {runner_up}"));
                    lines.push(format!("decided by: {decided}"));
                }
                _ => lines.push("runner-up: none, it is the only feasible pool".to_owned()),
            }
        }
        PlacementDecision::NoCapacity { reason, headline, code } => {
            let detail = headline.map_or_else(String::new, |rejection| format!(" ({rejection})"));
            let hope = if reason.is_retryable() { "waiting can help" } else { "waiting cannot help" };
            lines.push(format!("no capacity: {reason}{detail}, stage {}, {code}; {hope}", reason.stage()));
        }
    }
    if let Some(miss) = &explanation.nearest_miss {
        lines.push(format!("nearest miss: {}", miss_words(miss)));
    }
    lines.join("\n")
}

/// Pools by what they were to the job, in a sentence.
#[must_use]
pub fn counts_sentence(explanation: &Explanation) -> String {
    let PoolCounts { candidates, feasible, rejected } = PoolCounts::new(explanation);
    let words = |count: &RejectedCount| format!(" + {} {}/{}", count.pools, count.reason, count.detail);
    format!("pools: {candidates} = {feasible} feasible{}", rejected.iter().map(words).collect::<String>())
}

/// What one pool lacks to win, in a sentence.
#[must_use]
pub fn verdict_sentence(name: &str, verdict: &PoolVerdict) -> String {
    match verdict {
        PoolVerdict::Infeasible(unfit) => format!("{name}: cannot take the job: {}", unfit_words(unfit)),
        PoolVerdict::Feasible { loses_by: None, .. } => format!("{name}: is the winner"),
        PoolVerdict::Feasible { loses_by: Some(decided), .. } => {
            format!("{name}: loses by {}", decided_words(decided))
        }
    }
}

/// A pool's id, and its replica's where it has one.
#[must_use]
pub fn pool_name(fleet: &Fleet, rank: u32) -> String {
    fleet.name(rank).map_or_else(String::new, |pool| full_pool_name(&pool.id, &pool.replica_id))
}

/// The same from both ids.
#[must_use]
pub fn full_pool_name(id: &str, replica_id: &str) -> String {
    if replica_id.is_empty() {
        printable(id).into_owned()
    } else {
        printable(&format!("{id} {replica_id}")).into_owned()
    }
}

fn feasible_row(place: usize, name: &str, standing: &Standing) -> Vec<String> {
    let Standing { parts, terms, end_us, cached_tokens, .. } = standing;
    vec![
        place.to_string(),
        name.to_owned(),
        known(end_us.map(millis)),
        millis(terms.admission_latency_us),
        millis(terms.load_us),
        known(terms.first_token_us.map(millis)),
        known(token_time_us(standing).map(millis)),
        weighted_end(standing),
        cached_tokens.to_string(),
        if parts.warm { "warm" } else { "-" }.to_owned(),
        parts.active_leases.to_string(),
        parts.slots_free.to_string(),
        gib(parts.residual_vram_bytes),
        known((parts.milli_tps > 0).then(|| thousandths(parts.milli_tps.into()))),
        String::new(),
    ]
}

/// Prefill and decode time; unknown where the end is.
fn token_time_us(standing: &Standing) -> Option<u64> {
    let without_tokens = standing.start_us.saturating_add(standing.terms.first_token_us?);
    standing.end_us.map(|end| end.saturating_sub(without_tokens))
}

/// What the key compares: shown where the policy's weights make it another than the end.
fn weighted_end(standing: &Standing) -> String {
    let weighted = standing.parts.weighted_end_us;
    if standing.end_us.is_none_or(|end| end == weighted) { "-".to_owned() } else { millis(weighted) }
}

fn infeasible_row(name: &str, unfit: &Unfit) -> Vec<String> {
    let mut row = vec![String::new(); COLUMNS];
    row[0] = "-".to_owned();
    row[1] = name.to_owned();
    row[COLUMNS - 1] = unfit_words(unfit);
    row
}

fn unfit_words(unfit: &Unfit) -> String {
    let rejection = unfit.rejection;
    let rule = if rejection.reason().name() == rejection.detail() {
        rejection.detail().to_owned()
    } else {
        format!("{}: {}", rejection.reason(), rejection)
    };
    let stage = rejection.stage();
    match unfit.shortfall {
        Some(shortfall) => format!("stage {stage} {rule}, {}", shortfall_words(&shortfall)),
        None => format!("stage {stage} {rule}"),
    }
}

fn miss_words(miss: &NearestMiss) -> String {
    let pools = if miss.pools == 1 { "1 pool".to_owned() } else { format!("{} pools", miss.pools) };
    match miss.shortfall {
        Some(shortfall) => format!("{} on {pools}, {}", miss.rejection, shortfall_words(&shortfall)),
        None => format!("{} on {pools}", miss.rejection),
    }
}

fn shortfall_words(shortfall: &Shortfall) -> String {
    let Shortfall { amount, unit } = *shortfall;
    match unit {
        Unit::Bytes => format!("{amount} bytes ({} GiB) short", gib(amount)),
        Unit::Micros => format!("{} ms too old", millis(amount)),
        Unit::Tokens | Unit::Devices | Unit::Slots => {
            let plural = unit.name();
            let name = if amount == 1 { plural.strip_suffix('s').unwrap_or(plural) } else { plural };
            format!("{amount} {name} short")
        }
        _ => format!("{amount} short"),
    }
}

fn decided_words(decided: &Decided) -> String {
    let part = decided.by.name();
    let Some(margin) = decided.margin else {
        return format!("{part} (one of the two is unknown)");
    };
    let amount = margin.unsigned_abs();
    let less = if margin < 0 { "less" } else { "more" };
    match decided.by {
        KeyPart::Preferred | KeyPart::Warm => part.to_owned(),
        KeyPart::PredictedEnd => {
            let when = if margin < 0 { "earlier" } else { "later" };
            format!("{part}: the winner's weighted end is {} ms {when}", millis(amount))
        }
        KeyPart::ResidualVram | KeyPart::VramFree => format!("{part}: the winner has {} GiB {less}", gib(amount)),
        KeyPart::TokensPerS => format!("{part}: the winner has {} tokens/s {less}", thousandths(amount)),
        KeyPart::PoolId => format!("{part}: all else is equal, and the winner's id comes first"),
        KeyPart::Spread => format!("{part}: all else is equal, and the winner's hash is lower"),
        _ => format!("{part}: the winner has {amount} {} {less}", decided.by.unit()),
    }
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| "unknown".to_owned())
}

/// Thousandths with a decimal point: exact, without floats.
fn thousandths(value: u64) -> String {
    format!("{}.{:03}", value / 1000, value % 1000)
}

fn millis(us: u64) -> String {
    thousandths(us)
}

/// GiB with two decimals, rounded down.
fn gib(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100) >> 30;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
