//! The committed header is the one that the sources make.
//!
//! `ORCHESTRATOR_WRITE_HEADER=1 cargo test -p orchestrator-core-c --test header` writes it.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::env;
use std::fs;
use std::path::Path;

/// In the order of the header.
const SOURCES: [&str; 16] = [
    "versioned",
    "codes",
    "text",
    "names",
    "problem",
    "policy",
    "prices",
    "config",
    "engine",
    "pool",
    "job",
    "inputs",
    "action",
    "queries",
    "explain",
    "state",
];

fn made() -> String {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(package.join("cbindgen.toml")).expect("the configuration is valid");
    let builder = SOURCES.iter().fold(cbindgen::Builder::new().with_config(config), |builder, source| {
        builder.with_src(package.join("src").join(source).with_extension("rs"))
    });
    let mut header = Vec::new();
    builder.generate().expect("the sources have a header").write(&mut header);
    String::from_utf8(header).expect("sources are UTF-8")
}

#[test]
fn the_committed_header_is_that_of_the_sources() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/orchestrator_core.h");
    let made = made();
    if env::var_os("ORCHESTRATOR_WRITE_HEADER").is_some() {
        fs::write(&path, &made).expect("the header can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(made.lines()).position(|(committed, made)| committed != made);
    assert!(committed == made, "the header is out of date, from line {:?} on; see this file's head", differs);
}
