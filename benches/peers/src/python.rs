//! Peers in Python: an environment of pinned packages, and a process that decides whenever it is told to.
//!
//! A process reads a line, the nanoseconds that it may work, and answers with a line, the nanoseconds of one pass over
//! all jobs. Its winners are in a file then, written outside that time.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The interpreter of an environment with the packages of `requirements.txt`.
pub(crate) struct Environment {
    python: PathBuf,
    sources: PathBuf,
}

impl Environment {
    /// Makes the environment in the package's own target folder, unless it is there already.
    pub(crate) fn new(system_python: &str) -> Result<Self> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = package.join("target").join("venv");
        let python = folder.join("bin").join("python");
        // A copy of what was installed: written last, so that an environment half made is made again.
        let installed = folder.join("requirements.txt");
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == REQUIREMENTS) {
            return Ok(Self { python, sources: package.join("python") });
        }
        eprintln!("making {}", folder.display());
        run(Command::new(system_python).args(["-m", "venv", "--clear"]).arg(&folder))?;
        let requirements = package.join("requirements.txt");
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements))?;
        fs::write(installed, REQUIREMENTS)?;
        Ok(Self { python, sources: package.join("python") })
    }

    /// Starts a peer on the columns in a folder.
    pub(crate) fn start(&self, script: &str, form: &str, columns: &Path) -> Result<Peer> {
        let winners = columns.join(format!("{script}.{form}.winners"));
        let mut child = Command::new(&self.python)
            // No bytecode beside the sources.
            .arg("-B")
            .arg(self.sources.join(script))
            .args([columns, &winners])
            .arg(form)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.python.display()))?;
        let stdin = child.stdin.take().context("a pipe to the peer")?;
        let stdout = BufReader::new(child.stdout.take().context("a pipe from the peer")?);
        let mut peer = Peer { child, stdin, stdout, winners, name: String::new() };
        let Ready { name } = peer.answer()?;
        peer.name = name;
        Ok(peer)
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

#[derive(Deserialize)]
struct Ready {
    name: String,
}

#[derive(Deserialize)]
struct Pass {
    nanoseconds: f64,
}

/// A process that has read the columns and compiled its loops. It ends with its owner.
pub(crate) struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    winners: PathBuf,
    /// Its name, with the versions that it runs on.
    pub(crate) name: String,
}

impl Peer {
    /// Decides over and over, and says how many seconds one pass over all jobs took.
    pub(crate) fn turn(&mut self, budget: Duration) -> Result<f64> {
        writeln!(self.stdin, "{}", budget.as_nanos())?;
        let Pass { nanoseconds } = self.answer()?;
        Ok(nanoseconds / 1e9)
    }

    /// The winners of the last turn, in the order of the columns.
    pub(crate) fn winners(&self) -> Result<Vec<u32>> {
        let bytes = fs::read(&self.winners).with_context(|| format!("cannot read {}", self.winners.display()))?;
        Ok(bytes.chunks_exact(4).map(|rank| u32::from_le_bytes([rank[0], rank[1], rank[2], rank[3]])).collect())
    }

    fn answer<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            bail!("a peer in Python ended: {}", self.child.wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("a peer in Python said {line:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Whatever it does: nobody waits for it any more. One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
