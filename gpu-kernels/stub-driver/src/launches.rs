//! Launches: arguments are taken when they are asked for, kernels run when somebody waits.

use core::ffi::{c_uint, c_void};
use core::slice;
use std::sync::Arc;

use orchestrator_ptx_interpreter::{self as interpreter, Module, launch_within};

use crate::driver::{Driver, Handle, working};
use crate::faults::Fault;
use crate::status::{self, Status};
use crate::stream::Step;

/// Instructions that a thread may execute: no kernel comes near it, and an endless one ends.
const BUDGET: u64 = 1 << 32;

/// A kernel with all that it needs.
pub(crate) struct Launch {
    module: Arc<Module>,
    kernel: String,
    shape: interpreter::Launch,
    arguments: Vec<u8>,
}

/// # Safety
/// `arguments` are as many addresses as the kernel has arguments, each of as many bytes as the argument.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared_bytes: c_uint,
    _stream: Handle,
    arguments: *const *const c_void,
    _extra: *const *const c_void,
) -> Status {
    status::of(working(|driver| {
        driver.counters.launches += 1;
        if matches!(driver.fault, Fault::DeviceLostAt(from) if driver.counters.launches >= from) {
            driver.failed = Some(status::UNKNOWN);
            return Err(status::UNKNOWN);
        }
        let (module, kernel) = driver.functions.get(&function).ok_or(status::INVALID_HANDLE)?;
        let module = Arc::clone(driver.modules.get(module).ok_or(status::INVALID_HANDLE)?);
        let kernel = kernel.clone();
        *driver.launches_of.entry(kernel.clone()).or_default() += 1;
        // SAFETY: the caller's promise.
        let arguments = unsafe { arguments_of(&module, &kernel, arguments) }?;
        let shape = interpreter::Launch {
            grid: [grid_x, grid_y, grid_z],
            block: [block_x, block_y, block_z],
            dynamic_shared_bytes: shared_bytes,
            order_seed: driver.seed.wrapping_add(driver.counters.launches),
        };
        driver.waiting.push_back(Step::Launch(Launch { module, kernel, shape, arguments }));
        Ok(())
    }))
}

/// The arguments as the kernel lays them out.
///
/// # Safety
/// As [`cuLaunchKernel`].
unsafe fn arguments_of(module: &Module, kernel: &str, arguments: *const *const c_void) -> Result<Vec<u8>, Status> {
    let entry = module.entry(kernel).ok_or(status::NOT_FOUND)?;
    let mut bytes = vec![0; entry.param_bytes()];
    for (index, param) in entry.params().iter().enumerate() {
        // SAFETY: there are as many addresses as arguments.
        let address = unsafe { arguments.add(index).read() };
        // SAFETY: there are as many bytes as the argument has.
        let argument = unsafe { slice::from_raw_parts(address.cast::<u8>(), param.bytes) };
        bytes[param.offset..][..param.bytes].copy_from_slice(argument);
    }
    Ok(bytes)
}

/// Runs a kernel.
pub(crate) fn run(driver: &mut Driver, launch: &Launch) -> Result<(), Status> {
    let Launch { module, kernel, shape, arguments } = launch;
    let number = shape.order_seed.wrapping_sub(driver.seed);
    match driver.fault {
        Fault::LaunchFailureAt(at) if at == number => return Err(status::LAUNCH_FAILED),
        Fault::StatusAt(at, status) if at == number => return Err(status),
        _ => {}
    }
    launch_within(module, kernel, shape, arguments, &mut driver.memory, BUDGET).map(drop).map_err(|fault| {
        eprintln!("stub driver: {fault}");
        status::LAUNCH_FAILED
    })
}
