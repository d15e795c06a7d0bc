//! Valid files with a few bytes changed, cut, doubled or replaced: never a panic, every line accounted for.

use super::support::{Desk, Random, fleet_of, job, lines_of, pool, with};

const RUNS: u64 = 300;
const SNIPPETS: [&[u8]; 18] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"NaN",
    b"1e400",
    b"-1",
    b"null",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"99999999999999999999",
];

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        let snippet = SNIPPETS[random.below(SNIPPETS.len())];
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap(),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec()).count()),
            4 => drop(bytes.splice(at..end, snippet.iter().copied()).count()),
            _ => drop(bytes.splice(at..at, snippet.iter().copied()).count()),
        }
    }
}

fn fleet() -> String {
    let devices = r#"[{"vram_total_bytes":40000000000,"vram_free_bytes":40000000000,"compute_capability":"8.0"},{"vram_total_bytes":40000000000,"vram_free_bytes":39000000000}]"#;
    fleet_of([
        with(&pool("a"), "devices", devices),
        with(
            &pool("b"),
            "supports",
            r#"{"quantizations":["fp8"],"models":["m"],"ctx_max":8192,"min_compute_cap":"8.0"}"#,
        ),
        with(&pool("c"), "warm_sessions", r#"[{"session_id":"s","cached_tokens":100}]"#),
        with(&pool("d"), "labels", r#"{"zone":"eu","tier":"é"}"#),
    ])
}

fn jobs() -> String {
    lines_of([
        with(
            &job("1"),
            "requirements",
            r#"{"min_vram_bytes":1000000000,"split":{"degree":2},"min_compute_cap":"8.0"}"#,
        ),
        with(
            &job("2"),
            "placement",
            r#"{"prefer_pools":["b","c"],"avoid_pools":["a"],"require_labels":{"zone":"eu"}}"#,
        ),
        with(&job("3"), "session_id", "\"s\""),
        with(&job("4"), "determinism", r#"{"seed":-7,"engine_version":"0.6"}"#),
        with(&job("é"), "deadline_ms", "1500.5"),
    ])
}

#[test]
fn of_the_fleet() {
    let desk = Desk::new();
    let mut codes = [0; 3];
    for seed in 0..RUNS {
        let mut bytes = fleet().into_bytes();
        mutate(&mut bytes, &mut Random(seed));
        println!("seed {seed}: {}", String::from_utf8_lossy(&bytes));
        let ran = desk.place(&bytes, jobs(), &["--explain", "--k", "2"]);
        codes[usize::try_from(ran.code).unwrap()] += 1;
    }
    println!("exit codes: {codes:?}");
    assert!(codes.iter().all(|&runs| runs > 0), "{codes:?}");
}

#[test]
fn of_the_jobs() {
    let desk = Desk::new();
    let mut codes = [0; 3];
    for seed in 0..RUNS {
        let mut bytes = jobs().into_bytes();
        mutate(&mut bytes, &mut Random(seed));
        println!("seed {seed}: {}", String::from_utf8_lossy(&bytes));
        let ran = desk.place(fleet(), &bytes, &["--explain"]);
        codes[usize::try_from(ran.code).unwrap()] += 1;
        let refused = ran.lines().iter().filter(|line| line["outcome"] == "refused").count();
        assert_eq!(ran.code, i32::from(refused > 0));
    }
    // No job file makes the run as a whole fail.
    assert!(codes[0] > 0 && codes[1] > 0 && codes[2] == 0, "{codes:?}");
}
