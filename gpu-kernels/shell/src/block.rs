//! A block of the device: each thread takes its own steps, and a barrier ends each phase.

use core::arch::{asm, global_asm, nvptx};

use orchestrator_kernels::block::{Block, Chunk, Tile};
use orchestrator_kernels::launch::THREADS;

/// Chunks of a cell of the one tile that a kernel has; kernels without one do not name it.
const CHUNKS_MAX: usize = 4;
const CHUNK_BYTES: u32 = 16;

global_asm!(".shared .align 16 .b8 orchestrator_tile[{bytes}];", bytes = const THREADS as usize * CHUNKS_MAX * 16);

/// The block that runs the kernel.
pub(crate) struct DeviceBlock(());

/// The shared memory of a kernel, used in cells of some chunks.
pub(crate) struct SharedTile<const CHUNKS: usize>(());

impl DeviceBlock {
    /// # Safety
    /// Once in a kernel, with [`THREADS`] threads in each block.
    pub(crate) const unsafe fn new() -> Self {
        Self(())
    }
}

impl<const CHUNKS: usize> SharedTile<CHUNKS> {
    /// # Safety
    /// Once in a kernel.
    pub(crate) const unsafe fn new() -> Self {
        const { assert!(CHUNKS <= CHUNKS_MAX) };
        Self(())
    }

    /// The place of a chunk in shared memory: always inside the tile.
    #[inline(always)]
    fn place(cell: u32, chunk: usize) -> u32 {
        let tile: u32;
        // SAFETY: reads an address.
        unsafe { asm!("mov.u32 {0}, orchestrator_tile;", out(reg32) tile, options(pure, nomem, nostack)) };
        tile + ((cell % THREADS) * CHUNKS as u32 + (chunk % CHUNKS) as u32) * CHUNK_BYTES
    }
}

impl<const CHUNKS: usize> Tile<CHUNKS> for SharedTile<CHUNKS> {
    #[inline(always)]
    fn chunk(&self, cell: u32, chunk: usize) -> Chunk {
        let (low, high): (u64, u64);
        // SAFETY: inside the tile and aligned. Nobody writes: that takes the tile exclusively, behind a barrier.
        unsafe {
            asm!("ld.shared.v2.u64 {{{0}, {1}}}, [{2}];", out(reg64) low, out(reg64) high, in(reg32) Self::place(cell, chunk),
                options(pure, readonly, nostack));
        }
        [low, high]
    }
}

impl Block for DeviceBlock {
    type Each<T: Copy> = T;
    type Tile<const CHUNKS: usize> = SharedTile<CHUNKS>;

    #[inline(always)]
    fn index(&self) -> u32 {
        // SAFETY: reads a register.
        unsafe { nvptx::_block_idx_x() as u32 }
    }

    #[inline(always)]
    fn all<T: Copy>(&self, value: T) -> T {
        value
    }

    #[inline(always)]
    fn each<T: Copy>(&mut self, value: &mut T, mut step: impl FnMut(u32, &mut T)) {
        step(thread(), value);
        barrier();
    }

    /// In halves with a carry: the assembler makes one multiply-add of them, but takes `mad.wide` apart to add the sum
    /// last.
    #[inline(always)]
    fn multiply_add(left: u32, right: u32, sum: u64) -> u64 {
        let result: u64;
        // SAFETY: arithmetic.
        unsafe {
            asm!(
                "{{",
                ".reg .b32 low, high;",
                "mov.b64 {{low, high}}, {sum};",
                "mad.lo.cc.u32 low, {left}, {right}, low;",
                "madc.hi.u32 high, {left}, {right}, high;",
                "mov.b64 {result}, {{low, high}};",
                "}}",
                left = in(reg32) left,
                right = in(reg32) right,
                sum = in(reg64) sum,
                result = lateout(reg64) result,
                options(pure, nomem, nostack),
            );
        }
        result
    }

    /// Predicated: the assembler does not find out that an added predicate is that.
    #[inline(always)]
    fn count(count: u32, one_more: bool) -> u32 {
        let mut result = count;
        // SAFETY: arithmetic.
        unsafe {
            asm!(
                "{{",
                ".reg .pred adds;",
                "setp.ne.u32 adds, {one_more}, 0;",
                "@adds add.u32 {result}, {result}, 1;",
                "}}",
                one_more = in(reg32) u32::from(one_more),
                result = inout(reg32) result,
                options(pure, nomem, nostack),
            );
        }
        result
    }

    #[inline(always)]
    fn share<const CHUNKS: usize, T: Copy>(
        &mut self,
        _: &mut SharedTile<CHUNKS>,
        value: &T,
        mut cell: impl FnMut(u32, &T) -> Option<[Chunk; CHUNKS]>,
    ) {
        if let Some(chunks) = cell(thread(), value) {
            for (chunk, [low, high]) in chunks.into_iter().enumerate() {
                let place = SharedTile::<CHUNKS>::place(thread(), chunk);
                // SAFETY: inside the tile and aligned; the cell is this thread's, and the others read it behind the
                // barrier.
                unsafe {
                    asm!("st.shared.v2.u64 [{0}], {{{1}, {2}}};", in(reg32) place, in(reg64) low, in(reg64) high,
                        options(nostack));
                }
            }
        }
        barrier();
    }
}

#[inline(always)]
fn thread() -> u32 {
    // SAFETY: reads a register.
    unsafe { nvptx::_thread_idx_x() as u32 }
}

/// Every thread comes here: what stands between phases is the same for all.
#[inline(always)]
fn barrier() {
    // SAFETY: waits; what was written before is seen behind it.
    unsafe { asm!("bar.sync 0;", options(nostack)) }
}
