//! The driver, its devices and their primary contexts.

use core::ffi::{c_char, c_int, c_uint};
use core::mem::MaybeUninit;
use std::cell::Cell;

use crate::driver::{Driver, Handle, begin, with};
use crate::faults::Fault;
use crate::report;
use crate::status::{self, Status, put};

/// CUDA 12.0.
const VERSION: c_int = 12_000;
const NAME: &str = "stub (PTX interpreter)";
/// The handle of the first device's primary context; the others' follow.
const PRIMARY: Handle = 0x1000;

const MULTIPROCESSOR_COUNT: c_uint = 16;
const MEMORY_POOLS_SUPPORTED: c_uint = 115;

thread_local! {
    static CURRENT: Cell<Handle> = const { Cell::new(0) };
}

/// Answers before the driver has begun.
#[unsafe(no_mangle)]
extern "C" fn cuDriverGetVersion(version: Option<&mut MaybeUninit<c_int>>) -> Status {
    let of_fault = match Fault::of_environment() {
        Ok(Fault::DriverVersion(version)) => version,
        _ => VERSION,
    };
    put(version, Ok(of_fault))
}

#[unsafe(no_mangle)]
extern "C" fn cuInit(_flags: c_uint) -> Status {
    status::of(begin())
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetCount(count: Option<&mut MaybeUninit<c_int>>) -> Status {
    put(count, with(|driver| c_int::try_from(driver.devices).map_err(|_| status::INVALID_VALUE)))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(device: Option<&mut MaybeUninit<c_int>>, ordinal: c_int) -> Status {
    let is_there = |driver: &Driver| usize::try_from(ordinal).is_ok_and(|ordinal| ordinal < driver.devices);
    put(device, with(|driver| if is_there(driver) { Ok(ordinal) } else { Err(status::INVALID_DEVICE) }))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetAttribute(value: Option<&mut MaybeUninit<c_int>>, which: c_uint, _device: c_int) -> Status {
    let answer = match which {
        MULTIPROCESSOR_COUNT => Ok(2),
        // As devices that are in use have.
        MEMORY_POOLS_SUPPORTED => Ok(1),
        _ => Err(status::INVALID_VALUE),
    };
    put(
        value,
        with(|driver| {
            if driver.fault == Fault::NoMemoryPools && which == MEMORY_POOLS_SUPPORTED {
                Err(status::INVALID_VALUE)
            } else {
                answer
            }
        }),
    )
}

/// # Safety
/// `name` is an address of `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, len: c_int, _device: c_int) -> Status {
    let room = usize::try_from(len).unwrap_or(0);
    if name.is_null() || room <= NAME.len() {
        return status::INVALID_VALUE;
    }
    // SAFETY: the caller gives `len` bytes, more than the name has, and none of them is the name's own.
    unsafe {
        name.copy_from_nonoverlapping(NAME.as_ptr().cast(), NAME.len());
        name.add(NAME.len()).write(0);
    }
    status::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRetain(context: Option<&mut MaybeUninit<Handle>>, device: c_int) -> Status {
    let retained = with(|driver| {
        let ordinal = usize::try_from(device).map_err(|_| status::INVALID_DEVICE)?;
        driver.contexts += 1;
        report::write(driver);
        Ok(PRIMARY + ordinal)
    });
    put(context, retained)
}

/// With the last release goes what failed; what lives then was leaked, and is reported.
#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> Status {
    status::of(with(|driver| {
        driver.contexts = driver.contexts.checked_sub(1).ok_or(status::INVALID_CONTEXT)?;
        if driver.contexts == 0 {
            driver.failed = None;
        }
        report::write(driver);
        Ok(())
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCurrent(context: Option<&mut MaybeUninit<Handle>>) -> Status {
    put(context, with(|_| Ok(CURRENT.get())))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(context: Handle) -> Status {
    status::of(with(|driver| {
        if context != 0 && !(PRIMARY..PRIMARY + driver.devices).contains(&context) {
            return Err(status::INVALID_CONTEXT);
        }
        CURRENT.set(context);
        Ok(())
    }))
}
