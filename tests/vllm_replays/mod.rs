//! Four measured runs of vLLM: rates and an engine fitted to the first requests of each, the times of the rest predicted.
//!
//! | predicted by | from |
//! |---|---|
//! | formula, at arrival | the scheduler's own (SCORE-2), as if the request found the pool empty |
//! | formula, at start | the same from the moment when the engine began with it, where a scheduler stands that keeps requests until a pool has room |
//! | engine, at arrival | the engine model and what had come by then; no time of the rest is used |
//! | engine, afterwards | the same with all arrivals of the run |

mod errors;

use std::collections::BTreeMap;
use std::path::Path;

use orchestrator_core::rule::score::ScoreTerms;
use orchestrator_host::simulate::engine::EngineSpec;
use orchestrator_host::simulate::fit::{Asked, Observed, PublishedRates, Times, fit_engine, published_rates, replay};
use serde::Deserialize;

use super::data;
use errors::{Errors, HEADER, median_share_permille, median_us};

/// The first requests of a run, which are fitted to.
const FITTED: usize = 100;

/// An engine as it was started, what it said of its KV cache, and how wrong its predictions may be.
///
/// Slots and sizes are those of `meta.json` of the runs (casys-kaist/LLMServingSim, `bench/examples` and
/// `bench/results`). The mixture of experts ran as two engines of 128 slots behind one address. The sizes on the RTX PRO
/// 6000 are those of a later run of the same command, and never reached.
struct Engine {
    run: &'static str,
    slots: u32,
    kv_tokens: u64,
    /// Whether most of the rest waited for room.
    is_overrun: bool,
    first_token_median_max_us: u64,
    end_median_max_permille: u64,
}

const ENGINES: [Engine; 4] = [
    Engine {
        run: "RTX4090__Llama-3.1-8B",
        slots: 256,
        kv_tokens: 41_408,
        is_overrun: true,
        first_token_median_max_us: 2_000_000,
        end_median_max_permille: 18,
    },
    Engine {
        run: "RTXPRO6000__Llama-3.1-8B",
        slots: 128,
        kv_tokens: 574_608,
        is_overrun: true,
        first_token_median_max_us: 200_000,
        end_median_max_permille: 25,
    },
    Engine {
        run: "RTXPRO6000__Qwen3-30B-A3B-Instruct-2507",
        slots: 256,
        kv_tokens: 1_210_208,
        is_overrun: false,
        first_token_median_max_us: 160_000,
        end_median_max_permille: 12,
    },
    Engine {
        run: "RTXPRO6000__Qwen3-32B",
        slots: 128,
        kv_tokens: 462_144,
        is_overrun: true,
        first_token_median_max_us: 1_000_000,
        end_median_max_permille: 24,
    },
];

// SCORE-2, beside what was measured.
#[test]
fn the_rest_of_measured_runs_is_predicted_from_their_beginning() {
    let runs = read_runs(&data("perf/vllm_replays.csv"));
    assert_eq!(runs.len(), ENGINES.len());
    let predicted = ENGINES.each_ref().map(|engine| predict(engine, &runs[engine.run]));
    println!("{HEADER}");
    for (engine, one) in ENGINES.iter().zip(&predicted) {
        one.errors.print(engine.run);
    }
    ErrorsBy::all(predicted.iter().map(|one| &one.errors)).print("all");
    for (engine, one) in ENGINES.iter().zip(&predicted) {
        println!("{}: {:?}, {:?}", engine.run, one.rates, one.engine);
    }
    for (engine, one) in ENGINES.iter().zip(&predicted) {
        let ErrorsBy { formula_at_arrival, engine_at_arrival, engine_afterwards, .. } = &one.errors;
        let share_permille = median_share_permille(&engine_afterwards.end);
        assert!(share_permille <= engine.end_median_max_permille, "{}: {share_permille}", engine.run);
        // Who comes later is served later.
        let first_token_us = median_us(&engine_at_arrival.first_token);
        assert!(first_token_us <= engine.first_token_median_max_us, "{}: {first_token_us}", engine.run);
        // Under load it matters that the engine is known, and not only its rates.
        assert!(median_us(&engine_afterwards.end) * 5 < median_us(&formula_at_arrival.end), "{}", engine.run);
        let formula_us = median_us(&formula_at_arrival.first_token);
        assert!(!engine.is_overrun || first_token_us * 20 < formula_us, "{}", engine.run);
    }
}

