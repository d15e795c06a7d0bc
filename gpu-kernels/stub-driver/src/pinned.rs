//! Pinned memory of the host.

use core::ffi::c_uint;
use core::mem::MaybeUninit;
use std::alloc::{Layout, alloc_zeroed, dealloc};

use crate::driver::{Driver, with, working};
use crate::status::{self, Status, put};
use crate::stream::Step;

/// Where pinned memory begins: as pages do.
const ALIGN: usize = 4096;

fn layout(bytes: usize) -> Result<Layout, Status> {
    if bytes == 0 {
        return Err(status::INVALID_VALUE);
    }
    Layout::from_size_align(bytes, ALIGN).map_err(|_| status::OUT_OF_MEMORY)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(address: Option<&mut MaybeUninit<*mut u8>>, bytes: usize, _flags: c_uint) -> Status {
    let made = working(|driver| {
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout(bytes)?) };
        if start.is_null() {
            return Err(status::OUT_OF_MEMORY);
        }
        driver.pinned.insert(start.expose_provenance(), bytes);
        Ok(start)
    });
    put(address, made)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(address: *mut u8) -> Status {
    status::of(with(|driver| {
        let bytes = driver.pinned.remove(&address.addr()).ok_or(status::INVALID_VALUE)?;
        if driver.waiting.iter().any(|step| is_copy_at(step, address.addr(), bytes)) {
            driver.counters.hazards += 1;
            eprintln!("stub driver: pinned memory is freed with a copy under way");
        }
        // No copy reads freed memory, hazard or not.
        driver.waiting.retain(|step| !is_copy_at(step, address.addr(), bytes));
        // SAFETY: the address is of an allocation of this layout, which was taken off the list just now.
        unsafe { dealloc(address, layout(bytes)?) };
        Ok(())
    }))
}

fn is_copy_at(step: &Step, start: usize, bytes: usize) -> bool {
    matches!(step, Step::Upload { from: at, .. } | Step::Download { to: at, .. } if (start..start + bytes).contains(at))
}

/// Whether all of these bytes are pinned.
pub(crate) fn is_pinned(driver: &Driver, address: usize, bytes: usize) -> bool {
    let before = driver.pinned.range(..=address).next_back();
    before.is_some_and(|(&start, &len)| address - start + bytes <= len)
}
