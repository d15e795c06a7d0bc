//! Which backend a run gets: the one that was asked for, or the best of this machine.
//!
//! ```
//! use orchestrator_host::batch::{BackendChoice, BackendOptions};
//!
//! let backend = BackendChoice::Auto.open(&BackendOptions::threads(2)).unwrap();
//! assert!(!backend.description().is_empty());
//! ```
//!
//! Invariant: [`BackendChoice::Auto`] always opens: the oracle runs everywhere. All backends decide the same, so what it
//! opens shows in nothing but time.

use std::path::{Path, PathBuf};

use super::auto::Auto;
use super::backend::{Backend, BackendName};
#[cfg(feature = "cuda")]
use super::cuda::Cuda;
use super::scalar::Scalar;
#[cfg(feature = "cuda")]
use super::several::Several;
use super::simd::Simd;
use super::unavailable::Unavailable;

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
    /// A CUDA device.
    Cuda,
}

/// What backends are opened with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendOptions {
    /// Threads at most; 0 takes all of the machine.
    pub threads: usize,
    /// Kernels from this file of PTX instead of the built-in ones.
    pub kernel_image: Option<PathBuf>,
}

impl BackendOptions {
    /// At most so many threads; the rest is as built in.
    #[must_use]
    pub const fn threads(threads: usize) -> Self {
        Self { threads, kernel_image: None }
    }
}

impl BackendChoice {
    /// Opens the backend.
    ///
    /// # Errors
    /// Why it is not available.
    pub fn open(self, options: &BackendOptions) -> Result<Box<dyn Backend>, Unavailable> {
        match self {
            Self::Auto => Ok(Box::new(Auto::new(options))),
            Self::Scalar => open(BackendName::Scalar, options),
            Self::Simd => open(BackendName::Simd, options),
            Self::Cuda => open(BackendName::Cuda, options),
        }
    }
}

/// Opens a backend by its name.
///
/// # Errors
/// Why it is not available.
pub fn open(name: BackendName, options: &BackendOptions) -> Result<Box<dyn Backend>, Unavailable> {
    match name {
        BackendName::Scalar => Ok(Box::new(Scalar)),
        BackendName::Simd => Ok(Box::new(Simd::new(options.threads)?)),
        #[cfg(feature = "cuda")]
        BackendName::Cuda => open_devices(options, DEVICE_JOBS_MIN),
        #[cfg(not(feature = "cuda"))]
        BackendName::Cuda => Err(Unavailable::NotBuilt { backend: name }),
    }
}

/// Jobs of a batch for each device, at least: a group of the kernels that take many at once.
#[cfg(feature = "cuda")]
const DEVICE_JOBS_MIN: usize = orchestrator_kernels::launch::JOBS_PER_BLOCK as usize;

/// Opens all devices as one backend, which asks another one for every `jobs_min` jobs.
///
/// # Errors
/// Why there is none.
#[cfg(feature = "cuda")]
pub(crate) fn open_devices(options: &BackendOptions, jobs_min: usize) -> Result<Box<dyn Backend>, Unavailable> {
    let devices = Cuda::open_all(options.kernel_image.as_deref())?;
    let mut backends: Vec<_> = devices.into_iter().map(|device| Box::new(device) as Box<dyn Backend>).collect();
    if backends.len() == 1 {
        return Ok(backends.remove(0));
    }
    Ok(Box::new(Several::new(BackendName::Cuda, backends, jobs_min)))
}

/// Whether a file can be the kernels of a device, as far as this program can say without one. O(its length).
///
/// # Errors
/// Why it cannot be.
pub fn check_kernel_image(file: &Path) -> Result<(), Unavailable> {
    #[cfg(feature = "cuda")]
    let checked = Cuda::check_kernel_image(file);
    #[cfg(not(feature = "cuda"))]
    let checked = Err(Unavailable::ImageUnusable {
        image: file.display().to_string(),
        why: "this build is without cuda (cargo feature `cuda`)".to_owned(),
    });
    checked
}
