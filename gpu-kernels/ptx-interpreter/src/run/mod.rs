//! A launch: blocks one after another, the threads of a block in turns, each until it has to wait.

mod access;
mod block;
mod context;
pub(crate) mod launch;
mod order;
pub(crate) mod statistics;
mod thread;
mod warp;

use crate::fault::FaultKind;

/// A step of a thread. Boxed, so that the path without a fault moves one word.
type Step<T> = Result<T, Box<FaultKind>>;
