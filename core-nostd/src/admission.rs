//! May a job enter the queue? The smallest form of backpressure: a bound, a label, and when to come back.
//!
//! Rules: ORCH-2007, ORCH-3005, OC-CORE-1002. The decision is a pure function of its arguments and changes nothing.
//!
//! ```
//! use orchestrator_core::{Admission, AdmissionCapacity, QueueState, admission_policy};
//!
//! let capacity = AdmissionCapacity { queued_max: 8, retry_after_ms: 1_000 };
//! assert_eq!(admission_policy(&QueueState { queued: 7 }, &capacity), Admission::Accept);
//! let full = admission_policy(&QueueState { queued: 8 }, &capacity);
//! assert_eq!(full, Admission::Reject { policy_label: "reject", retry_after_ms: 1_000 });
//! ```

/// What waits now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct QueueState {
    /// Jobs in the queue.
    pub queued: u32,
}

/// What may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AdmissionCapacity {
    /// Jobs that the queue holds at most; 0 refuses always.
    pub queued_max: u32,
    /// What a refused caller is told to wait, in milliseconds.
    pub retry_after_ms: u64,
}

/// Whether a job may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Admission {
    /// It may.
    Accept,
    /// It may not.
    Reject {
        /// The policy that refused it, as the metrics contract spells it.
        policy_label: &'static str,
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
}

/// Accepts while the queue has room.
pub const fn admission_policy(queue: &QueueState, capacity: &AdmissionCapacity) -> Admission {
    if queue.queued < capacity.queued_max {
        Admission::Accept
    } else {
        Admission::Reject { policy_label: "reject", retry_after_ms: capacity.retry_after_ms }
    }
}
