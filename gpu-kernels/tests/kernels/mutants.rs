//! Mistakes of one instruction, planted into the committed image: the cases of these tests have to find them.
//!
//! An ordinary run plants [`SAMPLE`] of those that `found.txt` lists, and wants all found again. `survivors.txt` lists
//! those that were not found, and why each of them cannot be. `ORCHESTRATOR_MUTANTS=N` plants N of all and prints which
//! survive, `found` or `survivors` all of that file again. Both files are of the image that `survivors.txt` names; how far
//! they may be behind is checked below.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use orchestrator_kernels::IMAGE;
use orchestrator_kernels::image::Stamp;
use orchestrator_kernels::launch::Ends;
use orchestrator_kernels::records::Segment;

use crate::cases::{check_scan_jobs, check_scan_pools, segments};
use crate::hostile::check_hostile;
use crate::interpreted::Interpreter;
use crate::joins::{check_merge, check_patches};
use crate::lists::check_random_lists;
use crate::mutant::{Mutant, mutants};
use crate::random::Random;
use crate::scans::{PLANTS, nearly_uniform, planted, uniform};
use crate::world::{Job, Variety, World};

/// Mutants of an ordinary run.
const SAMPLE: usize = 20;
/// Mutants that were found, a name each.
const FOUND: &str = include_str!("found.txt");
/// Mutants that survived, a name each, below what explains them.
const SURVIVORS: &str = include_str!("survivors.txt");
/// Instructions of one thread: a mutant that never ends is found too.
const BUDGET: u64 = 1 << 21;

/// The names in one of the files.
fn names(file: &'static str) -> BTreeSet<&'static str> {
    file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Whether the cases tell the image from the true one.
fn is_found(mutant: &Mutant) -> bool {
    let image = mutant.image();
    let check = || check_kernel(&mutant.kernel, &mut Interpreter::of(&image, 70, BUDGET));
    catch_unwind(AssertUnwindSafe(check)).is_err()
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
        check_scan_jobs(device, &in_one_bucket(close(random, ends, steps)), 1);
    }
    for short_bytes in [0, 1] {
        let mut world = at_the_edge_of_rooms(uniform(ends, 20), short_bytes);
        world.jobs = vec![world.jobs[0].clone(); 1024];
        check_scan_jobs(device, &world, 1);
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

/// Under a quantum above all ends that are known, the words behind the end decide.
fn in_one_bucket(mut world: World) -> World {
    world.quantum_shift = 60;
    world
}

/// Jobs that are `short_bytes` below the room of every pool: with 0 they fit nowhere. No record lies behind the last view.
fn at_the_edge_of_rooms(mut world: World, short_bytes: u64) -> World {
    world.gap = 0;
    for job in &mut world.jobs {
        job.kv_bytes = world.views[0][0].room_bytes - short_bytes;
    }
    world
}

/// Each of the first threads sees one pool of each segment, and the two are equal.
fn uniform_in_two_segments(ends: Ends) -> World {
    let mut world = uniform(ends, 300);
    world.jobs[0].segments = [(0, 256), (256, 300)].map(|(start, end)| Segment { start, end, preferred: 0 }).to_vec();
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
    check_scan_pools(device, &uniform_in_two_segments(ends), 1);
    for short_bytes in [0, 1] {
        check_scan_pools(device, &at_the_edge_of_rooms(uniform(ends, 1100), short_bytes), 1);
    }
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
    let mut all = mutants();
    let total = all.len();
    Random::new(72).shuffle(&mut all);
    let count = match wanted.as_deref() {
        None => SAMPLE,
        Some(count) => count.parse().unwrap_or(total),
    };
    match wanted.as_deref() {
        None | Some("found") => all.retain(|mutant| names(FOUND).contains(&*mutant.name)),
        Some("survivors") => all.retain(|mutant| names(SURVIVORS).contains(&*mutant.name)),
        Some(_) => {}
    }
    all.truncate(count);
    let mut survivors = Vec::new();
    for mutant in &all {
        let is_found = is_found(mutant);
        println!("{} line {}: {}", if is_found { "found   " } else { "SURVIVED" }, mutant.line, mutant.name);
        if !is_found {
            survivors.push(&mutant.name);
        }
    }
    println!("{} of {total} mutants, {} survived", all.len(), survivors.len());
    assert!(wanted.is_some() || survivors.is_empty(), "{survivors:#?}");
}

/// What the files say is of this image, or of one that is nearly the same. If this fails: plant 201 again; `found.txt` are
/// the names of those found, in `survivors.txt` each of the others needs a reason and the image its stamp.
#[test]
fn what_is_known_of_mutants_is_of_this_image() {
    let image: BTreeSet<_> = mutants().into_iter().map(|mutant| mutant.name).collect();
    let known: BTreeSet<_> = names(FOUND).union(&names(SURVIVORS)).copied().collect();
    assert_eq!(known.len(), names(FOUND).len() + names(SURVIVORS).len(), "a mutant is found and survives");
    let gone: Vec<_> = known.iter().filter(|name| !image.contains(**name)).collect();
    let stamp = Stamp::of(IMAGE).expect("a stamp");
    let is_same_image = SURVIVORS.lines().any(|line| line == format!("# image of sources {}", stamp.sources));
    let gone_max = if is_same_image { 0 } else { known.len() / 4 };
    assert!(known.len() - gone.len() >= 150 && gone.len() <= gone_max, "not in the image any more: {gone:#?}");
}
