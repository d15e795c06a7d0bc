//! A recording in a file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use orchestrator_core::codec::{OutOfRoom, Sink};

/// More bytes are not held back.
const KEPT_BYTES: usize = 1 << 16;

/// Where a flight recorder writes: buffered, and with the reason when it fails. No other run writes to the file
/// meanwhile, and what stood there is gone with the first [`flush`](Self::flush), not before.
#[derive(Debug)]
pub struct RecordingFile {
    file: File,
    kept: Vec<u8>,
    is_begun: bool,
    failure: Option<io::Error>,
    is_failure_told: bool,
}

impl RecordingFile {
    /// The file at `path`, which is made where there is none.
    ///
    /// # Errors
    /// It cannot be written, or another run writes to it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("another run records to it")),
            // A file system without locks.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self { file, kept: Vec::new(), is_begun: false, failure: None, is_failure_told: false })
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) {
        if self.failure.is_none() {
            self.failure = self.write_out().err();
        }
        self.kept.clear();
    }

    /// Why nothing more is written.
    #[must_use]
    pub const fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// The failure, where it was not told yet.
    pub fn untold_failure(&mut self) -> Option<&io::Error> {
        let is_told = std::mem::replace(&mut self.is_failure_told, self.failure.is_some());
        self.failure.as_ref().filter(|_| !is_told)
    }

    fn write_out(&mut self) -> io::Result<()> {
        // A device or a pipe has no length.
        if !self.is_begun && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.is_begun = true;
        self.file.write_all(&self.kept)
    }
}

impl Sink for RecordingFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        if self.failure.is_none() {
            self.kept.extend_from_slice(bytes);
            // Before it has begun, its owner may still find that it cannot.
            if self.is_begun && self.kept.len() >= KEPT_BYTES {
                self.flush();
            }
        }
        if self.failure.is_none() { Ok(()) } else { Err(OutOfRoom) }
    }
}
