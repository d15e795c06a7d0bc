//! What the driver says, as a kind that a caller can act on.

use super::driver::Status;
use crate::batch::backend::{BackendError, BackendName, DeviceFault};
use crate::batch::unavailable::Unavailable;

/// A call that failed, and at what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: DeviceFault,
    pub(super) doing: &'static str,
    pub(super) status: String,
}

impl Fault {
    /// What a status of the driver means.
    pub(super) fn of(doing: &'static str, status: Status) -> Self {
        Self { kind: status.kind(), doing, status: status.to_string() }
    }

    /// What would go outside the memory that was made for it: a mistake of this program, not asked of the device.
    pub(super) fn outside(doing: &'static str) -> Self {
        Self { kind: DeviceFault::Refused, doing, status: "more than there is room for".to_owned() }
    }
}

/// Names what was tried when the driver refuses it.
pub(super) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, Fault>;
}

impl<T> Doing<T> for Result<T, Status> {
    fn doing(self, what: &'static str) -> Result<T, Fault> {
        self.map_err(|status| Fault::of(what, status))
    }
}

impl From<Fault> for BackendError {
    fn from(Fault { kind, doing, status }: Fault) -> Self {
        Self::Device { backend: BackendName::Cuda, fault: kind, doing, status }
    }
}

impl From<Fault> for Unavailable {
    fn from(Fault { kind, doing, status }: Fault) -> Self {
        match kind {
            DeviceFault::OutOfMemory => Self::OutOfMemory { doing, status },
            _ => Self::DeviceFailed { doing, status },
        }
    }
}
