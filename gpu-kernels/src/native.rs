//! A block on the CPU: its threads one after the other, in any order.
//!
//! What a kernel answers must not depend on the order, so a test can try several.

use crate::block::{Block, Chunk, Output, Tile};
use crate::launch::THREADS;

const LEN: usize = THREADS as usize;

/// A block whose threads run one after the other.
#[derive(Debug, Clone)]
pub struct NativeBlock {
    index: u32,
    order: u32,
}

/// Shared memory of a [`NativeBlock`].
#[derive(Debug, Clone)]
pub struct NativeTile<const CHUNKS: usize>([[Chunk; CHUNKS]; LEN]);

impl NativeBlock {
    /// Block `index`; `order` chooses the orders of its threads.
    #[must_use]
    pub const fn new(index: u32, order: u32) -> Self {
        Self { index, order }
    }

    /// The threads in an order that differs from phase to phase.
    fn threads(&mut self) -> impl Iterator<Item = usize> + use<> {
        self.order = self.order.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // An odd stride visits each of a power of two once.
        let (first, stride) = ((self.order >> 8) as usize, (self.order >> 20) as usize | 1);
        (0..LEN).map(move |step| (first + step * stride) % LEN)
    }
}

impl<const CHUNKS: usize> NativeTile<CHUNKS> {
    /// A tile of which nothing was written: what it holds must not matter.
    #[must_use]
    pub const fn new() -> Self {
        Self([[[0xdead_beef_dead_beef; 2]; CHUNKS]; LEN])
    }
}

impl<const CHUNKS: usize> Default for NativeTile<CHUNKS> {
    fn default() -> Self {
        Self::new()
    }
}

impl Block for NativeBlock {
    type Each<T: Copy> = [T; LEN];
    type Tile<const CHUNKS: usize> = NativeTile<CHUNKS>;

    fn index(&self) -> u32 {
        self.index
    }

    fn all<T: Copy>(&self, value: T) -> [T; LEN] {
        [value; LEN]
    }

    fn each<T: Copy>(&mut self, values: &mut [T; LEN], mut step: impl FnMut(u32, &mut T)) {
        for thread in self.threads() {
            step(number(thread), &mut values[thread]);
        }
    }

    fn share<const CHUNKS: usize, T: Copy>(
        &mut self,
        tile: &mut NativeTile<CHUNKS>,
        values: &[T; LEN],
        mut cell: impl FnMut(u32, &T) -> Option<[Chunk; CHUNKS]>,
    ) {
        for thread in self.threads() {
            if let Some(chunks) = cell(number(thread), &values[thread]) {
                tile.0[thread] = chunks;
            }
        }
    }
}

impl<const CHUNKS: usize> Tile<CHUNKS> for NativeTile<CHUNKS> {
    fn chunk(&self, cell: u32, chunk: usize) -> Chunk {
        self.0[cell as usize % LEN][chunk % CHUNKS]
    }
}

impl<T> Output<T> for [T] {
    fn put(&mut self, index: u64, value: T) {
        if let Some(place) = usize::try_from(index).ok().and_then(|index| self.get_mut(index)) {
            *place = value;
        }
    }
}

/// A thread's number is below [`THREADS`].
#[allow(clippy::cast_possible_truncation, reason = "see above")]
const fn number(thread: usize) -> u32 {
    thread as u32
}
