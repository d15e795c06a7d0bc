//! The command `orchestrator`; see [`orchestrator_host::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrator_host::cli::run()
}
