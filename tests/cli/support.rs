//! Folders, runs and rows.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_orchestrator");

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The content of a file of the repository.
pub(crate) fn repository_text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A folder of one test, in which its commands run.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file can be read")
    }

    /// Runs the command in this folder.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        run_in(self.folder.path(), args)
    }

    /// Runs the command in this folder, with this on standard input.
    pub(crate) fn feed<A: AsRef<OsStr>>(&self, args: &[A], stdin: impl AsRef<[u8]>) -> Ran {
        let mut command = command_in(self.folder.path(), args);
        Ran::of(&command.write_stdin(stdin.as_ref()).output().expect("the command can be run"))
    }

    /// Writes a fleet and jobs, places them, and checks that every line of jobs is accounted for.
    pub(crate) fn place(&self, fleet: impl AsRef<[u8]>, jobs: impl AsRef<[u8]>, more: &[&str]) -> Ran {
        let jobs = jobs.as_ref();
        self.write("fleet.json", fleet);
        self.write("jobs.jsonl", jobs);
        let mut args = vec!["place", "--fleet", "fleet.json", "--jobs", "jobs.jsonl"];
        args.extend(more);
        let ran = self.run(args);
        if ran.code < 2 {
            let given = non_blank_lines(jobs);
            assert_eq!(ran.out.lines().count(), given, "lines out and in\n{}", ran.err);
        }
        ran
    }
}

/// Runs the command in a folder.
pub(crate) fn run_in<A: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = A>) -> Ran {
    Ran::of(&command_in(folder, args).output().expect("the command can be run"))
}

fn command_in<A: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(folder).args(args).timeout(Duration::from_secs(120));
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// What a run did; what must hold for every run is checked.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &std::process::Output) -> Self {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        let code = code.unwrap_or_else(|| panic!("ended by a signal or too late: {:?}\n{err}", output.status));
        assert!((0..=2).contains(&code), "exit code {code}\n{err}");
        assert!(!err.contains("panicked"), "a panic:\n{err}");
        assert!(!err.contains("RUST_BACKTRACE"), "a panic:\n{err}");
        assert!(code < 2 || !err.trim().is_empty(), "exit code 2 without a message");
        let out = String::from_utf8(output.stdout.clone()).expect("standard output is UTF-8");
        Self { code, out, err }
    }

    /// The lines of standard output, each as an object that is written without repeats or blanks.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(value.is_object(), "{line}");
            assert_eq!(value.to_string().len(), line.len(), "a repeated key or blanks: {line}");
            value
        };
        self.out.lines().map(parse).collect()
    }

    /// The one line of standard output.
    pub(crate) fn only_line(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{}{}", self.out, self.err);
        lines.remove(0)
    }

    /// What stands behind `name` on standard error, such as a hash.
    pub(crate) fn said(&self, name: &str) -> &str {
        let line = self.err.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no `{name}` in\n{}", self.err)).trim()
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Expects a message with this text on standard error.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no `{text}` in\n{}", self.err);
        self
    }

    #[track_caller]
    pub(crate) fn does_not_say(self, text: &str) -> Self {
        assert!(!self.err.contains(text), "`{text}` in\n{}", self.err);
        self
    }
}

/// Lines that a reader of jobs counts: UNIT-10 skips blank ones.
pub(crate) fn non_blank_lines(file: &[u8]) -> usize {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    file.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}

/// A pool that takes the job of [`job`].
pub(crate) fn pool(id: &str) -> Value {
    json!({
        "id": id, "engine": "vllm", "slots_total": 8, "slots_free": 8,
        "vram_total_bytes": 80_000_000_000_u64, "vram_free_bytes": 80_000_000_000_u64,
        "perf_tokens_per_s": 50, "first_token_ms": 100,
    })
}

pub(crate) fn job(id: &str) -> Value {
    json!({ "id": id, "engine": "vllm", "model_id": "m", "prompt_tokens": 10, "expected_tokens": 20 })
}

/// A fleet of rows as they are written.
pub(crate) fn fleet_of<R: ToString>(rows: impl IntoIterator<Item = R>) -> String {
    let rows: Vec<_> = rows.into_iter().map(|row| row.to_string()).collect();
    format!("{{\"version\":1,\"pools\":[\n{}\n]}}\n", rows.join(",\n"))
}

/// A file of lines as they are written.
pub(crate) fn lines_of<R: ToString>(rows: impl IntoIterator<Item = R>) -> String {
    rows.into_iter().map(|row| row.to_string() + "\n").collect()
}

/// The row with the JSON text `value`, which need not be JSON, at a dotted path.
pub(crate) fn with(row: &Value, path: &str, value: &str) -> String {
    const MARK: &str = "@@value@@";
    let mut changed = row.clone();
    let mut place = &mut changed;
    for key in path.split('.') {
        let object = place.as_object_mut().expect("a path of objects");
        place = object.entry(key).or_insert_with(|| Value::Object(Map::new()));
    }
    *place = MARK.into();
    changed.to_string().replace(&format!("\"{MARK}\""), value)
}

/// The keys of an object, in bytewise order.
pub(crate) fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().into_iter().flatten().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    keys
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end + 1));
        }
    }
}
