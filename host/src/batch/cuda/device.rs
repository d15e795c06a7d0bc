//! One device: its context, one stream, the kernels.
//!
//! The device is the first that the driver shows (`CUDA_VISIBLE_DEVICES` says which that is). Everything goes through one
//! stream, in order, so no two calls need an event between them.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::sys::{CUdevice_attribute, CUresult};
use cudarc::driver::{CudaContext, CudaModule, CudaStream, DriverError};
use cudarc::nvrtc::Ptx;

use super::fault::{Doing, Fault, text_of};
use super::image::Image;
use super::kernels::Kernels;
use crate::batch::unavailable::Unavailable;

/// An open device.
pub(super) struct Device {
    pub(super) kernels: Kernels,
    pub(super) stream: Arc<CudaStream>,
    pub(super) multiprocessors: usize,
    name: String,
}

impl Device {
    /// Opens the first device and loads the image into it.
    pub(super) fn open(image: &Image) -> Result<Self, Unavailable> {
        let context = open_context()?;
        // SAFETY: all memory of this context is used on the one stream below, which keeps its order.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().doing("making a stream")?;
        let kernels = Kernels::find(&load(&context, image)?, image)?;
        let name = context.name().doing("asking for the device's name")?;
        let count = context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
        let multiprocessors = count.doing("asking for the number of multiprocessors")?;
        let multiprocessors = usize::try_from(multiprocessors).unwrap_or(1).max(1);
        Ok(Self { kernels, stream, multiprocessors, name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    /// Memory that is free now, in bytes.
    pub(super) fn free_bytes(&self) -> Result<usize, Fault> {
        let (free, _) = self.context().mem_get_info().doing("asking for free memory")?;
        Ok(free)
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

fn open_context() -> Result<Arc<CudaContext>, Unavailable> {
    let count = CudaContext::device_count().map_err(unopened)?;
    if count == 0 {
        return Err(Unavailable::NoDevice { status: "the driver shows none".to_owned() });
    }
    CudaContext::new(0).map_err(unopened)
}

/// Why a context cannot be had.
fn unopened(DriverError(status): DriverError) -> Unavailable {
    match status {
        CUresult::CUDA_ERROR_NO_DEVICE
        | CUresult::CUDA_ERROR_INVALID_DEVICE
        | CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE => Unavailable::NoDevice { status: text_of(status) },
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        | CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE
        | CUresult::CUDA_ERROR_STUB_LIBRARY => Unavailable::DriverMismatch { status: text_of(status) },
        _ => Fault::of("opening the device", status).into(),
    }
}

fn load(context: &Arc<CudaContext>, image: &Image) -> Result<Arc<CudaModule>, Unavailable> {
    let loaded = context.load_module(Ptx::from_src(&*image.text));
    loaded.map_err(|DriverError(status)| match status {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
            Unavailable::OutOfMemory { doing: "loading the kernels", status: text_of(status) }
        }
        _ => Unavailable::ImageRefused { image: image.origin.clone(), status: text_of(status) },
    })
}
