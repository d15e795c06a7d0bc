//! The example of a node agent.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::compile::{Watch, package, program, succeed};

/// What the agent prints of a script.
pub(crate) fn run(agent: &Path, script: &str) -> String {
    static SCRIPTS: AtomicU32 = AtomicU32::new(0);
    let number = SCRIPTS.fetch_add(1, Ordering::Relaxed);
    let path = agent.with_extension(format!("{}-{number}.txt", process::id()));
    fs::write(&path, script).expect("the target folder can be written");
    let input = File::open(&path).expect("it was written");
    let output = succeed(Command::new(agent).stdin(input));
    fs::remove_file(&path).expect("it was written");
    String::from_utf8(output.stdout).expect("texts are UTF-8")
}

#[test]
fn the_example_prints_what_its_readme_shows() {
    let read = |name: &str| fs::read_to_string(package().join("examples").join(name)).expect("it is committed");
    let script = read("node_agent.txt");
    for watch in Watch::BOTH {
        let printed = run(&program("examples/node_agent.c", watch), &script);
        assert_eq!(printed, read("node_agent.expected.txt"), "{watch:?}");
    }
}

/// Lines of any bytes: the example is code that people copy.
#[test]
fn the_example_survives_any_line() {
    let agent = program("examples/node_agent.c", Watch::Sanitizers);
    let mut lines = Vec::from(&b"pool\nsubmit\npool 0 id\npool 0 id= slots=/ vram=x\nsubmit 1 prefer=,,,a,\n"[..]);
    lines.extend_from_slice(b"pool 1 id=a engine=e slots=1 vram=1 labels=a,b:,:c warm=s,t:x,:3 models= resident=,\n");
    lines.extend_from_slice(
        b"cancel -1 id=a\ntick 99999999999999999999999\ntick\nstatus\nexplain\nexplain 0 id=a engine=e\n",
    );
    lines.extend((0..5000).map(|_| b'x'));
    lines.push(b'\n');
    let mut number: u32 = 1;
    for _ in 0..100_000 {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        lines.push((number >> 24).try_into().expect("8 bits"));
    }
    let mut child = Command::new(&agent).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it was built");
    child.stdin.take().expect("piped").write_all(&lines).expect("it reads to the end");
    assert!(child.wait().expect("it ends").success());
}
