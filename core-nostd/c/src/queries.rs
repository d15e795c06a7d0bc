//! What a caller can ask.

use orchestrator_core::SEMANTICS_VERSION;

use crate::codes::{Fault, OC_NOTHING, OC_OK, oc_code};
use crate::engine::{oc_engine, with_body};
use crate::storage::{LIST_ENTRIES, NAMES, POOLS};
use crate::versioned::{OC_API_VERSION, Out, OutNumber, Versioned};

/// What the library was built with.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_limits {
    /// `sizeof(oc_limits)`, set by the caller.
    pub struct_bytes: u32,
    /// `OC_API_VERSION` of the library; that of the header may be another.
    pub api_version: u32,
    /// The version of the rules: with another one decisions can differ.
    pub semantics_version: u32,
    /// Pools of one engine.
    pub pools: u32,
    /// Entries of each list of a pool.
    pub list_entries: u32,
    /// Names of all pools together; replacing a pool's state takes room for the names of one pool more.
    pub names: u32,
}

// SAFETY: integers, the size first.
unsafe impl Versioned for oc_limits {}

/// How an engine stands.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_status {
    /// `sizeof(oc_status)`, set by the caller.
    pub struct_bytes: u32,
    /// Pools that are there.
    pub pools: u32,
    /// Jobs that wait.
    pub waiting_jobs: u32,
    /// Jobs that run.
    pub running_jobs: u32,
    /// The time of the last input, in µs.
    pub now_us: u64,
    /// Inputs of which all actions were asked for.
    pub inputs: u64,
    /// A digest of their answers, events and actions: two runs of the same inputs have the same, on every machine.
    pub run_digest: u64,
}

// SAFETY: integers, the size first.
unsafe impl Versioned for oc_status {}

/// What the library was built with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_get_limits(limits: *mut oc_limits) -> oc_code {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    // SAFETY: the caller's promise, at the top of the header.
    match unsafe { Out::new(limits) } {
        Ok(out) => {
            out.put(&oc_limits {
                struct_bytes: 0,
                api_version: OC_API_VERSION,
                semantics_version: SEMANTICS_VERSION,
                pools: count(POOLS),
                list_entries: count(LIST_ENTRIES),
                names: count(NAMES),
            });
            OC_OK
        }
        Err(fault) => fault.code,
    }
}

/// How the engine stands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_get_status(engine: *mut oc_engine, status: *mut oc_status) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let (inputs, run_digest) = body.digest.finish();
            Out::new(status)?.put(&oc_status {
                struct_bytes: 0,
                pools: u32::try_from(body.scheduler.fleet().len()).unwrap_or(u32::MAX),
                waiting_jobs: body.scheduler.waiting_jobs(),
                running_jobs: body.scheduler.leased_jobs(),
                now_us: body.scheduler.now_us(),
                inputs,
                run_digest,
            });
            Ok(())
        })
    }
}

/// The earliest time at which something happens without an input, in µs: call `oc_tick` then. `OC_NOTHING` where nothing
/// does. It can lie in the past: then at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_next_wakeup(engine: *mut oc_engine, at_us: *mut u64) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let out = OutNumber::new(at_us)?;
            out.put(body.scheduler.next_wakeup_us().ok_or(Fault::of(OC_NOTHING))?);
            Ok(())
        })
    }
}
