//! Jobs wait, run and end: a state machine without clock, threads, allocation or IO.
//!
//! ```text
//!  Input + now ──▶ Scheduler::handle ──▶ Answer, then Actions one by one
//!                        │
//!                        └─ Event ──▶ Observer (metrics, logs, flight recorder)
//! ```
//!
//! Each module is of use alone. Rules: `docs/spec.md` sections 13 to 19.

mod action;
mod admission;
mod budget;
mod counters;
mod decided;
mod dispatch;
mod drain_rate;
mod event;
mod forecast;
mod input;
mod kinds;
mod leases;
mod lifecycle;
mod machine;
mod observer;
mod policy;
mod pools;
mod prefills;
mod prices;
mod queue;
mod recorder;
mod refusals;
mod sessions;
mod snapshots;
mod state;
mod storage;
mod submit;
mod waiting;
mod work;

pub use action::{AbortCause, Action, Answer};
pub use admission::{Admission, AdmissionCapacity, ClassState, QueueState, admission_policy};
pub use budget::{BudgetAmounts, Ledger};
pub use counters::{ClassCounters, Counters, DECODE_BOUNDS_MS, FIRST_TOKEN_BOUNDS_MS, Histogram};
pub use drain_rate::{DrainRate, retry_after_ms, retry_after_seconds};
pub use event::{
    DecisionFacts, DispatchFacts, Event, ExpiryCause, JobFacts, Refusal, RefusalCode, SessionEnd, UsageFacts,
    WaitForecast,
};
pub use forecast::Forecast;
pub use input::{CancelCause, FailureCause, Input};
pub use leases::{
    LeaseState, LeaseStorage, Leased, Leases, NewLease, NotReserved, PoolLeases, Reported, ReserveError,
    credit_after_snapshot,
};
pub use machine::Scheduler;
pub use observer::Observer;
pub use policy::{
    AdmissionRules, ClassWeights, Discipline, FullPolicy, QueueRules, RefreshRules, SchedulerPolicy,
    SchedulerPolicySpec, WaitLimit, WatchdogRules,
};
pub use pools::{PoolRecord, PoolRecords, RefreshDue};
pub use prices::{Price, Prices, cost_micros};
pub use queue::{
    Arrival, Departed, EnqueueError, Enqueued, PassedOver, Queue, QueuePosition, QueueStorage, Tenant, TenantSlot,
    Waiting, WaitingFacts, WaitingSlot,
};
pub use recorder::{
    Capacities, Damage, DamageCause, FlightRecorder, Frame, OutcomeDifference, OutcomeLog, RECORDING_FORMAT,
    RECORDING_MAGIC, RecordedInput, RecordedOutcome, Recording, RecordingError, RecordingHeader,
};
pub use sessions::{AdmittedSession, Session, SessionRefusal, SessionStorage, Sessions};
pub use state::{ExportError, Imported, STATE_FORMAT, STATE_MAGIC, StateError, StateTable};
pub use storage::{SchedulerBuffers, SchedulerStorage};
pub use work::{RunningJob, WaitingJob};
