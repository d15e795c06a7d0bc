//! Lists longer than two keys, continued launch by launch.

use orchestrator_kernels::launch::Ends;

use crate::cases::{check_lists, segments};
use crate::device::Device;
use crate::native::Native;
use crate::random::Random;
use crate::scans::uniform;
use crate::world::{Variety, World};

pub(crate) fn check_random_lists(device: &mut dyn Device, random: &mut Random, pools: u32, jobs: u32) {
    for (ends, variety) in Ends::ALL.into_iter().flat_map(|ends| Variety::ALL.map(|variety| (ends, variety))) {
        let mut world = World::random(random, ends, variety, pools, jobs, 2);
        for job in &mut world.jobs {
            if random.one_in(2) {
                job.segments = segments(random, pools, 4);
            }
        }
        check_lists(device, &world, 16);
    }
}

#[test]
fn lists_of_sixteen_keys() {
    let (mut device, mut random) = (Native::new(1), Random::new(10));
    for pools in [0, 1, 15, 16, 17, 300, 700] {
        check_random_lists(&mut device, &mut random, pools, 40);
    }
}

#[test]
fn lists_of_equal_pools() {
    for ends in Ends::ALL {
        check_lists(&mut Native::new(2), &uniform(ends, 600), 16);
    }
}
