//! The requests of one file, with models, sessions and blocks numbered within it.

use std::path::Path;

use indexmap::IndexSet;
use orchestrator_core::Priority;

use super::ask::TraceAsk;
use super::error::TraceError;
use super::kind::Kind;
use super::{EngineModel, FileCount};
use crate::import;
use crate::input::Warnings;
use crate::random::Random;
use crate::simulate::request::{Arrival, Request};

/// An engine and a model, both known.
pub(super) type Served = (String, String);

/// The requests of one file.
pub(super) struct Part<'a> {
    pub(super) path: &'a Path,
    pub(super) kind: Kind,
    pub(super) ask: &'a TraceAsk,
    pub(super) random: Random,
    pub(super) served: IndexSet<Served>,
    pub(super) requests: Vec<Request>,
    pub(super) sessions: u32,
    /// Block ids, below `block_ids`.
    pub(super) blocks: Vec<u32>,
    pub(super) block_ids: u32,
    /// 0 where the file has no blocks.
    pub(super) block_tokens: u32,
    pub(super) left_out: u64,
    pub(super) warnings: Warnings,
    declared: EngineModel,
    priority: Priority,
}

impl<'a> Part<'a> {
    /// An empty part; `number` is the file's place among the files.
    pub(super) fn new(path: &'a Path, kind: Kind, ask: &'a TraceAsk, number: u64) -> Self {
        let own = ask.jobs.trace.iter().find(|own| path.file_stem().is_some_and(|stem| *stem == *own.stem));
        let engine = own.and_then(|own| own.engine.as_ref()).or(ask.jobs.engine.as_ref());
        let model = own.and_then(|own| own.model.as_ref()).or(ask.jobs.model.as_ref());
        let priority = match own.and_then(|own| own.priority).or(ask.jobs.priority) {
            Some(import::Priority::Interactive) => Priority::Interactive,
            Some(import::Priority::Batch) => Priority::Batch,
            None => Priority::default(),
        };
        Self {
            path,
            kind,
            ask,
            random: Random::of(ask.seed, number),
            served: IndexSet::new(),
            requests: Vec::new(),
            sessions: 0,
            blocks: Vec::new(),
            block_ids: 0,
            block_tokens: 0,
            left_out: 0,
            warnings: Warnings::default(),
            declared: EngineModel { engine: engine.cloned(), model: model.cloned() },
            priority,
        }
    }

    pub(super) fn count(&self) -> FileCount {
        let requests = self.requests.len() as u64;
        FileCount { file: self.path.to_owned(), kind: self.kind, requests, left_out: self.left_out }
    }

    /// The number of what a request of this file asks for; `logged` is the model that the file names.
    pub(super) fn served(&mut self, logged: Option<&str>) -> Result<u32, TraceError> {
        let undeclared = |key| TraceError::Undeclared { path: self.path.to_owned(), key };
        let otherwise = &self.ask.otherwise;
        let engine = self.declared.engine.as_deref().or(otherwise.engine.as_deref());
        let model = self.declared.model.as_deref().or(logged).or(otherwise.model.as_deref());
        let engine = engine.ok_or_else(|| undeclared("engine"))?.to_owned();
        let model = model.ok_or_else(|| undeclared("model"))?.to_owned();
        self.named(engine, model)
    }

    /// The number of an engine and a model that a job names itself.
    pub(super) fn named(&mut self, engine: String, model: String) -> Result<u32, TraceError> {
        let (index, _) = self.served.insert_full((engine, model));
        index_of(index, "models")
    }

    /// The request of these lengths, without session, blocks and deadline.
    pub(super) fn request(&self, arrival: Arrival, model: u32, prompt_tokens: u32, output_tokens: u32) -> Request {
        Request {
            arrival,
            model,
            session: None,
            priority: self.priority,
            prompt_tokens,
            output_tokens,
            predicted_output_tokens: None,
            output_tokens_max: None,
            prefix_blocks: 0..0,
            deadline_us: None,
            is_cold: false,
        }
    }

    /// A time of the file's clock on the simulation's; `None`, and counted, where it is not wanted.
    pub(super) fn place(&mut self, at_us: u64) -> Option<u64> {
        if self.ask.within_us.contains(&at_us) {
            return Some(at_us - self.ask.within_us.start);
        }
        self.left_out += 1;
        None
    }

    /// So many times, ascending, drawn evenly from the span for what brings none.
    pub(super) fn drawn_times(&mut self, count: usize) -> Vec<u64> {
        let span = self.ask.spread_us.max(1);
        let mut times: Vec<u64> = (0..count).map(|_| self.random.below(span)).collect();
        times.sort_unstable();
        times
    }

    /// A new session's number.
    pub(super) fn new_session(&mut self) -> Result<u32, TraceError> {
        let session = self.sessions;
        self.sessions = session.checked_add(1).ok_or(TraceError::TooMany { what: "sessions" })?;
        Ok(session)
    }
}

/// A place as a 32-bit index.
pub(super) fn index_of(place: usize, what: &'static str) -> Result<u32, TraceError> {
    u32::try_from(place).map_err(|_| TraceError::TooMany { what })
}
