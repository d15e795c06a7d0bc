//! The primary context of a device.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{CUctx_st, CUdevice, CUdevice_attribute, CUresult};

use super::functions::{Functions, MemoryPools};
use super::handle::Handle;
use super::status::Status;

/// Bytes of a device's name: the longest that are known have some 40.
const NAME_BYTES: usize = 256;

/// A device whose primary context is retained.
#[derive(Debug)]
pub(in crate::batch::cuda) struct Context {
    pub(super) functions: Functions,
    device: CUdevice,
    handle: Handle<CUctx_st>,
    /// Where memory can be given and taken in the order of a stream; an old device or driver does it at once.
    pub(super) memory_pools: Option<MemoryPools>,
}

impl Context {
    /// How many devices the driver shows.
    pub(in crate::batch::cuda) fn devices(functions: &Functions) -> Result<u32, Status> {
        // SAFETY: the only flags that there are.
        Status::check(unsafe { (functions.cuInit)(0) })?;
        let mut count = 0;
        // SAFETY: the driver has begun, and writes one number.
        Status::check(unsafe { (functions.cuDeviceGetCount)(&raw mut count) })?;
        Ok(u32::try_from(count).unwrap_or(0))
    }

    /// Opens one of the [`Context::devices`].
    pub(in crate::batch::cuda) fn open(functions: Functions, ordinal: u32) -> Result<Arc<Self>, Status> {
        let mut device = 0;
        // SAFETY: one number is written; a driver that has not begun, or has no such device, says so.
        Status::check(unsafe { (functions.cuDeviceGet)(&raw mut device, ordinal.cast_signed()) })?;
        let which = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
        // A driver that does not know what is asked has none.
        let has_memory_pools = attribute(&functions, device, which).is_ok_and(|pools| pools > 0);
        let memory_pools = functions.memory_pools.filter(|_| has_memory_pools);
        let mut written = ptr::null_mut();
        // SAFETY: the device is the driver's, and one handle is written; the context is released when it is dropped.
        Status::check(unsafe { (functions.cuDevicePrimaryCtxRetain)(&raw mut written, device) })?;
        let context = Self { functions, device, handle: Handle::of(written)?, memory_pools };
        context.bind()?;
        Ok(Arc::new(context))
    }

    /// Makes it the thread's current one.
    pub(super) fn bind(&self) -> Result<(), Status> {
        let mut current = ptr::null_mut();
        // SAFETY: one handle is written.
        Status::check(unsafe { (self.functions.cuCtxGetCurrent)(&raw mut current) })?;
        if current == self.handle.get() {
            return Ok(());
        }
        // SAFETY: the context is retained.
        Status::check(unsafe { (self.functions.cuCtxSetCurrent)(self.handle.get()) })
    }

    pub(in crate::batch::cuda) fn name(&self) -> Result<String, Status> {
        let mut name = [0; NAME_BYTES];
        // SAFETY: the driver writes at most as many bytes as it is told, the last of them a NUL.
        let returned =
            unsafe { (self.functions.cuDeviceGetName)(name.as_mut_ptr().cast(), NAME_BYTES as c_int, self.device) };
        Status::check(returned)?;
        let name = CStr::from_bytes_until_nul(&name).map_err(|_| Status::of(CUresult::CUDA_ERROR_INVALID_VALUE))?;
        Ok(name.to_string_lossy().into_owned())
    }

    /// How many multiprocessors the device has, at least one.
    pub(in crate::batch::cuda) fn multiprocessors(&self) -> Result<usize, Status> {
        let which = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let count = attribute(&self.functions, self.device, which)?;
        Ok(usize::try_from(count).unwrap_or(1).max(1))
    }

    /// Memory that is free now, in bytes.
    pub(in crate::batch::cuda) fn free_bytes(&self) -> Result<usize, Status> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: two numbers are written.
        Status::check(unsafe { (self.functions.cuMemGetInfo_v2)(&raw mut free, &raw mut total) })?;
        Ok(free)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it was retained once; all that was made in it keeps it alive, so that nothing of it is left. A driver
        // that refuses has given it up.
        let _ = unsafe { (self.functions.release_context)(self.device) };
    }
}

fn attribute(functions: &Functions, device: CUdevice, which: CUdevice_attribute) -> Result<c_int, Status> {
    let mut value = 0;
    // SAFETY: the driver has begun, the device is its own, and one number is written.
    Status::check(unsafe { (functions.cuDeviceGetAttribute)(&raw mut value, which as u32, device) })?;
    Ok(value)
}
