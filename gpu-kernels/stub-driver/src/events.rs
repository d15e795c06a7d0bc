//! Events: a place in the stream that somebody may wait for. One that was never recorded has happened.

use core::ffi::c_uint;
use core::mem::MaybeUninit;

use crate::driver::{Handle, with, working};
use crate::status::{self, Status, put};
use crate::stream::Step;

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(event: Option<&mut MaybeUninit<Handle>>, _flags: c_uint) -> Status {
    let made = working(|driver| {
        let handle = driver.new_handle();
        driver.events.insert(handle, 0);
        Ok(handle)
    });
    put(event, made)
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: Handle, _stream: Handle) -> Status {
    status::of(working(|driver| {
        *driver.events.get_mut(&event).ok_or(status::INVALID_HANDLE)? += 1;
        driver.waiting.push_back(Step::Event(event));
        Ok(())
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(event: Handle) -> Status {
    status::of(with(|driver| driver.finish_until(event)))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(event: Handle) -> Status {
    status::of(with(|driver| driver.events.remove(&event).map(drop).ok_or(status::INVALID_HANDLE)))
}
