//! The committed image, run by the PTX interpreter: the bytes that ship, over the cases that the bodies pass.
//!
//! Each table is an allocation of its own, so that a kernel that leaves one is stopped. An empty table has no address.

use bytemuck::{Pod, Zeroable};
use orchestrator_kernels::launch::{Ends, MERGE_PARTS, PATCH_POOLS, PATCH_VIEWS, REPORT, THREADS};
use orchestrator_kernels::records::{Found, PoolChange, PoolCold, PoolHot, ViewChange, ViewCold, ViewHot};
use orchestrator_kernels::{Contract, IMAGE};
use orchestrator_ptx_interpreter::{DEFAULT_BUDGET, Launch, Memory, Module, launch_within};

use crate::cases::{check_scan_jobs, check_scan_pools};
use crate::device::{Device, UNWRITTEN};
use crate::fleets::check_fleet;
use crate::hostile::check_hostile;
use crate::joins::{check_merge, check_patches};
use crate::lists::check_random_lists;
use crate::random::Random;
use crate::scans::{PLANTS, check_random, nearly_uniform, planted, uniform};
use crate::world::{Tables, Variety, World};

pub(crate) struct Interpreter {
    module: Module,
    memory: Memory,
    seed: u64,
    budget: u64,
}

impl Interpreter {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(IMAGE, seed, DEFAULT_BUDGET)
    }

    /// Another image, of whose threads none takes more than `budget` instructions.
    pub(crate) fn of(image: &str, seed: u64, budget: u64) -> Self {
        let module = Module::parse(image).expect("the image is PTX that the interpreter knows");
        Self { module, memory: Memory::new(1 << 30), seed, budget }
    }

    /// A table in the device's memory.
    fn upload<T: Pod>(&mut self, records: &[T]) -> u64 {
        let bytes: &[u8] = bytemuck::cast_slice(records);
        if bytes.is_empty() {
            return 0;
        }
        let address = self.memory.alloc(bytes.len() as u64).expect("there is memory");
        self.memory.write(address, bytes).expect("it was allocated");
        address
    }

    fn download<T: Pod>(&mut self, address: u64, records: &mut [T]) {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(records);
        if !bytes.is_empty() {
            self.memory.read(address, bytes).expect("it was written");
        }
    }

    /// Launches a kernel, lays out its arguments as its entry says, and gives all memory back to the next launch.
    fn launch(&mut self, kernel: &str, blocks: u32, arguments: &[u64]) {
        let entry = self.module.entry(kernel).unwrap_or_else(|| panic!("no kernel {kernel}"));
        assert_eq!(entry.params().len(), arguments.len(), "{kernel}");
        let mut bytes = vec![0; entry.param_bytes()];
        for (param, argument) in entry.params().iter().zip(arguments) {
            let argument = argument.to_le_bytes();
            let (value, rest) = argument.split_at(param.bytes);
            assert!(rest.iter().all(|&byte| byte == 0), "{kernel}: an argument of {} bytes", param.bytes);
            bytes[param.offset..param.offset + param.bytes].copy_from_slice(value);
        }
        if blocks == 0 {
            return;
        }
        self.seed += 1;
        let (grid, block) = ([blocks, 1, 1], [THREADS, 1, 1]);
        let shape = Launch { grid, block, dynamic_shared_bytes: 0, order_seed: self.seed };
        if let Err(fault) = launch_within(&self.module, kernel, &shape, &bytes, &mut self.memory, self.budget) {
            panic!("{kernel}: {fault}");
        }
    }
}

impl Device for Interpreter {
    fn scan(&mut self, kernel: &str, blocks: u32, tables: &Tables) -> Vec<Found> {
        self.memory = Memory::new(1 << 30);
        let mut found = vec![UNWRITTEN; tables.jobs.len() * tables.parts as usize];
        let answers = self.upload(&found);
        let arguments = [
            self.upload(&tables.pool_hot),
            self.upload(&tables.pool_cold),
            tables.pool_hot.len() as u64,
            self.upload(&tables.view_hot),
            self.upload(&tables.view_cold),
            tables.views.into(),
            tables.stride.into(),
            self.upload(&tables.jobs),
            tables.jobs.len() as u64,
            self.upload(&tables.segments),
            tables.segments.len() as u64,
            tables.parts.into(),
            tables.pools_per_part.into(),
            tables.quantum_shift.into(),
            tables.spreads.into(),
            answers,
        ];
        self.launch(kernel, blocks, &arguments);
        self.download(answers, &mut found);
        found
    }

    fn merge_parts(&mut self, parts_found: &[Found], jobs: u32, parts: u32) -> Vec<Found> {
        self.memory = Memory::new(1 << 30);
        let mut found = vec![UNWRITTEN; jobs as usize];
        let arguments = [self.upload(parts_found), jobs.into(), parts.into(), self.upload(&found)];
        self.launch(MERGE_PARTS, jobs.div_ceil(THREADS), &arguments);
        self.download(arguments[3], &mut found);
        found
    }

    fn patch_pools(&mut self, changes: &[PoolChange], hot: &mut [PoolHot], cold: &mut [PoolCold]) {
        self.memory = Memory::new(1 << 30);
        let (changes_len, pools) = (changes.len() as u64, hot.len() as u64);
        let arguments = [self.upload(changes), changes_len, self.upload(hot), self.upload(cold), pools];
        self.launch(PATCH_POOLS, blocks_of(changes.len()), &arguments);
        self.download(arguments[2], hot);
        self.download(arguments[3], cold);
    }

