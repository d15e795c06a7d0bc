//! The kernels as PTX text: the built-in image, or a file in its place.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use orchestrator_kernels::Contract;
use orchestrator_kernels::image::Stamp;

use super::entries::{Difference, Entries};
use crate::batch::unavailable::Unavailable;

/// The image of this build. `build.rs` takes it from `orchestrator-kernels` or, where `ORCHESTRATOR_KERNEL_IMAGE` names
/// one, from a file.
const BUILT_IN: &str = include!(concat!(env!("OUT_DIR"), "/kernel_image.rs"));

/// The built-in image has a hundredth of it.
const BYTES_MAX: u64 = 32 << 20;

/// An image, and where it is from.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) text: CString,
    pub(super) origin: String,
}

impl Image {
    /// The image in a file; without one the built-in image. It is of this program's contract, as far as text says.
    pub(super) fn of(file: Option<&Path>) -> Result<Self, Unavailable> {
        match file {
            None => Self::checked(BUILT_IN.to_owned(), "built in".to_owned()),
            Some(path) => Self::checked(read(path)?, path.display().to_string()),
        }
    }

    fn checked(text: String, origin: String) -> Result<Self, Unavailable> {
        let unusable = |why: &str| Unavailable::ImageUnusable { image: origin.clone(), why: why.to_owned() };
        if !is_stamped(&text) {
            return Err(unusable("it has no stamp of this program's contract"));
        }
        // Launched, a kernel of other parameters would read what nobody wrote.
        match Entries::of(&text).first_difference(&Entries::of(orchestrator_kernels::IMAGE)) {
            None => {}
            Some(Difference::Missing(kernel)) => {
                return Err(Unavailable::KernelMissing { image: origin, kernel: kernel.to_owned() });
            }
            Some(Difference::Parameters(kernel)) => {
                return Err(unusable(&format!("its kernel `{kernel}` takes other parameters")));
            }
        }
        // The driver takes text up to the first NUL.
        let text = CString::new(text).map_err(|_| unusable("it is no text: it holds a NUL"))?;
        Ok(Self { text, origin })
    }
}

fn is_stamped(text: &str) -> bool {
    let Contract { contract_version, semantics_version, .. } = Contract::CURRENT;
    Stamp::of(text)
        .is_some_and(|stamp| (stamp.contract_version, stamp.semantics_version) == (contract_version, semantics_version))
}

fn read(path: &Path) -> Result<String, Unavailable> {
    let unreadable = |why: String| Unavailable::ImageUnreadable { path: path.display().to_string(), why };
    let too_large = || unreadable(format!("it is no file of at most {BYTES_MAX} bytes"));
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    if !file.metadata().is_ok_and(|facts| facts.is_file()) {
        return Err(too_large());
    }
    // Some files are longer than they say.
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))
}
