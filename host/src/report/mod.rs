//! Decisions as text: JSON Lines for programs, tables for people.
//!
//! Invariant: one line per job, whatever became of it, and nothing in it that a rule did not decide.

mod explanation;
mod line;
mod table;
mod verdicts;

pub use explanation::{ExplanationFields, PoolCounts};
pub use line::{DecisionLine, Refusal};
pub use table::{TABLE_HEADER, table_row};
pub use verdicts::{
    counts_sentence, decision_sentences, full_pool_name, placement_sentences, pool_name, pool_table, verdict_sentence,
};

pub(crate) use line::Hashes;
pub(crate) use table::printable;
