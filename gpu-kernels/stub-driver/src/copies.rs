//! Copies between host and device. Only pinned memory is read or written later than the call: with other memory a driver
//! has taken what it needs on return.

use core::ffi::c_void;
use core::ptr::with_exposed_provenance;
use core::ptr::with_exposed_provenance_mut;
use core::slice;

use orchestrator_ptx_interpreter::MemoryError;

use crate::driver::{Driver, Handle, working};
use crate::faults::Fault;
use crate::pinned::is_pinned;
use crate::status::{self, Status};
use crate::stream::Step;

/// Where a wrong result is wrong: in the rank of a first key, or in a contract.
const WRONG_BYTE: usize = 24;

/// An address of the device that is not the caller's.
pub(crate) fn stray(error: MemoryError) -> Status {
    eprintln!("stub driver: {error}");
    status::INVALID_VALUE
}

/// # Safety
/// `from` is an address of `bytes` bytes, and stays so until the copy was waited for if they are pinned.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, _stream: Handle) -> Status {
    status::of(working(|driver| {
        let address = from.expose_provenance();
        driver.waiting.push_back(if is_pinned(driver, address, bytes) {
            Step::Upload { to, from: address, bytes }
        } else {
            // SAFETY: the caller's promise.
            let bytes = unsafe { slice::from_raw_parts(from.cast::<u8>(), bytes) }.to_vec();
            Step::Write { to, bytes }
        });
        Ok(())
    }))
}

/// # Safety
/// `to` is an address of `bytes` bytes, and stays so until the copy was waited for if they are pinned.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, _stream: Handle) -> Status {
    status::of(working(|driver| {
        let address = to.expose_provenance();
        let is_lazy = is_pinned(driver, address, bytes);
        driver.waiting.push_back(Step::Download { from, to: address, bytes });
        if is_lazy { Ok(()) } else { driver.finish() }
    }))
}

/// Does a copy from pinned memory.
pub(crate) fn upload(driver: &mut Driver, to: u64, from: usize, bytes: usize) -> Result<(), Status> {
    // SAFETY: the bytes were the caller's when the copy was asked for, and freed pinned memory takes its copies along.
    let bytes = unsafe { slice::from_raw_parts(with_exposed_provenance::<u8>(from), bytes) };
    driver.memory.write(to, bytes).map_err(stray)
}

/// Does a copy to the host.
pub(crate) fn download(driver: &mut Driver, from: u64, to: usize, bytes: usize) -> Result<(), Status> {
    driver.counters.downloads += 1;
    let mut read = vec![0; bytes];
    driver.memory.read(from, &mut read).map_err(stray)?;
    if driver.fault == Fault::WrongResultAt(driver.counters.downloads)
        && let Some(byte) = read.get_mut(WRONG_BYTE)
    {
        *byte ^= 1;
    }
    // SAFETY: as above; the caller reads them only after it has waited.
    unsafe { with_exposed_provenance_mut::<u8>(to).copy_from_nonoverlapping(read.as_ptr(), bytes) };
    Ok(())
}
