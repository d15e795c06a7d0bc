//! From C sources to programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{env, fs};

/// Whether the compiler's sanitizers watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watch {
    Nobody,
    Sanitizers,
}

impl Watch {
    pub(crate) const BOTH: [Self; 2] = [Self::Nobody, Self::Sanitizers];

    const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Nobody => &["-O2"],
            Self::Sanitizers => &["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        }
    }
}

pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of this package's tests below the target folder.
pub(crate) fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("orchestrator-core-c");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// Runs a command, which succeeds.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The static library, as these tests are built: with overflow checks and debug assertions.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // Beside what cargo has built for the tests, which it can use again.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--package", "orchestrator-core-c", "--lib", "--profile", "test"]);
        succeed(cargo.current_dir(package()).arg("--target-dir").arg(target).env_remove("CARGO_BUILD_TARGET"));
        target.join("debug/liborchestrator_core_c.a")
    })
}

/// The system's C compiler, as strict as it gets.
pub(crate) fn compiler() -> Command {
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"]).arg(package().join("include"));
    compiler
}

/// The program of a source file of this package, built once.
pub(crate) fn program(source: &'static str, watch: Watch) -> PathBuf {
    static PROGRAMS: Mutex<BTreeMap<(&str, Watch), PathBuf>> = Mutex::new(BTreeMap::new());
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    programs.entry((source, watch)).or_insert_with(|| build(source, watch)).clone()
}

fn build(source: &str, watch: Watch) -> PathBuf {
    let source = package().join(source);
    let name = source.file_stem().expect("a source has a name").to_string_lossy();
    let program = scratch().join(format!("{name}-{watch:?}"));
    // Other processes may build the same, or run it.
    let made = program.with_extension(process::id().to_string());
    let mut compiler = compiler();
    compiler.args(watch.flags()).arg(&source).arg(library()).arg("-o").arg(&made);
    // What the standard library of Rust, whose panic handler is linked, asks for.
    if cfg!(target_os = "linux") {
        compiler.args(["-lpthread", "-ldl", "-lm", "-lgcc_s"]);
    }
    succeed(&mut compiler);
    fs::rename(made, &program).expect("both are in the target folder");
    program
}
