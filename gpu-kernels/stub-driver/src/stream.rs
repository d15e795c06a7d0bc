//! Streams: what was asked for is done in order, and no earlier than somebody waits for it. All streams are one.

use core::ffi::c_uint;
use core::mem::MaybeUninit;

use crate::driver::{Driver, Handle, with, working};
use crate::launches::Launch;
use crate::status::{self, Status, put};
use crate::{copies, launches};

/// Something that waits in the stream.
pub(crate) enum Step {
    /// A copy to the device, from pinned memory that is read when it is done.
    Upload {
        to: u64,
        from: usize,
        bytes: usize,
    },
    /// A copy to the device of bytes that were there when it was asked for.
    Write {
        to: u64,
        bytes: Vec<u8>,
    },
    /// A copy to pinned memory.
    Download {
        from: u64,
        to: usize,
        bytes: usize,
    },
    /// Memory that goes back.
    Free(u64),
    Launch(Launch),
    /// An event happens.
    Event(Handle),
}

impl Driver {
    /// Does everything that waits.
    pub(crate) fn finish(&mut self) -> Result<(), Status> {
        while let Some(step) = self.waiting.pop_front() {
            self.take(step);
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Does what was asked for before an event.
    pub(crate) fn finish_until(&mut self, event: Handle) -> Result<(), Status> {
        while self.events.get(&event).ok_or(status::INVALID_HANDLE)?.waiting > 0 {
            let step = self.waiting.pop_front().ok_or(status::INVALID_HANDLE)?;
            self.take(step);
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// A context that has failed does nothing but give back.
    fn take(&mut self, step: Step) {
        let done = match step {
            Step::Free(address) => self.memory.free(address).map_err(|_| status::INVALID_VALUE),
            Step::Event(event) => {
                if let Some(event) = self.events.get_mut(&event) {
                    event.happen();
                }
                Ok(())
            }
            _ if self.failed.is_some() => Ok(()),
            Step::Upload { to, from, bytes } => copies::upload(self, to, from, bytes),
            Step::Write { to, bytes } => self.memory.write(to, &bytes).map_err(copies::stray),
            Step::Download { from, to, bytes } => copies::download(self, from, to, bytes),
            Step::Launch(launch) => launches::run(self, &launch),
        };
        if let (Err(status), None) = (done, self.failed) {
            self.failed = Some(status);
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(stream: Option<&mut MaybeUninit<Handle>>, _flags: c_uint) -> Status {
    let made = working(|driver| {
        let handle = driver.new_handle();
        driver.streams.insert(handle);
        Ok(handle)
    });
    put(stream, made)
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(stream: Handle) -> Status {
    status::of(with(|driver| {
        if stream != 0 && !driver.streams.contains(&stream) {
            return Err(status::INVALID_HANDLE);
        }
        driver.finish()
    }))
}

/// What waits in it is done nevertheless.
#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(stream: Handle) -> Status {
    status::of(with(|driver| {
        if !driver.streams.remove(&stream) {
            return Err(status::INVALID_HANDLE);
        }
        driver.finish()
    }))
}
