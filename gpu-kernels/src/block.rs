//! The threads of a block, as the bodies of kernels see them: they go phase by phase, and meet after each.
//!
//! What stands between two phases is computed from what all threads share, so all of them take the same phases: a
//! barrier is never missed by one. A tile is written by one kind of phase and read by the other, so no thread reads what
//! another one is writing. That makes the bodies safe code, which runs on a device and on a CPU alike
//! ([`native`](crate::native)).

use crate::launch::THREADS;

/// What a device moves between a thread and shared memory at once.
pub type Chunk = [u64; 2];

/// A block of [`THREADS`] threads.
pub trait Block {
    /// One value for each thread.
    type Each<T: Copy>;
    /// Shared memory: a cell of some chunks for each thread.
    type Tile<const CHUNKS: usize>: Tile<CHUNKS>;

    /// Which block of the grid it is.
    fn index(&self) -> u32;

    /// The same value for each thread.
    fn all<T: Copy>(&self, value: T) -> Self::Each<T>;

    /// A phase: each thread, known by its number, takes a step on its own value.
    fn each<T: Copy>(&mut self, values: &mut Self::Each<T>, step: impl FnMut(u32, &mut T));

    /// `sum + left * right`, modulo 2^64.
    ///
    /// This and [`count`](Self::count) are one instruction of a device each; compilers do not always find it.
    #[inline(always)] // Twice per pair of every batch.
    fn multiply_add(left: u32, right: u32, sum: u64) -> u64 {
        sum.wrapping_add(u64::from(left).wrapping_mul(right.into()))
    }

    /// `count`, or one more if `one_more`; modulo 2^32.
    #[inline(always)] // Once per pair of every batch.
    fn count(count: u32, one_more: bool) -> u32 {
        count.wrapping_add(one_more.into())
    }

    /// A phase in which each thread may write its own cell.
    fn share<const CHUNKS: usize, T: Copy>(
        &mut self,
        tile: &mut Self::Tile<CHUNKS>,
        values: &Self::Each<T>,
        cell: impl FnMut(u32, &T) -> Option<[Chunk; CHUNKS]>,
    );
}

/// Cells in shared memory. What was not written holds anything.
pub trait Tile<const CHUNKS: usize> {
    /// Chunk `chunk` of cell `cell`; of another one where there is no such cell or chunk.
    fn chunk(&self, cell: u32, chunk: usize) -> Chunk;
}

/// Where a kernel writes records; other threads write others.
pub trait Output<T> {
    /// Writes record `index`, if there is one.
    fn put(&mut self, index: u64, value: T);
}

/// The number of a thread among those of all blocks.
pub(crate) fn place(block: u32, thread: u32) -> u64 {
    u64::from(block) * u64::from(THREADS) + u64::from(thread)
}
