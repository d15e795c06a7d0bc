//! Calls as nobody should make them: `hostile.c` checks each code itself.

use std::process::Command;

use crate::compile::{Watch, program, succeed};

#[test]
fn hostile_calls_have_their_codes_and_leak_nothing() {
    for watch in Watch::BOTH {
        let output = succeed(&mut Command::new(program("tests/c/hostile.c", watch)));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.ends_with(" checks, 0 failures\n"), "{watch:?}: {said}");
    }
}
