//! Why traces could not be read: each error names the file and says what to do.

use std::path::PathBuf;

use crate::import::ImportError;

/// Traces that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A file that cannot be read, or is damaged where it says what it is.
    #[error(transparent)]
    File(#[from] ImportError),
    /// A file that is no known trace.
    #[error(
        "{} is no trace of a known kind (it starts with `{start}`); known are Azure CSV, Mooncake JSON Lines, tables of \
         sessions, of replays and of clients with their lengths, and JSON Lines of jobs or events (docs/simulate.md)",
        path.display()
    )]
    UnknownKind {
        /// The file.
        path: PathBuf,
        /// How it starts.
        start: String,
    },
    /// Requests without an engine or a model.
    #[error(
        "no `{key}` for the requests of {}: the trace does not say it, and nothing is guessed; pass a deployment whose \
         section [jobs] has `{key} = \"…\"`, or --{key}", path.display()
    )]
    Undeclared {
        /// The file.
        path: PathBuf,
        /// The key that is missing: `engine` or `model`.
        key: &'static str,
    },
    /// A table of clients without that of their lengths.
    #[error("{}: the next trace must be the table of its clients' lengths (client_id,window_start_s,in_mean,…)", path.display())]
    NoLengths {
        /// The table of clients.
        path: PathBuf,
    },
    /// A table of lengths without that of its clients.
    #[error("{}: is a table of lengths; name it right behind the table of its clients", path.display())]
    LengthsAlone {
        /// The table of lengths.
        path: PathBuf,
    },
    /// More than 32-bit indexes can name.
    #[error("the traces have more than {} {what}; name fewer traces or a shorter time", u32::MAX)]
    TooMany {
        /// What there is too much of.
        what: &'static str,
    },
}
