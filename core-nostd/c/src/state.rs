//! The state as bytes: an agent that restarts goes on where it was. Form: `docs/state.md`.

use core::ffi::c_void;

use orchestrator_core::Problem;
use orchestrator_core::scheduler::{ExportError, Imported, StateError};

use crate::action::oc_action;
use crate::buffer::write_bytes;
use crate::codes::{Fault, OC_ACTIONS_PENDING, OC_BAD_STATE, OC_NULL_POINTER, OC_TIME_WENT_BACK, oc_code};
use crate::engine::{oc_engine, with_body};
use crate::text::items;
use crate::versioned::{Out, Versioned};

/// Is told one thing to do. The action and its texts are valid until it returns. Calls on the same handle are answered with
/// `OC_BUSY`.
pub type oc_act = Option<unsafe extern "C" fn(user: *mut c_void, action: *const oc_action)>;

/// What an import took in.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct oc_imported {
    /// `sizeof(oc_imported)`, set by the caller.
    pub struct_bytes: u32,
    /// Jobs that wait.
    pub waiting_jobs: u32,
    /// Jobs that run on pools that are there.
    pub running_jobs: u32,
    /// Jobs whose pools are not there: they ended.
    pub lost_jobs: u32,
    /// Sessions.
    pub sessions: u32,
    /// 1 where the policies are those that the state was made under, else 0.
    pub same_policies: u32,
}

// SAFETY: integers, the size first.
unsafe impl Versioned for oc_imported {}

/// Writes the state: waiting and running jobs, sessions, what was measured; not pools and policies. `needed` receives its
/// size; where the buffer is smaller it gets a part that is of no use, and the answer is `OC_BUFFER_TOO_SMALL`.
/// `OC_ACTIONS_PENDING` while there are actions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_export_state(
    engine: *mut oc_engine,
    buffer: *mut u8,
    buffer_bytes: usize,
    needed: *mut usize,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            write_bytes(buffer, buffer_bytes, needed, |out| {
                body.scheduler.export_state(out).map_err(|error| match error {
                    ExportError::ActionsPending => Fault::of(OC_ACTIONS_PENDING),
                    // A buffer takes everything, and says itself what did not fit.
                    _ => Fault::of(OC_BAD_STATE),
                })
            })
        })
    }
}

/// Takes in a state and goes on with it at `now_us`: all of it or nothing. Tell the engine about its pools first; it has no
/// jobs and sessions of its own. What is to be done is told to `act` before this returns, with `user` handed on.
/// `imported` may be null. The import is no input: the run digest does not cover it.
///
/// Answers: `OC_OK`, `OC_BAD_STATE`, `OC_TIME_WENT_BACK`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oc_import_state(
    engine: *mut oc_engine,
    now_us: u64,
    state: *const u8,
    state_bytes: usize,
    act: oc_act,
    user: *mut c_void,
    imported: *mut oc_imported,
) -> oc_code {
    // SAFETY: the caller's promise, at the top of the header.
    unsafe {
        with_body(engine, |body| {
            let out = Out::optional(imported)?;
            let state = items(state, state_bytes, "state", isize::MAX.unsigned_abs())?;
            let act = act.ok_or(Fault::field(OC_NULL_POINTER, "act", Problem::Missing))?;
            let taken = body.scheduler.import_state(state, now_us, &mut (), |action| {
                let action = oc_action::of(&action);
                act(user, &raw const action);
            });
            let taken = taken.map_err(fault_of)?;
            if let Some(out) = out {
                out.put(&oc_imported::of(&taken));
            }
            Ok(())
        })
    }
}

impl oc_imported {
    fn of(imported: &Imported) -> Self {
        Self {
            struct_bytes: 0,
            waiting_jobs: imported.waiting_jobs,
            running_jobs: imported.leases,
            lost_jobs: imported.lost_leases,
            sessions: imported.sessions,
            same_policies: u32::from(imported.same_placement_policy && imported.same_scheduler_policy),
        }
    }
}

fn fault_of(error: StateError) -> Fault {
    let malformed = |expected| Fault::field(OC_BAD_STATE, "state", Problem::Malformed { expected });
    let contradiction = |why| Fault::field(OC_BAD_STATE, "state", Problem::Contradiction { why });
    match error {
        StateError::NoRoom { table, room, .. } => {
            Fault::field(OC_BAD_STATE, table.name(), Problem::StorageFull { capacity: room })
        }
        StateError::TimeWentBack { .. } => Fault::of(OC_TIME_WENT_BACK),
        StateError::TooEarly { .. } => {
            Fault::field(OC_BAD_STATE, "now_us", Problem::Malformed { expected: "a later time" })
        }
        StateError::NotFresh => contradiction("the scheduler has work of its own already"),
        StateError::Contradiction { what } => contradiction(what),
        _ => malformed("the whole state of a scheduler, of this version"),
    }
}
