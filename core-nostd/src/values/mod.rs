//! The small values that everything else is made of: bounded, comparable, parsed once.
//!
//! Invariant: a value of one of these types is inside its limits ([`crate::limits`]); the functions that make one from
//! outside data return a [`Problem`](crate::Problem) otherwise.

pub(crate) mod binary64;
pub(crate) mod bytes6;
pub(crate) mod capability;
pub(crate) mod device_mask;
pub(crate) mod edge;
pub(crate) mod flag_set;
pub(crate) mod hash;
pub(crate) mod index;
pub(crate) mod kept;
pub(crate) mod list;
pub(crate) mod text;
