//! The README shows what the command does: its console blocks are run and compared, line by line.
//!
//! A block starts with ```` ```console ````; a line with `$ ` is a command, what follows is its output. Commands of
//! this program (`cargo run --release -- …` or `orchestrator …`) are run in a copy of the repository's root; others
//! are not. A line `…` stands for any number of lines; lines with "per second" are not compared. A block without a
//! language behind it that starts with `fleet: ` is what the command says on standard error.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::{BINARY, Desk, repository, repository_text};

/// A command of the README, the lines shown under it, and those of a plain block behind it: what was said on standard
/// error.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    command: String,
    lines: Vec<String>,
    said: Vec<String>,
}

/// What a line of a document belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    /// A block of commands and their output.
    Console,
    /// A block without a language behind one of commands.
    Plain,
    /// Any other block.
    Other,
}

/// The commands in the console blocks of a document.
fn commands(document: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let mut place = Place::Text;
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            // A console block whose first line is no prompt shows no output.
            let prompts = lines.peek().is_some_and(|next| next.starts_with("$ "));
            let said = found.last().is_some_and(|shown| shown.said.is_empty());
            place = match language.trim_end() {
                _ if place != Place::Text => Place::Text,
                "console" if prompts => Place::Console,
                "" if said && lines.peek().is_some_and(|next| next.starts_with("fleet: ")) => Place::Plain,
                _ => Place::Other,
            };
            continue;
        }
        match (place, line.strip_prefix("$ "), found.last_mut()) {
            (Place::Console, Some(start), _) => {
                let mut command = start.to_owned();
                while let Some(part) = command.strip_suffix('\\') {
                    command = format!("{part}{}", lines.next().unwrap_or_default().trim_start());
                }
                found.push(Shown { command, ..Shown::default() });
            }
            (Place::Console, None, Some(shown)) => shown.lines.push(line.to_owned()),
            (Place::Plain, _, Some(shown)) => shown.said.push(line.to_owned()),
            _ => {}
        }
    }
    found
}

/// The command line for a shell that knows `orchestrator`; `None` for other programs.
fn own_command(command: &str) -> Option<String> {
    let cargo = ["cargo run --release -- ", "cargo run --quiet --release -- ", "cargo run -q --release -- "];
    let arguments = cargo.iter().chain(&["orchestrator "]).find_map(|start| command.strip_prefix(start));
    arguments.map(|arguments| format!("orchestrator {arguments}"))
}

/// Whether the lines are as shown; a line `…` stands for any number of them.
fn matches(shown: &[String], lines: &[String]) -> bool {
    match shown {
        [] => lines.is_empty(),
        [gap, rest @ ..] if gap.trim() == "…" => (0..=lines.len()).any(|start| matches(rest, &lines[start..])),
        [first, rest @ ..] => lines
            .split_first()
            .is_some_and(|(line, others)| line.trim_end() == first.trim_end() && matches(rest, others)),
    }
}

fn comparable<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.contains("per second")).map(str::to_owned).collect()
}

/// A folder that looks like the repository's root, so that a command that writes a file writes it elsewhere.
fn copy_of_the_root(desk: &Desk) {
    for entry in fs::read_dir(repository("")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let target = desk.path("").join(&name);
        if name == "examples" {
            fs::create_dir(&target).unwrap();
            // Files only: the firmware's folder is of no use to the command.
            let files = fs::read_dir(entry.path()).unwrap().map(Result::unwrap);
            for file in files.filter(|file| file.file_type().unwrap().is_file()) {
                fs::copy(file.path(), target.join(file.file_name())).unwrap();
            }
        } else if name != "target" && name != ".git" {
            std::os::unix::fs::symlink(entry.path(), target).unwrap();
        }
    }
}

/// What the command prints: both streams as a terminal shows them, or one of them.
fn printed(folder: &Path, command: &str, streams: &str) -> Vec<String> {
    let script = format!("orchestrator() {{ \"$ORCHESTRATOR\" \"$@\"; }}\n{{ {command}\n}} {streams}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder).env("ORCHESTRATOR", BINARY);
    let output = shell.output().unwrap();
    comparable(String::from_utf8(output.stdout).unwrap().lines())
}

fn compared(command: &str, shown: &[String], found: &[Vec<String>]) {
    let shown = comparable(shown.iter().map(String::as_str));
    assert!(
        found.iter().any(|lines| matches(&shown, lines)),
        "$ {command}\nthe README shows:\n{}\nthe command prints:\n{}",
        shown.join("\n"),
        found[0].join("\n")
    );
}

#[test]
fn the_readme_shows_what_the_command_prints() {
    let desk = Desk::new();
    copy_of_the_root(&desk);
    let root = desk.path("");
    let mut ran = 0;
    for Shown { command, lines, said } in commands(&repository_text("README.md")) {
        let Some(own) = own_command(&command) else {
            continue;
        };
        let [both, results, errors] =
            ["2>&1", "2>/dev/null", "2>&1 >/dev/null"].map(|streams| printed(&root, &own, streams));
        compared(&command, &lines, &[both, results]);
        if !said.is_empty() {
            compared(&command, &said, &[errors]);
        }
        ran += 1;
    }
    assert!(ran > 0, "no command of this program in a console block of README.md");
}

#[test]
fn blocks_are_found_and_compared() {
    let document = "text\n```console\n$ orchestrator kv \\\n    --context 1\na\n…\n$ ls\nb\n```\n```\nno\n```\n\
                    ```\nfleet: 1\n```\n```console\ncargo test\n```\n```rust\n$ no\n```\n";
    let lines = |text: &str| text.split_terminator(' ').map(str::to_owned).collect::<Vec<_>>();
    let shown = |command: &str, output: &str, said: &[&str]| Shown {
        command: command.to_owned(),
        lines: lines(output),
        said: said.iter().copied().map(str::to_owned).collect(),
    };
    let expected = [shown("orchestrator kv --context 1", "a …", &[]), shown("ls", "b", &["fleet: 1"])];
    assert_eq!(commands(document), expected);
    assert_eq!(own_command("cargo run --release -- kv"), Some("orchestrator kv".to_owned()));
    assert_eq!(own_command("ls"), None);
    for (shown, found, same) in [
        ("a b", "a b", true),
        ("a b", "a c", false),
        ("a", "a b", false),
        ("a … d", "a b c d", true),
        ("a … d", "a d", true),
        ("a …", "a b c", true),
        ("… d", "a b", false),
    ] {
        assert_eq!(matches(&lines(shown), &lines(found)), same, "{shown} / {found}");
    }
}
