//! Device memory. An allocation is there at once; a free waits in the stream.

use core::ffi::c_uchar;
use core::mem::MaybeUninit;

use crate::copies::stray;
use crate::driver::{Driver, Handle, with, working};
use crate::faults::Fault;
use crate::status::{self, Status, put};
use crate::stream::Step;

#[unsafe(no_mangle)]
extern "C" fn cuMemGetInfo_v2(free: Option<&mut MaybeUninit<usize>>, total: Option<&mut MaybeUninit<usize>>) -> Status {
    let info = working(|driver| Ok((driver.memory_bytes - driver.memory.live_bytes(), driver.memory_bytes)));
    let words = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    match put(free, info.map(|(free, _)| words(free))) {
        status::SUCCESS => put(total, info.map(|(_, total)| words(total))),
        failed => failed,
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocAsync(address: Option<&mut MaybeUninit<u64>>, bytes: usize, _stream: Handle) -> Status {
    put(address, working(|driver| allocate(driver, bytes)))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(address: Option<&mut MaybeUninit<u64>>, bytes: usize) -> Status {
    put(address, working(|driver| allocate(driver, bytes)))
}

fn allocate(driver: &mut Driver, bytes: usize) -> Result<u64, Status> {
    driver.counters.allocations += 1;
    if matches!(driver.fault, Fault::OutOfMemoryAt(from) if driver.counters.allocations >= from) {
        return Err(status::OUT_OF_MEMORY);
    }
    driver.memory.alloc(bytes as u64).or_else(|_| {
        // Memory that waits to go back may be what is missing.
        driver.finish()?;
        driver.memory.alloc(bytes as u64).map_err(|_| status::OUT_OF_MEMORY)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(address: u64, _stream: Handle) -> Status {
    status::of(with(|driver| {
        driver.waiting.push_back(Step::Free(address));
        driver.failed.map_or(Ok(()), Err)
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: u64) -> Status {
    status::of(with(|driver| {
        let finished = driver.finish();
        driver.memory.free(address).map_err(|_| status::INVALID_VALUE)?;
        finished
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8Async(address: u64, byte: c_uchar, bytes: usize, _stream: Handle) -> Status {
    status::of(working(|driver| {
        // As a write: a run of zeros in a table is short.
        driver.finish()?;
        driver.memory.write(address, &vec![byte; bytes]).map_err(stray)
    }))
}
