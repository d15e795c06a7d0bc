//! Records that hold anything: no kernel leaves its tables, and every answer is written.

use bytemuck::Pod;
use orchestrator_kernels::launch::{Ends, JOBS_PER_BLOCK};
use orchestrator_kernels::records::{Found, JobLanes, Segment};

use crate::cases::check_scan_pools;
use crate::device::{Device, UNWRITTEN};
use crate::native::Native;
use crate::random::Random;
use crate::scans::uniform;
use crate::world::{Tables, Variety, World};

/// A record of random bytes; words are often all zeros or all ones.
fn any<T: Pod>(random: &mut Random) -> T {
    let mut record = T::zeroed();
    for byte in bytemuck::bytes_of_mut(&mut record).chunks_mut(4) {
        let word = random.bits().to_le_bytes();
        let word = random.pick(&[[0; 8], [0xff; 8], word, word]);
        byte.copy_from_slice(&word[..byte.len()]);
    }
    record
}

/// Tables of random bytes; the lengths are true.
pub(crate) fn hostile_tables(random: &mut Random, pools: u32, jobs: u32) -> Tables {
    let (views, stride) = (random.below_u32(4), random.pick(&[0, 1, pools / 2, pools, pools + 7]));
    let records = views as usize * stride as usize;
    let segments = random.below_u32(20);
    let mut tables = Tables {
        pool_hot: (0..pools).map(|_| any(random)).collect(),
        pool_cold: (0..pools).map(|_| any(random)).collect(),
        view_hot: (0..records).map(|_| any(random)).collect(),
        view_cold: (0..records).map(|_| any(random)).collect(),
        views,
        stride,
        jobs: (0..jobs).map(|_| any(random)).collect(),
        segments: (0..segments).map(|_| any(random)).collect(),
        parts: 1 + random.below_u32(4),
        pools_per_part: random.pick(&[0, 1, pools, u32::MAX]),
        quantum_shift: random.pick(&[0, 10, 63, 64, u32::MAX]),
        spreads: random.one_in(2),
    };
    for job in &mut tables.jobs {
        if random.one_in(2) {
            job.view = random.below_u32(views + 1);
            job.segment = random.below_u32(segments + 1);
        }
    }
    tables
}

/// Scans hostile tables; the answers of two devices, or of two orders, are the same.
pub(crate) fn check_hostile(device: &mut dyn Device, random: &mut Random, pools: u32, jobs: u32) {
    for ends in Ends::ALL {
        let tables = hostile_tables(random, pools, jobs);
        let mut native = Native::new(random.bits());
        // One block too many, and one that has fewer jobs than it holds.
        let blocks = jobs.div_ceil(JOBS_PER_BLOCK) * tables.parts + 1;
        let found = device.scan(ends.scan_jobs(), blocks, &tables);
        assert!(!found.contains(&UNWRITTEN));
        assert_eq!(found, native.scan(ends.scan_jobs(), blocks, &tables));

        let blocks = jobs * tables.parts + 1;
        let found = device.scan(ends.scan_pools(), blocks, &tables);
        assert!(!found.contains(&UNWRITTEN));
        assert_eq!(found, native.scan(ends.scan_pools(), blocks, &tables));
    }
}

#[test]
fn hostile_records_stay_in_their_tables() {
    let (mut device, mut random) = (Native::new(1), Random::new(30));
    for round in 0..60 {
        check_hostile(&mut device, &mut random, round * 11, 1 + round % 7);
    }
}

#[test]
fn a_job_of_no_view_finds_nothing() {
    let mut tables = uniform(Ends::Plain, 300).tables(1);
    for view in [1, u32::MAX] {
        tables.jobs[0].view = view;
        assert_eq!(Native::new(2).scan("scan_pools_plain", 1, &tables), [Found::NONE]);
        assert_eq!(Native::new(2).scan("scan_jobs_plain", 1, &tables), [Found::NONE]);
    }
}

#[test]
fn no_parts_are_no_work() {
    let mut tables = uniform(Ends::Plain, 300).tables(1);
    tables.parts = 0;
    assert_eq!(Native::new(3).scan("scan_pools_plain", 1, &tables), []);
    assert_eq!(Native::new(3).scan("scan_jobs_plain", 1, &tables), []);
}

#[test]
fn segments_beyond_the_pools_and_the_table() {
    let (mut device, mut random) = (Native::new(4), Random::new(31));
    let world = World::random(&mut random, Ends::Plain, Variety::Ties, 300, 1, 1);
    check_scan_pools(&mut device, &world, 1);
    let whole = device.scan("scan_pools_plain", 1, &world.tables(1));

    let mut tables = world.tables(1);
    tables.segments[0].end = u32::MAX;
    assert_eq!(device.scan("scan_pools_plain", 1, &tables), whole);
    tables.jobs[0].segments = u32::MAX;
    assert_eq!(device.scan("scan_pools_plain", 1, &tables), whole);
    for segment in [Segment { start: 300, end: u32::MAX, preferred: 0 }, Segment { start: 9, end: 3, preferred: 1 }] {
        tables.segments[0] = segment;
        assert_eq!(device.scan("scan_pools_plain", 1, &tables), [Found::NONE]);
    }
    tables.jobs[0] = JobLanes { segment: u32::MAX, ..tables.jobs[0] };
    assert_eq!(device.scan("scan_pools_plain", 1, &tables), [Found::NONE]);
}
