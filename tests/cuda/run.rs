//! Runs of the command over the stub driver, and what the driver saw.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;

use crate::stub;

/// What `place` says when the device answered.
pub(crate) const BY_DEVICE: &str = "backend cuda: stub (PTX interpreter), kernels built in";
/// What it says when it did not.
pub(crate) const BY_ORACLE: &str = "the scalar backend decides from here on";

/// One run of the command.
pub(crate) struct Run {
    command: Command,
    folder: TempDir,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    /// The driver's numbers, if it began.
    pub(crate) driver: BTreeMap<String, u64>,
}

impl Run {
    pub(crate) fn of(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).timeout(Duration::from_secs(600));
        command.env("LD_LIBRARY_PATH", stub::folder()).env("ORCHESTRATOR_STUB_REPORT", folder.path().join("report"));
        command.env_remove("ORCHESTRATOR_STUB_FAULT");
        Self { command, folder }
    }

    pub(crate) fn place(backend: &str, jobs: &str, mode: &str) -> Self {
        Self::of(&["place", "--fleet", "examples/fleet.json", "--jobs", jobs, "--mode", mode, "--backend", backend])
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// A case that differs goes into the run's folder.
    pub(crate) fn case_out(self) -> Self {
        let folder = self.folder.path().join("case");
        self.arg("--case-out").arg(folder)
    }

    pub(crate) fn fault(mut self, fault: impl AsRef<str>) -> Self {
        self.command.env("ORCHESTRATOR_STUB_FAULT", fault.as_ref());
        self
    }

    pub(crate) fn memory(mut self, bytes: u64) -> Self {
        self.command.env("ORCHESTRATOR_STUB_MEMORY", bytes.to_string());
        self
    }

    pub(crate) fn devices(mut self, count: u32) -> Self {
        self.command.env("ORCHESTRATOR_STUB_DEVICES", count.to_string());
        self
    }

    pub(crate) fn library_path(mut self, folder: &Path) -> Self {
        self.command.env("LD_LIBRARY_PATH", folder);
        self
    }

    /// A file in the run's folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }

    /// Ends by itself, and with nothing left on the device.
    pub(crate) fn ran(mut self) -> Ran {
        let output = self.command.output().expect("the command can be run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let report = fs::read_to_string(self.folder.path().join("report")).unwrap_or_default();
        let number = |line: &str| line.split_once(' ').map(|(name, number)| (name.to_owned(), number.parse().unwrap()));
        let ran = Ran {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
            driver: report.lines().filter_map(number).collect(),
        };
        assert!(ran.code.is_some(), "it was killed: {ran:?}");
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        ran.left_nothing()
    }
}

impl Ran {
    fn left_nothing(self) -> Self {
        let left = |(name, &number): (&String, &u64)| {
            number > 0 && (name.starts_with("live_") || name == "contexts" || name == "hazards")
        };
        assert!(!self.driver.iter().any(left), "left on the device: {:?}\n{}", self.driver, self.err);
        self
    }

    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }

    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "it does not say `{text}`: {}", self.err);
        self
    }

    pub(crate) fn never_says(self, text: &str) -> Self {
        assert!(!self.err.contains(text), "it says `{text}`: {}", self.err);
        self
    }

    /// One of the driver's numbers.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.driver.get(name).copied().unwrap_or_else(|| panic!("no `{name}` in {:?}", self.driver))
    }
}
