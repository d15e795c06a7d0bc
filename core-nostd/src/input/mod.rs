//! From anything a wire can say to rows in which illegal states cannot be written.
//!
//! Two levels, as in packet parsers: [`PoolSnapshot`] and [`JobSpec`] take whatever the outside says (signed numbers,
//! floats, text); [`PoolSnapshot::validate`] and [`JobSpec::validate`] check every limit once and convert floats to
//! integers once. Behind them nothing is checked again and nothing can panic.
//!
//! ```
//! use orchestrator_core::{PoolSnapshot, Problem};
//!
//! let mut pool = PoolSnapshot::new("gpu-0", "vllm", 8, 8, 80 << 30, 60 << 30);
//! assert!(pool.validate().is_ok());
//! pool.slots_total = 1 << 15;
//! let error = pool.validate().unwrap_err();
//! assert_eq!(error.field, "slots_total");
//! assert_eq!(error.problem, Problem::TooLarge { max: 32767 });
//! ```

mod checks;
mod job;
mod pool;

pub use job::{
    Budget, BudgetLimits, DeterminismSpec, JobSpec, KvHint, ModelRequirements, PlacementHints, PlacementMode, Priority,
    ValidJob,
};
pub use pool::{DeviceSnapshot, PoolSnapshot, PoolSupports, ValidPool, WarmSession};
