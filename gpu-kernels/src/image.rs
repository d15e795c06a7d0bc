//! The kernels as a device loads them: PTX that was built from these sources and is committed, so that nobody needs a
//! compiler for devices.
//!
//! Its first lines are a stamp, which `image/build.sh` writes and `image/check.sh` and a test compare with the sources.
//!
//! ```
//! use orchestrator_kernels::{Contract, IMAGE, image::Stamp};
//!
//! let stamp = Stamp::of(IMAGE).expect("images are stamped");
//! assert_eq!(stamp.contract_version, Contract::CURRENT.contract_version);
//! assert_eq!(stamp.semantics_version, Contract::CURRENT.semantics_version);
//! ```

/// The image: PTX.
pub const IMAGE: &str = include_str!("../image/orchestrator.ptx");

/// What an image was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The version of the compiler, as it prints it.
    pub compiler: &'a str,
    /// A hash of the sources.
    pub sources: &'a str,
    /// As [`Contract::contract_version`](crate::Contract::contract_version).
    pub contract_version: u32,
    /// As [`Contract::semantics_version`](crate::Contract::semantics_version).
    pub semantics_version: u32,
}

impl<'a> Stamp<'a> {
    /// The stamp of an image, if it has one.
    #[must_use]
    pub fn of(image: &'a str) -> Option<Self> {
        let says = |key: &str| {
            let mut comments = image.lines().map_while(|line| line.strip_prefix("// "));
            comments.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        };
        Some(Self {
            compiler: says("compiler")?,
            sources: says("sources")?,
            contract_version: says("contract")?.parse().ok()?,
            semantics_version: says("semantics")?.parse().ok()?,
        })
    }
}
