//! Events: a place in the stream that somebody may wait for. One that was never recorded has happened.

use core::ffi::c_uint;
use core::mem::MaybeUninit;
use std::time::Instant;

use crate::driver::{Handle, with, working};
use crate::faults::Fault;
use crate::status::{self, Status, put};
use crate::stream::Step;

const DISABLE_TIMING: c_uint = 2;

/// An event.
#[derive(Debug, Default)]
pub(crate) struct Event {
    /// How many of its records wait in the stream.
    pub(crate) waiting: u64,
    is_timed: bool,
    happened: Option<Instant>,
}

impl Event {
    /// It happens, once for each record.
    pub(crate) fn happen(&mut self) {
        self.waiting -= 1;
        self.happened = Some(Instant::now());
    }

    /// When it last happened, if it keeps the time and nothing of it waits.
    fn time(&self) -> Result<Instant, Status> {
        if self.waiting > 0 {
            return Err(status::NOT_READY);
        }
        self.happened.filter(|_| self.is_timed).ok_or(status::INVALID_HANDLE)
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(event: Option<&mut MaybeUninit<Handle>>, flags: c_uint) -> Status {
    let made = working(|driver| {
        let handle = driver.new_handle();
        driver.events.insert(handle, Event { is_timed: flags & DISABLE_TIMING == 0, ..Event::default() });
        Ok(handle)
    });
    put(event, made)
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: Handle, _stream: Handle) -> Status {
    status::of(working(|driver| {
        driver.counters.records += 1;
        if driver.fault == Fault::EventFailureAt(driver.counters.records) {
            return Err(status::UNKNOWN);
        }
        driver.events.get_mut(&event).ok_or(status::INVALID_HANDLE)?.waiting += 1;
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

/// By the clock of the machine: how long the interpreter took.
#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime(milliseconds: Option<&mut MaybeUninit<f32>>, start: Handle, end: Handle) -> Status {
    let elapsed = working(|driver| {
        driver.counters.timings += 1;
        let time = |event: Handle| driver.events.get(&event).ok_or(status::INVALID_HANDLE)?.time();
        Ok(time(end)?.saturating_duration_since(time(start)?).as_secs_f32() * 1e3)
    });
    put(milliseconds, elapsed)
}
