//! The stub driver, built once a test run and never shipped, in a folder of its own as `libcuda.so`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder for the library path of a child.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build)
}

fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stub-driver");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--locked", "--release", "--package", "orchestrator-stub-driver", "--target-dir"])
        .arg(&target)
        .status()
        .expect("cargo can be run");
    assert!(built.success(), "the stub driver can be built");
    let folder = target.join("library");
    fs::create_dir_all(&folder).expect("a folder can be made");
    // Whichever name is asked for first.
    for name in ["libcuda.so", "libcuda.so.1"] {
        fs::copy(target.join("release/liborchestrator_stub_driver.so"), folder.join(name)).expect("a copy can be made");
    }
    folder
}