#[derive(Deserialize)]
struct Row {
    run: String,
    arrival_ms: u64,
    input_tokens: u32,
    output_tokens: u32,
    scheduled_ms: u64,
    first_token_ms: u64,
    last_token_ms: u64,
}

impl Row {
    fn observed(&self) -> Observed {
        let [arrived_us, started_us, first_token_us, ended_us] =
            [self.arrival_ms, self.scheduled_ms, self.first_token_ms, self.last_token_ms].map(|ms| ms * 1000);
        let asked = Asked { arrived_us, prompt_tokens: self.input_tokens, output_tokens: self.output_tokens };
        Observed { asked, times: Times { started_us, first_token_us, ended_us } }
    }
}

/// Runs by their names.
fn read_runs(path: &Path) -> BTreeMap<String, Vec<Observed>> {
    let mut runs = BTreeMap::<String, Vec<Observed>>::new();
    for row in csv::Reader::from_path(path).unwrap().deserialize() {
        let row: Row = row.unwrap();
        runs.entry(row.run.clone()).or_default().push(row.observed());
    }
    runs
}

/// What was fitted to the beginning of a run, and the errors of the rest.
struct Predicted {
    rates: PublishedRates,
    engine: EngineSpec,
    errors: ErrorsBy,
}

/// By what was predicted.
struct ErrorsBy {
    formula_at_arrival: Errors,
    formula_at_start: Errors,
    engine_at_arrival: Errors,
    engine_afterwards: Errors,
}

fn predict(engine: &Engine, run: &[Observed]) -> Predicted {
    let (first, rest) = run.split_at(FITTED);
    let asked: Vec<Asked> = run.iter().map(|one| one.asked).collect();
    let rates = published_rates(first).unwrap();
    let fitted = fit_engine(&rates, engine.slots, engine.kv_tokens, &asked, first);
    let replayed = |known: usize| replay(fitted, &asked[..known], known).into_iter().map(|times| times.unwrap());
    let errors = ErrorsBy {
        formula_at_arrival: Errors::of(rest, rest.iter().map(|one| formula(&rates, one.asked.arrived_us, &one.asked))),
        formula_at_start: Errors::of(rest, rest.iter().map(|one| formula(&rates, one.times.started_us, &one.asked))),
        engine_at_arrival: Errors::of(rest, (FITTED..run.len()).map(|last| replayed(last + 1).next_back().unwrap())),
        engine_afterwards: Errors::of(rest, replayed(run.len()).skip(FITTED)),
    };
    Predicted { rates, engine: fitted, errors }
}

/// SCORE-2, of a pool that has the model and a slot.
fn formula(rates: &PublishedRates, started_us: u64, asked: &Asked) -> Times {
    let terms = ScoreTerms {
        admission_latency_us: 0,
        load_us: 0,
        first_token_us: Some(rates.first_token_us),
        prefill_q10: u32::try_from(rates.prefill_q10).unwrap(),
        decode_q10: Some(u32::try_from(rates.decode_q10).unwrap()),
        waves: 0,
    };
    let until_us = |output_tokens| started_us + terms.end_us(asked.prompt_tokens, output_tokens);
    Times { started_us, first_token_us: until_us(0), ended_us: until_us(asked.output_tokens) }
}

impl ErrorsBy {
    fn print(&self, run: &str) {
        self.formula_at_arrival.print(run, "formula, at arrival");
        self.formula_at_start.print(run, "formula, at start");
        self.engine_at_arrival.print(run, "engine, at arrival");
        self.engine_afterwards.print(run, "engine, afterwards");
    }

    fn all<'e>(runs: impl Iterator<Item = &'e Self> + Clone) -> Self {
        Self {
            formula_at_arrival: Errors::all(runs.clone().map(|one| &one.formula_at_arrival)),
            formula_at_start: Errors::all(runs.clone().map(|one| &one.formula_at_start)),
            engine_at_arrival: Errors::all(runs.clone().map(|one| &one.engine_at_arrival)),
            engine_afterwards: Errors::all(runs.map(|one| &one.engine_afterwards)),
        }
    }
}
