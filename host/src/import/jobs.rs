//! Jobs from request traces, in the order of arrival: as lines of jobs, or as events that a scheduler replays.
//!
//! ```text
//! arrival_ms,input_tokens,output_tokens          {"id":"azure2023_conv_1000-0001","engine":"vllm",
//! 0,374,44                                  ->    "model_id":"…","prompt_tokens":374,"expected_tokens":44}
//!                                           or   {"event":"submit","at_ms":0,"job":{"id":"azure2023_conv_1000-0001",…}}
//! ```
//!
//! A trace says when a request came and how long it and its answer were. The answer's **real** length becomes
//! `expected_tokens`: it stands in for a prediction, so that placements on a trace are those of a perfect length
//! predictor. Engine, model, priority, quantisation and weights are what the deployment's `[jobs]` declares.
//!
//! Invariants: ids are `<file stem>-<row>`, the row zero-padded to the width of the file's number of rows, so that a
//! refused row changes no other id; several traces are merged by arrival, then the order in which they were named, then
//! row. Arrival times are on each trace's own clock; a line of a job has none, because it is placed when its turn comes,
//! and an event has that of its request.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use orchestrator_core::limits::{ID_BYTES_MAX, TIME_MAX_US};
use serde::Serialize;

use super::deployment::{Deployment, JobsSection, Priority, TraceSection};
use super::error::ImportError;
use super::summary::{DeclaredKey, ImportSummary, Imported, Refusals, TraceCount};
use super::traces::{self, Request, Trace};

/// The files that jobs are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSources {
    /// The traces; they are merged by arrival.
    pub traces: Vec<PathBuf>,
    /// What the requests ask for, in its section `[jobs]`.
    pub deployment: Option<PathBuf>,
}

/// Writes the requests of `sources` as jobs, one JSON object per line.
///
/// # Errors
/// A file that cannot be used, an undeclared engine or model, or an output that cannot be written.
pub fn import_jobs(sources: &JobSources, out: &mut dyn Write) -> Result<ImportSummary, ImportError> {
    let (counts, refused) = import(sources, Form::Jobs, out)?;
    Ok(ImportSummary { imported: Imported::Jobs(counts), refused })
}

/// Writes the requests of `sources` as events `submit`, one JSON object per line. No trace says how a job ran, so that
/// there are no other events.
///
/// # Errors
/// As [`import_jobs`].
pub fn import_events(sources: &JobSources, out: &mut dyn Write) -> Result<ImportSummary, ImportError> {
    let (counts, refused) = import(sources, Form::Events, out)?;
    Ok(ImportSummary { imported: Imported::Events(counts), refused })
}

/// What a request becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Jobs,
    Events,
}

impl Form {
    /// An event's time has a limit (UNIT-1); a job has no time.
    const fn arrival_max_ms(self) -> u64 {
        match self {
            Self::Jobs => u64::MAX,
            Self::Events => TIME_MAX_US / 1000,
        }
    }
}

fn import(sources: &JobSources, form: Form, out: &mut dyn Write) -> Result<(Vec<TraceCount>, Refusals), ImportError> {
    let deployment = sources.deployment.as_deref().map(Deployment::load).transpose()?;
    let section = deployment.and_then(|deployment| deployment.jobs).unwrap_or_default();
    let mut refused = Refusals::default();
    let mut traces = Vec::with_capacity(sources.traces.len());
    for path in &sources.traces {
        traces.push(traces::read(path, form.arrival_max_ms(), &mut refused)?);
    }
    check_names(&traces)?;
    let asks: Vec<Ask<'_>> = traces.iter().map(|trace| Ask::of(trace, &section, sources)).collect::<Result<_, _>>()?;
    for (trace, request) in merged(&traces) {
        write_request(out, form, &traces[trace], &asks[trace], request)?;
    }
    out.flush()?;
    Ok((traces.iter().zip(asks).map(count).collect(), refused))
}

/// Two traces of one name would give two jobs one id; a long name gives ids over the limit.
fn check_names(traces: &[Trace]) -> Result<(), ImportError> {
    let mut stems: BTreeMap<&str, &Trace> = BTreeMap::new();
    for trace in traces {
        let error = |problem| ImportError::TraceName { path: trace.file.clone(), problem };
        if let Some(earlier) = stems.insert(&trace.stem, trace) {
            return Err(error(format!("its name without extension is also that of {}", earlier.file.display())));
        }
        if job_id(trace, trace.rows).len() > ID_BYTES_MAX {
            return Err(error(format!("its name makes ids longer than {ID_BYTES_MAX} bytes")));
        }
    }
    Ok(())
}

/// What the requests of one trace ask for.
struct Ask<'a> {
    engine: &'a str,
    model_id: &'a str,
    priority: Option<Priority>,
    requirements: Option<Requirements<'a>>,
    declared: Vec<DeclaredKey>,
}

