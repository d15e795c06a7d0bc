//! Whether there is a driver, asked in a way that neither panics nor aborts.
//!
//! `cudarc` opens the library and its functions at their first use and panics where one is missing. So the library and
//! every function that this backend comes to are looked for before the first call; what is still missed then ends in
//! `catch_unwind`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cudarc::driver::sys;

use super::fault::Doing;
use crate::batch::unavailable::Unavailable;

const VERSION: &str = "cuDriverGetVersion";

/// The driver that knows PTX 6.3, in which the built-in image is: CUDA 10.0, as drivers count.
const VERSION_MIN: i32 = 10_000;

/// The functions of the driver that are called on the way through `cudarc`.
const FUNCTIONS: [&str; 31] = [
    "cuInit",
    VERSION,
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuStreamCreate",
    "cuStreamSynchronize",
    "cuStreamDestroy_v2",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuEventDestroy_v2",
    "cuModuleLoadData",
    "cuModuleGetFunction",
    "cuModuleUnload",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemsetD8Async",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuLaunchKernel",
    // Memory in the order of a stream where the device can do that, at once where it cannot.
    "cuMemAllocAsync",
    "cuMemFreeAsync",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
];

/// Looks for the driver's library and its functions.
pub(super) fn find_driver() -> Result<(), Unavailable> {
    // SAFETY: opening the driver's library runs its initialisers, which is what a program that wants a GPU asks for.
    if !unsafe { sys::is_culib_present() } {
        return Err(Unavailable::NoDriver);
    }
    // SAFETY: as above; the library was found.
    let library = unsafe { sys::culib() };
    // SAFETY: the address is looked up and not used: its type does not matter.
    let has = |name: &str| unsafe { library.get::<*const ()>(name.as_bytes()) }.is_ok();
    // First: an old driver is said to be old, not to lack what came later.
    if has(VERSION) {
        check_version()?;
    }
    FUNCTIONS
        .into_iter()
        .find(|name| !has(name))
        .map_or(Ok(()), |name| Err(Unavailable::DriverIncomplete { why: format!("it has no function {name}") }))
}

/// Whether the driver is of a time that knows the image's kind of PTX.
fn check_version() -> Result<(), Unavailable> {
    let mut version = 0;
    // SAFETY: the function is there, needs no beginning, and writes one number.
    let status = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    status.result().doing("asking for the driver's version")?;
    if version >= VERSION_MIN {
        return Ok(());
    }
    let text_of = |version: i32| format!("{}.{}", version / 1000, version % 1000 / 10);
    Err(Unavailable::DriverTooOld { found: text_of(version), needed: text_of(VERSION_MIN) })
}

/// Runs what first touches the driver; a panic on the way is a reason like any other.
pub(super) fn without_panic<T>(run: impl FnOnce() -> Result<T, Unavailable>) -> Result<T, Unavailable> {
    // What unwinds is dropped as a whole: nobody sees it half changed.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let why = message_of(&*panic);
        Err(Unavailable::DriverIncomplete { why })
    })
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    /// A newer kind of PTX needs a newer driver: then [`VERSION_MIN`](super::VERSION_MIN) is another one.
    #[test]
    fn the_least_version_is_that_of_the_image() {
        assert!(orchestrator_kernels::IMAGE.lines().any(|line| line == ".version 6.3"));
    }
}
