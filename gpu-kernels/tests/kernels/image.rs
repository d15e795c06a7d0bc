//! The committed image is that of these sources, and has the kernels that a host asks for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fmt::Write, fs};

use orchestrator_kernels::image::Stamp;
use orchestrator_kernels::launch::{Ends, MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS, REPORT};
use orchestrator_kernels::{Contract, IMAGE};
use sha2::{Digest, Sha256};

/// The entries of the image.
fn entries() -> BTreeSet<&'static str> {
    let lines = IMAGE.lines().filter_map(|line| line.strip_prefix(".visible .entry "));
    lines.map(|line| line.trim_end_matches('(').trim()).collect()
}

#[test]
fn the_image_has_the_kernels_of_the_contract() {
    let scans = Ends::ALL.iter().flat_map(|ends| [ends.scan_jobs(), ends.scan_pools()]);
    let kernels: BTreeSet<_> = scans.chain([REPORT, MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS]).collect();
    assert_eq!(entries(), kernels);
}

/// No kernel can panic: a panic would be a call.
#[test]
fn the_image_calls_nothing() {
    assert!(!IMAGE.contains(".func"));
    assert!(!IMAGE.contains("call"));
    assert!(!IMAGE.contains("trap;"));
}

#[test]
fn the_image_is_stamped_with_this_contract() {
    let stamp = Stamp::of(IMAGE).expect("a stamp");
    assert_eq!(stamp.contract_version, Contract::CURRENT.contract_version);
    assert_eq!(stamp.semantics_version, Contract::CURRENT.semantics_version);
    assert!(stamp.compiler.starts_with("rustc "));
}

#[test]
fn a_text_without_a_stamp_has_none() {
    assert_eq!(Stamp::of(""), None);
    assert_eq!(Stamp::of(".version 6.3\n// compiler: rustc\n// sources: 0\n// contract: 1\n// semantics: 1\n"), None);
    assert_eq!(Stamp::of("// compiler: rustc\n// sources: 0\n// contract: one\n// semantics: 1\n"), None);
}

/// If this fails: `gpu-kernels/image/build.sh`.
#[test]
fn the_image_was_made_of_these_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !root.join("gpu-kernels/shell").exists() {
        // A package without the sources of the image.
        return;
    }
    let mut files = Vec::new();
    for folder in ["core-nostd/src", "gpu-kernels/src", "gpu-kernels/shell"] {
        add_files(&root, Path::new(folder), &mut files);
    }
    files.sort();
    let mut list = String::new();
    for file in files {
        let bytes = fs::read(root.join(&file)).expect("a readable source");
        writeln!(list, "{}  {}", hex_digest(&bytes), file.display()).expect("text grows");
    }
    let stamp = Stamp::of(IMAGE).expect("a stamp");
    assert_eq!(stamp.sources, hex_digest(list.as_bytes()), "the image is older than its sources");
}

fn add_files(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root.join(folder)).expect("a readable folder") {
        let entry = entry.expect("a readable entry");
        let path = folder.join(entry.file_name());
        if !entry.file_type().expect("a type").is_dir() {
            files.push(path);
        } else if entry.file_name() != "target" {
            add_files(root, &path, files);
        }
    }
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
