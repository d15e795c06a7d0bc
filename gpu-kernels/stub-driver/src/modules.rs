//! Images and their kernels.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use std::sync::Arc;

use orchestrator_ptx_interpreter::Module;

use crate::driver::{Handle, with, working};
use crate::faults::Fault;
use crate::status::{self, Status, put};

/// # Safety
/// `image` is a text that ends with a NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadData(module: Option<&mut MaybeUninit<Handle>>, image: *const c_char) -> Status {
    let loaded = working(|driver| {
        // SAFETY: the caller's promise.
        let text = unsafe { CStr::from_ptr(image) }.to_string_lossy();
        if driver.fault == Fault::BadPtx {
            return Err(status::INVALID_PTX);
        }
        let parsed = Module::parse(&text).map_err(|error| {
            eprintln!("stub driver: {error}");
            status::INVALID_PTX
        })?;
        let handle = driver.new_handle();
        driver.modules.insert(handle, Arc::new(parsed));
        Ok(handle)
    });
    put(module, loaded)
}

/// # Safety
/// `name` is a text that ends with a NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(
    function: Option<&mut MaybeUninit<Handle>>,
    module: Handle,
    name: *const c_char,
) -> Status {
    let found = working(|driver| {
        // SAFETY: the caller's promise.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        let image = driver.modules.get(&module).ok_or(status::INVALID_HANDLE)?;
        if driver.fault == Fault::MissingFunction(name.clone()) || image.entry(&name).is_none() {
            return Err(status::NOT_FOUND);
        }
        let handle = driver.new_handle();
        driver.functions.insert(handle, (module, name));
        Ok(handle)
    });
    put(function, found)
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(module: Handle) -> Status {
    status::of(with(|driver| {
        driver.functions.retain(|_, (of, _)| *of != module);
        driver.modules.remove(&module).map(drop).ok_or(status::INVALID_HANDLE)
    }))
}
