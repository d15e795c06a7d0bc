//! The state spaces: their bytes, which of these are written, and where each space lies among generic addresses.

pub(crate) mod global;
pub(crate) mod region;
pub(crate) mod shared;
pub(crate) mod windows;
