//! What a function of the driver returns: a number, of which some are known by name.

use std::fmt;

use cudarc::driver::sys::CUresult;

use crate::batch::backend::DeviceFault;

/// Statuses that calls of this program were seen or are documented to return, and what they mean for a device.
const KNOWN: [(CUresult, DeviceFault); 47] = [
    (CUresult::CUDA_ERROR_INVALID_VALUE, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_OUT_OF_MEMORY, DeviceFault::OutOfMemory),
    (CUresult::CUDA_ERROR_NOT_INITIALIZED, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_DEINITIALIZED, DeviceFault::DeviceLost),
    (CUresult::CUDA_ERROR_STUB_LIBRARY, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE, DeviceFault::DeviceLost),
    (CUresult::CUDA_ERROR_NO_DEVICE, DeviceFault::DeviceLost),
    (CUresult::CUDA_ERROR_INVALID_DEVICE, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_DEVICE_NOT_LICENSED, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_INVALID_IMAGE, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_INVALID_CONTEXT, DeviceFault::DeviceLost),
    (CUresult::CUDA_ERROR_MAP_FAILED, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_ECC_UNCORRECTABLE, DeviceFault::DeviceLost),
    (CUresult::CUDA_ERROR_UNSUPPORTED_LIMIT, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_INVALID_PTX, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_NVLINK_UNCORRECTABLE, DeviceFault::DeviceLost),
    (CUresult::CUDA_ERROR_JIT_COMPILER_NOT_FOUND, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_JIT_COMPILATION_DISABLED, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_CONTAINED, DeviceFault::DeviceLost),
    (CUresult::CUDA_ERROR_INVALID_SOURCE, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_OPERATING_SYSTEM, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_INVALID_HANDLE, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_ILLEGAL_STATE, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_NOT_FOUND, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_NOT_READY, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_LAUNCH_TIMEOUT, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED, DeviceFault::DeviceLost),
    (CUresult::CUDA_ERROR_ASSERT, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_MISALIGNED_ADDRESS, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_INVALID_PC, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_LAUNCH_FAILED, DeviceFault::LaunchFailed),
    (CUresult::CUDA_ERROR_NOT_PERMITTED, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_NOT_SUPPORTED, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_SYSTEM_NOT_READY, DeviceFault::DeviceLost),
    (CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_TIMEOUT, DeviceFault::Refused),
    (CUresult::CUDA_ERROR_UNKNOWN, DeviceFault::DeviceLost),
];

/// Why a function of the driver failed: any number but 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::batch::cuda) struct Status(u32);

impl Status {
    /// What a function returned.
    pub(super) const fn check(returned: u32) -> Result<(), Self> {
        if returned == 0 { Ok(()) } else { Err(Self(returned)) }
    }

    /// The status of this name.
    pub(in crate::batch::cuda) const fn of(named: CUresult) -> Self {
        Self(named as u32)
    }

    /// What it means for a device. One that nobody knows is one that the driver refused a call with.
    pub(in crate::batch::cuda) fn kind(self) -> DeviceFault {
        self.known().map_or(DeviceFault::Refused, |&(_, kind)| kind)
    }

    fn known(self) -> Option<&'static (CUresult, DeviceFault)> {
        KNOWN.iter().find(|&&(named, _)| self == Self::of(named))
    }

    /// Whether it is one of these.
    pub(in crate::batch::cuda) fn is_one_of(self, named: &[CUresult]) -> bool {
        named.iter().any(|&named| self == Self::of(named))
    }
}

/// The driver's own name: asking the driver for it could fail as well.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((named, _)) => write!(f, "{named:?}"),
            None => write!(f, "unknown status {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CUresult, Status};

    #[test]
    fn a_status_has_its_name_or_its_number() {
        assert_eq!(Status::check(0), Ok(()));
        assert_eq!(Status::check(2), Err(Status::of(CUresult::CUDA_ERROR_OUT_OF_MEMORY)));
        assert_eq!(Status(719).to_string(), "CUDA_ERROR_LAUNCH_FAILED");
        assert_eq!(Status(u32::MAX).to_string(), "unknown status 4294967295");
    }
}
