//! Memory of the device, and memory of the host that the device copies from and to by itself.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use cudarc::driver::sys::{CUdeviceptr, CUresult};

use super::context::Context;
use super::status::Status;
use super::stream::Stream;

/// Bytes on the device, used and freed in the order of one stream.
#[derive(Debug)]
pub(in crate::batch::cuda) struct DeviceMemory {
    stream: Arc<Stream>,
    address: CUdeviceptr,
    len: usize,
}

impl DeviceMemory {
    /// At least one byte, all of them 0.
    pub(in crate::batch::cuda) fn zeroed(stream: &Arc<Stream>, len: usize) -> Result<Self, Status> {
        let context = &stream.context;
        context.bind()?;
        let functions = &context.functions;
        let mut address = 0;
        let returned = if let Some(pools) = &context.memory_pools {
            // SAFETY: one address is written, and the stream is alive.
            unsafe { (pools.allocate)(&raw mut address, len, stream.handle()) }
        } else {
            // SAFETY: one address is written.
            unsafe { (functions.cuMemAlloc_v2)(&raw mut address, len) }
        };
        Status::check(returned)?;
        let memory = Self { stream: Arc::clone(stream), address, len };
        // SAFETY: the memory has as many bytes, and nobody else knows of it yet.
        Status::check(unsafe { (functions.cuMemsetD8Async)(address, 0, len, stream.handle()) })?;
        Ok(memory)
    }

    pub(in crate::batch::cuda) const fn len(&self) -> usize {
        self.len
    }

    /// Its address, where a kernel's argument can lie.
    pub(in crate::batch::cuda) const fn address(&self) -> &CUdeviceptr {
        &self.address
    }

    /// The address of its byte `at`, if there are `len` bytes from there on.
    pub(super) fn address_at(&self, at: usize, len: usize) -> Result<CUdeviceptr, Status> {
        let is_inside = at.checked_add(len).is_some_and(|end| end <= self.len);
        let address = self.address.checked_add(at as CUdeviceptr);
        address.filter(|_| is_inside).ok_or(OUTSIDE)
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        let Stream { context, .. } = &*self.stream;
        let _ = context.bind();
        // A driver that refuses has given the memory up, and with it what was under way in it.
        let _ = if let Some(pools) = &context.memory_pools {
            // SAFETY: it is freed behind all that uses it.
            unsafe { (pools.free)(self.address, self.stream.handle()) }
        } else {
            let _ = self.stream.synchronize();
            // SAFETY: nothing that uses it is under way.
            unsafe { (context.functions.cuMemFree_v2)(self.address) }
        };
    }
}

/// Bytes of the host that stay where they are. Whoever asks for a copy sees to it that none is under way when they are read,
/// written or freed.
#[derive(Debug)]
pub(in crate::batch::cuda) struct PinnedMemory {
    context: Arc<Context>,
    address: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is this value's alone.
unsafe impl Send for PinnedMemory {}

impl PinnedMemory {
    /// All of them 0.
    pub(in crate::batch::cuda) fn zeroed(context: &Arc<Context>, len: usize) -> Result<Self, Status> {
        context.bind()?;
        let mut written = ptr::null_mut();
        // SAFETY: the context is current, and one address is written.
        Status::check(unsafe { (context.functions.cuMemHostAlloc)(&raw mut written, len, 0) })?;
        let address = NonNull::new(written.cast::<u8>()).ok_or(Status::of(CUresult::CUDA_ERROR_OUT_OF_MEMORY))?;
        // SAFETY: the driver gave this many bytes at this address, and nobody else knows of them yet.
        unsafe { address.write_bytes(0, len) };
        Ok(Self { context: Arc::clone(context), address, len })
    }

    /// The bytes.
    ///
    /// # Safety
    /// No copy from or to them is under way.
    pub(in crate::batch::cuda) unsafe fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes were set when they were given, and are this value's alone; no copy is under way.
        unsafe { slice::from_raw_parts_mut(self.address.as_ptr(), self.len) }
    }

    /// The address, if there are so many bytes.
    pub(super) fn address_of(&self, len: usize) -> Result<*mut c_void, Status> {
        if len <= self.len { Ok(self.address.as_ptr().cast()) } else { Err(OUTSIDE) }
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: it is the driver's, and nobody uses it after this. A driver that refuses has given it up.
        let _ = unsafe { (self.context.functions.cuMemFreeHost)(self.address.as_ptr().cast()) };
    }
}

/// What a driver says to a length that is too large.
const OUTSIDE: Status = Status::of(CUresult::CUDA_ERROR_INVALID_VALUE);
