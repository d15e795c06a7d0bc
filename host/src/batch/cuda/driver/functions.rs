//! The functions of the driver that this program calls, found before the first call.

use std::ffi::{c_char, c_int, c_uint, c_void};

use cudarc::driver::sys::{self, CUcontext, CUdevice, CUdeviceptr, CUevent, CUfunction, CUmodule, CUstream};

use super::status::Status;
use crate::batch::cuda::fault::Doing;
use crate::batch::unavailable::Unavailable;

/// The driver that knows PTX 6.3, in which the built-in image is: CUDA 10.0, as drivers count.
const VERSION_MIN: c_int = 10_000;

macro_rules! functions {
    ($($name:ident($($parameter:ty),*);)*) => {
        /// The driver's functions by its own names. They return a status.
        #[derive(Debug, Clone, Copy)]
        #[allow(non_snake_case, reason = "the driver's names")]
        pub(in crate::batch::cuda) struct Functions {
            $(pub(super) $name: unsafe extern "C" fn($($parameter),*) -> c_uint,)*
            pub(super) release_context: ReleaseContext,
            /// Since CUDA 11.2.
            pub(super) memory_pools: Option<MemoryPools>,
            /// Nobody but a stopwatch needs it.
            pub(super) elapsed: Option<Elapsed>,
        }

        impl Functions {
            /// Looks for every function in the library that was found.
            fn load() -> Result<Self, Unavailable> {
                Ok(Self {
                    // SAFETY: the driver's functions of these names have these parameters and return a `CUresult`, which
                    // is a number of 32 bits.
                    $($name: unsafe { find(stringify!($name)) }.ok_or_else(|| lacks(stringify!($name)))?,)*
                    release_context: {
                        // SAFETY: as above.
                        let found = RELEASE_CONTEXT.iter().find_map(|name| unsafe { find(name) });
                        found.ok_or_else(|| lacks(RELEASE_CONTEXT[0]))?
                    },
                    memory_pools: MemoryPools::find(),
                    // SAFETY: as above.
                    elapsed: ELAPSED.iter().find_map(|name| unsafe { find(name) }),
                })
            }
        }
    };
}

functions! {
    cuInit(c_uint);
    cuDeviceGetCount(*mut c_int);
    cuDeviceGet(*mut CUdevice, c_int);
    cuDeviceGetAttribute(*mut c_int, c_uint, CUdevice);
    cuDeviceGetName(*mut c_char, c_int, CUdevice);
    cuDevicePrimaryCtxRetain(*mut CUcontext, CUdevice);
    cuCtxGetCurrent(*mut CUcontext);
    cuCtxSetCurrent(CUcontext);
    cuStreamCreate(*mut CUstream, c_uint);
    cuStreamSynchronize(CUstream);
    cuStreamDestroy_v2(CUstream);
    cuEventCreate(*mut CUevent, c_uint);
    cuEventRecord(CUevent, CUstream);
    cuEventSynchronize(CUevent);
    cuEventDestroy_v2(CUevent);
    cuModuleLoadData(*mut CUmodule, *const c_void);
    cuModuleGetFunction(*mut CUfunction, CUmodule, *const c_char);
    cuModuleUnload(CUmodule);
    cuMemGetInfo_v2(*mut usize, *mut usize);
    cuMemHostAlloc(*mut *mut c_void, usize, c_uint);
    cuMemFreeHost(*mut c_void);
    cuMemsetD8Async(CUdeviceptr, u8, usize, CUstream);
    cuMemcpyHtoDAsync_v2(CUdeviceptr, *const c_void, usize, CUstream);
    cuMemcpyDtoHAsync_v2(*mut c_void, CUdeviceptr, usize, CUstream);
    cuLaunchKernel(
        CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void, *mut *mut c_void
    );
    cuMemAlloc_v2(*mut CUdeviceptr, usize);
    cuMemFree_v2(CUdeviceptr);
}

pub(super) type ReleaseContext = unsafe extern "C" fn(CUdevice) -> c_uint;

/// The first came with CUDA 11.0.
const RELEASE_CONTEXT: [&str; 2] = ["cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRelease"];

/// Memory in the order of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryPools {
    pub(super) allocate: unsafe extern "C" fn(*mut CUdeviceptr, usize, CUstream) -> c_uint,
    pub(super) free: unsafe extern "C" fn(CUdeviceptr, CUstream) -> c_uint,
}

impl MemoryPools {
    fn find() -> Option<Self> {
        // SAFETY: the driver's functions of these names are of these types.
        unsafe { Some(Self { allocate: find("cuMemAllocAsync")?, free: find("cuMemFreeAsync")? }) }
    }
}

/// Milliseconds between two events.
pub(super) type Elapsed = unsafe extern "C" fn(*mut f32, CUevent, CUevent) -> c_uint;

/// The successor came with CUDA 12.8.
const ELAPSED: [&str; 2] = ["cuEventElapsedTime", "cuEventElapsedTime_v2"];

type GetVersion = unsafe extern "C" fn(*mut c_int) -> c_uint;

impl Functions {
    /// Looks for the driver's library and its functions.
    pub(in crate::batch::cuda) fn find() -> Result<Self, Unavailable> {
        // SAFETY: opening the driver's library runs its initialisers, which is what a program that wants a GPU asks for.
        if !unsafe { sys::is_culib_present() } {
            return Err(Unavailable::NoDriver);
        }
        // First: an old driver is said to be old, not to lack what came later.
        // SAFETY: the driver's function of this name is of this type.
        if let Some(get_version) = unsafe { find::<GetVersion>("cuDriverGetVersion") } {
            check_version(get_version)?;
        }
        Self::load()
    }
}

/// Whether the driver is of a time that knows the image's kind of PTX.
fn check_version(get_version: GetVersion) -> Result<(), Unavailable> {
    let mut version = 0;
    // SAFETY: the function needs no beginning, and writes one number.
    let returned = unsafe { get_version(&raw mut version) };
    Status::check(returned).doing("asking for the driver's version")?;
    if version >= VERSION_MIN {
        return Ok(());
    }
    let text_of = |version: c_int| format!("{}.{}", version / 1000, version % 1000 / 10);
    Err(Unavailable::DriverTooOld { found: text_of(version), needed: text_of(VERSION_MIN) })
}

fn lacks(name: &str) -> Unavailable {
    Unavailable::DriverIncomplete { why: format!("it has no function {name}") }
}

/// A function of the library, which stays open as long as the process.
///
/// # Safety
/// `F` is the type of a function pointer, and the function of this name is of that type.
unsafe fn find<F: Copy>(name: &str) -> Option<F> {
    // SAFETY: the library was found, and opening it once more runs nothing new.
    let library = unsafe { sys::culib() };
    // SAFETY: the caller's promise.
    unsafe { library.get::<F>(name.as_bytes()) }.ok().map(|symbol| *symbol)
}

#[cfg(test)]
mod tests {
    /// A newer kind of PTX needs a newer driver: then [`VERSION_MIN`](super::VERSION_MIN) is another one.
    #[test]
    fn the_least_version_is_that_of_the_image() {
        assert!(orchestrator_kernels::IMAGE.lines().any(|line| line == ".version 6.3"));
    }
}
