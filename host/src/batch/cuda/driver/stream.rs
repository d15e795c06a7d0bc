//! A stream: what the device is asked for, done in that order.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::sys::{CUstream_flags, CUstream_st};

use super::context::Context;
use super::handle::Handle;
use super::memory::{DeviceMemory, PinnedMemory};
use super::module::Function;
use super::status::Status;

/// A stream that waits for no other one.
#[derive(Debug)]
pub(in crate::batch::cuda) struct Stream {
    pub(super) context: Arc<Context>,
    handle: Handle<CUstream_st>,
}

impl Stream {
    pub(in crate::batch::cuda) fn new(context: &Arc<Context>) -> Result<Arc<Self>, Status> {
        context.bind()?;
        let flags = CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        let mut written = ptr::null_mut();
        // SAFETY: the context is current, and one handle is written.
        Status::check(unsafe { (context.functions.cuStreamCreate)(&raw mut written, flags) })?;
        Ok(Arc::new(Self { context: Arc::clone(context), handle: Handle::of(written)? }))
    }

    pub(in crate::batch::cuda) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) const fn handle(&self) -> *mut CUstream_st {
        self.handle.get()
    }

    /// Waits until the device has done all that it was asked for.
    pub(in crate::batch::cuda) fn synchronize(&self) -> Result<(), Status> {
        self.context.bind()?;
        // SAFETY: the stream is alive.
        Status::check(unsafe { (self.context.functions.cuStreamSynchronize)(self.handle()) })
    }

    /// Asks for a copy of the first `len` bytes to the device, from its byte `at` on. More than there is on either side is
    /// refused.
    ///
    /// # Safety
    /// Until the stream has come past the copy, nobody writes to `from` or frees it; `to` is used on this stream alone.
    pub(in crate::batch::cuda) unsafe fn upload(
        &self,
        from: &PinnedMemory,
        to: &DeviceMemory,
        at: usize,
        len: usize,
    ) -> Result<(), Status> {
        self.context.bind()?;
        let (from, to) = (from.address_of(len)?, to.address_at(at, len)?);
        // SAFETY: there are as many bytes at both addresses; the rest is the caller's promise.
        Status::check(unsafe { (self.context.functions.cuMemcpyHtoDAsync_v2)(to, from, len, self.handle()) })
    }

    /// Asks for a copy of `len` bytes from the device, from its byte `at` on.
    ///
    /// # Safety
    /// As [`Stream::upload`], and nobody reads `to` until the stream has come past the copy.
    pub(in crate::batch::cuda) unsafe fn download(
        &self,
        from: &DeviceMemory,
        at: usize,
        to: &mut PinnedMemory,
        len: usize,
    ) -> Result<(), Status> {
        self.context.bind()?;
        let (from, to) = (from.address_at(at, len)?, to.address_of(len)?);
        // SAFETY: there are as many bytes at both addresses; the rest is the caller's promise.
        Status::check(unsafe { (self.context.functions.cuMemcpyDtoHAsync_v2)(to, from, len, self.handle()) })
    }

    /// Asks for a launch of a grid and blocks of one dimension.
    ///
    /// # Safety
    /// The arguments are those of the function, in their order and types, and what it does with the memory that they name
    /// is sound.
    pub(in crate::batch::cuda) unsafe fn launch(
        &self,
        function: &Function,
        (blocks, threads): (u32, u32),
        mut arguments: Arguments<'_>,
    ) -> Result<(), Status> {
        self.context.bind()?;
        let (handle, stream, arguments) = (function.handle(), self.handle(), arguments.addresses.as_mut_ptr());
        let launch = self.context.functions.cuLaunchKernel;
        // SAFETY: function and stream are alive, and the driver has read the arguments when it returns; the rest is the
        // caller's promise.
        Status::check(unsafe { launch(handle, blocks, 1, 1, threads, 1, 1, 0, stream, arguments, ptr::null_mut()) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: it is alive, and nobody uses it after this. A driver that refuses has given it up.
        let _ = unsafe { (self.context.functions.cuStreamDestroy_v2)(self.handle()) };
    }
}

/// The arguments of a launch, by where they lie.
#[derive(Debug, Default)]
pub(in crate::batch::cuda) struct Arguments<'a> {
    addresses: Vec<*mut c_void>,
    values: PhantomData<&'a ()>,
}

impl<'a> Arguments<'a> {
    /// One more: a number, or the address of device memory.
    pub(in crate::batch::cuda) fn with<T: Pod>(mut self, value: &'a T) -> Self {
        // The driver only reads it.
        self.addresses.push(ptr::from_ref(value).cast_mut().cast());
        self
    }
}
