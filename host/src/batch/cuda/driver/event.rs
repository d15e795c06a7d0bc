//! A mark in a stream that can be waited for.

use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{CUevent_flags, CUevent_st, CUresult};

use super::context::Context;
use super::handle::Handle;
use super::status::Status;
use super::stream::Stream;

/// Whether the device notes when an event happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::batch::cuda) enum Timing {
    Noted,
    /// Cheaper.
    Left,
}

/// An event. One that was never recorded has happened.
#[derive(Debug)]
pub(in crate::batch::cuda) struct Event {
    context: Arc<Context>,
    handle: Handle<CUevent_st>,
}

impl Event {
    pub(in crate::batch::cuda) fn new(context: &Arc<Context>, timing: Timing) -> Result<Self, Status> {
        context.bind()?;
        let flags = match timing {
            Timing::Noted => CUevent_flags::CU_EVENT_DEFAULT,
            Timing::Left => CUevent_flags::CU_EVENT_DISABLE_TIMING,
        };
        let mut written = ptr::null_mut();
        // SAFETY: the context is current, and one handle is written.
        Status::check(unsafe { (context.functions.cuEventCreate)(&raw mut written, flags as u32) })?;
        Ok(Self { context: Arc::clone(context), handle: Handle::of(written)? })
    }

    /// Puts it behind all that the stream was asked for.
    pub(in crate::batch::cuda) fn record(&self, stream: &Stream) -> Result<(), Status> {
        self.context.bind()?;
        // SAFETY: both are alive, and of the one context that there is.
        Status::check(unsafe { (self.context.functions.cuEventRecord)(self.handle.get(), stream.handle()) })
    }

    /// Waits until it has happened.
    pub(in crate::batch::cuda) fn synchronize(&self) -> Result<(), Status> {
        self.context.bind()?;
        // SAFETY: it is alive.
        Status::check(unsafe { (self.context.functions.cuEventSynchronize)(self.handle.get()) })
    }

    /// Milliseconds from this event to a later one, both with their times noted.
    pub(in crate::batch::cuda) fn milliseconds_to(&self, end: &Self) -> Result<f32, Status> {
        self.context.bind()?;
        let elapsed = self.context.functions.elapsed.ok_or(Status::of(CUresult::CUDA_ERROR_NOT_FOUND))?;
        let mut milliseconds = 0.0;
        // SAFETY: both are alive, and one number is written.
        Status::check(unsafe { elapsed(&raw mut milliseconds, self.handle.get(), end.handle.get()) })?;
        Ok(milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: it is alive, and nobody uses it after this. A driver that refuses has given it up.
        let _ = unsafe { (self.context.functions.cuEventDestroy_v2)(self.handle.get()) };
    }
}