impl<'a> Ask<'a> {
    fn of(trace: &Trace, section: &'a JobsSection, sources: &JobSources) -> Result<Self, ImportError> {
        let mut declarations = Declarations::of(trace, section);
        let engine = declarations.take("engine", |own| own.engine.as_deref(), section.engine.as_deref());
        let model = declarations.take("model", |own| own.model.as_deref(), section.model.as_deref());
        let priority = declarations.take("priority", |own| own.priority, section.priority);
        let quantization =
            declarations.take("quantization", |own| own.quantization.as_deref(), section.quantization.as_deref());
        let min_vram_bytes = declarations.take("min_vram_bytes", |own| own.min_vram_bytes, section.min_vram_bytes);
        let undeclared = |key| {
            let (stem, deployment) = (trace.stem.clone(), sources.deployment.clone());
            ImportError::JobsUndeclared { key, stem, deployment }
        };
        let asks_more = min_vram_bytes.is_some() || quantization.is_some();
        Ok(Self {
            engine: engine.ok_or_else(|| undeclared("engine"))?,
            model_id: model.ok_or_else(|| undeclared("model"))?,
            priority,
            requirements: asks_more.then_some(Requirements { min_vram_bytes, quantization }),
            declared: declarations.taken,
        })
    }
}

/// The declarations for one trace, and which of them were taken.
struct Declarations<'a> {
    own: Option<&'a TraceSection>,
    taken: Vec<DeclaredKey>,
}

impl<'a> Declarations<'a> {
    fn of(trace: &Trace, section: &'a JobsSection) -> Self {
        Self { own: section.trace.iter().find(|own| own.stem == trace.stem), taken: Vec::new() }
    }

    /// The value of `key`: the trace's own first, then the one that is `common` to all traces.
    fn take<T: Serialize>(
        &mut self,
        key: &'static str,
        own: impl FnOnce(&'a TraceSection) -> Option<T>,
        common: Option<T>,
    ) -> Option<T> {
        let own = self.own.and_then(own).map(|value| ("[[jobs.trace]]", value));
        let (section, value) = own.or(common.map(|value| ("[jobs]", value)))?;
        // Text and numbers, which JSON writes as TOML does.
        self.taken.push(DeclaredKey { section, key, value: serde_json::json!(value).to_string() });
        Some(value)
    }
}

/// A job of `docs/spec.md` section 3, its fields in the order of the table there.
#[derive(Serialize)]
struct Job<'a> {
    id: &'a str,
    engine: &'a str,
    model_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    prompt_tokens: u32,
    expected_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    requirements: Option<&'a Requirements<'a>>,
}

#[derive(Serialize)]
struct Requirements<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    min_vram_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantization: Option<&'a str>,
}

/// All requests with the position of their trace, by arrival, then trace, then row.
fn merged(traces: &[Trace]) -> Vec<(usize, &Request)> {
    let of_trace = |(position, trace)| -> Vec<_> {
        let trace: &Trace = trace;
        trace.requests.iter().map(|request| (position, request)).collect()
    };
    let mut all: Vec<(usize, &Request)> = traces.iter().enumerate().flat_map(of_trace).collect();
    all.sort_unstable_by_key(|(position, request)| (request.arrival_ms, *position, request.row));
    all
}

fn job_id(trace: &Trace, row: u64) -> String {
    let width = trace.rows.to_string().len();
    format!("{}-{row:0width$}", trace.stem)
}

/// The event that a job asks for a place.
#[derive(Serialize)]
struct Submit<'a> {
    event: &'static str,
    at_ms: u64,
    job: &'a Job<'a>,
}

fn write_request(
    out: &mut dyn Write,
    form: Form,
    trace: &Trace,
    ask: &Ask<'_>,
    request: &Request,
) -> Result<(), ImportError> {
    let job = Job {
        id: &job_id(trace, request.row),
        engine: ask.engine,
        model_id: ask.model_id,
        priority: ask.priority,
        prompt_tokens: request.prompt_tokens,
        expected_tokens: request.output_tokens,
        requirements: ask.requirements.as_ref(),
    };
    let written = match form {
        Form::Jobs => serde_json::to_writer(&mut *out, &job),
        Form::Events => {
            let submit = Submit { event: "submit", at_ms: request.arrival_ms, job: &job };
            serde_json::to_writer(&mut *out, &submit)
        }
    };
    written.map_err(|error| ImportError::Write { source: error.into() })?;
    out.write_all(b"\n")?;
    Ok(())
}

fn count((trace, ask): (&Trace, Ask<'_>)) -> TraceCount {
    let arrivals = || trace.requests.iter().map(|request| request.arrival_ms);
    TraceCount {
        file: trace.file.clone(),
        kind: trace.kind,
        jobs: trace.requests.len() as u64,
        arrivals_ms: arrivals().min().zip(arrivals().max()),
        declared: ask.declared,
    }
}
