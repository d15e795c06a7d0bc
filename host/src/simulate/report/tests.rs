//! The page as a whole: what must occur, what must not, and that it is well-formed.

use std::path::Path;

use super::*;
use crate::import::Refusals;
use crate::input::Warnings;
use crate::simulate::fleet::{EngineModel, FleetRows, SimFleet};
use crate::simulate::request::Trace;
use crate::simulate::results::{Distribution, Slo};
use crate::simulate::run::RunOptions;
use crate::simulate::trace::{FileCount, Kind, LoadedTrace};

const HOSTILE: &str = "<script>alert('\"&\u{1}')</script>";

/// Two pools, the engine of one of which is named so; requests for a model of that name.
fn page(name: &str, runs: &[ShownRun]) -> String {
    let rows = FleetRows::plain(&[(name, name, 4), ("b", "vllm", 4)]);
    let fleet = SimFleet::new(&rows, EngineModel::default(), 1, &mut Warnings::default()).unwrap();
    let file = FileCount { file: name.into(), kind: Kind::Azure, requests: 3, left_out: 0 };
    let trace = Trace { models: vec![name.to_owned(); 9], ..Trace::default() };
    let loaded = LoadedTrace {
        trace,
        engines: vec![],
        files: vec![file],
        refused: Refusals::default(),
        warnings: Warnings::default(),
    };
    let setting = Setting {
        command: name,
        seed: 7,
        fleet_file: Path::new(name),
        fleet: &fleet,
        loaded: &loaded,
        slo: Slo::default(),
        options: &RunOptions::default(),
    };
    html(&setting, runs).unwrap()
}

fn sample(at_us: u64, waiting: u32) -> Sample {
    Sample { at_us, waiting, running: 3, busy_slots_by_class: vec![1, 2] }
}

fn shown(policy: &str, load_permille: u32, times_us: &[u64]) -> ShownRun {
    let times: Distribution = times_us.iter().copied().collect();
    let errors = times_us.iter().map(|&time_us| i64::try_from(time_us).unwrap() - 50_000).collect();
    let summary = Summary {
        policy: policy.to_owned(),
        load_permille,
        requests: 3,
        finished: times_us.len() as u64,
        unfinished: [("QUEUE_FULL", 1)].into(),
        first_token_us: times.clone(),
        end_to_end_us: times,
        end_error_us: if policy == "ours" { errors } else { Distribution::default() },
        goodput_permille: 667,
        on_time_permille: Some(500),
        busy_permille_by_class: vec![250, 500],
        ..Summary::default()
    };
    ShownRun { summary, samples: (0..1000).map(|second| sample(second * 1_000_000, 5)).collect() }
}

fn four_runs() -> Vec<ShownRun> {
    let run = |policy, load| shown(policy, load, &[10_000, 500_000, 3_000_000]);
    vec![run("ours", 1000), run("smg", 1000), run("ours", 2500), run("smg", 2500)]
}

/// The names of the elements of a well-formed document, each with the text that begins inside it.
///
/// Knows as much of XML as the page has: no comments, no sections of raw text.
fn elements(page: &str) -> Vec<(&str, &str)> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    let page = page.strip_prefix("<!DOCTYPE html>").expect("a page");
    for part in page.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag has an end");
        assert!(!text.contains('>'), "a bare >: {text}");
        check_references(text);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "a control character: {text:?}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in this order");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        check_attributes(tag[name.len()..].trim_end_matches('/'));
        if !tag.ends_with('/') {
            open.push(name);
        }
        found.push((name, text.trim()));
    }
    assert!(open.is_empty(), "left open: {open:?}");
    found
}

fn check_references(text: &str) {
    const KNOWN: [&str; 6] = ["amp;", "lt;", "gt;", "quot;", "apos;", "#39;"];
    for after in text.split('&').skip(1) {
        assert!(KNOWN.iter().any(|name| after.starts_with(name)), "a bare &: {after}");
    }
}

fn check_attributes(mut rest: &str) {
    let mut names = Vec::new();
    while !rest.trim().is_empty() {
        let (name, after) = rest.split_once("=\"").expect("a value in quotes");
        let (value, after) = after.split_once('"').expect("a value ends");
        let name = name.strip_prefix(' ').expect("a blank before a name");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name:?}");
        assert!(!names.contains(&name), "{name} twice");
        check_references(value);
        names.push(name);
        rest = after;
    }
}

#[test]
fn what_a_page_holds() {
    let page = page("fleet", &four_runs());
    let elements = elements(&page);
    let texts_of = |wanted: &str| -> Vec<&str> {
        elements.iter().filter(|(name, _)| *name == wanted).map(|(_, text)| *text).collect()
    };
    let cells = texts_of("td");
    let labels = texts_of("text");
    for (policy, load) in [("ours", "1\u{d7}"), ("smg", "1\u{d7}"), ("ours", "2.5\u{d7}"), ("smg", "2.5\u{d7}")] {
        assert!(cells.windows(2).any(|pair| pair == [load, policy]), "{policy} at {load}: {cells:?}");
        assert!(labels.contains(&policy) && labels.contains(&load), "{policy} at {load}: {labels:?}");
    }
    // Against load: four of times, for nobody had to wait for a place, goodput, on time; over time two for each of two
    // policies; forecasts of the one that predicts.
    assert_eq!(texts_of("svg").len(), (4 + 1 + 1) + 2 * 2 + 2);
    assert_eq!(elements.iter().filter(|(name, _)| *name == "script").count(), 0);
    assert_eq!(page.matches("://").count(), page.matches("http://www.w3.org/").count(), "nothing from outside");
    for text in ["66.7", "QUEUE_FULL", "vllm, 4 slots, 0 GiB", "first token within 2000 ms"] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn the_same_runs_give_the_same_bytes() {
    let first = page("fleet", &four_runs());
    assert_eq!(page("fleet", &four_runs()), first);
    let mut other = four_runs();
    other[3].summary.first_token_us = [1].into_iter().collect();
    assert_ne!(page("fleet", &other), first);
}

#[test]
fn no_name_gets_out_of_its_place() {
    let plain = page("plain", &[shown("plain", 1000, &[7]), shown("ours", 1000, &[8])]);
    let hostile = page(HOSTILE, &[shown(HOSTILE, 1000, &[7]), shown("ours", 1000, &[8])]);
    let names = |page: &str| elements(page).iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    // Wherever the name stands, it makes no element.
    assert_eq!(names(&hostile), names(&plain));
    // The words of a name's control character are spelt.
    assert!(hostile.contains("&lt;script&gt;alert(&#39;&quot;&amp;\\u{1}&#39;)&lt;/script&gt;"));
}

#[test]
fn runs_with_nothing_in_them() {
    let nothing = ShownRun { summary: Summary::default(), samples: vec![] };
    let alone = shown("ours", 1000, &[7]);
    let moment = ShownRun { samples: vec![sample(0, 0)], ..shown("smg", 1000, &[]) };
    let huge = shown("ours", u32::MAX, &[0, i64::MAX.unsigned_abs()]);
    for runs in
        [vec![], vec![nothing.clone()], vec![alone.clone()], vec![moment.clone()], vec![nothing, alone, moment, huge]]
    {
        elements(&page("fleet", &runs));
    }
}
