//! Worlds, run on a device and compared with the oracle: what each kind of test repeats.

use orchestrator_core::rule::key::Key;
use orchestrator_kernels::launch::JOBS_PER_BLOCK;
use orchestrator_kernels::records::{Found, Segment};

use crate::device::Device;
use crate::random::Random;
use crate::world::World;

/// The job-tiled scan of all jobs, joined, against the oracle. Jobs look at all pools, none preferred.
pub(crate) fn check_scan_jobs(device: &mut dyn Device, world: &World, parts: u32) {
    let (tables, places) = world.tables_by_view(parts);
    let jobs = u32::try_from(tables.jobs.len()).expect("few jobs");
    let found = device.scan(world.ends.scan_jobs(), jobs / JOBS_PER_BLOCK * parts, &tables);
    let joined = if parts == 1 { found } else { device.merge_parts(&found, jobs, parts) };
    for (job, &place) in world.jobs.iter().zip(&places) {
        assert_eq!(joined[place], world.found(job), "{job:?} of {:?}, {parts} parts", world.ends);
    }
    for (place, found) in joined.iter().enumerate() {
        assert!(places.contains(&place) || *found == Found::NONE, "a job that fills up: {found:?}");
    }
}

/// The pool-tiled scan of all jobs, joined, against the oracle.
pub(crate) fn check_scan_pools(device: &mut dyn Device, world: &World, parts: u32) {
    let tables = world.tables(parts);
    let jobs = u32::try_from(tables.jobs.len()).expect("few jobs");
    let found = device.scan(world.ends.scan_pools(), jobs * parts, &tables);
    let joined = if parts == 1 { found } else { device.merge_parts(&found, jobs, parts) };
    for (job, found) in world.jobs.iter().zip(joined) {
        assert_eq!(found, world.found(job), "{job:?} of {:?}, {parts} parts", world.ends);
    }
}

/// Lists of some depth, two keys a launch, against the oracle.
pub(crate) fn check_lists(device: &mut dyn Device, world: &World, depth: usize) {
    assert!(depth.is_multiple_of(2), "a launch finds two");
    let mut world = world.clone();
    let mut lists: Vec<Vec<Key>> = vec![Vec::new(); world.jobs.len()];
    for _ in 0..depth / 2 {
        let found = device.scan(world.ends.scan_pools(), u32::try_from(lists.len()).expect("few"), &world.tables(1));
        for ((job, list), found) in world.jobs.iter_mut().zip(&mut lists).zip(found) {
            list.extend(&found.keys[..found.keys_len as usize]);
            if let Some(last) = list.last() {
                job.from = Key::from_words(last.words(), last.rank() + 1);
            }
        }
    }
    for (job, list) in world.jobs.iter().zip(lists) {
        let keys = world.keys(job);
        assert_eq!(list, keys[..depth.min(keys.len())], "{job:?} of {:?}", world.ends);
    }
}

/// Ascending segments of `pools` pools, some preferred, some between them left out.
pub(crate) fn segments(random: &mut Random, pools: u32, most: u64) -> Vec<Segment> {
    let mut cuts: Vec<_> = (0..random.below(2 * most + 1)).map(|_| random.below_u32(pools + 1)).collect();
    cuts.sort_unstable();
    let pairs = cuts.chunks_exact(2);
    pairs.map(|cut| Segment { start: cut[0], end: cut[1], preferred: random.below_u32(2) }).collect()
}
