//! Mistakes of one instruction, planted into the committed image: the cases of these tests have to find them.
//!
//! An ordinary run plants [`SAMPLE`] of them, none of which is known to survive, and wants all found.
//! `ORCHESTRATOR_MUTANTS=N` plants N and prints which survive; `survivors.txt` lists those of the last such run, and
//! `ORCHESTRATOR_MUTANTS=survivors` plants them again.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use orchestrator_kernels::IMAGE;
use orchestrator_kernels::launch::Ends;

use crate::cases::{check_scan_jobs, check_scan_pools, segments};
use crate::hostile::check_hostile;
use crate::interpreted::Interpreter;
use crate::joins::{check_merge, check_patches};
use crate::lists::check_random_lists;
use crate::random::Random;
use crate::scans::{PLANTS, nearly_uniform, planted, uniform};
use crate::world::{Job, Variety, World};

/// Mutants of an ordinary run.
const SAMPLE: usize = 20;
/// Mutants that survived, a line each.
const SURVIVORS: &str = include_str!("survivors.txt");
/// Instructions of one thread: a mutant that never ends is found too.
const BUDGET: u64 = 1 << 21;

/// One instruction of the image, changed.
#[derive(Clone)]
struct Mutant {
    /// From 1.
    line: usize,
    kernel: String,
    was: String,
    is: String,
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, was, is, .. } = self;
        let words = |text: &str| text.trim().replace('\t', " ");
        write!(f, "{kernel}: {} -> {}", words(was), words(is))
    }
}

impl Mutant {
    fn image(&self) -> String {
        let lines = (1..).zip(IMAGE.lines());
        lines.map(|(line, text)| if line == self.line { &*self.is } else { text }).collect::<Vec<_>>().join("\n")
    }

    /// Whether the cases tell the image from the true one.
    fn is_found(&self) -> bool {
        let image = self.image();
        catch_unwind(AssertUnwindSafe(|| check_kernel(&self.kernel, &mut Interpreter::of(&image, 70, BUDGET)))).is_err()
    }
}

/// All mutants of the image: each instruction of a kind below, changed in one way.
fn mutants() -> Vec<Mutant> {
    let (mut all, mut kernel) = (Vec::new(), String::new());
    for (line, text) in (1..).zip(IMAGE.lines()) {
        if let Some(name) = text.trim().strip_prefix(".visible .entry ") {
            kernel = name.trim_end_matches('(').to_owned();
        }
        if let Some(is) = mutated(text).filter(|is| is != text) {
            all.push(Mutant { line, kernel: kernel.clone(), was: text.to_owned(), is });
        }
    }
    all
}

/// The instruction with one mistake, if it is of a kind that is changed.
fn mutated(text: &str) -> Option<String> {
    const WORDS: [(&str, &str); 14] = [
        ("setp.lt.", "setp.le."),
        ("setp.le.", "setp.lt."),
        ("setp.gt.", "setp.ge."),
        ("setp.ge.", "setp.gt."),
        ("setp.eq.", "setp.ne."),
        ("setp.ne.", "setp.eq."),
        ("min.u", "max.u"),
        ("max.u", "min.u"),
        ("and.pred", "or.pred"),
        ("or.pred", "and.pred"),
        ("add.s", "sub.s"),
        ("sub.s", "add.s"),
        ("shr.u", "shl.b"),
        ("shl.b", "shr.u"),
    ];
    let trimmed = text.trim_start();
    if trimmed.starts_with("selp.") {
        return swap_last_but_one(text);
    }
    if trimmed.starts_with("bar.sync") {
        return Some(format!("\t// {trimmed}"));
    }
    if trimmed.starts_with("ld.global") || trimmed.starts_with("ld.shared") {
        return other_offset(text);
    }
    let (was, is) = WORDS.into_iter().find(|(was, _)| trimmed.starts_with(was))?;
    Some(text.replacen(was, is, 1))
}

/// `selp d, a, b, p` picks the other one.
fn swap_last_but_one(text: &str) -> Option<String> {
    let operands: Vec<_> = text.split(", ").collect();
    let [to, first, second, predicate] = operands[..] else { return None };
    Some([to, second, first, predicate].join(", "))
}

/// Loads from eight bytes on, or from the beginning.
fn other_offset(text: &str) -> Option<String> {
    let (before, address) = text.split_once('[')?;
    let (address, after) = address.split_once(']')?;
    let address = match address.split_once('+') {
        Some((base, _)) => base.to_owned(),
        None => format!("{address}+16"),
    };
    Some(format!("{before}[{address}]{after}"))
}

/// The cases of one kernel, chosen so that each of its paths is taken.
fn check_kernel(kernel: &str, device: &mut Interpreter) {
    let mut random = Random::new(71);
    let ends = Ends::ALL.into_iter().find(|ends| kernel == ends.scan_jobs() || kernel == ends.scan_pools());
    match ends {
        Some(ends) if kernel == ends.scan_jobs() => check_jobs_kernel(device, &mut random, ends),
        Some(ends) => check_pools_kernel(device, &mut random, ends),
        None => {
            assert_eq!(crate::device::Device::report(device), orchestrator_kernels::Contract::CURRENT);
            for (jobs, parts) in [(1, 1), (1, 9), (300, 3), (257, 2)] {
                check_merge(device, &mut random, jobs, parts);
            }
            for (records, changes) in [(0, 10), (1, 1), (300, 257), (40, 60)] {
                check_patches(device, &mut random, records, changes);
            }
        }
    }
}

