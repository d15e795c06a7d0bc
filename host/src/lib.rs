//! The host of orchestrator: fleets of any size, files, and the command.

pub mod fleet;
pub mod place;
