//! One device: its context, one stream, the kernels.
//!
//! Devices are counted as the driver shows them (`CUDA_VISIBLE_DEVICES` says which those are). Everything goes through one
//! stream, in order, so no two calls need an event between them.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::sys::CUresult;

use super::driver::{Context, Functions, Module, Status, Stream};
use super::fault::{Doing, Fault};
use super::image::Image;
use super::kernels::Kernels;
use crate::batch::backend::DeviceFault;
use crate::batch::unavailable::Unavailable;

/// An open device.
pub(super) struct Device {
    pub(super) kernels: Kernels,
    pub(super) stream: Arc<Stream>,
    pub(super) multiprocessors: usize,
    name: String,
}

impl Device {
    /// How many devices there are, at least one.
    pub(super) fn count(functions: &Functions) -> Result<u32, Unavailable> {
        match Context::devices(functions).map_err(unopened)? {
            0 => Err(Unavailable::NoDevice { status: "the driver shows none".to_owned() }),
            count => Ok(count),
        }
    }

    /// Opens one of them and loads the image into it.
    pub(super) fn open(functions: Functions, ordinal: u32, image: &Image) -> Result<Self, Unavailable> {
        let context = Context::open(functions, ordinal).map_err(unopened)?;
        let stream = Stream::new(&context).doing("making a stream")?;
        let kernels = Kernels::find(&load(&context, image)?, image)?;
        let name = context.name().doing("asking for the device's name")?;
        let multiprocessors = context.multiprocessors().doing("asking for the number of multiprocessors")?;
        Ok(Self { kernels, stream, multiprocessors, name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        self.stream.context()
    }

    /// Memory that is free now, in bytes.
    pub(super) fn free_bytes(&self) -> Result<usize, Fault> {
        self.context().free_bytes().doing("asking for free memory")
    }

    /// Waits until the device has done all that it was asked for.
    pub(super) fn finish(&self, doing: &'static str) -> Result<(), Fault> {
        self.stream.synchronize().doing(doing)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("name", &self.name).finish_non_exhaustive()
    }
}

const NO_DEVICE: [CUresult; 3] =
    [CUresult::CUDA_ERROR_NO_DEVICE, CUresult::CUDA_ERROR_INVALID_DEVICE, CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE];

const DRIVER_MISMATCH: [CUresult; 3] = [
    CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
    CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE,
    CUresult::CUDA_ERROR_STUB_LIBRARY,
];

/// Why a context cannot be had.
fn unopened(status: Status) -> Unavailable {
    if status.is_one_of(&NO_DEVICE) {
        Unavailable::NoDevice { status: status.to_string() }
    } else if status.is_one_of(&DRIVER_MISMATCH) {
        Unavailable::DriverMismatch { status: status.to_string() }
    } else {
        Fault::of("opening the device", status).into()
    }
}

fn load(context: &Arc<Context>, image: &Image) -> Result<Arc<Module>, Unavailable> {
    Module::load(context, &image.text).map_err(|status| {
        if status.kind() == DeviceFault::OutOfMemory {
            Fault::of("loading the kernels", status).into()
        } else {
            Unavailable::ImageRefused { image: image.origin.clone(), status: status.to_string() }
        }
    })
}
