//! The kernels as PTX text: the built-in image, or a file in its place.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use crate::batch::unavailable::Unavailable;

/// The image of this build. `build.rs` takes it from `orchestrator-kernels` or, where `ORCHESTRATOR_KERNEL_IMAGE` names
/// one, from a file.
const BUILT_IN: &str = include!(concat!(env!("OUT_DIR"), "/kernel_image.rs"));

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
        let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        // The driver takes text up to the first NUL.
        if text.contains('\0') {
            return Err(unreadable("it is no text: it holds a NUL".to_owned()));
        }
        Ok(Self { text: Cow::Owned(text), origin: path.display().to_string() })
    }
}
