//! The device side: what a host uploads, which kernels it launches, and what they answer.
//!
//! The kernels score pools against jobs with the functions of `orchestrator_core::rule::lane`, over the records of
//! [`records`]. An image of them is of use to a host only when both were built for the same rules and the same layout;
//! [`Contract`] says which. [`launch`] names the kernels, their arguments and the shapes of their grids.
//!
//! ```
//! use orchestrator_kernels::Contract;
//!
//! let other = Contract { semantics_version: Contract::CURRENT.semantics_version + 1, ..Contract::CURRENT };
//! assert_ne!(other, Contract::CURRENT);
//! ```

#![no_std]
#![forbid(unsafe_code)]

pub mod block;
pub mod bodies;
mod contract;
// An image is not made of an image.
#[cfg(not(target_arch = "nvptx64"))]
pub mod image;
pub mod launch;
pub mod native;
pub mod records;
mod tables;

pub use contract::Contract;
#[cfg(not(target_arch = "nvptx64"))]
pub use image::IMAGE;
pub use tables::Scan;
