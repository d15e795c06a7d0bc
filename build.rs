//! Facts about the build, for `orchestrator --version`: which commit, for which target, how optimised, by which compiler;
//! and which kernel image the program carries.
//!
//! What cannot be found out is `unknown`, so that a source archive without git builds as well. The one failure is an image
//! that somebody names and that is not there.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const UNKNOWN: &str = "unknown";

/// Names a file of PTX to carry instead of the kernels of this repository.
const IMAGE_VARIABLE: &str = "ORCHESTRATOR_KERNEL_IMAGE";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for path in commit_files() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rerun-if-env-changed=RUSTC");

    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    set("GIT_COMMIT", commit());
    set("TARGET", env::var("TARGET").ok());
    set("PROFILE", env::var("PROFILE").ok());
    set("RUSTC", output(&rustc, &["--version"]));
    choose_kernel_image();
}

/// Writes the expression of the kernel image's text: that of `orchestrator-kernels`, or the file that the variable names.
fn choose_kernel_image() {
    println!("cargo::rerun-if-env-changed={IMAGE_VARIABLE}");
    let expression = match env::var_os(IMAGE_VARIABLE).filter(|name| !name.is_empty()) {
        None => "orchestrator_kernels::IMAGE".to_owned(),
        Some(name) => {
            let found = PathBuf::from(&name).canonicalize();
            let path = found.unwrap_or_else(|error| panic!("{IMAGE_VARIABLE}={}: {error}", name.display()));
            println!("cargo::rerun-if-changed={}", path.display());
            format!("include_str!({path:?})")
        }
    };
    let folder = env::var_os("OUT_DIR").expect("cargo names a folder for outputs");
    fs::write(PathBuf::from(folder).join("kernel_image.rs"), expression).expect("cargo's folder can be written to");
}

/// Makes `ORCHESTRATOR_{name}` known to the package's code, through `env!`.
fn set(name: &str, value: Option<String>) {
    println!("cargo::rustc-env=ORCHESTRATOR_{name}={}", value.as_deref().unwrap_or(UNKNOWN));
}

/// The commit's short hash, if this package is the work tree of a git repository (not if it only lies in one).
fn commit() -> Option<String> {
    let top = output("git", &["rev-parse", "--show-toplevel"])?;
    let here = env::var("CARGO_MANIFEST_DIR").ok()?;
    let is_own = PathBuf::from(top).canonicalize().ok()? == PathBuf::from(here).canonicalize().ok()?;
    is_own.then(|| output("git", &["rev-parse", "--short=12", "HEAD"])).flatten()
}

/// The files that change when another commit is checked out or made: HEAD, its log, the branch it names, packed branches.
///
/// Asked of git, because in a linked work tree they lie elsewhere. A file that does not exist is left out: cargo would
/// take it as changed at every build.
fn commit_files() -> Vec<PathBuf> {
    let branch = output("git", &["symbolic-ref", "--quiet", "HEAD"]);
    ["HEAD", "logs/HEAD", "packed-refs"]
        .into_iter()
        .map(str::to_owned)
        .chain(branch)
        .filter_map(|name| output("git", &["rev-parse", "--git-path", &name]))
        .map(PathBuf::from)
        .filter(|path| path.exists())
        .collect()
}

/// What a command prints on its one line, if it can be run and succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let run = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(run.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (run.status.success() && !line.is_empty()).then(|| line.to_owned())
}
