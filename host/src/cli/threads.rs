//! The option for how many threads a backend has, for every command that lets choose.

use clap::Args;

use super::load;
use crate::batch::Simd;

/// How many threads a backend runs on.
#[derive(Debug, Args)]
pub(super) struct ThreadArgs {
    /// Threads of a backend at most; without it as many as the machine has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=Simd::THREADS_MAX as u64))]
    threads: Option<u64>,
}

impl ThreadArgs {
    pub(super) fn count(&self) -> usize {
        self.threads.map_or_else(load::available_threads, |threads| threads as usize)
    }
}
