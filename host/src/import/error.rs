//! Why an import stopped: each error names the file and, where there is one, the table or key, and says what to do.
//!
//! Errors are about files. A bad *row* is no error: it is a [`RefusedRow`](super::RefusedRow) in the summary.

use std::io;
use std::path::PathBuf;

use super::deployment::MAX_DEPLOYMENT_BYTES;
use super::tables::excerpt;
use crate::input::MAX_LINE_BYTES;

/// How many columns of a table a message lists.
const COLUMNS_SHOWN: usize = 20;

/// An import that could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file could not be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder where a file is due.
    #[error("{} is a folder; name a file in it", path.display())]
    NotAFile {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be read to its end.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("cannot write the output: {source}")]
    Write {
        /// What the system said.
        #[from]
        source: io::Error,
    },
    /// The file named for the output could not be written.
    #[error("cannot write {}: {source}", path.display())]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file named for an output is one of the inputs.
    #[error("{}: is an input; name another file for the output", path.display())]
    OutputIsInput {
        /// The file, as the output names it.
        path: PathBuf,
    },
    /// Both outputs are one file.
    #[error("{}: is the output too; name another file for --provenance", path.display())]
    OutputTwice {
        /// The file, as `--provenance` names it.
        path: PathBuf,
    },
    /// A deployment file that is longer than one can be.
    #[error("{}: longer than {MAX_DEPLOYMENT_BYTES} bytes; is this a deployment file?", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// A table or trace whose first line, which says what the file is, is too long.
    #[error("{}: the first line is longer than {MAX_LINE_BYTES} bytes; is this a table or a trace?", path.display())]
    FirstLineTooLong {
        /// The file.
        path: PathBuf,
    },
    /// A table whose line of column names is damaged.
    #[error("{}:{line}: {problem}; this line names the columns", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A file without content.
    #[error("{} is empty; expected {expected}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it should hold, in words.
        expected: String,
    },
    /// A table without columns that the importer reads.
    #[error(
        "{}: no column {}; found: {}. Name the columns in the first line", path.display(), names(missing), names(found)
    )]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// The columns that are not there.
        missing: Vec<String>,
        /// The columns that are.
        found: Vec<String>,
    },
    /// A deployment file that is not TOML of the right shape.
    #[error("{}: {}", path.display(), message.trim_end())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line, column, excerpt and reason.
        message: String,
    },
    /// A deployment file with a value that cannot stand.
    #[error("{}: `{key}` {problem}; {help}", path.display())]
    Deployment {
        /// The file.
        path: PathBuf,
        /// The key by its path, such as `gpu."T4".slots_per_pool`.
        key: String,
        /// What is wrong with it.
        problem: String,
        /// What to write instead.
        help: String,
    },
    /// A trace whose requests have no engine or no model.
    #[error(
        "no `{key}` for the requests of {stem}: a trace does not say it, and nothing is guessed; {}",
        undeclared_help(deployment.as_ref(), key)
    )]
    JobsUndeclared {
        /// The key that is missing: `engine` or `model`.
        key: &'static str,
        /// The trace's file stem.
        stem: String,
        /// The deployment file that was read, if one was.
        deployment: Option<PathBuf>,
    },
    /// A file that is none of the known traces.
    #[error(
        "{} is no trace of a known kind (it starts with `{start}`); known are Azure CSV \
         (arrival_ms,input_tokens,output_tokens) and Mooncake JSON Lines \
         ({{\"timestamp\":…,\"input_length\":…,\"output_length\":…}})",
        path.display()
    )]
    UnknownTrace {
        /// The file.
        path: PathBuf,
        /// How it starts.
        start: String,
    },
    /// A trace whose file name cannot become the start of job ids.
    #[error("{}: {problem}; job ids start with the file's name, so rename it", path.display())]
    TraceName {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name.
        problem: String,
    },
}

fn names(columns: &[String]) -> String {
    if columns.is_empty() {
        return "none".to_owned();
    }
    let mut shown: Vec<_> = columns.iter().take(COLUMNS_SHOWN).map(|column| excerpt(column)).collect();
    if columns.len() > COLUMNS_SHOWN {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

fn undeclared_help(deployment: Option<&PathBuf>, key: &str) -> String {
    match deployment {
        Some(path) => format!("add `{key} = \"…\"` to the section [jobs] of {}", path.display()),
        None => format!("pass --deployment FILE with a section [jobs] that has `{key} = \"…\"`"),
    }
}
