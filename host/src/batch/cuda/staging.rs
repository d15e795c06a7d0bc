//! The way between host and device: through two pinned pieces of memory, filled while the other one travels.
//!
//! Memory of the system's own would be copied by the driver to such a piece anyway, one after the other.
//!
//! Invariant: a piece is written or freed only when no copy from or to it is under way.

use std::time::{Duration, Instant};

use super::device::Device;
use super::driver::{DeviceMemory, Event, PinnedMemory, Timing};
use super::fault::{Doing, Fault};
use super::timer::Timer;

/// Bytes of a piece: large enough that a copy's start does not show.
const PIECE_BYTES: usize = 4 << 20;

/// What the device did, and what went between it and the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Time in which kernels scanned and joined, by the device's clock.
    pub kernels: Duration,
    /// Time that went into copies to the device.
    pub upload: Duration,
    /// Time that went into copies from the device.
    pub download: Duration,
    /// Bytes to the device.
    pub upload_bytes: u64,
    /// Bytes from the device.
    pub download_bytes: u64,
}

/// One piece of pinned memory.
#[derive(Debug)]
struct Piece {
    memory: PinnedMemory,
    /// After the last copy from it. Copies to it are waited for at once.
    travelled: Event,
}

/// Two pieces, used by turns.
#[derive(Debug)]
pub(super) struct Staging {
    pieces: [Piece; 2],
    turn: usize,
    /// Kept while somebody measures: then every copy is waited for.
    times: Option<Times>,
}

impl Piece {
    fn new(device: &Device) -> Result<Self, Fault> {
        let (context, doing) = (device.context(), "making pinned memory");
        let memory = PinnedMemory::zeroed(context, PIECE_BYTES).doing(doing)?;
        Ok(Self { memory, travelled: Event::new(context, Timing::Left).doing(doing)? })
    }

    /// The memory, once no copy from it is under way.
    fn bytes(&mut self, doing: &'static str) -> Result<&mut [u8], Fault> {
        self.travelled.synchronize().doing(doing)?;
        // SAFETY: the last copy from it has happened, and every copy to it was waited for.
        Ok(unsafe { self.memory.bytes() })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // A driver that refuses has given up what was under way.
        let _ = self.travelled.synchronize();
    }
}

impl Staging {
    pub(super) fn new(device: &Device) -> Result<Self, Fault> {
        Ok(Self { pieces: [Piece::new(device)?, Piece::new(device)?], turn: 0, times: None })
    }

    /// Begins to measure, or ends it; returns what was measured so far.
    pub(super) fn measure(&mut self, measured: bool) -> Times {
        std::mem::replace(&mut self.times, measured.then(Times::default)).unwrap_or_default()
    }

    /// While somebody measures: a timer that begins now.
    pub(super) fn timer(&self, device: &Device) -> Result<Option<Timer>, Fault> {
        self.times.map(|_| Timer::start(device)).transpose()
    }

    /// Waits for the kernels that were launched since a timer began.
    pub(super) fn add_kernels(&mut self, device: &Device, timer: Option<Timer>) -> Result<(), Fault> {
        if let (Some(timer), Some(times)) = (timer, &mut self.times) {
            times.kernels = times.kernels.saturating_add(timer.stop(device)?);
        }
        Ok(())
    }

    /// Copies bytes to the device, from its byte `at` on. They have left `bytes` on return.
    pub(super) fn upload(&mut self, device: &Device, bytes: &[u8], to: &DeviceMemory, at: usize) -> Result<(), Fault> {
        let doing = "copying to the device";
        let start = self.start_of_copy(device, doing)?;
        let mut at = at;
        for part in bytes.chunks(PIECE_BYTES) {
            self.turn ^= 1;
            let piece = &mut self.pieces[self.turn];
            piece.bytes(doing)?[..part.len()].copy_from_slice(part);
            // SAFETY: nobody touches the piece before the event behind the copy has happened; device memory is used on this
            // one stream.
            unsafe { device.stream.upload(&piece.memory, to, at, part.len()) }.doing(doing)?;
            piece.travelled.record(&device.stream).doing(doing)?;
            at += part.len();
        }
        if let (Some(start), Some(times)) = (start, &mut self.times) {
            device.finish(doing)?;
            times.upload += start.elapsed();
            times.upload_bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// Copies the first bytes from the device, after all that it was asked for before.
    pub(super) fn download(&mut self, device: &Device, from: &DeviceMemory, bytes: &mut [u8]) -> Result<(), Fault> {
        let doing = "copying from the device";
        let start = self.start_of_copy(device, doing)?;
        let mut at = 0;
        for part in bytes.chunks_mut(PIECE_BYTES) {
            self.turn ^= 1;
            let piece = &mut self.pieces[self.turn];
            piece.travelled.synchronize().doing(doing)?;
            // SAFETY: no copy from the piece is under way, and this one is waited for right below; device memory is used on
            // this one stream.
            unsafe { device.stream.download(from, at, &mut piece.memory, part.len()) }.doing(doing)?;
            piece.travelled.record(&device.stream).doing(doing)?;
            part.copy_from_slice(&piece.bytes(doing)?[..part.len()]);
            at += part.len();
        }
        if let (Some(start), Some(times)) = (start, &mut self.times) {
            times.download += start.elapsed();
            times.download_bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// While somebody measures: when a copy begins that waits for no kernel.
    fn start_of_copy(&self, device: &Device, doing: &'static str) -> Result<Option<Instant>, Fault> {
        if self.times.is_none() {
            return Ok(None);
        }
        device.finish(doing)?;
        Ok(Some(Instant::now()))
    }
}
