//! A node agent for microcontrollers.
//!
//! ```text
//!   interrupt                          main program
//!   Device ──▶ ingress (spsc queue) ──▶ Agent ──▶ Scheduler
//!      ▲                                  │
//!      └────── egress (spsc queue) ◀──────┘ dispatches and aborts
//! ```
//!
//! What a real agent hears over a wire, [`Device`] makes up: requests, and what engines report of the jobs that they were
//! sent. All else is as it would be: [`Agent`] drives the scheduler from messages, in memory that is fixed at build time.
//!
//! Invariants: only the interrupt touches the device, only the main program the agent, and they share two queues; what
//! comes of a run depends on the script and on [`capacities`], not on the machine.

#![cfg_attr(not(test), no_std)]

mod agent;
#[cfg(target_os = "none")]
pub mod board;
pub mod capacities;
mod device;
mod log;
mod message;
mod names;
#[cfg(target_os = "none")]
pub mod tables;
#[cfg(test)]
mod tests;

pub use agent::{Agent, Summary};

pub use device::Device;
pub use message::{EGRESS_DEPTH, Egress, INGRESS_DEPTH, Ingress, Message, Order, What};

/// Interrupts of a run.
pub const TICKS: u32 = 400;
