//! The option for kernels from a file, for every command that opens a device.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::batch::{BackendOptions, check_kernel_image};

/// Which kernels a device runs.
#[derive(Debug, Args)]
pub(super) struct KernelArgs {
    /// Kernels for the cuda backend from this file of PTX instead of the built-in ones
    #[arg(long, value_name = "PTX")]
    kernel_image: Option<PathBuf>,
}

impl KernelArgs {
    /// What backends are opened with, on so many threads. A file that is named can be used, also where no device comes to it.
    pub(super) fn options(&self, threads: usize) -> Result<BackendOptions, Failure> {
        let kernel_image = self.kernel_image.clone();
        if let Some(file) = &kernel_image {
            check_kernel_image(file).map_err(|why| format!("--kernel-image: {why}"))?;
        }
        Ok(BackendOptions { threads, kernel_image })
    }
}
