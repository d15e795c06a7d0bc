//! How much goes into a launch: as many jobs as there are and as many parts as keep the device busy, or less where memory
//! is short.
//!
//! Fewer blocks of jobs go in more parts, which want memory too. So the size is found anew after every attempt, and what
//! is launched is the size for which there was room.

use orchestrator_kernels::launch::JOBS_PER_BLOCK;

use super::fault::Fault;
use crate::batch::backend::DeviceFault;

/// Jobs of a launch, while there is memory for their records.
const JOBS_MAX: usize = 1 << 16;
/// Parts of a launch, while there is memory for what each of them finds: more than any device has blocks at work.
const PARTS_MAX: usize = 1 << 12;
/// With memory for fewer jobs there is none for a launch.
const JOBS_MIN: usize = JOBS_PER_BLOCK as usize;

/// What a launch takes at most: less after an attempt for which there was no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// A power of two of at least [`JOBS_MIN`].
    jobs: usize,
    /// At least one.
    parts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { jobs: JOBS_MAX, parts: PARTS_MAX }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Blocks of jobs.
    pub(super) blocks: usize,
    pub(super) jobs_per_block: usize,
    /// Blocks and parts together that keep the device busy.
    pub(super) grid: usize,
    /// Parts of which none is small.
    pub(super) parts_max: usize,
}

impl Wanted {
    /// A group in one part.
    pub(super) const SMALLEST: Self = Self { blocks: 1, jobs_per_block: JOBS_MIN, grid: 1, parts_max: 1 };
}

/// What a launch takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) blocks: usize,
    pub(super) jobs: usize,
    pub(super) parts: usize,
}

impl Limits {
    /// Finds a size for which `reserve` has room.
    pub(super) fn fit(
        &mut self,
        wanted: Wanted,
        mut reserve: impl FnMut(Size) -> Result<(), Fault>,
    ) -> Result<Size, Fault> {
        loop {
            let size = self.size(wanted);
            match reserve(size) {
                Err(fault) if fault.kind == DeviceFault::OutOfMemory && self.shrink(size) => {}
                reserved => return reserved.map(|()| size),
            }
        }
    }

    fn size(self, Wanted { blocks, jobs_per_block, grid, parts_max }: Wanted) -> Size {
        let blocks = blocks.min(self.jobs / jobs_per_block).max(1);
        let parts = grid.div_ceil(blocks).min(parts_max).min(self.parts).max(1);
        Size { blocks, jobs: blocks * jobs_per_block, parts }
    }

    /// Fewer jobs, and then fewer parts. Says whether there is a smaller size.
    const fn shrink(&mut self, size: Size) -> bool {
        if self.jobs > JOBS_MIN {
            self.jobs /= 2;
        } else if size.parts > 1 {
            self.parts = size.parts / 2;
        } else {
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceFault, Fault, JOBS_MIN, Limits, Size, Wanted};

    /// As the buffers of a launch: a record and a find of each job, and of several parts one more find of each.
    const fn bytes(size: Size) -> usize {
        let finds = if size.parts > 1 { 1 + size.parts } else { 1 };
        64 * size.jobs.next_power_of_two() * (1 + finds)
    }

    fn fit(limits: &mut Limits, wanted: Wanted, memory: usize) -> Result<Size, Fault> {
        limits.fit(wanted, |size| {
            let short = Fault { kind: DeviceFault::OutOfMemory, doing: "reserving", status: String::new() };
            if bytes(size) <= memory { Ok(()) } else { Err(short) }
        })
    }

    fn wanted(blocks: usize) -> Wanted {
        Wanted { blocks, jobs_per_block: JOBS_MIN, grid: 16, parts_max: 12 }
    }

    #[test]
    fn what_is_launched_is_what_there_is_room_for() {
        let smallest = bytes(Size { blocks: 1, jobs: JOBS_MIN, parts: 1 });
        for blocks in 1..=20 {
            for share in 1..=200 {
                let memory = smallest * share / 2;
                let found = fit(&mut Limits::default(), wanted(blocks), memory);
                if memory < smallest {
                    assert_eq!(found.map_err(|fault| fault.kind), Err(DeviceFault::OutOfMemory));
                } else {
                    let size = found.expect("there is room for the smallest");
                    assert!(bytes(size) <= memory && size.jobs == size.blocks * JOBS_MIN, "{size:?} in {memory}");
                    assert!((1..=blocks).contains(&size.blocks) && (1..=12).contains(&size.parts), "{size:?}");
                }
            }
        }
    }

    #[test]
    fn fewer_blocks_go_in_more_parts() {
        let four = bytes(Size { blocks: 4, jobs: 4 * JOBS_MIN, parts: 4 });
        let mut limits = Limits::default();
        assert_eq!(fit(&mut limits, wanted(4), four), Ok(Size { blocks: 4, jobs: 4 * JOBS_MIN, parts: 4 }));
        assert_eq!(fit(&mut limits, wanted(4), four - 1), Ok(Size { blocks: 2, jobs: 2 * JOBS_MIN, parts: 8 }));
        // A limit stays: the next launch begins there.
        assert_eq!(fit(&mut limits, wanted(4), usize::MAX), Ok(Size { blocks: 2, jobs: 2 * JOBS_MIN, parts: 8 }));
    }

    /// Only memory is a reason to try a smaller one.
    #[test]
    fn another_fault_ends_it() {
        let mut tries = 0;
        let lost = Fault { kind: DeviceFault::DeviceLost, doing: "reserving", status: String::new() };
        let found = Limits::default().fit(wanted(4), |_| {
            tries += 1;
            Err(lost.clone())
        });
        assert_eq!((found, tries), (Err(lost), 1));
    }
}
