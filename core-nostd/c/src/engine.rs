//! The handle: a scheduler at the head of the caller's memory, its fleet and its tables behind it.
//!
//! ```text
//!   memory ─▶ ┌ seal: state, own address ┬ body: scheduler, last action, last fault ┬ fleet, tables … ┐
//!             └──────────── the handle points here ─────────────────────────────────┘
//! ```
//!
//! Invariants: a body is borrowed only behind a seal that says that it is there and that nobody else borrows it; the seal
//! names its own address, because the scheduler's tables would stay behind where the memory was copied.

use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::null_mut;

use orchestrator_core::Problem;
use orchestrator_core::scheduler::{Action, Answer, Input, Scheduler};

use crate::codes::{
    Fault, OC_BAD_VALUE, OC_BUSY, OC_MISALIGNED, OC_NOT_INITIALISED, OC_NULL_POINTER, OC_TOO_LITTLE_MEMORY, oc_code,
};
use crate::config::oc_config;
use crate::policy::{placement_policy, scheduler_policy};
use crate::prices::PriceList;
use crate::problem::oc_problem;
use crate::run_digest::RunDigest;
use crate::storage::{Fleet, Plan};
use crate::versioned::{Out, OutNumber};

/// A scheduler in the caller's memory. The handle is the memory's address; there is nothing to free but the memory.
pub struct oc_engine {
    _opaque: [u8; 0],
}

/// A body that may be borrowed.
const READY: u64 = u64::from_le_bytes(*b"orch-c.1");
/// A body that is borrowed.
const IN_USE: u64 = u64::from_le_bytes(*b"orch-c.!");

/// The alignment, in bytes, that the memory of an engine needs: as what `malloc` gives on most machines of 64 bits.
pub const OC_MEMORY_ALIGN: usize = 16;

#[repr(C, align(16))]
struct Engine {
    seal: Seal,
    body: Body,
}

const _: () = assert!(align_of::<Engine>() == OC_MEMORY_ALIGN);

#[repr(C)]
#[derive(Clone, Copy)]
struct Seal {
    state: u64,
    address: usize,
}

/// What is behind a handle.
pub(crate) struct Body {
    pub(crate) scheduler: Scheduler<'static, &'static mut Fleet>,
    /// The action that was given out last: its texts are borrowed from here.
    action: Option<Action>,
    /// What the last call ended with.
    pub(crate) fault: Fault,
    pub(crate) digest: RunDigest,
}

impl Body {
    /// Tells the scheduler something.
    pub(crate) fn tell(&mut self, input: &Input<'_>, now_us: u64) -> Answer {
        self.action = None;
        if self.digest.is_open() {
            return Answer::ActionsPending;
        }
        let answer = self.scheduler.handle(input, now_us, self.digest.begin());
        self.digest.answer(&answer);
        answer
    }

    /// The next thing to do of the last input.
    pub(crate) fn next_action(&mut self) -> Option<&Action> {
        self.action = if self.digest.is_open() { self.scheduler.next_action(self.digest.observer()) } else { None };
        match &self.action {
            Some(action) => self.digest.action(action),
            None => self.digest.end(),
        }
        self.action.as_ref()
    }
}

/// The engine behind a handle, if there is one that nobody borrows.
///
/// # Safety
/// `handle` is null, misaligned, or points to as many readable bytes as a seal has.
unsafe fn open(handle: *mut oc_engine) -> Result<*mut Engine, oc_code> {
    let engine = handle.cast::<Engine>();
    if engine.is_null() {
        return Err(OC_NULL_POINTER);
    }
    if !engine.is_aligned() {
        return Err(OC_MISALIGNED);
    }
    // SAFETY: not null, aligned, and the caller vouches for the bytes of a seal, which is the first part.
    let seal = unsafe { (&raw const (*engine).seal).read() };
    match seal {
        Seal { address, .. } if address != engine.addr() => Err(OC_NOT_INITIALISED),
        Seal { state: READY, .. } => Ok(engine),
        Seal { state: IN_USE, .. } => Err(OC_BUSY),
        Seal { .. } => Err(OC_NOT_INITIALISED),
    }
}

/// Borrows the body behind a handle for one call, and keeps what the call ended with.
///
/// # Safety
/// `handle` is null, misaligned, points to memory of at least a seal that no engine is in, or is the handle of an engine
/// whose memory only these functions use, from one thread at a time.
pub(crate) unsafe fn with_body(handle: *mut oc_engine, call: impl FnOnce(&mut Body) -> Result<(), Fault>) -> oc_code {
    // SAFETY: the caller's promise.
    let engine = match unsafe { open(handle) } {
        Ok(engine) => engine,
        Err(code) => return code,
    };
    // SAFETY: the seal says that an engine is here which nobody borrows. Nothing below borrows the seal.
    unsafe {
        (&raw mut (*engine).seal.state).write(IN_USE);
        let body = &mut (*engine).body;
        let fault = call(body).err().unwrap_or(Fault::NONE);
        body.fault = fault;
        (&raw mut (*engine).seal.state).write(READY);
        fault.code
    }
}

