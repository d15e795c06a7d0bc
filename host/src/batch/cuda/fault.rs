//! What the driver says, as a kind that a caller can act on.

use cudarc::driver::sys::CUresult;

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
        Self { kind: kind_of(status), doing, status: status.to_string() }
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

const LAUNCH_FAILED: [CUresult; 10] = [
    CUresult::CUDA_ERROR_ILLEGAL_ADDRESS,
    CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
    CUresult::CUDA_ERROR_LAUNCH_TIMEOUT,
    CUresult::CUDA_ERROR_ASSERT,
    CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR,
    CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION,
    CUresult::CUDA_ERROR_MISALIGNED_ADDRESS,
    CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE,
    CUresult::CUDA_ERROR_INVALID_PC,
    CUresult::CUDA_ERROR_LAUNCH_FAILED,
];

const DEVICE_LOST: [CUresult; 10] = [
    CUresult::CUDA_ERROR_DEINITIALIZED,
    CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE,
    CUresult::CUDA_ERROR_NO_DEVICE,
    CUresult::CUDA_ERROR_INVALID_CONTEXT,
    CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED,
    CUresult::CUDA_ERROR_ECC_UNCORRECTABLE,
    CUresult::CUDA_ERROR_CONTAINED,
    CUresult::CUDA_ERROR_NVLINK_UNCORRECTABLE,
    CUresult::CUDA_ERROR_SYSTEM_NOT_READY,
    CUresult::CUDA_ERROR_UNKNOWN,
];

/// A status that nobody knows is one that the driver refused a call with.
fn kind_of(status: Status) -> DeviceFault {
    if status.is_one_of(&[CUresult::CUDA_ERROR_OUT_OF_MEMORY]) {
        DeviceFault::OutOfMemory
    } else if status.is_one_of(&LAUNCH_FAILED) {
        DeviceFault::LaunchFailed
    } else if status.is_one_of(&DEVICE_LOST) {
        DeviceFault::DeviceLost
    } else {
        DeviceFault::Refused
    }
}
