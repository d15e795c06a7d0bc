//! The option for kernels from a file, for every command that opens a device.

use std::path::PathBuf;

use clap::Args;

use crate::batch::BackendOptions;

/// Which kernels a device runs.
#[derive(Debug, Args)]
pub(super) struct KernelArgs {
    /// Kernels for the cuda backend from this file of PTX instead of the built-in ones
    #[arg(long, value_name = "PTX")]
    kernel_image: Option<PathBuf>,
}

impl KernelArgs {
    /// What backends are opened with, on so many threads.
    pub(super) fn options(&self, threads: usize) -> BackendOptions {
        BackendOptions { threads, kernel_image: self.kernel_image.clone() }
    }
}
