//! Where an import writes: standard output, or a file that appears only when it is whole.
//!
//! A file is written under a name of its own beside its final place and renamed at the end, so that an import that fails
//! never leaves half a fleet under the name that someone will load. A link is written through: its target is replaced,
//! the link stays. What is no regular file (a device, a pipe, `/dev/stdout`) is written in place.
//!
//! Invariants: no input is replaced, under whatever name or link it is named ([`check_outputs`]); the temporary file is
//! always a new one, never one that somebody put there, and is gone when the import fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;

use super::error::ImportError;

/// How many symbolic links are followed, as on Linux.
const LINKS_MAX: usize = 40;

/// How many names are tried for the temporary file.
const NAMES_TRIED: u32 = 1000;

/// Refuses an output that is one of the inputs or is the other output: what it holds would be gone.
pub(super) fn check_outputs<'a>(
    inputs: impl IntoIterator<Item = &'a PathBuf>,
    output: Option<&Path>,
    provenance: Option<&Path>,
) -> Result<(), ImportError> {
    for input in inputs {
        if let Some(path) = [output, provenance].into_iter().flatten().find(|path| is_same_file(input, path)) {
            return Err(ImportError::OutputIsInput { path: path.to_owned() });
        }
    }
    match (output, provenance) {
        (Some(output), Some(provenance)) if is_same_output(output, provenance) => {
            Err(ImportError::OutputTwice { path: provenance.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Whether both are one regular file, by whatever links. Nothing else is opened: that would end a pipe.
fn is_same_file(one: &Path, other: &Path) -> bool {
    // A file that cannot be opened for reading is none of the inputs that can.
    one.is_file() && other.is_file() && same_file::is_same_file(one, other).unwrap_or_default()
}

/// Like [`is_same_file`], for files that need not exist yet.
fn is_same_output(one: &Path, other: &Path) -> bool {
    let place = |path| {
        let target = link_target(path).ok()?;
        Some((folder_of(&target).canonicalize().ok()?, target.file_name()?.to_owned()))
    };
    one == other || is_same_file(one, other) || place(one).is_some_and(|found| place(other) == Some(found))
}

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
    let found = fs::metadata(path).ok();
    if found.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(ImportError::NotAFile { path: path.to_owned() });
    }
    let failed = |source| ImportError::WriteFile { path: path.to_owned(), source };
    // A device or a pipe must be written in place: a rename would replace it by a file.
    if found.as_ref().is_some_and(|found| !found.is_file()) {
        return buffered(OpenOptions::new().write(true).open(path).map_err(failed)?, write);
    }
    let target = link_target(path).map_err(failed)?;
    if found.is_some() && is_descriptor(path) {
        // `-o /dev/stdout >> log`: what the log holds already stays.
        return buffered(OpenOptions::new().append(true).open(path).map_err(failed)?, write);
    }
    let partial = Partial::create(folder_of(&target)).map_err(failed)?;
    if let Some(found) = found {
        partial.file.set_permissions(found.permissions()).map_err(failed)?;
    }
    let done = buffered(&partial.file, write)?;
    partial.rename_to(&target).map_err(failed)?;
    Ok(done)
}

/// Where a path leads to behind symbolic links; the last may point to a file that does not exist yet.
fn link_target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&target) {
            Ok(next) => target = folder_of(&target).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// Whether a path names something that this process has open, such as `/dev/stdout`.
fn is_descriptor(path: &Path) -> bool {
    let mut target = path.to_owned();
    for _ in 0..LINKS_MAX {
        let in_proc = folder_of(&target).canonicalize().is_ok_and(|folder| folder.starts_with("/proc"));
        match fs::read_link(&target) {
            Ok(_) if in_proc => return true,
            Ok(next) => target = folder_of(&target).join(next),
            Err(_) => return false,
        }
    }
    false
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new file that is removed again unless it is renamed.
struct Partial {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Partial {
    fn create(folder: &Path) -> io::Result<Self> {
        let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
        for number in 0..NAMES_TRIED {
            let path = folder.join(format!(".orchestrator-{}-{number}.partial", process::id()));
            // `create_new` fails on anything that has the name, also on a link that leads nowhere.
            match File::create_new(&path) {
                Ok(file) => return Ok(Self { path, file, renamed: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    fn rename_to(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.renamed {
            // The import's own error is the one to report, whether or not the leftover can be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}
