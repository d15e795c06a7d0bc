//! Every rule of docs/spec.md has a source, code that names it and a test that names it; and no code names a rule that
//! is not.
//!
//! A rule's id counts as named where it stands by itself: `FEAS-1 to FEAS-23` names only its ends, and only in code; a
//! test proves exactly what it names. `cargo test --test traceability -- --nocapture` prints the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where code is, and where tests are beside those inside the code.
const CODE: [&str; 3] = ["core-nostd/src", "gpu-kernels/src", "host/src"];
const TESTS: [&str; 4] = ["tests", "core-nostd/tests", "gpu-kernels/tests", "host/tests"];
/// A module with this mark, at the end of a source file, holds tests.
const TEST_MARK: &str = "#[cfg(test)]\n";

/// A rule's id, such as `KEY-9`: prefix and number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RuleId {
    prefix: String,
    number: u32,
}

impl RuleId {
    fn new(prefix: &str, number: u32) -> Self {
        let prefix = prefix.to_owned();
        Self { prefix, number }
    }

    /// Parses exactly one id: capital letters, which digits may follow, a hyphen, a decimal number without leading zeros.
    fn parse(text: &str) -> Option<Self> {
        let (prefix, digits) = text.rsplit_once('-')?;
        let is_prefix = prefix.starts_with(|first: char| first.is_ascii_uppercase())
            && prefix.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        let is_number = !digits.starts_with('0') && digits.chars().all(|c| c.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| is_prefix && is_number)?;
        Some(Self::new(prefix, number))
    }
}

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}-{}", self.prefix, self.number))
    }
}

/// A word of a text that is an id, and whether it is an end of a range.
#[derive(Debug, PartialEq, Eq)]
struct Mention {
    id: RuleId,
    in_range: bool,
}

/// All ids in a text, in order. A longer word that contains one, such as `OC-CORE-1016`, is none.
fn mentions(text: &str) -> Vec<Mention> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let is_to = |at: Option<usize>| at.and_then(|at| words.get(at)).is_some_and(|word| *word == "to");
        // A doc comment may break the line inside a range: `FEAS-1 to`, `/// FEAS-23`.
        let before = (0..at).rev().find(|&at| !is_comment_mark(words[at]));
        let after = (at + 1..words.len()).find(|&at| !is_comment_mark(words[at]));
        let parts = word.split(|c: char| !is_inside(c));
        for id in parts.filter_map(RuleId::parse) {
            let in_range = is_to(before) || is_to(after) || word.contains("..");
            found.push(Mention { id, in_range });
        }
    }
    found
}

fn is_comment_mark(word: &str) -> bool {
    matches!(word, "//" | "///" | "//!")
}

/// The ids that the tables of the specification define: the first cell of a row.
fn defined(spec: &str) -> BTreeSet<RuleId> {
    let first_cell = |line: &str| RuleId::parse(line.strip_prefix('|')?.split('|').next()?.trim());
    spec.lines().filter_map(first_cell).collect()
}

/// The rules whose last cell, "answers", has no source or something that is none.
fn without_source(spec: &str) -> Vec<String> {
    let answers = |line: &str| {
        let (id, rest) = line.strip_prefix('|')?.split_once('|')?;
        Some((RuleId::parse(id.trim())?, rest.trim_end().trim_end_matches('|').rsplit('|').next()?.trim().to_owned()))
    };
    let faults = spec.lines().filter_map(answers).filter(|(_, cell)| !cell.split("; ").all(is_source));
    faults.map(|(id, cell)| format!("{id}: `{cell}` is no source")).collect()
}

/// Whether a part of an "answers" cell is one of the notations that the specification explains.
fn is_source(text: &str) -> bool {
    let says = |mark: &str| text.strip_prefix(mark).is_some_and(|what| !what.trim().is_empty());
    let is_named =
        |name: &str| matches!(name, "PM" | "TODO.md" | "M71") || name.starts_with("CS ") || is_upstream_id(name);
    says("checklist: ") || says("own: ") || text.split(", ").all(is_named)
}

/// Such as `ORCH-3902(2)`, `OC-CORE-1018 C10`.
fn is_upstream_id(name: &str) -> bool {
    let word = name.split([' ', '(']).next().unwrap_or_default();
    let has_prefix = ["ORCH-", "OC-", "FR-", "SCHED-"].iter().any(|prefix| word.starts_with(prefix));
    has_prefix && word.rsplit('-').next().is_some_and(|digits| digits.parse::<u32>().is_ok())
}

