//! `orchestrator simulate`: what the decisions do to users, on real traces, beside other policies.
//!
//! A discrete-event simulation drives the very same `Scheduler` that a daemon runs, and the rules of its peers, with the
//! requests of a trace over a fleet whose engines nobody sees into.
//!
//! | module | what it holds |
//! |---|---|
//! | [`request`] | a request of a trace, and what became of it |
//! | [`fleet`], [`engine`] | what pools publish, and what their engines truly do |
//! | [`prefix_cache`], [`residents`] | which beginnings of prompts, and which models, an engine holds |
//! | [`fit`] | the engine and the rates behind requests that were seen |
//! | [`policy`] | who decides: this engine, or one of the baselines |
//! | [`trace`], [`predictor`] | requests from files, and how long their answers were predicted to be |
//! | [`results`] | what the outcomes of a run say |
//! | [`report`] | the results as one page to show to others |
//! | [`run`], [`faults`] | one run from the first arrival to the last end, and what goes wrong in it |

pub mod engine;
mod events;
pub mod faults;
pub mod fit;
pub mod fleet;
pub mod policy;
pub mod predictor;
pub mod prefix_cache;
pub mod report;
pub mod request;
pub mod residents;
pub mod results;
pub mod run;
pub mod trace;
