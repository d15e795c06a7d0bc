//! Where an import writes: standard output, or a file that appears only when it is whole.
//!
//! A file is written beside its final place and renamed at the end, so that an import that fails, or reads the file it
//! writes, never leaves half a fleet under the name that someone will load.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::ImportError;

/// Runs `write` on the file `path`, or on `stdout` where none is named.
pub(super) fn write_to<T>(
    path: Option<&Path>,
    stdout: &mut dyn Write,
    write: impl FnOnce(&mut dyn Write) -> Result<T, ImportError>,
) -> Result<T, ImportError> {
    match path {
        None => buffered(stdout, write),
        Some(path) => write_file(path, write),
    }
}

fn buffered<T>(
    out: impl Write,
    write: impl FnOnce(&mut dyn Write) -> Result<T, ImportError>,
) -> Result<T, ImportError> {
    let mut out = BufWriter::new(out);
    let done = write(&mut out)?;
    out.flush()?;
    Ok(done)
}

fn write_file<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T, ImportError>) -> Result<T, ImportError> {
    let target = fs::metadata(path);
    if target.as_ref().is_ok_and(fs::Metadata::is_dir) {
        return Err(ImportError::NotAFile { path: path.to_owned() });
    }
    let failed = |source| ImportError::WriteFile { path: path.to_owned(), source };
    // A device or a pipe must be written in place: a rename would replace it by a file.
    if target.is_ok_and(|found| !found.is_file()) {
        return buffered(File::create(path).map_err(failed)?, write);
    }
    let partial = partial_path(path);
    let file = File::create(&partial).map_err(failed)?;
    let done = buffered(file, write).and_then(|done| {
        fs::rename(&partial, path).map_err(failed)?;
        Ok(done)
    });
    if done.is_err() {
        // The import's own error is the one to report, whether or not the leftover can be removed.
        let _ = fs::remove_file(&partial);
    }
    done
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(".partial");
    path.with_file_name(name)
}
