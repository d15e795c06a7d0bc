//! What a caller says about requests that a trace does not.

use std::ops::Range;

use orchestrator_core::limits::TIME_MAX_US;

use crate::import::JobsSection;

/// Half an hour: the length of the Azure and Mooncake traces.
const SPREAD_US: u64 = 1_800_000_000;

/// What a caller says about requests that a trace does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceAsk {
    /// The section `[jobs]` of a deployment: engine, model and priority, for all files or by file stem. It stands above
    /// what a trace logged, but not above what a job says itself.
    pub jobs: JobsSection,
    /// Engine and model where neither the deployment nor the file says them.
    pub otherwise: EngineModel,
    /// What brings no times, a session or a job, starts at times drawn evenly from this span.
    pub spread_us: u64,
    /// The part of a trace's clock that is wanted; its start becomes 0. For files with times.
    pub within_us: Range<u64>,
    /// For everything that is drawn.
    pub seed: u64,
}

impl Default for TraceAsk {
    fn default() -> Self {
        Self {
            jobs: JobsSection::default(),
            otherwise: EngineModel::default(),
            spread_us: SPREAD_US,
            within_us: 0..TIME_MAX_US,
            seed: 1,
        }
    }
}

/// An engine and a model, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineModel {
    /// The engine.
    pub engine: Option<String>,
    /// The model.
    pub model: Option<String>,
}
