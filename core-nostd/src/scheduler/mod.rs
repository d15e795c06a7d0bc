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
mod budget;
mod event;
mod forecast;
mod input;
mod leases;
mod observer;
mod policy;
mod pools;
mod prices;
mod sessions;

pub use action::{AbortCause, Action, Answer};
pub use budget::{BudgetAmounts, Ledger};
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
pub use observer::Observer;
pub use policy::{
    AdmissionRules, ClassWeights, Discipline, FullPolicy, QueueRules, RefreshRules, SchedulerPolicy,
    SchedulerPolicySpec, WaitLimit, WatchdogRules,
};
pub use pools::{PoolRecord, PoolRecords, RefreshDue};
pub use prices::{Price, Prices, cost_micros};
pub use sessions::{AdmittedSession, Session, SessionRefusal, SessionStorage, Sessions};
