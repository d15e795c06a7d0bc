//! What the driver says, as a kind that a caller can act on.

use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

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
    pub(super) fn of(doing: &'static str, status: CUresult) -> Self {
        Self { kind: kind_of(status), doing, status: text_of(status) }
    }
}

/// Names what was tried when the driver refuses it.
pub(super) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, Fault>;
}

impl<T> Doing<T> for Result<T, DriverError> {
    fn doing(self, what: &'static str) -> Result<T, Fault> {
        self.map_err(|DriverError(status)| Fault::of(what, status))
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

/// The driver's own name of a status: asking the driver for a text could fail as well.
pub(super) fn text_of(status: CUresult) -> String {
    format!("{status:?}")
}

fn kind_of(status: CUresult) -> DeviceFault {
    match status {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => DeviceFault::OutOfMemory,
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
        | CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
        | CUresult::CUDA_ERROR_LAUNCH_TIMEOUT
        | CUresult::CUDA_ERROR_ASSERT
        | CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR
        | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
        | CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | CUresult::CUDA_ERROR_INVALID_PC
        | CUresult::CUDA_ERROR_LAUNCH_FAILED => DeviceFault::LaunchFailed,
        CUresult::CUDA_ERROR_DEINITIALIZED
        | CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE
        | CUresult::CUDA_ERROR_NO_DEVICE
        | CUresult::CUDA_ERROR_INVALID_CONTEXT
        | CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED
        | CUresult::CUDA_ERROR_ECC_UNCORRECTABLE
        | CUresult::CUDA_ERROR_CONTAINED
        | CUresult::CUDA_ERROR_NVLINK_UNCORRECTABLE
        | CUresult::CUDA_ERROR_SYSTEM_NOT_READY
        | CUresult::CUDA_ERROR_UNKNOWN => DeviceFault::DeviceLost,
        _ => DeviceFault::Refused,
    }
}
