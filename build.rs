//! Build facts for `--version`.
fn main() {}