/// The code and the tests of a source file: from `#[cfg(test)] mod name {` on it is tests.
fn split(source: &str) -> (&str, &str) {
    let opens_module = |at: &usize| {
        let mut lines = source[*at..].lines().skip_while(|line| line.starts_with("#["));
        lines.next().is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    let marks = source.match_indices(TEST_MARK).map(|(at, _)| at);
    let at = marks.filter(|at| *at == 0 || source[..*at].ends_with('\n')).find(opens_module);
    source.split_at(at.unwrap_or(source.len()))
}

/// Whether all of a file below a source folder is tests: `tests.rs`, `…_tests.rs`, or in a folder `tests`.
fn is_test_file(name: &str) -> bool {
    name.ends_with("_tests.rs") || name.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Which files name each rule.
#[derive(Debug, Default)]
struct Trace {
    code: BTreeMap<RuleId, BTreeSet<String>>,
    tests: BTreeMap<RuleId, BTreeSet<String>>,
}

impl Trace {
    fn add_code(&mut self, file: &str, text: &str) {
        if is_test_file(file) {
            return self.add_tests(file, text);
        }
        let (code, tests) = split(text);
        for mention in mentions(code) {
            self.code.entry(mention.id).or_default().insert(file.to_owned());
        }
        self.add_tests(file, tests);
    }

    fn add_tests(&mut self, file: &str, text: &str) {
        for mention in mentions(text).into_iter().filter(|mention| !mention.in_range) {
            self.tests.entry(mention.id).or_default().insert(file.to_owned());
        }
    }

    /// The table, and what is missing or too much.
    fn report(&self, rules: &BTreeSet<RuleId>) -> (String, Vec<String>) {
        let mut table = String::new();
        let mut faults = Vec::new();
        for rule in rules {
            let mut cell = |named: &BTreeMap<RuleId, BTreeSet<String>>, kind: &str| {
                let files: Vec<&str> = named.get(rule).into_iter().flatten().map(String::as_str).collect();
                if files.is_empty() {
                    faults.push(format!("{rule}: no {kind} names it"));
                    return "-".to_owned();
                }
                files.join(", ")
            };
            let (code, tests) = (cell(&self.code, "code"), cell(&self.tests, "test"));
            let _ = writeln!(table, "{rule:<11} code: {code}\n            tests: {tests}");
        }
        let prefixes: BTreeSet<&str> = rules.iter().map(|rule| rule.prefix.as_str()).collect();
        for (id, files) in self.code.iter().chain(&self.tests) {
            if prefixes.contains(id.prefix.as_str()) && !rules.contains(id) {
                let files: Vec<&str> = files.iter().map(String::as_str).collect();
                faults.push(format!("{id}: not a rule of the specification; named in {}", files.join(", ")));
            }
        }
        (table, faults)
    }
}

/// All Rust files below `folder`, in order; none when there is no such folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let below = |path: PathBuf| if path.is_dir() { rust_files(&path) } else { vec![path] };
    paths.into_iter().filter(|path| !path.ends_with("target")).flat_map(below).filter(is_source).collect()
}

#[test]
fn every_rule_has_code_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let spec = fs::read_to_string(root.join("docs/spec.md")).expect("docs/spec.md can be read");
    let rules = defined(&spec);
    assert!(rules.len() > 50, "only {} rules found: has the table's form changed?", rules.len());

    let sourceless = without_source(&spec);
    assert!(sourceless.is_empty(), "{}", sourceless.join("\n"));

    let mut trace = Trace::default();
    let mut read = |folders: &[&str], add: fn(&mut Trace, &str, &str)| {
        for path in folders.iter().flat_map(|folder| rust_files(&root.join(folder))) {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            // This file's own examples prove nothing.
            if name != file!() {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
                add(&mut trace, &name, &text);
            }
        }
    };
    read(&CODE, Trace::add_code);
    read(&TESTS, Trace::add_tests);

    let (table, faults) = trace.report(&rules);
    println!("{table}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

mod parser {
    use super::*;

    fn id(text: &str) -> RuleId {
        RuleId::parse(text).unwrap_or_else(|| panic!("{text} is an id"))
    }

    fn mention(text: &str, in_range: bool) -> Mention {
        let id = id(text);
        Mention { id, in_range }
    }

    #[test]
    fn ids_have_one_form() {
        assert_eq!(id("FEAS-23"), RuleId::new("FEAS", 23));
        assert_eq!(id("H2-1"), RuleId::new("H2", 1));
        assert_eq!(id("FEAS-23").to_string(), "FEAS-23");
        for text in ["", "-1", "KEY", "KEY-", "KEY-x", "KEY-01", "KEY-0", "key-1", "2-1", "OC-CORE-1016", "KEY-1-"] {
            assert_eq!(RuleId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ids_sort_by_number() {
        assert!(id("KEY-9") < id("KEY-10"));
    }

    #[test]
    fn ids_stand_by_themselves() {
        let text = "// (KEY-1, KEY-2); [`FEAS-3`]. OC-CORE-1016 xKEY-4 KEY-5x KEY-6_7 UTF-8: \"KEY-7\"";
        let expected = ["KEY-1", "KEY-2", "FEAS-3", "UTF-8", "KEY-7"].map(|text| mention(text, false));
        assert_eq!(mentions(text), expected);
    }

    #[test]
    fn ranges_name_their_ends_only() {
        let ends = [mention("KEY-1", true), mention("KEY-9", true)];
        assert_eq!(mentions("Rules: KEY-1 to KEY-9."), ends);
        assert_eq!(mentions("/// Rules: KEY-1 to\n    /// KEY-9."), ends);
        assert_eq!(mentions("//! KEY-1\n//! to KEY-9"), ends);
        let beside = [mention("KEY-1", true), mention("KEY-9", true), mention("KEY-3", false)];
        assert_eq!(mentions("KEY-1 to KEY-9, KEY-3"), beside);
    }

    #[test]
    fn rules_stand_in_first_cells() {
        let spec =
            "| id | rule |\n|---|---|\n| KEY-1 | as [KEY-2] |\n|KEY-10|x|\nKEY-3 | x |\n| `KEY-4` | x |\n| a | KEY-5 |";
        assert_eq!(defined(spec), BTreeSet::from([id("KEY-1"), id("KEY-10")]));
    }

    #[test]
    fn every_answer_is_a_source() {
        for cell in [
            "ORCH-3902(2)",
            "OC-CORE-1018 C10, ORCH-3012 home",
            "OC-CORE-1040 to 1044 CS 36",
            "CS 11, FR-MA-001",
            "PM; checklist: Efficiency",
            "TODO.md; own: it must be one of them",
        ] {
            assert_eq!(without_source(&format!("| KEY-1 | a | b | {cell} |")), Vec::<String>::new());
        }
        for cell in ["", "-", "seed", "7-32", "ORCH-3902; ", "own:", "own: ", "checklist", "ORCH-3902, user", "OC-x"] {
            assert_eq!(without_source(&format!("| KEY-1 | a | {cell} |")).len(), 1, "{cell}");
        }
        assert_eq!(without_source("| id | rule | answers |\n|---|---|---|\n| `queue_depth` | integer | 0 |"), [""; 0]);
    }

    #[test]
    fn code_ends_where_tests_begin() {
        let tests = "#[cfg(test)]\n#[allow(x)]\nmod tests {\n}\n";
        assert_eq!(split(&format!("a\n{tests}")), ("a\n", tests));
        assert_eq!(split(tests), ("", tests));
        for code in [
            "#![cfg_attr(test, x)]\na",
            "#[cfg(test)]\nextern crate std;\nmod a {\n}",
            "#[cfg(test)]\nmod tests;\n",
            "/// #[cfg(test)]\nmod a {\n}",
        ] {
            assert_eq!(split(code), (code, ""));
        }
        assert!(is_test_file("host/src/import/tests.rs") && is_test_file("host/src/tests/rows.rs"));
        assert!(is_test_file("host/src/input/fleet_file_tests.rs"));
        assert!(!is_test_file("host/src/import/check.rs"));
    }

    #[test]
    fn faults_are_found() {
        let rules = defined("| KEY-1 | |\n| KEY-2 | |\n| KEY-3 | |");
        let mut trace = Trace::default();
        trace.add_code("a.rs", "// KEY-1 to KEY-3\n#[cfg(test)]\nmod tests {\n// KEY-1");
        trace.add_tests("t.rs", "// KEY-2, KEY-9, UTF-8; KEY-1 to KEY-3");
        let (table, faults) = trace.report(&rules);
        let expected = [
            "KEY-2: no code names it",
            "KEY-3: no test names it",
            "KEY-9: not a rule of the specification; named in t.rs",
        ];
        assert_eq!(faults, expected);
        assert!(table.starts_with("KEY-1       code: a.rs\n            tests: a.rs\n"), "{table}");
    }
}
