//! Why a backend cannot be used: what a person or a program can act on.

use super::backend::BackendName;

/// Why a backend cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The threads that it was to run on could not be started.
    #[error("{backend}: {threads} threads cannot be started: {why}")]
    NoThreads {
        /// Which backend.
        backend: BackendName,
        /// How many were asked for.
        threads: usize,
        /// What the system says.
        why: String,
    },
    /// The program was built without it.
    #[error("{backend}: this build is without it (cargo feature `{backend}`)")]
    NotBuilt {
        /// Which backend.
        backend: BackendName,
    },
    /// There is no library of the driver.
    #[error("cuda: no driver: libcuda cannot be opened")]
    NoDriver,
    /// The driver is older than the kind of PTX that the kernels are in.
    #[error("cuda: the driver is too old: it is of CUDA {found}, the kernels need {needed} or newer")]
    DriverTooOld {
        /// What it is of.
        found: String,
        /// What the kernels need.
        needed: String,
    },
    /// The driver lacks a function, or is no driver at all.
    #[error("cuda: the driver is too old or broken: {why}")]
    DriverIncomplete {
        /// What is missing.
        why: String,
    },
    /// The parts of the driver do not fit together, or are older than CUDA 12.
    #[error("cuda: the driver does not fit: {status}")]
    DriverMismatch {
        /// What the driver says.
        status: String,
    },
    /// The driver finds no device.
    #[error("cuda: no device: {status}")]
    NoDevice {
        /// What the driver says.
        status: String,
    },
    /// The file of the kernels cannot be read.
    #[error("cuda: the kernel image {path} cannot be read: {why}")]
    ImageUnreadable {
        /// Which file.
        path: String,
        /// Why not.
        why: String,
    },
    /// The image is not one that this program can launch.
    #[error("cuda: the kernel image ({image}) cannot be used: {why}")]
    ImageUnusable {
        /// Which image.
        image: String,
        /// Why not.
        why: String,
    },
    /// The driver refuses the kernels.
    #[error("cuda: the driver refuses the kernel image ({image}): {status}")]
    ImageRefused {
        /// Which image.
        image: String,
        /// What the driver says.
        status: String,
    },
    /// The image has no such kernel.
    #[error("cuda: the kernel image ({image}) has no kernel `{kernel}`")]
    KernelMissing {
        /// Which image.
        image: String,
        /// Which kernel.
        kernel: String,
    },
    /// The image was built for other rules or another layout.
    #[error("cuda: the kernel image ({image}) is of another contract: it has {found}, this program {expected}")]
    ContractDiffers {
        /// Which image.
        image: String,
        /// The image's contract.
        found: String,
        /// This program's contract.
        expected: String,
    },
    /// The device answered the built-in test wrongly.
    #[error("cuda: self-test failed: {why}")]
    SelfTestFailed {
        /// The first wrong answer.
        why: String,
    },
    /// There is too little memory to begin with.
    #[error("cuda: out of memory {doing}: {status}")]
    OutOfMemory {
        /// At what.
        doing: &'static str,
        /// What the driver says.
        status: String,
    },
    /// The driver or the device failed otherwise.
    #[error("cuda: failed {doing}: {status}")]
    DeviceFailed {
        /// At what.
        doing: &'static str,
        /// What the driver says.
        status: String,
    },
}
