//! How long kernels run, by the device's own clock: an event in the stream before them, and one behind.

use std::time::Duration;

use cudarc::driver::CudaEvent;
use cudarc::driver::sys::{self, CUevent, CUevent_flags, CUresult};

use super::device::Device;
use super::fault::{Doing, Fault};

const DOING: &str = "timing kernels";
/// The first is in all drivers that are known, but `cudarc` knows only its successor, which came with CUDA 12.8. Looked for
/// when somebody measures: nobody else needs them.
const ELAPSED: [&str; 2] = ["cuEventElapsedTime", "cuEventElapsedTime_v2"];

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
    // SAFETY: the driver's functions of these names are of this type.
    let elapsed = ELAPSED.iter().find_map(|name| unsafe { library.get::<Elapsed>(name.as_bytes()) }.ok());
    let elapsed = elapsed.ok_or_else(|| Fault::of(DOING, CUresult::CUDA_ERROR_NOT_FOUND))?;
    let mut milliseconds = 0.0;
    // SAFETY: both events are alive, were made with timing and have happened; the room is written before the call ends.
    let status = unsafe { elapsed(&raw mut milliseconds, start.cu_event(), end.cu_event()) };
    status.result().doing(DOING)?;
    Ok(milliseconds)
}
