//! The kernels as PTX text: the built-in image, or a file in its place.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use orchestrator_kernels::Contract;
use orchestrator_kernels::image::Stamp;
use orchestrator_kernels::launch::REPORT;

use crate::batch::unavailable::Unavailable;

/// The image of this build. `build.rs` takes it from `orchestrator-kernels` or, where `ORCHESTRATOR_KERNEL_IMAGE` names
/// one, from a file.
const BUILT_IN: &str = include!(concat!(env!("OUT_DIR"), "/kernel_image.rs"));

/// The built-in image has a hundredth of it.
const BYTES_MAX: u64 = 32 << 20;

/// An image, and where it is from.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) text: Cow<'static, str>,
    pub(super) origin: String,
}

impl Image {
    /// The image in a file; without one the built-in image.
    pub(super) fn of(file: Option<&Path>) -> Result<Self, Unavailable> {
        file.map_or_else(|| Ok(Self { text: Cow::Borrowed(BUILT_IN), origin: "built in".to_owned() }), Self::read)
    }

    fn read(path: &Path) -> Result<Self, Unavailable> {
        let unreadable = |why: String| Unavailable::ImageUnreadable { path: path.display().to_string(), why };
        let facts = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if !facts.is_file() || facts.len() > BYTES_MAX {
            return Err(unreadable(format!("it is no file of at most {BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        // The driver takes text up to the first NUL.
        if text.contains('\0') {
            return Err(unreadable("it is no text: it holds a NUL".to_owned()));
        }
        // A kernel of other arguments would be launched before it could say so.
        let is_ours = Stamp::of(&text).is_some_and(|stamp| {
            let Contract { contract_version, semantics_version, .. } = Contract::CURRENT;
            (stamp.contract_version, stamp.semantics_version) == (contract_version, semantics_version)
        });
        if !is_ours || !reports_to_one_address(&text) {
            return Err(unreadable("it has no stamp of this program's contract".to_owned()));
        }
        Ok(Self { text: Cow::Owned(text), origin: path.display().to_string() })
    }
}

/// Whether the kernel that tells the contract takes what it is given: the others are launched only if it tells the same.
fn reports_to_one_address(text: &str) -> bool {
    let arguments = text.split_once(&format!(".entry {REPORT}(")).and_then(|(_, rest)| rest.split_once(')'));
    arguments.is_some_and(|(arguments, _)| arguments.matches(".param").count() == 1 && arguments.contains("64"))
}
