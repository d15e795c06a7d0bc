//! What a WebAssembly module exports; programs for Linux need nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_CFG_TARGET_FAMILY").is_some_and(|family| family == "wasm") {
        for argument in ["--no-entry", "--export=placement", "--export=scheduler"] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