/// Full groups of jobs: each of the jobs that a thread keeps has instructions of its own.
fn check_jobs_kernel(device: &mut Interpreter, random: &mut Random, ends: Ends) {
    for (pools, jobs, parts) in [(1, 3, 1), (9, 1024, 1), (33, 1024, 2), (265, 1024, 1), (520, 20, 3)] {
        for variety in Variety::ALL {
            for spreads in [false, true] {
                let mut world = World::random(random, ends, variety, pools, jobs, 1);
                world.spreads = spreads;
                check_scan_jobs(device, &world, parts);
            }
        }
    }
    for (place, rank) in [0, 1, 2, 3, 4, 7, 8, 31, 255, 256, 257, 259, 260].into_iter().enumerate() {
        check_scan_jobs(device, &planted(ends, 261, rank, PLANTS[place % PLANTS.len()]), 1);
    }
    for plant in PLANTS {
        let mut world = planted(ends, 20, 13, plant);
        world.jobs = vec![world.jobs[0].clone(); 1024];
        check_scan_jobs(device, &world, 1);
    }
    check_scan_jobs(device, &uniform(ends, 300), 2);
    for steps in [1, 2, 1000] {
        check_scan_jobs(device, &close(random, ends, steps), 2);
    }
    check_hostile(device, random, 30, 2);
}

/// Pools that differ by some steps of the last words, the very last one the spread; jobs that fit most of them.
fn close(random: &mut Random, ends: Ends, steps: u32) -> World {
    let mut world = nearly_uniform(random, ends, steps, 40, 1);
    world.spreads = true;
    world.spread_hashes.fill_with(|| random.bits());
    let job = Job { segments: uniform(ends, 40).jobs[0].segments.clone(), ..world.jobs[0].clone() };
    world.jobs = (0..1024).map(|_| Job { spread_hash: random.bits(), ..job.clone() }).collect();
    world
}

fn check_pools_kernel(device: &mut Interpreter, random: &mut Random, ends: Ends) {
    for (pools, jobs, parts) in [(1, 3, 1), (9, 20, 2), (300, 20, 1), (1100, 6, 3)] {
        for variety in Variety::ALL {
            let mut world = World::random(random, ends, variety, pools, jobs, 2);
            check_scan_pools(device, &world, parts);
            for job in &mut world.jobs {
                job.segments = segments(random, pools, 6);
            }
            world.spreads = !world.spreads;
            check_scan_pools(device, &world, parts);
        }
    }
    for rank in (0..265).step_by(6).chain([31, 32, 255, 256, 264]) {
        check_scan_pools(device, &planted(ends, 265, rank, PLANTS[rank as usize % PLANTS.len()]), 1);
    }
    check_scan_pools(device, &uniform(ends, 300), 3);
    for steps in [1, 2, 1000] {
        let mut world = close(random, ends, steps);
        world.jobs.truncate(20);
        check_scan_pools(device, &world, 2);
    }
    // More pools than the threads of a block look at in one round.
    for steps in [2, 1000] {
        check_scan_pools(device, &nearly_uniform(random, ends, steps, 2500, 12), 1);
    }
    for rank in [1100, 2047, 2048, 2300] {
        check_scan_pools(device, &planted(ends, 2500, rank, PLANTS[rank as usize % PLANTS.len()]), 1);
    }
    check_random_lists(device, random, 40, 3);
    check_hostile(device, random, 30, 2);
}

/// The cases pass on the image as it is: what they find is the mistake.
#[test]
fn the_true_image_passes_the_cases_of_every_kernel() {
    let mut kernels: Vec<_> = mutants().into_iter().map(|mutant| mutant.kernel).collect();
    kernels.dedup();
    assert!(kernels.len() >= 8, "{kernels:?}");
    for kernel in kernels {
        check_kernel(&kernel, &mut Interpreter::of(IMAGE, 70, BUDGET));
    }
}

#[test]
fn mistakes_of_one_instruction_are_found() {
    let wanted = std::env::var("ORCHESTRATOR_MUTANTS").ok();
    let is_survivor = |mutant: &Mutant| SURVIVORS.lines().any(|line| line == mutant.to_string());
    let mut all = mutants();
    let total = all.len();
    Random::new(72).shuffle(&mut all);
    match wanted.as_deref() {
        None => all.retain(|mutant| !is_survivor(mutant)),
        Some("survivors") => all.retain(is_survivor),
        Some(_) => {}
    }
    all.truncate(wanted.as_deref().map_or(SAMPLE, |count| count.parse().unwrap_or(total)));
    let mut survivors = Vec::new();
    for mutant in &all {
        let is_found = mutant.is_found();
        println!("{} {mutant}", if is_found { "found   " } else { "SURVIVED" });
        if !is_found {
            survivors.push(mutant.to_string());
        }
    }
    println!("{} of {total} mutants, {} survived", all.len(), survivors.len());
    assert!(wanted.is_some() || survivors.is_empty(), "{survivors:#?}");
}
