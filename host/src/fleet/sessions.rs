//! The session table of a host: the core's table over vectors that grow up to the policy's capacity.
//!
//! Rule: COMMIT-5.

use std::hash::{BuildHasher, RandomState};

use orchestrator_core::commit::{SessionSlot, SessionTable};
use orchestrator_core::rows::SessionEntry;

/// Slots of the first storage; it doubles from there.
const FIRST_SLOTS: usize = 64;

/// Which pool holds which session warm.
#[derive(Debug, Clone)]
pub struct Sessions {
    table: SessionTable<Vec<SessionSlot>, Vec<u32>>,
    capacity: usize,
}

impl Sessions {
    /// An empty table for at most `capacity` sessions.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { table: storage_for(capacity.min(FIRST_SLOTS)), capacity }
    }

    /// What the table says of a session.
    #[must_use]
    pub fn get(&self, session_id: &str) -> Option<SessionEntry> {
        self.table.get(session_id)
    }

    /// Records that a job of the session was committed to the pool at rank `pool`.
    pub fn record(&mut self, session_id: &str, pool: u32, cached_tokens: u32) {
        if self.table.len() == self.table.capacity() && self.table.capacity() < self.capacity {
            self.grow();
        }
        self.table.record(session_id, pool, cached_tokens);
    }

    fn grow(&mut self) {
        let mut larger = storage_for((self.table.capacity() * 2).min(self.capacity));
        for (session_id, entry) in self.table.iter() {
            larger.record(session_id, entry.pool, entry.cached_tokens);
        }
        self.table = larger;
    }
}

fn storage_for(slots: usize) -> SessionTable<Vec<SessionSlot>, Vec<u32>> {
    // Session ids come from clients: a seed that they cannot know keeps the buckets short. It reaches no answer.
    let hash_seed = RandomState::new().hash_one(slots);
    SessionTable::with_hash_seed(vec![SessionSlot::EMPTY; slots], vec![0; slots.next_power_of_two()], hash_seed)
}
