//! Scans: all kinds of ends, the best pool in every place, sizes around lanes, groups and tiles.

use orchestrator_core::limits::BYTES_MAX;
use orchestrator_core::rule::lane::{ClassLane, PoolLane};
use orchestrator_kernels::launch::Ends;
use orchestrator_kernels::records::Segment;

use crate::cases::{check_scan_jobs, check_scan_pools, segments};
use crate::device::Device;
use crate::native::Native;
use crate::random::Random;
use crate::world::{FROM_ALL, Job, Variety, World};

const SIZES: [u32; 18] = [0, 1, 2, 7, 8, 9, 31, 32, 33, 255, 256, 257, 263, 264, 511, 512, 513, 1100];

/// Pools that are equal, all worse than a planted one.
pub(crate) fn uniform(ends: Ends, pools: u32) -> World {
    let pool = PoolLane {
        first_token_us: 50_000,
        decode_q10: 20_000,
        prefill_q10: 300,
        milli_tps: 51_200,
        waves: if ends == Ends::Waiting { 3 } else { 0 },
        active_leases: 4,
        slots_free: 4,
    };
    let class = ClassLane { base: 60_000, start_us: 10_000, room_bytes: 1 << 34, spare_bytes: 1 << 34 };
    let job = Job {
        kv_bytes: 1 << 30,
        spread_hash: 0,
        prompt_tokens: 700,
        output_tokens: 300,
        view: 0,
        from: FROM_ALL,
        segments: vec![Segment { start: 0, end: pools, preferred: 0 }],
    };
    World {
        ends,
        quantum_shift: 10,
        spreads: false,
        pools: vec![pool; pools as usize],
        spread_hashes: vec![0; pools as usize],
        views: vec![vec![class; pools as usize]],
        gap: 3,
        jobs: vec![job],
    }
}

/// What makes one pool better than its equals, by one word of the key each; and what makes it look better only.
pub(crate) const PLANTS: [fn(&mut PoolLane, &mut ClassLane); 6] = [
    |_, class| (class.base, class.start_us) = (55_000, 5_000),
    |pool, _| pool.active_leases = 1,
    |pool, _| pool.slots_free = 5,
    |_, class| class.spare_bytes += 1,
    |pool, _| pool.milli_tps += 1,
    |pool, class| (pool.decode_q10, class.base, class.room_bytes) = (0, 0, 0),
];

/// `uniform` with the pool at `rank` changed.
pub(crate) fn planted(ends: Ends, pools: u32, rank: u32, plant: fn(&mut PoolLane, &mut ClassLane)) -> World {
    let mut world = uniform(ends, pools);
    plant(&mut world.pools[rank as usize], &mut world.views[0][rank as usize]);
    world
}

/// Pools of one end that differ by steps of all other parts of the key, and jobs that look at some of them.
/// With few steps words are often equal; with many, a word decides against the ones behind it.
pub(crate) fn nearly_uniform(random: &mut Random, ends: Ends, steps: u32, pools: u32, jobs: u32) -> World {
    let mut world = uniform(ends, pools);
    for (pool, class) in world.pools.iter_mut().zip(&mut world.views[0]) {
        pool.active_leases = random.pick(&[3, 4]);
        pool.slots_free = random.pick(&[4, 5]);
        pool.milli_tps += random.below_u32(steps);
        class.spare_bytes += random.below(steps.into());
    }
    let job = world.jobs[0].clone();
    world.jobs = (0..jobs).map(|_| Job { segments: segments(random, pools, 3), ..job.clone() }).collect();
    world
}

pub(crate) fn check_random(device: &mut dyn Device, random: &mut Random, ends: Ends, pools: u32, jobs: u32) {
    for variety in Variety::ALL {
        let views = 1 + random.below_u32(3);
        let mut world = World::random(random, ends, variety, pools, jobs, views);
        let parts = 1 + random.below_u32(5);
        check_scan_jobs(device, &world, parts);
        for job in &mut world.jobs {
            if random.one_in(2) {
                job.segments = segments(random, pools, 6);
            }
        }
        check_scan_pools(device, &world, parts);
    }
}

#[test]
fn all_sizes_all_ends() {
    let (mut device, mut random) = (Native::new(1), Random::new(1));
    for ends in Ends::ALL {
        for pools in SIZES {
            check_random(&mut device, &mut random, ends, pools, 150);
        }
    }
}

#[test]
fn blocks_full_of_jobs() {
    let (mut device, mut random) = (Native::new(2), Random::new(2));
    for ends in Ends::ALL {
        check_random(&mut device, &mut random, ends, 100, 3000);
    }
}

#[test]
fn the_best_pool_in_every_place() {
    let mut device = Native::new(3);
    for ends in Ends::ALL {
        for rank in 0..530 {
            for plant in PLANTS {
                let world = planted(ends, 530, rank, plant);
                check_scan_pools(&mut device, &world, 1);
                if rank % 8 == 0 || rank % 256 > 250 {
                    check_scan_jobs(&mut device, &world, 1);
                }
            }
        }
    }
}

#[test]
fn equal_pools_are_told_apart_by_rank() {
    let mut device = Native::new(4);
    for ends in Ends::ALL {
        for pools in SIZES {
            for parts in 1..=4 {
                check_scan_jobs(&mut device, &uniform(ends, pools), parts);
                check_scan_pools(&mut device, &uniform(ends, pools), parts);
            }
        }
    }
}

#[test]
fn nearly_equal_pools_are_told_apart_by_each_word() {
    let (mut device, mut random) = (Native::new(8), Random::new(8));
    for ends in Ends::ALL {
        for steps in [2, 1000] {
            check_scan_pools(&mut device, &nearly_uniform(&mut random, ends, steps, 1500, 200), 1);
        }
    }
}

#[test]
fn a_policy_that_spreads_picks_by_job() {
    let (mut device, mut random) = (Native::new(5), Random::new(5));
    let mut world = uniform(Ends::Plain, 300);
    world.spreads = true;
    world.spread_hashes.fill_with(|| random.bits());
    let job = world.jobs[0].clone();
    world.jobs = (0..1500).map(|_| Job { spread_hash: random.bits(), ..job.clone() }).collect();
    check_scan_jobs(&mut device, &world, 2);
    check_scan_pools(&mut device, &world, 2);
}

#[test]
fn jobs_that_fit_to_the_byte() {
    let mut device = Native::new(6);
    for kv_bytes in [0, 1, (1 << 34) - 2, (1 << 34) - 1, 1 << 34, BYTES_MAX] {
        let mut world = uniform(Ends::Plain, 40);
        world.jobs[0].kv_bytes = kv_bytes;
        check_scan_jobs(&mut device, &world, 1);
        check_scan_pools(&mut device, &world, 1);
    }
}

#[test]
fn preferred_pools_come_first() {
    let mut device = Native::new(7);
    for ends in Ends::ALL {
        for preferred in [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]] {
            // A pool that is not preferred is the best by all other parts of the key.
            let mut world = planted(ends, 600, 599, PLANTS[0]);
            let cuts = [(0, 100), (100, 300), (450, 600)];
            let cuts = cuts.into_iter().zip(preferred);
            world.jobs[0].segments = cuts.map(|((start, end), preferred)| Segment { start, end, preferred }).collect();
            check_scan_pools(&mut device, &world, 1);
            check_scan_pools(&mut device, &world, 7);
        }
    }
}
