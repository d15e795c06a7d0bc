//! The shared memory of one block, and who used which byte since the last barrier.
//!
//! Two accesses to a byte by different threads, at least one of them a store, need a barrier in between. Exempt are two
//! stores of the same value, and two accesses that are both strong (atomics, `.relaxed` and stronger): these are what
//! threads talk through. Order that comes from strong accesses alone (a flag that another thread waits for) is not
//! followed: data behind such a flag counts as a race.

use super::region::{Refusal, Region};
use super::windows::{DYNAMIC_SHARED_START, SPACE_START};
use crate::program::Strength;

/// Lanes of a warp.
const LANES: u32 = 32;

/// A thread at a moment: how many barriers of its block, and of its warp, lie behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) thread: u32,
    pub(crate) block_barriers: u32,
    pub(crate) warp_barriers: u32,
}

impl Moment {
    /// Whether a barrier, or program order, puts this moment before another.
    fn before(self, later: Self) -> bool {
        self.thread == later.thread
            || self.block_barriers < later.block_barriers
            || (self.thread / LANES == later.thread / LANES && self.warp_barriers < later.warp_barriers)
    }
}

/// An access that is remembered.
#[derive(Debug, Clone, Copy)]
struct Access {
    moment: Moment,
    strength: Strength,
}

impl Access {
    fn races_with(self, later: Self) -> bool {
        let both_strong = self.strength == Strength::Strong && later.strength == Strength::Strong;
        !both_strong && !self.moment.before(later.moment)
    }
}

/// The latest accesses to a byte: its store, and loads of two different threads.
#[derive(Debug, Clone, Copy, Default)]
struct Trace {
    store: Option<Access>,
    loads: [Option<Access>; 2],
}

impl Trace {
    fn note_load(&mut self, load: Access) {
        if self.loads[0].is_some_and(|latest| latest.moment.thread != load.moment.thread) {
            self.loads[1] = self.loads[0];
        }
        self.loads[0] = Some(load);
    }

    fn racing_store(&self, now: Access) -> Option<u32> {
        self.store.filter(|store| store.races_with(now)).map(|store| store.moment.thread)
    }

    fn racing_load(&self, now: Access) -> Option<u32> {
        let mut racing = self.loads.into_iter().flatten().filter(|load| load.races_with(now));
        racing.next().map(|load| load.moment.thread)
    }
}

/// Why an access to shared memory fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SharedRefusal {
    Memory(Refusal),
    /// Another thread's access is not ordered against this one.
    Race {
        other: u32,
    },
}

impl From<Refusal> for SharedRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Memory(refusal)
    }
}

/// A stretch of shared memory with its traces.
#[derive(Debug, Clone)]
struct Traced {
    region: Region,
    traces: Vec<Trace>,
}

impl Traced {
    fn new(region: Region) -> Self {
        Self { traces: vec![Trace::default(); region.len()], region }
    }
}

/// The shared memory of a block: its variables, and what the launch adds.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    variables: Traced,
    dynamic: Traced,
}

impl Shared {
    /// Memory that nothing has written: its former contents mean nothing to a block.
    pub(crate) fn new(variables: &[(usize, usize)], dynamic_bytes: usize) -> Self {
        Self {
            variables: Traced::new(Region::of_spans(SPACE_START, variables)),
            dynamic: Traced::new(Region::unwritten(DYNAMIC_SHARED_START, dynamic_bytes)),
        }
    }

    fn part(&mut self, address: u64) -> &mut Traced {
        if address < DYNAMIC_SHARED_START { &mut self.variables } else { &mut self.dynamic }
    }

    pub(crate) fn load(
        &mut self,
        address: u64,
        bytes: usize,
        moment: Moment,
        strength: Strength,
    ) -> Result<u64, SharedRefusal> {
        let part = self.part(address);
        let value = part.region.load(address, bytes)?;
        let now = Access { moment, strength };
        let at = (address - part.region.start()) as usize;
        for trace in &mut part.traces[at..at + bytes] {
            if let Some(other) = trace.racing_store(now) {
                return Err(SharedRefusal::Race { other });
            }
            trace.note_load(now);
        }
        Ok(value)
    }

    pub(crate) fn store(
        &mut self,
        address: u64,
        bytes: usize,
        value: u64,
        moment: Moment,
        strength: Strength,
    ) -> Result<(), SharedRefusal> {
        let part = self.part(address);
        let unchanged = part.region.load(address, bytes) == Ok(value);
        part.region.store(address, bytes, value)?;
        let now = Access { moment, strength };
        let at = (address - part.region.start()) as usize;
        for trace in &mut part.traces[at..at + bytes] {
            let racing_store = trace.racing_store(now).filter(|_| !unchanged);
            if let Some(other) = racing_store.or_else(|| trace.racing_load(now)) {
                return Err(SharedRefusal::Race { other });
            }
            trace.store = Some(now);
        }
        Ok(())
    }
}
