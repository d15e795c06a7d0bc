//! Which backend a run gets: the one that was asked for, or the best of this machine.
//!
//! ```
//! use orchestrator_host::batch::BackendChoice;
//!
//! let backend = BackendChoice::Auto.open(2).unwrap();
//! assert!(!backend.description().is_empty());
//! ```
//!
//! Invariant: [`BackendChoice::Auto`] always opens: the oracle runs everywhere. All backends decide the same, so what it
//! opens shows in nothing but time.

use super::backend::{Backend, BackendName};
use super::scalar::Scalar;
use super::simd::Simd;

/// Which backend to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendChoice {
    /// The fastest that is available, for fleets of a hundred pools or more.
    #[default]
    Auto,
    /// The oracle.
    Scalar,
    /// Vector units and threads.
    Simd,
}

/// Why a backend cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The threads that it was to run on could not be started.
    #[error("{backend}: {threads} threads cannot be started: {why}")]
    NoThreads {
        /// Which backend.
        backend: BackendName,
        /// How many were asked for.
        threads: usize,
        /// What the system says.
        why: String,
    },
}

impl BackendChoice {
    /// Opens the backend, for at most so many threads.
    ///
    /// # Errors
    /// Why it is not available.
    pub fn open(self, threads: usize) -> Result<Box<dyn Backend>, Unavailable> {
        match self {
            Self::Auto => open(BackendName::Simd, threads).or_else(|_| open(BackendName::Scalar, threads)),
            Self::Scalar => open(BackendName::Scalar, threads),
            Self::Simd => open(BackendName::Simd, threads),
        }
    }
}

/// Opens a backend by its name, for at most so many threads.
///
/// # Errors
/// Why it is not available.
pub fn open(name: BackendName, threads: usize) -> Result<Box<dyn Backend>, Unavailable> {
    match name {
        BackendName::Scalar => Ok(Box::new(Scalar)),
        BackendName::Simd => Ok(Box::new(Simd::new(threads)?)),
    }
}
