//! Kernels that were loaded.

use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{CUfunc_st, CUmod_st};

use super::context::Context;
use super::handle::Handle;
use super::status::Status;

/// A loaded image.
#[derive(Debug)]
pub(in crate::batch::cuda) struct Module {
    context: Arc<Context>,
    handle: Handle<CUmod_st>,
}

/// A kernel of a loaded image.
#[derive(Debug)]
pub(in crate::batch::cuda) struct Function {
    /// Keeps the kernel loaded.
    _module: Arc<Module>,
    handle: Handle<CUfunc_st>,
}

impl Module {
    /// Loads PTX. It is compiled for the device, which may take some seconds.
    pub(in crate::batch::cuda) fn load(context: &Arc<Context>, ptx: &CStr) -> Result<Arc<Self>, Status> {
        context.bind()?;
        let mut written = ptr::null_mut();
        // SAFETY: the text ends with a NUL, as the driver wants it, and one handle is written.
        Status::check(unsafe { (context.functions.cuModuleLoadData)(&raw mut written, ptx.as_ptr().cast()) })?;
        Ok(Arc::new(Self { context: Arc::clone(context), handle: Handle::of(written)? }))
    }

    /// The kernel of a name.
    pub(in crate::batch::cuda) fn function(self: &Arc<Self>, name: &CStr) -> Result<Function, Status> {
        self.context.bind()?;
        let find = self.context.functions.cuModuleGetFunction;
        let mut written = ptr::null_mut();
        // SAFETY: the module is loaded, the name ends with a NUL, and one handle is written.
        Status::check(unsafe { find(&raw mut written, self.handle.get(), name.as_ptr()) })?;
        Ok(Function { _module: Arc::clone(self), handle: Handle::of(written)? })
    }
}

impl Function {
    pub(super) const fn handle(&self) -> *mut CUfunc_st {
        self.handle.get()
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: it is loaded, and none of its functions is left. A driver that refuses has given it up.
        let _ = unsafe { (self.context.functions.cuModuleUnload)(self.handle.get()) };
    }
}
