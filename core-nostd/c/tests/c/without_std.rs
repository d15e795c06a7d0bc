//! The library without `std`, as bare metal and small agents link it: one program, in which no panic is left.

use std::path::Path;
use std::process::Command;

use crate::compile::{compiler, package, scratch, succeed};

/// Builds the library with all optimisations and its own panic handler.
fn library() -> std::path::PathBuf {
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

#[test]
fn nothing_panics_and_nothing_allocates() {
    let program = scratch().join("hostile-without-std");
    let mut compiler = compiler();
    compiler.args(["-O2", "-Wl,--gc-sections"]).arg(package().join("tests/c/hostile.c")).arg(library());
    succeed(compiler.arg("-o").arg(&program));
    let symbols = symbols(&program);
    assert!(symbols.contains("oc_submit"), "{symbols}");
    for forbidden in ["panicking", "rust_begin_unwind", "__rust_alloc", "__rdl_alloc"] {
        let found: Vec<_> = symbols.lines().filter(|line| line.contains(forbidden)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
    succeed(&mut Command::new(&program));
}
