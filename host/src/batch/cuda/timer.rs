//! How long kernels run, by the device's own clock: an event in the stream before them, and one behind.

use std::time::Duration;

use super::device::Device;
use super::driver::{Event, Timing};
use super::fault::{Doing, Fault};

const DOING: &str = "timing kernels";

/// Begins where it is made.
#[derive(Debug)]
pub(super) struct Timer {
    start: Event,
}

impl Timer {
    pub(super) fn start(device: &Device) -> Result<Self, Fault> {
        Ok(Self { start: record(device)? })
    }

    /// Waits for all that was launched since.
    pub(super) fn stop(self, device: &Device) -> Result<Duration, Fault> {
        let end = record(device)?;
        end.synchronize().doing(DOING)?;
        let milliseconds = self.start.milliseconds_to(&end).doing(DOING)?;
        // A clock that runs backwards, or none at all, has measured nothing.
        Ok(Duration::try_from_secs_f32(milliseconds / 1e3).unwrap_or_default())
    }
}

fn record(device: &Device) -> Result<Event, Fault> {
    let event = Event::new(device.context(), Timing::Noted).doing(DOING)?;
    event.record(&device.stream).doing(DOING)?;
    Ok(event)
}
