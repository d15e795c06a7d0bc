//! Global memory: what a host allocates, fills and reads back, and the variables of modules.

use std::collections::BTreeMap;

use thiserror::Error;

use super::region::{Refusal, Region};
use super::windows::{CODE_START, GLOBAL_END, GLOBAL_START};
use crate::program::{Image, Operand};

/// Allocations start at multiples of this.
const ALIGNMENT: u64 = 256;
/// Bytes between allocations that belong to none.
const GUARD: u64 = 4096;

/// Why a host cannot have, fill or read memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MemoryError {
    /// An allocation of no bytes.
    #[error("an allocation of no bytes")]
    Empty,
    /// More than the device has.
    #[error("{asked} bytes are asked for, {left} of the device are left")]
    OutOfMemory {
        /// The bytes asked for.
        asked: u64,
        /// The bytes that are left.
        left: u64,
    },
    /// An address that no live allocation starts at.
    #[error("no live allocation starts at {0:#x}")]
    NotAllocated(u64),
    /// Bytes that are not all inside of one live allocation.
    #[error("{bytes} bytes at {address:#x} are not all inside of one live allocation")]
    Stray {
        /// The first byte.
        address: u64,
        /// How many.
        bytes: usize,
    },
    /// Bytes that were never written.
    #[error("of {bytes} bytes at {address:#x} not all were written")]
    Unwritten {
        /// The first byte.
        address: u64,
        /// How many.
        bytes: usize,
    },
}

/// The global memory of a device.
///
/// Addresses are multiples of 256, never zero, and never given twice; between two allocations lies a gap that belongs to
/// none.
///
/// ```
/// use orchestrator_ptx_interpreter::{Memory, MemoryError};
///
/// let mut memory = Memory::new(1 << 20);
/// let address = memory.alloc(8)?;
/// assert_eq!(memory.read(address, &mut [0; 8]), Err(MemoryError::Unwritten { address, bytes: 8 }));
/// memory.write(address, &7u64.to_le_bytes())?;
/// let mut back = [0; 8];
/// memory.read(address, &mut back)?;
/// assert_eq!(u64::from_le_bytes(back), 7);
/// # Ok::<(), MemoryError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Memory {
    limit: u64,
    next: u64,
    live: u64,
    /// By address, ascending: new ones come last.
    regions: Vec<Region>,
    /// Where the variables of each module lie, by the module's number.
    modules: BTreeMap<u64, u64>,
    /// The region used last, which is likely the next one's.
    recent: usize,
}

impl Memory {
    /// The memory of a device with this many bytes.
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit: limit_bytes,
            next: GLOBAL_START,
            live: 0,
            regions: Vec::new(),
            modules: BTreeMap::new(),
            recent: 0,
        }
    }

    /// New bytes, not yet written.
    ///
    /// # Errors
    /// No bytes, or more than are left.
    pub fn alloc(&mut self, bytes: u64) -> Result<u64, MemoryError> {
        if bytes == 0 {
            return Err(MemoryError::Empty);
        }
        let left = (self.limit - self.live).min(GLOBAL_END.saturating_sub(self.next + GUARD));
        let length = usize::try_from(bytes).ok().filter(|_| bytes <= left);
        let length = length.ok_or(MemoryError::OutOfMemory { asked: bytes, left })?;
        self.live += bytes;
        Ok(self.place(|start| Region::unwritten(start, length)))
    }

    fn place(&mut self, region: impl FnOnce(u64) -> Region) -> u64 {
        let start = self.next;
        let region = region(start);
        self.next = (region.end() + GUARD).next_multiple_of(ALIGNMENT);
        self.regions.push(region);
        start
    }

    /// Gives an allocation back; its address stays unused.
    ///
    /// # Errors
    /// No live allocation starts at the address.
    pub fn free(&mut self, address: u64) -> Result<(), MemoryError> {
        let of_module = self.modules.values().any(|start| *start == address);
        let index = self.regions.binary_search_by_key(&address, Region::start);
        let index = index.ok().filter(|_| !of_module).ok_or(MemoryError::NotAllocated(address))?;
        self.live -= self.regions.remove(index).len() as u64;
        Ok(())
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// They are not all inside of one allocation, or not all written.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        let bytes = into.len();
        let found = self.find(address).ok_or(Refusal::Stray).and_then(|index| self.regions[index].read(address, bytes));
        into.copy_from_slice(found.map_err(|refusal| host_error(refusal, address, bytes))?);
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// They are not all inside of one allocation.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let index = self.find(address).ok_or(Refusal::Stray);
        let written = index.and_then(|index| self.regions[index].write(address, bytes));
        written.map_err(|refusal| host_error(refusal, address, bytes.len()))
    }

    /// Bytes of all live allocations.
    pub fn live_bytes(&self) -> u64 {
        self.live
    }

    /// How many allocations are live.
    pub fn live_allocations(&self) -> usize {
        self.regions.len() - self.modules.len()
    }

    /// The last region that starts at or before an address.
    #[inline]
    fn find(&self, address: u64) -> Option<usize> {
        let recent = self.regions.get(self.recent);
        if recent.is_some_and(|region| (region.start()..region.end()).contains(&address)) {
            return Some(self.recent);
        }
        self.regions.partition_point(|region| region.start() <= address).checked_sub(1)
    }

    pub(crate) fn load(&mut self, address: u64, bytes: usize) -> Result<u64, Refusal> {
        self.recent = self.find(address).ok_or(Refusal::Stray)?;
        self.regions[self.recent].load(address, bytes)
    }

    /// A load through the path that is not coherent with stores of the same launch.
    pub(crate) fn load_settled(&mut self, address: u64, bytes: usize) -> Result<u64, Refusal> {
        let value = self.load(address, bytes)?;
        self.regions[self.recent].settled(address, bytes)?;
        Ok(value)
    }

    pub(crate) fn store(&mut self, address: u64, bytes: usize, value: u64) -> Result<(), Refusal> {
        self.recent = self.find(address).ok_or(Refusal::Stray)?;
        self.regions[self.recent].store(address, bytes, value)
    }

    /// A launch has ended: the next one may read through any path what it stored.
    pub(crate) fn settle(&mut self) {
        for region in &mut self.regions {
            region.settle();
        }
    }

    /// Where the variables of a module lie. The first launch puts them there; they keep their values until the memory
    /// goes, as on a device that has the module loaded.
    pub(crate) fn statics(&mut self, module: u64, image: &Image) -> u64 {
        if let Some(start) = self.modules.get(&module) {
            return *start;
        }
        let start = self.place(|start| filled(start, image, start));
        self.modules.insert(module, start);
        start
    }
}

/// A region with the first values of variables; `statics` is where variables in global memory lie.
pub(crate) fn filled(start: u64, image: &Image, statics: u64) -> Region {
    let mut bytes = image.bytes.clone();
    for relocation in &image.relocations {
        let target = match relocation.target {
            Operand::Static(offset) => statics.wrapping_add(offset),
            Operand::Value(value) => value,
            Operand::Local(_) | Operand::Register(_) | Operand::Special(_) => CODE_START,
        };
        let value = target.wrapping_add(relocation.addend).to_le_bytes();
        bytes[relocation.at..relocation.at + value.len()].copy_from_slice(&value);
    }
    Region::filled(start, &image.spans, &bytes)
}

fn host_error(refusal: Refusal, address: u64, bytes: usize) -> MemoryError {
    match refusal {
        Refusal::Stray => MemoryError::Stray { address, bytes },
        Refusal::Unwritten | Refusal::Fresh => MemoryError::Unwritten { address, bytes },
    }
}
