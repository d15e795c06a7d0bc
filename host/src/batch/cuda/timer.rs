//! How long kernels run, by the device's own clock: an event in the stream before them, and one behind.

use std::time::Duration;

use cudarc::driver::CudaEvent;
use cudarc::driver::sys::{self, CUevent, CUevent_flags, CUresult};

use super::device::Device;
use super::fault::{Doing, Fault};

const DOING: &str = "timing kernels";
/// In all drivers; `cudarc` knows only its successor, which came with CUDA 12.8.
pub(super) const ELAPSED: &str = "cuEventElapsedTime";

type Elapsed = unsafe extern "C" fn(*mut f32, CUevent, CUevent) -> CUresult;

/// Begins where it is made.
#[derive(Debug)]
pub(super) struct Timer {
    start: CudaEvent,
}

impl Timer {
    pub(super) fn start(device: &Device) -> Result<Self, Fault> {
        Ok(Self { start: record(device)? })
    }

    /// Waits for all that was launched since.
    pub(super) fn stop(self, device: &Device) -> Result<Duration, Fault> {
        let end = record(device)?;
        end.synchronize().doing(DOING)?;
        let milliseconds = milliseconds_between(&self.start, &end)?;
        // A clock that runs backwards, or none at all, has measured nothing.
        Ok(Duration::try_from_secs_f32(milliseconds / 1e3).unwrap_or_default())
    }
}

fn record(device: &Device) -> Result<CudaEvent, Fault> {
    device.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).doing(DOING)
}

fn milliseconds_between(start: &CudaEvent, end: &CudaEvent) -> Result<f32, Fault> {
    // SAFETY: the library was found when the device was opened.
    let library = unsafe { sys::culib() };
    // SAFETY: the driver's function of this name is of this type.
    let elapsed = unsafe { library.get::<Elapsed>(ELAPSED.as_bytes()) };
    let elapsed = elapsed.map_err(|_| Fault::of(DOING, CUresult::CUDA_ERROR_NOT_FOUND))?;
    let mut milliseconds = 0.0;
    // SAFETY: both events are alive, were made with timing and have happened; the room is written before the call ends.
    let status = unsafe { elapsed(&raw mut milliseconds, start.cu_event(), end.cu_event()) };
    status.result().doing(DOING)?;
    Ok(milliseconds)
}