    fn patch_views(&mut self, changes: &[ViewChange], hot: &mut [ViewHot], cold: &mut [ViewCold]) {
        self.memory = Memory::new(1 << 30);
        let (changes_len, records) = (changes.len() as u64, hot.len() as u64);
        let arguments = [self.upload(changes), changes_len, self.upload(hot), self.upload(cold), records];
        self.launch(PATCH_VIEWS, blocks_of(changes.len()), &arguments);
        self.download(arguments[2], hot);
        self.download(arguments[3], cold);
    }

    fn report(&mut self) -> Contract {
        self.memory = Memory::new(1 << 30);
        let mut contract = [Contract::zeroed()];
        let address = self.upload(&contract);
        self.launch(REPORT, 1, &[address]);
        self.download(address, &mut contract);
        contract[0]
    }
}

fn blocks_of(threads: usize) -> u32 {
    u32::try_from(threads).expect("few threads").div_ceil(THREADS)
}

#[test]
fn the_image_tells_its_contract() {
    assert_eq!(Interpreter::new(1).report(), Contract::CURRENT);
}

#[test]
fn the_image_joins_and_patches() {
    let (mut device, mut random) = (Interpreter::new(2), Random::new(40));
    for (jobs, parts) in [(1, 1), (1, 9), (300, 3)] {
        check_merge(&mut device, &mut random, jobs, parts);
    }
    for (records, changes) in [(0, 10), (1, 1), (300, 257)] {
        check_patches(&mut device, &mut random, records, changes);
    }
}

#[test]
fn the_image_scans_all_sizes() {
    let (mut device, mut random) = (Interpreter::new(3), Random::new(41));
    for ends in Ends::ALL {
        for pools in [0, 1, 7, 9, 33] {
            check_random(&mut device, &mut random, ends, pools, 12);
        }
    }
}

#[test]
fn the_image_finds_the_best_pool_in_every_lane() {
    let mut device = Interpreter::new(4);
    for (place, rank) in [0, 1, 31, 32, 100, 127, 128, 200, 255, 256, 257, 263, 264].into_iter().enumerate() {
        for ends in Ends::ALL {
            let world = planted(ends, 265, rank, PLANTS[place % PLANTS.len()]);
            check_scan_pools(&mut device, &world, 1);
        }
    }
    for ends in Ends::ALL {
        check_scan_jobs(&mut device, &planted(ends, 260, 258, PLANTS[4]), 1);
        check_scan_pools(&mut device, &uniform(ends, 300), 3);
    }
}

/// More pools than a block has threads, and than its threads read ahead: each keeps some of several.
#[test]
fn the_image_scans_pools_in_several_rounds() {
    let (mut device, mut random) = (Interpreter::new(10), Random::new(47));
    for ends in Ends::ALL {
        for variety in Variety::ALL {
            let world = World::random(&mut random, ends, variety, 2200, 10, 2);
            check_scan_pools(&mut device, &world, 1);
        }
        for (plant, rank) in PLANTS.into_iter().zip([300, 600, 900, 1030, 1099, 255]) {
            check_scan_pools(&mut device, &planted(ends, 1100, rank, plant), 1);
        }
        check_scan_pools(&mut device, &uniform(ends, 1100), 1);
        for steps in [2, 1000] {
            check_scan_pools(&mut device, &nearly_uniform(&mut random, ends, steps, 1500, 30), 1);
        }
    }
    check_random_lists(&mut device, &mut random, 1500, 2);
}

#[test]
fn the_image_decides_as_the_core() {
    let (mut device, mut random) = (Interpreter::new(8), Random::new(45));
    for _ in 0..8 {
        check_fleet(&mut device, &mut random);
    }
}

#[test]
fn the_image_lists_sixteen() {
    check_random_lists(&mut Interpreter::new(5), &mut Random::new(42), 40, 3);
}

#[test]
fn the_image_keeps_to_its_tables() {
    let (mut device, mut random) = (Interpreter::new(6), Random::new(43));
    for round in 0..10 {
        check_hostile(&mut device, &mut random, round * 17, 1 + round % 3);
    }
}

/// 1024 jobs on 520 pools, once for each of the ends, and 100 jobs on 300 pools: more than two million pairs.
#[test]
fn the_image_decides_millions_of_pairs() {
    let (mut device, mut random) = (Interpreter::new(7), Random::new(44));
    for (ends, parts) in Ends::ALL.into_iter().zip([1, 2, 1, 2]) {
        let world = World::random(&mut random, ends, Variety::Wide, 520, 1024, 1);
        check_scan_jobs(&mut device, &world, parts);
    }
    let world = World::random(&mut random, Ends::Plain, Variety::Ties, 300, 100, 2);
    check_scan_pools(&mut device, &world, 2);
}

#[test]
fn the_image_spreads() {
    let (mut device, mut random) = (Interpreter::new(9), Random::new(46));
    for ends in Ends::ALL {
        let mut world = World::random(&mut random, ends, Variety::Ties, 50, 600, 1);
        world.spreads = true;
        check_scan_jobs(&mut device, &world, 1);
        world.jobs.truncate(20);
        check_scan_pools(&mut device, &world, 1);
    }
}
