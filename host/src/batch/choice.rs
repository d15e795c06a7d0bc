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

/// Which backend to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendChoice {
    /// The fastest that is available.
    #[default]
    Auto,
    /// The oracle.
    Scalar,
    /// Vector units and threads.
    Simd,
}

/// Why a backend cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// It is no part of this build.
    #[error("{0}: not part of this build")]
    NotBuilt(BackendName),
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
pub fn open(name: BackendName, _threads: usize) -> Result<Box<dyn Backend>, Unavailable> {
    match name {
        BackendName::Scalar => Ok(Box::new(Scalar)),
        BackendName::Simd => Err(Unavailable::NotBuilt(name)),
    }
}
