//! A CUDA driver for tests, on a machine without a GPU: the calls that the host makes, over the PTX interpreter.
//!
//! It is as lazy as a driver may be. Copies from and to pinned memory, launches and frees wait in the stream until somebody
//! waits for the stream or for an event, and only then are the bytes of pinned memory read: a host that writes to them too
//! early gets wrong answers here too.
//!
//! | variable | read at `cuInit` |
//! |---|---|
//! | `ORCHESTRATOR_STUB_FAULT` | what goes wrong: see `faults` |
//! | `ORCHESTRATOR_STUB_DEVICES` | how many devices there are; without it 1. They share memory, and fail together |
//! | `ORCHESTRATOR_STUB_MEMORY` | bytes of the device; without it 1 GiB |
//! | `ORCHESTRATOR_STUB_SEED` | seed of the order of threads |
//! | `ORCHESTRATOR_STUB_REPORT` | file for what lives and what was asked for, written when the context is retained and released |

#![allow(non_snake_case, reason = "the driver's names")]

mod context;
mod copies;
mod driver;
mod events;
mod faults;
mod launches;
mod memory;
mod modules;
mod pinned;
mod report;
mod status;
mod stream;
