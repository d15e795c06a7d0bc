//! Which pool holds which session warm: a bounded table that forgets the least recently committed entry.
//!
//! Rules: COMMIT-5, SCORE-3. The table works over storage that its owner brings: arrays in firmware, vectors on a host.
//! Lookup, record and forget are O(1) expected; hash buckets speed them up and never show in a result.
//!
//! ```
//! use orchestrator_core::commit::{SessionSlot, SessionTable};
//!
//! let mut sessions = SessionTable::new([SessionSlot::EMPTY; 2], [0; 4]);
//! sessions.record("a", 7, 100);
//! sessions.record("b", 8, 200);
//! sessions.record("a", 9, 300); // "a" moved, and is now the most recent
//! sessions.record("c", 7, 400); // the table is full: "b" goes
//! assert_eq!(sessions.get("a").map(|entry| (entry.pool, entry.cached_tokens)), Some((9, 300)));
//! assert_eq!(sessions.get("b"), None);
//! ```

use crate::rows::SessionEntry;
use crate::values::hash::spread_job_hash;
use crate::values::index::{index, position};
use crate::values::text::Id;

/// Positions are stored plus one, so that zeroed storage is an empty table.
type Link = u32;
const END: Link = 0;

/// Storage for one session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SessionSlot {
    id: Id,
    entry: SessionEntry,
    /// The entry committed next after this one.
    newer: Link,
    /// The entry committed just before this one.
    older: Link,
    /// The next entry in the same bucket.
    chained: Link,
}

impl SessionSlot {
    /// An unused slot.
    pub const EMPTY: Self =
        Self { id: Id::new(), entry: SessionEntry { pool: 0, cached_tokens: 0 }, newer: END, older: END, chained: END };
}

/// The session table over its owner's storage: `S` slots and `B` hash buckets (about as many).
#[derive(Debug, Clone)]
pub struct SessionTable<S, B> {
    slots: S,
    buckets: B,
    len: u32,
    newest: Link,
    oldest: Link,
    hash_seed: u64,
}

impl<S, B> SessionTable<S, B>
where
    S: AsRef<[SessionSlot]> + AsMut<[SessionSlot]>,
    B: AsRef<[u32]> + AsMut<[u32]>,
{
    /// An empty table over this storage; whatever the storage held is ignored.
    #[must_use]
    pub fn new(slots: S, mut buckets: B) -> Self {
        buckets.as_mut().fill(END);
        Self { slots, buckets, len: 0, newest: END, oldest: END, hash_seed: 0 }
    }

    /// An empty table whose buckets depend on `hash_seed`: where session ids come from strangers, a seed that they
    /// cannot know keeps them from filling one bucket. No answer depends on it.
    #[must_use]
    pub fn with_hash_seed(slots: S, buckets: B, hash_seed: u64) -> Self {
        Self { hash_seed, ..Self::new(slots, buckets) }
    }

    /// The number of sessions in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        index(self.len)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of sessions that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.as_ref().len()
    }

    /// What the table says of a session.
    #[must_use]
    pub fn get(&self, session_id: &str) -> Option<SessionEntry> {
        self.slot(self.find(session_id)).map(|slot| slot.entry)
    }

    /// Records that a job of the session was committed to the pool at rank `pool`. COMMIT-5.
    ///
    /// The entry becomes the most recent. In a full table the least recent one is forgotten; without any storage, or
    /// with an id above its limit, nothing is recorded.
    pub fn record(&mut self, session_id: &str, pool: u32, cached_tokens: u32) {
        let entry = SessionEntry { pool, cached_tokens };
        let found = self.find(session_id);
        if found != END {
            self.unlink_from_age(found);
            self.link_as_newest(found);
            self.update(found, |slot| slot.entry = entry);
            return;
        }
        let Ok(id) = Id::try_from(session_id) else { return };
        let link = self.free_slot();
        if link == END {
            return;
        }
        self.update(link, |slot| *slot = SessionSlot { id, entry, ..SessionSlot::EMPTY });
        self.link_as_newest(link);
        self.link_in_bucket(link, session_id);
    }

    /// The sessions from the least to the most recently committed.
    pub fn iter(&self) -> impl Iterator<Item = (&str, SessionEntry)> {
        let mut next = self.oldest;
        core::iter::from_fn(move || {
            let slot = self.slot(next)?;
            next = slot.newer;
            Some((slot.id.as_str(), slot.entry))
        })
    }

    /// A slot to use: a fresh one, or the least recently committed, taken out of its lists.
    fn free_slot(&mut self) -> Link {
        if self.buckets.as_ref().is_empty() {
            return END;
        }
        if self.len() < self.capacity() {
            self.len = self.len.saturating_add(1);
            return self.len;
        }
        let oldest = self.oldest;
        self.unlink_from_age(oldest);
        self.unlink_from_bucket(oldest);
        oldest
    }

    fn find(&self, session_id: &str) -> Link {
        let mut link = self.bucket_of(session_id).and_then(|bucket| self.buckets.as_ref().get(bucket)).copied();
        while let Some(slot) = link.and_then(|link| self.slot(link)) {
            if slot.id == session_id {
                break;
            }
            link = Some(slot.chained);
        }
        link.unwrap_or(END)
    }

    fn bucket_of(&self, session_id: &str) -> Option<usize> {
        let hash = spread_job_hash(self.hash_seed, session_id);
        let bucket = hash.checked_rem(u64::from(position(self.buckets.as_ref().len())))?;
        usize::try_from(bucket).ok()
    }

    fn link_in_bucket(&mut self, link: Link, session_id: &str) {
        let Some(bucket) = self.bucket_of(session_id) else {
            return;
        };
        let Some(head) = self.buckets.as_mut().get_mut(bucket) else {
            return;
        };
        let next = core::mem::replace(head, link);
        self.update(link, |slot| slot.chained = next);
    }

    fn unlink_from_bucket(&mut self, link: Link) {
        let Some((id, next)) = self.slot(link).map(|slot| (slot.id.clone(), slot.chained)) else {
            return;
        };
        let Some(bucket) = self.bucket_of(&id) else { return };
        let Some(head) = self.buckets.as_mut().get_mut(bucket) else {
            return;
        };
        if *head == link {
            *head = next;
            return;
        }
        let mut previous = *head;
        while let Some(chained) = self.slot(previous).map(|slot| slot.chained) {
            if chained == link {
                self.update(previous, |slot| slot.chained = next);
                return;
            }
            previous = chained;
        }
    }

    fn link_as_newest(&mut self, link: Link) {
        let older = core::mem::replace(&mut self.newest, link);
        self.update(link, |slot| {
            slot.older = older;
            slot.newer = END;
        });
        self.update(older, |slot| slot.newer = link);
        if self.oldest == END {
            self.oldest = link;
        }
    }

    fn unlink_from_age(&mut self, link: Link) {
        let Some((older, newer)) = self.slot(link).map(|slot| (slot.older, slot.newer)) else {
            return;
        };
        self.update(older, |slot| slot.newer = newer);
        self.update(newer, |slot| slot.older = older);
        if self.newest == link {
            self.newest = older;
        }
        if self.oldest == link {
            self.oldest = newer;
        }
    }

    fn slot(&self, link: Link) -> Option<&SessionSlot> {
        self.slots.as_ref().get(index(link.checked_sub(1)?))
    }

    fn update(&mut self, link: Link, change: impl FnOnce(&mut SessionSlot)) {
        let Some(position) = link.checked_sub(1) else { return };
        if let Some(slot) = self.slots.as_mut().get_mut(index(position)) {
            change(slot);
        }
    }
}
