//! The memory of the target's board, and `cfg(small)` for the board with 16 KiB.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(small)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=memory");
    let target = env::var("TARGET").expect("cargo sets it");
    let memory = match target.split('-').next() {
        Some("thumbv6m") => "m0.x",
        Some("thumbv7em") => "m4.x",
        Some("riscv32imac") => "riscv.x",
        // The host, which tests.
        _ => return,
    };
    if memory == "m0.x" {
        println!("cargo::rustc-cfg=small");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::copy(PathBuf::from("memory").join(memory), out.join("memory.x")).expect("the build folder can be written");
    println!("cargo::rustc-link-search={}", out.display());
    let mut scripts = vec!["link.x"];
    if memory == "riscv.x" {
        // riscv-rt's script does not include it.
        scripts.insert(0, "memory.x");
    }
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        scripts.push("defmt.x");
    }
    for script in scripts {
        println!("cargo::rustc-link-arg-bins=-T{script}");
    }
}