/// Looks at the body behind a handle, and keeps what the call before ended with.
///
/// # Safety
/// As [`with_body`].
pub(crate) unsafe fn with_kept(handle: *const oc_engine, call: impl FnOnce(&Body) -> Result<(), Fault>) -> oc_code {
    // SAFETY: the caller's promise; nothing is written.
    match unsafe { open(handle.cast_mut()) } {
        // SAFETY: the seal says that an engine is here which nobody borrows.
        Ok(engine) => call(unsafe { &(*engine).body }).err().unwrap_or(Fault::NONE).code,
        Err(code) => code,
    }
}

/// `OC_MEMORY_ALIGN` of the library; that of the header may be another.
#[unsafe(no_mangle)]
pub extern "C" fn oc_memory_align() -> usize {
    OC_MEMORY_ALIGN
}

/// How much memory an engine of these sizes needs, in bytes; a null `config` is all defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_memory_bytes(config: *const oc_config, bytes: *mut usize) -> oc_code {
    let plan = || {
        // SAFETY: the caller's promise, at the top of the header.
        let (config, out) = unsafe { (oc_config::read(config)?, OutNumber::new(bytes)?) };
        out.put(plan(&config)?.bytes());
        Ok(())
    };
    code_of(plan())
}

/// Makes an engine in the caller's memory, which belongs to it until the caller uses the memory for something else: there
/// is no call that ends it. Memory that an engine is in may be initialised again; the former engine is gone.
///
/// `memory` is aligned to `oc_memory_align()` and has at least as many bytes as `oc_memory_bytes` says. `config` may be null:
/// all defaults. `problem` may be null; else it says which value of `config` or of its policies was refused. `engine`
/// receives the handle, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_init(
    memory: *mut c_void,
    memory_bytes: usize,
    config: *const oc_config,
    problem: *mut oc_problem,
    engine: *mut *mut oc_engine,
) -> oc_code {
    let init = || {
        // SAFETY: the caller's promise, at the top of the header.
        let (out, problem) = unsafe { (OutNumber::new(engine)?, Out::optional(problem)?) };
        // SAFETY: the same.
        let made = unsafe { make(memory, memory_bytes, config) };
        out.put(made.unwrap_or(null_mut()));
        if let Some(problem) = problem {
            problem.put(&oc_problem::of(&made.err().unwrap_or(Fault::NONE)));
        }
        made.map(|_| ())
    };
    code_of(init())
}

const fn code_of(result: Result<(), Fault>) -> oc_code {
    match result {
        Ok(()) => Fault::NONE.code,
        Err(fault) => fault.code,
    }
}

fn plan(config: &oc_config) -> Result<Plan, Fault> {
    let too_large = Fault::field(OC_BAD_VALUE, "config", Problem::TooLarge { max: isize::MAX.unsigned_abs() as u64 });
    Plan::new(Layout::new::<Engine>(), &config.sizes()?).ok_or(too_large)
}

/// # Safety
/// As [`oc_init`] asks of its caller.
unsafe fn make(memory: *mut c_void, memory_bytes: usize, config: *const oc_config) -> Result<*mut oc_engine, Fault> {
    // SAFETY: the caller's promise.
    let config = unsafe { oc_config::read(config) }?;
    let plan = plan(&config)?;
    // SAFETY: the caller's promise.
    let (placement, rules) = unsafe { (placement_policy(config.placement)?, scheduler_policy(config.scheduler)?) };
    // SAFETY: the same.
    let prices = unsafe { PriceList::read(config.prices, config.price_count) }?;
    let engine = memory.cast::<Engine>();
    if engine.is_null() {
        return Err(Fault::of(OC_NULL_POINTER));
    }
    if !engine.is_aligned() {
        return Err(Fault::of(OC_MISALIGNED));
    }
    if memory_bytes < plan.bytes() {
        return Err(Fault::of(OC_TOO_LITTLE_MEMORY));
    }
    // SAFETY: aligned, large enough, and the caller's until this returns; from then on only these functions use it. The
    // tables lie behind the head, so that neither is ever borrowed through the other.
    unsafe {
        let (fleet, storage) = plan.cut_out(memory.cast(), &prices, config.hash_seed);
        let scheduler = Scheduler::new(fleet, storage, placement, rules);
        let body = Body { scheduler, action: None, fault: Fault::NONE, digest: RunDigest::new() };
        engine.write(Engine { seal: Seal { state: READY, address: engine.addr() }, body });
    }
    Ok(engine.cast())
}
