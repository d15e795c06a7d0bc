//! A recording in a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use orchestrator_core::codec::{OutOfRoom, Sink};

/// Where a flight recorder writes: buffered, and with the reason when it fails.
#[derive(Debug)]
pub struct RecordingFile {
    file: BufWriter<File>,
    failure: Option<io::Error>,
}

impl RecordingFile {
    /// A new file at `path`; what stood there is gone.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(1 << 16, File::create(path)?), failure: None })
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) {
        if self.failure.is_none() {
            self.failure = self.file.flush().err();
        }
    }

    /// Why nothing more is written.
    #[must_use]
    pub const fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }
}

impl Sink for RecordingFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutOfRoom> {
        if self.failure.is_none() {
            self.failure = self.file.write_all(bytes).err();
        }
        if self.failure.is_none() { Ok(()) } else { Err(OutOfRoom) }
    }
}
