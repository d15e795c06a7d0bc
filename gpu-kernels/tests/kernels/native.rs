//! The bodies on the CPU, blocks and threads in random orders.

use bytemuck::Zeroable;
use orchestrator_kernels::bodies::{
    self, Arithmetic, LEADERS_CHUNKS, LINE_CHUNKS, Plain, Saturating, Static, Waiting, merge_parts,
};
use orchestrator_kernels::launch::{Ends, THREADS};
use orchestrator_kernels::native::{NativeBlock, NativeTile};
use orchestrator_kernels::records::{Found, PoolChange, PoolCold, PoolHot, ViewChange, ViewCold, ViewHot};
use orchestrator_kernels::{Contract, Scan};

use crate::device::{Device, UNWRITTEN};
use crate::random::Random;
use crate::world::Tables;

pub(crate) struct Native(Random);

impl Native {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// The blocks of a grid, each once.
    fn blocks(&mut self, blocks: u32) -> Vec<NativeBlock> {
        let mut order: Vec<_> = (0..blocks).collect();
        self.0.shuffle(&mut order);
        order.into_iter().map(|index| NativeBlock::new(index, self.0.below_u32(u32::MAX))).collect()
    }

    fn threads(&mut self, threads: usize) -> Vec<NativeBlock> {
        self.blocks(u32::try_from(threads).expect("few threads").div_ceil(THREADS))
    }

    fn scan_for<E: Arithmetic>(&mut self, jobs: bool, blocks: u32, scan: &Scan<'_>, found: &mut [Found]) {
        for mut block in self.blocks(blocks) {
            if jobs {
                bodies::scan_jobs::<E, _>(&mut block, &mut NativeTile::<LINE_CHUNKS>::new(), scan, found);
            } else {
                bodies::scan_pools::<E, _>(&mut block, &mut NativeTile::<LEADERS_CHUNKS>::new(), scan, found);
            }
        }
    }
}

impl Device for Native {
    fn scan(&mut self, kernel: &str, blocks: u32, tables: &Tables) -> Vec<Found> {
        let scan = tables.scan();
        let mut found = vec![UNWRITTEN; tables.jobs.len() * tables.parts as usize];
        let ends = Ends::ALL.into_iter().find(|ends| [ends.scan_jobs(), ends.scan_pools()].contains(&kernel));
        let ends = ends.unwrap_or_else(|| panic!("no kernel {kernel}"));
        let jobs = kernel == ends.scan_jobs();
        match ends {
            Ends::Plain => self.scan_for::<Plain>(jobs, blocks, &scan, &mut found),
            Ends::Saturating => self.scan_for::<Saturating>(jobs, blocks, &scan, &mut found),
            Ends::Waiting => self.scan_for::<Waiting>(jobs, blocks, &scan, &mut found),
            Ends::Static => self.scan_for::<Static>(jobs, blocks, &scan, &mut found),
        }
        found
    }

    fn merge_parts(&mut self, parts_found: &[Found], jobs: u32, parts: u32) -> Vec<Found> {
        let mut found = vec![UNWRITTEN; jobs as usize];
        for mut block in self.threads(jobs as usize) {
            merge_parts(&mut block, parts_found, jobs, parts, found.as_mut_slice());
        }
        found
    }

    fn patch_pools(&mut self, changes: &[PoolChange], hot: &mut [PoolHot], cold: &mut [PoolCold]) {
        for mut block in self.threads(changes.len()) {
            bodies::patch_pools(&mut block, changes, hot, cold);
        }
    }

    fn patch_views(&mut self, changes: &[ViewChange], hot: &mut [ViewHot], cold: &mut [ViewCold]) {
        for mut block in self.threads(changes.len()) {
            bodies::patch_views(&mut block, changes, hot, cold);
        }
    }

    fn report(&mut self) -> Contract {
        let mut contract = [Contract::zeroed()];
        for mut block in self.blocks(1) {
            bodies::report(&mut block, contract.as_mut_slice());
        }
        contract[0]
    }
}
