//! The driver's interface: its functions, and what they make, each given back when it is dropped.
//!
//! `cudarc` finds the library and names the types. Its own calls take what a function returns for one of the statuses that
//! they were built with, and a driver that is newer may return another one: that would be undefined behaviour. Here a
//! status is a number ([`Status`]).
//!
//! Invariants: every call that needs the context makes it the thread's current one first; what was made in a context keeps
//! it alive; nothing here panics, whatever the driver returns.

mod context;
mod event;
mod functions;
mod handle;
mod memory;
mod module;
mod status;
mod stream;

pub(super) use self::context::Context;
pub(super) use self::event::{Event, Timing};
pub(super) use self::functions::Functions;
pub(super) use self::memory::{DeviceMemory, PinnedMemory};
pub(super) use self::module::{Function, Module};
pub(super) use self::status::Status;
pub(super) use self::stream::{Arguments, Stream};
