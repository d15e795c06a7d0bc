//! The library without `std`, as bare metal and small agents link it: one program, in which no panic is left.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::compile::{compiler, package, scratch, succeed};

/// No call needs more stack than this: `oc_init` the fleet of the default sizes and a little more.
const STACK_BYTES_MAX: usize = 64 << 10;

/// Builds the library with all optimisations and its own panic handler, once.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(build)
}

fn build() -> PathBuf {
    let target = scratch().join("without-std");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--package", "orchestrator-core-c", "--lib", "--release"]);
    cargo.args(["--no-default-features", "--config", "profile.release.panic=\"abort\""]);
    cargo.args(["--config", "profile.release.lto=\"fat\""]);
    succeed(cargo.current_dir(package()).arg("--target-dir").arg(&target).env_remove("CARGO_BUILD_TARGET"));
    target.join("release/liborchestrator_core_c.a")
}

fn symbols(program: &Path) -> String {
    let output = succeed(Command::new("nm").arg("--demangle").arg(program));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn program(name: &str) -> PathBuf {
    let program = scratch().join(format!("{name}-without-std"));
    let mut compiler = compiler();
    compiler.args(["-O2", "-Wl,--gc-sections"]).arg(package().join("tests/c").join(name).with_extension("c"));
    succeed(compiler.arg(library()).args(["-lpthread", "-o"]).arg(&program));
    program
}

#[test]
fn nothing_panics_and_nothing_allocates() {
    let program = program("hostile");
    let symbols = symbols(&program);
    assert!(symbols.contains("oc_submit"), "{symbols}");
    for forbidden in ["panicking", "rust_begin_unwind", "__rust_alloc", "__rdl_alloc"] {
        let found: Vec<_> = symbols.lines().filter(|line| line.contains(forbidden)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
    succeed(&mut Command::new(&program));
}

#[test]
fn no_call_needs_much_stack() {
    let output = succeed(&mut Command::new(program("stack")));
    let said = String::from_utf8_lossy(&output.stdout);
    let costs: Vec<_> = said.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(costs.first().map(|(call, _)| *call), Some("oc_init"), "{said}");
    assert!(costs.iter().all(|(_, bytes)| (1..=STACK_BYTES_MAX).contains(&bytes.parse().unwrap())), "{said}");
}
