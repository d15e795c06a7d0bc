//! The interface as C uses it: built by the system's compiler, with and without its sanitizers, linked with the static
//! library, and run.
//!
//! `CC` chooses the compiler.

mod agent;
mod compile;
mod hostile;
mod same_digest;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod without_std;
